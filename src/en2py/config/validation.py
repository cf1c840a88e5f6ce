"""Validate a resolved config, or raise a `UserError` with key, value and remedy in one sentence.

Sections with a `_target_` are compared with the signature of what they call, types and ranges
included; `value_types.py` has the types of other values and ranges of other packages' arguments.
Files, contradictions and `VALUES` come first, so torch is imported only where they are in order.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from en2py.config.argument_types import argument_types
from en2py.config.composition import CONF, READ, WRITTEN, leaves, nodes, typed
from en2py.config.effects import check_effects
from en2py.config.instantiate import allow_packages, check_allowed, class_of, definition
from en2py.config.messages import is_of_training, not_evaluated, unknown_key
from en2py.config.overrides import comma_separated, task_overrides, unquoted
from en2py.config.paths import check_path, reads_folders, written_keys
from en2py.config.value_types import REFUSED_TRAINER_ARGUMENTS, VALUES, Section, matches
from en2py.errors import UserError, did_you_mean

_NODE_VARIABLES = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK")
# Floats that `conf/` or its comments write as whole numbers, which the hashes of runs contain.
_WHOLE = ("cleaning.seconds_per_pair", "faults.spike")
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


def validate(cfg: DictConfig, config_name: str = "train") -> None:
    """Raise an error for a mistake in the config of a job, before anything is read or written.

    The packages of `allowed_packages` may run from then on.

    Args:
        cfg: The composed config.
        config_name: The file of `conf/` that it was composed from.

    Raises:
        UserError: With the value, the reason and the remedy.
    """
    written: Any = OmegaConf.to_container(cfg, resolve=False)
    _check_missing(written)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    _check_sections(plain, config_name)
    _check_keys(plain, written, config_name)
    for key, value in nodes(plain):
        _check_value(key, value)
    allow_packages(plain["allowed_packages"])
    _check_parts(plain)
    if "baselines" in plain:
        _check_evaluation(plain)
    _check_combinations(plain)
    _check_official_split(plain)
    if (plain.get("logger") or {}).get("wandb"):
        wandb_mode_of_environment()
    _check_loggers(plain)
    if "_target_" in (plain.get("trainer") or {}):
        _check_trainer(plain)
    _check_sweep()
    is_resumed = config_name == "train" and plain["ckpt_path"]  # `resumed_config` checks that one
    if not is_resumed:
        check_effects(plain, task_overrides())
    for key, value in leaves(plain):
        if key not in WRITTEN or key in written_keys(plain):
            for path in value if isinstance(value, list) else [value]:
                check_path(key, path, plain, several=config_name != "train")
    values = dict(nodes(written))
    for key, section in nodes(plain):  # in this order, for most of the libraries come last
        if isinstance(section, Mapping) and "_target_" in section:
            check_arguments(key, section, is_evaluation=config_name != "train", written=values)
    check_allowed(plain)
    _check_shapes(plain)
    if config_name == "train":
        _check_study(plain["study"])


def check_values(config: Section) -> None:
    """Compare each value of a resolved training config, alone, with its type and range.

    Raises:
        UserError: With the value, the reason and the remedy.
    """
    allow_packages(config["allowed_packages"])
    for key, value in nodes(config):
        _check_value(key, value)
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(key, value, is_evaluation=False)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed config as the plain containers that a run is named by.

    Raises:
        UserError: If its `_target_`s may not run.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    check_allowed(plain)
    return with_floats(plain)


def with_floats(config: Section, at: str = "") -> dict[str, Any]:
    """Return a config, or the section `at` a key, with floats where whole numbers stand for them.

    So `model.dropout=0` and `model.dropout=0.0` are one run.
    """
    known = argument_types(definition(config["_target_"]))[0] if "_target_" in config else {}
    found = {}
    for name, value in config.items():
        key = f"{at}.{name}" if at else name
        types = [kind for pattern, kind in VALUES.items() if matches(key, pattern)]
        if key not in _WHOLE and (kind := next(iter(types), known.get(name))):
            value = kind.with_floats(value)
        found[name] = with_floats(value, key) if isinstance(value, Mapping) else value
    return found


def _check_study(study: str | None) -> None:
    """Refuse a study that is no folder below `output`."""
    if not (study or "").strip():
        raise UserError("study is empty: it names the folder of the run below output, study=NAME")
    if Path(str(study)).is_absolute() or ".." in Path(str(study)).parts:
        raise UserError(
            f"study={study}: a study is a folder below output; another place is output=FOLDER"
        )


def _check_missing(written: Section) -> None:
    # Unresolved, because `data.source.path: ${data.path}` is missing only if `data.path` is.
    for key, value in leaves(written):
        if value == "???":
            name = key.rpartition(".")[2]
            is_folder = name in ("root", "pretrained") or reads_folders(key, written)
            kind = "FOLDER" if is_folder else "FILE" if name in READ else "VALUE"
            raise UserError(f"{key} is needed: add {key}={kind}")


def _check_sections(config: Section, config_name: str) -> None:
    """Refuse a config without a key or group of its primary config, or with a value for a group."""
    primary, options = _primary(config_name)
    groups = [group for group, option in options.items() if option]
    for key in [*primary, *groups]:
        if key not in (*config, "hydra", "experiment"):
            raise UserError(f"{key} is needed; take {key}=null or ~{key} off the command line")
        is_section = key in groups or isinstance(primary[key], dict)
        if key in config and is_section and not isinstance(config[key], Mapping):
            inner = ", ".join(known for known in VALUES if known.startswith(f"{key}."))
            raise UserError(
                f"{key}={typed(config[key])}: expected a section of keys; set one of {inner}"
            )


@functools.cache
def _primary(config_name: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the keys of a primary config, and its groups with their default options."""
    keys: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{config_name}.yaml"))
    groups: dict[str, str | None] = {}
    for entry in keys.pop("defaults"):
        if isinstance(entry, dict):
            for group, option in entry.items():
                top = group.partition("/")[0]
                groups[top] = option or groups.get(top)
        elif entry != "_self_":  # baseline.yaml extends evaluate.yaml
            inherited = _primary(entry)
            keys, groups = inherited[0] | keys, inherited[1] | groups
    return keys, {group: groups[group] for group in groups if group not in ("hydra", "experiment")}


def _check_keys(config: Section, written: Section, config_name: str) -> None:
    """Refuse a key that nothing reads: added with a plus, or mistyped in an experiment file.

    A key is read by the program if its primary config or `VALUES` has it, by a reference in another
    value, or as an argument of its section's `_target_`, which `check_arguments` compares.
    """
    primary, groups = _primary(config_name)
    keys = [*(key for key, _ in nodes(primary) if key != "hydra"), *groups]
    referenced = set(re.findall(r"\$\{([\w.]+)\}", json.dumps(written)))
    # Files by name, and sections with a `_target_`, or passed on whole by a reference.
    called: tuple[str, ...] = ("data.path.",)
    for key, value in nodes(config):
        if key.startswith(called):
            continue
        top, _, name = key.partition(".")
        is_path = top in groups and name in ("path", "root") and value is not None
        if is_path and top != "tokenizer":  # `_check_pieces` compares that one
            read = key in referenced or config_name == "evaluate"
        else:
            patterns = VALUES if top in groups else ("baselines.*",) if value is not None else ()
            named = any(matches(key, pattern) for pattern in patterns)
            read = key in keys or key in referenced or (named and top in keys)
        # An option of `decoding` is merged with that of the checkpoint, and checked there.
        if not read and not (config_name != "train" and top == "decoding"):
            if config_name != "train" and is_of_training(key, (*primary, *groups)):
                raise UserError(not_evaluated(key))
            known = [k for k in VALUES if "*" not in k and k.partition(".")[0] in groups]
            raise UserError(unknown_key(key, list(dict.fromkeys([*keys, *known])), groups))
        if isinstance(value, Mapping) and ("_target_" in value or key in referenced):
            called += (f"{key}.",)


def _check_value(key: str, value: Any) -> None:
    """Compare a section or value with `VALUES`; texts must be UTF-8, for they are written to files.

    Python represents other bytes of a file name by half surrogates.
    """
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        encoding = sys.getfilesystemencoding()
        remedy = "rename it, or link to it by another name (ln -s)"
        raise UserError(
            f"{key}={value!a} is no {encoding.upper()} text; "
            f"{remedy if encoding == 'utf-8' else 'set the environment variable PYTHONUTF8=1'}"
        )
    group = key.replace(".", "/")
    if isinstance(value, str) and group != key and (CONF / group).is_dir():
        raise UserError(
            f"{key}={value}: expected a section of keys; choose an option: {group}=NAME"
        )
    for expected in (kind for known, kind in VALUES.items() if matches(key, known)):
        expected.validate(key, value)
    name = key.rpartition(".")[2]
    if name in ("prompt", *READ, *WRITTEN) and isinstance(value, str) and not value.strip():
        raise UserError(f"{key} is empty: set a value, or leave it out")


def _check_parts(config: Section) -> None:
    """Check that each cleaning step in use exists, and that each callback is one or null."""
    cleaning = config.get("cleaning") or {}
    for name in cleaning.get("use") or {}:
        if name not in cleaning["steps"]:
            near = did_you_mean(name, cleaning["steps"])
            raise UserError(f"cleaning.use.{name}: there is no cleaning.steps.{name}{near}")
    for name, callback in (config.get("callbacks") or {}).items():
        if callback is None and name not in _callback_names():
            near = did_you_mean(name, _callback_names())
            raise UserError(f"callbacks.{name}=null: there is no such callback{near}")
        if callback is not None and not (isinstance(callback, Mapping) and "_target_" in callback):
            raise UserError(
                f"callbacks.{name}={typed(callback)}: expected null, which switches it off, or a "
                "section with a _target_, as in conf/callbacks/"
            )


@functools.cache
def _callback_names() -> set[str]:
    options = (OmegaConf.load(file) for file in (CONF / "callbacks").glob("*.yaml"))
    return {str(name) for option in options for name in option} - {"defaults"}


def _check_evaluation(config: Section) -> None:
    """Check that there is something to score: checkpoints, baselines, or stored results."""
    if not any(config.get(name) for name in ("ckpt_path", "baseline", "results", "study")):
        raise UserError(
            "ckpt_path is needed: add ckpt_path=FILE; without a checkpoint, study=FOLDER "
            "summarizes a study and baseline=NAME scores a baseline"
        )
    for name in ("prompt", "prompts"):
        if config.get(name) is not None and not config.get("ckpt_path"):
            raise UserError(f"{name} needs a model: add ckpt_path=FILE")
    _check_one_task(config)
    if (n := config["batch"]["max_pairs"]) is not None:
        raise UserError(f"batch.max_pairs={n} limits the training pairs; a whole split is scored")
    if starts_ranks(config["trainer"]):
        devices = typed(config["trainer"]["devices"])
        raise UserError(
            f"trainer.devices={devices}: an evaluation uses one device; leave it out, or choose "
            "one by its number, trainer.devices=[1]"
        )
    _check_pass_at_k(config["pass_at_k"])
    source = config["data"].get("source") or {}
    if config["data"].get("path") is None and "path" in source and "url" not in source:
        raise UserError("data.path is needed: add data.path=FILE")
    known = [*config["baselines"], "all", "none"]
    for name in comma_separated(config.get("baseline") or ""):
        if name not in known:
            raise UserError(f"baseline={name}: no such baseline{did_you_mean(name, known)}")


def _check_one_task(config: Section) -> None:
    """Refuse typed keys that the task of a command would ignore."""
    given = [task for task in _TASKS if config.get(task) is not None]
    if not given or given == ["baseline"] and config["ckpt_path"]:
        return
    does, reads = _TASKS[given[0]]
    if "n_retrieved" in config["decoding"] and "decoding" in reads:
        reads += "|sandbox"  # which ranks the programs of decoding=votes
    for word in (unquoted(word).lstrip("+") for word in task_overrides()):
        if not re.match(rf"~?({given[0]}|{reads}|cache|processes|allowed_packages)\b", word):
            raise UserError(
                f"{given[0]}={config[given[0]]} {does} and ignores {word}: use one of them"
            )


def _check_pass_at_k(sampling: Section) -> None:
    """Refuse values of k that are above the number of samples."""
    n, ks = sampling["n_samples"], sampling["k"]
    if n is not None and (above := [k for k in ks if k > n]):
        possible = [k for k in ks if k <= n] or [n]
        raise UserError(
            f"pass_at_k.n_samples={n}: too few samples for {', '.join(f'pass@{k}' for k in above)}"
            f"; use pass_at_k.n_samples={max(ks)}, or pass_at_k.k={typed(possible)}"
        )


def _check_combinations(config: Section) -> None:
    """Refuse values that are valid alone and contradict each other."""
    if config.get("ckpt_path") and config.get("init_from"):
        raise UserError(
            "ckpt_path and init_from exclude each other: ckpt_path resumes the same run, "
            "init_from starts a new one from its weights"
        )
    if config.get("ckpt_path") and config.get("fresh"):
        raise UserError(
            "fresh=true and ckpt_path exclude each other: fresh trains from the start, ckpt_path "
            "resumes; for new training from known weights there is init_from=FILE"
        )
    _check_pieces(config)
    _check_neighbours(config)
    if "baselines" not in config:  # else each checkpoint has its own limit
        check_decoding(config)
    _check_votes(config)


def _check_votes(config: Section) -> None:
    """Refuse a search by votes where there is no validation split to learn from, or no meaning."""
    search = config.get("decoding") or {}
    if "n_retrieved" not in search:
        return
    if "optimizer" in config:
        raise UserError(
            "decoding=votes: its weights are learned for a trained model; train with another "
            "search, then run evaluate.py ckpt_path=FILE decoding=votes"
        )
    if config.get("part") == "train" and search["n_retrieved"]:
        raise UserError(
            "part=train: the pools of decoding=votes have the programs of training pairs; use "
            "part=val, or decoding.n_retrieved=0"
        )


def _check_pieces(config: Section) -> None:
    """Refuse settings of pieces where no side has them, and frequencies where both are learned."""
    tokenizer = config.get("tokenizer") or {}
    uses_pieces = _uses_pieces(config)
    for side, has_pieces in uses_pieces.items():
        frequency = (config.get("vocab") or {}).get(f"{side}_min_freq", 1)
        if has_pieces and frequency > 1:
            raise UserError(
                f"vocab.{side}_min_freq={frequency}: a vocabulary of pieces has no rare tokens; "
                "tokenizer.vocab_size sets its size"
            )
    denoising = (config.get("batch") or {}).get("denoising")
    if denoising and not all(uses_pieces.values()):
        raise UserError(
            f"batch.denoising={denoising}: needs one vocabulary for both sides; add "
            "tokenizer=pieces, or take batch.denoising=0"
        )
    src, tgt = (tokenizer.get(side) or {} for side in ("src", "tgt"))
    for name in ("path", "vocab_size"):
        if all(uses_pieces.values()) and src.get(name) != tgt.get(name):
            raise UserError(
                f"tokenizer.tgt.{name}={typed(tgt.get(name))}: both sides have one vocabulary of "
                f"pieces, and tokenizer.src.{name}={typed(src.get(name))}; set tokenizer.{name}= "
                "alone"
            )
    if not any(uses_pieces.values()):
        for name in ("path", "vocab_size"):
            if tokenizer.get(name) is not None:
                raise UserError(
                    f"tokenizer.{name}={tokenizer[name]}: no side uses pieces; add tokenizer=pieces"
                )


def _check_neighbours(config: Section) -> None:
    """Refuse neighbours and copies without one vocabulary, and neighbours not trained on."""
    copies = bool((config.get("model") or {}).get("copy"))
    if not (copies or config.get("neighbours")):
        return
    if not all(_uses_pieces(config).values()):
        raise UserError(
            f"{'model.copy=true' if copies else 'neighbours=nearest'}: both sides need one "
            "vocabulary; add tokenizer=pieces"
        )
    if config.get("neighbours") and (n := config["batch"]["max_pairs"]) is not None:
        raise UserError(
            f"batch.max_pairs={n}: with neighbours=nearest sources contain the other training "
            "pairs too; split.ratios sets the size of the training split"
        )
    if denoising := config["batch"].get("denoising"):
        raise UserError(
            f"batch.denoising={denoising}: denoised programs have no neighbours; take neighbours "
            "from the command line, or batch.denoising=0"
        )


def check_decoding(config: Section) -> None:
    """Refuse programs longer than the model's, and a grammar that its tokens do not support."""
    decoding, limit = config.get("decoding") or {}, (config.get("model") or {}).get("max_tgt_len")
    max_len = decoding.get("max_len")
    if isinstance(max_len, int) and isinstance(limit, int) and max_len > limit:
        raise UserError(
            f"decoding.max_len={max_len}: longer than the model supports, model.max_tgt_len={limit}"
        )
    tokenizer = class_of((config.get("tokenizer") or {}).get("tgt"))
    if decoding.get("grammar") and "tokenizer" in config:
        if tokenizer not in ("PythonTokenizer", "PythonPieces"):
            raise UserError(
                "decoding.grammar=true: needs tokens of Python's tokenizer, not those of "
                f"{tokenizer}; train with tokenizer/tgt=python or tokenizer=pieces"
            )


def _uses_pieces(config: Section) -> dict[str, bool]:
    """Return whether the tokenizer of each side cuts tokens into pieces."""
    tokenizers = config.get("tokenizer") or {}
    return {side: class_of(tokenizers.get(side)).endswith("Pieces") for side in ("src", "tgt")}


def starts_ranks(trainer: Section) -> bool:
    """Return whether a run may have several processes: for `devices: auto`, that is unknown."""
    devices = trainer.get("devices", 1)
    several = len(devices) > 1 if isinstance(devices, list) else devices != 1
    return several or trainer.get("strategy") == "ddp" or trainer.get("num_nodes", 1) > 1


def _check_trainer(config: Section) -> None:
    """Refuse settings of the trainer that could not act, or without which it cannot train."""
    trainer: Section = config["trainer"]
    for name in ("max_epochs", "accelerator", "precision"):
        if name not in trainer:
            raise UserError(f"trainer.{name} is needed; take ~trainer.{name} off the command line")
    for name, reason in REFUSED_TRAINER_ARGUMENTS.items():
        if trainer.get(name) is not None:
            raise UserError(f"trainer.{name}={typed(trainer[name])} is not supported: {reason}")
    if trainer["max_epochs"] == -1 and trainer.get("max_steps", -1) == -1:
        raise UserError(
            "trainer.max_epochs=-1: the learning rate schedule needs a number of epochs or steps; "
            "set one of trainer.max_epochs and +trainer.max_steps"
        )
    for name in ("epochs", "steps"):
        least, most = trainer.get(f"min_{name}"), trainer.get(f"max_{name}", -1)
        if least is not None and -1 != most < least:
            raise UserError(f"trainer.min_{name}={least}: above trainer.max_{name}={most}")
    every = trainer.get("check_val_every_n_epoch", 1)
    if -1 != trainer["max_epochs"] < every:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: above trainer.max_epochs="
            f"{trainer['max_epochs']}, so there is no validation; +trainer.limit_val_batches=0 "
            "trains without one"
        )
    stopping = (config.get("callbacks") or {}).get("early_stopping")
    if trainer.get("limit_val_batches") == 0 and stopping:
        raise UserError(
            "trainer.limit_val_batches=0: early stopping needs a validation; add "
            "callbacks.early_stopping=null"
        )
    if stopping and (monitor := stopping.get("monitor")) not in _STOPPING:
        raise UserError(
            f"callbacks.early_stopping.monitor={monitor}: not measured in every validation; choose "
            f"from: {', '.join(_STOPPING)}"
        )
    if stopping and stopping.get("mode", "min") != (mode := _STOPPING[monitor]):
        raise UserError(
            f"callbacks.early_stopping.monitor={monitor}: its best value is the {mode}imum; add "
            f"+callbacks.early_stopping.mode={mode}"
        )
    if trainer["precision"] in ("16-mixed", "16", 16):
        if trainer.get("gradient_clip_val") and config["optimizer"].get("fused"):
            raise UserError(
                f"trainer.precision={trainer['precision']}: a fused optimizer unscales fp16 "
                "gradients itself, so they cannot be clipped; add optimizer.fused=false"
            )
    n_nodes = trainer.get("num_nodes", 1)
    launcher = HydraConfig.get().launcher
    is_launched = any(name in os.environ for name in _NODE_VARIABLES)
    if n_nodes > max(1, launcher.get("nodes", 1)) and not is_launched:
        raise UserError(
            f"trainer.num_nodes={n_nodes}: no launcher starts processes on other nodes; use srun, "
            f"torchrun, or -m hydra/launcher=submitit_slurm hydra.launcher.nodes={n_nodes}"
        )
    frozen = (config.get("embeddings") or {}).get("freeze_epochs") or 0
    if frozen > 0 and starts_ranks(trainer):
        raise UserError(
            f"embeddings.freeze_epochs={frozen}: tables that start to learn later would differ "
            "between the processes of trainer.strategy=ddp; use 0 or -1, or one device"
        )


def _check_official_split(config: Section) -> None:
    """Refuse a split that needs fields the data lack, and one that ignores that of the source."""
    data, split = config["data"], config.get("split")
    target = str((split or {}).get("_target_"))
    fields = data.get("source") or {}
    if target.endswith(".numbered_split") and not fields.get("id_field"):
        named = "add data.source.id_field=FIELD if a field has them, or " * ("id_field" in fields)
        raise UserError(
            f"split: these data ({data['name']}) have no task numbers to split by; {named}"
            "choose another split="
        )
    if target.endswith(".official_split"):
        source = data.get("source") or {}
        is_ours = str(source.get("_target_")).startswith("en2py.")
        if is_ours and not {"split_field", "sources"} & {*source}:
            raise UserError(
                f"split=official: these data ({data['name']}) have no split of their own; choose "
                "another split="
            )
        return
    if split is None:
        return
    if isinstance(data.get("path"), Mapping):
        raise UserError(
            f"data.path={json.dumps(data['path'])}: one file per split needs split=official; "
            f"another split would mix them"
        )
    path = data.get("path")
    if isinstance(path, str) and Path(path, "dataset_dict.json").is_file():
        raise UserError(
            f"data.path={path}: a folder with one data set per split needs split=official; name "
            f"one of them as data.path={path}/NAME for another split"
        )
    if (field := (data.get("source") or {}).get("split_field")) is not None:
        raise UserError(
            f"data.source.split_field={field}: no other split reads it; add split=official"
        )


# Arguments of Lightning's loggers that the run sets.
_OF_THE_RUN = {
    "tensorboard": ("save_dir", "name", "version"),
    "mlflow": ("experiment_name", "run_name", "run_id"),
}
# Of TensorBoardLogger and of the SummaryWriter that it passes all others to.
_OF_TENSORBOARD = ("_target_", "_partial_", "default_hp_metric", "filename_suffix", "flush_secs",
                   "log_graph", "max_queue", "prefix", "purge_step", "sub_dir")  # fmt: skip


def _check_loggers(config: Section) -> None:
    """Refuse a logger whose package is missing, or that an evaluation would not use."""
    for name, section in (config.get("logger") or {}).items():
        if "baselines" in config and (section or {}).get("log_checkpoints"):
            raise UserError(
                f"logger.{name}.log_checkpoints=true: an evaluation uploads no checkpoint; "
                "train.py does"
            )
        if not section or name == "wandb":
            continue
        if "baselines" in config:
            raise UserError(
                f"logger={name}: an evaluation is written to its folder and to W&B; take "
                "logger=wandb or logger=csv"
            )
        for key in section:
            if key in _OF_THE_RUN.get(name, ()):
                raise UserError(f"logger.{name}.{key}: the run sets it, from its name and study=")
            if class_of(section) == "TensorBoardLogger" and key not in _OF_TENSORBOARD:
                near = did_you_mean(key, _OF_TENSORBOARD[2:])
                raise UserError(f"logger.{name}.{key}: TensorBoard has no such argument{near}")
        if importlib.util.find_spec(name) is None:
            raise UserError(f'logger={name}: not installed; pip install -e ".[{name}]" installs it')


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


def _check_sweep() -> None:
    known = ["env", *(field.name for field in dataclasses.fields(HydraConf))]
    settings: Any = HydraConfig.get()
    for name in settings:
        if name not in known:
            raise UserError(f"hydra.{name}: no such key{did_you_mean(str(name), known)}")
    params = HydraConfig.get().sweeper.get("params")
    if HydraConfig.get().mode != RunMode.MULTIRUN and params:
        raise UserError(f"this experiment is a sweep over {', '.join(params)}: add -m to run it")


def check_arguments(
    at: str, section: Section, *, is_evaluation: bool, written: Section | None = None
) -> None:
    """Compare a section with the signature of its target.

    Args:
        at: The dotted key of the section.
        section: With a `_target_`.
        is_evaluation: Accept `decoding.engine`, and null for `decoding.max_len`: the limit of each
            checkpoint.
        written: Dotted keys to unresolved values: a value that is copied from another key, as
            `data.source.path` from `data.path`, is reported by that key.
    """
    check_allowed(section, at)
    known, any_keyword = argument_types(definition(section["_target_"]))
    for name, value in section.items():
        key = f"{at}.{name}"
        set_later = key == "decoding.engine" or (key == "decoding.max_len" and value is None)
        if name in ("_target_", "_partial_") or (set_later and is_evaluation):
            continue
        if name not in known and not any_keyword:
            near = did_you_mean(name, known)
            raise UserError(f"{key}: {section['_target_']} has no argument {name}{near}")
        expected = known.get(name)
        if expected and not any(matches(key, known) for known in VALUES):  # compared before
            expected.validate(_origin(key, written or {}), value)


def _origin(key: str, written: Section) -> str:
    """Return the key that a value is copied from: `data.path` for `path: ${data.path}`."""
    value = written.get(key)
    pattern = r"\$\{(?:oc\.select:)?([\w.]+)(?:,\w+)?\}"
    copied = re.fullmatch(pattern, value) if isinstance(value, str) else None
    return _origin(copied[1], written) if copied and copied[1] in written else key


def _check_shapes(config: Section) -> None:
    """Check numbers that depend on each other."""
    model, embeddings = config.get("model") or {}, config.get("embeddings") or {}
    d_model, n_heads = model.get("d_model"), model.get("n_heads")
    rotary = model.get("positions") == "rotary"  # which rotate pairs of columns of a head
    least = 2 if rotary else 1
    if isinstance(d_model, int) and isinstance(n_heads, int) and d_model % (least * n_heads):
        if d_model % least:
            raise UserError(f"model.d_model={d_model}: rotary positions need an even number")
        divisors = [h for h in range(1, d_model + 1) if d_model % (least * h) == 0]
        best = min(divisors, key=lambda h: abs(h - n_heads))
        even = " into heads of an even size, which rotary positions need" if rotary else ""
        raise UserError(
            f"model.n_heads={n_heads}: does not divide model.d_model={d_model}{even}; "
            f"the nearest number of heads that does is {best}"
        )
    vectors = embeddings.get("vectors") or {}
    if model.get("tie_embeddings") == "tgt" and class_of(vectors) in ("separate", "joint", "code"):
        if vectors["dim"] != d_model:
            raise UserError(
                f"embeddings.vectors.dim={vectors['dim']}: model.tie_embeddings=tgt needs vectors "
                f"of model.d_model={d_model}; take one of these settings off the command line"
            )
