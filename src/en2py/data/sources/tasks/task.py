"""A task with its description, and the normal form of its program."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from en2py.data.sources.tasks.tables import table

HELPERS: dict[str, str] = table("helpers")  # functions that a primitive may call
FUNCTION, CLASS, PROGRAM = "{python}function", "{python}class", "{python}program"
# A call with a generator as its only argument, with up to three nested brackets inside.
_DEEP = r"(?:[^()\n]|\((?:[^()\n]|\((?:[^()\n]|\([^()\n]*\))*\))*\))*"
GENERATOR_ARGUMENT = re.compile(rf"(\w)\(\(({_DEEP} for {_DEEP})\)\)")
TUPLE = re.compile(r"^( *[^=()\n]+, [^=()\n]+ = )\(([^()\n]+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """A program with all that is needed to describe and to test it.

    Attributes:
        family: The kind of task.
        parts: Names of the primitives that the program combines, without their values.
        code: The program in any layout, see `normal_form`.
        describe: Draws a clause like `[find] the sum of the even numbers{where}`. Verbs in brackets
            are inflected later, and `{where}` is replaced later, because it depends on whether the
            sentence names the input before.
        inputs: Kinds of the arguments of a call, see `inputs`.
        call: An expression around `{arguments}`, or a function that draws an expression, for one
            test; empty for a call of the function that the code begins with.
        takes: Phrases for the input, `a list of numbers`; may be empty.
        outside: Replacements of `{where}` if the sentence has not named the input before.
        inside: Replacements of `{where}` if it has.
        what: Nouns for the program, `{python}` for the optional word: `{python}generator`.
        how: Phrases for the style of the program, `with a loop`; empty for the usual style.
        form: What the program does with the result of the function, see `forms`; empty: returns it.
        printed: Whether it only prints its result: then it has no tests, and a generated program is
            compared with it by what both print.
    """

    family: str
    parts: tuple[str, ...]
    code: str
    describe: Callable[[Random], str]
    inputs: tuple[str, ...] = ()
    call: str | Callable[[Random], str] = ""
    takes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ("",)
    inside: tuple[str, ...] = ("",)
    what: tuple[str, ...] = (FUNCTION,)
    how: tuple[str, ...] = ("",)
    form: str = ""
    printed: bool = False


def fill(template: str, **values: object) -> str:
    """Replace each `{name}` by its value; other braces stay, because code has braces too."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template


def block(lines: Sequence[str]) -> str:
    """Indent lines and join them."""
    return "\n".join(f"    {line}" for text in lines for line in text.split("\n"))


def guarded(condition: str, line: str) -> str:
    """Put a line under an `if`; return it unchanged for an empty condition."""
    return f"if {condition}:\n{block([line])}" if condition else line


def either(condition: str, line: str, other: str) -> str:
    """Put a line under an `if` and another one under its `else`."""
    return f"if {condition}:\n{block([line])}\nelse:\n{block([other])}"


def function(name: str, params: str, *body: str) -> str:
    """Return the code of a function with these lines."""
    return f"def {name}({params}):\n{block(body)}"


def normal_form(code: str) -> str:
    """Prepend the functions that a program calls, and remove redundant brackets."""
    needed = [text for name, text in HELPERS.items() if re.search(rf"\b{name}\b", code)]
    text = _single_brackets(ast.unparse(ast.parse("\n".join([*needed, code]))))
    text = TUPLE.sub(r"\1\2", text)  # a, b = (b, a)
    return re.sub(r"^(class .*:)\n\n", r"\1\n", text, flags=re.MULTILINE) + "\n"


def _single_brackets(code: str) -> str:
    """Replace `sum((x for x in y))`, as `ast.unparse` writes it, by `sum(x for x in y)`."""
    while match := GENERATOR_ARGUMENT.search(code):
        code = f"{code[: match.start()]}{match[1]}({match[2]}){code[match.end() :]}"
    return code
