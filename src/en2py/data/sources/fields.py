"""Find the fields of description, program and tests in records, and read their values."""

import ast
import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from en2py.data.sources.records import MISSING, Record, field_names, short, value_of
from en2py.data.syntax import parse
from en2py.errors import UserError

AUTO = "auto"  # recognize the field by its name

# Fields of description and program in public data sets; the first pair that a file has is taken.
KNOWN_FIELDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("description",), "code"),
    (("text",), "code"),  # MBPP
    (("prompt",), "code"),  # MBPP, sanitized
    (("instruction",), "output"),  # Alpaca, with an optional `input`
    (("prompt",), "completion"),
    (("question",), "answer"),
    (("rewritten_intent", "intent"), "snippet"),  # CoNaLa
    (("intent",), "snippet"),
    (("docstring",), "code"),  # CodeSearchNet
    (("nl",), "code"),  # CONCODE
    (("func_documentation_string",), "func_code_string"),  # CodeSearchNet of Hugging Face
)
KNOWN_INPUTS: dict[tuple[str, ...], str] = {("instruction",): "input"}  # of Alpaca, appended to it
KNOWN_TESTS = ("test_list", "tests")
KNOWN_SETUPS = ("test_setup_code", "test_imports")
MAX_NAMES = 12  # of fields in a message
_BETWEEN_TEXTS = re.compile(r"(?<=['\"])\s+(?=['\"])")


@dataclass(frozen=True)
class Fields:
    """The fields of a pair.

    Attributes:
        description: Of the English text; the first that is not empty is taken.
        code: Of the program.
        tests: Of its tests; None for none.
        setup: Of statements before each test; None for none.
        input: Of text that continues the description; None for none.
    """

    description: tuple[str, ...]
    code: str
    tests: str | None
    setup: str | None
    input: str | None = None

    def __str__(self) -> str:
        """Describe the fields for the terminal."""
        text = f"description from {' or '.join(map(repr, self.description))}"
        text += f" with {self.input!r} appended" if self.input else ""
        text += f", code from {self.code!r}"
        text += f", tests from {self.tests!r}" if self.tests else ""
        return text + (f" after {self.setup!r}" if self.setup else "")


class FieldNames:
    """The names of the fields in the records of a file, to which settings refer."""

    def __init__(self, file: str, records: Sequence[Record]) -> None:
        if not any(records):
            n, empty = len(records), "no record (a table needs rows below the names of its columns)"
            why = f"{n:,} records without a field" if n else empty
            raise UserError(f"{file} holds no pair: {why}")
        self.file, self.records = file, records

    def find(self, asked: Fields) -> Fields:
        """Check that a record has each field, and recognize those that are `auto`.

        Raises:
            UserError: If a field is missing, or none is known.
        """
        description, code, tests, setup = asked.description, asked.code, asked.tests, asked.setup
        description, code = tuple(map(self._named, description)), self._named(code)
        if description == (AUTO,) or code == AUTO:
            description, code = self._recognized(description, code)
        self.check({"description_field": description, "code_field": code})
        if tests == AUTO:
            tests = next(filter(self._are_tests, map(self._named, KNOWN_TESTS)), None)
        if setup == AUTO:
            known = map(self._named, KNOWN_SETUPS)
            setup = next(filter(self._has, known), None) if tests else None
        tests, setup = self.own(tests), self.own(setup)
        self.check({"tests_field": tests, "setup_field": setup})
        is_auto = asked.description == (AUTO,)
        more = self.own(KNOWN_INPUTS.get(tuple(map(plain_name, description)))) if is_auto else None
        return Fields(description, code, tests, setup, more if more and self._has(more) else None)

    def own(self, field: str | None) -> str | None:
        """Return the name that a field has in this file, in its case; None for no field."""
        return None if field is None else self._named(field)

    def _named(self, field: str) -> str:
        if field == AUTO or self._has(field):
            return field
        same = [name for name in self._all_names if plain_name(name) == plain_name(field)]
        return same[0] if len(same) == 1 else field

    @cached_property
    def _all_names(self) -> list[str]:
        return field_names(self.records)

    def check(self, fields: Mapping[str, str | tuple[str, ...] | None]) -> None:
        """Raise if no record has a field; single records without it are dropped later.

        Args:
            fields: The field, or several of which one is enough, by the name of the setting.
        """
        for setting, given in fields.items():
            names = (given,) if isinstance(given, str) else given or ()
            if names and not any(map(self._has, names)):
                needed = setting in ("description_field", "code_field")
                raise UserError(
                    f"{self.file}: no record has a field {' or '.join(map(repr, names))};"
                    f" {self.listed(*names)}: set data.source.{setting}=NAME"
                    + ("" if needed else ", or null if there is none")
                )

    def _recognized(self, description: tuple[str, ...], code: str) -> tuple[tuple[str, ...], str]:
        """Return the fields of description and code with known names in place of `auto`.

        Raises:
            UserError: If there is none.
        """

        def has_text(field: str) -> bool:
            return any(isinstance(value_of(record, field), str | list) for record in self.records)

        known = [
            (
                tuple(map(self._named, d)) if description == (AUTO,) else description,
                self._named(c) if code == AUTO else code,
            )
            for d, c in KNOWN_FIELDS
        ]
        descriptions = {d for d, _ in known if d == description or all(map(has_text, d))}
        codes = {c for _, c in known if c == code or has_text(c)}
        for d, c in known:
            if d in descriptions and c in codes and c not in d:
                return d, c
        unknown = {"description": not descriptions, "code": not codes}
        sides = [side for side in unknown if unknown[side]] or [*unknown]
        settings = " and ".join(f"data.source.{side}_field=NAME" for side in sides)
        names = [c for _, c in known] if "code" in sides else []
        names += [name for d, _ in known for name in d] if "description" in sides else []
        named = next(filter(self._has, names), None)
        value = next((field_value(record, named) for record in self.records), None)
        what = "has" if named is None else f"with text ({named!r} holds {short(value)}) has"
        why = f"no field {what} a known name of the {' and the '.join(sides)}"
        if not any(unknown.values()):  # both are there, and the same or of two kinds of files
            why = "no two fields are known to be the description and the code of one file"
        raise UserError(f"{self.file}: {why}; {self.listed()}: set {settings}")

    def _has(self, field: str) -> bool:
        return any(value_of(record, field) is not MISSING for record in self.records)

    def _are_tests(self, field: str) -> bool:
        found = (item for record in self.records for item in statements_of(record, field))
        return any(isinstance(item, str) and "assert" in item for item in found)

    def listed(self, *near: str) -> str:
        """List the fields, those with the most similar names first."""
        names = self._all_names
        similar = [name for word in near for name in difflib.get_close_matches(word, names, n=2)]
        ordered = list(dict.fromkeys([*similar, *names]))
        more = ", ..." if len(ordered) > MAX_NAMES else ""
        place = " in its first line" if {".csv", ".tsv"} & {*PurePath(self.file).suffixes} else ""
        return f"the fields{place} are {', '.join(map(repr, ordered[:MAX_NAMES]))}{more}"


def plain_name(name: str) -> str:
    """Return a name without differences in case and outer blanks."""
    return name.strip().casefold()


def field_value(record: Record, field: str | None) -> Any:
    """Return the value of a field; None if the record does not have it."""
    value = MISSING if field is None else value_of(record, field)
    return None if value is MISSING else value


def statements_of(record: Record, field: str | None) -> list[Any]:
    """Return the items of a list or one text; a list in a cell of a table is written as text."""
    value = field_value(record, field)
    if isinstance(value, str) and value.lstrip().startswith("["):
        found: list[Any] = []  # numpy writes a list without commas, and Python joins its texts
        for written in (value.strip(), _BETWEEN_TEXTS.sub(", ", value.strip())):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):  # a program
                found.append(ast.literal_eval(written))
        lists = (items for items in found if isinstance(items, list))
        valid = (items for items in lists if all(parse(str(item)) for item in items))
        value = next(valid, found[0] if found else value)
    items = value if isinstance(value, list) else [value]
    return [
        item for item in items if not (item is None or (isinstance(item, str) and not item.strip()))
    ]
