"""Mine documented functions of a Python source tree: first sentence of the docstring and code.

The default tree is the standard library of the running Python, so the pairs depend on the Python
version.
"""

import ast
import inspect
import io
import os
import platform
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from en2py.data.pairs import DataReport, Pair
from en2py.data.syntax import parse
from en2py.errors import UserError

NAME = "stdlib"
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
    """Mine pairs from a source tree.

    Args:
        report: Receives the counts of each rule.
        root: A folder of Python files; None for the standard library of the running Python.

    Returns:
        The pairs, by file and by line. An id is `stdlib/<file>:<line>`.

    Raises:
        UserError: If there is no such folder, or no pair in it.
    """
    folder = Path(root).expanduser() if root is not None else Path(sysconfig.get_path("stdlib"))
    if not folder.is_dir():
        reason = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"data.root={folder} {reason}; name a folder of Python files")
    pairs: list[Pair] = []
    counts: Counter[str] = Counter()
    for file in _python_files(folder):
        name = file.relative_to(folder).as_posix()
        report.read(f"{NAME}: files")
        text = _text(file)
        tree = parse(text) if text is not None else None
        if text is None or tree is None:
            reason = "cannot be read" if text is None else "does not parse"
            report.dropped(f"{NAME}: files", f"{NAME}/{name}", reason)
            continue
        lines = text.split("\n")
        for function, nested in _functions(tree):
            counts["functions"] += 1
            if ast.get_docstring(function, clean=False) is not None:
                counts["with a docstring"] += 1
                pairs += _pair(function, nested, lines, f"{NAME}/{name}", report)
    report.facts[f"{NAME}: functions"] = dict(counts)
    if root is None:
        report.facts[f"{NAME}: python"] = platform.python_version()
    if not pairs:
        raise UserError(
            f"data.root={folder} holds no pair: {counts['functions']:,} functions,"
            f" {counts['with a docstring']:,} of them with a docstring"
        )
    report.read(f"{NAME}: pairs", len(pairs))
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
        data = file.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
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
    function: Function, nested: bool, lines: list[str], file: str, report: DataReport
) -> list[Pair]:
    """Create the pair of a documented function; an empty list if a rule drops it."""
    pair_id = f"{file}:{function.lineno}"
    docstring = function.body[0]
    text = first_sentence(ast.get_docstring(function, clean=False) or "")
    code = _code(function, lines)
    dunder = function.name.startswith("__") and function.name.endswith("__")
    for rule, reason in (
        ("nested functions", "nested in another function" if nested else ""),
        ("special methods", "called by Python itself" if dunder else ""),
        ("stubs", _stub(function)),
        (
            "one-line bodies",
            "" if _has_own_lines(docstring, lines) else "docstring and code on one line",
        ),
        ("descriptions", _no_description(text)),
        ("length", f"more than {MAX_CODE:,} characters" if len(code) > MAX_CODE else ""),
        ("syntax", "" if parse(code) else "does not parse alone"),
    ):
        report.read(f"{NAME}: {rule}")
        if reason:
            report.dropped(f"{NAME}: {rule}", pair_id, reason)
            return []
    return [Pair(pair_id, text, code, NAME)]


def _stub(function: Function) -> str:
    """Return why a body is a stub; empty if it is not."""
    decorators = {ast.unparse(node).rpartition(".")[2] for node in function.decorator_list}
    if decorators & {"overload", "abstractmethod"}:
        return "overload or abstract"
    match function.body[1:]:
        case [] | [ast.Pass()] | [ast.Expr(ast.Constant())]:
            return "empty body"
        case [ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name)))]:
            return f"only raises {name}" if name == "NotImplementedError" else ""
    return ""


def _has_own_lines(statement: ast.stmt, lines: list[str]) -> bool:
    """Return whether a statement shares its lines with nothing but a comment."""
    first, last = lines[statement.lineno - 1], lines[(statement.end_lineno or 1) - 1]
    before = first.encode()[: statement.col_offset]
    after = last.encode()[statement.end_col_offset :].strip()
    return not before.strip() and (not after or after.startswith(b"#"))


def _code(function: Function, lines: list[str]) -> str:
    """Return the dedented code of a function without its docstring."""
    docstring = function.body[0]
    start = min([function.lineno, *(node.lineno for node in function.decorator_list)])
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
