"""Fluorescence behind dF/F, from an NWB 1.0 file of the Allen Brain Observatory, as AllenSDK reads or computes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError
from poyodata.sources.hdf5 import dataset_of, holds, texts_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.remote import Place

TraceReader = Callable[[int, int], npt.NDArray[np.float32]]


class CorrectedTraces:
    """Traces less their share of the neuropil, ``cells - neuropil x r``, block by block.

    AllenSDK computes them in the dtypes of the file and rounds nothing: float32 traces and a float64 ratio give
    float64. The same product and difference are made here, and then rounded to float32 once.

    Parameters
    ----------
    cells, neuropil : Hdf5Traces
    r : ndarray, shape (neuron,)
        Contamination ratio, in the dtype of the file.
    """

    def __init__(self, cells: Hdf5Traces, neuropil: Hdf5Traces, r: npt.NDArray[Any]) -> None:
        self.cells = cells
        self.neuropil = neuropil
        self.r = r

    def __call__(self, start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
        """Read frames ``[start_frame, stop_frame)`` as (time, neuron), float32, C order."""
        around = self.neuropil.stored(start_frame, stop_frame)
        exact = self.cells.stored(start_frame, stop_frame) - around * self.r[np.newaxis, :]
        return np.ascontiguousarray(exact, dtype=np.float32)


class _Unusable:
    """Traces that do not fit dF/F: the recording comes in, and asking for them says why they do not."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, _start_frame: int, _stop_frame: int) -> npt.NDArray[np.float32]:
        raise SourceError(self.message)


def pipeline_version(file: h5py.File) -> str:
    """Version of the pipeline that wrote the file.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     before = pipeline_version(file)
    ...     file["general/generated_by"] = np.array([b"pipeline", b"x", b"version", b"3.0"])
    ...     before, pipeline_version(file)
    ('0.9', '3.0')
    """
    # The last text is the version; files older than that custom are 0.9.
    texts = texts_of(file, "general/generated_by") if holds(file, "general/generated_by") else []
    return texts[-1] if texts else "0.9"


def neuropil_before_demixing(file: h5py.File) -> bool:
    """Whether a pipeline before 2.0 wrote the file: neuropil lies elsewhere, and is taken from the raw traces.

    Examples
    --------
    >>> with h5py.File("memory", "w", driver="core", backing_store=False) as file:
    ...     file["general/generated_by"] = np.array([b"pipeline", b"x", b"version", b"1.0"])
    ...     neuropil_before_demixing(file)
    True
    """
    version = re.match(r"\d+", pipeline_version(file))
    return version is None or int(version.group()) < 2


def read_neuropil_r(file: h5py.File, pipeline: str) -> npt.NDArray[Any] | None:
    """Contamination ratio of every trace in the dtype of the file, shape (neuron,); None where there is none."""
    name = _neuropil(file, pipeline)[1]
    return values_of(file, name).reshape(-1) if holds(file, name) else None


def find_traces(file: h5py.File, path: Place, pipeline: str) -> dict[str, TraceReader]:
    """Find the traces beside dF/F that the file has, to be read in blocks.

    Parameters
    ----------
    file : h5py.File
    path : Path or RemoteFile
        Of the file.
    pipeline : str
        Path of the pipeline's group.

    Returns
    -------
    dict of str to callable ``(start_frame, stop_frame) -> ndarray, shape (time, neuron), float32``
        Of ``raw``, ``neuropil``, ``demixed`` and ``corrected`` those that are there or can be computed. Traces of
        another shape or clock than dF/F raise when they are read.
    """
    base = f"{pipeline}/Fluorescence/imaging_plane_1"
    places = {"raw": f"{base}/data", "neuropil": _neuropil(file, pipeline)[0], "demixed": f"{base}_demixed_signal/data"}
    there = {name: place for name, place in places.items() if holds(file, place)}
    faults = {name: fault for name, place in there.items() if (fault := _fault(file, path, place, pipeline))}
    stored = {name: Hdf5Traces(path, place, time_axis=1) for name, place in there.items()}
    found: dict[str, TraceReader] = {
        name: _Unusable(faults[name]) if name in faults else read for name, read in stored.items()
    }
    cells, r = "raw" if neuropil_before_demixing(file) else "demixed", read_neuropil_r(file, pipeline)
    if r is not None and cells in stored and "neuropil" in stored:
        # Readers of their own, so that two traces read in turn do not share, and close, one file.
        parts = [Hdf5Traces(path, places[name], time_axis=1) for name in (cells, "neuropil")]
        wrong = faults.get(cells) or faults.get("neuropil")
        found["corrected"] = _Unusable(wrong) if wrong else CorrectedTraces(parts[0], parts[1], r)
    return found


def _neuropil(file: h5py.File, pipeline: str) -> tuple[str, str]:
    """Places of the neuropil traces and of their ratio."""
    base = f"{pipeline}/Fluorescence/imaging_plane_1"
    if neuropil_before_demixing(file):
        return f"{base}/neuropil_traces", f"{base}/r"
    return f"{base}_neuropil_response/data", f"{base}_neuropil_response/r"


def _fault(file: h5py.File, path: Place, place: str, pipeline: str) -> str:
    """Why traces cannot stand beside dF/F, or an empty text."""
    dff = f"{pipeline}/DfOverF/imaging_plane_1"
    shape, expected = dataset_of(file, place).shape, dataset_of(file, f"{dff}/data").shape
    if shape != expected:
        return f"{path}: {place} has shape {shape} and dF/F {expected}; ingest this recording without these traces."
    # One clock for all of them, as in AllenSDK.
    clock = f"{pipeline}/Fluorescence/imaging_plane_1/timestamps"
    if holds(file, clock) and not np.array_equal(values_of(file, clock), values_of(file, f"{dff}/timestamps")):
        return f"{path}: {clock} differs from the timestamps of dF/F; ingest this recording without these traces."
    return ""
