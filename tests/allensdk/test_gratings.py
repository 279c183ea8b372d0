"""What tuning is computed from, against AllenSDK's own analysis of drifting gratings of the same recording.

AllenSDK takes the corrected fluorescence, not the stored dF/F: of every sweep the frames from 30 before its start to 90
after it, in percent of the mean of the first 30, and of those the mean over the 60 frames from the start. It takes no
notice of where a sweep ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from poyodata.allensdk.answers import Answers
from poyodata.sources.record import SessionRecord
from poyodata.vocabulary import DIRECTIONS_DEG, DRIFTING_GRATINGS, TEMPORAL_FREQUENCIES_HZ
from tests.allensdk.conftest import Judged

pytestmark = pytest.mark.slow

BEFORE, SWEEP, AFTER = 30, 60, 30
# Sums are taken in another order by another numpy; everything else is the same arithmetic.
SAME = {"rtol": 1e-9, "atol": 1e-9}


@dataclass(frozen=True)
class Sweeps:
    """Responses to drifting gratings: percent of the baseline before each sweep."""

    direction_deg: np.ndarray  # 0 for blanks, as AllenSDK fills them
    frequency_hz: np.ndarray
    responses: np.ndarray  # (sweep, neuron, frame)

    @property
    def means(self) -> np.ndarray:
        return self.responses[:, :, BEFORE : BEFORE + SWEEP].mean(axis=2)

    def of(self, direction: float, frequency: float) -> np.ndarray:
        return (self.direction_deg == direction) & (self.frequency_hz == frequency)


def windows(record: SessionRecord, traces: np.ndarray) -> np.ndarray:
    """Frames around every sweep's start, shape (sweep, trace, frame)."""
    rows = record.presentations[record.presentations["stimulus"] == DRIFTING_GRATINGS]
    return np.stack([traces[:, start - BEFORE : start + SWEEP + AFTER] for start in rows["start_frame"]])


def sweeps_of(record: SessionRecord, corrected: np.ndarray) -> Sweeps:
    cut = windows(record, corrected)
    rows = record.presentations[record.presentations["stimulus"] == DRIFTING_GRATINGS]
    return Sweeps(
        direction_deg=rows["direction_deg"].fillna(0.0).to_numpy(),
        frequency_hz=rows["temporal_frequency_hz"].fillna(0.0).to_numpy(),
        responses=100 * (cut / cut[:, :, :BEFORE].mean(axis=2, keepdims=True) - 1),
    )


def exact_corrected(record: SessionRecord) -> np.ndarray:
    """Corrected traces without rounding, from what the record holds exactly; shape (neuron, time), float64."""
    demixed, neuropil = (record.further[name](0, record.n_frames).T for name in ("demixed", "neuropil"))
    return demixed - neuropil * record.neurons["neuropil_r"].to_numpy()[:, np.newaxis]


@pytest.fixture(scope="module")
def session_a(judged: Callable[[str], Judged]) -> Judged:
    return judged("A")


@pytest.fixture(scope="module")
def sweeps(session_a: Judged) -> Sweeps:
    record, _ = session_a
    return sweeps_of(record, exact_corrected(record))


def table(answers: Answers, name: str) -> dict[str, np.ndarray]:
    assert answers.raised(name) is None
    return answers.parts(name)


def their_means(answers: Answers, record: SessionRecord) -> np.ndarray:
    found = table(answers, "DriftingGratings.mean_sweep_response")
    return np.stack([found[str(neuron)] for neuron in range(record.n_neurons)], axis=1)


def test_windows_are_allensdks(session_a: Judged) -> None:
    _, answers = session_a
    assert answers.value("DriftingGratings") == {"sweeplength": SWEEP, "interlength": BEFORE, "extralength": 0}


def test_sweeps_and_conditions(session_a: Judged, sweeps: Sweeps) -> None:
    _, answers = session_a
    shown = table(answers, "DriftingGratings.stim_table")
    assert len(sweeps.means) == 198
    np.testing.assert_array_equal(sweeps.direction_deg, shown["orientation"])
    np.testing.assert_array_equal(sweeps.frequency_hz, shown["temporal_frequency"])
    assert table(answers, "DriftingGratings.orivals")["values"].tolist() == list(DIRECTIONS_DEG)
    assert table(answers, "DriftingGratings.tfvals")["values"].tolist() == [0, *TEMPORAL_FREQUENCIES_HZ]


def test_mean_sweep_responses(session_a: Judged, sweeps: Sweeps) -> None:
    record, answers = session_a
    theirs = their_means(answers, record)
    assert np.ptp(theirs) > 10  # percent: there is something to compare
    np.testing.assert_allclose(sweeps.means, theirs, **SAME)


def test_mean_sweep_responses_from_stored_corrected_traces(session_a: Judged) -> None:
    """The record's corrected traces are AllenSDK's float64 rounded to float32, 6e-8 of a value, on both sides of a
    quotient of about 1: that leaves 1e-5 percent of the baseline, and more where the response is large."""
    record, answers = session_a
    rounded = record.further["corrected"](0, record.n_frames).T.astype(np.float64)
    np.testing.assert_allclose(sweeps_of(record, rounded).means, their_means(answers, record), rtol=1e-6, atol=3e-5)


def test_one_frame_off_would_be_noticed(session_a: Judged) -> None:
    record, answers = session_a
    shifted = np.roll(exact_corrected(record), 1, axis=1)
    worst = np.abs(sweeps_of(record, shifted).means - their_means(answers, record)).max()
    assert worst > 1e-2


def test_mean_running_of_a_sweep(session_a: Judged) -> None:
    record, answers = session_a
    running = record.signals["running_speed"]
    speed = np.full((1, record.n_frames), np.nan)
    speed[0, np.searchsorted(record.time_s, running.time_s)] = running.values
    ours = windows(record, speed)[:, 0, BEFORE : BEFORE + SWEEP].mean(axis=1)
    np.testing.assert_allclose(ours, table(answers, "DriftingGratings.mean_sweep_response")["dx"], **SAME)


def test_mean_response_and_its_error_by_condition(session_a: Judged, sweeps: Sweeps) -> None:
    record, answers = session_a
    theirs = table(answers, "DriftingGratings.response")["values"][:, :, : record.n_neurons]
    compared = 0
    for i, direction in enumerate(DIRECTIONS_DEG):
        for j, frequency in enumerate((0.0, *TEMPORAL_FREQUENCIES_HZ)):
            chosen = sweeps.means[sweeps.of(direction, frequency)]
            if len(chosen) < 2:
                assert not frequency  # blanks stand at direction 0 only
                assert np.isnan(theirs[i, j, :, 0]).all()
                continue
            np.testing.assert_allclose(chosen.mean(axis=0), theirs[i, j, :, 0], **SAME)
            error = chosen.std(axis=0, ddof=1) / np.sqrt(len(chosen))
            np.testing.assert_allclose(error, theirs[i, j, :, 1], **SAME)
            compared += 1
    assert compared == 8 * 5 + 1


def test_peak(session_a: Judged, sweeps: Sweeps) -> None:
    record, answers = session_a
    peak = table(answers, "DriftingGratings.get_peak")
    np.testing.assert_array_equal(peak["cell_specimen_id"], record.neurons["cell_specimen_id"].to_numpy(np.int64))
    by_condition = np.array(
        [
            [sweeps.means[sweeps.of(direction, frequency)].mean(axis=0) for frequency in TEMPORAL_FREQUENCIES_HZ]
            for direction in DIRECTIONS_DEG
        ]
    )
    for neuron in range(record.n_neurons):
        best = by_condition[:, :, neuron]
        direction, frequency = np.unravel_index(int(best.argmax()), best.shape)
        # AllenSDK counts frequencies from that of the blanks.
        assert (peak["ori_dg"][neuron], peak["tf_dg"][neuron]) == (direction, frequency + 1)
        np.testing.assert_allclose(best.max(), peak["peak_dff_dg"][neuron], **SAME)
        chosen = sweeps.of(DIRECTIONS_DEG[direction], TEMPORAL_FREQUENCIES_HZ[frequency])
        correlation = np.corrcoef(sweeps.responses[chosen, neuron, BEFORE : BEFORE + SWEEP])
        reliability = correlation[np.triu_indices(len(correlation), 1)].mean()
        np.testing.assert_allclose(reliability, peak["reliability_dg"][neuron], **SAME)
