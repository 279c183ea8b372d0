"""The Perceiver that POYO+ is built from: rotary time, attention between sequences and within one, and what joins them.

Times are regular here (patches of a window, latent steps), so one row of angles serves a whole batch and every neuron.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from poyodata.models.attention import Context, KeysValues, attend
from poyodata.models.dropout import Dropout
from poyodata.models.feed_forward import FeedForward


class Rotation(NamedTuple):
    """Cosines and sines of the rotary angles of some moments; both of shape (moment, dim_head / 4), float32."""

    cos: Tensor
    sin: Tensor


def rotation(times_s: Tensor, dim_head: int, t_min_s: float, t_max_s: float) -> Rotation:
    """Rotary angles of moments: half of a head's channels turn with time, at periods spaced geometrically.

    Parameters
    ----------
    times_s : Tensor, shape (moment,)
        Moments in seconds from the window's start.
    dim_head : int
        Channels of an attention head, a multiple of 4.
    t_min_s, t_max_s : float
        Shortest period, and the period just beyond the longest.

    Returns
    -------
    Rotation
        Cosines and sines, each of shape (moment, dim_head / 4), float32.

    Examples
    --------
    >>> rotation(torch.zeros(3), 8, 1e-4, 4.0).cos.shape
    torch.Size([3, 2])
    """
    pairs = dim_head // 4
    exponent = torch.arange(pairs, dtype=torch.float64) / pairs
    periods = t_min_s * (t_max_s / t_min_s) ** exponent
    # float64: a moment of seconds over a period of 0.1 ms leaves too few digits of phase in float32.
    angles = 2 * math.pi * times_s.double()[:, None] / periods
    return Rotation(angles.cos().float(), angles.sin().float())


def rotate(x: Tensor, by: Rotation, *, back: bool = False) -> Tensor:
    """Turn the first half of the channels of `x`, shape (..., moment, dim_head), by the angles, or `back` by them.

    Examples
    --------
    >>> by = rotation(torch.rand(5), 16, 0.1, 4.0)
    >>> x = torch.rand(2, 5, 16)
    >>> torch.allclose(rotate(rotate(x, by), by, back=True), x, atol=1e-6)
    True
    """
    pairs = by.cos.shape[-1]
    first, second, still = torch.split(x, [pairs, pairs, x.shape[-1] - 2 * pairs], dim=-1)
    sin = -by.sin if back else by.sin
    return torch.cat((first * by.cos - second * sin, second * by.cos + first * sin, still), dim=-1)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(batch, length, heads * channel) -> (batch, heads, length, channel)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def _turned(weight: Tensor, dim_head: int, times: Rotation) -> Tensor:
    """Turn the heads in the last dimension of a matrix: (dim, heads * dim_head) -> (moment, dim, heads * dim_head)."""
    by_head = torch.unflatten(weight, 1, (-1, dim_head)).expand(len(times.cos), -1, -1, -1)
    return rotate(by_head, _each_row(times)).flatten(2)


def _each_row(times: Rotation) -> Rotation:
    """Angles for (moment, row, head, channel): the same for all rows and heads of a moment."""
    return Rotation(times.cos[:, None, None], times.sin[:, None, None])


def _project(x: Tensor, weight: Tensor, dim_head: int, times: Rotation) -> Tensor:
    """Heads of `x` turned by the time of its moments: (moment, row, dim) -> (moment, row, heads, dim_head).

    A rotation is linear. Where moments have more rows than a row has channels, it turns the weights, once for every
    moment, instead of what they make of every row, which is then not touched before the attention kernel.
    """
    if x.shape[1] > x.shape[2]:
        return torch.unflatten(torch.bmm(x, _turned(weight.T, dim_head, times)), -1, (-1, dim_head))
    return rotate(torch.unflatten(functional.linear(x, weight), -1, (-1, dim_head)), _each_row(times))


def _heads_of(x: Tensor, weight: Tensor, dim_head: int, times: Rotation, parts: int) -> tuple[Tensor, ...]:
    """Queries, keys, values, or some of them: (moment, row, batch, dim) -> (batch, head, moment * row, dim_head) each.

    They are turned by the time of their moments; `weight` has shape (parts * heads * dim_head, dim).
    """
    heads = _project(x.flatten(1, 2), weight, dim_head, times)
    # Apart before their dimensions change places: their gradients are then put together in one pass, not in two.
    each = heads.view(-1, x.shape[2], parts, heads.shape[2] // parts, dim_head).unbind(2)
    return tuple(part.permute(1, 2, 0, 3) for part in each)


def _collect(x: Tensor, to: nn.Linear, times: Rotation) -> Tensor:
    """Turn heads back and bring them together, (moment, row, heads, dim_head) -> (moment, row, dim); as `_project`."""
    if x.shape[1] > to.out_features:
        return torch.bmm(x.flatten(2), _turned(to.weight, x.shape[3], times).transpose(1, 2)) + to.bias
    return to(rotate(x, _each_row(times), back=True).flatten(2))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """What a few queries take from a long context; normalised before, not after, and without the residual.

    Parameters
    ----------
    dim, context_dim : int
        Widths of queries and of context.
    heads, dim_head : int
        Attention heads and their channels.
    dropout : float
        Probability of leaving out an attention weight; above 0 the fused kernel is not used.
    rotate_values : bool
        Whether values carry their time relative to the query's, as the keys do.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        heads: int,
        dim_head: int,
        dropout: float = 0.0,
        *,
        rotate_values: bool,
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.rotate_values = heads, dropout, rotate_values
        self.norm = nn.LayerNorm(dim)
        self.norm_context = nn.LayerNorm(context_dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(context_dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim)

    def forward(
        self,
        query: Tensor,
        context: Context,
        query_times: Rotation,
        context_times: Rotation,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : Tensor, shape (batch, query, dim)
            What asks.
        context : Context
            What answers: at every moment the same rows (neurons), `context_dim` wide.
        query_times, context_times : Rotation
            Angles of the queries and of the context's moments.
        mask : Tensor, shape (batch, moment, row), bool, optional
            True for rows that exist at a moment.

        Returns
        -------
        Tensor, shape (batch, query, dim)
        """
        q = rotate(_heads(self.to_q(self.norm(query)), self.heads), query_times)
        projected, keys_values = self._projected(context, context_times)
        taken = attend(q, projected, keys_values, mask, self.dropout if self.training else 0.0)
        if self.rotate_values:
            taken = rotate(taken, query_times, back=True)
        return self.to_out(taken.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def weights(
        self,
        query: Tensor,
        context: Context,
        query_times: Rotation,
        context_times: Rotation,
        mask: Tensor | None = None,
    ) -> Tensor:
        """How much every query takes from every row of the context, shape (batch, head, query, moment * row).

        They sum to 1. Parameters are those of :meth:`forward`, which keeps no weights; dropout has no part in them.
        """
        q = rotate(_heads(self.to_q(self.norm(query)), self.heads), query_times)
        k, _ = self.keys_values(context, context_times)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.flatten(1)[:, None, None, :], -math.inf)
        return torch.softmax(scores, dim=-1).nan_to_num()  # NaN where no row of a window exists

    def keys_values(self, context: Context, times: Rotation) -> tuple[Tensor, Tensor]:
        """Keys turned by time, and values, of all moments: (batch, head, moment * row, dim_head) each."""
        projected, keys_values = self._projected(context, times)
        return keys_values(slice(None), *projected.parts)

    def _projected(self, context: Context, times: Rotation) -> tuple[Context, KeysValues]:
        """The context with all weights that keys and values are made with, and what makes them of some moments."""

        def keys_values(
            at: slice, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor, *parts: Tensor
        ) -> tuple[Tensor, Tensor]:
            x = context.make(at, *parts)
            x = functional.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, self.norm_context.eps)
            turns = Rotation(times.cos[at], times.sin[at])
            dim_head = weight.shape[0] // (2 * self.heads)
            if self.rotate_values:
                k, v = _heads_of(x, weight, dim_head, turns, 2)
            else:
                k_weight, v_weight = weight.chunk(2)
                (k,) = _heads_of(x, k_weight, dim_head, turns, 1)
                v = torch.unflatten(functional.linear(x, v_weight), -1, (self.heads, -1))
                v = v.flatten(0, 1).permute(1, 2, 0, 3)
            return k, v

        own = (self.norm_context.weight, self.norm_context.bias, self.to_kv.weight)
        return context._replace(parts=(*own, *context.parts)), keys_values


class SelfAttention(nn.Module):
    """Attention within sequences that have rows at moments, keys and values turned by time; without the residual."""

    def __init__(self, dim: int, heads: int, dim_head: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim)

    def forward(self, x: Tensor, times: Rotation) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (moment * row, batch, dim)
            Sequences beside each other, moment by moment: all that one moment's weights project lies together.
        times : Rotation
            Angles of the moments.

        Returns
        -------
        Tensor, shape (moment * row, batch, dim)
        """
        length, batch, _ = x.shape
        by_moment = torch.unflatten(self.norm(x), 0, (len(times.cos), -1))
        dim_head = self.to_out.in_features // self.heads
        q, k, v = _heads_of(by_moment, self.to_qkv.weight, dim_head, times, 3)
        taken = functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        taken = taken.permute(2, 0, 1, 3).reshape(len(times.cos), -1, self.heads, dim_head)
        return _collect(taken, self.to_out, times).view(length, batch, -1)


class Perceiver(nn.Module):
    """Encoder, processor and decoder: tokens to latents, latents among themselves, latents to answers.

    The three steps are methods of their own, because an objective may change the latents between them.

    Examples
    --------
    >>> kinds = {"dim": 64, "context_dim": 128, "dim_head": 64, "depth": 6, "cross_heads": 2, "self_heads": 8}
    >>> sum(p.numel() for p in Perceiver(**kinds).parameters())
    1269120
    """

    def __init__(
        self,
        *,
        dim: int,
        context_dim: int,
        dim_head: int,
        depth: int,
        cross_heads: int,
        self_heads: int,
        ffn_mult: int = 4,
        ffn_dropout: float = 0.0,
        residual_dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.read = CrossAttention(dim, context_dim, cross_heads, dim_head, attention_dropout, rotate_values=True)
        self.read_ffn = FeedForward(dim, ffn_mult, ffn_dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention": SelfAttention(dim, self_heads, dim_head, attention_dropout),
                    "ffn": FeedForward(dim, ffn_mult, ffn_dropout),
                }
            )
            for _ in range(depth)
        )
        self.dropout = Dropout(residual_dropout)
        self.answer = CrossAttention(dim, dim, cross_heads, dim_head, attention_dropout, rotate_values=False)
        self.answer_ffn = FeedForward(dim, ffn_mult, ffn_dropout)

    def encode(
        self, latents: Tensor, tokens: Context, latent_times: Rotation, token_times: Rotation, mask: Tensor | None
    ) -> Tensor:
        """Latents (batch, latent, dim) that have read the tokens: neurons at the moments of the patches."""
        z = latents + self.read(latents, tokens, latent_times, token_times, mask)
        return z + self.read_ffn(z)  # type: ignore[no-any-return]

    def process(self, z: Tensor, times: Rotation) -> Tensor:
        """Latents after attending to one another in every layer.

        Parameters
        ----------
        z : Tensor, shape (batch, latent, dim)
            Latents, moment by moment.
        times : Rotation
            Angles of the moments, as many latents at each.

        Returns
        -------
        Tensor, shape (batch, latent, dim)
        """
        for each in self.layer_by_layer(z, times):
            z = each
        return z

    def layer_by_layer(self, z: Tensor, times: Rotation) -> Iterator[Tensor]:
        """Latents after every layer of the processor, one after the other; arguments as for :meth:`process`."""
        z = z.transpose(0, 1)
        for layer in self.layers:
            z = z + self.dropout(layer["attention"](z, times))  # type: ignore[index]
            z = z + self.dropout(layer["ffn"](z))  # type: ignore[index]
            yield z.transpose(0, 1)

    def decode(self, query: Tensor, z: Tensor, query_times: Rotation, latent_times: Rotation) -> Tensor:
        """Answers (batch, query, dim) that have read the processed latents (batch, latent, dim)."""
        q = query + self.answer(query, Context.of(z[:, :, None]), query_times, latent_times)
        return q + self.answer_ffn(q)  # type: ignore[no-any-return]
