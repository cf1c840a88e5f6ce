"""Compare scored rows: the metrics of each over the pairs that all can read, samples, attention."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from en2py.data.pairs import evenly_spaced
from en2py.evaluation.baselines import SECOND_HUMAN
from en2py.evaluation.configurations import RunMetrics
from en2py.evaluation.execution.result import TESTS
from en2py.evaluation.execution.runner import failures
from en2py.evaluation.metrics.bleu import Counts
from en2py.evaluation.metrics.registry import listed, metric
from en2py.evaluation.results import (
    BASELINE,
    MODEL,
    AttentionSample,
    ResultRow,
    Sample,
    SampleOutput,
)
from en2py.evaluation.scores import EvaluationRow, Tables, table_values

N_SAMPLES = 24
_MAX_WEIGHTS = 400_000  # attention weights in a report: a few megabytes


def run_metrics(
    rows: Sequence[EvaluationRow], buckets: Sequence[Mapping[str, Sequence[int]]]
) -> list[RunMetrics]:
    """Return the metrics of each row, over the pairs that can be compared.

    The rows are of the same pairs; the first model is the reference. A bucket has the places of its
    pairs.
    """
    models = [row for row in rows if row.kind == MODEL]
    shared = _readable(row.tables for row in models)
    validated = _readable(row.validation for row in models)
    found = []
    for row, own_buckets in zip(rows, buckets, strict=True):
        tables = {**row.tables, **row.sampled}
        if row.name.startswith(SECOND_HUMAN):  # its programs are themselves among the known ones
            tables = {name: counts for name, counts in tables.items() if not name.endswith("_any")}
        tables = {name: _masked(counts, row.is_scored) for name, counts in tables.items()}
        tables |= _masked_from_logits(tables, shared)
        validation = {**row.validation, **_masked_from_logits(row.validation, validated)}
        not_comparable, reasons = _not_comparable(row, models[0] if models else row)
        found.append(
            RunMetrics(
                name=row.name,
                kind=row.kind,
                seed=row.seed,
                settings=row.settings,
                values=table_values(tables),
                counts=tables,
                validation=table_values(validation),
                failures=failures(row.scores, row.executions, row.is_scored),
                groups=_groups(tables, own_buckets, row.is_scored),
                notes=[
                    *row.notes,
                    *reasons,
                    *_note_on_long_pairs(row, {"pairs": shared, "validation pairs": validated}),
                ],
                not_comparable=not_comparable,
                machine=row.machine,
            )
        )
    return found


def _readable(tables: Iterable[Tables]) -> list[bool]:
    """Return which pairs are short enough for every model; token metrics cover these alone."""
    columns = [[bool(counts[1]) for counts in table["nll"]] for table in tables if "nll" in table]
    return [all(readable) for readable in zip(*columns, strict=True)]


def _masked(rows: Sequence[Counts], kept: Sequence[bool]) -> list[Counts]:
    return [row if keep else [0.0] * len(row) for row, keep in zip(rows, kept, strict=True)]


def _masked_from_logits(tables: Tables, kept: Sequence[bool]) -> Tables:
    return {
        name: _masked(counts, kept) for name, counts in tables.items() if metric(name).from_logits
    }


def _groups(
    tables: Tables, buckets: Mapping[str, Sequence[int]], is_scored: Sequence[bool]
) -> dict[str, dict[str, float]]:
    """Return the values of each bucket with pairs, if there are at least two."""
    filled = {name: places for name, places in buckets.items() if places}
    if len(filled) < 2:
        return {}
    return {
        name: {
            "n": float(sum(is_scored[i] for i in places)),
            **table_values({key: [rows[i] for i in places] for key, rows in tables.items()}),
        }
        for name, places in filled.items()
    }


def _not_comparable(row: EvaluationRow, reference: EvaluationRow) -> tuple[list[str], list[str]]:
    """Return the metrics that cannot be compared with the reference row, and the reason.

    A loss per token depends on the tokenizer. With different vocabularies, the model with more
    `<unk>` targets has the easier task. Bits per character include the spelling of `<unk>`.
    """
    if row.kind == BASELINE or row is reference:
        return [], []
    names = [name for name in row.tables if metric(name).per_token]
    ending = "so loss, perplexity and accuracy per token cannot be compared; bits per character"
    if row.tokenizer != reference.tokenizer:
        return names, [f"other tokens of programs than those of the reference row, {ending} can"]
    tables = (split for scored in (row, reference) for split in (scored.tables, scored.validation))
    has_unknown = any(counts[0] for table in tables for counts in table.get("unk_targets", ()))
    if has_unknown and set(row.vocab) != set(reference.vocab):  # their order is that of counts
        return names, [f"another vocabulary, and not every token is in both, {ending} can"]
    return [], []


def _note_on_long_pairs(row: EvaluationRow, shared: Mapping[str, list[bool]]) -> list[str]:
    counts = [
        f"{kept.count(False)} of {len(kept)} {what}"
        for what, kept in shared.items()
        if not all(kept)
    ]
    if row.kind == BASELINE or not counts:
        return []
    return [
        f"loss, perplexity, accuracy and bits per character leave out {listed(counts)}, which are "
        "longer than some model can read or write"
    ]


def samples_of(rows: Sequence[EvaluationRow], results: Sequence[ResultRow]) -> list[Sample]:
    """Return evenly spaced pairs with the program of the first seed of each result row."""
    first = _first_seeds(rows, results)
    pairs = rows[0].pairs
    return [
        Sample(
            pairs[i].id,
            pairs[i].description,
            pairs[i].code,
            {name: _output(row, i) for name, row in first.items() if row.is_scored[i]},
        )
        for i in evenly_spaced(len(pairs), N_SAMPLES)
    ]


def attention_of(
    rows: Sequence[EvaluationRow], results: Sequence[ResultRow]
) -> list[AttentionSample]:
    """Return the attention maps of the first seed of each result row, up to a number of weights."""
    queues = [
        [
            AttentionSample(name, sample.sample, sample.labels, sample.weights)
            for sample in row.attention
        ]
        for name, row in _first_seeds(rows, results).items()
    ]
    found: list[AttentionSample] = []
    n_weights = 0
    for rank in range(max(map(len, queues), default=0)):
        for sample in (queue[rank] for queue in queues if rank < len(queue)):
            n_weights += sum(np.size(weights) for weights in sample.weights.values())
            if n_weights > _MAX_WEIGHTS and found:
                return found
            found.append(sample)
    return found


def _first_seeds(
    rows: Sequence[EvaluationRow], results: Sequence[ResultRow]
) -> dict[str, EvaluationRow]:
    """Return the scores of the first seed of each result row."""
    by_name = {row.name: row for row in rows}
    return {
        result.name: by_name[result.runs[0] if result.runs else result.name] for result in results
    }


def _output(row: EvaluationRow, place: int) -> SampleOutput:
    scored, ran, program = row.scores.rows[place], row.executions[place], row.programs[place]
    if scored.verdict == "exact":
        return SampleOutput(program, "exact", "")
    if not scored.answers["compiles"]:
        reason = scored.verdict.removeprefix("does not compile (").removesuffix(")")
        return SampleOutput(program, "does not compile", reason)
    if ran is None:
        detail = "" if scored.verdict == "compiles" else scored.verdict
        return SampleOutput(program, "compiles", detail)
    if ran.right:
        return SampleOutput(program, "passes" if ran.against == TESTS else "behaves", "")
    return SampleOutput(program, "wrong", ran.detail or ran.problem)
