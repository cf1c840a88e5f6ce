"""Evaluate checkpoints and baselines on the same test pairs: `evaluate.py`."""

import dataclasses
import logging
import platform
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from en2py.cli.checkpoint_runs import (
    CheckpointRun,
    Programs,
    checkpoints_of_study,
    config_changes,
    find_checkpoint,
    find_runs,
)
from en2py.cli.evaluation_data import EvaluationData, is_of_leakage, open_data
from en2py.cli.generate import generate
from en2py.cli.tables import log_own_tests, print_samples
from en2py.cli.votes import Pool
from en2py.config.contradictions import wandb_mode_of_environment
from en2py.config.effects import refuse_typed
from en2py.config.instantiate import make
from en2py.config.overrides import comma_separated, task_overrides, unquoted
from en2py.console import Column, console, counted, print_table, progress_bar
from en2py.data.datamodule import PairDataModule
from en2py.data.files import digest, make_folder, write_atomically
from en2py.data.pairs import Pair, evenly_spaced
from en2py.data.parallel import ProcessPool
from en2py.decoding.constraints import Limits
from en2py.decoding.ctranslate2 import export
from en2py.errors import UserError
from en2py.evaluation.aggregation import (
    RunMetrics,
    axes,
    fixed,
    make_rows,
    numbered,
    reference_name,
)
from en2py.evaluation.baselines import ABOUT, FINDERS, LEARNED, RIVALS
from en2py.evaluation.baselines.cached import baseline_programs
from en2py.evaluation.behaviour.cached import count_testable
from en2py.evaluation.execution.runner import ProgramRunner, counts_at_k
from en2py.evaluation.metrics import code_bleu
from en2py.evaluation.metrics.program_metrics import SECONDS
from en2py.evaluation.metrics.registry import COMPARISON, figure_of, listed, metric
from en2py.evaluation.report import write_report
from en2py.evaluation.report.summary import notes_of, ranked_by
from en2py.evaluation.report.tables import figure_cell
from en2py.evaluation.results import BASELINE, MODEL, AttentionSample, Results
from en2py.evaluation.scores import (
    N_SAMPLES,
    EvaluationRow,
    Tables,
    attention_of,
    distinct_samples,
    run_metrics,
    samples_of,
    write_predictions,
    write_samples,
)
from en2py.training import build
from en2py.training.checkpoints import AtomicCheckpointIO
from en2py.training.cpu_threads import warn_of_busy_cores
from en2py.training.loggers import log_evaluated_run, log_results
from en2py.training.module import Search, Seq2SeqModule
from en2py.training.out_of_memory import EVALUATION_REMEDIES, report_out_of_memory
from en2py.training.run_folder import machine_of
from en2py.training.testing import draw_attention, generate_programs, token_tables

log = logging.getLogger(__name__)

SELECTING = ("passes_tests", "behaves", "bleu")  # of baselines on validation
# Overrides that change no result, or that the name of the folder follows from otherwise.
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


def evaluate(cfg: DictConfig) -> Results | None:
    """Run `evaluate.py`: score, or export a model, generate for prompts, render a report again."""
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
        with ProcessPool(cfg.processes, SECONDS) as pool:
            return compare(cfg, pool)


def compare(cfg: DictConfig, pool: ProcessPool) -> Results:
    """Score checkpoints and baselines on shared pairs; write, print, log and return the results."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it logs once per checkpoint
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    refuse_typed(_without_effect(cfg), task_overrides())
    is_other = "source" in cfg.data
    remedy = "put it there again: pairs that overlap with it are left out" if is_other else ""
    runs = find_runs(cfg.ckpt_path, config_changes(cfg), remedy) if cfg.ckpt_path else []
    sections = _wandb_sections(cfg.get("logger"), runs)
    if cfg.code_bleu and (problem := code_bleu.available()):
        raise UserError(problem)
    data = open_data(cfg, runs, pool)
    n, is_tested = cfg.pass_at_k.n_samples, cfg.behaviour or any(p.tests for p in data.pairs)
    if n and not is_tested:
        raise UserError(
            f"pass_at_k.n_samples={n}: none of the pairs has tests; leave out behaviour=false"
        )
    changes = _changes(runs)
    folder = _default_folder(Path(cfg.output), runs, data, changes)
    folder = Path(cfg.folder) if cfg.folder else folder
    search = [word for word in changes if word.startswith("decoding")]
    stems = {run.path.stem for run in runs}
    named = [*search, *(f"checkpoint {stem}" for stem in stems - {"best"} if len(stems) == 1)]
    n_left_out = data.facts.get("n_left_out", 0)
    left_out = f"; {n_left_out:,} others are left out: not all runs have them in this split"
    log.info(
        f"{data.split} split of {data.facts['name']}: {counted(data.facts['n_pairs'], 'pair')} in "
        f"{counted(data.facts['n_clusters'], 'cluster')}{left_out if n_left_out else ''}"
    )
    make_folder(folder, "folder")
    remarks = [[*run.notes(), *data.notes_of(run)] for run in runs]
    _warn_of_leakage(runs, remarks)
    if runs:  # once, not for each checkpoint
        warn_of_busy_cores(_trainer(cfg, runs[0]).strategy.root_device)

    rows = []
    for name, run, notes in zip(numbered([run.name for run in runs]), runs, remarks, strict=True):
        # Seeds are compared with those of the same file name alone; a copy has a name of the user.
        has_name = len(stems) > 1 and run.folder is not None
        settings = {"checkpoint": run.path.stem} if has_name else {}
        target = folder if len(runs) == 1 else None
        rows.append(_score_checkpoint(cfg, name, run, data, notes, settings, target))
    rows += _score_baselines(_chosen_baselines(cfg), data, is_named=bool(cfg.baseline))
    if not rows:
        raise UserError("there is no row: name a checkpoint, or a baseline that has programs")

    with progress_bar("computing intervals"):
        metrics = run_metrics(rows, data.buckets_of(rows, runs))
        results = _results(rows, metrics, runs, data, named)

    for row in rows:
        file_name = re.sub(r"[^\w.=+-]+", "_", row.name)
        write_predictions(folder / "predictions" / f"{file_name}.jsonl", row)
    write_atomically(folder / "results.json", results.to_json().encode())
    with progress_bar("writing the report"):
        write_report(folder, results)
    # After everything is written: a failed print loses no result.
    _print_table(results)
    for note in sorted(notes_of(results.rows), key=is_of_leakage, reverse=True):
        log.info(f"warning: {note}" if is_of_leakage(note) else note)
    log_own_tests(results.oracles.get("own tests", {}))
    if len(runs) == 1:
        print_samples(rows[0].samples(3))
    label = "-".join([data.label, *map(_short, search)])
    _log_to_wandb(results, metrics, runs, sections, folder, data, label)
    console.print()
    log.info(f"report: {folder / 'report.html'} (all files are beside it)")
    kind = folder.name.partition("-")[0]
    others = sorted(path.parent.name for path in folder.parent.glob(f"{kind}-*/results.json"))
    if others := [name for name in others if runs and name != folder.name]:
        log.info(f"other evaluations are kept beside it: {', '.join(others)}")
    return results


def _changes(runs: Sequence[CheckpointRun]) -> list[str]:
    """Return the overrides, as typed, that tell the results of an evaluation from those of others.

    A search that is the one of the training is none.
    """
    typed = map(unquoted, task_overrides())
    words = sorted(o for word in typed if not _NOT_NAMED.match(o := word.lstrip("+~")))
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
    if data.overlaps:  # files of one name with other pairs
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


# -- scores ---------------------------------------------------------------------------------------


def _warn_of_leakage(runs: Sequence[CheckpointRun], remarks: Sequence[Sequence[str]]) -> None:
    """Warn before the pairs are scored; the same remarks are printed below the table."""
    found: dict[str, list[str]] = {}
    for run, own in zip(runs, remarks, strict=True):
        for note in filter(is_of_leakage, own):
            found.setdefault(note, []).append(run.name)
    for note, names in found.items():
        rest = f"{len(names) - _LISTED} others"
        shown = names if len(names) <= _LISTED + 1 else [*names[:_LISTED], rest]
        log.warning(f"warning: {listed(shown)}: {note}")


def _trainer(cfg: DictConfig, run: CheckpointRun) -> pl.Trainer:
    return pl.Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=build.precision(run.config["trainer"]["precision"]),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        plugins=[AtomicCheckpointIO()],
    )


@dataclass(frozen=True)
class _Scored:
    """A checkpoint that is scored: its module, and the shared pairs in its tokens."""

    run: CheckpointRun
    module: Seq2SeqModule
    datamodule: PairDataModule
    trainer: pl.Trainer
    data: EvaluationData

    def generate(self, search: Search | None = None) -> Programs:
        """Return programs per pair, of the own search if none is given."""
        return generate_programs(
            self.module, self.datamodule, self.trainer, self.data.split, search
        )

    def tables(self, split: str, pairs: Sequence[Pair]) -> tuple[dict[str, float], Tables]:
        """Return the token metrics of a split: their values, and their counts per pair."""
        compute = partial(token_tables, self.module, self.datamodule, self.trainer, split)
        return self.run.cached_tables(pairs, self.trainer, compute)

    def programs(self) -> tuple[Programs, list[str]]:
        """Return the programs of the run per pair, and remarks on their origin."""
        run, data, search = self.run, self.data, self.run.config["decoding"]
        pool = Pool.of(run.path, self.module, run.prepared, run.max_pairs, data.runner.sandbox)
        if pool is None:
            stored = run.stored_programs(data.pairs)
            return stored or run.cached_programs(data.pairs, search, self.generate), []
        written_by = {name: value for name, value in search.items() if name != "n_retrieved"}

        def write(pairs: list[Pair]) -> Programs:
            opened = run.open({"val": pairs})[1]
            own = partial(generate_programs, self.module, opened, self.trainer, "val")
            return run.cached_programs(pairs, written_by, own)

        weights = pool.stored_weights() or pool.learn_weights(run.prepared.pairs("val"), write)
        written = run.cached_programs(data.pairs, written_by, self.generate)
        descriptions = [pair.description for pair in data.pairs]
        programs = run.cached_programs(
            data.pairs,
            {**pool.key, "weights": asdict(weights), **pool.ranker.key},
            lambda: pool.ranker.rank(descriptions, written, weights),
            task="ranking",
        )
        known = {pair.code for pair in run.prepared.pairs("train")}
        chosen = [own[0] for own in programs if own]
        n = sum(code in known for code in chosen)
        notes = [
            f"{n:,} of {len(chosen):,} programs are training programs, the model wrote the others"
        ]
        if data.split == "val" and not data.overlaps:
            notes.append(
                "the weights of the pools were learned from validation pairs, whose figures they "
                "fit"
            )
        return programs, notes

    def pass_at_k(self, sampling: Mapping[str, Any]) -> tuple[Tables, list[list[dict[str, Any]]]]:
        """Return the counts per pair of pass@k over sampled programs, and these programs.

        The samples have the limits of the run's own search, such as the grammar.

        Args:
            sampling: The values of `k`, and the arguments of `sample`.
        """
        own, runner = self.run.config["decoding"], self.data.runner
        search = {
            "_target_": "en2py.decoding.sampling.sample",
            "_partial_": True,
            "top_k": None,
            "allow_unk": False,
            **{key: own[key] for key in ("max_len", *Limits.__annotations__) if key in own},
            **{key: value for key, value in sampling.items() if key != "k"},
        }
        draw = build.bound(make(search), self.module.tgt_tokenizer)
        drawn = self.run.cached_programs(
            self.data.pairs, search, lambda: self.generate(draw), task="sampling"
        )
        # Without a program, as where the source is too long for the model, all samples are wrong.
        drawn = [programs or [""] * sampling["n_samples"] for programs in drawn]
        places = [place for place, programs in enumerate(drawn) for _ in programs]
        executed = iter(runner.run([text for programs in drawn for text in programs], places))
        ran = [[next(executed) for _ in programs] for programs in drawn]
        return counts_at_k(ran, sampling["k"]), [*map(distinct_samples, drawn, ran)]


def _score_checkpoint(
    cfg: DictConfig,
    name: str,
    run: CheckpointRun,
    data: EvaluationData,
    notes: Sequence[str],
    settings: Mapping[str, str],
    folder: Path | None,
) -> EvaluationRow:
    """Score a checkpoint, and write its programs, samples and attention maps to a folder."""
    log.info(f"scoring {run.name}")
    opened = run.open({"val": data.validation, data.split: data.pairs})
    own = _Scored(run, *opened, _trainer(cfg, run), data)
    examples = own.datamodule.examples
    if not examples[data.split]:
        limits = [
            f"model.{key}={run.config['model'][key]}" for key in ("max_src_len", "max_tgt_len")
        ]
        raise UserError(
            f"none of the {len(data.pairs):,} pairs fits into the model of {run.name} "
            f"({', '.join(limits)}): leave this checkpoint out, or evaluate it on shorter pairs"
        )
    validation = own.tables("val", data.validation)[1] if examples["val"] else {}
    programs, origins = own.programs()
    values, tables = own.tables(data.split, data.pairs)
    training = data.training_of(run)
    row = data.score(
        name, programs, data.runner, training, token_values=values, token_tables=tables
    )
    sampling: Any = OmegaConf.to_container(cfg.pass_at_k)
    sampled, drawn = own.pass_at_k(sampling) if sampling["n_samples"] else ({}, [])
    row = dataclasses.replace(
        row,
        seed=int(run.config["seed"]),
        settings={**run.settings, **settings},
        machine=machine_of(run.result),
        validation=validation,
        sampled=sampled,
        drawn=drawn,
        tokenizer=digest([run.config["tokenizer"]["tgt"], run.metadata["tgt_state"]]),
        vocab=run.prepared.tgt_vocab.tokens,
        attention=_attention(own.module, row, cfg.attention, cfg.n_maps),
        notes=[*notes, *origins],
    )
    if folder is not None:
        write_samples(folder / "samples.md", row)
        write_predictions(folder / "predictions.jsonl", row)
        with progress_bar("drawing attention maps"):
            draw_attention(own.module, row, folder, list(cfg.attention), cfg.n_maps)
    return row


def _attention(
    module: Seq2SeqModule, row: EvaluationRow, kinds: Sequence[str], n: int
) -> list[AttentionSample]:
    """Return the attention maps of up to `n` samples of the report."""
    if not kinds:
        return []
    places = evenly_spaced(len(row.pairs), N_SAMPLES)
    found = []
    for place in (places[i] for i in evenly_spaced(len(places), n)):
        pair, program = row.pairs[place], row.programs[place]
        if program:
            labels, maps = module.attention(pair.description, program)
            weights = {kind: _rounded(maps[kind].tolist()) for kind in kinds}
            shown = {kind: labels[kind] for kind in kinds}
            found.append(AttentionSample("", pair.id, shown, weights))
    return found


def _rounded(weights: Any) -> Any:
    return [_rounded(own) if isinstance(own, list) else round(own, 3) for own in weights]


def _without_effect(cfg: DictConfig) -> dict[str, str]:
    """Return the settings of baselines that are not scored, with the reason and the remedy."""
    chosen = _chosen_baselines(cfg)
    return {
        f"baselines.{name}.{key}": f"it is not scored; add baseline={name}"
        for name, section in cfg.baselines.items()
        if name not in chosen
        for key in section or ()
    }


def _chosen_baselines(cfg: DictConfig) -> dict[str, Any]:
    """Return the config sections of the chosen baselines; None for one that is switched off."""
    names = comma_separated(cfg.baseline or "")
    if not names:
        names = [name for name in cfg.baselines if name not in LEARNED]
    elif "all" in names:
        names = list(cfg.baselines)
    return {name: cfg.baselines.get(name) for name in names}


def _score_baselines(
    sections: Mapping[str, Any], data: EvaluationData, *, is_named: bool
) -> list[EvaluationRow]:
    """Score baselines with the same code as the programs of a model.

    If a learned one is among them, those that a model has to beat are scored on validation too,
    which selects the best of them. One without a program is reported if the user named it.
    """
    everything = data.prepared.pairs(data.split)
    selects = data.split != "val" and any(sections.get(name) for name in LEARNED)
    validator = ProgramRunner(
        data.prepared.pairs("val") if selects else [],
        sandbox=data.runner.sandbox,
        folder=data.runner.folder,
        behaviour=data.runner.behaviour,
    )
    rows = []
    for name, section in sections.items():
        if section is None:
            continue
        if data.split == "train" and name in FINDERS:
            log.info(f"part=train: {name} would find the program of each pair, so it has no row")
            continue
        validated = validator.pairs if name in RIVALS else []
        with progress_bar(f"baseline {name}"):
            settings: Any = OmegaConf.to_container(section, resolve=True)
            programs = baseline_programs(
                make(section), settings, data.training, [*everything, *validated], data.runner
            )
        by_id = dict(zip((pair.id for pair in everything), programs, strict=False))
        candidates = [[text] if (text := by_id[pair.id]) else [] for pair in data.pairs]
        n, total = sum(map(bool, candidates)), len(candidates)
        if not n:
            if is_named:
                log.info(f"{name} has a program for none of the pairs, so it has no row")
            continue
        row = data.score(name, candidates, data.runner, data.training, kind=BASELINE)
        validation: Tables = {}
        if validated:
            own = [[text] for text in programs[len(everything) :]]
            tables = data.score(name, own, validator, data.training, kind=BASELINE).tables
            validation = {key: tables[key] for key in SELECTING if key in tables}
        notes = [f"{name}: {ABOUT[name].format(**settings)}"] if name in ABOUT else []
        if data.overlaps:
            notes.append(
                f"baselines read the training split of {data.facts['name']}, not that of the models"
            )
        if n < total:
            notes.append(f"has a program for {n:,} of {total:,} pairs and is scored on these")
        rows.append(dataclasses.replace(row, notes=notes, validation=validation))
    return rows


# -- results --------------------------------------------------------------------------------------


def _results(
    rows: Sequence[EvaluationRow],
    metrics: Sequence[RunMetrics],
    runs: Sequence[CheckpointRun],
    data: EvaluationData,
    named: Sequence[str],
) -> Results:
    """Return the results; `named` are the parts of their title that tell them from others."""
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
    if own := runner.check_references():
        found["own tests"] = own
    if runner.refusal:
        return {**found, "not run": runner.refusal}
    if runner.oracles:
        found |= count_testable(
            [runner.oracles[pair.code] for pair in runner.pairs if not pair.tests]
        )
    return found


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
    sampled = [f"{verb}@{k}" for verb, k in sorted(names, key=lambda own: (own[0], int(own[1])))]
    metrics = [ranked_by(results) if n == "val/nll" else n for n in (*COMPARISON, *sampled)]
    shown = [name for name in metrics if any(figure_of(row, name) for row in results.rows)]
    rows = [
        [row.name, *(figure_cell(name, figure_of(row, name)).lines for name in shown)]
        for row in results.rows
    ]
    columns = [Column("", numeric=False), *(Column(metric(name).head) for name in shown)]
    print_table(f"{results.title}, {results.data['part']} split", columns, rows)


def _wandb_sections(
    logger: Mapping[str, Any] | None, runs: Sequence[CheckpointRun]
) -> list[Mapping[str, Any] | None]:
    """Return `logger.wandb` of each run and, last, of the results; None: not logged to W&B.

    Without a logger section of the evaluation, each run's own section applies. A wrong
    `WANDB_MODE` is refused before anything is computed.
    """
    own = [(run.config["logger"] if logger is None else logger).get("wandb") for run in runs]
    used = [section for section in [(logger or {}).get("wandb"), *own] if section]
    if used:
        wandb_mode_of_environment()
    return [*own, used[-1] if used else None]


def _log_to_wandb(
    results: Results,
    metrics: Sequence[RunMetrics],
    runs: Sequence[CheckpointRun],
    sections: Sequence[Mapping[str, Any] | None],
    folder: Path,
    data: EvaluationData,
    label: str,
) -> None:
    """Log metrics to the W&B run of each checkpoint, and the results to a W&B run of their own."""
    for run, own, section in zip(runs, metrics, sections, strict=False):
        if section and run.folder is not None:  # else a copy of a checkpoint, its run is not known
            stem = run.path.stem
            own_label = label if stem == "best" else f"{label}-{stem}"
            values = {f"{own_label}/{name}": value for name, value in own.values.items()}
            study = run.metadata["config"]["study"]
            log_evaluated_run(run.folder, study, values, section)
    if sections[-1]:
        studies = {run.metadata["config"]["study"] for run in runs}
        study = studies.pop() if len(studies) == 1 else "comparisons"
        log_results(results, sections[-1], folder, study, sorted(run.sha256 for run in runs))
