"""Parse code, and walk through syntax trees."""

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

# Raised for text that is no program: NUL bytes and lone surrogates are ValueErrors, deep nesting is
# a RecursionError or MemoryError, depending on the Python version.
NOT_A_PROGRAM = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def attempt(function: Callable[[], T]) -> T | None:
    """Call a function without warnings; return None if the text is no program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid escape sequence" and the like, once per program
        try:
            return function()
        except NOT_A_PROGRAM:
            return None


def parse(code: str) -> ast.Module | None:
    """Return the syntax tree of a program, None if it does not parse; never raises."""
    return attempt(lambda: ast.parse(code))


def compile_error(code: str, flags: int = 0) -> Exception | None:
    """Return why a program does not compile with these flags, None if it does; it is not run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `x is 1`, invalid escapes
        try:
            compile(code, "<code>", "exec", flags, dont_inherit=True)
        except NOT_A_PROGRAM as error:
            return error
    return None


def is_main_guard(statement: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__"`, which an import skips."""
    return isinstance(statement, ast.If) and "'__name__'" in ast.dump(statement.test)


def has_assert(code: str) -> bool:
    """Return whether a program runs an assert: outside of definitions, or in one that it names."""
    tree = parse(code)
    body = [] if tree is None else tree.body
    named = {
        node.id
        for statement in body
        if not isinstance(statement, Definition)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    return any(
        any(isinstance(node, ast.Assert) for node in ast.walk(statement))
        for statement in body
        if not isinstance(statement, Definition) or statement.name in named
    )


def needed_python(code: str) -> str:
    """Return `needs Python 3.12` for code with syntax newer than the running Python; else empty.

    The new syntax is replaced by older syntax of the same form; then the code has to parse.
    """
    if parse(code) is not None:
        return ""
    for version, pattern, replacement in _NEW_SYNTAX:
        code = pattern.sub(replacement, code)
        if sys.version_info < version and parse(code) is not None:
            return f"needs Python {version[0]}.{version[1]}"
    return ""


# The fields of f-strings that may have the quote of the string in them, a backslash or a comment.
_NEW_FIELD = re.compile(r"\{(?=[^{}]*['\"\\#])(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")
_DEFINITION = r"^([ \t]*(?:async def|def|class) \w+)"
# Version, pattern of the syntax that it added, older syntax in its place.
_NEW_SYNTAX: tuple[tuple[tuple[int, int], re.Pattern[str], Any], ...] = (
    ((3, 12), re.compile(r"(?i)\b(?:fr?|rf)['\"].*"), lambda line: _NEW_FIELD.sub("0", line[0])),
    ((3, 12), re.compile(r"^([ \t]*)type (\w+)(?:\[[^\n=]*\])? *=", re.MULTILINE), r"\1\2 ="),
    ((3, 12), re.compile(rf"{_DEFINITION}\[[^\n=]*?\](?=[(:])", re.MULTILINE), r"\1"),
    ((3, 13), re.compile(rf"{_DEFINITION}\[[^\n]*?\](?=[(:])", re.MULTILINE), r"\1"),
    ((3, 14), re.compile(r"\b[tT](?=['\"])"), "f"),
)


def first_definition(tree: ast.Module) -> str | None:
    """Return the name of the first function or class, None if there is none."""
    return next((node.name for node in tree.body if isinstance(node, Definition)), None)


def text_between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two (line, column) positions; lines count from one."""
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "\n".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


def names(tree: ast.Module) -> list[str]:
    """Return every occurrence of a name in a program, without keywords."""
    fields = ((node, name) for node in nodes(tree) for name in _NAME_FIELDS.get(type(node), ()))
    return [value for node, name in fields if isinstance(value := getattr(node, name), str)]


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a tree, in no order; twice as fast as `ast.walk`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [item for item in value if isinstance(item, ast.AST)]


# The fields that hold a name, by the class of the node: most hold none.
_NAME_FIELDS = {
    kind: fields
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
    if (
        fields := tuple(
            field
            for field in ("id", "attr", "arg", "name", "asname", "rest", "module")
            if field in kind._fields
        )
    )
}
