"""Every measure on recordings whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError
from poyodata.realism import GratingTime, measure, simulate_gratings
from poyodata.realism.comparison import comparison
from poyodata.realism.measures import LAGS_S, Sweeps, autocorrelation, decoding, noise_level
from poyodata.realism.reference import LABELS, REAL
from poyodata.simulation import load_world, simulate, simulate_session
from poyodata.sources import open_source

RATE_HZ, SWEEP, PERIOD, REPEATS = 30.0, 60, 90, 8
N_TRIALS = 16 * REPEATS
DIRECTION = np.tile(np.repeat(np.arange(8), 2), REPEATS)
FREQUENCY = np.tile([1.0, 4.0], 8 * REPEATS)


def recording(
    response: Callable[[int, int, int], float] | None = None, *, noise: float = 0.05, neurons: int = 1, grey: Any = None
) -> GratingTime:
    """Noise, plus `response(trial, direction, neuron)` during each sweep of 4 Hz."""
    rng = np.random.default_rng(0)
    dff = noise * rng.standard_normal((N_TRIALS * PERIOD, neurons))
    for trial in range(N_TRIALS):
        if response is not None and FREQUENCY[trial] == 4.0:
            for neuron in range(neurons):
                dff[trial * PERIOD : trial * PERIOD + SWEEP, neuron] += response(trial, int(DIRECTION[trial]), neuron)
    return GratingTime(
        name="known",
        cre_line="Cux2-CreERT2",
        rate_hz=RATE_HZ,
        dff=dff.astype(np.float32),
        segments=np.array([[0, len(dff)]]),
        trials=pd.DataFrame(
            {
                "start_frame": np.arange(N_TRIALS) * PERIOD,
                "direction_deg": DIRECTION * 45.0,
                "temporal_frequency_hz": FREQUENCY,
                "blank": False,
                "block": np.arange(N_TRIALS) * 2 // N_TRIALS,
            }
        ),
        grey=grey,
    )


def test_noise_level_does_not_see_events() -> None:
    quiet = recording()
    with_events = quiet.dff.copy()
    with_events[::200] += 5.0
    busy = GratingTime(**{**vars(quiet), "dff": with_events})
    assert noise_level(quiet) == pytest.approx(0.05, rel=0.03)
    assert noise_level(busy) == pytest.approx(0.05, rel=0.05)


def test_noise_level_does_not_step_over_a_gap() -> None:
    one = recording()
    jumps = np.repeat([0.0, 9.0], len(one.dff) // 2)[:, None].astype(np.float32)
    pairs = np.arange(len(one.dff)).reshape(-1, 2)
    # Segments of two frames, each at a level of its own: every second difference would be a jump.
    levels = np.repeat(np.arange(len(pairs)) % 2 * 9.0, 2)[:, None].astype(np.float32)
    cut = GratingTime(
        **{**vars(one), "dff": one.dff + jumps + levels, "segments": np.stack([pairs[:, 0], pairs[:, 1] + 1], axis=1)}
    )
    assert noise_level(cut) == pytest.approx(0.05, rel=0.05)


def test_autocorrelation_of_an_autoregression() -> None:
    rng = np.random.default_rng(1)
    keep, x = np.exp(-1 / 30.0), np.zeros(200_000)
    shocks = rng.standard_normal(len(x)) * np.sqrt(1 - keep**2)
    for t in range(1, len(x)):
        x[t] = keep * x[t - 1] + shocks[t]
    one = recording()
    long = GratingTime(**{**vars(one), "dff": x[:, None].astype(np.float32), "segments": np.array([[0, len(x)]])})
    # The time constant is 1 s.
    assert autocorrelation(long)[:, 0] == pytest.approx(np.exp(-np.array(LAGS_S)), abs=0.05)


def test_autocorrelation_does_not_cross_a_gap() -> None:
    one = recording()
    half = len(one.dff) // 2
    sign = np.repeat([1.0, -1.0], half)[:, None].astype(np.float32)
    cut = GratingTime(**{**vars(one), "dff": sign, "segments": np.array([[0, half], [half, 2 * half]])})
    assert autocorrelation(cut)[:, 0] == pytest.approx(1.0)
    whole = GratingTime(**{**vars(one), "dff": sign})
    assert autocorrelation(whole)[-1, 0] < 1.0


def test_reliability_is_the_mean_of_all_pairs() -> None:
    one = recording(lambda trial, direction, neuron: 0.2 * (direction == 3), noise=0.1)
    course = np.linspace(0, 0.3, SWEEP, dtype=np.float32)
    dff = one.dff.copy()
    preferred = np.flatnonzero((DIRECTION == 3) & (FREQUENCY == 4.0))
    for trial in preferred:
        dff[trial * PERIOD : trial * PERIOD + SWEEP, 0] += course
    found = Sweeps(GratingTime(**{**vars(one), "dff": dff})).reliability()
    courses = [dff[trial * PERIOD : trial * PERIOD + SWEEP, 0] for trial in preferred]
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in combinations(courses, 2)])
    assert found[0] == pytest.approx(expected, abs=1e-6)
    assert expected > 0.2


def test_variance_ratio_is_that_of_the_directions() -> None:
    # Trials of direction 2 alternate by +-0.3, all others by +-0.1 around a mean that makes 4 Hz preferred.
    def response(trial: int, direction: int, neuron: int) -> float:
        return 0.5 + (0.3 if direction == 2 else 0.1) * (-1.0) ** (trial // 16)

    assert Sweeps(recording(response, noise=1e-6)).variance_ratio() == pytest.approx(9.0, rel=1e-3)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([1, 0, 0, 0, 0, 0, 0, 0], 1.0, id="one-direction"),
        pytest.param([1, 0, 0, 0, 1, 0, 0, 0], 1.0, id="both-ways"),
        pytest.param([1, 0, 1, 0, 1, 0, 1, 0], 0.0, id="a-cross"),
        pytest.param([1] * 8, 0.0, id="untuned"),
        pytest.param([1, 0.5, 0, -2.0, 0, 0, 0, 0.5], 0.5, id="negative-counts-as-none"),
    ],
)
def test_gosi(answers: list[float], expected: float) -> None:
    found = Sweeps(recording(lambda trial, direction, neuron: answers[direction], noise=1e-4)).gosi()
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("trials", "expected"), [(2, True), (1, False)], ids=["a-quarter", "an-eighth"])
def test_responsive_is_a_quarter_of_the_preferred_trials(trials: int, expected: bool) -> None:
    grey = 0.01 * np.random.default_rng(2).standard_normal((3000, 1)).astype(np.float32)

    def response(trial: int, direction: int, neuron: int) -> float:
        return 5.0 if direction == 6 and trial // 16 < trials else -1.0

    low = recording(response, noise=1e-3)
    low.dff[:] -= 1.0  # every other trial lies below the grey epoch
    assert Sweeps(low).responsive(grey).tolist() == [expected]
    with pytest.raises(StatisticError, match="at least 120"):
        Sweeps(low).responsive(grey[:50])


def test_decoding() -> None:
    direction = np.tile(np.arange(8), 20)
    rng = np.random.default_rng(3)
    known = np.eye(8)[direction] + 0.05 * rng.standard_normal((160, 8))
    fold = np.arange(160) // 80
    assert decoding(known, direction, fold) == 1.0
    assert decoding(rng.standard_normal((160, 8)), direction, fold) < 0.35
    assert np.isnan(decoding(known, direction, np.zeros(160, np.int64)))


def test_moments_are_of_grating_time_alone(tiny_raw: Path) -> None:
    """What is cut from memory and what is cut from the file that was written of it are the same."""
    session, _ = simulate_session(load_world("tiny"), 0)
    memory = GratingTime.of_simulated(session)
    file = GratingTime.of_record(next(open_source(tiny_raw)))
    np.testing.assert_array_equal(memory.dff, file.dff)
    pd.testing.assert_frame_equal(memory.trials, file.trials, check_dtype=False)
    assert memory.grey is not None and file.grey is not None
    np.testing.assert_array_equal(memory.grey, file.grey)
    assert len(memory.segments) == 3
    assert len(memory.dff) < session.timeline.n_frames
    # The mean response of a sweep is that of the recording's own frames.
    first = session.timeline.tables["drifting_gratings"]["start"].iloc[40]
    expected = session.dff[:, first : first + 60].mean(axis=1, dtype=np.float64)
    assert Sweeps(memory).response[40] == pytest.approx(expected)


def test_every_measure_is_named_and_kept() -> None:
    found = measure(simulate_gratings("tiny", neurons=6)).quartiles()
    assert set(found) == set(LABELS)
    assert set(REAL) == set(LABELS) - {"responsive"}
    assert {name: len(values) for name, values in REAL.items()} == {
        name: len(values) for name, values in found.items() if name in REAL
    }
    assert len(comparison(found)) == len(LABELS)


def test_refusals(tmp_path: Path) -> None:
    world = load_world("tiny-sessions")
    session, _ = simulate_session(world, 1)
    with pytest.raises(StatisticError, match="session of type A"):
        GratingTime.of_simulated(session)
    files = simulate(tmp_path, world.replace(session_types=("B",), sessions=1))
    with pytest.raises(StatisticError, match="session of type A"):
        GratingTime.of_record(next(open_source(files[0])))
    one = recording()
    few = GratingTime(**{**vars(one), "trials": one.trials.iloc[:16]})
    with pytest.raises(StatisticError, match="less than twice"):
        Sweeps(few)
