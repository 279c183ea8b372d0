"""`TwoViews`: pairs of windows of one recording, each with a random part of the neurons, for contrastive training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.digests import json_digest
from poyodata.errors import LoaderError, nearest
from poyodata.loaders.order import IntArray, draws_at
from poyodata.loaders.transforms.transform import sample_keys, smallest
from poyodata.loaders.windows.fixed import lay
from poyodata.loaders.windows.index import Located, WindowIndex
from poyodata.loaders.windows.stretches import STRIDE, Stretches, role_stretches

PAIRS = ("within_epoch", "across_epochs", "any")

NO_PARTNER = "no second window within reach"
TOO_FEW = "a view of fewer than min_neurons neurons"


@dataclass(frozen=True)
class Pairs:
    """Pairs of a batch; those that were dropped are left out of every array.

    Attributes
    ----------
    kept : ndarray, shape (batch,), bool
        Which of the windows that came have a pair.
    session_index : ndarray, shape (pair,), int64
    sample : ndarray, shape (pair,), int64
    start_a, start_b : ndarray, shape (pair,), int64
        First frames of both windows.
    neurons_a, neurons_b : list of ndarray, shape (neuron,), int64
        Neurons of each view: increasing positions among the recording's selected neurons.
    matched : list of ndarray, shape (2, match), int64
        For each neuron that is in both views, its positions in `neurons_a` and in `neurons_b`.
    dropped : mapping of str to int
        Reason in words, and how many pairs.
    """

    kept: npt.NDArray[np.bool_]
    session_index: IntArray
    sample: IntArray
    start_a: IntArray
    start_b: IntArray
    neurons_a: list[IntArray]
    neurons_b: list[IntArray]
    matched: list[IntArray]
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.start_a)

    def matched_padded(self) -> IntArray:
        """Give `matched` as one array, shape (pair, match, 2), int64; -1 in padding."""
        width = max((rows.shape[1] for rows in self.matched), default=0)
        padded = np.full((len(self), width, 2), -1, np.int64)
        for row, rows in zip(padded, self.matched, strict=True):
            row[: rows.shape[1]] = rows.T
        return padded


@dataclass(frozen=True)
class TwoViews:
    """Two windows of one recording a little apart, each with a random part of its neurons.

    The first window comes from windows back to back with a random phase. The second one's first frame is drawn from all
    that lie between `min_gap_s` and `max_gap_s` before or after that of the first, each equally likely. Stretches
    shorter than two windows are left out. From each view a number of neurons is drawn, uniformly between the two
    shares `keep` of all, and that many without replacement. Neurons in both are the positive pairs.

    All gaps are from first frame to first frame, and become whole frames: windows of length W that are W apart touch
    and do not overlap.

    Parameters
    ----------
    window_s : float, seconds
    max_gap_s : float, seconds, optional
        By default anywhere in the recording.
    min_gap_s : float, seconds, optional
        By default `window_s`: views do not overlap. Calcium indicators decay over a second or so; windows that overlap
        or touch are alike whatever the neurons do. 0 allows the very same window.
    keep : (float, float)
        Least and greatest share of the neurons in a view.
    min_neurons : int
        A pair with a view of fewer neurons is dropped, and counted.
    pairs : {"within_epoch", "across_epochs", "any"}
        Whether both windows lie in one stimulus epoch, in two different ones, or wherever they fit.

    Raises
    ------
    LoaderError
        The numbers contradict each other.

    Examples
    --------
    >>> TwoViews(window_s=30, max_gap_s=240).gaps(rate_hz=4.0)
    (120, 960)
    """

    window_s: float
    max_gap_s: float | None = None
    min_gap_s: float | None = None
    keep: tuple[float, float] = (0.5, 1.0)
    min_neurons: int = 11
    pairs: Literal["within_epoch", "across_epochs", "any"] = "within_epoch"

    def __post_init__(self) -> None:
        if not 0 < self.window_s < np.inf:
            raise LoaderError(f"window_s of two views is above 0, got {self.window_s}.")
        if self.min_gap_s is not None and not 0 <= self.min_gap_s < np.inf:
            raise LoaderError(f"min_gap_s is 0 or above, got {self.min_gap_s}.")
        least = self.window_s if self.min_gap_s is None else self.min_gap_s
        if self.max_gap_s is not None and not least <= self.max_gap_s < np.inf:
            raise LoaderError(
                f"max_gap_s={self.max_gap_s} is less than min_gap_s={least} (by default window_s): no second window "
                "can be that near and that far."
            )
        if not 0 < self.keep[0] <= self.keep[1] <= 1:
            raise LoaderError(f"`keep` is two shares, 0 < least <= greatest <= 1; got {list(self.keep)}.")
        if self.min_neurons < 1:
            raise LoaderError(f"min_neurons is at least 1, got {self.min_neurons}.")
        if self.pairs not in PAIRS:
            raise LoaderError(f"pairs of views are {', '.join(PAIRS)}: {nearest(str(self.pairs), PAIRS)}")

    @property
    def digest(self) -> str:
        """Sha256 of the numbers."""
        return json_digest(asdict(self))

    def n_frames(self, rate_hz: float) -> int:
        """Frames of a window."""
        frames = round(self.window_s * rate_hz)
        if frames < 1:
            raise LoaderError(f"window_s={self.window_s} is less than one frame at {rate_hz:.2f} Hz.")
        return frames

    def gaps(self, rate_hz: float) -> tuple[int, int | None]:
        """Least and greatest distance of first frames; None for no limit."""
        # From seconds to frames only here. Two windows that are one window apart must not overlap by rounding.
        least = self.n_frames(rate_hz)
        if self.min_gap_s is not None and self.min_gap_s != self.window_s:
            least = round(self.min_gap_s * rate_hz)
        most = None if self.max_gap_s is None else max(least, round(self.max_gap_s * rate_hz))
        return least, most

    def resolve(self, view: View, role: str, rate_hz: float, *, random_phase: bool = True) -> ViewPairs:
        """Lay the first windows, and find where second ones may lie.

        Parameters
        ----------
        view : View
        role : str
        rate_hz : float
        random_phase : bool
            Whether the first windows begin at another frame in every epoch.

        Raises
        ------
        LoaderError
            No stretch has room for two windows, no recording has enough neurons, or no two windows are as far apart as
            they may be: before anything is read.
        """
        n_frames = self.n_frames(rate_hz)
        least, greatest = self.gaps(rate_hz)
        stretches = role_stretches(view, role)
        epoch = np.full(len(stretches), -1, np.int64)
        if self.pairs != "any":
            stretches, epoch = _cut_at_epochs(view, stretches)
        long = stretches.length >= 2 * n_frames
        if not long.any():
            raise LoaderError(
                f"no stretch of role {role!r} has room for two windows of {n_frames} frames: the longest of "
                f"{len(stretches)} has {stretches.length.max(initial=0)}. Shorten the views' window_s, or let the diet "
                "eat longer stretches."
            )
        counts = np.array([len(view.columns(key)) for key in view.session_ids], np.int64)
        few = np.floor(self.keep[1] * counts).astype(np.int64) < self.min_neurons
        used = np.unique(stretches.session_index[long])
        if few[used].all():
            raise LoaderError(
                f"no recording has a view of min_neurons={self.min_neurons} neurons: the largest has "
                f"{counts[used].max()}, of which views keep {self.keep[1]:g} at most. Lower min_neurons."
            )
        able = long & ~few[stretches.session_index]
        paired = able.copy()
        paired[able] = self._paired(stretches.keep(able), epoch[able], n_frames, least, greatest)
        if not paired.any():
            most = "any distance" if greatest is None else f"{greatest / rate_hz:.2f} s"
            raise LoaderError(
                f"no two windows of role {role!r} are a pair: first frames are to be {least / rate_hz:.2f} s to {most} "
                f"apart, with pairs={self.pairs!r}. Widen min_gap_s and max_gap_s, take other `pairs`, or let the diet "
                "eat more."
            )
        kept = stretches.keep(paired)
        index = lay(view.session_ids, kept, n_frames, n_frames, random_phase=random_phase, role=role)
        for reason, count in (
            (f"stretches shorter than {2 * n_frames} frames", (~long).sum()),
            (f"recordings with views of fewer than {self.min_neurons} neurons", few[used].sum()),
            ("stretches without a second window within reach", (able & ~paired).sum()),
        ):
            index = index.with_dropped(reason, int(count))
        return ViewPairs(self, index, kept, epoch[paired], counts, n_frames, least, greatest, index.dropped)

    def _paired(
        self, stretches: Stretches, epoch: IntArray, n_frames: int, least: int, greatest: int | None
    ) -> npt.NDArray[np.bool_]:
        """Which stretches have room for one window of a pair, shape (stretch,)."""
        begin, end = stretches.start, stretches.stop - n_frames
        found = np.zeros(len(stretches), np.bool_)
        for at in range(len(stretches)):
            mine = slice(*np.searchsorted(stretches.session_index, stretches.session_index[at] + np.arange(2)))
            # First frames of two stretches can be any number of frames apart between these two.
            nearest_frames = np.maximum(np.maximum(begin[mine] - end[at], begin[at] - end[mine]), 0)
            farthest_frames = np.maximum(end[mine] - begin[at], end[at] - begin[mine])
            fits = (farthest_frames >= least) & (nearest_frames <= (STRIDE if greatest is None else greatest))
            if self.pairs != "any":
                fits &= (epoch[mine] == epoch[at]) == (self.pairs == "within_epoch")
            found[at] = fits.any()
        return found


@dataclass(frozen=True)
class ViewPairs:
    """What `TwoViews` means for one role of a manifest.

    Attributes
    ----------
    spec : TwoViews
    index : WindowIndex
        The first windows: what a sampler draws from.
    stretches : Stretches
        Where windows may lie.
    epoch : ndarray, shape (stretch,), int64
        Stimulus epoch of each; -1 with ``pairs="any"``.
    n_neurons : ndarray, shape (session,), int64
    n_frames, min_gap, max_gap : int
        Frames; `max_gap` None for no limit.
    dropped : mapping of str to int
        What was left out, by reason; those of `index`.
    """

    spec: TwoViews
    index: WindowIndex
    stretches: Stretches
    epoch: IntArray
    n_neurons: IntArray
    n_frames: int
    min_gap: int
    max_gap: int | None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def draw(self, located: Located, sample: IntArray, *, seed: int, epoch: int) -> Pairs:
        """Draw second windows and neurons for some first windows; a pure function of (seed, epoch, sample).

        Parameters
        ----------
        located : Located
            First windows, of `index` or of ``index.at_epoch(seed, epoch)``.
        sample : ndarray, shape (batch,), int64
        seed, epoch : int
        """
        sample = np.asarray(sample, np.int64)
        starts = self._partners(located, draws_at(sample_keys("views: partner", seed, epoch, sample), 0 * sample))
        counts = self.n_neurons[located.session_index]
        shown = [self._neurons(counts, sample, seed, epoch, view) for view in (0, 1)]
        least = np.array([min(len(a), len(b)) for a, b in zip(*shown, strict=True)], np.int64)
        few = least < self.spec.min_neurons
        kept = (starts >= 0) & ~few
        dropped = Counter({TOO_FEW: int(few.sum()), NO_PARTNER: int((~few & (starts < 0)).sum())})
        at = np.flatnonzero(kept)
        a, b = ([one[i] for i in at] for one in shown)
        return Pairs(
            kept=kept,
            session_index=located.session_index[at],
            sample=sample[at],
            start_a=located.start[at],
            start_b=starts[at],
            neurons_a=a,
            neurons_b=b,
            matched=[_matched(one, other) for one, other in zip(a, b, strict=True)],
            dropped={reason: count for reason, count in dropped.items() if count},
        )

    def _partners(self, located: Located, words: npt.NDArray[np.uint64]) -> IntArray:
        """First frame of a second window for each first one; -1 where there is none."""
        domain = self.stretches
        of = domain.session_index
        first = np.searchsorted(of, located.session_index, side="left")
        last = np.searchsorted(of, located.session_index, side="right")
        found = np.full(len(located), -1, np.int64)
        most = STRIDE if self.max_gap is None else self.max_gap
        for at, (low, high, start) in enumerate(zip(first, last, located.start, strict=True)):
            begin, end = domain.start[low:high], domain.stop[low:high] - self.n_frames
            epoch = self.epoch[low:high]
            home = (begin <= start) & (start <= end)
            if not home.any():
                continue
            if self.spec.pairs != "any":
                same = epoch == epoch[np.argmax(home)]
                here = same if self.spec.pairs == "within_epoch" else ~same
                begin, end = begin[here], end[here]
            # Before and after the first window; where the least gap is 0 its own start is in one of them alone.
            after = start + max(self.min_gap, 1)
            lows = np.r_[np.maximum(begin, start - most), np.maximum(begin, after)]
            highs = np.r_[np.minimum(end, start - self.min_gap), np.minimum(end, start + most)]
            room = np.cumsum(np.maximum(highs - lows + 1, 0))
            if len(room) and room[-1] > 0:
                pick = int(words[at] % np.uint64(room[-1]))
                piece = int(np.searchsorted(room, pick, side="right"))
                found[at] = highs[piece] - (room[piece] - 1 - pick)
        return found

    def _neurons(self, counts: IntArray, sample: IntArray, seed: int, epoch: int, view: int) -> list[IntArray]:
        """A random part of the neurons of every window, for one of its two views."""
        low, high = (np.floor(share * counts).astype(np.int64) for share in self.spec.keep)
        words = draws_at(sample_keys("views: how many", seed, epoch, sample), np.full(len(sample), view, np.int64))
        many = low + (words % (high - low + 1).astype(np.uint64)).astype(np.int64)
        keys = sample_keys("views: which", seed, epoch, sample, view)
        chosen: list[IntArray] = []
        for key, n, of in zip(keys, many.tolist(), counts.tolist(), strict=True):
            chosen.append(smallest(draws_at(np.array([key]), np.arange(of, dtype=np.int64)), n))
        return chosen


def _matched(a: IntArray, b: IntArray) -> IntArray:
    """Positions in `a` and in `b` of what is in both, shape (2, match)."""
    _, in_a, in_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return np.stack([in_a, in_b]).astype(np.int64)


def _cut_at_epochs(view: View, stretches: Stretches) -> tuple[Stretches, IntArray]:
    """Cut stretches where a stimulus epoch begins or ends; time outside of all of them falls away."""
    table = view.store.epochs
    pieces: list[tuple[int, int, int, int, int]] = []
    for place, key in enumerate(view.session_ids):
        mine = table[(table["session_id"] == key).to_numpy(bool)]
        rows = mine[["start_frame", "stop_frame", "epoch"]].to_numpy(np.int64)
        for at in np.flatnonzero(stretches.session_index == place):
            low, high = np.maximum(rows[:, 0], stretches.start[at]), np.minimum(rows[:, 1], stretches.stop[at])
            source = int(stretches.source[at])
            pieces += [(place, int(low[i]), int(high[i]), source, int(rows[i, 2])) for i in np.flatnonzero(high > low)]
    found = np.array(sorted(pieces), np.int64).reshape(-1, 5)
    return Stretches(found[:, 0], found[:, 1], found[:, 2], found[:, 3]), found[:, 4]
