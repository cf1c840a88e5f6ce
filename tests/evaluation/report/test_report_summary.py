"""Sentences of a report's summary."""

import math
import re
from dataclasses import replace
from statistics import fmean

import pytest

from en2py.evaluation.aggregation import difference_by_seed
from en2py.evaluation.report.sections import sections
from en2py.evaluation.report.summary import best_if_significant, notes_of, summarize
from en2py.evaluation.report.tables import figures_table
from en2py.evaluation.results import Difference
from en2py.evaluation.statistics import detectable_difference
from fake_results import fake_results, figure, results, row


def of_seeds(*values, first=1):
    """Return a figure of the seeds 1, 2, ... or later ones."""
    by_seed = {str(seed): value for seed, value in enumerate(values, start=first)}
    return replace(figure(fmean(values)), by_seed=by_seed)


def compared(*nlls):
    """Return rows a, b, ... with their differences from the first."""
    found = [row(name, validation={"nll": own}) for name, own in zip("abc", nlls, strict=False)]
    return found[:1] + [
        replace(own, differences={"val/nll": difference_by_seed(nll.by_seed, nlls[0].by_seed)})
        for own, nll in zip(found[1:], nlls[1:], strict=True)
    ]


def sentence(*rows, **parts):
    return " ".join(summarize(results(*rows, **parts)))


def test_a_difference_is_significant_only_if_its_interval_excludes_zero():
    low, high = figure(0.5), figure(0.6)
    reference = row("a", figures={"passes_tests": low}, validation={"nll": of_seeds(1.01, 0.99)})
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
            validation={"nll": of_seeds(0.91, 0.89001)},
            differences=difference,
        )
        text = sentence(reference, best)
        assert text.startswith("Of 2 configurations, “b” is best on validation: val/nll 0.900")
        assert "the reference row, “a”, has 1.000" in text
        assert expected in text[text.index("On the test split") :]


def test_summary_reports_that_the_reference_row_is_best():
    rows = compared(of_seeds(1.0, 1.1), of_seeds(1.2, 1.301))
    text = sentence(*(replace(own, figures={"bleu": figure(50.0)}) for own in rows))
    assert "the reference row, “a”, is best on validation: val/nll 1.050" in text
    assert "On the test split it has a BLEU of 50.0 (50.0–50.0). " in text


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
    equal = {"behaves": Difference(0.0, None, None, "clusters", False)}
    text = sentence(model, replace(lookup, differences=equal))
    assert "It is not shown to beat" in text and "and the difference has no interval" in text


def test_an_upper_bound_is_not_a_retrieval_baseline():
    model = row("a", figures={"bleu": figure(20.0)}, validation={"nll": figure(1.0)})
    bound = row("nearest_by_bleu", kind="baseline", figures={"bleu": figure(60.0)})
    assert "retrieval baseline" not in sentence(model, bound)


PLAIN = of_seeds(2.00, 2.01, 2.02)
SMOOTHED = of_seeds(1.500, 1.512, 1.521)
FOCAL = of_seeds(1.501, 1.511, 1.522)  # as smoothed
OTHER_SEEDS = of_seeds(1.501, 1.511, 1.522, first=4)
LOWER = of_seeds(1.40, 1.411, 1.422, first=4)
WORSE = of_seeds(2.1, 2.1111, 1.0, 1.0)  # in the mean better than those of the first two seeds


@pytest.mark.parametrize(
    ("nlls", "best"),
    [
        ([PLAIN, SMOOTHED], "b"),
        ([SMOOTHED, PLAIN], "a"),
        ([PLAIN, SMOOTHED, FOCAL], ""),
        ([SMOOTHED, FOCAL, PLAIN], ""),
        ([SMOOTHED, OTHER_SEEDS], ""),
        ([SMOOTHED, LOWER, PLAIN], "b"),
        ([PLAIN, of_seeds(1.5)], ""),
        ([of_seeds(2.00, 2.01), WORSE], ""),
        ([of_seeds(math.nan, math.nan), SMOOTHED, PLAIN], ""),
    ],
)
def test_a_row_is_best_only_if_it_differs_significantly_from_each_other(nlls, best):
    own = results(*compared(*nlls))
    assert best_if_significant(own) == best
    assert ("is best on validation" in summarize(own)[0]) == bool(best)
    marks = figures_table(own.rows, ["val/nll"], caption="", best=best_if_significant(own)).lines
    marked = [line.cells[0].text for line in marks if "best on" in str(line.cells[0].small)]
    assert marked == [best] * bool(best)


def test_a_lead_that_is_not_significant_is_said_to_be_none():
    text = sentence(*compared(SMOOTHED, FOCAL))
    assert "the reference row, “a”, has the lowest val/nll: 1.511" in text
    assert "It is not significantly lower than that of the other row." in text
    text = sentence(*compared(SMOOTHED, FOCAL, PLAIN))
    assert "It is not significantly lower than that of every other row." in text


def test_a_single_row_is_not_marked_as_best():
    assert best_if_significant(results(row("a", validation={"nll": figure(1.0)}))) == ""


def test_summary_warns_of_a_comparison_with_a_single_seed():
    one, two = (row(name, runs=1, validation={"nll": figure(1.0)}) for name in "ab")
    assert "add seed=1,2,3 before you claim a difference" in sentence(one, two)
    assert "seed" not in sentence(one)
    assert "seed=1,2,3" not in sentence(row("a"), row("b"))
    of_search = replace(results(one, two), search={"best": {}})
    assert "train the best trial with -m seed=1,2,3 before" in " ".join(summarize(of_search))


def detectable(last: float) -> str:
    """Return the sentence on two rows of two seeds, the last value of which is given."""
    values = [{"1": 2.0, "2": 2.1}, {"1": 2.0, "2": last}]
    paired = {"val/nll": Difference(0.0, -0.2, 0.2, "seeds", False)}
    reference, other = (
        row(name, validation={"nll": replace(figure(2.1), by_seed=own)}, differences=paired)
        for name, own in zip("ab", values, strict=True)
    )
    return summarize(results(reference, other))[-1]


def test_no_difference_of_zero_is_named_as_one_that_more_seeds_detect():
    text = detectable(2.1004)
    assert "2 seeds are too few" in text and "0.000" not in text
    assert "too few to show" not in detectable(2.1)  # equal differences of all seeds


def test_a_detectable_difference_is_named_with_the_fewest_seeds_that_show_it():
    sizes = re.findall(r"below ([\d.]+) with", detectable(2.1022))
    assert sizes and len(sizes) == len({*sizes})


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
    reference = row("a", validation={"nll": figure(1.0), "bpc": of_seeds(0.8, 0.81)})
    far = {"val/bpc": Difference(-0.1, -0.2, -0.05, "seeds", True)}
    near = of_seeds(0.695, 0.706)
    other = row("b", validation={"nll": figure(3.0), "bpc": near}, differences=far)
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


def test_a_note_on_most_rows_names_the_others():
    rows = [row("a"), *(row(name, notes=["other split"]) for name in "bcd")]
    assert notes_of(rows) == ["all rows but a: other split"]
    rows.append(row("e"))
    assert notes_of(rows) == ["b, c and d: other split"]


def test_a_reference_row_without_a_name_is_not_quoted():
    rows = [row("reference"), row("clean.a=false")]
    text = sentence(*rows, reference_row="reference")
    assert "“reference”" not in text


def test_rows_without_validation_figures_are_not_said_to_be_ranked():
    found = fake_results()
    rows = [replace(own, validation={}, differences={}) for own in found.rows]
    unranked = replace(found, rows=rows)
    assert "none has validation figures" in summarize(unranked)[0]
    assert "ranked by" not in sections(unranked, {})[0].lead
    assert "ranked by their val/nll" in sections(found, {})[0].lead
