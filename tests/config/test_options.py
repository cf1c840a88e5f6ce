"""Every option composes, is valid and can be instantiated; documented commands compose."""

import functools
import inspect
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

from configs import checked
from en2py.cli.overrides import config_of, separate
from en2py.config.composition import CONF, ROOT, compose_config, groups_of, options_of
from en2py.config.overrides import quoted
from en2py.config.validation import with_floats

OPTIONS = [(group, option) for group in groups_of() for option in options_of(group)]
NOT_TRAINED = [("decoding", "votes")]  # a search of evaluations alone
CHOICES = [own for own in OPTIONS if own[0] != "experiment" and own not in NOT_TRAINED]
NEEDED = {  # by an option
    "neighbours=nearest": ["tokenizer=pieces"],
    "split=mbpp": ["data=mbpp"],
    "split=official": ["data=conala"],
}
LOGGER_EXTRAS = {"tensorboard": ["tensorboard"], "many": ["tensorboard"], "mlflow": ["mlflow"]}
EXPERIMENTS = options_of("experiment")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "experiments").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("*.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((CONF / "hydra" / "help").glob("*.yaml")),
]


@pytest.fixture(autouse=True)
def _no_config_left() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def instantiated(section: Any) -> Iterator[Any]:
    """Instantiate a section, or each section in it."""
    if isinstance(section, Mapping) and "_target_" not in section:
        for inner in section.values():
            yield from instantiated(inner)
    elif isinstance(section, Mapping):
        yield instantiate(section, _convert_="all")


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text("there")
    return path


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_option_is_valid_and_instantiates(group: str, option: str, existing: Path) -> None:
    for package in LOGGER_EXTRAS.get(option, ()) if group == "logger" else ():
        pytest.importorskip(package)
    words = [f"{group}={option}"]
    cfg = checked("train", words + NEEDED.get(words[0], []), existing)
    section = OmegaConf.select(cfg, group.replace("/", "."), default=OmegaConf.create())
    for part in instantiated(OmegaConf.to_container(section, resolve=True)):
        if isinstance(part, functools.partial):
            inspect.signature(part.func).bind_partial(*part.args, **part.keywords)


@pytest.mark.parametrize(
    ("group", "option"), [*CHOICES, *(("experiment", name) for name in EXPERIMENTS)]
)
def test_values_are_written_as_their_types(group: str, option: str, existing: Path) -> None:
    """A whole number for a float would have a hash that a run does not have."""
    words = [f"{group}={option}"]
    for package in LOGGER_EXTRAS.get(option, ()) if group == "logger" else ():
        pytest.importorskip(package)
    cfg = checked("train", words + NEEDED.get(words[0], []), existing)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    del config["checkpoints"]  # in no hash
    assert json.dumps(with_floats(config)) == json.dumps(config)


@pytest.mark.parametrize("option", options_of("decoding"))
def test_decoding_of_an_evaluation(option: str, existing: Path) -> None:
    checked("evaluate", [f"decoding={option}", f"ckpt_path='{existing}'"], existing)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_composes(name: str, existing: Path) -> None:
    for overrides in each_value([f"experiment={name}"], existing):
        checked("train", [*overrides, "hydra.mode=MULTIRUN"], existing)


def each_value(overrides: list[str], existing: Path) -> Iterator[list[str]]:
    """Yield a command line for each value of each axis of a sweep that an experiment names."""
    cfg = compose_config("train", overrides)
    yield overrides
    for key, values in (cfg.hydra.sweeper.params or {}).items():
        given = {override.lstrip("+").split("=")[0] for override in overrides}
        for value in re.split(r",(?![^(\[]*[)\]])", str(values)):
            if key not in given and "(" not in value:
                yield [*overrides, f"{key}={value}"]


def test_experiments_override_the_groups() -> None:
    """`_self_` behind a group would silently undo the plain values of its options."""
    lines = OmegaConf.load(CONF / "train.yaml").defaults
    names = ["_self_" if line == "_self_" else next(iter(line)) for line in lines]
    assert names[0] == "_self_" and names[-1] == "experiment"


def test_choice_on_the_command_line_beats_that_of_the_data() -> None:
    assert "random_split" in compose_config("train", ["split=random"]).split._target_
    assert "composition_split" in compose_config("train", []).split._target_
    assert "group_split" in compose_config("train", ["data=stdlib"]).split._target_


# ------------------------------------------------------------------------------ documented commands


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command line of the pages: the program, which is its config's name, and words."""
    for page in PAGES:
        text = re.sub(r"\\\n[#\s]*", " ", page.read_text(encoding="utf-8"))
        for line in text.splitlines():
            for found in re.finditer(r"python (train|evaluate)\.py\b([^`\n]*)", line):
                words = re.sub(r"\s+#\s.*|\s{2,}\(.*", "", found.group(2)).strip()
                own = "own_parts" in words  # of a package that test_installed.py makes
                if "..." not in words and "[key=value" not in words and not own:
                    yield config_of(found.group(1), words.split()), words


WRITTEN = sorted(set(commands()))


@pytest.mark.parametrize("typed", ["data=tasks", "data=stdlib", "experiment=model_sizes"])
def test_chosen_data_or_experiment_replaces_the_default_preset(typed: str) -> None:
    cfg = compose_config("train", [typed])
    assert cfg.trainer.max_epochs == 30 and cfg.model.d_model == 256
    assert "group_split" in cfg.split._target_


@pytest.mark.parametrize("program", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("variable", "folder"), [("~/c", "/own/c"), ("c", "c"), (" ", f"{ROOT}/outputs/.cache")]
)
def test_cache_is_that_of_the_environment(
    program: str, variable: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/own")
    monkeypatch.setenv("EN2PY_CACHE", variable)
    assert compose_config(program, []).cache == folder


def test_bare_command_runs_the_preset_for_tasks() -> None:
    cfg = compose_config("train", ["loss=smoothed", "seed=2"])
    assert cfg.hydra.runtime.choices.experiment == "tasks"
    assert cfg.trainer.max_epochs == 5 and cfg.model.d_model == 128


def test_commands_are_found() -> None:
    assert len(WRITTEN) >= 15


@pytest.mark.parametrize(("config_name", "words"), WRITTEN)
def test_documented_command_composes(config_name: str, words: str) -> None:
    _, given = separate(shlex.split(words), takes_checkpoints=config_name != "train")
    # Launchers and sweepers are extras that need not be installed.
    overrides = [quoted(o) for o in given if not o.startswith("hydra")]
    compose_config(config_of(config_name, overrides), overrides)
    for override in overrides:
        group, _, values = override.partition("=")
        if group in groups_of() and not group.startswith("hydra"):
            assert set(values.split(",")) <= set(options_of(group))
