"""One run from config to result: prepare, train or resume, test the best checkpoint."""

import functools
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from en2py.cli.tables import print_config, print_data, print_samples, print_scores
from en2py.config.composition import escape, share_of
from en2py.config.run_name import config_digest
from en2py.console import console, log_file
from en2py.data.files import file_digest, write_atomically
from en2py.data.prepare import Prepared
from en2py.errors import UserError
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.metrics.registry import format_values
from en2py.evaluation.plots.curves import plot_curves
from en2py.evaluation.scores import TrainingData, write_predictions, write_samples
from en2py.sweeps.progress import print_finished
from en2py.training import build, checkpoints, run_folder, signals
from en2py.training.checkpoints import load_checkpoint
from en2py.training.distributed import cleanup_process_group, is_rank_zero
from en2py.training.initialization import copy_weights
from en2py.training.loggers import MetricsFile, finish_wandb, training_logger
from en2py.training.module import Seq2SeqModule
from en2py.training.out_of_memory import report_out_of_memory, training_remedies
from en2py.training.resume import check_same_data, find_checkpoint
from en2py.training.run_folder import Run, write_state
from en2py.training.testing import (
    draw_attention,
    generate_programs,
    predictions_key,
    score_split,
    token_tables,
)

log = logging.getLogger(__name__)

_STUDENTS_FILE = (
    "for the students' file: python train.py data=english_python data.path=english_python_data.txt"
)


def train(cfg: DictConfig) -> float:
    """Run what a config says and return the best validation NLL.

    Raises:
        UserError: For what a person can mend.
    """
    hydra = HydraConfig.get()
    choices = {k: str(v) for k, v in hydra.runtime.choices.items() if not k.startswith("hydra")}
    overrides: Any = OmegaConf.to_container(hydra.overrides.task)  # as typed, `${` and all
    run = Run(cfg, overrides, choices)
    if not is_rank_zero():
        console.quiet = True
    if run_folder.SWEEP_ID in os.environ:
        if "n_jobs" in hydra.launcher:
            _take_a_share(run, share_of(hydra.launcher))
            _end_with(int(os.environ[run_folder.SWEEP_ID].split("-")[0]))
    else:
        _name_the_data(run)
    with signals.handle_signals(), run.lock(), cleanup_process_group():
        if not run.config["fresh"] and (result := run.stored_result()) is not None:
            log.info(f"this run is finished: {run.folder} (fresh=true trains it anew)")
            if run_folder.SWEEP_ID not in os.environ:
                print_scores("test", format_values(result["test"]))
            write_state(run.folder, run.overrides)
            return float(result["best"].get("val/nll", math.inf))
        if is_rank_zero():
            if run.config["fresh"]:
                run.archive()
            write_state(run.folder, run.overrides)
        accumulate = run.config["trainer"].get("accumulate_grad_batches") or 1
        memory = report_out_of_memory(
            run.config["batch"]["max_tokens"], training_remedies(accumulate)
        )
        with log_file(run.folder / "run.log" if is_rank_zero() else Path(os.devnull)):
            try:
                with memory:
                    return _train(run)
            except UserError:
                raise
            except Exception:
                logging.getLogger().exception("the run failed")  # run.log alone
                raise
            finally:
                finish_wandb()


def _take_a_share(run: Run, cores: int) -> None:
    """Use so many cores and no more: other runs of the sweep are busy on this machine."""
    torch.set_num_threads(min(cores, torch.get_num_threads()))
    run.config["processes"] = run.config["processes"] or cores
    run.config["sandbox"]["workers"] = run.config["sandbox"]["workers"] or cores


@functools.cache
def _end_with(parent: int) -> None:
    """Save and leave when the process of the sweep is killed: nobody waits for this one then."""
    if os.getppid() != parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        os._exit(143)  # joblib's worker would wait for more work

    threading.Thread(target=watch, daemon=True).start()


def _train(run: Run) -> float:
    config, folder = run.config, run.folder
    started = time.monotonic()
    in_sweep = run_folder.SWEEP_ID in os.environ  # then a line or two are printed a run
    if not in_sweep:
        print_config(config, run.choices)
    prepared, from_cache = build.prepare_data(config)
    if not in_sweep:
        print_data(prepared.report.to_dict(), from_cache)
    if is_rank_zero():
        _write_start(run, prepared)

    stored = checkpoints.checkpoint_metadata(config, run.choices, prepared, run.name)
    module = build.new_module(config, prepared, stored)
    datamodule = build.datamodule(config, prepared)
    resume, path = find_checkpoint(run.folder, run.checkpoint, run.config["ckpt_path"])
    if resume is not None:
        check_same_data(resume, prepared)
        datamodule.resume_from(resume)
        log.info(f"going on from {path} (step {resume['global_step']:,})")
    elif config["init_from"]:
        notes = copy_weights(load_checkpoint(config["init_from"]), module)
        log.info("\n".join(notes))

    until = resume["global_step"] if resume and run.checkpoint is None else None
    loggers: list[Any] = [MetricsFile(folder / "metrics.csv", until)]
    if config["logger"].get("wandb") and is_rank_zero():
        loggers.append(training_logger(run))
    trainer = build.trainer(config, folder, loggers, sys.stdout.isatty())
    _describe(module, trainer, stored)
    pl.seed_everything(config["seed"], verbose=False)
    trainer.fit(module, datamodule, ckpt_path=path, weights_only=True)

    trained = time.monotonic()
    best_file = folder / "checkpoints" / "best.ckpt"
    if not best_file.exists():  # the run has no validation
        best_file = folder / "checkpoints" / "last.ckpt"
    best = load_checkpoint(best_file)
    module.load_state_dict(best["state_dict"])
    if not is_rank_zero():  # it has its share of the test split; the first one judges and writes
        token_tables(module, datamodule, trainer, "test")
        generate_programs(module, datamodule, trainer, "test")
        return math.inf
    plot_curves(folder / "metrics.csv", folder / "curves.png")
    judge = ProgramRunner(
        prepared.pairs("test"),
        sandbox=config["sandbox"],
        folder=Path(config["cache"]),
        behaviour=config["behaviour"],
    )
    training = TrainingData.of(prepared)
    scores = score_split(module, datamodule, trainer, "test", judge, training, name=run.name)
    write_samples(folder / "samples.md", scores)
    write_predictions(folder / "predictions.jsonl", scores)
    key = predictions_key(file_digest(best_file), config)
    write_atomically(folder / "predictions.json", json.dumps(key).encode())
    pictures = draw_attention(module, scores, folder, ["cross"], n_maps=1)
    for logger in loggers[1:]:
        logger.log_metrics({f"test/{k}": v for k, v in scores.values.items()})
        logger.log_image("attention", [str(picture) for picture in pictures])
    result = _result(run, prepared, best, scores.values, trainer)
    times = {"seconds": trained - started, "test_seconds": time.monotonic() - trained}
    result |= {key: round(value, 1) for key, value in times.items()}
    write_atomically(run.result_file, json.dumps(result, indent=2).encode())
    if in_sweep:
        print_finished(result)
    else:
        print_samples(scores.samples(3))
        print_scores("test, by the best checkpoint", format_values(scores.values))
    log.info(f"everything is in {folder}")
    return float(result["best"].get("val/nll", math.inf))


def _name_the_data(run: Run) -> None:
    data = run.config["data"]
    where = data.get("path") or data.get("root")
    line = f"data: {data['name']}" + (f" from {where}" if where else "")
    if data["name"] == "tasks":
        line += f", made by our own grammar; {_STUDENTS_FILE}"
    log.info(line)


def _write_start(run: Run, prepared: Prepared) -> None:
    """Write what is known before training: config, overrides, vocabularies, data report."""
    folder = run.folder
    write_atomically(folder / "config.yaml", OmegaConf.to_yaml(escape(run.config)).encode())
    write_atomically(folder / "overrides.txt", "".join(f"{o}\n" for o in run.overrides).encode())
    for side, vocab in (("src", prepared.src_vocab), ("tgt", prepared.tgt_vocab)):
        rows = dict(zip(vocab.tokens, vocab.counts, strict=True))
        text = json.dumps(rows, indent=0, ensure_ascii=False)
        write_atomically(
            folder / "vocab" / f"{side}.json", text.encode("utf-8", "backslashreplace")
        )
    report = {**prepared.report.to_dict(), "split_hash": prepared.split_hash}
    write_atomically(folder / "data_report.json", json.dumps(report, indent=1).encode())


def _describe(module: Seq2SeqModule, trainer: pl.Trainer, stored: Mapping[str, Any]) -> None:
    parameters = list(module.model.parameters())
    total = sum(p.numel() for p in parameters)
    learned = sum(p.numel() for p in parameters if p.requires_grad)
    coverage = "".join(
        f"; {share:.1%} of the {'English' if side == 'src' else 'Python'} vocabulary has a vector"
        for side, share in stored.get("coverage", {}).items()
    )
    device = trainer.strategy.root_device
    log.info(
        f"parameters: {total:,} ({learned:,} learn){coverage}; "
        f"device: {device}, precision: {trainer.precision}"
    )


def _result(
    run: Run,
    prepared: Prepared,
    best: Mapping[str, Any],
    test: Mapping[str, Any],
    trainer: pl.Trainer,
) -> dict[str, Any]:
    logger: Any = trainer.loggers[0]
    rows: list[dict[str, str]] = [row for row in logger.rows if row.get("val/nll")]
    best_row: dict[str, str] = min(rows, key=lambda row: float(row["val/nll"]), default={})
    return {
        "run": run.name,
        "study": run.config["study"],
        "choices": run.choices,
        "overrides": run.overrides,
        "seed": run.config["seed"],
        "config_sha256": config_digest(run.config),
        "split_hash": prepared.split_hash,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "best": {
            "epoch": int(best["epoch"]) + 1,
            **{k: float(v) for k, v in best_row.items() if v},
        },
        "test": dict(test),
        "versions": {n: metadata.version(n) for n in ("en2py", "torch", "pytorch-lightning")},
    }
