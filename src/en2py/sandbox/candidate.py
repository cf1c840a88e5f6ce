"""Execute untrusted code in a candidate process and send its results.

The program shares the interpreter with this file and may change any of it, without gaining
anything: it can only report results that it could have returned as well, and the expected results
are known outside alone. The nonce identifies lines that a program writes into all open files.
"""

import ast
import builtins
import io
import json
import os
import sys
import types
from typing import Any, NoReturn

from en2py.sandbox.serialization import encode

EXIT_FLOOD, EXIT_NOT_LOADED = 250, 251
MAX_PRINTED = 100_000


class _Sink(io.RawIOBase):
    """Standard output in memory, with a limit."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        if self.size > MAX_PRINTED:
            os._exit(EXIT_FLOOD)  # an exception could be caught
        self.parts.append(bytes(data))
        return len(data)


class _Streams:
    """Fresh standard streams for each call."""

    def __init__(self, stdin: str) -> None:
        self.stdin = stdin.encode(errors="replace")

    def open(self) -> None:
        self.sink = _Sink()
        self.out = io.TextIOWrapper(
            io.BufferedWriter(self.sink), encoding="utf-8", errors="backslashreplace"
        )
        sys.stdout = sys.__stdout__ = self.out  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(  # type: ignore[misc]
            io.BufferedWriter(_Sink()), encoding="utf-8", errors="backslashreplace"
        )
        sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(self.stdin), encoding="utf-8")  # type: ignore[misc]

    def printed(self) -> str:
        try:
            self.out.flush()
        except ValueError:  # the program closed it
            pass
        return b"".join(self.sink.parts).decode("utf-8", "replace")


def _input(prompt: object = "", /) -> str:
    """Replace `input` by one without prompt, which is not part of the compared output."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError("EOF when reading a line")
    return line.removesuffix("\n")


def _leave(code: object = None) -> NoReturn:
    raise SystemExit(code)


def _describe(error: BaseException) -> dict[str, str]:
    try:
        message = str(error)[:200]
    except BaseException:  # its __str__ is untrusted code too
        message = ""
    return {
        "exception": str(type.__getattribute__(type(error), "__name__"))[:80],
        "message": message,
    }


def _evaluate(text: str, names: dict[str, Any]) -> dict[str, Any]:
    """Evaluate one call, after the statements before it.

    For the form `name(values)` alone return the arguments after the call too. Variables and results
    of other calls are no values: an iterator would be used up, and `len(f())` be as long as `f()`.
    """
    *statements, last = ast.parse(text.strip()).body
    if not isinstance(last, ast.Expr):
        raise SyntaxError("not an expression")
    if statements:
        exec(compile(ast.Module(statements, []), "<call>", "exec", dont_inherit=True), names)
    call = last.value
    plain = (
        not statements
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and not call.keywords
        and all(map(_is_value, call.args))
    )
    if not (plain and isinstance(call, ast.Call)):
        return {"value": encode(eval(compile(ast.Expression(call), "<call>", "eval"), names))}

    def value_of(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<call>", "eval"), names)

    function = value_of(call.func)
    values = [value_of(argument) for argument in call.args]
    value = encode(function(*values))
    return {"value": value, "arguments": [encode(argument) for argument in values]}


def _is_value(argument: ast.expr) -> bool:
    is_no_value = isinstance(argument, ast.Starred | ast.Name | ast.Call)
    return not is_no_value or ast.unparse(argument) == "set()"


def prepare() -> None:
    """Do once, in the worker, what is the same for all candidates, as each step costs them time.

    A fork copies the pages that it writes, so whatever is created lazily is created here too.
    """
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = ["program.py"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "en2py"]:
        del sys.modules[name]
    builtins.input = _input
    builtins.exit = builtins.quit = _leave  # type: ignore[assignment]
    _evaluate("abs(1)", {})


def run_candidate(handle: int, job: dict[str, Any], first: int) -> NoReturn:
    """Load a program, evaluate its calls, send one line for each, and exit.

    Args:
        handle: File descriptor for the lines.
        job: `code`, `calls`, `stdin`, `nonce`.
        first: Number of the first call; those before it ran in an earlier process.
    """
    nonce = job["nonce"]

    def send(number: int, content: dict[str, Any]) -> None:
        line = memoryview(f"{nonce} {number} {json.dumps(content)}\n".encode())
        while line:
            line = line[os.write(handle, line) :]

    main = sys.modules["__main__"]
    streams = _Streams(job["stdin"])
    streams.open()
    try:
        code = compile(job["code"], "<program>", "exec", dont_inherit=True)
        exec(code, main.__dict__)
        loaded: dict[str, Any] = {}
    except BaseException as error:
        loaded = _describe(error)
    send(-1, {**loaded, "printed": streams.printed()})
    if loaded:
        os._exit(EXIT_NOT_LOADED)
    for number in range(first, len(job["calls"])):
        streams.open()
        try:
            content = _evaluate(job["calls"][number], main.__dict__)
        except BaseException as error:
            content = _describe(error)
        send(number, {**content, "printed": streams.printed()})
    os._exit(0)
