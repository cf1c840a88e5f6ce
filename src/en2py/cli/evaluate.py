"""Evaluate checkpoints and baselines on the same test pairs: `evaluate.py`."""

import dataclasses
import itertools
import logging
import platform
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from en2py.cli.checkpoint_runs import (
    CheckpointRun,
    checkpoints_of_study,
    find_checkpoint,
    find_runs,
)
from en2py.cli.evaluation_config import config_changes
from en2py.cli.evaluation_data import EvaluationData, is_of_leakage, open_data
from en2py.cli.generate import generate
from en2py.cli.scoring import (
    chosen_baselines,
    score_baselines,
    score_checkpoint,
    trainer_of,
    unscored_settings,
)
from en2py.cli.tables import log_own_tests, print_samples
from en2py.config.contradictions import wandb_mode_of_environment
from en2py.config.effects import refuse_typed
from en2py.config.overrides import task_overrides, unquoted
from en2py.console import Column, console, counted, print_table, progress_bar
from en2py.data.files import digest, make_folder, write_atomically
from en2py.data.parallel import ProcessPool
from en2py.decoding.ctranslate2 import export
from en2py.errors import UserError
from en2py.evaluation.aggregation import make_rows
from en2py.evaluation.behaviour.cached import count_testable
from en2py.evaluation.comparison import attention_of, run_metrics, samples_of
from en2py.evaluation.configurations import RunMetrics, axes, fixed, numbered, reference_name
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.metrics import code_bleu
from en2py.evaluation.metrics.program_metrics import SECONDS_PER_PROGRAM
from en2py.evaluation.metrics.registry import COMPARISON, figure_of, listed, metric
from en2py.evaluation.report import write_report
from en2py.evaluation.report.summary import notes_of, ranked_by
from en2py.evaluation.report.tables import figure_cell
from en2py.evaluation.results import MODEL, Results
from en2py.evaluation.scores import EvaluationRow, write_predictions
from en2py.training import build
from en2py.training.cpu_threads import warn_of_busy_cores
from en2py.training.fitting import check_devices
from en2py.training.loggers import log_evaluated_run, log_results
from en2py.training.out_of_memory import EVALUATION_REMEDIES, report_out_of_memory

log = logging.getLogger(__name__)

WandbSection = Mapping[str, Any] | None
# Overrides that change no result, or that are a part of the folder's name in another way.
_NOT_NAMED = re.compile(
    r"(ckpt_path|folder|part|output|cache|processes|allowed_packages|data|split|cleaning|tokenizer"
    r"|model|vocab|augmentation|experiment|logger|trainer|batch|n_maps|hydra|sandbox.workers"
    r"|sandbox.min_level)\b"
)
_LONGEST = 120  # characters of a folder's name
_LISTED = 3  # checkpoints that a warning names
_VERSIONS = ("en2py", "torch", "pytorch-lightning", "sacrebleu", "scikit-learn", "numpy", "scipy")
_SIGNATURES = {
    "behaves": "same results, changed arguments and output as the reference on up to 40 inputs",
    "intervals": "95 %: Student's t over seeds, Welch's t for differences between other seeds; for "
    "one seed, and for baselines, percentiles of 2,000 resamples of clusters of near-duplicates, "
    "Wilson's for 0 and 100 %",
    "nll": "nats per token, plain cross-entropy of the reference in the tokens of the run",
    "bpc": "bits per character of the reference; unknown tokens are charged for their spelling",
}


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation scored, for a comparison with the others of its sweep.

    Attributes:
        rows: Of the checkpoints, then of the baselines.
        runs: The checkpoints.
        data: The pairs.
        changes: The typed overrides that its folder is named by, see `_changes`.
        typed: All typed overrides, key to value.
        output: The folder of all studies.
    """

    rows: list[EvaluationRow]
    runs: list[CheckpointRun]
    data: EvaluationData
    changes: list[str]
    typed: dict[str, str]
    output: Path

    @property
    def search(self) -> list[str]:
        """Return the typed overrides of another search than that of the training."""
        return [word for word in self.changes if word.startswith("decoding")]


def evaluate(cfg: DictConfig, of_sweep: list[Evaluation] | None = None) -> Results | None:
    """Run `evaluate.py`: score, or export a model, generate for prompts, render a report again.

    Scores are added to those of the sweep too.
    """
    if cfg.results is not None:
        return _render_again(Path(cfg.results), cfg.folder)
    with report_out_of_memory(f"or {EVALUATION_REMEDIES}", cfg.batch.max_tokens):
        if cfg.export is not None:
            module = build.load(find_checkpoint(cfg.ckpt_path, "export"))
            export(module.model, module.src_vocab, module.tgt_vocab, Path(cfg.export))
            log.info(f"the model for CTranslate2 is in {cfg.export}")
            return None
        if cfg.prompt is not None or cfg.prompts is not None:
            generate(cfg)
            return None
        with ProcessPool(cfg.processes, SECONDS_PER_PROGRAM) as pool:
            evaluation, results = compare(cfg, pool)
    if of_sweep is not None:
        of_sweep.append(evaluation)
    return results


def compare(cfg: DictConfig, pool: ProcessPool) -> tuple[Evaluation, Results]:
    """Score checkpoints and baselines on shared pairs; write, print, log and return the results."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it logs once per checkpoint
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    refuse_typed(unscored_settings(cfg), task_overrides())
    trainer: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    check_devices(trainer)
    is_other = "source" in cfg.data
    remedy = "put it there again: pairs that overlap with it are left out" if is_other else ""
    runs = find_runs(cfg.ckpt_path, config_changes(cfg), remedy) if cfg.ckpt_path else []
    of_runs, of_results = _wandb_sections(cfg.get("logger"), runs)
    if cfg.code_bleu and (problem := code_bleu.available()):
        raise UserError(problem)
    data = open_data(cfg, runs, pool)
    n, is_tested = cfg.pass_at_k.n_samples, cfg.behaviour or any(p.tests for p in data.pairs)
    if n and not is_tested:
        raise UserError(
            f"pass_at_k.n_samples={n}: none of the pairs has tests; leave out behaviour=false"
        )
    changes = _changes(runs)
    folder = Path(cfg.folder or _default_folder(Path(cfg.output), runs, data, changes))
    search = [word for word in changes if word.startswith("decoding")]
    _log_pairs(data.facts)
    make_folder(folder, "folder")
    rows = _score(cfg, runs, data, folder)
    with progress_bar("computing intervals"):
        metrics = run_metrics(rows, data.buckets_of(rows, runs))
        results = _results(rows, metrics, runs, data, search)
    _write(folder, rows, results)
    _print(results, rows, runs)  # after everything is written: a failed print loses no result
    label = "-".join([data.label, *map(_short, search)])
    _log_to_wandb_runs(zip(runs, metrics, of_runs, strict=False), label)  # none of baselines
    if of_results:
        studies = {run.metadata["config"]["study"] for run in runs}
        study = studies.pop() if len(studies) == 1 else "comparisons"
        log_results(results, of_results, folder, study, sorted(run.sha256 for run in runs))
    _log_report(folder)
    kind = folder.name.partition("-")[0]
    others = sorted(path.parent.name for path in folder.parent.glob(f"{kind}-*/results.json"))
    if others := [name for name in others if runs and name != folder.name]:
        log.info(f"other evaluations are kept beside it: {', '.join(others)}")
    typed = {key: value for key, _, value in (word.partition("=") for word in _typed_words())}
    return Evaluation(rows, runs, data, changes, typed, Path(cfg.output)), results


def compare_sweep(evaluations: Sequence[Evaluation]) -> None:
    """Compare the evaluations of a sweep that are of the same pairs, in a table for each split."""
    by_pairs: dict[Any, list[Evaluation]] = {}
    for evaluation in evaluations:
        data = evaluation.data
        pairs = (data.facts["test_hash"], *data.validation)
        by_pairs.setdefault(pairs, []).append(evaluation)
    compared = [of_pairs for of_pairs in by_pairs.values() if len(of_pairs) > 1]
    for of_pairs in compared:
        _write_comparison(of_pairs)
    if len(evaluations) > 1 and not compared:
        log.info("no table of the whole sweep: its evaluations are of different pairs")


def _write_comparison(evaluations: Sequence[Evaluation]) -> None:
    """Write and print one table of evaluations of the same pairs, differences paired.

    What was swept, a search or anything else, is a setting of the rows.
    """
    first = evaluations[0]
    keys = dict.fromkeys(key for evaluation in evaluations for key in evaluation.typed)
    swept = [
        key
        for key in keys
        if len({other.typed.get(key) for other in evaluations}) > 1 and not _NOT_NAMED.match(key)
    ]
    chosen = [{key: e.typed[key] for key in swept if key in e.typed} for e in evaluations]
    runs = [run for evaluation in evaluations for run in evaluation.runs]
    rows = _rows_of_sweep(evaluations, chosen)
    with progress_bar("computing intervals"):
        metrics = run_metrics(rows, first.data.buckets_of(rows, runs))
        search = [word for word in first.search if all(word in e.search for e in evaluations)]
        results = _results(rows, metrics, runs, first.data, search)
    key = [[evaluation.changes for evaluation in evaluations], chosen]
    changes = ["sweep", digest([key, [run.sha256 for run in runs]])[:8]]
    distinct = [*{run.sha256: run for run in runs}.values()]
    folder = _default_folder(first.output, distinct, first.data, changes)
    make_folder(folder, "folder")
    _write(folder, rows, results)
    log.info(f"the sweep of {len(evaluations)} evaluations, {first.data.facts['part']} split:")
    _print(results, rows, runs)
    _log_report(folder)


def _rows_of_sweep(
    evaluations: Sequence[Evaluation], chosen: Sequence[Mapping[str, str]]
) -> list[EvaluationRow]:
    """Return the rows of all models, then those of baselines, of equal ones the first alone.

    Their names and those of the models have the swept settings, which are `chosen`.
    """
    models: list[tuple[EvaluationRow, str]] = []  # with the name in the table
    baselines: dict[str, list[tuple[EvaluationRow, str]]] = {}
    for evaluation, own in zip(evaluations, chosen, strict=True):
        words = [_short(f"{key}={value}") for key, value in own.items()]
        for row in evaluation.rows:
            name = "-".join([row.name, *words])
            if row.kind == MODEL:
                settings = {**row.settings, **own}
                models.append((dataclasses.replace(row, settings=settings), name))
                continue
            of_baseline = baselines.setdefault(row.name, [])
            if all(row != other for other, _ in of_baseline):
                of_baseline.append((row, name if of_baseline else row.name))
    rows, names = zip(*models, *itertools.chain(*baselines.values()), strict=True)
    return [dataclasses.replace(r, name=n) for r, n in zip(rows, numbered(names), strict=True)]


def _log_report(folder: Path) -> None:
    console.print()
    log.info(f"report: {folder / 'report.html'} (all files are beside it)")


def _typed_words() -> list[str]:
    """Return the typed overrides as YAML, without `+` and `~`; Hydra writes `False` in a sweep."""
    as_yaml = {"True": "true", "False": "false"}
    words = (word.lstrip("+~").partition("=") for word in map(unquoted, task_overrides()))
    return [f"{key}{sign}{as_yaml.get(value, value)}" for key, sign, value in words]


def _changes(runs: Sequence[CheckpointRun]) -> list[str]:
    """Return the typed overrides that the folder and the title of an evaluation are named by.

    A search that equals that of the training is left out.
    """
    words = sorted(word for word in _typed_words() if not _NOT_NAMED.match(word))
    as_trained = all(r.config["decoding"] == r.metadata["config"]["decoding"] for r in runs)
    return [word for word in words if not (as_trained and word.startswith("decoding"))]


def _short(word: str) -> str:
    """Return an override as a part of a name: `decoding.beam_size=8` is `beam_size=8`."""
    word = word.removeprefix("decoding.").removeprefix("decoding=")
    return re.sub(r"[^\w.=+-]+", "_", word).strip("_")


def _default_folder(
    output: Path, runs: Sequence[CheckpointRun], data: EvaluationData, changes: Sequence[str]
) -> Path:
    """Return the folder of the results: of the run, of the study, or a new one.

    Evaluations with other settings have other folders.
    """
    parts = [data.label, *map(_short, changes)]
    own_data = [data.facts["test_hash"], data.training.digest]  # baselines read the training pairs
    if data.overlaps or any(run.has_other_split for run in runs):  # a name may have other pairs
        parts.append(digest(own_data)[:8])
    studies = {run.folder.parent if run.folder else None for run in runs}
    study = studies.pop() if len(studies) == 1 else None
    if len(runs) == 1:
        (run,) = runs
        parts += [run.path.stem] * (run.path.stem != "best")
        place = (run.folder or run.path.parent) / "evaluate"
    elif study is not None:
        if {run.path.resolve() for run in runs} != {*checkpoints_of_study(study.resolve())}:
            parts.append(digest([run.sha256 for run in runs])[:8])
        place = study / "report"
    else:
        kind = "comparisons" if runs else "baselines"
        names = [run.sha256 for run in runs] or own_data
        place = output / kind / str(data.facts["name"])
        parts.append(digest(names)[:8])
    name = "-".join([place.name, *parts])
    return place.parent / (name if len(name) <= _LONGEST else f"{name[:80]}-{digest(name)[:8]}")


def _log_pairs(facts: Mapping[str, Any]) -> None:
    """Log how many pairs are scored, and how many are not, because some run lacks them."""
    n_left_out = facts.get("n_left_out", 0)
    left_out = f"; {n_left_out:,} others are left out: not all runs have them in this split"
    log.info(
        f"{facts['part']} split of {facts['name']}: {counted(facts['n_pairs'], 'pair')} in "
        f"{counted(facts['n_clusters'], 'cluster')}{left_out if n_left_out else ''}"
    )


def _score(
    cfg: DictConfig, runs: Sequence[CheckpointRun], data: EvaluationData, folder: Path
) -> list[EvaluationRow]:
    """Return the rows of the checkpoints, then those of the baselines."""
    remarks = [[*run.notes(), *data.notes_of(run)] for run in runs]
    _warn_of_leakage(runs, remarks)
    if runs:  # once, not for each checkpoint
        warn_of_busy_cores(trainer_of(cfg, runs[0]).strategy.root_device)
    has_several_files = len({run.path.stem for run in runs}) > 1
    rows = []
    for name, run, notes in zip(numbered([run.name for run in runs]), runs, remarks, strict=True):
        # Seeds are compared with those of the same file name alone; a copy has a name of the user.
        has_name = has_several_files and run.folder is not None
        settings = {"checkpoint": run.path.stem} if has_name else {}
        target = folder if len(runs) == 1 else None
        rows.append(score_checkpoint(cfg, name, run, data, notes, settings, target))
    rows += score_baselines(chosen_baselines(cfg), data, is_named=bool(cfg.baseline))
    if not rows:
        raise UserError("there is no row: name a checkpoint, or a baseline that has programs")
    return rows


def _warn_of_leakage(runs: Sequence[CheckpointRun], remarks: Sequence[Sequence[str]]) -> None:
    """Warn before the pairs are scored; the same remarks are printed below the table."""
    found: dict[str, list[str]] = {}
    for run, notes in zip(runs, remarks, strict=True):
        for note in filter(is_of_leakage, notes):
            found.setdefault(note, []).append(run.name)
    for note, names in found.items():
        rest = f"{len(names) - _LISTED} others"
        shown = names if len(names) <= _LISTED + 1 else [*names[:_LISTED], rest]
        log.warning(f"warning: {listed(shown)}: {note}")


def _results(
    rows: Sequence[EvaluationRow],
    metrics: Sequence[RunMetrics],
    runs: Sequence[CheckpointRun],
    data: EvaluationData,
    search: Sequence[str],
) -> Results:
    """Return the results; `search` are the overrides of another search, a part of the title."""
    stems = {run.path.stem for run in runs}
    named = [*search, *(f"checkpoint {stem}" for stem in stems - {"best"} if len(stems) == 1)]
    rank_by = "bpc" if any(run.not_comparable for run in metrics) else "nll"
    table = make_rows(metrics, data.clusters, rank_by=rank_by)
    n_models = sum(row.kind == MODEL for row in table)
    title = counted(n_models, "configuration") if n_models else "Baselines"
    # Several checkpoints of one run have one curve; runs of one name in two studies have two.
    pairs = zip((row.name for row in rows), runs, strict=False)
    named_runs = {run.folder: (name, run) for name, run in reversed([*pairs])}.values()
    versions = {name: metadata.version(name) for name in _VERSIONS}
    return Results(
        title=", ".join([f"{title} on {data.facts['name']}{data.trained_on(runs)}", *named]),
        data=data.facts,
        axes=axes(metrics),
        fixed=fixed(metrics),
        rows=table,
        reference_row=reference_name(metrics),
        oracles=_oracles(data.runner),
        samples=samples_of(rows, table),
        attention=attention_of(rows, table),
        curves={name: curve for name, run in named_runs if (curve := run.learning_curve())},
        signatures={**rows[0].scores.signatures, **_SIGNATURES},
        versions={"python": platform.python_version(), **versions},
    )


def _oracles(runner: ProgramRunner) -> dict[str, Any]:
    """Return how many references can be tested and pass their own tests, and why others cannot."""
    n_tests = sum(bool(pair.tests) for pair in runner.pairs)
    found: dict[str, Any] = {"with tests": n_tests} if n_tests else {}
    if tested := runner.check_references():
        found["own tests"] = tested
    if runner.refusal:
        return {**found, "not run": runner.refusal}
    if runner.oracles:
        found |= count_testable(
            [runner.oracles[pair.code] for pair in runner.pairs if not pair.tests]
        )
    return found


def _write(folder: Path, rows: Sequence[EvaluationRow], results: Results) -> None:
    """Write the programs of each row, the results and the report."""
    for row in rows:
        file_name = re.sub(r"[^\w.=+-]+", "_", row.name)
        write_predictions(folder / "predictions" / f"{file_name}.jsonl", row)
    write_atomically(folder / "results.json", results.to_json().encode())
    with progress_bar("writing the report"):
        write_report(folder, results)


def _print(results: Results, rows: Sequence[EvaluationRow], runs: Sequence[CheckpointRun]) -> None:
    """Print the table, remarks, and samples of a single checkpoint."""
    _print_table(results)
    for note in sorted(notes_of(results.rows), key=is_of_leakage, reverse=True):
        log.info(f"warning: {note}" if is_of_leakage(note) else note)
    log_own_tests(results.oracles.get("own tests", {}))
    if len(runs) == 1:
        print_samples(rows[0].samples(3))


def _render_again(path: Path, folder: str | None) -> Results:
    """Render the report of stored results; refuse what is no whole results.json of this version."""
    try:
        results = Results.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"results={path} is not a results.json of evaluate.py ({error}): name another file, or "
            "score again with ckpt_path=FILE"
        ) from None
    target = Path(folder or path.parent)
    make_folder(target, "folder")
    write_report(target, results)
    log.info(f"the report is in {target}")
    return results


def _print_table(results: Results) -> None:
    """Print the main metrics of each row with their 95 % intervals; the first ranks the rows."""
    names = {tuple(n.split("@")) for row in results.rows for n in row.figures if "@" in n}
    sampled = [f"{verb}@{k}" for verb, k in sorted(names, key=lambda name: (name[0], int(name[1])))]
    metrics = [ranked_by(results) if n == "val/nll" else n for n in (*COMPARISON, *sampled)]
    shown = [name for name in metrics if any(figure_of(row, name) for row in results.rows)]
    rows = [
        [row.name, *(figure_cell(name, figure_of(row, name)).lines for name in shown)]
        for row in results.rows
    ]
    columns = [Column("", numeric=False), *(Column(metric(name).head) for name in shown)]
    print_table(f"{results.title}, {results.data['part']} split", columns, rows)


def _wandb_sections(
    logger: WandbSection, runs: Sequence[CheckpointRun]
) -> tuple[list[WandbSection], WandbSection]:
    """Return `logger.wandb` of each run, and of the results; None: not logged to W&B.

    Without a logger section of the evaluation, each run's own section applies. A wrong
    `WANDB_MODE` is refused before anything is computed.
    """
    sections = [(run.config["logger"] if logger is None else logger).get("wandb") for run in runs]
    used = [section for section in [(logger or {}).get("wandb"), *sections] if section]
    if used:
        wandb_mode_of_environment()
    return sections, used[-1] if used else None


def _log_to_wandb_runs(
    rows: Iterable[tuple[CheckpointRun, RunMetrics, WandbSection]], label: str
) -> None:
    """Log the metrics of checkpoints to the W&B runs of their training, with a label in front."""
    for run, metrics, section in rows:
        if section and run.folder is not None:  # else a copy of a checkpoint, its run is not known
            stem = run.path.stem
            own_label = label if stem == "best" else f"{label}-{stem}"
            values = {f"{own_label}/{name}": value for name, value in metrics.values.items()}
            study = run.metadata["config"]["study"]
            log_evaluated_run(run.folder, study, values, section)
