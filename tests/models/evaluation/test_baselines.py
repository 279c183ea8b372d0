"""What a model is shown beside: each baseline against its definition, and which of them is an oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poyodata.errors import ModelError
from poyodata.models.evaluation.baselines import (
    Baseline,
    linear_pixels,
    make_baselines,
    nearest_frame_oracle,
    nearest_response,
    same_names,
    train_mean,
)
from poyodata.models.evaluation.images import squared_error
from poyodata.models.evaluation.responses import Responses
from poyodata.models.ridge import RidgeRegression
from tests.models.evaluation.worlds import movie, responses

TRAIN, TEST = np.tile(np.arange(40), 3), np.arange(40, 60)


def _classes(seed: int, n: int = 60) -> dict[str, Responses]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 4
    features = np.eye(4)[target] @ np.random.default_rng(9).standard_normal((4, 6)) + 0.2 * rng.standard_normal((n, 6))
    return {"r": Responses("direction", "class", "r", features, np.arange(n), np.full(n, -1), target)}


def test_ridge_onto_pixels_is_ridge_onto_every_pixel() -> None:
    known, asked = responses(TRAIN), responses(TEST, seed=1)
    found = linear_pixels(known, asked).output
    plain = RidgeRegression().fit(known["r"].features, known["r"].target.reshape(len(TRAIN), -1))
    expected = np.clip(plain.predict(asked["r"].features), 0, 1).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Ids of pictures only save time.
    nameless = {"r": replace(known["r"], shown=None)}
    np.testing.assert_allclose(linear_pixels(nameless, asked).output, found, atol=1e-5)


def test_linear_decoder_generalises_to_frames_that_were_never_shown() -> None:
    known, asked = responses(TRAIN, noise=0.005), responses(TEST, seed=1, noise=0.005)
    linear, mean = (make(known, asked) for make in (linear_pixels, train_mean))
    errors = [squared_error(one.output, one.target).mean() for one in (linear, mean)]
    assert errors[0] < 0.5 * errors[1]


def test_train_mean_is_the_mean_of_all_training_windows() -> None:
    known, asked = responses([0, 0, 0, 7], sessions=("r", "q")), responses(TEST, sessions=("q", "r"), seed=1)
    frames = movie()
    expected = (3 * frames[0] + frames[7]) / 4
    for picture in train_mean(known, asked).output:
        np.testing.assert_allclose(picture, expected, atol=1e-6)


def test_nearest_frame_is_told_the_truth_and_nearest_response_is_not() -> None:
    known, asked = responses(TRAIN), responses(TEST, seed=1)
    frames = movie()
    oracle, fair = nearest_frame_oracle(known, asked), nearest_response(known, asked)
    for true, told in zip(TEST, oracle.output, strict=True):
        best = ((frames[:40] - frames[true]) ** 2).sum(axis=(1, 2)).argmin()
        np.testing.assert_array_equal(told, frames[best])
    # Neither can answer with a frame that training never showed, and none is nearer than the oracle's.
    assert (squared_error(oracle.output, oracle.target) <= squared_error(fair.output, fair.target)).all()
    # Other true frames with the same responses change the oracle's answers alone.
    moved = {"r": replace(asked["r"], target=frames[TEST[::-1]], shown=TEST[::-1])}
    np.testing.assert_array_equal(nearest_response(known, moved).output, fair.output)
    assert not np.array_equal(nearest_frame_oracle(known, moved).output, oracle.output)


def test_nearest_response_is_that_of_the_largest_cosine() -> None:
    known, asked = _classes(0), _classes(1, n=12)
    found = nearest_response(known, asked, 4).prediction
    x, new = known["r"].features, asked["r"].features
    scaled, scaled_new = ((v - x.mean(axis=0)) / x.std(axis=0) for v in (x, new))
    cosine = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in scaled] for a in scaled_new]
    assert (found == known["r"].target[np.argmax(cosine, axis=1)]).all()


def test_seen_frames_make_the_oracle_perfect() -> None:
    known, asked = responses(TRAIN), responses(np.arange(40), seed=1)
    oracle = nearest_frame_oracle(known, asked)
    np.testing.assert_array_equal(oracle.output, oracle.target)


@pytest.mark.parametrize(
    ("kind", "names", "oracles"),
    [
        pytest.param("class", ["linear", "nearest_response"], [], id="class"),
        pytest.param("value", ["linear", "train_mean"], [], id="value"),
        pytest.param(
            "image",
            ["chance", "linear", "train_mean", "nearest_response", "nearest_frame_oracle"],
            ["nearest_frame_oracle"],
            id="image",
        ),
    ],
)
def test_every_task_has_its_baselines_on_the_same_windows(kind: str, names: list[str], oracles: list[str]) -> None:
    if kind == "image":
        known, asked = responses(TRAIN), responses(TEST, seed=1)
    elif kind == "class":
        known, asked = _classes(0), _classes(1)
    else:
        known, asked = (
            {"r": replace(one["r"], kind="value", target=one["r"].features[:, :1] * 2 + 1)}
            for one in (_classes(0), _classes(1))
        )
    found = make_baselines(known, asked, seed=3)
    assert [one.name for one in found] == names
    assert [one.name for one in found if one.oracle] == oracles
    for one in found:
        assert one.answers.keys.equals(found[0].answers.keys)
        assert len(one.answers) == len(asked["r"])
    again = make_baselines(known, asked, seed=3)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.answers.output, other.answers.output)
    if kind == "class":
        assert (found[0].answers.prediction == asked["r"].target).mean() > 0.9
    if kind == "value":
        np.testing.assert_allclose(found[0].answers.output, found[0].answers.target, atol=0.05)


def test_a_class_that_training_never_showed_is_answered_last() -> None:
    known, asked = _classes(0), _classes(1)
    fewer = known["r"].target != 2
    part = {
        "r": replace(
            known["r"],
            features=known["r"].features[fewer],
            trial=known["r"].trial[fewer],
            frame=known["r"].frame[fewer],
            target=known["r"].target[fewer],
        )
    }
    (linear, _) = make_baselines(part, asked, n_classes=4)
    assert 2 not in linear.answers.prediction
    assert (linear.answers.output.argmin(axis=1) == 2).all()


def test_recordings_without_training_are_refused() -> None:
    with pytest.raises(ModelError, match=r"1 of 2 recordings of the test have no training windows, first 'q'"):
        make_baselines(responses(TRAIN), responses(TEST, sessions=("r", "q")))


def test_folds_have_the_same_baselines() -> None:
    one = Baseline("linear", train_mean(responses(TRAIN), responses(TEST)))
    assert len(same_names([[one], [one]])[0].answers) == 40
    with pytest.raises(ModelError, match="different baselines"):
        same_names([[one], [replace(one, name="train_mean")]])
