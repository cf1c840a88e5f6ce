import re

import pytest

from en2py.data.pairs import Pair, evenly_spaced
from en2py.evaluation.metrics.program_metrics import score
from en2py.evaluation.report.markdown import escaped, fenced, samples_page

ADD = "def add(a, b):\n    return a + b"


def page_of(*rows, **settings):
    pairs = [Pair(f"tasks/{i}", text, code, "tasks") for i, (text, code, _) in enumerate(rows)]
    outputs = [output for _, _, output in rows]
    scores = score(outputs, [p.code for p in pairs])
    return samples_page(pairs, outputs, [r.verdict for r in scores.rows], scores.values, **settings)


def test_each_sample_has_its_verdict_in_the_heading():
    page = page_of(
        ("add", ADD, ADD),
        ("add", ADD, "def plus(x, y):\n    return x + y"),
        ("add", ADD, "add = sum"),
        ("add", ADD, "def add(:\n"),
        ("add", ADD, ""),
    )
    heads = [line.split(": ", 1)[1] for line in page.splitlines() if line.startswith("## ")]
    assert heads[:3] == ["exact", "same up to names", "compiles"]
    assert heads[3].startswith(r"does not compile \(SyntaxError: ")
    assert heads[4] == r"does not compile \(nothing was written\)"


def test_an_exact_output_is_shown_once():
    assert page_of(("add", ADD, ADD)).count("def add") == 1


@pytest.mark.parametrize("text", ["```", "`" * 7, 'x = """\n```python\n```\n"""', "~~~\n# head"])
def test_no_text_ends_its_code_block(text):
    fence, *inside, end = fenced(text).split("\n")
    assert fence == f"{end}python"
    assert not any(re.fullmatch(rf" {{0,3}}{end}`*\s*", line) for line in inside)


def test_code_blocks_keep_their_text():
    assert fenced("a = '`'\n  b\tc").split("\n")[1:-1] == ["a = '`'", "  b\tc"]


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\r", "\x0c", "\u2028", "\ud800"])
def test_control_characters_are_escaped(char):
    assert f"\\x{ord(char):02x}" in fenced(f"a{char}b")


def test_markup_in_a_description_is_escaped():
    assert escaped("a <b>\n# c | d*e*") == r"a \<b\> \# c \| d\*e\*"


def test_samples_are_evenly_spaced():
    assert evenly_spaced(10, 3) == [0, 3, 6]
    assert evenly_spaced(2, 5) == [0, 1]
    assert evenly_spaced(0, 5) == []


def test_page_counts_all_pairs_and_shows_a_selection():
    page = page_of(*[("add", ADD, ADD)] * 3, ("add", ADD, "x ="), n_samples=2)
    assert "2 of 4 pairs. All of them: 3 exact; 1 does not compile." in page
    assert page.count("\n## ") == 2


def test_results_of_execution_are_counted_by_their_kind():
    pairs = [Pair(str(i), "add", ADD, "d") for i in range(3)]
    fails = ["compiles, fails: add(1, 2) gave 4", "compiles, fails: add(0, 0) gave 1"]
    page = samples_page(pairs, ["x"] * 3, ["exact", *fails], {"passes_tests": 1 / 3})
    assert "All of them: 2 compiles, fails; 1 exact." in page
    assert "| passes, % |" in page and "| 33.3 |" in page
