import sys

import pytest

from en2py.data.syntax import first_definition, needed_python, parse
from en2py.data.tree_text import ast_text, ast_text_renamed

NOT_PROGRAMS = {
    "unclosed bracket": "f(1",
    "no indentation": "def f():\nreturn 1",
    "NUL byte": "x = 1\0",
    "lone surrogate": "x = '\ud800'",
    "deep brackets": "(" * 1000 + ")" * 1000,
    "deep sum": "+".join(["a"] * 100_000),
    "deep unary": "-" * 100_000 + "1",
    "huge number": "x = " + "9" * 10_000,
}


@pytest.mark.parametrize("code", NOT_PROGRAMS.values(), ids=NOT_PROGRAMS.keys())
def test_text_that_is_no_program_raises_nothing(code):
    assert ast_text(code) is None
    assert ast_text_renamed(code) is None
    parse(code)


def test_syntax_warnings_are_silent(recwarn):
    code = "import re\nre.match('\\d', 'x') is 1"
    assert parse(code) is not None
    assert ast_text(code) is not None
    assert not recwarn.list


@pytest.mark.parametrize(
    ("code", "version"),
    [
        ("type X[T] = list[T]", "3.12"),
        ("class A[T: int]:\n    pass", "3.12"),
        ("def f[*Ts, **P](*a): return 1", "3.12"),
        ("print(f'{d['k']} {f'{x!r:>{10}}'}')", "3.12"),
        ("f'{chr(10) if '\\n' else 1}'", "3.12"),
        ("def f[T = int](a: T): pass", "3.13"),
        ("x = t'{a}'", "3.14"),
        ("f'{1+}'", ""),
        ("f'{d['k']}' + (", ""),
        ("print f'{d['k']}'", ""),
        ("print 'a'", ""),
        ("f'{a", ""),
    ],
)
def test_syntax_newer_than_the_running_python_is_named(code, version):
    newer = version and sys.version_info < tuple(map(int, version.split(".")))
    assert needed_python(code) == (f"needs Python {version}" if newer else "")
    assert parse(code) is None or not newer


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new syntax of Python 3.12")
def test_a_type_alias_is_no_definition():
    assert first_definition(parse("type X = int\ndef f(x: X): pass")) == "f"
