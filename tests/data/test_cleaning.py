# ruff: noqa: E501 - programs before and after a step are on one line
import ast
import io
import os
import tokenize
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from en2py.data.cleaning import Drop, clean
from en2py.data.cleaning.characters import repair_characters, repair_description, repair_python2
from en2py.data.cleaning.content import (
    remove_comments,
    remove_docstrings,
    remove_driver,
    remove_fences,
)
from en2py.data.cleaning.layout import (
    autopep8,
    dedent,
    expand_tabs,
    space_brackets,
    trim_lines,
    unparse,
    widen_indents,
)
from en2py.data.cleaning.limits import limit_lengths, must_parse
from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import SECONDS_PER_ITEM, Failed, ProcessPool, with_cpu_limit
from en2py.data.syntax import parse
from en2py.data.tree_text import ast_text

TABS = partial(expand_tabs, size=4)
PEP8 = partial(autopep8, ignore="E731")
LENGTHS = partial(limit_lengths, min_description=3, max_description=60, min_code=5, max_code=200)


def pair(code, description="some task", number=0):
    return Pair(f"a/{number}", description, code, "a")


# --- golden: before and after, step by step

CODE = {
    "line ends": (trim_lines, "\r\n\nx = 1  \r\ny = 2\r\n\n", "x = 1\ny = 2"),
    "old Mac line ends": (trim_lines, "x = 1\ry = 2", "x = 1\ny = 2"),
    "blanks in a long string stay": (trim_lines, "x = '''a  \nb'''\n", "x = '''a  \nb'''"),
    "byte order mark": (trim_lines, "\ufeffx = 1", "x = 1"),
    "tabs": (TABS, "if x:\n\ty = '\t'\n\tif y:\n\t\tz = 1", "if x:\n    y = '\t'\n    if y:\n        z = 1"),
    "tabs mixed with spaces": (TABS, "if x:\n\ty = 1\n    z = 2", "if x:\n    y = 1\n    z = 2"),
    "tabs of 8 columns": (TABS, "if x:\n    if y:\n\tz = 1\n    w = 2", "if x:\n    if y:\n        z = 1\n    w = 2"),
    "tabs in a long string stay": (TABS, "x = '''\n\ta'''", "x = '''\n\ta'''"),
    "dedent": (dedent, "  def f():\n      return 1", "def f():\n    return 1"),
    "dedent of the first line": (dedent, " x = 1\ny = 2", "x = 1\ny = 2"),
    "output beside Python": (remove_fences, "```python\nprint(1)\n```\nOutput:\n```\n1\n```", "print(1)"),
    "a command before Python": (remove_fences, "```bash\npip install x\n```\n```py\nx = 1\n```", "x = 1"),
    "fences without a mark": (remove_fences, "First:\n```\nx = 1\n```\nthen:\n~~~\ny = 2\n~~~", "x = 1\ny = 2"),
    "fences with another mark": (remove_fences, "So:\n```code\nx = 1\n```", "x = 1"),
    "dedent leaves programs": (dedent, "\n\nx = '''\n  a'''", "\n\nx = '''\n  a'''"),
    "curly quotes": (repair_characters, "print(\u201cit\u2019s\u201d)", "print(\"it's\")"),
    "minus sign": (repair_characters, "x = y \u2212 1\u00a0\u2264 z", "x = y - 1 <= z"),
    "signs in strings stay": (repair_characters, "x = '\u2212 \u201ca\u201d'", "x = '\u2212 \u201ca\u201d'"),
    "mojibake in a string": (repair_characters, "x = 'caf\u00c3\u00a9'", "x = 'caf\u00e9'"),
    "signs that repair nothing stay": (repair_characters, "x = (\u2212", "x = (\u2212"),
    "Python 2": (repair_python2, "print 'a', raw_input()", "print('a', input())"),
    "Python 2 except": (
        repair_python2,
        "try:\n    x\nexcept E, e:\n    raise F, e",
        "try:\n    x\nexcept E as e:\n    raise F(e)",
    ),
    "Python 2 names in Python 3 stay": (repair_python2, "xrange(raw_input())", "xrange(raw_input())"),
    "neither Python": (repair_python2, "print 'a' (", "print 'a' ("),
    "comments": (remove_comments, "# a\nx = 1  # b\n# c\ny = '#'\n", "x = 1\ny = '#'\n"),
    "comments in a list": (remove_comments, "x = [  # a\n    1,\n    # b\n]", "x = [\n    1,\n]"),
    "comments in broken code stay": (remove_comments, "x = (  # a", "x = (  # a"),
    "docstring": (remove_docstrings, 'def f():\n    """A\n    b."""\n    return 1', "def f():\n    return 1"),
    "docstring alone": (remove_docstrings, "def f():\n    'doc'", "def f():\n    pass"),
    "docstring alone on the line of def": (remove_docstrings, "def f(): 'doc'", "def f(): pass"),
    "docstring before a semicolon": (remove_docstrings, "def f(): 'doc'; return 1", "def f(): return 1"),
    "docstring with a comment": (remove_docstrings, "class A:\n    'é'  # b\n    x = 1", "class A:\n    # b\n    x = 1"),
    "string as a comment": (remove_docstrings, "x = 1\n'''note\n'''\ny = 2; 'end'", "x = 1\ny = 2"),
    "string as the only branch": (remove_docstrings, "if x:\n    'a'\n    'b'\nelse:\n    'c'", "if x:\n    pass\nelse:\n    pass"),
    "docstring alone in a program": (remove_docstrings, "'doc'", ""),
    "docstring that is printed": (remove_docstrings, "def f():\n    'doc'\nprint(f.__doc__)", "def f():\n    'doc'\nprint(f.__doc__)"),
    "bytes and f-strings are no docstrings": (remove_docstrings, "def f():\n    b'doc'", "def f():\n    b'doc'"),
    "driver": (
        remove_driver,
        "import os\ndef f(x):\n    return x + N\nN = 1\ny = 2\nprint(f(y)); import re\nassert f(1)\nfor i in y:\n    f(i)",
        "import os\ndef f(x):\n    return x + N\nN = 1\nimport re",
    ),
    "driver that changes a global": (
        remove_driver,
        "def f(x):\n    return T[x] + N + A.b\nN = 1\nN += 1\nT = {}\nA = f\nT['a'], y = 1, 2\nA.b.c = 3\nT[f(1)].d: int = 4\ny.a = 5\ny[T] = 6\ny += 1",
        "def f(x):\n    return T[x] + N + A.b\nN = 1\nN += 1\nT = {}\nA = f\nT['a'], y = 1, 2\nA.b.c = 3\nT[f(1)].d: int = 4",
    ),
    "driver that changes a global in a loop": (
        remove_driver,
        "def f(x):\n    return T[x] + N\nT = {}\nN = 0\nfor i in T:\n    T[i] = 1\nwhile N:\n    N -= 1\nfor i in T:\n    x = f(i)\n    y[i] = x",
        "def f(x):\n    return T[x] + N\nT = {}\nN = 0\nfor i in T:\n    T[i] = 1\nwhile N:\n    N -= 1",
    ),
    "main guard": (remove_driver, "def f(): pass\nif __name__ == '__main__':\n    f()", "def f(): pass"),
    "a program without definitions is no driver": (remove_driver, "print(1)", "print(1)"),
    "indents of 3 and 7": (widen_indents, "if x:\n   if y:\n       z = 1", "if x:\n    if y:\n        z = 1"),
    "indents that would change the tree stay": (widen_indents, "x = '''\n   a'''", "x = '''\n   a'''"),
    "autopep8": (PEP8, "def f(a,b):\n  return a+b*2", "def f(a, b):\n    return a + b * 2"),
    "autopep8 leaves lambdas": (PEP8, "f=lambda x:x", "f = lambda x: x"),
    "autopep8 that changes a string is undone": (PEP8, "def f():\n  '''a\n  b'''\n  pass", "def f():\n  '''a\n  b'''\n  pass"),
    "unparse": (unparse, "x=( 1 )\nprint(\"a\")", "x = 1\nprint('a')"),
    "unparse of broken code": (unparse, "x = (", "x = ("),
    "brackets": (space_brackets, "f(x)[0] = {'(': (1)}", "f ( x ) [ 0 ] = { '(': ( 1 ) }"),
    "brackets at line ends": (space_brackets, "f(\n    x\n)", "f (\n    x\n)"),
    "brackets in an f-string": (space_brackets, "print(f'{x}({y})')", "print ( f'{x}({y})' )"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "before", "after"), CODE.values(), ids=CODE.keys())
def test_golden_code(step, before, after):
    assert step(pair(before)).code == after


def test_a_driver_without_which_a_test_fails_stays() -> None:
    code = "class Node:\n    value = 1\nroot = Node()\nroot.next = Node()\nown = 3\nprint(root)"
    tests = ("own = 2\nassert root.next.value < own",)
    found = remove_driver(replace(pair(code), tests=tests))
    assert found.code == "class Node:\n    value = 1\nroot = Node()\nroot.next = Node()"


@pytest.mark.parametrize(("step", "before", "after"), CODE.values(), ids=CODE.keys())
def test_each_step_is_idempotent(step, before, after):
    assert step(pair(after)).code == after


DESCRIPTIONS = {
    "white space": ("  add \t two\nnumbers ", "add two numbers"),
    "numbering": ("12. write a program", "write a program"),
    "numbering without a space": ("12.write a program", "write a program"),
    "bracket": ("3) add", "add"),
    "question": ("Q5: add", "add"),
    "dash": ("7 - add", "add"),
    "hashes": ("## 4. # add", "add"),
    "a number that counts": ("3 digit numbers", "3 digit numbers"),
    "a decimal": ("3.5 times x", "3.5 times x"),
    "a dimension": ("2-D lists", "2-D lists"),
    "full stop": ("add two numbers .", "add two numbers"),
    "colon": ("two methods:", "two methods"),
    "a sign that matters": ("replace each blank with #", "replace each blank with #"),
    "question mark": ("is it even?", "is it even?"),
    "list mark": ("- add", "add"),
    "a minus sign": ("-5 to 5 sum", "-5 to 5 sum"),
    "a minus sign after a list mark": ("* -5 to 5 sum", "-5 to 5 sum"),
    "a difference": ("3 - 2 difference", "3 - 2 difference"),
    "a difference after a number": ("Q12. 3 - -2 difference", "3 - -2 difference"),
    "a number after a number": ("Problem 4 - 2 lists", "2 lists"),
    "a separator": ("split a string on ,", "split a string on ,"),
    "a separator with a full stop": ("replace each space with , .", "replace each space with ,"),
    "a full stop after a preposition": (
        "sort the list it is based on.",
        "sort the list it is based on",
    ),
}


@pytest.mark.parametrize(("before", "after"), DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_golden_descriptions(before, after):
    assert repair_description(pair("x", before)).description == after


@pytest.mark.parametrize(
    "after", [own for _, own in DESCRIPTIONS.values()], ids=DESCRIPTIONS.keys()
)
def test_repairing_a_description_is_idempotent(after):
    assert repair_description(pair("x", after)).description == after


def test_mojibake_in_a_description():
    before = "the user\u00e2\u20ac\u2122s caf\u00c3\u00a9 &lt; 5"
    assert repair_characters(pair("x", before)).description == "the user's caf\u00e9 &lt; 5"


# --- the syntax tree stays

SNIPPETS = st.sampled_from(
    [
        "x = 1  # one", "if x:\n   y = 2\n   z = 3", "def f(a,b):\n\t'''doc\n\t# no\n\t'''\n\treturn (a,b)",
        "s = '''a  \n\tb # c\n   d'''", "print(f'{x!r:>{n}}(', end='')", "class A:\n  'doc'\n  x=[1,\n  2]",
        "for i in range(3):\n       print(i)\nelse: pass", "x = y if z else-1;w=x", "f=lambda*a:a",
        "try:\n  x\nexcept(A,B)as e:\n  raise", "x = \\\n  1", "async def f(): await g()\n", "", "\n",
    ]
)  # fmt: skip
LAYOUT = [trim_lines, TABS, dedent, widen_indents, PEP8, unparse, space_brackets, remove_comments]


@settings(max_examples=60)
@given(st.lists(SNIPPETS, max_size=4).map("\n".join))
def test_layout_steps_and_comments_keep_the_tree(code):
    for step in [*LAYOUT, repair_characters, repair_python2]:
        assert ast_text(step(pair(code)).code) == ast_text(code), step


class Docstrings(ast.NodeTransformer):
    def visit_Expr(self, node):
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_text else node


def without_strings_and_passes(code):
    tree = Docstrings().visit(ast.parse(code))
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [s for s in body if not isinstance(s, ast.Pass)]
    return ast.dump(tree)


@settings(max_examples=60)
@given(st.lists(SNIPPETS, max_size=4).map("\n".join))
def test_docstring_removal_keeps_all_but_strings(code):
    after = remove_docstrings(pair(code)).code
    assert without_strings_and_passes(after) == without_strings_and_passes(code)
    assert not any(
        isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) and s.value.value != ...
        for s in ast.walk(ast.parse(after))
    )


@settings(max_examples=100)
@given(st.text(st.sampled_from("ab=()[]{}'\"#\\:;\n\t \u201c\u00e9\u2212\r\f\0"), max_size=40))
def test_no_step_breaks_on_any_text(text):
    for step in [*LAYOUT, repair_characters, repair_python2, remove_docstrings, remove_driver]:
        after = with_cpu_limit(SECONDS_PER_ITEM, step, pair(text, text or "x"))
        if isinstance(after, Failed):  # autopep8 and fissix do not end for each text
            continue
        assert parse(text) is None or parse(after.code) is not None, step
    repair_description(pair("x", text))


def test_comments_are_all_removed():
    code = "# a\ndef f():  # b\n    x = '# c'  # d\n    # e\n    return [x,  # f\n            1]"
    after = remove_comments(pair(code)).code
    types = [t.type for t in tokenize.generate_tokens(io.StringIO(after).readline)]
    assert tokenize.COMMENT not in types
    assert "# c" in after


# --- refusals


def test_code_that_does_not_parse_is_dropped():
    assert must_parse(pair("x = 1")).code == "x = 1"
    with pytest.raises(Drop, match="does not parse"):
        must_parse(pair("x = ("))


@pytest.mark.parametrize(
    ("description", "code", "reason"),
    [
        ("ab", "x = 1", "description under 3 characters"),
        ("a" * 61, "x = 1", "description over 60 characters"),
        ("add", "x=1", "code under 5 characters"),
        ("add", "x" * 201, "code over 200 characters"),
    ],
)
def test_lengths_outside_the_limits_are_dropped(description, code, reason):
    with pytest.raises(Drop, match=reason):
        LENGTHS(pair(code, description))


def test_lengths_at_the_limits_stay():
    LENGTHS(pair("x = 1", "abc"))
    LENGTHS(pair("x" * 200, "a" * 60))
    limit_lengths(
        pair("x" * 10_000, "a" * 10_000),
        min_description=1,
        max_description=None,
        min_code=1,
        max_code=None,
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1\n" * 2000, "code over 10,000 characters"),
        ("x = [" + "1, " * 400 + "]", "line over 1,000 characters"),
        ("x = " + "(" * 50 + ")" * 50, "brackets nested over 40 deep"),
    ],
)
def test_code_on_which_autopep8_might_hang_is_dropped(code, reason):
    with pytest.raises(Drop, match=reason):
        PEP8(pair(code))
    with pytest.raises(Drop, match=reason):
        repair_python2(pair(code + "\nprint 'a'"))


# --- the pipeline

STEPS = {
    "characters": repair_characters,
    "tabs": TABS,
    "comments": remove_comments,
    "parses": must_parse,
    "lengths": LENGTHS,
}


def test_a_final_newline_alone_is_not_counted_as_a_change():
    report = DataReport()
    pairs = [Pair(f"s/{i}", "add", code, "s") for i, code in enumerate(("x = 1\n", "x = 1 \n"))]
    assert {pair.code for pair in clean(pairs, {"lines": trim_lines}, report)} == {"x = 1"}
    assert report.to_dict()["steps"][0]["changed"] == 1


def test_the_pipeline_counts_what_each_step_read_changed_and_dropped():
    pairs = [
        pair("x = 10", number=0),
        pair("if x:\n\ty = 1  # a", number=1),
        pair("x = (", number=2),
        pair("# a", number=3),
    ]
    report = DataReport()
    done = []
    kept = clean(pairs, STEPS, report, progress=done.append)
    assert [(p.id, p.code) for p in kept] == [("a/0", "x = 10"), ("a/1", "if x:\n    y = 1")]
    steps = {s["name"]: s for s in report.to_dict()["steps"]}
    counts = {n: (s["read"], s["changed"], s["dropped"]) for n, s in steps.items()}
    assert counts == {
        "characters": (4, 0, 0),
        "tabs": (4, 1, 0),
        "comments": (4, 2, 0),
        "parses": (4, 0, 1),
        "lengths": (3, 0, 1),
    }
    assert steps["parses"]["reasons"] == {"does not parse": 1}
    assert report.dropped_ids["a/3"] == "lengths: code under 5 characters"
    assert done == [4]


def test_a_step_that_no_pair_reaches_is_listed():
    report = DataReport()
    assert clean([], STEPS, report) == []
    assert [step["read"] for step in report.to_dict()["steps"]] == [0] * 5


@settings(max_examples=50)
@given(st.lists(st.tuples(SNIPPETS, st.text(max_size=4)), max_size=12))
def test_every_pair_is_kept_or_counted(texts):
    pairs = [pair(code, description, i) for i, (code, description) in enumerate(texts)]
    report = DataReport()
    kept = clean(pairs, STEPS, report)
    dropped = sum(step.dropped for step in report.steps.values())
    assert len(kept) + dropped == len(pairs)
    assert sorted([*report.dropped_ids, *(p.id for p in kept)]) == sorted(p.id for p in pairs)
    left = len(pairs)
    for step in report.steps.values():
        assert step.read == left
        left -= step.dropped


def test_several_processes_give_the_same_result_as_one():
    codes = ["x = 1  # a", "x = (", "if x:\n\ty = 1", "x=1"]
    pairs = [pair(codes[i % 4], number=i) for i in range(500)]
    one, two = DataReport(), DataReport()
    done: list[int] = []
    with ProcessPool(2, SECONDS_PER_ITEM) as pool:
        several = clean(pairs, STEPS, two, pool=pool, progress=done.append)
    assert clean(pairs, STEPS, one) == several
    assert one.to_dict() == two.to_dict()
    assert done == [*range(64, 500, 64), 500]


def test_an_exception_in_a_step_is_raised():
    def broken(pair):
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        clean([pair("x = 1")], {"broken": broken}, DataReport())


# --- the students' file


@pytest.mark.slow
@pytest.mark.skipif("EN2PY_DATA" not in os.environ, reason="EN2PY_DATA: the students' file")
def test_the_students_file_keeps_its_trees_and_nearly_all_its_pairs():
    from en2py.data.sources.english_python import read_english_python

    path = os.path.join(os.environ["EN2PY_DATA"], "english_python_data.txt")
    pairs = read_english_python(DataReport(), path=path, url="", sha256="")
    steps = {
        "lines": trim_lines,
        "characters": repair_characters,
        "tabs": TABS,
        "dedent": dedent,
        "python2": repair_python2,
        "comments": remove_comments,
        "indents": widen_indents,
        "brackets": space_brackets,
        "parses": must_parse,
    }
    report = DataReport()
    kept = {p.id: p for p in clean(pairs, steps, report)}
    assert report.steps["python2"].changed >= 80
    assert len(kept) / len(pairs) > 0.965
    for before in pairs:
        if (tree := ast_text(before.code)) is not None:
            assert ast_text(kept[before.id].code) == tree
