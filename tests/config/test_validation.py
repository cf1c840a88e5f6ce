"""Types, ranges, files and contradictions that are refused."""

import functools
import json
import operator
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict
from pydantic import PositiveFloat, PositiveInt

from configs import composed, refused
from en2py.config.argument_types import ArgumentType, argument_types
from en2py.config.composition import CONF, compose_config, job_of, nodes
from en2py.config.effects import check_effects
from en2py.config.instantiate import check_allowed, definition
from en2py.config.paths import expand_paths
from en2py.config.validation import _COMPLETE, _PARTIAL, validate, with_floats
from en2py.config.value_types import VALUES, matches
from en2py.errors import UserError
from en2py.ranges import Fraction, ProperFraction, Seed
from en2py.training.run import Run

RPROP = [
    "optimizer._target_=torch.optim.Rprop",
    *(f"~optimizer.{key}" for key in ("betas", "eps", "weight_decay", "fused", "momentum",
                                      "iterations")),
]  # fmt: skip
PRESETS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(autouse=True)
def _no_config_left() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("scheduler.warmup", "scheduler.warmup is needed: en2py.training.schedulers.cosine has no"),
        ("data.source.seed", "data.source.seed is needed: "),
        ("data.name", "data.name is needed, and no option of this config sets it"),
        ("model.max_src_len", "model.max_src_len is needed, and no option"),
        ("vocab.src_min_freq", "vocab.src_min_freq is needed, and no option"),
        ("sandbox.timeout_s", "sandbox.timeout_s is needed, and no option"),
    ],
)
def test_own_option_without_a_needed_key_is_refused(key: str, sentence: str) -> None:
    cfg = composed("train")
    section, _, name = key.rpartition(".")
    with open_dict(cfg):
        del OmegaConf.select(cfg, section)[name]
    assert refused(cfg).startswith(sentence)


@pytest.mark.parametrize(
    "key", ["scheduler.total_steps", "model.sep_id", "embeddings.vectors.seed", "split.signatures"]
)
def test_argument_that_the_run_sets_is_refused(key: str) -> None:
    assert "has no argument" in refused(composed("train", "split=behaviour"), **{key: 3})


@pytest.mark.parametrize("key", ["model.n_src", "model.pad_id", "split.report", "loss.vocab"])
def test_argument_that_the_run_passes_is_refused(key: str) -> None:
    message = refused(composed("train"), **{key: 3})
    assert message.startswith(f"{key}: the run passes ") and message.endswith("leave it out")


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        *(("loss", []), ("model", []), ("optimizer", []), ("split", []), ("data.source", [])),
        *(
            ("cleaning.steps.dedent", ["cleaning=default"]),
            ("neighbours", ["neighbours=nearest", "tokenizer=pieces"]),
        ),
        *(("data.source.sources.tasks", ["data=mixture"]), ("trainer", []), ("decoding", [])),
    ],
)
def test_part_that_the_run_calls_is_partial(key: str, choices: list[str]) -> None:
    cfg = composed("train", *choices)
    with open_dict(cfg):
        del OmegaConf.select(cfg, key)["_partial_"]
    message = refused(cfg)
    assert message.startswith(f"{key}._partial_ is needed")
    assert message.endswith("write _partial_: true below _target_")


def test_every_part_of_the_presets_is_known_as_partial_or_complete() -> None:
    found = {True: set(), False: set()}
    for file in [*CONF.glob("**/*.yaml"), *PRESETS.glob("data/*.yaml")]:
        is_option = file.parent not in (CONF, CONF / "hydra")
        root = CONF if file.is_relative_to(CONF) else PRESETS
        at = ".".join(file.parent.relative_to(root).parts) if is_option else ""
        plain = OmegaConf.to_container(OmegaConf.load(file))
        parts = {at: plain, **dict(nodes(plain, at))}
        for key, part in parts.items():
            if isinstance(part, Mapping) and "_target_" in part and not key.startswith("hydra"):
                found["_partial_" in part].add(key)
    for is_partial, patterns in ((True, _PARTIAL), (False, _COMPLETE)):
        unknown = [k for k in found[is_partial] if not any(matches(k, p) for p in patterns)]
        assert found[is_partial] and not unknown


@pytest.mark.parametrize("key", ["tokenizer.tgt", "callbacks.samples"])
def test_part_that_the_config_completes_is_not_partial(key: str) -> None:
    message = refused(composed("train"), **{f"{key}._partial_": True})
    assert message.startswith(f"{key}._partial_=true: nothing would call")


@pytest.mark.parametrize("config_name", ["train", "evaluate"])
def test_defaults_pass(config_name: str, tmp_path: Path) -> None:
    cfg = composed(config_name)
    if config_name == "evaluate":
        cfg.ckpt_path = str(tmp_path / "x.ckpt")
        Path(cfg.ckpt_path).write_text("weights")
    validate(cfg, config_name)


# Key, value, part of the message.
MISTAKES = [
    ("trainer.max_epochs", "abc", "trainer.max_epochs=abc: expected a whole number"),
    ("trainer.max_epochs", 0, "=0: expected a number above 0 or -1"),
    ("trainer.max_epochs", 2.5, "=2.5: expected a whole number"),
    ("trainer.gradient_clip_val", -1, "a number at least 0"),
    ("trainer.accelerator", "gppu", "did you mean 'gpu'?"),
    ("trainer.accelerator", "CPU", "did you mean 'cpu'?"),
    ("trainer.precision", "bf17", "did you mean 'bf16'?"),
    (
        "trainer.deterministic_",
        True,
        "has no argument deterministic_; did you mean 'deterministic'?",
    ),
    ("trainer.enable_model_summary", 3, "expected true or false"),
    ("model.n_heads", 7, "does not divide model.d_model=128 into heads of an even size"),
    ("model.n_heads", 128, "need; the nearest number of heads that does is 64"),
    ("model.d_model", 99, "model.d_model=99: rotary positions need an even number"),
    ("model.d_model", True, "model.d_model=true: expected a whole number"),
    ("model.dropout", 1.0, "a number below 1"),
    ("model.dropout", -0.1, "a number at least 0"),
    (
        "model.positions",
        "learnt",
        "'sinusoidal' or 'rotary'; did you mean 'learned'?",
    ),
    ("model.n_layers_", 3, "has no argument n_layers_"),
    ("loss.label_smoothing", 1, "a number below 1"),
    ("data.source.n_pairs", 0, "data.source.n_pairs=0: expected a number at least 1"),
    ("data.source.n_pairs", 1_000_000, "expected a number at most 20000"),
    ("data.source.families", "al", "expected 'default' or 'all'; did you mean 'all'?"),
    ("loss.label_smoothing", float("nan"), "a finite number"),
    ("loss._target_", "os.system", "may run"),
    ("loss._target_", "en2py.training.losses.CrossEntropie", "did you mean 'CrossEntropy'?"),
    ("optimizer.lr", "fast", "optimizer.lr=fast: expected a number"),
    ("optimizer.lr", float("inf"), "a finite number"),
    ("optimizer.betas", [0.9], "expected more items"),
    (
        "optimizer.betas",
        [0.9, 1.0],
        "=[0.9, 1.0]: expected a number below 1",
    ),
    ("callbacks.early_stopping.every_n_epochs", 3, "has no argument every_n_epochs"),
    ("optimizer.fusedd", True, "did you mean 'fused'?"),
    ("split.ratios", [0.5, 0.5, 0.5], "these 3 sum to 1.5"),
    (
        "split.ratios",
        [0.5, 0.5],
        "split.ratios=[0.5, 0.5]: expected three numbers (train, val, test) that sum to 1; these 2",
    ),
    ("split.ratios", [1.2, -0.1, -0.1], "expected a number below 1 or a number above 0"),
    ("split.ratios", [0, 0.5, 0.5], "expected a number above 0"),
    ("decoding.max_len", 1000, "longer than the model supports, model.max_tgt_len=256"),
    ("callbacks.samples", True, "expected null, which switches it off"),
    ("cleaning.use.must_parse", "maybe", "true or false"),
    ("cleaning.use.must_pars", True, "no cleaning.steps.must_pars; did you mean 'must_parse'?"),
    ("scheduler.warmup", 2, "scheduler.warmup=2: expected a number at most 1"),
    ("seed", -1, "at least 0"),
    ("seed", 2**32, "below 4294967296"),
    ("seed", 1.5, "whole number"),
    ("fresh", "maybe", "true or false"),
    ("vocab", 5, "vocab=5: expected a section of keys; set one of vocab.src_min_freq"),
    ("batch", None, "batch=null: expected a section of keys"),
    ("batch.max_tokens", "abc", "expected a whole number"),
    ("batch.num_workers", -1, "at least 0"),
    ("ckpt_path", "", "ckpt_path is empty"),
    ("output", __file__, "is a file, expected a folder"),
    ("output", "", "output is empty: set a value"),
    ("logger.wandb.project", "", "logger.wandb.project=: expected a text that is not empty"),
    (
        "callbacks.early_stopping.monitor",
        "val/bleu",
        "monitor=val/bleu: not measured in every validation; choose from: val/nll, val/loss,",
    ),
    (
        "callbacks.early_stopping.monitor",
        "val/accuracy",
        "its best value is the maximum; add +callbacks.early_stopping.mode=max",
    ),
]


@pytest.mark.parametrize(("key", "value", "expected"), MISTAKES)
def test_value_is_refused(key: str, value: Any, expected: str) -> None:
    message = refused(composed("train"), **{key: value})
    assert expected in message
    assert message.startswith(key.split(".")[0])


@pytest.mark.parametrize(
    ("program", "key", "expected"),
    [
        ("train", "batch.size", "batch has: max_tokens, max_pairs, num_workers"),
        ("train", "nonsense", "nonsense: no such key; the config has: seed, study"),
        ("train", "optimizr.lr", "optimizr: no such key; did you mean optimizer?"),
        ("train", "checkpoints.every_n_epochs", "did you mean checkpoints.keep_every_n_epochs?"),
        ("train", "logger.wandb.projekt", "did you mean logger.wandb.project?"),
        ("train", "data.root", "the data in use has no root; add data=stdlib"),
        ("train", "data.fields", "data has: name, path, root, source"),
        ("train", "tokenizer.code", "tokenizer has: vocab_size, path, src, tgt"),
        ("train", "loss._convert_", "has no argument _convert_"),
        ("train", "prompt", "prompt: no such key"),
        ("evaluate", "anything.at.all", "anything: no such key"),
        ("evaluate", "seed", "seed: cannot be chosen here: a setting of train.py"),
        ("evaluate", "trainer.precision", "trainer has: accelerator, devices"),
        ("evaluate", "pass_at_k.n", "pass_at_k has: n_samples"),
    ],
)
def test_key_that_nothing_reads_is_refused(program: str, key: str, expected: str) -> None:
    assert expected in refused(composed(program), program, **{key: "1"})


@pytest.mark.parametrize("option", ["greedy", "sample"])
def test_decoding_engine_is_refused_in_training(option: str) -> None:
    cfg = composed("train", f"decoding={option}")
    assert "has no argument engine" in refused(cfg, **{"decoding.engine": "ctranslate2"})


def test_key_of_an_own_part_or_of_a_reference_is_accepted(tmp_path: Path) -> None:
    cfg = composed("train")
    target = {"_target_": "pytorch_lightning.callbacks.LearningRateMonitor"}
    OmegaConf.update(cfg, "callbacks.rates", target, force_add=True)
    OmegaConf.update(cfg, "model.d_ff", "${width}", force_add=True)
    OmegaConf.update(cfg, "width", 64, force_add=True)
    validate(cfg)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("x")
    message = refused(composed("train"), ckpt_path=str(tmp_path / "lost.ckpt"))
    assert "does not exist" in message and "did you mean 'last.ckpt'?" in message


def test_missing_folder_names_the_folder_searched(tmp_path: Path) -> None:
    message = refused(composed("train"), init_from=str(tmp_path / "runs" / "a" / "last.ckpt"))
    assert f"looked in {tmp_path}" in message


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert "this is a folder" in refused(composed("train"), ckpt_path=str(tmp_path))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    message = refused(composed("train", "data=file"), **{"data.path": str(tmp_path / "empty.txt")})
    assert "file is empty" in message


def test_data_without_its_path() -> None:
    assert refused(composed("train", "data=file")) == "data.path is needed: add data.path=FILE"


def test_data_path_must_exist() -> None:
    message = refused(composed("train", "data=english_python"), **{"data.path": "no/such.txt"})
    assert message.startswith("data.path: no does not exist")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://x.org/pairs.jsonl", "a URL; download it"),
        ("a.jsonl,b.jsonl", "no file of this name; several files are a sweep with -m"),
    ],
)
def test_data_path_that_is_no_file(path: str, expected: str) -> None:
    assert expected in refused(composed("train", "data=file"), **{"data.path": path})


def test_folders_of_a_corpus_are_a_list() -> None:
    message = refused(composed("train", "data=corpus"), **{"data.path": "a,b"})
    assert message.endswith("no file of this name; several folders are a list, 'data.path=[A,B]'")


@pytest.mark.parametrize(
    ("values", "n_checked"),
    [({"prompt": "x"}, 0), ({"export": "new"}, 0), ({"folder": "new"}, 1), ({}, 1)],
)
def test_only_folders_that_a_command_writes_to_are_checked(
    values: dict[str, str], n_checked: int, tmp_path: Path
) -> None:
    cfg = composed("evaluate")
    cfg.ckpt_path = str(tmp_path / "x.ckpt")
    Path(cfg.ckpt_path).write_text("weights")
    cfg.output = __file__
    for key, value in values.items():
        cfg[key] = value if key == "prompt" else str(tmp_path / value)
    validate(cfg, "evaluate")
    cfg.cache = __file__
    if n_checked:
        assert "is a file, expected a folder" in refused(cfg, "evaluate")
    else:
        validate(cfg, "evaluate")


@pytest.mark.parametrize(
    ("choices", "typed", "remedy"),
    [
        (["scheduler=noam"], "optimizer.lr=0.001", "scheduler=noam sets the rate itself"),
        (["embeddings=none"], "embeddings.freeze_epochs=5", "choose embeddings=joint"),
        (["embeddings=none"], "embeddings.vectors.dim=64", "choose embeddings=joint"),
        (["augmentation=none"], "augmentation.seed=5", "choose augmentation=rename"),
        (
            ["cleaning=default", "cleaning.use.limit_lengths=false"],
            "cleaning.steps.limit_lengths.max_code=300",
            "add cleaning.use.limit_lengths=true",
        ),
        (
            ["trainer.gradient_clip_val=0"],
            "+trainer.gradient_clip_algorithm=value",
            "add trainer.gradient_clip_val=VALUE",
        ),
        (["data=mbpp", "split=mbpp", f"data.path={__file__}"], "split.seed=2", "fixes this split"),
        (
            ["data=file", "split=official", f"data.path={{train:{__file__},val:{__file__}}}"],
            "split.seed=2",
            "fixes this split",
        ),
        (
            ["data=english_python", f"data.path={__file__}"],
            "data.source.sha256=0",
            f"data.path={__file__} is read instead",
        ),
        (
            ["data=file", f"data.path={__file__}", "data.source.tests_field=null"],
            "data.source.setup_field=imports",
            "add data.source.tests_field=NAME",
        ),
        (["tokenizer=pieces", f"tokenizer.path={__file__}"], "tokenizer.vocab_size=600", "keep"),
        (
            ["decoding=beam", "decoding.beam_size=1"],
            "decoding.length_penalty=1.0",
            "add decoding.beam_size=4",
        ),
        (["decoding=sample", "decoding.top_k=1"], "decoding.temperature=2.0", "set a higher one"),
        (["callbacks.early_stopping=null"], "+trainer.min_epochs=2", "before trainer.max_epochs"),
        (["callbacks.early_stopping=null"], "+trainer.min_steps=2", "before trainer.max_steps"),
        (RPROP, "scheduler=constant", "choose another optimizer"),
        (["trainer.max_epochs=3"], "checkpoints.keep_every_n_epochs=5", "one of at most 3"),
        ([], "hydra/launcher=joblib", "add -m"),
        (["hydra/launcher=joblib"], "hydra.launcher.n_jobs=4", "add -m"),
        (
            ["hydra.mode=MULTIRUN", "hydra/sweeper=search", "hydra.sweeper.pruner=null"],
            "hydra.sweeper.n_warmup_epochs=3",
            "use hydra.sweeper.pruner=median",
        ),
    ],
)
def test_typed_setting_without_effect_is_refused(
    choices: list[str], typed: str, remedy: str
) -> None:
    if "hydra/launcher=joblib" not in choices:
        validate(composed("train", *choices))
    message = refused(composed("train", typed, *choices))
    assert message.startswith(f"{typed.lstrip('+')}: ") and remedy in message


def test_a_rate_that_rprop_does_not_read_is_refused_for_a_resumed_run() -> None:
    config = {"optimizer": {"_target_": "torch.optim.Rprop", "lr": 0.1}, "ckpt_path": "last.ckpt"}
    composed("train")
    with pytest.raises(UserError, match="optimizer.lr=0.1: Rprop reads .* before this checkpoint"):
        check_effects(config, ["optimizer.lr=0.1"])
    check_effects({**config, "ckpt_path": None}, ["optimizer.lr=0.1"])


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=schedules", "optimizer=adamw_fast", "scheduler=noam"],
        ["experiment=joint_vectors", "embeddings=none"],
        ["scheduler=cosine", "optimizer.lr=0.001"],
        ["cleaning=default", "cleaning.steps.limit_lengths.max_code=300"],
        ["tokenizer=pieces", "tokenizer/tgt=bpe", "tokenizer.tgt.vocab_size=300",
         f"tokenizer.src.path={__file__}"],
        ["split=group", "split.seed=2"],
        ["callbacks=default", "+trainer.min_epochs=2"],
        ["callbacks.early_stopping=null", "+trainer.min_epochs=2", "+trainer.max_time=00:01:00:00"],
        ["hydra.mode=MULTIRUN", "hydra/launcher=joblib", "hydra.launcher.n_jobs=4"],
    ],
)  # fmt: skip
def test_setting_of_a_preset_or_with_an_effect_is_accepted(words: list[str]) -> None:
    validate(composed("train", *words))


@pytest.mark.parametrize(
    ("option", "key", "value", "expected"),
    [
        ("tokenizer/tgt=bpe", "tokenizer.tgt.vocab_size", 255, "a number at least 256"),
        ("tokenizer=pieces", "tokenizer.vocab_size", 599, "a number at least 600"),
        ("augmentation=word_dropout", "augmentation.probability", 1.0, "a number below 1"),
    ],
)
def test_a_range_of_an_option_is_checked(
    option: str, key: str, value: float, expected: str
) -> None:
    message = refused(composed("train", option), **{key: value})
    assert message.startswith(f"{key}={value}: expected {expected}")


def test_an_option_that_is_set_as_a_value_names_its_group() -> None:
    message = refused(composed("train"), **{"tokenizer.src": "bpe"})
    assert message.startswith("tokenizer.src=bpe: expected a section of keys; choose an option: ")
    assert "tokenizer/src=NAME" in message


def test_list_of_paths_is_not_empty() -> None:
    cfg = composed("train", "data=english_python")
    assert "data.path=[]: expected" in refused(cfg, **{"data.path": []})


def test_file_of_pieces_must_exist() -> None:
    message = refused(composed("train", "tokenizer=pieces"), **{"tokenizer.path": "no.json"})
    assert "tokenizer.src.path: no.json does not exist" in message


def test_beam_size_of_zero() -> None:
    message = refused(composed("train", "decoding=beam"), **{"decoding.beam_size": 0})
    assert "decoding.beam_size=0: expected a number above 0" in message


@pytest.mark.parametrize("group", ["loss", "model"])  # word vectors refer to the model
def test_deleted_group(group: str) -> None:
    cfg = composed("train")
    with open_dict(cfg):
        del cfg[group]
    assert refused(cfg).startswith(f"{group} is needed")


def test_fraction_of_a_minute_is_accepted() -> None:
    cfg = composed("train")
    cfg.checkpoints.every_n_minutes = 0.5
    validate(cfg)


@pytest.mark.parametrize(("key", "value"), [("prompt", " \n"), ("prompts", "")])
def test_empty_prompt(key: str, value: str, tmp_path: Path) -> None:
    assert f"{key} is empty" in refused(
        composed("evaluate"), "evaluate", ckpt_path="a", **{key: value}
    )


@pytest.mark.parametrize(("key", "name"), [("ckpt_path", "last.ckpt"), ("init_from", "best.ckpt")])
def test_the_folder_of_a_run_names_its_checkpoint(tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_text("weights")
    message = refused(composed("train", f"{key}={tmp_path}"))
    assert message.endswith(f"expected a file: {key}={tmp_path / 'checkpoints' / name}")


def test_a_wrong_value_is_reported_by_the_key_that_was_typed() -> None:
    message = refused(composed("train", "data=file", "data.path=null"))
    assert message.startswith("data.path=null: expected a text")
    message = refused(composed("train", "experiment=finetune", "pretrained=null"))
    assert message.startswith("pretrained=null: expected a text")


def test_a_null_argument_is_refused_in_an_evaluation_too(tmp_path: Path) -> None:
    cfg = composed("evaluate", "decoding=beam")
    cfg.ckpt_path = str(tmp_path)
    validate(cfg, "evaluate")
    assert "baselines.bm25.k1=null: expected" in refused(
        cfg.copy(), "evaluate", **{"baselines.bm25.k1": None}
    )
    assert "decoding.beam_size=null: expected" in refused(
        cfg, "evaluate", **{"decoding.beam_size": None}
    )


@pytest.mark.parametrize("target", ["os.system", "en2pyx.y", "builtins.eval", "torch.load"])
def test_targets_that_are_not_listed(target: str) -> None:
    with pytest.raises(UserError, match=r"cleaning.step._target_=.* may (not )?run"):
        check_allowed({"cleaning": {"step": [{"_target_": target}]}})


def test_a_target_of_another_package_names_the_setting_that_allows_it() -> None:
    with pytest.raises(UserError, match=r"mine.x: .*trust it, add 'allowed_packages=\[mine\]'"):
        check_allowed({"loss": {"_target_": "mine.x"}})


def test_paths_of_a_comma_list_and_a_pattern(tmp_path: Path) -> None:
    for name in ("a.ckpt", "b.ckpt", "c,d.ckpt"):
        (tmp_path / name).touch()
    assert expand_paths(f"{tmp_path}/c,d.ckpt") == [tmp_path / "c,d.ckpt"]
    assert expand_paths(f"{tmp_path}/[ab].ckpt") == [tmp_path / "a.ckpt", tmp_path / "b.ckpt"]
    assert expand_paths(f"{tmp_path}/a.ckpt, gone.ckpt") == [tmp_path / "a.ckpt", Path("gone.ckpt")]
    assert expand_paths(f"[{tmp_path}/a.ckpt,'gone.ckpt']") == [
        tmp_path / "a.ckpt",
        Path("gone.ckpt"),
    ]


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (PositiveInt, [1, 10**9], [0, True, 1.0, "1", None]),
        (PositiveInt | Literal[-1], [-1, 1], [0, -2]),
        (ProperFraction, [0, 0.5], [1, -1e-9, float("nan"), "0"]),
        (PositiveFloat, [1e-9, 5], [0, float("inf"), False]),
        (Fraction, [0, 1], [1.1]),
        (Seed, [0, 2**32 - 1], [-1, 2**32]),
        (str, ["a"], [1, True, None, ["a"]]),
        (bool, [True], [1, "true"]),
        (Path | None, ["a", None], [1]),
        (Mapping[str, str], [{"a": "b"}, {}], [{"a": 1}, ["a"]]),
        (Sequence[str] | str, [["a"], "a"], [[1]]),
        (Callable[[int], int], [{"_target_": "x"}], ["x", 1]),
        (UserError | None, [{"_target_": "x"}, None], ["x"]),
    ],
)
def test_values_are_compared_strictly(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    assert [fits(annotation, value) for value in good] == [True] * len(good)
    assert [fits(annotation, value) for value in bad] == [False] * len(bad)


def fits(annotation: Any, value: Any) -> bool:
    try:
        ArgumentType(annotation).validate("key", value)
    except UserError as error:
        assert re.match(r"key(\.a)?=.*: expected ", str(error), re.DOTALL)
        return False
    return True


@pytest.mark.parametrize(
    ("target", "name", "good", "bad"),
    [
        ("pytorch_lightning.Trainer", "max_epochs", [3, None], ["3", 1.5]),
        ("pytorch_lightning.Trainer", "limit_train_batches", [3, 0.5, None], ["x"]),
        ("pytorch_lightning.Trainer", "devices", [1, "auto", [0, 1]], [1.5]),
        ("pytorch_lightning.Trainer", "plugins", [[{"_target_": "x"}], None], ["x"]),
        ("torch.optim.AdamW", "lr", [0.1, 1], ["x"]),
        ("torch.optim.AdamW", "betas", [[0.9, 0.98]], [[0.9], 0.9]),
        ("torch.optim.AdamW", "fused", [True, None], [1]),
        ("en2py.models.transformer.Transformer", "d_model", [256], [256.0, None, "256"]),
        ("en2py.training.losses.CrossEntropy", "label_smoothing", [0, 0.1], ["0.1", True]),
    ],
)
def test_annotations_are_imported(target: str, name: str, good: list[Any], bad: list[Any]) -> None:
    known, _ = argument_types(definition(target))
    assert (expected := known[name]) is not None
    assert [fits(expected.annotation, value) for value in good] == [True] * len(good)
    assert [fits(expected.annotation, value) for value in bad] == [False] * len(bad)


def test_values_without_a_target_have_a_type() -> None:
    """A key that is added to a file of conf/ needs a line in `VALUES` or an annotation."""
    for config_name in ("train", "evaluate", "evaluate_data"):
        plain: Any = OmegaConf.to_container(composed(config_name), resolve=False)
        called = {at for at, part in nodes(plain) if isinstance(part, dict) and "_target_" in part}
        for key, _ in nodes(plain):
            inside = any(f"{key}.".startswith(f"{at}.") for at in called)
            above = any(f"{known}.".startswith(f"{key}.") for known in VALUES)
            assert inside or above or any(matches(key, known) for known in VALUES), key


def test_files_and_own_values_are_refused_before_torch_is_imported() -> None:
    code = (
        "import sys; from en2py.config.composition import compose_config, job_of\n"
        "from en2py.config.validation import validate\n"
        "with job_of(compose_config('train', [{word!r}])) as cfg:\n"
        "    try: validate(cfg)\n"
        "    except Exception as error: print(type(error).__name__, 'torch' in sys.modules)"
    )
    for word in ("ckpt_path=no_such.ckpt", "trainer.max_epochs=abc", "batch.max_tokens=0"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(word=word)], capture_output=True, text=True
        )
        assert done.stdout.split() == ["UserError", "False"], done.stderr


@pytest.mark.parametrize(
    ("key", "typed", "expected"),
    [
        ("model.dropout", 0, 0.0),
        ("optimizer.lr", 1, 1.0),
        ("optimizer.betas", [0, 0.9], [0.0, 0.9]),
        ("model.d_model", 64, 64),
        ("trainer.limit_train_batches", 1, 1),
        ("trainer.gradient_clip_val", None, None),
        ("faults.spike", 10, 10),  # as its comment in conf/ writes it
    ],
)
def test_a_whole_number_is_a_float_where_a_float_is_expected(
    key: str, typed: Any, expected: Any
) -> None:
    cfg = composed("train")
    OmegaConf.update(cfg, key, typed, force_add=True)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    value = functools.reduce(operator.getitem, key.split("."), with_floats(plain))
    assert json.dumps(value) == json.dumps(expected)


@pytest.mark.parametrize("typed", ["0", "0.0"])
def test_a_run_has_one_name_however_a_float_is_typed(typed: str, tmp_path: Path) -> None:
    with job_of(compose_config("train", [f"model.dropout={typed}"])) as cfg:
        found = Run.of_job(cfg)
    assert repr(found.config["model"]["dropout"]) == "0.0"
    with job_of(compose_config("train", ["model.dropout=0.0"])) as cfg:
        assert found.name == Run.of_job(cfg).name


def test_an_evaluation_takes_a_file_for_each_source_or_split_that_has_moved() -> None:
    cfg = composed("evaluate", f"ckpt_path='{__file__}'")
    with open_dict(cfg):
        cfg.data.path = {"mbpp": __file__, "conala": __file__}
    validate(cfg, "evaluate")
    assert "data.path.mbpp: gone does not exist" in refused(
        cfg, "evaluate", **{"data.path": {"mbpp": "gone"}}
    )
