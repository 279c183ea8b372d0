"""Settings of models and of training: typed, frozen, refused with one sentence when they make no sense."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poyodata.errors import ModelError, nearest


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
    rate_hz : float
        Imaging rate that turns frames into seconds.
    window_frames : int
        Frames in every window; what the latents cover.
    patch_frames : int
        Frames of one neuron that make one token; frames after the last whole patch are not used.
    tokens : {"gated", "paper"}
        ``gated``: the projected patch times the unit embedding, plus the unit embedding (context width ``dim``).
        ``paper``: the unit embedding beside the projected patch (context width ``2 * dim``).
    dim, dim_head, depth, cross_heads, self_heads, ffn_mult : int
        Widths and numbers of layers and attention heads.
    latent_step_s : float
        Length of a latent time step in seconds; steps are laid over the window from its start to its end.
    latents_per_step : int
        Latents at every step.
    ffn_dropout, residual_dropout, attention_dropout : float
        Probabilities in [0, 1). Attention dropout above 0 leaves the fused attention kernel: about half as fast.
    init_std, unit_init_std : float
        Standard deviation of latents, task and session embeddings, and of unit embeddings, before training.
    t_min_s, t_max_s : float
        Range of the periods of the rotary time embedding, in seconds.
    n_directions : int
        Classes of the readout.

    Examples
    --------
    >>> PoyoConfig.named("poyo-tiny", window_frames=80, rate_hz=30.1).n_latents
    16
    """

    name: str = "custom"
    rate_hz: float = Field(30.0, gt=0)
    window_frames: int = Field(57, ge=1)
    patch_frames: int = Field(1, ge=1)
    tokens: Literal["gated", "paper"] = "paper"
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
    n_directions: int = Field(8, ge=2)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patch_frames > self.window_frames:
            raise ValueError(
                f"a patch of {self.patch_frames} frames does not fit a window of {self.window_frames}; "
                "lengthen the window or shorten the patch"
            )
        if self.t_min_s >= self.t_max_s:
            raise ValueError(f"t_min_s={self.t_min_s} must be below t_max_s={self.t_max_s}")
        return self

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
        # The tolerance keeps 2.0 s / (2.0 s / 4) at four steps whatever the rounding of the quotient.
        return max(1, math.ceil(self.window_s / self.latent_step_s - 1e-6))

    @property
    def n_latents(self) -> int:
        """Latents in all."""
        return self.n_steps * self.latents_per_step

    @property
    def context_dim(self) -> int:
        """Width of an input token."""
        return 2 * self.dim if self.tokens == "paper" else self.dim

    @classmethod
    def named(cls, name: str, *, window_frames: int, rate_hz: float, **changes: Any) -> PoyoConfig:
        """Make the settings of a named size for windows of `window_frames` at `rate_hz`.

        Parameters
        ----------
        name : {"poyo-tiny", "poyo-1.3m"}
            ``poyo-tiny`` is for demonstrations, tests and teaching; ``poyo-1.3m`` is the published size.
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
        if name == "poyo-tiny":
            window_s = window_frames / rate_hz
            n_patches = max(1, round(window_s / 0.65))
            settings: dict[str, Any] = {
                "tokens": "gated",
                "patch_frames": max(1, window_frames // n_patches),
                "dim": 64,
                "dim_head": 32,
                "depth": 2,
                "cross_heads": 2,
                "self_heads": 4,
                "latent_step_s": window_s / 4,
                "latents_per_step": 4,
                "ffn_dropout": 0.2,
                "residual_dropout": 0.2,
                "unit_init_std": 1.0,
                "t_min_s": 0.5,
            }
        elif name == "poyo-1.3m":
            settings = {}
        else:
            raise ModelError(f"there is no model size {name!r}; {nearest(name, SIZES)}")
        return cls(**{"name": name, "window_frames": window_frames, "rate_hz": rate_hz, **settings, **changes})


SIZES = ("poyo-tiny", "poyo-1.3m")


class TrainConfig(Settings):
    """How a model is trained; together with the batches and the model it decides every weight.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    lr, weight_decay : float
        Peak learning rate and decoupled decay of AdamW; the rate falls along a cosine to zero.
    warmup : float
        Share of the steps over which the rate rises from zero.
    clip : float
        Largest norm of the gradient.
    seed : int
        Seed of dropout and of unit dropout, together with the step.
    objective : {"direction", "masked"}
        Cross-entropy on directions, or masked latent reconstruction plus `aux_weight` times that cross-entropy.
    mask_rate : float
        Share of the latent time steps, the last ones, that are masked.
    aux_weight : float
        Weight of the cross-entropy beside the reconstruction.
    target : {"average", "self"}
        What masked latents are compared with: those of a slow average of the model, or the model's own, which is the
        published formula and runs away (see `poyodata.models.teacher`).
    teacher_rate : float
        Share of the way to the model that the average goes at every step.
    unit_dropout : float
        Largest share of a window's neurons left out; the share is drawn from 0 to this at every step.
    label_smoothing : float
        Share of the target spread over all directions.
    accelerator : {"auto", "cpu", "gpu"}
        Where the model is trained.
    folder : str or None
        Where the run is written; nothing is written when None.

    Examples
    --------
    >>> TrainConfig(steps=100).objective
    'direction'
    """

    steps: int = Field(1500, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.2, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)
    objective: Literal["direction", "masked"] = "direction"
    mask_rate: float = Field(0.5, gt=0, lt=1)
    aux_weight: float = Field(0.01, ge=0)
    target: Literal["average", "self"] = "average"
    teacher_rate: float = Field(0.01, gt=0, le=1)
    unit_dropout: float = Field(0.5, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    folder: str | None = None
