"""Test pairs by whether training has the same description, and all known programs of each."""

from collections.abc import Sequence

from en2py.data.duplicates import core_description, description_key
from en2py.data.pairs import Pair

SEEN, NEW = "seen descriptions", "new descriptions"


def seen_and_new(train: Sequence[Pair], test: Sequence[Pair]) -> dict[str, list[int]]:
    """Group the test pairs by whether training has a description of the same task.

    Tasks are compared by `duplicates.core_description`: without case, numbers and stop words. In a
    group split no description is seen.

    Returns:
        Bucket to positions in `test`; a bucket may be empty.
    """
    known = {_task(pair.description) for pair in train}
    buckets: dict[str, list[int]] = {SEEN: [], NEW: []}
    for place, pair in enumerate(test):
        buckets[SEEN if _task(pair.description) in known else NEW].append(place)
    return buckets


def known_codes(train: Sequence[Pair], test: Sequence[Pair]) -> list[list[str]]:
    """Return for each test pair the distinct programs of all pairs of the same task, its own first.

    The training pairs are without augmented variants.
    """
    codes: dict[str, dict[str, None]] = {}
    for pair in (*test, *train):
        codes.setdefault(_task(pair.description), {})[pair.code] = None
    return [list(dict.fromkeys([pair.code, *codes[_task(pair.description)]])) for pair in test]


def _task(description: str) -> str:
    """Return a key of a description's task; it uses all words if only stop words remain."""
    core = core_description(description)
    return f"core {core}" if core else f"words {description_key(description)}"
