import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from en2py.data.vocab import Vocab, spelling_bits
from en2py.evaluation.metrics.token_metrics import (
    TokenMetrics,
    score_hidden,
    score_tokens,
    token_counts,
)
from en2py.training.losses import CrossEntropy, KeywordWeightedCrossEntropy, normalizer

TOKENS = ["<pad>", "<unk>", "<bos>", "<eos>", "def", "<nl>", "x", "1", "+"]


@pytest.fixture
def vocab():
    return Vocab(TOKENS, [0] * 4 + [1] * 5)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, len(TOKENS), generator=generator) * 3
    return logits, torch.randint(3, len(TOKENS), (50,), generator=generator)


def values_over(vocab, *batches, n_characters=1, spelling_bits=0):
    metrics = TokenMetrics(vocab)
    for logits, targets in batches:
        scores = score_tokens(logits, targets)
        metrics.update(scores, n_characters=n_characters, spelling_bits=spelling_bits)
    return {name: value.item() for name, value in metrics.compute().items()}


def test_nll_and_perplexity_equal_torch(vocab, batch):
    values = values_over(vocab, batch)
    expected = F.cross_entropy(*batch).item()
    assert values["nll"] == pytest.approx(expected, rel=1e-6)
    assert values["ppl"] == pytest.approx(math.exp(expected), rel=1e-6)


def test_batch_size_makes_no_difference(vocab, batch):
    logits, targets = batch
    parts = [(logits[a:b], targets[a:b]) for a, b in ((0, 1), (1, 18), (18, 50))]
    whole, cut = values_over(vocab, batch, n_characters=3), values_over(vocab, *parts)
    assert cut == {name: pytest.approx(value, rel=1e-12) for name, value in whole.items()}


@torch.no_grad()
@pytest.mark.parametrize("kind", [CrossEntropy, KeywordWeightedCrossEntropy])
def test_scores_in_pieces_equal_scores_at_once(vocab, batch, kind, monkeypatch):
    weights = dict(keyword_weight=3.0, frequent_weight=2.0, n_frequent=2, other_weight=1.0)
    loss = kind(vocab, label_smoothing=0.1, **(weights if kind is not CrossEntropy else {}))
    logits, targets = batch
    monkeypatch.setattr("en2py.evaluation.metrics.token_metrics.PIECE_ROWS", 7)
    scores, value = score_hidden(
        logits, torch.nn.Identity(), targets, loss, partial(normalizer, loss.weights)
    )
    for part, expected in zip(scores, score_tokens(logits, targets), strict=True):
        torch.testing.assert_close(part, expected)
    torch.testing.assert_close(value, loss(logits, torch.nn.Identity(), targets))


def test_a_million_small_losses_are_summed_exactly(vocab):
    # A sum in float32 would stop growing long before the end.
    logits = torch.zeros(1000, len(TOKENS))
    targets = torch.full((1000,), 4)
    metrics = TokenMetrics(vocab)
    for _ in range(1000):
        metrics.update(score_tokens(logits, targets), n_characters=1)
    assert metrics.compute()["nll"].item() == pytest.approx(math.log(len(TOKENS)), rel=1e-7)


def test_bits_per_character_divide_by_the_given_characters(vocab):
    logits, targets = torch.zeros(3, len(TOKENS)), torch.tensor([4, 5, 3])
    values = values_over(vocab, (logits, targets), n_characters=12)
    assert values["bpc"] == pytest.approx(3 * math.log2(len(TOKENS)) / 12, rel=1e-6)


def test_unknown_targets_cost_their_spelling(vocab):
    bits = spelling_bits(["def", "naïve", "x"], vocab)
    assert bits == 8 * (6 + 1)  # ï takes two bytes
    logits, targets = torch.zeros(1, len(TOKENS)), torch.tensor([1])
    values = values_over(vocab, (logits, targets), n_characters=5, spelling_bits=bits)
    assert values["bpc"] == pytest.approx((math.log2(len(TOKENS)) + 56) / 5, rel=1e-6)
    assert values["unk_targets"] == 1


def test_accuracy_per_class(vocab):
    targets = torch.tensor([4, 5, 6, 6, 7, 8])  # def, line break, x, x, 1, +
    predicted = torch.tensor([4, 6, 6, 4, 7, 8])
    values = values_over(vocab, (F.one_hot(predicted, len(TOKENS)) * 10.0, targets))
    accuracy = {name: v for name, v in values.items() if name.startswith("accuracy_")}
    assert accuracy == {
        "accuracy_keyword": 1,
        "accuracy_layout": 0,
        "accuracy_identifier": 0.5,
        "accuracy_literal": 1,
        "accuracy_operator": 1,
    }
    assert values["accuracy"] == pytest.approx(4 / 6)


def test_nll_is_the_weighted_mean_over_classes(vocab, batch):
    logits, targets = batch
    values = values_over(vocab, batch)
    is_name = targets == TOKENS.index("x")
    expected = F.cross_entropy(logits[is_name], targets[is_name]).item()
    assert values["nll_identifier"] == pytest.approx(expected, rel=1e-6)


def test_counts_per_example_sum_to_the_total(vocab, batch):
    logits, targets = batch
    targets[7] = 1  # <unk>
    owners = torch.arange(50) % 3
    metrics = TokenMetrics(vocab)
    scores = score_tokens(logits, targets)
    metrics.update(scores, n_characters=90, spelling_bits=16)
    tables = metrics.per_example(scores, owners, 4).tolist()
    rows = [token_counts(table, 30, 16 if i == 1 else 0) for i, table in enumerate(tables[:3])]
    expected = {name: value.item() for name, value in metrics.compute().items()}
    for name, value in expected.items():
        total, n = (sum(row[name][part] for row in rows) for part in (0, 1))
        found = math.exp(total / n) if name == "ppl" else total / n
        assert found == pytest.approx(value, rel=1e-9), name
    assert not any(any(counts) for counts in token_counts(None, 30, 8).values())
    assert tables[3] == [[0.0] * len(tables[0][0])] * 3  # a pair without tokens
