from __future__ import annotations

import numpy as np
import pytest

from poyodata.simulation.sparse_noise import SPARSE_NOISE, sparse_noise_template


def closest(template: np.ndarray) -> float:
    """Least distance between two spots of a frame, over all frames."""
    least = np.inf
    for frame in template:
        spots = np.argwhere(frame != 127)
        away = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
        least = min(least, away[~np.eye(len(spots), dtype=bool)].min(initial=np.inf))
    return least


@pytest.mark.parametrize("name", SPARSE_NOISE)
def test_spots_keep_their_distance(name: str) -> None:
    kind = SPARSE_NOISE[name]
    noise = sparse_noise_template(
        300, kind.rows, kind.columns, np.random.default_rng(0), exclusion_px=kind.exclusion_px
    )
    assert noise.shape == (300, kind.rows, kind.columns)
    assert noise.dtype == np.uint8
    assert set(np.unique(noise)) == {0, 127, 255}
    assert kind.exclusion_px <= closest(noise) < kind.exclusion_px + 1
    assert (noise != 127).sum(axis=(1, 2)).mean() == pytest.approx(11, abs=0.5)


def test_every_pixel_is_lit_about_as_often_black_as_white() -> None:
    noise = sparse_noise_template(8880, 16, 28, np.random.default_rng(1))
    assert (noise == 0).sum() == pytest.approx((noise == 255).sum(), rel=0.02)
    times = (noise != 127).sum(axis=0)
    assert times.mean() == pytest.approx(8880 * 11 / 448, rel=0.02)
    assert times.min() > 0.5 * times.mean()
    assert times.max() < 2.5 * times.mean()
    assert len(np.unique(noise.reshape(8880, -1), axis=0)) == 8880


@pytest.mark.parametrize("exclusion_px", [1.0, 2.5, 100.0])
def test_any_distance_works(exclusion_px: float) -> None:
    noise = sparse_noise_template(20, 5, 7, np.random.default_rng(0), exclusion_px=exclusion_px)
    assert closest(noise) >= exclusion_px
    if exclusion_px == 100.0:
        assert ((noise != 127).sum(axis=(1, 2)) <= 1).all()


def test_frames_follow_from_the_seed() -> None:
    one, two, other = (sparse_noise_template(50, 16, 28, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_all_kinds_fill_the_same_screen() -> None:
    for kind in SPARSE_NOISE.values():
        assert kind.extent_deg == pytest.approx((130.2, 74.4))
        assert kind.exclusion_px * kind.pixel_deg == pytest.approx(23.25)
