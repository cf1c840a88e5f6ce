"""Tokenizing and detokenizing keeps the syntax tree; no text makes a tokenizer raise."""

import json
import os
import pickle
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from en2py.data.pairs import DataReport
from en2py.data.sources import corpus, english_python, tasks
from en2py.data.tokenizers import (
    BpeTokenizer,
    EnglishPieces,
    EnglishTokenizer,
    PythonPieces,
    PythonTokenizer,
    SpacyDefaultTokenizer,
    SpacyPythonTokenizer,
)
from en2py.data.tokenizers.pieces import fit_both, joined
from en2py.data.tokenizers.python import _standard as standard_tokens
from en2py.data.tree_text import ast_text
from en2py.errors import UserError

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
        "type X[T: int, *U, **V] = list[T]\ndef f[T](x: T): ...",
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
    "[\\}:\0",
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


def changed_trees(tokenizer, codes) -> list[str]:
    """Return programs whose syntax tree changes by tokenizing and detokenizing."""
    return [
        code
        for code in codes
        if (back := tokenizer.detokenize(tokenizer.tokenize(code))) != code
        and (tree := ast_text(code)) is not None
        and ast_text(back) != tree
    ]


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_keeps_the_tree_of_a_snippet(code):
    tokenizer = PythonTokenizer()
    assert ast_text(code) is not None
    assert ast_text(tokenizer.detokenize(tokenizer.tokenize(code))) == ast_text(code)


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_finds_no_error_in_a_snippet(code):
    """The tree is not kept by the fallback to `ast.unparse`."""
    assert standard_tokens(code) is not None


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_tokenizes_its_own_output_to_the_same_tokens(code):
    tokenizer = PythonTokenizer()
    tokens = tokenizer.tokenize(code)
    assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens


def fitted_bpe() -> BpeTokenizer:
    tokenizer = BpeTokenizer(vocab_size=300)
    tokenizer.fit([*SNIPPETS, "def f(x):\n    return x"] * 3)
    return tokenizer


def fitted_pieces() -> tuple[EnglishPieces, PythonPieces]:
    english = EnglishPieces(lowercase=True, vocab_size=700, path=None)
    python = PythonPieces(vocab_size=700, path=None)
    fit_both(
        english, python, ["find the max value of a list"] * 30, [*SNIPPETS, *["find_max = 1"] * 30]
    )
    return english, python


# Reversible ones first: detokenizing returns the exact text.
EXACT = {"spacy": SpacyPythonTokenizer(), "bpe": fitted_bpe()}
ALL = {
    **EXACT,
    "python": PythonTokenizer(),
    "spacy_default": SpacyDefaultTokenizer(),
    "english": EnglishTokenizer(lowercase=True),
    "english_pieces": fitted_pieces()[0],
    "pieces": fitted_pieces()[1],
}
KEEP_THE_TREE = ["python", "spacy", "bpe", "pieces"]
TEXTS = st.text(max_size=60) | st.text(alphabet="ab1 \t\n'\"#\\([{}]):=.,f*-<>!", max_size=60)


@pytest.mark.parametrize("code", SNIPPETS)
def test_pieces_spell_the_tokens_of_python(code):
    assert joined(ALL["pieces"].tokenize(code)) == PythonTokenizer().tokenize(code)


@given(text=TEXTS)
@settings(max_examples=150)
def test_pieces_spell_the_words_of_any_description(text):
    assert joined(ALL["english_pieces"].tokenize(text)) == ALL["english"].tokenize(text)


def test_pieces_of_both_sides_are_of_one_vocabulary_without_unknown_tokens():
    english, python = fitted_pieces()
    known = python.vocabulary()
    assert english.vocabulary() == known and 600 < len(known) == len(set(known)) <= 700
    assert {*python.tokenize("größe_Σ = '\x7f ü'"), *english.tokenize("Größe Σ")} <= {*known}


def test_words_in_names_are_the_pieces_of_descriptions():
    english, python = fitted_pieces()
    assert english.tokenize("find max") == ["find", "max"]
    assert python.tokenize("find_max") == ["find", "￭_￭", "max"]
    assert python.tokenize("findMax")[:2] == ["find", "￭"]


def test_pieces_are_read_from_the_file_of_another_run(tmp_path):
    file = tmp_path / "pieces.json"
    file.write_text(json.dumps(fitted_pieces()[1].state_dict()))
    english = EnglishPieces(lowercase=True, vocab_size=700, path=file)
    python = PythonPieces(vocab_size=700, path=file)
    fit_both(english, python, ["other texts"], ["zzz = 1"])
    assert english.vocabulary() == python.vocabulary() == fitted_pieces()[1].vocabulary()


def test_one_side_of_pieces_learns_from_its_own_texts():
    english, python = fitted_pieces()
    fit_both(EnglishTokenizer(lowercase=True), python, ["qqq"] * 9, ["abab = 1"] * 9)
    assert "abab" in python.vocabulary() and "qqq" not in python.vocabulary()


@pytest.mark.parametrize(
    "content", [b"no JSON", b"[]", b"{}", b'{"shared_pieces": "x"}', b"PK\x03\x04 of a checkpoint"]
)
def test_file_that_has_no_pieces_is_refused(tmp_path, content):
    file = tmp_path / "other.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.path=.*other\.json: no file of pieces"):
        PythonPieces(vocab_size=700, path=file).fit(["x = 1"])


def test_pieces_must_be_fitted():
    with pytest.raises(ValueError, match="fitted"):
        PythonPieces(vocab_size=700, path=None).tokenize("x")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("code", BROKEN)
def test_broken_code_is_tokenized(name, code):
    assert isinstance(ALL[name].detokenize(ALL[name].tokenize(code)), str)


@pytest.mark.parametrize("name", ALL)
@given(text=TEXTS)
@settings(max_examples=150)
def test_no_text_raises(name, text):
    ALL[name].detokenize(ALL[name].tokenize(text))


@pytest.mark.parametrize("name", EXACT)
@given(text=TEXTS)
@settings(max_examples=150)
def test_text_survives_tokenization_exactly(name, text):
    assert EXACT[name].detokenize(EXACT[name].tokenize(text)) == text


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet_survives_tokenization_exactly(name, code):
    assert EXACT[name].detokenize(EXACT[name].tokenize(code)) == code


@pytest.mark.parametrize("name", ALL)
def test_a_loaded_state_makes_an_equal_tokenizer(name):
    made = (
        BpeTokenizer(vocab_size=300) if name == "bpe" else type(ALL[name]).__new__(type(ALL[name]))
    )
    made.__dict__.update({} if name == "bpe" else ALL[name].__dict__)
    made.load_state_dict(json.loads(json.dumps(ALL[name].state_dict())))
    assert [made.tokenize(c) for c in SNIPPETS] == [ALL[name].tokenize(c) for c in SNIPPETS]


@pytest.mark.parametrize("name", ALL)
def test_tokenizers_can_be_pickled(name):
    twin = pickle.loads(pickle.dumps(ALL[name]))
    assert twin.tokenize("x = 'a b'") == ALL[name].tokenize("x = 'a b'")


TOKENS = st.sampled_from(
    [*"()[]{}:,.=*-@xf1", *"<nl> <indent> <dedent> <unk> ** lambda def 'a' from import".split()]
)


@pytest.mark.parametrize("name", ALL)
@given(tokens=st.lists(TOKENS | st.text(max_size=3), max_size=40))
@settings(max_examples=150)
def test_any_tokens_can_be_detokenized(name, tokens):
    assert isinstance(ALL[name].detokenize(tokens), str)


def test_python_keeps_the_words_of_broken_code():
    tokens = PythonTokenizer().tokenize("def f(x:\n  if x == 'a':\n    return 1e-5\nprint 'b'")
    assert (
        tokens
        == (
            "def f ( x : <nl> <indent> if x == 'a' : <nl> <indent> return 1e-5 <nl>"
            " <dedent> <dedent> print 'b'"
        ).split()
    )


STYLED = """\
import a


@decorate
class A(B):
    x: int = 3

    def f(self, *args, key=1, other: int = -2, **kw) -> int:
        return args[1:-1] + kw[:, ::2], lambda x, y=1: -x


for i in range(10): print(i, end='')
if not x or (n := f(1)) in (1, 2):
    from ..c import d
    x = {'a': 1, **b}; y = [*c, x if y else -1]"""


def test_python_writes_in_the_style_of_pep_8():
    tokenizer = PythonTokenizer()
    assert tokenizer.detokenize(tokenizer.tokenize(STYLED)) == STYLED


def test_python_imports_neither_spacy_nor_tokenizers():
    code = (
        "import sys, en2py.data.tokenizers;"
        "assert not {'spacy', 'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_spacy_keeps_strings_and_operators_whole_and_marks_spaces():
    tokens = SpacyPythonTokenizer().tokenize("def f(x):\n    return x**2 != 1e-5 or rf'a {x}'")
    assert tokens == (
        ["def ", "f", "(", "x", ")", ":", "\n    ", "return ", "x", "**", "2 ", "!= ", "1e-5 "]
        + ["or ", "rf'a {x}'"]
    )


def test_spacy_ignores_quotes_in_comments():
    tokens = SpacyPythonTokenizer().tokenize("# don't\nx = 'it is'")
    assert tokens == ["# ", "don", "'", "t", "\n", "x ", "= ", "'it is'"]


def test_spacy_keeps_very_long_strings_whole():
    literal = "'" + "ab#" * 300 + " c'"
    tokenizer = SpacyPythonTokenizer()
    assert tokenizer.tokenize(f"x={literal} + 1") == ["x", "=", literal + " ", "+ ", "1"]


def test_english_splits_very_long_words():
    tokens = EnglishTokenizer(lowercase=True).tokenize("A" * 450 + " 'B" + "C" * 300 + "'")
    assert [len(token) for token in tokens] == [200, 200, 50, 1, 199, 102, 1]
    assert tokens[-2] == "C" * 102


def test_spacy_default_joins_by_spaces():
    tokenizer = SpacyDefaultTokenizer()
    assert tokenizer.detokenize(tokenizer.tokenize("x = f(1)")) == "x = f(1 )"


def test_bpe_has_the_configured_vocabulary_size():
    tokenizer = BpeTokenizer(vocab_size=280)
    tokenizer.fit(SNIPPETS * 3)
    assert tokenizer.encoding.get_vocab_size() == 280


@pytest.mark.parametrize("made", ["BpeTokenizer(400)", "PythonPieces(700, None)"])
def test_learning_is_deterministic(made):
    code = (
        f"import json, sys; from en2py.data.tokenizers import *; t = {made};"
        "t.fit(json.load(sys.stdin)); print(t.state_dict())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            input=json.dumps(SNIPPETS).encode(),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        for hash_seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout


def test_bpe_must_be_fitted():
    with pytest.raises(ValueError, match="fitted"):
        BpeTokenizer(vocab_size=300).tokenize("x")


def test_fixed_rules_have_no_state():
    with pytest.raises(ValueError, match="has no state"):
        PythonTokenizer().load_state_dict({"pieces": ""})


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't print x == 'Ab c'!", "do n't print x == ' Ab c ' !"),
        ("sum of [1,2,-3] and f(x,y)", "sum of [ 1 , 2 , - 3 ] and f ( x , y )"),
        ("the User's list, e.g. {'a':1}", "the user 's list , e.g. { ' a ' : 1 }"),
        ("x=5 is 1.5e-3 \n or\t3**2.", "x = 5 is 1.5e-3 or 3 ** 2 ."),
        ('say "Hello World" and `N`', 'say " Hello World " and ` N `'),
    ],
)
def test_english_tokens(text, tokens):
    assert EnglishTokenizer(lowercase=True).tokenize(text) == tokens.split()


def test_english_can_keep_case():
    assert EnglishTokenizer(lowercase=False).tokenize("Sum of N") == ["Sum", "of", "N"]


def test_english_is_detokenized_readably():
    tokenizer = EnglishTokenizer(lowercase=True)
    text = "don't print 'Ab c' (twice), the user's way."
    assert tokenizer.detokenize(tokenizer.tokenize(text)) == text


def tasks_codes() -> list[str]:
    return [pair.code for pair in tasks.read_tasks(DataReport(), n_pairs=800, seed=1)]


def stdlib_codes() -> list[str]:
    path = sysconfig.get_path("stdlib")
    pairs = corpus.read_corpus(DataReport(), path=path, undocumented=False, max_pairs=1_000)
    return [pair.code for pair in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("source", [tasks_codes, stdlib_codes])
def test_round_trip_on_generated_and_library_code(source):
    codes = source()
    assert len(codes) > 700
    assert {name: changed_trees(ALL[name], codes) for name in KEEP_THE_TREE} == {
        name: [] for name in KEEP_THE_TREE
    }


def english_python_codes(root: Path) -> list[str]:
    path = str(root / "english_python_data.txt")
    pairs = english_python.read_english_python(DataReport(), path=path, url="", sha256="")
    codes = dict.fromkeys(pair.code for pair in pairs)  # a third are repeats
    return [textwrap.dedent(code.expandtabs(4)) for code in codes]


def mbpp_codes(root: Path) -> list[str]:
    lines = (root / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["code"] for line in lines]


def conala_codes(root: Path) -> list[str]:
    files = [root / "conala" / f"conala-{split}.json" for split in ("train", "test")]
    records = [r for file in files for r in json.loads(file.read_text(encoding="utf-8"))]
    return [record["snippet"] for record in records]


@pytest.mark.slow
@pytest.mark.parametrize("codes", [english_python_codes, mbpp_codes, conala_codes])
def test_round_trip_on_a_data_set(codes):
    data_set = codes.__name__.removesuffix("_codes")
    if not (root := os.environ.get("EN2PY_DATA")):
        pytest.skip(f"{data_set} not tested: EN2PY_DATA is not set")
    texts = codes(Path(root))
    assert {name: changed_trees(ALL[name], texts) for name in KEEP_THE_TREE} == {
        name: [] for name in KEEP_THE_TREE
    }
