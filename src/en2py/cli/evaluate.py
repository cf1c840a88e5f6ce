"""Checkpoints and baselines against each other: the same test pairs, the same reference text.

`evaluate.py` ends here. One checkpoint is a comparison with one model row.
"""

import dataclasses
import logging
import platform
import re
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from en2py.cli.checkpoint_runs import (
    CheckpointRun,
    aligned,
    common_pairs,
    find_runs,
    known_programs,
    stored_programs,
)
from en2py.cli.generate import generate
from en2py.cli.tables import print_samples
from en2py.config.instantiate import make
from en2py.console import console
from en2py.data.files import digest, write_atomically
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.decoding.ctranslate2 import export
from en2py.errors import UserError
from en2py.evaluation.aggregation import BASELINE, MODEL, RunMetrics, axes, fixed, reference_name
from en2py.evaluation.behaviour.cached import count_testable, oracle_quality
from en2py.evaluation.execution.runner import ProgramRunner, counts_at_k
from en2py.evaluation.metrics.registry import COMPARISON, format_value, metric
from en2py.evaluation.metrics.seen_descriptions import seen_and_new
from en2py.evaluation.report import write_report
from en2py.evaluation.report.samples import evenly_spaced
from en2py.evaluation.results import AttentionSample, Estimate, Results
from en2py.evaluation.scores import (
    N_SAMPLES,
    Entry,
    SplitScores,
    Tables,
    Training,
    attention_of,
    clusters_of,
    judged,
    rows_of,
    samples_of,
    write_predictions,
    write_scores,
)
from en2py.evaluation.trigger_words import probe_trigger_words
from en2py.training import build
from en2py.training.checkpoints import AtomicCheckpointIO, load_checkpoint
from en2py.training.loggers import log_evaluation
from en2py.training.module import Seq2SeqModule
from en2py.training.out_of_memory import EVALUATION_REMEDIES, report_out_of_memory
from en2py.training.testing import draw_attention, generated, score_split, token_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ground:
    """What all that take part are scored on.

    Attributes:
        part: `train`, `val` or `test`.
        prepared: The data that reference text and training pairs are taken from.
        pairs: The pairs.
        validation: The validation pairs that all models share.
        training: What the reference was trained on.
        judge: Runs programs.
        data: What a report says of the data.
    """

    part: str
    prepared: Prepared
    pairs: list[Pair]
    validation: list[Pair]
    training: Training
    judge: ProgramRunner
    data: dict[str, Any]


def module_of(entrant: CheckpointRun) -> Seq2SeqModule:
    """Return the model of a checkpoint, with the decoding of this evaluation."""
    checkpoint = load_checkpoint(entrant.path)
    checkpoint["en2py"]["config"] = entrant.config
    return build.module_of(checkpoint)


def scored_model(
    cfg: DictConfig, entrant: CheckpointRun, module: Seq2SeqModule, ground: Ground
) -> Entry:
    """Score one checkpoint on the pairs of the comparison."""
    log.info(f"scoring {entrant.name}")
    trainer, config, part = _trainer(cfg, entrant.config), entrant.config, ground.part
    parts = {"val": ground.validation, part: ground.pairs}
    datamodule = build.datamodule(config, aligned(entrant, module, parts))
    validation = token_tables(module, datamodule, trainer, "val")[1] if ground.validation else {}

    def write() -> list[list[str]]:
        return generated(module, datamodule, trainer, part)

    programs = stored_programs(entrant, ground.pairs)
    if programs is None:
        programs = known_programs(entrant, ground.pairs, config["decoding"], write)
    training = _training(entrant, ground)
    scored = score_split(module, datamodule, trainer, part, ground.judge, training, programs)
    sampled = {}
    if cfg.pass_at_k.n_samples:
        search = _sampling(cfg, config)
        usual, module.search = module.search, make(search)
        drawn = known_programs(entrant, ground.pairs, search, write)
        module.search = usual
        sampled = _at_k(drawn, ground.judge, list(cfg.pass_at_k.k))
    return Entry(
        name=entrant.name,
        kind=MODEL,
        seed=entrant.seed,
        settings=entrant.settings,
        scored=scored,
        validation=validation,
        sampled=sampled,
        values=_trigger_words(module, scored, training) if cfg.trigger_words else {},
        tokenizer=digest([config["tokenizer"]["tgt"], entrant.stored["tgt_state"]]),
        vocab=entrant.prepared.tgt_vocab.tokens,
        attention=_attention(module, scored, cfg.n_maps),
        notes=entrant.notes(),
    )


def _training(entrant: CheckpointRun, ground: Ground) -> Training:
    """Return what a run may have copied from; n-grams that do not count are those of the first."""
    if entrant.prepared.split_hash == ground.prepared.split_hash:
        return ground.training
    own = Training.of(entrant.prepared)
    own.code.common = ground.training.code.common
    return Training(ground.training.pairs, own.code)


def _trainer(cfg: DictConfig, config: Mapping[str, Any]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=build.precision(config["trainer"]["precision"]),
        logger=False,
        enable_progress_bar=sys.stdout.isatty(),
        enable_model_summary=False,
        enable_checkpointing=False,
        plugins=[AtomicCheckpointIO()],
    )


def _sampling(cfg: DictConfig, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decoding section that draws the samples of pass@k."""
    settings: Any = OmegaConf.to_container(cfg.pass_at_k)
    del settings["k"]
    fixed_ones = {"top_k": None, "allow_unk": False, "max_len": config["decoding"]["max_len"]}
    return {
        "_target_": "en2py.decoding.sampling.sample",
        "_partial_": True,
        **fixed_ones,
        **settings,
    }


def _at_k(drawn: list[list[str]], judge: ProgramRunner, ks: Sequence[int]) -> Tables:
    places = [place for place, programs in enumerate(drawn) for _ in programs]
    ran = iter(judge.run([program for programs in drawn for program in programs], places))
    return counts_at_k([[next(ran) for _ in programs] for programs in drawn], ks)


def _trigger_words(
    module: Seq2SeqModule, scored: SplitScores, training: Training
) -> dict[str, float]:
    """Return how many programs the rarest word of their description brings by itself."""
    descriptions = [pair.description for pair in scored.pairs]
    known = [pair.description for pair in training.pairs]
    probe = probe_trigger_words(descriptions, scored.predictions, known, module.generate)
    if probe is None:
        return {}
    names = ("alone_same", "alone_renamed", "without_same", "without_renamed")
    return {f"trigger_{name}": getattr(probe, name) for name in names}


def _attention(module: Seq2SeqModule, scored: SplitScores, n: int) -> list[AttentionSample]:
    """Return what a model looked at while it wrote some of the samples of the report."""
    shown = evenly_spaced(len(scored.pairs), N_SAMPLES)
    found = []
    for place in (shown[i] for i in evenly_spaced(len(shown), n)):
        pair, code = scored.pairs[place], scored.predictions[place]
        if code:
            labels, maps = module.attention(pair.description, code)
            weights = {kind: _rounded(maps[kind].tolist()) for kind in maps}
            found.append(AttentionSample("", pair.id, labels, weights))
    return found


def _rounded(weights: Any) -> Any:
    return [_rounded(own) if isinstance(own, list) else round(own, 3) for own in weights]


def scored_baselines(cfg: DictConfig, ground: Ground) -> list[Entry]:
    """Score what needs no training, through the same code as a model's programs."""
    names = str(cfg.baseline or ",".join(cfg.baselines)).split(",")
    everything = ground.prepared.pairs(ground.part)
    entries = []
    for name in (name.strip() for name in names):
        section = cfg.baselines.get(name)
        if section is None:  # switched off, or `baseline=none`
            continue
        written = make(section)(ground.training.pairs, everything)
        by_id = dict(zip((pair.id for pair in everything), written, strict=True))
        candidates = [[text] if (text := by_id[pair.id]) else [] for pair in ground.pairs]
        if not any(candidates):
            log.info(f"{name} has an answer for none of the pairs, so it has no row")
            continue
        scored = judged(candidates, ground.judge, ground.training)
        n_asked = sum(map(bool, candidates))
        notes = [f"answers {n_asked:,} of {len(candidates):,} pairs, and is scored on these"]
        entries.append(
            Entry(name, BASELINE, None, {}, scored, notes=notes[n_asked == len(candidates) :])
        )
    return entries


def comparison(found: Results) -> None:
    """Print the rows of a comparison with their 95 % intervals; all figures are in its report."""
    shown = [name for name in COMPARISON if any(name in row.figures for row in found.rows)]
    table = Table(title=f"{found.title}, {found.data['part']} split", title_justify="left")
    table.add_column("", overflow="fold")
    has_models = any("nll" in row.validation for row in found.rows)
    if has_models:
        table.add_column(metric("val/nll").label, justify="right")
    for name in shown:
        table.add_column(metric(name).label, justify="right")
    for row in found.rows:
        own = [_with_interval(name, row.figures.get(name)) for name in shown]
        chosen_by = [_with_interval("nll", row.validation.get("nll"))] if has_models else []
        table.add_row(row.name, *chosen_by, *own)
    console.print(table)


def _with_interval(name: str, figure: Estimate | None) -> str:
    if figure is None:
        return ""
    text = format_value(name, figure.value)
    if figure.low is not None and figure.high is not None:
        text += f"\n{format_value(name, figure.low)} to {format_value(name, figure.high)}"
    return text


_VERSIONS = ("en2py", "torch", "pytorch-lightning", "sacrebleu", "scikit-learn", "numpy", "scipy")


def evaluate(cfg: DictConfig) -> Results | None:
    """Do what `evaluate.py` was asked.

    Raises:
        UserError: For what a person can mend.
    """
    if cfg.results is not None:
        return _again(cfg)
    with report_out_of_memory(cfg.batch.max_tokens, EVALUATION_REMEDIES):
        return _scored(cfg)


def _scored(cfg: DictConfig) -> Results | None:
    if cfg.export is not None:
        module = build.load(cfg.ckpt_path)
        export(module.model, module.src_vocab, module.tgt_vocab, Path(cfg.export))
        log.info(f"the model for CTranslate2 is in {cfg.export}")
        return None
    if cfg.prompt is not None or cfg.prompts is not None:
        generate(cfg)
        return None
    return compare(cfg)


def _again(cfg: DictConfig) -> Results:
    """Make the pages again from stored results.

    Raises:
        UserError: If the file is not one of ours, or not whole.
    """
    path = Path(cfg.results)
    try:
        results = Results.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"results={path} is not a results.json of evaluate.py ({error}): name another file, or "
            "score again with ckpt_path=FILE"
        ) from None
    folder = Path(cfg.folder or path.parent)
    write_report(folder, results)
    log.info(f"the pages are in {folder}")
    return results


def compare(cfg: DictConfig) -> Results:
    """Score checkpoints and baselines, write results and pages, and return the results."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it greets once a checkpoint
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    entrants = find_runs(cfg) if cfg.ckpt_path else []
    ground = _ground(cfg, entrants)
    folder = _folder(cfg, entrants, ground)
    log.info(
        f"{ground.part} split of {ground.data['name']}: {ground.data['n_pairs']:,} pairs in "
        f"{ground.data['n_clusters']:,} clusters"
    )
    entries = []
    for entrant in entrants:
        module = module_of(entrant)
        entries.append(scored_model(cfg, entrant, module, ground))
    entries = _named_apart(entries)
    if len(entries) == 1:
        write_scores(folder, entries[0].scored)
        draw_attention(module, entries[0].scored, folder, list(cfg.attention), cfg.n_maps)
        print_samples(entries[0].scored.samples(3))
    entries += scored_baselines(cfg, ground)
    if not entries:
        raise UserError("there is no row to show: name a checkpoint, or a baseline that answers")
    for entry in entries:
        write_predictions(folder / "predictions" / f"{_file_name(entry.name)}.jsonl", entry.scored)
    runs, results = _results(cfg, entries, entrants, ground)
    write_atomically(folder / "results.json", results.to_json().encode())
    write_report(folder, results)
    comparison(results)
    log_evaluation(results, runs, entrants, cfg.get("logger"), folder)
    log.info(f"everything is in {folder}")
    return results


def _ground(cfg: DictConfig, entrants: Sequence[CheckpointRun]) -> Ground:
    config: Any
    if entrants:
        config, prepared = entrants[0].config, entrants[0].prepared
        pairs = common_pairs(entrants, cfg.part)
        validation = common_pairs(entrants, "val")
    else:
        config = OmegaConf.to_container(cfg, resolve=True)
        prepared = build.prepare_data(config)[0]
        pairs, validation = prepared.pairs(cfg.part), []
    if not pairs:
        names = dict.fromkeys(entrant.config["data"]["name"] for entrant in entrants)
        raise UserError(
            f"these checkpoints have no {cfg.part} pair in common (their data: "
            f"{', '.join(names)}): compare runs on the same data with the same split"
        )
    judge = ProgramRunner(
        pairs, sandbox=dict(cfg.sandbox), folder=Path(cfg.cache), behaviour=cfg.behaviour
    )
    texts = [[pair.id, pair.description, pair.code] for pair in pairs]
    data = {
        "name": config["data"]["name"],
        "part": cfg.part,
        "n_pairs": len(pairs),
        "n_clusters": len(set(clusters_of(pairs))),
        "n_left_out": len(prepared.pairs(cfg.part)) - len(pairs),
        "split_hash": prepared.split_hash,
        "test_hash": digest(texts),
    }
    return Ground(cfg.part, prepared, pairs, validation, Training.of(prepared), judge, data)


def _folder(cfg: DictConfig, entrants: Sequence[CheckpointRun], ground: Ground) -> Path:
    """Choose where results go: beside the checkpoint, into its study, or into a folder of ours."""
    if cfg.folder is not None:
        return Path(cfg.folder)
    if len(entrants) == 1:
        return entrants[0].path.parent.parent / f"evaluate-{ground.part}"
    studies = {own.folder.parent if own.folder else None for own in entrants}
    study = studies.pop() if len(studies) == 1 else None
    if study is not None:
        return study / f"report-{ground.part}"
    names = [own.sha256 for own in entrants] or [ground.data["test_hash"]]
    kind = "comparisons" if entrants else "baselines"
    return Path(cfg.output) / kind / f"{ground.data['name']}-{ground.part}-{digest(names)[:8]}"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.=+-]+", "_", name)


def _named_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Number the entries of one run, which may come with several checkpoints."""
    seen: Counter[str] = Counter()
    found = []
    for entry in entries:
        seen[entry.name] += 1
        n = seen[entry.name]
        found.append(dataclasses.replace(entry, name=f"{entry.name} ({n})") if n > 1 else entry)
    return found


def _results(
    cfg: DictConfig, entries: Sequence[Entry], entrants: Sequence[CheckpointRun], ground: Ground
) -> tuple[list[RunMetrics], Results]:
    runs, rows = rows_of(entries, ground.pairs, seen_and_new(ground.training.pairs, ground.pairs))
    n_models = sum(row.kind == MODEL for row in rows)
    signatures = dict(entries[0].scored.scores.signatures) if entries else {}
    return runs, Results(
        title=_title(n_models, ground.data["name"]),
        data=ground.data,
        axes=axes(runs),
        fixed=fixed(runs),
        rows=rows,
        reference_row=reference_name(runs),
        oracles=_oracles(cfg, ground),
        samples=samples_of(entries, rows, runs),
        attention=attention_of(entries, rows, runs),
        curves={own.name: curve for own in entrants if (curve := own.curve())},
        signatures={**signatures, **_SIGNATURES},
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _VERSIONS},
        },
    )


def _title(n_models: int, data: str) -> str:
    if not n_models:
        return f"Baselines on {data}"
    return f"{n_models} configuration{'s' * (n_models > 1)} on {data}"


_SIGNATURES = {
    "behaves": "same results, changed arguments and output as the reference on up to 40 inputs",
    "intervals": "95 %: Student's t over seeds; for one seed, and for baselines, percentiles of "
    "2,000 resamples of clusters of twins",
    "nll": "nats a token, plain cross-entropy, of the reference text cut into the run's own tokens",
    "bpc": "bits a character of the reference text; an unknown token pays for its spelling",
}


def _oracles(cfg: DictConfig, ground: Ground) -> dict[str, Any]:
    """Return how many references can be tested, why the others cannot, and the error bars."""
    judge = ground.judge
    n_tests = sum(bool(pair.tests) for pair in ground.pairs)
    found: dict[str, Any] = {"with tests": n_tests} if n_tests else {}
    if judge.refusal:
        return {**found, "not run": judge.refusal}
    if judge.oracles:
        own = [judge.oracles[pair.code] for pair in ground.pairs if not pair.tests]
        found |= count_testable(own)
        if cfg.oracle_quality:
            found["quality"] = oracle_quality(
                judge.oracles, sandbox=judge.sandbox, folder=judge.folder
            )
    return found
