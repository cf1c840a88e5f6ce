import math

import pytest
import torch
from torch import Tensor

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.decoding.beam_search import beam
from en2py.decoding.cpu_kernels import largest, normalisers
from en2py.decoding.greedy import greedy
from en2py.decoding.hypothesis import Hypothesis
from en2py.decoding.sampling import sample
from en2py.models.cpu_kernels import packed
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
def model(request) -> Transformer:
    """An untrained model, made decided enough that some rows end early and others never."""
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
    return model


def sources(n: int = 7) -> Tensor:
    src = torch.randint(4, 20, (n, 6), generator=torch.Generator().manual_seed(5))
    for row in range(n):
        src[row, 2 + row % 5 :] = VOCAB.pad_id
    return src


class Chain:
    """A model that knows only the token before: `probs[a][b]` is the chance of b after a."""

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


# ------------------------------------------------------- references: one row, no cache, plain words


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
    found = sorted(found, key=lambda h: -h.score)[:beam_size]

    def rank(h: Hypothesis) -> tuple[bool, float]:
        return not h.finished, -h.score / ((6 + len(h.ids)) / 6) ** length_penalty

    return sorted(found, key=rank)


def assert_same(ours: list[Hypothesis], theirs: list[Hypothesis]) -> None:
    assert [(h.ids, h.finished) for h in ours] == [(h.ids, h.finished) for h in theirs]
    assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-3)


# ---------------------------------------------------------------------------------------- search


def test_greedy_writes_what_the_uncached_reference_writes(model):
    src = sources()
    for row, [hypothesis] in zip(src, greedy(model, src, VOCAB, **GREEDY), strict=True):
        assert_same([hypothesis], [slow_greedy(model, row, 12)])


@pytest.mark.parametrize("beam_size", [2, 4])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_finds_what_the_uncached_reference_finds(model, beam_size, length_penalty):
    settings = {"max_len": 12, "beam_size": beam_size, "length_penalty": length_penalty}
    src = sources(5)
    found = beam(model, src, VOCAB, **settings, allow_unk=False)
    for row, hypotheses in zip(src, found, strict=True):
        assert_same(hypotheses, slow_beam(model, row, **settings))


def test_models_of_these_tests_both_end_and_run_on(model):
    finished = [row[0].finished for row in greedy(model, sources(), VOCAB, **GREEDY)]
    lengths = {len(row[0].ids) for row in greedy(model, sources(), VOCAB, **GREEDY)}
    assert any(finished) and len(lengths) > 1


def test_beam_of_one_equals_greedy(model):
    src = sources()
    narrow = beam(model, src, VOCAB, **{**BEAM, "beam_size": 1})
    for ours, theirs in zip(narrow, greedy(model, src, VOCAB, **GREEDY), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_a_source_gets_the_same_alone_and_in_a_batch(model, search):
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    src = sources()
    together = search(model, src, VOCAB, **settings)
    for row, hypotheses in zip(src, together, strict=True):
        assert_same(search(model, row[None], VOCAB, **settings)[0], hypotheses)


def test_beam_finds_the_likelier_program_that_greedy_misses():
    chain = Chain(
        {BOS: {A: 0.6, B: 0.4}, A: {6: 0.5, 7: 0.5}, 6: {EOS: 1.0}, 7: {EOS: 1.0}, B: {EOS: 1.0}}
    )
    src = sources(1)
    assert greedy(chain, src, VOCAB, **GREEDY)[0][0].ids == [A, 6]
    best = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 0.0})[0][0]
    assert best.ids == [B]
    assert best.score == pytest.approx(math.log(0.4), abs=1e-4)


def test_length_penalty_favours_the_longer_hypothesis():
    chain = Chain({BOS: {EOS: 0.5, A: 0.5}, A: {B: 0.9, EOS: 0.1}, B: {EOS: 1.0}})
    src = sources(1)
    short = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 0.0})[0]
    long = beam(chain, src, VOCAB, **{**BEAM, "length_penalty": 2.0})[0]
    assert [short[0].ids, long[0].ids] == [[], [A, B]]


def test_beam_returns_as_many_hypotheses_as_it_is_wide_best_first(model):
    for hypotheses in beam(model, sources(), VOCAB, **{**BEAM, "length_penalty": 0.0}):
        assert len(hypotheses) == 3
        assert len({tuple(h.ids) for h in hypotheses}) == 3
        finished = [h.score for h in hypotheses if h.finished]
        assert finished == sorted(finished, reverse=True)


# ---------------------------------------------------------------------------------- the way out


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_special_ids_are_never_part_of_a_hypothesis(model, search):
    model.projection.bias.data[[VOCAB.pad_id, BOS, UNK]] = 50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    for hypotheses in search(model, sources(), VOCAB, **settings):
        assert not {VOCAB.pad_id, UNK, BOS, EOS} & {i for h in hypotheses for i in h.ids}


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_unk_is_written_where_it_is_allowed(model, search):
    model.projection.bias.data[UNK] = 50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    found = search(model, sources(2), VOCAB, **{**settings, "allow_unk": True})
    assert any(UNK in hypothesis.ids for hypothesis in found[0])


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_length_is_limited_and_the_hypothesis_says_so(model, search):
    model.projection.bias.data[EOS] = -50.0
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    for hypotheses in search(model, sources(), VOCAB, **{**settings, "max_len": 4}):
        assert [(len(h.ids), h.finished) for h in hypotheses] == [(4, False)] * len(hypotheses)


def test_finished_rows_leave_the_batch(model):
    lengths = [
        len(row[0].ids) + row[0].finished for row in greedy(model, sources(), VOCAB, **GREEDY)
    ]
    rows: list[int] = []
    step = model.step
    model.step = lambda ids, cache: (rows.append(len(ids)), step(ids, cache))[1]
    greedy(model, sources(), VOCAB, **GREEDY)
    assert rows == [sum(length > t for length in lengths) for t in range(max(lengths))]


def test_decoding_stops_when_all_rows_have():
    chain = Chain({BOS: {A: 1.0}, A: {EOS: 1.0}})
    assert greedy(chain, sources(3), VOCAB, **GREEDY)[2] == [
        Hypothesis([A], pytest.approx(0.0, abs=1e-6), True)
    ]
    assert chain.rows == [3, 3]


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_no_gradient_is_recorded(model, search):
    settings = {greedy: GREEDY, beam: BEAM, sample: SAMPLE}[search]
    seen = []
    step = model.step
    model.step = lambda ids, cache: (seen.append(step(ids, cache)), seen[-1])[1]
    search(model, sources(2), VOCAB, **settings)
    assert not any(logits.requires_grad for logits in seen)


def test_longer_than_the_model_can_write_is_refused(model):
    with pytest.raises(ValueError, match=r"max_len \(13\) is more than the model's 12 positions"):
        greedy(model, sources(1), VOCAB, max_len=13, allow_unk=False)


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


def test_top_k_keeps_the_likeliest():
    ids = firsts(top_k=2)
    assert set(ids) == {A, B}
    assert share(ids, A) == pytest.approx(0.625, abs=0.04)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {A}), (0.6, {A, B}), (0.79, {A, B}), (0.9, {A, B, 6})]
)
def test_top_p_keeps_the_fewest_that_hold_the_probability(top_p, kept):
    assert set(firsts(top_p=top_p)) == kept


def test_scores_of_samples_are_those_of_the_model_itself():
    scores = {h.ids[0]: h.score for h in sample(COIN, sources(1), VOCAB, **SAMPLE)[0]}
    for token, score in scores.items():
        assert score == pytest.approx(math.log({A: 0.5, B: 0.3, 6: 0.2}[token]), abs=1e-4)


def test_seed_decides_the_samples(model):
    first = sample(model, sources(), VOCAB, **SAMPLE)
    assert sample(model, sources(), VOCAB, **SAMPLE) == first
    assert sample(model, sources(), VOCAB, **{**SAMPLE, "seed": 2}) != first


def test_first_samples_stay_when_more_are_asked_for(model):
    few = sample(model, sources(2), VOCAB, **SAMPLE)
    many = sample(model, sources(2), VOCAB, **{**SAMPLE, "n_samples": 6})
    for a, b in zip(few, many, strict=True):
        assert {tuple(h.ids) for h in a} <= {tuple(h.ids) for h in b}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0}, r"temperature \(0\) is not above 0"),
        ({"top_p": 1.5}, r"top_p \(1.5\) is not in \(0, 1\]"),
        ({"top_k": 0}, r"top_k \(0\) is not above 0"),
        ({"n_samples": 0}, r"n_samples \(0\) is not above 0"),
    ],
)
def test_impossible_sampling_is_refused(model, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(model, sources(1), VOCAB, **{**SAMPLE, **changes})


def test_beam_without_width_is_refused(model):
    with pytest.raises(ValueError, match=r"beam_size \(0\) is not above 0"):
        beam(model, sources(1), VOCAB, **{**BEAM, "beam_size": 0})


# ------------------------------------------------------------------- fast paths equal plain ones


@pytest.mark.parametrize(("n", "k"), [(3000, 8), (2049, 2), (100, 8), (64 * 32, 8)])
def test_largest_is_topk(n, k):
    logits = torch.randn(5, n, generator=torch.Generator().manual_seed(n))
    logits[1, :3], logits[2, -1] = -math.inf, 9.0
    values, places = largest(logits, k)
    expected = logits.topk(k)
    assert torch.equal(values, expected.values)
    assert torch.equal(places, expected.indices)


def test_normalisers_are_log_sums_of_exponentials():
    logits = torch.randn(5, 3000, generator=torch.Generator().manual_seed(1)) * 5
    logits[:, :3] = -math.inf
    torch.testing.assert_close(
        normalisers(logits), logits.logsumexp(-1, keepdim=True), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("n_rows", [1, 4, 32])
def test_packed_weights_give_the_same_product_for_any_rows(n_rows):
    torch.manual_seed(0)
    linear = torch.nn.Linear(32, 501)
    product = packed(linear, n_rows)
    with torch.inference_mode():
        for n in (1, 3, 32):
            x = torch.randn(n, 32)
            torch.testing.assert_close(product(x), linear(x), atol=1e-5, rtol=0)


def test_weights_that_cannot_be_packed_are_used_as_they_are():
    linear = torch.nn.Linear(8, 8).to(torch.bfloat16)
    assert packed(linear, 32) is linear
