"""Parse code and compare programs by their syntax trees."""

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

U_STRING = re.compile("[uU]['\"]")

# Raised for text that is no program: NUL bytes and lone surrogates are ValueErrors, deep nesting is
# a RecursionError or MemoryError, depending on the Python version.
NOT_A_PROGRAM = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def _attempt(function: Callable[[], T]) -> T | None:
    """Call a function without warnings; return None if the text is no program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid escape sequence" and the like, once per program
        try:
            return function()
        except NOT_A_PROGRAM:
            return None


def parse(code: str) -> ast.Module | None:
    """Return the syntax tree of a program, None if it does not parse; never raises."""
    return _attempt(lambda: ast.parse(code))


def compile_error(code: str, flags: int = 0) -> Exception | None:
    """Return why a program does not compile with these flags, None if it does; it is not run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `x is 1`, invalid escapes
        try:
            compile(code, "<code>", "exec", flags, dont_inherit=True)
        except NOT_A_PROGRAM as error:
            return error
    return None


def has_assert(code: str) -> bool:
    """Return whether a program runs an assert: outside of definitions, or in one that it names."""
    tree = parse(code)
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    body = [] if tree is None else tree.body
    named = {
        node.id
        for statement in body
        if not isinstance(statement, definitions)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    return any(
        any(isinstance(node, ast.Assert) for node in ast.walk(statement))
        for statement in body
        if not isinstance(statement, definitions) or statement.name in named
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


def ast_text(code: str) -> str | None:
    """Return the syntax tree as text without positions: equal texts are the same program.

    Layout, comments, quotes and a `u` before a string make no difference; docstrings do.

    Returns:
        The text, None if the code does not parse.
    """
    return _attempt(lambda: _dump(_parsed(code)))


def ast_text_renamed(code: str) -> str | None:
    """Return the syntax tree as text in which the names bound by the program are numbered.

    Functions, classes, arguments, variables, aliases of imports, and the attributes that a class
    defines or sets on `self` get numbers in the order of their appearance. Names that the program
    does not bind (builtins, imported modules, other objects' methods), names like `__init__`, and
    constants stay. So equal texts are equal programs up to one consistent renaming. Scopes of
    functions are not distinguished: a name has the same number everywhere in the program.

    Returns:
        The text, None if the code does not parse.
    """
    return _attempt(lambda: _dump(_renamed(_parsed(code))))


class Trees(NamedTuple, Generic[T]):
    """The result of `trees_and`; a part is None if it cannot be computed."""

    text: str | None
    renamed: str | None
    found: T | None


def trees_and(function: Callable[[ast.Module], T | None], code: str) -> Trees[T]:
    """Return `ast_text`, `ast_text_renamed` and a function of the tree, with parsing once."""
    tree = _attempt(lambda: _parsed(code))
    if tree is None:
        return Trees(None, None, None)
    found, text = _attempt(lambda: function(tree)), _attempt(lambda: _dump(tree))
    return Trees(text, _attempt(lambda: _dump(_renamed(tree))), found)


def first_definition(tree: ast.Module) -> str | None:
    """Return the name of the first function or class, None if there is none."""
    names = (getattr(node, "name", None) for node in tree.body)
    return next((name for name in names if name), None)


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


def _parsed(code: str) -> ast.Module:
    """Parse, and drop the `u` prefix of strings: the strings are equal."""
    tree = ast.parse(code)
    if U_STRING.search(code):
        for node in nodes(tree):
            if isinstance(node, ast.Constant):
                node.kind = None
    return tree


def _dump(node: Any) -> str:
    """Return a tree as text; `ast.dump` takes twice the time."""
    if isinstance(node, ast.AST):
        fields = [_dump(getattr(node, field, None)) for field in node._fields]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


def _renamed(tree: ast.Module) -> ast.Module:
    bound = _Bound()
    bound.visit(tree)
    _Renamer(bound).visit(tree)
    return tree


# The nodes with names; to visit only them makes a walk twice as fast.
_NODES_WITH_NAMES = (
    *(ast.Name, ast.Attribute, ast.arg, ast.alias, ast.Call, ast.Global, ast.Nonlocal),
    *(ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.MatchClass),
    *(
        getattr(ast, name)
        for name in ("TypeVar", "ParamSpec", "TypeVarTuple")
        if hasattr(ast, name)
    ),
)


class _Scopes(ast.NodeVisitor):
    """Visit a tree and track whether the node is in a class body, and the name of `self`."""

    def __init__(self) -> None:
        self.in_class = False
        self.self_name: str | None = None

    def _visit_in(self, nodes: list[ast.AST], in_class: bool, self_name: str | None) -> None:
        outer = self.in_class, self.self_name
        self.in_class, self.self_name = in_class, self_name
        for node in nodes:
            self.visit(node)
        self.in_class, self.self_name = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.on_name(node)
        outside = [
            *node.decorator_list,
            *node.bases,
            *node.keywords,
            *getattr(node, "type_params", []),
        ]
        self._visit_in(outside, self.in_class, self.self_name)
        self._visit_in([*node.body], True, self.self_name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.on_name(node)
        defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        self._visit_in([*node.decorator_list, *defaults], self.in_class, self.self_name)
        inside = [*getattr(node, "type_params", []), *_arguments(node.args), *node.body]
        inside += [] if node.returns is None else [node.returns]
        first = [*node.args.posonlyargs, *node.args.args][:1]
        # A function inside a method has the `self` of the method.
        self_name = first[0].arg if self.in_class and first else self.self_name
        self._visit_in(inside, False, self_name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        self._visit_in([*defaults], self.in_class, self.self_name)
        self._visit_in([*_arguments(node.args), node.body], False, self.self_name)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _NODES_WITH_NAMES):
            self.on_name(node)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr_context):
                self.visit(child)

    def on_name(self, node: ast.AST) -> None:
        """Process a node that may have names, before its children."""
        raise NotImplementedError


class _Bound(_Scopes):
    """Collect the names that a program binds: plain names, attributes, and arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.arguments: set[str] = set()

    def on_name(self, node: ast.AST) -> None:
        names = self.attributes if self.in_class else self.names
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id=self.self_name), attr=name, ctx=ast.Store()):
                self.attributes.add(name)
            case ast.arg(arg=name):
                self.names.add(name)
                self.arguments.add(name)
            case ast.alias(asname=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.alias():
                pass  # an import without `as` keeps its name: it is the name of the module
            case ast.Global(names=many) | ast.Nonlocal(names=many):
                self.names.update(many)
            case _ if isinstance(own := getattr(node, "name", None), str):
                names.add(own)  # def, class, except ... as, patterns, type parameters


class _Renamer(_Scopes):
    """Replace bound names by numbers in `<>`, which no real name has."""

    def __init__(self, bound: _Bound) -> None:
        super().__init__()
        self.bound = bound
        self.numbers: dict[tuple[str, str], str] = {}

    def number(self, kind: str, name: str) -> str:
        if name.startswith("__") and name.endswith("__"):
            return name  # Python calls these by their names
        return self.numbers.setdefault((kind, name), f"<{kind}{len(self.numbers)}>")

    def name(self, name: str) -> str:
        if self.in_class and name in self.bound.attributes:
            return self.number(".", name)
        return self.number("", name) if name in self.bound.names else name

    def attribute(self, name: str) -> str:
        return self.number(".", name) if name in self.bound.attributes else name

    def on_name(self, node: ast.AST) -> None:
        match node:
            case ast.Name():
                node.id = self.name(node.id)
            case ast.Attribute():
                node.attr = self.attribute(node.attr)
            case ast.arg():
                node.arg = self.number("", node.arg)
            case ast.alias(asname=str(name)):
                node.asname = self.name(name)
            case ast.alias():
                pass
            case ast.MatchMapping(rest=str(name)):
                node.rest = self.name(name)
            case ast.MatchClass():
                node.kwd_attrs = [self.attribute(name) for name in node.kwd_attrs]
            case ast.Global() | ast.Nonlocal():
                node.names = [self.number("", name) for name in node.names]
            case ast.Call(func=ast.Name(id=called)) if (
                called in self.bound.names | self.bound.attributes
            ):
                self._rename_keywords(node)
            case ast.Call(func=ast.Attribute(attr=called)) if called in self.bound.attributes:
                self._rename_keywords(node)
            case _ if isinstance(own := getattr(node, "name", None), str):
                setattr(node, "name", self.name(own))  # noqa: B010 - no common type has it

    def _rename_keywords(self, call: ast.Call) -> None:
        """Rename `f(x=1)` if the program defines `f(x)`; `print(end="")` stays."""
        for keyword in call.keywords:
            if keyword.arg in self.bound.arguments:
                keyword.arg = self.number("", keyword.arg)


def _arguments(args: ast.arguments) -> list[ast.AST]:
    """Return all arguments of a function in the order of the text."""
    several = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [arg for arg in several if arg is not None]
