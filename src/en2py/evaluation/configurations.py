"""Group runs to configurations, find the settings that vary, and name configurations by them.

Runs with equal settings but the seed are one configuration.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from en2py.config.run_name import setting, without_seed
from en2py.evaluation.metrics.bleu import Counts
from en2py.evaluation.results import BASELINE, MODEL, Results

REFERENCE = "reference"  # name of the reference row where rows are named by their changes

# Choices that name other choices, or only say where output is written.
_NO_AXES = ("experiment", "logger")
_SHORT = 3  # settings that all stay in the names of rows
_NAMING = ("loss", "embeddings", "model", "data")  # as in names of runs, the most telling last


@dataclass(frozen=True)
class RunMetrics:
    """The metrics of one run or one baseline.

    Attributes:
        name: Name of the run or the baseline.
        kind: `model` or `baseline`.
        seed: None for baselines.
        settings: All settings without the seed, see `run_name.settings`: groups as `loss`, values
            as `loss.label_smoothing`.
        values: Metric to value on the evaluated pairs.
        counts: Metric to counts per pair, `[N, C]`; empty if only values are known.
        validation: Metric to value on the validation split.
        failures: Reason why programs are wrong to the number of programs.
        groups: Bucket to metric to value.
        notes: Remarks for the reader of the results.
        not_comparable: Metrics that cannot be compared with those of the reference row.
        has_other_pairs: Whether its validation and test pairs are not those of the reference row.
        typed: Settings of the command line, which are axes wherever they vary.
        machine: Devices and precision of the training, `cuda (bf16-mixed)`; empty if unknown.
    """

    name: str
    kind: str
    seed: int | None
    settings: Mapping[str, str]
    values: Mapping[str, float]
    counts: Mapping[str, Sequence[Counts]] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    not_comparable: Collection[str] = ()
    has_other_pairs: bool = False
    typed: Collection[str] = ()
    machine: str = ""


def axes(runs: Sequence[RunMetrics]) -> list[str]:
    """Return the settings that vary between models, without those that follow from others.

    A value follows from a choice if it is constant within each choice of its group (`model.d_model`
    within `model`) or each class of its section (`callbacks.samples.n_samples`, of a callback that
    some runs switch off), or if it equals another value in every run (`embeddings.vectors.dim`).
    What was typed on the command line does not follow.
    """
    chosen = {key for run in runs for key in run.typed}
    models = [run.settings for run in runs if run.kind == MODEL]
    keys = dict.fromkeys(key for settings in models for key in settings)
    columns = {key: tuple(settings.get(key, "") for settings in models) for key in keys}
    varied = {key: column for key, column in columns.items() if len(set(column)) > 1}
    groups = [key for key in varied if _is_choice(key) and key not in _NO_AXES]
    found, seen = list(groups), set()
    for key, column in sorted(varied.items(), key=lambda item: item[0] not in chosen):
        if key in found or key in _NO_AXES or (column in seen and key not in chosen):
            continue
        seen.add(column)
        if key in chosen:
            found.append(key)
            continue
        owners = [g for g in groups if key.startswith(f"{g.replace('/', '.')}.")]
        section = f"{key.rpartition('.')[0]}._target_"
        owners += [section] * (section in varied and section != key)
        if not owners or not _follows(column, varied[owners[0]]):
            found.append(key)
    return found


def configurations(runs: Sequence[RunMetrics]) -> list[list[RunMetrics]]:
    """Group runs by settings and sort them by seed; a repeated seed starts a new configuration."""
    found: dict[Hashable, list[dict[int | None, RunMetrics]]] = {}
    for run in runs:
        settings = tuple(sorted(item for item in run.settings.items() if item[0] not in _NO_AXES))
        key = (run.kind, settings, run.name * (run.kind == BASELINE))
        alike = found.setdefault(key, [])
        place = next((seeds for seeds in alike if run.seed not in seeds), None)
        if place is None:
            alike.append(place := {})
        place[run.seed] = run
    groups = [seeds for alike in found.values() for seeds in alike]
    return [[seeds[seed] for seed in sorted(seeds, key=lambda s: s or 0)] for seeds in groups]


def reference_name(runs: Sequence[RunMetrics], varied: Sequence[str] | None = None) -> str:
    """Return the name of the reference row of `make_rows`; empty if there is no model."""
    groups = configurations(runs)
    named = zip(groups, names_of(groups, axes(runs) if varied is None else varied), strict=True)
    return next((name for group, name in named if group[0].kind == MODEL), "")


def fixed(runs: Sequence[RunMetrics]) -> dict[str, str]:
    """Return the settings that all models share, group choices first."""
    models = [run.settings for run in runs if run.kind == MODEL]
    if not models:
        return {}
    shared = {
        key: value
        for key, value in models[0].items()
        if key not in _NO_AXES and all(settings.get(key) == value for settings in models)
    }
    return dict(sorted(shared.items(), key=lambda item: not _is_choice(item[0])))


def _is_choice(key: str) -> bool:
    return "." not in key


def _follows(column: Sequence[str], owner: Sequence[str]) -> bool:
    """Return whether equal choices always have equal values."""
    return len(set(zip(owner, column, strict=True))) == len(set(owner))


def names_of(
    groups: Sequence[Sequence[RunMetrics]],
    varied: Sequence[str],
    base: Mapping[str, str] | None = None,
) -> list[str]:
    """Name rows by their `naming_axes`, or by the changed settings if few of many are changed.

    The latter is for comparisons of the reference with one change at a time, which have as many
    axes as rows. Equal names, from a repeated run, are numbered.
    """
    models = [group[0].settings for group in groups if group[0].kind == MODEL]
    reference = models[0] if base is None and models else base or {}
    changed = [
        [key for key in varied if settings.get(key) != reference.get(key)] for settings in models
    ]
    by_change = len(varied) > _SHORT and 2 * max(map(len, changed), default=0) <= len(varied)
    named = naming_axes(models if base is None else [*models, base], varied)
    shown = iter(changed if by_change else [named] * len(models))
    names: list[str] = []
    for group in groups:
        name = group[0].name
        if group[0].kind == MODEL:
            chosen = [f"{key}={setting(group[0].settings, key)}" for key in next(shown)]
            name = ", ".join(chosen) or (REFERENCE if by_change else without_seed(name))
        names.append(name)
    return numbered(names)


def naming_axes(models: Sequence[Mapping[str, str]], varied: Sequence[str]) -> list[str]:
    """Return the axes that name rows: up to three, else the fewest that distinguish the rows."""

    def n_distinct(keys: Sequence[str]) -> int:
        return len({tuple(setting(settings, key) for key in keys) for settings in models})

    def use(key: str) -> tuple[int, int]:
        return n_distinct([*found, key]), _NAMING.index(key) if key in _NAMING else -1

    found: list[str] = [] if len(varied) > _SHORT else [*varied]
    while n_distinct(found) < n_distinct(varied):
        found.append(max((key for key in varied if key not in found), key=use))
    return [key for key in varied if key in found]


def unnamed_axes(results: Results) -> list[str]:
    """Return the axes that are in no name of a row."""
    if results.reference_row == REFERENCE:
        return []
    named = naming_axes([row.settings for row in results.models], results.axes)
    return [key for key in results.axes if key not in named]


def numbered(names: Sequence[str]) -> list[str]:
    """Number repeated names: `a`, `a (2)`."""
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [f"{name} ({n})" if n > 1 else name for name, n in zip(names, counts, strict=True)]
