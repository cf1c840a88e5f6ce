"""Open the pairs that checkpoints and baselines are scored on, and the training data."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.cli.checkpoint_runs import OTHER_SPLIT, CheckpointRun
from en2py.cli.tables import log_fields, log_warnings
from en2py.config.effects import check_split_of_source
from en2py.config.overrides import task_overrides
from en2py.console import counted, percent
from en2py.data.cache import cached
from en2py.data.duplicates import (
    COMBINATIONS,
    LEAKAGE,
    description_key,
    fingerprint,
    group_near_duplicates,
    measure_leakage,
    overlapping,
)
from en2py.data.files import digest
from en2py.data.pairs import Pair
from en2py.data.parallel import ProcessPool
from en2py.data.prepare import MIN_HELD_OUT, Prepared
from en2py.errors import UserError
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.metrics.bleu import TrainingCode
from en2py.evaluation.metrics.seen_descriptions import seen_and_new
from en2py.evaluation.scores import EvaluationRow, TrainingData, originals, score_programs
from en2py.training import run_data
from en2py.training.initial_data import initial_data, n_known_to_initial_weights

log = logging.getLogger(__name__)

_UNKNOWN = "the pairs that its initial weights were trained on are unknown"
_KNOWN = "are near-duplicates of pairs of its initial weights"


@dataclass(frozen=True)
class EvaluationData:
    """The pairs that all checkpoints and baselines are scored on.

    Attributes:
        split: `train`, `val` or `test`.
        prepared: The data of the first run, of the baselines, or those that `data=` names.
        pairs: The shared pairs of the split.
        clusters: The cluster of near-duplicates of each.
        validation: The shared validation pairs.
        training: The training data; baselines look into them.
        runner: Runs programs.
        score: `score_programs`, with the processes and the metrics of this evaluation.
        facts: What the report states about the data.
        overlaps: On data that are not those of the runs: digest of a checkpoint to the number of
            pairs that overlap with its training pairs. They are no longer in `pairs`.
        unknown: Digest of a checkpoint to the reason why the pairs of its initial weights are not
            known, so that some of them may be left in `pairs`.
    """

    split: str
    prepared: Prepared
    pairs: list[Pair]
    clusters: list[int]
    validation: list[Pair]
    training: TrainingData
    runner: ProgramRunner
    score: Callable[..., EvaluationRow]
    facts: dict[str, Any]
    overlaps: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the split, on other data than those of the runs with their name in front."""
        name = re.sub(r"[^\w.=+-]+", "_", str(self.facts["name"]))
        return f"{name}-{self.split}" if self.overlaps else self.split

    def training_of(self, run: CheckpointRun) -> TrainingData:
        """Return the training data of a run, with the trivially shared n-grams of all runs."""
        codes = [pair.code for pair in run.trained_pairs]
        if codes == self.training.code.codes:
            return self.training
        code = TrainingCode(codes, frequent=self.training.code)
        return dataclasses.replace(self.training, code=code)

    def buckets_of(self, rows: Sequence[EvaluationRow], runs: Sequence[CheckpointRun]) -> list[Any]:
        """Return per row the pairs by whether its training has a description of the same task.

        The first rows are those of the runs; those of baselines read `training`.
        """
        found: dict[str, dict[str, list[int]]] = {}  # runs often share their training pairs
        trained = [originals(run.trained_pairs) for run in runs]
        trained += [self.training.pairs] * (len(rows) - len(runs))
        keys = [digest([pair.description for pair in pairs]) for pairs in trained]
        for key, pairs in zip(keys, trained, strict=True):
            if key not in found:
                found[key] = seen_and_new(pairs, self.pairs)
        return [found[key] for key in keys]

    def trained_on(self, runs: Sequence[CheckpointRun]) -> str:
        """Return the training data of runs for a title; empty if they are those of the title."""
        names = dict.fromkeys(str(run.config["data"]["name"]) for run in runs)
        return f", trained on {' or '.join(names)}" if self.overlaps else ""

    def notes_of(self, run: CheckpointRun) -> list[str]:
        """Return remarks on other tests, and on overlaps with training pairs, initial ones too."""
        if run.sha256 not in self.overlaps:
            own = {pair.id: pair.tests for pair in run.prepared.pairs(self.split)}
            n = sum(own.get(pair.id, pair.tests) != pair.tests for pair in self.pairs)
            tests = f"tests of {counted(n, 'pair')} are those of the first run, this one has others"
            found = [tests] if n else []
            try:
                n = n_known_to_initial_weights(run.config, run.prepared, self.pairs)
            except UserError as error:
                return [*found, f"{_UNKNOWN}: {error}"]
            return [*found, *([f"{n:,} of {len(self.pairs):,} pairs {_KNOWN}"] if n else [])]
        total = self.facts["n_pairs"] + self.facts["n_overlapping"]
        return [
            f"trained on {run.config['data']['name']}, evaluated on {self.facts['name']}: "
            f"{self.overlaps[run.sha256]:,} of {total:,} pairs are near-duplicates of its training "
            "pairs and are left out for all rows",
            *([self.unknown[run.sha256]] if run.sha256 in self.unknown else []),
        ]


def open_data(cfg: DictConfig, runs: Sequence[CheckpointRun], pool: ProcessPool) -> EvaluationData:
    """Return the pairs to score: shared by the runs, or those that `data=` names.

    Raises:
        UserError: If no pair is left.
    """
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    overlaps: dict[str, int] = {}
    unknown: dict[str, str] = {}
    if runs and "source" not in cfg.data:
        config, prepared = runs[0].config, runs[0].prepared
        pairs, validation = common_pairs(runs, cfg.part), common_pairs(runs, "val")
        n_all = len({pair.id for run in runs for pair in run.prepared.pairs(cfg.part)})
    else:
        prepared = run_data.prepare_data(config)
        check_split_of_source(prepared.report.facts, task_overrides())
        log_fields(prepared.report.to_dict())
        log_warnings(prepared.report.warnings)
        pairs, validation = prepared.pairs(cfg.part), []
        n_all = len(pairs)
        if runs:
            name = f"{cfg.part} split of {config['data']['name']}"
            trained, unknown = _trained_pairs(runs)
            pairs, overlaps = _without_overlaps(pairs, runs, trained, name)
            validation, _ = _without_overlaps(prepared.pairs("val"), runs, trained)
            if 0 < len(pairs) < min(MIN_HELD_OUT, n_all):
                log.warning(
                    f"{counted(len(pairs), 'pair')} of {n_all:,} left, which says little: take "
                    "more data, or a larger share for this split (split.ratios)"
                )
    if not pairs:
        sources = list(dict.fromkeys(run.config["data"]["name"] for run in runs))
        names = ", ".join(sources)
        several = len(sources) > 1
        pattern = f", such as ckpt_path='outputs/STUDY/{sources[0]}-*'" if several else ""
        raise UserError(
            f"each {cfg.part} pair of {config['data']['name']} is a near-duplicate of a training "
            f"pair of these checkpoints (their data: {names}): evaluate them on other data"
            if overlaps
            else f"these checkpoints have no {cfg.part} pair in common (their data: {names}): "
            f"compare runs on the same data with the same split{pattern}"
        )
    own_runs = [] if "source" in cfg.data else runs
    folder = Path(cfg.cache)
    key = {"pairs": [[pair.description, pair.code] for pair in pairs]}
    clusters: list[int] = cached(
        folder, "clusters", key, lambda: group_near_duplicates([fingerprint(p) for p in pairs])
    )
    facts = {
        "name": config["data"]["name"],
        "part": cfg.part,
        "n_pairs": len(pairs),
        "n_clusters": len(set(clusters)),
        "n_overlapping" if overlaps else "n_left_out": n_all - len(pairs),
        **({} if overlaps else _leakage(prepared, cfg.part, own_runs)),
        "split_hash": prepared.split_hash,
        "test_hash": digest([pair.content for pair in pairs]),
    }
    return EvaluationData(
        split=cfg.part,
        prepared=prepared,
        pairs=pairs,
        clusters=clusters,
        validation=validation,
        training=_training_data(prepared, own_runs),
        runner=ProgramRunner(
            pairs, sandbox=dict(cfg.sandbox), folder=folder, behaviour=cfg.behaviour
        ),
        score=partial(score_programs, pool=pool, with_code_bleu=cfg.code_bleu),
        facts=facts,
        overlaps=overlaps,
        unknown=unknown,
    )


def _training_data(prepared: Prepared, runs: Sequence[CheckpointRun]) -> TrainingData:
    """Return the training pairs that baselines read: as many as the run with most of them.

    Of the runs on these data it is one whose model reads most pairs, whatever their order.
    """
    max_pairs = _max_pairs(runs)

    def size(data: Prepared) -> tuple[int, int]:
        return len(originals(data.pairs("train")[:max_pairs])), len(data.splits["train"])

    same = [run.prepared for run in runs if run.prepared.split_hash == prepared.split_hash]
    return TrainingData.of(max(same, key=size, default=prepared), max_pairs)


def _max_pairs(runs: Sequence[CheckpointRun]) -> int | None:
    """Return the training pairs of the run with most of them; None for all."""
    limits = [run.max_pairs for run in runs]
    return None if None in limits else max(filter(None, limits), default=None)


def _leakage(prepared: Prepared, split: str, runs: Sequence[CheckpointRun]) -> dict[str, str]:
    """Return the share of pairs with a near-duplicate in train, if a split was to have none."""
    facts = prepared.report.facts
    if split == "train" or facts["held_out"] == COMBINATIONS:  # which recombine known parts
        return {}
    return {"leakage": percent(run_data.leakage(prepared, _max_pairs(runs))[split]["any"])}


def common_pairs(runs: Sequence[CheckpointRun], split: str) -> list[Pair]:
    """Return the pairs in a split of every run's data, as the first run reads them.

    No run was trained on a pair returned here, unless `split` is `train`: then all were. In other
    data an id may be that of another pair, and runs of other files or of another split may have
    trained on the same pair under another id, so ids are not enough.
    """
    is_train = split == "train"
    known = [run.trained_pairs if is_train else run.prepared.pairs(split) for run in runs]
    pairs = known[0]
    # Runs on the same data have equal held-out pairs. They may have read other training pairs: the
    # first ones, those that fit into the model, or augmented variants too.
    hashes = [run.prepared.split_hash for run in runs]
    for split_hash, others in dict.fromkeys(zip(hashes, map(tuple, known), strict=True)):
        if split_hash == hashes[0]:
            # Not with their tests: those of the first run are taken.
            shared = {(pair.id, pair.description, pair.code) for pair in others}
            pairs = [p for p in pairs if (p.id, p.description, p.code) in shared]
        else:
            pairs = _also_in(others, pairs)
    if is_train or len({*hashes}) == 1:
        return pairs
    wanted = {description_key(pair.description) for pair in pairs}
    known_prints = [
        fingerprint(pair)
        for pair in dict.fromkeys(pair for run in runs for pair in run.prepared.pairs("train"))
        if description_key(pair.description) in wanted
    ]
    trained = {(print_.description, print_.code) for print_ in known_prints}
    return [
        pair
        for pair, print_ in zip(pairs, map(fingerprint, pairs), strict=True)
        if (print_.description, print_.code) not in trained
    ]


def _also_in(others: Sequence[Pair], pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs that are in other data too, maybe cleaned differently."""
    by_id = {pair.id: pair for pair in others}

    def is_shared(pair: Pair) -> bool:
        if (other := by_id.get(pair.id)) is None:
            return False
        keys = ("description", "core", "code", "renamed")
        first, second = fingerprint(pair), fingerprint(other)
        return any(getattr(first, key) == getattr(second, key) != "" for key in keys)

    return [pair for pair in pairs if is_shared(pair)]


def _trained_pairs(runs: Sequence[CheckpointRun]) -> tuple[list[list[Pair]], dict[str, str]]:
    """Return per run the pairs that it and its initial weights were trained on.

    Beside them, why those of its initial weights are not known, by the digest of the checkpoint.
    """
    initial: dict[str | None, list[Pair]] = {}  # by `init_from`, which seeds often share
    unknown: dict[str | None, str] = {}
    for run in runs:
        if (path := run.config.get("init_from")) not in initial:
            initial_pairs = initial[path] = []
            try:
                for _, trained in initial_data(run.config):
                    initial_pairs += trained
            except UserError as error:
                unknown[path] = f"{_UNKNOWN}: {error}"
                log.warning(f"{run.name}: {unknown[path]}")
    starts = {run.sha256: run.config.get("init_from") for run in runs}
    pairs = [[*run.trained_pairs, *initial[starts[run.sha256]]] for run in runs]
    return pairs, {sha256: unknown[path] for sha256, path in starts.items() if path in unknown}


def is_of_leakage(note: str) -> bool:
    """Return whether a remark says that a run may have been trained on the evaluated pairs."""
    return any(text in note for text in (OTHER_SPLIT, _UNKNOWN, _KNOWN))


def _without_overlaps(
    pairs: list[Pair],
    runs: Sequence[CheckpointRun],
    trained_pairs: Sequence[Sequence[Pair]],
    name: str = "",
) -> tuple[list[Pair], dict[str, int]]:
    """Leave out pairs in a group of near-duplicates with a training pair of a run.

    Args:
        pairs: Pairs of data that the runs were not trained on.
        runs: The checkpoints.
        trained_pairs: Per run.
        name: Of the pairs, for a line on the terminal; empty for none.

    Returns:
        The pairs left, and for the digest of each checkpoint the number of its overlaps.
    """
    prints = [fingerprint(pair) for pair in pairs]
    found: dict[str, list[bool]] = {}  # by training pairs: runs often share their data
    overlaps: dict[str, int] = {}
    for run, known in zip(runs, trained_pairs, strict=True):
        key = digest([[pair.description, pair.code] for pair in known])
        if key not in found:
            trained = [fingerprint(pair) for pair in known]
            found[key] = overlapping(trained, prints)
            if name:
                shares = measure_leakage(trained, prints)
                kinds = [
                    f"{LEAKAGE[kind]} {round(shares[kind] * len(prints)):,}"
                    for kind in ("core_description", "renamed_code", "near_code")
                ]
                log.info(
                    f"{name}: {sum(found[key]):,} of {len(pairs):,} pairs are near-duplicates of "
                    f"training pairs of {run.name} and are left out ({', '.join(kinds)})"
                )
        overlaps[run.sha256] = sum(found[key])
    left_out = [any(of_pair) for of_pair in zip(*found.values(), strict=True)]
    return [pair for pair, out in zip(pairs, left_out, strict=True) if not out], overlaps
