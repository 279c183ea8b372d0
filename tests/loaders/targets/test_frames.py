"""Resampled templates: the mean over areas, made once, kept in memory and in a file."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.targets import frames as resampling
from poyodata.loaders.targets.frames import area_resampled, area_weights, resampled_frames
from poyodata.store import Store

MOVIE = "natural_movie_one"


def brute(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every old pixel cut into height x width parts, then plain means: no shares of pixels anywhere."""
    tall, wide = frame.shape
    fine = np.repeat(np.repeat(frame.astype(np.float64), height, axis=0), width, axis=1)
    return fine.reshape(height, tall, width, wide).mean(axis=(1, 3)) / 255


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_a_new_pixel_is_the_mean_of_its_area(tall: int, wide: int, height: int, width: int, seed: int) -> None:
    template = np.random.default_rng(seed).integers(0, 256, (2, tall, wide)).astype(np.uint8)
    found = area_resampled(template, height, width)
    assert found.shape == (2, height, width)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    for old, new in zip(template, found, strict=True):
        np.testing.assert_allclose(new, brute(old, height, width), atol=3e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_shares_of_pixels_sum_to_one(n_old: int, n_new: int) -> None:
    np.testing.assert_allclose(area_weights(n_old, n_new).sum(axis=1), 1, rtol=1e-5)


def test_the_same_size_is_the_template_itself(store: Store) -> None:
    movie = np.asarray(store.movie(MOVIE))
    np.testing.assert_array_equal(resampled_frames(store, MOVIE, *movie.shape[1:]), (movie / 255).astype(np.float32))


def test_one_array_for_all_who_hold_it(store: Store, container_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poyodata.store import open_store

    made: list[tuple[int, int]] = []
    real = resampling.area_resampled

    def counted(template: np.ndarray, height: int, width: int) -> np.ndarray:
        made.append((height, width))
        return real(template, height, width)

    monkeypatch.setattr(resampling, "area_resampled", counted)
    one = resampled_frames(store, MOVIE, 5, 7)
    assert resampled_frames(open_store(container_path), MOVIE, 5, 7) is one
    assert resampled_frames(store, MOVIE, 7, 5) is not one
    assert not one.flags.writeable
    assert made == [(5, 7), (7, 5)]
    del one
    gc.collect()
    resampled_frames(store, MOVIE, 5, 7)
    assert made[2:] == [(5, 7)]  # nobody held it any more


def test_kept_in_a_file_and_mapped(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(resampled_frames(store, MOVIE, 4, 6, cache=tmp_path))
    gc.collect()
    (file,) = (tmp_path / "resampled").iterdir()
    assert file.suffix == ".npy"
    assert len(file.stem) == 64
    monkeypatch.setattr(resampling, "area_resampled", None)
    again = resampled_frames(store, MOVIE, 4, 6, cache=tmp_path)
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_made_again(
    store: Store, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = np.array(resampled_frames(store, MOVIE, 4, 6, cache=tmp_path))
    gc.collect()
    (file,) = (tmp_path / "resampled").iterdir()
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(
        {
            "cut": content[:half],
            "flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
            "empty": b"",
            "other": b"no array at all, but longer than a seal",
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(resampled_frames(store, MOVIE, 4, 6, cache=tmp_path), first)
    assert "made again" in caplog.text
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "resampled").write_text("a file in the way")
    with caplog.at_level(logging.WARNING):
        assert resampled_frames(store, MOVIE, 3, 3, cache=tmp_path).shape == (10, 3, 3)
    assert "are not kept" in caplog.text


def test_no_template_is_refused(store: Store) -> None:
    with pytest.raises(LoaderError, match="no template of 'drifting_gratings'"):
        resampled_frames(store, "drifting_gratings", 4, 4)
