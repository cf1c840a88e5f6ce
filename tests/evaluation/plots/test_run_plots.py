"""Training curves and attention maps of a run."""

import math
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from en2py.evaluation.plots.attention import attention_figure, plot_attention
from en2py.evaluation.plots.curves import curves_figure, plot_curves

ROWS = [
    {"step": 9.0, "epoch": 1.0, "train/loss": 3.5, "lr": 0.1},
    {"step": 9.0, "epoch": 1.0, "val/nll": 2.5},
    {"step": 19.0, "epoch": 2.0, "train/loss": 2.5, "val/nll": 2.0},
    {"step": 29.0, "epoch": 3.0, "train/loss": math.nan, "val/nll": 2.25},
    {"step": 30.0, "epoch": 4.0, "test/nll": 2.25},
]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that the font lacks, among others
        yield


def attention(*shape):
    weights = np.random.default_rng(0).random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_curves_have_a_panel_for_each_kind_that_was_logged():
    assert list(panels(curves_figure(ROWS))) == ["Token NLL", "Training criterion"]


def test_curves_leave_gaps_and_nans_out():
    (line,) = panels(curves_figure(ROWS))["Training criterion"].lines[:1]
    assert line.get_xydata().tolist() == [[1, 3.5], [2, 2.5]]


def test_the_lowest_validation_nll_is_marked():
    *_, mark = panels(curves_figure(ROWS))["Token NLL"].lines
    assert mark.get_xydata().tolist() == [[2, 2.0]]
    assert mark.get_label() == "best: 2.000 in epoch 2"


def test_the_last_value_of_an_epoch_is_shown():
    inside = {"step": 14.0, "epoch": 2.0, "train/loss": 1.0}
    line = panels(curves_figure([*ROWS[:2], inside, *ROWS[2:]]))["Training criterion"].lines[0]
    assert line.get_xydata().tolist() == [[1, 3.5], [2, 2.5]]


def test_epochs_without_a_validation_keep_their_place():
    rows = [{"step": 10.0 * i - 1, "epoch": float(i), "train/loss": 1.0} for i in range(1, 6)]
    rows[1]["val/nll"] = rows[3]["val/nll"] = 2.0
    line = panels(curves_figure(rows))["Training criterion"].lines[0]
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]


def test_curves_have_all_points_inside_the_axes():
    for axes in curves_figure(ROWS).axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        points = [point for line in axes.lines for point in line.get_xydata()]
        assert right < 4 and points and all(left < x < right and low < y < high for x, y in points)


def test_curves_are_written_as_svg_pdf_and_png(tmp_path):
    plot_curves(ROWS, tmp_path / "curves")
    assert {path.name for path in tmp_path.glob("curves.*")} == {
        *("curves.svg", "curves.pdf", "curves.png")
    }


def test_empty_metrics_file_is_reported_in_the_picture():
    assert curves_figure([]).texts[0].get_text() == "no curve was logged"


def test_attention_has_a_panel_per_head_with_its_weights():
    weights = attention(3, 2, 4)
    figure = attention_figure(weights, ["x", "y"], ["a", "b", "c", "d"], title="cross")
    shown = panels(figure)
    for k in range(3):
        assert np.array_equal(shown[f"head {k + 1}"].images[0].get_array(), weights[k])


def test_attention_labels_can_be_read():
    keys = ["<nl>", "<indent>", "\n  ", "a b", "$x$", "数", "x" * 40, ""]
    figure = attention_figure(attention(1, 1, 8), ["def"], keys, title="cross")
    assert texts(panels(figure)["head 1"]) == [
        *("newline", "indent", r"\n··", "a·b", "$x$", r"\u6570", "x" * 17 + "…", "''"),
        "def",
    ]
    figure.canvas.draw()


def test_sixty_tokens_are_labeled_each_at_eight_points():
    figure = attention_figure(attention(1, 60, 60), ["q"] * 60, ["k"] * 60, title="decoder")
    labels = panels(figure)["head 1"].texts
    assert len(labels) == 120
    assert {label.get_fontsize() for label in labels} == {8}


def test_labels_of_long_texts_thin_out_and_the_picture_stays_printable():
    figure = attention_figure(attention(2, 350, 300), ["q"] * 350, ["k"] * 300, title="cross")
    assert 50 < len(panels(figure)["head 1"].texts) < 400
    assert max(figure.get_size_inches()) < 60


def test_attention_is_written_layer_by_layer(tmp_path):
    paths = plot_attention("cross", attention(2, 2, 3, 4), ["x"] * 3, ["a"] * 4, tmp_path / "maps")
    assert [path.name for path in paths] == ["cross-layer1.png", "cross-layer2.png"]
    assert {path.suffix for path in paths[0].parent.glob("cross-layer1.*")} == {
        *(".svg", ".pdf", ".png")
    }
    assert all(imread(path).ndim == 3 for path in paths)
