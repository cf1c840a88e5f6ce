"""Compare retrieval, consensus, ranker and votes with the training programs as queries.

    python experiments/training_queries.py data=english_python data.path=FILE split=group

A test split of a few hundred pairs cannot resolve small differences; the training split is several
times as large. Each training description is a query, without its near-duplicates as candidates; the
coefficients of `ranker` and `votes` are fitted on one half of the groups and applied to the other.
A program agrees if it gives the same answers as the query's own on common inputs, for functions
with one to three parameters. Intervals: 1,000 resamples of groups of near-duplicates.
"""

import argparse
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf, open_dict

from en2py.config.composition import compose_config
from en2py.config.overrides import quoted
from en2py.data.duplicates import fingerprint, group_near_duplicates
from en2py.evaluation.baselines.candidates import (
    Candidates,
    Floats,
    TrainingQueries,
    expected,
    find_training_candidates,
)
from en2py.evaluation.baselines.ranker import FEATURES, fit
from en2py.evaluation.baselines.votes import AGREEMENT, Agreement
from en2py.evaluation.metrics.bleu import bleu_counts, bleu_value
from en2py.evaluation.scores import TrainingData
from en2py.training import run_data

N_RESAMPLES = 1_000


def values(
    queries: TrainingQueries, agreement: Agreement, are_second: np.ndarray, settings: dict
) -> dict[str, Floats]:
    """Return the value of each candidate for each baseline, [Q, K]."""
    own, n = queries.candidates, len(FEATURES)
    agrees = agreement.between(queries.places[:, None], own.places) & own.are_valid
    same = agreement.between(own.places[:, :, None], own.places[:, None, :])
    near = np.array([0.5, 0.5] + [0.0] * (n - 2))
    found = {
        "retrieval": own.weights(near),
        "consensus": expected(own.bleu, own.weights(near, settings["consensus"]["temperature"])),
        "ranker": np.zeros(own.places.shape),
        "votes": np.zeros(own.places.shape),
    }
    for fitted, applied in ((~are_second, are_second), (are_second, ~are_second)):
        for name, weight in (("ranker", 0.0), ("votes", AGREEMENT)):
            goals = [(queries.bleu[fitted], 1.0), (agrees[fitted].astype(float), weight)]
            coefficients, half = fit(rows(own, fitted), goals), rows(own, applied)
            weights = half.weights(coefficients, settings[name]["temperature"])
            found[name][applied] = expected(half.bleu, weights)
            if name == "votes":
                vote_weight = settings["votes"]["vote_weight"]
                found[name][applied] += vote_weight * expected(same[applied], weights)
    return found


def rows(own: Candidates, are: np.ndarray) -> Candidates:
    return Candidates(own.places[are], own.features[are], own.are_valid[are], own.bleu[are])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as for evaluate.py: data=..., split=...")
    words = [quoted(word) for word in parser.parse_args().overrides]
    cfg = compose_config("evaluate_data", words).copy()
    with open_dict(cfg):
        del cfg["hydra"]
    config = OmegaConf.to_container(cfg, resolve=True)
    train = TrainingData.of(run_data.prepare_data(config), None).pairs
    codes = [pair.code for pair in train]
    queries = find_training_candidates(train, FEATURES, config["baselines"]["votes"]["neighbours"])
    everything = range(len(codes))
    agreement = Agreement.of(codes, everything, config["sandbox"], Path(config["cache"]))

    labels = np.array(group_near_duplicates([fingerprint(pair) for pair in train]))[queries.places]
    groups, members = np.unique(labels, return_inverse=True)
    chance = np.random.default_rng(1)
    are_second = (chance.permutation(len(groups)) % 2 == 1)[members]

    counts, hits = {}, {}
    references = [[codes[place]] for place in queries.places]
    is_called = agreement.between(queries.places, queries.places)
    for name, own in values(queries, agreement, are_second, config["baselines"]).items():
        best = own.argmax(axis=1)
        chosen = queries.candidates.places[np.arange(len(best)), best]
        counts[name] = np.array(
            [bleu_counts(codes[p], own) for p, own in zip(chosen, references, strict=True)]
        )
        hits[name] = agreement.between(queries.places, chosen) & (chosen != queries.places)
        bleu = bleu_value(counts[name].sum(axis=0))
        print(f"{name}: BLEU {bleu:.1f}, {hits[name].sum()} of {is_called.sum()} agree")

    places = [np.flatnonzero(members == i) for i in range(len(groups))]
    drawn = [
        np.concatenate([places[i] for i in chance.integers(0, len(groups), len(groups))])
        for _ in range(N_RESAMPLES)
    ]
    for name in ("consensus", "ranker", "votes"):
        bleu, agree = [], []
        for some in drawn:
            own, reference = (bleu_value(counts[n][some].sum(axis=0)) for n in (name, "retrieval"))
            difference = hits[name][some].sum() - hits["retrieval"][some].sum()
            bleu.append(own - reference)
            agree.append(100 * difference / is_called[some].sum())
        low, high = np.percentile(bleu, [2.5, 97.5])
        least, most = np.percentile(agree, [2.5, 97.5])
        text = f"BLEU {low:+.1f} to {high:+.1f}, agree {least:+.1f} to {most:+.1f} points"
        print(f"{name} minus retrieval: {text}")


if __name__ == "__main__":
    main()
