"""Rename the names that a program binds without changing its behaviour.

A name is replaced at every occurrence, in all scopes at once, by a name that does not occur yet.
That keeps the behaviour whatever the scopes are (closures, `global`, comprehensions), if every
occurrence is a name bound by the program and names are not used as strings. `own_names` leaves out
each name for which the text does not prove this.
"""

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Set

from en2py.data.syntax import parse, text_between

FUNCTION, ARGUMENT, VARIABLE = "function", "argument", "variable"
RESERVED = frozenset({*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls"})

# With one of these names, or an import of a module below, names may be used as strings.
_REFLECTION = frozenset(
    "exec eval compile globals locals vars dir getattr setattr hasattr delattr help breakpoint"
    " __import__ __dict__ __code__ __qualname__ __globals__ __annotations__ __defaults__"
    " __kwdefaults__ __main__ _getframe f_locals f_globals format_map".split()
)
_REFLECTING = frozenset("inspect ast dis symtable traceback ctypes pdb __main__".split())
# Decorators that do not use the name and arguments of the function.
_HARMLESS = frozenset(
    "staticmethod classmethod property setter abstractmethod cache lru_cache wraps contextmanager"
    " total_ordering".split()
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def own_names(program: str) -> dict[str, str]:
    """Find the names that can be changed without changing the behaviour.

    The program contains its tests if they will be renamed too.

    Returns:
        The kind of each such name: `function`, `argument` (of some function) or `variable`. Never a
        class, a method, an attribute or an import. Empty if the program may inspect its own names.
    """
    tree = parse(program)
    if tree is None or _reflects(tree):
        return {}
    found = _Names(tree)
    kinds = {
        **dict.fromkeys(found.variables, VARIABLE),
        **dict.fromkeys(found.functions, FUNCTION),
        **dict.fromkeys(found.arguments, ARGUMENT),
    }
    fixed = RESERVED | found.fixed | _fixed_by_keywords(tree, found)
    fixed |= found.arguments & set(found.functions)  # of two kinds at once
    return {n: k for n, k in sorted(kinds.items()) if n not in fixed and not n.startswith("_")}


def with_names(text: str, names: Mapping[str, str], keywords: Set[str]) -> str:
    """Replace names in a text and change nothing else.

    Args:
        text: Code that parses.
        names: The new name of each name to change.
        keywords: The names to replace in `f(name=1)` too: arguments of own functions.
    """
    lines = text.split("\n")
    kept = _keyword_positions(text, set(names) - keywords)
    pieces: list[str] = []
    row, column, dot = 1, 0, False  # end of the copied text; whether an attribute follows
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = token.type == tokenize.NAME and token.string in names
        if name and not dot and token.start not in kept:
            pieces += [text_between(lines, (row, column), token.start), names[token.string]]
            row, column = token.end
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            dot = token.string == "."
    pieces.append(text_between(lines, (row, column), (len(lines), len(lines[-1]))))
    return "".join(pieces)


def _keyword_positions(text: str, names: Set[str]) -> set[tuple[int, int]]:
    """Return line and column of each `name=` in a call."""
    lines = text.split("\n")
    positions = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg in names:
            before = lines[node.lineno - 1].encode()[: node.col_offset]  # `ast` counts bytes
            positions.add((node.lineno, len(before.decode(errors="replace"))))
    return positions


def _reflects(tree: ast.Module) -> bool:
    """Return whether a program may inspect its names, or imports all names of a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _REFLECTION:
                return True
            case ast.ImportFrom(module=module, names=aliases):
                modules = {str(module).split(".")[0]}
                if modules & _REFLECTING or any(alias.name == "*" for alias in aliases):
                    return True
            case ast.Attribute(attr="__name__"):
                return True
            case ast.Import(names=aliases):
                if {alias.name.split(".")[0] for alias in aliases} & _REFLECTING:
                    return True
    return False


class _Names:
    """The names that a program binds, by kind, and the names that must not change."""

    def __init__(self, tree: ast.Module) -> None:
        self.variables: set[str] = set()
        self.arguments: set[str] = set()
        self.functions: dict[str, list[_Function]] = {}
        self.bindings: Counter[str] = Counter()
        self.fixed: set[str] = set()
        for node in ast.walk(tree):
            self._visit(node)
        self.bindings.update(name for name, made in self.functions.items() for _ in made)

    def _visit(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self._bind(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
                self._bind(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._bind(name)
            case ast.arg(arg=name):
                self.arguments.add(name)
                self.bindings[name] += 1
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self.functions.setdefault(name, []).append(node)
                if not all(_last_name(d) in _HARMLESS for d in node.decorator_list):
                    self.fixed.update([name, *_all_names(node.args)])
            case ast.ClassDef(name=name):
                self.fixed.update([name, *_bound_in_class(node)])
            case ast.alias(name=name, asname=asname):
                self.fixed.update([*name.split("."), str(asname)])
            case ast.ImportFrom(module=str(module)):
                self.fixed.update(module.split("."))
            case ast.MatchClass(kwd_attrs=names):
                self.fixed.update(names)
            # Before Python 3.12 the positions of names in an f-string are unknown.
            case ast.JoinedStr():
                self.fixed.update(_all_names(node))
            # A string may be a format, a query or an annotation.
            case ast.Constant(value=str(text)):
                self.fixed.update(re.findall(r"\w+", text))
            case _ if type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple", "TypeAlias"):
                self.fixed.update(_all_names(node))

    def _bind(self, name: str) -> None:
        self.variables.add(name)
        self.bindings[name] += 1


def _fixed_by_keywords(tree: ast.Module, found: _Names) -> set[str]:
    """Return the arguments passed by keyword to functions that cannot be identified."""
    fixed = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call | ast.ClassDef):
            continue
        known: set[str] = set()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            functions = found.functions.get(node.func.id, [])
            if len(functions) == found.bindings[node.func.id] == 1:
                arguments = functions[0].args
                known = {arg.arg for arg in (*arguments.args, *arguments.kwonlyargs)}
        for called in node.keywords:
            if called.arg is None:
                return found.arguments  # `f(**anything)`
            if called.arg in found.arguments and called.arg not in known:
                fixed.add(called.arg)
    return fixed


def _last_name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    match decorator:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _bound_in_class(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names bound in the body of a class, which are attributes outside it."""
    for inner in node.body:
        if isinstance(inner, _Function | ast.ClassDef):
            yield inner.name
        else:
            yield from _all_names(inner)


def _all_names(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case _ if isinstance(text := getattr(inner, "name", None), str):
                yield text
