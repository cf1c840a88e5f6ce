"""Denoising: spans, marks, variants of each epoch."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from en2py.data.batch import Example
from en2py.data.denoising import SHORTEST, DenoisedBatches, WithDenoised, denoised, noise_size
from en2py.data.tokenizers import EnglishPieces, PythonPieces
from en2py.data.tokenizers.pieces import LEAST, fit_both, unused_pieces
from en2py.data.vocab import Vocab

MARKS = range(1000, 1026)
VOCAB = Vocab.build([], min_freq=1)
EXAMPLES = [Example(i, [5, 6], range(10, 14 + 9 * i), 50) for i in range(30)]


def restored(src: list[int], tgt: list[int]) -> list[int]:
    """Return a program from its kept tokens and its spans."""
    spans: dict[int, list[int]] = {}
    for token in tgt:
        if token in MARKS:
            last = spans[token] = []
        else:
            last.append(token)
    return [t for token in src for t in (spans[token] if token in MARKS else [token])]


@given(st.integers(SHORTEST, 700), st.integers(0, 99))
def test_spans_in_place_of_their_marks_are_the_program(length: int, seed: int) -> None:
    src, tgt = denoised(range(length), MARKS, random.Random(seed))
    assert restored(src, tgt) == list(range(length))
    n_noise, n_spans = noise_size(length, len(MARKS))
    assert len(tgt) == n_noise + n_spans and n_noise == round(0.15 * length)


def dataset(weight: float = 1.5, max_src_len: int = 100) -> WithDenoised:
    return WithDenoised(EXAMPLES, weight, MARKS, VOCAB, seed=1, max_src_len=max_src_len)


def batches(data: WithDenoised, epoch: int) -> list[list[int]]:
    sampler = DenoisedBatches(len(data.extra), data.lengths(), 256, 1)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_has_each_pair_and_the_weighted_number_of_variants() -> None:
    data = dataset()
    positions = sorted(i for batch in batches(data, 3) for i in batch)
    assert positions[:30] == list(range(30)) and len(data.extra) == 45
    assert positions[30:] == list(range(30 + 3 * 45, 30 + 4 * 45))


def test_lengths_of_variants_are_those_of_each_epoch_and_fit_the_model() -> None:
    data = dataset()
    assert max(src for src, _ in data.lengths()) == 100
    for epoch in (0, 4):
        for i, (src, _) in enumerate(data.lengths()[30:]):
            batch = data[[30 + epoch * 45 + i]]
            assert batch.src.shape == (1, src)


def test_variants_are_a_function_of_seed_and_position() -> None:
    first, again, other_epoch = (dataset()[[k]] for k in (60, 60, 60 + 45))
    assert torch.equal(first.src, again.src) and torch.equal(first.tgt, again.tgt)
    assert not torch.equal(first.src, other_epoch.src)
    assert first.indices == other_epoch.indices


def test_pairs_keep_their_description() -> None:
    assert dataset()[[2]].src.tolist() == [[5, 6, VOCAB.eos_id]]


@pytest.fixture(scope="module")
def pieces() -> PythonPieces:
    src, tgt = EnglishPieces(True, LEAST, None), PythonPieces(LEAST, None)
    fit_both(src, tgt, ["add two numbers"], ["def add(a, b):\n    return a + b"])
    return tgt


def test_marks_are_in_a_vocabulary_of_pieces(pieces: PythonPieces) -> None:
    assert len(set(unused_pieces())) == 26
    assert set(unused_pieces()) <= set(pieces.vocabulary())


@given(st.text(max_size=30))
def test_no_text_contains_a_mark(pieces: PythonPieces, text: str) -> None:
    assert not set(unused_pieces()) & set(pieces.tokenize(text))
