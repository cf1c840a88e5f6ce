"""The unit of data, a described program, and the count of what happens to it."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Pair:
    """One English description and the Python code it asks for.

    Attributes:
        id: Stable name, `<source>/<number>`; the same file gives the same ids.
        description: The task in English, one line.
        code: The Python program.
        source: Name of the data source.
        tests: `assert` statements that hold after running `code`; empty where the source has none.
        family: The kind of task (`tasks` source), for counting.
        combination: The primitives that the program combines (`tasks` source); pairs with equal
            combinations stay on one side of the `composition` split.
        split: `train`, `val` or `test` where the source fixes it; empty otherwise.
    """

    id: str
    description: str
    code: str
    source: str
    tests: tuple[str, ...] = ()
    family: str = ""
    combination: str = ""
    split: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Pair":
        """Undo `to_dict`, also after a trip through JSON."""
        return cls(**{**record, "tests": tuple(record["tests"])})


@dataclass
class Step:
    """What one named rule did: pairs (or lines, for a parser) seen, changed and dropped."""

    name: str
    read: int = 0
    changed: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class DataReport:
    """The account of a preparation: every pair that came in is kept, changed or dropped by a name.

    Rules call `read`, `changed` and `dropped`; steps appear in the order of their first call.
    """

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.dropped_ids: dict[str, str] = {}
        self.facts: dict[str, Any] = {}

    def _step(self, rule: str) -> Step:
        return self.steps.setdefault(rule, Step(rule))

    def read(self, rule: str, n: int = 1) -> None:
        """Count `n` items that a rule looked at."""
        self._step(rule).read += n

    def changed(self, rule: str, n: int = 1) -> None:
        """Count `n` items that a rule rewrote."""
        self._step(rule).changed += n

    def dropped(self, rule: str, pair_id: str, reason: str) -> None:
        """Count a pair that a rule removed, and why."""
        step = self._step(rule)
        step.dropped += 1
        step.reasons[reason] += 1
        self.dropped_ids[pair_id] = f"{rule}: {reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for `data_report.json`."""
        steps = [{**asdict(step), "reasons": dict(step.reasons)} for step in self.steps.values()]
        return {"steps": steps, "dropped_ids": self.dropped_ids, "facts": self.facts}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "DataReport":
        """Undo `to_dict`."""
        report = cls()
        for step in record["steps"]:
            report.steps[step["name"]] = Step(**{**step, "reasons": Counter(step["reasons"])})
        report.dropped_ids = dict(record["dropped_ids"])
        report.facts = dict(record["facts"])
        return report
