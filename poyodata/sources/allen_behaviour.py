"""What the mouse did, from an NWB 1.0 file of the Allen Brain Observatory: running, pupil and motion of the image."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import holds, texts_of
from poyodata.sources.record import Signal

# Place under the pipeline, and name and unit of each column.
_SERIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("BehavioralTimeSeries/running_speed", (("running_speed", "cm/s"),)),
    ("EyeTracking/pupil_location_spherical", (("pupil_altitude_deg", "deg"), ("pupil_azimuth_deg", "deg"))),
    ("EyeTracking/pupil_location", (("pupil_x_cm", "cm"), ("pupil_y_cm", "cm"))),
    ("PupilTracking/pupil_size", (("pupil_area_px", "px"),)),
)
_MOTION = (("motion_x_px", "px"), ("motion_y_px", "px"))
# Moved before versions of the layout were counted; AllenSDK looks in the same order.
_MOTION_PLACES = ("MotionCorrection/2p_image_series/xy_translations", "MotionCorrection/2p_image_series/xy_translation")


def read_signals(file: h5py.File, pipeline: str) -> dict[str, Signal]:
    """Read every behavioural signal that the file has, each on its own clock.

    Parameters
    ----------
    file : h5py.File
    pipeline : str
        Path of the pipeline's group.

    Returns
    -------
    dict of str to Signal
        Of ``running_speed``, ``pupil_altitude_deg``, ``pupil_azimuth_deg``, ``pupil_x_cm``, ``pupil_y_cm``,
        ``pupil_area_px``, ``motion_x_px`` and ``motion_y_px`` those that are there. Blinks are NaN, as in the file.

    Raises
    ------
    SourceError
        When a signal has no timestamps, or not one for each sample.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["p/PupilTracking/pupil_size/data"] = [400.0, 410.0]
    ...     file["p/PupilTracking/pupil_size/timestamps"] = [10.0, 10.03]
    ...     read_signals(file, "p")["pupil_area_px"].values.tolist()
    [400.0, 410.0]
    """
    signals: dict[str, Signal] = {}
    for place, columns in _SERIES:
        if holds(file, f"{pipeline}/{place}/data"):
            signals |= _columns(file[f"{pipeline}/{place}"], columns)
    for place in _MOTION_PLACES:
        if holds(file, f"{pipeline}/{place}/data"):
            group = file[f"{pipeline}/{place}"]
            described = texts_of(group["feature_description"]) if "feature_description" in group else []
            y_first = bool(described) and described[0].startswith("y")
            return signals | _columns(group, _MOTION[::-1] if y_first else _MOTION)
    return signals


def _columns(group: h5py.Group, columns: tuple[tuple[str, str], ...]) -> dict[str, Signal]:
    values = np.asarray(group["data"][()], np.float64)
    # Early files keep one column instead of a flat array.
    values = values.reshape(len(values), -1)
    if "timestamps" not in group:
        raise SourceError(f"{group.name} has no timestamps; they cannot be told from anything else.")
    time_s: npt.NDArray[np.float64] = np.asarray(group["timestamps"][()], np.float64).reshape(-1)
    if len(time_s) != len(values) or values.shape[1] < len(columns):
        raise SourceError(
            f"{group.name} has data of shape {group['data'].shape} and {len(time_s)} timestamps; "
            f"({len(time_s)}, {len(columns)}) was expected."
        )
    return {
        name: Signal(values=np.ascontiguousarray(values[:, column]), time_s=time_s, unit=unit)
        for column, (name, unit) in enumerate(columns)
    }
