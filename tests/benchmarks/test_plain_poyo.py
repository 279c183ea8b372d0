"""The plain implementation that steps are timed against has the model's own outputs and gradients."""

from __future__ import annotations

import pytest
import torch

from poyodata.models.config import PoyoConfig
from poyodata.models.objectives import MaskedLatents, masked_objective
from poyodata.models.poyo import PoyoPlus
from tests.benchmarks.models import windows_of
from tests.benchmarks.plain_poyo import PlainPoyo

WINDOWS = 3


@pytest.fixture(params=[7, 50], ids="{}-neurons".format)
def model(request: pytest.FixtureRequest) -> PoyoPlus:
    """The 1.3 M model, but for its depth; none of its dropouts.

    Of few neurons the keys and values are turned by time, of many the weights that make them.
    """
    off = {"ffn_dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}
    config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0, depth=2, **off)
    return PoyoPlus(config, [f"n{i}" for i in range(request.param)], ["a"])


def test_same_logits(model: PoyoPlus) -> None:
    batch = windows_of(len(model.neuron_ids), 57, WINDOWS)
    torch.testing.assert_close(PlainPoyo(model)(batch), model(batch)["direction"], atol=2e-6, rtol=1e-5)


@pytest.mark.slow
def test_same_loss_and_gradients(model: PoyoPlus) -> None:
    batch, plain = windows_of(len(model.neuron_ids), 57, WINDOWS), PlainPoyo(model)
    ours, theirs = masked_objective(model, batch, MaskedLatents.paper()).total, plain.masked_loss(batch)
    torch.testing.assert_close(theirs, ours, atol=0, rtol=1e-6)
    ours.backward()
    theirs.backward()
    mine = {name: p.grad for name, p in model.named_parameters()}
    found = {name: p.grad for name, p in plain.named_parameters()}
    assert set(found) == set(mine)
    for name, gradient in mine.items():
        assert gradient is not None, name
        assert found[name] is not None, name
        assert torch.linalg.vector_norm(found[name] - gradient) <= 2e-5 * torch.linalg.vector_norm(gradient), name


@pytest.mark.slow
def test_a_dropout_changes_the_plain_loss(model: PoyoPlus) -> None:
    """That both sides of a row have dropout would not show in its numbers."""
    config = PoyoConfig(**{**model.config.model_dump(), "attention_dropout": 0.2})
    plain = PlainPoyo(PoyoPlus(config, model.neuron_ids, model.session_ids))
    batch = windows_of(len(model.neuron_ids), 57, WINDOWS)
    assert not torch.equal(plain.masked_loss(batch), plain.masked_loss(batch))
