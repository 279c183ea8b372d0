"""Small models, and batches whose directions can be read off the traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus

WINDOW_FRAMES = 24
RATE_HZ = 10.0


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config() -> PoyoConfig:
    """poyo-tiny, made narrower still: 24 frames at 10 Hz."""
    return PoyoConfig.named(
        "poyo-tiny", window_frames=WINDOW_FRAMES, rate_hz=RATE_HZ, dim=16, dim_head=8, self_heads=2, depth=1
    )


def names(n: int, session: str = "s") -> list[str]:
    return [f"{session}:{i}" for i in range(n)]


def make_batch(
    n_windows: int = 6, n_neurons: int = 5, *, n_directions: int = 8, seed: int = 0, window_frames: int = WINDOW_FRAMES
) -> dict[str, Tensor]:
    """Windows in which neuron i answers to direction i modulo `n_directions`, in noise."""
    rng = np.random.default_rng(seed)
    direction = np.arange(n_windows) % n_directions
    values = 0.3 * rng.standard_normal((n_windows, n_neurons, window_frames))
    values += 2.0 * (np.arange(n_neurons) % n_directions == direction[:, None])[:, :, None]
    return {
        "values": torch.from_numpy(values.astype(np.float32)),
        "neuron_index": torch.arange(1, n_neurons + 1).repeat(n_windows, 1),
        "neuron_mask": torch.ones(n_windows, n_neurons, dtype=torch.bool),
        "session_index": torch.zeros(n_windows, dtype=torch.int64),
        "direction": torch.from_numpy(direction),
        "trial": torch.arange(n_windows),
        "start_frame": torch.arange(n_windows) * 90,
    }


@pytest.fixture
def model(config: PoyoConfig) -> PoyoPlus:
    return PoyoPlus(config, names(5), ["s"], seed=3)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return make_batch()


@pytest.fixture
def batches() -> Callable[..., dict[str, Tensor]]:
    return make_batch
