"""`World`: everything that decides a simulated data set, as one readable YAML."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from poyodata.digests import json_digest
from poyodata.errors import SourceError, UsageError, nearest
from poyodata.vocabulary import AREAS, CRE_LINES, TEMPORAL_FREQUENCIES_HZ, canonical_cre_line

SESSION_TYPES = ("A", "B", "C", "C2", "C/C2")
_KINDS = ("dense", "bursty", "quiet")
_MOST_TRIALS, _MOST_NEURONS = 50_000, 5000


def _line(text: str) -> str:
    try:
        return canonical_cre_line(text)
    except SourceError:
        raise ValueError(f"unknown CRE line {text!r}: {nearest(text, CRE_LINES)}") from None


class World(BaseModel):
    """A simulated data set: which animals, how many neurons, what they see, how they answer.

    Recording ``i`` belongs to container ``i // len(session_types)`` and depends on the seed and on its own number, not
    on how many recordings there are.

    Attributes
    ----------
    name, description : str
    seed : int
        Everything random follows from it.
    sessions : int
        Recordings, at least 1.
    session_types : list of str
        The recordings of a container, in turn: A (drifting gratings, movies one and three), B (static gratings, scenes,
        movie one), C or C2 (sparse noise, movies one and two), or ``C/C2`` for either, by container.
    census : {"turns", "allen"}
        ``turns``: one container of each of ``lines`` in turn. ``allen``: the 506 containers of the Allen Brain
        Observatory, with its counts of donors and containers of each line, in an order of which any beginning is a fair
        sample; ``lines`` and ``containers_per_donor`` have no say then.
    lines : list of str
        CRE lines, any spelling; taken in turn.
    containers_per_donor : int
        Containers of one line that share a mouse.
    neurons : int
        Neurons in a recording, at least 1.
    neurons_by_line : dict of str to int
        Other counts for some lines.
    neurons_log_sd : float
        Spread of the count over containers, in log units; counts then stay between 10 and 400.
    cell_overlap : float
        Share of a container's cells that each of its recordings finds again.
    areas : list of str
        Visual areas a recording is drawn from, each as often as it stands there.
    trials_per_block : list of int
        Sweeps of each drifting-gratings block, blanks counted (Allen: 200, 200, 228).
    temporal_frequencies_hz : list of float
        Temporal frequencies of the gratings, some of Allen's 1, 2, 4, 8 and 15; fewer leave more trials of each.
    movie_frames, movie_repeats : int
        Frames of natural movies one and two (Allen: 900) and how often each runs (Allen: 10); 0 repeats leave them out.
    movie_three_frames, movie_three_repeats : int
        Frames of natural movie three (Allen: 3,600) and how often it runs in each of its two blocks (Allen: 5); 0
        repeats leave it out.
    movies : {"natural", "discs"}
        What movies show: scenes as natural ones are, or a disc that drifts over a picture, which minutes can teach.
    movie_height_px, movie_width_px : int
        Size of the movies' templates (Allen: 304 x 608).
    static_gratings_per_block, scenes_per_block : list of int
        Presentations of a quarter second in each block of session B (Allen: 1920, 1920, 2160 and 1920, 1920, 2110).
    scenes, scene_height_px, scene_width_px : int
        Natural scenes and their size (Allen: 118 of 918 x 1174).
    sparse_noise_per_block : list of int
        Frames of a quarter second of locally sparse noise in each block of sessions C and C2 (Allen: 2880, 2880, 3120).
    spontaneous_s : float
        Length of the grey epoch; 0 leaves it out.
    lead_s, pause_s : float, seconds
        Grey before the first epoch and between epochs (Allen: about 24 and 30).
    frame_rate_hz : list of two floats
        Range of the imaging rate; each recording draws its own.
    event_rate_scale, amplitude_scale, tuning_scale : float
        Multiply the rate of calcium events, their amplitude, and the part of the rate that stimuli drive.
    noise_scale, shared_gain_scale : float
        Multiply the measurement noise, and the strength of the gains (the shared ones and the neurons' own). 0 switches
        either off.
    drift_scale, artefacts_per_hour : float
        Slow drift of the baseline, and how often the brain jerks under the microscope.
    tuning_by_kind : dict of str to float
        Multiply the part of the rate that stimuli drive for neurons of a kind (dense, bursty, quiet): worlds in which
        one kind knows more about the stimulus than another.
    movie_phase : float
        Share of every neuron's phase selectivity that holds for movies, scenes and noise, too. At 0 it answers to the
        energy in its receptive field, from which nobody can tell bright from dark: pictures cannot be reconstructed.
    driven_by_line : dict of str to float
        Other shares of neurons that stimuli drive, for some lines.
    heaviness : float
        Multiplies the spread of event amplitudes: the heaviness of all tails.
    neuropil_scale : float
        Multiplies the neuropil around the cells.
    dropped_frames_per_hour : float
        Gaps of one to four imaging frames.
    duplicate_share, invalid_share : float
        Shares of regions of interest that are near-duplicates of another (and pass for valid), and of regions that
        carry an exclusion label.
    eye_tracking_share : float
        Share of recordings in which the eye was tracked.
    templates : {"inside", "linked"}
        Movies, scenes and noise: written into every file, or once into ``templates.h5`` that the files link to.

    Examples
    --------
    >>> world = World(name="mine", sessions=2)
    >>> World.from_yaml(world.to_yaml()) == world
    True
    >>> world.replace(sessions=0)
    Traceback (most recent call last):
    poyodata.errors.UsageError: world 'mine': sessions: Input should be greater than or equal to 1 (got 0).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    description: str = ""
    seed: int = Field(default=0, ge=0)
    sessions: int = Field(default=13, ge=1, le=100_000)
    session_types: tuple[str, ...] = ("A",)
    census: Literal["turns", "allen"] = "turns"
    lines: tuple[str, ...] = CRE_LINES
    containers_per_donor: int = Field(default=1, ge=1, le=1000)
    neurons: int = Field(default=40, ge=1, le=_MOST_NEURONS)
    neurons_by_line: dict[str, int] = Field(default_factory=dict)
    neurons_log_sd: float = Field(default=0.0, ge=0, le=2)
    cell_overlap: float = Field(default=0.85, ge=0.05, le=1)
    areas: tuple[str, ...] = ("VISp", "VISl", "VISp", "VISal", "VISp", "VISpm")
    trials_per_block: tuple[int, ...] = (66, 66, 66)
    temporal_frequencies_hz: tuple[float, ...] = TEMPORAL_FREQUENCIES_HZ
    movie_frames: int = Field(default=18, ge=1, le=900)
    movie_repeats: int = Field(default=12, ge=0, le=1000)
    movie_three_frames: int = Field(default=60, ge=1, le=3600)
    movie_three_repeats: int = Field(default=0, ge=0, le=1000)
    movies: Literal["natural", "discs"] = "natural"
    static_gratings_per_block: tuple[int, ...] = (240, 240, 240)
    scenes_per_block: tuple[int, ...] = (240, 240, 240)
    scenes: int = Field(default=12, ge=1, le=118)
    scene_height_px: int = Field(default=92, ge=16, le=4096)
    scene_width_px: int = Field(default=118, ge=16, le=4096)
    sparse_noise_per_block: tuple[int, ...] = (240, 240, 240)
    movie_height_px: int = Field(default=304, ge=16, le=4096)
    movie_width_px: int = Field(default=608, ge=16, le=4096)
    spontaneous_s: float = Field(default=20.0, ge=0, le=36_000)
    lead_s: float = Field(default=8.0, gt=0, le=3600)
    pause_s: float = Field(default=12.0, gt=0, le=3600)
    frame_rate_hz: tuple[float, float] = (30.0, 30.1)
    event_rate_scale: float = Field(default=1.0, ge=0, le=100)
    amplitude_scale: float = Field(default=1.0, ge=0, le=100)
    tuning_scale: float = Field(default=1.0, ge=0, le=100)
    noise_scale: float = Field(default=1.0, ge=0, le=100)
    shared_gain_scale: float = Field(default=1.0, ge=0, le=3)
    drift_scale: float = Field(default=1.0, ge=0, le=100)
    artefacts_per_hour: float = Field(default=30.0, ge=0, le=3600)
    tuning_by_kind: dict[str, float] = Field(default_factory=dict)
    movie_phase: float = Field(default=0.0, ge=0, le=1)
    driven_by_line: dict[str, float] = Field(default_factory=dict)
    heaviness: float = Field(default=1.0, ge=0, le=2)
    neuropil_scale: float = Field(default=1.0, ge=0, le=100)
    dropped_frames_per_hour: float = Field(default=0.0, ge=0, le=3600)
    duplicate_share: float = Field(default=0.0, ge=0, le=0.5)
    invalid_share: float = Field(default=0.0, ge=0, le=0.5)
    eye_tracking_share: float = Field(default=1.0, ge=0, le=1)
    templates: Literal["inside", "linked"] = "inside"

    @field_validator("session_types")
    @classmethod
    def _known_types(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for kind in types:
            if kind not in SESSION_TYPES:
                raise ValueError(f"unknown session type {kind!r}: {nearest(kind, SESSION_TYPES)}")
        if not types or len(set(types)) < len(types):
            raise ValueError("a container needs at least one session, and no type twice")
        return types

    @field_validator("tuning_by_kind")
    @classmethod
    def _known_kinds(cls, factors: dict[str, float]) -> dict[str, float]:
        for kind, factor in factors.items():
            if kind not in _KINDS:
                raise ValueError(f"unknown kind of neuron {kind!r}: {nearest(kind, _KINDS)}")
            if not 0 <= factor <= 100:
                raise ValueError(f"a factor of the tuning must be from 0 to 100, got {factor} for {kind}")
        return factors

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
            if not 1 <= count <= _MOST_NEURONS:
                raise ValueError(f"a recording has 1 to {_MOST_NEURONS} neurons, got {count} for {line}")
        return {_line(line): count for line, count in counts.items()}

    @field_validator("driven_by_line")
    @classmethod
    def _canonical_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        for line, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"a share lies between 0 and 1, got {share} for {line}")
        return {_line(line): share for line, share in shares.items()}

    @field_validator("areas")
    @classmethod
    def _known_areas(cls, areas: tuple[str, ...]) -> tuple[str, ...]:
        for area in areas:
            if area not in AREAS:
                raise ValueError(f"unknown visual area {area!r}: {nearest(area, AREAS)}")
        if not areas:
            raise ValueError("at least one visual area is needed")
        return areas

    @field_validator("trials_per_block", "static_gratings_per_block", "scenes_per_block", "sparse_noise_per_block")
    @classmethod
    def _blocks_hold_trials(cls, trials: tuple[int, ...]) -> tuple[int, ...]:
        if not trials or min(trials) < 1:
            raise ValueError("every block needs at least one trial")
        if sum(trials) > _MOST_TRIALS:
            raise ValueError(f"at most {_MOST_TRIALS} trials in all")
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
        if not 5 <= low <= high <= 200:
            raise ValueError(f"frame_rate_hz must be a range between 5 and 200, got {low} to {high}")
        return self

    @model_validator(mode="after")
    def _census_is_large_enough(self) -> World:
        most = 506 * len(self.session_types)
        if self.census == "allen" and self.sessions > most:
            raise ValueError(
                f"the Allen Brain Observatory has 506 containers, hence {most} recordings, got {self.sessions}"
            )
        return self

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
        # A rule on the whole world has the whole world for input: its own words say enough.
        got = "" if first["type"] == "missing" or not first["loc"] else f" (got {first.get('input')!r})"
        raise UsageError(f"world {name!r}: {field}: {message}{got}.") from error
