"""Refuse values that are valid alone and contradict each other, the data or the environment.

Each group of rules yields sentences with key, value and remedy, of which the first is raised.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from en2py.config.composition import CONF, Config, typed, value_at
from en2py.config.instantiate import class_of
from en2py.config.overrides import comma_separated, task_overrides, unquoted
from en2py.config.value_types import REFUSED_TRAINER_ARGUMENTS
from en2py.errors import UserError, did_you_mean

_NODE_VARIABLES = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK")
# What early stopping can monitor: figures of every validation, and which value is best.
_STOPPING = dict.fromkeys(("val/nll", "val/loss", "val/ppl", "val/bpc"), "min")
_STOPPING["val/accuracy"] = "max"
# Per task of evaluate.py what it does, and a pattern of the keys that it reads.
_TASKS = {
    "study": ("recomputes the summary of a study", "folder"),
    "results": ("renders a report again", "folder"),
    "export": ("exports a model", "ckpt_path"),
    "prompt": ("generates a program", "ckpt_path|decoding|data.path|trainer.accelerator"),
    "prompts": ("generates programs", "ckpt_path|decoding|data.path|trainer.accelerator"),
    "baseline": (
        "without ckpt_path scores no model",
        r"baselines|data|split|cleaning|tokenizer|augmentation|vocab|model(?!\.)"
        "|model.max_(src|tgt)_len|experiment|part|folder|output|behaviour|code_bleu|sandbox|logger",
    ),
}
# Callbacks of Lightning that could not act.
_NO_CALLBACKS = {
    "BackboneFinetuning": "the model has no backbone; embeddings.freeze_epochs=N freezes tables",
    "BatchSizeFinder": "batches are cut by tokens; use batch.max_tokens=N",
    "GradientAccumulationScheduler": "the schedule of the learning rate needs equal epochs; use "
    "trainer.accumulate_grad_batches=N",
    "LearningRateFinder": "a run has the rate of its config; -m hydra/sweeper=search looks for one",
    "ModelPruning": "attention reads weights that it does not mask",
    "StochasticWeightAveraging": "Lightning sets these averages after the last checkpoint, so no "
    "score would be theirs; callbacks=ema averages weights",
}
# Optimizers of torch that could not act.
_NO_OPTIMIZERS = {
    "Muon": "it takes matrices alone; use optimizer=muon, which has AdamW for all else",
    "SparseAdam": "the gradients are not sparse; use optimizer=adamw",
}
# Arguments of Lightning's loggers that the run sets.
_OF_THE_RUN = {
    "tensorboard": ("save_dir", "name", "version"),
    "mlflow": ("experiment_name", "run_name", "run_id"),
}
# Of TensorBoardLogger and of the SummaryWriter that it passes all others to.
_OF_TENSORBOARD = ("_target_", "_partial_", "default_hp_metric", "filename_suffix", "flush_secs",
                   "log_graph", "max_queue", "prefix", "purge_step", "sub_dir")  # fmt: skip
Rules = Callable[[Config], Iterator[str]]


def refuse(config: Config, *groups: Rules) -> None:
    """Raise the first sentence that rules yield for a resolved config."""
    for rules in groups:
        for sentence in rules(config):
            raise UserError(sentence)


def check_parts(config: Config) -> Iterator[str]:
    """Refuse a cleaning step in use that does not exist, and parts that could not act."""
    steps = value_at(config, "cleaning.steps", {})
    for name in value_at(config, "cleaning.use", {}):
        if name not in steps:
            near = did_you_mean(name, steps)
            yield f"cleaning.use.{name}: there is no cleaning.steps.{name}{near}"
    for name, callback in (config.get("callbacks") or {}).items():
        if callback is None and name not in _callback_names():
            near = did_you_mean(name, _callback_names())
            yield f"callbacks.{name}=null: there is no such callback{near}"
        if callback is not None and not (isinstance(callback, Mapping) and "_target_" in callback):
            yield (
                f"callbacks.{name}={typed(callback)}: expected null, which switches it off, or a "
                "section with a _target_, as in conf/callbacks/"
            )
        if reason := _NO_CALLBACKS.get(class_of(callback)):
            yield f"callbacks.{name}: {reason}"
        if (epoch := value_at(config, f"callbacks.{name}.update_starting_at_epoch")) is not None:
            yield (
                f"callbacks.{name}.update_starting_at_epoch={epoch}: Lightning would average after "
                "the validation of an epoch, so best.ckpt would have other weights than its score; "
                "use update_starting_at_step=N"
            )
    optimizer = str(value_at(config, "optimizer._target_"))
    reason = _NO_OPTIMIZERS.get(class_of(config.get("optimizer")))
    if reason and optimizer.startswith("torch."):
        yield f"optimizer._target_={optimizer}: {reason}"


@functools.cache
def _callback_names() -> set[str]:
    options = (OmegaConf.load(file) for file in (CONF / "callbacks").glob("*.yaml"))
    return {str(name) for option in options for name in option} - {"defaults"}


def check_evaluation(config: Config) -> Iterator[str]:
    """Refuse an evaluation without anything to score, and typed keys that its task ignores."""
    if "baselines" not in config:
        return
    if not any(config.get(name) for name in ("ckpt_path", "baseline", "results", "study")):
        yield (
            "ckpt_path is needed: add ckpt_path=FILE; without a checkpoint, study=FOLDER "
            "summarizes a study and baseline=NAME scores a baseline"
        )
    for name in ("prompt", "prompts"):
        if config.get(name) is not None and not config.get("ckpt_path"):
            yield f"{name} needs a model: add ckpt_path=FILE"
        if config.get(name) is not None and config["decoding"]["engine"] == "auto":
            yield (
                "decoding.engine=auto: only the evaluation of a split compares the engines; choose "
                "decoding.engine=ctranslate2 or torch"
            )
    task = next((task for task in _TASKS if config.get(task) is not None), None)
    if task and not (task == "baseline" and config["ckpt_path"]):
        does, reads = _TASKS[task]
        if "n_retrieved" in config["decoding"] and "decoding" in reads:
            reads += "|sandbox"  # which ranks the programs of decoding=votes
        for word in (unquoted(word).lstrip("+") for word in task_overrides()):
            if not re.match(rf"~?({task}|{reads}|cache|processes|allowed_packages)\b", word):
                yield f"{task}={config[task]} {does} and ignores {word}: use one of them"
    if (n := config["batch"]["max_pairs"]) is not None:
        yield f"batch.max_pairs={n} limits the training pairs; a whole split is scored"
    if starts_ranks(config["trainer"]):
        yield (
            f"trainer.devices={typed(config['trainer']['devices'])}: an evaluation uses one "
            "device; leave it out, or choose one by its number, 'trainer.devices=[1]'"
        )
    n, ks = config["pass_at_k"]["n_samples"], config["pass_at_k"]["k"]
    if n is not None and (above := [k for k in ks if k > n]):
        possible = [k for k in ks if k <= n] or [n]
        yield (
            f"pass_at_k.n_samples={n}: too few samples for {', '.join(f'pass@{k}' for k in above)}"
            f"; use pass_at_k.n_samples={max(ks)}, or 'pass_at_k.k={typed(possible)}'"
        )
    source = config["data"].get("source") or {}
    if config["data"].get("path") is None and "path" in source and "url" not in source:
        yield "data.path is needed: add data.path=FILE"
    known, sections = [*config["baselines"], "all", "none"], config["baselines"]
    names = comma_separated(config.get("baseline") or "")
    for name in names:
        if name not in known:
            yield f"baseline={name}: no such baseline{did_you_mean(name, known)}"
        elif sections.get(name, name) is None:
            yield f"baseline={name}: baselines.{name}=null disables it; leave out one of them"
        elif name == "none" and len(names) > 1:
            yield f"baseline={','.join(names)}: none excludes the others; leave it out"


def check_starts(config: Config) -> Iterator[str]:
    """Refuse several ways to start a run."""
    if config.get("ckpt_path") and config.get("init_from"):
        yield (
            "ckpt_path and init_from exclude each other: ckpt_path resumes the same run, "
            "init_from starts a new one from its weights"
        )
    if config.get("ckpt_path") and config.get("fresh"):
        yield (
            "fresh=true and ckpt_path exclude each other: fresh trains from the start, ckpt_path "
            "resumes; for new training from known weights there is init_from=FILE"
        )


def check_pieces(config: Config) -> Iterator[str]:
    """Refuse pieces on one side, or words, where both need one vocabulary, and the reverse."""
    at = functools.partial(value_at, config)
    has_pieces = {s: class_of(at(f"tokenizer.{s}")).endswith("Pieces") for s in ("src", "tgt")}
    for side in has_pieces:
        if has_pieces[side] and (frequency := at(f"vocab.{side}_min_freq", 1)) > 1:
            yield (
                f"vocab.{side}_min_freq={frequency}: a vocabulary of pieces has no rare tokens; "
                "tokenizer.vocab_size sets its size"
            )
    is_shared, denoising = all(has_pieces.values()), at("batch.denoising")
    if denoising and not is_shared:
        yield (
            f"batch.denoising={denoising}: needs one vocabulary for both sides; add "
            "tokenizer=pieces, or take batch.denoising=0"
        )
    for name in ("path", "vocab_size"):
        src, tgt = (at(f"tokenizer.{side}.{name}") for side in has_pieces)
        if is_shared and src != tgt:
            yield (
                f"tokenizer.tgt.{name}={typed(tgt)}: both sides have one vocabulary of "
                f"pieces, and tokenizer.src.{name}={typed(src)}; set tokenizer.{name}= "
                "alone"
            )
        if not any(has_pieces.values()) and (value := at(f"tokenizer.{name}")) is not None:
            yield f"tokenizer.{name}={value}: no side uses pieces; add tokenizer=pieces"
    neighbours, copies = config.get("neighbours"), at("model.copy")
    if (neighbours or copies) and not is_shared:
        yield (
            f"{'model.copy=true' if copies else 'neighbours=nearest'}: both sides need one "
            "vocabulary; add tokenizer=pieces"
        )
    if neighbours and (n := at("batch.max_pairs")) is not None:
        yield (
            f"batch.max_pairs={n}: with neighbours=nearest sources contain the other training "
            "pairs too; split.ratios sets the size of the training split"
        )
    if (neighbours or copies) and denoising:
        other, without = (
            ("neighbours=nearest", "none") if neighbours else ("model.copy=true", "false")
        )
        yield (
            f"batch.denoising={denoising}: {other} is not trained on denoised programs; take "
            f"{other.partition('=')[0]}={without}, or batch.denoising=0"
        )


def check_decoding(config: Config) -> Iterator[str]:
    """Refuse programs longer than the model's, and a grammar that its tokens do not support."""
    max_len = value_at(config, "decoding.max_len")
    limit = value_at(config, "model.max_tgt_len")
    if isinstance(max_len, int) and isinstance(limit, int) and max_len > limit:
        yield (
            f"decoding.max_len={max_len}: longer than the model supports, model.max_tgt_len={limit}"
        )
    tokenizer = class_of(value_at(config, "tokenizer.tgt"))
    if value_at(config, "decoding.grammar") and "tokenizer" in config:
        if tokenizer not in ("PythonTokenizer", "PythonPieces"):
            yield (
                "decoding.grammar=true: needs tokens of Python's tokenizer, not those of "
                f"{tokenizer}; train with tokenizer/tgt=python or tokenizer=pieces"
            )


def check_search(config: Config) -> Iterator[str]:
    """Refuse a search that a run, or the split of an evaluation, cannot follow."""
    if "baselines" not in config:  # else each checkpoint has its own limits
        yield from check_decoding(config)
    votes = config.get("decoding") or {}
    if "n_retrieved" in votes and "optimizer" in config:
        yield (
            "decoding=votes: its weights are learned for a trained model; train with another "
            "search, then run evaluate.py ckpt_path=FILE decoding=votes"
        )
    if votes.get("n_retrieved") and config.get("part") == "train":
        yield (
            "part=train: the pools of decoding=votes have the programs of training pairs; use "
            "part=val, or decoding.n_retrieved=0"
        )


def starts_ranks(trainer: Config) -> bool:
    """Return whether a run may have several processes: for `devices: auto`, that is unknown."""
    devices = trainer.get("devices", 1)
    several = len(devices) > 1 if isinstance(devices, list) else devices != 1
    return several or trainer.get("strategy") == "ddp" or trainer.get("num_nodes", 1) > 1


def check_trainer(config: Config) -> Iterator[str]:
    """Refuse settings of the trainer that could not act, or without which it cannot train."""
    if "_target_" not in (trainer := config.get("trainer") or {}):
        return
    for name in ("max_epochs", "accelerator", "precision"):
        if name not in trainer:
            yield f"trainer.{name} is needed; take ~trainer.{name} off the command line"
    for name, reason in REFUSED_TRAINER_ARGUMENTS.items():
        if trainer.get(name) is not None:
            yield f"trainer.{name}={typed(trainer[name])} is not supported: {reason}"
    yield from _check_length(trainer)
    if stopping := value_at(config, "callbacks.early_stopping"):
        yield from _check_stopping(stopping, trainer)
    n, optimizer = trainer.get("accumulate_grad_batches", 1), config.get("optimizer")
    if n > 1 and class_of(optimizer) == "LBFGS":
        yield (
            f"trainer.accumulate_grad_batches={n}: LBFGS evaluates the last batch of an update "
            "several times, and the gradients would add up; take 1, and a higher batch.max_tokens"
        )
    if trainer["precision"] in ("16-mixed", "16", 16):
        yield from _check_fp16(config, trainer)
    yield from _check_processes(trainer, value_at(config, "embeddings.freeze_epochs", 0))


def _check_fp16(config: Config, trainer: Config) -> Iterator[str]:
    """Refuse what needs the size of gradients, which are scaled until the optimizer's step."""
    is_fused = value_at(config, "optimizer.fused")
    if trainer.get("gradient_clip_val") and is_fused:
        yield (
            f"trainer.precision={trainer['precision']}: a fused optimizer unscales fp16 "
            "gradients itself, so they cannot be clipped; add optimizer.fused=false"
        )
    if (n := value_at(config, "faults.skip_batches")) and is_fused:
        yield (
            f"faults.skip_batches={n}: a fused optimizer unscales fp16 gradients itself, so no "
            "update can be skipped before; add optimizer.fused=false"
        )
    if (spike := value_at(config, "faults.spike")) is not None:
        yield (
            f"faults.spike={spike}: the loss scaler skips updates with exploding fp16 gradients, "
            "so their size is not compared; use trainer.precision=bf16-mixed or 32-true"
        )


def _check_length(trainer: Config) -> Iterator[str]:
    """Refuse a run of unknown length, and epochs or steps that come after its end."""
    if trainer["max_epochs"] == -1 and trainer.get("max_steps", -1) == -1:
        yield (
            "trainer.max_epochs=-1: the learning rate schedule needs a number of epochs or steps; "
            "set one of trainer.max_epochs and +trainer.max_steps"
        )
    for name in ("epochs", "steps"):
        least, most = trainer.get(f"min_{name}"), trainer.get(f"max_{name}", -1)
        if least is not None and -1 != most < least:
            yield f"trainer.min_{name}={least}: above trainer.max_{name}={most}"
    every = trainer.get("check_val_every_n_epoch", 1)
    if -1 != trainer["max_epochs"] < every:
        yield (
            f"trainer.check_val_every_n_epoch={every}: above trainer.max_epochs="
            f"{trainer['max_epochs']}, so there is no validation; +trainer.limit_val_batches=0 "
            "trains without one"
        )


def _check_stopping(stopping: Config, trainer: Config) -> Iterator[str]:
    """Refuse early stopping without a validation, and by a metric that it does not measure."""
    if trainer.get("limit_val_batches") == 0:
        yield (
            "trainer.limit_val_batches=0: early stopping needs a validation; add "
            "callbacks.early_stopping=null"
        )
    if (monitor := str(stopping.get("monitor"))) not in _STOPPING:
        yield (
            f"callbacks.early_stopping.monitor={monitor}: not measured in every validation; "
            f"choose from: {', '.join(_STOPPING)}"
        )
    elif stopping.get("mode", "min") != (mode := _STOPPING[monitor]):
        yield (
            f"callbacks.early_stopping.monitor={monitor}: its best value is the {mode}imum; "
            f"add +callbacks.early_stopping.mode={mode}"
        )
    every = trainer.get("check_val_every_n_epoch", 1)
    if stopping.get("check_on_train_epoch_end") and every > 1:
        yield (
            f"callbacks.early_stopping.check_on_train_epoch_end=true: with trainer."
            f"check_val_every_n_epoch={every} not every epoch has a validation; leave it out"
        )


def _check_processes(trainer: Config, frozen: int) -> Iterator[str]:
    """Refuse nodes that nothing starts, and tables that would differ between processes."""
    n_nodes = trainer.get("num_nodes", 1)
    is_launched = any(name in os.environ for name in _NODE_VARIABLES)
    if n_nodes > max(1, HydraConfig.get().launcher.get("nodes", 1)) and not is_launched:
        yield (
            f"trainer.num_nodes={n_nodes}: no launcher starts processes on other nodes; use srun, "
            f"torchrun, or -m hydra/launcher=submitit_slurm hydra.launcher.nodes={n_nodes}"
        )
    if frozen > 0 and starts_ranks(trainer):
        yield (
            f"embeddings.freeze_epochs={frozen}: tables that start to learn later would differ "
            "between the processes of trainer.strategy=ddp; use 0 or -1, or one device"
        )


def check_split(config: Config) -> Iterator[str]:
    """Refuse a split that needs fields the data lack, and one that ignores that of the source."""
    data, section = config["data"], config.get("split")
    source, path = data.get("source") or {}, data.get("path")
    if class_of(section) == "numbered_split" and not source.get("id_field"):
        remedy = "choose another split="
        if "id_field" in source:
            remedy = f"add data.source.id_field=FIELD if a field has them, or {remedy}"
        yield f"split: these data ({data['name']}) have no task numbers to split by; {remedy}"
    is_official = class_of(section) == "official_split"
    for name, own in [*(source.get("sources") or {}).items()][is_official:]:
        has_files = isinstance(value_at(own, "path"), Mapping)
        if has_files or value_at(own, "split_field") is not None:
            yield (
                f"data.source.sources.{name}: its own split would be ignored, for only the first "
                "source of a mixture has one, with split=official; name one file, and no "
                "split_field"
            )
    if is_official:
        names = ("data.source", *(f"data.source.sources.{n}" for n in source.get("sources") or ()))
        for at in names:
            field = value_at(config, f"{at}.split_field")
            if field is not None and isinstance(value_at(config, f"{at}.path"), Mapping):
                yield (
                    f"{at}.split_field={field}: the files are named by their splits, so this field "
                    "would replace these; keep one of the two"
                )
        is_ours = str(source.get("_target_")).startswith("en2py.")
        if is_ours and not {"split_field", "sources"} & {*source}:
            yield (
                f"split=official: these data ({data['name']}) have no split of their own; choose "
                "another split="
            )
    elif section is not None:
        if isinstance(path, Mapping):
            yield (
                f"data.path={json.dumps(path)}: one file per split needs split=official; "
                f"another split would mix them"
            )
        if isinstance(path, str) and Path(path, "dataset_dict.json").is_file():
            yield (
                f"data.path={path}: a folder with one data set per split needs split=official; "
                f"name one of them as data.path={path}/NAME for another split"
            )
        if (field := source.get("split_field")) is not None:
            yield f"data.source.split_field={field}: no other split reads it; add split=official"


def check_loggers(config: Config) -> Iterator[str]:
    """Refuse a logger whose package is missing, or that an evaluation would not use."""
    if value_at(config, "logger.wandb"):
        wandb_mode_of_environment()
    is_evaluation = "baselines" in config
    for name, section in (config.get("logger") or {}).items():
        if is_evaluation and (section or {}).get("log_checkpoints"):
            yield (
                f"logger.{name}.log_checkpoints=true: an evaluation uploads no checkpoint; "
                "train.py does"
            )
        if not section or name == "wandb":
            continue
        if is_evaluation:
            yield (
                f"logger={name}: an evaluation is written to its folder and to W&B; take "
                "logger=wandb or logger=csv"
            )
        for key in section:
            if key in _OF_THE_RUN.get(name, ()):
                yield f"logger.{name}.{key}: the run sets it, from its name and study="
            if class_of(section) == "TensorBoardLogger" and key not in _OF_TENSORBOARD:
                near = did_you_mean(key, _OF_TENSORBOARD[2:])
                yield f"logger.{name}.{key}: TensorBoard has no such argument{near}"
        if importlib.util.find_spec(name) is None:
            yield f'logger={name}: not installed; pip install -e ".[{name}]" installs it'


def wandb_mode_of_environment() -> str | None:
    """Return the mode that `WANDB_DISABLED` or `WANDB_MODE` sets; None if neither is set.

    Raises:
        UserError: If W&B has no such mode.
    """
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"  # W&B itself does not read it any more
    mode = os.environ.get("WANDB_MODE") or None
    if mode not in (None, "online", "offline", "disabled", "dryrun", "run", "shared"):
        raise UserError(
            f"WANDB_MODE={mode}: W&B has no such mode; set this environment variable to online, "
            "offline or disabled"
        )
    return mode


def check_sweep(config: Config) -> Iterator[str]:
    """Refuse settings that Hydra lacks, and an experiment that is a sweep without `-m`."""
    settings: Any = HydraConfig.get()
    known = ["env", *(field.name for field in dataclasses.fields(HydraConf))]
    for name in settings:
        if name not in known:
            yield f"hydra.{name}: no such key{did_you_mean(str(name), known)}"
    params = HydraConfig.get().sweeper.get("params")
    if HydraConfig.get().mode != RunMode.MULTIRUN and params:
        yield f"the chosen options are a sweep over {', '.join(params)}: add -m to run it"


def check_sizes(config: Config) -> Iterator[str]:
    """Refuse numbers that do not fit together; their types are known to be right."""
    at = functools.partial(value_at, config)
    d_model, n_heads = at("model.d_model"), at("model.n_heads")
    rotary = at("model.positions") == "rotary"  # which rotate pairs of columns of a head
    least = 2 if rotary else 1
    if isinstance(d_model, int) and isinstance(n_heads, int) and d_model % (least * n_heads):
        if d_model % least:
            yield f"model.d_model={d_model}: rotary positions need an even number"
        divisors = [h for h in range(1, d_model + 1) if d_model % (least * h) == 0]
        best = min(divisors, key=lambda h: abs(h - n_heads))
        even = " into heads of an even size, which rotary positions need" if rotary else ""
        yield (
            f"model.n_heads={n_heads}: does not divide model.d_model={d_model}{even}; "
            f"the nearest number of heads that does is {best}"
        )
    is_trained = class_of(at("embeddings.vectors")) in ("separate", "joint", "code")
    if at("model.tie_embeddings") == "tgt" and is_trained:
        if (dim := at("embeddings.vectors.dim")) != d_model:
            yield (
                f"embeddings.vectors.dim={dim}: model.tie_embeddings=tgt needs vectors "
                f"of model.d_model={d_model}; take one of these settings off the command line"
            )


def check_study(config: Config) -> Iterator[str]:
    """Refuse a study of a training that is no folder below `output`."""
    if "baselines" in config:
        return
    if not (name := config.get("study") or "").strip():
        yield "study is empty: it names the folder of the run below output, study=NAME"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        yield f"study={name}: a study is a folder below output; another place is output=FOLDER"


FIRST = (check_parts, check_evaluation, check_starts, check_pieces, check_search, check_split,
         check_loggers, check_trainer, check_sweep)  # fmt: skip
LAST = (check_sizes, check_study)  # for values whose types are right
# Of settings that a run takes over from its checkpoint, so these are compared when it is read.
RESUMED = (check_pieces, check_search, check_split, check_trainer, check_sizes)
