"""A number to watch while a model is trained: it says which checkpoint is best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from poyodata.errors import ModelError, nearest
from poyodata.models.batches import Batches, ModelBatches, to_device
from poyodata.models.multitask import Loss
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.draws import step_draws
from poyodata.models.training.ranks import gathered, on_first

Measure = Callable[[PoyoPlus], Mapping[str, float]]
"""Measures a model in evaluation mode: names of columns, and numbers."""


def loss_over(loader: Batches, objective: Callable[..., Loss], seed: int) -> Measure:
    """Measure the mean loss over a loader: ``loss`` and its terms, each batch weighted by its windows.

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
        sums: dict[str, Tensor] = {}
        windows: dict[str, int] = {}
        for number, batch in enumerate(ModelBatches(loader, model).epoch(0)):
            with step_draws(seed, number, device) as rng:
                loss = objective(model, to_device(batch, device), rng=rng)
            n = len(batch["values"])
            for name, value in {"loss": loss.total, **loss.terms}.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + n * value.detach().float()
                windows[name] = windows.get(name, 0) + n
        # Each process has its share of the windows, or all of them: the mean is the same.
        of_ranks = gathered({name: (float(value), windows[name]) for name, value in sums.items()})
        names = dict.fromkeys(name for found in of_ranks for name in found)
        if not names:
            raise ModelError("the loader for validation made no batch; give it more windows or a smaller batch size")
        totals = {name: [found[name] for found in of_ranks if name in found] for name in names}
        return {name: sum(one for one, _ in both) / sum(n for _, n in both) for name, both in totals.items()}

    return measure


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
