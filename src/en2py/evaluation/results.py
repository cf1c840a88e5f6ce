"""Results of an evaluation: rows of models and baselines, scored on the same test pairs.

`evaluate.py` and the summary of a study make them; the report is rendered from them alone.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

FORMAT = 2
MODEL, BASELINE = "model", "baseline"  # kinds of rows


@dataclass(frozen=True)
class Estimate:
    """The value of a metric with its 95 % confidence interval.

    Attributes:
        value: Value over all pairs; the mean over several seeds.
        low: Lower end of the interval, None if there are too few seeds or clusters.
        high: Upper end.
        over: `seeds` (Student's t) or `clusters` (bootstrap).
        n: Number of seeds or clusters.
        by_seed: Seed (as text) to value; empty for baselines.
        k: For shares: number of hits out of `of`, summed over seeds; None for other metrics.
        of: Number of pairs that the metric applies to, summed over seeds.
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
    """The difference of a row from the reference row in one metric.

    Attributes:
        value: This row minus the reference row.
        low: Lower end of the 95 % interval, None if there are too few seeds or clusters.
        high: Upper end.
        over: `seeds` or `clusters`, by which both rows are paired, or `other seeds` (Welch's t).
        is_significant: True if the 95 % interval excludes 0.
    """

    value: float
    low: float | None
    high: float | None
    over: str
    is_significant: bool


@dataclass(frozen=True)
class ResultRow:
    """A row of the results table: one configuration over its seeds, or one baseline.

    Attributes:
        name: Short name, unique in the table.
        kind: `model` or `baseline`.
        settings: Axis to the value of this row; empty for baselines.
        runs: Names of its runs, one per seed; empty for baselines.
        figures: Metric to estimate on the evaluated split.
        validation: Metric to estimate on the validation split; rows are ranked by its `nll`.
        differences: Metric to difference from the reference row; `val/<metric>` on validation.
        failures: Reason why programs are wrong to the number of programs, of the first seed.
        groups: Bucket (`seen descriptions`, `new descriptions`) to metric to value.
        notes: Remarks for the reader, for example that a metric is not comparable.
        has_other_pairs: Whether its validation and test pairs are not those of the reference row.
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
    has_other_pairs: bool = False


@dataclass(frozen=True)
class SampleOutput:
    """The program of one row for a sample.

    Attributes:
        code: The program.
        verdict: One of `exact`, `passes`, `behaves`, `compiles`, `wrong`, `does not compile`.
        detail: The reason for the verdict, with the failing input if one is known.
    """

    code: str
    verdict: str
    detail: str


@dataclass(frozen=True)
class Sample:
    """A test pair with the program of each row (of a model's first seed)."""

    id: str
    description: str
    reference: str
    outputs: dict[str, SampleOutput]


@dataclass(frozen=True)
class AttentionSample:
    """Attention weights of one model on one sample, rounded.

    Attributes:
        row: Name of the model's row.
        sample: Id of the sample.
        labels: Kind (`cross`, `encoder`, `decoder`) to the labels of rows and columns.
        weights: Kind to weights, `[L][H][rows][columns]`.
    """

    row: str
    sample: str
    labels: dict[str, tuple[list[str], list[str]]]
    weights: dict[str, list[list[list[list[float]]]]]


@dataclass(frozen=True)
class Results:
    """The content of a report.

    Attributes:
        title: Title of the report.
        data: Name, split (`part`), number of pairs and clusters, split hash, hash of the pairs.
        axes: Settings that vary between model rows.
        fixed: Settings that all model rows share.
        rows: Model rows ranked by validation NLL, then baselines.
        reference_row: Name of the row that differences refer to: the first model that was named.
        oracles: Number of references that can be tested and that pass their own tests, and reasons
            why others cannot; empty if no programs were run.
        samples: Test pairs with the program of each row.
        attention: Attention maps of a few samples.
        curves: Run to its learning curve: `epoch`, `train/nll`, `val/nll` per epoch.
        signatures: How metrics were computed.
        versions: Package to version.
        search: Of a hyperparameter search: its best trial and the importance of each parameter.
        others: Rows of other runs of a study, which are shown and not compared.
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
    search: dict[str, Any] = field(default_factory=dict)
    others: list[ResultRow] = field(default_factory=list)

    @property
    def models(self) -> list[ResultRow]:
        """Return the rows of models."""
        return [row for row in self.rows if row.kind == MODEL]

    def to_json(self) -> str:
        """Return the text of `results.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """Parse the text of `results.json`.

        Raises:
            ValueError: If it is not JSON, has another format, or a value has the wrong type.
            RecursionError: If it is too deep.
        """
        record = json.loads(text)
        if not isinstance(record, dict) or "format" not in record:
            raise ValueError("it names no format")
        if (found := record.pop("format")) != FORMAT:
            raise ValueError(f"its format is {found!r}, this version reads {FORMAT}")
        try:
            return TypeAdapter(cls).validate_python(record)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
