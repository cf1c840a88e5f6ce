"""Read pairs from a file of records; known field names are recognised, others are arguments."""

import ast
import difflib
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from en2py.data.pairs import DataReport, Pair
from en2py.data.sources.records import (
    MISSING,
    Located,
    Record,
    field_names,
    read_records,
    short,
    split_folders,
    value_of,
)
from en2py.data.syntax import has_assert, parse
from en2py.errors import UserError, did_you_mean

AUTO = "auto"  # recognise the field by its name
SPLIT_NAMES = {"train": "train", "val": "val", "test": "test"}  # in files, to ours
SPLIT_NAMES |= dict.fromkeys(("valid", "validation", "dev"), "val")

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


def read_file(
    report: DataReport,
    *,
    name: str,
    path: str | Mapping[str, str],
    description_field: str | Sequence[str],
    code_field: str,
    tests_field: str | None,
    setup_field: str | None = None,
    id_field: str | None = None,
    split_field: str | None = None,
) -> list[Pair]:
    """Read pairs from one file, or from one file per split.

    A field is a name or a dotted path (`answer.code`). `auto` recognises the names of public data
    sets. A name that no record has is that of the only field which differs from it in case and
    outer blanks alone.

    Args:
        report: Receives the counts of each rule.
        name: Name of the source, the first part of each id.
        path: The file, or a mapping `train`, `val`, `test` -> file for an official split. A file
            has a form that `read_records` reads.
        description_field: Field of the English text; of several the first that is not empty.
        code_field: Field of the program, a text or a list of lines.
        tests_field: Field of the `assert` statements, a list or one text; None for none.
        setup_field: Field of statements before each test (imports), a list or one text.
        id_field: Field of a number or text that identifies the pair; None counts the records.
        split_field: Field with `train`, `val` or `test`; None if there is none.

    Returns:
        The pairs in the order of the files.

    Raises:
        UserError: If a file cannot be read, no record has a field, two records have the same id, or
            no pair is left.
    """
    given = (description_field,) if isinstance(description_field, str) else (*description_field,)
    asked = Fields(given, code_field, tests_field, setup_field)
    files = (_saved_splits(path) or {"": path}) if isinstance(path, str) else dict(path)
    if isinstance(path, Mapping):
        _check_files(path)
    pairs: list[Pair] = []
    recognised: dict[str, str] = {}  # fields to the first file that has them
    for split, file in files.items():
        records = _records(str(file), asked, report, name)
        names = _FieldNames(str(file), [record for _, record in records])
        fields = names.find(asked)
        own_id_field, own_split_field = names.own(id_field), names.own(split_field)
        names.check({"id_field": own_id_field, "split_field": own_split_field})
        if fields != asked:
            recognised.setdefault(str(fields), str(file))
        for n, (where, record) in enumerate(records, start=1):
            own_id = _value(record, own_id_field)
            number = n if own_id is None else own_id
            pair_id = f"{name}/{SPLIT_NAMES[split]}/{number}" if split else f"{name}/{number}"
            pair = _pair(record, pair_id, fields, report, name)
            official = _value(record, own_split_field) if own_split_field is not None else split
            if pair is not None and official:
                pair = replace(pair, split=_check_split(official, where))
            pairs += [] if pair is None else [pair]
    if not pairs:
        raise UserError(
            f"{_listed(files)} holds no pair: {_reasons(report, name)}; {names.listed()}: set "
            "data.source.description_field=NAME and data.source.code_field=NAME"
        )
    _check_ids(pairs, _listed(files))
    _check_tests(pairs, tests_field, _listed(files), report, name)
    if recognised:
        texts = [text + f" in {file}" * (len(recognised) > 1) for text, file in recognised.items()]
        report.facts[f"{name}: fields"] = "; ".join(texts)
    report.read(f"{name}: pairs", len(pairs))
    return pairs


# -- fields ---------------------------------------------------------------------------------------


def _records(path: str, asked: Fields, report: DataReport, name: str) -> list[Located]:
    codes = {code for _, code in KNOWN_FIELDS} if asked.code == AUTO else {asked.code}

    def is_pair(record: Record) -> bool:
        names = set(map(_plain, record))
        return any(value_of(record, c) is not MISSING or _plain(c) in names for c in codes)

    def count(form: str, n: int) -> None:
        report.read(f"{name}: {form}", n)

    return list(read_records(path, is_pair, count))


class _FieldNames:
    """The names of the fields in the records of a file, to which settings refer."""

    def __init__(self, file: str, records: Sequence[Record]) -> None:
        if not any(records):
            n, empty = len(records), "no record (a table needs rows below the names of its columns)"
            why = f"{n:,} records without a field" if n else empty
            raise UserError(f"{file} holds no pair: {why}")
        self.file, self.records = file, records

    def find(self, asked: Fields) -> Fields:
        """Check that a record has each field, and recognise those that are `auto`.

        Raises:
            UserError: If a field is missing, or none is known.
        """
        description, code, tests, setup = asked.description, asked.code, asked.tests, asked.setup
        description, code = tuple(map(self._named, description)), self._named(code)
        if description == (AUTO,) or code == AUTO:
            description, code = self._recognised(description, code)
        self.check({"description_field": description, "code_field": code})
        if tests == AUTO:
            tests = next(filter(self._are_tests, map(self._named, KNOWN_TESTS)), None)
        if setup == AUTO:
            known = map(self._named, KNOWN_SETUPS)
            setup = next(filter(self._has, known), None) if tests else None
        tests, setup = self.own(tests), self.own(setup)
        self.check({"tests_field": tests, "setup_field": setup})
        is_auto = asked.description == (AUTO,)
        more = self.own(KNOWN_INPUTS.get(tuple(map(_plain, description)))) if is_auto else None
        return Fields(description, code, tests, setup, more if more and self._has(more) else None)

    def own(self, field: str | None) -> str | None:
        """Return the file's own name of a field, see `read_file`; None for none."""
        return None if field is None else self._named(field)

    def _named(self, field: str) -> str:
        if field == AUTO or self._has(field):
            return field
        same = [name for name in self._all_names if _plain(name) == _plain(field)]
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

    def _recognised(self, description: tuple[str, ...], code: str) -> tuple[tuple[str, ...], str]:
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
        value = next((_value(record, named) for record in self.records), None)
        what = "has" if named is None else f"with text ({named!r} holds {short(value)}) has"
        why = f"no field {what} a known name of the {' and the '.join(sides)}"
        if not any(unknown.values()):  # both are there, and the same or of two kinds of files
            why = "no two fields are known to be the description and the code of one file"
        raise UserError(f"{self.file}: {why}; {self.listed()}: set {settings}")

    def _has(self, field: str) -> bool:
        return any(value_of(record, field) is not MISSING for record in self.records)

    def _are_tests(self, field: str) -> bool:
        found = (item for record in self.records for item in _statements(record, field))
        return any(isinstance(item, str) and "assert" in item for item in found)

    def listed(self, *near: str) -> str:
        """List the fields, those with the most similar names first."""
        names = self._all_names
        similar = [name for word in near for name in difflib.get_close_matches(word, names, n=2)]
        ordered = list(dict.fromkeys([*similar, *names]))
        more = ", ..." if len(ordered) > MAX_NAMES else ""
        place = " in its first line" if {".csv", ".tsv"} & {*PurePath(self.file).suffixes} else ""
        return f"the fields{place} are {', '.join(map(repr, ordered[:MAX_NAMES]))}{more}"


def _plain(name: str) -> str:
    return name.strip().casefold()


def _pair(
    record: Record, pair_id: str, fields: Fields, report: DataReport, name: str
) -> Pair | None:
    """Return the pair of a record without its split; None if it is none, which is counted."""
    code = _value(record, fields.code)
    is_lines = isinstance(code, list) and all(isinstance(line, str) for line in code)
    report.read(f"{name}: records", changed=is_lines)
    if is_lines:
        code = "\n".join(line.removesuffix("\n") for line in code)
    if reason := _invalid(record, pair_id, fields, code):
        report.dropped(f"{name}: records", pair_id, reason)
        return None
    text = next(t for field in fields.description if _is_text(t := _value(record, field)))
    if fields.input is not None:
        has_more = _is_text(more := _value(record, fields.input))
        report.read(f"{name}: {fields.input!r} appended to the description", changed=has_more)
        text = f"{text} {more}" if has_more else text
    description = " ".join(text.split())
    report.read(f"{name}: descriptions on one line", changed=description != text)
    tests = _tests(record, fields)
    usable = tuple(test for test in tests if has_assert(test))
    if usable != tests:
        report.read(_left_out(name), changed=1)
    return Pair(pair_id, description, code, name, tests=usable)


# -- values ---------------------------------------------------------------------------------------


def _value(record: Record, field: str | None) -> Any:
    value = MISSING if field is None else value_of(record, field)
    return None if value is MISSING else value


def _invalid(record: Record, pair_id: str, fields: Fields, code: Any) -> str:
    """Return why a record is not a pair; empty if it is one."""
    texts = [_value(record, field) for field in fields.description]
    if all(text in (None, "") for text in texts):
        return "no description"
    if not any(map(_is_text, texts)):
        return "description is not text"
    if code in (None, ""):
        return "no code"
    if not _is_text(code):
        return "code is not text"
    for field in (fields.tests, fields.setup):
        if any(not _is_text(item) for item in _statements(record, field)):
            return f"{'tests are' if field == fields.tests else 'test setup is'} not text"
    return "" if _is_valid_text(pair_id) else "id is not text"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and _is_valid_text(value)


def _is_valid_text(text: str) -> bool:
    """Return whether a text can be encoded and parsed: no NUL, no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _tests(record: Record, fields: Fields) -> tuple[str, ...]:
    """Return the tests, each after the setup, so that each runs alone."""
    tests, setups = (
        [_dedented(item.replace("\r\n", "\n").strip("\n")) for item in _statements(record, field)]
        for field in (fields.tests, fields.setup)
    )
    setup = "\n".join(setups)
    return tuple(f"{setup}\n{test}" if setup else test for test in tests)


def _dedented(text: str) -> str:
    return textwrap.dedent(text) if text[:1].isspace() else text


def _statements(record: Record, field: str | None) -> list[Any]:
    """Return the items of a list or one text; a list in a cell of a table is written as text."""
    value = _value(record, field)
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


# -- ids and splits -------------------------------------------------------------------------------


def _check_split(split: Any, where: str) -> str:
    plain = _plain(split) if isinstance(split, str) else ""
    if plain not in SPLIT_NAMES:
        near = did_you_mean(str(split), set(SPLIT_NAMES.values()))
        raise UserError(f"{where}: unknown split {short(split)}{near}")
    return SPLIT_NAMES[plain]


def _saved_splits(path: str) -> dict[str, str]:
    """Return the folder per split of a saved `DatasetDict`, and refuse other names of splits."""
    folders = split_folders(path)
    for name, folder in folders.items():
        if _plain(name) not in SPLIT_NAMES:
            raise UserError(
                f"{path}: {name!r} is none of train, val and test; name the parts to read, "
                f"data.path={folder} or split=official data.path={{train:FOLDER,test:FOLDER}}"
            )
    if folders:
        _check_files(folders)
    return {SPLIT_NAMES[_plain(name)]: folder for name, folder in folders.items()}


def _check_files(files: Mapping[str, str]) -> None:
    """Refuse no file, an unknown split, two names of one split, and a file of two splits."""
    if not files:
        raise UserError(
            "data.path={}: no file is named; name one per split, data.path={train:FILE,test:FILE}"
        )
    first: dict[str, str] = {}
    places: dict[str, str] = {}
    for name, file in files.items():
        split = _check_split(name, "data.path")
        if (other := first.setdefault(split, name)) != name:
            raise UserError(
                f"data.path: '{other}' and '{name}' are two names of the split {split}; join the "
                "two files, or keep one of them"
            )
        if (other := places.setdefault(os.path.realpath(file), name)) != name:
            raise UserError(
                f"data.path: {other} and {name} are one file, {file}; a split needs pairs of its "
                "own (without val: a part of train is taken)"
            )


def _check_ids(pairs: Sequence[Pair], files: str) -> None:
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise UserError(
                f"{files}: two records have the id {pair.id!r};"
                " data.source.id_field=null counts the records instead"
            )
        seen.add(pair.id)


def _check_tests(
    pairs: Sequence[Pair], field: str | None, files: str, report: DataReport, name: str
) -> None:
    """Warn if most tests were left out; refuse a typed field without a test."""
    n, step = sum(bool(pair.tests) for pair in pairs), report.steps.get(_left_out(name))
    is_a_test = "a test is code that runs an assert: outside of a function, or in one that it calls"
    if n == 0 and field not in (AUTO, None):
        raise UserError(
            f"{files}: no text in {field!r} is a test; {is_a_test}; set "
            "data.source.tests_field=NAME, or null if there is none"
        )
    if step is not None and step.changed > n:
        report.warnings.append(
            f"tests of {step.changed:,} pairs are left out, and {n:,} pairs have tests: {is_a_test}"
        )


def _left_out(name: str) -> str:
    """Return the name of the step that leaves out texts that are no tests."""
    return f"{name}: tests without an assert, or that do not parse, left out"


def _listed(files: Mapping[str, str]) -> str:
    return ", ".join(map(str, files.values()))


def _reasons(report: DataReport, name: str) -> str:
    reasons = report.steps[f"{name}: records"].reasons
    return ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common())
