"""Batches of a loader as a model takes them: in the model's own rows, for as many steps as asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.poyo import PoyoPlus

Batches = Iterable[Mapping[str, Any]]
"""What makes batches: every value is a Tensor (a loader's TypedDict counts as a mapping to Any, not to Tensor)."""


class ModelBatches:
    """A loader's batches with ``neuron_index`` and ``session_index`` translated into a model's rows.

    A loader numbers the neurons that it serves; a model numbers all that it ever met. Where the loader names its
    neurons (``neuron_ids``, ``session_ids``), names decide; a plain iterable is taken to use the model's rows.

    Parameters
    ----------
    loader : iterable of batch
        What makes the batches; its ``set_epoch`` is called before every pass, where there is one.
    model : PoyoPlus
        Whose rows are meant.
    """

    def __init__(self, loader: Batches, model: PoyoPlus) -> None:
        self.loader = loader
        neuron_ids: Sequence[str] | None = getattr(loader, "neuron_ids", None)
        session_ids: Sequence[str] | None = getattr(loader, "session_ids", None)
        named = neuron_ids is not None and session_ids is not None
        self.rows = model.rows_of(neuron_ids or (), session_ids or ()) if named else None

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:
        """One pass over the loader."""
        set_epoch = getattr(self.loader, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)
        for batch in self.loader:
            yield self._translate(batch)

    def cycle(self, steps: int) -> Iterator[dict[str, Tensor]]:
        """As many batches as `steps`, over as many passes as that takes."""
        made, number = 0, 0
        while made < steps:
            before = made
            for batch in self.epoch(number):
                yield batch
                made += 1
                if made == steps:
                    return
            if made == before:
                raise ModelError("the loader made no batch; give it more windows or a smaller batch size")
            number += 1

    def _translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        if self.rows is None:
            return dict(batch)
        neurons, sessions = self.rows
        return {
            **batch,
            "neuron_index": neurons.to(batch["neuron_index"].device)[batch["neuron_index"]],
            "session_index": sessions.to(batch["session_index"].device)[batch["session_index"]],
        }


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move every tensor of a batch to `device`."""
    return {name: value.to(device) for name, value in batch.items()}
