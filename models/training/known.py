"""Which recordings a model knows: those whose neurons a stage of training was shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from poyodata.curation.manifest import Manifest
from poyodata.errors import ModelError
from poyodata.models.poyo import PoyoPlus


def strangers(manifest: Manifest, role: str, neurons: Collection[str], sessions: Collection[str]) -> tuple[str, ...]:
    """Name the recordings with windows of a role that are not among `sessions`, or have a neuron not among `neurons`.

    Parameters
    ----------
    manifest : Manifest
    role : str
    neurons, sessions : collection of str
        What is known.

    Returns
    -------
    tuple of str
        Sorted.
    """
    selected, windows = manifest.neurons, manifest.windows
    strange = set(selected.loc[~selected["neuron_id"].isin(list(neurons)), "session_id"])
    asked = set(windows.loc[windows["role"] == role, "session_id"])
    return tuple(sorted(name for name in asked if name in strange or name not in sessions))


def without(manifest: Manifest, role: str, sessions: Collection[str]) -> Manifest:
    """Give a manifest without the windows of a role in some recordings; itself where there are none to leave out."""
    if not sessions:
        return manifest
    windows = manifest.windows
    left_out = (windows["role"] == role) & windows["session_id"].isin(list(sessions))
    return replace(manifest, windows=windows[~left_out].reset_index(drop=True))


def tested_part(manifest: Manifest, role: str, model: PoyoPlus) -> tuple[Manifest, str | None]:
    """Give what of a manifest a model can be tested on, and what must be said of the rest.

    Raises
    ------
    ModelError
        No stage trained any of the recordings.
    """
    windows = manifest.windows
    strange = strangers(manifest, role, model.trained_neuron_ids, model.trained_session_ids)
    if not strange:
        return manifest, None
    of_role = windows[windows["role"] == role]
    n_recordings, lost = of_role["session_id"].nunique(), int(of_role["session_id"].isin(strange).sum())
    if len(strange) == n_recordings:
        raise ModelError(
            f"no stage of this run trained the neurons of any of the {n_recordings} recordings with {role} windows in "
            f"manifest {manifest.name!r} (first {strange[0]!r}); identify them first (trains: identification): "
            "finetune with --from this run and --set train.trains=identification, and test the run that comes of it."
        )
    return without(manifest, role, strange), (
        f"{len(strange)} of {n_recordings} recordings ({lost} of {len(of_role)} {role} windows) were left out: no "
        f"stage trained all their neurons, first {strange[0]!r}; identify them first (train.trains: identification)."
    )
