"""Print nearest neighbours across both sides, before and after training.

    python experiments/neighbours.py outputs/STUDY/RUN/checkpoints/best.ckpt WORD ... [--path FILE]

For each English word, print its nearest English and Python tokens by cosine similarity, in the
initial vectors of the run and in the learned tables. For all English words that are also Python
tokens, print how often the token with the same spelling is the nearest Python token, and its rank.
Vectors of separate spaces are not comparable: their ranks are random until training aligns the two
sides. In a joint space equal strings share one vector, so before training these ranks are 1.
"""

import argparse
from collections.abc import Mapping
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.models.embeddings import Vectors
from en2py.training import build, run_data
from en2py.training.checkpoints import load_checkpoint

Side = Literal["src", "tgt"]


def nearest(
    vectors: Vectors, src_vocab: Vocab, tgt_vocab: Vocab, word: str, side: Side, k: int
) -> list[tuple[Side, str, float]]:
    """Return the nearest tokens of both sides by cosine similarity.

    Only `joint` vectors of the two sides can be compared.

    Args:
        vectors: Vectors of one or both sides.
        src_vocab: The English tokens.
        tgt_vocab: The Python tokens.
        word: A token of the vocabulary of `side`.
        side: Side of the word.
        k: Number of neighbours.

    Returns:
        (side, token, cosine), the nearest first, without the word itself on its own side.

    Raises:
        ValueError: If the word has no vector.
    """
    sides: list[tuple[Side, Vocab, Tensor | None, Tensor | None]] = [
        ("src", src_vocab, vectors.src, vectors.src_found),
        ("tgt", tgt_vocab, vectors.tgt, vectors.tgt_found),
    ]
    query: Tensor | None = None
    for name, vocab, rows, found in sides:
        if name == side and rows is not None and found is not None and word in vocab:
            row = vocab.encode([word])[0]
            query = rows[row] if found[row] else None
    if query is None:
        raise ValueError(f"{word!r} has no vector on the {side} side")
    neighbours: list[tuple[Side, str, float]] = []
    for name, vocab, rows, found in sides:
        if rows is None or found is None or rows.shape[1] != len(query):
            continue
        cosines = torch.cosine_similarity(rows, query[None], dim=1)  # [V]
        neighbours += [
            (name, vocab.tokens[i], float(cosines[i]))
            for i in found.nonzero().flatten().tolist()
            if (name, vocab.tokens[i]) != (side, word)
        ]
    return sorted(neighbours, key=lambda n: (-n[2], n[0], n[1]))[:k]


def learned(state: Mapping[str, Tensor], src_vocab: Vocab, tgt_vocab: Vocab) -> Vectors:
    """Return the embedding tables of a checkpoint as vectors."""
    src, tgt = (state[f"model.{side}_embedding.table.weight"].float() for side in ("src", "tgt"))
    found = [torch.arange(len(vocab)) >= len(SPECIAL_TOKENS) for vocab in (src_vocab, tgt_vocab)]
    return Vectors(src, tgt, *found)


def show(title: str, vectors: Vectors, src_vocab: Vocab, tgt_vocab: Vocab, words: Any) -> None:
    print(f"\n{title}")
    if vectors.src is None:
        print("  none on the English side")
        return
    for word in words:
        try:
            found = nearest(
                vectors, src_vocab, tgt_vocab, word, "src", len(src_vocab) + len(tgt_vocab)
            )
        except ValueError as error:
            print(f"  {error}")
            continue
        for side, name in (("src", "English"), ("tgt", "Python")):
            near = [f"{token!r} {cosine:.2f}" for s, token, cosine in found if s == side][:6]
            print(f"  {word:<12} {name:<8} {', '.join(near) or 'no vectors of this width'}")
    ranks = ranks_of_twins(vectors, src_vocab, tgt_vocab)
    if ranks:
        first = sum(rank == 1 for rank in ranks) / len(ranks)
        print(
            f"  {len(ranks)} words are tokens of both sides: their twin is the nearest Python token"
            f" of {first:.1%}; median rank {median(ranks):.0f} of {int(vectors.tgt_found.sum())}"
        )


def ranks_of_twins(vectors: Vectors, src_vocab: Vocab, tgt_vocab: Vocab) -> list[int]:
    """Return, for each word of both sides, the rank of the equal Python token."""
    if vectors.src is None or vectors.tgt is None or vectors.src.shape[1] != vectors.tgt.shape[1]:
        return []
    src = torch.nn.functional.normalize(vectors.src, dim=1)
    tgt = torch.nn.functional.normalize(vectors.tgt, dim=1)
    ranks = []
    for i, word in enumerate(src_vocab.tokens):
        if vectors.src_found[i] and word in tgt_vocab and word not in SPECIAL_TOKENS:
            j = tgt_vocab.encode([word])[0]
            if vectors.tgt_found[j]:
                cosines = tgt @ src[i]
                ranks.append(1 + int((cosines > cosines[j])[vectors.tgt_found].sum()))
    return ranks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("words", nargs="*", default=["sum", "list", "string", "reverse"])
    parser.add_argument("--path", help="location of the data, if it has moved")
    parser.add_argument("--cache", help="folder of prepared data, if not the run's own")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    stored = checkpoint["en2py"]
    config = stored["config"]
    if options.cache:
        config["cache"] = options.cache
    if options.path:
        config["data"]["path"] = config["data"]["source"]["path"] = options.path
    prepared = run_data.prepare_data(config)
    print(f"{stored['run']}: embeddings={stored['choices']['embeddings']}")
    if prepared.split_hash != stored["split_hash"]:
        print(
            "note: the data are not those of the training run, so the vectors before it are others"
        )
    start, sides = build.word_vectors(config, prepared), (prepared.src_vocab, prepared.tgt_vocab)
    show("before training", start, *sides, options.words)
    own = Vocab(**stored["src_vocab"]), Vocab(**stored["tgt_vocab"])
    show("after training", learned(checkpoint["state_dict"], *own), *own, options.words)


if __name__ == "__main__":
    main()
