"""What the animal did, from an NWB 2 file: series of known names, and those that a mapping names."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import closest_or_all, dataset_of, holds, text_of, values_of
from poyodata.sources.nwb2_series import clock_of
from poyodata.sources.record import Signal
from poyodata.sources.recording_mapping import SignalMapping

_PLACES = ("processing", "acquisition")
# Of each signal: names of its series, its column, its unit, and what a unit of the file must be multiplied by.
_METRE_CM = {"m": 100.0, "meters": 100.0, "metres": 100.0, "meter": 100.0, "cm": 1.0}
_DEGREES = {"degrees": 1.0, "deg": 1.0, "degree": 1.0, "radians": 180.0 / np.pi, "rad": 180.0 / np.pi}
_PIXELS = {"px": 1.0, "pixels": 1.0, "pixel": 1.0, "pixels^2": 1.0, "pixels ^ 2": 1.0}
_SPEED = {"cm/s": 1.0, "m/s": 100.0, "centimeters/second": 1.0, "meters/second": 100.0}
_KNOWN: tuple[tuple[str, tuple[str, ...], int, str, Mapping[str, float]], ...] = (
    ("running_speed", ("running_speed", "speed"), 0, "cm/s", _SPEED),
    ("pupil_altitude_deg", ("pupil_location_spherical",), 0, "deg", _DEGREES),
    ("pupil_azimuth_deg", ("pupil_location_spherical",), 1, "deg", _DEGREES),
    ("pupil_x_cm", ("pupil_location",), 0, "cm", _METRE_CM),
    ("pupil_y_cm", ("pupil_location",), 1, "cm", _METRE_CM),
    ("pupil_area_px", ("pupil_size", "pupil_area"), 0, "px", _PIXELS),
    ("motion_x_px", ("motion_x_px",), 0, "px", _PIXELS),
    ("motion_y_px", ("motion_y_px",), 0, "px", _PIXELS),
)


def read_signals(file: h5py.File, mapping: Mapping[str, SignalMapping]) -> dict[str, Signal]:
    """Read the signals that can be told, and those that a mapping names.

    Told are the names of the Allen Brain Observatory: ``running_speed``, ``pupil_location``,
    ``pupil_location_spherical`` and ``pupil_size``, where their unit is known, and those of our own exports.

    Parameters
    ----------
    file : h5py.File
    mapping : mapping of str to SignalMapping

    Returns
    -------
    dict of str to Signal
        In the file's unit after conversion, brought to that of the name where it tells one (cm/s, deg, cm, px).

    Raises
    ------
    SourceError
        When a series that is named is missing, or its clock and its data do not fit each other.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     series = file.create_group("processing/behavior/running_speed")
    ...     series["data"], series["timestamps"] = [0.1, 0.2], [10.0, 10.5]
    ...     series["data"].attrs["unit"] = "m/s"
    ...     read_signals(file, {})["running_speed"].values.tolist()
    [10.0, 20.0]
    """
    series = _series(file)
    signals: dict[str, Signal] = {}
    for name, known, column, unit, units in _KNOWN:
        there = [place for place in series if place.rsplit("/", 1)[-1] in known]
        if name in mapping or len(there) != 1:
            continue
        data = dataset_of(file, f"{there[0]}/data")
        factor = units.get(text_of(data.attrs.get("unit", "")).casefold())
        if factor is not None and column < _n_columns(data):
            signals[name] = _signal(file, there[0], column, unit, factor)
    for name, part in mapping.items():
        place = _named(series, part.name, name)
        data = dataset_of(file, f"{place}/data")
        if part.column >= _n_columns(data):
            raise SourceError(f"{place}/data has shape {data.shape}; it has no column {part.column} (signals.{name}).")
        signals[name] = _signal(file, place, part.column, part.unit or text_of(data.attrs.get("unit", "")), part.scale)
    return signals


def _series(file: h5py.File) -> list[str]:
    found: list[str] = []

    def walk(name: str) -> None:
        group = file[name]
        if holds(group, "data"):
            if isinstance(group["data"], h5py.Dataset) and not holds(group, "rois"):
                found.append(name)
            return
        for child in group:
            if group.get(child, getclass=True) is h5py.Group:
                walk(f"{name}/{child}")

    for place in _PLACES:
        if holds(file, place) and isinstance(file[place], h5py.Group):
            walk(place)
    return found


def _named(series: list[str], wanted: str, name: str) -> str:
    wanted = wanted.strip("/")
    matches = [place for place in series if place == wanted] or [
        place for place in series if place.endswith(f"/{wanted}")
    ]
    if len(matches) != 1:
        raise SourceError(
            f"{len(matches)} series end in {wanted!r}, which the mapping names (signals.{name}); "
            f"{closest_or_all(wanted, series)}"
        )
    return matches[0]


def _n_columns(data: h5py.Dataset) -> int:
    return 1 if data.ndim == 1 else int(data.shape[1]) if data.ndim == 2 else 0


def _signal(file: h5py.File, place: str, column: int, unit: str, factor: float) -> Signal:
    data = dataset_of(file, f"{place}/data")
    stored = values_of(file, f"{place}/data")
    if stored.dtype.kind not in "fiub":
        raise SourceError(f"{place}/data holds {stored.dtype} values; numbers were expected.")
    time_s = clock_of(file, place, len(stored))
    wrong = ~np.isfinite(time_s)
    wrong[1:] |= ~(time_s[1:] >= time_s[:-1])
    if wrong.any():
        raise SourceError(
            f"{place}/timestamps must be finite and never go back; fails at sample {int(wrong.argmax())}."
        )
    # Together, so that a conversion from centimetres to metres and back changes nothing.
    scale = float(data.attrs.get("conversion", 1.0)) * factor
    values: npt.NDArray[np.float64] = stored.astype(np.float64).reshape(len(stored), -1)[:, column] * scale
    offset = float(data.attrs.get("offset", 0.0)) * factor
    return Signal(values=np.ascontiguousarray(values + offset if offset else values), time_s=time_s, unit=unit)
