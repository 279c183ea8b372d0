"""Settings of models and of training: typed, frozen, refused with one sentence when they make no sense."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poyodata.errors import ModelError, nearest
from poyodata.models.legacy import LEGACY_WINDOW_S, legacy_tasks
from poyodata.models.sizes import size_settings
from poyodata.models.tasks import Task, make_tasks


class Settings(BaseModel):
    """A frozen set of named values; whatever is wrong with it is a :class:`ModelError`, never a library's own error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ModelError(f"{type(self).__name__} cannot be made: {_sentence(error, type(self))}") from None


def _sentence(error: ValidationError, settings: type[BaseModel]) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name!r}; {nearest(name, settings.model_fields)}"
    said = first["msg"].removeprefix("Value error, ")
    return f"{name}={first['input']!r}: {said}" if name else said


class PoyoConfig(Settings):
    """The shape of a :class:`~poyodata.models.PoyoPlus`; every count and length that decides its parameters.

    Attributes
    ----------
    name : str
        What the size is called in reports.
    layout : {"poyodata", "legacy"}
        ``legacy``: the parameters and tokens of the code released with the paper, whatever the paper says; see
        `poyodata.models.legacy`.
    rate_hz : float
        Imaging rate that turns frames into seconds.
    window_frames : int
        Frames in every window; what the latents cover.
    patch_frames : int
        Frames of one neuron that make one token; frames after the last whole patch are not used.
    tokens : {"paper", "gated", "patched"}
        ``paper``: the unit embedding beside the projected patch (context width ``2 * dim``).
        ``gated``: the projected patch times the unit embedding, plus the unit embedding (context width ``dim``).
        ``patched``: the same two beside each other, each half as wide (context width ``dim``).
    features : tuple of {"cre_line", "area", "depth", "position"}
        What else of a neuron is embedded in its tokens. ``paper`` tokens are ``dim`` wider for each of them; in the
        others they are added to the unit embedding.
    n_cre_lines, n_areas : int
        CRE lines and visual areas that have an embedding; the number of the loader's classes.
    tasks : tuple of str
        What the model is asked: names of `poyodata.models.tasks.TASKS`.
    n_outputs : dict
        Number of classes or values by task, where it is another than in `TASKS`.
    frame_tasks : tuple of str
        Those of the tasks that are answered at every frame, not once for the window.
    weights : dict
        Weight in the sum of losses by task, where it is another than in `TASKS`; at 0 a task is asked and not learnt.
    scales : dict
        What the numbers of a task are normalised by, a (mean, standard deviation) for each of its numbers, where it is
        another than in `TASKS`. Stages of training fit it on their training windows for a task that has none; without,
        numbers are compared as they are.
    image : {"unet", "unet-small", "mlp"}
        Decoder of tasks whose answer is a picture.
    image_size : tuple of int
        Height and width of that picture in pixels.
    dim, dim_head, depth, cross_heads, self_heads, ffn_mult : int
        Widths and numbers of layers and attention heads.
    latent_step_s : float
        Length of a latent time step in seconds; steps are laid over the window from its start to its end.
    latents_per_step : int
        Latents at every step.
    ffn_dropout, residual_dropout, attention_dropout : float
        Probabilities in [0, 1). The paper's attention dropout is 0.2; above 0 it leaves the fused attention kernel, and
        a step takes about twice as long.
    init_std, unit_init_std : float
        Standard deviation of latents, task and session embeddings, and of unit embeddings, before training.
    t_min_s, t_max_s : float
        Range of the periods of the rotary time embedding, in seconds.

    Examples
    --------
    >>> PoyoConfig.named("poyo-tiny", window_frames=80, rate_hz=30.1).n_latents
    16
    """

    name: str = "custom"
    layout: Literal["poyodata", "legacy"] = "poyodata"
    rate_hz: float = Field(30.0, gt=0)
    window_frames: int = Field(57, ge=1)
    patch_frames: int = Field(1, ge=1)
    tokens: Literal["paper", "gated", "patched"] = "paper"
    features: tuple[Literal["cre_line", "area", "depth", "position"], ...] = ()
    n_cre_lines: int = Field(14, ge=1)
    n_areas: int = Field(6, ge=1)
    tasks: tuple[str, ...] = ("direction",)
    n_outputs: dict[str, int] = Field(default_factory=dict)
    frame_tasks: tuple[str, ...] = ()
    weights: dict[str, float] = Field(default_factory=dict)
    scales: dict[str, tuple[tuple[float, float], ...]] = Field(default_factory=dict)
    image: Literal["unet", "unet-small", "mlp"] = "unet-small"
    image_size: tuple[int, int] = (64, 128)
    dim: int = Field(64, ge=2)
    dim_head: int = Field(64, ge=4, multiple_of=4)
    depth: int = Field(6, ge=0)
    cross_heads: int = Field(2, ge=1)
    self_heads: int = Field(8, ge=1)
    ffn_mult: int = Field(4, ge=1)
    latent_step_s: float = Field(0.125, gt=0)
    latents_per_step: int = Field(16, ge=1)
    ffn_dropout: float = Field(0.2, ge=0, lt=1)
    residual_dropout: float = Field(0.4, ge=0, lt=1)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    init_std: float = Field(0.02, gt=0)
    unit_init_std: float = Field(0.02, gt=0)
    t_min_s: float = Field(1e-4, gt=0)
    t_max_s: float = Field(4.0, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patch_frames > self.window_frames:
            raise ValueError(
                f"a patch of {self.patch_frames} frames does not fit a window of {self.window_frames}; "
                "lengthen the window or shorten the patch"
            )
        if self.t_min_s >= self.t_max_s:
            raise ValueError(f"t_min_s={self.t_min_s} must be below t_max_s={self.t_max_s}")
        if self.tokens == "patched" and self.dim % 2:
            raise ValueError(f"dim={self.dim} cannot be halved, as tokens='patched' needs; choose an even one")
        if "position" in self.features and self.unit_dim % 4:
            raise ValueError(f"a position is embedded in multiples of 4 channels, not {self.unit_dim}; change dim")
        if min(self.image_size) < 1:
            raise ValueError(f"image_size={self.image_size} must be two numbers of pixels")
        for name in ("features", "frame_tasks"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name}={given} has one of them twice")
        if not set(self.frame_tasks) <= set(self.tasks):
            raise ValueError(f"frame_tasks={self.frame_tasks} must be among tasks={self.tasks}")
        if self.layout == "legacy" and (self.tokens != "paper" or self.frame_tasks or "area" in self.features):
            raise ValueError("layout='legacy' has tokens='paper', no frame_tasks and no feature 'area'")
        self.make_tasks()
        return self

    def make_tasks(self) -> tuple[Task, ...]:
        """Tasks that the model has outputs for: those of `poyodata.models.tasks.TASKS`, with what differs here.

        Examples
        --------
        >>> known = {"weights": {"pupil": 2.0}, "scales": {"pupil": ((1700.0, 450.0),)}}
        >>> config = PoyoConfig(tasks=("direction", "pupil"), frame_tasks=("pupil",), **known)
        >>> [(task.weight, task.mean, task.std, task.at) for task in config.make_tasks()]
        [(1.0, (), (), 'window'), (2.0, (1700.0,), (450.0,), 'frames')]
        """
        at = dict.fromkeys(self.frame_tasks, "frames")
        made = make_tasks(self.tasks, n_outputs=self.n_outputs, at=at, weight=self.weights)
        if self.layout == "legacy":
            made = legacy_tasks(made)
        else:
            made = tuple(replace(task, n_outputs=task.n_outputs or self.dim) for task in made)
        for name in self.scales:
            if name not in self.tasks:
                raise ModelError(
                    f"scales of task {name!r} was given, but the tasks are {', '.join(self.tasks)}; "
                    f"{nearest(name, self.tasks)}"
                )
        return tuple(_scaled(task, self.scales[task.name]) if task.name in self.scales else task for task in made)

    @property
    def window_s(self) -> float:
        """Length of the window in seconds."""
        return self.window_frames / self.rate_hz

    @property
    def n_patches(self) -> int:
        """Tokens of one neuron."""
        return self.window_frames // self.patch_frames

    @property
    def n_steps(self) -> int:
        """Latent time steps: as many as it takes to cover the window."""
        window_s = LEGACY_WINDOW_S if self.layout == "legacy" else self.window_s
        # The tolerance keeps 2.0 s / (2.0 s / 4) at four steps whatever the rounding of the quotient.
        return max(1, math.ceil(window_s / self.latent_step_s - 1e-6))

    @property
    def n_latents(self) -> int:
        """Latents in all."""
        return self.n_steps * self.latents_per_step

    @property
    def unit_dim(self) -> int:
        """Width of a unit embedding."""
        return self.dim // 2 if self.tokens == "patched" else self.dim

    @property
    def context_dim(self) -> int:
        """Width of an input token."""
        return (2 + len(self.features)) * self.dim if self.tokens == "paper" else self.dim

    @classmethod
    def named(cls, name: str, *, window_frames: int, rate_hz: float, **changes: Any) -> PoyoConfig:
        """Make the settings of a named size for windows of `window_frames` at `rate_hz`.

        Parameters
        ----------
        name : str
            Of `poyodata.models.sizes.SIZES`: ``poyo-tiny`` for demonstrations, tests and teaching, ``poyo-1.3m`` to
            ``poyo-330m`` as published.
        window_frames : int
            Frames in every window.
        rate_hz : float
            Imaging rate in Hz.
        **changes
            Settings that differ from the named ones.

        Raises
        ------
        ModelError
            If there is no such size, or a setting makes no sense.

        Examples
        --------
        >>> config = PoyoConfig.named("poyo-1.3m", window_frames=57, rate_hz=30.0)
        >>> config.n_steps, config.n_latents, config.context_dim
        (16, 256, 128)
        """
        # Windows first: sizes are worked out from them, and would fail in their own words.
        window = cls(window_frames=window_frames, rate_hz=rate_hz)
        settings = size_settings(name, window_frames=window.window_frames, rate_hz=window.rate_hz)
        return cls(**{"name": name, "window_frames": window_frames, "rate_hz": rate_hz, **settings, **changes})


def _scaled(task: Task, scale: tuple[tuple[float, float], ...]) -> Task:
    if task.kind != "value":
        raise ModelError(f"scales has task {task.name!r}, which is a {task.kind} and no number; leave it out")
    return replace(task, mean=tuple(mean for mean, _ in scale), std=tuple(std for _, std in scale))
