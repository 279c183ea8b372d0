"""Schedules at their edges, and the released one against torch's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from poyodata.errors import ModelError
from poyodata.models.schedules import SCHEDULES, Schedule, rate, released_beta1


@pytest.mark.parametrize("n_steps", [3, 4, 10, 101, 1000])
def test_released_is_torchs_one_cycle_as_it_was_set(n_steps: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-4, total_steps=n_steps, div_factor=1, pct_start=0.5, final_div_factor=1e4
    )
    rates, betas = [], []
    for step in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        betas.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        if step < n_steps - 1:
            cycle.step()
    np.testing.assert_allclose([3e-4 * rate(step, "released", n_steps) for step in range(n_steps)], rates, rtol=1e-9)
    np.testing.assert_allclose([released_beta1(step, n_steps) for step in range(n_steps)], betas, rtol=1e-9)


def test_released_has_no_warm_up() -> None:
    rates = [rate(step, "released", 1000) for step in range(1000)]
    assert rates[:500] == [1.0] * 500
    assert (np.diff(rates[499:]) < 0).all()
    assert rates[-1] == pytest.approx(1e-4)


def test_paper_rises_over_half_of_the_steps_and_falls_to_a_ten_thousandth() -> None:
    rates = np.array([rate(step, "paper", 1000) for step in range(1000)])
    np.testing.assert_allclose(rates[:500], np.arange(1, 501) / 500)
    done = (np.arange(500, 1000) - 499) / 500
    np.testing.assert_allclose(rates[500:], 1e-4 + (1 - 1e-4) * (1 + np.cos(np.pi * done)) / 2)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3])
def test_cosine_rises_in_a_line_and_falls_to_zero(warmup: float) -> None:
    n_steps = 200
    rises = round(warmup * n_steps)
    rates = [rate(step, "cosine", n_steps, warmup=warmup) for step in range(n_steps + 1)]
    assert rates[:rises] == pytest.approx([(step + 1) / rises for step in range(rises)])
    for step in (rises, (rises + n_steps) // 2, n_steps - 1):
        expected = math.cos(math.pi / 2 * (step - rises) / (n_steps - rises)) ** 2
        assert rates[step] == pytest.approx(expected, abs=1e-12)
    assert rates[rises] == 1.0


def test_constant_is_constant() -> None:
    assert {rate(step, "constant", 7) for step in range(9)} == {1.0}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 2, 3, 50])
def test_rates_are_shares_at_every_step_and_stay_beyond_the_last(schedule: Schedule, n_steps: int) -> None:
    rates = [rate(step, schedule, n_steps) for step in range(n_steps)]
    assert all(0 <= each <= 1 for each in rates)
    assert max(rates) > 0
    assert rate(n_steps + 5, schedule, n_steps) == rates[-1]
    assert min(released_beta1(step, n_steps) for step in range(n_steps + 3)) >= 0.85 - 1e-9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, "cosin", 10), "cosine"),
        ((-1, "cosine", 10), "step -1 of 10"),
        ((0, "cosine", 0), "step 0 of 0"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        rate(*arguments)
    with pytest.raises(ModelError, match=r"warm-up of 1\.0"):
        rate(0, "cosine", 10, warmup=1.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_only_step_of_a_run_has_the_peak(schedule: Schedule) -> None:
    assert rate(0, schedule, 1) == 1.0
