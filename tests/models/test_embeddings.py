"""Word vectors: reproducible by seed, assigned by token, invalid files rejected."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch

from en2py.data.tokenizers import PythonTokenizer
from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.models.embeddings import Vectors, code, joint, none, separate

SETTINGS = {"dim": 8, "window": 5, "epochs": 3, "skip_gram": True}


@pytest.fixture
def sentences(pairs):
    tokenizer = PythonTokenizer()
    return [(pair.description.split(), tokenizer.tokenize(pair.code)) for pair in pairs]


def of(vocab: Vocab, rows: torch.Tensor, token: str) -> torch.Tensor:
    return rows[vocab.encode([token])[0]]


def test_none_has_no_vectors(sentences, src_vocab, tgt_vocab):
    assert none(sentences, src_vocab, tgt_vocab, seed=1, dim=8) == Vectors()


@pytest.mark.parametrize("make", [separate, joint])
def test_both_sides_have_a_row_per_token(make, sentences, src_vocab, tgt_vocab):
    vectors = make(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert vectors.src.shape == (len(src_vocab), 8)
    assert vectors.tgt.shape == (len(tgt_vocab), 8)
    assert vectors.coverage == {"src": 1.0, "tgt": 1.0}


def test_special_tokens_have_no_vector(sentences, src_vocab, tgt_vocab):
    vectors = joint(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert not vectors.tgt_found[: len(SPECIAL_TOKENS)].any()


def test_joint_vectors_of_a_shared_token_are_equal(sentences, src_vocab, tgt_vocab):
    vectors = joint(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    for token in ("a", "1"):
        assert torch.equal(of(src_vocab, vectors.src, token), of(tgt_vocab, vectors.tgt, token))


def test_separate_vectors_of_a_shared_token_differ(sentences, src_vocab, tgt_vocab):
    vectors = separate(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert not torch.equal(of(src_vocab, vectors.src, "a"), of(tgt_vocab, vectors.tgt, "a"))


def test_code_has_no_english_vectors(sentences, src_vocab, tgt_vocab):
    vectors = code(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert vectors.src is None
    assert vectors.coverage == {"tgt": 1.0}


def test_joint_sentence_is_the_description_and_then_the_code(sentences, src_vocab, tgt_vocab):
    from gensim.models import Word2Vec

    both = [[*src, *tgt] for src, tgt in sentences]
    model = Word2Vec(both, vector_size=8, window=5, epochs=3, sg=1, min_count=1, workers=1, seed=1)
    vectors = joint(sentences, src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert of(src_vocab, vectors.src, "numbers").tolist() == model.wv["numbers"].tolist()
    assert of(tgt_vocab, vectors.tgt, "return").tolist() == model.wv["return"].tolist()


@pytest.mark.parametrize("make", [separate, joint, code])
def test_same_seed_same_vectors(make, sentences, src_vocab, tgt_vocab):
    runs = [make(sentences, src_vocab, tgt_vocab, seed=3, **SETTINGS) for _ in range(2)]
    assert torch.equal(runs[0].tgt, runs[1].tgt)


def test_other_seed_other_vectors(sentences, src_vocab, tgt_vocab):
    runs = [code(sentences, src_vocab, tgt_vocab, seed=s, **SETTINGS) for s in (1, 2)]
    assert not torch.equal(runs[0].tgt, runs[1].tgt)


SAME_BYTES = """
import hashlib
from en2py.data.vocab import Vocab
from en2py.models.embeddings import joint
pairs = [([f"w{i * j % 17}" for j in range(9)], [f"c{i + j}" for j in range(9)]) for i in range(40)]
vocabs = [Vocab.build([pair[side] for pair in pairs], min_freq=1) for side in (0, 1)]
vectors = joint(pairs, *vocabs, seed=1, dim=8, window=5, epochs=3, skip_gram=True)
print(hashlib.sha256(vectors.src.numpy().tobytes() + vectors.tgt.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_vectors_do_not_depend_on_the_hash_seed(capsys):
    """The seed of this process is random, unless the environment sets another than 1."""
    exec(SAME_BYTES, {})
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.check_output([sys.executable, "-c", SAME_BYTES], env=environment)
    assert len(other) == 2 * hashlib.sha256().digest_size + 1
    assert other.decode() == capsys.readouterr().out


def test_a_token_without_a_vector_has_a_random_row_of_the_same_scale(sentences, src_vocab):
    vocab = Vocab.build([["return", "a", "never_seen", "nor_this"]], min_freq=1)
    vectors = code(sentences, src_vocab, vocab, seed=1, **SETTINGS)
    assert vectors.coverage == {"tgt": 0.5}
    missing = vectors.tgt[~vectors.tgt_found]
    scale = vectors.tgt[vectors.tgt_found].std(correction=0)
    assert 0.5 * scale < missing.std() < 2 * scale
    assert len(missing.unique(dim=0)) == len(missing)


def test_rows_are_random_without_sentences(src_vocab, tgt_vocab):
    vectors = joint([], src_vocab, tgt_vocab, seed=1, **SETTINGS)
    assert vectors.coverage == {"src": 0.0, "tgt": 0.0}
    assert torch.isfinite(vectors.src).all()
