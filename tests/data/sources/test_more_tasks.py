"""Tasks of `families=all`: exercises and other forms of programs."""

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from random import Random

import pytest

from en2py.data.pairs import DataReport
from en2py.data.sources.tasks import generate, read_tasks
from en2py.data.sources.tasks.classes import stateful
from en2py.data.sources.tasks.exercises import exercise, rows
from en2py.data.sources.tasks.forms import in_other_form
from en2py.data.sources.tasks.generate import draw_tests, prints
from en2py.data.sources.tasks.task import Task, normal_form
from en2py.data.splits import composition_split
from en2py.errors import UserError
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.references import build_oracles
from en2py.evaluation.execution.unit_tests import passes_tests
from en2py.sandbox import Sandbox

pytestmark = pytest.mark.slow  # thousands of programs are generated and executed
FAMILIES = {row[0] for row in rows()}
ADD = Task(
    family="add",
    parts=("add",),
    code="def add(a, b):\n    return a + b",
    describe=lambda _: "[find] the sum of two numbers",
    inputs=("number", "number"),
)


@pytest.fixture(scope="module")
def generated():
    return read_tasks(DataReport(), n_pairs=3000, seed=1, families="all")


@pytest.fixture(scope="module")
def added(generated):
    """The pairs of the added families, a program once."""
    pairs = (p for p in generated if re.search(r"exercise:|form:", p.combination))
    return list({pair.code: pair for pair in pairs}.values())


@pytest.fixture(scope="module")
def sandboxes():
    try:
        settings = {"timeout_s": 2, "memory_mb": 256, "workers": 1, "min_level": "kernel"}
        with Sandbox(**settings) as one, Sandbox(**settings, hash_seed=1) as other:
            yield one, other
    except UserError as error:
        pytest.skip(str(error))


def forms_of(task, n=200):
    """Return the programs of a task in many forms, by form."""
    found = defaultdict(set)
    for seed in range(n):
        if changed := in_other_form(Random(seed), task):
            found[changed.form].add((changed.code, changed.describe(Random(seed))))
    return found


def test_every_family_is_drawn(generated):
    assert {pair.family for pair in generated} >= {*FAMILIES, "class with state"}
    forms = Counter(pair.family.partition(" of ")[0] for pair in generated)
    assert min(forms[form] for form in ("script", "prints", "call")) > 50


def test_half_of_the_pairs_are_of_default_families(generated, added):
    assert 0.3 < len(added) / len(generated) < 0.7


def test_every_exercise_generates_pairs():
    rng, valid = Random(1), Counter()
    for task in filter(None, (exercise(rng) for _ in range(6000))):
        code = normal_form(task.code)
        is_valid = prints(rng, task, code) if task.printed else draw_tests(rng, task, code)
        valid[task.parts[0]] += bool(is_valid)
    assert {f"exercise:{name}" for _, name, *_ in rows()} == {
        name for name, n in valid.items() if n
    }


def test_clauses_of_exercises_have_no_placeholders():
    rng = Random(1)
    for task in filter(None, (exercise(rng) for _ in range(2000))):
        assert not re.search(r"[{}|]", task.describe(rng).partition(" = ")[0])


def test_programs_pass_their_tests_in_the_sandbox(added, sandboxes):
    tested = [pair for pair in added if pair.tests]
    results = passes_tests([pair.code for pair in tested], tested, sandboxes[0])
    assert {pair.family for pair in tested} >= FAMILIES - {"patterns", "printing"}
    assert [p.code for p, own in zip(tested, results, strict=True) if not own.right] == []


def test_programs_without_tests_are_compared_by_what_they_print(added, sandboxes):
    codes = [pair.code for pair in added if not pair.tests][:150]
    found = build_oracles(codes, *sandboxes)
    kinds = Counter(own.kind for own in found if own.oracle)
    assert kinds["script"] > 50 and kinds["function"] > 10
    assert all(own.oracle for own in found if own.kind == "script")
    known = [(code, own.oracle) for code, own in zip(codes, found, strict=True) if own.oracle]
    assert all(own.right for own in behaves_like(*zip(*known, strict=True), sandboxes[0]))


def test_the_forms_of_a_function():
    found = forms_of(ADD)
    assert found.keys() == {"script", "prints", "call"}
    assert all("def " not in code and "print(" in code for code, _ in found["script"])
    assert all("return" not in code for code, _ in found["prints"])
    assert all(re.search(r"^print\(.*add\(", code, re.M) for code, _ in found["call"])
    assert all("[print]" in text for form in ("script", "prints") for _, text in found[form])


def test_a_script_has_the_arguments_that_its_description_names():
    named = 0
    for code, text in forms_of(ADD)["script"]:
        if values := re.search(r"a = -?\d+, b = -?\d+$", text):
            assert code.startswith(values[0].replace(", ", "\n"))
            named += 1
    assert named > 20


def test_unnamed_arguments_depend_on_the_function_alone():
    unnamed = {
        code.partition("print(")[0]
        for code, text in forms_of(ADD)["script"]
        if not re.search(r"a = ", text)
    }
    assert len(unnamed) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def add(a, b):\n    if a:\n        return 1\n    return b",
        "def add(a, b):\n    yield a + b",
        "add = lambda a, b: a + b",
        "def add(a, b):\n    a += b",
        "def add(a):\n    return a",
    ],
)
def test_a_program_of_another_shape_keeps_its_form(code):
    assert forms_of(replace(ADD, code=code)) == {}


def test_a_recursive_function_becomes_no_script():
    code = "def add(a, b):\n    return a if b < 1 else add(a + 1, b - 1)"
    assert forms_of(replace(ADD, code=code)).keys() == {"prints", "call"}


def test_tests_of_a_class_see_its_state():
    rng = Random(1)
    task = next(task for task in iter(lambda: stateful(rng), None) if "Counter" in task.code)
    assert all("[it." in test for test in draw_tests(rng, task, normal_form(task.code)))


def test_names_of_exercises_are_distinct():
    functions = {(family, name) for family, name, *_ in rows()}
    assert len(functions) == len({name for _, name in functions})


def test_each_description_has_one_program(generated):
    programs = defaultdict(set)
    for pair in generated:
        programs[re.sub(r"[.\s]+", " ", pair.description.lower()).strip()].add(pair.code)
    assert [words for words, several in programs.items() if len(several) > 1] == []
    assert len({pair.id for pair in generated}) == len(generated)


def test_held_out_combinations_are_new_and_their_primitives_are_not(generated):
    splits = composition_split(generated, DataReport(), ratios=[0.7, 0.15, 0.15], seed=1)
    trained = {pair.combination for pair in splits.train}
    primitives = {part for combination in trained for part in combination.split("|")}
    assert any("exercise:" in pair.combination for pair in splits.test)
    for pair in splits.test:
        assert pair.combination not in trained
        assert primitives.issuperset(pair.combination.split("|"))


def test_the_same_seed_draws_the_same_pairs_with_any_hash_seed():
    script = (
        "import dataclasses, hashlib, json;"
        "from en2py.data.sources.tasks.generate import draw_pairs;"
        "pairs = [dataclasses.asdict(pair) for pair in draw_pairs('3/0', 'all')];"
        "print(hashlib.sha256(json.dumps(pairs).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", script]
    hashes = {
        subprocess.check_output(command, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        for hash_seed in ("0", "1")
    }
    assert len(hashes) == 1


def test_default_families_are_the_default(monkeypatch):
    monkeypatch.setattr(generate, "CHUNK", 200)
    default, explicit, everything = (
        read_tasks(DataReport(), n_pairs=150, seed=1, **own)
        for own in ({}, {"families": "default"}, {"families": "all"})
    )
    assert default == explicit != everything
    assert not any(re.search(r"exercise:|form:", pair.combination) for pair in default)
