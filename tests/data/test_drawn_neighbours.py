"""Neighbours: which training pairs they are, and how they are drawn and added to sources."""

from itertools import pairwise

import pytest

from en2py.data.batch import Example
from en2py.data.drawn_neighbours import DrawnNeighbours, WithNeighbours
from en2py.data.neighbours import Neighbours, TfidfIndex, nearest_of_other_groups
from en2py.data.pairs import Pair
from en2py.data.prepare import TokenizedPair
from en2py.data.vocab import BOS, SPECIAL_TOKENS, Vocab

K = 3
# (source, target) of each pair with each neighbour, and with none
LENGTHS = [[(5 + 9 * rank, 4 + i % 40) for rank in (1, 2, 3, 0)] for i in range(400)]


def made(pairs: list[Pair], groups: list[int], max_len: int = 99) -> Neighbours:
    train = [TokenizedPair(p, p.description.split(), p.code.split()) for p in pairs]
    near = nearest_of_other_groups(pairs, groups, K)
    return Neighbours(train, near, k=K, omit=0.1, max_len=max_len)


def test_neighbours_of_training_pairs_are_of_other_groups_nearest_first(pairs: list[Pair]) -> None:
    groups = [0, 0, 0, *range(3, len(pairs))]  # add, subtract, multiply two numbers
    texts = [pair.description for pair in pairs]
    similarities = next(TfidfIndex(texts).similarities(texts))
    for place, near in enumerate(made(pairs, groups).near(pairs)):
        assert len(near) == K and all(groups[other] != groups[place] for other in near)
        values = [similarities[place, other] for other in near]
        others = [similarities[place, i] for i, g in enumerate(groups) if g != groups[place]]
        assert values == sorted(others, reverse=True)[:K]


def test_a_pair_whose_group_is_all_training_pairs_has_no_neighbour(pairs: list[Pair]) -> None:
    assert made(pairs, [0] * len(pairs)).near(pairs) == [[]] * len(pairs)


def test_neighbour_of_another_pair_is_the_nearest_by_its_description(pairs: list[Pair]) -> None:
    asked = Pair("other/0", "reverse the words of a string", "", "other")
    assert made(pairs, list(range(len(pairs)))).near([asked]) == [[4]]


def test_a_long_neighbour_is_cut(pairs: list[Pair]) -> None:
    whole, cut = (made(pairs, [0] * len(pairs), n).tokens(0) for n in (99, 6))
    assert whole == [BOS, "add", "two", "numbers", BOS, *pairs[0].code.split()]
    assert cut == whole[:6]


def epoch(n: int, seed: int = 1, omit: float = 0.25, skip: int = 0) -> list[list[int]]:
    batches = DrawnNeighbours(LENGTHS, omit, 256, seed)
    batches.set_epoch(n)
    batches.skip = skip
    return list(batches)


def ranks(batches: list[list[int]]) -> dict[int, int]:
    return dict(divmod(position, K + 1) for batch in batches for position in batch)


def test_each_pair_has_one_neighbour_or_none_per_epoch() -> None:
    drawn = ranks(epoch(0))
    assert sorted(drawn) == list(range(len(LENGTHS)))
    assert set(drawn.values()) == {0, 1, 2, K}
    assert list(drawn.values()).count(K) / len(drawn) == pytest.approx(0.25, abs=0.1)


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    assert epoch(3) == epoch(3)
    different = [ranks(epoch(3)), ranks(epoch(4)), ranks(epoch(3, seed=2))]
    assert all(one != other for one, other in pairwise(different))


def test_a_resumed_epoch_continues_with_the_same_draws() -> None:
    assert epoch(2, skip=5) == epoch(2)[5:]


def test_a_batch_has_the_drawn_neighbours() -> None:
    vocab = Vocab([*SPECIAL_TOKENS, *"abcdef"], [0] * 10)
    examples = [Example(0, [4], [7]), Example(1, [5], [8])]
    data = WithNeighbours(examples, [[1, 0], [0]], [[2, 6], [2, 7]], K, vocab)
    rows = data[[0 * (K + 1) + 1, 1 * (K + 1) + K]].src.tolist()
    assert rows == [[4, 2, 6, vocab.eos_id], [5, vocab.eos_id, 0, 0]]
    # A pair with fewer neighbours than the drawn rank has none in this epoch.
    assert data[[1 * (K + 1) + 2]].src.tolist() == [[5, vocab.eos_id]]
    assert data.lengths() == [[(4, 2), (4, 2), (2, 2), (2, 2)], [(4, 2), (2, 2), (2, 2), (2, 2)]]
