"""Execution of generated programs: against the tests of their pairs, or against oracles."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from en2py.data.cache import cached
from en2py.data.pairs import Pair
from en2py.errors import UserError
from en2py.evaluation.behaviour.cached import execution_key, reference_oracles
from en2py.evaluation.behaviour.comparison import behaves_like
from en2py.evaluation.behaviour.references import OracleCandidate
from en2py.evaluation.execution.result import FUNCTION, SCRIPT, TESTS, ExecutionResult
from en2py.evaluation.execution.unit_tests import pass_at_k, passes_tests
from en2py.evaluation.metrics.bleu import Counts
from en2py.evaluation.metrics.program_metrics import Scores
from en2py.sandbox import Sandbox

log = logging.getLogger(__name__)

_SHOWN = 300  # characters of a reason


class ProgramRunner:
    """Runs generated programs of a list of pairs in a sandbox.

    Results are cached, so that a second evaluation is quick and equal. The sandbox is opened only
    when a program has to be run.

    Args:
        pairs: The pairs.
        sandbox: Settings of the sandbox.
        folder: The cache.
        behaviour: Whether programs of pairs without tests are compared with their reference.
    """

    def __init__(
        self, pairs: Sequence[Pair], *, sandbox: Mapping[str, Any], folder: Path, behaviour: bool
    ) -> None:
        self.pairs, self.sandbox, self.folder = list(pairs), dict(sandbox), folder
        self.behaviour = behaviour
        self.refusal = ""
        self._known: dict[tuple[str, str], ExecutionResult] = {}

    @cached_property
    def oracles(self) -> dict[str, OracleCandidate]:
        """Reference to oracle, or to the reason for having none, of the pairs without tests."""
        codes = [pair.code for pair in self.pairs if not pair.tests]
        if not self.behaviour or not codes:
            return {}
        return reference_oracles(codes, sandbox=self.sandbox, folder=self.folder)

    def run(
        self, programs: Sequence[str], places: Sequence[int] | None = None
    ) -> list[ExecutionResult | None]:
        """Run programs, each against the tests or the oracle of the pair at its place.

        Without places there is one program for each pair, in order.

        Returns:
            The result of each program; None where its pair has neither tests nor an oracle, or
            where the sandbox is not available, which is logged once.
        """
        places = range(len(self.pairs)) if places is None else places
        requested = [
            (self._reference(place), program, place)
            for place, program in zip(places, programs, strict=True)
        ]
        try:
            tasks = {
                (reference, program): place
                for reference, program, place in requested
                if (reference, program) not in self._known and self._is_testable(place)
            }
            if tasks:
                self._known |= self._run(tasks)
        except UserError as refusal:  # without isolation: all other scores are still computed
            if not self.refusal:
                log.info(f"generated programs were not run: {refusal}")
            self.refusal = str(refusal)
            return [None] * len(requested)
        return [self._known.get((reference, program)) for reference, program, _ in requested]

    def check_references(self) -> dict[str, Any]:
        """Run references against their own tests, in the same sandbox as generated programs.

        Those of machine-made pairs pass by construction and are left out.

        Returns:
            `passing`, `of`, and `first`: why the first of the others fails, or an empty text.
            Nothing if there are no such pairs, or no sandbox.
        """
        places = [i for i, pair in enumerate(self.pairs) if pair.tests and not pair.family]
        pairs = [self.pairs[i] for i in places]
        ran = self.run([pair.code for pair in pairs], places)
        known = [(pair, found) for pair, found in zip(pairs, ran, strict=True) if found]
        wrong = [f"{pair.id} {found.words}" for pair, found in known if not found.right]
        counts = {"passing": len(known) - len(wrong), "of": len(known)}
        return {**counts, "first": "".join(wrong[:1])[:_SHOWN]} if known else {}

    def _reference(self, place: int) -> str:
        pair = self.pairs[place]
        return "\n".join([pair.code, *pair.tests])

    def _is_testable(self, place: int) -> bool:
        pair = self.pairs[place]
        if pair.tests:
            return True
        candidate = self.oracles.get(pair.code)
        return candidate is not None and candidate.oracle is not None

    def _run(self, tasks: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], ExecutionResult]:
        order = sorted(tasks)
        key = {"tasks": order, **execution_key(self.sandbox)}

        def build() -> list[dict[str, Any]]:
            pairs = {task: self.pairs[tasks[task]] for task in order}
            tested = [task for task in order if pairs[task].tests]
            compared = [task for task in order if not pairs[task].tests]
            candidates = [self.oracles[pairs[task].code] for task in compared]
            oracles = [candidate.oracle for candidate in candidates if candidate.oracle is not None]
            with Sandbox(**self.sandbox) as sandbox:
                passes = passes_tests(_programs(tested), [pairs[t] for t in tested], sandbox)
                behaves = behaves_like(_programs(compared), oracles, sandbox)
            found = dict(zip([*tested, *compared], [*passes, *behaves], strict=True))
            return [asdict(found[task]) for task in order]

        records = cached(self.folder, "verdicts", key, build)
        results = (ExecutionResult(**record) for record in records)
        return dict(zip(order, results, strict=True))


def _programs(tasks: Sequence[tuple[str, str]]) -> list[str]:
    return [program for _, program in tasks]


def counts_of(ran: Sequence[ExecutionResult | None]) -> dict[str, list[Counts]]:
    """Return the metrics of execution, as counts per pair: how many, of how many, `[N, 2]`.

    `passes_tests` is over the pairs with tests, `behaves` over functions with an oracle,
    `script_runs` and `script_output` (it prints the same) over scripts with an oracle.
    """

    def table(against: str, right: str) -> list[Counts]:
        return [
            [float(getattr(result, right)), 1.0]
            if result and result.against == against
            else [0.0, 0.0]
            for result in ran
        ]

    tables = {
        "passes_tests": table(TESTS, "right"),
        "behaves": table(FUNCTION, "right"),
        "script_runs": table(SCRIPT, "runs"),
        "script_output": table(SCRIPT, "right"),
    }
    return {name: rows for name, rows in tables.items() if any(row[1] for row in rows)}


def counts_at_k(
    ran: Sequence[Sequence[ExecutionResult | None]], ks: Sequence[int]
) -> dict[str, list[Counts]]:
    """Return pass@k and behaves@k as counts per pair, each k up to the number of samples.

    `ran` has the results of the samples of each pair.
    """
    tables: dict[str, list[Counts]] = {}
    for name, against in (("pass", TESTS), ("behaves", FUNCTION)):
        right = [
            [result.right for result in samples if result and result.against == against]
            for samples in ran
        ]
        for k in ks:
            if any(len(passed) >= k for passed in right):
                tables[f"{name}@{k}"] = [
                    [pass_at_k(len(passed), sum(passed), k), 1.0]
                    if len(passed) >= k
                    else [0.0, 0.0]
                    for passed in right
                ]
    return tables


def failures(
    scores: Scores, ran: Sequence[ExecutionResult | None], is_scored: Sequence[bool]
) -> dict[str, int]:
    """Count the reasons why programs are wrong, the most frequent first."""
    reasons: Counter[str] = Counter()
    for row, result, counts in zip(scores.rows, ran, is_scored, strict=True):
        if not counts or (result is not None and result.right):
            continue
        if not row.answers["compiles"]:
            nothing = "nothing was written" in row.verdict
            reasons["nothing was written" if nothing else "does not compile"] += 1
        elif result is not None:
            reasons[result.problem] += 1
        elif row.verdict == "compiles":
            reasons["another program, and no way to test it"] += 1
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
