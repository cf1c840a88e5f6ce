"""Read pairs from a file of records; known field names are recognized, others are arguments."""

import os
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from en2py.data.pairs import DataReport, Pair
from en2py.data.sources.fields import (
    AUTO,
    KNOWN_FIELDS,
    FieldNames,
    Fields,
    field_value,
    plain_name,
    statements_of,
)
from en2py.data.sources.records import (
    MISSING,
    Located,
    Record,
    read_records,
    short,
    split_folders,
    value_of,
)
from en2py.data.syntax import has_assert
from en2py.errors import UserError, did_you_mean

SPLIT_NAMES = {"train": "train", "val": "val", "test": "test"}  # in files, to ours
SPLIT_NAMES |= dict.fromkeys(("valid", "validation", "dev"), "val")


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

    A field is a name or a dotted path (`answer.code`). `auto` recognizes the names of public data
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
    parts: dict[str, Counter[str]] = {}  # splits to why records are no pairs, "" for pairs
    recognized: dict[str, str] = {}  # fields to the first file that has them
    for split, file in files.items():
        records = _records(str(file), asked, report, name)
        names = FieldNames(str(file), [record for _, record in records])
        fields = names.find(asked)
        own_id_field, own_split_field = names.own(id_field), names.own(split_field)
        names.check({"id_field": own_id_field, "split_field": own_split_field})
        if fields != asked:
            recognized.setdefault(str(fields), str(file))
        for n, (where, record) in enumerate(records, start=1):
            own_id = field_value(record, own_id_field)
            number = n if own_id is None else own_id
            pair_id = f"{name}/{SPLIT_NAMES[split]}/{number}" if split else f"{name}/{number}"
            pair = _pair(record, pair_id, fields, report, name)
            official = split if own_split_field is None else field_value(record, own_split_field)
            part = SPLIT_NAMES.get(plain_name(str(official or "")), "")
            why = "" if pair is not None else report.dropped_ids[pair_id]
            parts.setdefault(part, Counter())[why] += 1
            if pair is not None and official:
                pair = replace(pair, split=_check_split(official, where))
            pairs += [] if pair is None else [pair]
        for part, reasons in parts.items():
            if not reasons[""] and (part or not pairs):
                pair_of_part = f"{part} pair" if part else "pair"
                raise UserError(
                    f"{file} holds no {pair_of_part}: {_listed_reasons(reasons)}; "
                    f"{names.listed()}: set data.source.description_field=NAME and "
                    "data.source.code_field=NAME"
                )
    _check_ids(pairs, _listed(files))
    _check_tests(pairs, tests_field, setup_field, _listed(files), report, name)
    if recognized:
        is_one = len(recognized) == 1
        texts = [text if is_one else f"{text} in {file}" for text, file in recognized.items()]
        report.facts[f"{name}: fields"] = "; ".join(texts)
    report.read(f"{name}: pairs", len(pairs))
    return pairs


# -- records --------------------------------------------------------------------------------------


def _records(path: str, asked: Fields, report: DataReport, name: str) -> list[Located]:
    codes = {code for _, code in KNOWN_FIELDS} if asked.code == AUTO else {asked.code}

    def is_pair(record: Record) -> bool:
        names = set(map(plain_name, record))
        return any(value_of(record, c) is not MISSING or plain_name(c) in names for c in codes)

    def count(form: str, n: int) -> None:
        report.read(f"{name}: {form}", n)

    return list(read_records(path, is_pair, count))


def _pair(
    record: Record, pair_id: str, fields: Fields, report: DataReport, name: str
) -> Pair | None:
    """Return the pair of a record without its split; None if it is none, which is counted."""
    code = field_value(record, fields.code)
    is_lines = isinstance(code, list) and all(isinstance(line, str) for line in code)
    report.read(f"{name}: records", changed=is_lines)
    if is_lines:
        code = "\n".join(line.removesuffix("\n") for line in code)
    if reason := _invalid(record, pair_id, fields, code):
        report.dropped(f"{name}: records", pair_id, reason)
        return None
    text = next(t for field in fields.description if _is_text(t := field_value(record, field)))
    if fields.input is not None:
        has_more = _is_text(more := field_value(record, fields.input))
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


def _invalid(record: Record, pair_id: str, fields: Fields, code: Any) -> str:
    """Return why a record is not a pair; empty if it is one."""
    texts = [field_value(record, field) for field in fields.description]
    if all(text in (None, "") for text in texts):
        return "no description"
    if not any(map(_is_text, texts)):
        return "description is not text"
    if code in (None, ""):
        return "no code"
    if not _is_text(code):
        return "code is not text"
    for field in (fields.tests, fields.setup):
        if any(not _is_text(item) for item in statements_of(record, field)):
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
        [_dedented(item.replace("\r\n", "\n").strip("\n")) for item in statements_of(record, field)]
        for field in (fields.tests, fields.setup)
    )
    setup = "\n".join(setups)
    return tuple(f"{setup}\n{test}" if setup else test for test in tests)


def _dedented(text: str) -> str:
    return textwrap.dedent(text) if text[:1].isspace() else text


# -- ids and splits -------------------------------------------------------------------------------


def _check_split(split: Any, where: str) -> str:
    plain = plain_name(split) if isinstance(split, str) else ""
    if plain not in SPLIT_NAMES:
        near = did_you_mean(str(split), set(SPLIT_NAMES.values()))
        raise UserError(f"{where}: unknown split {short(split)}{near}")
    return SPLIT_NAMES[plain]


def _saved_splits(path: str) -> dict[str, str]:
    """Return the folder per split of a saved `DatasetDict`, and refuse other names of splits."""
    folders = split_folders(path)
    for name, folder in folders.items():
        if plain_name(name) not in SPLIT_NAMES:
            raise UserError(
                f"{path}: {name!r} is none of train, val and test; name the parts to read, "
                f"data.path={folder} or split=official 'data.path={{train:FOLDER,test:FOLDER}}'"
            )
    if folders:
        _check_files(folders)
    return {SPLIT_NAMES[plain_name(name)]: folder for name, folder in folders.items()}


def _check_files(files: Mapping[str, str]) -> None:
    """Refuse no file, an unknown split, two names of one split, and a file of two splits."""
    if not files:
        raise UserError(
            "data.path={}: no file is named; name one per split, 'data.path={train:FILE,test:FILE}'"
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
    pairs: Sequence[Pair],
    field: str | None,
    setup: str | None,
    files: str,
    report: DataReport,
    name: str,
) -> None:
    """Warn if most tests were left out; refuse a typed field without a test."""
    n, step = sum(bool(pair.tests) for pair in pairs), report.steps.get(_left_out(name))
    is_a_test = "a test is code that runs an assert: outside of a function, or in one that it calls"
    if n == 0 and field not in (AUTO, None):
        raise UserError(
            f"{files}: no text in {field!r} is a test; {is_a_test}; set "
            "data.source.tests_field=NAME, or null if there is none"
        )
    if n == 0 and field == AUTO and setup not in (AUTO, None):
        raise UserError(
            f"{files}: no pair has a test, so nothing runs after {setup!r}; set "
            "data.source.tests_field=NAME, or data.source.setup_field=null"
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


def _listed_reasons(reasons: Counter[str]) -> str:
    """List reasons of `DataReport.dropped_ids` without their rule, the most frequent first."""
    return ", ".join(f"{why.rpartition(': ')[2]} ({n:,})" for why, n in reasons.most_common())
