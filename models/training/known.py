"""Which recordings a model knows, as a stage showed their neurons; and which of their windows decoders learn from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

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


def learnt_part(manifest: Manifest, role: str) -> tuple[Manifest, str, str | None]:
    """Give the windows that decoders beside a model learn from, all of one role: train-role time of what is tested.

    Tested recordings have train windows, or else those that held-out animals are identified by. Where some have the
    ones and some the others, as valid windows may, those to identify by are called ``train`` in recordings that have
    no others.

    Parameters
    ----------
    manifest : Manifest
    role : str
        What is tested.

    Returns
    -------
    Manifest
        Itself where no window had to be called otherwise.
    str
        Role of the windows to learn from: ``train`` or ``identify``.
    str or None
        What must be said where both are learnt from.

    Raises
    ------
    ModelError
        A tested recording has neither.
    """
    windows = manifest.windows
    tested, train, identify = (
        set(windows.loc[windows["role"] == one, "session_id"]) for one in (role, "train", "identify")
    )
    if tested <= train:
        return manifest, "train", None
    if tested <= identify:
        return manifest, "identify", None
    held_out = tested - train
    if lost := sorted(held_out - identify):
        raise ModelError(
            f"{len(lost)} of {len(tested)} recordings with {role} windows in manifest {manifest.name!r} (first "
            f"{lost[0]!r}) have windows neither of role train nor identify, so that no decoder can be fitted beside "
            "the model; resolve the diet with more time, with a split that gives them some, or without them."
        )

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        theirs = (table["role"] == "identify") & table["session_id"].isin(list(held_out))
        return table.assign(role=table["role"].mask(theirs, "train"))

    return (
        replace(manifest, windows=renamed(windows), role_time=renamed(manifest.role_time)),
        "train",
        "The decoders beside the model learnt from windows of role train, and from those of role identify where a "
        f"recording has none: in {len(held_out)} of the {len(tested)} that were tested.",
    )
