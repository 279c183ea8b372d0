"""The sum over tasks against numpy: weights, missing answers, units of values, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.image_losses import ImageLoss, ImageLossWeights, image_loss
from poyodata.models.multitask import class_task_loss, multitask_loss, tasks_in
from poyodata.models.tasks import Task, make_tasks

NAN = float("nan")


def numpy_cross_entropy(
    logits: npt.NDArray[np.float64], target: npt.NDArray[np.int64], smoothing: float = 0.0
) -> npt.NDArray[np.float64]:
    """Cross-entropy of every row with a target that is `smoothing` flat."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    own = np.take_along_axis(log_p, target[:, None], axis=1)[:, 0]
    return -(1 - smoothing) * own - smoothing * log_p.mean(axis=-1)


def squared(pictures: Tensor, target: Tensor) -> ImageLoss:
    known = ~target.isnan().flatten(1).any(dim=1)
    error = torch.where(known[:, None, None], pictures - target, 0.0).square().mean(dim=(1, 2))
    mean = error.sum() / known.sum().clamp(min=1)
    return ImageLoss(7 * mean, {"squared": mean.detach()})


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float().requires_grad_()


# -- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2], ids=["hard", "smoothed"])
def test_classes_against_numpy(smoothing: float) -> None:
    logits, target = draw(6, 8), torch.tensor([2, -1, 7, 3, 0, 5])
    blank = torch.tensor([False, True, False, True, False, False])
    batch = {"direction": target, "direction_blank": blank}
    loss = multitask_loss({"direction": logits}, batch, make_tasks(("direction",)), label_smoothing=smoothing)
    known = [0, 2, 4, 5]
    rows = numpy_cross_entropy(logits.detach().double().numpy()[known], target.numpy()[known], smoothing)
    assert loss.total.item() == pytest.approx(rows.mean(), rel=1e-5)
    assert loss.terms["direction"].item() == pytest.approx(rows.mean(), rel=1e-5)
    assert loss.terms["direction_count"].item() == 4
    loss.total.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(dim=1).gt(0).tolist() == [row in known for row in range(6)]


def test_classes_at_every_frame() -> None:
    (task,) = make_tasks(("movie_frame",), n_outputs=12, at="frames", weight=0.25)
    logits, target = draw(2, 5, 12), torch.tensor([[1, -1, 3, 4, 11], [-1, -1, 0, 2, -1]])
    loss = multitask_loss({"movie_frame": logits}, {"movie_frame": target}, [task])
    known = target.numpy() >= 0
    rows = numpy_cross_entropy(logits.detach().double().numpy()[known], target.numpy()[known])
    assert loss.total.item() == pytest.approx(0.25 * rows.mean(), rel=1e-5)
    assert loss.terms["movie_frame_count"].item() == 6


def test_only_blank_windows_give_no_loss_and_no_nan() -> None:
    logits, speed, pictures = draw(2, 8), draw(2, 1), draw(2, 16, 16)
    batch = {
        "direction": torch.tensor([-1, -1]),
        "running": torch.tensor([NAN, NAN]),
        "movie": torch.full((2, 16, 16), NAN),
    }
    outputs = {"direction": logits, "running": speed, "movie_pixels": torch.sigmoid(pictures)}
    loss = multitask_loss(outputs, batch, make_tasks(("direction", "running", "movie_pixels")))
    loss.total.backward()
    assert loss.total.item() == 0.0
    for output in (logits, speed, pictures):
        assert output.grad is not None
        assert not output.grad.any()


# -- values ----------------------------------------------------------------------------------------------------------


def test_values_against_numpy_in_units_of_their_spread() -> None:
    (task,) = make_tasks(("gaze",))
    output = draw(4, 2)
    azimuth, altitude = torch.tensor([3.0, NAN, -20.0, 30.0]), torch.tensor([5.0, 1.0, NAN, 17.0])
    batch = {"pupil_azimuth_deg": azimuth, "pupil_altitude_deg": altitude}
    loss = multitask_loss({"gaze": output}, batch, [task])
    truth = (np.stack([azimuth.numpy(), altitude.numpy()], 1) - np.array(task.mean)) / np.array(task.std)
    rows = ((output.detach().numpy() - truth) ** 2).mean(axis=1)[[0, 3]]  # half a gaze is none
    assert loss.terms["gaze"].item() == pytest.approx(rows.mean(), rel=1e-5)
    assert loss.total.item() == pytest.approx(8 * rows.mean(), rel=1e-5)
    loss.total.backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert not output.grad[[1, 2]].any()


def test_values_of_one_column_with_a_dimension_of_their_own() -> None:
    task = Task("velocity", "value", 2, ("velocity",), mean=(1.0, 2.0), std=(2.0, 4.0), at="frames")
    output, target = draw(3, 5, 2), torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1))
    target[0, 0, 1] = NAN
    loss = multitask_loss({"velocity": output}, {"velocity": target}, [task])
    truth = (target.numpy() - np.array([1.0, 2.0])) / np.array([2.0, 4.0])
    rows = ((output.detach().numpy() - truth) ** 2).mean(axis=-1)
    assert loss.total.item() == pytest.approx(np.nanmean(rows), rel=1e-5)
    assert loss.terms["velocity_count"].item() == 14


def test_values_without_units_are_compared_as_they_are() -> None:
    (task,) = make_tasks(("pupil",), weight=1.0)
    output = draw(3, 1)
    loss = multitask_loss({"pupil": output}, {"pupil": torch.tensor([1.0, 2.0, 3.0])}, [task])
    assert loss.total.item() == pytest.approx(((output.detach().numpy()[:, 0] - [1, 2, 3]) ** 2).mean(), rel=1e-5)


# -- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["window", "frames"])
def test_pictures_are_handed_to_their_loss(at: str) -> None:
    (task,) = make_tasks(("movie_pixels",), at=at, weight=0.5)
    shape = (3, 4, 6) if at == "window" else (1, 3, 4, 6)
    pictures, target = draw(*shape), draw(*shape, seed=1).detach()
    target.flatten(0, -3)[1, 2, 3] = NAN
    blank = torch.tensor([False, False, True]).reshape(shape[:-2])
    batch = {"movie": target, "movie_blank": blank}
    loss = multitask_loss({"movie_pixels": pictures}, batch, [task], image_loss=squared)
    error = ((pictures.detach() - target).numpy() ** 2).reshape(3, -1).mean(axis=1)[0]
    assert loss.terms["movie_pixels_squared"].item() == pytest.approx(error, rel=1e-5)
    assert loss.terms["movie_pixels"].item() == pytest.approx(7 * error, rel=1e-5)
    assert loss.total.item() == pytest.approx(3.5 * error, rel=1e-5)
    loss.total.backward()
    assert pictures.grad is not None
    assert pictures.grad.flatten(0, -3).flatten(1).any(dim=1).tolist() == [True, False, False]


def test_pictures_cost_the_published_sum_by_default() -> None:
    pictures, target = torch.sigmoid(draw(2, 16, 16)), torch.sigmoid(draw(2, 16, 16, seed=1)).detach()
    loss = multitask_loss({"movie_pixels": pictures}, {"movie": target}, make_tasks(("movie_pixels",)))
    expected = image_loss(pictures, target, ImageLossWeights())
    torch.testing.assert_close(loss.total, expected.total)
    assert {f"movie_pixels_{name}" for name in expected.terms} < set(loss.terms)


# -- the sum ---------------------------------------------------------------------------------------------------------


def joint() -> tuple[dict[str, Tensor], dict[str, Tensor], tuple[Task, ...]]:
    outputs = {"direction": draw(4, 8), "temporal_frequency": draw(4, 5, seed=1), "running": draw(4, 1, seed=2)}
    batch = {
        "direction": torch.tensor([1, 2, -1, -1]),
        "temporal_frequency": torch.tensor([0, 4, 2, -1]),
        "running": torch.tensor([1.0, NAN, NAN, NAN]),
    }
    return outputs, batch, make_tasks(tuple(outputs), weight={"direction": 2.0, "temporal_frequency": 0.5})


def test_weights_and_numbers_of_answers() -> None:
    outputs, batch, tasks = joint()
    loss = multitask_loss(outputs, batch, tasks)
    means = [loss.terms[task.name].item() for task in tasks]
    assert loss.total.item() == pytest.approx(2.0 * means[0] + 0.5 * means[1] + 1.5 * means[2], rel=1e-6)
    assert [loss.terms[f"{task.name}_count"].item() for task in tasks] == [2, 3, 1]
    counted = multitask_loss(outputs, batch, tasks, per="windows")
    assert counted.total.item() == pytest.approx(2 * 2.0 * means[0] + 3 * 0.5 * means[1] + 1.5 * means[2], rel=1e-6)
    assert {name: term.item() for name, term in counted.terms.items()} == {
        name: term.item() for name, term in loss.terms.items()
    }
    assert not any(term.requires_grad for term in loss.terms.values())


def test_tasks_whose_columns_are_absent_are_left_out() -> None:
    outputs, batch, tasks = joint()
    whole = multitask_loss(outputs, batch, tasks)
    del batch["running"]
    assert [task.name for task in tasks_in(batch, tasks)] == ["direction", "temporal_frequency"]
    part = multitask_loss(outputs, batch, tasks)
    assert set(part.terms) == set(whole.terms) - {"running", "running_count"}
    assert part.total < whole.total


def wrong_shape() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return {"direction": draw(4, 8)}, {"direction": torch.zeros(4, 24, dtype=torch.int64)}


def no_answer() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return {"direction": draw(4, 8)}, {"values": torch.zeros(4, 2, 3)}


def too_many_classes() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return {"direction": draw(4, 8)}, {"direction": torch.tensor([1, 9, -1, 0])}


def whole_numbers() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return {"movie_pixels": torch.rand(4, 16, 16)}, {"movie": torch.full((4, 16, 16), 255, dtype=torch.uint8)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (wrong_shape, r"\(4,\), the batch has \(4, 24\)"),
        (no_answer, r"wants direction .* has values"),
        (too_many_classes, "'direction' has 8 outputs, and the batch has class 9"),
        (whole_numbers, "pictures of torch.uint8, .* from 0 to 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: Any, said: str) -> None:
    outputs, batch = given()
    with pytest.raises(ModelError, match=said):
        multitask_loss(outputs, batch, make_tasks(("direction", "movie_pixels")))


def test_half_precision_answers_are_compared_in_single() -> None:
    logits, target = draw(64, 900), torch.arange(64)
    half = class_task_loss(logits.bfloat16().float(), target, target >= 0)
    batch = {"movie_frame": target}
    loss = multitask_loss({"movie_frame": logits.bfloat16()}, batch, make_tasks(("movie_frame",), weight=1.0))
    assert loss.total.dtype == torch.float32
    torch.testing.assert_close(loss.total, half)
