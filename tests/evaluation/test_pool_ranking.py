"""Ranking of written and retrieved programs by likelihood, consensus and behaviour."""

from dataclasses import replace

import pytest

from en2py.data.pairs import Pair
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.pool_ranking import KEPT, PoolRanker, PoolWeights
from en2py.evaluation.scores import TrainingData

SANDBOX = {"timeout_s": 5.0, "memory_mb": 512, "workers": 1, "min_level": "process"}
TRAIN = [
    ("double a number", "def double(n):\n    return n * 2"),
    ("square a number", "def square(n):\n    return n ** 2"),
    ("reverse a string", "def flip(text):\n    return text[::-1]"),
    ("print numbers", "for i in range(3):\n    print(i)"),
]
TRIPLE = [
    "def triple(n):\n    return n * 3",
    "def thrice(x):\n    result = x + x + x\n    return result",
    "triple = lambda value: 3 * value",
]
EQUAL = PoolWeights(written=0.5, likelihood=0.0, temperature=1.0, vote_weight=0.0)


def pairs(rows):
    return [Pair(f"x/{i}", text, code, "x") for i, (text, code) in enumerate(rows)]


def equal(descriptions, codes):
    return [(10.0, 10) for _ in codes]


@pytest.fixture
def ranker(tmp_path):
    def made(n_retrieved=2, likelihoods=equal, others=()):
        train = [*pairs(TRAIN), *others]
        data = TrainingData(train, TrainingCode([pair.code for pair in train]), train)
        return PoolRanker(data, "x", n_retrieved, likelihoods, sandbox=SANDBOX, folder=tmp_path)

    return made


def test_retrieved_programs_are_those_of_the_nearest_training_descriptions(ranker):
    [found] = ranker().rank(["square a number"], [["x = 1"]], EQUAL)
    assert sorted(found) == sorted(["x = 1", *(code for _, code in TRAIN[:2])])


def test_of_a_mixture_programs_of_the_main_source_are_retrieved(ranker):
    others = [Pair("y/1", "square a number", "def other(n):\n    return n * n", "y")]
    [found] = ranker(others=others).rank(["square a number"], [["x = 1"]], EQUAL)
    assert sorted(found) == sorted(["x = 1", *(code for _, code in TRAIN[:2])])


def test_a_description_that_the_model_cannot_read_has_no_program(ranker):
    found = ranker().rank(["square a number", "double a number"], [[], ["x = 1"]], EQUAL)
    assert found[0] == [] and len(found[1]) == 3


def test_without_retrieved_programs_the_model_is_alone(ranker):
    written = [["x = 1", "x = 2"], ["y = 1"]]
    found = ranker(0).rank(["double a number"] * 2, written, EQUAL)
    assert [sorted(own) for own in found] == written


def test_programs_without_a_token_are_ranked(ranker):
    [found] = ranker(0).rank(["double a number"], [["", "\n"]], EQUAL)
    assert found == [""]


def test_equal_syntax_trees_are_one_candidate(ranker):
    written = [[TRAIN[0][1] + "  # the same\n", "x=1", "x = 1"]]
    scored = []

    def likelihoods(descriptions, codes):
        scored.extend(codes)
        return equal(descriptions, codes)

    [found] = ranker(1, likelihoods).rank(["double a number"], written, EQUAL)
    assert sorted(found) == sorted([TRAIN[0][1], "x=1"]) and scored == ["x=1"]


@pytest.mark.parametrize(("n_retrieved", "kept"), [(0, ["x ="]), (1, [TRAIN[0][1]])])
def test_programs_that_do_not_compile_are_left_out_if_others_do(ranker, n_retrieved, kept):
    weights = replace(EQUAL, written=0.9)
    [found] = ranker(n_retrieved).rank(["double a number"], [["x ="]], weights)
    assert found == kept


def test_the_likelihood_of_the_model_ranks(ranker):
    nll = {"x = 1": 9.0, "y = 2": 3.0, "z = 3": 6.0}

    def likelihoods(descriptions, codes):
        return [(nll[code], 3) for code in codes]

    weights = replace(EQUAL, likelihood=20.0)
    [found] = ranker(0, likelihoods).rank(["a task"], [list(nll)], weights)
    assert found[0] == "y = 2" and sorted(found) == sorted(nll)


def test_equal_behaviour_outvotes_consensus(ranker):
    odd = "def triple(n):\n    return n * 4"
    written = [[*TRIPLE, odd, odd.replace("4", "5"), odd.replace("4", "6")]]
    chosen = [
        ranker(0).rank(["triple a number"], written, replace(EQUAL, vote_weight=weight))[0][0]
        for weight in (0.0, 9.0)
    ]
    assert chosen[0] not in TRIPLE[1:] and chosen[1] in TRIPLE


def test_weights_prefer_the_kind_that_is_right_on_validation(ranker):
    validation = pairs([("double it", TRIPLE[0]), ("square it", TRIPLE[1])])
    own = [[pair.code] for pair in validation]
    weights, means = ranker().fit(validation, own)
    assert weights.written == 0.5 and means == {"bleu": 1.0, "agrees": 1.0}
    assert ranker().rank(["double it", "square it"], own, weights) != own  # all are ranked
    assert [r[0] for r in ranker().rank(["double it"], own[:1], weights)] == own[0]
    weights, _ = ranker().fit(pairs([("double it", TRAIN[0][1])] * 2), [["x = 1"], ["y = 2"]])
    assert weights.written == 0.1


def test_references_are_goals_and_no_candidates(ranker):
    validation = pairs([("double it", TRIPLE[0]), ("square it", TRIPLE[1])])
    scored = []

    def likelihoods(descriptions, codes):
        scored.extend(codes)
        return equal(descriptions, codes)

    ranker(2, likelihoods).fit(validation, [["x = 1"], ["y = 2"]])
    assert {*scored} == {"x = 1", "y = 2"}


def test_the_same_pool_is_ranked_the_same_alone_and_with_others(ranker):
    weights = replace(EQUAL, vote_weight=0.3)
    descriptions = [text for text, _ in TRAIN]
    written = [[code] for code in [*TRIPLE, "x = 1"]]
    together = ranker().rank(descriptions, written, weights)
    assert together == ranker().rank(descriptions, written, weights)
    alone = [
        ranker().rank([text], [own], weights)[0]
        for text, own in zip(descriptions, written, strict=True)
    ]
    assert alone == together


def test_a_long_pool_is_cut(ranker):
    written = [[f"x = {i}" for i in range(KEPT + 5)]]
    [found] = ranker(0).rank(["count"], written, EQUAL)
    assert len(found) == len({*found}) == KEPT


def test_no_description_needs_no_program(ranker):
    assert ranker().rank([], [], EQUAL) == []
