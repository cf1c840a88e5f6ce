"""Pairs of description and program, and the report that counts how they are processed."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Pair:
    """An English description and its Python program.

    Attributes:
        id: Stable name, `<source>/<number>`; the same file has the same ids.
        description: The task in English, one line.
        code: The Python program.
        source: Name of the data source.
        tests: `assert` statements that pass after `code` has run; empty if the source has none.
        family: The kind of generated task (`tasks` source). Empty for pairs that people wrote:
            only those have an author, and tests that were not made by running their code.
        combination: The primitives that the program combines (`tasks` source); the `composition`
            split keeps pairs with equal combinations in one split.
        split: `train`, `val` or `test` if the source fixes it; empty otherwise.
    """

    id: str
    description: str
    code: str
    source: str
    tests: tuple[str, ...] = ()
    family: str = ""
    combination: str = ""
    split: str = ""

    @property
    def content(self) -> tuple[Any, ...]:
        """Return all that a digest of compared pairs is of: id, texts, and tests if it has any.

        Tests that a machine made follow from the program.
        """
        tests = () if self.family or not self.tests else (self.tests,)
        return self.id, self.description, self.code, *tests


def evenly_spaced(n: int, n_samples: int) -> list[int]:
    """Return up to `n_samples` indices below `n`, evenly spaced, starting at 0."""
    n_samples = min(n, n_samples)
    return [i * n // n_samples for i in range(n_samples)]


@dataclass
class RuleCounts:
    """Counts of one rule: pairs (or lines, in a parser) read, changed and dropped."""

    name: str
    read: int = 0
    changed: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class DataReport:
    """Counts of a preparation: every pair is kept, changed or dropped by a named rule.

    Rules call `read`, `changed` and `dropped`; steps are in the order of their first call.
    `warnings` are sentences about data that are probably not what the user expects.
    """

    steps: dict[str, RuleCounts] = field(default_factory=dict)
    dropped_ids: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def _step(self, rule: str) -> RuleCounts:
        return self.steps.setdefault(rule, RuleCounts(rule))

    def read(self, rule: str, n: int = 1, *, changed: int = 0) -> None:
        """Count `n` items that a rule read, and how many of them it changed."""
        step = self._step(rule)
        step.read += n
        step.changed += changed

    def changed(self, rule: str) -> None:
        """Count an item that a rule changed."""
        self._step(rule).changed += 1

    def dropped(self, rule: str, pair_id: str, reason: str) -> None:
        """Count a pair that a rule dropped, and the reason."""
        step = self._step(rule)
        step.dropped += 1
        step.reasons[reason] += 1
        self.dropped_ids[pair_id] = f"{rule}: {reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for `data_report.json`."""
        steps = [{**asdict(step), "reasons": dict(step.reasons)} for step in self.steps.values()]
        return {**vars(self), "steps": steps}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "DataReport":
        """Create from `to_dict`."""
        rows = ({**step, "reasons": Counter(step["reasons"])} for step in record["steps"])
        return cls(**{**record, "steps": {row["name"]: RuleCounts(**row) for row in rows}})
