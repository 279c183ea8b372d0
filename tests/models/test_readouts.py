"""Several tasks of one model: shapes, independence, frames and pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus

WINDOW_FRAMES = 24  # of the batches
TASKS = ("direction", "running", "gaze", "scene", "movie_pixels")


def model_of(config: PoyoConfig, tasks: tuple[str, ...], **changes: object) -> PoyoPlus:
    config = PoyoConfig(**{**config.model_dump(), "tasks": tasks, **changes})
    return PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"], seed=3).eval()


def test_every_task_has_its_shape(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    found = model_of(config, TASKS)(batch)
    shapes = {name: tuple(answer.shape) for name, answer in found.items()}
    expected = {"direction": (6, 8), "running": (6, 1), "gaze": (6, 2), "scene": (6, 118), "movie_pixels": (6, 64, 128)}
    assert shapes == expected
    assert list(found) == list(TASKS)
    assert 0 <= found["movie_pixels"].min() < found["movie_pixels"].max() <= 1


def test_answers_do_not_depend_on_the_other_tasks(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    several = model_of(config, ("scene", "running", "direction"))
    alone = model_of(config, ("direction",))
    torch.testing.assert_close(several(batch)["direction"], alone(batch)["direction"])
    asked = several(batch, ["direction"])
    assert list(asked) == ["direction"]
    torch.testing.assert_close(asked["direction"], alone(batch)["direction"])


def test_a_task_at_frames_has_one_answer_a_frame(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = model_of(config, ("direction", "running", "gaze"), frame_tasks=("running",))
    found = model(batch)
    assert found["running"].shape == (6, WINDOW_FRAMES, 1)
    assert found["running"].std(dim=1).min() > 0  # the time of a query matters
    window = model_of(config, ("direction", "running", "gaze"))
    for name in ("direction", "gaze"):
        torch.testing.assert_close(found[name], window(batch)[name])
    # The middle of the window lies between the two middle frames.
    middle = found["running"][:, WINDOW_FRAMES // 2 - 1 : WINDOW_FRAMES // 2 + 1].mean(dim=1)
    torch.testing.assert_close(middle, window(batch)["running"], atol=0.02, rtol=0.02)


def test_pictures_at_frames(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    two = {name: value[:2] for name, value in batch.items()}
    model = model_of(config, ("movie_pixels",), frame_tasks=("movie_pixels",), image="mlp")
    found = model(two)["movie_pixels"]
    assert found.shape == (2, WINDOW_FRAMES, 64, 128)


def test_numbers_of_classes_can_be_changed(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = model_of(config, ("direction", "movie_frame"), n_outputs={"movie_frame": 3600, "direction": 4})
    assert {name: answer.shape[1] for name, answer in model(batch).items()} == {"direction": 4, "movie_frame": 3600}
    assert [task.n_outputs for task in model.tasks] == [4, 3600]


def test_gradients_reach_every_task_s_own_parameters_alone(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = model_of(config, ("direction", "running"))
    model(batch, ["running"])["running"].sum().backward()
    heads = model.readouts.heads
    assert heads["direction"].weight.grad is None
    assert heads["running"].weight.grad is not None
    assert model.queries.grad is not None
    assert not model.queries.grad[0].any()
    assert model.queries.grad[1].any()


def test_an_unknown_task_is_named(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match="no task 'pupil'"):
        model_of(config, ("direction",))(batch, ["pupil"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"tasks": ("directions",)}, "did you mean 'direction'", id="unknown"),
        pytest.param({"frame_tasks": ("running",)}, "must be among tasks", id="frames-of-no-task"),
        pytest.param({"n_outputs": {"running": 2}}, "'running' was given", id="outputs-of-no-task"),
        pytest.param({"features": ("depth", "depth")}, "one of them twice", id="feature-twice"),
        pytest.param({"image_size": (0, 3)}, "two numbers of pixels", id="image-size"),
        pytest.param({"tokens": "patched", "dim": 7}, "cannot be halved", id="halves"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PoyoConfig(**changes)
