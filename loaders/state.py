"""The state of a loader: where it is, and of what; loaded into another loader only if that makes the same batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poyodata.errors import LoaderError
from poyodata.loaders.checks import whole_number

FORMAT_VERSION = 1
PLACE = ("epoch", "batches")

_WORDS: Mapping[str, str] = {
    "role": "role",
    "seed": "seed",
    "batch_size": "batch size",
    "world": "number of ranks",
    "manifest": "manifest",
    "recipe": "recipe",
    "sampler": "sampling",
    "windows": "windows",
    "normalisation": "normalisation",
    "vocabulary": "numbers of neurons and recordings",
    "neuron_columns": "columns of neurons",
}


def make_state(identity: Mapping[str, Any], epoch: int, batches: int) -> dict[str, Any]:
    """State as plain numbers and texts, which every checkpoint format can hold.

    Parameters
    ----------
    identity : mapping
        What the batches are a function of, by the names of the state.
    epoch, batches : int
        The epoch that is read, and how many batches of it this rank has given: all of them when the epoch is finished,
        until another is begun or chosen.

    Examples
    --------
    >>> make_state({"seed": 0}, epoch=3, batches=12)
    {'format': 1, 'seed': 0, 'epoch': 3, 'batches': 12}
    """
    return {"format": FORMAT_VERSION, **identity, "epoch": int(epoch), "batches": int(batches)}


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any], n_batches: int) -> tuple[int, int]:
    """Give (epoch, batches) of a state, or say in words why it is not this loader's.

    Parameters
    ----------
    state : mapping
        From `make_state`, perhaps of another process.
    identity : mapping
        Of the loader that it is to be loaded into.
    n_batches : int
        Of an epoch, of the rank that has most of them.

    Raises
    ------
    LoaderError
        It is no state, or of another manifest, recipe, seed, batch size, sampling, role or number of ranks: all that
        differ are named.

    Examples
    --------
    >>> check_state({"format": 1, "seed": 0, "epoch": 3, "batches": 12}, {"seed": 0}, 20)
    (3, 12)
    """
    if state.get("format") != FORMAT_VERSION:
        raise LoaderError("this is no state of a loader of this version; give what Loader.state_dict() returned.")
    differ = [
        f"{_WORDS.get(name, name)} was {_short(state.get(name))}, here it is {_short(here)}"
        for name, here in identity.items()
        if state.get(name) != here
    ]
    if differ:
        raise LoaderError(
            f"this state is of other batches, and going on from it would repeat or lose windows: {'; '.join(differ)}. "
            "Make the loader as it was, or start anew without the state."
        )
    epoch, batches = (state.get(name) for name in PLACE)
    try:
        place = whole_number("epoch", epoch), whole_number("batches", batches)
    except LoaderError:
        place = 0, n_batches + 1
    if place[1] > n_batches:
        raise LoaderError(
            f"the state says epoch {epoch!r} and {batches!r} batches given, of {n_batches} in an epoch; it was changed "
            "after it was saved. Restore it from a copy."
        )
    return place


def _short(value: Any) -> str:
    """Digests are long; their first twelve characters tell them apart."""
    if value is None:
        return "unknown"
    return repr(value[:12]) if isinstance(value, str) and len(value) > 24 else repr(value)
