"""Mappings of sources that know most by themselves: what such a file does not say, and which of its parts is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from poyodata.errors import SourceError, UsageError, nearest
from poyodata.sources.mapping import ArrayMapping, Name, Part, ShownMapping, parse, read_yaml, shipped_mappings

MAPPING_FILE = "mapping.yaml"


class KnownMetadata(Part):
    """Who was recorded, as far as the source does not say it, or says it wrongly.

    Attributes
    ----------
    session_id, donor_id, container_id, cre_line, area, depth_um : str or number, optional
        Recording, mouse, imaging site, driver line or genotype, visual area, depth in micrometres.
    session_type, indicator, genotype, sex, age_days, specimen_name : str or number, optional
    """

    session_id: str | int | None = None
    donor_id: str | int | None = None
    container_id: str | int | None = None
    cre_line: str | None = None
    area: str | None = None
    depth_um: float | None = None
    session_type: str | None = None
    indicator: str | None = None
    genotype: str | None = None
    sex: str | None = None
    age_days: float | None = None
    specimen_name: str | None = None


class DffMapping(Part):
    """How dF/F is computed from fluorescence; `poyodata.sources.baseline` has the formulas.

    Attributes
    ----------
    neuropil : str, optional
        Series of the neuropil (suite2p: always ``Fneu.npy``).
    neucoeff : float, optional
        Share of the neuropil that is taken off.
    baseline : {"maximin", "prctile", "constant"}, optional
    win_baseline_s : float, optional
        Window of the smallest and the largest value, seconds.
    sig_baseline_frames : float, optional
        Standard deviation of the Gaussian before it, frames.
    prctile_baseline : float, optional
        Percentile, 0 to 100.
    """

    neuropil: Name | None = None
    neucoeff: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    baseline: Literal["maximin", "prctile", "constant"] | None = None
    win_baseline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sig_baseline_frames: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    prctile_baseline: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)


class TableMapping(ShownMapping):
    """One stimulus out of a table: of an NWB file, or of a CSV file beside suite2p's folder.

    `ShownMapping` has the columns of what was shown.

    Attributes
    ----------
    stimulus : str
        Name of the stimulus, such as ``drifting_gratings``.
    table : str
        ``intervals/...`` or ``stimulus/presentation/...`` of an NWB file; else the path of a CSV file.
    where : dict, optional
        Rows that are meant, as column: value.
    start_s, stop_s, duration_s : str or number, optional
        Columns of times on the recording's clock, or one duration for all. NWB: ``start_time`` and ``stop_time`` when
        left out.
    start_frame, stop_frame, duration_frames : str or int, optional
        Columns of imaging frames instead, half-open.
    outside : {"error", "drop"}
        What becomes of presentations that the imaging does not cover.
    """

    stimulus: str
    table: Name
    where: dict[str, str | float | bool] = Field(default_factory=dict)
    start_s: Name | None = None
    stop_s: Name | None = None
    duration_s: float | None = Field(default=None, gt=0)
    start_frame: Name | None = None
    stop_frame: Name | None = None
    duration_frames: int | None = Field(default=None, gt=0)
    outside: Literal["error", "drop"] = "error"

    @model_validator(mode="after")
    def _one_clock(self) -> TableMapping:
        seconds = [self.start_s, self.stop_s, self.duration_s]
        frames = [self.start_frame, self.stop_frame, self.duration_frames]
        if any(part is not None for part in seconds) and any(part is not None for part in frames):
            raise ValueError(
                "a stimulus has its times in seconds (start_s ...) or in frames (start_frame ...), not both"
            )
        for stop, duration in (seconds[1:], frames[1:]):
            if stop is not None and duration is not None:
                raise ValueError("a stimulus needs one of a stop and a duration")
        if self.start_frame is None and (self.stop_frame is not None or self.duration_frames is not None):
            raise ValueError("stop_frame and duration_frames go with start_frame")
        if self.start_frame is not None and self.stop_frame is None and self.duration_frames is None:
            raise ValueError("a stimulus needs exactly one of stop_frame and duration_frames")
        return self


class SeriesMapping(Part):
    """Which series of an NWB file are the traces.

    Attributes
    ----------
    name : str, optional
        Path of the series, or its end; the only dF/F of the file when left out.
    holds : "dff", optional
        Says that a series is dF/F though it lies in no ``DfOverF``.
    dff : DffMapping, optional
        Computes dF/F from the series, which holds fluorescence then.
    """

    name: Name | None = None
    holds: Literal["dff"] | None = None
    dff: DffMapping | None = None


class RoiColumns(Part):
    """Columns of the table of regions in an NWB file.

    Attributes
    ----------
    cell_specimen_id, roi_id, valid_roi, exclusion_label : str, optional
        ``id`` is the table's own. Known names are found without.
    mask_x : {"column", "row"}
        What the first axis of a mask is in an image: NWB says its x, some files mean its row.
    """

    cell_specimen_id: Name | None = None
    roi_id: Name | None = None
    valid_roi: Name | None = None
    exclusion_label: Name | None = None
    mask_x: Literal["column", "row"] | None = None


class SignalMapping(Part):
    """One column of a series of an NWB file as a signal.

    Attributes
    ----------
    name : str
        Path of the series, or its end.
    column : int
    unit : str
        What the values are in, after multiplication by ``scale``; the file's unit when left out.
    scale : float
    """

    name: Name
    column: int = Field(default=0, ge=0)
    unit: str | None = None
    scale: float = 1.0


class RecordingMapping(Part):
    """What any such mapping may hold.

    Attributes
    ----------
    mapping : int
        Version of this format, 1.
    metadata : KnownMetadata
        Goes before what the file says.
    metadata_table : str, optional
        CSV file, one row a recording: a column ``session_id`` and any others that ``metadata`` knows. One mapping then
        serves a folder of recordings.
    """

    mapping: Literal[1]
    metadata: KnownMetadata = KnownMetadata()
    metadata_table: str | None = None


class Nwb2Mapping(RecordingMapping):
    """How to read NWB 2 files.

    Attributes
    ----------
    source : "nwb2"
    traces : SeriesMapping
    further : dict of str to str
        Series of ``raw``, ``neuropil``, ``demixed``, ``corrected`` and the like, by those names.
    neurons : RoiColumns
    stimuli : list of TableMapping, optional
        Only these come in; left out, those that can be told.
    signals : dict of str to SignalMapping
        Beside those that can be told.

    Examples
    --------
    >>> Nwb2Mapping.model_validate({"mapping": 1, "source": "nwb2", "traces": {"name": "DfOverF/Plane1"}}).traces.name
    'DfOverF/Plane1'
    """

    source: Literal["nwb2"]
    traces: SeriesMapping = SeriesMapping()
    further: dict[str, Name] = Field(default_factory=dict)
    neurons: RoiColumns = RoiColumns()
    stimuli: tuple[TableMapping, ...] | None = None
    signals: dict[str, SignalMapping] = Field(default_factory=dict)


class TorchBrainMapping(RecordingMapping):
    """What torch_brain files do not say.

    Attributes
    ----------
    source : "torch-brain"
    outside : {"error", "drop"}
        What becomes of presentations that the imaging does not cover.
    """

    source: Literal["torch-brain"]
    outside: Literal["error", "drop"] = "error"


class Suite2pClock(Part):
    """The clock of a suite2p folder, when it is not to be ``fs`` of its ``ops.npy``: exactly one of the two.

    Attributes
    ----------
    timestamps : str, optional
        A ``.npy`` file with the true time of every frame, seconds.
    rate_hz : float, optional
    """

    timestamps: Name | None = None
    rate_hz: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_clock(self) -> Suite2pClock:
        if (self.timestamps is None) == (self.rate_hz is None):
            raise ValueError("time needs exactly one of timestamps and rate_hz")
        return self


class Suite2pMapping(RecordingMapping):
    """What a suite2p folder does not say.

    Attributes
    ----------
    source : "suite2p"
    plane : int, optional
        The one plane to read; all are joined when it is left out.
    time : Suite2pClock, optional
    um_per_px : float, optional
        Width of a pixel, micrometres, for the centres of the regions.
    dff : DffMapping
        Goes before ``ops.npy``.
    stimuli : list of TableMapping
        From CSV files.
    """

    source: Literal["suite2p"]
    plane: int | None = Field(default=None, ge=0)
    time: Suite2pClock | None = None
    um_per_px: float | None = Field(default=None, gt=0)
    dff: DffMapping = DffMapping()
    stimuli: tuple[TableMapping, ...] = ()


AnyMapping: TypeAlias = ArrayMapping | Nwb2Mapping | TorchBrainMapping | Suite2pMapping

_MODELS: dict[str, type[AnyMapping]] = {
    "arrays": ArrayMapping,
    "nwb2": Nwb2Mapping,
    "torch-brain": TorchBrainMapping,
    "suite2p": Suite2pMapping,
}


def source_of(mapping: AnyMapping) -> str:
    """Name of the source that a mapping is for."""
    return str(mapping.source)


def mapping_from_yaml(text: str, name: str = "mapping") -> AnyMapping:
    """Read the mapping of any source; its key ``source`` says of which, and ``arrays`` is meant without it.

    Raises
    ------
    SourceError
        For YAML that does not parse, an unknown source, an unknown key, a missing one or a wrong value.

    Examples
    --------
    >>> type(mapping_from_yaml("{mapping: 1, source: suite2p, plane: 0}")).__name__
    'Suite2pMapping'
    """
    content = read_yaml(text, name)
    source = content.get("source", "arrays")
    if source not in _MODELS:
        raise SourceError(f"{name}: unknown source {source!r}: {nearest(str(source), _MODELS)}")
    return parse(_MODELS[source], content, name)


def load_mapping(mapping: str | Path | AnyMapping) -> AnyMapping:
    """Load a mapping, by its path or by the name of a shipped one.

    Tables that it names lie beside it, unless their paths are absolute.

    Raises
    ------
    UsageError
        When there is no such file.
    SourceError
        When it is no mapping.
    """
    if not isinstance(mapping, str | Path):
        return mapping
    shipped = shipped_mappings()
    if str(mapping) in shipped:
        return shipped[str(mapping)]
    file = Path(mapping)
    if not file.is_file():
        raise UsageError(f"mapping {file} does not exist; give the path of a mapping YAML.")
    return _beside(mapping_from_yaml(file.read_text(encoding="utf-8"), str(file)), file.parent)


def mapping_beside(folders: list[Path], source: str) -> AnyMapping | None:
    """Find the first ``mapping.yaml`` in some folders that is of a source; those of others are passed over."""
    for folder in folders:
        file = folder / MAPPING_FILE
        if file.is_file():
            found = load_mapping(file)
            if source_of(found) == source:
                return found
    return None


def _beside(mapping: AnyMapping, folder: Path) -> AnyMapping:
    changes: dict[str, Any] = {}
    if isinstance(mapping, RecordingMapping) and mapping.metadata_table is not None:
        changes["metadata_table"] = str(folder / mapping.metadata_table)
    if isinstance(mapping, Suite2pMapping):
        changes["stimuli"] = tuple(
            part.model_copy(update={"table": str(folder / part.table)}) for part in mapping.stimuli
        )
        if mapping.time is not None and mapping.time.timestamps is not None:
            changes["time"] = Suite2pClock(timestamps=str(folder / mapping.time.timestamps))
    return mapping.model_copy(update=changes) if changes else mapping
