"""Answers to one trial or frame become one row, by integers alone, whatever the order in which they came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import ModelError
from poyodata.models.evaluation.stitching import Answers, aligned, concatenate, stitch


def class_answers(n: int = 12, seed: int = 0) -> Answers:
    """Overlapping windows: trials 0..2 of two recordings, each answered by some windows."""
    rng = np.random.default_rng(seed)
    session = np.array(["b", "a"], dtype=object)[rng.integers(0, 2, n)]
    trial = rng.integers(0, 3, n)
    return Answers("direction", "class", session, trial, 100 + np.arange(n), trial % 8, rng.standard_normal((n, 8)))


@given(st.permutations(range(12)), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_order_of_rows_does_not_matter(order: list[int], seed: int) -> None:
    answers = class_answers(seed=seed)
    straight, shuffled = stitch(answers), stitch(answers.take(np.array(order)))
    assert straight.keys.equals(shuffled.keys)
    np.testing.assert_array_equal(straight.output, shuffled.output)
    np.testing.assert_array_equal(straight.target, shuffled.target)
    np.testing.assert_array_equal(straight.frame, shuffled.frame)


def test_stitched_rows_are_means_by_recording_and_trial() -> None:
    answers = class_answers()
    found = stitch(answers)
    pairs = sorted({(s, int(t)) for s, t in zip(answers.session_id, answers.trial, strict=True)})
    assert [(s, n) for s, _, n in found.keys] == pairs
    for row, (session, trial) in enumerate(pairs):
        mine = (answers.session_id == session) & (answers.trial == trial)
        np.testing.assert_allclose(found.output[row], answers.output[mine].mean(axis=0), rtol=1e-12)


def test_probabilities_are_averaged_where_asked() -> None:
    logits = np.array([[10.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    answers = Answers(
        "direction", "class", np.array(["a"] * 3), np.zeros(3, int), np.arange(3), np.zeros(3, int), logits
    )
    by_hand = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(stitch(answers, "probabilities").output[0], by_hand)
    assert (stitch(answers).prediction, stitch(answers, "probabilities").prediction) == (0, 0)
    assert stitch(answers).output[0].tolist() == pytest.approx([10 / 3, 2 / 3])


def test_a_trial_and_a_frame_of_the_same_number_are_two_things() -> None:
    answers = Answers(
        "direction",
        "class",
        np.array(["a"] * 3),
        np.array([7, -1, -1]),
        np.array([30, 7, 8]),
        np.array([1, 2, 2]),
        np.eye(3)[[1, 2, 2]],
    )
    assert [tuple(key) for key in stitch(answers).keys] == [("a", "frame", 7), ("a", "frame", 8), ("a", "trial", 7)]


def test_frames_of_overlapping_windows_are_stitched_by_their_number() -> None:
    # Windows of 4 frames every 2: frames 2 to 5 are answered twice.
    frame = np.concatenate([start + np.arange(4) for start in (0, 2, 4)])
    value = np.repeat([1.0, 2.0, 4.0], 4)[:, None]
    answers = Answers("running", "value", np.full(12, "a"), np.full(12, -1), frame, frame[:, None] * 1.0, value)
    found = stitch(answers)
    assert found.frame.tolist() == list(range(8))
    assert found.output[:, 0].tolist() == [1.0, 1.0, 1.5, 1.5, 3.0, 3.0, 4.0, 4.0]
    assert found.target[:, 0].tolist() == list(range(8))


def test_pixels_are_averaged() -> None:
    pictures = np.random.default_rng(0).random((3, 2, 4)).astype(np.float32)
    answers = Answers(
        "movie_pixels",
        "image",
        np.full(3, "a"),
        np.full(3, -1),
        np.array([5, 5, 6]),
        np.zeros((3, 2, 4), np.float32),
        pictures,
        shown=np.array([9, 9, 4]),
    )
    found = stitch(answers)
    np.testing.assert_allclose(found.output, [pictures[:2].mean(axis=0), pictures[2]], rtol=1e-6)
    assert found.output.dtype == np.float32
    assert found.shown is not None
    assert found.shown.tolist() == [9, 4]


def test_votes_of_a_decoder_without_logits() -> None:
    answers = Answers.of_classes("direction", ["a"] * 3, [4, 4, 4], prediction=[2, 1, 2], target=[1] * 3, n_classes=3)
    assert stitch(answers).prediction.tolist() == [2]


def test_rows_of_another_decoder_come_in_the_same_order() -> None:
    answers = stitch(class_answers())
    other = answers.take(np.arange(len(answers))[::-1])
    np.testing.assert_array_equal(aligned(answers, other, "linear").output, answers.output)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda a: stitch(concatenate([a, replace(a, target=7 - a.target)])), "has classes", id="two-classes"
        ),
        pytest.param(lambda a: aligned(stitch(a), stitch(a).take([0, 1]), "linear"), "lacks", id="fewer-rows"),
        pytest.param(
            lambda a: aligned(stitch(a), replace(stitch(a), target=stitch(a).target * 0), "linear"),
            "other targets",
            id="other-targets",
        ),
        pytest.param(lambda a: replace(a, output=a.output * np.nan), "not finite", id="nan"),
        pytest.param(lambda a: replace(a, target=a.target - 1), "classes -1 to", id="unlabelled"),
        pytest.param(lambda a: replace(a, trial=a.trial[:3]), "differ in length", id="lengths"),
        pytest.param(lambda a: replace(a, kind="image"), "expected", id="shape"),
        pytest.param(lambda a: concatenate([a, replace(a, task="running")]), "different tasks", id="tasks"),
        pytest.param(lambda _: concatenate([]), "no answers", id="none"),
    ],
)
def test_bad_input(change: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        change(class_answers())
