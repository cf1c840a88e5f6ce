"""Law: code -> tokens -> code keeps the syntax tree; and no text makes a tokenizer raise."""

import ast
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from en2py.data.syntax import ast_text
from en2py.data.tokenizers import PythonTokenizer

SNIPPETS = [
    "a = 1; b = 2",
    "x = 1 + \\\n    2",
    "@decorate(1)\n@other\nasync def f(a, /, b: int = 1, *args, c=2, **kw) -> int:\n    await a",
    "f = lambda x, *a, y=1, **k: (lambda: x)()",
    "if (n := 10) > 5: pass\nelif n: pass\nelse: pass",
    "match x:\n    case [1, -1, *r] | {'a': 1, **k}: pass\n    case A(x=1) if y: pass\nmatch(x)",
    "x = 1e-5 + 0xFF - 1_000j + .5 - 5. + 0b1 + 1E+3",
    "1 .real; 1..real; 1.0.real; x = ... ; ....__class__",
    "s = rb'a\\'b' + Rb\"c\"; t = f'{x!r:>{w}}' u'd' 'e'",
    "def f():\n    s = '''\n  odd\n        indents\n'''\n    return s",
    "def f():\n\tif x:\n\t\treturn 1\n\treturn 2",
    "x[1:2], x[:, ::2], x[a+1:], x[lambda: 0], x[-1:-2], {1: 2, **a}, {*a}, [*a, *b]",
    "from . import a\nfrom .. import b\nfrom ...c.d import (e, f as g)\nfrom h import *",
    "try:\n    1\nexcept (A, B) as e:\n    raise C from e\nfinally:\n    del x, y[0]",
    "def f():\n    global a\n    x = y = yield\n    z = yield from g()\n    return -1, not(x), *a",
    "assert x in(1,), 'no'\nwith (a as b, c as d): pass\nx @= y @ z\nx = a if b else-1",
    "# only\nx = 1  # a comment\n\n\n# end",
    "if x:\n        odd = 1\nelse:\n  odd = 2",
    "größe = 1; ℘ = 2; a·b = 3; print(ｆｕｌｌ)",
    "def f(x):\r\n    s = '''a\r\nb'''\r\n    return x\r\n",
    "class A(B, metaclass=C): x: int = 3; y: 'int'",
    "x = (yield)\nprint(* a, ** b)\nx = - - 1 ** - 2\nx = ~ + 1\nnot not x",
    "",
    "if 1:\n    pass\n    ",
    "x = 'a' \\\n 'b'\n\\\ny = 1",
    "x = f'{a}{b:{c}}' f'''{\n d\n}'''",
    "async def f():\n    return [x async for x in y if await z]",
    "a = b if c else d; e = [f for g in h if i if j]; k = {l: m for n in o}",
    "def f(self, *, a): pass\nclass A:\n  def g(s, a=None, *b): return s.x.y[0](1)[2].z",
    "print(1if x else 2)\nx = 1or 2\ny = [0x1for x in (1, 2)]",
    "x = {\n  # c\n  'a': 1,\n\n  'b': 2\n}",
    "x: (int) = 3; (y): int = 4; a.b: int",
    "return_ = 1\nx = a<b>c!=d<=e>=f==g is not h not in i",
    "a = b = c\na += 1; a -= 1; a **= 2; a //= 2; a >>= 1; a <<= 1; a |= 1; a ^= 1; a %= 2; a &= 3",
]
if sys.version_info >= (3, 12):
    SNIPPETS += [
        'x = f"{f"{f\'{1}\'}"} {{}} {d["a"]}" rf\'{x}\\d\'',
        "x = f'''{\nf\"{a!r}\"  # c\n:>{10}}''' 'ü' f'é{ü}ö'",
        "type X[T: int, *U, **V] = list[T]\ndef f[T = int](x: T): ..."
        * (sys.version_info >= (3, 13)),
    ]

BROKEN = [
    "def f(x:\n  if x = 'abc\n    return 1\n  y",
    "print 'a'\nexec \"b\" in c",
    "    x = 1\n  y = 2\n      z",
    "x = '''never closed\n  more",
    "((((((",
    "]]]",
    "a $ b ? c ! d ` e",
    "x = 1\\",
    "\ufeffx = 1",
    "\0",
    "\ud800",
    "x = '\ud800'",
    "\f",
    "\r",
    "\u2028",
    "'",
    '"""',
    "f'{",
    "f'{a!",
    "0777",
    "1__0",
    "\\",
]


def standard_library_functions() -> list[str]:
    """Every function of the running Python's library outside its tests, dedented."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo"}
    functions = []
    for path in sorted(root.rglob("*.py")):
        if skipped & set(path.relative_to(root).parts):
            continue
        source = path.read_text(encoding="utf-8", errors="replace")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        lines = source.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                functions.append("if True:\n" + text if text[0].isspace() else text)
    return functions


@pytest.fixture(scope="session")
def functions() -> list[str]:
    found = standard_library_functions()
    assert len(found) > 5000
    return found


def lost(tokenizer, codes) -> list[str]:
    """Programs whose syntax tree does not survive the trip to tokens and back."""
    return [
        code
        for code in codes
        if (tree := ast_text(code)) is not None
        and ast_text(tokenizer.detokenize(tokenizer.tokenize(code))) != tree
    ]


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_keeps_the_tree_of_a_snippet(code):
    tokenizer = PythonTokenizer()
    assert ast_text(code) is not None
    assert ast_text(tokenizer.detokenize(tokenizer.tokenize(code))) == ast_text(code)


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_tokens_come_back_from_their_own_text(code):
    tokenizer = PythonTokenizer()
    tokens = tokenizer.tokenize(code)
    assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens


TOKENIZERS = [PythonTokenizer]


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize("code", BROKEN)
def test_broken_code_is_taken(make, code):
    tokenizer = make()
    assert isinstance(tokenizer.detokenize(tokenizer.tokenize(code)), str)


@pytest.mark.parametrize("make", TOKENIZERS)
@given(text=st.text(max_size=60) | st.text(alphabet="ab1 \t\n'\"#\\([{}]):=.,f*-<>!", max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_raises(make, text):
    tokenizer = make()
    tokenizer.detokenize(tokenizer.tokenize(text))


TOKENS = st.sampled_from(
    [*"()[]{}:,.=*-@xf1", *"<nl> <indent> <dedent> <unk> ** lambda def 'a' from import".split()]
)


@given(tokens=st.lists(TOKENS | st.text(max_size=3), max_size=40))
@settings(max_examples=200, deadline=None)
def test_python_writes_any_tokens(tokens):
    assert isinstance(PythonTokenizer().detokenize(tokens), str)


def test_python_keeps_the_words_of_broken_code():
    tokens = PythonTokenizer().tokenize("def f(x:\n  if x == 'a':\n    return 1e-5\nprint 'b'")
    assert (
        tokens
        == (
            "def f ( x : <nl> <indent> if x == 'a' : <nl> <indent> return 1e-5 <nl>"
            " <dedent> <dedent> print 'b'"
        ).split()
    )


@pytest.mark.slow
def test_python_keeps_every_library_function(functions):
    assert lost(PythonTokenizer(), functions) == []
