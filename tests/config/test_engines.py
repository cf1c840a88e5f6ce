"""Searches and models that CTranslate2 does not support are refused."""

from typing import Any

import pytest

from en2py.config.validation import check_decoding
from en2py.errors import UserError

GREEDY = "en2py.decoding.greedy.greedy"
SAMPLE = "en2py.decoding.sampling.sample"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decoding": {"_target_": SAMPLE}}, "supports greedy and beam search, not sample"),
        ({"decoding": {"grammar": True}}, "does not support decoding.grammar=true"),
        ({"decoding": {"no_repeat_ngram": 4}}, "does not support decoding.no_repeat_ngram=4"),
        ({"decoding": {"repetition_penalty": 1.2}}, "not support decoding.repetition_penalty=1.2"),
        ({"neighbours": {"k": 10}}, "does not support neighbours=nearest"),
        ({"model": {"copy": True}}, "does not support model.copy=true"),
    ],
)
def test_an_engine_refuses_what_it_does_not_support(changes: dict[str, Any], reason: str) -> None:
    search = {"_target_": GREEDY, "grammar": False, **changes.get("decoding", {})}
    config = {"model": {"copy": False}, **changes, "decoding": search}
    check_decoding({**config, "decoding": {**search, "engine": "torch"}})
    with pytest.raises(UserError) as raised:
        check_decoding({**config, "decoding": {**search, "engine": "ctranslate2"}})
    assert str(raised.value).startswith("decoding.engine=ctranslate2 ")
    assert str(raised.value).endswith(f"{reason}: use decoding.engine=torch")
