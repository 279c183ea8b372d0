"""Tuning to natural scenes: neurons with known answers, any cutting, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.statistics.statistic import Stretch
from poyodata.statistics.tuning.scenes import THRESHOLDS, TUNING_NATURAL_SCENES, image_selectivity
from tests.statistics.tuned import RATE_HZ, cut, make, results, same


def scenes(response, repeats=4, **options):
    """Scenes in turn, `response` of shape (image, neuron), with blanks before."""
    n_images = len(response)
    shown = [{}] * 3 + [{"image": image} for _ in range(repeats) for image in range(n_images)]
    values = np.concatenate([np.zeros((3, response.shape[1])), *[response] * repeats])
    return make("natural_scenes", shown, values, sweep=60, rest=60, **options)


def test_known_neurons():
    response = np.zeros((20, 3))
    response[7, 0] = 0.5
    response[:, 1] = np.linspace(0.1, 0.2, 20)
    response[:10, 2] = 0.3
    found = results(TUNING_NATURAL_SCENES, scenes(response))
    assert found["preferred_image_ns"].tolist() == [7.0, 19.0, 0.0]
    np.testing.assert_allclose(found["peak_dff_ns"], [0.5, 0.2, 0.3], rtol=1e-5)
    np.testing.assert_allclose(found["lifetime_sparseness_ns"][[0, 2]], [1.0, 0.5 / 0.95], rtol=1e-5)
    np.testing.assert_allclose(found["image_selectivity_ns"], [0.9, 0.0, 0.0], atol=0.003)


@pytest.mark.parametrize("seed", range(3))
def test_image_selectivity_is_that_of_the_loop_over_thresholds(seed):
    values = np.random.default_rng(seed).gamma(0.5, size=(118, 2))
    values[3, 1] = np.nan
    for neuron, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        low, high = known.min(), known.max()
        above = [(known > low + j * ((high - low) / THRESHOLDS)).mean() for j in range(THRESHOLDS)]
        assert image_selectivity(values)[neuron] == pytest.approx(1 - 2 * np.mean(above), abs=1e-12)


def test_scenes_in_any_cutting_and_without_sweeps():
    stretch = scenes(np.random.default_rng(0).gamma(0.5, size=(10, 3)), spread=0.05)
    start = stretch.trials["start_frame"].to_numpy()
    whole = results(TUNING_NATURAL_SCENES, stretch)
    same(results(TUNING_NATURAL_SCENES, *cut(stretch, int(start[9]) - 28, int(start[20]) - 28)), whole, rtol=1e-12)
    nothing = results(TUNING_NATURAL_SCENES, Stretch(traces=stretch.traces, trials=stretch.trials[:0], rate_hz=RATE_HZ))
    assert all(np.isnan(values).all() for name, values in nothing.items() if name != "n_sweeps_ns")
    assert nothing["n_sweeps_ns"].tolist() == [0, 0, 0]
