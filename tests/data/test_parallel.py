"""Budgets are of processor time, so that a busy machine changes nothing."""

import functools
import importlib
import threading
from pathlib import Path

import pytest
import yaml

import crashing
from en2py.data import parallel as workers_module
from en2py.data.cleaning import clean
from en2py.data.duplicates import fingerprint
from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import Lost, Workers, within
from en2py.data.tokenizers import PythonTokenizer

CONF = Path(__file__).parents[2] / "conf"


def test_results_keep_the_order_of_the_items() -> None:
    with Workers(2, 10) as workers:
        assert list(workers.map(str, range(500))) == [*map(str, range(500))]
        assert list(workers.map(str, range(7), least=1, chunk=1)) == [*map(str, range(7))]


@pytest.mark.slow
def test_endless_crashing_and_greedy_items_are_lost_and_no_others() -> None:
    with Workers(2, 0.2) as workers:
        results = list(workers.map(crashing.square, [13, *range(60, 160)], least=1, chunk=8))
    lost = {i: r.reason for i, r in zip([13, *range(60, 160)], results, strict=True) if r != i * i}
    assert lost == {
        13: "took over 0.2 s",
        77: "took over 0.2 s",
        100: "its process died (-6)",
        150: "out of memory",
    }


def test_an_item_whose_process_somebody_killed_is_tried_again(tmp_path) -> None:
    with Workers(1, 10) as workers:
        jobs = workers.map(crashing.killed_once, [str(tmp_path / "mark")], apart=True)
        assert list(jobs) == ["done"]


def test_a_bug_in_another_process_is_raised_here() -> None:
    with Workers(1, 10) as workers, pytest.raises(ValueError, match="a bug") as caught:
        list(workers.map(crashing.square, [160], apart=True))
    assert "crashing.py" in "".join(caught.value.__notes__)


def test_workers_that_cannot_start_are_no_fault_of_the_items(monkeypatch) -> None:
    monkeypatch.setattr(workers_module, "_START", "raise SystemExit(3)")
    with Workers(1, 10) as workers, pytest.raises(RuntimeError, match="code 3"):
        list(workers.map(str, [1, 2], apart=True))


def test_few_items_are_stopped_in_this_process_too() -> None:
    assert list(Workers(1, 0.1).map(crashing.square, [2, 13, 3])) == [4, Lost("took over 0.1 s"), 9]


def test_a_thread_has_no_timer_but_works() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(within(0.1, crashing.square, 5)))
    thread.start()
    thread.join()
    assert found == [25]


def test_a_pair_over_its_time_is_dropped_and_counted() -> None:
    pairs = [
        Pair(f"a/{i}", text, "x = 1", "a") for i, text in enumerate(["one", "for ever", "two"])
    ]
    report = DataReport()
    kept = clean(pairs, {"slow": crashing.slow_step}, report, workers=Workers(1, 0.1))
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
    with Workers(1, 1) as workers:
        kept = steps(pairs, report=report, workers=workers)
        raw = list(workers.map(fingerprint, pairs, apart=True))  # as cleaning=none leaves them
        cut = list(workers.map(PythonTokenizer().tokenize, [p.code for p in pairs], apart=True))
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
