"""Cleaning steps that remove code: comments, docstrings, driver code."""

import ast
import re
import tokenize
from collections.abc import Iterable
from dataclasses import replace

from en2py.data.cleaning.rewriting import tokens_of, tree_text, with_same_tree
from en2py.data.pairs import Pair
from en2py.data.syntax import NOT_A_PROGRAM, Definition, is_main_guard, parse

FENCE = re.compile(
    r"^[ \t]*(```+|~~~+)([^\n`]*)\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)


def remove_fences(pair: Pair) -> Pair:
    """Keep the code inside Markdown fences, if the whole text does not parse.

    The text around the fences is dropped; several blocks become one program. Where some are marked
    as Python, the others are shell commands or output.
    """
    if "```" not in pair.code and "~~~" not in pair.code or parse(pair.code) is not None:
        return pair
    found = [(match[2].strip(" \t{.}").lower(), match[3]) for match in FENCE.finditer(pair.code)]
    found = [(label, text) for label, text in found if text.strip() and label != "pycon"]
    marked = [text for label, text in found if label.startswith(("py", "ipython"))]
    unmarked = [text for label, text in found if not label]
    blocks = marked or unmarked or [text for _, text in found]
    program = "\n".join(text.strip("\n") for text in blocks)
    return replace(pair, code=program) if program.strip() else pair


def remove_comments(pair: Pair) -> Pair:
    """Remove comments, and lines with nothing but a comment."""
    if "#" not in pair.code or tree_text(pair.code) is None:
        return pair
    lines: list[str | None] = [*pair.code.split("\n")]
    for token in tokens_of(pair.code):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = token.line[:column].rstrip() or None
    return with_same_tree(pair, "\n".join(line for line in lines if line is not None))


def remove_docstrings(pair: Pair) -> Pair:
    """Remove docstrings and other strings that are statements.

    A body without other statements becomes `pass`; such a program becomes empty. A program that
    reads a docstring (`__doc__`) keeps all.
    """
    tree = parse(pair.code)
    if tree is None or "__doc__" in pair.code:
        return pair
    cuts = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return _without(pair, tree, cuts)


def remove_driver(pair: Pair) -> Pair:
    """Remove statements after the last definition: calls, prints, tests, `if __name__ == ...`.

    Imports stay, and so do assignments to a name used by a definition or by a test of the pair, and
    to its items and attributes, also within a loop. A program without definitions stays unchanged.
    """
    tree = parse(pair.code)
    if tree is None:
        return pair
    last = max((i for i, s in enumerate(tree.body) if isinstance(s, Definition)), default=None)
    if last is None:
        return pair
    used = {
        name
        for statement in tree.body[: last + 1]
        for node in ast.walk(statement)
        if (name := getattr(node, "id", None) or getattr(node, "name", None))
    } | _needed_by(pair.tests)
    cuts, bound = list[ast.stmt](), set[str | None]()  # `bound` by what stays
    for i, statement in enumerate(tree.body):
        if (i > last and not _sets(statement, used, bound)) or is_main_guard(statement):
            cuts.append(statement)
        else:
            bound |= {node.id for node in _stored(statement) if isinstance(node, ast.Name)}
    return _without(pair, tree, cuts)


def _needed_by(tests: Iterable[str]) -> set[str]:
    """Return the names that tests read and do not set themselves."""
    found: set[str] = set()
    for tree in filter(None, map(parse, tests)):
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        found |= {node.id for node in names} - own
    return found


def _sets(statement: ast.stmt, used: set[str], bound: set[str | None]) -> bool:
    """Return whether a statement is an import, or sets a name that definitions use.

    It assigns to the name, or changes what was assigned: `N += 1`, `TABLE["a"] = 1`, a loop of
    these.
    """
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return True
    stored = _stored(statement)
    changed = {_root(node) for node in stored} & bound & used
    is_new = isinstance(statement, (ast.Assign, ast.AnnAssign))
    return bool(changed) or (is_new and any(getattr(node, "id", "") in used for node in stored))


def _stored(statement: ast.stmt) -> list[ast.AST]:
    """Return the targets of a statement; of a definition none, for they are its own."""
    if isinstance(statement, Definition):
        return []
    return [n for n in ast.walk(statement) if isinstance(getattr(n, "ctx", 0), ast.Store)]


def _root(target: ast.AST) -> str | None:
    """Return the name of a target: `TABLE` of `TABLE["a"].b`; None where there is none."""
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _without(pair: Pair, tree: ast.Module, cuts: Iterable[ast.stmt]) -> Pair:
    """Remove statements from the text; keep the pair if the new tree is not as expected."""
    gone = set(cuts)
    if not gone or "\r" in pair.code:  # which ends a line for Python
        return pair
    # Lines as bytes, because the columns of a tree count bytes.
    lines = [line.encode() for line in pair.code.split("\n")]
    for body in sorted(_bodies(tree), key=lambda body: body[0].lineno, reverse=True):
        _cut(lines, body, gone, is_module=body is tree.body)
    code = b"\n".join(lines).decode().strip("\n")
    for body in list(_bodies(tree)):
        kept = [statement for statement in body if statement not in gone]
        body[:] = kept if kept or body is tree.body else [ast.Pass()]
    return replace(pair, code=code) if tree_text(code) == _text_of(tree) else pair


def _bodies(tree: ast.Module) -> Iterable[list[ast.stmt]]:
    """Yield all non-empty lists of statements."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body:
                yield body


def _text_of(tree: ast.Module) -> str | None:
    try:
        return tree_text(ast.unparse(tree))
    except NOT_A_PROGRAM:
        return None


def _cut(lines: list[bytes], body: list[ast.stmt], gone: set[ast.stmt], is_module: bool) -> None:
    """Remove statements of one body, the last first, so that positions before it stay valid."""
    whole = all(statement in gone for statement in body) and not is_module
    for i in reversed(range(len(body))):
        statement = body[i]
        if statement not in gone:
            continue
        start_row, end_row = statement.lineno - 1, (statement.end_lineno or 0) - 1
        before = lines[start_row][: statement.col_offset]
        after = lines[end_row][statement.end_col_offset or 0 :]
        rest = after.lstrip(b" \t;")
        if whole and i == 0:
            new = [before + b"pass" + after]
        elif before.strip() and (not rest or rest.startswith(b"#")):
            new = [before.rstrip(b" \t;") + (b"  " + rest if rest else b"")]
        elif before.strip() or rest:
            new = [before + rest]
        else:
            new = []
        lines[start_row : end_row + 1] = new
