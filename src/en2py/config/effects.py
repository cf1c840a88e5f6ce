"""Refuse settings of the command line that have no effect beside the others.

Presets and defaults may set them: `embeddings.freeze_epochs` of a preset has an effect as soon as
word vectors are chosen.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from en2py.config.composition import Config, value_at
from en2py.config.instantiate import class_of
from en2py.config.overrides import unquoted
from en2py.errors import UserError

Reasons = Iterator[tuple[str, str]]  # a key or a section that nothing reads, and why

_NO_VECTORS = "without word vectors this has no effect; choose embeddings=joint or another option"
_NEVER_STOPPING = {"SampleGenerations", "EMAWeightAveraging"}  # of our callbacks


def check_effects(config: Config, overrides: Sequence[str]) -> None:
    """Refuse a typed override, or one of Hydra's own settings, that has no effect."""
    of_hydra = map(str, HydraConfig.get().overrides.hydra)
    refuse_typed(dict(without_effect(config)), [*overrides, *of_hydra])


def refuse_typed(reasons: Mapping[str, str], overrides: Sequence[str]) -> None:
    """Refuse the first override of a key, or of a section, that has no effect for a reason.

    Raises:
        UserError: With the override, the reason and the remedy.
    """
    for word in overrides:
        typed = word.lstrip("+").partition("=")[0].replace("/", ".")
        for key, reason in reasons.items():
            if f"{typed}.".startswith(f"{key}."):
                raise UserError(f"{unquoted(word).lstrip('+')}: {reason}")


def without_effect(config: Config) -> Reasons:
    """Yield the keys and sections that nothing reads, with the reason and the remedy."""
    at = functools.partial(value_at, config)
    for part in (_of_training, _of_data, _of_decoding, _of_evaluation, _of_sweep):
        yield from part(at)


def _each(section: str, names: Sequence[str], reason: str) -> Reasons:
    """Yield keys of a section that have no effect for the same reason."""
    for name in names:
        yield f"{section}.{name}", reason


def _of_training(at: Callable[..., Any]) -> Reasons:
    if class_of(at("scheduler")) == "noam":
        yield (
            "optimizer.lr",
            "scheduler=noam sets the rate itself; leave it out where noam is used, and scale that "
            "rate by scheduler.scale=FACTOR",
        )
    if class_of(at("optimizer")) == "Rprop":
        first = "Rprop reads the learning rate in its first update alone"
        yield "scheduler", f"{first}; leave it out, or choose another optimizer"
        if at("ckpt_path"):
            yield "optimizer.lr", f"{first}, before this checkpoint; leave it out"
    if class_of(at("embeddings.vectors")) == "none":
        yield from _each("embeddings", ("freeze_epochs", "vectors"), _NO_VECTORS)
    every = at("checkpoints.keep_every_n_epochs", 0)
    if -1 != (n_epochs := at("trainer.max_epochs", -1)) < every:
        reason = f"trainer.max_epochs={n_epochs} ends the run before; set one of at most {n_epochs}"
        yield "checkpoints.keep_every_n_epochs", reason
    may_stop = {*map(class_of, filter(None, at("callbacks", {}).values()))} - _NEVER_STOPPING
    if not (may_stop or at("trainer.max_time") or HydraConfig.get().sweeper.get("pruner")):
        for name in ("epochs", "steps"):
            reason = f"without early stopping nothing ends a run before trainer.max_{name}"
            yield f"trainer.min_{name}", f"{reason}; leave it out"
    if not at("trainer.gradient_clip_val"):
        reason = "no gradient is clipped; add trainer.gradient_clip_val=VALUE"
        yield "trainer.gradient_clip_algorithm", reason


def _of_data(at: Callable[..., Any]) -> Reasons:
    if class_of(at("augmentation")) == "none":
        yield "augmentation.seed", "nothing is drawn; choose augmentation=rename or word_dropout"
    for step in at("cleaning.steps", ()):
        if not at(f"cleaning.use.{step}"):
            yield f"cleaning.steps.{step}", f"this step is off; add cleaning.use.{step}=true"
    for side in ("src", "tgt"):
        is_pieces = class_of(at(f"tokenizer.{side}")).endswith("Pieces")
        if is_pieces and (file := at(f"tokenizer.{side}.path")):
            for key in ("tokenizer.vocab_size", f"tokenizer.{side}.vocab_size"):
                yield key, f"the pieces of {file} are taken as they are; keep one of the two"
    if isinstance(path := at("data.path"), str):
        reason = f"data.path={path} is read instead; keep one of the two"
        yield from _each("data.source", ("url", "sha256"), reason)
    source = at("data.source", {})
    if "tests_field" in source and source["tests_field"] is None and source.get("setup_field"):
        yield "data.source.setup_field", "no test is read; add data.source.tests_field=NAME"
    # Without pairs for validation, the seed and the ratios would choose some.
    if "val" in at("split.numbers", ()) or (isinstance(path, Mapping) and "val" in path):
        yield from _fixed_split()


def check_split_of_source(facts: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse a typed seed or ratios if, by the facts of a `DataReport`, the source fixes the split.

    With a field of the splits, that is not known before the pairs are read.
    """
    if facts.get("fixed"):
        refuse_typed(dict(_fixed_split()), overrides)


def _fixed_split() -> Reasons:
    reason = "the source fixes this split; choose split=group for another"
    yield from _each("split", ("seed", "ratios"), reason)


def _of_decoding(at: Callable[..., Any]) -> Reasons:
    if at("decoding.beam_size") == 1:
        reason = "a beam of one hypothesis has nothing to rank; add decoding.beam_size=4"
        yield "decoding.length_penalty", reason
    if at("decoding.n_samples") == 0:
        reason = "nothing is drawn with decoding.n_samples=0"
        yield from _each("decoding", ("temperature", "top_k", "top_p", "seed"), reason)
    if at("decoding.top_k") == 1:
        reason = "decoding.top_k=1 leaves one token to draw; set a higher one"
        yield from _each("decoding", ("temperature", "top_p", "seed"), reason)


def _of_evaluation(at: Callable[..., Any]) -> Reasons:
    if at("pass_at_k") and at("pass_at_k.n_samples") is None:
        reason = f"pass@k needs samples; add pass_at_k.n_samples={max(at('pass_at_k.k'))}"
        yield from _each("pass_at_k", ("k", "temperature", "top_p", "seed"), reason)
    if at("attention") == []:
        yield "n_maps", "no attention map is drawn; choose 'attention=[cross]'"


def _of_sweep(at: Callable[..., Any]) -> Reasons:
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        yield from _each("hydra", ("launcher", "sweeper"), "only a sweep uses it; add -m")
    elif hydra.sweeper.get("pruner") != "median":
        reason = "only the median waits for these epochs; use hydra.sweeper.pruner=median"
        yield "hydra.sweeper.n_warmup_epochs", reason
        if hydra.sweeper.get("sampler") == "random":
            reason = "all trials are random; use hydra.sweeper.sampler=tpe or pruner=median"
            yield "hydra.sweeper.n_startup_trials", reason
