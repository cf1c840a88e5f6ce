"""Tables of a report, and how metrics write numbers."""

import math

import pytest

from en2py.evaluation.metrics.registry import figure_of, known_metrics, metric
from en2py.evaluation.report.tables import (
    differences_table,
    failures_table,
    figures_table,
    groups_table,
    oracles_tables,
)
from en2py.evaluation.results import Difference, Estimate
from fake_results import fake_results, figure, row


def test_numbers_have_one_format():
    assert metric("ppl").write(-0.0001) == "0.00" and metric("bleu").write(-1.5) == "−1.5"
    assert metric("nll").write(math.nan) == metric("nll").write(None) == "–"
    assert metric("compiles").interval(0.95, 1.02) == "95.0–100.0"
    assert metric("nll").interval(-0.1, 0.1) == "0.000–0.100"
    assert metric("gap/nll").interval(-0.1, 0.1) == "−0.100 to 0.100"
    assert metric("bleu").interval(-35.1, 41.12) == "0.0–41.1"
    assert metric("bleu").interval(1.0, None) == ""
    assert metric("bleu").change(2.0) == "+2.0" and metric("bleu").change(0.01) == "0.0"
    assert metric("compiles").change_interval(-1.067, 0.6) == "−100.0 to +60.0"
    assert metric("nll").change_interval(-0.0004, 0.1) == "0.000 to +0.100"


def test_metrics_without_a_registry_entry_are_shown():
    assert metric("pass@10").head == "pass@10,\u00a0%"
    assert metric("val/accuracy_keyword").head == "val token accuracy: keyword,\u00a0%"
    assert metric("exact_match_any").label == "exact match of the text (any)"
    rows = [row("a", figures={"zeta_new": figure(1.0), "bleu": figure(1.0)})]
    assert known_metrics(rows) == ["bleu", "zeta_new"]
    assert metric("zeta_new").label == "zeta new"


def test_missing_figures_are_dashes():
    rows = [row("a", figures={"bleu": figure(50.0)}), row("b", figures={"chrf": figure(60.0)})]
    table = figures_table(rows, ["bleu", "chrf", "code_bleu"], caption="")
    assert [column.label for column in table.columns] == ["row", "BLEU", "chrF"]
    assert [[cell.text for cell in line.cells] for line in table.lines] == [
        ["a", "50.0", "–"],
        ["b", "–", "60.0"],
    ]


def test_figures_show_interval_count_and_notes():
    share = Estimate(0.5, 0.4, 0.6, "clusters", 30, {}, 15, 30)
    rows = [row("a", figures={"behaves": share}, notes=["read me"]), row("b", notes=["read me"])]
    table = figures_table(rows, ["behaves"], caption="", reference="b")
    first, second = table.lines
    assert first.cells[1].small == ("40.0–60.0", "15 of 30")
    assert first.cells[0].mark == second.cells[0].mark == "[1]"
    assert second.cells[0].small == ("3 runs, reference row",)
    assert [line.place for line in table.lines] == [0, 1]
    others = figures_table(rows, ["behaves"], caption="")  # without the colors of pictures
    assert [line.place for line in others.lines] == [None, None]
    assert table.notes[-1] == "[1] read me"


def test_names_of_rows_contain_their_settings():
    table = figures_table(fake_results().rows, ["bleu"], caption="")
    heads = [line.cells[0].text for line in table.lines]
    assert heads[0] == "loss=smoothed, embeddings=joint" and heads[-1] == "nearest_by_bleu"


@pytest.mark.parametrize(("names", "n"), [(["val/nll", "bleu"], 2), (["bleu"], 1)])
def test_the_column_that_ranks_the_rows_stays_visible(names, n):
    assert figures_table(fake_results().rows, names, caption="").n_fixed == n


def test_only_significant_differences_are_marked():
    own = {
        "bleu": Difference(2.0, 1.0, 3.0, "seeds", True),
        "nll": Difference(0.2, 0.1, 0.3, "seeds", True),
        "copied": Difference(0.1, 0.05, 0.15, "seeds", True),
        "chrf": Difference(2.0, -1.0, 5.0, "seeds", False),
    }
    table = differences_table([row("a"), row("b", differences=own)], list(own), reference="a")
    (line,) = table.lines
    assert [(cell.tone, cell.mark) for cell in line.cells[1:]] == [
        ("better", "▲"),
        ("worse", "▲"),
        ("changed", "▲"),
        ("muted", ""),
    ]


def test_rare_failure_reasons_are_summed():
    reasons = {f"reason {i:02d}": 30 - i for i in range(20)}
    table = failures_table([row("a", failures=reasons)])
    assert [line.cells[0].text for line in table.lines][-1] == "6 rarer reasons"
    shown = sum(int(line.cells[1].text.replace(",", "")) for line in table.lines)
    assert shown == sum(reasons.values())


def test_buckets_have_their_sizes():
    groups = {"new descriptions": {"n": 1200.0, "bleu": 40.0}}
    (line,) = groups_table([row("a", groups=groups)], ["bleu"]).lines
    assert [cell.text for cell in line.cells] == ["a", "new descriptions", "1,200", "40.0"]


def test_validation_figures_have_their_own_prefix():
    own = row("a", validation={"nll": figure(1.0)}, figures={"nll": figure(2.0)})
    assert figure_of(own, "val/nll").value == 1.0 and figure_of(own, "nll").value == 2.0


def test_pairs_with_unit_tests_are_counted_among_all_pairs():
    (table,) = oracles_tables({"with tests": 3, "not run": "no sandbox"}, n_pairs=10)
    assert [cell.text for cell in table.lines[0].cells[1:]] == ["3", "10", "30.0"]
