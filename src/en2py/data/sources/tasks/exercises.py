"""Tasks of `families=all`: exercises that students get, in several forms."""

import ast
import re
from dataclasses import replace
from functools import cache
from random import Random

from en2py.data.sources.tasks.forms import in_other_form
from en2py.data.sources.tasks.inputs import draw_argument
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import Task, fill, function

KEY = re.compile(r"(.+?)\((.*?)\) (.+)")
VERBS = ("find", "find", "calculate", "compute", "get", "return")  # for a leading [find]
MEASURES = ("conversions", "geometry", "formulas")  # families whose results are rounded in tests
FILE = "notes.txt"
Row = tuple[str, str, str, str, str, str]  # family, name, parameters, clause, style, code


@cache
def rows() -> list[Row]:
    """Return the rows of the table, each style as one."""
    found = []
    for family, entries in table("exercises").items():
        for key, value in entries.items() if family not in ("imports", "drawn") else ():
            for how, code in (value if isinstance(value, dict) else {"": value}).items():
                match = KEY.fullmatch(key)
                assert match, key
                found.append((family, *match.groups(), how, code))
    return found


def exercise(rng: Random) -> Task | None:
    """Draw an exercise: "print the area of a circle for radius = 3"."""
    family, *texts = rng.choice(rows())
    options = table("exercises")["drawn"].items()
    values = {f"{k}{i}": v for k, choices in options for i, v in enumerate(rng.choice(choices))}
    name, params, clause, how, code = (fill(text, **values) for text in texts)
    pairs = [param.split("=") for param in params.split(", ")]
    kinds = tuple(kind for _, kind in pairs)
    first = ast.parse(code).body[0]
    body = f"return {code}" if isinstance(first, ast.Expr) and "print(" not in code else code
    code = function(name, ", ".join(param for param, _ in pairs), body)
    needed = table("exercises")["imports"].items()
    imports = [line for word, line in needed if re.search(rf"\b{word}[.(]", code)]

    def describe(rng: Random) -> str:
        text = clause.replace("[find]", f"[{rng.choice(VERBS)}]")
        return re.sub(r"\{([^{}]*\|[^{}]*)\}", lambda m: rng.choice(m[1].split("|")), text)

    def call_on_file(rng: Random) -> str:
        rest = (repr(draw_argument(rng, kind, code)) for kind in kinds[1:])
        arguments = ", ".join((repr(FILE), *rest))
        text = draw_argument(rng, "file", code)
        return f"[open({FILE!r}, 'w').write({text!r}), {name}({arguments})][1]"

    call = f"{name}({{arguments}})"
    task = Task(
        family=family,
        parts=(f"exercise:{texts[0]}", f"style:{how or 'usual'}"),
        code="\n".join([*imports, code]),
        describe=describe,
        inputs=kinds,
        call=f"round({call}, 6)" if family in MEASURES else call,
        how=(how,),
        printed="print(" in code,
    )
    if family == "files":
        return replace(task, call=call_on_file)
    return in_other_form(rng, task) if task.printed or rng.random() < 0.7 else task
