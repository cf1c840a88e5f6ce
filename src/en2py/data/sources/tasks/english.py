"""Draw sentences: openings, inflection of verbs, articles."""

import re
from random import Random

from en2py.data.sources.tasks.task import CLASS, FUNCTION, Task

# {what} is "function" or the like; a clause follows, with "returns" after THAT, "return" after TO.
THAT = (
    "write a {what} that",
    "write a {what} which",
    "create a {what} that",
    "define a {what} that",
    "implement a {what} that",
    "make a {what} that",
    "i need a {what} that",
    "please write a {what} that",
)
TO = (
    "write a {what} to",
    "write a {what} in python to",
    "create a {what} to",
    "define a {what} to",
    "a {what} to",
)
# A class has a name: "write a class Stack over a list with the method pop".
NAMED = (
    "write a {what}",
    "create a {what}",
    "define a {what}",
    "implement a {what}",
    "make a {what}",
    "i need a {what}",
    "please write a {what}",
)
# Openings that do not name a function are used for plain functions only.
TO_PLAIN = (
    "write a python program to",
    "write a program to",
    "python program to",
    "write python code to",
    "python code to",
    "how to",
)
TAKES_THAT = (
    "write a {what} that takes {takes} and",
    "define a {what} which takes {takes} and",
    "write a {what} which accepts {takes} and",
    "create a {what} that receives {takes} and",
    "given {takes}, write a {what} that",
    "implement a {what} that takes {takes} and",
)
TAKES_TO_PLAIN = ("given {takes},", "for {takes},")

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


def articles(text: str) -> str:
    """Replace "a" by "an" before a vowel."""
    return re.sub(r"\b([Aa]) (?=(?:[aeioAEIO]|u(?!s|ni))[a-z])", r"\1n ", text)


def sentence(rng: Random, task: Task) -> str:
    """Draw a sentence that requests a task."""
    what = rng.choice(task.what)
    plain = what == FUNCTION
    if what == CLASS:
        where, third, opening = task.outside, False, rng.choice(NAMED)
    elif task.takes and rng.random() < 0.4:
        where, third = task.inside, not (plain and rng.random() < 0.25)
        opening = rng.choice(TAKES_THAT if third else TAKES_TO_PLAIN)
    else:
        where, third = task.outside, rng.random() < 0.5
        opening = rng.choice(THAT if third else TO + TO_PLAIN * plain)
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
