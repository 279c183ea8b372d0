"""What a model is shown beside: each baseline against its definition, and which of them is an oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poyodata.errors import ModelError
from poyodata.models.evaluation import baselines
from poyodata.models.evaluation.answers import Answers
from poyodata.models.evaluation.baselines import (
    Baseline,
    choose_bins,
    linear_pixels,
    linear_values,
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
    pixels = known["r"].target.reshape(len(TRAIN), -1)
    plain = RidgeRegression().fit(known["r"].features, pixels, *_blocks(known["r"]))
    expected = np.clip(plain.predict(asked["r"].features), 0, 1).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Without ids every trial is taken for another picture.
    nameless = {"r": replace(known["r"], shown=None)}
    plain = RidgeRegression().fit(known["r"].features, pixels)
    expected = np.clip(plain.predict(asked["r"].features), 0, 1).reshape(found.shape)
    np.testing.assert_allclose(linear_pixels(nameless, asked).output, expected, atol=1e-5)


def _blocks(known: Responses) -> tuple[np.ndarray, np.ndarray]:
    found = known.blocks()
    assert found is not None
    return found


def test_repeats_of_a_picture_and_neighbouring_frames_are_left_out_together() -> None:
    known = responses(np.tile(np.arange(60), 3))["r"]
    groups, counted = _blocks(known)
    assert known.shown is not None
    assert len(np.unique(groups)) == 6
    for frame in range(60):
        assert len(np.unique(groups[known.shown == frame])) == 1
    assert (np.diff(groups[np.argsort(known.shown, kind="stable")]) >= 0).all()
    # What counts is away from the ends of its block.
    assert sorted(set(known.shown[counted] % 10)) == [3, 4, 5, 6]
    of_time = replace(known, kind="value", trial=np.full(180, -1), frame=np.arange(180))
    assert (np.diff(_blocks(of_time)[0]) >= 0).all()
    of_trials = replace(known, kind="class", trial=np.arange(180))
    assert of_trials.blocks() is None
    twice = replace(of_trials, trial=np.arange(180) // 2)
    groups, counted = _blocks(twice)
    assert (groups[::2] == groups[1::2]).all()
    assert counted.all()


def test_the_penalty_is_not_chosen_by_copies_of_the_test() -> None:
    # Slow noise makes rows of one time alike: by rows left out singly nearly no penalty looks best.
    errors, singly = 0.0, 0.0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        parts = []
        for n in (600, 2000):
            x, y = (
                np.repeat(rng.standard_normal((n // 20, k)), 20, axis=0) + 0.05 * rng.standard_normal((n, k))
                for k in (20, 1)
            )
            parts.append(
                Responses("running", "value", "r", x, np.full(n, -1), np.arange(n), np.asarray(y + 0.5 * x[:, :1]))
            )
        known, asked = parts
        found = linear_values({"r": known}, {"r": asked})
        errors += float(((found.output - found.target) ** 2).mean())
        plain = RidgeRegression().fit(known.features, known.target)
        singly += float(((plain.predict(asked.features) - asked.target) ** 2).mean())
    assert errors < 0.7 * singly


@pytest.mark.parametrize(("depends_on", "chosen"), [("whole", 1), ("half", 2), ("eighth", 8)])
def test_training_windows_choose_how_much_of_time_is_read(depends_on: str, chosen: int) -> None:
    rng = np.random.default_rng(1)
    parts = rng.standard_normal((400, 16, 3))
    sizes = {"whole": 16, "half": 8, "eighth": 2}
    y = parts[:, : sizes[depends_on]].mean(axis=1)[:, :1] * 10
    y = y + 0.5 * rng.standard_normal(y.shape)
    known = Responses(
        "speed", "value", "r", parts.reshape(400, -1), np.arange(400), np.arange(400), y, widths=(2,) * 16
    )
    assert choose_bins({"r": known}) == chosen
    coarse = known.coarsened(2)
    np.testing.assert_allclose(coarse.features, parts.reshape(400, 2, 8, 3).mean(axis=2).reshape(400, -1))
    assert coarse.widths == (16, 16)
    uneven = replace(known, features=parts[:, :2].reshape(400, -1), widths=(1, 3)).coarsened(1)
    np.testing.assert_allclose(uneven.features, (parts[:, 0] + 3 * parts[:, 1]) / 4)


def test_frames_are_named_beside_a_linear_decoder_of_ids_where_all_were_shown() -> None:
    known, asked = ({"r": replace(one["r"], task="movie_frame")} for one in (_classes(0), _classes(1)))
    linear, nearest = make_baselines(known, asked)
    assert (linear.name, nearest.name) == ("linear", "nearest_response")
    assert (linear.answers.prediction == asked["r"].target).mean() > 0.9
    few = {"r": known["r"].take(known["r"].target != 2)}
    assert [one.name for one in make_baselines(few, asked, n_classes=4)] == ["nearest_response"]
    # Each recording has its own decoder, which knows what that recording showed.
    two = {"r": known["r"], "q": few["r"]}
    both = {"r": asked["r"], "q": asked["r"]}
    assert [one.name for one in make_baselines(two, both, n_classes=4)] == ["nearest_response"]


def test_hundreds_of_frames_are_named_better_than_by_the_nearest_response() -> None:
    tuning = np.random.default_rng(0).standard_normal((200, 60))

    def showing(repeats: int, seed: int) -> dict[str, Responses]:
        ids = np.tile(np.arange(200), repeats)
        features = tuning[ids] + 1.5 * np.random.default_rng(seed).standard_normal((len(ids), 60))
        return {"r": Responses("movie_frame", "class", "r", features, np.full(len(ids), -1), np.arange(len(ids)), ids)}

    asked = showing(1, 2)
    linear, nearest = make_baselines(showing(8, 1), asked)
    right = [(one.answers.prediction == asked["r"].target).mean() for one in (linear, nearest)]
    assert right[0] > right[1] + 0.1


def test_a_recording_of_one_class_is_answered_with_it() -> None:
    known, asked = _classes(0), _classes(1, n=12)
    one = known["r"].take(known["r"].target == 3)
    linear, _ = make_baselines({"r": known["r"], "q": one}, {"r": asked["r"], "q": replace(asked["r"], session_id="q")})
    answers = linear.answers
    assert (answers.prediction[answers.session_id == "q"] == 3).all()
    alone, _ = make_baselines(known, asked)
    np.testing.assert_array_equal(answers.output[answers.session_id == "r"], alone.answers.output)


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


def test_other_neurons_in_the_test_are_refused() -> None:
    known, asked = (
        {"r": replace(one["r"], neurons=neurons)}
        for one, neurons in ((_classes(0), np.arange(6)), (_classes(1), np.arange(2, 8)))
    )
    with pytest.raises(ModelError, match="recording r has 6 neurons in training and 6 in the test, 4 of them the same"):
        make_baselines(known, asked)


def test_folds_have_the_same_baselines() -> None:
    one = Baseline("linear", train_mean(responses(TRAIN), responses(TEST)))
    assert len(same_names([[one], [one]])[0].answers) == 40
    with pytest.raises(ModelError, match="different baselines"):
        same_names([[one], [replace(one, name="train_mean")]])


@pytest.mark.parametrize(("kept_bytes", "made"), [(2**20, 1), (0, 2)], ids=["small", "large"])
def test_small_answers_are_made_once(kept_bytes: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "KEPT_BYTES", kept_bytes)
    calls: list[Answers] = []

    def give() -> Answers:
        calls.append(train_mean(responses(TRAIN), responses(TEST)))
        return calls[-1]

    one = Baseline("train_mean", give)
    assert one.answers.output.tolist() == one.answers.output.tolist()
    assert len(calls) == made
