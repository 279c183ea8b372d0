"""Frames in which an improbable share of neurons jumps together: motion of the brain, or light that flickers.

A neuron jumps where it differs from the frame before by more than 2 standard deviations of such differences within the
same minute: 4.6 % of frames for Gaussian noise. A frame is a common event where the number of neurons that jump exceeds
its median over frames by 8 standard deviations: the larger one of its spread over frames (half the distance of the 16th
to the 84th percentile, which the events themselves do not move) and the binomial one of independent neurons. Signs do
not matter, since motion brightens some regions and darkens others. Strong synchronous activity looks the same: this is
a reason to look, not proof of motion.

What is kept is one row for every possible number of jumping neurons, so that the bar can be set once all is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.quality.seconds import MINUTE_S
from poyodata.statistics.statistic import Column, Statistic, Stretch

FloatArray = npt.NDArray[np.float64]

JUMP_STD = 2.0
BAR_STD = 8.0
LEAST_NEURONS = 5
"""Fewer neurons do not make a population that could jump together."""
_MEAN_TO_STD = float(np.sqrt(np.pi / 2))


@dataclass(frozen=True)
class CommonJumps:
    """Frames and squared differences so far, by how many neurons jumped.

    Attributes
    ----------
    frames : ndarray, shape (neuron + 1,), int64
        Row k: frames in which k neurons jumped.
    squares : ndarray, shape (neuron + 1, neuron), float64, (dF/F)^2
        Row k: of each neuron, the sum of its squared differences from the frame before in those frames.
    """

    frames: npt.NDArray[np.int64]
    squares: FloatArray

    @classmethod
    def of(cls, stretch: Stretch, jump_std: float = JUMP_STD) -> CommonJumps:
        """Look at the frames of a stretch, minute by minute; a rest of less than a second is left out."""
        second = max(2, round(stretch.rate_hz))
        n_frames, n_neurons = stretch.traces.shape
        frames, squares = np.zeros(n_neurons + 1, np.int64), np.zeros((n_neurons + 1, n_neurons))
        for start in range(0, n_frames - second, second * MINUTE_S):
            with np.errstate(invalid="ignore", over="ignore"):
                step = np.diff(stretch.traces[start : start + second * MINUTE_S + 1], axis=0)
                np.abs(step, out=step)
                mean = step.mean(axis=0, dtype=np.float64)
            if not np.isfinite(mean).all():
                seen = np.isfinite(step)
                step = np.where(seen, step, np.float32(0))
                mean = step.sum(axis=0, dtype=np.float64) / np.maximum(seen.sum(axis=0), 1)
            number = np.count_nonzero(step > (jump_std * _MEAN_TO_STD * mean).astype(np.float32), axis=1)
            order = np.argsort(number, kind="stable")
            each, first = np.unique(number[order], return_index=True)
            step *= step
            squares[each] += np.add.reduceat(step[order], first, axis=0)
            frames += np.bincount(number, minlength=n_neurons + 1)
        return cls(frames, squares)

    def merge(self, other: CommonJumps) -> CommonJumps:
        """Sums of both."""
        return CommonJumps(self.frames + other.frames, self.squares + other.squares)

    def bar(self, bar_std: float = BAR_STD) -> float:
        """Neurons that must jump in a frame for a common event."""
        n_neurons, number = len(self.frames) - 1, np.arange(len(self.frames))
        cumulated = np.cumsum(self.frames) / self.frames.sum()
        low, median, high = (float(np.searchsorted(cumulated, share)) for share in (0.1587, 0.5, 0.8413))
        share = float(number @ self.frames) / self.frames.sum() / n_neurons
        return median + bar_std * max((high - low) / 2, float(np.sqrt(n_neurons * share * (1 - share))))


def _chunk(stretch: Stretch, params: Mapping[str, Any]) -> CommonJumps:
    return CommonJumps.of(stretch, params["jump_std"])


def _finalize(state: CommonJumps, params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    n_neurons, total = state.squares.shape[1], state.squares.sum(axis=0)
    moving = total > 0
    if moving.sum() < params["least_neurons"]:
        return {"common_event_share": np.full(n_neurons, np.nan), "common_event_frames": np.zeros(n_neurons, np.int64)}
    above = np.arange(len(state.frames)) > state.bar(params["bar_std"])
    return {
        "common_event_share": state.squares[above].sum(axis=0) / np.where(moving, total, np.nan),
        "common_event_frames": np.full(n_neurons, state.frames[above].sum()),
    }


QUALITY_COMMON_EVENTS = Statistic(
    name="quality_common_events",
    version=1,
    group="quality",
    columns={
        "common_event_share": Column(
            dtype="float64",
            unit="1",
            definition="Share of the neuron's squared differences of successive frames that falls in common events: "
            f"frames in which the number of neurons that jump by more than {JUMP_STD:g} standard deviations exceeds "
            f"its median by {BAR_STD:g} standard deviations.",
            low=0.0,
            high=1.0,
        ),
        "common_event_frames": Column(
            dtype="int64",
            unit="frames",
            definition="Frames of the recording that are common events; the same for all of its neurons.",
            low=0.0,
        ),
    },
    chunk=_chunk,
    combine=CommonJumps.merge,
    finalize=_finalize,
    nan_policy="A difference with a missing frame is none. common_event_share is NaN for a neuron without differences "
    f"and in recordings of fewer than {LEAST_NEURONS} neurons, which have no common events.",
    params={"jump_std": JUMP_STD, "bar_std": BAR_STD, "least_neurons": LEAST_NEURONS},
)
