"""The jackknife over pieces of time: pieces, arithmetic and coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from poyodata.statistics import DYNAMICS, MOMENTS, ROBUST, Column, Resampling, Statistic, Stretch
from poyodata.statistics.uncertainty import (
    FEWEST_PIECES,
    PIECES,
    cut_pieces,
    jackknife_centre_and_error,
    jackknife_interval,
    part_of,
)
from tests.benchmarks.coverage import autoregression, bursts, coverage_over_time, stretch_of

NO_TRIALS = pd.DataFrame()


def plain(length, n=2, seed=0, start=0):
    traces = np.random.default_rng(seed).standard_normal((length, n)).astype(np.float32)
    return Stretch(traces=traces, trials=NO_TRIALS, rate_hz=30.0, start_frame=start)


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        pytest.param([72_000], PIECES, id="one-stretch"),
        pytest.param([30_000, 100, 41_900], PIECES, id="a-short-one-between"),
        pytest.param([60] * 600, PIECES, id="trials-dealt-out-singly"),
        pytest.param([1200], 10, id="no-shorter-than-4-s"),
        pytest.param([0, 36_000, 0], PIECES, id="empty-ones"),
    ],
)
def test_pieces_hold_every_frame_once_and_are_of_about_one_length(lengths, count):
    stretches = [plain(length, start=100_000 * index) for index, length in enumerate(lengths)]
    pieces = cut_pieces(stretches)
    assert len(pieces) == count
    together = np.concatenate([part.traces for piece in pieces for part in piece])
    np.testing.assert_array_equal(together, np.concatenate([stretch.traces for stretch in stretches]))
    sizes = [sum(len(part.traces) for part in piece) for piece in pieces]
    assert max(sizes) - min(sizes) <= 2 * max(100, min(lengths[0], 60))
    for part in (part for piece in pieces for part in piece):
        source = stretches[part.start_frame // 100_000]
        first = part.start_frame - source.start_frame
        np.testing.assert_array_equal(part.traces, source.traces[first : first + len(part.traces)])


def test_presentations_stay_whole():
    start = np.arange(30, 35_000, 90)
    trials = pd.DataFrame({"start_frame": start, "stop_frame": start + 60, "trial": np.arange(len(start))})
    speed = np.arange(36_000.0)
    stretch = replace(plain(36_000), trials=trials, signals={"running_speed": speed})
    pieces = cut_pieces([stretch])
    found = pd.concat([part.trials.assign(at=part.start_frame) for piece in pieces for part in piece])
    assert found["trial"].tolist() == trials["trial"].tolist()
    assert (found["start_frame"] + found["at"]).tolist() == start.tolist()
    for part in (part for piece in pieces for part in piece):
        assert part.signals["running_speed"][0] == part.start_frame


def test_a_part_leaves_out_what_it_divides():
    trials = pd.DataFrame({"start_frame": [0, 40], "stop_frame": [20, 60]})
    assert part_of(replace(plain(100), trials=trials), 10, 70).trials["start_frame"].tolist() == [30]


def test_equals_leaving_out_by_hand():
    stretches = [plain(20_000), plain(16_000, seed=1)]
    low, high = jackknife_interval(MOMENTS, stretches, {}, Resampling(level=0.9))["std"]
    pieces = [np.concatenate([part.traces for part in piece]).astype(np.float64) for piece in cut_pieces(stretches)]
    without = np.stack([np.concatenate(pieces[:i] + pieces[i + 1 :]).std(axis=0) for i in range(len(pieces))])
    value = np.concatenate(pieces).std(axis=0)
    size = np.array([len(piece) for piece in pieces], np.float64)
    times = (size.sum() / size)[:, None]
    pseudo = times * value - (times - 1) * without
    error = np.sqrt(
        ((pseudo - (len(size) * value - ((1 - 1 / times) * without).sum(axis=0))) ** 2 / (times - 1)).mean(0)
    )
    reach = scipy.stats.t.ppf(0.95, len(size) - 1) * error
    np.testing.assert_allclose([low, high], [value - reach, value + reach], rtol=1e-9)


def test_pieces_of_unequal_length_give_the_error_of_a_weighted_mean():
    rng = np.random.default_rng(0)
    size = rng.integers(5, 50, 40)
    errors, means = [], []
    for _ in range(200):
        sums = np.array([rng.standard_normal(n).sum() for n in size])
        mean = np.array([sums.sum() / size.sum()])
        without = np.array([[(sums.sum() - own) / (size.sum() - n)] for own, n in zip(sums, size, strict=True)])
        centre, error = jackknife_centre_and_error(mean, without, size.astype(np.float64))
        np.testing.assert_allclose(centre, mean, atol=1e-12)
        errors.append(error[0])
        means.append(mean[0])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.15)


def test_each_piece_is_seen_by_few_calls():
    calls = {"chunk": 0, "combine": 0, "finalize": 0}

    def counted(name, function):
        def call(*args):
            calls[name] += 1
            return function(*args)

        return call

    counting = {name: counted(name, getattr(MOMENTS, name)) for name in calls}
    jackknife_interval(replace(MOMENTS, **counting), [plain(72_000)], {}, Resampling())
    assert calls["chunk"] == PIECES + 1
    assert calls["finalize"] == PIECES + 2
    assert calls["combine"] <= 3 * PIECES


def test_too_little_time_gives_nan():
    low, high = jackknife_interval(MOMENTS, [plain(int(4.0 * 30 * (FEWEST_PIECES - 1)))], {}, Resampling())["mean"]
    assert np.isnan([low, high]).all()
    low, high = jackknife_interval(MOMENTS, [plain(4 * 30 * FEWEST_PIECES)], {}, Resampling())["mean"]
    assert np.isfinite([low, high]).all()


def test_no_frames_give_nan():
    found = jackknife_interval(MOMENTS, [plain(0)], {}, Resampling())
    assert np.isnan(found["mean"]).all()


def test_bounds_stay_within_the_range_and_whole_numbers_have_none():
    columns = {
        "share": Column(dtype="float64", unit="1", definition="Share of positive values.", low=0.0, high=0.01),
        "count": Column(dtype="int64", unit="frames", definition="Frames."),
    }
    statistic = Statistic(
        name="own",
        version=1,
        columns=columns,
        chunk=lambda stretch, params: np.stack([(stretch.traces > 3).sum(0), np.full(2, len(stretch.traces))]),
        combine=np.add,
        finalize=lambda state, params: {"share": state[0] / state[1], "count": state[1]},
        nan_policy="None.",
    )
    found = jackknife_interval(statistic, [plain(9000)], {}, Resampling())
    assert set(found) == {"share"}
    low, high = found["share"]
    assert (low == 0).any()
    assert (low >= 0).all()
    assert (high <= 0.01).all()


def test_a_missing_neuron_is_missing_and_no_other():
    stretch = plain(36_000)
    stretch.traces[:, 0] = np.nan
    for statistic in (MOMENTS, ROBUST, DYNAMICS):
        for found in (
            jackknife_interval(statistic, [stretch], statistic.params, Resampling()),
            statistic.interval([stretch], statistic.params, Resampling()),
        ):
            for name, (low, high) in found.items():
                if name != "missing_fraction":
                    assert np.isnan([low[0], high[0]]).all(), name
                    assert np.isfinite([low[1], high[1]]).all(), name


@pytest.mark.parametrize("statistic", [MOMENTS, ROBUST, DYNAMICS], ids=lambda statistic: statistic.name)
def test_own_intervals_hold_the_value_and_repeat(statistic):
    rng = np.random.default_rng(1)
    stretches = [stretch_of(autoregression(9000, 3, rng)), stretch_of(autoregression(18_000, 3, rng))]
    state = statistic.combine(*(statistic.chunk(stretch, statistic.params) for stretch in stretches))
    value = statistic.finalize(state, statistic.params)
    found = statistic.interval(stretches, statistic.params, Resampling(seed=3))
    again = statistic.interval(stretches, statistic.params, Resampling(seed=3))
    narrow = statistic.interval(stretches, statistic.params, Resampling(seed=3, level=0.5))
    assert set(found) == {name for name, column in statistic.columns.items() if column.dtype == "float64"}
    for name, (low, high) in found.items():
        assert (low <= value[name]).all(), name
        assert (value[name] <= high).all(), name
        np.testing.assert_array_equal(again[name], found[name])
        if name != "missing_fraction":
            assert (high - low > narrow[name][1] - narrow[name][0]).all(), name


@pytest.mark.parametrize("statistic", [ROBUST, DYNAMICS], ids=lambda statistic: statistic.name)
def test_own_intervals_are_those_of_the_jackknife(statistic):
    rng = np.random.default_rng(2)
    stretches = [stretch_of(bursts(27_000, 4, rng)), stretch_of(bursts(27_000, 4, rng))]
    own = statistic.interval(stretches, statistic.params, Resampling())
    general = jackknife_interval(statistic, stretches, statistic.params, Resampling())
    for name, (low, high) in own.items():
        width = general[name][1] - general[name][0]
        if statistic is ROBUST:  # the same pieces; an event cut in two counts once in one and twice in the other
            np.testing.assert_allclose(high - low, width, rtol=0.05, err_msg=name)
        elif name != "ar_r2":  # the general one turns even pieces into odd ones
            np.testing.assert_allclose(np.mean(high - low), np.mean(width), rtol=0.5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [ROBUST, DYNAMICS], ids=lambda statistic: statistic.name)
def test_coverage(statistic):
    for name, share in coverage_over_time(statistic, autoregression, 600.0, 120, seed=1).items():
        assert share >= 0.88, (name, share)
