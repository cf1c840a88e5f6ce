"""Cleaning steps that repair characters, descriptions and Python 2."""

import logging
import re
from dataclasses import replace
from functools import cache

import ftfy
from fissix.refactor import RefactoringTool, get_fixers_from_package

from en2py.data.cleaning.rewriting import first_that_parses, refuse_pathological, tree_text
from en2py.data.pairs import Pair

# Typographic characters and the ASCII code that they replace: quotes, dashes, operators, blanks.
TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", ""),
        **{"\u00d7": "*", "\u00f7": "/", "\u2215": "/", "\u2217": "*", "\u2026": "..."},
        **{"\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u2236": ":"},
        **{"\uff08": "(", "\uff09": ")", "\uff0c": ",", "\uff1a": ":", "\uff1b": ";"},
    }
)

# `12.`, `12)`, `Q3:`, `Problem 4 -`, `- `; but not `2 lists`, `3.5`, `2-D`, `-5` or `3 - 2`.
NUMBERING = re.compile(
    r"""(?:[\#*\u2022\s]+ | -+(?!\S) | -+(?=[A-Za-z]{2}) |
    (?:(?:q|que|ques|question|problem|exercise|task|program)\.?\s*\d+ | \d+(?!\s-+\s-?\d))
    \s*(?:[.):]+(?!\d)|\s-+\s)\s*)+""",
    re.IGNORECASE | re.VERBOSE,
)
TRAILING = " .:;,"  # not `#` or `*`: "replace each punctuation with #"
# A separator after a space and a word that needs an object: "split at ,".
NAMED_SEPARATOR = re.compile(
    r"(?:(?:as|at|using|with) [.:;,]|(?:by|is|on|to) [:;,])[.:;,]*", re.IGNORECASE
)


def repair_characters(pair: Pair) -> Pair:
    """Repair wrongly decoded text (mojibake), and typographic quotes and signs in code.

    Descriptions are repaired by ftfy. In code that parses only wrongly decoded characters are
    replaced, which are in strings; code that does not parse gets ASCII quotes, minus signs and
    spaces if it parses afterwards.
    """
    if pair.description.isascii() and pair.code.isascii():
        return pair
    description = ftfy.fix_text(pair.description, unescape_html=False)
    pair = replace(pair, description=description)
    if pair.code.isascii():
        return pair
    decoded = ftfy.fix_encoding(pair.code)
    if tree_text(decoded) is not None:
        return replace(pair, code=decoded)
    return first_that_parses(pair, (decoded.translate(TYPOGRAPHY),))


def repair_description(pair: Pair) -> Pair:
    """Normalize a description: single spaces, no leading number, no trailing full stop."""
    text = " ".join(pair.description.split())
    if numbering := NUMBERING.match(text):
        text = text[numbering.end() :]
    short = text.rstrip(TRAILING)
    if named := NAMED_SEPARATOR.match(text, short.rfind(" ") + 1):
        short = text[: named.end()]
    return replace(pair, description=short)


def repair_python2(pair: Pair) -> Pair:
    """Translate Python 2 to 3 by fissix, if the code parses afterwards but not before."""
    if tree_text(pair.code) is not None:
        return pair
    refuse_pathological(pair.code)
    try:
        code = str(_translator().refactor_string(pair.code + "\n", "<code>"))
    except Exception:  # not Python 2 either: ParseError, TokenError, KeyError and others
        return pair
    return first_that_parses(pair, (code.rstrip("\n"),))


@cache
def _translator() -> RefactoringTool:
    """Build the translator once per process, which takes half a second."""
    logging.getLogger("RefactoringTool").setLevel(logging.CRITICAL)
    logging.getLogger("lib2to3.driver").setLevel(logging.CRITICAL)
    return RefactoringTool(sorted(get_fixers_from_package("fissix.fixes")))
