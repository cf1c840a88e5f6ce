"""Score checkpoints and baselines on the pairs of an evaluation, each as a row."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from en2py.cli.checkpoint_runs import CheckpointRun, Programs
from en2py.cli.evaluation_data import EvaluationData
from en2py.cli.votes import Pool
from en2py.config.instantiate import make
from en2py.config.overrides import comma_separated
from en2py.console import progress_bar
from en2py.data.datamodule import PairDataModule
from en2py.data.pairs import Pair, evenly_spaced
from en2py.decoding.constraints import Limits
from en2py.errors import UserError
from en2py.evaluation.baselines import ABOUT, FINDERS, LEARNED, RIVALS
from en2py.evaluation.baselines.cached import baseline_programs
from en2py.evaluation.comparison import N_SAMPLES
from en2py.evaluation.execution.runner import ProgramRunner, counts_at_k
from en2py.evaluation.results import BASELINE, AttentionSample
from en2py.evaluation.scores import (
    EvaluationRow,
    Tables,
    distinct_samples,
    write_predictions,
    write_samples,
)
from en2py.training import build, fitting
from en2py.training.checkpoints import AtomicCheckpointIO
from en2py.training.module import Search, Seq2SeqModule
from en2py.training.run_folder import machine_of
from en2py.training.testing import draw_attention, generate_programs, token_tables

log = logging.getLogger(__name__)

SELECTING = ("passes_tests", "behaves", "bleu")  # of baselines on validation


def trainer_of(cfg: DictConfig, run: CheckpointRun) -> pl.Trainer:
    """Return a trainer that tests and generates on the device of the evaluation."""
    return pl.Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=cfg.trainer.devices,
        precision=fitting.precision(run.config["trainer"]["precision"]),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        plugins=[AtomicCheckpointIO()],
    )


@dataclass(frozen=True)
class Scored:
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
            programs = run.stored_programs(data.pairs)
            if programs is None:
                programs = run.cached_programs(data.pairs, search, self.trainer, self.generate)
            return programs, []
        written_by = {name: value for name, value in search.items() if name != "n_retrieved"}

        def write(pairs: list[Pair]) -> Programs:
            opened = run.open({"val": pairs})[1]
            generate = partial(generate_programs, self.module, opened, self.trainer, "val")
            return run.cached_programs(pairs, written_by, self.trainer, generate)

        weights = pool.stored_weights() or pool.learn_weights(run.prepared.pairs("val"), write)
        written = run.cached_programs(data.pairs, written_by, self.trainer, self.generate)
        descriptions = [pair.description for pair in data.pairs]
        programs = run.cached_programs(
            data.pairs,
            {**pool.key, "weights": asdict(weights), **pool.ranker.key},
            self.trainer,
            lambda: pool.ranker.rank(descriptions, written, weights),
            task="ranking",
        )
        known = {pair.code for pair in run.prepared.pairs("train")}
        chosen = [ranked[0] for ranked in programs if ranked]
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
        decoding, runner = self.run.config["decoding"], self.data.runner
        search = {
            "_target_": "en2py.decoding.sampling.sample",
            "_partial_": True,
            "top_k": None,
            "allow_unk": False,
            **{
                key: decoding[key]
                for key in ("max_len", *Limits.__annotations__)
                if key in decoding
            },
            **{key: value for key, value in sampling.items() if key != "k"},
        }
        draw = build.bound(make(search), self.module.tgt_tokenizer)
        drawn = self.run.cached_programs(
            self.data.pairs, search, self.trainer, lambda: self.generate(draw), task="sampling"
        )
        # Without a program, as where the source is too long for the model, all samples are wrong.
        drawn = [programs or [""] * sampling["n_samples"] for programs in drawn]
        places = [place for place, programs in enumerate(drawn) for _ in programs]
        executed = iter(runner.run([text for programs in drawn for text in programs], places))
        ran = [[next(executed) for _ in programs] for programs in drawn]
        return counts_at_k(ran, sampling["k"]), [*map(distinct_samples, drawn, ran)]


def score_checkpoint(
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
    scored = Scored(run, *opened, trainer_of(cfg, run), data)
    examples = scored.datamodule.examples
    if not examples[data.split]:
        limits = [
            f"model.{key}={run.config['model'][key]}" for key in ("max_src_len", "max_tgt_len")
        ]
        raise UserError(
            f"none of the {len(data.pairs):,} pairs fits into the model of {run.name} "
            f"({', '.join(limits)}): leave this checkpoint out, or evaluate it on shorter pairs"
        )
    validation = scored.tables("val", data.validation)[1] if examples["val"] else {}
    programs, origins = scored.programs()
    values, tables = scored.tables(data.split, data.pairs)
    training = data.training_of(run)
    row = data.score(
        name, programs, data.runner, training, token_values=values, token_tables=tables
    )
    sampling: Any = OmegaConf.to_container(cfg.pass_at_k)
    sampled, drawn = scored.pass_at_k(sampling) if sampling["n_samples"] else ({}, [])
    row = dataclasses.replace(
        row,
        seed=int(run.config["seed"]),
        settings={**run.settings, **settings},
        machine=machine_of(run.result),
        validation=validation,
        sampled=sampled,
        drawn=drawn,
        tokenizer=run.tokenizer,
        vocab=run.prepared.tgt_vocab.tokens,
        attention=_attention(scored.module, row, cfg.attention, cfg.n_maps),
        notes=[*notes, *origins],
    )
    if folder is not None:
        write_samples(folder / "samples.md", row)
        write_predictions(folder / "predictions.jsonl", row)
        with progress_bar("drawing attention maps"):
            draw_attention(scored.module, row, folder, list(cfg.attention), cfg.n_maps)
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
    return [_rounded(part) if isinstance(part, list) else round(part, 3) for part in weights]


def unscored_settings(cfg: DictConfig) -> dict[str, str]:
    """Return the settings of baselines that are not scored, with the reason and the remedy."""
    chosen = chosen_baselines(cfg)
    return {
        f"baselines.{name}.{key}": f"it is not scored; add baseline={name}"
        for name, section in cfg.baselines.items()
        if name not in chosen
        for key in section or ()
    }


def chosen_baselines(cfg: DictConfig) -> dict[str, Any]:
    """Return the config sections of the chosen baselines; None for one that is switched off."""
    names = comma_separated(cfg.baseline or "")
    if not names:
        names = [name for name in cfg.baselines if name not in LEARNED]
    elif "all" in names:
        names = list(cfg.baselines)
    return {name: cfg.baselines.get(name) for name in names}


def score_baselines(
    sections: Mapping[str, Any], data: EvaluationData, *, is_named: bool
) -> list[EvaluationRow]:
    """Score baselines with the same code as the programs of a model.

    If a learned one is among them, those that a model has to beat are scored on validation too,
    which selects the best of them. One without a program is reported if the user named it.
    """
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
        row = _score_baseline(name, section, data, validator)
        if row is not None:
            rows.append(row)
        elif is_named:
            log.info(f"{name} has a program for none of the pairs, so it has no row")
    return rows


def _score_baseline(
    name: str, section: Mapping[str, Any], data: EvaluationData, validator: ProgramRunner
) -> EvaluationRow | None:
    """Score a baseline, a rival of models on the validator's pairs too; None without a program."""
    everything = data.prepared.pairs(data.split)
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
        return None
    row = data.score(name, candidates, data.runner, data.training, kind=BASELINE)
    validation: Tables = {}
    if validated:
        of_validation = [[text] for text in programs[len(everything) :]]
        tables = data.score(name, of_validation, validator, data.training, kind=BASELINE).tables
        validation = {key: tables[key] for key in SELECTING if key in tables}
    notes = [f"{name}: {ABOUT[name].format(**settings)}"] if name in ABOUT else []
    if data.overlaps:
        notes.append(
            f"baselines read the training split of {data.facts['name']}, not that of the models"
        )
    if n < total:
        notes.append(f"has a program for {n:,} of {total:,} pairs and is scored on these")
    return dataclasses.replace(row, notes=notes, validation=validation)
