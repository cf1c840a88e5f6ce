"""Which pairs are the same task or nearly the same answer: keys, groups, and leakage.

Three keys make two pairs twins: the same core description, the same syntax tree with names made
equal, and near-duplicate code (Allamanis, 2019, "The adverse effects of code duplication": Jaccard
similarity of the identifiers at least 0.8 as sets and 0.7 as multisets).
"""

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from en2py.data.pairs import DataReport, Pair
from en2py.data.syntax import names, parse, trees_and_names

# Words that ask for a program without saying which; what is left is the core of a description.
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

# Fewer distinct names say too little: `print(x)` is not a twin of every other `print(x)`.
MIN_IDENTIFIERS = 3


def description_key(description: str) -> str:
    """Return the words of a description without case, numbers and punctuation."""
    return " ".join(WORD.findall(description.lower()))


def core_description(description: str) -> str:
    """Return the words that say which task it is; empty where none does."""
    return " ".join(word for word in WORD.findall(description.lower()) if word not in TASK_WORDS)


def identifiers(code: str) -> Counter[str]:
    """Count the names in a program, keywords and words inside strings aside.

    Names are read from the syntax tree, so that every Python version sees those in f-strings;
    from the text where there is no tree.
    """
    tree = parse(code)
    return Counter(IDENTIFIER.findall(code) if tree is None else names(tree))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of a pair; an empty text compares with nothing.

    `behaviour` is filled by `behaviour_split` alone.
    """

    description: str
    core: str
    answer: str
    renamed: str
    identifiers: tuple[tuple[str, int], ...]
    behaviour: str = ""


def fingerprint(pair: Pair) -> Fingerprint:
    """Compute the keys of a pair; code that does not parse is compared by its words."""
    text, renamed, found = trees_and_names(pair.code)
    counts = Counter(IDENTIFIER.findall(pair.code) if found is None else found)
    return Fingerprint(
        description=description_key(pair.description),
        core=core_description(pair.description),
        answer=_digest(text or " ".join(pair.code.split())),
        renamed=_digest(renamed or ""),
        identifiers=tuple(sorted(counts.items())) if len(counts) >= MIN_IDENTIFIERS else (),
    )


def _digest(text: str) -> str:
    """Shorten a text, so that 100,000 trees fit into memory; the empty text stays empty."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    return digest.hexdigest() if text else ""


class NearCode:
    """An index that answers exactly which bags of identifiers are near a given one.

    Two sets with Jaccard similarity >= 0.8 must share one of the rarest names of each: it is enough
    to look up a prefix of each set, rarest first (prefix filter; Bayardo et al., 2007), among the
    sets that are no more than a quarter larger or a fifth smaller (length filter).

    Args:
        bags: All bags that will be added or asked for: they tell which names are rare.
    """

    def __init__(self, bags: Iterable[Sequence[tuple[str, int]]]) -> None:
        seen = Counter(name for bag in bags for name, _ in bag)
        self._rank = {
            name: rank for rank, name in enumerate(sorted(seen, key=lambda n: (seen[n], n)))
        }
        self._bags: list[tuple[int, dict[int, int], int]] = []  # (owner, counts, size)
        self._known: set[tuple[tuple[int, int], ...]] = set()
        # By name and size of the set, then by group: slots in `_bags`.
        self._postings: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)

    def _encode(self, bag: Sequence[tuple[str, int]]) -> dict[int, int]:
        return dict(sorted((self._rank[name], count) for name, count in bag))

    def add(self, owner: int, bag: Sequence[tuple[str, int]], group: int = 0) -> None:
        """Put a bag into the index; of several equal bags the first owner stands for all.

        Args:
            owner: Whose bag it is.
            bag: The bag.
            group: What `near` is asked to leave out in one go.
        """
        counts = self._encode(bag)
        if not counts or (key := tuple(counts.items())) in self._known:
            return
        self._known.add(key)
        for rank in _prefix(counts):
            self._postings[rank, len(counts)].setdefault(group, []).append(len(self._bags))
        self._bags.append((owner, counts, sum(counts.values())))

    def near(
        self, bag: Sequence[tuple[str, int]], skip: Callable[[int], bool] | None = None
    ) -> Iterator[int]:
        """Yield the owners of all near bags, equal ones too.

        Args:
            bag: The bag to compare.
            skip: Groups that need not be compared, asked anew after each owner.
        """
        counts = self._encode(bag)
        n, size = len(counts), sum(counts.values())
        tried: set[int] = set()
        lengths = range((4 * n + 4) // 5, 5 * n // 4 + 1)
        for key in itertools.product(_prefix(counts), lengths):
            for group, slots in self._postings.get(key, {}).items():
                if skip is not None and skip(group):
                    continue
                for slot in slots:
                    if slot in tried:
                        continue
                    tried.add(slot)
                    owner, other, other_size = self._bags[slot]
                    if _is_near(counts, size, other, other_size):
                        yield owner
                        if skip is not None and skip(group):
                            break


def _prefix(counts: dict[int, int]) -> list[int]:
    """Return the rarest names of a set, as many as a set at Jaccard >= 0.8 cannot miss all of."""
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


def first_of_duplicates(
    pairs: Sequence[Pair], prints: Sequence[Fingerprint], report: DataReport
) -> list[int]:
    """Keep the first of the pairs that say the same and have the same syntax tree.

    "The same" is the description's words, whatever their case, numbers and punctuation. Other
    descriptions of the same program stay: they are paraphrases.

    Args:
        pairs: All pairs.
        prints: Their fingerprints.
        report: Counts the others as dropped.

    Returns:
        The positions of the pairs to keep.
    """
    kept = []
    seen: set[tuple[str, str]] = set()
    texts: set[tuple[str, str]] = set()
    report.read("duplicates", len(pairs))
    for i, (pair, print_) in enumerate(zip(pairs, prints, strict=True)):
        key = (print_.description, print_.answer)
        if key not in seen:
            seen.add(key)
            texts.add((pair.description, pair.code))
            kept.append(i)
        elif (pair.description, pair.code) in texts:
            report.dropped("duplicates", pair.id, "same description and code")
        else:
            report.dropped("duplicates", pair.id, "same words and syntax tree")
    return kept


def group_twins(prints: Sequence[Fingerprint]) -> list[int]:
    """Join twins of twins into groups.

    Args:
        prints: One fingerprint per pair.

    Returns:
        For each pair the position of the first pair of its group.
    """
    parent = list(range(len(prints)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        first, second = sorted((root(i), root(j)))
        parent[second] = first  # so a root is always the first of its group

    for keys in (
        [p.core for p in prints],
        [p.renamed for p in prints],
        [p.identifiers for p in prints],
        [p.behaviour for p in prints],
    ):
        first: dict[object, int] = {}
        for i, key in enumerate(keys):
            if key:
                join(i, first.setdefault(key, i))
    index = NearCode(p.identifiers for p in prints)
    for i, p in enumerate(prints):
        for j in index.near(p.identifiers, skip=lambda j, i=i: root(i) == root(j)):  # type: ignore[misc]
            join(i, j)
        index.add(i, p.identifiers, group=root(i))  # groups grow together, they never part
    return [root(i) for i in range(len(prints))]


def leakage(train: Sequence[Pair], test: Sequence[Pair]) -> dict[str, float]:
    """Measure how much of a test split training has given away.

    Args:
        train: Training pairs.
        test: Test (or validation) pairs.

    Returns:
        Shares (0 to 1) of the test pairs with a twin in train: by `core_description`,
        `renamed_ast`, `near_code`, by `any` of the three; and with the very `answer`.
    """
    return leakage_of([fingerprint(p) for p in train], [fingerprint(p) for p in test])


def leakage_of(known: Sequence[Fingerprint], asked: Sequence[Fingerprint]) -> dict[str, float]:
    """Do the work of `leakage` on fingerprints that are there already."""
    index = NearCode(p.identifiers for p in (*known, *asked))
    for i, p in enumerate(known):
        index.add(i, p.identifiers)
    cores, trees = {p.core for p in known} - {""}, {p.renamed for p in known} - {""}
    answers = {p.answer for p in known}
    found: Counter[str] = Counter()
    for p in asked:
        hits = {
            "core_description": p.core in cores,
            "renamed_ast": p.renamed in trees,
            "near_code": any(True for _ in index.near(p.identifiers)),
        }
        found.update({**hits, "any": any(hits.values()), "answer": p.answer in answers})
    names = ("core_description", "renamed_ast", "near_code", "any", "answer")
    return {name: found[name] / max(1, len(asked)) for name in names}
