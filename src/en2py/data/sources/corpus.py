"""Mine functions of Python source trees: a description and the code without its docstring.

The description is the first sentence of the docstring, or is made from the name and the parameters.
"""

import ast
import inspect
import os
import platform
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import PositiveInt

from en2py.data.pairs import DataReport, Pair
from en2py.data.splits import random_key
from en2py.data.syntax import parse
from en2py.errors import UserError

# Tests have poor docstrings, idlelib and the like are programs, the last two are third-party.
SKIPPED_FOLDERS = {
    *("test", "tests", "idlelib", "turtledemo", "lib2to3", "pydoc_data", "encodings"),
    *("__pycache__", "site-packages", "dist-packages"),
}
MAX_FILE = 2_000_000  # bytes; larger ones are tables
MAX_CODE = 1_000  # characters
WORDS = range(3, 41)  # of a description

Function = ast.FunctionDef | ast.AsyncFunctionDef

SIGNATURE = re.compile(
    r"[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)(?:\s*->\s*[\w.\[\], ()]+?(?=[.:\n]|$))?"
)
SENTENCE_END = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\betc)(?<!\bcf)[.!?](?=\s+[A-Z\"'(`*<\[]|\s*$)"
)
ROLE = re.compile(r":[a-z:]+:`~?([^`]*)`")  # :meth:`x`
WORDS_OF_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
QUOTED = re.compile(r"``?([^`']*)(?:``?|')")  # ``x``, `x`, `x'
STARRED = re.compile(r"(?<!\w)\*{1,2}(\w[\w.]*)\*{1,2}(?!\w)")  # *x*

# Beginnings of sentences that describe a function by another function or by its caller.
ELSEWHERE = re.compile(
    r"(?:the |just |exactly |internal |private )*(?:same as|like|see|used|called|callback|helper"
    r"|internal|private|fallback|hook|overrid\w+|overload\w*|alias|deprecated|obsolete|included|equivalent"
    r"|similar|implements? the|wrapper|backwards?|compatib\w+|todo|xxx|shortcut for|method for)\b",
    re.IGNORECASE,
)


def read_stdlib(report: DataReport, *, root: str | None) -> list[Pair]:
    """Mine the documented functions of one source tree.

    Args:
        report: Receives the counts of each rule.
        root: A folder of Python files; None for the standard library of the running Python, so
            that the pairs depend on its version.

    Returns:
        The pairs, by file and by line. An id is `stdlib/<file>:<line>`.

    Raises:
        UserError: If there is no pair in it.
    """
    folder = sysconfig.get_path("stdlib") if root is None else root
    pairs = _mined("stdlib", {"stdlib": Path(folder).expanduser()}, report, undocumented=False)
    if root is None:
        report.facts["stdlib: python"] = platform.python_version()
    if not pairs:
        raise _empty("data.root", folder, report.facts["stdlib: functions"])
    return pairs


def read_corpus(
    report: DataReport,
    *,
    path: str | Sequence[str],
    undocumented: bool,
    max_pairs: PositiveInt | None,
) -> list[Pair]:
    """Mine the functions of source trees, folders of installed packages among them.

    Args:
        report: Receives the counts of each rule.
        path: One or more folders of Python files.
        undocumented: Take functions without a docstring too, described by name and parameters.
        max_pairs: Read files in a random order until there are so many pairs; None: all files.

    Returns:
        The pairs by file and line. An id is `corpus/<folder>/<file>:<line>`.

    Raises:
        UserError: If there is no pair in them.
    """
    paths = [path] if isinstance(path, str) else path
    folders = list(dict.fromkeys(Path(name).expanduser().resolve() for name in paths))
    names = Counter(folder.name for folder in folders)
    roots: dict[str, Path] = {}
    for i, folder in enumerate(folders):
        root = f"corpus/{folder.name}"
        if names[folder.name] > 1:
            root = f"{root}-{i}"
        if root in roots:  # `a-1` beside two folders `a`
            root = f"{root}-{i}"
        roots[root] = folder
    pairs = _mined("corpus", roots, report, undocumented, max_pairs)
    if not pairs:
        places = ", ".join(map(str, folders))
        raise _empty("data.path", places, report.facts["corpus: functions"])
    return pairs


def _empty(key: str, places: str, counts: Mapping[str, int]) -> UserError:
    return UserError(
        f"{key}={places} holds no pair: {counts.get('functions', 0):,} functions,"
        f" {counts.get('with a docstring', 0):,} of them with a docstring"
    )


def _mined(
    name: str,
    roots: Mapping[str, Path],
    report: DataReport,
    undocumented: bool,
    max_pairs: int | None = None,
) -> list[Pair]:
    """Return the pairs of source trees.

    The keys of `roots` are the first parts of ids. With `max_pairs`, files are read in a random
    order until there are so many pairs.
    """
    pairs: list[Pair] = []
    counts: Counter[str] = Counter()
    files = [
        (f"{prefix}/{file.relative_to(root).as_posix()}", file)
        for prefix, root in roots.items()
        for file in _python_files(root)
    ]
    if max_pairs is not None:
        files.sort(key=lambda named: random_key(named[0], 0))
    for file_id, file in files:
        if max_pairs is not None and len(pairs) >= max_pairs:
            break
        report.read(f"{name}: files")
        text = _text(file)
        tree = parse(text) if text is not None else None
        if text is None or tree is None:
            reason = "cannot be read" if text is None else "does not parse"
            report.dropped(f"{name}: files", file_id, reason)
            continue
        lines = text.split("\n")
        for function, nested in _functions(tree):
            counts["functions"] += 1
            documented = ast.get_docstring(function, clean=False) is not None
            counts["with a docstring"] += documented
            if documented or undocumented:
                pairs += _pair(function, nested, lines, f"{file_id}:{function.lineno}", report)
    report.facts[f"{name}: functions"] = dict(counts)
    pairs = pairs[:max_pairs]
    report.read(f"{name}: pairs", len(pairs))
    return pairs


def _python_files(root: Path) -> Iterator[Path]:
    """Yield the Python files of a tree in the same order on every machine."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith("test_"):
                yield Path(folder, name)


def _text(file: Path) -> str | None:
    """Return the text of a Python file in its declared encoding, None if it cannot be read."""
    try:
        if not file.is_file() or file.stat().st_size > MAX_FILE:
            return None
        with tokenize.open(file) as stream:
            return stream.read()
    except (OSError, SyntaxError, ValueError, LookupError):
        return None


def _functions(tree: ast.AST, nested: bool = False) -> Iterator[tuple[Function, bool]]:
    """Yield the functions in the order of their lines, and whether they are nested in another."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield node, nested
            yield from _functions(node, nested=True)
        elif isinstance(node, ast.stmt | ast.ExceptHandler):
            yield from _functions(node, nested)


def _pair(
    function: Function, nested: bool, lines: list[str], pair_id: str, report: DataReport
) -> list[Pair]:
    """Create the pair of a function; an empty list if a rule drops it."""
    name = pair_id.partition("/")[0]
    docstring = ast.get_docstring(function, clean=False)
    documented = docstring is not None
    text = described(function) if docstring is None else first_sentence(docstring)
    code = _code(function, documented, lines)
    dunder = function.name.startswith("__") and function.name.endswith("__")
    for rule, reason in (
        ("nested functions", "nested in another function" if nested else ""),
        ("special methods", "called by Python itself" if dunder else ""),
        ("stubs", _stub(function, documented)),
        ("one-line bodies", _shared_line(function, lines) if documented else ""),
        ("descriptions", _no_description(text)),
        ("length", f"more than {MAX_CODE:,} characters" if len(code) > MAX_CODE else ""),
        ("syntax", "" if parse(code) else "does not parse alone"),
    ):
        report.read(f"{name}: {rule}")
        if reason:
            report.dropped(f"{name}: {rule}", pair_id, reason)
            return []
    return [Pair(pair_id, text, code, name)]


def described(function: Function) -> str:
    """Return the words of a function's name and parameters: `load state dict given state`."""
    arguments = function.args
    given = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    given = [name for name in given if name not in ("self", "cls")]
    words = " ".join(WORDS_OF_NAME.findall(function.name)).lower()
    return words + (" given " + ", ".join(given) if given else "")


def _stub(function: Function, documented: bool) -> str:
    """Return why a body is a stub; empty if it is not."""
    decorators = {ast.unparse(node).rpartition(".")[2] for node in function.decorator_list}
    if decorators & {"overload", "abstractmethod"}:
        return "overload or abstract"
    match function.body[documented:]:
        case [] | [ast.Pass()] | [ast.Expr(ast.Constant())]:
            return "empty body"
        case [ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name)))]:
            return f"only raises {name}" if name == "NotImplementedError" else ""
    return ""


def _shared_line(function: Function, lines: list[str]) -> str:
    """Return why a docstring cannot be cut out; empty if only a comment shares its lines."""
    docstring = function.body[0]
    first, last = lines[docstring.lineno - 1], lines[(docstring.end_lineno or 1) - 1]
    before = first.encode()[: docstring.col_offset].strip()
    after = last.encode()[docstring.end_col_offset :].strip()
    return "docstring and code on one line" if before or after[:1] not in (b"", b"#") else ""


def _code(function: Function, documented: bool, lines: list[str]) -> str:
    """Return the dedented code of a function without its docstring."""
    start = min([function.lineno, *(node.lineno for node in function.decorator_list)])
    numbers = [*range(start, (function.end_lineno or 0) + 1)]
    if documented:
        docstring = function.body[0]
        end, resume = function.end_lineno or 0, (docstring.end_lineno or 0) + 1
        while resume < end and not lines[resume - 1].strip():
            resume += 1
        numbers = [*range(start, docstring.lineno), *range(resume, end + 1)]
    margin = lines[function.lineno - 1][: function.col_offset]
    kept = _string_lines(function, lines)  # the inside of a string is not layout
    moved = (
        lines[n - 1] if n in kept else lines[n - 1].removeprefix(margin).rstrip() for n in numbers
    )
    return "\n".join(moved)


def _string_lines(function: Function, lines: list[str]) -> set[int]:
    """Return the numbers of the lines whose start is inside a string."""
    inside: set[int] = set()
    for node in ast.walk(function):
        string = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
        if string and isinstance(node, ast.expr) and node.end_lineno != node.lineno:
            span = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            # Without these it is a concatenation of strings on several lines.
            if '"""' in span or "'''" in span or "\\\n" in span:
                inside.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))
    return inside


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring on one line, without markup and full stop."""
    text = inspect.cleandoc(docstring)
    if signature := SIGNATURE.match(text):  # `split(text) -> list`, as in C modules
        text = text[signature.end() :].lstrip(" \n.:->")
    text = " ".join(text.split("\n\n", 1)[0].split())
    if end := SENTENCE_END.search(text):
        text = text[: end.start()]
    text = STARRED.sub(r"\1", QUOTED.sub(r"\1", ROLE.sub(r"\1", text)))
    return text.strip(" :;,-")


def _no_description(text: str) -> str:
    """Return why a first sentence is no description; empty if it is one."""
    words = text.split()
    if len(words) < WORDS.start:
        return f"fewer than {WORDS.start} words"
    if len(words) >= WORDS.stop:
        return f"more than {WORDS.stop - 1} words"
    if ELSEWHERE.match(text):
        return "refers to another function"
    letters = sum(character.isalpha() for character in text)
    if ">>>" in text or letters < 0.7 * len("".join(words)):
        return "more symbols than words"
    return ""
