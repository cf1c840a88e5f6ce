"""What a person can mend, told in one sentence."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake at the command line or in a file: one sentence with value, reason and remedy.

    Only the code around `main` catches it, prints the sentence and exits with code 2.
    """


class Fault(Exception):
    """What the machine or the training itself did: one sentence, and what can be done about it.

    Nothing on the command line was wrong, so the program ends with exit code 1. What was saved is
    whole, and the same command goes on from there.
    """


def did_you_mean(value: str, options: Iterable[str]) -> str:
    """Name the option nearest to a mistyped value, as a clause to append to an error.

    Args:
        value: What was typed.
        options: What would have been valid.

    Returns:
        `"; did you mean 'smoothed'?"`, or all options where none is near.
    """
    known = sorted(options)
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else f"; choose from: {', '.join(known)}"
