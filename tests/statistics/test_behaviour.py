"""Behaviour at the times of frames."""

from __future__ import annotations

import numpy as np

from poyodata.statistics.behaviour import LONGEST_STEP_S, at_frames

NAN = np.nan


def test_samples_at_the_times_of_frames_are_given_as_they_are():
    time_s = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.04, 50))
    speed = np.random.default_rng(1).normal(size=50)
    speed[[0, 7, 8, 49]] = NAN
    np.testing.assert_array_equal(at_frames(speed, time_s, time_s), speed)
    np.testing.assert_array_equal(at_frames(speed[10:20], time_s[10:20], time_s)[10:20], speed[10:20])


def test_between_samples_it_is_interpolated_and_elsewhere_unknown():
    sample_s, speed = np.array([1.0, 1.5, 2.0, 4.0]), np.array([2.0, 4.0, NAN, 8.0])
    assert sample_s[3] - sample_s[2] > LONGEST_STEP_S
    at = at_frames(speed, sample_s, np.array([0.9, 1.25, 1.75, 3.0, 4.0, 4.1]))
    np.testing.assert_array_equal(at, [NAN, 3.0, NAN, NAN, 8.0, NAN])
    assert np.isnan(at_frames(np.array([1.0, 2.0]), np.array([0.0, 1.5]), np.array([0.7])))[0]
    assert np.isnan(at_frames(np.empty(0), np.empty(0), np.array([0.0, 1.0]))).all()
