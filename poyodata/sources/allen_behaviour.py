"""What the mouse did, from an NWB 1.0 file of the Allen Brain Observatory: running, pupil and motion of the image."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import holds, texts_of, values_of
from poyodata.sources.record import Signal

# Place under the pipeline, and name and unit of each column.
_SERIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("BehavioralTimeSeries/running_speed", (("running_speed", "cm/s"),)),
    ("EyeTracking/pupil_location_spherical", (("pupil_altitude_deg", "deg"), ("pupil_azimuth_deg", "deg"))),
    ("EyeTracking/pupil_location", (("pupil_x_cm", "cm"), ("pupil_y_cm", "cm"))),
    ("PupilTracking/pupil_size", (("pupil_area_px", "px"),)),
)
_DAY_S = 86_400.0
_MOTION = (("motion_x_px", "px"), ("motion_y_px", "px"))
# Moved before versions of the layout were counted; AllenSDK looks in the same order.
_MOTION_PLACES = ("MotionCorrection/2p_image_series/xy_translations", "MotionCorrection/2p_image_series/xy_translation")


def read_signals(file: h5py.File, pipeline: str, recorded_s: npt.NDArray[np.float64]) -> dict[str, Signal]:
    """Read every behavioural signal that the file has, each on its own clock.

    Parameters
    ----------
    file : h5py.File
    pipeline : str
        Path of the pipeline's group.
    recorded_s : ndarray, shape (time,), float64, seconds
        Clock of the traces: no signal is from another day.

    Returns
    -------
    dict of str to Signal
        Of ``running_speed``, ``pupil_altitude_deg``, ``pupil_azimuth_deg``, ``pupil_x_cm``, ``pupil_y_cm``,
        ``pupil_area_px``, ``motion_x_px`` and ``motion_y_px`` those that are there. Blinks are NaN, as in the file.

    Raises
    ------
    SourceError
        When a signal has no timestamps, or not one for each sample, or when they are not finite, go back, or lie more
        than a day from the recording.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["p/PupilTracking/pupil_size/data"] = [400.0, 410.0]
    ...     file["p/PupilTracking/pupil_size/timestamps"] = [10.0, 10.03]
    ...     read_signals(file, "p", np.array([9.0, 11.0]))["pupil_area_px"].values.tolist()
    [400.0, 410.0]
    """
    signals: dict[str, Signal] = {}
    for place, columns in _SERIES:
        if holds(file, f"{pipeline}/{place}/data"):
            signals |= _columns(file, f"{pipeline}/{place}", columns, recorded_s)
    for place in _MOTION_PLACES:
        if holds(file, f"{pipeline}/{place}/data"):
            named = f"{pipeline}/{place}/feature_description"
            described = texts_of(file, named) if holds(file, named) else []
            y_first = bool(described) and described[0].startswith("y")
            return signals | _columns(file, f"{pipeline}/{place}", _MOTION[::-1] if y_first else _MOTION, recorded_s)
    return signals


def _columns(
    file: h5py.File, place: str, columns: tuple[tuple[str, str], ...], recorded_s: npt.NDArray[np.float64]
) -> dict[str, Signal]:
    stored = values_of(file, f"{place}/data")
    clock = f"{place}/timestamps"
    if not holds(file, clock):
        raise SourceError(f"{place} has no timestamps; they cannot be told from anything else.")
    time_s: npt.NDArray[np.float64] = values_of(file, clock).astype(np.float64).reshape(-1)
    # Early files keep one column instead of a flat array.
    values = stored.astype(np.float64).reshape(len(stored), -1) if stored.size else np.empty((0, len(columns)))
    if len(time_s) != len(values) or values.shape[1] < len(columns):
        raise SourceError(
            f"{place} has data of shape {stored.shape} and {len(time_s)} timestamps; "
            f"({len(time_s)}, {len(columns)}) was expected."
        )
    _check_clock(clock, time_s, recorded_s)
    return {
        name: Signal(values=np.ascontiguousarray(values[:, column]), time_s=time_s, unit=unit)
        for column, (name, unit) in enumerate(columns)
    }


def _check_clock(name: str, time_s: npt.NDArray[np.float64], recorded_s: npt.NDArray[np.float64]) -> None:
    """Raise when samples have no time, go back in time, or cannot be of this recording (milliseconds, say)."""
    wrong = ~np.isfinite(time_s)
    wrong[1:] |= ~(time_s[1:] >= time_s[:-1])
    if wrong.any():
        raise SourceError(f"{name} must be finite and never go back; it fails at sample {int(wrong.argmax())}.")
    if recorded_s.size:
        far = (time_s < recorded_s.min() - _DAY_S) | (time_s > recorded_s.max() + _DAY_S)
        if far.any():
            raise SourceError(
                f"{name} has {time_s[far][0]:g} s, more than a day from the recording, which goes from "
                f"{recorded_s.min():g} to {recorded_s.max():g} s."
            )
