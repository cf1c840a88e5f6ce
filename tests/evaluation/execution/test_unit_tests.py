import ast
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from en2py.data.pairs import DataReport, Pair
from en2py.errors import UserError
from en2py.evaluation.execution.asserts import constant, split_test
from en2py.evaluation.execution.entry_point import entry_function
from en2py.evaluation.execution.unit_tests import pass_at_k, passes_tests
from en2py.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox(timeout_s=1, memory_mb=256, workers=1, min_level="kernel") as opened:
            yield opened
    except UserError as error:
        pytest.skip(str(error))


def pair(*tests: str, code: str = "def add(a, b):\n    return a + b") -> Pair:
    return Pair("hand/0", "add two numbers", code, "hand", tests)


ADD = pair("assert add(1, 2) == 3", "assert add(-1, 1) == 0")


def verdict(sandbox: Sandbox, prediction: str, against: Pair = ADD):
    return passes_tests([prediction], [against], sandbox)[0]


# verdicts


GCD = pair(
    "assert gcd(12, 8) == 4", code="def gcd(a, b):\n    return a if not b else gcd(b, a % b)"
)
LCM = "def lcm(a, b):\n    return a * b // gcd(a, b)"


@pytest.mark.parametrize(
    "start",
    [
        "from math import gcd",
        "import math\ngcd = math.gcd",
        "class gcd(int):\n    def __new__(cls, a, b): return a if not b else cls(b, a % b)",
        "def own(a, b): return a if not b else own(b, a % b)\ngcd = own",
    ],
)
def test_an_expected_name_that_the_program_has_is_called(sandbox, start):
    assert verdict(sandbox, f"{start}\n{LCM}", GCD).right


def test_a_value_does_not_hide_the_function_of_another_name(sandbox):
    program = "def total(a, b): return a + b\nadd = total(1, 2)"
    assert verdict(sandbox, program).right


def test_the_reference_passes(sandbox):
    own = verdict(sandbox, ADD.code)
    assert (own.right, own.problem) == (True, "")


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        ("def add(a, b): return a - b", "wrong value"),
        ("def add(a, b): return a +", "does not parse"),
        ("def add(a, b): return a / 0", "ZeroDivisionError"),
        ("def add(a):\n    return a", "TypeError"),
        ("x = 1", "NameError"),
        ("while True: pass", "timeout"),
        ("raise SystemExit", "SystemExit"),
        ("import os\nos._exit(0)", "left the process"),
        ("def add(a, b): return str(a + b)", "wrong value"),
        ("def f(:", "does not parse"),
        ("", "NameError"),
    ],
)
def test_a_failure_has_a_problem(prediction, problem, sandbox):
    own = verdict(sandbox, prediction)
    assert (own.right, own.problem) == (False, problem)


def test_the_failing_test_is_reported(sandbox):
    own = verdict(sandbox, "def add(a, b): return 3")
    assert own.detail == "add(-1, 1) gave 3; asserted: add(-1, 1) == 0"


@pytest.mark.parametrize(
    "prediction",
    [
        "class Yes:\n    def __eq__(self, other): return True\ndef add(a, b): return Yes()",
        "import builtins\nbuiltins.AssertionError = None\ndef add(a, b): return None",
        "import gc\ndef add(a, b): return [o for o in gc.get_objects() if o == 3][:1]",
        "def add(a, b):\n    import sys\n    f = sys._getframe()\n    while f:\n"
        "        if '== 3' in repr(f.f_locals): return 3\n        f = f.f_back",
    ],
)
def test_a_program_cannot_fake_success(prediction, sandbox):
    assert not verdict(sandbox, prediction).right


def test_verdicts_keep_the_order(sandbox):
    predictions = [ADD.code, "def add(a, b): return 0", ADD.code]
    passed = [own.right for own in passes_tests(predictions, [ADD] * 3, sandbox)]
    assert passed == [True, False, True]


# names


@pytest.mark.parametrize(
    "prediction",
    [
        "def plus(x, y): return x + y",
        "plus = lambda x, y: x + y",
        "def one(): pass\ndef plus(x, y): return x + y\ndef other(z): pass",
        "def main(x, y): return plus(x, y)\ndef plus(x, y): return x + y",
    ],
)
def test_the_function_may_have_another_name(prediction, sandbox):
    assert verdict(sandbox, prediction).right


def test_the_function_with_the_name_of_the_reference_is_preferred(sandbox):
    assert verdict(sandbox, "def add(a, b): return a + b\ndef other(a, b): return 0").right


def test_names_that_the_program_defines_are_not_replaced(sandbox):
    own = pair("assert add(1, len([1])) == 2")
    assert verdict(sandbox, "def plus(a, b): return a + b", own).right


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def f(): pass", "f"),
        ("def f(): pass\ndef g(): f()", "g"),
        ("def g(): f()\ndef f(): pass", "g"),
        ("def f(): return f()", "f"),
        ("def f(): g()\ndef g(): f()", "g"),
        ("def f(a): pass\nx = lambda a, b: 1", "x"),
        ("class A:\n    def f(self): pass", None),
        ("", None),
    ],
)
def test_the_entry_function_is_called_by_no_other(code, name):
    entry = entry_function(ast.parse(code))
    assert (entry and entry.name) == name


def test_the_entry_function_takes_the_arguments():
    tree = ast.parse("def f(a, b=1, *, c=2): pass\ndef g(a): pass\ndef h(a, *, b): pass")
    assert entry_function(tree, 2).name == "f"


def test_the_entry_function_of_known_arguments_is_called_by_no_function_of_others():
    code = "def solve(x): return mid(x, 1)\ndef mid(a, b): return half(a)\ndef half(x): return x"
    assert entry_function(ast.parse(code), 1).name == "solve"


def test_the_entry_function_takes_the_arguments_even_if_another_calls_it():
    tree = ast.parse("def f(a, b): return a + b\ndef g(a): return f(a, 1)")
    assert entry_function(tree, 2).name == "f"


# split tests


@pytest.mark.parametrize(
    ("test", "call", "right", "wrong"),
    [
        ("f(1) == 3", "f(1)", 3, 4),
        ("3 == f(1)", "f(1)", 3, 4),
        ("f(1) != 3", "f(1)", 4, 3),
        ("f(1) < 3", "f(1)", 2, 3),
        ("3 < f(1)", "f(1)", 4, 3),
        ("f(1) is None", "f(1)", None, 0),
        ("f(1) is True", "f(1)", True, 1),
        ("False is f(1)", "f(1)", False, 0),
        ("f(1) is not True", "f(1)", 1, True),
        ("f(1) in (1, 2)", "f(1)", 2, 3),
        ("2 in f(1)", "f(1)", [2], [3]),
        ("2 not in f(1)", "f(1)", [3], [2]),
        ("f(1) == -1.5", "f(1)", -1.5, 1.5),
        ("f(1) == set([1, 2])", "f(1)", {1, 2}, {1}),
        ("f(1) == float('inf')", "f(1)", float("inf"), 0.0),
        ("f(1) == 1 / 3", "f(1)", 1 / 3, 0.3),
        ("sorted(f(1)) == [1]", "sorted(f(1))", [1], [2]),
        ("math.isclose(f(1), 1.0, rel_tol=0.1)", "f(1)", 1.05, 1.2),
        ("abs(f(1) - 3.0) < 1e-3", "f(1)", 3.0001, 3.1),
        ("f(1)", "not not f(1)", True, False),
        ("not f(1)", "not not f(1)", False, True),
    ],
)
def test_a_test_is_split(test, call, right, wrong):
    check = split_test(ast.parse(f"assert {test}").body[0])
    assert ast.unparse(check.call) == call
    assert (check.holds(right), check.holds(wrong)) == (True, False)


@pytest.mark.parametrize("test", ["f(1) == f(2)", "f(1) == 1 and f(2) == 2", "0 < f(1) < 3"])
def test_other_tests_are_evaluated_in_the_sandbox(test):
    check = split_test(ast.parse(f"assert {test}").body[0])
    assert ast.dump(check.call.operand.operand) == ast.dump(ast.parse(test, mode="eval").body)
    assert (check.holds(True), check.holds(1)) == (True, False)


def test_a_mirrored_comparison_runs(sandbox):
    own = pair("assert add(1, 2) == add(2, 1)", "assert 0 < add(1, 1) < 3")
    assert verdict(sandbox, ADD.code, own).right


def test_a_set_up_runs_first(sandbox):
    own = pair("import math\nhalf = 0.5\nassert add(math.floor(half), 1) == 1")
    assert verdict(sandbox, ADD.code, own).right


STACK = """class Stack:
    def __init__(self):
        self.items = []
    def push(self, item):
        self.items.append(item)
    def pop(self):
        return self.items.pop()"""


@pytest.mark.parametrize(
    "tests",
    [
        ("x = [3, 1]\nx.sort()\nassert x == [1, 3]", "x = []\nx.sort()\nassert x == []"),
        ("s = Stack()\ns.push(1)\ns.push(1)\nassert s.items == [1, 1]",),
        ("s = Stack()\ns.push(1)\nassert s.items == [1]\ns.pop()\nassert s.items == []",),
        ("s = Stack()\ns.push(1)\nassert s.pop() == 1",) * 2,
        ("s = Stack()\nassert s.push(1) is None\nn = len(s.items)\nassert n == 1",),
    ],
    ids=["equal names", "repeated", "between asserts", "equal set-ups", "effect of a call"],
)
def test_statements_of_tests_run_in_their_order(tests, sandbox):
    assert verdict(sandbox, STACK, pair(*tests, code=STACK)).right


def test_what_an_import_skips_does_not_run(sandbox):
    guard = "\nif __name__ == '__main__':\n    add(int(input()), int(input()))"
    assert verdict(sandbox, ADD.code + guard, ADD).right


def test_statements_after_all_asserts_may_fail(sandbox):
    own = pair("s = Stack()\nassert not s.items\ns.peek()", code=STACK)
    assert verdict(sandbox, STACK, own).problem == "AttributeError"


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("fractions.Fraction(1, 2)", "f() == 0.5"),
        ("decimal.Decimal(2)", "f() == 2"),
        ("decimal.Decimal('1e999999999')", "f() > 0"),
        ("{frozenset([1])}", "len(f()) == 1"),
        ("{frozenset([1])}", "f() == set([frozenset([1])])"),
        ("{frozenset([1]): 2}", "f()"),
        ("(i for i in (3, 5))", "3 in f()"),
        ("{3: 1}.keys()", "3 in f()"),
        ("range(3)", "3 not in f()"),
    ],
)
def test_a_value_of_the_standard_library_reaches_its_check(value, test, sandbox):
    code = f"import decimal, fractions\ndef f(): return {value}"
    assert verdict(sandbox, code, pair(f"assert {test}", "assert f() != -1", code=code)).right


@pytest.mark.parametrize(
    ("value", "test"),
    [("'a' * 3_000_000", "len(f()) == 3_000_000"), ("(1 // i for i in (1, 0))", "next(f()) == 1")],
    ids=["long", "fails later"],
)
def test_what_a_test_passes_to_another_function_is_not_sent(value, test, sandbox):
    code = f"def f(): return {value}"
    assert verdict(sandbox, code, pair(f"assert {test}", code=code)).right


@pytest.mark.parametrize(
    "text", ["f(1)", "x", "set(x)", "open('a')", "int('a')", "[1] / 2", "1 / 0"]
)
def test_an_expression_that_is_no_constant_is_an_error(text):
    with pytest.raises(ValueError):
        constant(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    ("tests", "words"),
    [((), "hand/0 has no tests"), (("x = 1",), "no assert"), (("assert (",), "not parse")],
)
def test_a_pair_without_tests_is_an_error(tests, words):
    sandbox = SimpleNamespace(run=lambda jobs, progress: list(jobs))
    with pytest.raises(ValueError, match=words):
        verdict(sandbox, ADD.code, pair(*tests))


def test_an_iterator_of_a_test_is_read_by_its_calls_alone(sandbox):
    asserts = "\n".join(f"assert next(it) == {i}" for i in range(4))
    counter = pair(f"it = count()\n{asserts}", code="def count():\n    yield from range(9)")
    assert verdict(sandbox, counter.code, counter).right


def test_a_test_that_asserts_in_a_function_passes_without_an_exception(sandbox):
    check = "def check(f):\n    assert f(1, 2) == 3\ncheck(add)"
    wrong = verdict(sandbox, "def add(a, b):\n    return a - b", pair(check))
    assert (wrong.right, wrong.problem) == (False, "AssertionError")
    assert verdict(sandbox, ADD.code, pair(check)).right


# pass@k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 1, 1, 1.0),
        (4, 1, 1, 0.25),
        (4, 2, 2, 1 - 1 / 6),  # C(2,2) / C(4,2)
        (10, 3, 5, 1 - 21 / 252),  # C(7,5) / C(10,5)
        (5, 0, 5, 0.0),
        (5, 4, 2, 1.0),
    ],
)
def test_pass_at_k_counts_combinations(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@pytest.mark.skipif("EN2PY_DATA" not in os.environ, reason="EN2PY_DATA names no folder of datasets")
def test_the_references_of_mbpp_pass(sandbox):
    from en2py.data.sources import file

    sandbox.timeout_s = 10.0

    pairs = file.read_file(
        DataReport(),
        name="mbpp",
        path=str(Path(os.environ["EN2PY_DATA"]) / "mbpp/mbpp.jsonl"),
        description_field="text",
        code_field="code",
        tests_field="test_list",
        setup_field="test_setup_code",
        id_field="task_id",
    )[:200]
    failed = [
        (own.id, result.problem)
        for own, result in zip(
            pairs, passes_tests([own.code for own in pairs], pairs, sandbox), strict=True
        )
        if not result.right
    ]
    assert failed == []
