from __future__ import annotations

import numpy as np
import pytest

from poyodata.simulation import load_world
from poyodata.simulation.stimulus import Timeline, movie_drive, movie_template, session_a


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return session_a(load_world("demo"), np.random.default_rng(1))


def test_sweeps_last_two_seconds_every_three(timeline: Timeline) -> None:
    gratings = timeline.gratings
    assert set(gratings["end"] - gratings["start"]) <= {60, 61}
    inside = np.diff(gratings["start"])[np.r_[0:65, 66:131, 132:197]]
    assert set(inside) <= {90, 91}
    assert 30.0 <= timeline.rate_hz <= 30.1
    assert 9 * 60 < np.ptp(timeline.time_s) < 12 * 60


def test_conditions_are_balanced(timeline: Timeline) -> None:
    shown = timeline.gratings[timeline.gratings["blank_sweep"] == 0]
    counts = shown.groupby(["orientation", "temporal_frequency"]).size()
    assert len(counts) == 8 * len(load_world("demo").temporal_frequencies_hz) == 16
    assert counts.max() - counts.min() <= 1
    blank = timeline.gratings[timeline.gratings["blank_sweep"] == 1]
    assert len(blank) == 198 // 21
    assert blank[["orientation", "temporal_frequency"]].isna().all(axis=None)


def test_nothing_overlaps_and_all_is_inside(timeline: Timeline) -> None:
    shown = np.concatenate(
        [part[["start", "end"]].to_numpy() for part in (timeline.gratings, timeline.movie, timeline.spontaneous)]
    )
    shown = shown[np.argsort(shown[:, 0])]
    assert (shown[1:, 0] >= shown[:-1, 1]).all()
    assert shown.min() >= 0
    assert shown.max() <= len(timeline.time_s)
    assert (np.diff(timeline.time_s) > 0).all()


def test_movie_is_deterministic_and_falls_as_one_over_f() -> None:
    movie = movie_template(6, 128, 256, np.random.default_rng(5))
    np.testing.assert_array_equal(movie, movie_template(6, 128, 256, np.random.default_rng(5)))
    assert (movie != movie_template(6, 128, 256, np.random.default_rng(6))).any()
    power = (np.abs(np.fft.rfft(movie.astype(float) - movie.mean(), axis=2)) ** 2).mean(axis=(0, 1))
    octaves = np.array([power[2**k : 2 ** (k + 1)].mean() for k in range(1, 6)])
    slope = np.polyfit(np.arange(1, 6), np.log2(octaves), 1)[0]
    # A line through an image whose amplitude falls as 1/f has power falling about as 1/f: one unit an octave.
    assert -1.6 < slope < -0.7
    neighbours = np.corrcoef(movie[0].ravel(), movie[1].ravel())[0, 1]
    assert neighbours > np.corrcoef(movie[0].ravel(), movie[5].ravel())[0, 1] > 0.3


def test_drive_follows_contrast() -> None:
    movie = np.full((3, 16, 16), 100, np.uint8)
    movie[1, :2, :2] = [[0, 200], [200, 0]]
    drive = movie_drive(movie)
    assert drive.shape == (3, 64)
    assert drive[:, 0].tolist() == [0.0, 1.0, 0.0]
    assert drive[:, 1:].max() == 0.0
