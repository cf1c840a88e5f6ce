"""What is refused while a run is built, and cleaning of descriptions for generation."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch

from en2py.data.cleaning import Drop
from en2py.data.pairs import DataReport, Pair
from en2py.errors import UserError
from en2py.models.embeddings import Vectors
from en2py.training import build
from en2py.training.build import check_lengths, new_module


@pytest.mark.parametrize(("limit", "n"), [(None, 0), (2, 0), (3, 1)])
def test_limit_above_the_number_of_training_pairs_warns(limit: int | None, n: int) -> None:
    prepared: Any = SimpleNamespace(splits={"train": [1, 2]})
    found = list(build.unused_limit(prepared, {"max_pairs": limit}))
    assert found == ["batch.max_pairs=3: the training split has 2 pairs, all of them used"][:n]


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


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_a_pair_that_fits_into_the_model_is_refused(split: str) -> None:
    report = DataReport()
    report.facts = {"sizes": {"train": 9, "val": 3, "test": 3}}
    prepared: Any = SimpleNamespace(report=report)
    model = {"max_src_len": 8, "max_tgt_len": 9}
    report.facts["over_max_len"] = {"train": 0, "val": 2, "test": 2}
    check_lengths(prepared, model)
    report.facts["over_max_len"][split] = 3
    with pytest.raises(UserError, match=rf"3 {split} pairs fits into .*model.max_tgt_len=9\)"):
        check_lengths(prepared, model)
