"""Forms of files, and fields that are recognized."""

import builtins
import bz2
import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from en2py.data.pairs import DataReport, Pair
from en2py.data.sources.file import read_file
from en2py.errors import UserError

AUTO = {f"{name}_field": "auto" for name in ("description", "code", "tests", "setup")}
ROWS = [
    {"text": "add, then\nprint", "code": "def f(a):\n    return a\n", "n": 1},
    {"text": 'say "hi"', "code": "x = 1", "n": 2},
]


def read(path: Path, report: DataReport | None = None, **options) -> list[Pair]:
    return read_file(
        report or DataReport(), **{"name": "own", "path": str(path), **AUTO, **options}
    )


def write_json(folder: Path, *records, name: str = "pairs.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(list(records)))
    return path


def table(delimiter: str, rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def assert_are_rows(pairs: list[Pair]) -> None:
    texts = [(pair.id, pair.description, pair.code) for pair in pairs]
    assert texts == [
        ("own/1", "add, then print", ROWS[0]["code"]),
        ("own/2", 'say "hi"', "x = 1"),
    ]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ","), ("a.CSV", ";"), ("a.tsv", "\t"), ("a.csv", "\t")]
)
def test_tables_are_read(tmp_path, name, delimiter):
    path = tmp_path / name
    path.write_text(table(delimiter, ROWS))
    assert_are_rows(read(path))


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv.gz", table(",", ROWS)), ("a.jsonl.gz", json.dumps(ROWS))]
)
def test_compressed_files_are_read(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()))
    assert_are_rows(read(path))


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08", gzip.compress(b"x" * 99, mtime=0)[:-9]])
def test_damaged_compressed_file_is_refused(tmp_path, content):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.jsonl.gz cannot be decompressed"):
        read(path)


def test_a_binary_file_is_refused_with_the_forms_that_are_read(tmp_path):
    path = tmp_path / "a.csv.bz2"
    path.write_bytes(bz2.compress(table(",", ROWS).encode()))
    with pytest.raises(UserError, match="is not a text file: .*supported: CSV, TSV, JSON") as error:
        read(path)
    assert "UTF-16" not in str(error.value)


def test_spreadsheet_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK\x03\x04...")
    with pytest.raises(UserError, match="a spreadsheet; .*save it as CSV"):
        read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text,code\na,1,2\n", "a.csv, line 2: more cells than the 2 of the header; a text that"),
        ("text|code\na|f(1, 2)\n", r"line 1: one column, 'text\|code': the delimiter of a table"),
        ('text|code\n"a"|"f(1, 2)"\n', r"line 1: one column, 'text\|code'"),
        ("\n\ntext,code\na,1,2\n", "a.csv, line 4: more cells than the 2 of the header"),
        ('text,code\na,"1\n', "a.csv, line 2: unexpected end of data; a cell that begins with"),
        ("text,code,code\na,1,2\n", "a.csv, line 1: two columns are named 'code'; rename one"),
        ("text,code\n", "needs rows below the names"),
        (
            "title,program\na,1\n",
            "the fields in its first line are 'title', 'program': set data.source.desc",
        ),
    ],
)
def test_wrong_table_is_refused_with_its_place(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"text": "a", "code": "x"}\n{"text": "a", "code": "1", "code": "2"}', ", line 2"),
        ('{"text": "a",\n "code": "1", "code": "2"}', ""),
        ('[{"text": "a", "answer": {"code": "1", "code": "2"}}]', ""),
        ('{"code": {"text": "a", "code": "1"}, "code": {"text": "a", "code": "1"}}', ""),
    ],
)
def test_a_repeated_name_in_an_object_is_refused(tmp_path, text, place):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"a.json{place}: two fields of {{.*named 'code'; rename"):
        read(path)


@pytest.mark.parametrize(
    ("written", "tests"),
    [
        ("['assert x' 'assert x == 1']", ("assert x", "assert x == 1")),  # as numpy writes it
        ("def check(f):\n    assert f\ncheck(x)", ("def check(f):\n    assert f\ncheck(x)",)),
        ("['print x', 'x + 1', 'assert x']", ("assert x",)),
        ([" ", "  assert x\n  assert 1", "\tassert x"], ("assert x\nassert 1", "assert x")),
        ("def test_x():\n    assert x", ()),  # print, for nothing calls it
    ],
)
def test_tests_without_an_assert_or_that_do_not_parse_are_left_out(tmp_path, written, tests):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({**ROWS[1], "test_list": written}))
    report = DataReport()
    assert read(path, report)[0].tests == tests
    left_out = "own: tests without an assert, or that do not parse, left out"
    steps = [step["name"] for step in report.to_dict()["steps"]]
    assert (left_out in steps) == (len(tests) == 0 or "print" in written)
    assert len(report.warnings) == (not tests)
    if not tests:
        assert report.warnings[0].startswith(
            "tests of 1 pairs are left out, and 0 pairs have tests"
        )
        with pytest.raises(
            UserError, match="own.jsonl: no text in 'test_list' is a test; a test is"
        ):
            read(path, tests_field="test_list")


def test_list_of_tests_in_a_cell_becomes_single_tests(tmp_path):
    path = tmp_path / "a.csv"
    row = {**ROWS[1], "test_list": "['assert x', 'assert x == 1']", "test_imports": "[]"}
    path.write_text(table(",", [row]))
    assert read(path)[0].tests == ("assert x", "assert x == 1")


def test_line_separators_inside_a_cell_do_not_end_the_row(tmp_path):
    (tmp_path / "a.csv").write_text("text,code\na\u2028b\x0cc,1\n", encoding="utf-8")
    assert [(p.description, p.code) for p in read(tmp_path / "a.csv")] == [("a b c", "1")]


def test_parquet_is_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{**row, "test_list": ["assert True"]} for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    pairs = read(tmp_path / "a.parquet")
    assert_are_rows(pairs)
    assert pairs[0].tests == ("assert True",)


def test_a_repeated_column_of_parquet_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"names": ["text", "code", "code"]}
    parquet.write_table(pyarrow.table([["add"], ["1"], ["2"]], **columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a.parquet: two columns are named 'code'; rename one"):
        read(tmp_path / "a.parquet")


def test_damaged_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="a.parquet cannot be read"):
        read(tmp_path / "a.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    original = builtins.__import__

    def importing(name, *args, **kwargs):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name=name.partition(".")[0])
        return original(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", importing)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"a.parquet needs pyarrow.*pip install -e '.\[files\]'"):
        read(tmp_path / "a.parquet")


def saved_dataset(folder: Path, *parts: list[dict]) -> Path:
    """Write rows as `datasets` 5.2 saves them: streams of Arrow, and their names."""
    pyarrow = pytest.importorskip("pyarrow")
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(parts):05d}.arrow" for i in range(len(parts))]
    for name, rows in zip(names, parts, strict=True):
        data = pyarrow.Table.from_pylist(rows)
        with pyarrow.ipc.new_stream(str(folder / name), data.schema) as stream:
            stream.write_table(data)
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def test_folder_saved_by_datasets_is_read(tmp_path):
    assert_are_rows(read(saved_dataset(tmp_path / "saved", ROWS[:1], ROWS[1:])))


def test_folder_with_one_data_set_per_split_brings_the_official_split(tmp_path):
    for name in ("train", "validation"):
        saved_dataset(tmp_path / name, ROWS)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    pairs = read(tmp_path)
    assert [(pair.id, pair.split) for pair in pairs[1:3]] == [
        ("own/train/2", "train"),
        ("own/val/1", "val"),
    ]


def test_splits_of_a_saved_folder_that_are_none_of_ours_are_refused(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "prompt"]}')
    with pytest.raises(UserError, match="'prompt' is none of train, val and test; name the parts"):
        read(tmp_path)
    (tmp_path / "dataset_dict.json").write_text("[]")
    with pytest.raises(UserError, match="dataset_dict.json cannot be read: it needs"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("description", "code"),
    [
        ("description", "code"),
        ("text", "code"),
        ("prompt", "code"),
        ("prompt", "completion"),
        ("instruction", "output"),
        ("question", "answer"),
        ("intent", "snippet"),
        ("docstring", "code"),
        ("nl", "code"),
        ("func_documentation_string", "func_code_string"),
    ],
)
def test_fields_of_public_sets_are_recognized_and_named(tmp_path, description, code):
    report = DataReport()
    record = {"repository": "r", description: "a", code: "1"}
    pairs = read(write_json(tmp_path, record), report)
    assert [(pair.description, pair.code) for pair in pairs] == [("a", "1")]
    assert report.facts == {"own: fields": f"description from '{description}', code from '{code}'"}


@pytest.mark.parametrize("typed", [{}, {"description_field": "Description", "id_field": "n"}])
def test_names_match_regardless_of_case_and_outer_blanks(tmp_path, typed):
    path = tmp_path / "a.csv"
    path.write_text("Description ;CODE;Test_List;N \nadd;x = 1;assert x == 1;7\n")
    report = DataReport()
    (pair,) = read(path, report, **typed)
    assert (pair.description, pair.code, pair.tests) == ("add", "x = 1", ("assert x == 1",))
    assert pair.id == ("own/7" if typed else "own/1")
    assert "description from 'Description ', code from 'CODE'" in report.facts["own: fields"]


def test_exact_name_comes_before_similar_ones_and_two_similar_names_match_none(tmp_path):
    path = write_json(tmp_path, {"Text": "a", "text": "b", "text ": "c", "code": "x = 1"})
    assert read(path)[0].description == "b"
    with pytest.raises(UserError, match="no record has a field 'TEXT'"):
        read(path, description_field="TEXT")


def test_rewritten_intent_comes_before_the_intent(tmp_path):
    record = {"intent": "a", "rewritten_intent": "b", "snippet": "1"}
    assert read(write_json(tmp_path, record))[0].description == "b"


def test_input_of_an_instruction_is_appended_and_counted(tmp_path):
    report = DataReport()
    records = [{"instruction": "sort", "input": text, "output": "1"} for text in ("[2, 1]", "")]
    pairs = read(write_json(tmp_path, *records), report)
    assert [pair.description for pair in pairs] == ["sort [2, 1]", "sort"]
    assert report.steps["own: 'input' appended to the description"].changed == 1
    assert "'instruction' with 'input' appended" in report.facts["own: fields"]


def test_chosen_instruction_is_read_without_its_input(tmp_path):
    record = {"instruction": "sort", "input": "[2, 1]", "output": "1"}
    path = write_json(tmp_path, record)
    assert read(path, description_field="instruction")[0].description == "sort"


def test_tests_of_mbpp_are_recognized(tmp_path):
    record = {"text": "t", "code": "1", "test_list": ["assert 1"], "test_setup_code": "import os"}
    report = DataReport()
    assert read(write_json(tmp_path, record), report)[0].tests == ("import os\nassert 1",)
    assert report.facts["own: fields"].endswith("tests from 'test_list' after 'test_setup_code'")


def test_fields_of_files_that_differ_are_named_with_the_file(tmp_path):
    one = write_json(tmp_path, {"text": "add", "code": "x = 1"}, name="one.json")
    other = write_json(tmp_path, {"prompt": "add", "completion": "x = 1"}, name="other.json")
    report = DataReport()
    same = write_json(tmp_path, {"text": "add", "code": "x = 1"}, name="same.json")
    paths = {"train": str(one), "val": str(same), "test": str(other)}
    read_file(report, name="own", path=paths, **AUTO)
    assert report.facts["own: fields"] == (
        f"description from 'text', code from 'code' in {one}; "
        f"description from 'prompt', code from 'completion' in {other}"
    )


def test_field_named_tests_without_assertions_is_left_alone(tmp_path):
    record = {"text": "t", "code": "1", "tests": {"inputs": [1]}}
    assert read(write_json(tmp_path, record))[0].tests == ()


def test_dotted_paths_lead_into_sections_and_lists(tmp_path):
    record = {"question": {"text": "t"}, "answer": [{"code": "1"}], "a.b": "c"}
    options = {"description_field": "question.text", "code_field": "answer.0.code"}
    assert read(write_json(tmp_path, record), **options)[0].code == "1"
    assert read(write_json(tmp_path, record), **options | {"code_field": "a.b"})[0].code == "c"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"title": "a", "code": "1"}, "name of the description; the fields are 'title', 'code'"),
        ({"text": "a", "code": 3}, r"no field with text ..code. holds 3. has a known name of the"),
        ({"text": "a", "program": "1"}, r"code; .*: set data.source.code_field=NAME$"),
        ({"question": "a", "answer": {"code": "1"}}, "the fields are 'question', 'answer.code'"),
        ({"question": "a", "snippet": "1"}, "no two fields .*description_field=NAME and data.so"),
    ],
)
def test_unknown_fields_are_refused_with_those_of_the_file(tmp_path, record, words):
    with pytest.raises(UserError, match=words):
        read(write_json(tmp_path, record))


def test_a_field_is_not_both_description_and_code(tmp_path):
    file = write_json(tmp_path, {"description": "a", "code": "1"})
    with pytest.raises(UserError, match="no two fields are known .* the fields are 'description'"):
        read(file, description_field="code")


def test_a_field_of_sections_is_refused_with_the_fields_inside(tmp_path):
    file = write_json(tmp_path, {"task": {"text": "a"}, "code": "1"})
    with pytest.raises(UserError, match=r"description is not text \(1\); .* 'task.text', 'code'"):
        read(file, description_field="task")


def test_chosen_description_leaves_the_code_recognized(tmp_path):
    record = {"title": "a", "prompt": "b", "completion": "1"}
    pairs = read(write_json(tmp_path, record), description_field="title")
    assert [(pair.description, pair.code) for pair in pairs] == [("a", "1")]
