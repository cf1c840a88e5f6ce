import math
import os
import subprocess
import sys

import pytest
import torch

from en2py.models.cpu_kernels import Dropout, attention_weights, prepack_linear
from tiny_transformer import N_SRC, N_TGT, padded_ids


def test_attention_weights_by_hand():
    q, k = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), torch.eye(4)[None, None]
    mask = torch.tensor([True, True, False, True])
    e = math.exp(0.5)  # one score is 1 / sqrt(4), the others are 0
    expected = torch.tensor([e, 1.0, 0.0, 1.0]) / (e + 2)
    weights = attention_weights(q, k, mask, is_causal=False)
    torch.testing.assert_close(weights[0, 0, 0], expected)


def test_bf16_attention_is_close_to_fp32(model):
    src, tgt = padded_ids(N_SRC, [12, 7]), padded_ids(N_TGT, [10, 10])
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(src, tgt)
    torch.testing.assert_close(hidden, model(src, tgt), atol=0.1, rtol=0)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(401, 499)  # not a multiple of four
    dropped = Dropout(p).train()(x)
    assert (dropped == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_zeroes_the_same_entries_in_the_gradient():
    x = torch.ones(50, 7, requires_grad=True)
    dropped = Dropout(0.5).train()(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped)


def test_dropout_depends_on_the_seed_alone():
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(Dropout(0.5).train()(torch.ones(99)))
    assert torch.equal(*draws)


def test_dropout_keeps_the_precision():
    assert Dropout(0.1).train()(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_dropout_of_almost_all_has_finite_numbers() -> None:
    assert Dropout(0.9999999).train()(torch.ones(99)).isfinite().all()


@pytest.mark.parametrize("n_rows", [1, 4, 32])
def test_prepacked_weights_give_the_same_product_for_any_number_of_rows(n_rows):
    torch.manual_seed(0)
    linear = torch.nn.Linear(32, 501)
    product = prepack_linear(linear, n_rows)
    with torch.inference_mode():
        for n in (1, 3, 32):
            x = torch.randn(n, 32)
            torch.testing.assert_close(product(x), linear(x), atol=1e-5, rtol=0)


def test_weights_that_cannot_be_prepacked_are_used_unchanged():
    linear = torch.nn.Linear(8, 8).to(torch.bfloat16)
    assert prepack_linear(linear, 32) is linear


def test_caches_of_product_shapes_are_limited_unless_the_user_set_them():
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    code = f"import os, en2py.models.transformer; print([os.environ[n] for n in {names}])"
    for own, expected in (({}, "['128', '128']"), ({names[0]: "9"}, "['9', '128']")):
        printed = subprocess.run(
            [sys.executable, "-c", code], env=environment | own, capture_output=True, text=True
        )
        assert printed.stdout.strip() == expected, printed.stderr
