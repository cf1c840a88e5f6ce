"""Limits are processor time, so that the load of the machine changes nothing."""

import functools
import importlib
import threading
from pathlib import Path

import pytest
import yaml

import crashing
from en2py.data import parallel
from en2py.data.cleaning import clean
from en2py.data.duplicates import fingerprint
from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import Failed, ProcessPool, with_cpu_limit
from en2py.data.tokenizers import PythonTokenizer

CONF = Path(__file__).parents[2] / "conf"


def test_results_keep_the_order_of_the_items() -> None:
    with ProcessPool(2, 10) as pool:
        assert list(pool.map(str, range(500))) == [*map(str, range(500))]
        assert list(pool.map(str, range(7), least=1, chunk=1)) == [*map(str, range(7))]


@pytest.mark.slow
def test_only_endless_crashing_and_memory_hungry_items_fail() -> None:
    items = [13, *range(60, 160)]
    with ProcessPool(2, 0.2) as pool:
        results = list(pool.map(crashing.square, items, least=1, chunk=8))
    failed = {i: result.reason for i, result in zip(items, results, strict=True) if result != i * i}
    assert failed == {
        13: "took over 0.2 s",
        77: "took over 0.2 s",
        100: "its process died (-6)",
        150: "out of memory",
    }


def test_an_item_whose_process_was_killed_is_retried(tmp_path) -> None:
    with ProcessPool(1, 10) as pool:
        jobs = pool.map(crashing.killed_once, [str(tmp_path / "mark")], isolated=True)
        assert list(jobs) == ["done"]


def test_an_exception_in_a_worker_process_is_raised_in_the_main_process() -> None:
    with ProcessPool(1, 10) as pool, pytest.raises(ValueError, match="a bug") as caught:
        list(pool.map(crashing.square, [160], isolated=True))
    assert "crashing.py" in "".join(caught.value.__notes__)


def test_processes_that_cannot_start_raise_an_error(monkeypatch) -> None:
    monkeypatch.setattr(parallel, "_START", "raise SystemExit(3)")
    with ProcessPool(1, 10) as pool, pytest.raises(RuntimeError, match="code 3"):
        list(pool.map(str, [1, 2], isolated=True))


def test_the_limit_also_holds_in_the_main_process() -> None:
    results = list(ProcessPool(1, 0.1).map(crashing.square, [2, 13, 3]))
    assert results == [4, Failed("took over 0.1 s"), 9]


def test_a_thread_has_no_limit() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(with_cpu_limit(0.1, crashing.square, 5)))
    thread.start()
    thread.join()
    assert found == [25]


def test_a_pair_over_the_time_limit_is_dropped_and_counted() -> None:
    pairs = [Pair(f"a/{i}", text, "x = 1", "a") for i, text in enumerate(["one", "endless", "two"])]
    report = DataReport()
    kept = clean(pairs, {"slow": crashing.slow_step}, report, pool=ProcessPool(1, 0.1))
    assert [p.id for p in kept] == ["a/0", "a/2"]
    assert report.dropped_ids == {"a/1": "seconds_per_pair: took over 0.1 s"}
    step = report.steps["seconds_per_pair"]
    assert (step.read, step.dropped) == (3, 1)


HOSTILE = {
    "a line of 1 MB": "x = '" + "a" * 10**6 + "'",
    "brackets": "x = " + "(" * 10**5 + ")" * 10**5,
    "lists": "[" * 5000 + "]" * 5000,
    "unary minus": "x = " + "-" * 10**5 + "1",
    "attributes": "x" + ".a" * 10**5,
    "calls": "x" + "()" * 10**5,
    "sums": "x = " + "1+" * 10**5 + "1",
    "blocks": "\n".join(" " * i + "if x:" for i in range(150)) + "\n" + " " * 150 + "y",
    "f-strings": "f'" + "{f'" * 500 + "'}" * 500 + "'",
    "control characters": "".join(map(chr, range(1, 32))) * 1000,
    "NUL": "x = 1\0",
    "lone surrogates": "x = '\ud800\udfff'",
    "open quotes": "'\"" * 10**5,
    "a number": "x = " + "9" * 10**5,
}


@pytest.mark.slow
def test_hostile_programs_are_kept_or_dropped_by_a_named_rule(tmp_path) -> None:
    steps = functools.partial(clean, steps=_default_steps())
    pairs = [Pair(f"h/{i}", name, code, "h") for i, (name, code) in enumerate(HOSTILE.items())]
    report = DataReport()
    with ProcessPool(1, 1) as pool:
        kept = steps(pairs, report=report, pool=pool)
        raw = list(pool.map(fingerprint, pairs, isolated=True))  # as cleaning=none leaves them
        cut = list(pool.map(PythonTokenizer().tokenize, [p.code for p in pairs], isolated=True))
    assert {p.id for p in kept} | set(report.dropped_ids) == {p.id for p in pairs}
    assert len(kept) + sum(s.dropped for s in report.steps.values()) == len(pairs)
    assert len(raw) == len(cut) == len(pairs)


def _default_steps():
    section = yaml.safe_load((CONF / "cleaning" / "default.yaml").read_text())
    return {
        name: functools.partial(_located(step["_target_"]), **_plain(step))
        for name, step in section["steps"].items()
        if section["use"][name]
    }


def _plain(step):
    return {key: value for key, value in step.items() if not key.startswith("_")}


def _located(target):
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
