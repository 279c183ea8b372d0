"""Confidence intervals of any statistic: the jackknife over pieces of time.

The time looked at is cut into pieces of about equal length, and every column is computed again without each piece in
turn. How much it moves says how far it may lie from what an endless recording of the same kind would give: pieces are
much longer than the correlation of a trace, so that they stand for independent repeats, while neighbouring frames do
not. The pieces number `PIECES`, the interval is the value plus and minus Student's t times the jackknife's standard
error (for pieces of unequal length: Busing, Meijer & van der Leeden 1999), and nothing of the statistic is used but
``chunk``, ``combine`` and ``finalize``. States from the left and from the right are kept, so that leaving out one piece
is one merge: all together costs two passes over the traces, and three merges and one ``finalize`` for every piece.

What it cannot do. Values that jump (the preferred direction), counts and p values have no interval by it worth reading;
a statistic that has such columns brings an ``interval`` of its own. Fewer than `FEWEST_PIECES` pieces, or a value that
does not exist without one of them, give NaN. An interval is cut off at the ends of the range that its column declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.statistics.statistic import Column, Interval, Resampling, Statistic, Stretch

FloatArray = npt.NDArray[np.float64]

PIECES = 24
FEWEST_PIECES = 8
SHORTEST_PIECE_S = 4.0
"""Pieces are not made shorter: calcium transients last seconds. Short recordings have fewer pieces."""


def part_of(stretch: Stretch, start: int, stop: int) -> Stretch:
    """Frames `start` to `stop` of a stretch as a stretch of their own, with the presentations that lie whole in them.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"start_frame": [0, 4, 8], "stop_frame": [2, 6, 10]})
    >>> whole = Stretch(traces=np.zeros((10, 1), np.float32), trials=trials, rate_hz=30.0, start_frame=100)
    >>> part = part_of(whole, 3, 9)
    >>> part.start_frame, part.traces.shape, part.trials["start_frame"].tolist()
    (103, (6, 1), [1])
    """
    trials = stretch.trials
    if len(trials):
        trials = trials[(trials["start_frame"] >= start) & (trials["stop_frame"] <= stop)]
        trials = trials.assign(start_frame=trials["start_frame"] - start, stop_frame=trials["stop_frame"] - start)
    return replace(
        stretch,
        traces=stretch.traces[start:stop],
        trials=trials,
        start_frame=stretch.start_frame + start,
        signals={name: values[start:stop] for name, values in stretch.signals.items()},
    )


def cut_pieces(stretches: Sequence[Stretch], count: int = PIECES) -> list[list[Stretch]]:
    """Cut stretches into pieces of about equal length.

    Parameters
    ----------
    stretches : sequence of Stretch
        In order of time.
    count : int
        Pieces wanted; fewer where they would be shorter than `SHORTEST_PIECE_S`.

    Returns
    -------
    list of list of Stretch
        A piece is one part of a stretch, or the end of one and what follows: nothing ever spans a gap. Cuts move to the
        end of a presentation, so that no presentation is divided.

    Examples
    --------
    >>> import pandas as pd
    >>> one = Stretch(traces=np.zeros((900, 1), np.float32), trials=pd.DataFrame(), rate_hz=30.0)
    >>> [[len(part.traces) for part in piece] for piece in cut_pieces([one, one], 4)]
    [[450], [450], [450], [450]]
    """
    total = sum(len(stretch.traces) for stretch in stretches)
    if total == 0:
        return []
    count = max(1, min(count, int(total / (SHORTEST_PIECE_S * stretches[0].rate_hz))))
    wanted = np.arange(1, count) * (total / count)
    pieces: list[list[Stretch]] = [[]]
    before = 0
    for stretch in stretches:
        length = len(stretch.traces)
        own = np.unique(np.round(wanted[(wanted >= before) & (wanted < before + length)] - before).astype(np.int64))
        cuts = np.unique([_between_trials(stretch, cut, total / count / 2) for cut in own.tolist()])
        edges = [0, *cuts.astype(np.int64).tolist(), length]
        for first, (start, stop) in enumerate(pairwise(edges)):
            if first and pieces[-1]:
                pieces.append([])
            if stop > start:
                pieces[-1].append(part_of(stretch, start, stop))
        before += length
    return [piece for piece in pieces if piece]


def _between_trials(stretch: Stretch, cut: int, most: float) -> int:
    """Give the end of a presentation nearest to a cut, where that is near enough."""
    if len(stretch.trials) == 0 or cut == 0:
        return cut
    ends = stretch.trials["stop_frame"].to_numpy(np.int64)
    nearest = int(ends[np.abs(ends - cut).argmin()])
    return nearest if abs(nearest - cut) <= most else cut


def jackknife_interval(
    statistic: Statistic, stretches: Sequence[Stretch], params: Mapping[str, Any], resampling: Resampling
) -> Interval:
    """Confidence intervals of a statistic's columns from its values without each piece of time.

    Parameters
    ----------
    statistic : Statistic
    stretches : sequence of Stretch
        What ``chunk`` sees of a recording, in order of time.
    params : mapping
    resampling : Resampling
        Its level; nothing is drawn.

    Returns
    -------
    mapping of column name to (low, high), each of shape (neuron,), float64
        For the columns of floating type; NaN with fewer than `FEWEST_PIECES` pieces, and where a value is not known or
        is not without one of the pieces.

    Examples
    --------
    >>> import pandas as pd
    >>> from poyodata.statistics import MOMENTS
    >>> noise = np.random.default_rng(0).normal(1.0, 0.1, (9000, 1)).astype(np.float32)
    >>> stretch = Stretch(traces=noise, trials=pd.DataFrame(), rate_hz=30.0)
    >>> low, high = jackknife_interval(MOMENTS, [stretch], {}, Resampling())["mean"]
    >>> bool(low[0] < 1.0 < high[0]), bool(high[0] - low[0] < 0.01)
    (True, True)
    """
    value = _result(statistic, [statistic.chunk(stretch, params) for stretch in stretches], params)
    names = [name for name, column in statistic.columns.items() if np.dtype(column.dtype).kind == "f"]
    pieces = cut_pieces(stretches)
    if len(pieces) < FEWEST_PIECES:
        missing = np.full(len(value[names[0]]) if names else 0, np.nan)
        return {name: (missing.copy(), missing.copy()) for name in names}
    states = [statistic.chunk(part, params) for piece in pieces for part in piece]
    # States of parts are merged to those of pieces first: what is left out is a piece.
    ends = np.cumsum([len(piece) for piece in pieces])
    of_piece = [_merged(statistic, states[end - len(piece) : end]) for piece, end in zip(pieces, ends, strict=True)]
    until = list(accumulate(of_piece, statistic.combine))
    since = list(accumulate(reversed(of_piece), lambda later, earlier: statistic.combine(earlier, later)))[::-1]
    without: dict[str, list[FloatArray]] = {name: [] for name in names}
    for index in range(len(pieces)):
        around = until[index - 1 : index] + since[index + 1 : index + 2] if index else since[1:2]
        left = _result(statistic, around, params)
        for name in names:
            without[name].append(np.asarray(left[name], np.float64))
    together = _result(statistic, until[-1:], params)
    frames = np.array([sum(len(part.traces) for part in piece) for piece in pieces], np.float64)
    found = {}
    for name in names:
        whole = np.asarray(together[name], np.float64)
        _, error = jackknife_centre_and_error(whole, np.stack(without[name]), frames)
        around_value = np.asarray(value[name], np.float64)
        column = statistic.columns[name]
        found[name] = student_interval(around_value, error, len(pieces), resampling.level, column)
    return found


def _merged(statistic: Statistic, states: Sequence[Any]) -> Any:
    return list(accumulate(states, statistic.combine))[-1]


def _result(statistic: Statistic, states: Sequence[Any], params: Mapping[str, Any]) -> Mapping[str, npt.NDArray[Any]]:
    return statistic.finalize(_merged(statistic, states), params)


def jackknife_centre_and_error(
    together: FloatArray, without: FloatArray, size: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Correct a value for its bias, and give its standard error, from its values without each piece.

    Parameters
    ----------
    together : ndarray, shape (neuron,), float64
        The value from all pieces.
    without : ndarray, shape (piece, neuron), float64
        The value from all pieces but one.
    size : ndarray, shape (piece,), float64
        Frames, or trials, of each piece.

    Returns
    -------
    centre, error : ndarray, shape (neuron,), float64

    Examples
    --------
    >>> sample = np.array([1.0, 2.0, 3.0, 4.0])
    >>> without = np.array([[np.delete(sample, i).mean()] for i in range(4)])
    >>> centre, error = jackknife_centre_and_error(np.array([2.5]), without, np.ones(4))
    >>> float(centre[0].round(3)), float(error[0].round(3))  # of a mean: itself, and std / sqrt(n)
    (2.5, 0.645)
    """
    times = (size.sum() / size)[:, None]
    with np.errstate(invalid="ignore"):
        pseudo = times * together - (times - 1) * without
        centre = len(without) * together - ((1 - 1 / times) * without).sum(axis=0)
        error = np.sqrt(((pseudo - centre) ** 2 / (times - 1)).mean(axis=0))
    return centre, error


def student_interval(
    value: FloatArray, error: FloatArray, n_pieces: int, level: float, column: Column
) -> tuple[FloatArray, FloatArray]:
    """Value plus and minus Student's t times its error, cut off at the ends of the column's range.

    Cutting off takes nothing from the coverage: what is estimated lies in the range.

    Examples
    --------
    >>> column = Column(dtype="float64", unit="1", definition="A share.", low=0.0, high=1.0)
    >>> low, high = student_interval(np.array([0.1]), np.array([0.1]), 20, 0.95, column)
    >>> float(low[0].round(3)), float(high[0].round(3))
    (0.0, 0.309)
    """
    from scipy.special import stdtrit

    reach = stdtrit(n_pieces - 1, (1 + level) / 2) * error
    return np.clip(value - reach, column.low, column.high), np.clip(value + reach, column.low, column.high)
