"""The written programs of a pool."""

import pytest
import torch

from en2py.data.tokenizers import PythonTokenizer
from en2py.data.vocab import Vocab
from en2py.decoding.hypothesis import Hypothesis, hypotheses_per_source
from en2py.decoding.votes import Votes
from en2py.models.incremental import IncrementalDecoder
from tiny_transformer import N_TGT, padded_ids, transformer

PYTHON = PythonTokenizer()
TEXTS = ["x = 1", "print(x)", "print(x", "return x"]
VOCAB = Vocab.build([PYTHON.tokenize(" ".join(["x = 1", "print(x)"])), ["return"]], 1)
SETTINGS = {
    "max_len": 9,
    "n_retrieved": 2,
    "beam_size": 2,
    "length_penalty": 0.0,
    "n_samples": 3,
    "temperature": 1.0,
    "top_k": None,
    "top_p": None,
    "seed": 1,
}


def hypothesis(text: str, score: float, finished: bool = True) -> Hypothesis:
    return Hypothesis(VOCAB.encode(PYTHON.tokenize(text)), score, finished)


def found(monkeypatch, beams, draws, **changes):
    for name, own in (("beam", beams), ("sample", draws)):
        monkeypatch.setattr(f"en2py.decoding.votes.{name}", lambda *_, own=own, **__: [own])
    [ranked] = Votes(**{**SETTINGS, **changes}, tokenizer=PYTHON)(None, None, VOCAB)
    return ranked


def test_beams_and_draws_that_compile_are_ranked_by_likelihood_per_token(monkeypatch):
    beams = [hypothesis("print(x", -0.1), hypothesis("x = 1", -8.0)]
    draws = [hypothesis("print(x)", -9.0), hypothesis("return x", -0.1), beams[1]]
    assert found(monkeypatch, beams, draws) == [draws[0], beams[1]]


def test_a_program_that_is_cut_is_none_of_the_pool(monkeypatch):
    cut = hypothesis("print(x)", -0.1, finished=False)
    beams = [cut, hypothesis("x = 1", -8.0)]
    assert found(monkeypatch, beams, []) == beams[1:]


def test_all_are_kept_where_none_compiles(monkeypatch):
    beams = [hypothesis("return x", -8.0), hypothesis("print(x", -1.0)]
    assert found(monkeypatch, beams, []) == beams[::-1]


def test_without_draws_the_pool_has_the_beams_alone(monkeypatch):
    beams = [hypothesis("x = 1", -8.0)]
    draws = [hypothesis("print(x)", -9.0)]
    assert found(monkeypatch, beams, draws, n_samples=0) == beams


@pytest.mark.parametrize("grammar", [False, True])
def test_a_pool_has_distinct_programs_and_follows_the_seed(grammar):
    tokens = dict.fromkeys(token for text in TEXTS for token in PYTHON.tokenize(text))
    vocab = Vocab.build([[*tokens, *(f"name{i}" for i in range(N_TGT - 4 - len(tokens)))]], 1)
    decoder, src = IncrementalDecoder(transformer()), padded_ids(20, [6, 4, 9])
    votes = Votes(**SETTINGS, grammar=grammar, tokenizer=PYTHON)
    pools = votes(decoder, src, vocab)
    for pool in pools:
        assert 0 < len(pool) == len({tuple(own.ids) for own in pool}) <= 5
    assert pools == votes(decoder, src, vocab)
    alone = [votes(decoder, row[row != 0][None], vocab)[0] for row in src]
    assert [[own.ids for own in pool] for pool in alone] == [[o.ids for o in p] for p in pools]
    assert votes(decoder, torch.flip(src, [0]), vocab)[0][0].ids == pools[-1][0].ids


def test_votes_need_the_tokenizer():
    with pytest.raises(ValueError, match="they need their tokenizer"):
        Votes(**SETTINGS)


def test_hypotheses_per_source_are_those_of_the_larger_search():
    assert hypotheses_per_source(Votes(**SETTINGS, tokenizer=PYTHON)) == 3
