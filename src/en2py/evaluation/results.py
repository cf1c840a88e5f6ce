"""What a comparison found: rows of models and baselines, all scored on the same test pairs.

`comparison/` fills it, `results.json` keeps it, the report pages are made from it alone.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

FORMAT = 2


@dataclass(frozen=True)
class Estimate:
    """A metric of a row.

    Attributes:
        value: Of all pairs; of several seeds their mean.
        low: Lower end of the 95 % interval, None where there is too little to tell.
        high: Upper end.
        over: What the interval is over: `seeds` (Student's t) or `clusters` (bootstrap).
        n: Of how many seeds or clusters.
        by_seed: Seed to value, as text; empty for baselines.
        k: For shares: how many of `of`, summed over seeds; None for other metrics.
        of: How many could be asked.
    """

    value: float
    low: float | None
    high: float | None
    over: str
    n: int
    by_seed: dict[str, float] = field(default_factory=dict)
    k: float | None = None
    of: float | None = None


@dataclass(frozen=True)
class Difference:
    """How far a row is from the first row in a metric, paired by seed, or by cluster.

    Attributes:
        value: This row less the first row.
        low: Lower end of the 95 % interval, None where there is too little to tell.
        high: Upper end.
        over: `seeds` or `clusters`.
        is_significant: Whether the interval excludes 0: only then may it be called a difference.
    """

    value: float
    low: float | None
    high: float | None
    over: str
    is_significant: bool


@dataclass(frozen=True)
class ResultRow:
    """One configuration, or one baseline.

    Attributes:
        name: Short and unique in the table.
        kind: `model` or `baseline`.
        settings: What this row chose on the axes that vary; empty for baselines.
        runs: Names of the runs behind it, one a seed.
        figures: Metric to figure, of the test part.
        validation: Metric to figure, of validation, where the runs know it; rows are ranked by
            `nll` here.
        differences: Metric to difference from the reference row; `val/<metric>` is that of
            validation.
        failures: Why programs are wrong, in a few words, to how many (of the first seed).
        groups: Bucket (`seen descriptions`, `new descriptions`) to metric to value.
        notes: What a reader has to know of this row, such as a figure that cannot be compared.
    """

    name: str
    kind: str
    settings: dict[str, str]
    runs: list[str]
    figures: dict[str, Estimate]
    validation: dict[str, Estimate]
    differences: dict[str, Difference]
    failures: dict[str, int]
    groups: dict[str, dict[str, float]]
    notes: list[str]


@dataclass(frozen=True)
class SampleOutput:
    """What one row wrote for a sample.

    Attributes:
        code: The program.
        verdict: One of `exact`, `passes`, `behaves`, `compiles`, `wrong`, `does not compile`.
        detail: For a person: why, with the failing input where one is known.
    """

    code: str
    verdict: str
    detail: str


@dataclass(frozen=True)
class Sample:
    """One test pair with what each row wrote for it (a model's first seed)."""

    id: str
    description: str
    reference: str
    outputs: dict[str, SampleOutput]


@dataclass(frozen=True)
class AttentionSample:
    """Attention weights of one model on one sample, small numbers rounded for the page.

    Attributes:
        row: Name of the model's row.
        sample: Id of the sample.
        labels: `cross`, `encoder`, `decoder` to the labels of rows and columns.
        weights: The same kinds to `[L][H][rows][columns]`.
    """

    row: str
    sample: str
    labels: dict[str, tuple[list[str], list[str]]]
    weights: dict[str, list[list[list[list[float]]]]]


@dataclass(frozen=True)
class Results:
    """All that a report shows.

    Attributes:
        title: What was compared.
        data: Name, part, number of pairs and clusters, split hash, hash of the test pairs.
        axes: The settings that vary between model rows.
        fixed: The settings that all model rows share.
        rows: Model rows ranked by validation NLL, then baselines. Differences are from the first
            model row as it was named by the caller (`reference_row`).
        reference_row: Name of the row that differences are from.
        oracles: How many references could be tested, why the others could not, and the error bars
            of that test; empty where no programs were run.
        samples: Pairs with what each row wrote.
        attention: For the attention pages.
        curves: Run name to rows of its metrics file, for learning curves (`epoch`, `train/nll`,
            `val/nll`); empty for baselines.
        signatures: How metrics were computed.
        versions: Of the packages that made the figures.
    """

    title: str
    data: dict[str, Any]
    axes: list[str]
    fixed: dict[str, str]
    rows: list[ResultRow]
    reference_row: str
    oracles: dict[str, Any]
    samples: list[Sample]
    attention: list[AttentionSample]
    curves: dict[str, list[dict[str, float]]]
    signatures: dict[str, str]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for `results.json`."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Results":
        """Undo `to_dict`, also after a trip through JSON.

        Raises:
            ValueError: If the record is of another format, or a value is not of its type.
        """
        if not isinstance(record, Mapping) or "format" not in record:
            raise ValueError("it names no format")
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']!r}, this version reads {FORMAT}")
        known = {key: value for key, value in record.items() if key != "format"}
        results: Results = _read(known, cls, "")
        return results


_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _read(value: Any, kind: Any, at: str) -> Any:
    """Return a value of JSON as what an annotation says, or raise with the place of the value."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is UnionType:  # X | None
        return None if value is None else _read(value, inner[0], at)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _read_fields(value, kind, at)
    if origin is dict and isinstance(value, Mapping):
        return {key: _read(one, inner[1], f"{at}.{key}") for key, one in value.items()}
    if origin is list and isinstance(value, list):
        return [_read(one, inner[0], f"{at}[{i}]") for i, one in enumerate(value)]
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(inner):
        return tuple(_read(one, of, at) for one, of in zip(value, inner, strict=True))
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind in _WORDS and (type(value) is kind or (kind is float and whole)):
        return value
    wanted = _WORDS.get(kind, "a list" if origin in (list, tuple) else "an object")
    raise ValueError(f"{at.lstrip('.')} is {repr(value)[:60]}, not {wanted}")


def _read_fields(record: Mapping[str, Any], kind: Any, at: str) -> Any:
    hints = get_type_hints(kind)
    needed = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    for name in record:
        if name not in hints:
            raise ValueError(f"{f'{at}.{name}'.lstrip('.')} is not known")
    for name in needed:
        if name not in record:
            raise ValueError(f"{f'{at}.{name}'.lstrip('.')} is missing")
    return kind(**{name: _read(one, hints[name], f"{at}.{name}") for name, one in record.items()})
