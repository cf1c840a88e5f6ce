"""Write syntax trees as texts: equal texts are equal programs, up to their names if wanted."""

import ast
import re
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from en2py.data.syntax import attempt, nodes

T = TypeVar("T")

_U_STRING = re.compile("[uU]['\"]")


def ast_text(code: str) -> str | None:
    """Return the syntax tree as text without positions: equal texts are the same program.

    Layout, comments, quotes and a `u` before a string make no difference; docstrings do.

    Returns:
        The text, None if the code does not parse.
    """
    return attempt(lambda: _dump(_parsed(code)))


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
    return attempt(lambda: _dump(_renamed(_parsed(code))))


class Trees(NamedTuple, Generic[T]):
    """The result of `trees_and`; a part is None if it cannot be computed."""

    text: str | None
    renamed: str | None
    found: T | None


def trees_and(function: Callable[[ast.Module], T | None], code: str) -> Trees[T]:
    """Return `ast_text`, `ast_text_renamed` and a function of the tree, with parsing once."""
    tree = attempt(lambda: _parsed(code))
    if tree is None:
        return Trees(None, None, None)
    found, text = attempt(lambda: function(tree)), attempt(lambda: _dump(tree))
    return Trees(text, attempt(lambda: _dump(_renamed(tree))), found)


def _parsed(code: str) -> ast.Module:
    """Parse, and drop the `u` prefix of strings: the strings are equal."""
    tree = ast.parse(code)
    if _U_STRING.search(code):
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
            case _ if isinstance(text := getattr(node, "name", None), str):
                names.add(text)  # def, class, except ... as, patterns, type parameters


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
            case _ if isinstance(text := getattr(node, "name", None), str):
                setattr(node, "name", self.name(text))  # noqa: B010 - no common type has it

    def _rename_keywords(self, call: ast.Call) -> None:
        """Rename `f(x=1)` if the program defines `f(x)`; `print(end="")` stays."""
        for keyword in call.keywords:
            if keyword.arg in self.bound.arguments:
                keyword.arg = self.number("", keyword.arg)


def _arguments(args: ast.arguments) -> list[ast.AST]:
    """Return all arguments of a function in the order of the text."""
    several = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [arg for arg in several if arg is not None]
