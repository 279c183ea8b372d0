"""The collapse monitor against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poyodata.models.collapse import CollapseMonitor, latent_rank, latent_spread


def test_spread_and_rank_against_numpy() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((7, 3, 4)) * rng.uniform(0.1, 3, 4) + 5
    assert latent_spread(torch.from_numpy(z)).item() == pytest.approx(z.std(axis=0).mean(), rel=1e-5)
    eigenvalues = np.linalg.eigvalsh(np.cov(z.reshape(7, -1).T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert latent_rank(torch.from_numpy(z)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_rank_counts_directions_at_any_size(scale: float) -> None:
    axes = torch.eye(4) - torch.eye(4).mean(dim=0)
    assert latent_rank(scale * axes[:, None]).item() == pytest.approx(3, rel=1e-3)
    line = scale * torch.tensor([1.0, -2.0, 3.0])[:, None, None] * torch.ones(3, 2, 4)
    assert latent_rank(line).item() == pytest.approx(1, rel=1e-3)


def test_collapse_shows_as_zero() -> None:
    same = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0)).expand(5, 3, 4)
    assert latent_spread(same).item() == pytest.approx(0, abs=1e-6)
    assert latent_rank(torch.zeros(5, 3, 4)).item() == 0.0
    assert latent_rank(torch.ones(1, 3, 4)).item() == 0.0  # one window differs from nothing


def test_nothing_flows_back_from_the_monitor() -> None:
    z = torch.randn(4, 2, 3, requires_grad=True)
    assert not latent_spread(z).requires_grad
    assert not latent_rank(z).requires_grad


def test_the_monitor_speaks_once_and_forgives_a_dip() -> None:
    monitor = CollapseMonitor(floor=0.1, patience=3)
    spreads = [1.0, 0.05, 0.05, 0.5, 0.05, 0.05, 0.05, 0.05]
    said = [monitor.see(step, spread) for step, spread in enumerate(spreads, 1)]
    assert [step for step, sentence in enumerate(said, 1) if sentence] == [7]
    assert said[6] == (
        "latents have collapsed: their spread over windows is 0.05 at step 7, 5.0 % of the 1 that it was at step 1"
    )
