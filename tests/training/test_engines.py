"""Settings that an engine does not support are refused."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from en2py.decoding.greedy import greedy
from en2py.decoding.sampling import sample
from en2py.errors import UserError
from en2py.training import build


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [("grammar", True, "true"), ("no_repeat_ngram", 4, "4"), ("repetition_penalty", 1.2, "1.2")],
)
def test_constraints_are_refused(name: str, value: Any, written: str) -> None:
    module: Any = SimpleNamespace(search=partial(greedy, **{name: value}))
    with pytest.raises(UserError, match=f"does not support decoding.{name}={written}: use"):
        build._exported(module, "ctranslate2")


def test_sampling_is_refused() -> None:
    module: Any = SimpleNamespace(search=partial(sample, grammar=False))
    with pytest.raises(UserError, match="supports greedy and beam search, not sample"):
        build._exported(module, "ctranslate2")
