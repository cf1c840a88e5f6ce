"""Read records, mappings of field names to values, from JSON, CSV, TSV, Parquet or Arrow files."""

import csv
import importlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from en2py.data.text_files import find_file, read_text
from en2py.errors import UserError

Record = dict[str, Any]
Located = tuple[str, Record]  # the position in the file, for messages
_FORMS = (
    "CSV, TSV, JSON and JSON lines, also compressed by gzip, files named *.parquet, and folders of"
    " Hugging Face datasets"
)
MISSING = object()  # the value of a field that a record does not have


def value_of(record: Record, field: str) -> Any:
    """Return the value of a field, or of a dotted path such as `answer.code` or `messages.1.text`.

    Returns:
        The value; `MISSING` if there is none.
    """
    if field in record:
        return record[field]
    value: Any = record
    for part in field.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return MISSING
    return value


def field_names(records: Iterable[Record]) -> list[str]:
    """List the fields of records; of a section its dotted paths."""
    names: dict[str, None] = {}
    for record in records:
        for name, value in record.items():
            inner = value[0] if isinstance(value, list) and value else value
            prefix = f"{name}.0" if isinstance(value, list) else name
            if isinstance(inner, Mapping):
                names |= dict.fromkeys(f"{prefix}.{key}" for key in inner)
            else:
                names[name] = None
    return list(names)


def split_folders(path: str) -> dict[str, str]:
    """Return the folder per split that `DatasetDict.save_to_disk` wrote, empty for other paths.

    Raises:
        UserError: If its list of splits cannot be read.
    """
    folder = Path(path).expanduser()
    file = folder / "dataset_dict.json"
    if not file.is_file():
        return {}
    try:
        names = [str(name) for name in json.loads(file.read_text(encoding="utf-8"))["splits"]]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f'{file} cannot be read: it needs {{"splits": ["train", ...]}}; save the data again '
            "with DatasetDict.save_to_disk"
        ) from None
    return {name: str(folder / name) for name in names}


def read_records(
    path: str, is_pair: Callable[[Record], bool], count: Callable[[str, int], None]
) -> Iterable[Located]:
    """Read the records of a file, or of a folder that Hugging Face `datasets` saved.

    Args:
        path: The file or folder. Text may be compressed by gzip.
        is_pair: Whether a record has the field of the program; distinguishes the forms of JSON.
        count: Called with the form and the number of records of a JSON object that holds them.

    Raises:
        UserError: If the file cannot be read or has another form.
    """
    folder = Path(path).expanduser()
    if (folder / "state.json").is_file():
        return _arrow_rows(folder)
    file = find_file(path)
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"][-1:]
    if suffixes == [".parquet"]:
        parquet = _pyarrow("pyarrow.parquet", file)
        return _rows(file, lambda: parquet.ParquetFile(file).read())
    text = read_text(file, _FORMS)
    if suffixes in ([".csv"], [".tsv"]):
        return _table_rows(text, file)
    return _json_records(text, file, is_pair, count)


# -- tables ---------------------------------------------------------------------------------------


def _table_rows(text: str, file: Path) -> Iterator[Located]:
    """Yield the rows below a header; the delimiter is the most frequent one of the header."""
    n_blank = len(text) - len(text := text.lstrip("\n"))  # lines above the header
    header = text.partition("\n")[0]
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",\t;", key=header.count), strict=True)
    try:
        names = [name for name in reader.fieldnames or () if name.strip()]
        if twice := _repeated(names):
            raise UserError(
                f"{file}, line {n_blank + 1:,}: two columns are named {twice!r}; rename one of them"
            )
        if len(names) == 1:
            raise UserError(
                f"{file}, line {n_blank + 1:,}: one column, {short(header)}: the delimiter of a "
                "table is a comma, a tab or a semicolon"
            )
        for row in reader:
            where = f"{file}, line {n_blank + reader.line_num:,}"
            if None in row:
                raise UserError(
                    f"{where}: more cells than the {len(reader.fieldnames or ())} of the header; a "
                    "text that contains the delimiter needs quotes"
                )
            yield where, row
    except csv.Error as error:
        raise UserError(
            f"{file}, line {n_blank + reader.reader.line_num:,}: {error}; a cell that begins with "
            'a quotation mark ends with one, and those inside are doubled ("")'
        ) from None


def _repeated(names: Sequence[str]) -> str:
    return next((name for name, n in Counter(names).items() if n > 1), "")


def _arrow_rows(folder: Path) -> Iterator[Located]:
    """Yield the rows of `Dataset.save_to_disk`, which are streams of Arrow in several files."""
    pyarrow = _pyarrow("pyarrow", folder)

    def read() -> Any:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
        parts = [pyarrow.ipc.open_stream((folder / name).read_bytes()) for name in names]
        return pyarrow.concat_tables([part.read_all() for part in parts])

    return _rows(folder, read)


def _rows(path: Path, read: Callable[[], Any]) -> Iterator[Located]:
    try:
        table = read()
        if twice := _repeated(table.column_names):
            raise UserError(f"{path}: two columns are named {twice!r}; rename one of them")
        rows = table.to_pylist()
    except (ValueError, OSError, KeyError, TypeError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return ((f"{path}, row {number:,}", row) for number, row in enumerate(rows, start=1))


def _pyarrow(module: str, path: Path) -> Any:
    """Import a module of pyarrow, an optional dependency."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise UserError(
            f"{path} needs pyarrow, which is not installed: pip install -e '.[files]'"
        ) from None


# -- JSON -----------------------------------------------------------------------------------------


def _json_records(
    text: str,
    file: Path,
    is_pair: Callable[[Record], bool],
    count: Callable[[str, int], None],
) -> Iterator[Located]:
    """Yield the records of a JSON list, of a JSON object that holds them, or of JSON lines."""
    if text.lstrip().startswith("["):
        content = _json(text, str(file))
    elif (content := _records_inside(text, file, is_pair, count)) is None:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                where = f"{file}, line {number:,}"
                yield where, _object(_json(line, where), where)
        return
    for number, record in enumerate(content, start=1):
        where = f"{file}, record {number:,}"
        yield where, _object(record, where)


def _records_inside(
    text: str,
    file: Path,
    is_pair: Callable[[Record], bool],
    count: Callable[[str, int], None],
) -> list[Any] | None:
    """Return the records in a file that is one JSON object; None if it is no such file.

    The object has one list of records (`{"data": [...]}`), a record per key, or columns, as pandas
    writes them.
    """
    try:
        whole = json.loads(text, object_pairs_hook=_fields)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except (ValueError, RecursionError):  # several lines, or not JSON
        return None
    if (
        not isinstance(whole, dict)
        or any(isinstance(value, str) for value in whole.values())
        and is_pair(whole)
    ):
        return None
    lists = [key for key, value in whole.items() if _is_records(value)]
    if len(lists) > 1:
        raise UserError(
            f"{file} is a JSON object with {len(lists)} lists of records ({', '.join(lists[:5])});"
            " save each list as a file and pass one as data.path=FILE, or one per split as"
            " 'data.path={train:FILE,val:FILE,test:FILE}'"
        )
    if lists:
        count(f"records inside '{lists[0]}'", len(whole[lists[0]]))
        return list(whole[lists[0]])
    if all(isinstance(value, dict) and is_pair(value) for value in whole.values()):
        count("a record per key", len(whole))
        return list(whole.values())
    columns = [_column(value) for value in whole.values()]
    rows = columns[0].keys() if columns else ()
    if not rows or any(column.keys() != rows for column in columns):
        return None
    count("rows of columns", len(rows))
    return [dict(zip(whole, (column[row] for column in columns), strict=True)) for row in rows]


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _column(value: Any) -> dict[Any, Any]:
    """Return a column as a mapping from row to value; empty if it is none."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_fields)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        place = where if ", line " in where else f"{where}, line {error.lineno:,}"
        raise UserError(
            f"{place}, column {error.colno:,}: not JSON ({error.msg}); the file needs one JSON"
            f" object per line, or one JSON list of objects{_other_form(text)}"
        ) from None
    except (RecursionError, ValueError) as error:  # 1,000 nested brackets, a number of 5,000 digits
        raise UserError(f"{where}: cannot be read as JSON ({error})") from None


def _fields(named: list[tuple[str, Any]]) -> Record:
    """Return an object of JSON; refuse a repeated name, of which `json` keeps the last value."""
    record = dict(named)
    if len(record) < len(named):
        twice = _repeated([name for name, _ in named])
        raise UserError(f"two fields of {short(record)} are named {twice!r}; rename one of them")
    return record


def _other_form(text: str) -> str:
    """Return how to read a file that is no JSON, if its form is known."""
    if text.startswith("#"):
        return "; data=english_python reads `# description` lines with code below them"
    return "; tables are read from files named *.csv, *.tsv and *.parquet"


def _object(record: Any, where: str) -> Record:
    if not isinstance(record, dict):
        raise UserError(
            f"{where}: {type(record).__name__} {short(record)} instead of a JSON object; each"
            ' record looks like {"text": "...", "code": "..."}'
        )
    return record


def short(value: Any) -> str:
    """Return a value as Python writes it, at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
