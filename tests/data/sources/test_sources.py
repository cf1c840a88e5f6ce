"""JSON sources and mixtures of sources."""

import functools
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from en2py.data.cleaning import clean
from en2py.data.cleaning.limits import limit_lengths
from en2py.data.pairs import DataReport
from en2py.data.sources import file, mixture
from en2py.errors import UserError

DATA = os.environ.get("EN2PY_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="EN2PY_DATA names no folder of datasets")
OPTIONS = {"name": "own", "description_field": "text", "code_field": "code", "tests_field": None}


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "pairs.txt") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def lines(*records) -> str:
    return "\n".join(json.dumps(record) for record in records)


@pytest.mark.parametrize("form", [lines, lambda *records: json.dumps(records, indent=2)])
def test_json_lines_and_a_json_list_are_the_same(write, form):
    path = write(form({"text": "a b", "code": "1"}, {"text": "c", "code": "2"}))
    pairs = file.read_file(DataReport(), path=path, **OPTIONS)
    assert [(p.id, p.description, p.code) for p in pairs] == [
        ("own/1", "a b", "1"),
        ("own/2", "c", "2"),
    ]


def test_first_description_that_is_not_empty_is_taken(write):
    path = write(lines({"a": None, "b": "B", "code": "1"}, {"a": "A", "b": "B", "code": "2"}))
    options = OPTIONS | {"description_field": ["a", "b"]}
    pairs = file.read_file(DataReport(), path=path, **options)
    assert [pair.description for pair in pairs] == ["B", "A"]


def test_setup_goes_in_front_of_each_test(write):
    record = {"text": "t", "code": "c", "tests": ["assert 1", "assert 2"], "setup": ["import os"]}
    options = OPTIONS | {"tests_field": "tests", "setup_field": "setup"}
    pairs = file.read_file(DataReport(), path=write(lines(record)), **options)
    assert pairs[0].tests == ("import os\nassert 1", "import os\nassert 2")


def test_a_known_field_that_holds_no_asserts_has_no_tests(write):
    for value in (3, [3], {"assert": 1}, "none"):
        path = write(lines({"text": "t", "code": "c", "tests": value}))
        (pair,) = file.read_file(DataReport(), path=path, **OPTIONS | {"tests_field": "auto"})
        assert pair.tests == ()


def test_description_becomes_one_line(write):
    report = DataReport()
    path = write(lines({"text": " a\n b\t", "code": "1"}))
    assert file.read_file(report, path=path, **OPTIONS)[0].description == "a b"
    assert report.steps["own: descriptions on one line"].changed == 1


def test_id_field_names_the_pair(write):
    path = write(lines({"text": "t", "code": "1", "n": 7}, {"text": "t", "code": "1", "n": None}))
    pairs = file.read_file(DataReport(), path=path, id_field="n", **OPTIONS)
    assert [pair.id for pair in pairs] == ["own/7", "own/2"]


def test_the_same_id_twice_is_refused(write):
    path = write(lines(*[{"text": "t", "code": "1", "n": 7}] * 2))
    with pytest.raises(UserError, match="two records have the id 'own/7'"):
        file.read_file(DataReport(), path=path, id_field="n", **OPTIONS)


def test_missing_optional_field_is_refused_with_the_setting_that_turns_it_off(write):
    path = write(lines({"text": "t", "code": "1", "test": []}))
    words = "no record has a field 'tests'; the fields are 'test', .*tests_field=NAME, or null"
    with pytest.raises(UserError, match=words):
        file.read_file(DataReport(), path=path, **OPTIONS | {"tests_field": "tests"})


def test_one_file_per_split(write):
    files = {
        "train": write(lines({"text": "a", "code": "1"}), "a.json"),
        "test": write(lines({"text": "b", "code": "2"}), "b.json"),
    }
    pairs = file.read_file(DataReport(), path=files, **OPTIONS)
    assert [(p.id, p.split) for p in pairs] == [("own/train/1", "train"), ("own/test/1", "test")]


def test_a_typed_setup_without_a_test_is_refused(write):
    path = write(lines({"text": "a", "code": "1", "imports": "import re", "tests": ["x"]}))
    options = OPTIONS | {"tests_field": "auto", "setup_field": "imports"}
    with pytest.raises(UserError, match="no pair has a test, so nothing runs after 'imports'; set"):
        file.read_file(DataReport(), path=path, **options)


def test_split_field_sets_the_official_split(write):
    names = ("train", "Validation", " test ")
    records = [{"text": "a", "code": "1", "s": name} for name in names]
    pairs = file.read_file(DataReport(), path=write(lines(*records)), split_field="s", **OPTIONS)
    assert [pair.split for pair in pairs] == ["train", "val", "test"]


@pytest.mark.parametrize("is_field", [True, False])
def test_a_split_without_a_pair_is_refused_with_the_reasons(write, tmp_path, is_field):
    good = {"text": "a", "code": "1", "s": "train"}
    empty = [{"text": "a", "code": "", "s": "val"}, {"text": "", "code": "1", "s": "val"}]
    blank = {"text": "", "code": "", "s": ""}
    path = write(lines(good, blank, *empty))
    options = {**OPTIONS, "path": path, "split_field": "s"}
    if not is_field:
        other = tmp_path / "train.jsonl"
        other.write_text(lines(good, blank))
        options |= {"path": {"train": str(other), "val": write(lines(*empty))}, "split_field": None}
    words = r"holds no val pair: no code \(1\), no description \(1\); the fields are"
    with pytest.raises(UserError, match=words):
        file.read_file(DataReport(), **options)


def test_two_names_of_one_split_are_refused(write):
    file_of_pairs = write(lines({"text": "a", "code": "1"}))
    with pytest.raises(UserError, match="'val' and 'validation' are two names of the split val"):
        files = {"val": file_of_pairs, "validation": file_of_pairs}
        file.read_file(DataReport(), path=files, **OPTIONS)


def test_an_empty_mapping_of_files_is_refused():
    with pytest.raises(UserError, match="^data.path={}: no file is named; name one per split, "):
        file.read_file(DataReport(), path={}, **OPTIONS)


def test_one_file_for_two_splits_is_refused(write):
    file_of_pairs = write(lines({"text": "a", "code": "1"}))
    with pytest.raises(UserError, match="train and test are one file, .*without val: a part of"):
        files = {"train": file_of_pairs, "test": file_of_pairs}
        file.read_file(DataReport(), path=files, **OPTIONS)


def test_unknown_split_is_refused_with_its_line(write):
    path = write(lines({"text": "a", "code": "1", "s": "tets"}))
    with pytest.raises(UserError, match="line 1: unknown split 'tets'; did you mean 'test'"):
        file.read_file(DataReport(), path=path, split_field="s", **OPTIONS)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "", "code": "1"}, "no description"),
        ({"code": "1"}, "no description"),
        ({"text": 3, "code": "1"}, "description is not text"),
        ({"text": "a\0", "code": "1"}, "description is not text"),
        ({"text": "a", "code": None}, "no code"),
        ({"text": "a", "code": ["1", 2]}, "code is not text"),
        ({"text": "a", "code": "\ud800"}, "code is not text"),
        ({"text": "a", "code": "1", "tests": [1]}, "tests are not text"),
        ({"text": "a", "code": "1", "tests": {"a": 1}}, "tests are not text"),
    ],
)
def test_record_that_is_no_pair_is_counted(write, record, reason):
    report = DataReport()
    good = {"text": "a", "code": "1", "tests": ["assert 1"]}
    options = OPTIONS | {"tests_field": "tests"}
    assert len(file.read_file(report, path=write(lines(good, record)), **options)) == 1
    assert report.steps["own: records"].reasons == {reason: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"text": "a", "code": "1"}\n{"text": }', "line 2, column 10: not JSON"),
        ('[{"text": "a"},\n {"code" 1}]', "line 2, column 10: not JSON"),
        ('{"text": "a", "code": "1"}\n3', "line 2: int 3 instead of a JSON object"),
        ('[{"text": "a", "code": "1"}, "b"]', "record 2: str 'b' instead of a JSON object"),
        (
            '{"texts": "a", "code": "1"}',
            "no record has a field 'text'; the fields are 'texts', 'code'",
        ),
        ('{"text": "a", "cod": "1"}', "no record has a field 'code'; the fields are 'cod', 'text'"),
        ('{"text": "", "code": ""}', r"holds no pair: no description \(1\); the fields are"),
        ("[]", "holds no pair"),
        ("[" * 100_000, "cannot be read|not JSON"),
        ("9" * 5000, "cannot be read"),
    ],
)
def test_wrong_json_is_refused_with_place_and_reason(write, text, words):
    with pytest.raises(UserError, match=words):
        file.read_file(DataReport(), path=write(text), **OPTIONS)


RECORD_LIST = [{"text": "a b", "code": "1"}, {"text": "c", "code": "2"}]


@pytest.mark.parametrize(
    "content",
    [
        {"version": "1", "data": RECORD_LIST},
        {"text": {"0": "a b", "1": "c"}, "code": {"0": "1", "1": "2"}},
        {"text": ["a b", "c"], "code": ["1", "2"]},
        {"first": RECORD_LIST[0], "second": RECORD_LIST[1]},
    ],
    ids=["wrapped list", "pandas columns", "lists as columns", "record per key"],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_object_with_records_inside_is_read_and_counted(write, content, indent):
    report = DataReport()
    path = write(json.dumps(content, indent=indent))
    pairs = file.read_file(report, path=path, **OPTIONS)
    assert [(p.id, p.description, p.code) for p in pairs] == [
        ("own/1", "a b", "1"),
        ("own/2", "c", "2"),
    ]
    assert next(iter(report.steps.values())).read == 2


def test_several_lists_of_records_are_refused_with_their_names(write):
    path = write(json.dumps({"train": RECORD_LIST, "test": RECORD_LIST}))
    with pytest.raises(UserError, match="2 lists of records .train, test.*data.path="):
        file.read_file(DataReport(), path=path, **OPTIONS)


def test_code_as_a_list_of_lines_is_joined_and_counted(write):
    report = DataReport()
    record = {"text": "t", "code": ["def f():\n", "    return 1"]}
    pairs = file.read_file(report, path=write(lines(record, record)), **OPTIONS)
    assert pairs[0].code == "def f():\n    return 1"
    assert report.steps["own: records"].changed == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "# write a sum\nx = 1\n", "data=english_python"),
        ("a.txt", "text,code\na,1\n", r"tables are read from files named \*.csv"),
        ("a.json", '{"instruction": "a", "code": "1"}', "set data.source.description_field=NAME"),
        ("a.json", '{"text": "a", "output": "1"}', "set data.source.code_field=NAME"),
    ],
)
def test_other_form_is_refused_with_what_reads_it(write, name, text, words):
    with pytest.raises(UserError, match=words):
        file.read_file(DataReport(), path=write(text, name), **OPTIONS)


@pytest.mark.parametrize("form", [lines, lambda *records: json.dumps(records)])
def test_record_over_a_megabyte_does_not_refuse_the_file_in_either_form(write, form):
    long = {"text": "t", "code": "x = [" + "1, " * 400_000 + "]"}
    pairs = file.read_file(DataReport(), path=write(form(*RECORD_LIST, long)), **OPTIONS)
    report = DataReport()
    step = functools.partial(
        limit_lengths, min_description=1, max_description=500, min_code=1, max_code=1000
    )
    assert len(clean(pairs, {"limit_lengths": step}, report)) == 2
    assert report.steps["limit_lengths"].reasons == {"code over 1,000 characters": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
RECORDS = st.fixed_dictionaries({"text": JSON, "code": JSON, "tests": JSON})


@given(st.lists(RECORDS, min_size=2, max_size=5))
@example([{"text": None, "code": None, "tests": None}, {"text": "0", "code": "0", "tests": None}])
def test_every_record_is_a_pair_or_counted(records):
    report = DataReport()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        path.write_text(lines(*records))
        pairs, lacks_tests = [], False
        try:
            options = OPTIONS | {"tests_field": "tests"}
            pairs = file.read_file(report, path=str(path), **options)
        except UserError as error:  # no pair is left, or none has a test
            lacks_tests = "set data.source.tests_field=" in str(error)
    counts = report.steps["own: records"]
    assert counts.read == len(records)
    assert lacks_tests or len(records) == len(pairs) + counts.dropped


@given(st.text(max_size=60))
def test_any_text_as_json_raises_nothing_but_user_errors(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        path.write_text(text, encoding="utf-8", errors="replace")
        with pytest.raises(UserError):
            file.read_file(DataReport(), path=str(path), **OPTIONS)


def test_mixture_separates_ids_sources_and_counts(write):
    one = write(lines({"text": "a", "code": "1"}, {"text": "a", "code": ""}), "one.jsonl")
    two = write(lines({"text": "b", "code": "2"}), "two.jsonl")
    reader = functools.partial(file.read_file, **OPTIONS)
    sources = {
        name: functools.partial(reader, path=path)
        for name, path in {"main": one, "extra": two}.items()
    }
    report = DataReport()
    pairs = mixture.read_mixture(report, sources=sources)
    assert [(p.id, p.source) for p in pairs] == [("main/1", "main"), ("extra/1", "extra")]
    assert report.steps["main: records"].dropped == 1
    assert report.dropped_ids == {"main/2": "own: records: no code"}
    assert report.steps["mixture: extra"].read == 1


def test_a_mixture_names_the_keys_of_the_source_that_is_refused(write):
    path = write(lines({"prompt": "a", "code": "1"}), "one.jsonl")
    source = functools.partial(file.read_file, **{**OPTIONS, "path": path, "code_field": "program"})
    with pytest.raises(UserError, match=r"set data\.source\.sources\.extra\.\w+_field=NAME"):
        mixture.read_mixture(DataReport(), sources={"extra": source})


def test_empty_mixture_is_refused():
    with pytest.raises(UserError, match="data.source.sources is empty"):
        mixture.read_mixture(DataReport(), sources={})


@needs_data
@pytest.mark.parametrize(
    ("name", "description", "setup", "n"),
    [
        ("mbpp.jsonl", "text", "test_setup_code", 974),
        ("sanitized-mbpp.json", "prompt", "test_imports", 426),
    ],
)
def test_mbpp_is_read_unchanged(name, description, setup, n):
    options = OPTIONS | {"description_field": description, "tests_field": "test_list"}
    pairs = file.read_file(
        DataReport(), path=f"{DATA}/mbpp/{name}", setup_field=setup, id_field="task_id", **options
    )
    assert len(pairs) == n and all(len(pair.tests) >= 3 for pair in pairs)


@needs_data
def test_conala_is_read_unchanged():
    options = OPTIONS | {
        "code_field": "snippet",
        "description_field": ["rewritten_intent", "intent"],
    }
    files = {split: f"{DATA}/conala/conala-{split}.json" for split in ("train", "test")}
    pairs = file.read_file(DataReport(), path=files, **options)
    assert [sum(p.split == split for p in pairs) for split in files] == [2379, 500]
