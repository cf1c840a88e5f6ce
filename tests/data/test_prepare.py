"""Preparation: pairs that resemble the target data are dropped."""

from functools import partial

from en2py.data.augmentation import none
from en2py.data.pairs import DataReport, Pair
from en2py.data.prepare import prepare
from en2py.data.splits import random_split
from en2py.data.tokenizers import EnglishTokenizer, PythonTokenizer


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
        cleaning={},
        split=partial(random_split, ratios=[0.8, 0.1, 0.1], seed=1),
        augment=partial(none, seed=1),
        src_tokenizer=EnglishTokenizer(lowercase=True),
        tgt_tokenizer=PythonTokenizer(),
        src_min_freq=1,
        tgt_min_freq=1,
        max_src_len=50,
        max_tgt_len=50,
    )
    report: DataReport = prepared.report
    assert {pair.id for name in prepared.splits for pair in prepared.pairs(name)} == {
        pair.id for pair in pairs
    }
    assert (report.steps["target"].read, report.steps["target"].dropped) == (15, 3)
    assert report.facts["target: pairs"] == 1
