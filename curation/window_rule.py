"""`WindowRule`: which time of a recording a diet eats."""

from __future__ import annotations

from dataclasses import dataclass

from poyodata.curation.expressions import Node, check_size, columns_of
from poyodata.errors import DietError, nearest

WINDOW_COLUMNS: tuple[str, ...] = (
    "stimulus",
    "blank",
    "direction_deg",
    "temporal_frequency_hz",
    "movie_frame",
    "repeat",
    "trial",
    "epoch",
    "role",
)


@dataclass(frozen=True)
class WindowRule:
    """Which time of a recording is eaten, within the roles of the split.

    Attributes
    ----------
    where : Node or None
        Condition on presentations, columns `WINDOW_COLUMNS`. None takes every stretch of every role.
    min_length_s : float or None, seconds
        Shorter windows are left out.
    """

    where: Node | None = None
    min_length_s: float | None = None

    def __post_init__(self) -> None:
        if self.where is not None:
            check_size(self.where)
            for name in columns_of(self.where):
                if name not in WINDOW_COLUMNS:
                    raise DietError(
                        f"windows are chosen by what was shown, and {name!r} is no column of that: "
                        f"{nearest(name, WINDOW_COLUMNS)} Conditions on neurons stand under `neurons`."
                    )
        if self.min_length_s is not None:
            length = self.min_length_s
            if isinstance(length, bool) or not 0 < length < 1e6:
                raise DietError(f"min_length_s is a number of seconds above 0; got {length!r}.")
            object.__setattr__(self, "min_length_s", float(length))
