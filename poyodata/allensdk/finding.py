"""One row of a verdict, and how two arrays are compared for it: value by value, NaN equal to NaN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = Literal["equal", "differs", "AllenSDK raises", "not kept"]


@dataclass(frozen=True)
class Finding:
    """What AllenSDK and our reader say of one quantity.

    Attributes
    ----------
    quantity : str
    allensdk, ours : str
        Shape and dtype, the value, what was raised, or where the two differ.
    state : str
        ``"equal"``, ``"differs"``, ``"AllenSDK raises"``, or ``"not kept"`` for what a recording of ours does not hold.
    note : str
        What was done to make the two comparable, and why.
    """

    quantity: str
    allensdk: str
    ours: str
    state: State
    note: str = ""


@dataclass
class Tally:
    """Differences found so far in arrays that come piece by piece.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add(np.array([1.0, np.nan, 3.0]), np.array([1.0, np.nan, 4.0]), (100,))
    >>> tally.differing, tally.first
    (1, 'at 102: 3.0 / 4.0')
    """

    compared: int = 0
    differing: int = 0
    first: str = field(default="")

    def add(self, theirs: Array, ours: Array, offset: tuple[int, ...] = ()) -> None:
        """Compare two pieces of one shape; `offset` is where they begin."""
        wrong = theirs != ours
        if theirs.dtype.kind == "f" and ours.dtype.kind == "f":
            wrong &= ~(np.isnan(theirs) & np.isnan(ours))
        self.compared += wrong.size
        self.differing += int(wrong.sum())
        if not self.first and wrong.any():
            place = tuple(int(axis) for axis in np.argwhere(wrong)[0])
            values = f"{theirs[place].item()!r} / {ours[place].item()!r}"
            shown = np.add(place, offset or 0).tolist()
            self.first = f"at {', '.join(map(str, shown))}: {values}"


def describe(array: Array) -> str:
    """Shape and dtype in a few letters.

    Examples
    --------
    >>> describe(np.zeros((4, 600), np.float32))
    '4 x 600 float32'
    """
    kind = "text" if array.dtype.kind in "US" else str(array.dtype)
    return f"{' x '.join(map(str, array.shape)) or 'one'} {kind}"


def compare_columns(
    quantity: str, theirs: Mapping[str, Array], ours: Mapping[str, Array | None], note: str = ""
) -> Finding:
    """Compare arrays by name; the first that differs is said.

    Parameters
    ----------
    quantity : str
    theirs, ours : mapping of str to ndarray
        `ours` under the names of `theirs`; None or a missing name is a difference.
    note : str

    Returns
    -------
    Finding

    Examples
    --------
    >>> compare_columns("table", {"start": np.array([0, 7])}, {"start": np.array([0, 8])}).ours
    'differs in 1 of 2, AllenSDK / ours at 1: 7 / 8'
    """
    said = ", ".join(describe(array) if len(theirs) == 1 else f"{name}" for name, array in theirs.items())
    if len(theirs) > 1:
        said = f"{len(next(iter(theirs.values())))} x {said}"
    for name, array in theirs.items():
        label = f"{name} " if len(theirs) > 1 else ""
        mine = ours.get(name)
        if mine is None:
            return Finding(quantity, said, f"{label}is missing".strip(), "differs", note)
        if mine.shape != array.shape:
            return Finding(quantity, said, f"{label}has {describe(mine)}, not {describe(array)}", "differs", note)
        tally = Tally()
        tally.add(array, mine)
        if tally.differing:
            where = f"{label}differs in {tally.differing} of {tally.compared}, AllenSDK / ours {tally.first}"
            return Finding(quantity, said, where, "differs", note)
    return Finding(quantity, said, "the same", "equal", note)
