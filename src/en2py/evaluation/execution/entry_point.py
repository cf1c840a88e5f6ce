"""Find the entry function of a program."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

Callee = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Function:
    """A top-level function: `def name(...)` or `name = lambda ...`."""

    name: str
    node: Callee

    @property
    def parameters(self) -> list[ast.arg]:
        """Return the positional parameters, in order."""
        return [*self.node.args.posonlyargs, *self.node.args.args]

    @property
    def n_required(self) -> int:
        """Return the number of positional parameters without a default."""
        return len(self.parameters) - len(self.node.args.defaults)

    @property
    def n_arguments(self) -> int:
        """Return the number of arguments to call it with: the required ones, else all."""
        return self.n_required or len(self.parameters)

    def takes(self, n: int) -> bool:
        """Return whether a call with `n` positional arguments and no others is valid."""
        if any(default is None for default in self.node.args.kw_defaults):
            return False
        return self.n_required <= n and (
            n <= len(self.parameters) or self.node.args.vararg is not None
        )


def functions(tree: ast.Module) -> list[Function]:
    """Return the top-level functions, in order; of functions with equal names the last."""
    found: dict[str, Function] = {}
    for function in _functions(tree):
        found.pop(function.name, None)
        found[function.name] = function
    return list(found.values())


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(node.name, node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield Function(target.id, node.value)


def entry_function(tree: ast.Module, n_arguments: int | None = None) -> Function | None:
    """Return the last function that no other function calls, None where there is no function.

    If all functions are called by others, it is the last one. Where the number of arguments is
    known, only functions that take so many are considered, if there are any. Names do not count, so
    that a program may name its function as it likes. Of 2,044 functions of the students' file 8
    have another one beside them that takes as many arguments and that no function calls.
    """
    known = functions(tree)
    called = {  # by any function, also by one that takes another number of arguments
        name.id
        for function in known
        for name in ast.walk(function.node)
        if isinstance(name, ast.Name) and name.id != function.name
    }
    if n_arguments is not None:
        known = [function for function in known if function.takes(n_arguments)] or known
    free = [function for function in known if function.name not in called] or known
    return free[-1] if free else None
