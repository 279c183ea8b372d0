"""SSIM and PSNR against numpy and scipy; frames by number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import correlate1d

from poyodata.errors import ModelError
from poyodata.models.evaluation import chance_within, nearest_frames, psnr, segments_of, ssim, within
from poyodata.models.evaluation.frames import guess_within

Floats = npt.NDArray[np.float64]


def _blurred(x: Floats) -> Floats:
    distance = np.arange(-5, 6)
    weights = np.exp(-0.5 * (distance / 1.5) ** 2)
    for axis in (0, 1):
        x = correlate1d(x, weights / weights.sum(), axis=axis, mode="mirror")
    return x


def _ssim_by_definition(x: Floats, y: Floats) -> float:
    """Wang et al. 2004, with means, variances and a covariance under an 11x11 Gaussian."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (var_x + var_y + c2)).mean())


@pytest.fixture(scope="module")
def frames() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    true = np.stack([_blurred(rng.random((24, 32))) for _ in range(5)])
    near = np.clip(true + 0.05 * rng.standard_normal(true.shape), 0, 1)
    # Faint pictures: a range taken from the data would stretch them to full contrast.
    true[3:], near[3:] = 0.1 * true[3:], 0.1 * near[3:]
    return near, true


def test_ssim_is_that_of_the_definition_frame_by_frame(frames: tuple[Floats, Floats]) -> None:
    near, true = frames
    expected = [_ssim_by_definition(x, y) for x, y in zip(near, true, strict=True)]
    np.testing.assert_allclose(ssim(near, true), expected, atol=2e-5)
    # A frame's SSIM does not depend on which others are in the batch.
    np.testing.assert_allclose(ssim(near[3:4], true[3:4]), expected[3:4], atol=2e-5)


def test_ssim_has_a_data_range_of_one() -> None:
    flat = np.full((1, 16, 16), 0.10)
    found = ssim(flat, flat + 0.02)[0]
    assert found == pytest.approx((2 * 0.1 * 0.12 + 1e-4) / (0.1**2 + 0.12**2 + 1e-4), abs=1e-5)


def test_ssim_of_many_frames_is_that_of_each(frames: tuple[Floats, Floats]) -> None:
    near, true = (np.tile(x, (30, 1, 1)) for x in frames)
    np.testing.assert_allclose(ssim(near, true), np.tile(ssim(*frames), 30), atol=1e-6)


def test_psnr_is_that_of_the_definition(frames: tuple[Floats, Floats]) -> None:
    near, true = frames
    expected = [10 * np.log10(1 / np.mean((x - y) ** 2)) for x, y in zip(near, true, strict=True)]
    np.testing.assert_allclose(psnr(near, true), expected, rtol=1e-12)
    assert psnr(true, true).tolist() == [100.0] * 5


@pytest.mark.parametrize("pixels", [-0.6, 0.6, 255.0, np.nan])
def test_pixels_beyond_the_range_are_refused(pixels: float) -> None:
    frame = np.full((1, 12, 12), 0.5)
    with pytest.raises(ModelError, match="expected 0 for black"):
        ssim(frame + pixels, frame)
    with pytest.raises(ModelError, match="expected 0 for black"):
        psnr(frame, frame + pixels)


def test_frames_named_within_a_second() -> None:
    assert within([0, 29, 31, 61, 870], [30, 59, 0, 30, 0]).tolist() == [1, 1, 0, 0, 0]
    assert within([15, 16], [0, 0], rate_hz=15.0).tolist() == [1, 0]
    assert within([2, 3], [0, 0], rate_hz=10.0, within_s=0.2).tolist() == [1, 0]


@pytest.mark.parametrize("rate_hz", [5.0, 30.0])
def test_chance_within_is_the_best_constant_answer(rate_hz: float) -> None:
    target = np.random.default_rng(0).integers(20, 120, 200)
    best = max(within(np.full(200, at), target, rate_hz=rate_hz).mean() for at in range(120))
    assert chance_within(target, 120, rate_hz=rate_hz) == pytest.approx(best)


@pytest.mark.parametrize("rate_hz", [5.0, 30.0])
def test_guess_within_is_the_mean_over_all_answers(rate_hz: float) -> None:
    target = np.random.default_rng(0).integers(0, 120, 200)
    every = [within(np.full(200, at), target, rate_hz=rate_hz).mean() for at in range(120)]
    assert guess_within(target, 120, rate_hz=rate_hz) == pytest.approx(np.mean(every))


def test_nearest_frame_is_that_of_the_least_squared_error() -> None:
    rng = np.random.default_rng(0)
    movie, pictures = rng.random((20, 3, 4)), rng.random((300, 3, 4))
    by_hand = ((pictures[:, None] - movie) ** 2).sum(axis=(2, 3)).argmin(axis=1)
    assert (nearest_frames(pictures, movie) == by_hand).all()
    assert (nearest_frames(movie, movie) == np.arange(20)).all()


def test_segments_begin_where_the_movie_is_cut() -> None:
    assert segments_of([0, 4, 5, 99], [0, 5, 50]).tolist() == [0, 0, 1, 2]
    for starts in ([], [5, 5], [5, 2]):
        with pytest.raises(ModelError, match="ascending"):
            segments_of([7], starts)
    with pytest.raises(ModelError, match="before the first segment"):
        segments_of([2], [5, 9])
