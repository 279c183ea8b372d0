"""Batches of a loader as a model takes them: in the model's own rows, for as many steps as asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.poyo import PoyoPlus

Batches = Iterable[Mapping[str, Any]]
"""What makes batches: every value is a Tensor (a loader's TypedDict counts as a mapping to Any, not to Tensor)."""


class Shown(NamedTuple):
    """Names of the neurons and recordings that the windows of a loader are of; `named` where the loader says."""

    neurons: tuple[str, ...]
    sessions: tuple[str, ...]
    named: bool


def shown_names(loader: Batches) -> Shown:
    """Give the names that a loader's windows show: of a manifest, recordings without a window are none of them.

    Parameters
    ----------
    loader : iterable of batch

    Examples
    --------
    >>> shown_names([])
    Shown(neurons=(), sessions=(), named=False)
    """
    neurons: Sequence[str] | None = getattr(loader, "neuron_ids", None)
    sessions: Sequence[str] | None = getattr(loader, "session_ids", None)
    if neurons is None or sessions is None:
        return Shown(tuple(neurons or ()), tuple(sessions or ()), named=False)
    windows, view = getattr(loader, "windows", None), getattr(loader, "view", None)
    if windows is None or view is None:
        return Shown(tuple(neurons), tuple(sessions), named=True)
    read = {str(windows.session_ids[at]) for at in np.unique(windows.session_index)}
    selected = view.manifest.neurons
    own = selected.loc[selected["session_id"].isin(read), "neuron_id"]
    return Shown(tuple(map(str, own)), tuple(name for name in sessions if name in read), named=True)


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
        shown = shown_names(loader)
        self.rows: tuple[Tensor, Tensor] | None = None
        if shown.named:
            names: Any = loader
            neurons, sessions = model.rows_of(shown.neurons, shown.sessions)
            self.rows = (
                _placed(("", *names.neuron_ids), ("", *shown.neurons), neurons),
                _placed(names.session_ids, shown.sessions, sessions),
            )

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:
        """One pass over the loader."""
        set_epoch = getattr(self.loader, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)
        for batch in self.loader:
            yield self._translate(batch)

    def cycle(self, steps: int) -> Cycle:
        """As many batches as `steps`, over as many passes as that takes."""
        return Cycle(self, steps)

    def _translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        if self.rows is None:
            return dict(batch)
        neurons, sessions = self.rows
        return {
            **batch,
            "neuron_index": neurons.to(batch["neuron_index"].device)[batch["neuron_index"]],
            "session_index": sessions.to(batch["session_index"].device)[batch["session_index"]],
        }


def _placed(names: Sequence[str], known: Sequence[str], rows: Tensor) -> Tensor:
    """Rows by the place of a name; -1, which no table has, for names that no window shows."""
    row_of = dict(zip(known, rows.tolist(), strict=True))
    return torch.tensor([row_of.get(name, -1) for name in names], dtype=torch.int64)


class Cycle:
    """Exactly so many batches, over as many passes as that takes; it knows where it is and can go on from there.

    Every process of a distributed run takes the same number, whatever the length of its passes: none waits for
    another that has come to its end.

    Parameters
    ----------
    batches : ModelBatches
        What is passed over.
    total : int
        Batches in all.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> cycle = Cycle(ModelBatches([{"trial": torch.tensor(i)} for i in range(3)], model), 5)
    >>> given = iter(cycle)
    >>> [int(next(given)["trial"]) for _ in range(4)]
    [0, 1, 2, 0]
    >>> other = Cycle(cycle.batches, 5)
    >>> other.load_state_dict(cycle.state_dict())
    >>> [int(batch["trial"]) for batch in other]
    [1]
    """

    def __init__(self, batches: ModelBatches, total: int) -> None:
        self.batches, self.total = batches, total
        self._made = 0
        self._pass = 0
        self._in_pass = 0
        self._loaded = False

    def __len__(self) -> int:
        """Batches that are left."""
        return self.total - self._made

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while self._made < self.total:
            # A loader that was told where it is goes on by itself; of anything else the batches before are passed by.
            skipped = 0 if self._loaded else self._in_pass
            went_on, self._loaded = self._loaded or self._in_pass > 0, False
            made = self._made
            for at, batch in enumerate(self.batches.epoch(self._pass)):
                if at < skipped:
                    continue
                self._made += 1
                self._in_pass += 1
                yield batch
                if self._made == self.total:
                    return
            if self._made == made and not went_on:
                raise ModelError("the loader made no batch; give it more windows or a smaller batch size")
            self._pass, self._in_pass = self._pass + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where it is, in plain values; with the state of the loader, where that has one."""
        state_dict = getattr(self.batches.loader, "state_dict", None)
        return {
            "made": self._made,
            "pass": self._pass,
            "in_pass": self._in_pass,
            "loader": None if state_dict is None else dict(state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Raises
        ------
        LoaderError
            If the loader makes other batches than the one that the state is of.
        """
        load = getattr(self.batches.loader, "load_state_dict", None)
        self._made, self._pass, self._in_pass = state["made"], state["pass"], state["in_pass"]
        if load is not None and state["loader"] is not None:
            load(state["loader"])
            self._loaded = True


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move every tensor of a batch to `device`."""
    return {name: value.to(device) for name, value in batch.items()}
