"""Forms of a program besides a function that returns: scripts, printed results, calls.

The description names the arguments of a script or a call, or leaves them open, as students do: then
they follow from the function alone, so that a description still determines its program.
"""

import ast
import re
from dataclasses import replace
from random import Random

from en2py.data.sources.tasks.families import draw_task
from en2py.data.sources.tasks.inputs import draw_argument
from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import FUNCTION, HELPERS, PROGRAM, Task, either, fill, function

FOUND = re.compile(r"\[(find|get|compute|calculate)\] ")


def other_form(rng: Random) -> Task | None:
    """Draw a task of the default families in another form."""
    task = in_other_form(rng, draw_task(rng, "default"))
    return task and replace(task, family=f"{task.form} of {task.family}")


def in_other_form(rng: Random, task: Task) -> Task | None:
    """Change a task into a drawn form; return None if its program cannot have it."""
    forms = table("forms")
    form = rng.choices([*forms["weights"]], [*forms["weights"].values()])[0]
    *imports, node = ast.parse(task.code).body
    if not isinstance(node, ast.FunctionDef) or len(node.args.args) != len(task.inputs):
        return None
    last = node.body[-1]
    value = last.value if isinstance(last, ast.Return) else None
    inner = [n for n in ast.walk(node) if isinstance(n, ast.Return | ast.Yield | ast.FunctionDef)]
    if len(inner) != (2 if value else 1) or bool(value) == task.printed:
        return None  # it returns in several places or nowhere
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    if form == "script" and names & ({node.name, *HELPERS} - {"math"}):
        return None  # a script has no function to call
    params = [argument.arg for argument in node.args.args]
    is_named = rng.random() < 0.5
    source = rng if is_named else Random(task.code)
    given = [repr(draw_argument(source, kind, task.code)) for kind in task.inputs]
    values = [f"{param} = {text}" for param, text in zip(params, given, strict=True)]
    body = [*map(ast.unparse, node.body[:-1] if value else node.body)]
    last_lines, result = _printing(rng, None if form == "call" else value)
    if form == "call":
        call = f"{node.name}({', '.join(given)})"
        lines = [task.code, f"print({call})" if value else call]
    elif form == "prints":
        lines = [function(node.name, ", ".join(params), *body, *last_lines)]
    else:
        lines = [*values, *body, *last_lines]

    def describe(rng: Random) -> str:
        clause = task.describe(rng)
        if form != "call":
            clause = _with_print(rng, clause, result)
        end = rng.choice(forms["ends"][f"{form} of values" if is_named else form])
        return clause + fill(end, values=", ".join(values))

    return replace(
        task,
        parts=(*task.parts, f"form:{form}", *([f"print:{result}"] if result else [])),
        code="\n".join([*(map(ast.unparse, imports) if form != "call" else ()), *lines]),
        describe=describe,
        call=f"{node.name}({{arguments}})" if form == "prints" else task.call,
        what=(PROGRAM if form == "script" else FUNCTION,),
        form=form,
        printed=form != "call" or task.printed,
    )


def _printing(rng: Random, value: ast.expr | None) -> tuple[list[str], str]:
    """Draw lines that print a value, and how they show it: `answer`, `message` or empty."""
    draw = rng.random()
    if value is None:
        return [], ""
    shown = ast.unparse(value)
    if isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp) and draw < 0.6:
        return [either(shown, "print('Yes')", "print('No')")], "answer"
    if draw < 0.2:
        return [f"print('The result is', {shown})"], "message"
    return [f"print({shown})"], ""


def _with_print(rng: Random, clause: str, result: str) -> str:
    """Let a clause print its result: `[find] and [print] the sum`."""
    clause = clause.replace("[return] True if", "[check] if")
    if result == "answer":
        return f'{clause} and [print] "Yes" or "No"'
    draw = rng.random()
    if "[return]" in clause:
        clause = clause.replace("[return]", "[print]")
    elif draw < 0.6 and FOUND.match(clause):
        clause = FOUND.sub("[print] " if draw < 0.3 else r"[\1] and [print] ", clause, count=1)
    elif "[print]" not in clause:
        clause += rng.choice((" and [print] it", " and [print] the result"))
    return f"{clause} with a message" if result else clause
