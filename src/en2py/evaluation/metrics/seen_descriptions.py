"""Test pairs and what training holds of the same task: buckets, and all codes that are right."""

from collections.abc import Sequence

from en2py.data.duplicates import core_description, description_key
from en2py.data.pairs import Pair

SEEN, NEW = "seen descriptions", "new descriptions"


def seen_and_new(train: Sequence[Pair], test: Sequence[Pair]) -> dict[str, list[int]]:
    """Sort the test pairs by whether training has a description of the same task.

    The same task is what `duplicates.core_description` says, the words without case, numbers and
    words that every task has. On a group split nothing is seen.

    Args:
        train: The training pairs, variants by augmentation included or not.
        test: The pairs to sort.

    Returns:
        Bucket to places in `test`, for `Scores.of`; a bucket may be empty.
    """
    known = {_task(pair.description) for pair in train}
    buckets: dict[str, list[int]] = {SEEN: [], NEW: []}
    for place, pair in enumerate(test):
        buckets[SEEN if _task(pair.description) in known else NEW].append(place)
    return buckets


def known_codes(train: Sequence[Pair], test: Sequence[Pair]) -> list[list[str]]:
    """Return all codes that are known for each test description, for `score(known=...)`.

    Args:
        train: The training pairs without variants by augmentation.
        test: The pairs to score; their own codes are known too.

    Returns:
        For each test pair the distinct codes of all pairs of the same task, its own first.
    """
    codes: dict[str, dict[str, None]] = {}
    for pair in (*test, *train):
        codes.setdefault(_task(pair.description), {})[pair.code] = None
    return [list(dict.fromkeys([pair.code, *codes[_task(pair.description)]])) for pair in test]


def _task(description: str) -> str:
    """Name the task of a description; where all words are such as every task has, by all words."""
    core = core_description(description)
    return f"core {core}" if core else f"words {description_key(description)}"
