"""Read pairs from JSON: one object per line, one list of objects, or an object of columns.

The field names are arguments, so MBPP, CoNaLa and similar files are read unchanged.
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
    """Read pairs from one file, or from one file per split.

    Args:
        report: Receives the counts of each rule.
        name: Name of the source, the first part of each id.
        path: The file, or a mapping `train`, `val`, `test` -> file for an official split.
        description_field: Field of the English text; of several the first that is not empty.
        code_field: Field of the program.
        tests_field: Field of the `assert` statements, a list or one text; None for none.
        setup_field: Field of statements before each test (imports), a list or one text.
        id_field: Field of a number or text that identifies the pair; None counts the records.
        split_field: Field with `train`, `val` or `test`; None if there is none.

    Returns:
        The pairs in the order of the files.

    Raises:
        UserError: If a file cannot be read, a line is not JSON, no record has a field, two records
            have the same id, or no pair is left.
    """
    fields = [description_field] if isinstance(description_field, str) else [*description_field]
    files = {"": path} if isinstance(path, str) else dict(path)
    pairs: list[Pair] = []
    for split, file in files.items():
        if split:
            _check_split(split, "the settings")
        records = _records(str(file), code_field, report, name)
        optional = {
            "tests_field": tests_field,
            "setup_field": setup_field,
            "id_field": id_field,
            "split_field": split_field,
        }
        _check_fields(str(file), records, fields, code_field, optional)
        for n, (where, record) in enumerate(records, start=1):
            own_id = record.get(id_field) if id_field is not None else None
            number = n if own_id is None else own_id
            pair_id = f"{name}/{SPLITS[split]}/{number}" if split else f"{name}/{number}"
            joined = _join_lines(record, code_field)
            reason = _invalid(record, pair_id, fields, code_field, tests_field, setup_field)
            report.read(f"{name}: records")
            report.changed(f"{name}: records", int(joined))
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


def _records(path: str, code_field: str, report: DataReport, name: str) -> list[tuple[str, Record]]:
    """Return each record with its position in the file, for error messages."""
    file = find_file(path)
    text = read_text(file)
    if text.lstrip().startswith("["):
        content = _json(text, str(file))
    elif (content := _records_inside(text, file, code_field, report, name)) is None:
        return [
            (where, _object(_json(line, where), where))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
            for where in (f"{file}, line {number:,}",)
        ]
    return [
        (where, _object(record, where))
        for number, record in enumerate(content, start=1)
        for where in (f"{file}, record {number:,}",)
    ]


def _records_inside(
    text: str, file: Path, code_field: str, report: DataReport, name: str
) -> list[Any] | None:
    """Return the records in a file that is one JSON object; None if it is no such file.

    The object has one list of records (`{"data": [...]}`), a record per key, or columns, as pandas
    writes them.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):  # several lines, or not JSON
        return None
    if not isinstance(whole, dict) or isinstance(whole.get(code_field), str):
        return None
    lists = [key for key, value in whole.items() if _is_records(value)]
    if len(lists) > 1:
        raise UserError(
            f"{file} is a JSON object with {len(lists)} lists of records ({', '.join(lists[:5])});"
            " save each list as a file and pass one as data.path=FILE, or one per split as"
            " data.path={train:FILE,val:FILE,test:FILE}"
        )
    if lists:
        report.read(f"{name}: records inside '{lists[0]}'", len(whole[lists[0]]))
        return list(whole[lists[0]])
    if all(isinstance(value, dict) and code_field in value for value in whole.values()):
        report.read(f"{name}: a record per key", len(whole))
        return list(whole.values())
    columns = [_column(value) for value in whole.values()]
    rows = columns[0].keys() if columns else ()
    if not rows or any(column.keys() != rows for column in columns):
        return None
    report.read(f"{name}: rows of columns", len(rows))
    return [dict(zip(whole, (column[row] for column in columns), strict=True)) for row in rows]


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _column(value: Any) -> dict[Any, Any]:
    """Return a column as a mapping from row to value; empty if it is none."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}


def _join_lines(record: Record, code_field: str) -> bool:
    """Replace code that is a list of lines by its text; return whether it was one."""
    lines = record.get(code_field)
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return False
    record[code_field] = "\n".join(line.removesuffix("\n") for line in lines)
    return True


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = where if ", line " in where else f"{where}, line {error.lineno:,}"
        raise UserError(
            f"{place}, column {error.colno:,}: not JSON ({error.msg}); the file needs one JSON"
            f" object per line, or one JSON list of objects{_other_form(text, where)}"
        ) from None
    except (RecursionError, ValueError) as error:  # 1,000 nested brackets, a number of 5,000 digits
        raise UserError(f"{where}: cannot be read as JSON ({error})") from None


def _other_form(text: str, where: str) -> str:
    """Return how to read a file that is no JSON, if its form is known."""
    if text.startswith("#"):
        return "; data=english_python reads `# description` lines with code below them"
    if where.split(", line ")[0].endswith((".csv", ".tsv")):
        return "; pandas converts CSV: read_csv(FILE).to_json(NEW, orient='records', lines=True)"
    return ""


def _object(record: Any, where: str) -> Record:
    if not isinstance(record, dict):
        raise UserError(
            f"{where}: {type(record).__name__} {_short(record)} instead of a JSON object; each"
            ' record looks like {"text": "...", "code": "..."}'
        )
    return record


def _check_fields(
    file: str,
    records: Sequence[tuple[str, Record]],
    alternatives: Sequence[str],
    code_field: str,
    optional: Mapping[str, str | None],
) -> None:
    """Raise if no record has a field; single records without it are dropped later."""
    known = {field for _, record in records for field in record}
    if not known:
        raise UserError(f"{file} holds no pair: {len(records):,} records without a field")
    if not known.intersection(alternatives):
        names = " or ".join(map(repr, alternatives))
        near = did_you_mean(alternatives[0] if alternatives else "", known)
        raise UserError(
            f"{file}: no record has a field {names}{near}; set data.source.description_field=NAME"
        )
    if code_field not in known:
        raise UserError(
            f"{file}: no record has a field {code_field!r}{did_you_mean(code_field, known)};"
            " set data.source.code_field=NAME"
        )
    for setting, field in optional.items():
        if field is not None and field not in known:
            near = did_you_mean(field, known)
            raise UserError(
                f"{file}: no record has a field {field!r}{near} (data.source.{setting}=null if"
                " there is none)"
            )


def _invalid(
    record: Record,
    pair_id: str,
    fields: Sequence[str],
    code_field: str,
    tests_field: str | None,
    setup_field: str | None,
) -> str:
    """Return why a record is not a pair; empty if it is one."""
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
    return "" if _is_valid_text(pair_id) else "id is not text"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and _is_valid_text(value)


def _is_valid_text(text: str) -> bool:
    """Return whether a text can be encoded and parsed: no NUL, no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _tests(record: Record, tests_field: str | None, setup_field: str | None) -> tuple[str, ...]:
    """Return the tests, each after the setup, so that each runs alone."""
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
