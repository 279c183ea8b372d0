"""What the stages behind a model have shown, and how they normalised: a test has to know both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from poyodata.curation.leaks.fitted import TRAIN_ROLES
from poyodata.curation.manifest import Manifest
from poyodata.digests import json_digest
from poyodata.errors import ManifestError
from poyodata.loaders.recipe import Recipe
from poyodata.loaders.transforms import Normalisation, fit_normalisation
from poyodata.models.training.ancestry import Ancestry
from poyodata.store import Store

LEARNT_ROLES = ("train", "valid", "identify")
"""Roles of windows that a stage learns from, or chooses its checkpoint by."""


def shown_by_stages(ancestry: Ancestry, manifest: Manifest, role: str) -> npt.NDArray[np.int64] | None:
    """Ids of the pictures of the tested stimuli that any stage has shown; None where they are not known.

    Parameters
    ----------
    ancestry : Ancestry
    manifest : Manifest
        What is tested on.
    role : str
        Of the windows that are tested.

    Returns
    -------
    ndarray of int64, or None
        Movie frames, sorted. None where windows of a stage are of a tested stimulus, or of one that is not known, and
        do not say which picture was shown.
    """
    windows = manifest.windows
    tested = set(windows.loc[windows["role"] == role, "stimulus"].astype(str))
    found: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    for stage in ancestry.stages:
        learnt = stage.manifest.windows
        learnt = learnt[learnt["role"].isin([one for one in LEARNT_ROLES if one != role]).to_numpy(bool)]
        may = learnt["stimulus"].astype(str).isin([*tested, ""]).to_numpy(bool)
        ids = learnt["movie_frame"].to_numpy(np.int64)[may]
        if (ids < 0).any():
            return None
        found.append(ids)
    return np.unique(np.concatenate(found))


def normalisation_of_stages(
    store: Store, ancestry: Ancestry, manifest: Manifest, recipe: Recipe, sessions: Collection[str]
) -> tuple[Normalisation | None, str]:
    """Normalisation for another manifest than the last stage's: of each neuron that of the last stage which had it.

    Parameters
    ----------
    store : Store
    ancestry : Ancestry
    manifest : Manifest
        What is tested on.
    recipe : Recipe
        Says whether and how traces are normalised.
    sessions : collection of str
        Recordings that are read.

    Returns
    -------
    Normalisation or None
        None where a loader fits what the last stage fitted, or nothing is normalised.
    str
        What must be known of it, in a sentence: that neurons are new. Empty where there is nothing to say.
    """
    by = recipe.normalise
    if not by or ancestry.stages[-1].manifest.digest == manifest.digest:
        return None, ""
    own = fit_normalisation(manifest.open(store), by, sessions)
    read = set(sessions)
    shift = {name: values.copy() for name, values in own.shift.items()}
    scale = {name: values.copy() for name, values in own.scale.items()}
    new = {name: np.ones(len(own.neuron_ids[name]), np.bool_) for name in own.neuron_ids if name in read}
    digests = [own.digest]
    for stage in reversed(ancestry.stages):
        if stage.recipe.loader.normalise != by or not any(left.any() for left in new.values()):
            continue
        windows = stage.manifest.windows
        fitted = set(windows.loc[windows["role"].isin(TRAIN_ROLES), "session_id"].astype(str))
        if fitted.isdisjoint(new):
            continue
        try:
            view = stage.manifest.open(store)
        except ManifestError:
            # Of another store: its traces are not at hand.
            continue
        its = fit_normalisation(view, by, ())
        for name in fitted & set(new):
            place = {neuron: at for at, neuron in enumerate(its.neuron_ids.get(name, ()))}
            rows = [at for at, neuron in enumerate(own.neuron_ids[name]) if new[name][at] and neuron in place]
            from_rows = [place[own.neuron_ids[name][at]] for at in rows]
            shift[name][rows], scale[name][rows] = its.shift[name][from_rows], its.scale[name][from_rows]
            new[name][rows] = False
        digests.append(its.digest)
    n_new, n_all = sum(int(left.sum()) for left in new.values()), sum(len(left) for left in new.values())
    told = ""
    if n_new:
        told = (
            f"{n_new} of {n_all} neurons have no normalisation from a stage on this store: theirs is fitted on the "
            "training windows of the manifest that is tested."
        )
    return replace(own, shift=shift, scale=scale, digest=json_digest(digests)), told
