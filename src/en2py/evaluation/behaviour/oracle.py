"""Oracles: inputs on which programs are called, and the reference's answers to them."""

import ast
from dataclasses import dataclass

from en2py.data.syntax import Definition
from en2py.sandbox import Result
from en2py.sandbox.serialization import Value, is_comparable, same

STDIN = "5\n3\n8\n2\n10\n4\n7\n1\n6\n9\n12\n15\n"  # of scripts


@dataclass(frozen=True)
class Answer:
    """The observable effects of a program on one input, as far as they are compared."""

    value: Value
    arguments: tuple[Value, ...]
    printed: str

    @classmethod
    def of(cls, result: Result) -> "Answer":
        """Make the answer of a call that returned."""
        return cls(result.value, result.arguments, plain(result.printed))

    def same(self, other: "Answer") -> bool:
        """Compare two answers; an argument that cannot be compared in either is ignored."""
        return (
            self.printed == other.printed
            and same(self.value, other.value)
            and len(self.arguments) == len(other.arguments)
            and all(
                same(own, its) or not (is_comparable(own) or is_comparable(its))
                for own, its in zip(self.arguments, other.arguments, strict=True)
            )
        )


@dataclass(frozen=True)
class Oracle:
    """The expected behaviour of one reference.

    Attributes:
        kind: `function` or `script`.
        inputs: Arguments of each call, as text (`[1, 2], 3`); a script has one empty input.
        answers: The reference's answer to each input.
        n_arguments: Number of arguments of each input.
    """

    kind: str
    inputs: tuple[str, ...]
    answers: tuple[Answer, ...]
    n_arguments: int


def plain(printed: str) -> str:
    """Remove white space at line ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in printed.splitlines()).rstrip()


def definitions(tree: ast.Module) -> str:
    """Return the definitions of a program, without the code that calls them.

    Imports, functions, classes and assignments stay. All other code may print, read input or fail,
    which is not the function's behaviour. Imports and assignments that fail are ignored when run.
    """
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            if not _reads_input(node):
                kept.append(node if _is_safe(node) else _attempt(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            kept.append(node if future else _attempt(node))
        elif isinstance(node, Definition | ast.Try) or type(node).__name__ == "TypeAlias":
            kept.append(node)
    return ast.unparse(ast.fix_missing_locations(ast.Module(kept, [])))


def _is_safe(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    return isinstance(node.value, ast.Constant | ast.Lambda)


def _attempt(node: ast.stmt) -> ast.Try:
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    return ast.Try([node], [handler], [], [])


def _reads_input(node: ast.AST) -> bool:
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "input"
        for call in ast.walk(node)
    )


def finished(script: Result) -> bool:
    """Return whether a script ended without an error; `exit()` is no error."""
    return script.finished or (
        script.exception == "SystemExit" and script.message in ("0", "None", "")
    )
