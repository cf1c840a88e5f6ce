"""The files of a picture."""

from xml.etree import ElementTree as ET

import pytest
from matplotlib.image import imread

from en2py.evaluation.plots.comparison import dot_plot
from en2py.evaluation.plots.figures import FORMATS
from en2py.evaluation.plots.style import INK, PALETTE
from fake_results import figure, row

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def picture():
    return dot_plot([row(name, figures={"bleu": figure(10.0)}) for name in "ab"], "bleu")


def test_an_svg_file_needs_no_css(picture):
    elements = list(ET.fromstring(picture.file("svg")).iter())
    assert not {name for element in elements for name in element.attrib} & {"style"}
    values = {value for element in elements for value in element.attrib.values()}
    assert "currentColor" not in values and {INK, PALETTE[0], PALETTE[1]} <= values


def test_a_file_has_a_margin_that_a_page_does_not_have(picture):
    page, file = (ET.fromstring(text) for text in (picture.page_svg, picture.file("svg")))
    assert float(file.get("width")) - float(page.get("width")) == pytest.approx(16, abs=0.1)


def test_a_page_sets_the_color_of_texts(picture):
    texts = ET.fromstring(picture.page_svg).iter(f"{SVG}text")
    assert {text.get("fill") for text in texts} == {"currentColor"}


def test_all_files_are_written_and_png_can_be_read(picture, tmp_path):
    picture.write(tmp_path / "pictures" / "dots-val.nll")
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {f"dots-val.nll.{kind}" for kind in FORMATS}
    height, width, _ = imread(tmp_path / "pictures" / "dots-val.nll.png").shape
    assert width == pytest.approx(200 * (360 + 16) / 72, abs=2) and height > 200


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_pictures_have_equal_files(picture, kind):
    assert picture.file(kind) == picture.file(kind)


def test_text_of_a_pdf_is_in_it_without_the_date(picture):
    content = picture.file("pdf")
    assert content.startswith(b"%PDF") and b"CreationDate" not in content
