"""Vectors that do not fit a module, and cleaning of descriptions for generation."""

from dataclasses import replace
from functools import partial
from unittest import mock

import pytest
import torch

from en2py.data.cleaning import Drop
from en2py.data.pairs import Pair
from en2py.data.vocab import Vocab
from en2py.errors import UserError
from en2py.models.embeddings import Vectors
from en2py.training import build
from en2py.training.build import new_module


def test_own_vectors_of_another_width_than_a_tied_table_are_refused() -> None:
    config = {"seed": 1, "model": {"tie_embeddings": "tgt", "d_model": 8}}
    vectors = Vectors(tgt=torch.zeros(5, 4), tgt_found=torch.ones(5, dtype=torch.bool))
    with (
        mock.patch.object(build, "word_vectors", return_value=vectors),
        pytest.raises(UserError, match="have 4 numbers, and model.tie_embeddings=tgt needs .*=8: "),
    ):
        new_module(config, mock.Mock(), {})


class OwnModel:
    """A model without segments."""

    def __init__(self, n_src: int, n_tgt: int, pad_id: int, *, max_src_len: int) -> None: ...


def test_an_own_model_without_an_argument_for_neighbours_is_refused(
    monkeypatch: pytest.MonkeyPatch, tgt_vocab: Vocab
) -> None:
    for name in ("check_allowed", "make"):
        monkeypatch.setattr(build, name, lambda section: None)
    monkeypatch.setattr(build, "definition", lambda target: OwnModel)
    monkeypatch.setattr(build.run_data, "tokenizers", lambda config, states: (None, None))
    config = {
        "model": {"_target_": "own.Model", "max_src_len": 9},
        "neighbours": {"max_len": 5},
        "decoding": {},
    }
    metadata = {"src_state": {}, "tgt_state": {}, "widths": {}}
    with pytest.raises(UserError, match="model._target_=own.Model: it has no argument sep_id, whi"):
        build._module_of_config(config, tgt_vocab, tgt_vocab, metadata)


def _long(pair: Pair) -> Pair:
    raise Drop("too long")


def _lower(pair: Pair, *, end: str) -> Pair:
    return replace(pair, description=pair.description.lower() + end)


def test_each_step_cleans_a_description_and_one_that_would_drop_it_is_skipped() -> None:
    steps = [partial(_lower, end="."), _long, partial(_lower, end="!")]
    assert build._cleaned(steps, "ADD Two") == "add two.!"
