"""Stimuli of one simulated recording as objects of an NWB 2 file; the layout is told in `nwb2_writer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import UsageError
from poyodata.nwb2_objects import time_intervals
from poyodata.simulation.recording import SimulatedSession
from poyodata.vocabulary import DRIFTING_GRATINGS, SPONTANEOUS

if TYPE_CHECKING:
    from pynwb import NWBFile

_DRIFTING_S, _STATIC_S = 2.0, 0.25
_SPATIAL_FREQUENCY = 0.04
# Longest pause within an epoch, in imaging frames.
_EPOCH_PAUSE_FRAMES: Mapping[str, int] = {
    "three_session_A": 39,
    "three_session_B": 15,
    "three_session_C": 7,
    "three_session_C2": 7,
}
_IMAGE_NAMES = {"natural_scenes": "NaturalScene"} | {
    f"locally_sparse_noise{size}": "LocallySparseImage" for size in ("", "_4deg", "_8deg")
}


def add_stimuli(nwb: NWBFile, session: SimulatedSession) -> None:
    """Add every presentation, as intervals or as a series of indices, and the templates that indices refer to.

    Parameters
    ----------
    nwb : NWBFile
        With a device ``StimulusDisplay``.
    session : SimulatedSession

    Raises
    ------
    UsageError
        When a stimulus that is shown by index has no template.
    """
    for stimulus, table in session.timeline.tables.items():
        start_s = _time_at(session, table["start"])
        if "frame" in table:
            _add_indexed(nwb, stimulus, table["frame"].to_numpy(np.int64), start_s, session.templates.get(stimulus))
        elif stimulus == SPONTANEOUS:
            nwb.add_stimulus(
                time_intervals("spontaneous_stimulus", "Grey screen.", start_s, _time_at(session, table["end"]))
            )
        elif stimulus == DRIFTING_GRATINGS:
            columns = {
                "orientation_in_degrees": ("Direction of the grating; NaN if blank.", table["orientation"]),
                "spatial_frequency_in_cycles_per_degree": (
                    "The same for all.",
                    np.full(len(table), _SPATIAL_FREQUENCY),
                ),
                "temporal_frequency_in_hz": ("Speed of the grating; NaN if blank.", table["temporal_frequency"]),
                "is_blank_sweep": ("Grey instead of a grating.", table["blank_sweep"] == 1),
            }
            nwb.add_stimulus(time_intervals(stimulus, "Drifting gratings.", start_s, start_s + _DRIFTING_S, columns))
        else:
            columns = {
                "orientation_in_degrees": ("Orientation of the grating; NaN if blank.", table["orientation"]),
                "spatial_frequency_in_cycles_per_degree": ("NaN if blank.", table["spatial_frequency"]),
                "phase": ("Share of a cycle; NaN if blank.", table["phase"]),
                "is_blank_sweep": ("Grey instead of a grating.", table["orientation"].isna()),
            }
            nwb.add_stimulus(time_intervals(stimulus, "Static gratings.", start_s, start_s + _STATIC_S, columns))


def _add_indexed(
    nwb: NWBFile,
    stimulus: str,
    frame: npt.NDArray[np.int64],
    start_s: npt.NDArray[np.float64],
    template: npt.NDArray[np.uint8] | None,
) -> None:
    from pynwb.image import Image, Images, ImageSeries, IndexSeries

    if template is None:
        raise UsageError(
            f"the recording shows {stimulus} but has no template of it; NWB 2 needs what an index refers to."
        )
    if stimulus in _IMAGE_NAMES:
        images = [
            Image(name=f"{_IMAGE_NAMES[stimulus]}{index}", description="An image that is shown.", data=image)
            for index, image in enumerate(template)
        ]
        target: Any = Images(name=f"{stimulus}_template", description="Images that are shown.", images=images)
        link = {"indexed_images": target}
    else:
        target = ImageSeries(
            name=stimulus,
            description="A movie that is shown.",
            data=template,
            unit="n.a.",
            starting_time=float("nan"),
            rate=float("nan"),
            device=nwb.devices["StimulusDisplay"],
        )
        link = {"indexed_timeseries": target}
    nwb.add_stimulus_template(target)
    nwb.add_stimulus(
        _as_read(
            IndexSeries,
            name=f"{stimulus}_stimulus",
            description="Which image is shown from when.",
            # Unsigned by the schema: -1, a blank, becomes 4294967295.
            data=frame.astype(np.uint32),
            unit="N/A",
            timestamps=start_s,
            **link,
        )
    )


def _as_read(kind: Any, **fields: Any) -> Any:
    # Released files have series that index a series; newer pynwb reads them, but makes none outside its reading mode.
    made = kind.__new__(kind, in_construct_mode=True)
    made.__init__(**fields)
    made._in_construct_mode = False
    return made


def add_epochs(nwb: NWBFile, session: SimulatedSession) -> None:
    """Add the table ``epochs``: see `stimulus_epochs`."""
    epochs = stimulus_epochs(session)
    nwb.epochs = time_intervals(
        "epochs",
        "Stretches of one stimulus.",
        _time_at(session, epochs["start"]),
        _time_at(session, epochs["end"]),
        {"stimulus_type": ("Stimulus that is shown.", epochs["stimulus"])},
    )


def stimulus_epochs(session: SimulatedSession) -> pd.DataFrame:
    """Stretches of one stimulus, cut where it pauses, as AllenSDK's ``get_stimulus_epoch_table`` cuts them.

    Parameters
    ----------
    session : SimulatedSession

    Returns
    -------
    DataFrame, columns ``stimulus, start, end``
        Imaging frames, in time order.
    """
    pause = _EPOCH_PAUSE_FRAMES.get(session.metadata.session_type, max(_EPOCH_PAUSE_FRAMES.values()))
    epochs = []
    for stimulus, table in session.timeline.tables.items():
        if table.empty:
            continue
        start, end = table["start"].to_numpy(), table["end"].to_numpy()
        cuts = np.flatnonzero(start[1:] - end[:-1] > pause)
        firsts, lasts = np.r_[0, cuts + 1], np.r_[cuts, len(table) - 1]
        epochs += [(stimulus, start[first], end[last]) for first, last in zip(firsts, lasts, strict=True)]
    return pd.DataFrame(epochs, columns=["stimulus", "start", "end"]).sort_values("start", ignore_index=True)


def _time_at(session: SimulatedSession, frames: pd.Series) -> npt.NDArray[np.float64]:
    time_s: npt.NDArray[np.float64] = session.timeline.time_s[
        np.minimum(frames.to_numpy(np.int64), session.timeline.n_frames - 1)
    ]
    return time_s
