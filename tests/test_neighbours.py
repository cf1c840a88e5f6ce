"""Nearest neighbours of word vectors."""

import pytest
import torch
from experiments.neighbours import nearest

from en2py.data.vocab import Vocab
from en2py.models.embeddings import Vectors

VOCAB = Vocab.build([["cat", "dog", "car"]], min_freq=1)
ROWS = {"cat": [1.0, 0.0], "dog": [0.9, 0.1], "car": [0.0, 1.0]}


def hand_made(**other) -> Vectors:
    rows = torch.tensor([ROWS.get(token, [0.0, 0.0]) for token in VOCAB.tokens])
    found = torch.tensor([token in ROWS for token in VOCAB.tokens])
    return Vectors(**{"src": rows, "tgt": rows, "src_found": found, "tgt_found": found, **other})


def test_neighbours_are_from_both_sides_nearest_first():
    found = nearest(hand_made(), VOCAB, VOCAB, "cat", "src", 3)
    assert [(side, token) for side, token, _ in found] == [
        ("tgt", "cat"),
        ("src", "dog"),
        ("tgt", "dog"),
    ]


def test_neighbours_of_another_width_are_left_out():
    vectors = hand_made(tgt=torch.ones(len(VOCAB), 3))
    assert {side for side, _, _ in nearest(vectors, VOCAB, VOCAB, "cat", "src", 9)} == {"src"}


def test_an_unknown_word_raises():
    with pytest.raises(ValueError, match="'bird' has no vector on the tgt side"):
        nearest(hand_made(), VOCAB, VOCAB, "bird", "tgt", 3)
