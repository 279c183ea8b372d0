"""Accuracy, chance and intervals against known values and against enumeration."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from poyodata.errors import ModelError
from poyodata.models.evaluation import (
    balanced_accuracy,
    bootstrap_interval,
    chance_level,
    r2,
    score,
    wilson_interval,
)
from poyodata.models.evaluation.decoding import balanced_chance
from poyodata.models.evaluation.regression import chance_r2


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe 1998, table I, method 3
        pytest.param(81, 263, 0.2553, 0.3662, id="81-of-263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15-of-148"),
        pytest.param(0, 20, 0.0, 0.1611, id="0-of-20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1-of-29"),
        pytest.param(20, 20, 0.8389, 1.0, id="20-of-20"),
    ],
)
def test_wilson_known_values(correct: int, total: int, low: float, high: float) -> None:
    found = wilson_interval(correct, total)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_wilson_solves_its_own_equation() -> None:
    for end in wilson_interval(37, 90, 0.9):
        z = abs(37 / 90 - end) / np.sqrt(end * (1 - end) / 90)
        assert z == pytest.approx(1.6448536, abs=1e-6)


def test_bootstrap_equals_enumeration_of_clusters() -> None:
    cluster = np.repeat(["a", "b", "c"], [2, 4, 10])
    correct = np.array([1, 1] + [1, 0, 0, 0] + [1] * 5 + [0] * 5)
    hits, sizes = {"a": 2, "b": 1, "c": 5}, {"a": 2, "b": 4, "c": 10}
    shares = [
        sum(hits[n] for n in drawn) / sum(sizes[n] for n in drawn) for drawn in itertools.product("abc", repeat=3)
    ]
    expected = np.quantile(shares, [0.1, 0.9], method="inverted_cdf")
    found = bootstrap_interval(correct, np.ones(16, int), cluster, seed=0, confidence=0.8, draws=20_000)
    assert found == pytest.approx(tuple(expected), abs=1e-9)
    assert found == bootstrap_interval(correct, np.ones(16, int), cluster, seed=0, confidence=0.8, draws=20_000)


def test_clusters_that_differ_widen_the_interval() -> None:
    target = np.zeros(200, int)
    prediction = np.repeat([0, 0, 0, 1], 50)  # three animals all right, one all wrong
    low, high = bootstrap_interval(prediction, target, np.repeat(list("abcd"), 50), seed=0)
    wilson = wilson_interval(150, 200)
    assert high - low > 4 * (wilson[1] - wilson[0])


def test_balanced_accuracy_weighs_classes_alike() -> None:
    assert balanced_accuracy([0] * 90 + [1] * 10, [0] * 90 + [0] * 5 + [1] * 5) == pytest.approx((90 / 95 + 1) / 2)


def test_chance_is_the_best_constant_answer() -> None:
    assert chance_level([0, 0, 1], n_classes=8) == pytest.approx(2 / 3)
    assert chance_level(np.arange(16) % 8) == 0.125
    assert chance_level([0, 1], n_classes=2) == 0.5


def test_chance_is_the_best_constant_answer_of_each_recording() -> None:
    rng = np.random.default_rng(0)
    target, recording = rng.integers(0, 3, 30), rng.integers(0, 3, 30)
    # Every way to give each recording one answer.
    named = [np.array(answers)[recording] for answers in itertools.product(range(3), repeat=3)]
    best = max(float((one == target).mean()) for one in named)
    assert chance_level(target, recording=recording) == pytest.approx(best)
    assert best > chance_level(target)
    assert balanced_chance(target, recording) == pytest.approx(max(balanced_accuracy(one, target) for one in named))
    assert balanced_chance(target) == pytest.approx(1 / 3)
    means = np.array([target[recording == at].mean() for at in range(3)])[recording]
    assert chance_r2(target, recording) == pytest.approx(r2(means, target))
    assert chance_r2(target, recording) > 0
    assert chance_r2(target, np.zeros(30)) == 0.0


def test_a_score_of_one_answer_for_each_recording_is_chance() -> None:
    target = np.repeat([0, 1], 40)
    found = score(target, np.arange(80), target, target, n_classes=2)
    assert (found.accuracy, found.chance) == (1.0, 1.0)
    assert not found.exceeds_chance


def test_score_says_whether_the_whole_interval_is_above_chance() -> None:
    target = np.arange(80) % 8
    recording, trial = np.full(80, "r"), np.arange(80)
    lucky = np.where(np.arange(80) < 15, target, (target + 1) % 8)  # 0.19 of 80: above chance, its interval is not
    good = np.where(np.arange(80) < 40, target, (target + 1) % 8)
    found = score(recording, trial, lucky, target)
    assert found.accuracy > found.chance
    assert found.low < 0.125 < found.high
    assert not found.exceeds_chance
    assert score(recording, trial, good, target).exceeds_chance


def test_score_uses_clusters_where_there_are_some() -> None:
    target = np.arange(80) % 8
    kwargs: dict[str, Any] = {"recording": np.repeat(["r", "q"], 40), "trial": np.tile(np.arange(40), 2)}
    found = score(**kwargs, prediction=target, target=target, cluster=np.repeat(["m", "n"], 40))
    assert (found.interval, found.low, found.high) == ("student", *wilson_interval(80, 80))
    half = np.where(np.arange(80) < 40, target, (target + 1) % 8)  # one animal all right, one all wrong
    found = score(**kwargs, prediction=half, target=target, cluster=np.repeat(["m", "n"], 40))
    assert (found.low, found.high) == (0.0, 1.0)
    many = score(**kwargs, prediction=target, target=target, cluster=np.arange(80) // 10)
    assert many.interval == "bootstrap"
    assert score(**kwargs, prediction=target, target=target, cluster=np.full(80, "m")).interval == "wilson"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda: score(["r", "r"], [1, 1], [0, 1], [0, 1]), "2 answers arrived for 1 trials", id="twice"),
        pytest.param(lambda: score([], [], [], []), "predictions for", id="none"),
        pytest.param(lambda: wilson_interval(3, 2), "3 of 2", id="more-than-all"),
        pytest.param(lambda: wilson_interval(1, 2, 1.5), "confidence=1.5", id="confidence"),
        pytest.param(lambda: bootstrap_interval([0], [0], ["a"], seed=0), "1 cluster", id="one-cluster"),
        pytest.param(lambda: bootstrap_interval([0, 1], [0, 1], ["a"], seed=0), "one name a trial", id="names"),
        pytest.param(lambda: chance_level([]), "no trial", id="no-chance"),
        pytest.param(lambda: chance_level([0, 1], recording=["a"]), "one name a trial", id="recordings"),
    ],
)
def test_bad_input(call: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        call()
