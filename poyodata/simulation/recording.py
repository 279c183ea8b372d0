"""One simulated recording in memory: what the simulator makes and what the writers write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.sources.record import SessionMetadata

FOV_PX = 512
FOV_UM = 400

TABLE_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "drifting_gratings": ("temporal_frequency", "orientation", "blank_sweep", "start", "end"),
        "static_gratings": ("orientation", "spatial_frequency", "phase", "start", "end"),
        "natural_scenes": ("frame", "start", "end"),
        "locally_sparse_noise": ("frame", "start", "end"),
        "locally_sparse_noise_4deg": ("frame", "start", "end"),
        "locally_sparse_noise_8deg": ("frame", "start", "end"),
        "natural_movie_one": ("frame", "start", "end"),
        "natural_movie_two": ("frame", "start", "end"),
        "natural_movie_three": ("frame", "start", "end"),
        "spontaneous": ("start", "end"),
    }
)
"""Columns of each stimulus's table, as AllenSDK names them."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Frames of one recording and what was shown in them.

    Attributes
    ----------
    time_s : ndarray, shape (time,), float64, seconds
        When each imaging frame was taken. A dropped frame leaves a gap.
    tables : dict of str to DataFrame
        One table a stimulus, columns `TABLE_COLUMNS`, one row a presentation, in time order. ``start`` and ``end`` are
        half-open imaging frames; ``end`` may equal ``start`` for a movie frame shorter than an imaging frame, as in
        real files. Only stimuli that are shown have a table.
    """

    time_s: npt.NDArray[np.float64]
    tables: dict[str, pd.DataFrame]

    @property
    def n_frames(self) -> int:
        """Imaging frames."""
        return len(self.time_s)

    @property
    def rate_hz(self) -> float:
        """Frames a second, from the median step."""
        return float(1.0 / np.median(np.diff(self.time_s)))


@dataclass(frozen=True, kw_only=True)
class Fluorescence:
    """Fluorescence behind dF/F, in counts.

    ``demixed - neuropil_r x neuropil`` is the corrected trace, and dF/F is that trace over its baseline, less 1.

    Attributes
    ----------
    raw, neuropil, demixed : ndarray, shape (neuron, time), float32
    neuropil_r : ndarray, shape (neuron,), float64
        Contamination ratio.
    """

    raw: npt.NDArray[np.float32]
    neuropil: npt.NDArray[np.float32]
    demixed: npt.NDArray[np.float32]
    neuropil_r: npt.NDArray[np.float64]

    def frames(self, kept: npt.NDArray[np.bool_]) -> Fluorescence:
        """Return what is left when some frames are lost."""
        if kept.all():
            return self
        return replace(self, raw=self.raw[:, kept], neuropil=self.neuropil[:, kept], demixed=self.demixed[:, kept])


@dataclass(frozen=True, kw_only=True)
class Rois:
    """Regions of interest, one a trace.

    Attributes
    ----------
    cell_specimen_id, roi_id : ndarray, shape (neuron,), int64
    pixels : list of ndarray, shape (pixel, 2), int16
        x (column) and y (row) of every pixel of a mask, within ``FOV_PX`` x ``FOV_PX``.
    exclusion_label : tuple of str
        ``""`` for a valid region, else why it should be left out: ``"duplicate"``, ``"motion_border"``, ``"union"``.
    """

    cell_specimen_id: npt.NDArray[np.int64]
    roi_id: npt.NDArray[np.int64]
    pixels: list[npt.NDArray[np.int16]]
    exclusion_label: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EyeTracking:
    """Pupil of one recording. NaN in blinks.

    Attributes
    ----------
    time_s : ndarray, shape (sample,), float64, seconds
    location_deg : ndarray, shape (sample, 2), float64
        Altitude and azimuth from the centre of the screen.
    location_cm : ndarray, shape (sample, 2), float64
        x and y on the screen, from its centre.
    area_px : ndarray, shape (sample,), float64
    """

    time_s: npt.NDArray[np.float64]
    location_deg: npt.NDArray[np.float64]
    location_cm: npt.NDArray[np.float64]
    area_px: npt.NDArray[np.float64]

    def frames(self, kept: npt.NDArray[np.bool_]) -> EyeTracking:
        """Return the samples of some frames."""
        return EyeTracking(
            time_s=self.time_s[kept],
            location_deg=self.location_deg[kept],
            location_cm=self.location_cm[kept],
            area_px=self.area_px[kept],
        )


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What the mouse did.

    Attributes
    ----------
    running_speed : ndarray, shape (sample,), float64, cm/s
    running_time_s : ndarray, shape (sample,), float64, seconds
        A stretch of the recording's own timestamps: real files may begin later or end sooner than the traces.
    eye : EyeTracking, optional
        None where eye tracking failed.
    motion_px : ndarray, shape (time, 2), float64
        x and y shift of each imaging frame that motion correction took out.
    """

    running_speed: npt.NDArray[np.float64]
    running_time_s: npt.NDArray[np.float64]
    eye: EyeTracking | None
    motion_px: npt.NDArray[np.float64]

    def frames(self, kept: npt.NDArray[np.bool_], time_s: npt.NDArray[np.float64]) -> Behaviour:
        """Return what is left when some of the frames at `time_s` are lost."""
        if kept.all():
            return self
        run = np.isin(self.running_time_s, time_s[kept])
        return Behaviour(
            running_speed=self.running_speed[run],
            running_time_s=self.running_time_s[run],
            eye=None if self.eye is None else self.eye.frames(kept),
            motion_px=self.motion_px[kept],
        )


@dataclass(frozen=True, kw_only=True)
class SimulatedSession:
    """All that goes into one file.

    Attributes
    ----------
    metadata : SessionMetadata
    specimen_name : str
        Ends in the donor's number.
    timeline : Timeline
    dff : ndarray, shape (neuron, time), float32, dF/F
    fluorescence : Fluorescence
    rois : Rois
    behaviour : Behaviour
    templates : mapping of str to ndarray, uint8
        Frames of every movie, scene and noise stimulus that is shown: (frame, height, width).
    start_time : str
        As NWB 1.0 writes it, such as ``"Mon Jan  2 10:00:00 2017"``.
    """

    metadata: SessionMetadata
    specimen_name: str
    timeline: Timeline
    dff: npt.NDArray[np.float32]
    fluorescence: Fluorescence
    rois: Rois
    behaviour: Behaviour
    templates: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    start_time: str = "Mon Jan  2 10:00:00 2017"
