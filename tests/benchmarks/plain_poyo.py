"""The equations of `poyodata.models.PoyoPlus` written down plainly: what its steps are measured against.

Nothing is shared or reordered: every token, query and latent is rotated as an activation, by angles of its own; windows
are encoded a second time for the masked branch, and each branch goes through the processor by itself, as in the code
released with the paper. Without dropout the numbers are those of the model (`test_plain_poyo`).

Two things are left out that the released code pays for too: angles are looked up rather than computed anew, and
attention gets no mask where no window has padding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus

Batch = Mapping[str, Tensor]


class Angles(nn.Module):
    """Cosines and sines of every channel of a head for every row of a sequence, both (row, dim_head)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, cos: Tensor, sin: Tensor) -> None:
        super().__init__()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @classmethod
    def at(cls, times_s: Tensor, config: PoyoConfig) -> Angles:
        pairs = config.dim_head // 4
        periods = config.t_min_s * (config.t_max_s / config.t_min_s) ** (torch.arange(pairs).double() / pairs)
        turning = 2 * torch.pi * times_s.double()[:, None] / periods
        angles = torch.cat((turning, turning, torch.zeros(len(times_s), config.dim_head - 2 * pairs)), dim=1)
        return cls(angles.cos().float(), angles.sin().float())

    def repeat(self, n: int) -> Angles:
        """Every row `n` times."""
        return Angles(self.cos.repeat_interleave(n, 0), self.sin.repeat_interleave(n, 0))

    @property
    def back(self) -> Angles:
        return Angles(self.cos, -self.sin)


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Turn every row of `x` (..., row, dim_head)."""
    pairs = x.shape[-1] // 4
    first, second, still = x.split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    return x * angles.cos + torch.cat((-second, first, still), dim=-1) * angles.sin


def heads_of(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


class Cross(nn.Module):
    def __init__(self, config: PoyoConfig, context_dim: int, *, rotate_values: bool) -> None:
        super().__init__()
        wide = config.cross_heads * config.dim_head
        self.heads, self.rotate_values, self.dropout = config.cross_heads, rotate_values, config.attention_dropout
        self.norm, self.norm_context = nn.LayerNorm(config.dim), nn.LayerNorm(context_dim)
        self.to_q = nn.Linear(config.dim, wide, bias=False)
        self.to_kv = nn.Linear(context_dim, 2 * wide, bias=False)
        self.to_out = nn.Linear(wide, config.dim)

    def forward(self, query: Tensor, context: Tensor, at: Angles, of: Angles) -> Tensor:
        q = heads_of(self.to_q(self.norm(query)), self.heads)
        k, v = (heads_of(each, self.heads) for each in self.to_kv(self.norm_context(context)).chunk(2, dim=-1))
        q, k = rotate(q, at), rotate(k, of)
        if self.rotate_values:
            v = rotate(v, of)
        taken = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        if self.rotate_values:
            taken = rotate(taken, at.back)
        return self.to_out(merged(taken))


class Own(nn.Module):
    def __init__(self, config: PoyoConfig) -> None:
        super().__init__()
        wide = config.self_heads * config.dim_head
        self.heads, self.dropout = config.self_heads, config.attention_dropout
        self.norm = nn.LayerNorm(config.dim)
        self.to_qkv = nn.Linear(config.dim, 3 * wide, bias=False)
        self.to_out = nn.Linear(wide, config.dim)

    def forward(self, x: Tensor, at: Angles) -> Tensor:
        q, k, v = (rotate(heads_of(each, self.heads), at) for each in self.to_qkv(self.norm(x)).chunk(3, dim=-1))
        taken = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.to_out(merged(rotate(taken, at.back)))


class Gated(nn.Module):
    def __init__(self, config: PoyoConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.widen = nn.Linear(config.dim, 2 * config.ffn_mult * config.dim)
        self.dropout = nn.Dropout(config.ffn_dropout)
        self.narrow = nn.Linear(config.ffn_mult * config.dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.widen(self.norm(x)).chunk(2, dim=-1)
        return self.narrow(self.dropout(value * functional.gelu(gate)))


class PlainPoyo(nn.Module):
    """A model with the weights of `model`: ``paper`` tokens, one patch a frame, one task of classes for the window.

    Its parameters have the names that they have there.
    """

    def __init__(self, model: PoyoPlus) -> None:
        super().__init__()
        config = self.config = model.config
        if config.layout != "poyodata" or config.tokens != "paper" or config.patch_frames != 1 or config.features:
            raise ValueError("only tokens='paper' of single frames, without features, are written down here")
        (self.task,) = (task.name for task in model.tasks)
        self.tokens = nn.ModuleDict({"project": nn.Linear(1, config.dim, bias=False)})
        layer = {"attention": Own, "ffn": Gated}
        self.perceiver = nn.ModuleDict(
            {
                "read": Cross(config, config.context_dim, rotate_values=True),
                "read_ffn": Gated(config),
                "layers": nn.ModuleList(
                    nn.ModuleDict({name: kind(config) for name, kind in layer.items()}) for _ in range(config.depth)
                ),
                "answer": Cross(config, config.dim, rotate_values=False),
                "answer_ffn": Gated(config),
            }
        )
        self.dropout = nn.Dropout(config.residual_dropout)
        for name in ("latents", "queries", "units", "sessions", "mask_token"):
            self.register_parameter(name, nn.Parameter(torch.empty_like(getattr(model, name))))
        heads = nn.ModuleDict({self.task: nn.Linear(config.dim, model.tasks[0].n_outputs)})
        self.readouts = nn.ModuleDict({"heads": heads})
        state = model.state_dict()
        del state["_extra_state"]
        self.load_state_dict(state)
        self.of_frames = Angles.at((torch.arange(config.n_patches).double() + 0.5) / config.rate_hz, config)
        self.of_latents = Angles.at(model.latent_times_s, config)
        self.of_middle = Angles.at(torch.tensor([config.window_s / 2], dtype=torch.float64), config)

    def encode(self, batch: Batch) -> Tensor:
        """Latents (batch, latent, dim) that have read the windows."""
        values = batch["values"].transpose(1, 2)  # (batch, frame, neuron)
        n_windows, n_frames, n_neurons = values.shape
        units = functional.embedding(batch["neuron_index"], self.units).unsqueeze(1).expand(-1, n_frames, -1, -1)
        tokens = torch.cat((units, self.tokens["project"](values[..., None])), dim=-1).flatten(1, 2)
        latents = self.latents.repeat(self.config.n_steps, 1).expand(n_windows, -1, -1)
        z = latents + self.perceiver["read"](latents, tokens, self.of_latents, self.of_frames.repeat(n_neurons))
        return z + self.perceiver["read_ffn"](z)

    def process(self, z: Tensor) -> Tensor:
        for layer in self.perceiver["layers"]:
            z = z + self.dropout(layer["attention"](z, self.of_latents))
            z = z + self.dropout(layer["ffn"](z))
        return z

    def decode(self, z: Tensor, session_index: Tensor) -> Tensor:
        query = (self.queries[0] + functional.embedding(session_index, self.sessions)).unsqueeze(1)
        q = query + self.perceiver["answer"](query, z, self.of_middle, self.of_latents)
        q = q + self.perceiver["answer_ffn"](q)
        return self.readouts["heads"][self.task](q.squeeze(1))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (batch, class)."""
        return self.decode(self.process(self.encode(batch)), batch["session_index"])

    def masked_loss(self, batch: Batch, *, aux_weight: float = 0.01) -> Tensor:
        """L1 of the last half of the latent steps, masked, to what they are unmasked, plus the weighed cross-entropy.

        As `MaskedLatents.paper` says.
        """
        config = self.config
        first = config.n_steps // 2 * config.latents_per_step
        clean = self.process(self.encode(batch))
        fill = (self.mask_token + self.latents).repeat(config.n_steps, 1)[first:].expand(len(clean), -1, -1)
        masked = self.process(torch.cat((self.encode(batch)[:, :first], fill), dim=1))
        distance = functional.l1_loss(masked[:, first:], clean[:, first:].detach())
        logits = self.decode(clean, batch["session_index"])
        return distance + aux_weight * functional.cross_entropy(logits, batch[self.task])
