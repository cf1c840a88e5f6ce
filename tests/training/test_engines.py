"""Settings that an engine does not support are refused."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from en2py.config.instantiate import make
from en2py.data.tokenizers import PythonTokenizer
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


def test_search_of_a_config_is_bound_as_the_engine_expects() -> None:
    """Hydra's own partials compare unequal to the functions that they call."""
    section = {"_target_": "en2py.decoding.greedy.greedy", "_partial_": True, "grammar": True}
    search = make({**section, "max_len": 8, "allow_unk": False})
    module: Any = SimpleNamespace(search=build.bound(search, PythonTokenizer()))
    with pytest.raises(UserError, match="does not support decoding.grammar=true"):
        build._exported(module, "ctranslate2")


def test_sampling_is_refused() -> None:
    module: Any = SimpleNamespace(search=partial(sample, grammar=False))
    with pytest.raises(UserError, match="supports greedy and beam search, not sample"):
        build._exported(module, "ctranslate2")
