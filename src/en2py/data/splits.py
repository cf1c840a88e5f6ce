"""Split pairs into train, validation and test, with a hash of the splits and their leakage.

All splits are called alike, `split(pairs, report, prints, *, ratios, seed)`: the pairs, the report
that receives facts and counts, the fingerprints of the pairs where they are known (else they are
computed), the shares of train, validation and test, which add up to 1, and the seed of the draw.

In a mixture of sources validation and test come from the first source alone, split as if there
were no other source; pairs of the other sources join train unless they are in a group with a
held-out pair.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, Field

from en2py.console import counted
from en2py.data.duplicates import (
    COMBINATIONS,
    Fingerprint,
    fingerprint,
    group_near_duplicates,
    measure_leakage,
    without_duplicates,
)
from en2py.data.pairs import SPLITS, DataReport, Pair
from en2py.errors import UserError
from en2py.ranges import Seed


def _shares(ratios: Sequence[float]) -> Sequence[float]:
    if len(ratios) != 3 or abs(sum(ratios) - 1) > 1e-6:
        raise ValueError(
            f"three numbers (train, val, test) that sum to 1; these {len(ratios)} sum to "
            f"{sum(ratios):g}"
        )
    return ratios


Ratios = Annotated[Sequence[Annotated[float, Field(gt=0, lt=1)]], AfterValidator(_shares)]
Prints = Sequence[Fingerprint] | None

OF_THE_SOURCE = "the split of the source"  # what is held out
_MOSTLY = 0.75  # of the pairs asked for are held out, or a warning says so


@dataclass(frozen=True)
class Splits:
    """Three lists of pairs, each in the order of the source.

    Attributes:
        train: Pairs to learn from.
        val: Pairs to choose the best checkpoint by.
        test: Pairs for the final score.
        prints: The fingerprints of the pairs of each split.
        held_out: The unit of the split: no unit is in train and in a held-out split.
    """

    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    prints: dict[str, list[Fingerprint]]
    held_out: str

    def leakage(self, trained: Collection[str] | None = None) -> dict[str, dict[str, float]]:
        """Return for `val` and `test` the shares of `duplicates.measure_leakage`.

        Args:
            trained: Ids of the training pairs that count; None: all.
        """
        prints = [
            print_
            for pair, print_ in zip(self.train, self.prints["train"], strict=True)
            if trained is None or pair.id in trained
        ]
        return {name: measure_leakage(prints, self.prints[name]) for name in SPLITS[1:]}

    @property
    def hash(self) -> str:
        """SHA-256 over ids and texts: equal hashes are equal splits."""
        text = json.dumps(
            [[[p.id, p.description, p.code] for p in getattr(self, name)] for name in SPLITS]
        )
        return hashlib.sha256(text.encode()).hexdigest()


def random_split(
    pairs: Sequence[Pair], report: DataReport, prints: Prints = None, *, ratios: Ratios, seed: Seed
) -> Splits:
    """Shuffle and cut; duplicates stay and leak. Only to reproduce published numbers."""
    draft = _Draft(pairs, report, prints, unique=False)
    main, part = draft.pairs[: draft.n_main], ["train"] * len(pairs)
    order = sorted(range(len(main)), key=lambda i: random_key(main[i].id, seed))
    sizes = _sizes(len(main), ratios, unique=False)
    slots = [name for name in SPLITS for _ in range(sizes[name])]
    for i, name in zip(order, slots, strict=True):
        part[i] = name
    return draft.split(range(len(pairs)), part, "single pairs, also duplicates of others")


def group_split(
    pairs: Sequence[Pair], report: DataReport, prints: Prints = None, *, ratios: Ratios, seed: Seed
) -> Splits:
    """Remove duplicates and keep each group of near-duplicates in one split."""
    return _Draft(pairs, report, prints, unique=True).split_groups(ratios, seed)


def behaviour_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Prints = None,
    *,
    ratios: Ratios,
    seed: Seed,
    signatures: Callable[[Sequence[str]], Mapping[str, str]],
) -> Splits:
    """Split as `group_split` does, and keep programs of equal behaviour in one split too.

    `signatures` maps those programs that can be executed to a text of their behaviour; equal texts
    are equal behaviour. It is an argument, because it executes the programs.
    """
    draft = _Draft(pairs, report, prints, unique=True)
    known = signatures([pair.code for pair in draft.pairs])
    texts = [known.get(pair.code, "") for pair in draft.pairs]
    draft.prints = [replace(p, behaviour=t) for p, t in zip(draft.prints, texts, strict=True)]
    signed = [text for text in texts if text]
    report.facts["behaviour"] = {"pairs": len(signed), "signatures": len(set(signed))}
    return draft.split_groups(ratios, seed)


def composition_split(
    pairs: Sequence[Pair], report: DataReport, prints: Prints = None, *, ratios: Ratios, seed: Seed
) -> Splits:
    """Remove duplicates and hold out combinations of primitives; train keeps every primitive.

    Pairs of a single primitive are always in train. Combinations that share a program (up to its
    names) are held out together, so no test program is in train under another combination.

    Raises:
        UserError: If the source names no combinations or too few to hold some out.
    """
    draft = _Draft(pairs, report, prints, unique=True)
    main = draft.pairs[: draft.n_main]
    if unnamed := [pair for pair in main if not pair.combination]:
        raise UserError(
            f"split=composition needs pairs that name the primitives they combine, but "
            f"'{unnamed[0].id}' of source '{unnamed[0].source}' names none; use split=group"
        )
    combinations = [tuple(sorted(set(pair.combination.split("|")))) for pair in main]
    sizes = _sizes(len(main), ratios)
    part = hold_out_combinations(combinations, [p.renamed for p in draft.prints], sizes, seed)
    for name in SPLITS[1:]:
        if sizes[name] and name not in part:
            raise UserError(
                f"split=composition finds no combination to hold out for {name} among "
                f"{len(set(combinations))} in {len(main)} pairs; take more pairs or split=group"
            )
        if (n := part.count(name)) < _MOSTLY * sizes[name]:
            report.warnings.append(
                f"split=composition holds out {n:,} pairs for {name}, split.ratios={list(ratios)} "
                f"asks for {sizes[name]:,}: train keeps each primitive; take lower ratios"
            )
    held_out = {c for c, name in zip(combinations, part, strict=True) if name != "train"}
    report.facts["combinations"] = {"n": len(set(combinations)), "held_out": len(held_out)}
    # Without train: through it nearly all pairs would be connected to a held-out pair.
    return draft.mix_in(part, SPLITS[1:], COMBINATIONS)


def official_split(
    pairs: Sequence[Pair], report: DataReport, prints: Prints = None, *, ratios: Ratios, seed: Seed
) -> Splits:
    """Take the split that the source fixes; nothing is removed, so that scores can be compared.

    Where the source has no validation split, groups of its train split become one, in the ratio of
    train and validation.

    Raises:
        UserError: If a pair has no split, or no pair is for training or for the test.
    """
    draft = _Draft(pairs, report, prints, unique=False)
    main = draft.pairs[: draft.n_main]
    if unnamed := [pair for pair in main if pair.split not in SPLITS]:
        raise UserError(
            f"split=official needs train, val or test at every pair, but '{unnamed[0].id}' has "
            f"'{unnamed[0].split}': name one file per split, "
            '"data.path={train:FILE,test:FILE}", or the field, data.source.split_field=NAME, or '
            "use split=group"
        )
    part = [pair.split for pair in main]
    for name in ("train", "test"):
        if name not in part:
            raise UserError(
                f"the split of these data has no pair for {name}: name a file for it, "
                '"data.path={train:FILE,test:FILE}", or use split=group'
            )
    report.facts["fixed"] = "val" in part
    if "val" not in part and ratios[1]:
        trained = [i for i, name in enumerate(part) if name == "train"]
        groups = group_near_duplicates([draft.prints[i] for i in trained])
        both, n_groups = ratios[0] + ratios[1], len(set(groups))
        shares = (ratios[0] / both, ratios[1] / both, 0.0)
        cut = _assign([main[i] for i in trained], groups, shares, seed) if n_groups > 1 else []
        if "val" not in cut:
            larger = " or a larger second number in split.ratios" if n_groups > 1 else ""
            raise UserError(
                "these data have no validation pairs, and none can be taken from "
                f"{counted(len(trained), 'training pair')} in {counted(n_groups, 'group')} of "
                "near-duplicates, each in one split: name some, "
                '"data.path={train:FILE,val:FILE,test:FILE}", or take more training pairs'
                f"{larger}"
            )
        for i, name in zip(trained, cut, strict=True):
            part[i] = name
    return draft.mix_in(part, SPLITS, OF_THE_SOURCE)


def numbered_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Prints = None,
    *,
    ratios: Ratios,
    seed: Seed,
    numbers: Mapping[str, tuple[int, int]],
) -> Splits:
    """Split as `official_split` does, by the numbers in the ids of the pairs.

    `numbers` has the first and the last number of each split; other pairs are for training.

    Raises:
        UserError: If a pair has no number.
    """

    def split_of(pair: Pair) -> str:
        number = pair.id.rpartition("/")[2]
        if not number.isdecimal():
            raise UserError(f"this split needs a number in each id, but '{pair.id}' has none")
        inside = (name for name, (a, b) in numbers.items() if a <= int(number) <= b)
        return next(inside, "train")

    named = [replace(pair, split=split_of(pair)) for pair in pairs]
    return official_split(named, report, prints, ratios=ratios, seed=seed)


class _Draft:
    """Pairs to split: first those of the first source, `n_main` of them, then those of the others.

    The report names the first source of a mixture, and counts the duplicates that `unique` drops.
    """

    def __init__(
        self, pairs: Sequence[Pair], report: DataReport, prints: Prints, *, unique: bool
    ) -> None:
        if not pairs:
            raise UserError("there is no pair to split")
        first = report.facts.get("mixture: main source", pairs[0].source)
        prints = [fingerprint(pair) for pair in pairs] if prints is None else prints
        order = sorted(range(len(pairs)), key=lambda i: pairs[i].source != first)
        self.pairs, self.prints = [pairs[i] for i in order], [prints[i] for i in order]
        if unique:
            kept = without_duplicates(self.pairs, self.prints, report)
            self.pairs, self.prints = [self.pairs[i] for i in kept], [self.prints[i] for i in kept]
        self.n_main = sum(pair.source == first for pair in self.pairs)
        if not self.n_main:
            raise UserError(
                f"no pair of the first source '{first}' is left to validate and test on"
            )
        self.report = report

    def split_groups(self, ratios: Ratios, seed: int) -> Splits:
        """Split groups of near-duplicates, and assert that no held-out pair leaks."""
        groups = group_near_duplicates(self.prints[: self.n_main])
        part = _assign(self.pairs[: self.n_main], groups, ratios, seed)
        sizes = Counter(groups).values()
        self.report.facts["groups"] = {"n": len(sizes), "largest": max(sizes)}
        splits = self.mix_in(part, SPLITS, "groups of near-duplicates")
        leakage = splits.leakage()
        assert not any(shares["any"] for shares in leakage.values()), leakage
        return splits

    def mix_in(self, part: Sequence[str], linked: Sequence[str], held_out: str) -> Splits:
        """Add other sources to train, without the pairs in a group with a held-out pair.

        Only pairs of the `linked` splits of the first source may connect pairs to a group.
        """
        n = len(self.pairs)
        parts, leaking = [*part, *["train"] * (n - self.n_main)], set[int]()
        if n > self.n_main:
            self.report.read("mixed_in", n - self.n_main)
            nodes = [i for i in range(n) if i >= self.n_main or part[i] in linked]
            groups = group_near_duplicates([self.prints[i] for i in nodes])
            group = dict(zip(nodes, groups, strict=True))
            held_out_groups = {group[i] for i in nodes if parts[i] != "train"}
            leaking = {i for i in range(self.n_main, n) if group[i] in held_out_groups}
            for i in sorted(leaking):
                reason = "in a group with a validation or test pair"
                self.report.dropped("mixed_in", self.pairs[i].id, reason)
        return self.split([i for i in range(n) if i not in leaking], parts, held_out)

    def split(self, kept: Iterable[int], part: Sequence[str], held_out: str) -> Splits:
        """Collect the kept pairs of each split."""
        places = {name: [i for i in kept if part[i] == name] for name in SPLITS}
        prints = {name: [self.prints[i] for i in places[name]] for name in SPLITS}
        lists = {name: [self.pairs[i] for i in places[name]] for name in SPLITS}
        return Splits(**lists, prints=prints, held_out=held_out)


def _sizes(n: int, ratios: Sequence[float], *, unique: bool = True) -> dict[str, int]:
    """Convert ratios to numbers of pairs; a split with a positive ratio gets at least one."""
    val, test = (max(1, round(n * ratio)) if ratio else 0 for ratio in ratios[1:])
    if val + test >= n:
        count = "1 pair is" if n == 1 else f"{n} pairs are"
        once = ", equal ones counted once" if unique else ""
        raise UserError(f"{count} too few to split by {list(ratios)}{once}; take more data")
    return {"train": n - val - test, "val": val, "test": test}


def _assign(
    pairs: Sequence[Pair], groups: Sequence[int], ratios: Sequence[float], seed: int
) -> list[str]:
    """Assign whole groups to splits at random.

    The key of a group depends on the ids of its pairs, not on the other groups. So other cleaning
    rules, which drop a few other pairs, leave nearly all pairs in their split, and two runs can be
    compared on the test pairs that they share.
    """
    free = _sizes(len(groups), ratios)
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    keys = {g: min(random_key(pairs[i].id, seed) for i in places) for g, places in members.items()}
    part = [""] * len(groups)
    for group in sorted(members, key=keys.__getitem__):
        size = len(members[group])
        name = next((name for name in reversed(SPLITS) if free[name] >= size), "train")
        free[name] -= size
        for i in members[group]:
            part[i] = name
    return part


def random_key(pair_id: str, seed: int) -> str:
    """Compute a deterministic pseudo-random key of a pair, uniform over pairs and seeds."""
    return hashlib.sha256(f"{seed} {pair_id}".encode("utf-8", "surrogatepass")).hexdigest()


def hold_out_combinations(
    combinations: Sequence[tuple[str, ...]],
    programs: Sequence[str],
    sizes: Mapping[str, int],
    seed: int,
) -> list[str]:
    """Choose combinations for validation and test while train keeps every primitive.

    Combinations that share a program, up to its names, stay together.

    Returns:
        The split of each pair.
    """
    free = {name: n for name, n in sizes.items() if name != "train"}
    group = _combinations_by_program(combinations, programs)
    members: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for combination, number in group.items():
        members[number].add(combination)
    size = Counter(combinations)
    trained = Counter(primitive for combination in size for primitive in combination)
    rng = random.Random(seed)
    order = sorted(members)
    rng.shuffle(order)
    part: dict[int, str] = {}
    for number in order:
        if any(len(combination) == 1 for combination in members[number]):
            continue
        loss = Counter(primitive for combination in members[number] for primitive in combination)
        if any(trained[primitive] <= n for primitive, n in loss.items()):
            continue
        n = sum(size[combination] for combination in members[number])
        if fitting := [name for name in free if free[name] >= n]:
            name = rng.choices(fitting, [free[name] for name in fitting])[0]
            part[number] = name
            free[name] -= n
            trained.subtract(loss)
    return [part.get(group[combination], "train") for combination in combinations]


def _combinations_by_program(
    combinations: Sequence[tuple[str, ...]], programs: Sequence[str]
) -> dict[tuple[str, ...], int]:
    """Number the combinations; those that share a program get the same number."""
    group = {combination: i for i, combination in enumerate(dict.fromkeys(combinations))}
    owner: dict[str, tuple[str, ...]] = {}
    for combination, program in zip(combinations, programs[: len(combinations)], strict=True):
        first = owner.setdefault(program, combination) if program else combination
        if group[first] != group[combination]:
            old, new = group[combination], group[first]
            group = {c: new if number == old else number for c, number in group.items()}
    return group
