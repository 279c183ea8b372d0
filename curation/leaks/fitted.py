"""`Fitted`: what was fitted on a manifest, and what it looked at for that, so that a leak can be found later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poyodata.errors import UsageError, nearest
from poyodata.intervals import Intervals, as_intervals

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest

TRAIN_ROLES: tuple[str, ...] = ("train", "identify")
"""Roles of time that a fit may look at; ``identify`` is the train-role time of held-out animals."""

ROLES: tuple[str, ...] = (*TRAIN_ROLES, "valid", "test")

KINDS: Mapping[str, bool] = {
    "normalisation": False,
    "statistics": False,
    "units": False,
    "quantile": True,
    "threshold": True,
    "vocabulary": True,
}
"""Kinds of fits, and whether one value serves neurons of all animals. Such a value must know nothing of held-out ones;
a mean of each neuron, or the list of units, may come from a held-out animal's ``identify`` time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Something fitted: a normalisation, a vocabulary, a threshold. `fitted_on` makes one from a manifest.

    Attributes
    ----------
    name : str
        What it is, for reports.
    kind : str
        One of `KINDS`.
    manifest_digest : str
        Digest of the manifest that it was fitted on.
    split_digest : str or None
        Digest of that manifest's split; None where there was none.
    roles : tuple of str
        Roles of time that were looked at.
    sessions, donors : tuple of str
        Recordings and animals that were looked at.
    looked_at : mapping of session id to ndarray, shape (interval, 2), int64, or None
        The frames that were looked at, where they are known: then leaks are found to the frame.
    uses_labels : bool
        Whether labels of stimuli or behaviour were looked at.

    Raises
    ------
    UsageError
        For an unknown kind or role, frames of a recording that is not named, or no name.
    """

    name: str
    kind: str
    manifest_digest: str
    split_digest: str | None
    roles: tuple[str, ...]
    sessions: tuple[str, ...]
    donors: tuple[str, ...]
    looked_at: Mapping[str, Intervals] | None = None
    uses_labels: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("something fitted needs a name, which stands in the report of leaks.")
        if self.kind not in KINDS:
            raise UsageError(f"nothing fitted is of kind {self.kind!r}: {nearest(self.kind, KINDS)}")
        for role in self.roles:
            if role not in ROLES:
                raise UsageError(f"no role is called {role!r}: {nearest(role, ROLES)}")
        if self.looked_at is not None:
            strange = sorted(set(self.looked_at) - set(self.sessions))
            if strange:
                raise UsageError(f"{self.name!r} looked at recording {strange[0]!r}, which `sessions` does not name.")
            merged = {key: as_intervals(self.looked_at[key]) for key in sorted(self.looked_at)}
            object.__setattr__(self, "looked_at", merged)

    @property
    def shared(self) -> bool:
        """Whether one value serves neurons of all animals."""
        return KINDS[self.kind]


def fitted_on(
    manifest: Manifest,
    name: str,
    kind: str,
    *,
    roles: Sequence[str] = TRAIN_ROLES,
    uses_labels: bool = False,
) -> Fitted:
    """Declare something that was fitted on all windows of a manifest that have these roles.

    Parameters
    ----------
    manifest : Manifest
    name : str
    kind : str
        One of `KINDS`.
    roles : sequence of str
    uses_labels : bool

    Returns
    -------
    Fitted
        Whose `roles` are those that have a window.

    Raises
    ------
    UsageError
        For an unknown kind or role.
    """
    windows = manifest.windows
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"no role is called {role!r}: {nearest(role, ROLES)}")
    used = windows[windows["role"].isin(roles).to_numpy(bool)]
    frames = used[["start_frame", "stop_frame"]].to_numpy(np.int64)
    looked_at = {str(key): as_intervals(frames[rows]) for key, rows in used.groupby("session_id").indices.items()}
    donors = manifest.neurons.loc[manifest.neurons["session_id"].isin(list(looked_at)), "donor_id"].dropna()
    return Fitted(
        name=name,
        kind=kind,
        manifest_digest=manifest.digest,
        split_digest=manifest.split_digest,
        roles=tuple(sorted(map(str, used["role"].unique()))),
        sessions=tuple(sorted(looked_at)),
        donors=tuple(sorted(set(map(str, donors)))),
        looked_at=looked_at,
        uses_labels=uses_labels,
    )
