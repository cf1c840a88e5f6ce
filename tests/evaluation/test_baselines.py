import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from en2py.data.pairs import Pair
from en2py.evaluation.baselines import (
    ABOUT,
    bm25,
    constant,
    nearest_by_bleu,
    retrieval,
    second_human,
)
from en2py.evaluation.metrics.program_metrics import score

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [
    ("write a function that adds two numbers", "def add(a, b):\n    return a + b"),
    ("print the largest number of a list", "print(max(numbers))"),
    ("reverse a string", "text[::-1]"),
    ("count the vowels in a string", "sum(c in 'aeiou' for c in text)"),
]


def pairs(rows):
    return [Pair(f"x/{i}", text, code, "x") for i, (text, code) in enumerate(rows)]


def ask(baseline, *descriptions, train=TRAIN):
    return baseline(pairs(train), pairs([(text, "") for text in descriptions]))


def random_programs(n, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices("abc+=(", k=rng.randint(1, 12))) for _ in range(n)]


@pytest.mark.parametrize("baseline", [retrieval, bm25])
def test_a_known_description_retrieves_its_own_code(baseline):
    assert ask(baseline, *(text for text, _ in TRAIN)) == [code for _, code in TRAIN]


@pytest.mark.parametrize("baseline", [retrieval, bm25])
def test_a_rare_word_outweighs_common_ones(baseline):
    train = [("print the sum", "a"), ("print the mean", "b"), ("print it", "c"), ("vowels", "d")]
    assert ask(baseline, "print vowels", train=train) == ["d"]


@pytest.mark.parametrize("baseline", [retrieval, bm25])
def test_the_first_of_equal_descriptions_is_retrieved(baseline):
    assert ask(baseline, "add", train=[("add", "first"), ("add", "second")]) == ["first"]


@pytest.mark.parametrize("baseline", [retrieval, bm25])
def test_a_description_without_a_known_word_has_a_program(baseline):
    assert ask(baseline, "zzz")[0] in [code for _, code in TRAIN]


def test_retrieval_sees_parts_of_words():
    assert ask(retrieval, "reversing strings") == [TRAIN[2][1]]


def test_bm25_by_hand():
    # Three texts of 4, 1 and 1 words, 2 on average. x stands in two of them: idf ln 1.6 = 0.470,
    # y in one: ln 2.667 = 0.981. For x the long text has 0.470 * 7.5 / 5.625 = 0.627, the short one
    # 0.470 * 2.5 / 1.9375 = 0.606; y has 0.981 * 2.5 / 1.9375 = 1.266 in the other.
    train = [("x x x z", "long"), ("x", "short"), ("y", "other")]
    assert ask(bm25, "x", "y", "x y", train=train) == ["long", "other", "other"]


def test_bm25_penalizes_length():
    # With b = 1 it is 0.470 * 7.5 / 6 against 0.470 * 2.5 / 1.75.
    train = pairs([("x x x z", "long"), ("x", "short"), ("y", "other")])
    assert bm25(train, pairs([("x", "")]), b=1.0) == ["short"]


@pytest.mark.parametrize("baseline", [retrieval, bm25, nearest_by_bleu])
def test_more_pairs_than_one_block(baseline):
    train = pairs([(f"task number {chr(97 + i % 26) * 3} {i}", f"x = {i}") for i in range(300)])
    assert baseline(train, train) == [pair.code for pair in train]


def test_constant_is_the_training_program_with_the_best_bleu():
    codes = random_programs(12, seed=1)
    train = pairs([("x", code) for code in codes])
    scores = [score([code] * 12, codes).values["bleu"] for code in codes]
    assert constant(train, train[:2]) == [codes[int(np.argmax(scores))]] * 2


def test_nearest_by_bleu_finds_the_program_itself():
    train = pairs([("x", code) for code in dict.fromkeys(random_programs(40, seed=2))])
    assert nearest_by_bleu(train, train[::-1]) == [pair.code for pair in train[::-1]]


def test_no_training_program_has_a_much_higher_bleu_than_nearest_by_bleu():
    train, test = (pairs([("x", c) for c in random_programs(30, seed)]) for seed in (3, 4))
    wanted = [pair.code for pair in test]
    bound = score(nearest_by_bleu(train, test), wanted).values["bleu"]
    others = [score([pair.code] * 30, wanted).values["bleu"] for pair in train]
    assert bound > max(others) + 5


def test_second_human_is_another_program_for_the_same_task():
    train = pairs([("Write a function to add 2 numbers.", "a + b"), ("reverse", "x[::-1]")])
    test = pairs([("add numbers", "sum((a, b))"), ("add numbers", "a+b"), ("reverse", "x[::-1]")])
    assert second_human(train, test) == ["a + b", "sum((a, b))", ""]


def test_machine_made_pairs_have_no_second_human():
    train = pairs([("add numbers", "a + b")])
    test = [replace(pair, source="tasks") for pair in pairs([("add numbers", "sum((a, b))")])]
    assert second_human(train, test) == [""]
    assert second_human(test, train) == [""]


def test_every_baseline_of_the_config_is_explained():
    config = yaml.safe_load((ROOT / "conf" / "evaluate.yaml").read_text())
    assert config["baselines"].keys() == ABOUT.keys()
