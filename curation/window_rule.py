"""`WindowRule`: which time of a recording a diet eats."""

from __future__ import annotations

from dataclasses import dataclass

from poyodata.curation.expressions import Node, check_size, columns_of
from poyodata.curation.parameters import Parameter, settled
from poyodata.curation.rules import check_count, check_fraction
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


FRAME_COLUMNS: tuple[str, ...] = ("time_s", "running_cm_s", "pupil_area", "role")
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
            check_count(self.n, "n", 1)
        check_count(self.seed, "seed", 0)
        if not self.roles:
            raise DietError("`roles` of a sample of windows is empty; name one, as in `roles: [train]`.")
        for role in self.roles:
            if role not in SAMPLED_ROLES:
                raise DietError(f"unknown role {str(role)[:60]!r}: {nearest(str(role)[:60], SAMPLED_ROLES)}")


SAMPLED_ROLES: tuple[str, ...] = ("train", "valid", "test", "identify")


@dataclass(frozen=True)
class WindowRule:
    """Which time of a recording is eaten, within the roles of the split.

    Attributes
    ----------
    where : Node or None
        Condition on presentations, columns `WINDOW_COLUMNS`. None takes every stretch of every role.
    min_length_s : float, Parameter or None, seconds
        Shorter windows are left out.
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
        if self.min_length_s is not None:
            length = settled(self.min_length_s)
            if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < 1e6:
                raise DietError(f"min_length_s is a number of seconds above 0; got {str(length)[:60]!r}.")
            if not isinstance(self.min_length_s, Parameter):
                object.__setattr__(self, "min_length_s", float(length))
