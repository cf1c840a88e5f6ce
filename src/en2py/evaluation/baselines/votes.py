"""Votes by behaviour: candidates that do the same support each other.

Shape letters: Q queries, K candidates, n executed programs.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from en2py.console import counted
from en2py.data.cache import cached
from en2py.data.files import file_digest
from en2py.data.pairs import Pair
from en2py.data.syntax import parse
from en2py.evaluation.baselines.candidates import (
    Places,
    expected,
    find_candidates,
    find_training_candidates,
)
from en2py.evaluation.baselines.ranker import FEATURES, fit
from en2py.evaluation.behaviour.cached import execution_key
from en2py.evaluation.behaviour.equivalence import agree, answers_to, common_inputs
from en2py.evaluation.behaviour.oracle import definitions
from en2py.evaluation.execution.entry_point import entry_function
from en2py.sandbox import Job, Sandbox

log = logging.getLogger(__name__)

MAX_PARAMETERS = 3
_CALL_S, _PROGRAM_S = 0.1, 2.0  # CPU seconds
AGREEMENT = 0.3  # weight of agreement beside BLEU when the coefficients are learned


def votes(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    sandbox: Mapping[str, Any],
    cache: str,
    neighbours: PositiveInt = 50,
    temperature: PositiveFloat = 1.5,
    vote_weight: NonNegativeFloat = 0.3,
    max_programs: PositiveInt = 3_000,
) -> list[str]:
    """Return the program with the highest expected BLEU plus share of equal behaviour.

    As `ranker`, but training programs with one to three parameters are called on common inputs in
    the sandbox, and each candidate also gets the probability of all candidates that give the same
    answers. When the coefficients are learned, agreement with the training query's own program is
    a second goal.

    Args:
        train: Training pairs.
        test: Pairs with the queries; their programs are never executed here.
        sandbox: Settings of the sandbox.
        cache: Folder in which the agreement of programs is stored.
        neighbours: Number of candidates.
        temperature: As in `ranker`.
        vote_weight: Weight of the votes beside the expected BLEU, 0 to 1 both.
        max_programs: Largest number of executed programs, those that are candidates most often.
            Each has at most two seconds of processor time, ordinary ones need a few hundredths.

    Raises:
        UserError: If the sandbox is not available here.
    """
    sources = {pair.source for pair in test}
    queries = find_training_candidates(train, FEATURES, neighbours, sources)
    found = find_candidates(train, test, FEATURES, neighbours, sources)
    known = queries.candidates
    counts = Counter(np.concatenate([known.places, found.places]).ravel().tolist())
    used = sorted(place for place, _ in counts.most_common(max_programs))
    agreement = Agreement.of([pair.code for pair in train], used, sandbox, Path(cache))

    agrees = agreement.between(queries.places[:, None], known.places) & known.are_valid
    coefficients = fit(known, [(queries.bleu, 1.0), (agrees.astype(float), AGREEMENT)])
    weights = found.weights(coefficients, temperature)
    same = agreement.between(found.places[:, :, None], found.places[:, None, :])
    values = expected(found.bleu, weights) + vote_weight * expected(same, weights)
    return found.best_codes(train, values)


@dataclass(frozen=True)
class Agreement:
    """Which training programs behave alike.

    Attributes:
        numbers: Number of each training program among the callable ones; the last number, whose
            row and column are False, represents all others.
        agrees: Whether two callable programs give the same answers, [n + 1, n + 1].
    """

    numbers: Places
    agrees: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        codes: Sequence[str],
        used: Sequence[int],
        sandbox: Mapping[str, Any],
        folder: Path,
        pools: Sequence[Sequence[int]] | None = None,
    ) -> "Agreement":
        """Call programs on common inputs, or load the result from the cache.

        Only those at the `used` places are executed; of pools, only programs in one are compared.
        """
        key = {
            "codes": [[place, codes[place]] for place in used],
            "pools": pools,
            **execution_key(sandbox),
            "rules": file_digest(Path(__file__)),
        }

        def build() -> dict[str, Any]:
            jobs = {place: job for place in used if (job := _job(codes[place])) is not None}
            if pools is None:
                log.info(f"calling {counted(len(jobs), 'training program')}, once for this data")
            with Sandbox(**sandbox) as opened:
                found = answers_to([job for _, job in jobs.values()], opened)
            answers = dict(zip(jobs, found, strict=True))
            compared = {
                pair
                for places in ([[*jobs]] if pools is None else pools)
                for pair in itertools.combinations(sorted({*places} & jobs.keys()), 2)
                if jobs[pair[0]][0] == jobs[pair[1]][0]
            }
            links = [
                [one, other]
                for one, other in sorted(compared)
                if agree(answers[one], answers[other], share=0.5)
            ]
            return {"callable": list(jobs), "links": links}

        record = cached(folder, "agreement", key, build)
        numbers = np.full(len(codes), len(record["callable"]))
        numbers[record["callable"]] = np.arange(len(record["callable"]))
        agrees = np.zeros((len(record["callable"]) + 1,) * 2, dtype=bool)
        np.fill_diagonal(agrees[:-1, :-1], True)
        for one, other in record["links"]:
            agrees[numbers[one], numbers[other]] = agrees[numbers[other], numbers[one]] = True
        return cls(numbers, agrees)

    def between(self, ones: Places, others: Places) -> NDArray[np.bool_]:
        """Return whether programs agree, for places that broadcast."""
        return np.asarray(self.agrees[self.numbers[ones], self.numbers[others]])


def _job(code: str) -> tuple[int, Job] | None:
    """Return the number of parameters and the calls; None where the program cannot be called."""
    tree = parse(code)
    entry = entry_function(tree) if tree is not None else None
    if tree is None or entry is None:
        return None
    n = entry.n_arguments
    if not 1 <= n <= MAX_PARAMETERS or not entry.takes(n):
        return None
    calls = tuple(f"{entry.name}({arguments})" for arguments in common_inputs(n))
    return n, Job(definitions(tree), calls, "", _PROGRAM_S, _CALL_S)
