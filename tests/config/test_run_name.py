import copy
from pathlib import Path
from typing import Any

import pytest

from en2py.config.run_name import config_digest, differences, run_name

CONFIG: dict[str, Any] = {
    "seed": 1,
    "study": "adhoc",
    "fresh": False,
    "output": "outputs",
    "cache": "cache",
    "processes": None,
    "logger": {"wandb": None},
    "checkpoints": {"every_n_minutes": 1},
    "batch": {"max_tokens": 100, "num_workers": 0},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1},
    "data": {"name": "x", "path": None},
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
    ],
)
def test_what_cannot_change_a_result_is_the_same_run(key: str, value: Any) -> None:
    assert config_digest(changed(key, value)) == config_digest(CONFIG)


@pytest.mark.parametrize(
    ("key", "value"), [("seed", 2), ("batch.max_tokens", 99), ("trainer.max_epochs", 3)]
)
def test_what_can_change_a_result_is_another_run(key: str, value: Any) -> None:
    assert config_digest(changed(key, value)) != config_digest(CONFIG)


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (config_digest(changed("data.path", str(tmp_path / x))) for x in "abc")
    assert a == b != c


def test_the_name_says_the_choices() -> None:
    assert run_name(CONFIG, CHOICES).startswith("tasks-tiny-none-plain-seed1-")


def test_differences_name_the_key_and_both_values() -> None:
    assert differences({"a": {"b": 1}}, {"a": {"b": 2}}) == ["a.b: 1, 2"]
    assert differences({"a": 1}, {"a": 1, "c": 3}) == ["c: None, 3"]
