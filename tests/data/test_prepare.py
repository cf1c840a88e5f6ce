"""Preparation: pairs that resemble the target data; empty splits."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from en2py.data.augmentation import none, rename
from en2py.data.cleaning import Drop
from en2py.data.pairs import SPLITS, DataReport, Pair
from en2py.data.prepare import prepare
from en2py.data.splits import Splits, group_split, official_split, random_split
from en2py.data.tokenizers import EnglishTokenizer, PythonTokenizer
from en2py.errors import UserError

SETTINGS: dict[str, Any] = {
    "cleaning": {},
    "augment": partial(none, seed=1),
    "src_tokenizer": EnglishTokenizer(lowercase=True),
    "tgt_tokenizer": PythonTokenizer(),
    "src_min_freq": 1,
    "tgt_min_freq": 1,
    "max_src_len": 50,
    "max_tgt_len": 50,
}


def test_pairs_in_a_group_with_a_target_pair_are_dropped_and_counted(pairs: list[Pair]) -> None:
    target = Pair("t/1", "Count vowels", "def f(text):\n    return vowels(text, 3)", "t")
    copies = [
        ("same program, other names", "def g(s):\n    return vowels(s, 3)"),
        ("count the vowels", "def h(a, b, c):\n    return a * b * c * 7"),  # the description
        ("multiply what is given", "def k(x, y, z):\n    return x * y * z * 7"),  # that program
    ]
    leaking = [Pair(f"c/{i}", *texts, "c") for i, texts in enumerate(copies)]
    prepared = prepare(
        read=lambda report: [*leaking, *pairs],
        target=lambda report: [target],
        split=partial(random_split, ratios=[0.8, 0.1, 0.1], seed=1),
        **SETTINGS,
    )
    report: DataReport = prepared.report
    assert {pair.id for name in prepared.splits for pair in prepared.pairs(name)} == {
        pair.id for pair in pairs
    }
    assert (report.steps["target"].read, report.steps["target"].dropped) == (15, 3)
    assert report.facts["target: pairs"] == 1


def test_an_empty_split_of_near_duplicates_names_their_groups() -> None:
    codes = [f"def add(x):\n    return x + {i}" for i in range(20)]
    pairs = [Pair(f"a/{i}", f"add {i} to a number", code, "a") for i, code in enumerate(codes)]
    with pytest.raises(UserError, match=r"in 1 group of near-duplicates.*largest has 20 pairs"):
        prepare(
            read=lambda report: pairs,
            split=partial(group_split, ratios=[0.8, 0.1, 0.1], seed=1),
            **SETTINGS,
        )


@pytest.mark.parametrize(
    ("stage", "returned", "message"),
    [
        ("split", ([], [], []), "split: expected en2py.data.splits.Splits, .* returned tuple"),
        ("augment", None, "augmentation: expected a list of en2py.data.pairs.Pair, .* NoneType"),
        ("read", [("add", "x + 1")], "data.source: expected a list .* returned a list with tuple"),
        ("target", "text", "data.target.source: expected a list .* returned a list with str"),
    ],
)
def test_what_an_own_part_returns_instead_is_named(
    stage: str, returned: Any, message: str, pairs: list[Pair]
) -> None:
    stages = {
        "read": lambda report: pairs,
        "split": partial(random_split, ratios=[0.8, 0.1, 0.1], seed=1),
        stage: lambda *arguments: returned,
    }
    with pytest.raises(UserError, match=message):
        prepare(**{**SETTINGS, **stages})


@pytest.mark.parametrize("dropped", ["train", "val", "test"])
def test_a_split_of_the_source_that_cleaning_empties_is_not_replaced(
    pairs: list[Pair], dropped: str
) -> None:
    def clean(pair: Pair) -> Pair:
        if pair.split == dropped:
            raise Drop("damaged")
        return pair

    named = [replace(pair, split=SPLITS[i % 3]) for i, pair in enumerate(pairs)]
    words = f"no {dropped} pair of the source is left of the 4 read: 4 dropped by own: damaged"
    with pytest.raises(UserError, match=words):
        prepare(
            read=lambda report: named,
            split=partial(official_split, ratios=[0.4, 0.4, 0.2], seed=1),
            **{**SETTINGS, "cleaning": {"own": clean}},
        )


@pytest.mark.parametrize("augment", [none, partial(rename, n_variants=1, functions=True)])
def test_leakage_is_that_of_the_pairs_that_the_model_is_trained_on(augment: Any) -> None:
    long = f"def add(x):\n    return {' + '.join('x' * 30)}"  # more than 50 tokens
    short = "def double(x):\n    return 2 * x"
    pairs = [
        Pair(f"s/q{i}", f"task {word}", code, "s")
        for i, (word, code) in enumerate([("one", long), ("two", short)] * 20)
    ]

    def split(pairs: list[Pair], report: DataReport, prints: Any) -> Splits:
        found = random_split(pairs, report, prints, ratios=[0.8, 0.1, 0.1], seed=1)
        assert found.leakage()["test"]["any"] == 1.0
        return found

    prepared = prepare(
        read=lambda report: pairs,
        split=split,
        **{**SETTINGS, "augment": partial(augment, seed=1)},
    )
    test = prepared.pairs("test")
    leaking = sum(pair.code == short for pair in test)
    assert 0 < leaking < len(test)
    assert prepared.report.facts["leakage"]["test"]["any"] == leaking / len(test)


def test_length_limits_below_all_training_pairs_are_named(pairs: list[Pair]) -> None:
    words = r"none of \d+ training pairs fits into model.max_src_len=50 and model.max_tgt_len=2: "
    with pytest.raises(UserError, match=words + r"\d+ dropped by max_len: code over 2 tokens"):
        prepare(
            read=lambda report: pairs,
            split=partial(random_split, ratios=[0.8, 0.1, 0.1], seed=1),
            **{**SETTINGS, "max_tgt_len": 2},
        )


def test_tests_that_people_wrote_are_in_the_content_of_a_pair() -> None:
    pair = Pair("a/1", "add", "def add(a, b): ...", "a")
    tested = replace(pair, tests=("assert add(1, 2) == 3",))
    assert pair.content == replace(tested, family="f").content == ("a/1", "add", pair.code)
    contents = {tested.content, replace(tested, tests=("assert add(1, 2) == 4",)).content}
    assert len({pair.content, *contents}) == 3
