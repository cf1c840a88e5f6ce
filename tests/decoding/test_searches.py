import math
from functools import partial

import pytest
import torch
from torch import Tensor

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.decoding.beam_search import beam
from en2py.decoding.cpu_kernels import logsumexp, topk
from en2py.decoding.greedy import greedy
from en2py.decoding.hypothesis import Hypothesis, hypotheses_per_source
from en2py.decoding.sampling import sample
from en2py.models.incremental import IncrementalDecoder
from en2py.models.transformer import Transformer

VOCAB = Vocab([*SPECIAL_TOKENS, *"abcdefghijkl"], [0] * 16)
UNK, BOS, EOS, A, B = 1, 2, 3, 4, 5
GREEDY = {"max_len": 12, "allow_unk": False}
BEAM = {"max_len": 12, "beam_size": 3, "length_penalty": 0.6, "allow_unk": False}
SAMPLE = {
    "max_len": 12,
    "n_samples": 3,
    "temperature": 1.0,
    "top_k": None,
    "top_p": None,
    "seed": 1,
    "allow_unk": False,
}


@pytest.fixture(params=[0, 1, 2])
def decoder(request) -> IncrementalDecoder:
    """An untrained model with peaked logits: some rows end early and others never."""
    torch.manual_seed(request.param)
    model = Transformer(
        20,
        len(VOCAB),
        VOCAB.pad_id,
        d_model=16,
        d_ff=32,
        n_heads=2,
        n_encoder_layers=1,
        n_decoder_layers=2,
        dropout=0.1,
        max_src_len=8,
        max_tgt_len=12,
        positions="learned",
        norm="pre",
        tie_embeddings="none",
    ).eval()
    model.projection.weight.data.mul_(2)
    model.projection.bias.data[EOS] = 1.5
    return IncrementalDecoder(model)


def sources(n: int = 7) -> Tensor:
    src = torch.randint(4, 20, (n, 6), generator=torch.Generator().manual_seed(5))
    for row in range(n):
        src[row, 2 + row % 5 :] = VOCAB.pad_id
    return src


class Chain:
    """A bigram model: `probs[a][b]` is the probability of b after a."""

    def __init__(self, probs: dict[int, dict[int, float]]) -> None:
        self.logits = torch.full((len(VOCAB), len(VOCAB)), -30.0)
        for before, nexts in probs.items():
            for after, p in nexts.items():
                self.logits[before, after] = math.log(p)
        self.rows: list[int] = []

    def start(self, src: Tensor, width: int = 1, max_len: int | None = None) -> "Chain":
        return self

    def step(self, ids: Tensor, cache: "Chain") -> Tensor:
        self.rows.append(len(ids))
        return self.logits[ids]

    def select(self, rows: Tensor) -> None: ...

    def reorder(self, parents: Tensor) -> None: ...


# ------------------------------------------------------- references: one row, no cache


def log_probs(model: Transformer, src: Tensor, ids: list[int]) -> Tensor:
    hidden = model(src[src != VOCAB.pad_id][None], torch.tensor([[BOS, *ids]]))
    logits = model.projection(hidden[0, -1])
    logits[[VOCAB.pad_id, BOS, UNK]] = -math.inf
    return logits.log_softmax(-1)


@torch.no_grad()
def slow_greedy(model: Transformer, src: Tensor, max_len: int) -> Hypothesis:
    ids: list[int] = []
    score = 0.0
    for _ in range(max_len):
        best = log_probs(model, src, ids).max(-1)
        score += best.values.item()
        if best.indices == EOS:
            return Hypothesis(ids, score, True)
        ids.append(int(best.indices))
    return Hypothesis(ids, score, False)


@torch.no_grad()
def slow_beam(model, src, max_len, beam_size, length_penalty) -> list[Hypothesis]:
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    found: list[Hypothesis] = []
    for t in range(1, max_len + 1):
        nexts = []
        for score, ids in live:
            values = log_probs(model, src, ids).tolist()
            nexts += [(score + p, [*ids, i]) for i, p in enumerate(values) if p > -math.inf]
        nexts = sorted(nexts, key=lambda c: -c[0])[: 2 * beam_size]
        for score, ids in nexts[:beam_size]:
            if ids[-1] == EOS or t == max_len:
                finished = ids[-1] == EOS
                found.append(Hypothesis(ids[:-1] if finished else ids, score, finished))
        if len(found) >= beam_size:
            break
        live = [c for c in nexts if c[1][-1] != EOS][:beam_size]
    found = sorted(found, key=lambda h: (not h.finished, -h.score))[:beam_size]

    def rank(h: Hypothesis) -> tuple[bool, float]:
        return not h.finished, -h.score / ((6 + len(h.ids)) / 6) ** length_penalty

    return sorted(found, key=rank)


def assert_same(ours: list[Hypothesis], theirs: list[Hypothesis]) -> None:
    assert [(h.ids, h.finished) for h in ours] == [(h.ids, h.finished) for h in theirs]
    assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-3)


# ---------------------------------------------------------------------------------------- search


def test_greedy_equals_the_uncached_reference(decoder):
    src = sources()
    for row, [hypothesis] in zip(src, greedy(decoder, src, VOCAB, **GREEDY), strict=True):
        assert_same([hypothesis], [slow_greedy(decoder.model, row, 12)])


@pytest.mark.parametrize("beam_size", [2, 4])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_equals_the_uncached_reference(decoder, beam_size, length_penalty):
    settings = {"max_len": 12, "beam_size": beam_size, "length_penalty": length_penalty}
    src = sources(5)
    found = beam(decoder, src, VOCAB, **settings, allow_unk=False)
    for row, hypotheses in zip(src, found, strict=True):
        assert_same(hypotheses, slow_beam(decoder.model, row, **settings))


def test_models_of_these_tests_finish_some_rows_and_differ_in_length(decoder):
    finished = [row[0].finished for row in greedy(decoder, sources(), VOCAB, **GREEDY)]
    lengths = {len(row[0].ids) for row in greedy(decoder, sources(), VOCAB, **GREEDY)}
    assert any(finished) and len(lengths) > 1


def test_beam_of_one_equals_greedy(decoder):
    src = sources()
    narrow = beam(decoder, src, VOCAB, **{**BEAM, "beam_size": 1})
    for ours, theirs in zip(narrow, greedy(decoder, src, VOCAB, **GREEDY), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_result_of_a_source_does_not_depend_on_its_batch(decoder, search):
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    src = sources()
    together = search(decoder, src, VOCAB, **settings)
    for row, hypotheses in zip(src, together, strict=True):
        assert_same(search(decoder, row[None], VOCAB, **settings)[0], hypotheses)


def test_beam_finds_a_more_probable_program_than_greedy():
    chain = Chain(
        {BOS: {A: 0.6, B: 0.4}, A: {6: 0.5, 7: 0.5}, 6: {EOS: 1.0}, 7: {EOS: 1.0}, B: {EOS: 1.0}}
    )
    src = sources(1)
    assert greedy(chain, src, VOCAB, **GREEDY)[0][0].ids == [A, 6]
    best = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 0.0})[0][0]
    assert best.ids == [B]
    assert best.score == pytest.approx(math.log(0.4), abs=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_cut_hypothesis_replaces_no_finished_one(length_penalty):
    """The finished one has probability 0.1, each of the two that `max_len` cuts 0.45."""
    chain = Chain({BOS: {A: 0.9, EOS: 0.1}, A: {6: 0.5, 7: 0.5}, 6: {6: 1.0}, 7: {7: 1.0}})
    settings = {**BEAM, "beam_size": 2, "max_len": 3, "length_penalty": length_penalty}
    first, second = beam(chain, sources(1), VOCAB, **settings)[0]
    assert (first.ids, first.finished, second.finished) == ([], True, False)
    assert first.score == pytest.approx(math.log(0.1), abs=1e-4)


def test_length_penalty_prefers_the_longer_hypothesis():
    chain = Chain({BOS: {EOS: 0.5, A: 0.5}, A: {B: 0.9, EOS: 0.1}, B: {EOS: 1.0}})
    src = sources(1)
    short = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 0.0})[0]
    long = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 2.0})[0]
    assert [short[0].ids, long[0].ids] == [[], [A, B]]


def test_beam_returns_beam_size_hypotheses_best_first(decoder):
    for hypotheses in beam(decoder, sources(), VOCAB, **{**BEAM, "length_penalty": 0.0}):
        assert len(hypotheses) == 3
        assert len({tuple(h.ids) for h in hypotheses}) == 3
        finished = [h.score for h in hypotheses if h.finished]
        assert finished == sorted(finished, reverse=True)


# ---------------------------------------------------------------------------------- results


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_special_ids_are_never_part_of_a_hypothesis(decoder, search):
    decoder.model.projection.bias.data[[VOCAB.pad_id, BOS, UNK]] = 50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    for hypotheses in search(decoder, sources(), VOCAB, **settings):
        assert not {VOCAB.pad_id, UNK, BOS, EOS} & {i for h in hypotheses for i in h.ids}


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_unk_is_generated_where_it_is_allowed(decoder, search):
    decoder.model.projection.bias.data[UNK] = 50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    found = search(decoder, sources(2), VOCAB, **{**settings, "allow_unk": True})
    assert any(UNK in hypothesis.ids for hypothesis in found[0])


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_length_is_limited_and_the_hypothesis_is_unfinished(decoder, search):
    decoder.model.projection.bias.data[EOS] = -50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    for hypotheses in search(decoder, sources(), VOCAB, **{**settings, "max_len": 4}):
        assert [(len(h.ids), h.finished) for h in hypotheses] == [(4, False)] * len(hypotheses)


def test_finished_rows_leave_the_batch(decoder):
    lengths = [
        len(row[0].ids) + row[0].finished for row in greedy(decoder, sources(), VOCAB, **GREEDY)
    ]
    rows: list[int] = []
    step = decoder.step
    decoder.step = lambda ids, cache: (rows.append(len(ids)), step(ids, cache))[1]
    greedy(decoder, sources(), VOCAB, **GREEDY)
    assert rows == [sum(length > t for length in lengths) for t in range(max(lengths))]


def test_decoding_stops_when_all_rows_are_finished():
    chain = Chain({BOS: {A: 1.0}, A: {EOS: 1.0}})
    assert greedy(chain, sources(3), VOCAB, **GREEDY)[2] == [
        Hypothesis([A], pytest.approx(0.0, abs=1e-6), True)
    ]
    assert chain.rows == [3, 3]


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_no_gradient_is_recorded(decoder, search):
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    seen = []
    step = decoder.step
    decoder.step = lambda ids, cache: (seen.append(step(ids, cache)), seen[-1])[1]
    search(decoder, sources(2), VOCAB, **settings)
    assert not any(logits.requires_grad for logits in seen)


def test_max_len_above_the_models_positions_raises(decoder):
    with pytest.raises(ValueError, match=r"max_len \(13\) is more than the model's 12 positions"):
        greedy(decoder, sources(1), VOCAB, max_len=13, allow_unk=False)


# -------------------------------------------------------------------------------------- sampling

COIN = Chain({BOS: {A: 0.5, B: 0.3, 6: 0.2}, A: {EOS: 1.0}, B: {EOS: 1.0}, 6: {EOS: 1.0}})


def firsts(**changes) -> list[int]:
    settings = {**SAMPLE, "n_samples": 4000, **changes}
    return [h.ids[0] for h in sample(COIN, sources(1), VOCAB, **settings)[0]]


def share(ids: list[int], token: int) -> float:
    return ids.count(token) / len(ids)


def test_tokens_are_drawn_by_their_probability():
    ids = firsts()
    assert share(ids, A) == pytest.approx(0.5, abs=0.04)
    assert share(ids, 6) == pytest.approx(0.2, abs=0.04)


def test_temperature_sharpens():
    assert share(firsts(temperature=0.5), A) == pytest.approx(0.25 / 0.38, abs=0.04)


def test_top_k_keeps_the_most_probable():
    ids = firsts(top_k=2)
    assert set(ids) == {A, B}
    assert share(ids, A) == pytest.approx(0.625, abs=0.04)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {A}), (0.6, {A, B}), (0.79, {A, B}), (0.9, {A, B, 6})]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_the_probability(top_p, kept):
    assert set(firsts(top_p=top_p)) == kept


def test_scores_of_samples_are_log_probabilities_of_the_model():
    scores = {h.ids[0]: h.score for h in sample(COIN, sources(1), VOCAB, **SAMPLE)[0]}
    for token, score in scores.items():
        assert score == pytest.approx(math.log({A: 0.5, B: 0.3, 6: 0.2}[token]), abs=1e-4)


def test_samples_depend_on_the_seed(decoder):
    first = sample(decoder, sources(), VOCAB, **SAMPLE)
    assert sample(decoder, sources(), VOCAB, **SAMPLE) == first
    assert sample(decoder, sources(), VOCAB, **{**SAMPLE, "seed": 2}) != first


def test_more_samples_keep_the_first_ones(decoder):
    few = sample(decoder, sources(2), VOCAB, **SAMPLE)
    many = sample(decoder, sources(2), VOCAB, **{**SAMPLE, "n_samples": 6})
    for a, b in zip(few, many, strict=True):
        assert {tuple(h.ids) for h in a} <= {tuple(h.ids) for h in b}


# ------------------------------------------------------------------------------------ repetitions


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_no_sequence_of_tokens_is_generated_twice(decoder, search):
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]

    def n_repeated(**changes) -> int:
        found = search(decoder, sources(), VOCAB, **{**settings, **changes})
        rows = [hypothesis.ids for own in found for hypothesis in own]
        pairs = [list(zip(ids, ids[1:], strict=False)) for ids in rows]
        return sum(len(own) - len(set(own)) for own in pairs)

    decoder.model.projection.bias.data[EOS] = -50.0
    assert n_repeated(no_repeat_ngram=2) == 0 < n_repeated()


def test_generated_tokens_become_less_probable():
    chain = Chain({BOS: {A: 1.0}, A: {A: 0.6, B: 0.4}, B: {EOS: 1.0}})
    src = sources(1)
    assert greedy(chain, src, VOCAB, **GREEDY)[0][0].ids == [A] * 12
    # The logits are log-probabilities here: log 0.6 times 2 is below log 0.4.
    assert greedy(chain, src, VOCAB, **GREEDY, repetition_penalty=2.0)[0][0].ids == [A, B]


def test_forbidden_sequences_have_no_probability():
    chain = Chain({BOS: {A: 1.0}, A: {B: 1.0}, B: {A: 0.5, 6: 0.5}, 6: {A: 1.0}})
    [found] = greedy(chain, sources(1), VOCAB, **GREEDY, no_repeat_ngram=2)[0]
    assert found.ids == [A, B, A] and found.finished  # B is forbidden, the other 12 equal
    assert found.score == pytest.approx(math.log(0.5) + math.log(1 / 12), abs=1e-4)


# ------------------------------------------------------------------- fast kernels


@pytest.mark.parametrize(("n", "k"), [(3000, 8), (2049, 2), (100, 8), (64 * 32, 8)])
def test_topk_equals_torchs(n, k):
    logits = torch.randn(5, n, generator=torch.Generator().manual_seed(n))
    logits[1, :3], logits[2, -1] = -math.inf, 9.0
    values, places = topk(logits, k)
    expected = logits.topk(k)
    assert torch.equal(values, expected.values)
    assert torch.equal(places, expected.indices)


def test_logsumexp_equals_torchs():
    logits = torch.randn(5, 3000, generator=torch.Generator().manual_seed(1)) * 5
    logits[:, :3] = -math.inf
    torch.testing.assert_close(
        logsumexp(logits), logits.logsumexp(-1, keepdim=True), atol=1e-4, rtol=0
    )


def test_hypotheses_per_source_are_those_of_the_search():
    assert hypotheses_per_source(partial(greedy, max_len=9)) == 1
    assert hypotheses_per_source(partial(beam, max_len=9, beam_size=8)) == 8
    assert hypotheses_per_source(partial(sample, n_samples=16)) == 16
    assert hypotheses_per_source(greedy) == 1
