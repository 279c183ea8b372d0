"""Reliability over a movie's repeats: known answers, cut repeats, and what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.statistics.statistic import Stretch
from poyodata.statistics.tuning.movies import TUNING_NATURAL_MOVIE_ONE
from tests.statistics.tuned import RATE_HZ, cut, results, same

LENGTH = 90


def movie(repeats=4, n_neurons=3, noise=(0.0, 1.0, 1e6), seed=0):
    """Repeats of one movie, of which the last runs a frame longer; neurons follow it with less and less precision."""
    rng = np.random.default_rng(seed)
    course = rng.standard_normal((LENGTH, 1))
    lengths = [LENGTH] * (repeats - 1) + [LENGTH + 1]
    traces = [rng.standard_normal((50, n_neurons))]
    rows, frame = [], 50
    for repeat, length in enumerate(lengths):
        shown = np.vstack([course, course[-1:]])[:length]
        traces.append(shown + np.array(noise) * rng.standard_normal((length, n_neurons)))
        for index in range(LENGTH):
            stop = frame + index + 1 if index < LENGTH - 1 else frame + length
            rows.append({"movie_frame": index, "repeat": repeat, "start_frame": frame + index, "stop_frame": stop})
        frame += length
    traces.append(rng.standard_normal((50, n_neurons)))
    trials = pd.DataFrame(rows).assign(stimulus="natural_movie_one", blank=False)
    return Stretch(traces=np.concatenate(traces).astype(np.float32), trials=trials, rate_hz=RATE_HZ)


def test_reliability_over_repeats():
    stretch = movie(repeats=10)
    found = results(TUNING_NATURAL_MOVIE_ONE, stretch)
    np.testing.assert_allclose(found["reliability_nm1"], [1.0, 0.5, 0.0], atol=0.1)
    assert found["reliability_nm1"][0] == pytest.approx(1.0)
    assert found["n_repeats_nm1"].tolist() == [10] * 3
    start = 50 + LENGTH * np.arange(10)
    courses = np.stack([stretch.traces[first : first + LENGTH, 1] for first in start]).astype(float)
    expected = np.corrcoef(courses)[np.triu_indices(10, 1)].mean()
    assert found["reliability_nm1"][1] == pytest.approx(expected, rel=1e-9)
    assert found["peak_time_s_nm1"][1] == courses.mean(axis=0).argmax() / RATE_HZ


def test_repeats_that_are_cut_do_not_count():
    stretch = movie(repeats=6)
    edge = 50 + 3 * LENGTH + 40  # in the fourth of six
    found = results(TUNING_NATURAL_MOVIE_ONE, *cut(stretch, edge))
    assert found["n_repeats_nm1"].tolist() == [5] * 3
    trials = stretch.trials[stretch.trials["repeat"] != 3]
    same(found, results(TUNING_NATURAL_MOVIE_ONE, Stretch(traces=stretch.traces, trials=trials, rate_hz=RATE_HZ)))


def test_a_repeat_without_its_beginning_is_none():
    _, tail = cut(movie(repeats=1), 50 + 30)
    assert len(tail.trials) > LENGTH / 2
    found = results(TUNING_NATURAL_MOVIE_ONE, tail)
    assert found["n_repeats_nm1"].tolist() == [0] * 3
    assert np.isnan(found["peak_time_s_nm1"]).all()


def test_missing_frames_and_too_few_repeats():
    stretch = movie(repeats=3)
    traces = stretch.traces.copy()
    traces[60, 0], traces[:, 1] = np.nan, np.nan
    found = results(TUNING_NATURAL_MOVIE_ONE, Stretch(traces=traces, trials=stretch.trials, rate_hz=RATE_HZ))
    assert found["n_repeats_nm1"].tolist() == [2, 0, 3]
    assert np.isnan(found["reliability_nm1"]).tolist() == [False, True, False]
    alone = stretch.trials[stretch.trials["repeat"] == 1]
    once = results(TUNING_NATURAL_MOVIE_ONE, Stretch(traces=stretch.traces, trials=alone, rate_hz=RATE_HZ))
    assert np.isnan(once["reliability_nm1"]).all()
    assert np.isfinite(once["peak_time_s_nm1"]).all()
    for trials in (stretch.trials[:0], pd.DataFrame()):
        none = results(TUNING_NATURAL_MOVIE_ONE, Stretch(traces=stretch.traces, trials=trials, rate_hz=RATE_HZ))
        assert none["n_repeats_nm1"].tolist() == [0, 0, 0]
        assert np.isnan(none["reliability_nm1"]).all()
