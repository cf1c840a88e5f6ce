import pytest
import torch
from torch import nn

from en2py.models.packing import PackedLayout
from en2py.models.transformer import Transformer
from tiny_transformer import N_SRC, N_TGT, PAD, padded_ids


def trained(model: Transformer) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if not name.startswith("projection")]


@pytest.mark.parametrize("lengths", [[3, 7, 5], [4], [1, 1]])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("multiple", [1, 64])
def test_packing_does_not_change_hidden_states_and_gradients(model, lengths, precision, multiple):
    src, tgt = padded_ids(N_SRC, lengths), padded_ids(N_TGT, lengths[::-1])
    real = tgt != PAD
    n_real = int(real.sum())
    layouts = [
        PackedLayout((ids != PAD).flatten().nonzero().squeeze(1), ids.shape, multiple)
        for ids in (src, tgt)
    ]
    weights = torch.randn(n_real, 16)
    results = []
    for hidden in (lambda: model(src, tgt)[real], lambda: model(src, tgt, *layouts)[:n_real]):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            out = hidden()
        results.append((out, *torch.autograd.grad((out * weights).sum(), trained(model))))
    atol = 1e-5 if precision == torch.float32 else 0.1
    for padded, packed in zip(*results, strict=True):
        torch.testing.assert_close(packed, padded, atol=atol, rtol=1e-4)


def test_pack_inverts_pad():
    packed = torch.arange(1.0, 7.0).view(3, 2)
    layout = PackedLayout(torch.tensor([0, 2, 3]), torch.Size([2, 2]))
    padded = layout.pad(packed)
    assert padded.tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert torch.equal(layout.pack(padded), packed)
    assert layout.positions(torch.tensor([[0.0], [1.0]])).tolist() == [[0], [0], [1]]


def test_padding_rows_are_zero_and_get_no_gradient():
    layout = PackedLayout(torch.tensor([0, 2, 3]), torch.Size([2, 2]), multiple=4)
    assert layout.pack(torch.tensor([[5, 6], [7, 8]])).tolist() == [5, 7, 8, 0]
    padded = torch.arange(1.0, 9.0).view(2, 2, 2).requires_grad_()
    packed = layout.pack(padded)
    assert packed.tolist() == [[1, 2], [5, 6], [7, 8], [0, 0]]
    layout.pad(packed + 1).sum().backward()
    assert padded.grad.tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]
    rows = torch.ones(4, 2, requires_grad=True)
    layout.pad(rows).sum().backward()
    assert rows.grad.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_bf16_packs_to_multiples_of_64():
    places = torch.arange(65)
    with torch.autocast("cpu", torch.bfloat16):
        assert PackedLayout(places, torch.Size([1, 65])).n_padding_rows == 63
    assert PackedLayout(places, torch.Size([1, 65])).n_padding_rows == 0
