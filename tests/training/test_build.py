"""Vectors that do not fit a module, and cleaning of descriptions for generation."""

from dataclasses import replace
from functools import partial
from unittest import mock

import pytest
import torch

from en2py.data.cleaning import Drop
from en2py.data.pairs import Pair
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


def _long(pair: Pair) -> Pair:
    raise Drop("too long")


def _lower(pair: Pair, *, end: str) -> Pair:
    return replace(pair, description=pair.description.lower() + end)


def test_each_step_cleans_a_description_and_one_that_would_drop_it_is_skipped() -> None:
    steps = [partial(_lower, end="."), _long, partial(_lower, end="!")]
    assert build._cleaned(steps, "ADD Two") == "add two.!"
