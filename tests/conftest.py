"""Shared fixtures: 12 hand-written pairs, their vocabularies, small runs."""

import copy
import gc
import os

os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and messages would be wrapped
# One thread here and in what tests start: two test processes share two cores, and sums keep their
# order, so a run in this process equals one in its own.
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process compiles the package again

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

from en2py.config.composition import CONF
from en2py.console import configure_logging, set_job
from en2py.data.pairs import Pair
from en2py.data.vocab import Vocab

configure_logging()
hypothesis.settings.register_profile("untimed", deadline=None)  # no test depends on the time
hypothesis.settings.load_profile("untimed")
os.fsync = lambda fd: None  # no file of a test has to survive a power cut
# Hydra composes a config once more to read its `hydra.mode`, which no test sets.
Hydra.get_mode = lambda self, config_name, overrides: None
Plugins.instance()  # defines the source of files
_files: Any = SourcesRegistry.instance().resolve("file")
_load_config, _known = _files.load_config, dict[str, Any]()


def _load_once(self: Any, config_path: str) -> Any:
    """Parse each file of `conf/` once."""
    if self.path != str(CONF):
        return _load_config(self, config_path)
    if config_path not in _known:
        _known[config_path] = _load_config(self, config_path)
    return copy.deepcopy(_known[config_path])


_files.load_config = _load_once

PAIRS = [
    ("add two numbers", "def add(a, b):\n    return a + b\n"),
    ("subtract two numbers", "def subtract(a, b):\n    return a - b\n"),
    ("multiply two numbers", "def multiply(a, b):\n    return a * b\n"),
    ("return the larger of two numbers", "def larger(a, b):\n    return a if a > b else b\n"),
    ("reverse a string", "def reverse(text):\n    return text[::-1]\n"),
    ("count the words in a string", "def count_words(text):\n    return len(text.split())\n"),
    ("check whether a number is even", "def is_even(n):\n    return n % 2 == 0\n"),
    ("print the numbers from 1 to 5", "for i in range(1, 6):\n    print(i)\n"),
    (
        "sum the squares of a list",
        "def sum_squares(values):\n    total = 0\n    for value in values:\n"
        "        total += value * value\n    return total\n",
    ),
    ("merge two dictionaries", "def merge(a, b):\n    return {**a, **b}\n"),
    (
        "find the factorial of a number",
        "def factorial(n):\n    if n < 2:\n        return 1\n    return n * factorial(n - 1)\n",
    ),
    ("greet a person by name", "def greet(name):\n    print('hello, ' + name)\n"),
]


# The tests that take longest begin first, or one process runs them while the others are done.
_FIRST = ("test_notebook.py", "test_installed.py", "test_sweeps.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first, in the order of `_FIRST`."""
    place = {name: i for i, name in enumerate(_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


def pytest_collection_finish() -> None:
    """Exclude the modules and the collected tests from each later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def pairs() -> list[Pair]:
    return [
        Pair(id=f"hand/{i}", description=text, code=code, source="hand")
        for i, (text, code) in enumerate(PAIRS)
    ]


@pytest.fixture
def src_vocab(pairs: list[Pair]) -> Vocab:
    return Vocab.build((pair.description.split() for pair in pairs), min_freq=1)


@pytest.fixture
def tgt_vocab(pairs: list[Pair]) -> Vocab:
    from en2py.data.tokenizers import PythonTokenizer

    tokenizer = PythonTokenizer()
    return Vocab.build((tokenizer.tokenize(pair.code) for pair in pairs), min_freq=1)


@pytest.fixture(autouse=True)
def no_sweep_left() -> Iterator[None]:
    """End a sweep that a test started in this process."""
    yield
    os.environ.pop("EN2PY_SWEEP", None)
    set_job("")


@pytest.fixture(autouse=True)
def no_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the preparation of the data of a sweep: its first run does it."""
    monkeypatch.setattr("en2py.sweeps.sweeper.prepare_data", lambda configs, n_parallel: None)


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., int]:
    from training_runs import runner  # torch takes seconds

    return runner(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[..., int], Path]:
    """Return a finished run, which tests must not change, and the function that trained it."""
    from training_runs import folder_of, runner

    folder = tmp_path_factory.mktemp("whole")
    go = runner(folder)
    assert go() == 0
    return go, folder_of(folder)
