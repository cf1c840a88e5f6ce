"""Other names for a program's own names: which may be changed, and the text with them changed.

A name is changed wherever it stands, in all scopes at once, into one that stood nowhere. That keeps
the meaning whatever the scopes are (closures, `global`, comprehensions), as long as every place
means a name that the program itself binds, and nobody sees names as strings. `own_names` leaves out
each name for which this cannot be read off the text.
"""

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Set

from en2py.data.syntax import parse

FUNCTION, ARGUMENT, VARIABLE = "function", "argument", "variable"
RESERVED = frozenset({*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls"})

# Where one of these is used, or a module imported that is in the second list, names may be data.
_REFLECTION = frozenset(
    "exec eval compile globals locals vars dir getattr setattr hasattr delattr help breakpoint"
    " __import__ __dict__ __code__ __qualname__ __globals__ __annotations__ __defaults__"
    " __kwdefaults__ __main__ _getframe f_locals f_globals format_map".split()
)
_REFLECTING = frozenset("inspect ast dis symtable traceback ctypes pdb __main__".split())
# Decorators that keep a function's name and arguments to themselves.
_HARMLESS = frozenset(
    "staticmethod classmethod property setter abstractmethod cache lru_cache wraps contextmanager"
    " total_ordering".split()
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def own_names(program: str) -> dict[str, str]:
    """Find the names that can be changed without changing what the program does.

    Args:
        program: The code, its tests too where they are to be changed along.

    Returns:
        The kind of each such name: `function`, `argument` (of some function) or `variable`. Never a
        class, a method, an attribute or an import. Empty where the program looks at its own names.
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
    """Return a text with its names changed and not a letter else.

    Args:
        text: Code that parses.
        names: The new name of each name to change.
        keywords: Those of them that are changed as `f(name=1)` too: arguments of own functions.
    """
    lines = text.split("\n")
    kept = _keyword_places(text, set(names) - keywords)
    pieces: list[str] = []
    row, column, dot = 1, 0, False  # up to where the text is written; an attribute comes
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = token.type == tokenize.NAME and token.string in names
        if name and not dot and token.start not in kept:
            pieces += _between(lines, (row, column), token.start)
            pieces.append(names[token.string])
            row, column = token.end
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            dot = token.string == "."
    return "".join([*pieces, *_between(lines, (row, column), (len(lines), len(lines[-1])))])


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> list[str]:
    (first, left), (last, right) = start, end
    if first == last:
        return [lines[first - 1][left:right]]
    middle = [line + "\n" for line in lines[first : last - 1]]
    return [lines[first - 1][left:] + "\n", *middle, lines[last - 1][:right]]


def _keyword_places(text: str, names: Set[str]) -> set[tuple[int, int]]:
    """Return line and column of each `name=` in a call."""
    lines = text.split("\n")
    places = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg in names:
            before = lines[node.lineno - 1].encode()[: node.col_offset]  # `ast` counts bytes
            places.add((node.lineno, len(before.decode(errors="replace"))))
    return places


def _reflects(tree: ast.Module) -> bool:
    """Say whether a program may look at its names, or imports names that it does not spell."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _REFLECTION:
                return True
            case ast.ImportFrom(module=module, names=aliases):
                modules = {str(module).split(".")[0]}
                if modules & _REFLECTING or any(alias.name == "*" for alias in aliases):
                    return True
            case ast.Import(names=aliases):
                if {alias.name.split(".")[0] for alias in aliases} & _REFLECTING:
                    return True
    return False


class _Names:
    """The names that a program binds, by kind, and those among all names that have to stay."""

    def __init__(self, tree: ast.Module) -> None:
        self.variables: set[str] = set()
        self.arguments: set[str] = set()
        self.functions: dict[str, list[_Function]] = {}
        self.bindings: Counter[str] = Counter()
        self.fixed: set[str] = set()
        for node in ast.walk(tree):
            self._look(node)
        self.bindings.update(name for name, made in self.functions.items() for _ in made)

    def _look(self, node: ast.AST) -> None:
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
            case ast.MatchClass(kwd_attrs=names):
                self.fixed.update(names)
            # Before Python 3.12 the places of names in an f-string cannot be told.
            case ast.JoinedStr():
                self.fixed.update(_all_names(node))
            # A string may be a format, a query or an annotation; and it reads well with its names.
            case ast.Constant(value=str(text)):
                self.fixed.update(re.findall(r"\w+", text))
            case _ if type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple", "TypeAlias"):
                self.fixed.update(_all_names(node))

    def _bind(self, name: str) -> None:
        self.variables.add(name)
        self.bindings[name] += 1


def _fixed_by_keywords(tree: ast.Module, found: _Names) -> set[str]:
    """Return the arguments that calls name in ways that cannot be followed to their function."""
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
    """Yield the names bound in the body of a class, which are attributes to the world outside."""
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
            case _ if isinstance(own := getattr(inner, "name", None), str):
                yield own
