"""One checkpoint, or the baselines, on the ground of a comparison."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from en2py import console
from en2py.cli.checkpoint_runs import Entrant, aligned, known_programs, stored_programs
from en2py.data.cache import digest
from en2py.data.pairs import Pair
from en2py.data.prepare import Prepared
from en2py.evaluation.aggregation import BASELINE, MODEL
from en2py.evaluation.execution.runner import Judge, counts_at_k
from en2py.evaluation.results import AttentionSample
from en2py.evaluation.samples import spread
from en2py.evaluation.scores import N_SAMPLES, Entry
from en2py.evaluation.trigger_words import probe_trigger_words
from en2py.training import build
from en2py.training.checkpoints import CheckedIO, load_checkpoint
from en2py.training.module import Seq2SeqModule
from en2py.training.testing import (
    SplitScores,
    Tables,
    Training,
    generated,
    judged,
    score_split,
    token_tables,
)


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
    judge: Judge
    data: dict[str, Any]


def module_of(entrant: Entrant) -> Seq2SeqModule:
    """Return the model of a checkpoint, with the decoding of this evaluation."""
    checkpoint = load_checkpoint(entrant.path)
    checkpoint["en2py"]["config"] = entrant.config
    module = build.module_of(checkpoint)
    module.cut_batches = True  # sums and programs are the same
    return module


def scored_model(cfg: DictConfig, entrant: Entrant, module: Seq2SeqModule, ground: Ground) -> Entry:
    """Score one checkpoint on the pairs of the comparison."""
    console.say(f"scoring {entrant.name}")
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
        usual, module.search = module.search, build.make(search)
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


def _training(entrant: Entrant, ground: Ground) -> Training:
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
        plugins=[CheckedIO()],
    )


def _sampling(cfg: DictConfig, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decoding section that draws the samples of pass@k."""
    settings: Any = OmegaConf.to_container(cfg.pass_at_k)
    del settings["k"]
    fixed_ones = {"top_k": None, "allow_unk": False, "max_len": config["decoding"]["max_len"]}
    return {"_target_": "en2py.decoding.greedy.sample", "_partial_": True, **fixed_ones, **settings}


def _at_k(drawn: list[list[str]], judge: Judge, ks: Sequence[int]) -> Tables:
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
    shown = spread(len(scored.pairs), N_SAMPLES)
    found = []
    for place in (shown[i] for i in spread(len(shown), n)):
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
        written = build.make(section)(ground.training.pairs, everything)
        by_id = dict(zip((pair.id for pair in everything), written, strict=True))
        candidates = [[text] if (text := by_id[pair.id]) else [] for pair in ground.pairs]
        if not any(candidates):
            console.say(f"{name} has an answer for none of the pairs, so it has no row")
            continue
        scored = judged(candidates, ground.judge, ground.training)
        n_asked = sum(map(bool, candidates))
        notes = [f"answers {n_asked:,} of {len(candidates):,} pairs, and is scored on these"]
        entries.append(
            Entry(name, BASELINE, None, {}, scored, notes=notes[n_asked == len(candidates) :])
        )
    return entries
