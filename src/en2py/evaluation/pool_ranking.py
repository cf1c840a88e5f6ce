"""Rank the programs of pools: those that a model wrote, and those of near training descriptions.

A pool is of one description. Its programs are ranked by the expected BLEU under a distribution over
them, plus the share of it that behaves alike, as in the baseline `votes` (minimum Bayes risk; Kumar
and Byrne, 2004). The distribution is a mixture of two: of the model over the written programs, and
of the baseline `ranker` over the retrieved ones. The weights are chosen on validation pairs;
nothing else here reads the program of a pair that is not a training pair.

Shape letters: Q queries, K candidates, C distinct programs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from en2py.data.cache import cached
from en2py.data.files import file_digest
from en2py.data.pairs import Pair
from en2py.data.tree_text import ast_text
from en2py.evaluation.baselines.candidates import (
    Floats,
    Places,
    expected,
    find_candidates,
    find_training_candidates,
    softmax,
)
from en2py.evaluation.baselines.program_bleu import bleu_against, bleu_among, program_ngrams
from en2py.evaluation.baselines.ranker import FEATURES, fit
from en2py.evaluation.baselines.votes import Agreement
from en2py.evaluation.behaviour.cached import execution_key
from en2py.evaluation.metrics.program_metrics import Program
from en2py.evaluation.scores import TrainingData

KEPT = 10  # ranked programs that are returned per description
# Of `PoolWeights`, in the order of its attributes.
_GRID = ((0.1, 0.2, 0.3, 0.5), (0.0, 1.0, 3.0), (1.0, 1.5, 3.0), (0.1, 0.3, 1.0))
_HERE = Path(__file__).parent

# Descriptions and programs to (negative log-likelihood in nats, tokens) of each.
Likelihoods = Callable[[Sequence[str], Sequence[str]], list[tuple[float, int]]]


@dataclass(frozen=True)
class PoolWeights:
    """What ranks a pool.

    Attributes:
        written: Share of the written programs in the mixture.
        likelihood: Exponent of the model's probability per token; 0: all written ones are equal.
        temperature: Divides the logits of `ranker`.
        vote_weight: Of the share of equal behaviour, beside the expected BLEU.
    """

    written: float
    likelihood: float
    temperature: float
    vote_weight: float


@dataclass(frozen=True)
class _Pools:
    """The pools of queries, of up to K programs.

    Attributes:
        codes: The distinct programs of all pools, [C].
        places: The programs of each pool, as places among them, [Q, K].
        are_valid: False where a pool has fewer programs, [Q, K].
        are_written: Whether the model wrote the program, [Q, K].
        scores: The log-likelihood per token of a written program, the logit of `ranker` of a
            retrieved one, [Q, K].
        bleu: Of each program against each, as in `Candidates`, [Q, K, K].
    """

    codes: list[str]
    places: Places
    are_valid: NDArray[np.bool_]
    are_written: NDArray[np.bool_]
    scores: Floats
    bleu: Floats


@dataclass
class PoolRanker:
    """Ranks pools of one model.

    Attributes:
        training: The training data, of which programs are retrieved.
        source: The data source that descriptions are from; of a mixture only its programs are
            retrieved, the model knows the others.
        n_retrieved: Retrieved programs per description.
        likelihoods: Scores programs by the model.
        sandbox: Settings of the sandbox, in which candidates are called on common inputs.
        folder: The cache.
    """

    training: TrainingData
    source: str
    n_retrieved: int
    likelihoods: Likelihoods
    sandbox: Mapping[str, Any]
    folder: Path
    _scored: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict, init=False)

    @property
    def key(self) -> dict[str, Any]:
        """Return what the ranking depends on besides model, programs and weights."""
        return {
            "training": self.training.digest,
            "source": self.source,
            "n_retrieved": self.n_retrieved,
            **execution_key(self.sandbox),
            "code": [
                file_digest(_HERE / name) for name in ("baselines", "metrics", "pool_ranking.py")
            ],
        }

    def rank(
        self, descriptions: Sequence[str], written: Sequence[Sequence[str]], weights: PoolWeights
    ) -> list[list[str]]:
        """Return the best programs per description, best first; none where the model wrote none."""
        found: list[list[str]] = [[] for _ in descriptions]
        readable = [place for place, programs in enumerate(written) if programs]
        if readable:
            pools = self._pools([descriptions[i] for i in readable], [written[i] for i in readable])
            values = _values(pools, self._agreement(pools), weights)
            order = np.argsort(-values, axis=1, kind="stable")[:, :KEPT]
            ranked = np.take_along_axis(pools.places, order, axis=1)
            are_valid = np.take_along_axis(pools.are_valid, order, axis=1)
            for place, places, valid in zip(readable, ranked, are_valid, strict=True):
                found[place] = [pools.codes[i] for i in places[valid]]
        return found

    def fit(
        self, validation: Sequence[Pair], written: Sequence[Sequence[str]]
    ) -> tuple[PoolWeights, dict[str, float]]:
        """Choose the weights on validation pairs, given the programs of the model for each.

        They are those of a small grid with the highest sum of two means over the chosen programs:
        BLEU against the reference, and agreement in behaviour with it.

        Returns:
            The weights; and the means: `bleu`, 0 to 1, and `agrees`, over the references that can
            be called.
        """
        pools = self._pools([pair.description for pair in validation], written)
        references = [pair.code for pair in validation]
        known, wanted = program_ngrams(pools.codes, references)
        bleu = bleu_against(known, pools.places, wanted)
        agreement = self._agreement(pools, references)
        own_places = len(pools.codes) + np.arange(len(references))
        agrees = agreement.between(own_places[:, None], pools.places) & pools.are_valid
        is_callable = agreement.between(own_places, own_places)

        def means(weights: PoolWeights) -> dict[str, float]:
            best = _values(pools, agreement, weights).argmax(axis=1)[:, None]
            chosen, same = (
                np.take_along_axis(values, best, axis=1)[:, 0] for values in (bleu, agrees)
            )
            share = same[is_callable].mean() if is_callable.any() else 0.0
            return {"bleu": float(chosen.mean()), "agrees": float(share)}

        grid = [PoolWeights(*point) for point in product(*_GRID)]
        tried = [(weights, means(weights)) for weights in grid]
        return max(tried, key=lambda trial: sum(trial[1].values()))

    def _pools(self, descriptions: Sequence[str], written: Sequence[Sequence[str]]) -> _Pools:
        """Return the pools; of equal syntax trees the first is kept, retrieved ones come first.

        Programs that do not compile are in a pool only if none does.
        """
        queries = [Pair("", text, "", self.source) for text in descriptions]
        retrieved = self._retrieved(queries)
        entries: list[list[tuple[str, bool, float]]] = []  # program, is it written, its logit
        for near, programs in zip(retrieved, written, strict=True):
            pool = [(code, False, logit) for code, logit in near]
            pool += [(code, True, 0.0) for code in programs]
            distinct: dict[str, tuple[str, bool, float]] = {}
            valid = [entry for entry in pool if Program(entry[0]).error is None]
            for entry in valid or pool:
                distinct.setdefault(ast_text(entry[0]) or entry[0], entry)
            entries.append(list(distinct.values()))
        scored = [
            (text, code)
            for text, pool in zip(descriptions, entries, strict=True)
            for code, is_written, _ in pool
            if is_written
        ]
        if new := [item for item in dict.fromkeys(scored) if item not in self._scored]:
            self._scored.update(zip(new, self.likelihoods(*zip(*new, strict=True)), strict=True))
        numbers: dict[str, int] = {}
        shape = (len(entries), max(map(len, entries)))
        places, scores = np.zeros(shape, dtype=np.intp), np.zeros(shape)
        are_valid, are_written = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for q, pool in enumerate(entries):
            for k, (code, is_written, score) in enumerate(pool):
                if is_written:
                    nll, n_tokens = self._scored[descriptions[q], code]
                    score = -nll / n_tokens
                places[q, k] = numbers.setdefault(code, len(numbers))
                are_valid[q, k], are_written[q, k], scores[q, k] = True, is_written, score
        codes = list(numbers)
        ngrams, _ = program_ngrams(codes, [])
        return _Pools(codes, places, are_valid, are_written, scores, bleu_among(ngrams, places))

    def _retrieved(self, queries: Sequence[Pair]) -> list[list[tuple[str, float]]]:
        """Return the nearest training programs of each query with their logits of `ranker`."""
        if not self.n_retrieved:
            return [[] for _ in queries]
        same_source = [pair for pair in self.training.pairs if pair.source == self.source]
        train = same_source or self.training.pairs

        def learn() -> list[float]:
            known = find_training_candidates(train, FEATURES, self.n_retrieved)
            coefficients: list[float] = fit(known.candidates, [(known.bleu, 1.0)]).tolist()
            return coefficients

        coefficients = cached(self.folder, "ranker", self.key, learn)
        found = find_candidates(train, queries, FEATURES, self.n_retrieved)
        logits = found.features @ np.asarray(coefficients)
        return [
            [(train[place].code, logit) for place, logit in zip(places, row, strict=True)]
            for places, row in zip(found.places.tolist(), logits.tolist(), strict=True)
        ]

    def _agreement(self, pools: _Pools, references: Sequence[str] = ()) -> Agreement:
        """Return which candidates of one pool, and its reference if given, behave alike."""
        rows = zip(pools.places, pools.are_valid, strict=True)
        compared = [places[valid].tolist() for places, valid in rows]
        codes = [*pools.codes, *references]
        for q, _ in enumerate(references):
            compared[q].append(len(pools.codes) + q)
        used = sorted({place for places in compared for place in places})
        return Agreement.of(codes, used, self.sandbox, self.folder, compared)


def _values(pools: _Pools, agreement: Agreement, weights: PoolWeights) -> Floats:
    """Return the value of each candidate, [Q, K]; -inf where there is none."""
    kinds = [
        (weights.written, pools.are_written, pools.scores * weights.likelihood),
        (1 - weights.written, ~pools.are_written, pools.scores / weights.temperature),
    ]
    each = [
        share * softmax(np.where(is_kind & pools.are_valid, logits, -np.inf))
        for share, is_kind, logits in kinds
    ]
    mixed = each[0] + each[1]
    shares = mixed / mixed.sum(axis=1, keepdims=True)  # a pool may have one kind alone
    same: NDArray[np.bool_] = agreement.between(pools.places[:, :, None], pools.places[:, None])
    values = expected(pools.bleu, shares) + weights.vote_weight * expected(same, shares)
    return np.where(pools.are_valid, values, -np.inf)
