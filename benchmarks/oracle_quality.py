"""Measure oracles: testable references, mutants detected, unrelated functions accepted.

    python benchmarks/oracle_quality.py english_python PATH [--pairs N] [--show N]
    python benchmarks/oracle_quality.py file PATH --description text --code code

Pairs are cleaned only as far as parsing requires it (characters, tabs, indentation, Python 2).

A mutant is a reference with one small change, which its oracle should reject. Some mutants are
equivalent to the reference, so the detection rate stays below 1. An unrelated function is another
reference with as many parameters, which the oracle should reject too.
"""

import argparse
import ast
import copy
import functools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from en2py.data.cleaning import characters, layout, limits, pipeline
from en2py.data.pairs import DataReport, Pair
from en2py.data.sources import english_python, file
from en2py.data.syntax import parse
from en2py.data.tree_text import ast_text_renamed
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.oracle import Oracle
from en2py.evaluation.behaviour.references import build_oracles, count_reasons
from en2py.evaluation.execution.entry_point import entry_function
from en2py.sandbox import Sandbox

N_MUTANTS = 5  # of each reference, drawn from all its one-step mutants
N_UNRELATED = 8  # functions for each reference

_SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
_Change = Callable[[], None]


def mutants(code: str) -> list[str]:
    """Return all mutants of a program's entry function, in the order of their places.

    Changes: another operator or comparison, a constant plus or minus one, a negated condition, a
    removed statement or returned value, `break` for `continue`.
    """
    tree = parse(code)
    entry = None if tree is None else entry_function(tree)
    if tree is None or entry is None:
        return []
    place = next(
        number for number, node in enumerate(ast.walk(tree)) if node is entry.node
    )  # the same walk over a copy leads to the same node
    found: dict[str, None] = {}
    for step in range(sum(1 for _ in _changes(entry.node))):
        other = copy.deepcopy(tree)
        twin = next(node for number, node in enumerate(ast.walk(other)) if number == place)
        change = next(own for number, own in enumerate(_changes(twin)) if number == step)
        change()
        text = ast.unparse(ast.fix_missing_locations(other))
        if parse(text) is not None and text != ast.unparse(tree):
            found[text] = None
    return list(found)


def _changes(function: ast.AST) -> Iterator[_Change]:
    """Yield the changes, as functions that modify the tree in place."""
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
            for other in _SWAPS.get(type(node.op), ()):
                yield _setting(node, "op", other())
        elif isinstance(node, ast.Compare):
            for place, op in enumerate(node.ops):
                for other in _SWAPS.get(type(op), ()):
                    ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                    yield _setting(node, "ops", ops)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool):
                yield _setting(node, "value", not node.value)
            elif isinstance(node.value, int | float):
                yield _setting(node, "value", node.value + 1)
                yield _setting(node, "value", node.value - 1)
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield _setting(node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Return) and node.value is not None:
            yield _setting(node, "value", None)
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                for place, statement in enumerate(block):
                    if isinstance(statement, ast.Break | ast.Continue):
                        twin = ast.Continue() if isinstance(statement, ast.Break) else ast.Break()
                        yield _setting(node, name, [*block[:place], twin, *block[place + 1 :]])
                    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr) and not (
                        isinstance(statement, ast.Expr)
                        and isinstance(statement.value, ast.Constant)
                    ):
                        rest = [*block[:place], ast.Pass(), *block[place + 1 :]]
                        yield _setting(node, name, rest)


def _setting(node: ast.AST, name: str, value: object) -> _Change:
    return lambda: setattr(node, name, value)


@dataclass(frozen=True)
class Quality:
    """Counts: `n_killed` of `n_mutants` were rejected, `n_accepted` of `n_unrelated` accepted."""

    n_mutants: int
    n_killed: int
    n_unrelated: int
    n_accepted: int
    survivors: tuple[tuple[str, str], ...]  # reference, mutant
    accepted: tuple[tuple[str, str], ...]  # reference, unrelated function


def measure(
    codes: Sequence[str], oracles: Sequence[Oracle], sandbox: Sandbox, seed: int
) -> Quality:
    """Run mutants and unrelated functions against the oracle of each distinct reference.

    Args:
        codes: References with an oracle of a function.
        oracles: Their oracles.
        sandbox: Executes the programs.
        seed: Of the drawing of mutants and unrelated functions.
    """
    chance = random.Random(seed)
    distinct = dict(zip(codes, oracles, strict=True))
    by_arity: dict[int, list[str]] = {}
    for code, oracle in distinct.items():
        by_arity.setdefault(oracle.n_arguments, []).append(code)
    same_program = {code: ast_text_renamed(code) for code in distinct}
    mutations: list[tuple[str, str]] = []
    unrelated: list[tuple[str, str]] = []
    for code, oracle in distinct.items():
        own = mutants(code)
        mutations += [(code, other) for other in chance.sample(own, min(N_MUTANTS, len(own)))]
        others = by_arity[oracle.n_arguments]
        for other in chance.sample(others, min(N_UNRELATED + 1, len(others)))[:N_UNRELATED]:
            if same_program[other] != same_program[code]:
                unrelated.append((code, other))
    survivors, accepted = (_accepted(pairs, distinct, sandbox) for pairs in (mutations, unrelated))
    n_killed = len(mutations) - len(survivors)
    return Quality(len(mutations), n_killed, len(unrelated), len(accepted), survivors, accepted)


def _accepted(
    pairs: Sequence[tuple[str, str]], oracles: Mapping[str, Oracle], sandbox: Sandbox
) -> tuple[tuple[str, str], ...]:
    """Return the pairs of reference and program whose oracle accepts the program."""
    programs = [program for _, program in pairs]
    verdicts = behaves_like(programs, [oracles[reference] for reference, _ in pairs], sandbox)
    return tuple(pair for pair, own in zip(pairs, verdicts, strict=True) if own.right)


def read(options: argparse.Namespace) -> list[Pair]:
    report = DataReport()
    if options.source == "english_python":
        pairs = english_python.read_english_python(report, path=options.path, url="", sha256="")
    else:
        pairs = file.read_file(
            report,
            name="file",
            path=options.path,
            description_field=options.description,
            code_field=options.code,
            tests_field=None,
        )
    steps = {
        "characters": characters.repair_characters,
        "tabs": functools.partial(layout.expand_tabs, size=4),
        "dedent": layout.dedent,
        "python 2": characters.repair_python2,
        "parses": limits.must_parse,
    }
    return pipeline.clean(pairs, steps, report)[: options.pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=["english_python", "file"])
    parser.add_argument("path")
    parser.add_argument("--description", default="auto")
    parser.add_argument("--code", default="auto")
    parser.add_argument("--pairs", type=int, default=None, help="only the first N pairs")
    parser.add_argument("--show", type=int, default=0, help="print N of either kind of error")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--min-level", default="full")
    options = parser.parse_args()
    pairs = read(options)
    codes = [pair.code for pair in pairs]
    settings = {
        "timeout_s": 3.0,
        "memory_mb": 512,
        "workers": None,
        "min_level": options.min_level,
    }
    with Sandbox(**settings) as sandbox, Sandbox(**settings, hash_seed=1) as other:
        print(sandbox.describe())
        began = time.monotonic()
        candidates = build_oracles(codes, sandbox, other)
        took = time.monotonic() - began
        functions = [own for own in candidates if own.kind == "function"]
        with_oracle = [own for own in functions if own.oracle is not None]
        scripts = [own for own in candidates if own.kind == "script"]
        by_code = {
            code: own for code, own in zip(codes, candidates, strict=True) if own.kind == "function"
        }
        distinct = {code: own.oracle for code, own in by_code.items() if own.oracle is not None}
        print(
            f"{len(with_oracle)} of {len(codes)} pairs have an oracle of a function"
            f" ({len(with_oracle) / len(codes):.1%}; {len(with_oracle) / len(functions):.1%} of the"
            f" {len(functions)} function pairs; {len(distinct)} of {len(by_code)} distinct"
            f" functions), in {took:.0f} s"
        )
        testable = sum(own.oracle is not None for own in scripts)
        print(f"{testable} of {len(scripts)} scripts are testable")
        for reason, count in count_reasons(candidates).items():
            print(f"{count:6d}  {reason}")
        quality = measure(list(distinct), list(distinct.values()), sandbox, options.seed)
    killed, accepted = quality.n_killed, quality.n_accepted
    print(f"{killed} of {quality.n_mutants} mutants killed ({killed / quality.n_mutants:.1%})")
    print(
        f"{accepted} of {quality.n_unrelated} unrelated functions accepted"
        f" ({accepted / quality.n_unrelated:.2%})"
    )
    for title, examples in (
        ("SURVIVOR", quality.survivors),
        ("UNRELATED FUNCTION", quality.accepted),
    ):
        for reference, program in examples[: options.show]:
            print(f"\n--- reference:\n{reference}\n--- {title}:\n{program}")


if __name__ == "__main__":
    main()
