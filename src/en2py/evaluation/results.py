"""What a comparison found: rows of models and baselines, all scored on the same test pairs.

`comparison.py` fills it, `results.json` keeps it, the report pages are made from it alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Figure:
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
        is_one: Whether the interval excludes 0: only then may it be called a difference.
    """

    value: float
    low: float | None
    high: float | None
    over: str
    is_one: bool


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
    figures: dict[str, Figure]
    validation: dict[str, Figure]
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
            ValueError: If the record is of another format.
        """
        if record.get("format") != FORMAT:
            raise ValueError(f"results of format {record.get('format')}, not {FORMAT}")
        fields = {key: value for key, value in record.items() if key != "format"}
        return cls(
            **{
                **fields,
                "rows": [_row(row) for row in fields["rows"]],
                "samples": [_sample(sample) for sample in fields["samples"]],
                "attention": [_attention(item) for item in fields["attention"]],
            }
        )


def _row(record: Mapping[str, Any]) -> ResultRow:
    figures = {
        key: {name: Figure(**figure) for name, figure in record[key].items()}
        for key in ("figures", "validation")
    }
    differences = {name: Difference(**one) for name, one in record["differences"].items()}
    return ResultRow(**{**record, **figures, "differences": differences})


def _sample(record: Mapping[str, Any]) -> Sample:
    outputs = {name: SampleOutput(**output) for name, output in record["outputs"].items()}
    return Sample(**{**record, "outputs": outputs})


def _attention(record: Mapping[str, Any]) -> AttentionSample:
    labels: dict[str, Sequence[list[str]]] = record["labels"]
    pairs = {kind: (rows, columns) for kind, (rows, columns) in labels.items()}
    return AttentionSample(**{**record, "labels": pairs})
