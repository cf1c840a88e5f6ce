"""Anybody's own pairs: one JSON object a line, or one JSON list of objects.

The field names are settings, so MBPP, CoNaLa and their like are read as they are.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from en2py.data.pairs import DataReport, Pair
from en2py.data.text_files import find_file, read_text
from en2py.errors import UserError, did_you_mean

Record = dict[str, Any]
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
SPLITS |= {"test": "test"}


def read_jsonl(
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
    """Read pairs from one file, or from one file a split.

    Args:
        report: Takes the counts of each rule.
        name: Name of the source, the first part of each id.
        path: The file, or a mapping `train`, `val`, `test` -> file for an official split.
        description_field: Field of the English text; of several the first that is not empty.
        code_field: Field of the program.
        tests_field: Field of the `assert` statements, a list or one text; None for none.
        setup_field: Field of statements that go before each test (imports), a list or one text.
        id_field: Field of a number or text that names the pair; None counts the records.
        split_field: Field that says `train`, `val` or `test`; None where the records do not.

    Returns:
        The pairs in the order of the files.

    Raises:
        UserError: If a file cannot be read, a line is not JSON, no record has a field that the
            settings name, two records have one id, or no pair is left.
    """
    fields = [description_field] if isinstance(description_field, str) else [*description_field]
    files = {"": path} if isinstance(path, str) else dict(path)
    pairs: list[Pair] = []
    for split, file in files.items():
        if split:
            _check_split(split, "the settings")
        places = _records(str(file))
        optional = {
            "tests_field": tests_field,
            "setup_field": setup_field,
            "id_field": id_field,
            "split_field": split_field,
        }
        _check_fields(str(file), places, fields, code_field, optional)
        for n, (where, record) in enumerate(places, start=1):
            own_id = record.get(id_field) if id_field is not None else None
            number = n if own_id is None else own_id
            pair_id = f"{name}/{SPLITS[split]}/{number}" if split else f"{name}/{number}"
            reason = _wrong(record, pair_id, fields, code_field, tests_field, setup_field)
            report.read(f"{name}: records")
            if reason:
                report.dropped(f"{name}: records", pair_id, reason)
                continue
            text = next(record[field] for field in fields if _is_text(record.get(field)))
            description = " ".join(text.split())
            report.read(f"{name}: descriptions on one line")
            report.changed(f"{name}: descriptions on one line", int(description != text))
            official = record.get(split_field) if split_field is not None else split
            pairs.append(
                Pair(
                    pair_id,
                    description,
                    record[code_field],
                    name,
                    tests=_tests(record, tests_field, setup_field),
                    split=_check_split(official, where) if official else "",
                )
            )
    if not pairs:
        raise UserError(f"{_named(files)} holds no pair: {_reasons(report, name)}")
    _check_ids(pairs, _named(files))
    report.read(f"{name}: pairs", len(pairs))
    return pairs


def _records(path: str) -> list[tuple[str, Record]]:
    """Return each record with the words that say where it stands."""
    file = find_file(path)
    is_list = _first_byte(file) == b"["
    text = read_text(file, max_line=None) if is_list else read_text(file)
    if not is_list:
        return [
            (where, _object(_json(line, where), where))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
            for where in (f"{file}, line {number:,}",)
        ]
    content = _json(text, str(file))
    return [
        (where, _object(record, where))
        for number, record in enumerate(content, start=1)
        for where in (f"{file}, record {number:,}",)
    ]


def _first_byte(file: Path) -> bytes:
    """Return the first byte that is no white space: it tells a list from lines."""
    with file.open("rb") as handle:
        return handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = where if ", line " in where else f"{where}, line {error.lineno:,}"
        raise UserError(
            f"{place}, column {error.colno:,}: not JSON ({error.msg}); the file needs one JSON"
            " object a line, or one JSON list of objects"
        ) from None
    except (RecursionError, ValueError) as error:  # brackets 1,000 deep, a number of 5,000 digits
        raise UserError(f"{where}: JSON that cannot be read ({error})") from None


def _object(record: Any, where: str) -> Record:
    if not isinstance(record, dict):
        raise UserError(
            f"{where}: {type(record).__name__} {_short(record)} in place of a JSON object; each"
            ' record is like {"text": "...", "code": "..."}'
        )
    return record


def _check_fields(
    file: str,
    places: Sequence[tuple[str, Record]],
    alternatives: Sequence[str],
    code_field: str,
    optional: Mapping[str, str | None],
) -> None:
    """Refuse a field name that no record has; a single record without it is counted later."""
    known = {field for _, record in places for field in record}
    if not known:
        raise UserError(f"{file} holds no pair: {len(places):,} records without a field")
    if not known.intersection(alternatives):
        names = " or ".join(map(repr, alternatives))
        near = did_you_mean(alternatives[0] if alternatives else "", known)
        raise UserError(f"{file}: no record has a field {names}{near}")
    if code_field not in known:
        raise UserError(
            f"{file}: no record has a field {code_field!r}{did_you_mean(code_field, known)}"
        )
    for setting, field in optional.items():
        if field is not None and field not in known:
            near = did_you_mean(field, known)
            raise UserError(
                f"{file}: no record has a field {field!r}{near} (data.source.{setting}=null is"
                " for records without one)"
            )


def _wrong(
    record: Record,
    pair_id: str,
    fields: Sequence[str],
    code_field: str,
    tests_field: str | None,
    setup_field: str | None,
) -> str:
    """Say what keeps a record from being a pair; nothing where it is one."""
    if all(record.get(field) in (None, "") for field in fields):
        return "no description"
    if not any(_is_text(record.get(field)) for field in fields):
        return "description is not text"
    if record.get(code_field) in (None, ""):
        return "no code"
    if not _is_text(record[code_field]):
        return "code is not text"
    for field in (tests_field, setup_field):
        value = record.get(field) if field is not None else None
        items = value if isinstance(value, list) else [value]
        if any(item not in (None, "") and not _is_text(item) for item in items):
            return f"{'tests are' if field == tests_field else 'test setup is'} not text"
    return "" if _is_sound(pair_id) else "id is not text"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and _is_sound(value)


def _is_sound(text: str) -> bool:
    """Tell whether a text can be written to a file and parsed: no NUL, no half characters."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _tests(record: Record, tests_field: str | None, setup_field: str | None) -> tuple[str, ...]:
    """Return the tests, each with the setup in front, so that each runs by itself."""
    tests = _statements(record, tests_field)
    setup = "\n".join(_statements(record, setup_field))
    return tuple(f"{setup}\n{test}" if setup else test for test in tests)


def _statements(record: Record, field: str | None) -> list[str]:
    value = record.get(field) if field is not None else None
    items = value if isinstance(value, list) else [value]
    return [item.replace("\r\n", "\n").strip("\n") for item in items if item]


def _check_split(split: Any, where: str) -> str:
    if not isinstance(split, str) or split.lower() not in SPLITS:
        near = did_you_mean(str(split), set(SPLITS.values()))
        raise UserError(f"{where}: unknown split {_short(split)}{near}")
    return SPLITS[split.lower()]


def _check_ids(pairs: Sequence[Pair], files: str) -> None:
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise UserError(
                f"{files}: two records have the id {pair.id!r};"
                " data.source.id_field=null counts the records instead"
            )
        seen.add(pair.id)


def _named(files: Mapping[str, str]) -> str:
    return ", ".join(map(str, files.values())) or "path={}"


def _reasons(report: DataReport, name: str) -> str:
    step = report.steps.get(f"{name}: records")
    if step is None:
        return "no record"
    return ", ".join(f"{n:,} records with {reason}" for reason, n in step.reasons.most_common())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
