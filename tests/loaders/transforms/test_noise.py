"""Noise is Gaussian, independent, and a function of the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from poyodata.errors import LoaderError
from poyodata.loaders.transforms import Noise


def batch(samples: Any, neurons: int, frames: int, width: int | None = None) -> dict[str, Any]:
    mask = np.zeros((len(samples), width or neurons), np.bool_)
    mask[:, :neurons] = True
    values = np.where(mask[:, :, None], np.ones(frames, np.float32) * 2, 0).astype(np.float32)
    return {"values": values, "neuron_mask": mask, "sample": np.asarray(samples), "trial": np.arange(len(samples))}


def noise_of(one: dict[str, Any], std: float = 1.0, **key: int) -> Any:
    return Noise(std).apply(one, **{"seed": 0, "epoch": 0} | key)["values"] - one["values"]


def test_noise_is_gaussian_and_uncorrelated() -> None:
    noise = noise_of(batch(range(20), 30, 101), std=0.5).astype(np.float64)
    assert kstest(noise.ravel() / 0.5, "norm").pvalue > 1e-3
    table = noise.transpose(1, 0, 2).reshape(30, -1)
    assert abs(np.corrcoef(table) - np.eye(30)).max() < 0.1
    lagged = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
    assert abs(lagged) < 0.02


def test_what_came_is_left_as_it_was_and_the_rest_is_passed_on() -> None:
    one = batch([3, 4], 5, 8)
    before = one["values"].copy()
    noisy = Noise(1.0).apply(one, seed=0, epoch=0)
    np.testing.assert_array_equal(one["values"], before)
    assert noisy["trial"] is one["trial"]
    assert set(noisy) == set(one)
    assert noisy["values"].dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(
    samples=st.lists(st.integers(0, 10_000), min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    width=st.integers(4, 9),
)
def test_batches_their_order_and_padding_change_nothing(samples: list[int], seed: int, epoch: int, width: int) -> None:
    key = {"seed": seed, "epoch": epoch}
    whole = noise_of(batch(samples, 4, 7, width), **key)
    assert (whole[:, 4:] == 0).all()
    for row, sample in zip(whole, samples, strict=True):
        np.testing.assert_array_equal(row[:4], noise_of(batch([sample], 4, 7), **key)[0])


def test_two_noises_of_one_recipe_differ() -> None:
    one = batch([0], 3, 5)
    assert not np.isclose(noise_of(one), noise_of(one, place=1)).any()


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_noise_is_refused(std: float) -> None:
    with pytest.raises(LoaderError, match="above 0"):
        Noise(std)


def test_padding_of_time_stays_0() -> None:
    one = batch([3, 4, 5], 2, 9)
    lengths = np.array([9, 4, 7])
    one["time_mask"] = np.arange(9) < lengths[:, None]
    noise = noise_of(one)
    for row, sample, n in zip(noise, [3, 4, 5], lengths.tolist(), strict=True):
        assert (row[:, n:] == 0).all()
        np.testing.assert_array_equal(row[:, :n], noise_of(batch([sample], 2, n))[0])
