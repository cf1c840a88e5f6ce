"""Errors that are reported in one sentence, and suggestions for mistyped values."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user, on the command line or in a file: exit code 2.

    The message is one sentence with the value, the reason and what to do. Only `cli.main` catches
    it.
    """


class Fault(Exception):
    """A fault of the machine or of training: exit code 1.

    The message is one sentence with what happened and what to do. What was saved is complete, and
    the same command resumes from there.
    """


def did_you_mean(value: str, options: Iterable[str]) -> str:
    """Return a suggestion to append to an error message.

    Args:
        value: The mistyped value.
        options: The valid values.

    Returns:
        `"; did you mean 'smoothed'?"`, or all options if none is similar.
    """
    known = sorted(options)
    similar = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    return f"; did you mean '{similar[0]}'?" if similar else f"; choose from: {', '.join(known)}"
