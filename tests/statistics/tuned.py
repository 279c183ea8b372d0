"""Recordings with known tuning: fluorescence that is set by hand, frame by frame."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pandas as pd

from poyodata.statistics.statistic import Stretch

RATE_HZ = 30.0


def make(stimulus, shown, response, *, sweep, rest, lead=60, wobble=None, running=None, spread=0.0, seed=0):
    """Make one stretch; during a sweep dF/F steps up by the response, relative to fluorescence of 1.

    Parameters
    ----------
    shown : list of dict
        Features of each sweep; an empty one is a blank.
    response : ndarray, shape (sweep, neuron)
    wobble : ndarray, shape (sweep frame, neuron)
        Added to every sweep's time course; its mean is taken out.
    running : ndarray, shape (sweep,)
    """
    rng = np.random.default_rng(seed)
    n_frames = lead + len(shown) * (sweep + rest) + lead
    traces = spread * rng.standard_normal((n_frames, response.shape[1]))
    speed = np.zeros(n_frames)
    start = lead + np.arange(len(shown)) * (sweep + rest)
    for row, first in enumerate(start):
        traces[first : first + sweep] += response[row]
        if wobble is not None:
            traces[first : first + sweep] += wobble - wobble.mean(axis=0)
        if running is not None:
            speed[first : first + sweep] = running[row]
    columns = {"direction_deg": np.nan, "temporal_frequency_hz": np.nan, "orientation_deg": np.nan}
    columns |= {"spatial_frequency_cpd": np.nan, "phase": np.nan, "image": -1, "movie_frame": -1, "repeat": -1}
    rows = [{**columns, **features, "blank": not features} for features in shown]
    trials = pd.DataFrame(rows).assign(stimulus=stimulus, start_frame=start, stop_frame=start + sweep)
    signals = {} if running is None else {"running_speed": speed}
    return Stretch(traces=traces.astype(np.float32), trials=trials, rate_hz=RATE_HZ, signals=signals)


def cut(stretch, *edges):
    """Cut a stretch in pieces; presentations that a cut divides are in none of them."""
    pieces = []
    for a, b in zip([0, *edges], [*edges, len(stretch.traces)], strict=True):
        trials = stretch.trials[(stretch.trials["start_frame"] >= a) & (stretch.trials["stop_frame"] <= b)]
        trials = trials.assign(start_frame=trials["start_frame"] - a, stop_frame=trials["stop_frame"] - a)
        signals = {name: values[a:b] for name, values in stretch.signals.items()}
        pieces.append(Stretch(traces=stretch.traces[a:b], trials=trials, rate_hz=stretch.rate_hz, signals=signals))
    return pieces


def results(statistic, *stretches):
    """Run a statistic over stretches in turn."""
    states = [statistic.chunk(stretch, statistic.params) for stretch in stretches]
    found = dict(statistic.finalize(reduce(statistic.combine, states), statistic.params))
    assert set(found) == set(statistic.columns)
    return {name: np.asarray(values).astype(statistic.columns[name].dtype) for name, values in found.items()}


def same(first, second, **tolerance):
    """Whether all columns of two results agree."""
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], err_msg=name, **tolerance)
