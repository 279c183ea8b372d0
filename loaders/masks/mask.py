"""`Mask`: one way to hide part of a window, drawn for one window at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, nearest
from poyodata.loaders.masks.masked import BoolArray, IntArray
from poyodata.loaders.order import WordArray, draws_at, key_of
from poyodata.loaders.transforms.transform import PURPOSES, uniforms

Scheme = Literal["neuron", "causal", "temporal", "random", "within", "across", "cosmooth", "forward"]

SCHEMES: Mapping[str, float] = {
    "neuron": 0.3,
    "causal": 0.6,
    "temporal": 0.3,
    "random": 0.3,
    "within": 0.3,
    "across": 1.0,
    "cosmooth": 1.0,
    "forward": 0.1,
}
"""Schemes, and the share that each hides by default."""

NOTHING_TO_SEE = "no neuron is left to see"

_GROUPED = ("within", "across")
_OVER_TIME = ("causal", "temporal", "random")
_OVER_NEURONS = ("neuron", "within", "cosmooth")
_FRAMES = 2**32


@dataclass(frozen=True)
class Mask:
    """One scheme of hiding part of a window.

    ========  ====================================================  =======================================  =========
    scheme    hidden                                                target                                   attention
    ========  ====================================================  =======================================  =========
    neuron    a share of the neurons                                the same                                 full
    causal    a share of the frames                                 the same                                 causal
    temporal  a share of the frames                                 the same                                 full
    random    a share of all (neuron, frame)                        the same                                 full
    within    a share of one group, and all other neurons           what is hidden of the group              full
    across    one group                                             the same                                 full
    cosmooth  one fold of the neurons, another one every epoch      the same                                 full
    forward   the last frames                                       the same, but for `gap_frames`           causal
    ========  ====================================================  =======================================  =========

    Shares are drawn entry by entry, so that the number varies; at least one is hidden, and at least one is not.
    ``cosmooth`` and ``forward`` are for evaluation and draw nothing.

    Parameters
    ----------
    scheme : str
    ratio : float, optional
        The share; by default .3, for ``causal`` .6, for ``forward`` .1. Not for ``across`` and ``cosmooth``.
    by : str, optional
        For ``within`` and ``across``: what groups neurons, see `group_neurons`. Neurons of unknown group are hidden and
        not scored.
    bins : int or tuple of float, optional
        For numeric `by`: a number of quantiles of each recording, or edges.
    weight : float
        How often this mask is drawn, relative to others.
    min_group : int
        Groups of fewer neurons are not picked. At least two groups of this size must be there.
    group_weight : {"group", "neuron"}
        Whether groups are equally likely, or in proportion to their neurons.
    span_frames : int
        Frames are hidden in blocks of so many, such as the patches of a model.
    gap_frames : int
        For ``forward``: frames before the scored ones that are hidden too, so that slow indicators do not give the
        answer away.
    folds : int, optional
        For ``cosmooth``: in so many epochs every neuron is hidden once. By default each time one neuron alone.
    exclude_radius_um : float
        For ``neuron``, ``within`` and ``cosmooth``: neurons this near to a target are hidden too, and not scored, so
        that shared neuropil and split cells do not give the answer away.

    Raises
    ------
    LoaderError
        An option is out of range, or is not of this scheme.
    """

    scheme: Scheme
    ratio: float | None = None
    by: str | None = None
    bins: int | tuple[float, ...] | None = None
    weight: float = 1.0
    min_group: int = 2
    group_weight: Literal["group", "neuron"] = "group"
    span_frames: int = 1
    gap_frames: int = 0
    folds: int | None = None
    exclude_radius_um: float = 0.0

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise LoaderError(f"there is no mask {self.scheme!r}: {nearest(str(self.scheme), SCHEMES)}")
        if self.scheme in _GROUPED and not self.by:
            raise LoaderError(f"mask {self.scheme!r} needs `by`: a column that groups neurons, such as area or x_um.")
        of: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
            ("by", self.by is not None, _GROUPED),
            ("bins", self.bins is not None, _GROUPED),
            ("ratio", self.ratio is not None, tuple(set(SCHEMES) - {"across", "cosmooth"})),
            ("span_frames", self.span_frames != 1, _OVER_TIME),
            ("gap_frames", self.gap_frames != 0, ("forward",)),
            ("folds", self.folds is not None, ("cosmooth",)),
            ("exclude_radius_um", self.exclude_radius_um != 0, _OVER_NEURONS),
        )
        for name, given, schemes in of:
            if given and self.scheme not in schemes:
                raise LoaderError(f"`{name}` is for {', '.join(sorted(schemes))}, and not for mask {self.scheme!r}.")
        for wrong, message in (
            (self.ratio is not None and not 0 < self.ratio < 1, f"`ratio` is between 0 and 1, got {self.ratio}."),
            (not 0 < self.weight < np.inf, f"`weight` is above 0, got {self.weight}."),
            (self.min_group < 1, f"`min_group` is at least 1, got {self.min_group}."),
            (self.scheme == "within" and self.min_group < 2, "`min_group` is at least 2 for `within`: one is seen."),
            (
                self.group_weight not in ("group", "neuron"),
                f"`group_weight` is group or neuron: {self.group_weight!r}.",
            ),
            (self.span_frames < 1, f"`span_frames` is at least 1, got {self.span_frames}."),
            (self.gap_frames < 0, f"`gap_frames` is at least 0, got {self.gap_frames}."),
            (self.folds is not None and self.folds < 2, f"`folds` is at least 2, got {self.folds}."),
            (not 0 <= self.exclude_radius_um < np.inf, f"`exclude_radius_um` is 0 or above: {self.exclude_radius_um}."),
        ):
            if wrong:
                raise LoaderError(message)

    @property
    def share(self) -> float:
        """Share that is hidden."""
        return SCHEMES[self.scheme] if self.ratio is None else self.ratio

    @property
    def causal(self) -> bool:
        """Whether attention should be causal."""
        return self.scheme in ("causal", "forward")

    @property
    def label(self) -> str:
        """For reports and prompts: ``within:area``."""
        return f"{self.scheme}:{self.grouping}" if self.grouping else self.scheme

    @property
    def grouping(self) -> str | None:
        """Name of the grouping, of `by` and `bins`; masks of the same one share its groups."""
        if self.by is None or self.bins is None:
            return self.by
        edges = self.bins if isinstance(self.bins, int) else ",".join(f"{edge:g}" for edge in self.bins)
        return f"{self.by}/{edges}"

    def degenerate(
        self, codes: IntArray, n_frames: int | None = None, positions_um: npt.NDArray[np.float64] | None = None
    ) -> str | None:
        """Say why the scheme makes no sense for a window, whatever is drawn; None if it does.

        Parameters
        ----------
        codes : ndarray, shape (neuron,), int64
            Groups of its neurons; -1 unknown.
        n_frames : int, optional
            Its frames; without them only neurons are looked at.
        positions_um : ndarray, shape (neuron, 2 or 3), float64, optional
            Where its neurons lie; without them all are taken to be apart.

        Examples
        --------
        >>> Mask("across", by="area").degenerate(np.zeros(12, np.int64))
        'fewer than 2 groups of at least 2 neurons'
        """
        if self.scheme in _GROUPED:
            if np.count_nonzero(self._sizes(codes) >= self.min_group) < 2:
                return f"fewer than 2 groups of at least {self.min_group} neurons"
        elif self.scheme in _OVER_NEURONS and len(codes) < 2:
            return "fewer than 2 neurons"
        if n_frames is not None:
            spans = -(-n_frames // self.span_frames)
            if self.scheme in ("causal", "temporal") and spans < 2:
                return "fewer than 2 spans of frames"
            if self.scheme == "random" and len(codes) * spans < 2:
                return "fewer than 2 entries"
            if self.scheme == "forward" and self._scored(n_frames) + self.gap_frames >= n_frames:
                return "no frame is left to see"
        if positions_um is not None and self.exclude_radius_um > 0 and self._all_near(codes, positions_um):
            return NOTHING_TO_SEE
        return None

    def starved(self, codes: IntArray, n_kept: int, *, surely: bool) -> str | None:
        """Say why too few neurons are there once a transform left so many of them; None if there are enough.

        Parameters
        ----------
        codes : ndarray, shape (neuron,), int64
            Groups before.
        n_kept : int
        surely : bool
            Whether it is so whichever neurons are kept, or may be so.
        """
        dropped = len(codes) - n_kept
        few = False
        if self.scheme in _GROUPED and dropped > 0:
            sizes = self._sizes(codes)
            # It takes the fewest to spoil all groups but the largest: each until it is one too small.
            spoiled = np.sort(sizes[sizes >= self.min_group] - self.min_group + 1)[:-1].sum()
            few = n_kept < 2 * self.min_group if surely else dropped >= spoiled
        elif self.scheme in _OVER_NEURONS:
            few = n_kept < 2 or (not surely and n_kept < (self.folds or 0))
        return f"{n_kept} neurons in a window are too few" if few else None

    def _scored(self, n_frames: int) -> int:
        """Frames that ``forward`` scores."""
        return max(1, round(self.share * n_frames))

    def _all_near(self, codes: IntArray, positions_um: npt.NDArray[np.float64]) -> bool:
        """Whether every neuron that can be a target has all that can be seen with it within the radius."""
        groups = [codes == group for group in np.flatnonzero(self._sizes(codes) >= self.min_group)]
        for mine in groups if self.scheme == "within" else [np.ones(len(codes), np.bool_)]:
            points = positions_um[mine]
            if not all(_near(points, points[at : at + 1], self.exclude_radius_um).all() for at in range(len(points))):
                return False
        return True

    @staticmethod
    def _sizes(codes: IntArray) -> IntArray:
        """How many neurons each group has, shape (group,)."""
        return np.bincount(codes[codes >= 0]).astype(np.int64)

    def draw(
        self,
        neurons: IntArray,
        hidden: BoolArray,
        target: BoolArray,
        codes: IntArray,
        positions_um: npt.NDArray[np.float64] | None,
        *,
        seed: int,
        epoch: int,
        sample: int,
        place: int,
        turn: int,
    ) -> int | str:
        """Draw the mask of one window into arrays that are all False; `MaskSpec.draw` does it for a batch.

        Parameters
        ----------
        neurons : ndarray, shape (neuron,), int64
            Places of the window that hold a neuron.
        hidden, target : ndarray, shape (place, time), bool
            Are written to; places are neurons and padding, and time is that of the window alone.
        codes : ndarray, shape (neuron,), int64
            Groups of `neurons`.
        positions_um : ndarray, shape (neuron, 2 or 3), float64, optional
        seed, epoch, sample : int
        place : int
            Of the mask among others: two of a scheme draw different words.
        turn : int
            For ``cosmooth``: which fold is hidden.

        Returns
        -------
        int or str
            The group that was picked, -1 for schemes without groups; or why there is no mask. Then nothing is written.
        """
        frames = hidden.shape[1]
        why = self.degenerate(codes, frames)
        if why is not None:
            return why

        def key(purpose: str) -> WordArray:
            return key_of(seed, epoch, PURPOSES[purpose], place, sample)

        group = -1
        match self.scheme:
            case "causal" | "temporal":
                spans = np.arange(-(-frames // self.span_frames), dtype=np.int64)
                chosen = _bernoulli(draws_at(key("mask: frame"), spans), self.share)
                hidden[neurons] = target[neurons] = np.repeat(chosen, self.span_frames)[:frames]
                return group
            case "random":
                spans = np.arange(-(-frames // self.span_frames), dtype=np.int64)
                words = draws_at(key("mask: token"), neurons[:, None] * _FRAMES + spans)
                chosen = np.repeat(_bernoulli(words, self.share), self.span_frames, axis=1)[:, :frames]
                hidden[neurons] = target[neurons] = chosen
                return group
            case "forward":
                scored = self._scored(frames)
                hidden[neurons, -(scored + self.gap_frames) :] = True
                target[neurons, -scored:] = True
                return group
            case "neuron":
                scored_neurons = _bernoulli(draws_at(key("mask: neuron"), neurons), self.share)
                unseen = scored_neurons
            case "cosmooth":
                scored_neurons = self._fold(draws_at(key_of(seed, PURPOSES["mask: fold"], place), neurons), turn)
                if not scored_neurons.any():
                    return "no neuron in this fold"
                unseen = scored_neurons
            case "within":
                group = self._pick(codes, key("mask: group"))
                scored_neurons = np.zeros(len(neurons), np.bool_)
                mine = np.flatnonzero(codes == group)
                scored_neurons[mine] = _bernoulli(draws_at(key("mask: neuron"), neurons[mine]), self.share)
                unseen = scored_neurons | (codes != group)
            case "across":
                group = self._pick(codes, key("mask: group"))
                scored_neurons = codes == group
                unseen = scored_neurons | (codes < 0)
        if self.exclude_radius_um > 0:
            if positions_um is None:
                raise LoaderError(
                    f"mask {self.label!r} leaves out neurons within {self.exclude_radius_um:g} um of its targets, and "
                    "no positions are known; give positions_um, or set exclude_radius_um to 0."
                )
            unseen = unseen | _near(positions_um, positions_um[scored_neurons], self.exclude_radius_um)
        if unseen.all():
            return NOTHING_TO_SEE
        hidden[neurons[unseen]] = True
        target[neurons[scored_neurons]] = True
        return group

    def _pick(self, codes: IntArray, key: WordArray) -> int:
        """One of the groups that are large enough."""
        sizes = self._sizes(codes)
        large = sizes >= self.min_group
        weights = np.cumsum(large * (sizes if self.group_weight == "neuron" else 1))
        u = uniforms(draws_at(key, np.zeros(1, np.int64)))[0] * weights[-1]
        return int(np.searchsorted(weights, u, side="right"))

    def _fold(self, words: WordArray, turn: int) -> BoolArray:
        n = len(words)
        if self.folds is None:
            alone: BoolArray = np.arange(n) == turn % n
            return alone
        rank = np.empty(n, np.int64)
        rank[np.argsort(words, kind="stable")] = np.arange(n)
        mine: BoolArray = rank % self.folds == turn % self.folds
        return mine


def _bernoulli(words: WordArray, ratio: float) -> BoolArray:
    """Each with probability `ratio`; never none, and never all."""
    chosen: BoolArray = uniforms(words) < ratio
    if not chosen.any():
        chosen.flat[int(np.argmin(words))] = True
    elif chosen.all():
        chosen.flat[int(np.argmax(words))] = False
    return chosen


def _near(points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64], radius: float) -> BoolArray:
    """Which points lie within `radius` of a centre, shape (point,); what has no position is near nothing."""
    from scipy.spatial.distance import cdist

    near: BoolArray = (cdist(points, centres) <= radius).any(axis=1)
    return near
