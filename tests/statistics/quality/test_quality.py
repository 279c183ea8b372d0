"""Defects that were planted are found, clean neurons are not, in any cutting of the recording."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from poyodata.simulation.behaviour import draw_latents
from poyodata.simulation.drive import visual_drive
from poyodata.simulation.population import draw_population
from poyodata.simulation.recording import FOV_PX, FOV_UM
from poyodata.simulation.regions import draw_anatomy, mark_copies
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.worlds import load_world
from poyodata.statistics.quality import QUALITY
from poyodata.statistics.quality.common_events import CommonJumps
from poyodata.statistics.quality.duplicates import SAME_CELL, WITHIN_UM, partial_correlation
from poyodata.statistics.quality.missing import Gaps
from poyodata.statistics.quality.seconds import Seconds
from poyodata.statistics.statistic import Stretch

RATE_HZ = 30.0
N_FRAMES, N_NEURONS = 18_000, 60
NOISE = 0.05


def slow(n_frames, n_neurons, rng, time_s=2.0):
    """Unit autoregressions of a time constant of two seconds, one a column."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / (time_s * RATE_HZ))
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal((n_frames, n_neurons)), axis=0)


def clean_recording(seed=0):
    """Ten minutes of neurons with activity of their own, a little in common, and noise, on a grid 30 um wide."""
    rng = np.random.default_rng(seed)
    traces = 0.05 * slow(N_FRAMES, N_NEURONS, rng) + 0.02 * slow(N_FRAMES, 1, rng)
    traces += NOISE * rng.standard_normal((N_FRAMES, N_NEURONS))
    at = np.arange(N_NEURONS)
    neurons = pd.DataFrame({"column": at, "x_um": 30.0 * (at % 8), "y_um": 30.0 * (at // 8)})
    return traces.astype(np.float32), neurons


def quality_of(traces, neurons=None, cuts=(), grouping="left"):
    """Columns of all statistics of quality, of stretches that touch at the frames `cuts`."""
    neurons = pd.DataFrame(index=range(traces.shape[1])) if neurons is None else neurons
    edges = [0, *cuts, len(traces)]
    stretches = [
        Stretch(traces=traces[a:b], trials=pd.DataFrame(), rate_hz=RATE_HZ, start_frame=a, neurons=neurons)
        for a, b in pairwise(edges)
    ]
    columns = {}
    for statistic in QUALITY:
        states = [statistic.chunk(stretch, statistic.params) for stretch in stretches]
        while len(states) > 1:
            at = 0 if grouping == "left" else len(states) - 2
            states[at : at + 2] = [statistic.combine(states[at], states[at + 1])]
        columns |= dict(statistic.finalize(states[0], statistic.params))
        assert set(statistic.columns) <= set(columns)
    return pd.DataFrame(columns)


def test_clean_neurons_pass():
    found = quality_of(*clean_recording())
    assert found["signal_to_noise"].between(0.6, 1.5).all()
    assert found["baseline_drift"].max() < 0.8
    assert found["duplicate_correlation"].max() < 0.5
    assert (found["duplicate_of_column"] == -1).all()
    assert found["common_event_share"].max() < 0.005
    assert (found[["n_gaps", "longest_gap_s"]] == 0).all(axis=None)


def test_a_neuron_of_noise_alone_is_found():
    traces, neurons = clean_recording()
    traces[:, 7] = NOISE * np.random.default_rng(1).standard_normal(N_FRAMES)
    found = quality_of(traces, neurons)["signal_to_noise"]
    assert found.idxmin() == 7
    assert found[7] < 0.1
    assert found.drop(7).min() > 0.6


def test_signal_over_noise_is_what_was_put_in():
    rng = np.random.default_rng(2)
    signal = 0.1 * slow(4 * N_FRAMES, 20, rng, time_s=4.0)
    traces = signal + NOISE * rng.standard_normal(signal.shape)
    seconds = signal.reshape(-1, 60, 30, 20).mean(axis=2)
    expected = seconds.std(axis=1, ddof=1) ** 2
    found = quality_of(traces.astype(np.float32))["signal_to_noise"]
    assert found.to_numpy() == pytest.approx(np.sqrt(expected.mean(axis=0)) / NOISE, rel=0.06)


@pytest.mark.parametrize("shape", ["slope", "wave", "step"])
def test_a_drifting_neuron_is_found(shape):
    traces, neurons = clean_recording()
    time = np.linspace(0, 1, N_FRAMES)
    drift = {"slope": time, "wave": np.sin(2 * np.pi * time) / 2, "step": time > 0.5}[shape]
    traces[:, 11] += (0.3 * drift).astype(np.float32)
    found = quality_of(traces, neurons)
    assert found["baseline_drift"].idxmax() == 11
    assert found.loc[11, "baseline_drift"] > 1.4
    assert found["baseline_drift"].drop(11).max() < 0.8
    if shape == "slope":
        minutes = 0.3 * (np.arange(10) + 0.5) / 10
        assert found.loc[11, "baseline_drift"] == pytest.approx(minutes.std() / NOISE, rel=0.35)


def test_activity_is_no_drift():
    """A neuron that is active in one half of the recording alone rests on the same baseline."""
    traces, neurons = clean_recording()
    bursts = (np.arange(N_FRAMES) % 300 < 60) & (np.arange(N_FRAMES) > N_FRAMES / 2)
    traces[bursts, 5] += 1.0
    assert quality_of(traces, neurons).loc[5, "baseline_drift"] < 0.8


def test_motion_of_most_neurons_is_found_and_blamed_on_those_it_moves():
    traces, neurons = clean_recording()
    rng = np.random.default_rng(3)
    moved = np.arange(N_NEURONS) % 6 != 0
    size = np.where(moved, rng.choice([-1, 1], N_NEURONS) * rng.uniform(0.6, 1.2, N_NEURONS), 0.0)
    events = np.arange(500, N_FRAMES - 500, 1000)
    for frame in events.tolist():
        traces[frame : frame + 3] += size.astype(np.float32)
    found = quality_of(traces, neurons)
    # A jerk is seen when it begins and when it ends.
    assert (found["common_event_frames"] == 2 * len(events)).all()
    assert found.loc[moved, "common_event_share"].min() > 0.1
    assert found.loc[~moved, "common_event_share"].max() < 0.02


def test_one_neuron_s_transients_are_no_common_event():
    traces, neurons = clean_recording()
    traces[::400, 3] += 5.0
    assert quality_of(traces, neurons)["common_event_share"].max() < 0.01


def test_common_events_need_a_population():
    found = quality_of(clean_recording()[0][:, :4])
    assert found["common_event_share"].isna().all()
    assert (found["common_event_frames"] == 0).all()


def test_duplicates_are_found_and_one_of_each_cell_stays():
    traces, neurons = clean_recording()
    rng = np.random.default_rng(4)
    for copy, source, scale in ((20, 4, 1.1), (33, 4, 0.9), (50, 49, 1.0)):
        traces[:, copy] = scale * (traces[:, source] + 0.7 * NOISE * rng.standard_normal(N_FRAMES))
        neurons.loc[copy, ["x_um", "y_um"]] = neurons.loc[source, ["x_um", "y_um"]].to_numpy() + 3.0
    found = quality_of(traces, neurons)
    alike = [4, 20, 33, 49, 50]
    assert found.loc[alike, "duplicate_correlation"].min() > 0.85
    assert found["duplicate_correlation"].drop(alike).max() < 0.5
    expected = pd.Series(-1, index=found.index)
    expected[[20, 33, 50]] = 4, 4, 49
    pd.testing.assert_series_equal(found["duplicate_of_column"], expected, check_names=False)


def test_alike_neurons_far_apart_are_no_duplicates_unless_positions_are_unknown():
    traces, neurons = clean_recording()
    traces[:, 20] = traces[:, 4] + 0.2 * NOISE * np.random.default_rng(5).standard_normal(N_FRAMES).astype(np.float32)
    assert np.hypot(*(neurons.loc[20] - neurons.loc[4])[["x_um", "y_um"]]) > WITHIN_UM
    assert quality_of(traces, neurons)["duplicate_correlation"].max() < 0.5
    neurons.loc[20, "x_um"] = np.nan
    for unknown in (neurons, neurons[["column"]]):
        found = quality_of(traces, unknown)
        assert found.loc[[4, 20], "duplicate_correlation"].min() > SAME_CELL
        assert found.index[found["duplicate_of_column"] >= 0].tolist() == [20]


def test_what_all_neurons_share_makes_no_duplicate():
    traces, neurons = clean_recording()
    traces += (0.3 * slow(N_FRAMES, 1, np.random.default_rng(6))).astype(np.float32)
    assert np.corrcoef(traces.T)[np.triu_indices(N_NEURONS, 1)].min() > SAME_CELL
    found = quality_of(traces, neurons[["column"]])
    assert (found["duplicate_of_column"] == -1).all()
    assert found["duplicate_correlation"].max() < 0.6


def test_partial_correlation_is_that_of_the_residuals():
    values = np.random.default_rng(7).normal(size=(500, 12)) + np.random.default_rng(8).normal(size=(500, 1))
    found = partial_correlation([values])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    for i, j in ((0, 1), (3, 11)):
        rest = np.delete(scaled, [i, j], axis=1).mean(axis=1)
        left = [scaled[:, k] - rest * (scaled[:, k] @ rest) / (rest @ rest) for k in (i, j)]
        assert found[i, j] == pytest.approx(np.corrcoef(left)[0, 1], abs=1e-10)
    assert found == pytest.approx(found.T, nan_ok=True)


@pytest.mark.parametrize("n_neurons", [1, 2, 3])
def test_few_neurons_have_no_common_mode(n_neurons):
    traces = clean_recording()[0][:, :n_neurons].copy()
    if n_neurons > 1:
        traces[:, 1] = traces[:, 0]
    found = quality_of(traces)["duplicate_correlation"].to_numpy()
    assert found == pytest.approx({1: [np.nan], 2: [1, 1]}.get(n_neurons, [1, 1, found[-1]]), nan_ok=True)


def test_gaps_are_counted_and_measured():
    traces, neurons = clean_recording()
    traces[:90, 2] = np.nan
    traces[1000, 2], traces[2000:2045, 2], traces[-30:, 2] = np.inf, np.nan, np.nan
    traces[:, 9] = np.nan
    found = quality_of(traces, neurons)
    assert found["n_gaps"].to_numpy().tolist() == [{2: 4, 9: 1}.get(k, 0) for k in range(N_NEURONS)]
    assert found.loc[2, "longest_gap_s"] == 3.0
    assert found.loc[9, "longest_gap_s"] == N_FRAMES / RATE_HZ
    clean = quality_of(*clean_recording())
    others = [k for k in range(N_NEURONS) if k not in (2, 9)]
    assert np.isnan(
        found.loc[9, ["signal_to_noise", "baseline_drift", "common_event_share", "duplicate_correlation"]].to_numpy(
            float
        )
    ).all()
    for name in ("signal_to_noise", "baseline_drift"):
        assert (found.loc[others, name] == clean.loc[others, name]).all()
        assert found.loc[2, name] == pytest.approx(clean.loc[2, name], rel=0.1)


@pytest.mark.parametrize("grouping", ["left", "right"])
@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param((5400, 12600), id="at-minutes"),
        pytest.param((30, 61, 62, 5000, 5015, 17_999), id="anywhere"),
    ],
)
def test_any_cutting_gives_the_same(cuts, grouping):
    traces, neurons = clean_recording()
    traces[5010:5020, 3] = np.nan
    traces[:, 40] = traces[:, 39]
    traces[4000:4003] += 0.5
    whole, parts = quality_of(traces, neurons), quality_of(traces, neurons, cuts, grouping)
    minutes = all(cut % 1800 == 0 for cut in cuts)
    exact = ["n_gaps", "longest_gap_s", "duplicate_of_column"]
    assert (whole[exact] == parts[exact]).all(axis=None)
    for name, loose in (
        ("duplicate_correlation", 1e-6),
        ("baseline_drift", 1e-2),  # the difference across a cut does not enter the noise
        ("signal_to_noise", 1e-2),
        ("common_event_share", 5e-3),
    ):
        # Elsewhere than at minutes, what jumps is judged beside other frames.
        close = {"rel": 2e-3 if minutes else loose} if name != "common_event_share" else {"abs": loose}
        assert parts[name].to_numpy() == pytest.approx(whole[name].to_numpy(), **close), name


def test_seconds_gaps_and_jumps_of_nothing_merge():
    nothing = Stretch(traces=np.empty((0, 3), np.float32), trials=pd.DataFrame(), rate_hz=RATE_HZ)
    traces = clean_recording()[0][:4000, :3]
    some = Stretch(traces=traces, trials=pd.DataFrame(), rate_hz=RATE_HZ, start_frame=17)
    for kind in (Seconds, Gaps, CommonJumps):
        for merged in (kind.of(nothing).merge(kind.of(some)), kind.of(some).merge(kind.of(nothing))):
            for name, value in vars(kind.of(some)).items():
                np.testing.assert_array_equal(getattr(merged, name), value)


def test_no_time_at_all_gives_nan():
    found = quality_of(np.empty((0, 6), np.float32))
    assert found[["signal_to_noise", "baseline_drift", "longest_gap_s", "common_event_share"]].isna().all(axis=None)
    assert found["duplicate_correlation"].isna().all()
    assert (found[["n_gaps", "common_event_frames"]] == 0).all(axis=None)


def test_values_keep_to_the_ranges_that_are_declared():
    traces, neurons = clean_recording()
    traces[:, 0], traces[:, 1], traces[500:, 2] = np.nan, 0.25, np.nan
    found = quality_of(traces, neurons)
    for statistic in QUALITY:
        assert statistic.group == "quality"
        assert not statistic.uses_labels
        for name, column in statistic.columns.items():
            values = found[name].dropna()
            assert len(values)
            assert values.between(column.low, column.high).all(), name


def test_defects_of_a_simulated_recording_are_found():
    """Jerks eight times as strong as the world's; copies, as the simulator makes them, with noise of their own."""
    world = load_world("demo").replace(
        neurons=60, movie_height_px=32, movie_width_px=64, duplicate_share=0.1, artefacts_per_hour=120.0
    )
    rng = np.random.default_rng(0)
    cells = pd.concat([draw_population("Cux2-CreERT2", world, rng, 60), draw_anatomy(60, rng)], axis=1)
    cells = mark_copies(cells, world, rng)
    cells["artefact"] *= 8.0
    timeline = session_timeline(world.replace(movie_repeats=0), "three_session_A", rng)
    latents = draw_latents(timeline.n_frames, RATE_HZ, world.artefacts_per_hour, rng)
    dff = simulate_activity(cells, visual_drive(cells, timeline, {}), latents, RATE_HZ, rng).dff
    neurons = pd.DataFrame({"x_um": cells["x_px"] * FOV_UM / FOV_PX, "y_um": cells["y_px"] * FOV_UM / FOV_PX})
    found = quality_of(np.ascontiguousarray(dff.T), neurons)

    source = cells["duplicate_of"].to_numpy()
    copies = np.flatnonzero(source >= 0)
    family = np.union1d(copies, source[copies])
    assert len(copies) == 6
    assert found.loc[family, "duplicate_correlation"].median() > SAME_CELL
    assert found.loc[family, "duplicate_correlation"].min() > 0.4  # a silent cell's copy is hardly told from noise
    assert found["duplicate_correlation"].drop(family).max() < SAME_CELL  # jerks of either sign are no common mode
    repeated = found["duplicate_of_column"]
    for column in np.flatnonzero(repeated >= 0).tolist():
        other = int(repeated[column])
        assert source[column] == other or source[other] == column or source[column] == source[other]
    moved = cells["artefact"].abs().to_numpy()
    assert found["common_event_frames"].iloc[0] > 10
    assert spearmanr(moved / cells["white_noise"], found["common_event_share"]).statistic > 0.8


def test_the_real_recording_has_the_known_quality(real_recording):
    import h5py

    with h5py.File(real_recording / "dff_dg_continuous.h5") as file:
        traces = np.ascontiguousarray(file["dff"][()].T.astype(np.float32))
    found = quality_of(traces)
    assert found["signal_to_noise"].median() == pytest.approx(0.80, abs=0.02)
    assert found["baseline_drift"].max() == pytest.approx(0.62, abs=0.02)
    assert found["duplicate_correlation"].max() == pytest.approx(0.78, abs=0.01)
    assert (found["duplicate_of_column"] == -1).all()
    assert found["common_event_frames"].iloc[0] == pytest.approx(508, abs=10)
    assert found["common_event_share"].median() == pytest.approx(0.026, abs=0.002)
    assert (found["n_gaps"] == 0).all()
