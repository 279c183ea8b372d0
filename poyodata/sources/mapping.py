"""`ArrayMapping`: where in a file of plain arrays the parts of a recording lie."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poyodata.errors import SourceError, UsageError

Name = str
M = TypeVar("M", bound=BaseModel)


class Part(BaseModel):
    """A part of a mapping: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TracesMapping(Part):
    """Where the traces lie and which way round.

    Attributes
    ----------
    name : str
        Dataset with dF/F; float16, float32 or float64, read as float32.
    dims : list of str
        ``[neuron, time]`` or ``[time, neuron]``: the order of the dataset's axes.
    """

    name: Name
    dims: tuple[Literal["neuron", "time"], Literal["neuron", "time"]]

    @model_validator(mode="after")
    def _both_dims(self) -> TracesMapping:
        if set(self.dims) != {"neuron", "time"}:
            raise ValueError(f"dims must name neuron and time once each, got {list(self.dims)}")
        return self


class NeuronsMapping(Part):
    """Datasets with one value for each neuron; all may be left out.

    Attributes
    ----------
    cell_specimen_id, roi_id : str, optional
        Integer ids. Without either, neurons are named by their column.
    x_um, y_um : str, optional
        Centres of the regions of interest, micrometres.
    valid_roi : str, optional
        True where the source takes the region for a cell; all are when it is left out.
    """

    cell_specimen_id: Name | None = None
    roi_id: Name | None = None
    x_um: Name | None = None
    y_um: Name | None = None
    valid_roi: Name | None = None


class TimeMapping(Part):
    """The clock: exactly one of the two.

    Attributes
    ----------
    timestamps : str, optional
        Dataset with the true time of every frame, seconds.
    rate_hz : float or str, optional
        Frame rate, a number or ``@attribute``, for recordings that kept no timestamps.
    """

    timestamps: Name | None = None
    rate_hz: float | str | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> TimeMapping:
        if (self.timestamps is None) == (self.rate_hz is None):
            raise ValueError("time needs exactly one of timestamps and rate_hz")
        return self


class SegmentsMapping(Part):
    """Stretches of the array that were recorded without a gap.

    Attributes
    ----------
    start, stop : str
        Datasets of half-open frame ranges, which together cover every frame.
    gaps_s : list of float, optional
        Seconds that passed between each segment and the next, one fewer than segments. Needed with ``rate_hz``, where
        time would else run through; not allowed with ``timestamps``, which already hold the gaps.
    """

    start: Name
    stop: Name
    gaps_s: tuple[float, ...] | None = None


class ShownMapping(Part):
    """Columns of a table of presentations that say what was shown; all may be left out.

    Attributes
    ----------
    direction_deg, temporal_frequency_hz, orientation_deg, spatial_frequency_cpd, phase : str, optional
        NaN where left out.
    image, movie_frame, repeat : str, optional
        -1 where left out.
    blank : str, optional
        Not zero where nothing was shown, or ``nan(direction_deg)`` and the like: blank where that is NaN.
    """

    direction_deg: Name | None = None
    temporal_frequency_hz: Name | None = None
    orientation_deg: Name | None = None
    spatial_frequency_cpd: Name | None = None
    phase: Name | None = None
    image: Name | None = None
    movie_frame: Name | None = None
    repeat: Name | None = None
    blank: Name | None = None


class StimulusMapping(ShownMapping):
    """One table of presentations, a dataset for each column; `ShownMapping` has those of what was shown.

    Attributes
    ----------
    stimulus : str
        Name of the stimulus, such as ``drifting_gratings``.
    start_frame : str
        Dataset with the first frame of each presentation.
    stop_frame : str, optional
        Dataset with the frame after the last (half-open).
    duration_frames : int, optional
        Length of every presentation, where the file keeps no end. Exactly one of ``stop_frame`` and
        ``duration_frames``.
    """

    stimulus: str
    start_frame: Name
    stop_frame: Name | None = None
    duration_frames: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_end(self) -> StimulusMapping:
        if (self.stop_frame is None) == (self.duration_frames is None):
            raise ValueError("a stimulus needs exactly one of stop_frame and duration_frames")
        for feature in ("direction_deg", "orientation_deg"):
            if self.blank == f"nan({feature})" and getattr(self, feature) is None:
                raise ValueError(f"blank: nan({feature}) needs {feature}")
        return self


class MetadataMapping(Part):
    """Who was recorded: constants, or ``@attribute`` for an attribute of the file.

    Attributes
    ----------
    session_id, donor_id, container_id, cre_line, area, depth_um : str or number
        Recording, mouse, imaging site, driver line or genotype, visual area, depth in micrometres.
    session_type, indicator, genotype, sex, age_days : str or number, optional
    """

    session_id: str | int
    donor_id: str | int
    container_id: str | int
    cre_line: str
    area: str
    depth_um: float | str
    session_type: str = ""
    indicator: str = ""
    genotype: str = ""
    sex: str = ""
    age_days: float | str = float("nan")


class ArrayMapping(Part):
    """How to read one recording out of a file of plain arrays.

    Names of datasets are paths in an HDF5 file (``segments/start``), names in an ``.npz``, file stems beside an
    ``.npy``, or variables of an xarray dataset. A text starting with ``@`` is an attribute of the file (HDF5, xarray).

    Attributes
    ----------
    mapping : int
        Version of this format, 1.
    source : "arrays", optional
        Mappings of other sources are told by it: `poyodata.sources.recording_mapping`.
    file : str, optional
        File this mapping belongs to: lets ``poyodata ingest FOLDER`` find both.
    traces : TracesMapping
    neurons : NeuronsMapping, optional
    time : TimeMapping
    segments : SegmentsMapping, optional
        Left out: segments are cut where timestamps jump, or the recording is one segment.
    stimuli : list of StimulusMapping, optional
    metadata : MetadataMapping

    Examples
    --------
    >>> text = '''
    ... mapping: 1
    ... traces: {name: dff, dims: [neuron, time]}
    ... time: {rate_hz: 30.0}
    ... metadata: {session_id: s1, donor_id: d1, container_id: c1, cre_line: Sst-IRES-Cre, area: VISp, depth_um: 275}
    ... '''
    >>> ArrayMapping.from_yaml(text).traces.dims
    ('neuron', 'time')
    >>> ArrayMapping.from_yaml(text.replace("traces", "trace"))
    Traceback (most recent call last):
    poyodata.errors.SourceError: mapping: unknown key 'trace': did you mean 'traces'?
    """

    mapping: Literal[1]
    source: Literal["arrays"] = "arrays"
    file: str | None = None
    traces: TracesMapping
    neurons: NeuronsMapping = NeuronsMapping()
    time: TimeMapping
    segments: SegmentsMapping | None = None
    stimuli: tuple[StimulusMapping, ...] = ()
    metadata: MetadataMapping

    @classmethod
    def from_yaml(cls, text: str, name: str = "mapping") -> ArrayMapping:
        """Read a mapping from YAML text.

        Parameters
        ----------
        text : str
        name : str
            What messages call it.

        Raises
        ------
        SourceError
            For YAML that does not parse, an unknown key, a missing one or a wrong value.
        """
        return parse(cls, read_yaml(text, name), name)

    @classmethod
    def load(cls, path: str | Path) -> ArrayMapping:
        """Read a mapping from a YAML file."""
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"mapping {file} does not exist; give the path of a mapping YAML.")
        return cls.from_yaml(file.read_text(encoding="utf-8"), str(file))


def shipped_mappings() -> dict[str, ArrayMapping]:
    """Read the mappings that come with poyodata, by name.

    Examples
    --------
    >>> shipped_mappings()["abo-dg-527745328"].file
    'dff_dg_continuous.h5'
    """
    folder = resources.files("poyodata.sources") / "mappings"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return {
        item.name.removesuffix(".yaml"): ArrayMapping.from_yaml(item.read_text(encoding="utf-8"), item.name)
        for item in files
    }


def find_mapping(path: Path, mapping: str | Path | ArrayMapping | None = None) -> tuple[Path, ArrayMapping] | None:
    """Find the array file meant by `path` and the mapping that reads it.

    Parameters
    ----------
    path : Path
        A file, or a folder with the file that a mapping names.
    mapping : str, Path or ArrayMapping, optional
        A mapping, the path of one, or the name of a shipped one. Left out: ``mapping.yaml`` beside the file, else a
        shipped mapping whose ``file`` is there.

    Returns
    -------
    tuple of Path and ArrayMapping, or None when there is none
    """
    shipped = shipped_mappings()
    folder = path if path.is_dir() and path.suffix != ".zarr" else path.parent
    found: list[ArrayMapping]
    if isinstance(mapping, ArrayMapping):
        found = [mapping]
    elif mapping is not None:
        found = [shipped[str(mapping)]] if str(mapping) in shipped else [ArrayMapping.load(mapping)]
    elif (beside := folder / "mapping.yaml").is_file():
        content = read_yaml(beside.read_text(encoding="utf-8"), str(beside))
        # One of another source reads no arrays.
        found = [parse(ArrayMapping, content, str(beside))] if content.get("source", "arrays") == "arrays" else []
    else:
        found = [m for m in shipped.values() if m.file is not None and (path == folder or m.file == path.name)]
    if path != folder:
        return (path, found[0]) if found else None
    for candidate in found:
        if candidate.file is None and mapping is not None:
            raise UsageError(f"{path} is a folder, and the mapping names no file (`file:`); give the path of the file.")
        if candidate.file is not None and (folder / candidate.file).exists():
            return folder / candidate.file, candidate
    return None


def read_yaml(text: str, name: str) -> dict[str, Any]:
    """Read the keys of a YAML text.

    Raises
    ------
    SourceError
        When it does not parse, or holds no keys; `name` is what the message calls it.

    Examples
    --------
    >>> read_yaml("mapping: 1", "mapping")
    {'mapping': 1}
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SourceError(f"{name} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise SourceError(f"{name} must hold keys (mapping, traces, time, metadata), got {type(content).__name__}.")
    return content


def parse(model: type[M], content: dict[str, Any], name: str) -> M:
    """Check what was read against a model.

    Raises
    ------
    SourceError
        For an unknown key, with its nearest match, a missing one or a wrong value; `name` is what the message calls it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SourceError(_explain(error, name, model)) from error


def _explain(error: ValidationError, name: str, model: type[BaseModel]) -> str:
    # A misspelt key also leaves the right one missing; the misspelling is what the user can see.
    order = {"extra_forbidden": 0, "missing": 1}
    first = min(error.errors(), key=lambda item: order.get(item["type"], 2))
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = list(_fields_at(model, where[:-1]))
        close = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.6)
        inside = f" in {'.'.join(where[:-1])!r}" if len(where) > 1 else ""
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."
        return f"{name}: unknown key {where[-1]!r}{inside}: {hint}"
    if first["type"] == "missing":
        missing = [repr(".".join(map(str, item["loc"]))) for item in error.errors() if item["type"] == "missing"]
        lacks = (
            f"the key {missing[0]} is missing" if len(missing) == 1 else f"the keys {', '.join(missing)} are missing"
        )
        other = model is ArrayMapping and "'traces'" in missing
        hint = " A mapping of NWB 2, torch_brain or suite2p names its `source`." if other else ""
        return f"{name}: {lacks}; see docs/mapping.md.{hint}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {'.'.join(where) or 'content'}: {message} (got {_shown(first.get('input'))})."


def _fields_at(model: type[BaseModel], where: list[str]) -> list[str]:
    """Keys that a part of a model has."""
    for part in where:
        field = model.model_fields.get(part)
        model = model if field is None else _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model within an annotation such as ``tuple[Model, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
