"""Draw sentences: openings, inflection of verbs, articles."""

import re
from collections.abc import Sequence
from random import Random

from en2py.data.sources.tasks.tables import table
from en2py.data.sources.tasks.task import CLASS, FUNCTION, PROGRAM, Task

OPENINGS: dict[str, tuple[str, ...]] = table("openings")
QUESTIONS = ("[check] whether", "[check] if", "[return] True if", "[determine] whether")
FIND = ("find", "return", "get")
IRREGULAR = {"have": "has", "do": "does", "go": "goes", "be": "is"}


def third_person(verb: str) -> str:
    """Return the third person of a verb."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if re.search(r"(s|sh|ch|x|z)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


def inflect(clause: str, third: bool) -> str:
    """Inflect a clause: `[verb]` in the third person or unchanged, `<verb>` in the third person."""
    clause = re.sub(r"<(\w+)>", lambda m: third_person(m[1]), clause)
    return re.sub(r"\[(\w+)\]", lambda m: third_person(m[1]) if third else m[1], clause)


def in_third_person(clause: str) -> str:
    """Mark the verbs of a clause as always in the third person."""
    return clause.replace("[", "<").replace("]", ">")


def listed(words: Sequence[str]) -> str:
    """Return words or clauses as a list: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def articles(text: str) -> str:
    """Replace "a" by "an" before a vowel."""
    return re.sub(r"\b([Aa]) (?=(?:[aeioAEIO]|u(?!s|ni))[a-z])", r"\1n ", text)


def sentence(rng: Random, task: Task) -> str:
    """Draw a sentence that requests a task."""
    what = rng.choice(task.what)
    plain = what == FUNCTION and not task.form or what == PROGRAM
    where, third = task.outside, False
    if what == CLASS:
        openings = OPENINGS["class"]
    elif task.takes and rng.random() < 0.4:
        where, third = task.inside, not (plain and rng.random() < 0.25)
        openings = OPENINGS["takes_that" if third else "takes_to_plain"]
    else:
        third = rng.random() < 0.5
        openings = OPENINGS["that"] if third else OPENINGS["to"] + OPENINGS["to_plain"] * plain
    opening = rng.choice(openings)
    python = "" if "python" in opening else rng.choice(("", "python "))
    opening = opening.replace("{what}", what.replace("{python}", python))
    if "{takes}" in opening:
        opening = opening.replace("{takes}", rng.choice(task.takes))
    clause = task.describe(rng).replace("{where}", rng.choice(where))
    if opening == "how to":
        clause = clause.replace("[return] True if", "[check] if")
    how = "" if "recursive" in what else rng.choice(task.how)
    text = f"{opening} {inflect(clause, third)}{' ' + how if how else ''}"
    if opening == "how to":
        text += " in python"
    text = articles(re.sub(r" +", " ", text).strip())
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.15 else text
