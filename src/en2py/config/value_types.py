"""The types and ranges of values without a `_target_`, and of arguments of other packages."""

import fnmatch
import functools
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from en2py.config.argument_types import ArgumentType
from en2py.ranges import PositiveFraction, ProperFraction, Seed

Section = Mapping[str, Any]
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def _duration(value: Any) -> Any:
    """Return a time as Lightning's `Timer` reads it."""
    if isinstance(value, dict):
        is_valid = all(k in _UNITS and type(n) in (int, float) for k, n in value.items())
        is_valid = is_valid and 0 < sum(value.values()) < math.inf
    else:
        is_valid = isinstance(value, str) and bool(re.fullmatch(r"\d+(:\d\d){3}", value))
        is_valid = is_valid and any(int(n) for n in value.split(":"))
    if not is_valid:
        raise ValueError(
            f"days:hours:minutes:seconds as 00:01:30:00, or '{{{_UNITS[2]}: 1.5}}', above 0"
        )
    return value


_Count = PositiveInt | Literal[-1]  # -1: without limit

# The types of values without a `_target_`, and the ranges of arguments of Lightning and torch.
VALUES: dict[str, ArgumentType] = {
    key: ArgumentType(annotation)
    for key, annotation in {
        "seed": Seed,
        "study": str | None,
        "fresh": bool,
        "ckpt_path": str | None,
        "init_from": str | None,
        "pretrained": Annotated[str, Field(min_length=1)],  # of experiment=finetune
        "output": str,
        "cache": str,
        "processes": PositiveInt | None,
        "allowed_packages": list[str],
        "behaviour": bool,
        "show_config": bool,
        "vocab.src_min_freq": PositiveInt,
        "vocab.tgt_min_freq": PositiveInt,
        "batch.max_tokens": PositiveInt,
        "batch.max_pairs": PositiveInt | None,
        "batch.num_workers": NonNegativeInt,
        "batch.denoising": NonNegativeFloat,
        "compute.compile": Literal["default", "reduce-overhead", "max-autotune"] | None,
        "checkpoints.keep": Literal["last", "weights", "all"],
        "checkpoints.every_n_minutes": PositiveFloat,
        "checkpoints.every_n_steps": PositiveInt | None,
        "checkpoints.keep_every_n_epochs": PositiveInt | None,
        "faults.skip_batches": NonNegativeInt,
        "faults.spike": Annotated[float, Field(gt=1)] | None,
        "sandbox.timeout_s": PositiveFloat,
        "sandbox.memory_mb": Annotated[int, Field(ge=64)],
        "sandbox.workers": PositiveInt | None,
        "sandbox.min_level": Literal["auto", "full", "kernel", "process"],
        "logger.wandb": Section | None,
        "logger.wandb.project": Annotated[str, Field(min_length=1)],
        "logger.wandb.entity": str | None,
        "logger.wandb.tags": list[str],
        "logger.wandb.notes": str | None,
        "logger.wandb.mode": Literal["online", "offline", "disabled"] | None,
        "logger.wandb.log_checkpoints": bool,
        "logger.tensorboard": Section | None,
        "logger.mlflow": Section | None,
        "data.name": str,
        "data.path": str | Annotated[list[str], Field(min_length=1)] | Mapping[str, str] | None,
        "data.root": str | None,
        "data.source": Section,
        "data.target": Section | None,
        "data.target.name": str,
        "data.target.path": str | Mapping[str, str] | None,
        "data.target.source": Section,
        "cleaning.use": Section,
        "cleaning.use.*": bool,
        "cleaning.steps": Section,
        "cleaning.steps.*": Section,
        "cleaning.seconds_per_pair": PositiveFloat,
        "tokenizer.vocab_size": PositiveInt,
        "tokenizer.path": str | None,
        "tokenizer.src": Section,
        "tokenizer.tgt": Section,
        "embeddings.path": str | None,
        "embeddings.freeze_epochs": Annotated[int, Field(ge=-1)],
        "embeddings.vectors": Section,
        "optimizer.lr": PositiveFloat,
        "optimizer.eps": PositiveFloat,
        "optimizer.betas": tuple[ProperFraction, ProperFraction],
        "optimizer.weight_decay": NonNegativeFloat,
        "optimizer.momentum": ProperFraction,
        "decoding.engine": Literal["torch", "auto", "ctranslate2", "ctranslate2_int8"],
        "callbacks.*": Any,
        "callbacks.*.patience": PositiveInt,
        "callbacks.*.decay": Annotated[float, Field(gt=0, lt=1)],
        "callbacks.*.every_n_*": PositiveInt | None,
        "callbacks.*.update_every_n_steps": PositiveInt,
        "trainer.max_epochs": _Count,
        "trainer.max_steps": _Count,
        "trainer.min_epochs": PositiveInt | None,
        "trainer.min_steps": PositiveInt | None,
        "trainer.max_time": Annotated[Any, AfterValidator(_duration)] | None,
        "trainer.limit_train_batches": PositiveInt | PositiveFraction | None,
        "trainer.limit_val_batches": NonNegativeInt | PositiveFraction | None,
        "trainer.check_val_every_n_epoch": PositiveInt,
        "trainer.num_sanity_val_steps": NonNegativeInt | Literal[-1],
        "trainer.accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps"],
        "trainer.devices": _Count
        | Literal["auto"]
        | Annotated[str, Field(pattern=r"^\d+(,\d+)+$")]
        | Annotated[list[NonNegativeInt], Field(min_length=1)],
        "trainer.num_nodes": PositiveInt,
        "trainer.strategy": Literal["auto", "ddp"],
        # Lightning cannot convert frozen batches to `16-true`, `bf16-true` and `64-true`.
        "trainer.precision": Literal[
            "auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16", 32, 16
        ],
        "trainer.gradient_clip_val": NonNegativeFloat | None,
        "trainer.gradient_clip_algorithm": Literal["norm", "value"] | None,
        "trainer.accumulate_grad_batches": PositiveInt,
        "trainer.log_every_n_steps": NonNegativeInt,
        "trainer.profiler": Literal["simple", "advanced", "pytorch"] | Section | None,
        "trainer.use_distributed_sampler": Literal[False],  # our batch sampler distributes itself
        # evaluate.py
        "baseline": str | None,
        "baselines.*": Section | None,
        "results": str | None,
        "part": Literal["train", "val", "test"],
        "export": str | None,
        "prompt": str | None,
        "prompts": str | None,
        "attention": list[Literal["cross", "encoder", "decoder"]],
        "n_maps": PositiveInt,
        "folder": str | None,
        "code_bleu": bool,
        "pass_at_k.n_samples": PositiveInt | None,
        "pass_at_k.temperature": PositiveFloat,
        "pass_at_k.top_p": PositiveFraction,
        "pass_at_k.k": Annotated[list[PositiveInt], Field(min_length=1)],
        "pass_at_k.seed": Seed,
    }.items()
}

# Arguments of Lightning's Trainer that a run sets itself, or that could not act.
REFUSED_TRAINER_ARGUMENTS = {
    "barebones": "a run needs its logger and its checkpoints",
    "callbacks": "callbacks are in the group of this name: +callbacks.NAME._target_=CLASS",
    "default_root_dir": "all files are in the folder of the run; use output=FOLDER",
    "enable_autolog_hparams": "the run folder contains the config",
    "enable_checkpointing": "a run always writes best.ckpt and last.ckpt",
    "enable_progress_bar": "a terminal shows it, a file has one line per epoch",
    "fast_dev_run": "a run without checkpoints has no result; use trainer=smoke",
    "limit_predict_batches": "scores cover the whole test split",
    "limit_test_batches": "scores cover the whole test split",
    "logger": "loggers are in the group of this name: logger=csv, logger=tensorboard",
    "model_registry": "use logger.wandb.log_checkpoints=true",
    "overfit_batches": "use trainer=overfit or batch.max_pairs=N",
    "plugins": "checkpoints are always written atomically; use trainer.precision and "
    "trainer.strategy",
    "reload_dataloaders_every_n_epochs": "the data of a run do not change",
    "sync_batchnorm": "the model has no batch normalization",
    "val_check_interval": "best.ckpt has the weights of the end of an epoch, so a validation "
    "follows it; trainer.check_val_every_n_epoch=N validates less often",
}


@functools.cache  # each key of a config is compared with all of `VALUES`
def matches(key: str, pattern: str) -> bool:
    """Return whether a dotted key matches a pattern, name by name."""
    names, patterns = key.split("."), pattern.split(".")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))
