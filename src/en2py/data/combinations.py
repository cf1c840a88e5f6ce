"""Which combinations of primitives are held out, so that each primitive is still trained."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence


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
