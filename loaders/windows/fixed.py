"""Fixed windows: back to back through every stretch of a role."""

from __future__ import annotations

import numpy as np

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.windows.index import Mode, WindowIndex
from poyodata.loaders.windows.stretches import Stretches, role_stretches


def fixed_windows(
    view: View, role: str, n_frames: int, *, hop_frames: int | None = None, random_phase: bool
) -> WindowIndex:
    """Lay windows back to back through every stretch of a role.

    Rows of the manifest that touch are one stretch. A stretch of L frames has ``(L - n_frames) // hop_frames + 1``
    windows in every epoch, with a random phase too.

    Parameters
    ----------
    view : View
    role : str
    n_frames : int
    hop_frames : int, optional
        From one window to the next; `n_frames` by default, fewer for windows that overlap, more for some that do not
        touch.
    random_phase : bool
        Every epoch begins each stretch at another frame (`WindowIndex.at_epoch`), and each phase is as likely as any
        other. Where that leaves no room for the last window, one lies flush with the border of the stretch and
        overlaps its neighbour. Without it, windows are the same in every epoch.

    Returns
    -------
    WindowIndex

    Raises
    ------
    LoaderError
        When the role has no windows, or no stretch of it is long enough.
    """
    hop = n_frames if hop_frames is None else hop_frames
    if hop < 1:
        raise LoaderError(f"hop_frames is {hop}; windows are at least 1 frame apart.")
    return lay(view.session_ids, role_stretches(view, role), n_frames, hop, random_phase=random_phase, role=role)


def lay(
    session_ids: tuple[str, ...],
    stretches: Stretches,
    n_frames: int,
    hop: int,
    *,
    random_phase: bool,
    role: str,
    mode: Mode = "fixed",
) -> WindowIndex:
    """Lay a row of windows through each stretch that is long enough.

    Raises
    ------
    LoaderError
        When none is.
    """
    if n_frames < 1:
        raise LoaderError(f"a window of {n_frames} frames was asked for; it needs at least 1.")
    spare = stretches.length - n_frames
    fits = spare >= 0
    if not fits.any():
        raise LoaderError(
            f"no window of {n_frames} frames fits role {role!r}: the longest of its {len(stretches)} stretches has "
            f"{stretches.length.max()} frames. Shorten window_s, or let the diet eat longer stretches (without "
            "windows.where, a stretch is all the time of a role up to a gap)."
        )
    start, spare = stretches.start[fits], spare[fits]
    count = spare // hop + 1
    slack = np.where(count > 1, hop - 1, spare) if random_phase else np.zeros_like(spare)
    index = WindowIndex(
        session_ids=session_ids,
        session_index=stretches.session_index[fits],
        first=start,
        count=count,
        length=np.full(len(start), n_frames, np.int64),
        low=start,
        high=start + spare,
        source=stretches.source[fits],
        hop_frames=hop,
        slack=slack,
        mode=mode,
    )
    return index.with_dropped(f"stretches shorter than {n_frames} frames", int((~fits).sum()))
