"""Duplicates and near-duplicates of pairs: fingerprints, groups, and leakage between splits.

Two pairs are near-duplicates by one of three keys: the same core description, the same syntax tree
up to names, or near-duplicate code (Allamanis, 2019, "The adverse effects of code duplication":
Jaccard similarity of the identifiers at least 0.8 as sets and 0.7 as multisets).
"""

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from en2py.console import counted, percent
from en2py.data.pairs import DataReport, Pair
from en2py.data.syntax import names
from en2py.data.tree_text import trees_and

# Words that request a program without naming the task; the others are the core of a description.
TASK_WORDS = frozenset(
    """a an and any are as be been by can code create data define do does each for from function
    functions get given gives giving has have how if in input into is it its make method me of on
    one output please print printing program programme programs prog python python3 py return
    returned returning returns script should simple so statement such take takes taking that the
    their them then there these this to use used user uses using want we when where which will
    with write written you your""".split()
)
WORD = re.compile(r"[^\W\d_]+")
IDENTIFIER = re.compile(r"[^\W\d]\w*")

# With fewer distinct names, unrelated programs are alike: `print(x)` and every other `print(x)`.
MIN_IDENTIFIERS = 3


def description_key(description: str) -> str:
    """Return the words of a description without case, numbers and punctuation."""
    return " ".join(WORD.findall(description.lower()))


def core_description(description: str) -> str:
    """Return the words that name the task; empty if there are none."""
    return " ".join(word for word in WORD.findall(description.lower()) if word not in TASK_WORDS)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The keys by which pairs are compared; an empty key equals no other.

    Attributes:
        description: The `description_key`.
        core: The `core_description`.
        code: Digest of the syntax tree.
        renamed: Digest of the syntax tree up to names.
        identifiers: Names in the program with their counts, without keywords and strings.
        behaviour: Digest of what the program does; only `behaviour_split` fills it.
    """

    description: str
    core: str
    code: str
    renamed: str
    identifiers: tuple[tuple[str, int], ...]
    behaviour: str = ""


def fingerprint(pair: Pair) -> Fingerprint:
    """Compute the keys of a pair; code that does not parse is compared by its words."""
    tree, renamed, found = trees_and(names, pair.code)
    counts = Counter(IDENTIFIER.findall(pair.code) if found is None else found)
    return Fingerprint(
        description=description_key(pair.description),
        core=core_description(pair.description),
        code=_digest(tree or " ".join(pair.code.split())),
        renamed=_digest(renamed or ""),
        identifiers=tuple(sorted(counts.items())) if len(counts) >= MIN_IDENTIFIERS else (),
    )


def _digest(text: str) -> str:
    """Shorten a text, so that 100,000 trees fit into memory; the empty text stays empty."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    return digest.hexdigest() if text else ""


class NearDuplicateIndex:
    """Exact index of near-duplicate code.

    Two sets with Jaccard similarity >= 0.8 share one of the rarest names of each. So it is enough
    to compare a set with those that share a name of its prefix, rarest first (prefix filter;
    Bayardo et al., 2007), and are at most a quarter larger or a fifth smaller (length filter).

    Args:
        bags: All bags of identifiers that will be added or searched for; they give the ranks.
    """

    def __init__(self, bags: Iterable[Sequence[tuple[str, int]]]) -> None:
        counts = Counter(name for bag in bags for name, _ in bag)
        order = sorted(counts, key=lambda name: (counts[name], name))
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._bags: list[tuple[int, dict[int, int], int]] = []  # (owner, counts, size)
        # By name and size of the set: positions in `_bags`.
        self._postings: dict[tuple[int, int], list[int]] = defaultdict(list)

    def _encode(self, bag: Sequence[tuple[str, int]]) -> dict[int, int]:
        return dict(sorted((self._rank[name], count) for name, count in bag))

    def add(self, owner: int, bag: Sequence[tuple[str, int]]) -> None:
        """Add a bag; equal bags need to be added once only."""
        counts = self._encode(bag)
        for rank in _prefix(counts):
            self._postings[rank, len(counts)].append(len(self._bags))
        self._bags.append((owner, counts, sum(counts.values())))

    def near(self, bag: Sequence[tuple[str, int]]) -> Iterator[int]:
        """Yield the owners of all bags that are near-duplicates of this one, equal ones too."""
        counts = self._encode(bag)
        n, size = len(counts), sum(counts.values())
        compared: set[int] = set()
        lengths = range((4 * n + 4) // 5, 5 * n // 4 + 1)
        for key in itertools.product(_prefix(counts), lengths):
            for position in self._postings.get(key, ()):
                if position not in compared:
                    compared.add(position)
                    owner, other, other_size = self._bags[position]
                    if _is_near(counts, size, other, other_size):
                        yield owner


def _prefix(counts: dict[int, int]) -> list[int]:
    """Return the rarest names of a set; every set at Jaccard >= 0.8 has at least one of them."""
    n = len(counts)
    return list(counts)[: n - (4 * n + 4) // 5 + 1] if n else []  # n - ceil(0.8 n) + 1


def _is_near(one: dict[int, int], size: int, other: dict[int, int], other_size: int) -> bool:
    if 10 * min(size, other_size) < 7 * max(size, other_size):
        return False
    shared = one.keys() & other.keys()
    if 5 * len(shared) < 4 * (len(one) + len(other) - len(shared)):
        return False
    common = sum(min(one[rank], other[rank]) for rank in shared)
    return 10 * common >= 7 * (size + other_size - common)


def without_duplicates(
    pairs: Sequence[Pair], prints: Sequence[Fingerprint], report: DataReport
) -> list[int]:
    """Keep the first of pairs with equal descriptions and equal syntax trees; count the others.

    Descriptions are compared without case, numbers and punctuation. Different descriptions of the
    same program stay: they are paraphrases.

    Returns:
        The positions of the pairs to keep.
    """
    kept = []
    seen: set[tuple[str, str]] = set()
    texts: set[tuple[str, str]] = set()
    report.read("duplicates", len(pairs))
    for i, (pair, print_) in enumerate(zip(pairs, prints, strict=True)):
        key = (print_.description, print_.code)
        if key not in seen:
            seen.add(key)
            texts.add((pair.description, pair.code))
            kept.append(i)
        elif (pair.description, pair.code) in texts:
            report.dropped("duplicates", pair.id, "same description and code")
        else:
            report.dropped("duplicates", pair.id, "same words and syntax tree")
    return kept


def group_near_duplicates(prints: Sequence[Fingerprint]) -> list[int]:
    """Compute the connected components of the near-duplicate relation.

    Returns:
        For each pair the position of the first pair of its group.
    """
    edges: list[tuple[int, int]] = []
    first: dict[Hashable, int] = {}
    index = NearDuplicateIndex(p.identifiers for p in prints)
    for i, p in enumerate(prints):
        keys = {"core": p.core, "renamed": p.renamed, "names": p.identifiers, "run": p.behaviour}
        equal = [first.setdefault(key, i) for key in keys.items() if key[1]]
        edges += [(i, j) for j in equal]
        if first.get(("names", p.identifiers)) == i:
            edges += [(i, j) for j in index.near(p.identifiers)]
            index.add(i, p.identifiers)
    return first_of_components(len(prints), edges)


def first_of_components(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each of `n` nodes the first one that edges connect it to, maybe itself."""
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, firsts = np.unique(labels, return_index=True)
    return [int(i) for i in firsts[labels]]


def overlapping(train: Sequence[Fingerprint], held_out: Sequence[Fingerprint]) -> list[bool]:
    """Return which held-out pairs are in a group of near-duplicates with a training pair."""
    groups = group_near_duplicates([*train, *held_out])
    return [group < len(train) for group in groups[len(train) :]]


COMBINATIONS = "combinations"  # what is held out

# The shares of held-out pairs with a near-duplicate in train, in words for the terminal. Equal
# descriptions that name no task ("write a function") do not make near-duplicates.
LEAKAGE = {
    "core_description": "same description",
    "renamed_code": "same code up to names",
    "near_code": "near-duplicate code",
    "any": "near-duplicate",  # by one of the above
    "code": "identical code",
    "unnamed_task": "same description, too general to name a task",
}


def measure_leakage(
    train: Sequence[Fingerprint], held_out: Sequence[Fingerprint]
) -> dict[str, float]:
    """Measure which shares of a held-out split have a near-duplicate in train.

    Returns:
        Shares (0 to 1) by the keys of `LEAKAGE`.
    """
    index = NearDuplicateIndex(p.identifiers for p in (*train, *held_out))
    for i, bag in enumerate({p.identifiers for p in train}):
        index.add(i, bag)
    cores, trees = {p.core for p in train} - {""}, {p.renamed for p in train} - {""}
    codes, descriptions = {p.code for p in train}, {p.description for p in train} - {""}
    counts: Counter[str] = Counter()
    for p in held_out:
        hits = {
            "core_description": p.core in cores,
            "renamed_code": p.renamed in trees,
            "near_code": any(True for _ in index.near(p.identifiers)),
        }
        counts.update({**hits, "any": any(hits.values()), "code": p.code in codes})
        counts["unnamed_task"] += not p.core and p.description in descriptions
    return {key: counts[key] / max(1, len(held_out)) for key in LEAKAGE}


def leakage_sentence(report: Mapping[str, Any]) -> str:
    """Describe what is held out and how alike test and train are, by a `DataReport.to_dict()`.

    Only the shares above 0 are listed behind their union; the report has all.
    """
    facts = report["facts"]
    shares = {key: share for key, share in facts["leakage"]["test"].items() if share}
    union = percent(shares.pop("any", 0.0))
    general = shares.pop("unnamed_task", 0.0)
    where = f"the first {counted(n, 'pair')} of train" if (n := facts.get("trained")) else "train"
    is_composed = facts["held_out"] == COMBINATIONS
    held = "every combination of the test split is absent from train"
    text = f"held out: {held if is_composed else facts['held_out']}; "
    text += f"test pairs with a near-duplicate in {where}: {union}"
    if parts := [f"{LEAKAGE[key]} {percent(share)}" for key, share in shares.items()]:
        text += f" ({', '.join(parts)})"
    if general:
        text += f"; with the {LEAKAGE['unnamed_task']}: {percent(general)}"
    if is_composed and "near_code" in shares:
        text += "; such code is expected, because test programs recombine known parts"
    return text
