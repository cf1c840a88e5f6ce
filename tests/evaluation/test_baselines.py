import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from en2py.data.pairs import Pair
from en2py.evaluation.baselines import ABOUT, LEARNED, RIVALS, similarities
from en2py.evaluation.baselines.bounds import constant, nearest_by_bleu, second_human
from en2py.evaluation.baselines.candidates import (
    Candidates,
    find_candidates,
    find_training_candidates,
    softmax,
)
from en2py.evaluation.baselines.program_bleu import log_bleu, program_ngrams
from en2py.evaluation.baselines.ranker import FEATURES, consensus, fit, ranker
from en2py.evaluation.baselines.retrieval import bm25, retrieval
from en2py.evaluation.baselines.votes import Agreement, votes
from en2py.evaluation.behaviour.equivalence import agree
from en2py.evaluation.behaviour.oracle import Answer
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
    test = [replace(pair, family="sums") for pair in pairs([("add numbers", "sum((a, b))")])]
    assert second_human(train, test) == [""]
    assert second_human(test, train) == [""]


def test_every_baseline_of_the_config_is_explained():
    config = yaml.safe_load((ROOT / "conf" / "evaluate.yaml").read_text())
    assert config["baselines"].keys() == ABOUT.keys()


# -- consensus, ranker and votes ------------------------------------------------------------------

SANDBOX = {"timeout_s": 5.0, "memory_mb": 512, "workers": 1, "min_level": "process"}
DOUBLES = [
    ("double a number", "def double(n):\n    return n * 2"),
    ("double the number", "def twice(x):\n    result = x + x\n    return result"),
    ("double any number", "double = lambda value: value * 2"),
    ("double the number n", "def double_it(n):\n    return n ** 2"),
    ("reverse a string", "def flip(text):\n    return text[::-1]"),
    ("print numbers", "for i in range(3):\n    print(i)"),
]


def test_bleu_of_single_programs_by_hand():
    # Two of three tokens, one of two pairs plus 1 each, no triple plus 1, no four plus 1.
    hypotheses, references = program_ngrams(["a b"], ["a c"])
    matches = [2 / 3, 1 / 3 + 0, 1 / 2, 1 / 1]  # tokens: a b newline against a c newline
    found = np.exp(log_bleu(hypotheses, references))
    assert found.shape == (1, 1) and found[0, 0] == pytest.approx(np.prod(matches) ** 0.25)
    hypotheses, references = program_ngrams(["a b"], ["a b"])
    assert np.exp(log_bleu(hypotheses, references))[0, 0] == pytest.approx(1.0)


def test_consensus_prefers_what_the_neighbours_share():
    train = [("add", "x = f(a, b)\nprint(x)"), ("add", "y = 1"), ("add", "x = f(a, b)\nprint(y)")]
    assert ask(retrieval, "add", train=[train[1], train[0], train[2]]) == ["y = 1"]
    assert ask(consensus, "add", train=[train[1], train[0], train[2]])[0] != "y = 1"


def test_a_low_temperature_retrieves_the_nearest():
    train, test = pairs(TRAIN), pairs([(text, "") for text, _ in TRAIN])
    assert consensus(train, test, temperature=0.001) == [code for _, code in TRAIN]


@pytest.mark.parametrize("baseline", [consensus, ranker])
def test_programs_of_test_pairs_are_not_read(baseline):
    train = pairs(DOUBLES)
    own, other = (pairs([("double it", code)]) for code in ("def f(): pass", "x = 1"))
    assert baseline(train, own) == baseline(train, other)


@pytest.mark.parametrize("baseline", [consensus, ranker])
def test_one_training_pair_is_enough(baseline):
    assert ask(baseline, "anything", train=TRAIN[:1]) == [TRAIN[0][1]]


def test_near_duplicates_of_a_training_query_are_no_candidates():
    train = pairs(
        [("add two numbers", "a + b"), ("add numbers", "b + a"), ("reverse it", "x[::-1]")]
    )
    queries = find_training_candidates(train, [similarities.words, similarities.characters], 3)
    valid = [
        {int(place) for place, ok in zip(own, are, strict=True) if ok}
        for own, are in zip(queries.candidates.places, queries.candidates.are_valid, strict=True)
    ]
    same = [0, 1]  # one core description once numbers are left out
    assert valid[2] == {0, 1} and 0 not in valid[0] and 1 not in valid[1]
    assert all(place not in valid[place] for place in same)


def test_the_first_two_similarities_decide_which_programs_are_near():
    test = pairs([("reverse a text", "")])
    found = find_candidates(pairs(TRAIN), test, FEATURES, 2)
    assert found.places.shape == (1, 2) and found.places[0, 0] == 2
    assert found.features.shape == (1, 2, len(FEATURES))


def test_of_a_mixture_both_the_source_of_the_queries_and_the_others_have_candidates():
    train = [*of_source("other", TRAIN), *of_source("own", TRAIN[1:])]
    query = of_source("own", [("reverse a text", "")])
    found = find_candidates(train, query, FEATURES, 2, ["own"])
    assert found.places.shape == (1, 4) and found.places[0, ::2].tolist() == [5, 2]
    for sources in ([], ["new"]):
        assert find_candidates(train, query, FEATURES, 2, sources).places[0].tolist() == [2, 5]


@pytest.mark.parametrize("similarity", [own for own in FEATURES if own != similarities.same_source])
def test_a_description_is_most_similar_to_its_own_pair(similarity):
    train = pairs([("add numbers", "add(numbers)"), ("reverse text", "reverse(text)")])
    queries, known = similarity(train, train)
    assert (queries @ known.T).toarray().argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("similarity", FEATURES)
def test_a_similarity_of_texts_without_words_is_zero(similarity):
    queries, known = similarity(pairs([("?", "("), ("!", ")")]), pairs([("zzz", "")]))
    assert (queries @ known.T).shape == (1, 2)


def of_source(source, rows):
    return [replace(pair, source=source) for pair in pairs(rows)]


def test_pairs_of_the_source_of_a_query_are_known():
    train = [*of_source("a", TRAIN[:1]), *of_source("b", TRAIN[1:2])]
    queries, known = similarities.same_source(train, of_source("b", TRAIN[2:]))
    assert (queries @ known.T).toarray().tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("sources", "places"), [("b", [1, 3]), ("c", [0, 1, 2, 3]), ("", [0, 1, 2, 3])]
)
def test_of_a_mixture_queries_are_those_of_the_source_of_the_test_pairs(sources, places):
    train = [replace(pair, source="ab"[i % 2]) for i, pair in enumerate(pairs(TRAIN))]
    assert find_training_candidates(train, FEATURES, 2, sources).places.tolist() == places


@pytest.mark.parametrize("baseline", [ranker, votes])
def test_another_source_of_a_mixture_is_trusted_as_far_as_it_is_right(baseline, voted):
    """Every description has two programs; that of the source of the test pairs is right."""
    numbers = ("two", "three", "four", "five", "six", "seven")
    rows = [(f"join {n} and {m}", f"{n} * {m}") for n in numbers for m in numbers[:4]]
    other = [(text, code.replace("*", "%")) for text, code in rows]
    train = [*of_source("other", other), *of_source("own", rows)]
    asked = of_source("own", [(f"join {n} and nine", "") for n in numbers])
    settings = {"sandbox": SANDBOX, "cache": str(voted[1])} if baseline is votes else {}
    assert all("*" in code for code in baseline(train, asked, **settings))


def test_fit_prefers_the_feature_that_tells_right_from_wrong():
    chance = np.random.default_rng(0)
    features = chance.random((40, 5, 2))
    right = (features[:, :, 0] == features[:, :, 0].max(axis=1, keepdims=True)).astype(float)
    own = Candidates(np.zeros((40, 5), int), features, np.ones((40, 5), bool), np.ones((40, 5, 5)))
    coefficients = fit(own, [(right, 1.0)])
    assert coefficients[0] > 5 * abs(coefficients[1])
    assert fit(own, [(right, 1.0), (np.zeros((40, 5)), 1.0)]) == pytest.approx(coefficients)


def test_softmax_of_nothing_is_zero():
    assert softmax(np.array([[-np.inf, -np.inf]])).tolist() == [[0.0, 0.0]]
    assert softmax(np.array([[0.0, -np.inf]])).tolist() == [[1.0, 0.0]]


def answers(*values):
    return {i: Answer(value, (), "") for i, value in enumerate(values)}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (answers(1, 2, 3), True),
        (answers(1, 2, 4), False),
        (answers(1, 2), False),  # too few inputs
        ({7: Answer(1, (), ""), **answers(1, 2, 3)}, True),  # returns on one input more
    ],
)
def test_programs_agree_by_equal_answers_on_enough_inputs(other, same):
    one = answers(1, 2, 3)
    assert agree(one, other, share=0.5) == agree(other, one, share=0.5) == same


def test_programs_that_always_answer_the_same_do_not_agree():
    assert not agree(answers(0, 0, 0), answers(0, 0, 0))


@pytest.fixture(scope="module")
def voted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")

    def vote(train, test, **settings):
        return votes(train, test, sandbox=SANDBOX, cache=str(folder), **settings)

    return vote, folder


def test_agreement_comes_from_running_the_programs(voted):
    codes = [code for _, code in DOUBLES]
    found = Agreement.of(codes, range(len(codes)), SANDBOX, voted[1])
    same = found.between(np.arange(6)[:, None], np.arange(6)[None])
    assert same[0].tolist() == [True, True, True, False, False, False]
    assert same[5].tolist() == [False] * 6  # a script cannot be called
    unused = Agreement.of(["x = 1", *codes], range(1, 7), SANDBOX, voted[1])
    moved = unused.between(np.arange(1, 7)[:, None], np.arange(1, 7)[None])
    assert moved.tolist() == same.tolist()  # the stored places are of other training programs


def test_equal_behaviour_outvotes_the_nearest_program(voted):
    train, test = pairs(DOUBLES), pairs([("double the number n", "")])
    settings = ({"vote_weight": 0.0}, {"vote_weight": 50.0, "temperature": 20.0})
    chosen = [voted[0](train, test, **own)[0] for own in settings]
    codes = [code for _, code in DOUBLES]
    assert codes.index(chosen[0]) == 3 and codes.index(chosen[1]) < 3


def test_votes_never_read_programs_of_test_pairs(voted):
    train = pairs(DOUBLES)
    before = sorted(path.name for path in voted[1].iterdir())
    own, other = (pairs([("double it", code)]) for code in ("def f(): pass", "x = 1"))
    assert voted[0](train, own) == voted[0](train, other)
    assert sorted(path.name for path in voted[1].iterdir()) == before  # nothing else was run


def test_learned_baselines_are_rivals():
    assert set(LEARNED) < set(RIVALS) and not {"nearest_by_bleu", "second_human"} & set(RIVALS)
