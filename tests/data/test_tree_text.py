# ruff: noqa: E501 - programs that are compared are on one line
"""Equal texts of syntax trees are equal programs, up to names if wanted."""

import pytest

from en2py.data.tree_text import ast_text, ast_text_renamed


def test_layout_quotes_and_comments_do_not_change_the_tree():
    assert ast_text("x = 'a'  # one\n") == ast_text('x=u"a"')


def test_docstrings_and_constants_change_the_tree():
    assert ast_text("def f():\n    'doc'\n    pass") != ast_text("def f():\n    pass")
    assert ast_text("x = 1") != ast_text("x = True")
    assert ast_text_renamed("x = 1") != ast_text_renamed("x = 2")


SAME = {
    "variables": ("total = 0\nprint(total)", "s = 0\nprint(s)"),
    "a variable with a builtin's name": ("sum = 0\nprint(sum)", "s = 0\nprint(s)"),
    "function and arguments": ("def f(a, *b, c=1, **d): return a, b, c, d", "def g(w, *x, y=1, **z): return w, x, y, z"),
    "keyword at a call": ("def f(a): return a\nf(a=1)", "def g(x): return x\ng(x=1)"),
    "call before the definition": ("def f():\n    return g()\ndef g(): pass", "def g():\n    return f()\ndef f(): pass"),
    "alias": ("import numpy as np\nnp.sum(1)", "import numpy as n\nn.sum(1)"),
    "loop, with, except, walrus": (
        "for i in x:\n    with i as j:\n        try:\n            (k := 1)\n        except E as e:\n            print(e, k)",
        "for a in x:\n    with a as b:\n        try:\n            (c := 1)\n        except E as d:\n            print(d, c)",
    ),
    "comprehension and lambda": ("f = lambda x: [y for y in x]", "g = lambda l: [i for i in l]"),
    "global": ("n = 0\ndef f():\n    global n\n    n = 1", "m = 0\ndef g():\n    global m\n    m = 1"),
    "self and its attributes": (
        "class A:\n    def __init__(self, n):\n        self.n = n\n    def up(self):\n        self.n += 1\na = A(1)\na.up()\nprint(a.n)",
        "class B:\n    def __init__(me, value):\n        me.x = value\n    def inc(me):\n        me.x += 1\nb = B(1)\nb.inc()\nprint(b.x)",
    ),
    "class variable": ("class A:\n    k = 1\nprint(A.k)", "class B:\n    j = 1\nprint(B.j)"),
    "match": (
        "match x:\n    case [a, *b]: print(a, b)\n    case {1: c, **d}: print(c, d)",
        "match x:\n    case [p, *q]: print(p, q)\n    case {1: r, **s}: print(r, s)",
    ),
}  # fmt: skip

DIFFERENT = {
    "two variables swapped": ("a = b = 1\nprint(a - b)", "a = b = 1\nprint(b - a)"),
    "two variables made one": ("def f(a, b): return a", "def f(a, a2): return a2"),
    "builtin": ("print(max(x))", "print(min(x))"),
    "module": ("import math", "import cmath"),
    "module under the same alias": ("import math as m", "import cmath as m"),
    "method of another object": ("x = []\nx.append(1)", "x = []\nx.add(1)"),
    "dunder": ("class A:\n    def __len__(self): pass", "class A:\n    def __hash__(self): pass"),
    "class variables swapped": ("class A:\n    x = 1\n    y = 2\nA.x", "class A:\n    x = 1\n    y = 2\nA.y"),
    "attributes swapped": (
        "class A:\n    def __init__(s):\n        s.x = 1\n        s.y = 2\n        print(s.x)",
        "class A:\n    def __init__(s):\n        s.x = 1\n        s.y = 2\n        print(s.y)",
    ),
    "a local's name as a method's": ("count = 1\nx.count(1)", "n = 1\nx.n(1)"),
    "keyword of a builtin": ("def f(end): pass\nprint(end='')", "def f(sep): pass\nprint(sep='')"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_renaming_bound_names_keeps_the_tree_text(one, other):
    assert ast_text(one) != ast_text(other)
    assert ast_text_renamed(one) == ast_text_renamed(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_other_differences_stay_different(one, other):
    assert ast_text_renamed(one) != ast_text_renamed(other)


@pytest.mark.parametrize("code", ["def f(x:", "class"])
def test_code_that_does_not_parse_has_no_renamed_text(code):
    assert ast_text_renamed(code) is None
