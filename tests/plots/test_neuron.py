"""Tuning curves and raster of one neuron: the trials that may be looked at, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from scipy.stats import t

from poyodata.errors import StatisticError, UsageError
from poyodata.plots import raster, tuning_curves
from poyodata.plots.tuning import mean_and_half_width
from poyodata.splits import resolve_split
from poyodata.statistics import compute_statistics
from poyodata.vocabulary import DIRECTIONS_DEG
from tests.fake_store import make_store

LAYOUT = (("drifting_gratings", 205), ("spontaneous", 300), ("drifting_gratings", 205))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("plots"), layout=LAYOUT, trial_frames=60, rest_frames=30, seed=2)


def dots(ax):
    return np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection)])


def curves(ax):
    """Points of each curve, by legend label."""
    return {bars.get_label(): np.asarray(bars.lines[0].get_xydata()) for bars in ax.containers}


def train_trials(store, baseline=0):
    """Drifting gratings of the train role, those without `baseline` frames before them left out."""
    shown = store.presentations_of("s000")
    shown = shown[shown["stimulus"] == "drifting_gratings"]
    spans = resolve_split(store, "blocks-5fold").train_time("s000")
    frames = shown[["start_frame", "stop_frame"]].to_numpy()
    return shown[[((spans[:, 0] <= start - baseline) & (stop <= spans[:, 1])).any() for start, stop in frames]]


class TestTuning:
    def test_train_role_trials_by_default(self, store) -> None:
        ax = tuning_curves(store, "s000_0")
        shown = train_trials(store, baseline=30)
        assert len(shown) == compute_statistics(store, ["tuning_drifting_gratings"])["n_sweeps"].iloc[0]
        assert len(dots(ax)) == (~shown["blank"].astype(bool)).sum() < 300
        assert "train-role time of blocks-5fold" in ax.get_title(loc="left")

    def test_all_time_on_request_and_said_so(self, store) -> None:
        ax = tuning_curves(store, "s000_0", window="all")
        assert len(dots(ax)) == 400
        assert "all time, that of tests too" in ax.get_title(loc="left")

    def test_means_intervals_and_preferred_condition(self, store) -> None:
        ax = tuning_curves(store, "s000_1", window="all", level=0.9)
        own = compute_statistics(store, ["tuning_drifting_gratings"], window="all").iloc[1]
        drawn = curves(ax)
        assert list(drawn) == ["1 Hz", "2 Hz", "4 Hz", "8 Hz", "15 Hz"]
        assert all(len(points) == 8 for points in drawn.values())
        highest = max(drawn, key=lambda name: drawn[name][:, 1].max())
        assert highest == f"{own['preferred_tf_hz']:g} Hz"
        assert DIRECTIONS_DEG[drawn[highest][:, 1].argmax()] == own["preferred_direction_deg"]
        assert drawn[highest][:, 1].max() == pytest.approx(own["peak_dff"])

    def test_words(self, store) -> None:
        ax = tuning_curves(store, "s000_1")
        assert ax.get_title(loc="left").startswith("neuron s000_1, Sst-IRES-Cre, VISp\n")
        assert ax.get_xlabel() == "direction (deg)"
        assert ax.get_ylabel() == "response (dF/F)"
        assert ax.get_legend().get_title().get_text() == "temporal frequency"
        assert ax.get_legend().get_texts()[-1].get_text() == "blank sweeps"

    def test_student_interval(self) -> None:
        values = np.array([1.0, 2.0, 4.0, 8.0])
        mean, half = mean_and_half_width(values, 0.9)
        assert mean == 3.75
        assert half == pytest.approx(t.ppf(0.95, 3) * values.std(ddof=1) / 2)
        assert np.isnan(mean_and_half_width(values[:1], 0.9)[1])


class TestRaster:
    def test_rows_are_trials_sorted_by_what_was_shown(self, store) -> None:
        ax = raster(store, "s000_2")
        values = ax.images[0].get_array()
        shown = train_trials(store)
        assert len(values) == len(shown)
        assert [label.get_text() for label in ax.get_yticklabels()] == [*(f"{d:g}" for d in DIRECTIONS_DEG), "blank"]
        order = shown.sort_values(["blank", "direction_deg", "temporal_frequency_hz"], kind="stable")
        onset = int(order["start_frame"].iloc[5])
        np.testing.assert_allclose(values[5, 30:90], store.traces("s000")[onset : onset + 60, 2], rtol=1e-6)
        assert ax.get_xlim()[0] == pytest.approx(-1.0, abs=0.03)
        assert ax.get_xlim()[1] == pytest.approx(3.0, abs=0.03)

    def test_no_frame_outside_train_role_time(self, tmp_path) -> None:
        store = make_store(tmp_path, layout=LAYOUT, trial_frames=60, rest_frames=30, seed=2)
        spans = resolve_split(store, "blocks-5fold").train_time("s000")
        hidden = np.ones(len(store.arrays["s000"]), bool)
        for start, stop in spans:
            hidden[start:stop] = False
        assert hidden.any()
        store.arrays["s000"][hidden] = 777.0
        for values in (
            raster(store, "s000_0").images[0].get_array().compressed(),
            dots(tuning_curves(store, "s000_0")),
        ):
            assert values.max() < 360
        assert raster(store, "s000_0", window="all").images[0].get_array().max() == 777.0

    def test_words(self, store) -> None:
        ax = raster(store, "s000_2", window="all")
        assert "410 trials of drifting gratings, all time" in ax.get_title(loc="left")
        assert ax.get_xlabel() == "time from onset (s)"
        assert ax.figure.axes[1].get_ylabel() == "dF/F"


@pytest.mark.parametrize("draw", [tuning_curves, raster])
@pytest.mark.parametrize(
    ("neuron", "options", "error", "words"),
    [
        pytest.param("s000_22", {}, UsageError, "did you mean 's000_2'", id="neuron"),
        pytest.param(
            "s000_0", {"stimulus": "drifting_grating"}, StatisticError, "did you mean 'drifting_gratings'", id="s"
        ),
        pytest.param("s000_0", {"stimulus": "natural_movie_one"}, StatisticError, "natural_movie_one", id="movie"),
        pytest.param("s000_0", {"window": "test"}, StatisticError, "window is 'test'", id="window"),
        pytest.param(
            "s000_0", {"window": "all", "split": "blocks-5fold"}, StatisticError, "leave one of them out", id="both"
        ),
        pytest.param("s000_0", {"stimulus": "natural_scenes"}, StatisticError, "may lack the stimulus", id="not-shown"),
    ],
)
def test_wrong_calls(store, draw, neuron, options, error, words) -> None:
    with pytest.raises(error, match=words):
        draw(store, neuron, **options)


@pytest.fixture(scope="module")
def scenes_store(tmp_path_factory):
    """Static gratings and natural scenes, of which one makes neuron 0 respond."""
    store = make_store(tmp_path_factory.mktemp("scenes"), layout=(("drifting_gratings", 480),), trial_frames=8, seed=3)
    shown = store.presentations.copy()
    turn = np.arange(len(shown))
    static = turn < 240
    shown["stimulus"] = np.where(static, "static_gratings", "natural_scenes")
    shown["epoch"] = np.where(static, 0, 1)
    shown["blank"] = False
    shown["orientation_deg"] = np.where(static, 30.0 * (turn % 6), np.nan)
    shown["spatial_frequency_cpd"] = np.where(static, np.array([0.02, 0.32])[turn // 6 % 2], np.nan)
    shown["phase"] = np.where(static, np.array([0.0, 0.5])[turn // 12 % 2], np.nan)
    shown["image"] = np.where(static, -1, turn % 30)
    first, cut = shown["start_frame"].min(), int(shown.loc[static, "stop_frame"].max())
    store.presentations = shown
    store.epochs = pd.DataFrame(
        {
            "session_id": "s000",
            "epoch": [0, 1],
            "stimulus": ["static_gratings", "natural_scenes"],
            "start_frame": [first, cut + 5],
            "stop_frame": [cut, shown["stop_frame"].max()],
        }
    )
    store.arrays["s000"][:] = 0.05 * np.random.default_rng(0).standard_normal(store.arrays["s000"].shape)
    for row in shown[(shown["image"] == 7) | (shown["orientation_deg"] == 60.0) & (shown["phase"] == 0.5)].itertuples():
        store.arrays["s000"][row.start_frame : row.start_frame + 14, 0] += 2.0
    return store


def test_static_gratings_at_the_preferred_phase(scenes_store) -> None:
    ax = tuning_curves(scenes_store, "s000_0", "static_gratings", window="all")
    drawn = curves(ax)
    assert list(drawn) == ["0.02 cycles/deg", "0.32 cycles/deg"]
    assert all(points[:, 1].argmax() == 2 for points in drawn.values())
    assert "at the preferred phase (0.5)" in ax.get_title(loc="left")
    assert ax.get_xlabel() == "orientation (deg)"


def test_scenes_are_sorted_by_mean_response(scenes_store) -> None:
    ax = tuning_curves(scenes_store, "s000_0", "natural_scenes", window="all")
    means = curves(ax)["mean"]
    assert len(means) == 30
    assert (np.diff(means[:, 1]) <= 0).all()
    assert "scene 7" in [text.get_text() for text in ax.texts]
    labels = [label.get_text() for label in raster(scenes_store, "s000_0", "natural_scenes").get_yticklabels()]
    assert labels[0] == "7"
    assert len(labels) <= 15


def test_real_recording(real_recording, tmp_path) -> None:
    from poyodata.ingest import ingest
    from poyodata.store import open_store

    ingest([real_recording], tmp_path / "real.zarr")
    store = open_store(tmp_path / "real.zarr")
    neuron = str(store.neurons["neuron_id"].iloc[0])
    assert len(raster(store, neuron, window="all").images[0].get_array()) == 628
    assert len(curves(tuning_curves(store, neuron))) == 5
