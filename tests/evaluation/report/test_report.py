"""Reports: sentences, tables, escaping, one file without references, equal bytes."""

import base64
import functools
import hashlib
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from en2py.evaluation.metrics.registry import figure_of, known_metrics, metric, number
from en2py.evaluation.report import write_report
from en2py.evaluation.report.html import highlighted, report_html, template_text
from en2py.evaluation.report.markdown import report_markdown
from en2py.evaluation.report.sections import draw_pictures, sections
from en2py.evaluation.report.summary import best_if_significant, summarize
from en2py.evaluation.report.tables import (
    differences_table,
    failures_table,
    figures_table,
    groups_table,
)
from en2py.evaluation.results import Difference, Estimate, ResultRow, Results
from fake_results import EVIL, NAMES, fake_results

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


def row(name, *, kind="model", runs=3, **parts) -> ResultRow:
    empty = {"figures": {}, "validation": {}, "differences": {}, "failures": {}, "groups": {}}
    names = [f"{name}-seed{i}" for i in range(runs)] if kind == "model" else []
    own = {"settings": {}, "notes": [], **empty, **parts}
    return ResultRow(name=name, kind=kind, runs=names, **own)


def figure(value, half=0.01, **more):
    return Estimate(value, value - half, value + half, more.pop("over", "seeds"), 3, **more)


def results(*rows, **parts) -> Results:
    first = next((own.name for own in rows if own.kind == "model"), "")
    return replace(
        fake_results(), **{"rows": list(rows), "reference_row": first, "axes": [], **parts}
    )


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
    write_report(tmp_path / "a", fake_results())
    again = Results.from_json(fake_results().to_json())
    (tmp_path / "b" / "pictures").mkdir(parents=True)
    for name in ("dots-gone.svg", "my-own.svg"):
        (tmp_path / "b" / "pictures" / name).touch()
    write_report(tmp_path / "b", again)
    assert not (tmp_path / "b" / "pictures" / "dots-gone.svg").exists()
    assert (tmp_path / "b" / "pictures" / "my-own.svg").exists()
    names = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.*")}
    assert {"report.html", "report.md", "pictures/dots-val-nll.svg"} <= names
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


def test_attention_of_another_shape_is_refused():
    first, *others = fake_results().attention
    wrong = replace(first, labels={**first.labels, "cross": (["a"], ["b"])})
    with pytest.raises(ValueError, match=r"does not fit 1 rows and 1 columns"):
        page_of(replace(fake_results(), attention=[wrong, *others]))


def test_lone_surrogates_are_escaped(tmp_path):
    write_report(tmp_path, fake_results())
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


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser here")
def test_a_browser_runs_the_page(tmp_path):
    """The policy allows the script, which shows the filter and draws the heads."""
    write_report(tmp_path, evil_results())
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
    assert rows[:8] == [10] * 8  # a head, four models, three baselines


def test_markdown_shows_equal_programs_once():
    text = markdown_of(fake_results())
    assert "Identical to the reference" in text
    assert text.count("def prime(n):") < len(NAMES) * len(fake_results().samples)
    assert "````python" in text  # a fence longer than the one in the program


# The summary.


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
        assert text.startswith("Of 2 configurations, “b” is best on validation: NLL 0.900")
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
    bound = row("best_copy", kind="baseline", figures={"bleu": figure(60.0)})
    assert "retrieval baseline" not in sentence(model, bound)


@pytest.mark.parametrize("significant", [True, False])
def test_best_row_is_marked_only_if_its_difference_is_significant(significant):
    reference = row("a", validation={"nll": figure(1.0)})
    lower = {"val/nll": Difference(-0.1, -0.2, -0.05, "seeds", significant)}
    own = results(reference, row("b", validation={"nll": figure(0.9)}, differences=lower))
    assert best_if_significant(own) == ("b" if significant else "")
    assert ("best on validation" in markdown_of(own).partition("## Results")[2]) == significant
    higher = {"val/nll": Difference(0.1, 0.05, 0.2, "seeds", significant)}
    own = results(reference, row("b", validation={"nll": figure(1.1)}, differences=higher))
    assert best_if_significant(own) == ("a" if significant else "")


def test_a_single_row_is_not_marked_as_best():
    assert best_if_significant(results(row("a", validation={"nll": figure(1.0)}))) == ""


def test_summary_warns_of_a_single_seed():
    one = row("a", runs=1, figures={"bleu": figure(20.0)}, validation={"nll": figure(1.0)})
    assert "at least three seeds per row" in sentence(one)
    assert "three seeds" not in sentence(row("a", figures={"bleu": figure(20.0)}))


def test_baselines_alone_have_a_summary():
    lookup = row("retrieval", kind="baseline", figures={"bleu": figure(20.0)})
    assert sentence(lookup) == "No model was scored, only baselines. BLEU: retrieval 20.0."
    assert "<h1>" in page_of(results(lookup))


def test_rows_with_other_tokens_are_ranked_by_bits_per_character():
    reference = row("a", validation={"nll": figure(1.0), "bpc": figure(0.8)})
    far = {"val/bpc": Difference(-0.1, -0.2, -0.05, "seeds", True)}
    other = row("b", validation={"nll": figure(3.0), "bpc": figure(0.7)}, differences=far)
    assert "“b” is best on validation: bits/char 0.700" in sentence(reference, other)


# Numbers and tables.


def test_numbers_have_one_format():
    assert number(-0.0001, 2) == "0.00" and number(-1.5, 1) == "−1.5"
    assert number(math.nan) == number(None) == "–"
    assert metric("compiles").interval(0.95, 1.02) == "95.0–100.0"
    assert metric("nll").interval(-0.1, 0.1) == "−0.100 to 0.100"
    assert metric("bleu").interval(1.0, None) == ""
    assert metric("bleu").change(2.0) == "+2.0" and metric("bleu").change(0.01) == "0.0"


def test_metrics_without_a_registry_entry_are_shown():
    assert metric("pass@10").head == "pass@10,\u00a0%"
    assert metric("val/accuracy_keyword").head == "val token accuracy: keyword,\u00a0%"
    assert metric("exact_match_any").label == "exact text (any)"
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
    assert table.notes[-1] == "[1] read me"


def test_axes_replace_the_name_of_the_row():
    rows = fake_results().rows
    table = figures_table(rows, ["bleu"], caption="", axes=["loss", "embeddings"])
    assert [cell.text for cell in table.lines[0].cells][:2] == ["smoothed", "joint"]
    assert [cell.text for cell in table.lines[-1].cells][:2] == ["best copy", ""]
    assert {len(line.cells) for line in table.lines} == {len(table.columns)}


def test_only_significant_differences_are_marked():
    own = {
        "bleu": Difference(2.0, 1.0, 3.0, "seeds", True),
        "nll": Difference(0.2, 0.1, 0.3, "seeds", True),
        "copied": Difference(0.1, 0.05, 0.15, "seeds", True),
        "chrf": Difference(2.0, -1.0, 5.0, "seeds", False),
    }
    table = differences_table(
        [row("a"), row("b", differences=own)], list(own), caption="", reference="a"
    )
    (line,) = table.lines
    assert [(cell.tone, cell.mark) for cell in line.cells[1:]] == [
        ("better", "▲"),
        ("worse", "▲"),
        ("changed", "▲"),
        ("muted", ""),
    ]


def test_rare_failure_reasons_are_summed():
    reasons = {f"reason {i:02d}": 30 - i for i in range(20)}
    table = failures_table([row("a", failures=reasons)], caption="")
    assert [line.cells[0].text for line in table.lines][-1] == "6 rarer reasons"
    shown = sum(int(line.cells[1].text.replace(",", "")) for line in table.lines)
    assert shown == sum(reasons.values())


def test_buckets_have_their_sizes():
    groups = {"new descriptions": {"n": 1200.0, "bleu": 40.0}}
    (line,) = groups_table([row("a", groups=groups)], ["bleu"], caption="").lines
    assert [cell.text for cell in line.cells] == ["a", "new descriptions", "1,200", "40.0"]


def test_highlighted_code_keeps_its_text():
    code = "\tif x:\n\n\t\ty = '<b>'  # & more\n\x0cdef (:"
    shown = "".join(Page(f"<pre>{highlighted(code)}</pre>").texts)
    assert shown == code.replace("\x0c", r"\x0c")


def test_validation_figures_have_their_own_prefix():
    own = row("a", validation={"nll": figure(1.0)}, figures={"nll": figure(2.0)})
    assert figure_of(own, "val/nll").value == 1.0 and figure_of(own, "nll").value == 2.0
