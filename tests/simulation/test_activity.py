"""What simulated traces must look like, and that the truth beside them is true."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from poyodata.simulation import load_world, simulate_session
from poyodata.simulation.population import LINES, draw_population
from poyodata.simulation.stimulus import session_a
from poyodata.simulation.traces import autoregression, simulate_dff
from poyodata.simulation.truth import fisher_direction_true, trial_moments
from poyodata.vocabulary import CRE_LINES, TEMPORAL_FREQUENCIES_HZ, canonical_cre_line

PREDICTABLE_LINES = ["Ntsr1-Cre_GN220", "Pvalb-IRES-Cre", "Sst-IRES-Cre", "Vip-IRES-Cre"]


@pytest.fixture(scope="module")
def moments() -> pd.DataFrame:
    """Skewness and excess kurtosis of every neuron of the demo world (its movie shrunk: nothing here looks at it)."""
    world = load_world("demo").replace(movie_height_px=32, movie_width_px=64)
    parts = []
    for index in range(world.sessions):
        session, _ = simulate_session(world, index)
        skewness = stats.skew(session.dff, axis=1)
        kurtosis = stats.kurtosis(session.dff, axis=1)
        parts.append(pd.DataFrame({"line": session.metadata.cre_line, "skewness": skewness, "kurtosis": kurtosis}))
    table = pd.concat(parts, ignore_index=True)
    table["predictable"] = (table["skewness"] <= 3.51) & (table["kurtosis"] <= 22.62)
    return table


@pytest.mark.parametrize("line", PREDICTABLE_LINES)
def test_predictable_lines(line: str, moments: pd.DataFrame) -> None:
    one = moments[moments["line"] == line]
    assert one["predictable"].mean() >= 0.85
    assert 1.2 < one["skewness"].mean() < 2.5
    assert 4.0 < one["kurtosis"].mean() < 13.0


def test_predictable_lines_together(moments: pd.DataFrame) -> None:
    four = moments[moments["line"].isin(PREDICTABLE_LINES)]
    assert four["skewness"].mean() == pytest.approx(1.87, abs=0.3)
    assert four["kurtosis"].mean() == pytest.approx(7.3, abs=2.2)


def test_other_lines_are_heavy_tailed_and_mixed(moments: pd.DataFrame) -> None:
    nine = moments[~moments["line"].isin(PREDICTABLE_LINES)]
    share = nine.groupby("line")["predictable"].mean()
    assert len(share) == 9
    assert share.between(0.2, 0.7).all()
    quartiles = nine[["skewness", "kurtosis"]].quantile([0.25, 0.5, 0.75])
    # The real Cux2 recording, three times as long: 1.3 / 3.0 / 5.8 and 9 / 29 / 72.
    assert quartiles["skewness"].between([0.9, 2.2, 4.0], [2.6, 4.2, 6.5]).all()
    assert quartiles["kurtosis"].between([4.0, 15.0, 35.0], [16.0, 40.0, 80.0]).all()


@pytest.mark.parametrize(("index", "line"), [(0, "Cux2-CreERT2"), (4, "Ntsr1-Cre_GN220"), (10, "Sst-IRES-Cre")])
def test_direction_is_decodable_but_not_trivial(index: int, line: str) -> None:
    world = load_world("demo").replace(movie_repeats=0, neurons_by_line={}, neurons=40)
    session, _ = simulate_session(world, index)
    assert session.metadata.cre_line == line
    shown = session.timeline.gratings[session.timeline.gratings["blank_sweep"] == 0]
    response = np.stack([session.dff[:, start : start + 60].mean(axis=1) for start in shown["start"]])
    label = (shown["orientation"] / 45).astype(int).to_numpy()
    fold = np.arange(len(label)) * 3 // len(label)
    right = np.zeros(len(label), bool)
    for k in range(3):
        train, test = fold != k, fold == k
        scale = response[train].mean(axis=0), response[train].std(axis=0)
        x, y = (response[train] - scale[0]) / scale[1], np.eye(8)[label[train]] - 1 / 8
        weights = np.linalg.solve(x.T @ x + 0.1 * len(x) * np.eye(x.shape[1]), x.T @ y)
        right[test] = ((response[test] - scale[0]) / scale[1] @ weights).argmax(axis=1) == label[test]
    assert 0.35 < right.mean() < 0.9


def test_truth_is_what_many_trials_give() -> None:
    world = load_world("demo").replace(
        trials_per_block=(8400,), movie_repeats=0, spontaneous_s=0.0, frame_rate_hz=(30.0, 30.0)
    )
    rng = np.random.default_rng(3)
    timeline = session_a(world, rng)
    lines = ("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")
    neurons = pd.concat([draw_population(line, world, rng, 5) for line in lines], ignore_index=True)
    gain = autoregression(len(timeline.time_s), 150.0, rng)
    dff = simulate_dff(neurons, timeline, None, gain, rng)
    shown = timeline.gratings[timeline.gratings["blank_sweep"] == 0]
    response = np.stack([dff[:, start : start + 60].mean(axis=1, dtype=np.float64) for start in shown["start"]])
    direction = (shown["orientation"] / 45).to_numpy().astype(int)

    shown_hz = [TEMPORAL_FREQUENCIES_HZ.index(frequency) for frequency in world.temporal_frequencies_hz]
    mean, variance = (moment[:, :, shown_hz] for moment in trial_moments(neurons, 30.0))
    got_mean = np.stack([response[direction == k].mean(axis=0) for k in range(8)], axis=1)
    got_variance = np.stack([response[direction == k].var(axis=0, ddof=1) for k in range(8)], axis=1)
    count = np.bincount(direction)
    error = np.sqrt(got_variance / count)
    # Trials share a slow gain, hence more than the five standard errors of independent ones.
    assert (np.abs(got_mean - mean.mean(axis=2)) < 8 * error).all()
    spread = variance.mean(axis=2) + mean.var(axis=2)
    assert np.median(got_variance / spread) == pytest.approx(1.0, abs=0.08)

    noise = got_variance / count
    rise = (np.roll(got_mean, -1, axis=1) - got_mean) ** 2 - noise - np.roll(noise, -1, axis=1)
    between = (got_variance + np.roll(got_variance, -1, axis=1)) / 2
    found = (rise / ((np.pi / 4) ** 2 * between)).mean(axis=1)
    truth = fisher_direction_true(neurons, 30.0, world.temporal_frequencies_hz)["fisher_direction_true"].to_numpy()
    strong = truth > 0.1
    assert strong.sum() >= 5
    assert found[strong] / truth[strong] == pytest.approx(1.0, abs=0.25)


def test_truth_without_noise_by_hand() -> None:
    """One event law, no gain, no noise, no carry-over: J has a closed form."""
    neurons = pd.DataFrame(
        {
            "preferred_direction_deg": [0.0],
            "tuning_concentration": [0.0],
            "opposite_response": [0.0],
            "preferred_temporal_frequency_hz": [4.0],
            "temporal_frequency_width_octaves": [1e6],
            "base_rate_hz": [1.0],
            "driven_rate_hz": [2.0],
            "amplitude": [0.5],
            "burst_log_sd": [0.0],
            "rise_s": [1e-4],
            "decay_s": [1e-3],
            "gain_sd": [0.0],
            "white_noise": [0.0],
            "slow_noise": [0.0],
            "shared_noise": [0.0],
        }
    )
    mean, variance = trial_moments(neurons, 30.0)
    # An untuned neuron tells nothing about direction; its variance over its mean is that of a filtered Poisson count.
    assert fisher_direction_true(neurons, 30.0).to_numpy() == pytest.approx(0.0, abs=1e-12)
    weight = variance / mean
    assert weight == pytest.approx(np.full((1, 8, 5), weight[0, 0, 0]))
    assert (mean > 0).all()


def test_every_line_has_its_law() -> None:
    assert set(LINES) == set(CRE_LINES)
    for line, law in LINES.items():
        assert canonical_cre_line(law.genotype) == line
        assert canonical_cre_line(law.reporter) == line
        assert law.dense + law.bursty <= 1.0


def test_silenced_world_is_silent() -> None:
    world = load_world("tiny").replace(event_rate_scale=0.0, noise_scale=0.0)
    session, truth = simulate_session(world, 1)
    assert np.abs(session.dff).max() == 0.0
    assert truth["base_rate_hz"].max() == 0.0
    assert truth["fisher_direction_true"].max() == 0.0
