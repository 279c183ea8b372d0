"""The `allen-nwb` source: NWB 1.0 files of the Allen Brain Observatory, Visual Coding (two-photon), through h5py."""

from __future__ import annotations

import re
from datetime import datetime

import h5py
import numpy as np

from poyodata.errors import SourceError
from poyodata.intervals import segments_of_time
from poyodata.sources.allen_behaviour import read_signals
from poyodata.sources.allen_rois import integers_of, read_masks, read_max_projection, read_neurons
from poyodata.sources.allen_stimuli import find_templates, read_presentations
from poyodata.sources.allen_traces import find_traces, pipeline_version
from poyodata.sources.hdf5 import dataset_of, file_digest, holds, reading, text_of, values_of
from poyodata.sources.hdf5_arrays import Hdf5Traces
from poyodata.sources.record import SessionMetadata, SessionRecord
from poyodata.sources.remote import Place, place_of
from poyodata.vocabulary import canonical_cre_line

PIPELINE = "processing/brain_observatory_pipeline"
DFF = f"{PIPELINE}/DfOverF/imaging_plane_1"
SEGMENTATION = f"{PIPELINE}/ImageSegmentation"
_TIME_FORMAT = "%a %b %d %H:%M:%S %Y"

_REQUIRED = (
    f"{DFF}/data",
    f"{DFF}/timestamps",
    f"{SEGMENTATION}/cell_specimen_ids",
    "general/session_id",
    "general/experiment_container_id",
    "general/specimen_name",
    "general/subject/genotype",
    "general/optophysiology/imaging_plane_1/location",
    "general/optophysiology/imaging_plane_1/imaging depth",
)


def read_allen_nwb(path: str | Place) -> SessionRecord:
    """Read one NWB 1.0 file as AllenSDK's ``BrainObservatoryNwbDataSet`` reads it.

    Parameters
    ----------
    path : str, Path or RemoteFile

    Returns
    -------
    SessionRecord
        With dF/F and the fluorescence behind it in blocks, true timestamps, every stimulus table and template, ids,
        masks and exclusion labels of the regions of interest, the maximum projection of their plane, running speed,
        pupil and motion (each on its own clock, not padded). ``start`` and ``end`` of the stimulus tables are taken as
        half-open frames. What the file lacks (eye tracking, demixed traces, masks, ...) is left out. Stimulus epochs
        are numbered as `number_epochs` does, however often a stimulus is interrupted.

    Raises
    ------
    SourceError
        When the file is missing, truncated, of another format, lacks what a recording must have, or links to another
        file that is not there.

    Examples
    --------
    >>> read_allen_nwb("nowhere.nwb")
    Traceback (most recent call last):
    poyodata.errors.SourceError: nowhere.nwb does not exist; give the path of a recording file.
    """
    path = place_of(path)
    with reading(path) as file:
        _require_allen(file, path)
        return _assemble(file, path)


def _assemble(file: h5py.File, path: Place) -> SessionRecord:
    metadata = _metadata(file)
    data, time_s = dataset_of(file, f"{DFF}/data"), values_of(file, f"{DFF}/timestamps").astype(np.float64)
    cells = integers_of(file, f"{SEGMENTATION}/cell_specimen_ids")
    if data.shape != (len(cells), len(time_s)):
        raise SourceError(
            f"dF/F has shape {data.shape}, but there are {len(cells)} cell specimen ids and {len(time_s)} timestamps; "
            "a (neuron, time) array was expected."
        )
    masks = read_masks(file, PIPELINE, len(cells))
    return SessionRecord(
        metadata=metadata,
        neurons=read_neurons(file, PIPELINE, metadata.session_id, cells, masks),
        time_s=time_s,
        segments=segments_of_time(time_s),
        presentations=read_presentations(file, time_s),
        read_traces=Hdf5Traces(path, f"{DFF}/data", time_axis=1),
        source_digest=file_digest(path),
        signals=read_signals(file, PIPELINE, time_s),
        templates=find_templates(file, path),
        further=find_traces(file, path, PIPELINE),
        masks=masks,
        max_projection=read_max_projection(file, PIPELINE),
    ).check()


def _require_allen(file: h5py.File, path: Place) -> None:
    inside = holds(file, "nwb_version")
    version = text_of(values_of(file, "nwb_version") if inside else file.attrs.get("nwb_version", ""))
    if version.startswith(("2", "NWB-2")):
        raise SourceError(
            f"{path} is an NWB {version.removeprefix('NWB-')} file; this source reads the NWB 1.0 files of the Allen "
            "Brain Observatory (ophys_experiment_data/*.nwb of AllenSDK). Read it as `nwb2`."
        )
    missing = [name for name in _REQUIRED if not holds(file, name)]
    if missing:
        kind = "an NWB 1.0 file" if version.startswith("NWB-1") else "an HDF5 file"
        raise SourceError(
            f"{path} is {kind} but not one of the Allen Brain Observatory: it has no {', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            + ". For other files write a mapping and read them as `arrays`."
        )


def _metadata(file: h5py.File) -> SessionMetadata:
    plane = "general/optophysiology/imaging_plane_1"

    def text(name: str) -> str:
        return text_of(values_of(file, name)) if holds(file, name) else ""

    genotype, specimen_name = text("general/subject/genotype"), text("general/specimen_name")
    # AllenSDK itself gives no donor; the specimen's name ends in the mouse's number.
    donor = re.search(r"-(\d+)$", specimen_name.strip())
    if donor is None:
        raise SourceError(
            f"general/specimen_name is {specimen_name!r}; it must end in the donor's number, as in "
            "'Sst-IRES-Cre;Ai148-345678'."
        )
    return SessionMetadata(
        session_id=text("general/session_id"),
        donor_id=donor.group(1),
        container_id=text("general/experiment_container_id"),
        cre_line=canonical_cre_line(genotype),
        area=text(f"{plane}/location"),
        depth_um=_leading_number(text(f"{plane}/imaging depth")),
        session_type=text("general/session_type"),
        indicator=text(f"{plane}/indicator"),
        genotype=genotype,
        sex=text("general/subject/sex"),
        age_days=_leading_number(text("general/subject/age").removeprefix("P")),
        specimen_name=specimen_name,
        start_time=_iso_time(text("session_start_time")),
        device=text("general/devices/2-photon microscope"),
        excitation_nm=_nanometres(text(f"{plane}/excitation_lambda")),
        fov=text("general/fov"),
        pipeline_version=pipeline_version(file),
    )


def _iso_time(text: str) -> str:
    """A time like ``Mon Jan  2 10:00:00 2017`` or already in ISO 8601, in ISO 8601; any other text as it stands."""
    try:
        return datetime.strptime(text.strip(), _TIME_FORMAT).isoformat()
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip()).isoformat()
    except ValueError:
        return text


def _nanometres(text: str) -> float:
    number = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:nm|nanomet(?:er|re)s?)?\s*", text)
    return float(number.group(1)) if number else float("nan")


def _leading_number(text: str) -> float:
    number = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    return float(number.group(1)) if number else float("nan")
