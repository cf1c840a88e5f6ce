"""Build the trainer of a run, and train with it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, WeightAveraging
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
from torch import Tensor

from en2py.config.composition import Config, typed
from en2py.config.instantiate import make
from en2py.console import counted, percent
from en2py.data.datamodule import PairDataModule
from en2py.errors import UserError, check_returned
from en2py.models.cpu_kernels import multiplies_bf16_fast
from en2py.training.callbacks.checkpointing import BestCheckpoint, LastCheckpoint
from en2py.training.callbacks.gradient_guard import GradientGuard
from en2py.training.callbacks.progress import TrainingProgress
from en2py.training.callbacks.reproducibility import SeedEachBatch
from en2py.training.callbacks.restored_state import RestoredState
from en2py.training.callbacks.step_metrics import StepMetrics
from en2py.training.callbacks.throughput import Throughput, TrainingTime
from en2py.training.checkpoints import AtomicCheckpointIO
from en2py.training.module import Seq2SeqModule


def check_devices(section: Config) -> None:
    """Refuse the section `trainer` if this machine lacks its accelerator, devices or precision.

    A CPU has any number of devices: each is a process.
    """
    accelerator, devices = section["accelerator"], section.get("devices", 1)
    kind = "mps" if accelerator == "mps" else "cuda"
    found = int(torch.backends.mps.is_available()) if kind == "mps" else torch.cuda.device_count()
    if accelerator == "cpu" or (accelerator == "auto" and not found):
        on_cpu = accelerator == "cpu" or not torch.backends.mps.is_available()
        if on_cpu and str(fp16 := section.get("precision")).startswith("16"):
            raise UserError(f"trainer.precision={fp16} needs a GPU: use bf16-mixed or 32-true")
        if on_cpu and not re.fullmatch(r"auto|-1|\d+", str(devices)):
            why = "trainer.accelerator=cpu" if found else "this machine has none"
            raise UserError(
                f"trainer.devices={typed(devices)} chooses GPUs, and {why}: give the number of "
                "processes, trainer.devices=1"
            )
        return
    if not found:
        raise UserError(
            f"trainer.accelerator={accelerator}: this machine has no such device; "
            "use trainer.accelerator=auto"
        )
    places = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    if isinstance(places, list):
        missing = max(map(int, places)) >= found
    else:
        missing = places not in ("auto", -1) and int(places) > found
    if missing:
        raise UserError(
            f"trainer.devices={typed(devices)}: this machine has "
            f"{counted(found, 'GPU' if kind == 'cuda' else 'MPS device')}"
        )


def compile_model(module: Seq2SeqModule, mode: str | None) -> None:
    """Compile the forward pass of training and validation; generation is not compiled.

    Args:
        module: Its state keeps its names.
        mode: Of `torch.compile`; None: none. `default` compiles once for all shapes of a batch, the
            others once for each.
    """
    if mode:
        module.model.compile(mode=mode, dynamic=True if mode == "default" else None)


def describe(module: Seq2SeqModule, trainer: pl.Trainer) -> str:
    """Return one line with the numbers of parameters, the device and the precision."""
    sizes = [(p.numel(), p.requires_grad) for p in module.model.parameters()]
    coverage = "".join(
        f"; {percent(share)} of the {'English' if side == 'src' else 'Python'} vocabulary has "
        "a vector"
        for side, share in module.metadata.get("coverage", {}).items()
    )
    weight = getattr(module.model.projection, "weight", None)
    if isinstance(weight, Tensor) and not weight.requires_grad:
        n = module.metadata["config"]["embeddings"]["freeze_epochs"]
        coverage += (
            f"; embeddings.freeze_epochs={n} freezes the output projection too, which is the "
            "Python table (model.tie_embeddings=tgt)"
        )
    total, trained = (sum(n for n, learn in sizes if learn or of_all) for of_all in (1, 0))
    return (
        f"parameters: {total:,}{f' ({trained:,} trainable)' if trained < total else ''}{coverage}; "
        f"device: {trainer.strategy.root_device}, precision: {trainer.precision}"
    )


def trainer(
    config: Config,
    folder: Path,
    loggers: list[Any],
    more_callbacks: Sequence[Callback] = (),
) -> pl.Trainer:
    """Return the trainer of a run; it writes `best.ckpt` and `last.ckpt` to `checkpoints/`.

    The first logger writes `metrics.csv`. More callbacks than those of the config are no part of
    the run's name.
    """
    # Lightning sets these two for the process, which may do other runs of a sweep.
    settings = {"deterministic": False, "benchmark": False, **config["trainer"]}
    if settings.get("devices") == -1:  # Lightning refuses it for CPUs
        settings["devices"] = "auto"
    settings["precision"] = precision(settings["precision"], settings["accelerator"])
    max_time = settings.pop("max_time", None)
    try:
        return make(settings)(  # type: ignore[no-any-return]
            callbacks=[*_callbacks(config, folder, more_callbacks), TrainingTime(max_time)],
            logger=loggers,
            plugins=[AtomicCheckpointIO()],
            default_root_dir=folder,
            enable_progress_bar=False,
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise UserError(f"trainer: Lightning refuses these settings: {error}") from error


def _callbacks(config: Config, folder: Path, more: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks of a run in the order in which they act; `last.ckpt` is written last."""
    configured = {name: make(part) for name, part in config["callbacks"].items() if part}
    for name, callback in configured.items():
        check_returned(f"callbacks.{name}", Callback, "a callback of Lightning", callback)
    throughput = Throughput()
    saves, files = config["checkpoints"], folder / "checkpoints"
    of_epochs: list[Callback] = []
    if saves["keep_every_n_epochs"]:
        of_epochs.append(
            ModelCheckpoint(
                files,
                filename="epoch{epoch:03d}",
                auto_insert_metric_name=False,
                save_top_k=-1,
                every_n_epochs=saves["keep_every_n_epochs"],
                save_on_train_epoch_end=True,
            )
        )
    return [
        RestoredState(configured),
        SeedEachBatch(config["seed"]),
        GradientGuard(config["faults"]["skip_batches"], config["faults"]["spike"]),
        StepMetrics(),
        throughput,
        TrainingProgress(throughput),
        # Averages come last: they end their use at the end of a validation, after the samples.
        *sorted(configured.values(), key=lambda part: isinstance(part, WeightAveraging)),
        *more,
        BestCheckpoint(files / "best.ckpt", monitor="val/nll"),
        *of_epochs,
        # Last, for a resumed run starts after the epoch that it saved.
        LastCheckpoint(files / "last.ckpt", saves["every_n_minutes"], saves["every_n_steps"]),
    ]


def precision(wanted: str, accelerator: str = "auto") -> Any:
    """Resolve the precision `auto`: bf16 if the hardware multiplies it fast, else fp32.

    It depends on the capabilities of the hardware and not on a measurement, which could choose
    another precision on a busy machine.
    """
    if wanted != "auto":
        return wanted
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    fast = multiplies_bf16_fast(torch.device("cuda" if on_gpu else "cpu"))
    return "bf16-mixed" if fast else "32-true"


def fit(
    trainer: pl.Trainer, module: Seq2SeqModule, data: PairDataModule, checkpoint: str | None
) -> None:
    """Train a module, from a checkpoint if there is one."""
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:  # for example a share of less than one batch
        raise UserError(f"trainer: Lightning refuses these settings: {error}") from error
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise UserError(f"callbacks: {error}") from error
