"""SVG pictures of a comparison."""

import functools
import math
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from en2py.evaluation.plots import comparison
from en2py.evaluation.report.sections import draw_pictures
from en2py.evaluation.results import Difference, Estimate
from fake_results import EVIL, NAMES, fake_results, figure, results, row

SVG = "{http://www.w3.org/2000/svg}"


def drawn(plot):
    """Return a function that draws a picture and returns its SVG, None where there is none."""

    def svg(*args, **kwargs):
        picture = plot(*args, **kwargs)
        return picture and picture.page_svg

    return svg


dot_plot, difference_plot = drawn(comparison.dot_plot), drawn(comparison.difference_plot)
learning_curves = drawn(comparison.learning_curves)
marginal_effect = drawn(comparison.marginal_effect)


def markers(svg, color=None):
    """Return the x positions of dots, of one color or of all."""
    found = [e for e in ET.fromstring(svg).iter(f"{SVG}use") if e.get("stroke") or e.get("fill")]
    return [float(e.get("x")) for e in found if color in (None, e.get("stroke"), e.get("fill"))]


def texts(svg):
    return [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]


def curve(*values):
    return [{"epoch": float(i), "val/nll": v} for i, v in enumerate(values, start=1)]


def svgs(pictures):
    return {kind: {n: p.page_svg for n, p in of.items()} for kind, of in pictures.items()}


@functools.cache
def fake_pictures():
    return svgs(draw_pictures(fake_results()))


def test_a_picture_for_every_metric_curve_and_setting():
    pictures = fake_pictures()
    assert set(pictures["dots"]) > {"passes_tests", "bleu", "val/nll", "bpc"}
    assert set(pictures["differences"]) > {"passes_tests", "val/nll"}
    assert set(pictures["curves"]) == {"val/nll", "train/nll"}
    assert set(pictures["effects"]) > {"loss val/nll", "embeddings passes_tests"}


def test_a_bar_ends_where_the_values_of_its_metric_do():
    below = row("a", figures={"bleu": Estimate(0.1, -0.8, 0.9, "seeds", 2)})
    picture = comparison.dot_plot([below], "bleu")
    assert picture.figure.axes[0].lines[0].get_xdata().tolist() == [0.0, 0.9]
    wide = row("a", differences={"compiles": Difference(-0.2, -1.1, 0.6, "seeds", False)})
    picture = comparison.difference_plot([wide], "compiles")
    bar = next(line for line in picture.figure.axes[0].lines if line.get_linewidth() == 5)
    assert bar.get_xdata().tolist() == [-100.0, 60.0]


def test_pictures_are_xml_without_references_styles_or_repeated_ids():
    pictures = fake_pictures()
    for svg in (svg for kind in pictures.values() for svg in kind.values()):
        elements = list(ET.fromstring(svg).iter())
        attributes = [item for element in elements for item in element.attrib.items()]
        assert not {name for name, _ in attributes} & {"style", "onload", "src"}
        assert all(value.startswith("#") for name, value in attributes if name.endswith("href"))
        assert all("url(#" in value for _, value in attributes if "url(" in value)
        assert f"{SVG}style" not in {element.tag for element in elements}
        ids = [value for name, value in attributes if name == "id"]
        assert len(ids) == len(set(ids))


def test_equal_results_give_equal_bytes():
    assert svgs(draw_pictures(fake_results())) == fake_pictures()


def test_text_and_axes_have_the_color_of_the_page():
    root = ET.fromstring(dot_plot(fake_results().rows, "bleu"))
    assert {text.get("fill") for text in root.iter(f"{SVG}text")} == {"currentColor"}


def test_pictures_scale_and_have_a_text_alternative():
    root = ET.fromstring(dot_plot(fake_results().rows, "passes_tests"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert f"{NAMES[0]} 61.7" in root.get("aria-label")


def test_dot_plots_show_names_values_and_seeds():
    rows = fake_results().rows
    svg = dot_plot(rows, "passes_tests", reference=NAMES[0])
    assert {own.name for own in rows} < set(texts(svg)) and "61.7" in texts(svg)
    assert len(markers(svg)) == len(rows) + 4 * 3  # four models with three seeds
    assert 'stroke-dasharray="2,3"' in svg  # the reference row
    assert len(markers(dot_plot(rows, "val/nll"))) == 4 + 4 * 3  # baselines lack the metric


def test_dots_are_at_their_values():
    rows = [
        row("a", figures={"bleu": figure(10.0)}),
        row("b", figures={"bleu": figure(20.0)}),
        row("c", figures={"bleu": figure(15.0)}),
    ]
    a, b, c = markers(dot_plot(rows, "bleu"))
    assert a < c < b and c == pytest.approx((a + b) / 2, abs=0.1)


def test_intervals_of_shares_end_at_100_percent():
    own = {"compiles": Estimate(0.99, 0.94, 1.04, "seeds", 3)}
    svg = dot_plot([row("a", figures=own)], "compiles")
    (bar,) = [p.get("d").split() for p in ET.fromstring(svg).iter(f"{SVG}path")
              if p.get("stroke-width") == "5"]  # fmt: skip
    assert float(bar[4]) <= 344


def test_there_is_no_picture_without_data():
    assert dot_plot([row("a", figures={"bleu": figure(math.nan)})], "bleu") is None
    assert difference_plot([row("a")], "bleu") is None
    assert learning_curves([row("a")], {}, "val/nll") is None


@pytest.mark.parametrize("others", ["x", "xy"])
def test_an_effect_needs_two_rows_that_differ_in_the_setting_alone(others):
    rows = [
        row(f"{loss} {emb}", settings={"loss": loss, "emb": emb}, figures={"bleu": figure(1.0)})
        for loss, emb in zip(("plain", "smoothed"), others, strict=False)
    ]
    assert marginal_effect(rows, "loss", "bleu") is None


def test_a_single_row_has_no_dot_plots_and_no_effects():
    pictures = draw_pictures(results(fake_results().rows[0]))
    assert not pictures["dots"] and not pictures["effects"] and pictures["curves"]


@pytest.mark.parametrize("values", [(1.0, 0.5, 0.2), (4.0, 1.0, 0.02), (0.5, 0.5)])
def test_all_points_of_a_learning_curve_are_inside_the_axes(values):
    picture = comparison.learning_curves([row("a", runs=1)], {"a-seed0": curve(*values)}, "val/nll")
    (axes,) = picture.figure.axes
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 1 and right > len(values)
    assert low < min(values) and max(values) < high


def test_losses_over_a_wide_range_have_a_log_scale():
    values = [curve(1.0, 0.3), curve(1.0, 0.1)]
    pictures = [
        comparison.learning_curves([row("a", runs=1)], {"a-seed0": own}, "val/nll")
        for own in values
    ]
    assert [p.figure.axes[0].get_yscale() for p in pictures] == ["linear", "log"]


def test_axes_of_shares_end_at_zero_and_at_100_percent():
    rows = [row(name, figures={"compiles": figure(0.0, half=0.0)}) for name in "ab"]
    picture = comparison.dot_plot(rows, "compiles")
    assert picture.figure.axes[0].get_xlim()[0] == 0


def test_the_bar_of_an_interval_ends_where_the_interval_ends():
    own = {"bleu": Difference(2.0, 1.0, 3.0, "seeds", True)}
    figures = {"bleu": figure(0.5, half=0.1)}
    for picture in (
        comparison.difference_plot([row("a", differences=own)], "bleu"),
        comparison.dot_plot([row("a", figures=figures)], "bleu"),
    ):
        (bar,) = (line for line in picture.figure.axes[0].lines if line.get_linewidth() == 5)
        assert bar.get_solid_capstyle() == "butt"


def test_the_title_of_a_difference_is_not_that_of_the_metric():
    own = {"bleu": Difference(2.0, 1.0, 3.0, "seeds", True)}
    assert "difference in BLEU\u00a0↑" in texts(
        difference_plot([row("a", differences=own)], "bleu")
    )


def test_differences_that_are_not_significant_are_hollow():
    own = [
        {"bleu": Difference(2.0, low, 3.0, "seeds", is_significant)}
        for low, is_significant in ((1.0, True), (-1.0, False))
    ]
    svg = difference_plot([row("a", differences=own[0]), row("b", differences=own[1])], "bleu")
    dots = [e for e in ET.fromstring(svg).iter(f"{SVG}use") if e.get("stroke")]
    assert [dot.get("fill-opacity") for dot in dots] == [None, "0"]


def test_curves_are_means_with_a_band_from_lowest_to_highest():
    runs = {"a-seed0": curve(1.0, 0.5, 0.2), "a-seed1": curve(1.0, 0.7, 0.4)}
    svg = learning_curves([row("a", runs=2)], runs, "val/nll")
    assert "a ends at 0.3" in svg and 'fill-opacity="0.18"' in svg
    assert 'fill-opacity="0.18"' not in learning_curves([row("a", runs=1)], runs, "val/nll")
    assert "a" in texts(svg)  # the legend


def test_a_curve_is_dotted_where_some_seeds_have_ended():
    runs = {"a-seed0": curve(1.0, 0.5, 0.2, 0.1), "a-seed1": curve(1.0, 0.7)}
    assert "stroke-dasharray" in learning_curves([row("a", runs=2)], runs, "val/nll")
    assert "stroke-dasharray" not in learning_curves([row("a", runs=1)], runs, "val/nll")


def test_a_curve_of_one_epoch_is_a_dot():
    runs = {"a-seed0": [{"epoch": 1.0, "val/nll": 0.5}]}
    assert len(markers(learning_curves([row("a", runs=1)], runs, "val/nll"))) == 1


def test_a_curve_of_one_epoch_has_whole_epochs_and_shares_of_at_least_zero():
    runs = {"a-seed0": [{"epoch": 2.0, "val/compiles": 0.0}]}
    picture = comparison.learning_curves([row("a", runs=1)], runs, "val/compiles")
    (axes,) = picture.figure.axes
    left, right = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if left < tick < right] == [2.0]
    assert axes.get_ylim()[0] == 0


def test_values_of_one_epoch_may_be_in_several_records():
    runs = {"a-seed0": [{"epoch": 1.0, "val/nll": 0.5}, {"epoch": 1.0, "train/nll": 0.4}]}
    assert "a ends at 0.5" in learning_curves([row("a", runs=1)], runs, "val/nll")


def test_effects_are_means_over_combinations_with_every_value():
    values = {("plain", "none"): 10.0, ("smoothed", "none"): 20.0, ("plain", "joint"): 90.0}
    rows = [
        row(f"{loss} {emb}", settings={"loss": loss, "emb": emb}, figures={"bleu": figure(value)})
        for (loss, emb), value in values.items()
    ]
    svg = marginal_effect(rows, "loss", "bleu")
    assert "plain 10.0; smoothed 20.0" in svg  # 90 has no partner
    assert "20.0" in texts(svg)


def test_repeated_rows_are_a_mean_in_an_effect():
    values = [("plain", 10.0), ("plain", 30.0), ("smoothed", 40.0)]
    rows = [
        row(f"{loss} ({i})", settings={"loss": loss}, figures={"bleu": figure(value)})
        for i, (loss, value) in enumerate(values)
    ]
    assert "plain 20.0; smoothed 40.0" in marginal_effect(rows, "loss", "bleu")


def test_numeric_settings_are_in_numeric_order():
    rows = [
        row(lr, settings={"lr": lr}, figures={"bleu": figure(float(lr) * 1000)})
        for lr in ("0.01", "1e-3", "0.005")
    ]
    shown = texts(marginal_effect(rows, "lr", "bleu"))
    assert shown.index("1e-3") < shown.index("0.005") < shown.index("0.01")


def test_hostile_names_are_escaped():
    name = f"{EVIL} & $x$ 数 \x1b\ud800"
    svg = dot_plot([row(name, figures={"bleu": figure(1.0)})], "bleu")
    assert any(text.startswith("<script>") for text in texts(svg)) and "<script" not in svg
    assert r"$x$ 数 \x1b\xd800" in ET.fromstring(svg).get("aria-label")


def test_long_names_are_wrapped():
    name = ", ".join(f"loss.parameter_{i}=0.{i}" for i in range(5))
    lines = [
        text
        for text in texts(dot_plot([row(name, figures={"bleu": figure(1.0)})], "bleu"))
        if "loss" in text
    ]
    assert " ".join(lines) == name and 1 < len(lines) < 4


def test_reports_import_matplotlib_only_to_draw():
    code = "import sys, en2py.evaluation.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
