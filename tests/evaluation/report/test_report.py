"""Pages of a report: escaping, one file without references, equal bytes, Markdown."""

import base64
import functools
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from en2py.evaluation.report import write_report
from en2py.evaluation.report.html import highlighted, report_html, template_text
from en2py.evaluation.report.markdown import report_markdown
from en2py.evaluation.report.sections import draw_pictures, sections
from en2py.evaluation.report.summary import summarize
from en2py.evaluation.results import Results
from fake_results import EVIL, NAMES, fake_results, results

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page(HTMLParser):
    """Elements, attributes and texts of a page, by an HTML parser."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += data
        self.texts.append(data)


def page_of(own: Results) -> str:
    return report_html(own.title, summarize(own), sections(own, draw_pictures(own)))


@functools.cache
def fake_page() -> str:
    return page_of(fake_results())


@functools.cache
def evil_page() -> str:
    return page_of(evil_results())


def markdown_of(own: Results) -> str:
    return report_markdown(own.title, summarize(own), sections(own, {}))


def evil_results():
    """Put markup into every text that may come from data, a config or a model."""

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {(f"{EVIL}{k}" if key in NAMED else k): spoil(v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [spoil(item, key) for item in value]
        kept = key in ("kind", "over", "verdict", "id", "sample", "format")
        return value if kept or not isinstance(value, str) else f"{EVIL}{value}"

    NAMED = ("outputs", "failures", "groups", "settings", "fixed", "versions", "reasons", "curves")
    return Results.from_json(json.dumps(spoil(json.loads(fake_results().to_json()))))


# The page as a file.


def test_the_same_results_give_the_same_bytes(tmp_path):
    few = results(fake_results().rows[0])
    write_report(tmp_path / "a", few)
    again = Results.from_json(few.to_json())
    (tmp_path / "b" / "pictures").mkdir(parents=True)
    for name in ("dots-gone.svg", "dots-gone.pdf", "my-own.svg"):
        (tmp_path / "b" / "pictures" / name).touch()
    write_report(tmp_path / "b", again)
    assert not list((tmp_path / "b" / "pictures").glob("dots-gone.*"))
    assert (tmp_path / "b" / "pictures" / "my-own.svg").exists()
    names = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.*")}
    assert {"report.html", "report.md", "pictures/curves-val-nll.pdf"} <= names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_page_has_no_reference_to_another_file():
    page = Page(fake_page())
    refers = [value for _, name, value in page.attributes if name in ("href", "src", "action")]
    assert refers and all(value.startswith("#") for value in refers)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "url(" not in template_text("page.css")


def test_links_of_the_contents_have_targets():
    page = Page(fake_page())
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= ids


def test_no_text_of_data_becomes_markup():
    plain, evil = Page(fake_page()), Page(evil_page())
    assert evil.tags.count("script") == plain.tags.count("script") == 2
    assert set(evil.tags) == set(plain.tags)
    assert evil.scripts[1] == plain.scripts[1]  # our own code
    assert not [name for _, name, _ in evil.attributes if name.startswith("on") or name == "style"]
    assert any(EVIL in text for text in evil.texts)  # shown as it is


def test_content_security_policy_allows_only_the_page_s_script_and_style():
    text = evil_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    script, style = (
        re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1] for tag in ("script", "style")
    )
    for name, own in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_attention_data_cannot_end_their_script_element():
    evil = evil_results()
    data = Page(page_of(evil)).scripts[0]
    assert "<" not in data
    maps = json.loads(data)
    assert maps[0]["row"] == evil.attention[0].row
    cross = maps[0]["kinds"][0]
    shown = [step / 255 * cross["top"] for step in base64.b64decode(cross["bytes"])]
    weights = evil.attention[0].weights["cross"]
    flat = [w for layer in weights for head in layer for line in head for w in line]
    assert shown == pytest.approx(flat, abs=1 / 255)


def test_lone_surrogates_are_escaped(tmp_path):
    write_report(tmp_path, results(fake_results().rows[0]))
    assert r"\xd800" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_picture_has_a_text_alternative():
    page = Page(fake_page())
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) > 15 and all(re.search(r"\d", label) for label in labels)


def test_tables_scroll_in_a_box_with_keyboard_focus():
    page = Page(fake_page())
    boxes = [value for tag, name, value in page.attributes if (name, value) == ("class", "scroll")]
    assert len(boxes) == page.tags.count("table")
    reached = [value for tag, name, value in page.attributes if (tag, name) == ("div", "tabindex")]
    assert reached == ["0"] * len(boxes)


def test_tables_begin_with_the_row_and_the_metric_that_ranks_it():
    first = sections(fake_results(), {})[:2]
    tables = [block.content for section in first for block in section.blocks]
    assert all(table.columns[0].label == "row" for table in tables)
    assert all(table.columns[1].label.startswith("val/nll") for table in tables)
    assert all(table.n_fixed == 2 for table in tables)


def test_marks_of_a_sample_have_the_names_of_their_rows():
    page = Page(fake_page())
    texts = [text.strip() for text in page.texts]
    for name in NAMES:  # a mark, a heading and an option of the filter, at least
        assert texts.count(name) >= 2 * len(fake_results().samples)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser here")
def test_a_browser_runs_the_page(tmp_path):
    """The policy allows the script, which shows the filter and draws the heads."""
    (tmp_path / "report.html").write_text(page_of(evil_results()), "utf-8", "backslashreplace")
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    quiet = ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'u'}"]
    url = f"file://{tmp_path / 'report.html'}"
    done = subprocess.run(
        [browser, *flags.split(), *quiet, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
    )
    page = Page(done.stdout)
    assert "7 of 7 samples" in page.texts
    assert page.tags.count("canvas") == 1 + 2 * (4 + 1)  # the map; layers times heads and mean
    assert not [a for a in page.attributes if a[:2] == ("div", "hidden")]


# Markdown.


def markdown_tokens(text):
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [*blocks, *(child for block in blocks for child in block.children or ())]


def test_markdown_has_no_markup_from_data():
    tokens = markdown_tokens(markdown_of(evil_results()))
    raw = "".join(t.content for t in tokens if t.type in ("html_inline", "html_block"))
    assert set(Page(raw).tags) == {"details", "summary", "br", "sub"}
    assert not {"link_open", "image"} & {token.type for token in tokens}
    assert any(EVIL in token.content for token in tokens if token.type == "text")


def test_markdown_tables_keep_their_cells():
    cells, rows, n_tables = 0, [], 0
    for token in markdown_tokens(markdown_of(evil_results())):
        n_tables += token.type == "table_open"
        cells = 0 if token.type == "tr_open" else cells + (token.type in ("td_open", "th_open"))
        rows += [cells] if token.type == "tr_close" else []
    assert n_tables == 8
    assert rows[:8] == [9] * 8  # a head, four models, three baselines


def test_markdown_shows_equal_programs_once():
    text = markdown_of(fake_results())
    assert "Identical to the reference" in text
    assert text.count("def prime(n):") < len(NAMES) * len(fake_results().samples)
    assert "````python" in text  # a fence longer than the one in the program


def test_highlighted_code_keeps_its_text():
    code = "\n\tif x:\n\n\t\ty = '<b>'  # & more\n\x0cdef (:"
    shown = "".join(Page(f"<pre>{highlighted(code)}</pre>").texts)
    assert shown == code.replace("\x0c", r"\x0c")
