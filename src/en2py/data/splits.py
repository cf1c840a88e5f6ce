"""Cut pairs into train, validation and test, each split with a hash and its leakage measured.

In a mixture of sources validation and test come from the first source alone, cut exactly as if it
stood alone; pairs of the other sources join train unless they give a held-out pair away.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from en2py.data.duplicates import (
    Fingerprint,
    fingerprint,
    first_of_duplicates,
    group_twins,
    leakage_of,
)
from en2py.data.pairs import DataReport, Pair
from en2py.errors import UserError

NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """Three lists of pairs, each in the order in which the source gave them.

    Attributes:
        train: Pairs to learn from.
        val: Pairs to choose the best checkpoint by.
        test: Pairs for the final score.
        leakage: For `val` and `test` the shares that train gives away, see `duplicates.leakage`.
    """

    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    leakage: dict[str, dict[str, float]]

    @property
    def hash(self) -> str:
        """SHA-256 over ids and texts: equal hashes are equal splits."""
        text = json.dumps(
            [[[p.id, p.description, p.code] for p in getattr(self, name)] for name in NAMES]
        )
        return hashlib.sha256(text.encode()).hexdigest()


def random_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None = None,
    *,
    ratios: Sequence[float],
    seed: int,
) -> Splits:
    """Shuffle and cut; duplicates stay and leak. Only to reproduce published numbers.

    Args:
        pairs: All pairs.
        report: Takes the facts.
        prints: The fingerprints of the pairs where they are known; else they are made here.
        ratios: Shares of train, validation and test; they add up to 1.
        seed: Of the shuffle.
    """
    main, others, prints = _sources(pairs, report, prints, unique=False)
    sizes = _sizes(len(main), ratios)
    order = sorted(range(len(main)), key=lambda i: _lot(main[i].id, seed))
    part = [""] * len(main)
    slots = [name for name in NAMES for _ in range(sizes[name])]
    for i, name in zip(order, slots, strict=True):
        part[i] = name
    return _finish([*main, *others], [*part, *["train"] * len(others)], prints)


def group_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None = None,
    *,
    ratios: Sequence[float],
    seed: int,
) -> Splits:
    """Remove duplicates and keep twins, and twins of twins, on one side.

    Args:
        pairs: All pairs.
        report: Counts what is dropped.
        prints: The fingerprints of the pairs where they are known; else they are made here.
        ratios: Shares of train, validation and test; they add up to 1.
        seed: Decides which group goes where.
    """
    return _split_groups(*_sources(pairs, report, prints, unique=True), report, ratios, seed)


def behaviour_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None = None,
    *,
    ratios: Sequence[float],
    seed: int,
    signatures: Callable[[Sequence[str]], Mapping[str, str]],
) -> Splits:
    """Split as `group_split` does, and keep programs that behave alike on one side too.

    Args:
        pairs: All pairs.
        report: Counts what is dropped.
        prints: The fingerprints of the pairs where they are known; else they are made here.
        ratios: Shares of train, validation and test; they add up to 1.
        seed: Decides which group goes where.
        signatures: Maps programs to what they do, those that can be watched: equal texts are equal
            behaviour. Programs have to run for that, so it is handed in.
    """
    main, others, prints = _sources(pairs, report, prints, unique=True)
    ordered = [*main, *others]
    known = signatures([pair.code for pair in ordered])
    found = [known.get(pair.code, "") for pair in ordered]
    prints = [replace(own, behaviour=text) for own, text in zip(prints, found, strict=True)]
    signed = [text for text in found if text]
    report.facts["behaviour"] = {"pairs": len(signed), "signatures": len(set(signed))}
    return _split_groups(main, others, prints, report, ratios, seed)


def _split_groups(
    main: Sequence[Pair],
    others: Sequence[Pair],
    prints: Sequence[Fingerprint],
    report: DataReport,
    ratios: Sequence[float],
    seed: int,
) -> Splits:
    groups = group_twins(prints[: len(main)])
    part = _assign(main, groups, ratios, seed)
    report.facts["groups"] = {"n": len(set(groups)), "largest": max(Counter(groups).values())}
    return _mix_in(main, part, others, prints, report, bridges=NAMES)


def composition_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None = None,
    *,
    ratios: Sequence[float],
    seed: int,
) -> Splits:
    """Remove duplicates and hold out combinations of primitives, each primitive being trained.

    Pairs of a single primitive are always trained on. Combinations that share a program (up to its
    names) are held out together, so no test program occurs in train under another label.

    Args:
        pairs: All pairs; those of the first source name their combination.
        report: Counts what is dropped.
        prints: The fingerprints of the pairs where they are known; else they are made here.
        ratios: Shares of train, validation and test; they add up to 1.
        seed: Decides which combinations are held out.

    Raises:
        UserError: If the source names no combinations or too few to hold some out.
    """
    main, others, prints = _sources(pairs, report, prints, unique=True)
    if bare := [pair for pair in main if not pair.combination]:
        raise UserError(
            f"split=composition needs pairs that name the primitives they combine, but "
            f"'{bare[0].id}' of source '{bare[0].source}' names none; use split=group"
        )
    combinations = [tuple(sorted(set(pair.combination.split("|")))) for pair in main]
    room = _sizes(len(main), ratios)
    part = hold_out(combinations, [p.renamed for p in prints], room, seed)
    for name in NAMES[1:]:
        if _sizes(len(main), ratios)[name] and name not in part:
            raise UserError(
                f"split=composition finds no combination to hold out for {name} among "
                f"{len(set(combinations))} in {len(main)} pairs; take more pairs or split=group"
            )
    held_out = {c for c, name in zip(combinations, part, strict=True) if name != "train"}
    report.facts["combinations"] = {"n": len(set(combinations)), "held_out": len(held_out)}
    # Bridges through train would count all that resembles trained pairs as held out.
    return _mix_in(main, part, others, prints, report, bridges=NAMES[1:])


def official_split(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None = None,
    *,
    ratios: Sequence[float],
    seed: int,
) -> Splits:
    """Take the split that the source fixes; nothing is removed, so that scores can be compared.

    Args:
        pairs: All pairs; those of the first source name their split.
        report: Takes the facts.
        prints: The fingerprints of the pairs where they are known; else they are made here.
        ratios: Used where the source has no validation split: groups of its train split, in the
            ratio of train and validation, become one.
        seed: Of that cut.

    Raises:
        UserError: If a pair has no split.
    """
    main, others, prints = _sources(pairs, report, prints, unique=False)
    if bare := [pair for pair in main if pair.split not in NAMES]:
        raise UserError(
            f"split=official needs train, val or test at every pair, but '{bare[0].id}' has "
            f"'{bare[0].split}'; use split=group"
        )
    part = [pair.split for pair in main]
    _sizes(len(main), ratios)  # refuses wrong ratios
    if "val" not in part and ratios[1]:
        trained = [i for i, name in enumerate(part) if name == "train"]
        groups = group_twins([prints[i] for i in trained])
        whole = ratios[0] + ratios[1]
        owners = [main[i] for i in trained]
        cut = _assign(owners, groups, (ratios[0] / whole, ratios[1] / whole, 0.0), seed)
        for i, name in zip(trained, cut, strict=True):
            part[i] = name
    return _mix_in(main, part, others, prints, report, bridges=NAMES)


def _sources(
    pairs: Sequence[Pair],
    report: DataReport,
    prints: Sequence[Fingerprint] | None,
    unique: bool,
) -> tuple[list[Pair], list[Pair], list[Fingerprint]]:
    """Tell the first source's pairs from those mixed in; with the fingerprints of both, in order.

    Args:
        pairs: All pairs.
        report: Names the first source of a mixture; counts the duplicates.
        prints: The fingerprints where they are known.
        unique: Whether to remove duplicates.
    """
    if not pairs:
        raise UserError("there is no pair to split")
    first = report.facts.get("mixture: main source", pairs[0].source)
    prints = [fingerprint(pair) for pair in pairs] if prints is None else prints
    order = sorted(range(len(pairs)), key=lambda i: pairs[i].source != first)
    ordered, prints = [pairs[i] for i in order], [prints[i] for i in order]
    if unique:
        kept = first_of_duplicates(ordered, prints, report)
        ordered, prints = [ordered[i] for i in kept], [prints[i] for i in kept]
    main = [pair for pair in ordered if pair.source == first]
    if not main:
        raise UserError(f"no pair of the first source '{first}' is left to validate and test on")
    return main, ordered[len(main) :], prints


def _sizes(n: int, ratios: Sequence[float]) -> dict[str, int]:
    """Turn ratios into numbers of pairs; a split that is asked for gets at least one."""
    if len(ratios) != 3 or min(ratios) < 0 or ratios[0] == 0 or abs(sum(ratios) - 1) > 1e-6:
        raise UserError(
            f"split.ratios {list(ratios)} are not the shares of train, validation and test; "
            "give three numbers that add up to 1, such as [0.7, 0.15, 0.15]"
        )
    val, test = (max(1, round(n * ratio)) if ratio else 0 for ratio in ratios[1:])
    if val + test >= n:
        raise UserError(f"{n} pairs are too few to split by {list(ratios)}; take more data")
    return {"train": n - val - test, "val": val, "test": test}


def _assign(
    pairs: Sequence[Pair], groups: Sequence[int], ratios: Sequence[float], seed: int
) -> list[str]:
    """Give whole groups to splits at random.

    A group's place depends on its pairs' ids, not on what else is there. So other cleaning rules,
    which drop a few other pairs, leave nearly all pairs in the split where they were, and such runs
    can be compared on the test pairs that they share.
    """
    room = _sizes(len(groups), ratios)
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    lot = {group: min(_lot(pairs[i].id, seed) for i in own) for group, own in members.items()}
    part = [""] * len(groups)
    for group in sorted(members, key=lot.__getitem__):
        size = len(members[group])
        name = next((name for name in reversed(NAMES) if room[name] >= size), "train")
        room[name] -= size
        for i in members[group]:
            part[i] = name
    return part


def _lot(pair_id: str, seed: int) -> str:
    """Draw a lot for a pair: uniform over pairs and seeds, the same wherever it is drawn."""
    return hashlib.sha256(f"{seed} {pair_id}".encode("utf-8", "surrogatepass")).hexdigest()


def _mix_in(
    main: Sequence[Pair],
    part: Sequence[str],
    others: Sequence[Pair],
    prints: Sequence[Fingerprint],
    report: DataReport,
    bridges: Sequence[str],
) -> Splits:
    """Add other sources to train, without the pairs in a group with a held-out pair.

    Args:
        main: The first source.
        part: Its split, pair by pair.
        others: The pairs to mix in.
        prints: Fingerprints of both.
        report: Counts what is dropped.
        bridges: The splits of the first source through which groups are closed.
    """
    if not others:
        return _finish(main, part, prints)
    report.read("mixed_in", len(others))
    linked = [i for i, name in enumerate(part) if name in bridges]
    linked += range(len(main), len(prints))
    group = dict(zip(linked, group_twins([prints[i] for i in linked]), strict=True))
    held_out = {group[i] for i in linked if i < len(main) and part[i] != "train"}
    kept = list(range(len(main)))
    for i, pair in enumerate(others, start=len(main)):
        if group[i] in held_out:
            report.dropped("mixed_in", pair.id, "in a group with a validation or test pair")
        else:
            kept.append(i)
    everything = [*main, *others]
    return _finish(
        [everything[i] for i in kept],
        [part[i] if i < len(main) else "train" for i in kept],
        [prints[i] for i in kept],
    )


def _finish(pairs: Sequence[Pair], part: Sequence[str], prints: Sequence[Fingerprint]) -> Splits:
    """Measure the leakage and hand the splits out."""
    split: dict[str, list[Pair]] = {name: [] for name in NAMES}
    split_prints: dict[str, list[Fingerprint]] = {name: [] for name in NAMES}
    for pair, name, print_ in zip(pairs, part, prints, strict=True):
        split[name].append(pair)
        split_prints[name].append(print_)
    leaks = {name: leakage_of(split_prints["train"], split_prints[name]) for name in NAMES[1:]}
    return Splits(**split, leakage=leaks)


def hold_out(
    combinations: Sequence[tuple[str, ...]],
    programs: Sequence[str],
    sizes: Mapping[str, int],
    seed: int,
) -> list[str]:
    """Choose combinations for validation and test while train keeps every primitive.

    Args:
        combinations: The primitives of each pair.
        programs: The program of each pair up to its names; combinations that share one stay
            together.
        sizes: Pairs of each split.
        seed: Decides which combinations are held out.

    Returns:
        The split of each pair.
    """
    room = {name: n for name, n in sizes.items() if name != "train"}
    unit = _units(combinations, programs)
    members: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for combination, number in unit.items():
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
        if name := _draw(rng, room, n):
            part[number] = name
            room[name] -= n
            trained.subtract(loss)
    return [part.get(unit[combination], "train") for combination in combinations]


def _units(
    combinations: Sequence[tuple[str, ...]], programs: Sequence[str]
) -> dict[tuple[str, ...], int]:
    """Number the combinations, those that share a program alike."""
    unit = {combination: i for i, combination in enumerate(dict.fromkeys(combinations))}
    owner: dict[str, tuple[str, ...]] = {}
    for combination, program in zip(combinations, programs[: len(combinations)], strict=True):
        first = owner.setdefault(program, combination) if program else combination
        if unit[first] != unit[combination]:
            old, new = unit[combination], unit[first]
            unit = {c: new if number == old else number for c, number in unit.items()}
    return unit


def _draw(rng: random.Random, room: dict[str, int], size: int) -> str:
    """Choose a split with room for `size` pairs, by how much it has; empty where none has."""
    fitting = [name for name in room if room[name] >= size]
    return rng.choices(fitting, [room[name] for name in fitting])[0] if fitting else ""
