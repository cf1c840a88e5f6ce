"""Pairs mined from source trees: selection, code, and counts of each rule."""

import ast
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from en2py.data.pairs import DataReport
from en2py.data.sources import corpus
from en2py.data.syntax import parse
from en2py.errors import UserError

MODULE = '''
import typing

def double(x):
    """Return twice the number x.  More is said here."""

    return 2 * x

class Shop:
    @property
    def total(self):
        """Sum up ``prices`` of :attr:`items`

        at once."""
        text = """
  kept as it is
"""
        return text

    def __len__(self):
        """Return the number of items."""
        return 3

    def stub(self):
        """Return what the heirs return."""
        raise NotImplementedError

def outer():
    def inner():
        """Return one more than nothing."""
        return 1

def short():
    """Add."""
    return 1

def same(x):
    """Same as double, but slower."""
    return x + x

def one_line(x): """Return x as it came in."""; return x

def long(x):
    """Return a very long text."""
    return "%s"

def undocumented(x):
    return x
''' % ("x" * 1000)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "b.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "t.py").write_text(MODULE)
    return str(tmp_path)


def test_documented_functions_become_pairs(tree):
    pairs = corpus.read_stdlib(DataReport(), root=tree)
    assert [(pair.id, pair.description) for pair in pairs] == [
        ("stdlib/b.py:4", "Return twice the number x"),
        ("stdlib/b.py:11", "Sum up prices of items"),
    ]


def test_code_is_the_dedented_function_without_its_docstring(tree):
    codes = [pair.code for pair in corpus.read_stdlib(DataReport(), root=tree)]
    assert codes == [
        "def double(x):\n    return 2 * x",
        '@property\ndef total(self):\n    text = """\n  kept as it is\n"""\n    return text',
    ]


def test_each_rule_counts_what_it_drops(tree):
    report = DataReport()
    corpus.read_stdlib(report, root=tree)
    dropped = {name: dict(s.reasons) for name, s in report.steps.items() if s.dropped}
    assert dropped == {
        "stdlib: files": {"does not parse": 1},
        "stdlib: nested functions": {"nested in another function": 1},
        "stdlib: special methods": {"called by Python itself": 1},
        "stdlib: stubs": {"only raises NotImplementedError": 1},
        "stdlib: one-line bodies": {"docstring and code on one line": 1},
        "stdlib: descriptions": {"fewer than 3 words": 1, "refers to another function": 1},
        "stdlib: length": {"more than 1,000 characters": 1},
    }


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return x. And more.", "Return x"),
        ("Return x, e.g. 3, at once.", "Return x, e.g. 3, at once"),
        ("split(text, sep=None) -> list of str\n\nCut a text.", "Cut a text"),
        ("Return the\n    next item.\n\n    Long story.", "Return the next item"),
        ("Return `x' or ``y`` or *z*:", "Return x or y or z"),
        ("", ""),
    ],
)
def test_first_sentence_of_a_docstring(docstring, sentence):
    assert corpus.first_sentence(docstring) == sentence


@given(st.text(max_size=200))
def test_first_sentence_of_any_docstring_is_one_line(docstring):
    assert len(corpus.first_sentence(docstring).splitlines()) <= 1


@given(st.text(max_size=60))
def test_any_python_file_returns_pairs_or_raises_a_user_error(text):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.py").write_text(text, encoding="utf-8", errors="replace")
        with pytest.raises(UserError, match="holds no pair"):
            corpus.read_stdlib(DataReport(), root=folder)


def mined(report=None, **settings):
    settings = {"undocumented": True, "max_pairs": None, **settings}
    return corpus.read_corpus(report or DataReport(), **settings)


def test_function_without_docstring_is_described_by_name_and_parameters(tree):
    (Path(tree) / "b.py").write_text(
        "class A:\n    def loadStateDict(self, state_dict, *, strict):\n        return strict\n"
    )
    [pair] = mined(path=tree)
    assert pair.description == "load state dict given state_dict, strict"
    assert pair.code == "def loadStateDict(self, state_dict, *, strict):\n    return strict"


def test_corpus_without_undocumented_functions_has_the_pairs_of_docstrings(tree):
    texts = [pair.description for pair in mined(path=tree, undocumented=False)]
    assert texts == [pair.description for pair in corpus.read_stdlib(DataReport(), root=tree)]


def test_folders_of_one_name_have_different_ids(tree, tmp_path):
    other = tmp_path / "below" / Path(tree).name
    other.mkdir(parents=True)
    (other / "a.py").write_text(MODULE)
    pairs = mined(path=[tree, str(other)])
    assert {pair.id.split("/")[1] for pair in pairs} == {f"{other.name}-{i}" for i in (0, 1)}
    assert len({pair.id for pair in pairs}) == len(pairs)


def test_a_folder_named_as_the_id_of_another_is_read_too(tree, tmp_path):
    paths = [tree]
    for name in (f"below/{Path(tree).name}", f"{Path(tree).name}-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text(MODULE)
        paths.append(str(tmp_path / name))
    assert len({pair.id.split("/")[1] for pair in mined(path=paths)}) == 3


def test_a_folder_that_is_named_twice_is_read_once(tree):
    assert mined(path=[tree, f"{tree}/."]) == mined(path=tree)


def test_larger_sample_contains_the_smaller(tree):
    for i in range(8):
        (Path(tree) / f"m{i}.py").write_text(f"def add_{i}(a, b):\n    return a + b + {i}\n")
    small, large = ([p.id for p in mined(path=tree, max_pairs=n)] for n in (3, 7))
    assert large[:3] == small and len(large) == 7


def test_pairs_of_a_sample_are_counted_without_those_left_out(tree):
    report = DataReport()
    assert len(mined(report, path=tree, max_pairs=1)) == 1
    assert report.steps["corpus: pairs"].read == 1


@pytest.mark.parametrize("name", ["missing", "b.py"])
def test_path_that_is_no_folder_is_refused(tree, name):
    with pytest.raises(UserError, match="data.path="):
        mined(path=[f"{tree}/{name}"])


@pytest.mark.parametrize("name", ["missing", "b.py"])
def test_root_that_is_no_folder_is_refused(tree, name):
    with pytest.raises(UserError, match="data.root="):
        corpus.read_stdlib(DataReport(), root=f"{tree}/{name}")


@pytest.mark.parametrize("package", ["email", "multiprocessing", "unittest"])
def test_code_has_the_tree_of_the_function_without_its_docstring(package):
    root = Path(ast.__file__).parent / package
    trees: dict[str, dict[int, ast.AST]] = {}
    wrong = []
    for pair in corpus.read_stdlib(DataReport(), root=str(root)):
        file, line = pair.id.removeprefix("stdlib/").rsplit(":", 1)
        if file not in trees:
            tree = parse((root / file).read_text(encoding="utf-8"))
            trees[file] = {n.lineno: n for n in ast.walk(tree) if isinstance(n, corpus.Function)}
        function = trees[file][int(line)]
        function.body = function.body[1:]
        if ast.dump(ast.parse(pair.code)) != ast.dump(ast.Module([function], [])):
            wrong.append(pair.id)
    assert trees and wrong == []


@pytest.mark.slow
def test_standard_library_has_thousands_of_pairs_that_parse():
    pairs = corpus.read_stdlib(DataReport(), root=None)
    assert len({pair.id for pair in pairs}) == len(pairs) > 3500
    assert [pair.id for pair in pairs if parse(pair.code) is None] == []
