"""Per-neuron centring and scaling, fitted on train-role frames only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.leaks.fitted import TRAIN_ROLES, Fitted, fitted_on
from poyodata.curation.view import View
from poyodata.digests import array_digest, json_digest
from poyodata.errors import LoaderError
from poyodata.intervals import as_intervals
from poyodata.statistics.moments import MomentState


@dataclass(frozen=True)
class Normalisation:
    """Mean and inverse standard deviation of each selected neuron, by recording.

    Attributes
    ----------
    shift, scale : mapping of session id to ndarray, shape (selected neuron,), float32
        ``(dff - shift) * scale`` has mean 0 and variance 1 over the frames it was fitted on.
    digest : str
        Of both, and of the frames they were fitted on.
    fitted : Fitted or None
        What was looked at for it, for ``check_leaks(stages, fitted=[...])``; None where nothing was fitted.
    """

    shift: Mapping[str, npt.NDArray[np.float32]]
    scale: Mapping[str, npt.NDArray[np.float32]]
    digest: str
    fitted: Fitted | None = None


def fit_normalisation(view: View) -> Normalisation:
    """Fit on the windows of roles ``train`` and ``identify``: never on what is validated or tested.

    Raises
    ------
    LoaderError
        When a recording has no such window.
    """
    windows = view.manifest.windows
    fitted: pd.DataFrame = windows[windows["role"].isin(TRAIN_ROLES)]
    shift: dict[str, npt.NDArray[np.float32]] = {}
    scale: dict[str, npt.NDArray[np.float32]] = {}
    state: list[list[str]] = []
    for session_id in view.session_ids:
        rows = fitted.loc[fitted["session_id"] == session_id, ["start_frame", "stop_frame"]].to_numpy(np.int64)
        if len(rows) == 0:
            raise LoaderError(
                f"recording {session_id!r} has no train-role window to fit the normalisation on; "
                "pass normalise=False, or use a split that gives each recording train time."
            )
        traces = view.traces(session_id)
        states = [MomentState.of(traces[start:stop]) for start, stop in as_intervals(rows)]
        moments = reduce(MomentState.merge, states).finalize()
        mean, std = (moments[name][view.columns(session_id)] for name in ("mean", "std"))
        usable = np.isfinite(std) & (std > 0)
        shift[session_id] = np.where(np.isfinite(mean), mean, 0.0).astype(np.float32)
        scale[session_id] = np.where(usable, 1.0 / np.where(usable, std, 1.0), 0.0).astype(np.float32)
        state.append([session_id, array_digest(shift[session_id]), array_digest(scale[session_id]), array_digest(rows)])
    return Normalisation(shift, scale, json_digest(state), fitted_on(view.manifest, "dff", "normalisation"))


def identity_normalisation(view: View) -> Normalisation:
    """Leave dF/F as it is."""
    counts = {key: len(view.columns(key)) for key in view.session_ids}
    return Normalisation(
        {key: np.zeros(n, np.float32) for key, n in counts.items()},
        {key: np.ones(n, np.float32) for key, n in counts.items()},
        json_digest("identity"),
    )
