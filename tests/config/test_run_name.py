import copy
import re
from pathlib import Path
from typing import Any

import pytest

from en2py.config.composition import CONF, ROOT
from en2py.config.run_name import (
    all_digests,
    archive_folder,
    config_digest,
    data_key,
    differences,
    has_digest,
    is_archived,
    n_archived,
    run_name,
    settings,
    without_seed,
)
from en2py.data.files import file_digest
from en2py.errors import UserError

CONFIG: dict[str, Any] = {
    "seed": 1,
    "study": "adhoc",
    "fresh": False,
    "output": "outputs",
    "cache": "cache",
    "processes": None,
    "logger": {"wandb": None},
    "faults": {"skip_batches": 0, "spike": None},
    "checkpoints": {"every_n_minutes": 1},
    "batch": {"max_tokens": 100, "num_workers": 0},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1},
    "data": {"name": "x", "path": None, "source": {}},
    "split": {"_target_": "en2py.data.splits.group_split", "_partial_": True},
    "callbacks": {"samples": {"_target_": "en2py.training.callbacks.samples.SampleGenerations"}},
    "cleaning": {},
    "augmentation": {},
    "tokenizer": {},
    "vocab": {},
    "decoding": {"max_len": 8},
    "model": {"max_src_len": 256, "max_tgt_len": 256},
    "init_from": None,
    "ckpt_path": None,
}
CHOICES = {"data": "tasks", "model": "tiny", "embeddings": "none", "loss": "plain"}


def changed(dotted: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, last = dotted.split(".")
    section = config
    for name in parents:
        section = section[name]
    section[last] = value
    return config


def test_a_list_of_options_names_no_run() -> None:
    with pytest.raises(UserError, match="^loss: expected one option, which names the run"):
        run_name(CONFIG, {g: option for g, option in CHOICES.items() if g != "loss"}, "0" * 64)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study", "other"),
        ("fresh", True),
        ("output", "elsewhere"),
        ("logger", {"wandb": {"project": "p"}}),
        ("checkpoints.every_n_minutes", 5),
        ("batch.num_workers", 2),
        ("trainer.accelerator", "gpu"),
        ("trainer.profiler", "simple"),
        ("trainer.devices", [1]),  # the second one
        ("faults.skip_batches", 3),
        ("split._target_", "en2py.elsewhere.group_split"),
        ("callbacks", {"samples": {"_target_": "other.SampleGenerations"}}),
        ("pretrained", "outputs/pretrain/RUN"),
    ],
)
def test_digest_is_unchanged_by_what_cannot_change_a_result(key: str, value: Any) -> None:
    assert config_digest(changed(key, value)) == config_digest(CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2),
        ("batch.max_tokens", 99),
        ("trainer.max_epochs", 3),
        ("split._target_", "en2py.data.splits.random_split"),
        ("callbacks", {}),
        ("data.source", {"families": "all"}),
        ("batch.denoising", 0.5),
        ("decoding.grammar", True),
        ("faults.spike", 10.0),
        ("trainer.devices", 2),
        ("trainer.devices", "auto"),
        ("decoding.no_repeat_ngram", 4),
        ("decoding.repetition_penalty", 1.1),
        ("model", {**CONFIG["model"], "copy": True}),
    ],
)
def test_digest_changes_with_what_can_change_a_result(key: str, value: Any) -> None:
    assert config_digest(changed(key, value)) != config_digest(CONFIG)


@pytest.mark.parametrize(
    ("section", "shipped", "other"),
    [
        ("data", ("source", "sources", ["english_python", "conala"]), ["conala", "english_python"]),
        ("data", ("source", "sources", ["tasks", "stdlib"]), ["stdlib", "tasks"]),
        ("cleaning", ("use", ["expand_tabs", "dedent"]), ["dedent", "expand_tabs"]),
        ("cleaning", ("use", ["must_parse", "mine"]), ["mine", "must_parse"]),
    ],
)
def test_order_of_sources_and_of_cleaning_steps_counts(
    section: str, shipped: tuple[Any, ...], other: list[str]
) -> None:
    def of(names: list[str]) -> dict[str, Any]:
        value: Any = {name: {} for name in names}
        for key in reversed(shipped[:-1]):
            value = {key: value}
        return changed(section, value)

    one, two = of(shipped[-1]), of(other)
    assert config_digest(one) != config_digest(two) and data_key(one) != data_key(two)
    assert ("<order>" in str(data_key(one))) is ("mine" in shipped[-1])


def test_digest_has_the_number_of_devices() -> None:
    two, *same, all_of_them = (
        config_digest(changed("trainer.devices", value)) for value in (2, [0, 1], "2,3", -1)
    )
    assert same == [two, two] and all_of_them != two


def test_limits_of_the_sandbox_count_where_they_change_the_split() -> None:
    def config(split: str, **sandbox: Any) -> dict[str, Any]:
        found = changed("split._target_", f"en2py.data.splits.{split}")
        return {**found, "sandbox": {"timeout_s": 5.0, "memory_mb": 512, "workers": 1, **sandbox}}

    group, behaviour = config("group_split"), config("behaviour_split")
    assert config_digest(group) == config_digest(CONFIG)
    assert config_digest(group) == config_digest(config("group_split", timeout_s=1.0))
    for key, value, is_other in (("timeout_s", 1.0, True), ("workers", 2, False)):
        other = config("behaviour_split", **{key: value})
        assert (config_digest(other) != config_digest(behaviour)) is is_other
        assert (data_key(other) != data_key(behaviour)) is is_other


def test_data_key_has_targets_without_their_module() -> None:
    moved = changed("split._target_", "en2py.elsewhere.group_split")
    other = changed("split._target_", "en2py.data.splits.random_split")
    assert data_key(moved) == data_key(CONFIG) != data_key(other)


def test_settings_have_targets_without_their_module() -> None:
    assert settings(CONFIG, CHOICES, {})["split._target_"] == "group_split"


def test_file_counts_by_its_content(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (config_digest(changed("data.path", str(tmp_path / x))) for x in "abc")
    assert a == b != c


def test_settings_name_files_instead_of_their_digest(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("{}")
    assert settings(changed("data.path", str(file)), CHOICES, {})["data.path"] == (
        f"pairs.jsonl {file_digest(file)[:8]}"
    )


def test_settings_have_the_file_that_a_run_was_trained_on(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("old")
    config = changed("data.path", str(file))
    sha256, contents = all_digests(config)
    assert sha256 == config_digest(config) and contents == {"data.path": file_digest(file)}
    old = settings(config, CHOICES, contents)
    file.write_text("new")
    assert settings(config, CHOICES, contents) == old != settings(config, CHOICES, {})
    file.unlink()
    assert settings(config, CHOICES, contents) == old


def test_resumed_runs_are_one_configuration_for_all_seeds(tmp_path: Path) -> None:
    for seed in "12":
        (tmp_path / seed).write_text(seed)
    one, two = (settings(changed("ckpt_path", str(tmp_path / s)), CHOICES, {}) for s in "12")
    assert one == two and one["ckpt_path"] == "resumed"


def test_run_name_is_made_and_parsed() -> None:
    name = run_name(CONFIG, CHOICES, config_digest(CONFIG))
    assert name.startswith("tasks-tiny-none-plain-seed1-")
    assert without_seed(name) == "tasks-tiny-none-plain"
    assert has_digest(name, config_digest(CONFIG))
    assert not has_digest(name, config_digest(changed("seed", 2)))


def test_archived_attempts_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / run_name(CONFIG, CHOICES, config_digest(CONFIG))
    for attempt in (1, 2):
        assert n_archived(folder) == attempt - 1
        archive_folder(folder).mkdir()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{folder.name}.old1", f"{folder.name}.old2"]
    assert all(map(is_archived, names)) and not is_archived(folder.name)
    (tmp_path / names[0]).rmdir()  # by the user
    archive_folder(folder).mkdir()
    assert n_archived(folder) == 3


def test_sources_of_a_group_differ_in_the_last_component_of_their_target() -> None:
    """Else two sources with equal arguments would share one run name and one cache entry."""
    targets = set()
    for file in [*CONF.rglob("*.yaml"), *(ROOT / "experiments").rglob("*.yaml")]:
        targets |= set(re.findall(r"_target_: (en2py\.data\.\S+)", file.read_text()))
    names = [target.rpartition(".")[2] for target in targets]
    assert len(names) == len(set(names))


def test_differences_name_the_key_and_both_values() -> None:
    assert differences({"a": {"b": 1}}, {"a": {"b": 2}}) == ["a.b: 1, 2"]
    assert differences({"a": 1}, {"a": 1, "c": 3}) == ["c: None, 3"]
