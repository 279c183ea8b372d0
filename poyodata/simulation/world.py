"""`World`: everything that decides a simulated data set, as one readable YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from poyodata.digests import json_digest
from poyodata.errors import SourceError, UsageError, nearest
from poyodata.vocabulary import AREAS, CRE_LINES, TEMPORAL_FREQUENCIES_HZ, canonical_cre_line

_FEWER = {"Sst-IRES-Cre": 24, "Vip-IRES-Cre": 24, "Pvalb-IRES-Cre": 20}


def _line(text: str) -> str:
    try:
        return canonical_cre_line(text)
    except SourceError:
        raise ValueError(f"unknown CRE line {text!r}: {nearest(text, CRE_LINES)}") from None


class World(BaseModel):
    """A simulated data set: which animals, how many neurons, what they see, how they answer.

    Recording ``i`` belongs to line ``lines[i % len(lines)]`` and does not depend on how many recordings there are.

    Attributes
    ----------
    name, description : str
    seed : int
        Everything random follows from it.
    sessions : int
        Recordings, at least 1. Each is a container of its own.
    lines : list of str
        CRE lines, any spelling; taken in turn.
    sessions_per_donor : int
        Recordings of one line that share a mouse.
    neurons : int
        Neurons in a recording, at least 1.
    neurons_by_line : dict of str to int
        Other counts for some lines.
    areas : list of str
        Visual areas a recording is drawn from, each as often as it stands there.
    trials_per_block : list of int
        Sweeps of each drifting-gratings block, blanks counted (Allen: 200, 200, 228).
    temporal_frequencies_hz : list of float
        Temporal frequencies of the gratings, some of Allen's 1, 2, 4, 8 and 15; fewer leave more trials of each.
    movie_frames, movie_repeats : int
        Frames of natural movie one (Allen: 900) and how often it runs (Allen: 10); 0 repeats leave it out.
    movie_height_px, movie_width_px : int
        Size of the movie's template (Allen: 304 x 608).
    spontaneous_s : float
        Length of the grey epoch; 0 leaves it out.
    lead_s, pause_s : float, seconds
        Grey before the first epoch and between epochs (Allen: about 24 and 30).
    frame_rate_hz : list of two floats
        Range of the imaging rate; each recording draws its own.
    event_rate_scale, amplitude_scale, tuning_scale : float
        Multiply the rate of calcium events, their amplitude, and the part of the rate that stimuli drive.
    noise_scale, shared_gain_scale : float
        Multiply the measurement noise and the strength of the shared gain. 0 switches either off.

    Examples
    --------
    >>> world = load_world("tiny")
    >>> World.from_yaml(world.to_yaml()) == world
    True
    >>> world.replace(sessions=0)
    Traceback (most recent call last):
    poyodata.errors.UsageError: world 'tiny': sessions: Input should be greater than or equal to 1 (got 0).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    seed: int = Field(default=0, ge=0)
    sessions: int = Field(default=13, ge=1)
    lines: tuple[str, ...] = CRE_LINES
    sessions_per_donor: int = Field(default=1, ge=1)
    neurons: int = Field(default=40, ge=1, le=5000)
    neurons_by_line: dict[str, int] = Field(default_factory=dict)
    areas: tuple[str, ...] = ("VISp", "VISl", "VISp", "VISal", "VISp", "VISpm")
    trials_per_block: tuple[int, ...] = (66, 66, 66)
    temporal_frequencies_hz: tuple[float, ...] = TEMPORAL_FREQUENCIES_HZ
    movie_frames: int = Field(default=18, ge=1, le=900)
    movie_repeats: int = Field(default=12, ge=0)
    movie_height_px: int = Field(default=304, ge=16)
    movie_width_px: int = Field(default=608, ge=16)
    spontaneous_s: float = Field(default=20.0, ge=0)
    lead_s: float = Field(default=8.0, gt=0)
    pause_s: float = Field(default=12.0, gt=0)
    frame_rate_hz: tuple[float, float] = (30.0, 30.1)
    event_rate_scale: float = Field(default=1.0, ge=0)
    amplitude_scale: float = Field(default=1.0, ge=0)
    tuning_scale: float = Field(default=1.0, ge=0)
    noise_scale: float = Field(default=1.0, ge=0)
    shared_gain_scale: float = Field(default=1.0, ge=0)

    @field_validator("lines")
    @classmethod
    def _canonical_lines(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if not lines:
            raise ValueError("at least one CRE line is needed")
        return tuple(_line(line) for line in lines)

    @field_validator("neurons_by_line")
    @classmethod
    def _canonical_keys(cls, counts: dict[str, int]) -> dict[str, int]:
        for line, count in counts.items():
            if count < 1:
                raise ValueError(f"a recording needs at least one neuron, got {count} for {line}")
        return {_line(line): count for line, count in counts.items()}

    @field_validator("areas")
    @classmethod
    def _known_areas(cls, areas: tuple[str, ...]) -> tuple[str, ...]:
        for area in areas:
            if area not in AREAS:
                raise ValueError(f"unknown visual area {area!r}: {nearest(area, AREAS)}")
        if not areas:
            raise ValueError("at least one visual area is needed")
        return areas

    @field_validator("trials_per_block")
    @classmethod
    def _blocks_hold_trials(cls, trials: tuple[int, ...]) -> tuple[int, ...]:
        if not trials or min(trials) < 1:
            raise ValueError("every drifting-gratings block needs at least one trial")
        return trials

    @field_validator("temporal_frequencies_hz")
    @classmethod
    def _known_frequencies(cls, frequencies: tuple[float, ...]) -> tuple[float, ...]:
        unknown = [frequency for frequency in frequencies if frequency not in TEMPORAL_FREQUENCIES_HZ]
        if unknown or not frequencies:
            raise ValueError(f"temporal frequencies are some of {TEMPORAL_FREQUENCIES_HZ}, got {frequencies}")
        return tuple(sorted(set(frequencies)))

    @model_validator(mode="after")
    def _rates_increase(self) -> World:
        low, high = self.frame_rate_hz
        if not 0 < low <= high:
            raise ValueError(f"frame_rate_hz must be a range above 0, got {low} to {high}")
        return self

    def line_of(self, session: int) -> str:
        """CRE line of the recording with this running number."""
        return self.lines[session % len(self.lines)]

    def n_neurons(self, line: str) -> int:
        """Neurons in a recording of this line."""
        return self.neurons_by_line.get(line, self.neurons)

    def replace(self, **changes: Any) -> World:
        """Return a world with some fields changed, checked as a new one is.

        Raises
        ------
        UsageError
            Naming the field.
        """
        return _validate({**self.model_dump(), **changes}, str(changes.get("name", self.name)))

    def digest(self) -> str:
        """Digest of every field, as 64 hexadecimal digits."""
        return json_digest(self.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Write the world as YAML that `from_yaml` reads back to an equal one."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def from_yaml(cls, text: str) -> World:
        """Read a world from YAML text; fields left out keep their defaults.

        Raises
        ------
        UsageError
            Naming the field that is unknown or out of range.
        """
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"the world is not YAML: {' '.join(str(error).split())}.") from error
        if not isinstance(content, dict):
            raise UsageError(f"a world must hold keys such as name and sessions, got {type(content).__name__}.")
        return _validate(content, str(content.get("name", "without name")))


WORLDS: dict[str, World] = {
    "demo": World(
        name="demo",
        description="One mouse of each of the 13 lines, about eleven minutes each: decodable, small, quick.",
        # Two of Allen's five: in eleven minutes, five leave too few trials of each grating to estimate information.
        temporal_frequencies_hz=(1.0, 4.0),
        neurons_by_line=_FEWER,
    ),
    "tiny": World(
        name="tiny",
        description="Three recordings of three lines, three minutes each, for tests.",
        sessions=3,
        lines=("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre"),
        neurons=12,
        trials_per_block=(17, 17, 17),
        temporal_frequencies_hz=(1.0, 4.0),
        movie_frames=10,
        movie_repeats=4,
        movie_height_px=32,
        movie_width_px=64,
        spontaneous_s=12.0,
        lead_s=2.0,
    ),
}
"""Worlds by name."""


def load_world(world: str | Path | World) -> World:
    """Take a world as it is, by name, or from a YAML file.

    Raises
    ------
    UsageError
        For an unknown name or a missing file.

    Examples
    --------
    >>> load_world("demmo")
    Traceback (most recent call last):
    poyodata.errors.UsageError: unknown world 'demmo': did you mean 'demo'? Or give the path of a world's YAML.
    """
    if isinstance(world, World):
        return world
    if str(world) in WORLDS:
        return WORLDS[str(world)]
    path = Path(world)
    if path.is_file():
        return World.from_yaml(path.read_text(encoding="utf-8"))
    raise UsageError(f"unknown world {str(world)!r}: {nearest(str(world), WORLDS)} Or give the path of a world's YAML.")


def _validate(content: dict[str, Any], name: str) -> World:
    try:
        return World.model_validate(content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        field = ".".join(str(part) for part in first["loc"]) or "world"
        if first["type"] == "extra_forbidden":
            raise UsageError(
                f"world {name!r}: unknown field {field!r}: {nearest(field, World.model_fields)}"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] == "missing" else f" (got {first.get('input')!r})"
        raise UsageError(f"world {name!r}: {field}: {message}{got}.") from error
