"""Tuning against AllenSDK's own, value by value, on simulated recordings of sessions A and B.

AllenSDK takes the corrected fluorescence, we dF/F. Given the fluorescence (less one, in whatever unit), our numbers are
AllenSDK's up to rounding; given dF/F, they are as far as its baseline stays the same during a sweep, which it does in
simulated files, and as float32 allows. All time is looked at, in one stretch: the files have no gap.

What differs on purpose: peaks are in dF/F, not percent; preferred values are values, not places in a list; times are
counted by the median frame interval, not the first; and what a file like these does not show (see `tuning_gratings`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.allensdk.answers import Answers, ask_allensdk
from poyodata.simulation import load_world, simulate
from poyodata.sources.allen_nwb import read_allen_nwb
from poyodata.sources.record import SessionRecord
from poyodata.statistics.behaviour import at_frames
from poyodata.statistics.statistic import Statistic, Stretch
from poyodata.statistics.tuning import TUNING
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

pytestmark = pytest.mark.slow

EXACT = {"rtol": 1e-9, "atol": 1e-12}
FROM_DFF = {"rtol": 1e-4, "atol": 2e-6}
"""Stored dF/F and fluorescence are both rounded to float32: 6e-8 of values of about 1, against responses of 0.03."""

FREQUENCIES_CPD = (0.02, 0.04, 0.08, 0.16, 0.32)
STATISTICS = {statistic.name: statistic for statistic in TUNING}
OF_SESSION = {
    "tuning_drifting_gratings": "A",
    "tuning_static_gratings": "B",
    "tuning_natural_scenes": "B",
    "tuning_natural_movie_one": "B",
    "tuning_natural_movie_three": "A",
}
ANALYSIS = {
    "tuning_drifting_gratings": "DriftingGratings",
    "tuning_static_gratings": "StaticGratings",
    "tuning_natural_scenes": "NaturalScenes",
    "tuning_natural_movie_one": "NaturalMovie(natural_movie_one)",
    "tuning_natural_movie_three": "NaturalMovie(natural_movie_three)",
}
THEIRS = {
    "tuning_drifting_gratings": {
        "preferred_direction_deg": "ori_dg",
        "preferred_tf_hz": "tf_dg",
        "gosi": "cv_os_dg",
        "gdsi": "cv_ds_dg",
        "osi": "osi_dg",
        "dsi": "dsi_dg",
        "tf_selectivity": "tf_index_dg",
        "reliability": "reliability_dg",
        "peak_dff": "peak_dff_dg",
        "tuning_p": "ptest_dg",
        "running_modulation": "run_modulation_dg",
        "running_modulation_p": "p_run_dg",
    },
    "tuning_static_gratings": {
        "preferred_orientation_deg_sg": "ori_sg",
        "preferred_sf_cpd_sg": "sf_sg",
        "preferred_phase_sg": "phase_sg",
        "gosi_sg": "cv_os_sg",
        "osi_sg": "osi_sg",
        "sf_selectivity_sg": "sf_index_sg",
        "time_to_peak_s_sg": "time_to_peak_sg",
        "reliability_sg": "reliability_sg",
        "peak_dff_sg": "peak_dff_sg",
        "tuning_p_sg": "ptest_sg",
        "running_modulation_sg": "run_modulation_sg",
        "running_modulation_p_sg": "p_run_sg",
    },
    "tuning_natural_scenes": {
        "preferred_image_ns": "scene_ns",
        "image_selectivity_ns": "image_selectivity_ns",
        "time_to_peak_s_ns": "time_to_peak_ns",
        "reliability_ns": "reliability_ns",
        "peak_dff_ns": "peak_dff_ns",
        "tuning_p_ns": "ptest_ns",
        "running_modulation_ns": "run_modulation_ns",
        "running_modulation_p_ns": "p_run_ns",
    },
    "tuning_natural_movie_one": {"reliability_nm1": "response_reliability_nm1", "peak_time_s_nm1": "peak_nm1"},
    "tuning_natural_movie_three": {"reliability_nm3": "response_reliability_nm3", "peak_time_s_nm3": "peak_nm3"},
}
COLUMNS = [(name, column) for name, columns in THEIRS.items() for column in columns]
SWEPT = ("tuning_drifting_gratings", "tuning_static_gratings", "tuning_natural_scenes")

Results = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tuned:
    """A recording, what AllenSDK says of it, and what its statistics see."""

    record: SessionRecord
    answers: Answers

    @property
    def rate_hz(self) -> float:
        return 1 / float(np.median(np.diff(self.record.time_s)))

    def stretch(self, fluorescence: bool, late_frames: int = 0) -> Stretch:
        record, running = self.record, self.record.signals["running_speed"]
        if fluorescence:
            demixed, neuropil = (record.further[name](0, record.n_frames) for name in ("demixed", "neuropil"))
            traces = demixed - neuropil * record.neurons["neuropil_r"].to_numpy() - 1.0
        else:
            traces = record.read_traces(0, record.n_frames)
        speed = at_frames(running.values, running.time_s, record.time_s)
        trials = record.presentations[record.presentations["stop_frame"] + late_frames <= record.n_frames]
        trials = trials.assign(**{name: trials[name] + late_frames for name in ("start_frame", "stop_frame")})
        return Stretch(traces=traces, trials=trials, rate_hz=self.rate_hz, signals={"running_speed": speed})

    def ours(self, statistic: Statistic, fluorescence: bool, late_frames: int = 0) -> Results:
        state = statistic.chunk(self.stretch(fluorescence, late_frames), statistic.params)
        return {name: np.asarray(values) for name, values in statistic.finalize(state, statistic.params).items()}

    def theirs(self, name: str) -> dict[str, np.ndarray]:
        question = f"tuning {ANALYSIS[name]}.get_peak"
        assert self.answers.raised(question) is None
        peak = {column: np.asarray(values, np.float64) for column, values in self.answers.parts(question).items()}
        interval_s = self.record.time_s[1] - self.record.time_s[0]
        places = {"ori_dg": DIRECTIONS_DEG, "tf_dg": (np.nan, *TEMPORAL_FREQUENCIES_HZ)}
        places |= {"ori_sg": np.arange(6) * 30.0, "sf_sg": (np.nan, *FREQUENCIES_CPD), "phase_sg": np.arange(4) / 4}
        for column, values in peak.items():
            if column in places:
                peak[column] = np.asarray(places[column])[values.astype(np.int64)]
            elif column.startswith("peak_dff"):
                peak[column] = values / 100
            elif column.startswith("time_to_peak"):
                peak[column] = np.round(values / interval_s) / self.rate_hz
            elif column.startswith("peak_nm"):
                peak[column] = values / self.rate_hz
        return peak


def simulate_two(folder: Path, seed: int, neurons: int, flashed_per_block: tuple[int, ...]) -> dict[str, Path]:
    """Sessions A and B with the 118 scenes and ten repeats that AllenSDK counts on."""
    world = load_world("tiny").replace(
        seed=seed,
        session_types=("A", "B"),
        sessions=2,
        neurons=neurons,
        trials_per_block=(140, 140, 140),
        temporal_frequencies_hz=TEMPORAL_FREQUENCIES_HZ,
        static_gratings_per_block=flashed_per_block,
        scenes=118,
        scenes_per_block=flashed_per_block,
        scene_height_px=16,
        scene_width_px=16,
        movie_frames=90,
        movie_repeats=10,
        movie_three_frames=120,
        movie_three_repeats=5,
        movie_height_px=16,
        movie_width_px=16,
        noise_scale=0.5,
        tuning_scale=2.0,
    )
    return dict(zip("AB", simulate(folder, world), strict=True))


def ask(path: Path, folder: Path) -> Tuned:
    record = read_allen_nwb(path)
    assert len(record.segments) == 1
    return Tuned(record, ask_allensdk(path, folder, tuning=True))


@pytest.fixture(scope="module")
def tuned(allen_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tuned]:
    """Sessions A and B with a dozen sweeps of every condition."""
    files = simulate_two(tmp_path_factory.mktemp("tuned"), 5, 8, (500, 500, 500))
    return lru_cache(lambda session_type: ask(files[session_type], tmp_path_factory.mktemp(f"tuning-{session_type}")))


@pytest.fixture(scope="module")
def ours(tuned: Callable[[str], Tuned]) -> Callable[[str, bool], Results]:
    """Results of a statistic, from fluorescence or from dF/F, each computed once."""
    return lru_cache(lambda name, fluorescence: tuned(OF_SESSION[name]).ours(STATISTICS[name], fluorescence))


@pytest.mark.parametrize(("name", "column"), COLUMNS, ids=[column for _, column in COLUMNS])
def test_every_column_is_allensdks(
    tuned: Callable[[str], Tuned], ours: Callable[[str, bool], Results], name: str, column: str
) -> None:
    theirs = tuned(OF_SESSION[name]).theirs(name)[THEIRS[name][column]]
    fewest = 1 if column.startswith("running") else 2  # few neurons' best gratings are seen running and at rest
    assert len(np.unique(theirs[np.isfinite(theirs)])) >= fewest  # there is something to compare
    if not column.startswith(("reliability_nm", "peak_time_s_nm")):  # AllenSDK takes stored dF/F for movies
        np.testing.assert_allclose(ours(name, True)[column], theirs, **EXACT)
        np.testing.assert_allclose(ours(name, False)[column], theirs, **FROM_DFF)
    else:
        np.testing.assert_allclose(ours(name, False)[column], theirs, **EXACT)


@pytest.mark.parametrize("name", SWEPT)
def test_sweeps_that_differ_from_their_baseline(
    tuned: Callable[[str], Tuned], ours: Callable[[str, bool], Results], name: str
) -> None:
    """The third of AllenSDK's `get_response()`, which counts them, at the preferred condition."""
    recording, found = tuned(OF_SESSION[name]), ours(name, True)
    counted = recording.answers.parts(f"tuning {ANALYSIS[name]}.response")["values"]
    peak = recording.answers.parts(f"tuning {ANALYSIS[name]}.get_peak")
    place = {
        "tuning_drifting_gratings": ("ori_dg", "tf_dg"),
        "tuning_static_gratings": ("ori_sg", "sf_sg", "phase_sg"),
        "tuning_natural_scenes": ("scene_ns",),
    }[name]
    at = [peak[column].astype(np.int64) + (column == "scene_ns") for column in place]
    theirs = np.array([counted[(*(index[n] for index in at), n, 2)] for n in range(recording.record.n_neurons)])
    trials, params = recording.record.presentations, STATISTICS[name].params
    shown = trials[(trials["stimulus"] == params["stimulus"]) & ~trials["blank"]]
    sweeps = shown.groupby(list(params["features"])).size()
    suffix = {"tuning_static_gratings": "_sg", "tuning_natural_scenes": "_ns"}.get(name, "")
    columns = [column for column in found if column.startswith("preferred")]
    values = pd.DataFrame({column: found[column] for column in columns}).itertuples(index=False)
    expected = [sweeps.loc[tuple(value) if len(value) > 1 else value[0]] for value in values]
    assert theirs.any()
    np.testing.assert_allclose(found[f"responsive_sweeps{suffix}"] * expected, theirs, rtol=1e-12)


def test_windows_and_lengths_are_allensdks(tuned: Callable[[str], Tuned]) -> None:
    """In these files; elsewhere the second sweep, and the first repeat of a movie, may be a frame longer."""
    assert tuned("A").answers.value("tuning DriftingGratings.sweeplength") == 60
    assert tuned("B").answers.value("tuning StaticGratings.sweeplength") == 7
    assert tuned("B").answers.value("tuning NaturalScenes.sweeplength") == 7
    assert tuned("B").answers.value("tuning NaturalMovie(natural_movie_one).sweeplength") == 90
    assert tuned("A").answers.value("tuning NaturalMovie(natural_movie_three).sweeplength") == 120


def test_sweeps_of_eight_frames(allen_python: Path, tmp_path: Path) -> None:
    """Where the second sweep took 8 frames, AllenSDK takes all to: we do when told to. Its reliability keeps windows
    that fit 7 and thus begins before the sweep."""
    path = simulate_two(tmp_path, 3, 4, (84, 84, 84))["B"]
    folder = tmp_path / "answers"
    folder.mkdir()
    recording, name = ask(path, folder), "tuning_natural_scenes"
    assert recording.answers.value("tuning NaturalScenes.sweeplength") == 8
    longer = replace(STATISTICS[name], params={**STATISTICS[name].params, "sweep_s": 8 / 30})
    found, as_declared = recording.ours(longer, True), recording.ours(STATISTICS[name], True)
    peak = recording.theirs(name)
    for column, theirs in THEIRS[name].items():
        if column == "reliability_ns":
            assert np.nanmax(np.abs(found[column] - peak[theirs])) > 0.01
        else:
            np.testing.assert_allclose(found[column], peak[theirs], err_msg=column, **EXACT)
    assert np.nanmax(np.abs(as_declared["peak_dff_ns"] - peak["peak_dff_ns"])) > 1e-3


def test_one_frame_off_would_be_noticed(tuned: Callable[[str], Tuned]) -> None:
    recording, name = tuned("A"), "tuning_drifting_gratings"
    late = recording.ours(STATISTICS[name], True, late_frames=1)
    theirs = recording.theirs(name)
    for column in ("gosi", "peak_dff", "reliability", "tf_selectivity"):
        worst = np.nanmax(np.abs(late[column] - theirs[THEIRS[name][column]]))
        assert worst > 1e-4, column


def test_a_stimulus_that_was_not_shown(tuned: Callable[[str], Tuned]) -> None:
    """AllenSDK raises, and we have NaN."""
    assert (tuned("A").answers.raised("tuning StaticGratings.get_peak") or "").startswith("MissingStimulus")
    found = tuned("A").ours(STATISTICS["tuning_static_gratings"], False)
    assert all(np.isnan(values).all() for name, values in found.items() if name != "n_sweeps_sg")
    assert not found["n_sweeps_sg"].any()
