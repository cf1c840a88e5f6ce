"""Data of a run that are refused, and a limit without effect."""

from types import SimpleNamespace
from typing import Any

import pytest

from en2py.data.pairs import DataReport
from en2py.errors import UserError
from en2py.training.run_data import check_lengths, unused_limit


@pytest.mark.parametrize(("limit", "n"), [(None, 0), (2, 0), (3, 1)])
def test_limit_above_the_number_of_training_pairs_warns(limit: int | None, n: int) -> None:
    prepared: Any = SimpleNamespace(splits={"train": [1, 2]})
    found = list(unused_limit(prepared, {"max_pairs": limit}))
    assert found == ["batch.max_pairs=3: the training split has 2 pairs, all of them used"][:n]


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
