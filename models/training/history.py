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
from poyodata.models.pooling import pooled
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
        self._pending: list[tuple[Row, list[Mapping[str, Tensor]]]] = []

    def add(self, known: Row, measured: Sequence[Mapping[str, Tensor]]) -> None:
        """Keep a step: numbers that the host knows, and tensors of each of its batches."""
        self._pending.append((known, list(measured)))

    def read(self) -> list[Row]:
        """Bring what is pending into the table, put together over the batches of a step and over processes.

        The loss is what the step went down: each batch's counts alike. Terms of tasks are means over known answers.

        Raises
        ------
        ModelError
            If a loss or a gradient is not finite; the steps before it are in the table.
        """
        pending, self._pending = self._pending, []
        values: list[float] = []
        if tensors := [
            value.detach().reshape(()).float() for _, parts in pending for one in parts for value in one.values()
        ]:
            values = torch.stack(tensors).tolist()
        at = iter(values)
        own = [(known, [{name: next(at) for name in one} for one in parts]) for known, parts in pending]
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


def _merged(of_ranks: Sequence[tuple[Row, list[dict[str, float]]]]) -> Row:
    """One step of all processes, in the order in which people read it: what it is, what came of it, how it was done."""
    known = of_ranks[0][0]
    measured = pooled([part for _, parts in of_ranks for part in parts])
    windows = {"windows": sum(int(own["windows"]) for own, _ in of_ranks)} if "windows" in known else {}
    return {"step": known["step"], **measured, **{name: known[name] for name in known if name != "step"}, **windows}


def _finite(row: Row) -> bool:
    return math.isfinite(row["loss"]) and math.isfinite(row.get("gradient_norm", 0.0))
