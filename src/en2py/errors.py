"""Errors that are reported in one sentence, and suggestions for mistyped values."""

import difflib
import importlib.util
from collections.abc import Iterable, Iterator


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
    return nearest(value, known) or f"; choose from: {', '.join(known)}"


def nearest(value: str, options: Iterable[str]) -> str:
    """Return `"; did you mean 'smoothed'?"`, or an empty text if no option is similar."""
    known = {option.lower(): option for option in sorted(options)}
    similar = difflib.get_close_matches(value.lower(), known, n=1)
    return f"; did you mean '{known[similar[0]]}'?" if similar else ""


def check_installed(setting: str, module: str, extra: str) -> None:
    """Refuse a setting whose optional package is missing.

    Raises:
        UserError: With the extra that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise UserError(
            f'{setting}: {module} is not installed; pip install -e ".[{extra}]" installs it'
        )


def check_returned(part: str, kind: type, expected: str, returned: object) -> None:
    """Refuse what the `_target_` of a part of the config returned, unless it is of a kind.

    Raises:
        UserError: With what was expected.
    """
    if not isinstance(returned, kind):
        raise UserError(
            f"{part}: expected {expected}, and its _target_ returned {type(returned).__name__}"
        )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the last one first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
