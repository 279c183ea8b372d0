"""Population information against exact values, on train-role time alone, refused where trials are too few."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError, UsageError
from poyodata.simulation.behaviour import draw_latents
from poyodata.simulation.drive import LATENCY_FRAMES, Drive
from poyodata.simulation.population import draw_population, grating_tuning
from poyodata.simulation.population_truth import fisher_population_true
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.worlds import load_world
from poyodata.splits import resolve_split
from poyodata.statistics.information.population import (
    COLUMNS,
    D_THETA,
    information_of_responses,
    population_information,
)
from poyodata.statistics.information.population_subsets import draw_orders, information_of_sets, pair_of_sets
from poyodata.statistics.information.trials import STIMULUS, TrialResponses, trial_responses
from poyodata.statistics.statistic import Resampling, Stretch
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ
from tests.fake_store import GREY, make_store

KINDS = ("independent", "correlated", "limiting")


def made_population(kind, n_neurons, seed=0):
    """Means and covariances at eight directions: von Mises tuning, noise of one of `KINDS`."""
    rng = np.random.default_rng([seed, n_neurons])
    theta = np.deg2rad(DIRECTIONS_DEG)
    mean = 0.02 + 0.3 * np.exp(2 * (np.cos(theta[:, None] - rng.uniform(0, 2 * np.pi, n_neurons)) - 1))
    size = rng.uniform(0.08, 0.15, n_neurons)
    correlation = np.eye(n_neurons)
    if kind != "independent":
        place = np.arange(n_neurons) / n_neurons
        correlation = 0.3 * np.exp(-np.abs(np.subtract.outer(place, place)) / 0.3)
        np.fill_diagonal(correlation, 1.0)
    covariance = np.tile(correlation * np.outer(size, size), (8, 1, 1))
    if kind == "limiting":
        slope = (np.roll(mean, -1, axis=0) - np.roll(mean, 1, axis=0)) / (2 * D_THETA)
        covariance = covariance + 0.02 * slope[:, :, None] * slope[:, None, :]
    return mean, covariance


def exact(mean, covariance, orders, sizes):
    """Mean over sets of the information, for every size."""
    total = np.zeros(len(sizes))
    for k in range(8):
        after = (k + 1) % 8
        difference, noise = mean[after] - mean[k], (covariance[after] + covariance[k]) / 2
        for order in orders:
            for index, size in enumerate(sizes):
                own = order[:size]
                total[index] += difference[own] @ np.linalg.solve(noise[np.ix_(own, own)], difference[own])
    return total / (8 * len(orders) * D_THETA**2)


def draw(mean, covariance, n_trials, rng, n_frequencies=1):
    factor = np.linalg.cholesky(covariance)
    counts = n_trials if np.ndim(n_trials) else [n_trials] * 8
    return [
        [mean[k] + rng.normal(size=(counts[k], mean.shape[1])) @ factor[k].T for k in range(8)]
        for _ in range(n_frequencies)
    ]


def as_responses(values):
    """Responses of known populations in the form in which recordings give them."""
    rows = [(f, k, trial) for f, row in enumerate(values) for k, trials in enumerate(row) for trial in trials]
    frequency, direction, response = zip(*rows, strict=True)
    return TrialResponses(
        np.stack(response),
        np.array(DIRECTIONS_DEG)[list(direction)],
        np.array(frequency) + 1.0,
        np.full(len(response), 60.0),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n_trials", "n_frequencies", "sizes"),
    [
        pytest.param(9, 2, (1, 5, 10, 12), id="9-trials-2-frequencies", marks=pytest.mark.slow),
        pytest.param(15, 1, (1, 5, 10, 20), id="15-trials"),
        pytest.param(50, 1, (1, 10, 40), id="50-trials"),
        pytest.param(200, 1, (1, 10, 20), id="200-trials"),
        pytest.param((9, 15, 12, 20, 9, 15, 11, 17), 1, (1, 5, 10, 15), id="unequal-trials"),
    ],
)
def test_unbiased_and_intervals_cover(kind, n_trials, n_frequencies, sizes):
    mean, covariance = made_population(kind, sizes[-1])
    rng = np.random.default_rng(1)
    orders = draw_orders(sizes[-1], sizes[-1], 2, rng)
    truth = exact(mean, covariance, orders, sizes)
    found, error = [], []
    for _ in range(40):
        value, variance = information_of_sets(
            draw(mean, covariance, n_trials, rng, n_frequencies), orders, sizes, D_THETA
        )
        found.append(value.mean(axis=0))
        error.append(np.sqrt(variance))
    standard_error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - truth) < 3 * standard_error).all()
    assert (standard_error < 0.08 * truth).all(), "else the line above could not fail"
    covered = (np.abs(np.array(found) - truth) < 1.96 * np.array(error)).mean()
    assert covered > 0.88


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_trials", "least"), [(15, 0.90), (50, 0.92), (200, 0.92)])
def test_coverage(kind, n_trials, least):
    sizes = (1, 5, 10, round(1.6 * n_trials)) if n_trials < 200 else (1, 10, 60)
    mean, covariance = made_population(kind, sizes[-1])
    rng = np.random.default_rng(2)
    orders = draw_orders(sizes[-1], sizes[-1], 3, rng)
    truth = exact(mean, covariance, orders, sizes)
    covered = []
    for _ in range(300 if n_trials < 200 else 150):
        value, variance = information_of_sets(draw(mean, covariance, n_trials, rng), orders, sizes, D_THETA)
        covered.append(np.abs(value.mean(axis=0) - truth) < 1.96 * np.sqrt(variance))
    # Standard error of a share of 300: 0.014, of 150: 0.02.
    assert (np.mean(covered, axis=0) > least - 0.03).all()


def test_without_the_correction_it_would_be_too_large():
    mean, covariance = made_population("correlated", 20)
    rng = np.random.default_rng(3)
    values = draw(mean, covariance, 15, rng)[0]
    orders = np.arange(20)[None]
    naive = 0.0
    for k in range(8):
        pair = values[k], values[(k + 1) % 8]
        difference, noise = pair[1].mean(axis=0) - pair[0].mean(axis=0), (np.cov(pair[0].T) + np.cov(pair[1].T)) / 2
        naive += difference @ np.linalg.solve(noise, difference) / 8 / D_THETA**2
    truth = exact(mean, covariance, orders, (20,))[0]
    assert naive > 3 * truth
    t, n = 15, 20
    corrected = naive * (2 * t - n - 3) / (2 * t - 2) - 2 * n / (t * D_THETA**2)
    assert information_of_sets([values], orders, (20,), D_THETA)[0][0, 0] == pytest.approx(corrected)


def test_every_size_is_what_its_own_matrix_gives():
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(14, 9)), 3 * rng.normal(size=(11, 9)) + np.arange(9.0)
    orders, sizes = draw_orders(9, 9, 3, rng), (1, 2, 5, 9)
    value, _ = pair_of_sets(first, second, orders, sizes)
    pooled = (13 * np.cov(first.T) + 10 * np.cov(second.T)) / 23
    for row, order in enumerate(orders):
        for column, size in enumerate(sizes):
            own = order[:size]
            difference = (second.mean(axis=0) - first.mean(axis=0))[own]
            naive = difference @ np.linalg.solve(pooled[np.ix_(own, own)], difference)
            expected = naive * (23 - size - 1) / 23 - size * (1 / 14 + 1 / 11)
            assert value[row, column] == pytest.approx(expected)


def test_noise_along_the_signal_bounds_what_many_neurons_know():
    """With noise of variance e along dmu, information J becomes J / (1 + e J), however many neurons there are."""
    rng = np.random.default_rng(5)
    n_neurons, sizes, extra = 60, (1, 5, 20, 60), 0.5
    difference, size = rng.uniform(-0.5, 0.5, n_neurons), rng.uniform(0.5, 1.0, n_neurons)
    orders = draw_orders(n_neurons, n_neurons, 5, rng)
    without = np.array([[(difference[o[:n]] ** 2 / size[o[:n]] ** 2).sum() for n in sizes] for o in orders])
    truth = (without / (1 + extra * without)).mean(axis=0)
    found = []
    for _ in range(60):
        pair = [
            rng.normal(size=(60, n_neurons)) * size
            + np.sqrt(extra) * rng.normal(size=(60, 1)) * difference
            + at * difference
            for at in (0, 1)
        ]
        found.append(pair_of_sets(*pair, orders, sizes)[0].mean(axis=0))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - truth) < 3 * error).all()
    assert truth[-1] < 1 / extra < without.mean(axis=0)[-1] / 2
    assert (error < 0.09 * truth).all()


def simulated_gratings(jitter_deg, n_trials, n_neurons, seed=0):
    """A recording by the simulator's model, whose gratings all neurons see off by an angle; responses and cells."""
    world = load_world("demo").replace(
        trials_per_block=(round(n_trials * 8 * 22 / 21),),
        temporal_frequencies_hz=(4.0,),
        movie_repeats=0,
        spontaneous_s=0.0,
        frame_rate_hz=(30.06, 30.06),
    )
    rng = np.random.default_rng(seed)
    cells = draw_population("Cux2-CreERT2", world, rng, n_neurons)
    timeline = session_timeline(world, "three_session_A", rng)
    table = timeline.tables["drifting_gratings"]
    table = table[table["blank_sweep"] == 0]
    seen_deg = table["orientation"].to_numpy(np.float64) + jitter_deg * rng.normal(size=len(table))
    tuning = grating_tuning(cells, seen_deg)[:, :, TEMPORAL_FREQUENCIES_HZ.index(4.0)]
    rate_hz = np.r_[np.zeros((1, n_neurons)), (tuning * cells["driven_rate_hz"].to_numpy()[:, None]).T]
    state = np.zeros(timeline.n_frames, np.int32)
    for row, (start, stop) in enumerate(zip(table["start"], table["end"], strict=True)):
        state[start + LATENCY_FRAMES : stop + LATENCY_FRAMES] = row + 1
    latents = draw_latents(timeline.n_frames, 30.0, world.artefacts_per_hour, rng)
    drive = Drive(state, rate_hz.astype(np.float32), {})
    dff = simulate_activity(cells, drive, latents, 30.0, rng).dff
    trials = pd.DataFrame(
        {
            "stimulus": "drifting_gratings",
            "blank": False,
            "direction_deg": table["orientation"].to_numpy(np.float64),
            "temporal_frequency_hz": 4.0,
            "start_frame": table["start"].to_numpy(),
            "stop_frame": table["end"].to_numpy(),
        }
    )
    return trial_responses(Stretch(traces=dff.T, trials=trials, rate_hz=30.0), STIMULUS), cells


@pytest.mark.slow
@pytest.mark.parametrize("jitter_deg", [pytest.param(0.0, id="correlated"), pytest.param(10.0, id="limiting")])
@pytest.mark.parametrize(("n_trials", "within"), [(50, 0.15), (200, 0.12)])
def test_the_simulator_s_value(jitter_deg, n_trials, within):
    """Skewed noise biases low, as for single neurons; the mean over three populations of 40."""
    sizes, found, truth = (5, 10, 20, 40), [], []
    for seed in range(3):
        responses, cells = simulated_gratings(jitter_deg, n_trials, 40, seed)
        table = information_of_responses(responses, sizes, subsets=20)
        found.append(table["fisher_population"])
        sets = draw_orders(40, 40, 20, np.random.default_rng(0))  # the same sets
        true = [fisher_population_true(cells, 30.0, [o[:n] for o in sets], (4.0,), 30.0, jitter_deg) for n in sizes]
        truth.append([each.mean() for each in true])
    assert np.mean(found, axis=0) == pytest.approx(np.mean(truth, axis=0), rel=within)


def test_the_simulator_s_limit_holds():
    """Truth itself: a jitter of variance e bounds it near 1 / e, which twice the neurons do not pass."""
    world = load_world("demo")
    cells = draw_population("Cux2-CreERT2", world, np.random.default_rng(0), 120).assign(driven_rate_hz=20.0)
    few, many = range(60), range(120)
    free = fisher_population_true(cells, 30.0, [few, many], (4.0,))
    bound = fisher_population_true(cells, 30.0, [few, many], (4.0,), jitter_deg=20.0)
    assert free[1] > 1.4 * free[0]
    assert bound[1] < 1.3 * bound[0]
    assert bound[1] < 1 / np.deg2rad(20.0) ** 2 < free[0]


@pytest.mark.slow
def test_temporal_frequencies_are_no_noise():
    """Responses that grow with the frequency: within each they tell as much as if there were one alone."""
    mean, covariance = made_population("correlated", 8)
    rng = np.random.default_rng(6)
    values = draw(mean, covariance, 40, rng, 5)
    offsets = [[trials + 3.0 * f for trials in row] for f, row in enumerate(values)]
    one, moved = (information_of_responses(as_responses(each), [8], seed=0) for each in (values, offsets))
    assert moved["fisher_population"].to_numpy() == pytest.approx(one["fisher_population"].to_numpy())
    assert moved["n_frequencies"].tolist() == [5]


def test_rows_that_are_refused_say_why():
    mean, covariance = made_population("correlated", 130)
    table = information_of_responses(as_responses(draw(mean, covariance, 15, np.random.default_rng(7))), [10, 120, 200])
    assert np.isfinite(table["fisher_population"]).tolist() == [True, False, False]
    assert table["reason"].tolist() == [
        "",
        "120 neurons need more than 61 trials of a direction at each temporal frequency; this recording has 15",
        "200 neurons are wanted, and this recording has 130 that can be used",
    ]
    assert table["n_subsets"].tolist() == [50, 0, 0]


@pytest.mark.parametrize("n_trials", [8, 15])
def test_the_bound_on_neurons_is_two_trials_a_neuron_and_four(n_trials):
    mean, covariance = made_population("independent", 40)
    responses = as_responses(draw(mean, covariance, n_trials, np.random.default_rng(8)))
    most = 2 * n_trials - 4
    table = information_of_responses(responses, [most, most + 1])
    assert np.isfinite(table["fisher_population"]).tolist() == [True, False]
    assert f"{most + 1} neurons need more than {n_trials} trials" in table["reason"].iloc[1]
    assert most in information_of_responses(responses)["n_neurons"].tolist(), "the most is among the defaults"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        pytest.param([15] * 7 + [0], "0 of some", id="a-direction-is-missing"),
        pytest.param([15] * 7 + [1], "1 of some", id="one-trial"),
        pytest.param([15] * 7 + [4], "has 9.5", id="few"),
    ],
)
def test_too_few_trials_of_one_direction_bar_the_recording(counts, said):
    mean, covariance = made_population("independent", 18)
    table = information_of_responses(as_responses(draw(mean, covariance, counts, np.random.default_rng(9))), [18])
    assert table["fisher_population"].isna().all()
    assert said in table["reason"].iloc[0]


def test_no_trials_at_all():
    nothing = TrialResponses(np.empty((0, 5)), np.empty(0), np.empty(0), np.empty(0))
    table = information_of_responses(nothing, [1, 5])
    assert table["fisher_population"].isna().all()
    assert table["reason"].str.contains("no trials of drifting gratings").all()


def test_neurons_and_trials_that_cannot_be_used():
    mean, covariance = made_population("independent", 12)
    values = draw(mean, covariance, 15, np.random.default_rng(10))
    whole = information_of_responses(as_responses(values), [1, 8])
    for row in values[0]:
        row[:, 3] = 0.25  # never varies
        row[:, 7] = row[:, 2]  # repeats another
    values[0][0][4, 5] = np.nan  # misses a sweep
    responses = as_responses(values)
    lost = np.flatnonzero(responses.direction_deg == 90.0)[:3]
    responses.response[lost] = np.nan  # sweeps that nobody answered
    table = information_of_responses(responses, [1, 8])
    assert table["n_available"].tolist() == [9, 9]
    assert table["n_trials"].tolist() == [13.5, 13.5]
    assert np.isfinite(table["fisher_population"]).all()
    assert whole["n_available"].tolist() == [12, 12]


def test_intervals_and_forms():
    mean, covariance = made_population("correlated", 20)
    responses = as_responses(draw(mean, covariance, 50, np.random.default_rng(11)))
    wide, narrow, none = (
        information_of_responses(responses, [5, 20], intervals=level) for level in (Resampling(level=0.95), 0.5, None)
    )
    for table in (wide, narrow):
        assert (table["fisher_population_low"] < table["fisher_population"]).all()
        assert (table["fisher_population"] < table["fisher_population_high"]).all()
    reach = [table["fisher_population_high"] - table["fisher_population"] for table in (wide, narrow)]
    assert (reach[0] / reach[1]).to_numpy() == pytest.approx(1.95996 / 0.67449, rel=1e-4)
    assert none[["fisher_population_low", "fisher_population_high"]].isna().all(axis=None)
    assert (wide["fisher_population_per_frame"] * 60).to_numpy() == pytest.approx(wide["fisher_population"].to_numpy())
    assert wide["subset_std"].iloc[0] > 0
    assert wide["subset_std"].iloc[1] == pytest.approx(0.0, abs=1e-9), "all neurons are one set"


def recorded(store):
    """Everything kept is forgotten."""
    for path in store.statistics_folder.glob("*"):
        path.unlink()
    return population_information(store, sizes=[1, 2, 4], subsets=3)


@pytest.fixture
def gratings(tmp_path):
    """Two recordings with 400 sweeps, five or so of each grating in the train-role time."""
    return make_store(tmp_path, n_sessions=2, layout=(("drifting_gratings", 410),) * 2, trial_frames=6, rest_frames=2)


def test_a_store_gives_one_row_a_recording_and_size(gratings):
    steps = []
    table = population_information(gratings, sizes=[1, 2, 4, 9], subsets=3, progress=steps.append)
    assert table[["session_id", "n_neurons"]].to_numpy().tolist() == [
        [s, n] for s in ("s000", "s001") for n in (1, 2, 4, 9)
    ]
    assert table.columns.tolist() == ["session_id", *COLUMNS]
    for name, column in COLUMNS.items():
        assert table[name].dtype == column.dtype, name
        if column.dtype == "float64":
            assert table[name].dropna().between(column.low, column.high).all()
    assert np.isfinite(table["fisher_population"]).tolist() == [True, True, True, False] * 2
    assert steps == [1, 1]
    assert table.attrs["lineage"]["window"] == "train"
    assert table.attrs["lineage"]["split"]["name"] == "blocks-5fold"
    again = population_information(gratings, sizes=[1, 2, 4, 9], subsets=3, progress=steps.append)
    assert steps == [1, 1, 2], "kept, and read back"
    pd.testing.assert_frame_equal(again, table)
    assert again.attrs == table.attrs


def test_garbage_in_test_time_moves_nothing_and_in_train_time_everything(gratings):
    split = resolve_split(gratings, "blocks-5fold")
    before = recorded(gratings)
    for session, traces in gratings.arrays.items():
        hidden = np.ones(len(traces), bool)
        for start, stop in split.train_time(session):
            hidden[start:stop] = False
        assert hidden.any()
        traces[hidden] = 1e6
        traces[np.flatnonzero(hidden)[::3]] = np.nan
    pd.testing.assert_frame_equal(recorded(gratings), before, check_exact=True)
    for traces in gratings.arrays.values():
        traces *= np.linspace(0.5, 3, len(traces), dtype=np.float32)[:, None]
    assert (recorded(gratings)["fisher_population"] != before["fisher_population"]).all()


def test_all_time_is_said(gratings):
    table = population_information(gratings, window="all", sizes=[2], subsets=3)
    assert table.attrs["lineage"]["window"] == "all"
    assert table.attrs["lineage"]["split"] is None
    train = population_information(gratings, sizes=[2], subsets=3)
    assert (table["n_trials"] > train["n_trials"]).all()
    assert table.attrs["digest"] != train.attrs["digest"]


def test_a_recording_s_numbers_do_not_depend_on_the_others(gratings):
    both = population_information(gratings, sizes=[1, 2], subsets=3)
    one = population_information(gratings, sessions=["s001"], sizes=[1, 2], subsets=3)
    own = both[both["session_id"] == "s001"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, own, check_exact=True)
    other = population_information(gratings, sessions=["s001"], sizes=[1, 2], seed=1, subsets=2)
    assert other["fisher_population"].iloc[0] != one["fisher_population"].iloc[0]


def test_neurons_of_a_diet_alone(gratings):
    table = population_information(gratings, neurons=["s000_1", "s000_3", "s001_0"], sizes=[1, 2], subsets=3)
    assert table["n_available"].tolist() == [2, 2, 1, 1]
    assert np.isfinite(table["fisher_population"]).tolist() == [True, True, True, False]


def test_a_recording_without_gratings_is_refused_in_words(tmp_path):
    table = population_information(make_store(tmp_path, layout=((GREY, 2000),)))
    assert table["fisher_population"].isna().all()
    assert table["reason"].str.contains("no trials").all()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param("constant", "this recording has no neuron that can be used", id="constant"),
        pytest.param(
            "not asked for", "this recording has none of the neurons that sets are drawn from", id="not-asked-for"
        ),
    ],
)
def test_a_recording_always_has_a_row_with_the_reason(tmp_path, spoil, reason):
    store = make_store(tmp_path, n_sessions=2)
    chosen = None
    if spoil == "constant":
        store.arrays["s001"][:] = 1.0
    else:
        chosen = [name for name in store.neurons["neuron_id"] if name.startswith("s000")]
    table = population_information(store, window="all", neurons=chosen)
    (row,) = table[table["session_id"] == "s001"].to_dict("records")
    assert row["reason"] == reason
    assert row["n_neurons"] == 1
    assert row["n_available"] == 0
    assert np.isnan(row["fisher_population"])


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        pytest.param({"sessions": ["s00"]}, UsageError, "no recording 's00'", id="recording"),
        pytest.param({"neurons": ["s000_9"]}, UsageError, "no neuron 's000_9'", id="neuron"),
        pytest.param({"window": "test"}, StatisticError, "window is 'test'", id="window"),
        pytest.param({"window": "all", "split": "blocks-5fold"}, StatisticError, "leave one of them out", id="both"),
        pytest.param({"sizes": [0, 3]}, StatisticError, r"\[0, 3\]; give one or more", id="sizes"),
        pytest.param({"sizes": [1.5]}, StatisticError, r"\[1.5\]; give one or more whole", id="sizes-fraction"),
        pytest.param({"subsets": 0}, StatisticError, "subsets is 0; give a whole number, at least 1", id="subsets"),
        pytest.param({"seed": None}, StatisticError, "seed is None", id="seed"),
        pytest.param({"intervals": 95}, UsageError, "level of intervals is 95", id="level"),
        pytest.param({"sessions": [900000000]}, UsageError, "named by texts", id="recording-number"),
    ],
)
def test_bad_questions(gratings, asked, error, said):
    with pytest.raises(error, match=said):
        population_information(gratings, **asked)


def test_the_real_recording_has_the_known_information(real_recording, tmp_path):
    from poyodata.sources.arrays import read_arrays
    from poyodata.store import open_store
    from poyodata.store.writer import StoreWriter

    with StoreWriter(tmp_path / "real.zarr") as writer:
        writer.add(read_arrays(real_recording / "dff_dg_continuous.h5"))
    table = population_information(open_store(tmp_path / "real.zarr"), window="all", sizes=[1, 10, 20, 120], subsets=20)
    assert table["fisher_population"].to_numpy() == pytest.approx([0.25, 3.7, 8.5, np.nan], rel=0.1, nan_ok=True)
    assert table["n_trials"].unique().tolist() == [14.5]
    assert "120 neurons need more than 61 trials" in table["reason"].iloc[3]
