"""Run autopep8 with cached preparations: half the time, the same result.

For each pass over each program autopep8 builds the command line of pycodestyle to read its options,
and for each program it inspects the signatures of all its own functions. While it runs, two of its
functions are replaced by functions with a cache; `test_cleaning.py` compares the results.
"""

import argparse
import copy
import functools
from typing import Any

import autopep8
import pycodestyle

# Rules that autopep8 checks but, without `--aggressive`, does not fix.
NOT_FIXED = ("E711", "E712", "E713", "E714", "E721", "E722", "E741", "E742", "E743", "W505",
              "W605")  # fmt: skip


@functools.cache
def options(ignore: str, max_passes: int) -> argparse.Namespace:
    """Return the options of autopep8, which modifies them: pass it a copy.

    Args:
        ignore: Rules to skip, separated by commas.
        max_passes: Maximum passes over a program.
    """
    made: argparse.Namespace = autopep8.parse_args([""])
    made.ignore = [rule.strip() for rule in ignore.split(",") if rule.strip()]
    made.ignore += NOT_FIXED
    made.pep8_passes = max_passes
    return made


def fix(code: str, settings: argparse.Namespace) -> str:
    """Format a program.

    Raises:
        Exception: On broken code: IndexError, AssertionError, TokenError and others.
    """
    plain = autopep8._get_parameters, autopep8._execute_pep8
    autopep8._get_parameters, autopep8._execute_pep8 = _parameters, _findings
    try:
        return str(autopep8.fix_code(code, options=copy.deepcopy(settings)))
    finally:
        autopep8._get_parameters, autopep8._execute_pep8 = plain


# The key is the function, because there is a new bound method for every pass.
_names = functools.cache(autopep8._get_parameters)


def _parameters(function: Any) -> list[str]:
    """Return the names of a function's parameters."""
    names: list[str] = _names(getattr(function, "__func__", function))
    return names


class _Findings(pycodestyle.BaseReport):  # type: ignore[misc]
    """Collect the results of pycodestyle in the form that autopep8 reads."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.found: list[dict[str, Any]] = []

    def error(self, line_number: int, offset: int, text: str, check: Any) -> Any:
        code = super().error(line_number, offset, text, check)
        if code:
            found = {"id": code, "line": line_number, "column": offset + 1, "info": text}
            self.found.append(found)
        return code


_options: dict[str, Any] = {}  # options of pycodestyle by the arguments of autopep8


def _findings(arguments: dict[str, Any], source: list[str]) -> list[dict[str, Any]]:
    """Run pycodestyle over the lines of a program."""
    key = repr(arguments)
    if key not in _options:
        _options[key] = pycodestyle.StyleGuide({**arguments, "reporter": _Findings}).options
    report = _Findings(_options[key])
    pycodestyle.Checker("", lines=source, options=_options[key], report=report).check_all()
    return report.found
