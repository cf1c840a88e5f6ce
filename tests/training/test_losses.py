import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.models import cpu_kernels
from en2py.training.losses import CrossEntropy, KeywordWeightedCrossEntropy

WEIGHTS = {"keyword_weight": 3.0, "frequent_weight": 2.0, "n_frequent": 2, "other_weight": 1.0}


def vocab(*tokens: str, counts: list[int] | None = None) -> Vocab:
    counts = counts or list(range(len(tokens), 0, -1))
    return Vocab([*SPECIAL_TOKENS, *tokens], [0] * len(SPECIAL_TOKENS) + counts)


FIVE = vocab("x")  # five tokens: the special ones and x


def logits_as_given(logits: torch.Tensor) -> tuple[torch.Tensor, nn.Linear]:
    """Return hidden vectors and a projection that produce these logits."""
    projection = nn.Linear(logits.shape[1], logits.shape[1])
    projection.weight.data.copy_(torch.eye(logits.shape[1]))
    projection.bias.data.zero_()
    return logits, projection


def weighted(vocab: Vocab, label_smoothing: float = 0.0, **changes) -> KeywordWeightedCrossEntropy:
    settings = {**WEIGHTS, "label_smoothing": label_smoothing, **changes}
    return KeywordWeightedCrossEntropy(vocab, **settings)


# ------------------------------------------------------------------- computed by hand, 5 tokens

# Probabilities of the five tokens at two positions.
P = torch.tensor([[0.1, 0.1, 0.1, 0.2, 0.5], [0.25, 0.25, 0.125, 0.125, 0.25]])
TARGETS = torch.tensor([4, 2])  # probabilities 1/2 and 1/8


def test_plain_by_hand():
    loss = CrossEntropy(FIVE, label_smoothing=0.0)(*logits_as_given(P.log()), TARGETS)
    assert loss.item() == pytest.approx((math.log(2) + math.log(8)) / 2)


def test_smoothed_by_hand():
    loss = CrossEntropy(FIVE, label_smoothing=0.1)(*logits_as_given(P.log()), TARGETS)
    uniform = [math.log(10) * 3 + math.log(5) + math.log(2), math.log(4) * 3 + math.log(8) * 2]
    by_hand = [0.9 * math.log(2) + 0.02 * uniform[0], 0.9 * math.log(8) + 0.02 * uniform[1]]
    assert loss.item() == pytest.approx(sum(by_hand) / 2)


def test_weighted_mean_divides_by_the_weights():
    loss = weighted(vocab("if"))(*logits_as_given(P.log()), TARGETS)
    assert loss.item() == pytest.approx((3 * math.log(2) + 1 * math.log(8)) / (3 + 1))


def test_weighted_and_smoothed_by_hand():
    loss = weighted(vocab("if"), label_smoothing=0.1)(*logits_as_given(P.log()), TARGETS)
    # The share of the smoothing carries the weights of all tokens: 1, 1, 1, 1, 3.
    uniform = [
        math.log(10) * 3 + math.log(5) + 3 * math.log(2),
        math.log(4) * 2 + math.log(8) * 2 + 3 * math.log(4),
    ]
    by_hand = [3 * 0.9 * math.log(2) + 0.02 * uniform[0], 0.9 * math.log(8) + 0.02 * uniform[1]]
    assert loss.item() == pytest.approx(sum(by_hand) / 4)


# ------------------------------------------------------------------------------- weights of tokens


def test_weights_of_keywords_frequent_and_other_tokens():
    loss = weighted(vocab("x", "def", "y", "z", "None", "print"), n_frequent=3)
    #            pad  unk  bos  eos   x   def   y    z   None print
    assert loss.weights.tolist() == [1, 1, 1, 1, 2, 3, 2, 1, 3, 1]


def test_the_documented_47_frequent_tokens_are_ids_4_to_50():
    loss = weighted(vocab(*(f"t{i}" for i in range(100))), n_frequent=47)
    assert [i for i, w in enumerate(loss.weights.tolist()) if w == 2] == list(range(4, 51))


def test_weights_depend_on_frequency_instead_of_id():
    loss = weighted(vocab("a", "b", "c", counts=[1, 5, 3]))
    assert loss.weights.tolist()[4:] == [1, 2, 2]


@pytest.mark.parametrize(
    "token",
    ["<nl>", "<indent>", "<dedent>", "\n", "\n    ", '"""a\nb"""', "Ċ", "ĊĠĠĠ", "return ", "Ġif"],
)
def test_line_breaks_and_keywords_of_every_tokenizer_are_recognized(token):
    assert weighted(vocab("x", token)).weights[5] == 3


@pytest.mark.parametrize("token", ["iffy", "match", "print", "'if'", "If", "\\n"])
def test_tokens_similar_to_keywords_or_line_breaks_have_other_weights(token):
    assert weighted(vocab("x", "y", token)).weights[6] == 1


def test_weights_move_with_the_module_but_are_not_in_checkpoints():
    loss = weighted(FIVE)
    assert not loss.state_dict()
    assert loss.to(torch.float64).weights.dtype == torch.float64


# --------------------------------------------------------------------------------------- parity

LARGE_VOCAB = vocab(*["if", "<nl>", *(f"t{i}" for i in range(91))])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("large", [0, 10**9], ids=["in chunks", "at once"])
def test_loss_and_gradients_equal_those_of_torch(monkeypatch, label_smoothing, weigh, large):
    monkeypatch.setattr(cpu_kernels, "MANY_LOGITS", large)
    torch.manual_seed(0)
    n = 2 * cpu_kernels.PIECE_ROWS + 7  # a piece that is not full
    hidden = torch.randn(n, 8, requires_grad=True)
    projection = nn.Linear(8, len(LARGE_VOCAB))
    targets = torch.randint(0, len(LARGE_VOCAB), (n,))
    loss = weighted(LARGE_VOCAB) if weigh else CrossEntropy(LARGE_VOCAB, label_smoothing=0.0)
    loss.label_smoothing = label_smoothing
    inputs = [hidden, projection.weight, projection.bias]
    expected = F.cross_entropy(
        projection(hidden),
        targets,
        weight=loss.weights if weigh else None,
        label_smoothing=label_smoothing,
    )
    value = loss(hidden, projection, targets)
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)
    ours = torch.autograd.grad(value * 3, inputs)
    theirs = torch.autograd.grad(expected * 3, inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_chunks_are_used_only_in_training(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "MANY_LOGITS", 0)
    hidden, projection = logits_as_given(P.log())
    hidden.requires_grad_()
    loss = CrossEntropy(FIVE, label_smoothing=0.0)
    assert "_InPieces" in type(loss(hidden, projection, TARGETS).grad_fn).__name__
    with torch.no_grad():
        assert loss(hidden, projection, TARGETS).grad_fn is None


def test_chunks_work_under_bf16_autocast(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "MANY_LOGITS", 0)
    torch.manual_seed(0)
    hidden, projection = torch.randn(9, 8, requires_grad=True), nn.Linear(8, 5)
    targets = torch.randint(0, 5, (9,))
    exact = F.cross_entropy(projection(hidden), targets)
    with torch.autocast("cpu", torch.bfloat16):
        value = CrossEntropy(FIVE, label_smoothing=0.0)(hidden, projection, targets)
    value.backward()
    assert value.item() == pytest.approx(exact.item(), rel=0.02)
    assert hidden.grad is not None and projection.weight.grad is not None


def test_chunks_work_with_a_tied_projection(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "MANY_LOGITS", 0)
    torch.manual_seed(0)
    table, projection = nn.Embedding(5, 8), nn.Linear(8, 5)
    projection.weight = table.weight
    targets = torch.randint(0, 5, (9,))
    hidden = table(targets).tanh()
    CrossEntropy(FIVE, label_smoothing=0.0)(hidden, projection, targets).backward()
    ours, table.weight.grad = table.weight.grad, None
    F.cross_entropy(projection(table(targets).tanh()), targets).backward()
    torch.testing.assert_close(ours, table.weight.grad)
