"""A number to watch while a model is trained: it says which checkpoint is best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from poyodata.errors import ModelError, nearest
from poyodata.models.batches import Batches, ModelBatches, to_device
from poyodata.models.multitask import Loss, Sums
from poyodata.models.pooling import COUNT, pooled
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.draws import step_draws
from poyodata.models.training.ranks import gathered, on_first

Measure = Callable[[PoyoPlus], Mapping[str, float]]
"""Measures a model in evaluation mode: names of columns, and numbers."""


def loss_over(loader: Batches, objective: Callable[..., Loss], seed: int) -> Measure:
    """Measure the loss over a loader, ``loss`` and its terms, as if all its windows were one batch.

    Every known answer counts once: a batch with few of them, or with none, would else weigh as much as a full one, and
    what is best would depend on how windows fell into batches.

    Masks are the same every time, so that two measurements differ by the model alone.

    Parameters
    ----------
    loader : iterable of batch
        One pass over it is taken, as its epoch 0.
    objective : callable
        Gives a loss of (model, batch, rng=...).
    seed : int
        Of the masks.
    """

    def measure(model: PoyoPlus) -> dict[str, float]:
        device = next(model.parameters()).device
        parts: list[dict[str, Tensor]] = []
        windows: list[float] = []
        sums: dict[str, Mapping[str, float]] = {}
        for number, batch in enumerate(ModelBatches(loader, model).epoch(0)):
            with step_draws(seed, number, device) as rng:
                loss = objective(model, to_device(batch, device), rng=rng)
            parts.append({"loss": loss.total.detach(), **loss.terms})
            windows.append(len(batch["values"]))
            for name, terms in loss.sums.items():
                sums[name] = {**sums.get(name, {}), **terms}
        # Each process has its share of the windows, or all of them: the mean is the same.
        own = (pooled(_read(parts), windows, nothing=math.nan), sum(windows), sums)
        of_ranks = [each for each in gathered(own) if each[1]]
        if not of_ranks:
            raise ModelError("the loader for validation made no batch; give it more windows or a smaller batch size")
        found = pooled([own for own, _, _ in of_ranks], [n for _, n, _ in of_ranks], nothing=math.nan)
        made = {name: sums for _, _, known in of_ranks for name, sums in known.items()}
        if "loss" in _add(made, found):
            tasks = ", ".join(name.removesuffix(COUNT) for name in found if name.endswith(COUNT))
            raise ModelError(
                f"no window for validation has an answer to {tasks}; resolve the manifest so that its valid windows "
                "have some, or train without valid windows"
            )
        # With all windows in every process, they would be counted several times.
        return {name: value for name, value in found.items() if not name.endswith(COUNT)}

    return measure


def _read(parts: Sequence[Mapping[str, Tensor]]) -> list[dict[str, float]]:
    """Bring terms over from the device together: read one by one, it would idle between them."""
    tensors = [value.reshape(()).double() for part in parts for value in part.values()]
    at = iter(torch.stack(tensors).tolist() if tensors else ())
    return [{name: next(at) for name in part} for part in parts]


def _add(sums: Sums, found: dict[str, float]) -> set[str]:
    """Add up the terms that are sums of others, in place; return which terms and sums have no answer behind them.

    These are no part of a sum: a task that nobody answers costs nothing.
    """
    empty = {name for name in found if found.get(name + COUNT) == 0}
    for name, made in sums.items():
        parts = [weight * found[term] for term, weight in made.items() if term not in empty]
        found[name] = sum(parts)
        if not parts:
            empty.add(name)
    return empty


class Validation:
    """Which validation was best, and how many came since.

    Parameters
    ----------
    config : TrainConfig
        Says when, which column, and which way is better.
    measure : callable, optional
        What is measured; never due without.
    together : bool
        Whether all processes measure, each its share; else the first does, for all.

    Examples
    --------
    >>> validation = Validation(TrainConfig(steps=4, patience=1, validate_every=1), lambda model: {})
    >>> [validation.judge(step, {"loss": loss}) for step, loss in ((1, 0.5), (2, 0.4), (3, 0.6))]
    [True, True, False]
    >>> validation.best, validation.exhausted
    ({'step': 2, 'metric': 'loss', 'value': 0.4}, True)
    """

    def __init__(self, config: TrainConfig, measure: Measure | None, *, together: bool = False) -> None:
        self.config, self.measure, self.together = config, measure, together
        self.best: dict[str, Any] | None = None
        self.waited = 0

    def due(self, step: int) -> bool:
        """Whether a model is measured after this step."""
        every = self.config.validate_every or self.config.checkpoint_every
        return self.measure is not None and (step % every == 0 or step == self.config.steps)

    def run(self, model: PoyoPlus) -> dict[str, float]:
        """Measure a model; its mode and the random state stay as they were."""
        measure = self.measure
        if measure is None:
            return {}
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                measured = measure(model) if self.together else on_first(lambda: dict(measure(model)))
                found = {str(name): float(value) for name, value in measured.items()}
        finally:
            model.train(was_training)
        if self.config.monitor not in found:
            raise ModelError(
                f"the validation gave no {self.config.monitor!r} to monitor; {nearest(self.config.monitor, found)}"
            )
        return found

    def judge(self, step: int, found: Mapping[str, float]) -> bool:
        """Whether this is the best so far; NaN never is."""
        value = found[self.config.monitor]
        known = None if self.best is None else self.best["value"]
        sign = 1 if self.config.goal == "max" else -1
        better = math.isfinite(value) and (known is None or sign * value > sign * known)
        if better:
            self.best, self.waited = {"step": step, "metric": self.config.monitor, "value": value}, 0
        else:
            self.waited += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether training stops: no better value for `patience` validations."""
        return self.config.patience is not None and self.waited >= self.config.patience

    def state(self) -> dict[str, Any]:
        """What is known, in plain values."""
        return {"best": self.best, "waited": self.waited}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.best, self.waited = state["best"], state["waited"]
