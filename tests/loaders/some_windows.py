"""Windows and views that the tests of batches share."""

from __future__ import annotations

import numpy as np

from poyodata.curation import load_diet
from poyodata.curation.view import View
from poyodata.loaders.windows.index import Located
from poyodata.store import Store


def half_view(store: Store) -> View:
    """Half of the neurons: recordings differ in how many are kept."""
    return load_diet("all").sample(fraction=0.5).resolve(store, split="blocks-5fold").open(store)


def whole_view(store: Store) -> View:
    """All neurons."""
    return load_diet("all").resolve(store, split="blocks-5fold").open(store)


def windows(session: list[int], start: list[int], length: int | list[int]) -> Located:
    frames = np.broadcast_to(np.asarray(length, np.int64), len(session)).copy()
    return Located(np.zeros(len(session), np.int64), np.array(session, np.int64), np.array(start, np.int64), frames)


def expected(view: View, located: Located, number: int) -> np.ndarray:
    """A window by NumPy's own indexing: (time, neuron)."""
    session_id = view.session_ids[located.session_index[number]]
    start = located.start[number]
    frames = view.store.traces(session_id)[start : start + located.length[number]]
    return np.asarray(frames[:, view.columns(session_id)])
