"""What every step reports: kept on the device, and read together every so many steps.

Reading a number makes the host wait for the device. Read step by step, a GPU would idle between steps; so a step only
keeps its tensors, and they come over together. That is how it is done on a CPU too, where it costs nothing: one way
for all devices, and the same numbers in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.training.ranks import gathered
from poyodata.models.training.rows import Row, Rows

OnStep = Callable[[int, float], None]
"""Called with the step (from 1) and its loss for every step, in groups: see `TrainConfig.log_every`."""


class History:
    """The table of steps, and what was not read yet.

    Parameters
    ----------
    rows : Rows
        Where the steps go.
    on_step : sequence of callable
        Told of every step that was read.

    Examples
    --------
    >>> history = History(Rows())
    >>> history.add({"step": 1, "lr": 0.1}, [{"loss": torch.tensor(2.0)}, {"loss": torch.tensor(4.0)}])
    >>> history.read()
    [{'step': 1, 'loss': 3.0, 'lr': 0.1}]
    """

    def __init__(self, rows: Rows, on_step: Sequence[OnStep] = ()) -> None:
        self.rows, self.on_step = rows, tuple(on_step)
        self._pending: list[tuple[Row, dict[str, Tensor]]] = []

    def add(self, known: Row, measured: Sequence[Mapping[str, Tensor]]) -> None:
        """Keep a step: numbers that the host knows, and tensors of each of its batches, which are averaged."""
        names = dict.fromkeys(name for terms in measured for name in terms)
        terms = {name: _mean([each[name] for each in measured if name in each]) for name in names}
        self._pending.append((known, terms))

    def read(self) -> list[Row]:
        """Bring what is pending into the table, averaged over processes.

        Raises
        ------
        ModelError
            If a loss or a gradient is not finite; the steps before it are in the table.
        """
        pending, self._pending = self._pending, []
        values: list[float] = []
        if tensors := [value.detach().reshape(()).float() for _, terms in pending for value in terms.values()]:
            values = torch.stack(tensors).tolist()
        at = iter(values)
        own = [_row(known, {name: next(at) for name in terms}) for known, terms in pending]
        rows = [_merged(of_ranks) for of_ranks in zip(*gathered(own), strict=True)]
        bad = next((i for i, row in enumerate(rows) if not _finite(row)), len(rows))
        self.rows.append(rows[:bad])
        for row in rows[:bad]:
            for tell in self.on_step:
                tell(int(row["step"]), float(row["loss"]))
        if bad < len(rows):
            row = rows[bad]
            what = "loss" if not math.isfinite(row["loss"]) else "gradient_norm"
            raise ModelError(
                f"the {what.replace('_', ' of the ').replace(' of the norm', ' norm')} is {row[what]} at step "
                f"{row['step']}; check the windows for NaN, or lower lr={row['lr']}"
            )
        return rows


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack([value.detach().float() for value in values]).mean()


def _row(known: Row, measured: Mapping[str, float]) -> Row:
    """Columns in the order in which people read them: what it is, what came of it, how it was done."""
    return {"step": known["step"], **measured, **{name: value for name, value in known.items() if name != "step"}}


def _merged(rows: Sequence[Row]) -> Row:
    """One step of all processes: windows are added, everything else is averaged over those that have it."""
    if len(rows) == 1:
        return rows[0]
    merged: Row = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        merged[name] = (
            int(values[0]) if name == "step" else int(sum(values)) if name == "windows" else sum(values) / len(values)
        )
    return merged


def _finite(row: Row) -> bool:
    return math.isfinite(row["loss"]) and math.isfinite(row.get("gradient_norm", 0.0))
