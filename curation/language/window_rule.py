"""`WindowRule`: which time of a recording a diet eats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poyodata.curation.language.expressions import (
    REFERENCE_FUNCTIONS,
    Call,
    Node,
    Quantile,
    check_size,
    columns_of,
    to_text,
    walk,
)
from poyodata.curation.language.parameters import Parameter, settled
from poyodata.curation.language.rules import check_count, check_fraction
from poyodata.errors import DietError, nearest

TIMES: tuple[str, ...] = ("start_s", "stop_s", "duration_s")
"""Columns of the time of presentations, on the clock of the recording."""

SIGNALS: Mapping[str, str] = {"running_cm_s": "running_speed", "pupil_area_px": "pupil_area_px"}
"""Columns of behaviour, each with the signal of a store that it is read from."""

WINDOW_COLUMNS: tuple[str, ...] = (
    "stimulus",
    "blank",
    "direction_deg",
    "temporal_frequency_hz",
    "orientation_deg",
    "spatial_frequency_cpd",
    "phase",
    "image",
    "movie_frame",
    "repeat",
    "trial",
    "epoch",
    "role",
    *TIMES,
    *SIGNALS,
)
"""Columns of presentations, which `WindowRule.where` may name: what was shown, the time, and means of behaviour."""

FRAME_COLUMNS: tuple[str, ...] = ("time_s", *SIGNALS, "role")
"""Columns of single frames, which `WindowRule.while_` may name."""


@dataclass(frozen=True)
class WindowSample:
    """A part of the windows, by the smallest hash of (seed, recording, frames): nested, as samples of neurons are.

    Attributes
    ----------
    fraction : float, Parameter or None
        Share of the windows of each recording and role.
    n : int, Parameter or None
        Number of windows of each recording and role instead.
    seed : int or Parameter
    roles : tuple of str
        Roles that are thinned; the windows of the others all stay.
    """

    fraction: float | Parameter | None = None
    n: int | Parameter | None = None
    seed: int | Parameter = 0
    roles: tuple[str, ...] = ("train",)

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.n is None):
            raise DietError("`sample` of windows takes either a fraction or n, and not both.")
        if self.fraction is not None:
            object.__setattr__(self, "fraction", check_fraction(self.fraction, "fraction"))
        if self.n is not None:
            object.__setattr__(self, "n", check_count(self.n, "n", 1))
        object.__setattr__(self, "seed", check_count(self.seed, "seed", 0))
        given: Any = self.roles
        if not given or isinstance(given, str):
            raise DietError("`roles` of a sample of windows is empty; name one, as in `roles: [train]`.")
        for role in self.roles:
            if role not in SAMPLED_ROLES:
                raise DietError(f"unknown role {str(role)[:60]!r}: {nearest(str(role)[:60], SAMPLED_ROLES)}")
        # Their order means nothing, or the same diet would have several digests.
        object.__setattr__(self, "roles", tuple(role for role in SAMPLED_ROLES if role in self.roles))


SAMPLED_ROLES: tuple[str, ...] = ("train", "valid", "test", "identify")


@dataclass(frozen=True)
class WindowRule:
    """Which time of a recording is eaten, within the roles of the split.

    Attributes
    ----------
    where : Node or None
        Condition on presentations, columns `WINDOW_COLUMNS`. None takes every stretch of every role.
    min_length_s : float, Parameter or None, seconds
        Shorter windows are left out, to the nearest whole frame of each recording.
    while_ : Node or None
        Condition on single frames, columns `FRAME_COLUMNS`; windows are cut to the stretches in which it holds. Written
        ``while`` in a file.
    sample : WindowSample or None
        Which part of the windows is taken, after everything else.
    """

    where: Node | None = None
    min_length_s: float | Parameter | None = None
    while_: Node | None = None
    sample: WindowSample | None = None

    def __post_init__(self) -> None:
        for node, known, what in (
            (self.where, WINDOW_COLUMNS, "windows are chosen by what was shown"),
            (self.while_, FRAME_COLUMNS, "frames are chosen by time and behaviour"),
        ):
            if node is None:
                continue
            check_size(node)
            for name in columns_of(node):
                if name not in known:
                    raise DietError(
                        f"{what}, and {name!r} is no column of that: {nearest(name, known)} "
                        "Conditions on neurons stand under `neurons`."
                    )
        if self.while_ is not None and compares_with_others(self.while_):
            raise DietError(
                f"`while: {to_text(self.while_)}`: quantile, zscore and rank compare presentations with others, and "
                "`while` looks at single frames; put them under `where`, or write the number."
            )
        if self.min_length_s is not None:
            length = settled(self.min_length_s)
            if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < 1e6:
                raise DietError(f"min_length_s is a number of seconds above 0 and below 1e6; got {str(length)[:60]!r}.")
            given, seconds = self.min_length_s, float(length)
            named = Parameter(given.name, seconds) if isinstance(given, Parameter) else seconds
            object.__setattr__(self, "min_length_s", named)


def told_of_windows(name: str) -> str:
    """Say of a column that neurons do not have that windows have it; "" where they have not."""
    places = [word for word, known in (("where", WINDOW_COLUMNS), ("while", FRAME_COLUMNS)) if name in known]
    if not places:
        return ""
    return f"it is a column of time; conditions on it stand under `windows`, as `{'` or `'.join(places)}`."


def compares_with_others(node: Node) -> bool:
    """Tell whether a condition needs a reference population: whether it names quantile, zscore or rank."""
    return any(
        isinstance(item, Quantile) or (isinstance(item, Call) and item.function in REFERENCE_FUNCTIONS)
        for item, _ in walk(node)
    )
