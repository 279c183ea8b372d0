"""R^2 against its definition; intervals against enumeration, formulas and their own coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

from poyodata.errors import ModelError
from poyodata.models.evaluation import r2, wilson_interval
from poyodata.models.evaluation.decoding import balanced_accuracy, balanced_accuracy_of
from poyodata.models.evaluation.intervals import (
    SHARE,
    Clusters,
    Pictures,
    donor_clusters,
    expanded_tail,
    interval,
    mean_of,
    mean_over,
    worth_of,
)
from poyodata.models.evaluation.regression import r2_of


def _r2_by_definition(prediction: np.ndarray, target: np.ndarray) -> float:
    residual, total = ((target - prediction) ** 2).sum(axis=0), ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.mean(1 - residual / total))


@pytest.mark.parametrize("values", [1, 2], ids=["one-value", "two-values"])
def test_r2_is_that_of_the_definition(values: int) -> None:
    rng = np.random.default_rng(0)
    target = rng.standard_normal((50, values)) * 3 + 1000.0
    prediction = target + rng.standard_normal((50, values))
    assert r2(prediction, target) == pytest.approx(_r2_by_definition(prediction, target), abs=1e-10)
    assert r2(np.full_like(target, target.mean(axis=0)), target) == pytest.approx(0.0, abs=1e-12)
    assert r2(target, target) == 1.0
    assert r2(target + 10, target) < -1


def test_r2_of_drawn_rows_is_r2_of_those_rows() -> None:
    rng = np.random.default_rng(1)
    target, prediction = rng.standard_normal((2, 40, 2))
    statistic = r2_of(prediction, target)
    rows = rng.integers(0, 40, 40)
    assert statistic.take(rows).value == pytest.approx(_r2_by_definition(prediction[rows], target[rows]))


def test_r2_of_a_target_that_does_not_vary_is_unknown() -> None:
    assert np.isnan(r2([1.0, 2.0], [3.0, 3.0]))
    with pytest.raises(ModelError, match="expected one of each"):
        r2([1.0], [1.0, 2.0])


def test_balanced_accuracy_of_drawn_rows() -> None:
    rng = np.random.default_rng(2)
    prediction, target = rng.integers(0, 4, (2, 60))
    statistic = balanced_accuracy_of(prediction, target)
    for rows in (rng.integers(0, 60, 60), np.flatnonzero(target != 2)):
        assert statistic.take(rows).value == pytest.approx(balanced_accuracy(prediction[rows], target[rows]))


def test_interval_equals_enumeration_of_clusters() -> None:
    cluster = np.repeat(np.arange(6), [2, 4, 10, 1, 3, 5])
    values = np.random.default_rng(4).standard_normal(25)
    sums, sizes = np.bincount(cluster, values), np.bincount(cluster)
    drawn = np.array(list(itertools.product(range(6), repeat=6)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = expanded_tail(6, 0.5)
    expected = np.quantile(means, [tail, 1 - tail])
    found = interval(mean_of(values), Clusters(cluster, ""), seed=0, confidence=0.5, draws=20_000)
    assert found == pytest.approx(tuple(expected), abs=0.02)
    assert found == interval(mean_of(values), Clusters(cluster, ""), seed=0, confidence=0.5, draws=20_000)


def test_few_clusters_are_given_the_width_of_student() -> None:
    # Half the width in standard errors is that of Student's t, for means of clusters of one size.
    values = np.random.default_rng(0).standard_normal(8)
    low, high = interval(mean_of(values), Clusters(np.arange(8), ""), seed=0, draws=40_000)
    half = special.stdtrit(7, 0.975) * values.std(ddof=1) / np.sqrt(8)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert expanded_tail(8) < 0.01 < expanded_tail(100) < 0.025


def test_interval_of_8_clusters_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for world in range(300):
        centre = rng.standard_normal(8)
        values = np.repeat(centre, 5) + 0.3 * rng.standard_normal(40)
        low, high = interval(mean_of(values), Clusters(np.repeat(np.arange(8), 5), ""), seed=world, draws=500)
        covered += low <= 0 <= high
    assert 0.91 <= covered / 300 <= 0.99


def test_2_to_5_clusters_are_given_students_interval() -> None:
    # Of clusters of one size it is the textbook's, of the clusters' means.
    rng = np.random.default_rng(0)
    for n in (2, 3, 5):
        centre = rng.standard_normal(n)
        values = np.repeat(centre, 9) + np.tile(np.linspace(-0.1, 0.1, 9), n)
        half = special.stdtrit(n - 1, 0.975) * centre.std(ddof=1) / np.sqrt(n)
        found = interval(mean_of(values), Clusters(np.repeat(np.arange(n), 9), ""), seed=0)
        assert found == pytest.approx((centre.mean() - half, centre.mean() + half))
    # Two that are alike by chance do not make it narrower than trials drawn singly.
    values = np.tile([1.0, 0.0, 1.0, 1.0], 10)
    low, high = interval(mean_of(values), Clusters(np.repeat([0, 1], 20), ""), seed=0)
    assert (high - low) / 2 == pytest.approx(special.stdtrit(39, 0.975) * values.std(ddof=1) / np.sqrt(40))
    assert interval(mean_of([1.0, 1.0, 1.0, 0.0], (0.0, 1.0)), Clusters(np.array([0, 0, 1, 1]), ""), seed=0) == (0, 1)


def _coverage_of_donors(n: int, worlds: int, sizes: tuple[int, ...] = (40,)) -> float:
    rng = np.random.default_rng(n)
    rows = np.repeat(np.arange(n), np.resize(sizes, n))
    covered = 0
    for world in range(worlds):
        values = rng.normal(0, 0.1, n)[rows] + rng.normal(0, 0.3, len(rows))
        donor = {f"s{i}": f"m{i}" for i in range(n)}
        low, high = interval(mean_of(values), donor_clusters(np.array([f"s{i}" for i in rows]), donor), seed=world)
        covered += low <= 0 <= high
    return covered / worlds


def _coverage_of_segments(segments: int, donors: int, worlds: int) -> float:
    """Donors differ more than segments do: what is claimed of animals must not come from many segments."""
    rng = np.random.default_rng(segments + donors)
    segment = np.tile(np.repeat(np.arange(segments), 6), donors)
    donor = np.repeat(np.arange(donors), segments * 6)
    covered = 0
    for world in range(worlds):
        effects = rng.normal(0, 0.1, donors)[donor] + rng.normal(0, 0.03, segments)[segment]
        values = effects + rng.normal(0, 0.05, len(segment))
        low, high = interval(mean_of(values), Clusters(segment, "", donor), seed=world, draws=1000)
        covered += low <= 0 <= high
    return covered / worlds


@pytest.mark.parametrize("donors", [2, 3, 5, 7])
def test_few_donors_are_covered_as_often_as_said(donors: int) -> None:
    assert _coverage_of_donors(donors, 150) >= 0.90


@pytest.mark.parametrize(("segments", "donors"), [(10, 2), (40, 2), (40, 5), (12, 8)])
def test_few_donors_in_segments_are_covered_as_often_as_said(segments: int, donors: int) -> None:
    assert _coverage_of_segments(segments, donors, 100) >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize("donors", range(2, 9))
def test_coverage_of_2_to_8_donors(donors: int) -> None:
    assert _coverage_of_donors(donors, 2000) >= 0.90
    assert _coverage_of_donors(donors, 2000, sizes=(20, 60, 40)) >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize("donors", [2, 3, 5, 6, 8])
@pytest.mark.parametrize("segments", [8, 10, 40])
def test_coverage_of_segments_and_donors(segments: int, donors: int) -> None:
    assert _coverage_of_segments(segments, donors, 1000) >= 0.90


# -- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("donors", "trials", "right"),
    [
        pytest.param(2, 10, 0.95, id="2-donors"),
        pytest.param(4, 20, 0.97, id="4-donors"),
        pytest.param(6, 10, 0.97, id="6-donors"),
    ],
)
def test_shares_near_1_are_covered_as_often_as_said(donors: int, trials: int, right: float) -> None:
    covered, rng = 0, np.random.default_rng(donors)
    for world in range(200):
        hits = rng.random(donors * trials) < right
        ends = interval(mean_of(hits, SHARE), Clusters(np.repeat(np.arange(donors), trials), ""), seed=world, draws=300)
        covered += ends[0] <= right <= ends[1]
    assert covered / 200 >= 0.93


def test_balanced_accuracy_near_1_is_covered_as_often_as_said() -> None:
    covered, rng = 0, np.random.default_rng(0)
    for world in range(200):
        target = rng.integers(0, 8, 40)
        prediction = np.where(rng.random(40) < 0.97, target, (target + 1) % 8)
        trials = Clusters(np.arange(40), "", independent=True)
        low, high = interval(balanced_accuracy_of(prediction, target), trials, seed=world, draws=300)
        covered += low <= 0.97 <= high
    assert covered / 200 >= 0.93


@pytest.mark.parametrize("alike", [False, True], ids=["trials", "frames"])
@pytest.mark.parametrize("hit", [0.0, 1.0], ids=["all-wrong", "all-right"])
@pytest.mark.parametrize("donor", [{"r": "m", "q": "m"}, {"r": "m", "q": "n"}], ids=["one-donor", "two-donors"])
def test_all_right_or_all_wrong_is_as_sure_as_wilson_says(hit: float, alike: bool, donor: dict[str, str]) -> None:
    # Of frames each block of neighbours is worth one trial.
    clusters = donor_clusters(np.repeat(["r", "q"], 300), donor, order=np.arange(600) if alike else None)
    found = interval(mean_of(np.full(600, hit), SHARE), clusters, seed=0)
    assert found == pytest.approx(wilson_interval(hit * (40 if alike else 600), 40 if alike else 600))


def test_what_frames_are_worth_follows_from_how_their_blocks_differ() -> None:
    rng, block = np.random.default_rng(0), np.repeat(np.arange(20), 45)
    independent = mean_of(rng.random(900) < 0.3, SHARE)
    copies = mean_of((rng.random(20) < 0.3)[block], SHARE)
    assert worth_of(independent, None) == 900
    assert worth_of(independent, block) > 400
    assert worth_of(copies, block) == pytest.approx(20, rel=0.06)


def test_two_kinds_of_clusters_widen_the_interval() -> None:
    segment, donor = np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10)
    values = np.array([0.0, 1.0, 2.0, 3.0])[donor]  # donors differ, segments do not
    alone = interval(mean_of(values), Clusters(segment, ""), seed=0)
    both = interval(mean_of(values), Clusters(segment, "", donor), seed=0)
    assert alone == (1.5, 1.5)
    assert both[1] - both[0] > 1.5


def test_difference_is_drawn_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    easy = np.repeat(rng.standard_normal(12), 6)  # what makes a donor easy is the same for both decoders
    mine, other = mean_of(easy + 0.1), mean_of(easy)
    clusters = Clusters(np.repeat(np.arange(12), 6), "")
    low, high = interval(mine.minus(other), clusters, seed=0)
    assert (low, high) == pytest.approx((0.1, 0.1))
    assert np.diff(interval(mine, clusters, seed=0))[0] > 0.5


def test_mean_over_recordings_weighs_them_alike() -> None:
    recording = np.array([0] * 90 + [1] * 10)
    statistic = mean_over(mean_of(np.r_[np.ones(90), np.zeros(10)]), recording)
    assert statistic.value == 0.5


@pytest.mark.parametrize(
    ("donor", "order", "clusters", "said"),
    [
        pytest.param({"r": "m", "q": "n"}, None, 2, "2 donors, too few to be drawn", id="donors"),
        pytest.param({"r": "m", "q": "m"}, None, 80, "one donor: trials within its 2 recordings", id="one-donor"),
        pytest.param({"r": "m", "q": "m"}, np.arange(80), 40, "one donor: 40 blocks of neighbouring", id="blocks"),
        pytest.param(None, None, 2, "2 recordings whose donors are not known, too few", id="unknown"),
        pytest.param({"q": "m"}, None, 2, "1 donor and 1 recording whose donors are not known", id="one-unknown"),
    ],
)
def test_what_is_drawn_is_said(
    donor: dict[str, str] | None, order: np.ndarray | None, clusters: int, said: str
) -> None:
    found = donor_clusters(np.repeat(["r", "q"], 40), donor, order=order)
    assert found.count == clusters
    assert found.words.startswith(said)
    assert ("nothing of other animals" in found.words) == (clusters != 2)
    assert found.independent == (clusters == 80)


@pytest.mark.parametrize(
    ("donor", "groups", "across", "said"),
    [
        pytest.param(
            {"r": "m", "q": "m"}, 8, False, "one donor: 8 segments within its 2 recordings; it", id="one-donor"
        ),
        pytest.param({"r": "m", "q": "n"}, 8, True, "8 segments, and 2 donors, too few", id="donors"),
        pytest.param(
            {"r": "m", "q": "m"}, 2, False, "one donor: 2 segments within its 2 recordings, too few", id="few"
        ),
    ],
)
def test_pictures_are_drawn_across_donors(donor: dict[str, str], groups: int, across: bool, said: str) -> None:
    code = np.arange(80) % groups
    found = donor_clusters(np.repeat(["r", "q"], 40), donor, order=np.arange(80), pictures=Pictures(code, "segments"))
    assert found.words.startswith(said)
    np.testing.assert_array_equal(found.code, code)
    assert found.whole == across == (found.across is not None)


@pytest.mark.parametrize("nobody", [float("nan"), None, "", " "], ids=["nan", "none", "empty", "blank"])
def test_donors_without_a_name_are_not_one_donor(nobody: object) -> None:
    sessions = np.repeat([f"r{i}" for i in range(6)], 20)
    unknown, given = donor_clusters(sessions, None), donor_clusters(sessions, dict.fromkeys(sessions, nobody))  # type: ignore[arg-type]
    assert given.words == unknown.words == "6 recordings whose donors are not known drawn again"
    np.testing.assert_array_equal(given.code, unknown.code)


def test_blocks_hold_neighbours_of_one_recording() -> None:
    order = np.random.default_rng(0).permutation(100)
    found = donor_clusters(np.repeat(["r", "q"], [60, 40]), {"r": "m", "q": "m"}, order=order)
    for block in range(found.count):
        rows = np.flatnonzero(found.code == block)
        assert (rows < 60).all() or (rows >= 60).all()
        same = np.sort(order[:60] if rows[0] < 60 else order[60:])
        assert np.ptp(np.searchsorted(same, np.sort(order[rows]))) == len(rows) - 1


def test_one_cluster_has_no_interval() -> None:
    assert all(np.isnan(interval(mean_of([1.0, 2.0]), Clusters(np.zeros(2, int), ""), seed=0)))
    with pytest.raises(ModelError, match="no coverage"):
        interval(mean_of([1.0, 2.0]), Clusters(np.arange(2), ""), seed=0, confidence=95)


def test_one_unknown_donor_leaves_the_others_clustered() -> None:
    sessions = np.repeat([f"r{i}" for i in range(20)], 30)
    donor = {f"r{i}": f"m{i // 2}" for i in range(19)}
    found = donor_clusters(sessions, donor)
    assert found.count == 11
    assert found.whole
    assert found.words == "10 donors and 1 recording whose donors are not known drawn again"
    assert (found.code[sessions == "r18"] != found.code[sessions == "r19"].max()).all()
    assert len(np.unique(found.code[np.isin(sessions, ["r0", "r1"])])) == 1
    # A donor that is called like a recording is another.
    assert donor_clusters(np.array(["a", "b"]), {"a": "b"}).count == 2
