import io
import math

import pytest
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from en2py.training.schedulers import constant, cosine, noam, one_cycle

LR = 0.5


def optimizer() -> AdamW:
    return AdamW([nn.Parameter(torch.zeros(1))], lr=LR)


def rates(schedule: LRScheduler, n_steps: int) -> list[float]:
    """The rate of each update."""
    seen = []
    for _ in range(n_steps):
        seen.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return seen


MAKERS = {
    "constant": lambda opt: constant(opt, total_steps=20, warmup=0.2),
    "cosine": lambda opt: cosine(opt, total_steps=20, warmup=0.2, final=0.1),
    "one_cycle": lambda opt: one_cycle(opt, total_steps=20, warmup=0.3, start=0.04, final=0.01),
    "noam": lambda opt: noam(opt, total_steps=20, d_model=16, warmup_steps=5, scale=1.0),
}


def test_constant_increases_linearly_and_stays_constant():
    assert rates(constant(optimizer(), total_steps=20, warmup=0.2), 6) == pytest.approx(
        [LR / 4, LR / 2, LR * 3 / 4, LR, LR, LR]
    )


def test_constant_without_warmup_is_constant():
    assert set(rates(constant(optimizer(), total_steps=20, warmup=0.0), 20)) == {LR}


def test_cosine_is_maximal_after_warmup_and_final_at_the_end():
    seen = rates(cosine(optimizer(), total_steps=20, warmup=0.2, final=0.1), 20)
    assert seen[:4] == pytest.approx([LR / 4, LR / 2, LR * 3 / 4, LR])
    assert seen[11] == pytest.approx(LR * 0.55)  # half way down
    assert seen[19] == pytest.approx(LR * 0.1)
    assert seen[3:] == sorted(seen[3:], reverse=True)


def test_one_cycle_equals_that_of_torch():
    theirs = optimizer()
    reference = OneCycleLR(
        theirs,
        max_lr=LR,
        total_steps=20,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=4,
        cycle_momentum=False,
    )
    ours = one_cycle(optimizer(), total_steps=20, warmup=0.3, start=1 / 25, final=1 / 100)
    expected = []
    for step in range(20):
        expected.append(theirs.param_groups[0]["lr"])
        theirs.step()
        if step < 19:
            reference.step()
    assert rates(ours, 20) == pytest.approx(expected)


def test_noam_is_equation_3():
    seen = rates(noam(optimizer(), total_steps=9, d_model=16, warmup_steps=4, scale=2.0), 9)
    assert seen[0] == pytest.approx(2 * 1 / 4 * 1 / 8)  # 16^-0.5, 1 * 4^-1.5
    assert seen[3] == pytest.approx(2 * 1 / 4 * 1 / 2)  # the top: 4^-0.5
    assert seen[8] == pytest.approx(2 * 1 / 4 * 1 / 3)  # 9^-0.5


def test_noam_sets_the_same_rate_for_every_group():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 3.0)]
    both = AdamW(groups)
    noam(both, total_steps=9, d_model=16, warmup_steps=4, scale=1.0)
    assert both.param_groups[0]["lr"] == pytest.approx(both.param_groups[1]["lr"])


@pytest.mark.parametrize("name", MAKERS)
def test_resumed_schedule_equals_an_uninterrupted_one(name):
    whole = rates(MAKERS[name](optimizer()), 20)
    first = MAKERS[name](optimizer())
    seen = rates(first, 8)
    stored = io.BytesIO()
    torch.save([first.state_dict(), first.optimizer.state_dict()], stored)
    stored.seek(0)
    schedule_state, optimizer_state = torch.load(stored, weights_only=True)
    second = MAKERS[name](optimizer())
    second.load_state_dict(schedule_state)
    second.optimizer.load_state_dict(optimizer_state)
    assert seen + rates(second, 12) == whole


@pytest.mark.parametrize("name", MAKERS)
def test_steps_beyond_the_end_have_a_finite_rate(name):
    seen = rates(MAKERS[name](optimizer()), 25)
    assert all(math.isfinite(rate) and rate > 0 for rate in seen)


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_very_short_runs_have_a_rate(total_steps):
    for schedule in (
        cosine(optimizer(), total_steps=total_steps, warmup=0.1, final=0.0),
        one_cycle(optimizer(), total_steps=total_steps, warmup=0.1, start=0.04, final=0.0),
        constant(optimizer(), total_steps=total_steps, warmup=0.1),
    ):
        assert rates(schedule, 1)[0] > 0
