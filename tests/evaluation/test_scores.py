"""Metrics of rows over the pairs that they have programs for."""

import pytest

from en2py.data.pairs import Pair
from en2py.evaluation.metrics.program_metrics import Row, Scores
from en2py.evaluation.scores import EvaluationRow, run_metrics


def scored(name, candidates):
    """Return a row whose programs are all equal to some known program."""
    n = len(candidates)
    ones = [[1.0, 1.0]] * n
    tables = {"exact_match": ones, "exact_match_any": ones}
    pairs = [Pair(f"x/{i}", "task", "x = 1", "x") for i in range(n)]
    scores = Scores({}, [Row("exact", {"compiles": True})] * n, {}, {})
    return EvaluationRow(name, "baseline", pairs, candidates, scores, [None] * n, tables, {})


@pytest.mark.parametrize("last", [["x = 1"], []])
def test_second_programs_are_not_compared_with_all_known_ones(last):
    rows = [scored(name, [["x = 1"], last]) for name in ("second_human", "retrieval")]
    found = [run.values.keys() for run in run_metrics(rows, [{}, {}])]
    assert found == [{"exact_match"}, {"exact_match", "exact_match_any"}]


def test_buckets_count_the_pairs_that_are_scored():
    row = scored("second_human", [["x = 1"], [], ["x = 1"], []])
    (run,) = run_metrics([row], [{"seen": [0, 1, 2], "new": [3]}])
    assert run.groups == {"seen": {"n": 2.0, "exact_match": 1.0}, "new": {"n": 0.0}}
