"""Train a model, or resume its training, and test the best checkpoint."""

import json
import logging
import math
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from en2py.cli.tables import (
    log_own_tests,
    log_warnings,
    print_choices,
    print_config,
    print_data,
    print_result,
    print_samples,
)
from en2py.config.composition import n_at_once, share_of
from en2py.config.effects import check_split_of_source
from en2py.config.run_name import config_digest
from en2py.console import console, log_file
from en2py.data.datamodule import PairDataModule
from en2py.data.files import file_digest, write_atomically
from en2py.data.parallel import ProcessPool
from en2py.data.prepare import Prepared
from en2py.errors import UserError
from en2py.evaluation.execution.runner import ProgramRunner
from en2py.evaluation.metrics.program_metrics import SECONDS_PER_PROGRAM
from en2py.evaluation.plots.curves import plot_curves
from en2py.evaluation.scores import (
    EvaluationRow,
    Tables,
    TrainingData,
    score_programs,
    write_predictions,
    write_samples,
)
from en2py.sweeps.status import print_finished
from en2py.training import build, fitting, run_data, run_folder
from en2py.training.callbacks.pruning import PruneTrial
from en2py.training.callbacks.throughput import training_time
from en2py.training.checkpoints import (
    checkpoint_metadata,
    discard_training_state,
    keep_weights,
    load_checkpoint,
)
from en2py.training.cpu_threads import warn_of_busy_cores
from en2py.training.distributed import cleanup_process_group, is_rank_zero
from en2py.training.initial_data import n_known_to_initial_weights
from en2py.training.initialization import copy_weights
from en2py.training.loggers import BEST, log_checkpoint, log_finished_run, training_loggers
from en2py.training.metrics_file import MetricsFile
from en2py.training.module import Seq2SeqModule
from en2py.training.out_of_memory import report_out_of_memory
from en2py.training.own_parts import check_own_parts
from en2py.training.resume import check_same_data, find_checkpoint
from en2py.training.run import Run
from en2py.training.signals import exit_with_parent, handle_signals
from en2py.training.testing import draw_attention, generate_programs, predictions_key, token_tables
from en2py.training.wandb_logger import finish_wandb

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float:
    """Train and test the run that a config describes, unless it is finished.

    Returns:
        The best validation NLL, which a search minimizes.

    Raises:
        UserError: For a mistake in the config or in a file that it names.
    """
    run = _run_of_job(cfg)
    fitting.check_devices(run.config["trainer"])
    with handle_signals(), run.lock(), cleanup_process_group():
        stored = run_folder.read_result(run.folder)
        fresh = run_folder.starts_again(run.config["fresh"])
        result = None if fresh or _has_other_data(run, stored) else stored
        if result is None:
            if is_rank_zero():
                run.begin(archive=fresh or stored is not None)
            with _recorded(run):
                result = _train_and_test(run)
        else:
            _report_finished(run, result)
    return float(result["best"].get("val/nll", math.inf))


def _report_finished(run: Run, result: dict[str, Any]) -> None:
    """Print the result of a run that is finished already, and which settings it does not have."""
    run.write_state()
    # First, because `| head` ends the program.
    is_reduced = (
        run.config["checkpoints"]["keep"] == "weights"
        and is_rank_zero()
        and discard_training_state(run.folder / "checkpoints")
    )
    log.info(f"this run is finished: {run.folder} (fresh=true trains it again)")
    if is_reduced:
        log.info("checkpoints.keep=weights: removed the training state of its checkpoints")
    log_warnings(
        run_folder.settings_without_effect(run.folder, run.config, run.overrides, run.folder)
    )
    if not run_folder.in_sweep():
        log.info(f"training {result.get('end', 'ended')}")
        print_result(result)
    if "WANDB_SWEEP_ID" in os.environ and run.config["logger"].get("wandb"):
        log_finished_run(run, result)


def _has_other_data(run: Run, result: dict[str, Any] | None) -> bool:
    """Return whether another version of Python made a result, whose splits differ."""
    if result is None or not run_folder.is_of_other_python(result):
        return False
    if run_data.prepare_data(run.config).split_hash == result["split_hash"]:
        return False
    log.warning(
        f"{run.folder} is finished by Python {result['python']}; Python {run_folder.PYTHON} parses "
        "a different set of programs, so the splits differ and the run is trained again (the "
        "result is kept in .oldN)"
    )
    return True


def _train_and_test(run: Run) -> dict[str, Any]:
    """Return the result of a run; one without figures if it is pruned, or of another rank."""
    config, started = run.config, time.monotonic()
    prepared = _prepare(run)
    module = build.new_module(
        config, prepared, checkpoint_metadata(config, run.choices, prepared, run.name)
    )
    datamodule = run_data.datamodule(config, prepared, module.neighbours)
    path, step = _resume_or_copy_weights(run, prepared, module, datamodule)

    loggers: list[Any] = [MetricsFile(run.folder / "metrics.csv", step)]
    if is_rank_zero():
        loggers += training_loggers(run, sum(p.numel() for p in module.model.parameters()))
    pruning = pruning_callback(run.name)
    more_callbacks = [] if pruning is None else [pruning]
    trainer = fitting.trainer(config, run.folder, loggers, more_callbacks)
    check_own_parts(config, module, datamodule.examples["val"], trainer.strategy.root_device)
    fitting.compile_model(module, config["compute"]["compile"])
    log.info(fitting.describe(module, trainer))
    warn_of_busy_cores(trainer.strategy.root_device)
    pl.seed_everything(config["seed"], verbose=False)
    preparation = time.monotonic() - started
    fitting.fit(trainer, module, datamodule, path)
    trained = time.monotonic()
    if pruning is not None and pruning.reason:
        if is_rank_zero():
            log.info(f"pruned {pruning.reason}; not tested")
            run.write_state(pruning.reason, pruned=True)
        return {"best": {}}

    best_file = _best_file(run)
    best = load_checkpoint(best_file)
    module.load_state_dict(best["state_dict"])
    scores = _test(run, best_file, module, datamodule, trainer, prepared)
    if scores is None:
        return {"best": {}}
    seconds = (preparation + training_time(trainer), time.monotonic() - trained)
    result = run.write_result(prepared, best, scores.values, trainer, seconds)
    if run.config["checkpoints"]["keep"] == "weights":
        discard_training_state(best_file.parent)
    _print_end(run, result, scores, best_file)
    return result


def _prepare(run: Run) -> Prepared:
    """Return the data of a run; print what is known before training."""
    config = run.config
    if not run_folder.in_sweep():
        print_choices(run.choices, run.overrides)
    if config.get("show_config"):
        print_config(config)
    from_cache = run_data.is_prepared(config)
    max_pairs = config["batch"]["max_pairs"]
    prepared = run_data.with_leakage_of(run_data.prepare_data(config), max_pairs)
    if config_digest(config) != run.config_sha256:  # its name would be that of other data
        raise UserError(run_data.CHANGED)
    check_split_of_source(prepared.report.facts, run.overrides)
    if not run_folder.in_sweep():
        print_data(prepared.report.to_dict(), from_cache)
    unused = [
        *run_data.unused_limit(prepared, config["batch"]),
        *run_data.unused_augmentation(prepared, config["augmentation"]),
    ]
    log_warnings([*prepared.report.warnings, *unused])
    run_data.check_lengths(prepared, config["model"])
    if is_rank_zero():
        run.write_inputs(prepared)
    return prepared


def _resume_or_copy_weights(
    run: Run, prepared: Prepared, module: Seq2SeqModule, datamodule: PairDataModule
) -> tuple[str | None, int | None]:
    """Return the checkpoint that training resumes from, and its step; else copy `init_from`."""
    resumed, path = find_checkpoint(run.folder, run.checkpoint, run.config["ckpt_path"])
    if resumed is not None:
        check_same_data(resumed, prepared)
        datamodule.resume_from(resumed)
        log.info(f"resuming from {path} (step {resumed['global_step']:,})")
        return path, resumed["global_step"]
    if run.initial is not None:
        lines = copy_weights(run.initial, module)
        if (vectors := run.choices["embeddings"]) != "none":
            lines.append(f"  instead of vectors of embeddings={vectors}, where a table was copied")
        log.info("\n".join(lines))
        if is_rank_zero():
            _warn_of_known_pairs(run.config, prepared)
    return None, None


def pruning_callback(run: str) -> PruneTrial | None:
    """Return the callback that prunes the trial of a run; None outside of a search."""
    if run_folder.SEARCH not in os.environ:
        return None
    from en2py.sweeps.search_study import running_trial  # optuna takes a second

    trial = running_trial(run)
    return None if trial is None else PruneTrial(trial)


def _warn_of_known_pairs(config: dict[str, Any], prepared: Prepared) -> None:
    """Warn of held-out pairs that the initial weights were trained on."""
    pairs = [*prepared.pairs("val"), *prepared.pairs("test")]
    try:
        n = n_known_to_initial_weights(config, prepared, pairs)
    except UserError as error:
        log.warning(f"init_from: its training pairs were not compared with the held-out: {error}")
        return
    if n:
        log.warning(
            f"init_from: {n:,} of {len(pairs):,} held-out pairs are near-duplicates of pairs that "
            "these weights were trained on, so the results are too good; take the data and the "
            "split of that run, or data.target= in pre-training"
        )


def _best_file(run: Run) -> Path:
    """Return the best checkpoint, reduced to its weights; the last one without a validation."""
    folder: Path = run.folder / "checkpoints"
    if not (folder / "best.ckpt").exists():
        return folder / "last.ckpt"
    if is_rank_zero() and run.config["checkpoints"]["keep"] != "all":
        keep_weights(folder / "best.ckpt")
    return folder / "best.ckpt"


def _print_end(run: Run, result: dict[str, Any], scores: EvaluationRow, best_file: Path) -> None:
    """Print what ended training, the scores and a few samples; of a sweep's run one line."""
    if run_folder.in_sweep():
        print_finished(result, run.folder.parent, n_at_once(HydraConfig.get().launcher))
    else:
        log.info(f"training {result['end']}")
        print_result(result)
        print_samples(scores.samples(3))
        console.print()
        log.info(f"all metrics: {run.result_file}")
        words = [f"ckpt_path={best_file}"]
        if packages := run.config["allowed_packages"]:
            words.append(f"allowed_packages=[{','.join(packages)}]")
        command = f"python evaluate.py {shlex.join(words)}"
        log.info(f"report with samples and attention maps: {command}")
    log.info(f"everything is in {run.folder}")


def _test(
    run: Run,
    best_file: Path,
    module: Seq2SeqModule,
    datamodule: PairDataModule,
    trainer: pl.Trainer,
    prepared: Prepared,
) -> EvaluationRow | None:
    """Score the test split, write and log the scores; return None on ranks other than 0."""
    token_values, tables = token_tables(module, datamodule, trainer, "test")
    candidates = generate_programs(module, datamodule, trainer, "test")
    if not is_rank_zero():  # every rank tests its share of the pairs; rank 0 scores and writes
        return None
    plot_curves(run_folder.read_epochs(run.folder / "metrics.csv"), run.folder / "curves")
    scores = _score(run, prepared, candidates, token_values, tables)
    _write_programs(run, scores, best_file)
    pictures = draw_attention(module, scores, run.folder, ["cross"], n_maps=1)
    _log_scores(run, scores, pictures, trainer, best_file)
    return scores


def _score(
    run: Run,
    prepared: Prepared,
    candidates: list[list[str]],
    token_values: dict[str, float],
    tables: Tables,
) -> EvaluationRow:
    """Return the scores of the test split, whose references are run against their own tests."""
    runner = ProgramRunner(
        prepared.pairs("test"),
        sandbox=run.config["sandbox"],
        folder=Path(run.config["cache"]),
        behaviour=run.config["behaviour"],
    )
    with ProcessPool(run.config["processes"], SECONDS_PER_PROGRAM) as pool:
        scores = score_programs(
            run.name,
            candidates,
            runner,
            TrainingData.of(prepared, run.config["batch"]["max_pairs"]),
            pool,
            token_values=token_values,
            token_tables=tables,
        )
    log_own_tests(runner.check_references())
    return scores


def _write_programs(run: Run, scores: EvaluationRow, best_file: Path) -> None:
    """Write the programs, and some as samples, to the run's folder."""
    write_samples(run.folder / "samples.md", scores)
    write_predictions(run.folder / "predictions.jsonl", scores)
    key = predictions_key(file_digest(best_file), run.config)
    write_atomically(run.folder / "predictions.json", json.dumps(key).encode())


def _log_scores(
    run: Run,
    scores: EvaluationRow,
    pictures: Sequence[Path],
    trainer: pl.Trainer,
    best_file: Path,
) -> None:
    """Send scores, attention maps and the best checkpoint to all loggers but `metrics.csv`."""
    nll = trainer.loggers[0].best_nll()  # type: ignore[attr-defined]
    best_value = {} if nll is None else {BEST: nll}
    loggers: list[Any] = trainer.loggers[1:]  # the first writes metrics.csv
    for logger in loggers:
        values = {f"test/{name}": value for name, value in scores.values.items()}
        logger.log_metrics({**values, **best_value}, trainer.global_step)
        if hasattr(logger, "log_image"):
            logger.log_image("attention", [str(picture) for picture in pictures])
        log_checkpoint(logger, run.config["logger"], best_file)
        logger.finalize("success")


def _run_of_job(cfg: DictConfig) -> Run:
    """Return the run of Hydra's job; limit its cores if others run beside it."""
    run = Run.of_job(cfg)
    console.quiet = not is_rank_zero()
    if not is_rank_zero():
        exit_with_parent(os.getppid())  # Lightning on rank 0, or the program of the cluster
    launcher = HydraConfig.get().launcher
    if not run_folder.in_sweep():
        _log_data(run.config["data"])
    elif "n_jobs" in launcher:
        cores = share_of(launcher)
        torch.set_num_threads(min(cores, torch.get_num_threads()))
        run.config["processes"] = run.config["processes"] or cores
        run.config["sandbox"]["workers"] = run.config["sandbox"]["workers"] or cores
        exit_with_parent(int(os.environ[run_folder.SWEEP_ID].split("-")[0]))
    return run


def _log_data(data: dict[str, Any]) -> None:
    path = data.get("path") or data.get("root")
    if isinstance(path, dict):
        path = [f"{file} ({split})" for split, file in path.items()]
    places = ", ".join(path) if isinstance(path, list) else path
    line = f"data: {data['name']}" + (f" from {places}" if path else "")
    if data["name"] == "tasks":
        line += ", generated by our own grammar (your own: data=file data.path=FILE)"
    log.info(line)


@contextmanager
def _recorded(run: Run) -> Iterator[None]:
    """Log to run.log, report out of memory in one sentence, and finish W&B."""
    accumulate = 2 * (run.config["trainer"].get("accumulate_grad_batches") or 1)
    remedies = (
        f"with trainer.accumulate_grad_batches={accumulate}, which keeps the number of tokens per "
        "update; or a smaller model (model=tiny, model.max_tgt_len=)"
    )
    with log_file(run.folder / "run.log" if is_rank_zero() else Path(os.devnull)):
        try:
            with report_out_of_memory(remedies, run.config["batch"]["max_tokens"]):
                yield
        except UserError:
            raise
        except Exception:
            logging.getLogger().exception("the run failed")  # run.log alone
            raise
        finally:
            finish_wandb()
