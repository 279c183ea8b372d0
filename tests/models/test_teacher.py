"""The slow average of a model: it follows, it is no part of the model, and it is never trained."""

from __future__ import annotations

import pytest
import torch

from poyodata.models.objectives import MaskedLatents, masked_objective
from poyodata.models.poyo import PoyoPlus
from poyodata.models.teacher import Teacher


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_it_goes_a_share_of_the_way_in_every_parameter(model: PoyoPlus, rate: float) -> None:
    teacher = Teacher(model, rate)
    before = {name: value.detach().clone() for name, value in teacher.model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    teacher.follow(model)
    for name, value in teacher.model.named_parameters():
        torch.testing.assert_close(value, before[name] + rate, msg=name)


def test_it_is_no_part_of_the_model_and_takes_no_gradient(model: PoyoPlus, batch: dict[str, torch.Tensor]) -> None:
    names = set(model.state_dict())
    teacher = Teacher(model.train(), 0.1)
    masked_objective(model, batch, MaskedLatents(), teacher=teacher.model).total.backward()
    assert not teacher.model.training
    assert not any(p.requires_grad or p.grad is not None for p in teacher.model.parameters())
    assert set(model.state_dict()) == names
    assert all(
        mine.data_ptr() != theirs.data_ptr()
        for mine, theirs in zip(teacher.model.parameters(), model.parameters(), strict=True)
    )
    assert model.training
