"""Sentences of a report's summary."""

from dataclasses import replace

import pytest

from en2py.evaluation.report.summary import best_if_significant, notes_of, summarize
from en2py.evaluation.report.tables import figures_table
from en2py.evaluation.results import Difference
from en2py.evaluation.statistics import detectable_difference
from fake_results import figure, results, row


def sentence(*rows, **parts):
    return " ".join(summarize(results(*rows, **parts)))


def test_a_difference_is_significant_only_if_its_interval_excludes_zero():
    low, high = figure(0.5), figure(0.6)
    reference = row("a", figures={"passes_tests": low}, validation={"nll": figure(1.0)})
    for is_significant, expected in (
        (True, "is significant: its interval excludes 0"),
        (False, "is not significant"),
    ):
        difference = {
            "passes_tests": Difference(
                0.1, 0.02 if is_significant else -0.2, 0.2, "seeds", is_significant
            )
        }
        difference["val/nll"] = Difference(-0.1, -0.2, -0.05, "seeds", True)
        best = row(
            "b",
            figures={"passes_tests": high},
            validation={"nll": figure(0.9)},
            differences=difference,
        )
        text = sentence(reference, best)
        assert text.startswith("Of 2 configurations, “b” is best on validation: val/nll 0.900")
        assert "the reference row, “a”, has 1.000" in text
        assert expected in text[text.index("On the test split") :]


def test_summary_reports_that_the_reference_row_is_best():
    difference = {"bleu": Difference(3.0, 1.0, 5.0, "seeds", True)}
    difference["val/nll"] = Difference(0.2, 0.1, 0.3, "seeds", True)
    reference = row("a", figures={"bleu": figure(50.0)}, validation={"nll": figure(1.0)})
    other = row(
        "b",
        figures={"bleu": figure(53.0)},
        validation={"nll": figure(1.2)},
        differences=difference,
    )
    text = sentence(reference, other)
    assert "the reference row, “a”, is best on validation" in text
    assert "“b” (+3.0) differs significantly from it there" in text


@pytest.mark.parametrize(
    ("level", "half", "expected"),
    [
        (0.2, 0.05, "It beats the retrieval baseline"),
        (0.9, 0.05, "It does not beat the retrieval baseline"),
        (0.48, 0.05, "It is not shown to beat the retrieval baseline"),
    ],
)
def test_retrieval_is_beaten_only_where_intervals_do_not_overlap(level, half, expected):
    model = row("a", figures={"behaves": figure(0.5)}, validation={"nll": figure(1.0)})
    lookup = row("retrieval", kind="baseline", figures={"behaves": figure(level, half)})
    assert expected in sentence(model, lookup)


def test_a_paired_difference_from_retrieval_is_preferred_to_two_intervals():
    model = row("a", figures={"behaves": figure(0.5, 0.1)}, validation={"nll": figure(1.0)})
    paired = {"behaves": Difference(-0.05, -0.08, -0.02, "clusters", True)}
    lookup = row(
        "bm25", kind="baseline", figures={"behaves": figure(0.45, 0.1)}, differences=paired
    )
    text = sentence(model, lookup)
    assert "It beats" in text and "the interval of the difference excludes 0" in text


def test_an_upper_bound_is_not_a_retrieval_baseline():
    model = row("a", figures={"bleu": figure(20.0)}, validation={"nll": figure(1.0)})
    bound = row("nearest_by_bleu", kind="baseline", figures={"bleu": figure(60.0)})
    assert "retrieval baseline" not in sentence(model, bound)


@pytest.mark.parametrize("significant", [True, False])
def test_best_row_is_marked_only_if_its_difference_is_significant(significant):
    reference = row("a", validation={"nll": figure(1.0)})
    lower = {"val/nll": Difference(-0.1, -0.2, -0.05, "seeds", significant)}
    own = results(reference, row("b", validation={"nll": figure(0.9)}, differences=lower))
    assert best_if_significant(own) == ("b" if significant else "")
    marks = figures_table(own.rows, ["val/nll"], caption="", best=best_if_significant(own)).lines
    assert any("best on validation" in str(line.cells[0].small) for line in marks) == significant
    higher = {"val/nll": Difference(0.1, 0.05, 0.2, "seeds", significant)}
    own = results(reference, row("b", validation={"nll": figure(1.1)}, differences=higher))
    assert best_if_significant(own) == ("a" if significant else "")


def test_a_single_row_is_not_marked_as_best():
    assert best_if_significant(results(row("a", validation={"nll": figure(1.0)}))) == ""


def test_summary_warns_of_a_comparison_with_a_single_seed():
    one, two = (row(name, runs=1, validation={"nll": figure(1.0)}) for name in "ab")
    assert "add seed=1,2,3 before you claim a difference" in sentence(one, two)
    assert "seed" not in sentence(one)
    assert "seed=1,2,3" not in sentence(row("a"), row("b"))


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        (-0.1, "“b” does not differ significantly from it: the interval includes 0."),
        (None, "One seed does not show whether it differs significantly from the others."),
    ],
)
def test_a_reference_row_without_a_significant_lead_is_not_called_best(low, expected):
    high = None if low is None else 0.3
    difference = {"val/nll": Difference(0.1, low, high, "seeds", False)}
    reference = row("a", validation={"nll": figure(1.0)})
    text = sentence(reference, row("b", validation={"nll": figure(1.1)}, differences=difference))
    assert "the reference row, “a”, has the lowest val/nll: 1.000" in text
    assert "best on validation" not in text and expected in text


def test_no_difference_of_zero_is_named_as_one_that_more_seeds_detect():
    values = [{"1": 2.0, "2": 2.1}, {"1": 2.0, "2": 2.1004}]
    paired = {"val/nll": Difference(0.0, -0.2, 0.2, "seeds", False)}
    reference, other = (
        row(name, validation={"nll": replace(figure(2.1), by_seed=own)}, differences=paired)
        for name, own in zip("ab", values, strict=True)
    )
    text = summarize(results(reference, other))[-1]
    assert "2 seeds are too few" in text and "0.000" not in text


def test_summary_states_which_difference_the_seeds_detect():
    values = [{"1": 2.0, "2": 2.1, "3": 2.2}, {"1": 2.0, "2": 2.2, "3": 2.1}]
    paired = {"val/nll": Difference(0.0, -0.2, 0.2, "seeds", False)}
    reference, other = (
        row(name, validation={"nll": replace(figure(2.1), by_seed=own)}, differences=paired)
        for name, own in zip("ab", values, strict=True)
    )
    text = summarize(results(reference, other))[-1]
    size = detectable_difference([[0.0, 0.1, -0.1]], 3)
    assert text.startswith(f"3 seeds are too few to show differences in val/nll below {size:.3f}")
    assert text.endswith(" with 10).")
    alone = row("b", validation={"nll": replace(figure(2.1), by_seed={"1": 2.0})})
    assert "too few to show" not in sentence(reference, alone)


def test_baselines_alone_have_a_summary():
    lookup = row("retrieval", kind="baseline", figures={"bleu": figure(20.0)})
    assert sentence(lookup) == "No model was scored, only baselines. BLEU: retrieval 20.0."


def test_rows_with_other_tokens_are_ranked_by_bits_per_character():
    reference = row("a", validation={"nll": figure(1.0), "bpc": figure(0.8)})
    far = {"val/bpc": Difference(-0.1, -0.2, -0.05, "seeds", True)}
    other = row("b", validation={"nll": figure(3.0), "bpc": figure(0.7)}, differences=far)
    assert "“b” is best on validation: val bits/char 0.700" in sentence(reference, other)


def test_the_rival_is_the_baseline_that_is_best_on_validation():
    def baseline(name, on_validation, on_test):
        return row(
            name,
            kind="baseline",
            figures={"behaves": figure(on_test, 0.05)},
            validation={"behaves": figure(on_validation)},
        )

    rows = [baseline("votes", 0.3, 0.4), baseline("retrieval", 0.2, 0.5)]
    model = row("a", figures={"behaves": figure(0.1, 0.05)})
    text = sentence(model, *rows)
    assert "the baseline that is best on validation: votes behaves" in text
    alone = sentence(*rows)
    assert "Best on validation: votes by behaves" in alone


def test_notes_name_their_rows_and_leave_out_what_a_baseline_is():
    one = "has a program for 1 of 3 pairs"
    rows = [
        row("a", notes=["on other data"]),
        row("b", notes=["on other data", "cut"]),
        row("first", kind="baseline", notes=["first: the nearest program"]),
        row("second", kind="baseline", notes=["second: another author's program", one]),
    ]
    assert notes_of(rows) == ["on other data", "b: cut", f"second: {one}"]
