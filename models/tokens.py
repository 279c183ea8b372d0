"""Tokens: what a neuron's values and what is known of the neuron look like to the latents that read them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.errors import ModelError
from poyodata.models.attention import Context
from poyodata.models.config import PoyoConfig
from poyodata.models.legacy import LEGACY_WINDOW_S, N_TOKEN_TYPES

DEPTH_EDGES_UM = (250.0, 350.0, 500.0, 600.0)
"""Deepest place of each depth class but the last, in micrometres below the pia."""

FEATURE_COLUMNS = {
    "cre_line": ("neuron_cre_line",),
    "area": ("neuron_area",),
    "depth": ("neuron_depth_um",),
    "position": ("neuron_x_um", "neuron_y_um"),
}
"""Columns of a batch, (batch, neuron), that a feature is made of; -1 and NaN stand for unknown."""


class Tokens(nn.Module):
    """Tokens of a window: one for every neuron and patch, all of a width.

    ``paper``: unit embedding, projected patch and every feature beside each other. ``gated``: what the neuron is (unit
    embedding plus features) times the projected patch, plus what the neuron is. ``patched``: what the neuron is beside
    the projected patch, each half as wide, as in torch_brain's calcium model. An unknown feature is a row of zeros.

    Parameters
    ----------
    config : PoyoConfig
        Kind of tokens, features and widths.

    Attributes
    ----------
    times_s : Tensor, shape (moment,), float64
        Moments of the tokens in seconds from the window's start: the middle of every patch.

    Examples
    --------
    >>> tokens = Tokens(PoyoConfig(window_frames=60, patch_frames=20, tokens="gated", dim=8))
    >>> tokens(torch.zeros(2, 5, 60), torch.ones(2, 5, 8), {}).whole().shape
    torch.Size([2, 3, 5, 8])
    """

    times_s: Tensor

    def __init__(self, config: PoyoConfig) -> None:
        super().__init__()
        self.config = config
        wide, std = config.unit_dim, config.unit_init_std
        self.project = nn.Linear(config.patch_frames, wide, bias=config.tokens == "patched")
        if config.tokens == "patched":
            # Small values beside unit embeddings learn faster than those of nn.Linear.
            nn.init.trunc_normal_(self.project.weight, std=0.02)
            nn.init.zeros_(self.project.bias)
        legacy = config.layout == "legacy"
        rows = {"cre_line": config.n_cre_lines, "area": config.n_areas, "depth": len(DEPTH_EDGES_UM) + 1}
        made = [name for name in rows if name in config.features or (legacy and name == "depth")]
        self.features = nn.ParameterDict({name: nn.Parameter(torch.randn(rows[name], wide) * std) for name in made})
        self.types = nn.Parameter(torch.randn(N_TOKEN_TYPES, wide) * std) if legacy else None
        self.register_buffer("depth_edges_um", torch.tensor(DEPTH_EDGES_UM), persistent=False)
        quarter = torch.arange(wide // 4, dtype=torch.float64)
        self.register_buffer("frequencies", (10_000.0 ** (-2 * quarter / (wide // 2 or 1))).float(), persistent=False)
        self.times_s = _times_s(config)

    def forward(self, values: Tensor, units: Tensor, batch: Mapping[str, Tensor]) -> Context:
        """Make ready what the tokens are made of.

        Parameters
        ----------
        values : Tensor, shape (batch, neuron, time)
            Of the length that the config says.
        units : Tensor, shape (batch, neuron, unit_dim)
            Embeddings of the neurons.
        batch : mapping
            Where the columns of the features are.

        Returns
        -------
        Context
            The neurons at every moment, `context_dim` wide, made of what they are and of their values when they are
            asked for.

        Raises
        ------
        ModelError
            If the batch lacks a column of a feature.
        """
        config = self.config
        used = values[..., : config.n_patches * config.patch_frames]
        patches = torch.unflatten(used, -1, (config.n_patches, config.patch_frames)).permute(2, 1, 0, 3)
        types = None
        if self.types is not None:
            # Start and end of the (first second of the) window are tokens too, with a value of 0.
            patches = functional.pad(patches, (0, 0, 0, 0, 0, 0, 2, 0))
            types = torch.cat((self.types[1:3], self.types[:1].expand(config.n_patches, -1)))[:, None, None]
        whose = units.transpose(0, 1)
        features = [self._feature(name, batch).transpose(0, 1) for name in config.features]
        beside = None
        if config.tokens != "paper":
            for each in features:
                whose = whose + each
        elif features:
            beside = torch.cat(features, dim=-1)
        parts = (patches.contiguous(), whose, beside, types, self.project.weight, self.project.bias)
        return Context(self._made, parts, len(patches), values.shape[1])

    def _made(
        self,
        at: slice,
        patches: Tensor,
        whose: Tensor,
        beside: Tensor | None,
        types: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """Tokens of some moments, shape (moment, neuron, batch, context_dim), of (moment, neuron, batch, ...)."""
        value = functional.linear(patches[at], weight, bias)
        if self.config.tokens == "gated":
            return torch.addcmul(whose, whose, value)
        whose = whose if types is None else whose + types[at]
        parts = [whose.expand_as(value), value]
        if beside is not None:
            parts.append(beside.expand(len(value), -1, -1, -1))
        return torch.cat(parts, dim=-1)

    def _feature(self, name: str, batch: Mapping[str, Tensor]) -> Tensor:
        """What a feature says of every neuron, shape (batch, neuron, unit_dim)."""
        columns = [_column(batch, column, name) for column in FEATURE_COLUMNS[name]]
        if name == "position":
            return torch.cat([self._place(column) for column in columns], dim=-1)
        known = columns[0] >= 0
        if name == "depth":
            # Not a number is above every edge; it is no depth, and `known` says so.
            index = torch.bucketize(columns[0], self.get_buffer("depth_edges_um"))
        else:
            index = columns[0].clamp(min=0)
        return functional.embedding(index, self.features[name]) * known[..., None]

    def _place(self, um: Tensor) -> Tensor:
        """Sines and cosines of a place along an axis, half a unit embedding wide; zeros where it is unknown."""
        angles = um.nan_to_num()[..., None] * self.get_buffer("frequencies")
        waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        return waves * (~um.isnan())[..., None]


def _times_s(config: PoyoConfig) -> Tensor:
    patch_s = config.patch_frames / config.rate_hz
    starts = torch.arange(config.n_patches, dtype=torch.float64) * patch_s
    if config.layout == "legacy":
        ends = torch.tensor([0.0, LEGACY_WINDOW_S], dtype=torch.float64)
        return torch.cat((ends, starts + (config.patch_frames - 1) / 2 / config.rate_hz))
    return starts + patch_s / 2


def _column(batch: Mapping[str, Tensor], column: str, feature: str) -> Tensor:
    if column not in batch:
        raise ModelError(
            f"the batch has no {column!r}, which the feature {feature!r} is made of; let the loader give neuron "
            f"columns (it has {', '.join(sorted(batch))})"
        )
    return batch[column]
