import itertools
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from en2py.data.duplicates import (
    LEAKAGE,
    Fingerprint,
    NearDuplicateIndex,
    core_description,
    description_key,
    fingerprint,
    group_near_duplicates,
    leakage_sentence,
    measure_leakage,
    without_duplicates,
)
from en2py.data.pairs import SPLITS, DataReport, Pair
from en2py.data.splits import (
    composition_split,
    group_split,
    numbered_split,
    official_split,
    random_split,
)
from en2py.errors import UserError

RATIOS = (0.7, 0.15, 0.15)
VERBS = ("add", "count", "reverse", "sort", "join", "filter", "square", "negate", "merge", "hash")
THINGS = ("list", "tuple", "matrix", "sentence", "dictionary", "stack", "tree", "graph")


def pair(number, description, code, **more):
    return Pair(f"a/{number}", description, code, **{"source": "a", **more})


def corpus(n=240, seed=0):
    """Return pairs of which about half have a near-duplicate."""
    rng = random.Random(seed)
    pairs = []
    for i in range(n):
        verb, thing, extra = rng.choice(VERBS), rng.choice(THINGS), rng.randrange(6)
        name = rng.choice("xyzuvw")
        code = f"def {verb}_{thing}({name}):\n    return {verb}({thing}, {name}, {extra})"
        pairs.append(pair(i, f"{i}. Write a function to {verb} the {thing} {'!' * extra}", code))
    return pairs


def by_name(splits):
    return {name: getattr(splits, name) for name in SPLITS}


def leakage(train, held_out):
    return measure_leakage([*map(fingerprint, train)], [*map(fingerprint, held_out)])


def test_core_description_drops_task_words_numbers_punctuation_and_case():
    text = "12. Write a Python program to find the SUM of 5 even-numbers!"
    assert core_description(text) == "find sum even numbers"
    assert description_key("12. Write: a b") == "write a b"


def test_identifiers_are_counted_in_f_strings_but_not_in_strings():
    found = fingerprint(pair(0, "", "import os\nx = f'{y} z' + 'w'")).identifiers
    assert found == (("os", 1), ("x", 1), ("y", 1))


def test_identifiers_of_broken_code_are_its_words():
    assert fingerprint(pair(0, "", "x = (y, y, z")).identifiers == (("x", 1), ("y", 2), ("z", 1))


NEAR_DUPLICATES = {
    "core description": (("write a function to add two lists", "a"), ("Add two lists.", "b")),
    "renamed tree": (("add", "def f(a): return a"), ("sum", "def g(b): return b")),
    "near code": (("add", "a = b + c + d + e"), ("sum", "a = b - c * d - e")),
}


@pytest.mark.parametrize(("one", "other"), NEAR_DUPLICATES.values(), ids=NEAR_DUPLICATES.keys())
def test_each_key_makes_near_duplicates(one, other):
    assert group_near_duplicates([fingerprint(pair(0, *one)), fingerprint(pair(1, *other))]) == [
        0,
        0,
    ]


def test_programs_of_two_names_are_not_near_duplicates():
    prints = [fingerprint(pair(0, "a b", "print(x)")), fingerprint(pair(1, "c", "print(-x)"))]
    assert group_near_duplicates(prints) == [0, 1]


def test_groups_are_closed_transitively():
    pairs = [pair(0, "sort lists", "a = 1"), pair(1, "sort lists", "b = 2"), pair(2, "z", "c = 2")]
    assert group_near_duplicates([fingerprint(p) for p in pairs]) == [0, 0, 0]


bags = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 4), min_size=1), max_size=12
)


@given(bags)
def test_the_near_duplicate_index_equals_comparing_all_pairs(dicts):
    bags = [tuple(sorted(bag.items())) for bag in dicts]
    distinct = list(dict.fromkeys(bags))
    index = NearDuplicateIndex(bags)
    for i, bag in enumerate(distinct):
        index.add(i, bag)
    for bag in bags:
        one = Counter(dict(bag))
        expected = set()
        for i, other in enumerate(Counter(dict(b)) for b in distinct):
            sets = len(one.keys() & other.keys()) / len(one.keys() | other.keys())
            multisets = (one & other).total() / (one | other).total()
            if sets >= 0.8 and multisets >= 0.7:
                expected.add(i)
        assert set(index.near(bag)) == expected


@given(bags)
def test_groups_equal_those_of_comparing_all_pairs(dicts):
    bags = [tuple(sorted(bag.items())) for bag in dicts]
    first = list(range(len(bags)))
    for i, j in itertools.combinations(range(len(bags)), 2):
        index = NearDuplicateIndex([bags[i], bags[j]])
        index.add(i, bags[i])
        if list(index.near(bags[j])):
            low, high = sorted((first[i], first[j]))
            first = [low if group == high else group for group in first]
    assert group_near_duplicates([Fingerprint("", "", "", "", bag) for bag in bags]) == first


def test_duplicates_are_removed_and_counted_and_paraphrases_stay():
    pairs = [
        pair(0, "1. Add two", "x = 1"),
        pair(1, "1. Add two", "x = 1"),
        pair(2, "2. add two!", "x=1"),
        pair(3, "sum of two", "x = 1"),
        pair(4, "add two", "x = 2"),
    ]
    report = DataReport()
    prints = [fingerprint(p) for p in pairs]
    assert without_duplicates(pairs, prints, report) == [0, 3, 4]
    assert report.to_dict()["steps"][0]["reasons"] == {
        "same description and code": 1,
        "same words and syntax tree": 1,
    }


def test_leakage_computed_by_hand():
    train = [
        pair(0, "add two lists", "x = 1"),
        pair(1, "sort", "def f(a): return a"),
        pair(6, "Write a function 7", "print(4, 5)"),
    ]
    test = [
        pair(2, "write a program to add two lists", "x = 1"),  # core, tree, code
        pair(3, "other", "def g(b): return b"),  # tree
        pair(4, "new", "print(2)"),
        pair(5, "write a function", "print(3)"),  # an empty core equals no other
    ]
    assert leakage(train, test) == {
        "core_description": 0.25,
        "renamed_code": 0.5,
        "near_code": 0.0,
        "any": 0.5,
        "code": 0.25,
        "unnamed_task": 0.25,
    }


@pytest.mark.parametrize("split", [group_split, random_split])
def test_sizes_are_close_to_the_ratios(split):
    splits = split(corpus(), DataReport(), ratios=RATIOS, seed=1)
    n = sum(len(part) for part in by_name(splits).values())
    for name, ratio in zip(SPLITS, RATIOS, strict=True):
        assert abs(len(getattr(splits, name)) - ratio * n) <= 2


def test_group_split_leaks_nothing_where_a_random_one_does():
    pairs = corpus()
    grouped = group_split(pairs, DataReport(), ratios=RATIOS, seed=1)
    assert leakage(grouped.train, grouped.test)["any"] == 0
    assert leakage(grouped.train, grouped.val)["any"] == 0
    assert leakage(grouped.val, grouped.test)["any"] == 0
    assert grouped.leakage()["test"] == leakage(grouped.train, grouped.test)
    assert random_split(pairs, DataReport(), ratios=RATIOS, seed=1).leakage()["test"]["any"] > 0.3


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(40, 120), st.sampled_from([group_split, random_split]))
def test_every_pair_is_kept_or_counted_as_dropped(seed, n, split):
    pairs, report = corpus(n, seed), DataReport()
    splits = split(pairs, report, ratios=RATIOS, seed=seed)
    kept = [p.id for part in by_name(splits).values() for p in part]
    assert sorted([*kept, *report.dropped_ids]) == sorted(p.id for p in pairs)


def test_a_random_split_keeps_duplicates():
    report = DataReport()
    random_split([pair(i, "add", "x = 1") for i in range(20)], report, ratios=RATIOS, seed=0)
    assert not report.dropped_ids


@pytest.mark.parametrize("split", [group_split, random_split])
def test_removing_pairs_hardly_moves_the_others(split):
    pairs = corpus(300)
    whole = split(pairs, DataReport(), ratios=RATIOS, seed=1)
    rest = split([p for i, p in enumerate(pairs) if i % 100], DataReport(), ratios=RATIOS, seed=1)
    before = {p.id: name for name, part in by_name(whole).items() for p in part}
    after = {p.id: name for name, part in by_name(rest).items() for p in part}
    stayed = [before[i] == name for i, name in after.items() if i in before]
    assert sum(stayed) / len(stayed) > 0.9


GOLDEN = {
    "group_split": "4f267ddd0baf5083e3a167caf15417fac64411d6bfaa45b6234c128d026c37e9",
    "random_split": "43ade667e8f96d4b2ec658bfeb4b20284a365192ce4ec9d520e99397a9e7fbe1",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_same_seed_gives_the_same_hash_in_every_process(name):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_splits import *;"
        "print(globals()[sys.argv[1]](corpus(60), DataReport(), ratios=RATIOS, seed=1).hash)"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program, name, os.path.dirname(__file__)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {GOLDEN[name]}


def test_another_seed_or_text_gives_another_hash():
    pairs = corpus(60)
    hashes = {group_split(pairs, DataReport(), ratios=RATIOS, seed=s).hash for s in range(3)}
    assert len(hashes) == 3
    changed = [*pairs[:-1], pair(59, "new", pairs[-1].code)]
    assert (
        random_split(changed, DataReport(), ratios=RATIOS, seed=0).hash
        != random_split(pairs, DataReport(), ratios=RATIOS, seed=0).hash
    )


def sentence(splits):
    return leakage_sentence({"facts": {"leakage": splits.leakage(), "held_out": splits.held_out}})


def test_the_leakage_sentence_of_a_group_split_has_no_shares_of_zero():
    text = sentence(group_split(corpus(), DataReport(), ratios=RATIOS, seed=1))
    assert text.replace("\u00a0", " ") == (
        "held out: groups of near-duplicates; test pairs with a near-duplicate in train: 0.0 %"
    )


def test_the_leakage_sentence_begins_with_the_union_of_the_keys():
    shares = dict.fromkeys(LEAKAGE, 0.0) | {"near_code": 0.2, "core_description": 0.1, "any": 0.25}
    facts = {"leakage": {"test": shares | {"unnamed_task": 0.05}}, "held_out": "single pairs"}
    assert leakage_sentence({"facts": facts}).replace("\u00a0", " ") == (
        "held out: single pairs; test pairs with a near-duplicate in train: 25.0 % (same "
        "description 10.0 %, near-duplicate code 20.0 %); with the same description, too general "
        "to name a task: 5.0 %"
    )


def test_the_leakage_sentence_of_a_composition_split_expects_near_duplicate_code():
    shares = dict.fromkeys(LEAKAGE, 0.0) | {"near_code": 0.5, "any": 0.5}
    splits = composition_split(composed(), DataReport(), ratios=RATIOS, seed=1)
    facts = {"leakage": {"test": shares}, "held_out": splits.held_out}
    text = leakage_sentence({"facts": facts})
    assert text.startswith("held out: every combination of the test split is absent from train")
    assert text.endswith("is expected, because test programs recombine known parts")


# --- composition


def composed(n_each=5):
    """Return programs of one and of two of eight primitives, several of each."""
    names = [f"p{i}" for i in range(8)]
    wanted = [(a,) for a in names]
    wanted += [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    pairs = []
    for primitives in wanted:
        for k in range(n_each):
            code = f"print({'('.join(primitives)}({k}{')' * len(primitives)})"
            words = " then ".join(primitives)
            text = f"apply {words} {'very ' * k}"
            combination = "|".join(primitives if k % 2 else primitives[::-1])
            pairs.append(pair(len(pairs), text, code, combination=combination))
    return pairs


def primitives_of(pairs):
    return [frozenset(p.combination.split("|")) for p in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_held_out_combinations_are_new_and_made_of_trained_primitives(seed):
    splits = composition_split(composed(), DataReport(), ratios=RATIOS, seed=seed)
    train = set(primitives_of(splits.train))
    trained = frozenset().union(*train)
    for held_out in (splits.val, splits.test):
        assert held_out
        assert not train & set(primitives_of(held_out))
        assert all(c <= trained and len(c) > 1 for c in primitives_of(held_out))
    assert not set(primitives_of(splits.val)) & set(primitives_of(splits.test))


def test_composition_sizes_are_close_to_the_ratios():
    splits = composition_split(composed(), DataReport(), ratios=RATIOS, seed=1)
    n = len(composed())
    assert abs(len(splits.val) - 0.15 * n) <= 5
    assert abs(len(splits.test) - 0.15 * n) <= 5


def test_combinations_with_a_common_program_are_held_out_together():
    pairs = composed()
    shared = "print(q(7))"
    pairs += [pair(1000, "one way", shared, combination="p0|p1")]
    pairs += [pair(1001, "other way", shared, combination="p0|p2")]
    for seed in range(8):
        splits = composition_split(pairs, DataReport(), ratios=RATIOS, seed=seed)
        sides = {n for n, part in by_name(splits).items() for p in part if p.code == shared}
        assert len(sides) == 1


@pytest.mark.parametrize(("ratios", "n_warnings"), [(RATIOS, 0), ((0.1, 0.4, 0.5), 1)])
def test_composition_warns_if_it_holds_out_fewer_pairs_than_asked_for(ratios, n_warnings):
    report = DataReport()
    splits = composition_split(composed(), report, ratios=ratios, seed=1)
    assert len(report.warnings) == n_warnings
    assert all(f"holds out {len(splits.val)} pairs for val" in text for text in report.warnings)


def test_composition_needs_combinations():
    with pytest.raises(UserError, match="'a/0' of source 'a' names none; use split=group"):
        composition_split(corpus(), DataReport(), ratios=RATIOS, seed=0)


def test_composition_refuses_when_nothing_can_be_held_out():
    pairs = [pair(i, f"task {'x' * i}", f"x = {i}", combination="only") for i in range(20)]
    with pytest.raises(UserError, match="no combination to hold out for val"):
        composition_split(pairs, DataReport(), ratios=RATIOS, seed=0)


# --- official splits


def test_an_official_split_is_kept():
    names = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    pairs = [
        pair(p.id, p.description, p.code, split=name)
        for p, name in zip(corpus(60), names, strict=True)
    ]
    splits = official_split(pairs, DataReport(), ratios=RATIOS, seed=0)
    assert [len(part) for part in by_name(splits).values()] == [40, 10, 10]


def test_a_missing_official_validation_split_is_cut_from_train():
    names = ["train"] * 50 + ["test"] * 10
    pairs = [
        pair(p.id, p.description, p.code, split=name)
        for p, name in zip(corpus(60), names, strict=True)
    ]
    splits = official_split(pairs, DataReport(), ratios=RATIOS, seed=0)
    assert splits.test == pairs[50:]
    assert abs(len(splits.val) - 50 * 0.15 / 0.85) <= 2
    assert splits.leakage()["val"]["any"] == 0


@pytest.mark.parametrize(("n_groups", "remedy"), [(1, "training pairs$"), (2, "split.ratios$")])
def test_official_validation_pairs_that_near_duplicates_prevent_are_refused(n_groups, remedy):
    codes = ("def add(total):\n    return total + {}", "while spam:\n    eggs(spam, ham, {})")
    pairs = [
        pair(i, f"task {'ab'[i % n_groups]}", codes[i % n_groups].format(i), split="train")
        for i in range(20)
    ]
    tests = [pair(i, f"test {i}", f"x = {i}", split="test") for i in range(20, 24)]
    words = f"no validation pairs.*20 training pairs in {n_groups} group.*{remedy}"
    with pytest.raises(UserError, match=words):
        official_split([*pairs, *tests], DataReport(), ratios=RATIOS, seed=0)
    if n_groups == 2:  # as the message says
        splits = official_split([*pairs, *tests], DataReport(), ratios=(0.3, 0.6, 0.1), seed=0)
        assert len(splits.val) == 10


def test_an_official_split_requires_a_split_at_every_pair():
    with pytest.raises(UserError, match="'a/0' has '': name one file per split"):
        official_split(corpus(), DataReport(), ratios=RATIOS, seed=0)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_an_official_split_has_pairs_to_learn_from_and_to_test(missing):
    names = {"train": "test", "test": "train"}
    pairs = [
        pair(p.id, p.description, p.code, split=("val", names[missing])[i % 2])
        for i, p in enumerate(corpus(60))
    ]
    with pytest.raises(UserError, match=f"no pair for {missing}: name a file for it"):
        official_split(pairs, DataReport(), ratios=RATIOS, seed=0)


# --- mixtures


def mixed_in(pairs):
    """Return pairs of another source: near-duplicates of some pairs, and unrelated ones."""
    duplicates = [
        Pair(f"b/{i}", p.description, p.code + "\nz = 1", "b") for i, p in enumerate(pairs[::3])
    ]
    own = [Pair(f"b/x{i}", f"thing {'x' * i}", f"own_{i} = {i}", "b") for i in range(1, 9)]
    return duplicates + own


@pytest.mark.parametrize(
    ("split", "pairs"),
    [(group_split, corpus()), (random_split, corpus()), (composition_split, composed())],
    ids=["group", "random", "composition"],
)
def test_mixing_in_leaves_validation_and_test_unchanged(split, pairs):
    alone = split(pairs, DataReport(), ratios=RATIOS, seed=3)
    mixed = split([*pairs, *mixed_in(pairs)], DataReport(), ratios=RATIOS, seed=3)
    assert mixed.val == alone.val
    assert mixed.test == alone.test
    assert [p for p in mixed.train if p.source == "a"] == alone.train
    assert any(p.source == "b" for p in mixed.train)


@pytest.mark.parametrize("split", [group_split, composition_split])
def test_mixed_in_pairs_leak_no_held_out_pair(split):
    pairs = corpus() if split is group_split else composed()
    report = DataReport()
    others = mixed_in(pairs)
    splits = split([*pairs, *others], report, ratios=RATIOS, seed=3)
    added = [p for p in splits.train if p.source == "b"]
    assert leakage(added, splits.test)["any"] == leakage(added, splits.val)["any"] == 0
    assert len(added) + sum(key.startswith("b/") for key in report.dropped_ids) == len(others)
    assert report.to_dict()["steps"][-1]["name"] == "mixed_in"
    assert report.to_dict()["steps"][-1]["dropped"] > 0


def test_the_first_source_stays_the_main_one_in_another_order():
    pairs, report = corpus(), DataReport()
    report.facts["mixture: main source"] = "a"
    splits = group_split([*mixed_in(pairs), *pairs], report, ratios=RATIOS, seed=3)
    assert {p.source for p in splits.test} == {"a"}


# --- refusals


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match="2 pairs are too few"):
        random_split(corpus(2), DataReport(), ratios=RATIOS, seed=0)


def test_no_pairs_are_refused():
    with pytest.raises(UserError, match="no pair to split"):
        group_split([], DataReport(), ratios=RATIOS, seed=0)


def test_a_split_by_number_takes_the_number_of_each_id():
    pairs = [Pair(f"mbpp/{n}", f"task {n}", f"x = {n}", "mbpp") for n in (5, 11, 510, 511, 601)]
    numbers = {"train": (601, 974), "val": (511, 600), "test": (11, 510)}
    splits = numbered_split(pairs, DataReport(), ratios=RATIOS, seed=0, numbers=numbers)
    found = {name: [pair.id for pair in getattr(splits, name)] for name in ("train", "val", "test")}
    assert found == {
        "train": ["mbpp/5", "mbpp/601"],
        "val": ["mbpp/511"],
        "test": ["mbpp/11", "mbpp/510"],
    }


def test_a_split_by_number_requires_numbers():
    pairs = [Pair("a/first", "t", "x = 1", "a")]
    with pytest.raises(UserError, match="a number in each id, but 'a/first' has none"):
        numbered_split(pairs, DataReport(), ratios=RATIOS, seed=0, numbers={"test": (1, 2)})
