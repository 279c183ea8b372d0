"""What a validation measures is of its windows, however they fall into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, train
from poyodata.models.training.objective import objective_of
from poyodata.models.training.validation import loss_over

MakeBatch = Callable[..., dict[str, Tensor]]
LABELS = [0, -1, -1, -1, 1, 1, 1, -1, -1, -1]
NAMES = [f"s:{i}" for i in range(5)]


def in_batches(whole: dict[str, Tensor], size: int) -> list[dict[str, Tensor]]:
    return [
        {name: field[at : at + size] for name, field in whole.items()} for at in range(0, len(whole["values"]), size)
    ]


def windows(batches: MakeBatch, labels: list[int]) -> dict[str, Tensor]:
    whole = batches(n_windows=len(labels))
    whole["direction"] = torch.tensor(labels)
    whole["running"] = torch.where(torch.arange(len(labels)) % 3 == 0, torch.nan, torch.linspace(-1, 1, len(labels)))
    return whole


@pytest.mark.parametrize("objective", ["supervised", "direction", "masked"])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_batches_change_nothing(config: PoyoConfig, batches: MakeBatch, objective: Any, size: int) -> None:
    model = PoyoPlus(config.model_copy(update={"tasks": ("direction", "running")}), NAMES, ["s"], seed=3).eval()
    settings = TrainConfig(objective=objective, mask_mode="causal", target="self")
    measured = [
        loss_over(in_batches(windows(batches, LABELS), size), objective_of(settings, model), 0)(model)
        for size in (len(LABELS), size)
    ]
    assert set(measured[0]) == set(measured[1])
    assert not any(name.endswith("_count") for name in measured[0])
    for name in {"loss", "direction", "running", "supervised", "reconstruction"} & set(measured[0]):
        assert measured[1][name] == pytest.approx(measured[0][name], rel=1e-4), name


def test_a_task_that_no_window_answers_is_no_part_of_the_loss(config: PoyoConfig, batches: MakeBatch) -> None:
    model = PoyoPlus(config.model_copy(update={"tasks": ("direction", "running")}), NAMES, ["s"], seed=3).eval()
    whole = windows(batches, [-1] * 6)
    found = loss_over(in_batches(whole, 2), objective_of(TrainConfig(objective="supervised"), model), 0)(model)
    weight = next(task.weight for task in model.tasks if task.name == "running")
    assert found["loss"] == pytest.approx(weight * found["running"])
    assert found["direction"] != found["direction"]  # not a number: nothing is known of it


def test_a_validation_without_any_answer_chooses_nothing(config: PoyoConfig, batches: MakeBatch) -> None:
    model = PoyoPlus(config, NAMES, ["s"], seed=3)
    settings = TrainConfig(steps=2, objective="direction", validate_every=2, unit_dropout=0.0)
    with pytest.raises(ModelError, match="no window for validation has an answer to direction"):
        train(model, [windows(batches, LABELS)], settings, validate=[windows(batches, [-1] * 6)], progress=False)


def test_terms_of_a_step_in_parts_are_those_of_its_windows(config: PoyoConfig, batches: MakeBatch) -> None:
    whole = windows(batches, LABELS[:8])
    fields: dict[str, Any] = {"steps": 1, "objective": "direction", "unit_dropout": 0.0, "clip": 1e9}
    still = config.model_copy(update={"ffn_dropout": 0.0, "residual_dropout": 0.0})
    histories = [
        train(
            PoyoPlus(still, NAMES, ["s"], seed=3),
            in_batches(whole, 8 // parts),
            TrainConfig(accumulate=parts, **fields),
            progress=False,
        ).history
        for parts in (1, 4)
    ]
    for name in ("direction", "direction_count", "windows"):
        assert histories[1][name].iloc[0] == pytest.approx(histories[0][name].iloc[0], rel=1e-4), name
