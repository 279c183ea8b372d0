"""Windows drawn with replacement, some more often than others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.order import draws_at, key_of
from poyodata.loaders.sampling.ranks import Ranks
from poyodata.loaders.sampling.sampler import ROW_STREAM, WINDOW_STREAM, Dealt, IntArray
from poyodata.loaders.windows.index import WindowIndex

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weighted(Dealt):
    """Windows drawn with replacement; made by `weighted`.

    Attributes
    ----------
    weights : ndarray, shape (row,), float64
        Of each window of the row.
    """

    weights: FloatArray = field(default_factory=lambda: np.empty(0))

    @cached_property
    def _mass(self) -> FloatArray:
        return np.cumsum(self.weights * self.index.count)

    def windows(self, epoch: int, positions: IntArray) -> IntArray:
        """Windows at some positions of an epoch, shape (position,), int64."""
        word = draws_at(key_of(self.seed, epoch, ROW_STREAM), positions)
        share = (word >> np.uint64(11)).astype(np.float64) * 2.0**-53
        total = self._mass[-1]
        # A share just below 1 may round to all of it, and beyond the last row.
        row = np.searchsorted(self._mass, np.minimum(share * total, np.nextafter(total, 0.0)), side="right")
        count = self.index.count[row]
        word = draws_at(key_of(self.seed, epoch, WINDOW_STREAM), positions)
        within = (word % count.astype(np.uint64)).astype(np.int64)
        return np.asarray(self.index.stop[row] - count + within, np.int64)


def weighted(
    index: WindowIndex,
    weights: FloatArray | Mapping[str, float],
    batch_size: int,
    seed: int,
    ranks: Ranks | None = None,
    n_windows: int | None = None,
    drop_last: bool = False,
) -> Weighted:
    """Draw windows with replacement, each with a chance proportional to its weight.

    Parameters
    ----------
    index : WindowIndex
    weights : ndarray of shape (row,), float64, or mapping of session id to float
        Weight of every window of a row, or of a recording (`term_weights`); 0 for never.
    batch_size : int
        Of one rank.
    seed : int
    ranks : Ranks, optional
    n_windows : int, optional
        Drawn in an epoch; by default as many as there are.
    drop_last : bool
        Leave out a last batch that is not full.

    Raises
    ------
    LoaderError
        When a weight is negative or not finite, all are 0, there is not one for each row, or a recording has none.
    """
    if isinstance(weights, Mapping):
        used = [index.session_ids[at] for at in np.unique(index.session_index)]
        without = [name for name in used if name not in weights]
        if without:
            raise LoaderError(
                f"{len(without)} of {len(used)} recordings have no weight, the first is {without[0]!r}; give one for "
                "each, 0 for those that are never drawn."
            )
        of_session = np.array([float(weights.get(name, 0.0)) for name in index.session_ids])
        weights = of_session[index.session_index]
    given = np.asarray(weights, np.float64)
    if given.shape != (index.n_rows,):
        raise LoaderError(
            f"weights have shape {given.shape}, and the index has {index.n_rows} rows; give one weight for each row, "
            "or a mapping of session id to weight."
        )
    if not (np.isfinite(given).all() and (given >= 0).all() and given.any()):
        raise LoaderError("weights are finite, not negative, and not all 0; others were given.")
    drawn = len(index) if n_windows is None else n_windows
    return Weighted(index, batch_size, seed, ranks or Ranks(), drawn, drop_last, given)


def term_weights(view: View, weights: Mapping[str, float]) -> dict[str, float]:
    """Weight recordings by the terms of the diet that their neurons come from.

    Parameters
    ----------
    view : View
    weights : mapping of str to float
        Weight of each term (column ``term`` of ``Manifest.neurons``).

    Returns
    -------
    dict of session id to float
        Mean over the recording's selected neurons of the weight of their term.

    Raises
    ------
    UsageError
        When a term is unknown, or one of the manifest has no weight.
    """
    term = view.manifest.neurons["term"].astype(str)
    known = sorted(term.unique())
    for name in weights:
        if name not in known:
            raise UsageError(f"no neuron comes from a term {name!r}: {nearest(str(name), known)}")
    without = [name for name in known if name not in weights]
    if without:
        raise UsageError(f"term {without[0]!r} of the diet has no weight; give one for each of {', '.join(known)}.")
    mean = term.map(weights).astype(float).groupby(view.manifest.neurons["session_id"]).mean()
    return {str(name): float(value) for name, value in mean.items()}
