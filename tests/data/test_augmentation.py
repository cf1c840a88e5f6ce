"""Renaming keeps the behaviour of programs; word dropout keeps the essential words."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from en2py.data.augmentation import none, rename, word_dropout
from en2py.data.pairs import Pair
from en2py.data.renaming import own_names, with_names
from en2py.data.tree_text import ast_text_renamed

# Programs with their results in `out`; every kind of scope and of place for a name.
SCOPES = [
    "def f(number, power=2):\n    result = number ** power\n    return result\n"
    "out = f(3), f(number=2, power=3)",
    "total = 1\ndef add(step):\n    global total\n    total += step\nadd(2)\nadd(step=3)\n"
    "out = total",
    "def counter():\n    count = 0\n    def up(by=1):\n        nonlocal count\n"
    "        count += by\n        return count\n    return up\nup = counter()\nup()\n"
    "out = up(by=5)",
    "item = 5\nout = [item for item in range(3)], item, {item: 1 for item in 'ab'}, item",
    "def f(end):\n    print('', end=end and '')\n    return dict(end=1)['end']\nout = f(2)",
    "class A:\n    size = 3\n    def grow(self, size):\n        self.size = size + A.size\n"
    "        return self\nout = A().grow(size=2).size, A.size",
    "values = [1, 2]\nfirst, *rest = values\nwith open(__file__) as handle:\n    text = 1\n"
    "try:\n    rest[9]\nexcept IndexError as problem:\n    text = str(type(problem))\n"
    "out = first, text",
    "match [1, 2, 3]:\n    case [head, *tail] if head:\n        out = head, tail\n"
    "match {'k': 1, 'm': 2}:\n    case {'k': inner, **others}:\n        out = out, inner, others",
    "double = lambda value, *more, times=2, **named: (value * times, more, named)\n"
    "out = double(2, 3, 4), double(2, other=1)",
    "def f(a, *rest, b=2, **named):\n    return a, rest, b, sorted(named.items())\n"
    "out = f(1, 2, b=3, rest=4, c=5)",
    "import math as m\nfrom os import path\npi = 3\nout = m.pi, pi, path.basename('a/b')",
    "x = 2\nout = f'{x} {x=}', x",
    "place = {'x': 1}\nout = '{place[x]} {y}'.format(place=place, y=2)",
    "if (length := len('abc')) > 2:\n    out = length\ndel length",
    "def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)\nout = fact(n=5)",
    "def outer(key):\n    return sorted([3, 1], key=key)\nout = outer(key=lambda value: -value)",
    "def f(a):\n    return a\ng = f\nout = g(a=1)",
    "def f(a, b):\n    return a - b\nout = f(**{'a': 1, 'b': 2})",
    "größe = 'é'; wert = größe + 'ü'; out = (wert, dict(wert=wert), größe)",
    "s = '''\nmulti\n'''; rows = [s,\n  s]; out = (rows # rows\n  )\n",
]


def value_of(code: str) -> object:
    names = {"__file__": __file__}
    exec(compile(code, "<test>", "exec"), names)
    return names["out"]


def all_renamed(code: str) -> str:
    kinds = own_names(code)
    kinds.pop("out", None)
    names = {name: f"new{i}" for i, name in enumerate(kinds)}
    return with_names(code, names, {n for n, kind in kinds.items() if kind == "argument"})


@pytest.mark.parametrize("code", SCOPES)
def test_a_renamed_program_gives_the_same_result(code):
    assert value_of(all_renamed(code)) == value_of(code)


@pytest.mark.parametrize("code", SCOPES)
def test_a_renamed_program_has_the_same_tree_up_to_names(code):
    assert ast_text_renamed(all_renamed(code)) == ast_text_renamed(code)


@pytest.mark.parametrize(
    ("code", "renamed"),
    [
        (
            "def f(number, power=2):\n    # number\n    return number**power\nf(number=1)",
            "def new0(new1, new2=2):\n    # number\n    return new1**new2\nnew0(new1=1)",
        ),
        ("end = 1; print(1, end=end)", "new0 = 1; print(1, end=new0)"),
        ("a = b.a; a . a", "new0 = b.a; new0 . a"),
        ("ü = 1; f(ü=ü, x=ü)", "new0 = 1; f(ü=new0, x=new0)"),
    ],
)
def test_only_names_change(code, renamed):
    assert all_renamed(code) == renamed


@pytest.mark.parametrize(
    ("code", "changeable"),
    [
        ("x = 1\nprint(locals())", {}),
        ("x = 1\nexec('x')", {}),
        ("from math import *\nx = pi", {}),
        ("import inspect\ndef f(x): pass", {}),
        ("def f(", {}),
        ("class A:\n    x = 1\n    def f(self): pass", {}),
        ("import x.y as z\nx = z = y = 1", {}),
        ("from u.x import z\nu = x = z = y = 1", {"y": "variable"}),
        ("list = [1]; match = 2; _x = 3; self = 4", {}),
        ("x = y = 1\nf'{x}'", {"y": "variable"}),
        ("x = y = 1\n'of x'", {"y": "variable"}),
        ("def f(x): y = 1\nf(**z)", {"f": "function", "y": "variable"}),
        ("@app.route('/')\ndef f(x): y = 1", {"y": "variable"}),
        ("@cache\ndef f(x): y = 1", {"f": "function", "x": "argument", "y": "variable"}),
        ("class A(B, x=1): pass\ndef f(x): pass", {"f": "function"}),
    ],
)
def test_names_used_as_strings_stay(code, changeable):
    assert own_names(code) == changeable


def test_a_keyword_argument_of_an_unknown_function_stays():
    assert own_names("def f(a): pass\ng(a=1)") == {"f": "function"}


def test_a_keyword_argument_of_a_function_bound_twice_stays():
    code = "def f(a): pass\ndef f(b): pass\nf(a=1)"
    assert own_names(code) == {"b": "argument", "f": "function"}


# ------------------------------------------------------------------------------------------- pairs


@pytest.fixture
def tested(pairs) -> list[Pair]:
    square = "def square(number):\n    answer = number * number\n    return answer\n"
    other = "def halve(amount):\n    half = amount / 2\n    return half\n"
    return [
        *pairs,
        Pair("t/1", "multiply by itself", square, "t", tests=("assert square(number=3) == 9",)),
        Pair("t/2", "divide by two", other, "t", tests=("assert halve(4) == 2",)),
    ]


def test_none_changes_nothing(pairs):
    assert none(pairs, seed=1) == pairs


def test_variants_follow_their_pair_and_extend_its_id(tested):
    grown = rename(tested, seed=1, n_variants=2, functions=True)
    assert [p for p in grown if "/rename" not in p.id] == tested
    originals = {p.id: p for p in tested}
    variants = [p for p in grown if "/rename" in p.id]
    assert len(variants) > len(tested)
    for variant in variants:
        original = originals[variant.id.rsplit("/rename", 1)[0]]
        assert replace(variant, id="", code="", tests=()) == replace(
            original, id="", code="", tests=()
        )
        assert ast_text_renamed(variant.code) == ast_text_renamed(original.code)


def test_variants_differ_from_each_other(tested):
    codes = [p.code for p in rename(tested, seed=1, n_variants=4, functions=True)]
    assert len(set(codes)) == len(codes)


def test_renamed_code_passes_its_renamed_tests(tested):
    variants = [p for p in rename(tested, seed=1, n_variants=3, functions=True) if p.tests]
    assert any("square" not in p.code for p in variants if p.id.startswith("t/1"))
    for pair in variants:
        exec("\n".join([pair.code, *pair.tests]), {})


def test_new_names_come_from_the_other_programs(tested):
    known = {name for pair in tested for name in own_names(pair.code)}
    for pair in rename(tested, seed=1, n_variants=3, functions=True):
        assert set(own_names(pair.code)) <= known


def test_functions_can_keep_their_names(tested):
    grown = rename(tested, seed=1, n_variants=3, functions=False)
    assert all("def square(" in p.code for p in grown if p.id.startswith("t/1"))


def test_names_in_the_description_stay(tested):
    spoken = [replace(p, description=f"take number and Answer: {p.description}") for p in tested]
    for pair in rename(spoken, seed=1, n_variants=3, functions=True):
        if pair.id.startswith("t/1"):
            assert "(number):" in pair.code and "return answer" in pair.code


def test_the_same_seed_draws_the_same_variants(tested):
    runs = [rename(tested, seed=s, n_variants=2, functions=True) for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_pair_that_does_not_parse_stays_unchanged():
    pair = Pair("b/1", "broken", "def f(x:", "b")
    assert rename([pair], seed=1, n_variants=2, functions=True) == [pair]


def test_essential_words_are_never_dropped():
    text = "write a function that prints 'Hello my World' 3 times but not the x_value of total"
    pair = Pair("w/1", text, "def f(total): pass", "w")
    grown = word_dropout([pair], seed=1, n_variants=20, probability=0.6)
    assert len(grown) > 5
    for variant in grown:
        assert {"3", "not", "x_value", "total"} <= set(variant.description.split())
        assert "'Hello my World'" in variant.description
        assert variant.code == pair.code
    assert len({p.description for p in grown}) == len(grown)


def test_word_dropout_keeps_the_order_of_words(pairs):
    for variant in word_dropout(pairs, seed=1, n_variants=3, probability=0.3):
        original = next(p for p in pairs if p.id == variant.id.rsplit("/words", 1)[0])
        words = iter(original.description.split())
        assert all(word in words for word in variant.description.split())
        assert variant.description


def test_probability_zero_adds_nothing(pairs):
    assert word_dropout(pairs, seed=1, n_variants=3, probability=0.0) == pairs


@pytest.mark.slow
def test_renamed_mbpp_passes_its_tests():
    if not (root := os.environ.get("EN2PY_DATA")):
        pytest.skip("mbpp not tested: EN2PY_DATA is not set")
    lines = (Path(root) / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = []
    for record in map(json.loads, lines[:150]):
        code = record["code"].replace("\r\n", "\n")
        tests = tuple(record["test_list"])
        pairs.append(Pair(f"mbpp/{record['task_id']}", record["text"], code, "mbpp", tests))
    variants = [p for p in rename(pairs, seed=1, n_variants=1, functions=True) if "/ren" in p.id]
    assert len(variants) > 100
    for pair in variants:
        exec("\n".join([pair.code, *pair.tests]), {})
