"""Metrics of rows over the pairs that they have programs for."""

import dataclasses
import json

import pytest

from en2py.data.pairs import Pair
from en2py.evaluation.comparison import run_metrics
from en2py.evaluation.metrics.program_metrics import PairScores, Scores
from en2py.evaluation.scores import EvaluationRow, originals, write_predictions


def scored(name, candidates):
    """Return a row whose programs are all equal to some known program."""
    n = len(candidates)
    ones = [[1.0, 1.0]] * n
    tables = {"exact_match": ones, "exact_match_any": ones}
    pairs = [Pair(f"x/{i}", "task", "x = 1", "x") for i in range(n)]
    scores = Scores({}, [PairScores("exact", {"compiles": True})] * n, {}, {})
    return EvaluationRow(name, "baseline", pairs, candidates, scores, [None] * n, tables, {})


@pytest.mark.parametrize("last", [["x = 1"], []])
def test_second_programs_are_not_compared_with_all_known_ones(last):
    rows = [scored(name, [["x = 1"], last]) for name in ("second_human", "retrieval")]
    found = [run.values.keys() for run in run_metrics(rows, [{}, {}])]
    assert found == [{"exact_match"}, {"exact_match", "exact_match_any"}]


@pytest.mark.parametrize(("kind", "n"), [("baseline", 1), ("model", 2)])
def test_predictions_of_a_baseline_have_the_pairs_that_it_has_a_program_for(kind, n, tmp_path):
    row = dataclasses.replace(scored("second_human", [["x = 1"], []]), kind=kind)
    write_predictions(tmp_path / "own.jsonl", row)
    lines = (tmp_path / "own.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["x/0", "x/1"][:n]


def test_buckets_count_the_pairs_that_are_scored():
    row = scored("second_human", [["x = 1"], [], ["x = 1"], []])
    (run,) = run_metrics([row], [{"seen": [0, 1, 2], "new": [3]}])
    assert run.groups == {"seen": {"n": 2.0, "exact_match": 1.0}, "new": {"n": 0.0}}


def test_losses_over_vocabularies_with_unknown_validation_tokens_are_not_compared():
    token = {name: [[1.0, 2.0]] for name in ("nll", "bpc")}
    known, unknown = ({**token, "unk_targets": [[n, 2.0]]} for n in (0.0, 1.0))
    first, second = (
        dataclasses.replace(
            scored(name, [["x = 1"]]),
            kind="model",
            tables=known,
            validation=validation,
            vocab=[name],
        )
        for name, validation in (("a", unknown), ("b", known))
    )
    other = run_metrics([first, second], [{}, {}])[1]
    assert set(other.not_comparable) == {"nll", "unk_targets"}
    first, second = (dataclasses.replace(first, vocab=v) for v in (["a", "b"], ["b", "a"]))
    assert not run_metrics([first, second], [{}, {}])[1].not_comparable


def test_validation_pairs_that_are_too_long_are_noted():
    row = dataclasses.replace(scored("a", [["x = 1"]] * 2), kind="model", vocab=["x"])
    row.tables["nll"], token = [[1.0, 2.0]] * 2, {"nll": [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]}
    (run,) = run_metrics([dataclasses.replace(row, validation=token)], [{}])
    (note,) = run.notes
    assert "leave out 2 of 3 validation pairs, which are longer" in note
    row.tables["nll"] = [[1.0, 2.0], [0.0, 0.0]]
    (run,) = run_metrics([dataclasses.replace(row, validation=token)], [{}])
    assert "leave out 1 of 2 pairs and 2 of 3 validation pairs" in run.notes[0]


def test_a_pair_below_the_id_of_another_is_no_variant():
    ids = ("x/sum", "x/sum/rename1", "x/sum/words2", "x/sum/1", "x/sum/loop", "y/q1")
    pairs = [Pair(own, "task", "x = 1", "x") for own in ids]
    kept = [pair.id for pair in originals(pairs)]
    assert kept == ["x/sum", "x/sum/1", "x/sum/loop", "y/q1"]
