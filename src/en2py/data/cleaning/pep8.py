"""autopep8 with its preparations made once and not for every program: half the time, same result.

For each pass over each program autopep8 builds pycodestyle's command line anew, to take its options
from, and for each program it reads the signatures of all its own functions. Two of its functions
are replaced by ones that remember; `tests/test_cleaning.py` holds both ways equal.
"""

import argparse
import copy
import functools
from typing import Any

import autopep8
import pycodestyle

# What autopep8 would find and then, without `--aggressive`, leave as it is.
LEFT_ALONE = ("E711", "E712", "E713", "E714", "E721", "E722", "E741", "E742", "E743", "W505",
              "W605")  # fmt: skip


@functools.cache
def options(ignore: str, max_passes: int) -> argparse.Namespace:
    """Return autopep8's options; take a copy, for it adds to the list of rules.

    Args:
        ignore: Rules to leave alone, separated by commas.
        max_passes: Most passes over a program.
    """
    made: argparse.Namespace = autopep8.parse_args([""])
    made.ignore = [rule.strip() for rule in ignore.split(",") if rule.strip()]
    made.ignore += LEFT_ALONE
    made.pep8_passes = max_passes
    return made


def fix(code: str, settings: argparse.Namespace) -> str:
    """Format a program.

    Raises:
        Exception: On broken code, of many kinds: IndexError, AssertionError, TokenError.
    """
    plain = autopep8._get_parameters, autopep8._execute_pep8
    autopep8._get_parameters, autopep8._execute_pep8 = _parameters, _findings
    try:
        return str(autopep8.fix_code(code, options=copy.deepcopy(settings)))
    finally:
        autopep8._get_parameters, autopep8._execute_pep8 = plain


# By function and not by bound method, of which there is a new one for every pass.
_names = functools.cache(autopep8._get_parameters)


def _parameters(function: Any) -> list[str]:
    """Return the names of a function's parameters."""
    names: list[str] = _names(getattr(function, "__func__", function))
    return names


class _Findings(pycodestyle.BaseReport):  # type: ignore[misc]
    """Takes what pycodestyle finds, in the form in which autopep8 reads it."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.found: list[dict[str, Any]] = []

    def error(self, line_number: int, offset: int, text: str, check: Any) -> Any:
        code = super().error(line_number, offset, text, check)
        if code:
            found = {"id": code, "line": line_number, "column": offset + 1, "info": text}
            self.found.append(found)
        return code


_made: dict[str, Any] = {}  # pycodestyle's options by what autopep8 asks of it


def _findings(asked: dict[str, Any], source: list[str]) -> list[dict[str, Any]]:
    """Run pycodestyle over the lines of a program."""
    key = repr(asked)
    if key not in _made:
        _made[key] = pycodestyle.StyleGuide({**asked, "reporter": _Findings}).options
    report = _Findings(_made[key])
    pycodestyle.Checker("", lines=source, options=_made[key], report=report).check_all()
    return report.found
