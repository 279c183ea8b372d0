"""Mean, standard deviation, skewness and kurtosis of every trace: one of the two hot loops.

Why it is written like this
---------------------------
* One pass over memory, O(neuron) of extra memory, no copy of the traces. Frames come in blocks that fit the second
  level cache. A block's power sums are taken about a shift, turned into central moments and merged (Pebay 2008).
* The shift is the running mean rounded to float32: float32 minus float32 is exact in float64, so an offset of the trace
  costs no digits. A distance between shift and block mean costs digits only in proportion to the between-block term
  that the merge adds anyway, as long as what came before weighs at least as much as the block; before that, the block's
  own mean is taken. Plain float32 power sums lose four digits, and everything when a trace sits at +500.
* Every block is first added up in reading order. That keeps the memory prefetcher busy (four rows at once do
  not) and tells, in one number, whether a frame is missing; only such blocks pay for tests.
* Four rows at a time, because the accumulators are then loaded and stored a quarter as often. Eight gain nothing.
* No fast-math where results come from: the order of additions is fixed, and the same traces give the same bits on every
  machine. (Reassociation is allowed in the block's sum, which nobody sees.)
* One thread. Threads inside gain little on idle cores and lose much on busy ones; recordings can run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.compiling import compiled
from poyodata.errors import StatisticError

FloatVector = npt.NDArray[np.float64]

BLOCK_FRAMES = 256


def _merged(n: Any, mean: Any, m2: Any, m3: Any, m4: Any, k: Any, mean_k: Any, p2: Any, p3: Any, p4: Any) -> Any:
    """Pebay's merge of two sets of central sums, for scalars in the kernel and for arrays outside."""
    total = n + k
    delta = mean_k - mean
    step = delta / np.maximum(total, 1.0)
    between = delta * step * n * k
    return (
        total,
        mean + step * k,
        m2 + p2 + between,
        m3 + p3 + between * step * (n - k) + 3.0 * step * (n * p2 - k * m2),
        m4
        + p4
        + between * step * step * (n * n - n * k + k * k)
        + 6.0 * step * step * (n * n * p2 + k * k * m2)
        + 4.0 * step * (n * p3 - k * m3),
    )


_merged_compiled = compiled()(_merged)


@compiled(fastmath={"reassoc", "nsz"})
def _total_of_rows(traces: Any, start: int, stop: int) -> Any:
    total = np.float32(0.0)
    for r in range(start, stop):
        row = traces[r]
        for j in range(row.size):
            total += row[j]
    return total


@compiled()
def _shifts(traces: Any, start: int, stop: int, n: Any, mean: Any, shift: Any) -> None:
    for j in range(shift.size):
        shift[j] = np.float64(np.float32(mean[j]))
        if n[j] < stop - start:
            total, count = 0.0, 0
            for r in range(start, stop):
                if np.isfinite(traces[r, j]):
                    total += np.float64(traces[r, j])
                    count += 1
            if count > 0:
                shift[j] = np.float64(np.float32(total / count))


@compiled()
def _power_sums(traces: Any, start: int, stop: int, shift: Any, a1: Any, a2: Any, a3: Any, a4: Any) -> None:
    columns = np.uint64(shift.size)  # unsigned: no test for indices that count from the end
    r = start
    while r + 4 <= stop:
        row, row1, row2, row3 = traces[r], traces[r + 1], traces[r + 2], traces[r + 3]
        for j in range(columns):
            c = shift[j]
            d, e, f, g = (
                np.float64(row[j]) - c,
                np.float64(row1[j]) - c,
                np.float64(row2[j]) - c,
                np.float64(row3[j]) - c,
            )
            d2, e2, f2, g2 = d * d, e * e, f * f, g * g
            a1[j] += (d + e) + (f + g)
            a2[j] += (d2 + e2) + (f2 + g2)
            a3[j] += (d2 * d + e2 * e) + (f2 * f + g2 * g)
            a4[j] += (d2 * d2 + e2 * e2) + (f2 * f2 + g2 * g2)
        r += 4
    while r < stop:
        row = traces[r]
        for j in range(columns):
            d = np.float64(row[j]) - shift[j]
            d2 = d * d
            a1[j] += d
            a2[j] += d2
            a3[j] += d2 * d
            a4[j] += d2 * d2
        r += 1


@compiled()
def _power_sums_missing(traces: Any, start: int, stop: int, shift: Any, sums: Any, count: Any) -> None:
    for r in range(start, stop):
        for j in range(shift.size):
            if np.isfinite(traces[r, j]):
                d = np.float64(traces[r, j]) - shift[j]
                d2 = d * d
                sums[0, j] += d
                sums[1, j] += d2
                sums[2, j] += d2 * d
                sums[3, j] += d2 * d2
                count[j] += 1.0


@compiled()
def _accumulate(traces: Any, block: int, state: Any) -> None:
    n, n_missing, mean, m2, m3, m4 = state[0], state[1], state[2], state[3], state[4], state[5]
    rows, columns = traces.shape
    sums = np.zeros((5, columns))
    count, shift = np.zeros(columns), np.zeros(columns)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        complete = np.isfinite(_total_of_rows(traces, start, stop))
        _shifts(traces, start, stop, n, mean, shift)
        sums[:] = 0.0
        if complete:
            count[:] = stop - start
            _power_sums(traces, start, stop, shift, sums[0], sums[1], sums[2], sums[3])
        else:
            count[:] = 0.0
            _power_sums_missing(traces, start, stop, shift, sums, count)
        for j in range(columns):
            k = count[j]
            n_missing[j] += stop - start - k
            if k > 0:
                mu = sums[0, j] / k
                a2, a3, a4 = sums[1, j], sums[2, j], sums[3, j]
                p2 = a2 - mu * sums[0, j]
                p3 = a3 - 3.0 * mu * a2 + 2.0 * mu * mu * sums[0, j]
                p4 = a4 - 4.0 * mu * a3 + 6.0 * mu * mu * a2 - 3.0 * mu * mu * mu * sums[0, j]
                n[j], mean[j], m2[j], m3[j], m4[j] = _merged_compiled(
                    n[j], mean[j], m2[j], m3[j], m4[j], k, shift[j] + mu, p2, p3, p4
                )


@dataclass(frozen=True)
class MomentState:
    """Central moments of many traces so far; states of different times merge.

    Attributes
    ----------
    n, n_missing : ndarray, shape (neuron,), float64
        Frames seen, and frames left out because they are NaN or infinite.
    mean, m2, m3, m4 : ndarray, shape (neuron,), float64
        Mean, and sums of powers of deviations from it.

    Examples
    --------
    >>> traces = np.array([[1.0], [2.0], [6.0]], np.float32)
    >>> both = MomentState.of(traces[:1]).merge(MomentState.of(traces[1:]))
    >>> both.mean.tolist(), both.m2.tolist()
    ([3.0], [14.0])
    """

    n: FloatVector
    n_missing: FloatVector
    mean: FloatVector
    m2: FloatVector
    m3: FloatVector
    m4: FloatVector

    @classmethod
    def of(cls, traces: npt.NDArray[np.float32]) -> MomentState:
        """Moments of traces of shape (time, neuron), float32; no frames at all are allowed."""
        if traces.ndim != 2:
            raise StatisticError(f"moments take traces of shape (time, neuron), and {traces.shape} arrived.")
        state = np.zeros((6, traces.shape[1]))
        frames = np.ascontiguousarray(traces, np.float32).view()
        frames.flags.writeable = False  # as mapped traces are: the compiled code is then one and the same
        _accumulate(frames, BLOCK_FRAMES, state)
        return cls(*state)

    def merge(self, other: MomentState) -> MomentState:
        """Moments of the frames of both."""
        if len(self.n) != len(other.n):
            raise StatisticError(f"moments of {len(self.n)} and of {len(other.n)} neurons cannot be merged.")
        n, mean, m2, m3, m4 = _merged(
            self.n, self.mean, self.m2, self.m3, self.m4, other.n, other.mean, other.m2, other.m3, other.m4
        )
        return MomentState(n, self.n_missing + other.n_missing, mean, m2, m3, m4)

    def finalize(self) -> dict[str, npt.NDArray[Any]]:
        """Turn the sums into the columns of the statistic ``moments``."""
        nan = np.float64(np.nan)
        seen = np.where(self.n > 0, self.n, nan)
        frames = self.n + self.n_missing
        variance = self.m2 / seen
        # A trace is constant when its spread is rounding of its mean: scipy's criterion.
        shape = np.where(variance > (np.finfo(np.float64).eps * self.mean) ** 2, variance, nan)
        pearson = self.m4 / seen / shape**2
        return {
            "mean": np.where(self.n > 0, self.mean, nan),
            "std": np.sqrt(variance),
            "skewness": self.m3 / seen / shape**1.5,
            "kurtosis": pearson - 3.0,
            "kurtosis_pearson": pearson,
            "n_frames": self.n.astype(np.int64),
            "missing_fraction": self.n_missing / np.where(frames > 0, frames, nan),
        }
