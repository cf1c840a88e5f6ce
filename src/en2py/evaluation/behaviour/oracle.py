"""A reference as oracle: the inputs to watch a program on, and what the reference did there."""

import ast
from dataclasses import asdict, dataclass
from typing import Any

from en2py.sandbox import Result
from en2py.sandbox.serialization import Value, is_comparable, same

STDIN = "".join(
    f"{line}\n" for line in (5, 3, 8, 2, 10, 4, 7, 1, 6, 9, 12, 15)
)  # what scripts read


@dataclass(frozen=True)
class Answer:
    """What a program did on one input, as far as it is compared."""

    value: Value
    arguments: tuple[Value, ...]
    printed: str

    @classmethod
    def of(cls, result: Result) -> "Answer":
        """Take what is compared of a call that returned."""
        return cls(result.value, result.arguments, plain(result.printed))

    def same(self, other: "Answer") -> bool:
        """Whether another program did the same; arguments that are no data are left out."""
        return (
            self.printed == other.printed
            and same(self.value, other.value)
            and len(self.arguments) == len(other.arguments)
            and all(
                same(own, its) or not is_comparable(own)
                for own, its in zip(self.arguments, other.arguments, strict=True)
            )
        )


@dataclass(frozen=True)
class Oracle:
    """A watched reference.

    Attributes:
        kind: `function` or `script`.
        inputs: Texts such as `[1, 2], 3`, one for each call; a script has a single empty one.
        answers: What the reference did on each.
        n_arguments: How many arguments an input has.
    """

    kind: str
    inputs: tuple[str, ...]
    answers: tuple[Answer, ...]
    n_arguments: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for a cache in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Oracle":
        """Undo `to_dict`, also after a trip through JSON."""
        answers = tuple(
            Answer(answer["value"], tuple(answer["arguments"]), answer["printed"])
            for answer in record["answers"]
        )
        return cls(record["kind"], tuple(record["inputs"]), answers, record["n_arguments"])


def plain(printed: str) -> str:
    """Forget blanks at line ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in printed.splitlines()).rstrip()


def definitions(tree: ast.Module) -> str:
    """Write the part of a program that a call of its functions needs.

    Imports, functions, classes and assignments stay, the code that drives them goes: it may print,
    ask for input, or fail, and none of that is the function's behaviour. An assignment that fails
    is left out when it runs.
    """
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            if not _asks(node):
                kept.append(node if _is_safe(node) else _attempt(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            kept.append(node if future else _attempt(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Try):
            kept.append(node)
    return ast.unparse(ast.fix_missing_locations(ast.Module(kept, [])))


def _is_safe(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    return isinstance(node.value, ast.Constant | ast.Lambda)


def _attempt(node: ast.stmt) -> ast.Try:
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    return ast.Try([node], [handler], [], [])


def _asks(node: ast.AST) -> bool:
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "input"
        for call in ast.walk(node)
    )


def finished(script: Result) -> bool:
    """Whether a script came to its end; `exit()` without a complaint is one."""
    return script.finished or (
        script.exception == "SystemExit" and script.message in ("0", "None", "")
    )
