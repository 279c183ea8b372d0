from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from poyodata.simulation.movies import block_means, movie_template, scene_cuts, scene_images


def slope(image: npt.NDArray[np.uint8]) -> float:
    """Exponent of the amplitude over spatial frequency, from 1/30 to 1/4 cycles a pixel."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None, :]
    amplitude = np.abs(np.fft.fft2((image - image.mean()) * window))
    f = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :])
    edges = np.geomspace(1 / 30, 1 / 4, 9)
    power = [(amplitude[(f >= low) & (f < high)] ** 2).mean() for low, high in itertools.pairwise(edges)]
    middle = np.sqrt(edges[:-1] * edges[1:])
    return float(np.polyfit(np.log(middle), 0.5 * np.log(power), 1)[0])


@pytest.fixture(scope="module")
def movie() -> npt.NDArray[np.uint8]:
    return movie_template(600, 152, 304, np.random.default_rng(3))


def test_amplitude_falls_as_one_over_f(movie: npt.NDArray[np.uint8]) -> None:
    for image in [*movie[::150], *scene_images(2, 200, 300, np.random.default_rng(1))]:
        assert slope(image) == pytest.approx(-1.0, abs=0.3)


@pytest.mark.parametrize(
    ("frames", "least", "most"), [(1, 1, 1), (59, 1, 1), (60, 2, 2), (240, 2, 2), (900, 7, 8)], ids=str
)
@pytest.mark.parametrize("size", [(32, 64), (76, 152)], ids=str)
def test_scenes_last_three_to_five_seconds(frames: int, least: int, most: int, size: tuple[int, int]) -> None:
    cuts = scene_cuts(movie_template(frames, *size, np.random.default_rng(frames)))
    assert cuts[0] == 0
    assert least <= len(cuts) <= most


def test_cuts_are_found_where_they_are() -> None:
    rng = np.random.default_rng(0)
    lengths = [30, 12, 45, 20]
    film = np.concatenate([movie_template(length, 48, 96, rng) for length in lengths])
    assert scene_cuts(film).tolist() == [0, 30, 42, 87]
    assert scene_cuts(np.full((20, 16, 16), 90, np.uint8)).tolist() == [0]


def test_scenes_change_smoothly(movie: npt.NDArray[np.uint8]) -> None:
    cuts = scene_cuts(movie)
    assert len(cuts) == 5
    change = np.abs(np.diff(movie.astype(np.float32), axis=0)).mean(axis=(1, 2))
    within = np.delete(change, cuts[1:] - 1)
    assert within.mean() > 0.5
    assert within.max() < 0.5 * change[cuts[1:] - 1].min()
    like = [np.corrcoef(movie[k].ravel(), movie[k + 1].ravel())[0, 1] for k in range(cuts[1] - 1)]
    assert min(like) > 0.8
    # Over a scene the picture drifts away from where it was.
    assert np.corrcoef(movie[0].ravel(), movie[cuts[1] - 1].ravel())[0, 1] < 0.7
    assert abs(np.corrcoef(movie[cuts[1] - 1].ravel(), movie[cuts[1]].ravel())[0, 1]) < 0.5


def test_something_moves_over_the_background(movie: npt.NDArray[np.uint8]) -> None:
    first = movie[: scene_cuts(movie)[1]].astype(np.float32)
    a, b = first[40], first[60]
    # The best shift of the whole picture explains the background; objects move otherwise and stay unexplained.
    shifts = [(y, x) for y in range(-12, 13) for x in range(-12, 13)]
    inner = a[12:-12, 12:-12]
    errors = {(y, x): np.abs(inner - b[12 + y : b.shape[0] - 12 + y, 12 + x : b.shape[1] - 12 + x]) for y, x in shifts}
    residual = min(errors.values(), key=lambda error: float(np.median(error)))
    assert np.median(residual) < 0.5 * np.median(errors[0, 0])
    patches = residual[: 8 * 16, : 8 * 35].reshape(16, 8, 35, 8).mean(axis=(1, 3))
    assert patches.max() > 2.5 * np.median(patches)


def test_light_changes_slowly(movie: npt.NDArray[np.uint8]) -> None:
    cuts = scene_cuts(movie)
    level = movie.mean(axis=(1, 2))
    steps = np.delete(np.diff(level), cuts[1:] - 1)
    assert np.abs(steps).max() < 2.0
    assert np.ptp(level[: cuts[1]]) > 2.0


def test_the_range_of_greys_is_used(movie: npt.NDArray[np.uint8]) -> None:
    for frames in (movie, scene_images(4, 92, 118, np.random.default_rng(0))):
        low, middle, high = np.percentile(frames, [1, 50, 99])
        assert low < 50
        assert 90 < middle < 160
        assert high > 200
        assert ((frames == 0) | (frames == 255)).mean() < 0.03


@pytest.mark.parametrize("make", [movie_template, scene_images])
def test_frames_follow_from_the_seed(make: object) -> None:
    assert callable(make)
    one, two, other = (make(8, 33, 47, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.shape == (8, 33, 47)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
    assert (one != other).mean() > 0.9


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (4, 4), (31, 10)], ids=str)
def test_block_means_are_means_of_blocks(rows: int, columns: int) -> None:
    template = np.random.default_rng(0).integers(0, 256, (35, 31, 47), dtype=np.uint8)
    height, width = 31 // rows, 47 // columns
    top, left = (31 - height * rows) // 2, (47 - width * columns) // 2
    inside = template[:, top : top + height * rows, left : left + width * columns]
    expected = inside.reshape(35, height, rows, width, columns).mean(axis=(2, 4))
    np.testing.assert_allclose(block_means(template, rows, columns), expected, rtol=1e-6)
