"""No step waits for the device: no value of a tensor is asked for, in an objective, its gradients or the optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from poyodata.models.config import PoyoConfig
from poyodata.models.lamb import Lamb
from poyodata.models.masking import drop_neurons
from poyodata.models.objectives import MaskedLatents, masked_objective, supervised_objective
from poyodata.models.parameter_groups import parameter_groups
from poyodata.models.poyo import PoyoPlus
from poyodata.models.teacher import Teacher

_WAITS = {
    torch.ops.aten._local_scalar_dense,  # item, bool, int, float
    torch.ops.aten.nonzero,
    torch.ops.aten.masked_select,
    torch.ops.aten.equal,
    torch.ops.aten._unique2,
    torch.ops.aten.bincount,
    torch.ops.aten.repeat_interleave,  # by a tensor of counts
}


class NoWaiting(TorchDispatchMode):
    """Raises where an operation would have to know a value before the next can be started."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = func.overloadpacket in _WAITS and func is not torch.ops.aten.repeat_interleave.self_int
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
            waits = any(at is not None and at.dtype in (torch.bool, torch.uint8) for at in args[1])
        if waits:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.masked_select(x > 0),
    ],
    ids=["item", "bool", "index", "nonzero", "select"],
)
def test_waiting_is_found(wait: Any) -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        wait(torch.ones(3))
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.ones(3, device="meta"))


STEPS: dict[str, MaskedLatents | None] = {
    "supervised": None,
    "average": MaskedLatents(),
    "paper": MaskedLatents.paper(),
    "random_tokens": MaskedLatents(mode="random_tokens", loss="mse", target="self"),
    "channels": MaskedLatents(mode="channels", where="all", stop_gradient=False, target="self"),
    "legacy": MaskedLatents.legacy(),
}


def a_model(config: PoyoConfig, *, pixels: bool = False) -> PoyoPlus:
    tasks = ("direction", "running", "movie_frame", *(("movie_pixels",) if pixels else ()))
    return PoyoPlus(PoyoConfig(**{**config.model_dump(), "tasks": tasks}), [f"s:{i}" for i in range(5)], ["s"])


def a_batch(batch: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    pictures = torch.rand(6, *size, generator=torch.Generator().manual_seed(0))
    pictures[2] = torch.nan
    return {
        **batch,
        "direction_blank": torch.arange(6) == 1,
        "running": torch.tensor([1.0, float("nan"), 3.0, 4.0, 5.0, 6.0]),
        "movie_frame": torch.tensor([-1, 3, 5, 899, 0, 0]),
        "movie": pictures,
    }


def step(model: PoyoPlus, batch: dict[str, Tensor], options: MaskedLatents | None) -> Iterator[Tensor]:
    """Two whole steps: neurons left out, an objective, its gradients, clipping, LAMB, the teacher."""
    rng = np.random.default_rng(0)
    teacher = Teacher(model, 0.1) if options is not None and options.target == "average" else None
    tables = parameter_groups(model, 0.1, tables=("units", "sessions"), sparse_rows=True)
    optimizer = Lamb(tables, lr=1e-3)
    for _ in range(2):
        shown = drop_neurons(batch, 0.5, rng)
        if options is None:
            loss = supervised_objective(model, shown)
        else:
            loss = masked_objective(model, shown, options, teacher=teacher and teacher.model, rng=rng)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if teacher is not None:
            teacher.follow(model)
        yield loss.total


@pytest.mark.parametrize("name", STEPS)
def test_a_step_asks_for_no_value(name: str, config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = a_model(config, pixels=name == "supervised")  # the dearest task: once is enough
    whole = a_batch(batch, model.config.image_size)
    with NoWaiting():
        totals = list(step(model, whole, STEPS[name]))
    assert all(bool(total.isfinite()) for total in totals)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_step_runs_where_there_are_no_values(name: str, config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    """On the meta device tensors have shapes alone, so whatever depends on a value cannot run.

    Without pictures, whose loss is kept from half precision by a context that this device does not have.
    """
    model = a_model(config).to("meta")
    whole = {key: value.to("meta") for key, value in a_batch(batch, model.config.image_size).items()}
    assert [total.shape for total in step(model, whole, STEPS[name])] == [(), ()]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", STEPS)
def test_a_step_does_not_synchronise_a_gpu(name: str, config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    model = a_model(config, pixels=True).cuda()
    whole = {key: value.cuda() for key, value in a_batch(batch, model.config.image_size).items()}
    list(step(model, whole, STEPS[name]))  # libraries may wait once, when they are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        list(step(model, whole, STEPS[name]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
