"""The pointer-generator: its probabilities, its loss, and what refuses it."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from en2py.data.vocab import SPECIAL_TOKENS, Vocab
from en2py.decoding.ctranslate2 import export
from en2py.errors import UserError
from en2py.models.cpu_kernels import PIECE_ROWS, attention_weights, linear_cross_entropy
from en2py.models.packing import PackedLayout
from en2py.models.transformer import Transformer
from tiny_transformer import N_SRC, N_TGT, PAD, padded_ids, transformer


def test_probabilities_are_the_mixture_of_equation_9(copying: Transformer) -> None:
    src, tgt = padded_ids(N_SRC, [6, 3]), padded_ids(N_TGT, [5, 5])
    src[0, 2] = src[0, 1]  # a repeated token has the sum of its positions
    seen = []
    copying.decoder_norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    found = copying.projection(copying(src, tgt)).exp()
    (hidden,), p = seen, copying.projection
    memory = copying.encode(src, copying.src_side(src))
    keys = copying.memory_kv(memory, copying.src_side(src))[-1][0]
    queries = p.query(hidden).view(2, 5, 4, 4).transpose(1, 2)
    weights = attention_weights(queries, keys, copying.src_mask(src), False).mean(1)
    g, generated = p.gate(hidden).sigmoid(), F.linear(hidden, p.weight, p.bias).softmax(-1)
    expected = g * generated
    for b in range(2):
        for t in range(5):
            for s in range(6):
                expected[b, t, src[b, s]] += (1 - g[b, t, 0]) * weights[b, t, s]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 5))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_in_pieces_and_its_gradients_equal_those_of_all_probabilities(
    copying: Transformer, smoothing: float, weighted: bool
) -> None:
    n, width = PIECE_ROWS + 40, copying.projection.in_features + 2 * 7
    rows = torch.randn(n, width)
    rows[:, -14:-7] = rows[:, -14:-7].softmax(-1)
    rows[:, -7:] = torch.randint(4, N_TGT, (n, 7))
    targets = torch.randint(4, N_TGT, (n,))
    weights = torch.rand(N_TGT) + 0.5 if weighted else None
    parameters = list(copying.projection.parameters())[:2] + [copying.projection.gate.weight]

    def naive(rows: torch.Tensor) -> torch.Tensor:
        log_p = copying.projection(rows)
        return F.cross_entropy(log_p, targets, weights, label_smoothing=smoothing)

    results = []
    for loss in (
        naive,
        lambda rows: linear_cross_entropy(rows, copying.projection, targets, weights, smoothing),
    ):
        leaf = rows.clone().requires_grad_()
        value = loss(leaf)
        results.append([value, *torch.autograd.grad(value, [leaf, *parameters])])
    for expected, found in zip(*results, strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected)


def test_packed_rows_have_the_probabilities_of_padded_ones(copying: Transformer) -> None:
    src, tgt = padded_ids(N_SRC, [3, 7, 5]), padded_ids(N_TGT, [5, 2, 7])
    layouts = [
        PackedLayout((ids != PAD).flatten().nonzero().squeeze(1), ids.shape, 64)
        for ids in (src, tgt)
    ]
    expected = copying.projection(copying(src, tgt)[tgt != PAD])
    found = copying.projection(copying(src, tgt, *layouts))[: len(expected)]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_token_of_probability_zero_has_a_finite_loss_and_gradient(copying: Transformer) -> None:
    with torch.no_grad():
        copying.projection.bias[5] = -1e6
    rows = copying(padded_ids(N_SRC, [1]) * 0 + 7, torch.tensor([[4]]))[0]
    loss = linear_cross_entropy(rows, copying.projection, torch.tensor([5]), None, 0.0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in copying.parameters())


def test_without_copies_the_model_has_the_parameters_of_before() -> None:
    names = {name for name, _ in transformer().named_parameters()}
    added = {name for name, _ in transformer(copy=True).named_parameters()} - names
    assert added == {f"projection.{part}.{kind}" for part in ("query", "gate")
                     for kind in ("weight", "bias")}  # fmt: skip


def test_export_is_refused(copying: Transformer, tmp_path: Path) -> None:
    vocab = Vocab([*SPECIAL_TOKENS, *"abc"], [0] * 7)
    with pytest.raises(UserError, match=r"model\.copy=true is not exported"):
        export(copying, vocab, vocab, tmp_path / "model")
