import enum
import json
import math
import os
import platform
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from attacks import ATTACKS, TIMEOUT_S, Targets, attack, create_targets, remove_targets

from en2py.errors import UserError
from en2py.sandbox import Job, Sandbox, pool, seccomp
from en2py.sandbox.protocol import read_outcome
from en2py.sandbox.serialization import as_text, decode, encode, same
from en2py.sandbox.worker import _wall_left

SRC = Path(__file__).parents[2] / "src"
linux = pytest.mark.skipif(sys.platform != "linux", reason="isolation by the kernel needs Linux")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox(timeout_s=TIMEOUT_S, memory_mb=256, workers=1, min_level="kernel") as opened:
            yield opened
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def targets() -> Iterator[Targets]:
    created, listeners = create_targets()
    yield created
    remove_targets(created)
    del listeners


def first(sandbox: Sandbox, code: str, call: str = "f(1)", **settings):
    return sandbox.run([Job(code, (call,), **settings)])[0].calls[0]


# attacks


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_has_no_effect(name, sandbox, targets, monkeypatch):
    assert attack(sandbox, targets, ATTACKS[name]) == ""


@linux
@pytest.mark.parametrize(
    "name",
    ["killing a bystander", "overwriting a file", "creating a file", "rmtree",
     "deleting through posix",
     "shell", "changing a file's mode", "limits of a bystander"],
)  # fmt: skip
def test_attack_has_an_effect_outside_of_the_sandbox(name):
    own, listeners = create_targets()
    try:
        subprocess.run([sys.executable, "-c", own.aim(ATTACKS[name])], timeout=30)
        if name.startswith("killing"):
            own.bystander.wait(5)
        assert not own.folder.exists() or own.damage()
    finally:
        remove_targets(own)
        del listeners


def _python_for_others() -> str:
    """Return an interpreter that an unprivileged user can start."""
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        probe = [path, "-c", "import sys, struct, ctypes; assert sys.version_info >= (3, 11)"]
        other = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
        try:
            if subprocess.run(probe, capture_output=True, **other).returncode == 0:
                return path
        except OSError:  # missing, or not executable for others
            continue
    pytest.skip("no Python 3.11 that another user could start")


def _report(*arguments: str, python: str = sys.executable, **user) -> dict[str, str]:
    environment = {"PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
    script = Path(__file__).with_name("attacks.py")
    done = subprocess.run(
        [python, str(script), *arguments],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        **user,
    )
    if "UserError" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@linux
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to become others")
@pytest.mark.parametrize("user", ["root as nobody", "ordinary user"])
def test_attacks_have_no_effect_as_other_users(user):
    python = _python_for_others()
    options = {} if user == "root as nobody" else {"user": 4321, "group": 4321, "extra_groups": []}
    report = _report("full", python=python, **options)
    assert report.pop("sandbox").endswith("as nobody" if not options else "as ordinary user")
    assert {name: problem for name, problem in report.items() if problem} == {}


@linux
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="denies unshare by its number on x86-64")
def test_landlock_and_seccomp_suffice_without_namespaces():
    report = _report("kernel", "272")
    assert "missing: namespaces" in report.pop("sandbox")
    assert {name: problem for name, problem in report.items() if problem} == {}


# levels


@linux
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="denies system calls by their x86-64 numbers"
)
@pytest.mark.parametrize(("level", "denied"), [("full", "272"), ("kernel", "444")])
def test_a_missing_layer_is_an_error_in_one_sentence(level, denied):
    script = Path(__file__).with_name("attacks.py")
    done = subprocess.run(
        [sys.executable, str(script), level, denied],
        env={"PYTHONPATH": str(SRC)}, cwd="/", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"below '{level}'" in last
    assert "sandbox.min_level=" in last


def test_the_description_names_the_missing_layer():
    layers = {
        "landlock": "",
        "seccomp": "",
        "namespaces": "Operation not permitted",
        "user": "nobody",
    }
    assert pool.level_of(layers) == "kernel"
    assert pool.level_of({**layers, "namespaces": ""}) == "full"
    assert pool.level_of({**layers, "landlock": "Function not implemented"}) == "process"


def auto(system: str, monkeypatch) -> Sandbox:
    monkeypatch.setattr(pool, "level_of", lambda layers: "process")
    monkeypatch.setattr(pool.sys, "platform", system)
    return Sandbox(timeout_s=1, memory_mb=256, workers=1, min_level="auto")


def test_auto_refuses_less_than_full_on_linux(monkeypatch):
    with pytest.raises(UserError, match="below 'full'"):
        auto("linux", monkeypatch)


def test_auto_accepts_a_process_on_macos(monkeypatch):
    with auto("darwin", monkeypatch) as opened:
        outcome = opened.run([Job("def f(x):\n    return x + 1", ("f(1)",))])[0]
    assert outcome.calls[0].value == 2


def test_an_unknown_level_is_an_error():
    with pytest.raises(UserError, match="min_level=strong: expected one of auto, process, kernel"):
        Sandbox(timeout_s=1, memory_mb=256, workers=1, min_level="strong")


# results


def test_a_call_returns_value_arguments_and_printed_text(sandbox):
    code = "def f(x):\n    x.append(2)\n    print('hi')\n    return {1: 2.5, 'a': {3}}"
    result = first(sandbox, code, "f([1])")
    assert decode(result.value) == {1: 2.5, "a": {3}}
    assert decode(result.arguments[0]) == [1, 2]
    assert result.printed == "hi\n"


def test_a_call_may_come_after_statements(sandbox):
    result = first(sandbox, "def f(x):\n    x.append(1)", "x = []\nf(x)\nx")
    assert (result.value, result.arguments) == (["list", [1]], ())


def test_a_call_without_an_expression_is_an_error(sandbox):
    assert first(sandbox, "", "x = 1").exception == "SyntaxError"


def test_an_exception_is_named(sandbox):
    result = first(sandbox, "def f(x): raise KeyError('gone')")
    assert (result.exception, result.message, result.finished) == ("KeyError", "'gone'", False)


def test_no_call_is_made_if_the_program_does_not_load(sandbox):
    outcome = sandbox.run([Job("def f(:", ("f(1)",))])[0]
    assert outcome.load.exception == "SyntaxError"
    assert outcome.calls[0].killed == "not loaded"


def test_calls_after_a_killed_call_are_made(sandbox):
    code = "import os\ndef f(x):\n    while x == 1: pass\n    if x == 2: os._exit(0)\n    return x"
    calls = tuple(f"f({number})" for number in range(4))
    results = sandbox.run([Job(code, calls, call_timeout_s=0.1)])[0].calls
    assert [result.value for result in results] == [0, None, None, 3]
    assert [result.killed for result in results] == ["", "timeout", "left the process", ""]


@pytest.mark.parametrize(
    ("wall", "cpu", "is_left"),
    [
        (11.0, 0.03, True),
        (13.0, 0.03, False),  # asleep
        (13.0, 1.0, True),  # on a busy machine
        (119.0, 3.0, True),
        (121.0, 2.9, False),
    ],
)
def test_wall_clock_limit_is_longer_for_a_program_that_waits_for_a_core(wall, cpu, is_left):
    assert (_wall_left(12.0, wall, cpu) > 0) is is_left


def test_printed_text_excludes_prompts(sandbox):
    outcome = sandbox.run([Job("print(int(input('How many? ')) + 1)", stdin="41\n")])[0]
    assert outcome.load.printed == "42\n"


def test_each_call_has_fresh_streams(sandbox):
    code = "def f(x):\n    print(input())\n    import sys; sys.stdout.close()"
    results = sandbox.run([Job(code, ("f(1)", "f(2)"), stdin="a\n")])[0].calls
    assert [result.printed for result in results] == ["a\n", "a\n"]


def test_threads_work(sandbox):
    code = (
        "import threading\ndef f(x):\n    out = []\n"
        "    t = threading.Thread(target=out.append, args=(x,))\n"
        "    t.start(); t.join()\n    return out"
    )
    assert first(sandbox, code).value == ["list", [1]]


def test_a_program_can_write_to_its_folder(sandbox):
    code = "def f(x):\n    open('a', 'w').write('1')\n    return open('a').read()"
    assert first(sandbox, code).value == "1"


def test_random_numbers_differ_between_candidates(sandbox):
    job = Job("import random\ndef f(x): return random.random()", ("f(1)",))
    one, other = sandbox.run([job, job])
    assert one.calls[0].value != other.calls[0].value


def test_outcomes_keep_the_order_of_the_jobs(sandbox):
    with Sandbox(timeout_s=2, memory_mb=256, workers=2, min_level="process") as pool:
        code = "import time\ndef f(x):\n    time.sleep(0.02 * (x % 3))\n    return x"
        outcomes = pool.run(Job(code, (f"f({number})",)) for number in range(12))
    assert [outcome.calls[0].value for outcome in outcomes] == list(range(12))


def test_the_first_jobs_run_while_others_are_generated(sandbox, monkeypatch):
    finished, run_one = threading.Event(), Sandbox._outcome
    job = Job("def f(x): return x", ("f(1)",))

    def outcome(self, job):
        try:
            return run_one(self, job)
        finally:
            finished.set()

    def jobs() -> Iterator[Job]:
        yield job
        assert finished.wait(60)
        yield job

    monkeypatch.setattr(Sandbox, "_outcome", outcome)
    assert [own.calls[0].value for own in sandbox.run(jobs())] == [1, 1]


def test_the_hash_seed_sets_the_order_of_sets():
    job = Job("def f(x): return ''.join({'a', 'b', 'c', 'd', 'e', 'f'})", ("f(1)",))
    orders = []
    for seed in (0, 0, 1):
        with Sandbox(
            timeout_s=2, memory_mb=256, workers=1, min_level="process", hash_seed=seed
        ) as opened:
            orders.append(opened.run([job])[0].calls[0].value)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("n_deaths", [1, 2])
def test_a_dead_worker_is_replaced_and_its_job_runs_again_once(n_deaths, monkeypatch):
    run, deaths = pool._Worker.run, iter(range(n_deaths))

    def run_or_die(worker, job, timeout_s):
        if next(deaths, None) is not None:
            os.killpg(worker.process.pid, signal.SIGKILL)
        return run(worker, job, timeout_s)

    monkeypatch.setattr(pool._Worker, "run", run_or_die)
    with Sandbox(timeout_s=2, memory_mb=256, workers=1, min_level="process") as opened:
        job = Job("def f(x): return x", ("f(1)",))
        first, second = opened.run([job, job])
    lost = "the sandbox's worker died" if n_deaths == 2 else ""
    assert first.load.killed == lost and first.calls[0].value == (None if lost else 1)
    assert second.calls[0].value == 1


def test_a_job_with_too_large_an_answer_runs_once(monkeypatch):
    run, n_runs = pool._Worker.run, []

    def counted(worker, job, timeout_s):
        n_runs.append(job)
        with monkeypatch.context() as patched:
            patched.setattr(pool, "_MAX_ANSWER", 10)
            return run(worker, job, timeout_s)

    monkeypatch.setattr(pool._Worker, "run", counted)
    with Sandbox(timeout_s=2, memory_mb=256, workers=1, min_level="process") as opened:
        (outcome,) = opened.run([Job("x = 1")])
    assert outcome.load.killed == "too large an answer" and len(n_runs) == 1


def test_a_closed_sandbox_raises():
    with Sandbox(timeout_s=2, memory_mb=256, workers=1, min_level="process") as opened:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        opened.run([])


def test_an_interrupted_run_closes_the_sandbox():
    def jobs():
        yield Job("x = 1")
        raise KeyboardInterrupt

    with Sandbox(timeout_s=2, memory_mb=256, workers=1, min_level="process") as opened:
        with pytest.raises(KeyboardInterrupt):
            opened.run(jobs())
        with pytest.raises(RuntimeError, match="closed"):
            opened.run([])


def test_closing_removes_processes_and_folders():
    with Sandbox(timeout_s=2, memory_mb=256, workers=1, min_level="process") as opened:
        pid, scratch = opened._pool[0].process.pid, Path(opened._pool[0].scratch)
        assert scratch.exists()
    assert not scratch.exists()
    deadline = time.monotonic() + 10  # killed processes disappear when init reaps them
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(pid, 0)


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"n 0 {", b"n 1 {}", b"other 0 {}", b"n 0 []", b'n 0 {"value": 1.5}',
     b"n 0 " + b"[" * 9999,
     b'n 0 {"value": ["list", 3]}', b'n 0 {"printed": 3}', b"n 0 {\xff}", b'n 0 {"arguments": 3}',
     b'n 0 {"value": ["set", [' + b", ".join(b'["Fraction", "1/3"]' for _ in range(1001)) + b"]]}",
     b'n 0 {"value": ["Fraction", "1/0"]}', b'n 0 {"value": ["Fraction", "1"]}',
     b'n 0 {"value": ["Decimal", "x"]}', b'n 0 {"value": ["Decimal", [0, [1], 2]]}',
     b'n 0 {"value": ["Decimal", "' + b"1" * 10_001 + b'"]}'],
)  # fmt: skip
def test_an_invalid_line_is_a_forged_result(line):
    output = b"n -1 {}\n" + line + b"\n"
    segments = [{"first": 0, "bytes": len(output), "ended": ""}]
    assert read_outcome(Job("", ("f()",)), "n", segments, output).calls[0].killed == "forged result"


def test_the_sandbox_imports_only_the_standard_library():
    code = "import sys, en2py.sandbox; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n", done.stderr


# values


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**70), 1.5, 1e300, float("inf"), 2j, "ä\ud800", b"\0\xff", [1, [2]], (1,),
     {1, "a"},
     {(1, 2): [3]}, {"a": {"b": 1.0}}, {frozenset({1}), frozenset()}, {frozenset({1}): [2]},
     Fraction(-1, 3), Decimal("-1.50"), Decimal("1e999999999"), pytest.param(10**5000, id="huge")],
)  # fmt: skip
def test_decode_inverts_encode(value):
    assert decode(json.loads(json.dumps(encode(value)))) == value


@pytest.mark.parametrize(
    "value", [[10**5000], {10**5000}, {1: "x" * 1000}, Fraction(10**5000), Decimal(10**20_000)]
)
def test_every_value_has_a_text(value):
    assert 0 < len(as_text(encode(value))) <= 300


def test_a_class_cannot_misreport_its_value():
    class Yes(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert encode(Yes(1)) == 1
    assert not same(encode(Yes(1)), encode(2))


class Color(enum.IntEnum):
    RED = 1


class Name(str):
    def __str__(self):
        return "another"


class Celsius(float):
    def __repr__(self):
        return "another"


class Stack(list):
    def __iter__(self):
        return iter("another")


class Table(dict):
    def items(self):
        return "another"


class Names(frozenset): ...


@pytest.mark.parametrize(
    "value", [Color.RED, Name("a"), Celsius(1.5), Stack([1]), Table(a=1), Names("a")]
)
def test_a_value_of_a_class_of_its_own_is_its_storage(value):
    (plain,) = (
        kind for kind in (int, str, float, list, dict, frozenset) if isinstance(value, kind)
    )
    decoded = decode(encode(value))
    assert type(decoded) is plain
    assert plain.__eq__(decoded, value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [({10**5000: {10**5000}}, {10**5000: {10**5000}}, True),
     (1, 1.0, True), (True, 1, True), (0.1 + 0.2, 0.3, True), (1.0, 1.00000001, False), ([1],
     (1,), False),
     ({1, 2.0}, {2, 1}, True), ({1: 2}, {1.0: 2.0}, True), ({"a": 1, "b": 2}, {"b": 2, "a": 1},
     True),
     ([1, 2], [1], False), (math.nan, math.nan, True), ("1", 1, False), (2**80, 2.0**80, True),
     (2**80, 2**80 + 1, False),
     ({1}, frozenset({1}), True), (range(3), iter([0, 1, 2]), True),
     ({1: "a", 2: "b"}, {1: "b", 2: "a"}, False), (10**400, 1.0, False),
     ({frozenset({1, 2.0})}, {frozenset({2, 1})}, True), ([{1}], [frozenset({1})], True),
     (Fraction(1, 2), 0.5, True), (Fraction(2), 2, True), (Fraction(1, 3), Decimal(1) / 3, False),
     (Decimal("2.0"), Decimal(2), True), ({Decimal(1): 2}, {1: Decimal(2)}, True),
     (Decimal("1e999999999"), 10**400, False), (Decimal("nan"), Decimal("nan"), True),
     (Decimal(10**12), Decimal(10**12 + 1), False),
     ({2.0000000001, 3}, {2, 3}, True), ({2.0000000001: "a", 3: "b"}, {2: "a", 3: "b"}, True),
     ({1e-17, 0.5}, {0, 0.5}, True), ({9.9999999999, -2}, {10, -2}, True),
     ({2.00001, 3}, {2, 3}, False), ({(2.0000000001, 3), (4,)}, {(2, 3), (4,)}, True),
     ({(0.1 + 0.2, "a"), (0.3, "b")}, {(0.3, "a"), (0.3, "b")}, True),
     ({(1, 2), (3, 4)}, {(1.0, 2), (3, 4)}, True), ({2**80, 2**80 + 1}, {2**80 + 1, 2**80}, True),
     ({(1, 1.9999999999), frozenset({1, 2})}, {(1, 2), frozenset({1, 2})}, True),
     ({math.nan, 1}, {1, math.nan}, True), ({2 + 0j, 1}, {1, 2}, True),
     ({"b", 1, (), None}, {None, (), 1, "b"}, True), (None, 0, False)],
)  # fmt: skip
def test_equality_is_that_of_python_to_nine_digits(one, other, equal):
    assert same(encode(one), encode(other)) is equal


ODD = [0, -1, 10**400, -(10**5000), 1.5, math.inf, -math.inf, math.nan, 1j, None, True, "", "a",
       complex(math.nan, 1e308), b"a", [], [10**400], (), (1j,), {1}, {"a": 10**400}, {1.5: {2}},
       Decimal("sNaN"), Decimal("1e999999999"), Decimal("Infinity"), Fraction(1, 10**400),
       Fraction(10**400), {Decimal("1e999999999")}, range(3), object(), math,
       lambda: 1]  # fmt: skip


@pytest.mark.parametrize("one", range(len(ODD)))
def test_any_two_values_can_be_compared(one):
    for other in ODD:
        value, twin = encode(ODD[one]), encode(other)
        assert same(value, twin) is same(twin, value)


# the filter


def _verdict(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Interpret classic BPF as the kernel does."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *arguments, *(0,) * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", program))
    place = accumulator = 0
    while True:
        operation, if_true, if_false, operand = lines[place]
        place += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x54:
            accumulator &= operand
        elif operation in (0x15, 0x45):
            holds = accumulator == operand if operation == 0x15 else accumulator & operand
            place += if_true if holds else if_false
        else:
            return operand


ALLOW, DENY, MISSING, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
THREAD = 0x3D0F00  # the flags of pthread_create
# machine, arch, numbers of: write, execve, kill, socket, clone, clone3, ioctl, fcntl,
# prlimit64, fchmodat
NUMBERS = {
    "x86_64": (0xC000003E, 1, 59, 62, 41, 56, 435, 16, 72, 302, 268),
    "aarch64": (0xC00000B7, 64, 221, 129, 198, 220, 435, 29, 25, 261, 53),
}


@pytest.mark.parametrize("machine", NUMBERS)
def test_the_filter_of_a_machine(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = seccomp.seccomp_program()
    arch, write, execve, kill, socket, clone, clone3, ioctl, fcntl, prlimit, chmod = NUMBERS[
        machine
    ]
    expected = [
        (write, (), ALLOW),
        (execve, (), DENY),
        (kill, (), DENY),
        (socket, (), DENY),
        (chmod, (), DENY),
        (clone, (THREAD,), ALLOW),
        (clone, (17,), DENY),  # a plain fork
        (clone, (THREAD | 0x10000000,), DENY),  # with a new user namespace
        (clone3, (), MISSING),
        (ioctl, (0, 0x5401), ALLOW),
        (ioctl, (0, 0x5412), DENY),  # TIOCSTI: writes into the terminal's input
        (fcntl, (3, 1), ALLOW),
        (fcntl, (3, 8, 1), DENY),  # F_SETOWN
        (prlimit, (0, 7, 0, 1), ALLOW),
        (prlimit, (0, 7, 1 << 40, 0), DENY),
        (prlimit, (1, 7, 0, 1), DENY),
        (9999, (), DENY),
    ]
    for number, arguments, verdict in expected:
        assert _verdict(program, arch, number, arguments) == verdict, (number, arguments)
    assert _verdict(program, 0x40000003, write) == KILL  # 32-bit x86


def test_x32_calls_kill_the_process(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert _verdict(seccomp.seccomp_program(), 0xC000003E, 0x40000001) == KILL


def test_an_unknown_machine_is_an_error(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64"):
        seccomp.seccomp_program()
