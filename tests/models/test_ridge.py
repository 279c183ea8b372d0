"""The ridge decoder against its definition: normal equations, leaving out by refitting, and scaling from training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from poyodata.errors import ModelError
from poyodata.models.ridge import RidgeDecoder, RidgeRegression

Floats = npt.NDArray[np.float64]


def _problem(n: int = 30, p: int = 6, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, n)
    features = rng.standard_normal((n, p)) * rng.uniform(0.1, 10, p) + rng.uniform(-5, 5, p)
    features[:, :3] += 3 * np.eye(3)[target]
    return features, target


def _outputs_by_hand(x: Floats, onehot: Floats, new: Floats, alpha: float) -> Floats:
    """Normal equations with an intercept that is not penalised."""
    design = np.column_stack((np.ones(len(x)), x))
    penalty = alpha * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    beta = np.linalg.solve(design.T @ design + penalty, design.T @ onehot)
    return np.column_stack((np.ones(len(new)), new)) @ beta


@pytest.mark.parametrize("p", [6, 50], ids=["tall", "wide"])
@pytest.mark.parametrize("alpha", [0.1, 10.0, 1000.0])
def test_closed_form(p: int, alpha: float) -> None:
    features, target = _problem(p=p)
    new, _ = _problem(n=7, p=p, seed=1)
    decoder = RidgeDecoder(alphas=(alpha,)).fit(features, target)
    scaled, scaled_new = ((v - features.mean(axis=0)) / features.std(axis=0) for v in (features, new))
    expected = _outputs_by_hand(scaled, np.eye(3)[target], scaled_new, alpha)
    np.testing.assert_allclose(decoder.decide(new), expected, atol=1e-9)
    assert (decoder.predict(new) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("p", [6, 50], ids=["tall", "wide"])
def test_leave_one_out_error_equals_refitting(p: int) -> None:
    features, target = _problem(p=p)
    alphas = (0.5, 20.0, 500.0)
    decoder = RidgeDecoder(alphas).fit(features, target)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    onehot = np.eye(3)[target]
    for alpha, found in zip(alphas, decoder.loo_errors, strict=True):
        errors = []
        for left_out in range(len(scaled)):
            rest = np.arange(len(scaled)) != left_out
            predicted = _outputs_by_hand(scaled[rest], onehot[rest], scaled[[left_out]], alpha)
            errors.append(np.mean((onehot[left_out] - predicted) ** 2))
        assert found == pytest.approx(np.mean(errors), rel=1e-8)
    assert decoder.alpha == alphas[int(np.argmin(decoder.loo_errors))]


def test_labels_come_back_as_they_were() -> None:
    target = np.arange(30) % 3
    features = np.eye(3)[target] + 0.1 * np.random.default_rng(0).standard_normal((30, 3))
    degrees = np.array([0.0, 45.0, 270.0])[target]
    decoder = RidgeDecoder().fit(features, degrees)
    assert decoder.predict(features).tolist() == degrees.tolist()
    assert decoder.accuracy(features, np.roll(degrees, 1)) == 0.0


def test_scale_of_a_neuron_and_silent_neurons_do_not_matter() -> None:
    features, target = _problem()
    new, _ = _problem(n=9, seed=2)
    plain = RidgeDecoder().fit(features, target).decide(new)
    gain, offset = np.array([1e3, 1e-3, 2, 5, 1, 7]), 100.0
    scaled = RidgeDecoder().fit(features * gain + offset, target).decide(new * gain + offset)
    np.testing.assert_allclose(scaled, plain, atol=1e-6)
    silent = [np.column_stack((x, np.full(len(x), 4.0))) for x in (features, new)]
    np.testing.assert_allclose(RidgeDecoder().fit(silent[0], target).decide(silent[1]), plain, atol=1e-9)


def test_noise_calls_for_a_large_penalty() -> None:
    rng = np.random.default_rng(0)
    target = np.arange(80) % 4
    noise = RidgeDecoder().fit(rng.standard_normal((80, 60)), target)
    signal = RidgeDecoder().fit(np.eye(4)[target] + 0.01 * rng.standard_normal((80, 4)), target)
    assert noise.alpha > 100 * signal.alpha


@pytest.mark.parametrize(
    ("features", "target", "said"),
    [
        pytest.param(np.zeros(4), np.zeros(4), r"shape \(4,\)", id="one-dimension"),
        pytest.param(np.zeros((4, 2)), np.arange(3), r"expected \(4,\)", id="lengths"),
        pytest.param(np.zeros((4, 2)), np.zeros(4), "1 class", id="one-class"),
        pytest.param(np.full((4, 2), np.nan), np.arange(4), "8 of 8 features are not finite", id="nan"),
    ],
)
def test_bad_input(features: Floats, target: Floats, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        RidgeDecoder().fit(features, target)


def test_wrong_use() -> None:
    with pytest.raises(ModelError, match="not fitted"):
        RidgeDecoder().predict(np.zeros((2, 2)))
    with pytest.raises(ModelError, match="3 columns, expected the 6"):
        RidgeDecoder().fit(*_problem()).predict(np.zeros((2, 3)))
    with pytest.raises(ModelError, match="above 0"):
        RidgeDecoder(alphas=(0.0,))


@pytest.mark.parametrize(("rows", "features"), [(40, 6), (30, 60)], ids=["more-rows", "more-features"])
def test_groups_left_out_in_closed_form_are_groups_left_out(rows: int, features: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, features)), rng.standard_normal((rows, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)  # the scale is that of all rows
    groups, counted = np.arange(rows) * 4 // rows, np.arange(rows) % 3 > 0
    errors = []
    for group in range(4):
        kept, asked = groups != group, (groups == group) & counted
        middle, base = x[kept].mean(axis=0), y[kept].mean(axis=0)
        inside = x[kept] - middle
        weights = np.linalg.solve(inside.T @ inside + 3 * np.eye(features), inside.T @ (y[kept] - base))
        errors.append(((x[asked] - middle) @ weights + base - y[asked]) ** 2)
    found = RidgeRegression((3.0,)).fit(x, y, groups, counted).loo_errors
    assert found == pytest.approx([np.concatenate(errors).mean()])
    singly = RidgeRegression((3.0,)).fit(x, y, np.arange(rows)).loo_errors
    assert singly == pytest.approx(RidgeRegression((3.0,)).fit(x, y).loo_errors)
    with pytest.raises(ModelError, match="two groups at least"):
        RidgeRegression().fit(x, y, np.zeros(rows))
    with pytest.raises(ModelError, match="of both"):
        RidgeRegression().fit(x, y, groups[1:])


@pytest.mark.parametrize("groups", [False, True], ids=["single-rows", "groups"])
def test_many_classes_are_fitted_as_few_are(groups: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    target = np.tile(np.arange(200), 6)
    features = rng.standard_normal((200, 40))[target] + rng.standard_normal((1200, 40)) + 5.0
    left_out = np.repeat(np.arange(6), 200) if groups else None
    mixed = RidgeDecoder().fit(features, target, left_out)
    again = RidgeDecoder((mixed.alpha,)).fit(features, target)
    monkeypatch.setattr("poyodata.models.ridge.MOST_MIXTURES", 200)
    plain = RidgeDecoder().fit(features, target, left_out)
    assert mixed.alpha == pytest.approx(plain.alpha, rel=1.0)
    assert mixed.loo_errors * 128 == pytest.approx(plain.loo_errors * 200, rel=0.1)
    same = RidgeDecoder((mixed.alpha,)).fit(features, target)
    np.testing.assert_allclose(again.decide(features), same.decide(features), atol=1e-10)


def test_some_values_alone_may_choose_the_penalty() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 5))
    told, noise = features @ rng.standard_normal((5, 1)), 100 * rng.standard_normal((60, 1))
    both = np.hstack([noise, told])
    alone, judged = RidgeRegression().fit(features, told), RidgeRegression(judged=slice(-1, None)).fit(features, both)
    assert judged.alpha == alone.alpha < RidgeRegression().fit(features, both).alpha
    np.testing.assert_allclose(judged.predict(features)[:, 1:], alone.predict(features))
