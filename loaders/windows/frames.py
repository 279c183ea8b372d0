"""Frame windows: one or a few imaging frames, at every frame of a role; what decoders of movies read."""

from __future__ import annotations

from poyodata.curation.view import View
from poyodata.loaders.windows.fixed import lay
from poyodata.loaders.windows.index import WindowIndex
from poyodata.loaders.windows.stretches import role_stretches


def frame_windows(view: View, role: str, n_frames: int = 1, *, stimulus: str | None = None) -> WindowIndex:
    """Take a window at every imaging frame of a role.

    Parameters
    ----------
    view : View
    role : str
    n_frames : int
        Of each window; they lie whole within a stretch of the role.
    stimulus : str, optional
        Windows of the manifest that show this stimulus alone.

    Returns
    -------
    WindowIndex
        One row for each stretch, however many frames it has.

    Raises
    ------
    LoaderError
        When the role has no windows, none of them shows `stimulus`, or no stretch is long enough.
    """
    stretches = role_stretches(view, role, stimulus)
    return lay(view.session_ids, stretches, n_frames, 1, random_phase=False, role=role, mode="frames")
