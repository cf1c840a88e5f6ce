"""Baselines: programs of the training split, chosen without a neural network.

Each is called as `f(train, test, **settings)` and returns one program per test pair, which the same
code scores as the programs of a model. Only `nearest_by_bleu` and `second_human` read the
programs of test pairs.
"""

# Baselines that a model has to beat. The learned ones take longer and run only if they are chosen.
LEARNED = ("consensus", "ranker", "votes")
RIVALS = ("retrieval", "bm25", *LEARNED)
FINDERS = (*RIVALS, "nearest_by_bleu")  # for a training pair, they find the pair itself
SECOND_HUMAN = "second_human"

# What a report states about baselines, with their settings.
ABOUT = {
    "retrieval": "the program of the nearest training description by TF-IDF",
    "bm25": "the program of the nearest training description by Okapi BM25",
    "consensus": "of the {neighbours} nearest training programs the one with the highest expected "
    "BLEU",
    "ranker": "as consensus, by a distribution learned from eight similarities and the data source",
    "votes": "as ranker, and candidates with equal behaviour support each other",
    "constant": "one training program for all descriptions",
    "nearest_by_bleu": "sees the reference and takes the training program with the highest BLEU "
    "against it: close to the highest BLEU of copying, but no bound of any other metric",
    SECOND_HUMAN: "another author's program for the same task",
}
