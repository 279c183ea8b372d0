"""`Noise`: Gaussian noise on the values of neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.errors import LoaderError
from poyodata.loaders.order import GAMMA, mixed
from poyodata.loaders.transforms.transform import sample_keys

_FRAMES = np.uint64(2**32)  # more than a window has: words of different neurons never meet


@compiled()
def _add_normal(values: Any, mask: Any, length: Any, keys: Any, std: Any, out: Any) -> None:
    one, two, shift = np.uint64(1), np.uint64(2), np.uint64(11)
    for b in range(values.shape[0]):
        frames = length[b]
        for n in range(values.shape[1]):
            out[b, n] = values[b, n]
            if not mask[b, n]:
                continue
            base = np.uint64(n) * _FRAMES
            # Box and Muller's transform gives two numbers at a time, for frames 2k and 2k + 1.
            for k in range((frames + 1) // 2):
                at = keys[b] + (base + two * np.uint64(k) + one) * GAMMA
                u = (np.float64(mixed(at) >> shift) + 1.0) * 2.0**-53
                angle = np.float64(mixed(at + GAMMA) >> shift) * (2.0**-53 * 2.0 * np.pi)
                radius = std * np.sqrt(-2.0 * np.log(u))
                t = 2 * k
                out[b, n, t] = values[b, n, t] + np.float32(radius * np.cos(angle))
                if t + 1 < frames:
                    out[b, n, t + 1] = values[b, n, t + 1] + np.float32(radius * np.sin(angle))


@dataclass(frozen=True)
class Noise:
    """Add independent Gaussian noise to every value; padding stays 0, of neurons and of time.

    Parameters
    ----------
    std : float
        In the units of ``values``: of a neuron's own standard deviation, where values are normalised.

    Examples
    --------
    >>> batch = {"values": np.zeros((1, 2, 3), np.float32), "neuron_mask": np.array([[True, False]])}
    >>> noisy = Noise(0.1).apply(batch | {"sample": np.array([4])}, seed=0, epoch=0)["values"]
    >>> bool((noisy[0, 0] != 0).all()), bool((noisy[0, 1] == 0).all())
    (True, True)
    """

    name: ClassVar[str] = "noise"
    training_only: ClassVar[bool] = True

    std: float

    def __post_init__(self) -> None:
        if not 0 < self.std < np.inf:
            raise LoaderError(f"the standard deviation of noise is above 0, got {self.std}; leave it out for none.")

    def apply(
        self, batch: Mapping[str, npt.NDArray[Any]], *, seed: int, epoch: int, place: int = 0
    ) -> dict[str, npt.NDArray[Any]]:
        """Give the batch with noise on ``values``; as in `Transform`."""
        values = np.ascontiguousarray(batch["values"], np.float32)
        noisy = np.empty_like(values)
        keys = sample_keys("noise", seed, epoch, batch["sample"], place)
        mask = np.ascontiguousarray(batch["neuron_mask"], np.bool_)
        shown = batch.get("time_mask")
        length = np.full(len(values), values.shape[2]) if shown is None else np.count_nonzero(shown, axis=1)
        _add_normal(values, mask, length.astype(np.int64), keys, np.float64(self.std), noisy)
        return {**batch, "values": noisy}
