"""Whole recordings: every stretch of a role in one window."""

from __future__ import annotations

import numpy as np

from poyodata.curation.view import View
from poyodata.loaders.windows.index import WindowIndex
from poyodata.loaders.windows.stretches import Stretches, role_stretches


def whole_windows(view: View, role: str) -> WindowIndex:
    """Take every stretch of a role whole. Windows differ in length.

    Parameters
    ----------
    view : View
    role : str

    Raises
    ------
    LoaderError
        When the role has no windows.
    """
    return lay_whole(view.session_ids, role_stretches(view, role))


def lay_whole(session_ids: tuple[str, ...], stretches: Stretches) -> WindowIndex:
    """One window for each stretch."""
    return WindowIndex(
        session_ids=session_ids,
        session_index=stretches.session_index,
        first=stretches.start,
        count=np.ones(len(stretches), np.int64),
        length=stretches.length,
        low=stretches.start,
        high=stretches.start,
        source=stretches.source,
        hop_frames=1,
        slack=np.zeros(len(stretches), np.int64),
        mode="whole",
    )
