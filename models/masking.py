"""What is hidden from a model while it learns: latents, channels of latents, and some of the neurons.

Random masks are drawn by numpy on the CPU and sent to the device without waiting for it: the same draws whatever the
device, and no step waits for the device to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from poyodata.errors import ModelError, nearest

MaskMode = Literal["causal", "random_tokens", "channels", "one_channel"]
MASK_MODES: tuple[MaskMode, ...] = ("causal", "random_tokens", "channels", "one_channel")


def causal_mask(
    n_steps: int, latents_per_step: int, rate: float, *, device: torch.device | str | None = None
) -> Tensor:
    """Which latents are masked: all those of the last `rate` of the time steps, at least one step and never all.

    Parameters
    ----------
    n_steps, latents_per_step : int
        How the latents are laid out, time step by time step.
    rate : float
        Share of the time steps, in (0, 1).
    device : device, optional
        Where the mask is made.

    Returns
    -------
    Tensor, shape (n_steps * latents_per_step,), bool

    Raises
    ------
    ModelError
        If there are fewer than two steps: nothing would be left to reconstruct from.

    Examples
    --------
    >>> causal_mask(n_steps=4, latents_per_step=2, rate=0.5).tolist()
    [False, False, False, False, True, True, True, True]
    """
    if n_steps < 2:
        raise ModelError(
            f"{n_steps} latent time step cannot be masked in part; use a longer window or a shorter latent_step_s"
        )
    first = (n_steps - _some(n_steps, rate)) * latents_per_step
    return torch.arange(n_steps * latents_per_step, device=device) >= first


def random_mask(
    n_rows: int, n: int, rate: float, rng: np.random.Generator, *, device: torch.device | str | None = None
) -> Tensor:
    """Which of `n` are masked in each row: `rate` of them exactly, at least one and never all, drawn row by row.

    Parameters
    ----------
    n_rows, n : int
        Windows, and latents or channels of each.
    rate : float
        Share that is masked, in (0, 1).
    rng : numpy.random.Generator
        Where the draws come from.
    device : device, optional
        Where the mask is sent.

    Returns
    -------
    Tensor, shape (n_rows, n), bool

    Raises
    ------
    ModelError
        If there are fewer than two to choose from.

    Examples
    --------
    >>> random_mask(3, 8, 0.25, np.random.default_rng(0)).sum(dim=1).tolist()
    [2, 2, 2]
    """
    if n < 2:
        raise ModelError(f"a random part of {n} cannot be masked; use a model with more latents or channels")
    # The ranks of random numbers: as many below a count as that count, in every row.
    ranks = rng.random((n_rows, n)).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return _sent(torch.from_numpy(ranks < _some(n, rate)), device)


def channel_mask(n: int, rate: float, *, device: torch.device | str | None = None) -> Tensor:
    """Mask the single channel ``n - int(n * rate)``: what the released code masks where it means the last `rate`.

    Released code: ``kirby/nn/perceiver_rotary.py:218`` lacks a colon.

    Returns
    -------
    Tensor, shape (n,), bool

    Examples
    --------
    >>> channel_mask(64, 0.5).nonzero().flatten().tolist()
    [32]
    """
    if not 1 <= int(n * rate) <= n:
        raise ModelError(f"a rate of {rate} of {n} channels names none of them; raise the rate")
    return torch.arange(n, device=device) == n - int(n * rate)


def latent_mask(
    mode: MaskMode,
    rate: float,
    *,
    n_steps: int,
    latents_per_step: int,
    dim: int,
    n_windows: int,
    rng: np.random.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """What of the latents of a batch is masked.

    Parameters
    ----------
    mode : {"causal", "random_tokens", "channels", "one_channel"}
        ``causal``: every latent of the last `rate` of the time steps. ``random_tokens``: `rate` of the latents, others
        in every window. ``channels``: `rate` of the channels of all latents, others in every window. ``one_channel``:
        see :func:`channel_mask`.
    rate : float
        Share that is masked, in (0, 1).
    n_steps, latents_per_step, dim, n_windows : int
        Shape of the latents, (n_windows, n_steps * latents_per_step, dim).
    rng : numpy.random.Generator, optional
        Where the draws of the random modes come from.
    device : device, optional
        Where the mask is needed.

    Returns
    -------
    Tensor, bool
        Of a shape that broadcasts to that of the latents.

    Raises
    ------
    ModelError
        For an unknown mode, a random one without `rng`, or latents too few to mask a part of.

    Examples
    --------
    >>> shape = {"n_steps": 4, "latents_per_step": 2, "dim": 16, "n_windows": 3}
    >>> latent_mask("causal", 0.5, **shape).shape
    torch.Size([1, 8, 1])
    >>> latent_mask("channels", 0.5, **shape, rng=np.random.default_rng(0)).shape
    torch.Size([3, 1, 16])
    """
    if mode == "causal":
        return causal_mask(n_steps, latents_per_step, rate, device=device)[None, :, None]
    if mode == "one_channel":
        return channel_mask(dim, rate, device=device)[None, None, :]
    if mode not in MASK_MODES:
        raise ModelError(f"there is no way to mask latents called {mode!r}; {nearest(str(mode), MASK_MODES)}")
    if rng is None:
        raise ModelError(f"masking by {mode!r} draws random numbers; pass rng, a numpy Generator of the step")
    if mode == "random_tokens":
        return random_mask(n_windows, n_steps * latents_per_step, rate, rng, device=device)[:, :, None]
    return random_mask(n_windows, dim, rate, rng, device=device)[:, None, :]


def replace_latents(z: Tensor, mask: Tensor, replacement: Tensor | float) -> Tensor:
    """Latents with what is masked replaced.

    Parameters
    ----------
    z : Tensor, shape (batch, latent, dim)
        Latents.
    mask : Tensor, bool
        True where they are replaced; of a shape that broadcasts to that of `z`.
    replacement : Tensor, shape (latent, dim), or float
        What stands in their place.

    Examples
    --------
    >>> replace_latents(torch.ones(1, 2, 1), torch.tensor([[False], [True]]), torch.zeros(2, 1)).flatten().tolist()
    [1.0, 0.0]
    """
    return torch.where(mask, replacement, z)


def drop_neurons(batch: Mapping[str, Tensor], largest_share: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Batch with a random part of every window's neurons left out.

    One share is drawn from 0 to `largest_share` for the batch, and other neurons for every window. They are left out,
    not zeroed, so that a step also costs less. Padding goes first, and no window loses its last neuron.

    Parameters
    ----------
    batch : mapping of str to Tensor
        With ``values`` (batch, neuron, time), ``neuron_index`` and, where windows have padding, ``neuron_mask`` (batch,
        neuron). Whatever else is called ``neuron_...``, and ``hidden`` and ``target`` of masks, is taken along.
    largest_share : float
        In [0, 1); at 0 the batch is returned as it is.
    rng : numpy.random.Generator
        Where the draws come from.

    Examples
    --------
    >>> batch = {
    ...     "values": torch.zeros(2, 10, 4), "neuron_index": torch.arange(1, 11).expand(2, 10),
    ...     "neuron_mask": torch.ones(2, 10, dtype=torch.bool),
    ... }
    >>> drop_neurons(batch, 0.9, np.random.default_rng(0))["values"].shape
    torch.Size([2, 4, 4])
    """
    if largest_share <= 0:
        return dict(batch)
    if "neuron_mask" not in batch:
        batch = {**batch, "neuron_mask": torch.ones_like(batch["neuron_index"], dtype=torch.bool)}
    mask = batch["neuron_mask"]
    share = largest_share * float(rng.random())
    order = _sent(torch.from_numpy(rng.random(tuple(mask.shape), dtype=np.float32)), mask.device)
    order = order.masked_fill(~mask, 2.0).argsort(dim=1, stable=True)
    left = (mask.sum(dim=1) * (1 - share)).round().clamp(min=1)
    # A batch is as wide as its widest window, so the width follows from the shape; asking the mask would wait for the
    # device. Rounded in float32, as the counts are.
    width = max(1, int(np.rint(np.float32(mask.shape[1]) * np.float32(1 - share))))
    kept = order[:, :width]
    shown = torch.arange(width, device=mask.device) < left[:, None]
    taken = {
        name: torch.take_along_dim(value, kept.reshape(*kept.shape, *[1] * (value.ndim - 2)), dim=1)
        for name, value in batch.items()
        if name.startswith("neuron_") or name in _BY_NEURON
    }
    return {**batch, **taken, "neuron_mask": taken["neuron_mask"] & shown}


_BY_NEURON = ("values", "hidden", "target")


def _some(n: int, rate: float) -> int:
    """Round a share of `n` to a number that is neither none nor all."""
    return min(max(1, round(rate * n)), n - 1)


def _sent(tensor: Tensor, device: torch.device | str | None) -> Tensor:
    return tensor if device is None else tensor.to(device, non_blocking=True)
