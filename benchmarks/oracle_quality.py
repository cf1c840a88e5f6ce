"""Measure oracles: testable references, mutants detected, unrelated functions accepted.

    python benchmarks/oracle_quality.py english_python PATH [--pairs N] [--show N]
    python benchmarks/oracle_quality.py file PATH --description text --code code

Pairs are cleaned only as far as parsing requires it (characters, tabs, indentation, Python 2).
"""

import argparse
import functools
import time

from en2py.data.cleaning import characters, layout, limits, pipeline
from en2py.data.pairs import DataReport, Pair
from en2py.data.sources import english_python, file
from en2py.evaluation.behaviour import build_oracles, count_reasons
from en2py.evaluation.behaviour.mutation_testing import measure
from en2py.sandbox import Sandbox


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
