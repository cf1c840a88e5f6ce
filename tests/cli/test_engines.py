"""Searches and models that CTranslate2 does not support are refused."""

import sys
from typing import Any

import pytest
import torch

from en2py.cli.evaluation_config import evaluation_config
from en2py.config import instantiate
from en2py.decoding.hypothesis import Engine, Hypothesis, Model
from en2py.errors import UserError

GREEDY = "en2py.decoding.greedy.greedy"
SAMPLE = "en2py.decoding.sampling.sample"
DRAWS = {"temperature": 1.0, "top_k": None, "top_p": None, "n_samples": 1, "seed": 1}
OF_TORCH = f"{__name__}.greedy"
OF_ENGINES = f"{__name__}.shortest"


def greedy(
    model: Model, src: torch.Tensor, vocab: Any, *, max_len: int, tokenizer: Any
) -> list[list[Hypothesis]]:
    return []


def shortest(model: Model | Engine, src: Any, vocab: Any, *, max_len: int, tokenizer: Any) -> Any:
    return []


@pytest.fixture(autouse=True)
def _own_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instantiate, "_packages", [f"{__name__}."])
    instantiate.definition.cache_clear()


def evaluated(engine: str, **changes: Any) -> dict[str, Any]:
    """Return the config of a checkpoint that an engine evaluates."""
    search = {"_target_": GREEDY, "_partial_": True, "max_len": 9, **changes.pop("decoding", {})}
    config = {"model": {"copy": False, "max_tgt_len": 9}, **changes, "decoding": search}
    own = {"cache": "", "processes": 1, "batch": {}, "data": {"path": None}}
    return evaluation_config(config, {**own, "decoding": {"engine": engine}})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"decoding": {"_target_": SAMPLE, **DRAWS}},
            "supports greedy and beam search, not sample",
        ),
        ({"decoding": {"_target_": OF_TORCH}}, "supports greedy and beam search, not greedy"),
        ({"decoding": {"grammar": True}}, "does not support decoding.grammar=true"),
        ({"decoding": {"no_repeat_ngram": 4}}, "does not support decoding.no_repeat_ngram=4"),
        ({"decoding": {"repetition_penalty": 1.2}}, "not support decoding.repetition_penalty=1.2"),
        ({"neighbours": {"k": 10}}, "does not support neighbours=nearest"),
        ({"model": {"copy": True, "max_tgt_len": 9}}, "does not support model.copy=true"),
    ],
)
def test_an_engine_refuses_what_it_does_not_support(changes: dict[str, Any], reason: str) -> None:
    evaluated("torch", **changes)
    with pytest.raises(UserError) as raised:
        evaluated("ctranslate2", **changes)
    assert str(raised.value).startswith("decoding.engine=ctranslate2 ")
    assert str(raised.value).endswith(f"{reason}: use decoding.engine=torch")
    assert "engine" not in evaluated("auto", **changes)["decoding"]


def test_an_own_search_that_accepts_engines_is_none_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("en2py.cli.evaluation_config.import_ctranslate2", lambda: None)
    config = evaluated("ctranslate2", decoding={"_target_": OF_ENGINES})
    assert config["decoding"]["engine"] == "ctranslate2"


def test_a_missing_package_is_reported_with_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match="CTranslate2 is not installed"):
        evaluated("ctranslate2")
    assert "engine" not in evaluated("auto")["decoding"]
