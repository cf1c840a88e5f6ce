import copy

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from en2py.training import optimizers
from en2py.training.optimizers import Muon, orthogonalized
from en2py.training.schedulers import cosine
from tiny_transformer import transformer

ADAMW = {"lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-9, "weight_decay": 0.1}


def muon(module: nn.Module, **changes) -> Muon:
    return Muon(
        module.named_parameters(), **{**ADAMW, "momentum": 0.95, "iterations": 5, **changes}
    )


def layers() -> nn.Sequential:
    """A wide, a square and a tall matrix, and biases."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 6), nn.Linear(6, 6), nn.Linear(6, 18))


def train(module: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        optimizer.zero_grad()
        x = torch.randn(8, 12, generator=torch.Generator().manual_seed(seed))
        module(x).square().mean().backward()
        optimizer.step()


@pytest.fixture(params=[False, True], ids=["fp32", "bf16"])
def bf16(request, monkeypatch) -> bool:
    monkeypatch.setattr(optimizers, "multiplies_bf16_fast", lambda device: request.param)
    return request.param


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_orthogonalized_matrices_have_singular_values_of_about_one(bf16, shape):
    torch.manual_seed(1)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    result = orthogonalized(matrices, 5)
    values = torch.linalg.svdvals(result)
    assert result.dtype == matrices.dtype
    assert values.min() > 0.3 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # The singular vectors remain: in their basis the result is diagonal.
    inner = left.mT @ result @ right.mT
    off_diagonal = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off_diagonal.abs().max() < (0.05 if bf16 else 1e-3)


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalized(torch.zeros(2, 3, 4), 5), torch.zeros(2, 3, 4))


def test_matrices_are_updated_as_by_muon_of_torch(monkeypatch):
    monkeypatch.setattr(optimizers, "multiplies_bf16_fast", lambda device: True)  # as theirs
    ours, theirs = layers(), layers()
    matrices = [layer.weight for layer in theirs]
    reference = torch.optim.Muon(
        matrices, lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    optimizer, before = muon(ours), layers()
    for seed in range(3):
        train(ours, optimizer, range(seed, seed + 1))
        for mine, yours in zip(ours, theirs, strict=True):
            yours.weight.grad = mine.weight.grad.clone()
        reference.step()
    for mine, yours, old in zip(ours, theirs, before, strict=True):
        moved = (yours.weight - old.weight).norm()
        assert (mine.weight - yours.weight).norm() < 0.05 * moved


def test_queries_keys_and_values_are_three_matrices():
    torch.manual_seed(0)
    stacked = nn.ModuleDict({"qkv": nn.Linear(6, 18)})
    apart = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
    for part, rows, bias in zip(apart, *(p.chunk(3) for p in stacked.parameters()), strict=True):
        part.load_state_dict({"weight": rows, "bias": bias})
    gradient = torch.randn(18, 6) * torch.tensor([1.0, 10.0, 100.0]).repeat_interleave(6)[:, None]
    stacked["qkv"].weight.grad = gradient
    for part, rows in zip(apart, gradient.chunk(3), strict=True):
        part.weight.grad = rows
    muon(stacked).step()
    muon(apart).step()
    together = torch.cat([part.weight for part in apart])
    torch.testing.assert_close(stacked["qkv"].weight, together)


def test_all_else_is_updated_as_by_adamw():
    ours, theirs = layers(), layers()
    optimizer, reference = muon(ours), AdamW([layer.bias for layer in theirs], fused=True, **ADAMW)
    for seed in range(3):
        train(ours, optimizer, range(seed, seed + 1))
        for mine, yours in zip(ours, theirs, strict=True):
            yours.bias.grad = mine.bias.grad.clone()
        reference.step()
    assert all(torch.equal(mine.bias, yours.bias) for mine, yours in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("tying", ["none", "tgt"])
def test_embeddings_and_the_output_projection_are_for_adamw(tying, copies):
    model = transformer(
        positions="learned", tie_embeddings=tying, copy=copies, src_width=4, sep_id=1
    )
    adamw, matrices = muon(model).param_groups
    inside = {
        f"{stack}.{i}.{name}.weight"
        for stack in ("encoder", "decoder")
        for i, layer in enumerate(getattr(model, stack))
        for name, part in layer.named_modules()
        if isinstance(part, nn.Linear)
    }
    assert set(matrices["param_names"]) == inside
    n_all = len(list(model.parameters()))
    assert len(adamw["params"]) + len(matrices["params"]) == n_all


def test_a_restored_state_continues_bit_for_bit():
    module = layers()
    optimizer = muon(module)
    train(module, optimizer, range(2))
    restored = layers()
    restored.load_state_dict(module.state_dict())
    another = muon(restored)
    another.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(module, optimizer, range(2, 5))
    train(restored, another, range(2, 5))
    assert all(map(torch.equal, module.parameters(), restored.parameters()))


def test_a_parameter_without_a_gradient_stays():
    module = layers()
    optimizer, before = muon(module), copy.deepcopy(module)
    optimizer.step()
    assert all(map(torch.equal, module.parameters(), before.parameters()))


def test_a_schedule_sets_the_rate_of_both_parts():
    module = layers()
    optimizer, before = muon(module, weight_decay=0.0), copy.deepcopy(module)
    cosine(optimizer, total_steps=10, warmup=0.5, final=0.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.002, 0.002])
    train(module, optimizer, range(1))
    moved = [
        (new - old).square().mean().sqrt()
        for new, old in zip(module.parameters(), before.parameters(), strict=True)
    ]
    assert all(0.2 * 0.002 * 0.2 < size < 0.002 * 1.2 for size in moved)


def test_a_closure_is_called_with_gradients():
    module = layers()
    optimizer = muon(module)

    def closure() -> torch.Tensor:
        loss = module(torch.ones(2, 12)).square().mean()
        loss.backward()
        return loss.detach()

    assert optimizer.step(closure) > 0
