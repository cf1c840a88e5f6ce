"""Mix several sources; validation and test come from the first (see `en2py.data.splits`)."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from en2py.data.pairs import DataReport, Pair
from en2py.errors import UserError


def read_mixture(
    report: DataReport, *, sources: Mapping[str, Callable[[DataReport], list[Pair]]]
) -> list[Pair]:
    """Read sources one after the other.

    The key of a source becomes `source` of its pairs and the first part of their ids, so ids stay
    unique if one reader is used twice (two files read by `read_file`).

    Args:
        report: Receives the counts of every source.
        sources: Readers by name; the first is the main one.

    Raises:
        UserError: If there is no source, or a source cannot read its file.
    """
    if not sources:
        raise UserError("data.source.sources is empty; a mixture needs a source, the main one")
    pairs: list[Pair] = []
    for name, source in sources.items():
        source_report = DataReport()
        try:
            taken = source(source_report)
        except UserError as error:  # its remedy names a key of a source that is read alone
            own_keys = f"data.source.sources.{name}."
            raise UserError(str(error).replace("data.source.", own_keys)) from None
        pairs += [replace(pair, id=_own_id(name, pair.id), source=name) for pair in taken]
        _merge(report, name, source_report)
        report.read(f"mixture: {name}", len(taken))
    report.facts["mixture: main source"] = next(iter(sources))
    return pairs


def _own_id(name: str, pair_id: str) -> str:
    """Replace the first part of an id by the name of the source."""
    return f"{name}/{pair_id.partition('/')[2] or pair_id}"


def _merge(report: DataReport, name: str, source_report: DataReport) -> None:
    """Add the counts of one source, under names that start with the source."""
    for rule, step in source_report.steps.items():
        rule = _own_rule(name, rule)
        report.read(rule, step.read, changed=step.changed)
        taken = report.steps[rule]
        taken.dropped += step.dropped
        taken.reasons.update(step.reasons)
    report.dropped_ids |= {
        _own_id(name, pair_id): why for pair_id, why in source_report.dropped_ids.items()
    }
    report.warnings += source_report.warnings
    report.facts |= {_own_rule(name, fact): value for fact, value in source_report.facts.items()}


def _own_rule(name: str, rule: str) -> str:
    return f"{name}: {rule.partition(': ')[2] or rule}"
