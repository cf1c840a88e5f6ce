"""Cleaning steps that drop pairs: code that does not parse, texts too short or too long."""

from en2py.data.cleaning.pipeline import Drop
from en2py.data.cleaning.rewriting import tree_text
from en2py.data.pairs import Pair
from en2py.data.syntax import needed_python

NOT_PARSED = "does not parse"


def must_parse(pair: Pair) -> Pair:
    """Drop code that does not parse, or only by a newer version of Python.

    Raises:
        Drop: If it does not.
    """
    if tree_text(pair.code) is None:
        raise Drop(needed_python(pair.code) or NOT_PARSED)
    return pair


def limit_lengths(
    pair: Pair,
    *,
    min_description: int,
    max_description: int | None,
    min_code: int,
    max_code: int | None,
) -> Pair:
    """Drop pairs whose texts have too few or too many characters; None is no limit.

    Raises:
        Drop: If a length is outside the limits.
    """
    for name, text, least, most in (
        ("description", pair.description, min_description, max_description),
        ("code", pair.code, min_code, max_code),
    ):
        if len(text) < least:
            raise Drop(f"{name} under {least:,} characters")
        if most is not None and len(text) > most:
            raise Drop(f"{name} over {most:,} characters")
    return pair
