"""The students' file: a test for each rule, and every line is counted."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from en2py.data.pairs import DataReport
from en2py.data.sources import english_python
from en2py.errors import UserError

DATA = os.environ.get("EN2PY_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="EN2PY_DATA names no folder of datasets")


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "pairs.txt") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def read_students(text: str):
    """Return descriptions with their code, and the report."""
    report = DataReport()
    pairs = english_python.parse_pairs(text.split("\n"), report)
    return {pair.description: pair.code for pair in pairs}, report


def step(report: DataReport, rule: str):
    """Return (changed, dropped) of a rule of the students' file."""
    found = report.steps[f"english_python: {rule}"]
    return found.changed, found.dropped


def test_a_description_takes_the_code_up_to_the_next():
    pairs, _ = read_students("# write a sum\nx = 1\n\ny = 2\n\n# Join two sets\na | b\n")
    assert pairs == {"write a sum": "x = 1\n\ny = 2", "Join two sets": "a | b"}


def test_id_is_the_line_of_the_description():
    pairs = english_python.parse_pairs(["", "# write a sum", "x = 1"], DataReport())
    assert pairs[0].id == "english_python/2"


def test_notebook_markers_are_dropped():
    pairs, report = read_students("# In[12]:\n# write a sum\nx = 1\n\n# In[ ]:\n")
    assert (pairs, step(report, "marker lines")) == ({"write a sum": "x = 1"}, (0, 2))


def test_coding_and_shebang_lines_are_dropped():
    text = "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# write a sum\nx = 1"
    pairs, report = read_students(text)
    assert (pairs, step(report, "coding and shebang lines")) == ({"write a sum": "x = 1"}, (0, 2))


@pytest.mark.parametrize("header", ["#42 write a sum", "# 42. write a sum", "#42)  write a sum"])
def test_exercise_number_is_removed(header):
    pairs, report = read_students(f"{header}\nx = 1")
    assert (list(pairs), step(report, "numbered descriptions")) == (["write a sum"], (1, 0))


def test_a_number_inside_a_description_stays():
    assert list(read_students("# write the first 10 primes\nx = 1")[0]) == [
        "write the first 10 primes"
    ]


@pytest.mark.parametrize("number", ["# 12", "#12.", "12."])
def test_description_may_follow_its_number_on_the_next_line(number):
    pairs, report = read_students(f"# write a\nx = 1\n{number}\n# Join two sets\na | b")
    assert pairs == {"write a": "x = 1", "Join two sets": "a | b"}
    assert step(report, "number-only lines") == (0, 1)


@pytest.mark.parametrize(
    "comment", ["# Driver code", "# printing result", "# initializing list", "#s = f(1)", "#"]
)
def test_comment_inside_a_program_stays_in_it(comment):
    pairs, _ = read_students(f"# write a function\ndef f(x): pass\n\n{comment}\nf(3)")
    assert pairs == {"write a function": f"def f(x): pass\n\n{comment}\nf(3)"}


def test_short_description_whose_code_needs_names_from_above_is_a_comment():
    pairs, report = read_students("# write a list\nxs = [1]\n\n# All of them\nprint(xs)")
    assert pairs == {"write a list": "xs = [1]\n\n# All of them\nprint(xs)"}
    assert step(report, "comments that look like descriptions") == (1, 0)


def test_short_description_with_own_names_is_a_pair():
    pairs, _ = read_students("# write a list\nxs = [1]\n\n# All of them\nxs = [2]\nprint(xs)")
    assert list(pairs) == ["write a list", "All of them"]


def test_comment_above_indented_code_belongs_to_the_block():
    pairs, _ = read_students("# write a function\ndef f():\n    a()\n\n# twice\n    a()")
    assert list(pairs) == ["write a function"]


def test_task_needs_no_blank_line_above():
    pairs, _ = read_students("# write a sum\nx = 1\n# Write a program to add\ny = 2")
    assert list(pairs) == ["write a sum", "Write a program to add"]


def test_indented_task_is_a_description():
    pairs, report = read_students("# write a sum\nx = 1\n\n  # write a product\ny = 2")
    assert list(pairs) == ["write a sum", "write a product"]
    assert step(report, "indented descriptions") == (1, 0)


def test_several_lines_make_one_description():
    pairs, report = read_students("# Write a function for the sum \\\n#   of two numbers\nx = 1")
    assert list(pairs) == ["Write a function for the sum of two numbers"]
    assert step(report, "descriptions of several lines") == (1, 0)


def test_examples_are_no_part_of_a_description():
    pairs, _ = read_students("# Write a function\n# Input : [1, 2]\n# Output: 3\nx = 1")
    assert list(pairs) == ["Write a function"]


def test_description_without_code_is_dropped_with_its_reason():
    pairs, report = read_students("# Write a\n\n# Write b\n# try: x\n\n# Write c\nx = 1")
    assert list(pairs) == ["Write c"]
    reasons = report.steps["english_python: descriptions without code"].reasons
    assert reasons == {"nothing below it": 1, "comments alone": 1}


def test_code_above_the_first_description_is_dropped():
    pairs, report = read_students("import os\n# write a sum\nx = 1")
    assert (pairs["write a sum"], step(report, "lines above the first description")) == (
        "x = 1",
        (0, 1),
    )


@pytest.mark.parametrize("text", ["# write a sum\n# write b\n", "x = 1\n", "# 12\n"])
def test_students_file_without_a_pair_is_refused(write, text):
    with pytest.raises(UserError, match="holds no pair: of .* a pair is a line"):
        english_python.read_english_python(DataReport(), path=write(text), url="", sha256="")


STUDENT_LINES = st.sampled_from(
    ["", "x = 1", "    y = x", "# 12", "# In[3]:", "#4 write a sum", "# write b", "# Join sets"]
    + ["# printing x", "print(x)", "  # write c", "\t# d", "# \\", "3.", "#!", "def f(:", "# x=1"]
)


@given(st.lists(STUDENT_LINES | st.text(max_size=12).filter(lambda s: "\n" not in s), max_size=25))
def test_every_line_of_any_text_is_counted(lines):
    report = DataReport()
    pairs = english_python.parse_pairs(lines, report)
    roles = report.facts["english_python: lines"]
    assert sum(roles.values()) == len(lines)
    n_descriptions = roles["descriptions"] + roles["short descriptions"]
    joined = step(report, "comments that look like descriptions")[0]
    assert len(pairs) + joined + step(report, "descriptions without code")[1] == n_descriptions
    # Code is in a pair, or counted as dropped: with its description, or above the first one.
    n_code = sum(pair.code.split("\n").count("x = 1") for pair in pairs)
    orphans = step(report, "lines above the first description")[1]
    assert n_code <= lines.count("x = 1") <= n_code + orphans


def read_file(path: str) -> DataReport:
    report = DataReport()
    english_python.read_english_python(report, path=path, url="", sha256="")
    return report


def test_file_with_headings_is_refused_with_their_names(write):
    text = "".join(
        f"PROBLEM:\n\nWrite a sum of {i}.\n\nPYTHON CODE:\n\nx = {i}\n\n# shows it\nprint(x)\n"
        for i in range(5)
    )
    with pytest.raises(UserError, match="headings 'PROBLEM:' and 'PYTHON CODE:'.*data=file"):
        read_file(write(text))


def test_json_is_refused_with_the_option_that_reads_it(write):
    with pytest.raises(UserError, match="data=file reads JSON"):
        read_file(write('{"text": "a", "code": "1"}\n'))


def test_file_without_a_task_warns(write):
    text = "".join(f"# the {i} th total\nx = {i}\n\n" for i in range(5))
    assert "0 of 5 descriptions" in read_file(write(text)).warnings[0]
    assert read_file(write(f"# write a sum\nx = 1\n\n{text}")).warnings == []


def test_line_over_a_megabyte_does_not_refuse_the_file(write):
    text = f"# write a sum\nx = 1\n\n# write a list\nx = [{'1, ' * 400_000}]\n"
    assert read_file(write(text)).steps["english_python: pairs"].read == 2


@needs_data
def test_counts_of_the_students_file():
    report = DataReport()
    path = f"{DATA}/english_python_data.txt"
    pairs = english_python.read_english_python(report, path=path, url="", sha256="")
    assert len(pairs) == 4376
    assert step(report, "marker lines") == (0, 64)
    assert step(report, "number-only lines") == (0, 118)  # 104 with `#`, and 14 bare "12."
