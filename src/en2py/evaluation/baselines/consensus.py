"""The consensus of the nearest training programs."""

from collections.abc import Sequence

from pydantic import PositiveFloat, PositiveInt

from en2py.data.pairs import Pair
from en2py.evaluation.baselines.candidates import expected, find_candidates
from en2py.evaluation.baselines.similarities import characters, words


def consensus(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    neighbours: PositiveInt = 50,
    temperature: PositiveFloat = 0.2,
) -> list[str]:
    """Return the program with the highest expected BLEU among the nearest training programs.

    Each of them is wanted with probability softmax(similarity / temperature); the similarity is
    the mean of the two cosines of `retrieval`.

    Args:
        train: Training pairs.
        test: Pairs with the queries.
        neighbours: Number of nearest programs.
        temperature: Lower values trust the nearest ones more.
    """
    found = find_candidates(train, test, [words, characters], neighbours)
    weights = found.weights([0.5, 0.5], temperature)
    return found.best_codes(train, expected(found.bleu, weights))
