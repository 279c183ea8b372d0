"""What is hidden from a model while it learns: latents of the window's end, and some of the neurons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from poyodata.errors import ModelError


def causal_mask(n_steps: int, latents_per_step: int, rate: float) -> Tensor:
    """Which latents are masked: all those of the last `rate` of the time steps, at least one step and never all.

    Parameters
    ----------
    n_steps, latents_per_step : int
        How the latents are laid out, time step by time step.
    rate : float
        Share of the time steps, in (0, 1).

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
    masked = min(max(1, round(rate * n_steps)), n_steps - 1)
    return (torch.arange(n_steps) >= n_steps - masked).repeat_interleave(latents_per_step)


def replace_latents(z: Tensor, mask: Tensor, replacement: Tensor) -> Tensor:
    """Latents with the masked ones replaced.

    Parameters
    ----------
    z : Tensor, shape (batch, latent, dim)
        Latents.
    mask : Tensor, shape (latent,), bool
        True where a latent is replaced.
    replacement : Tensor, shape (latent, dim)
        What stands in its place.

    Examples
    --------
    >>> replace_latents(torch.ones(1, 2, 1), torch.tensor([False, True]), torch.zeros(2, 1)).flatten().tolist()
    [1.0, 0.0]
    """
    return torch.where(mask[:, None], replacement, z)


def drop_neurons(batch: Mapping[str, Tensor], largest_share: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Batch with a random part of every window's neurons left out.

    One share is drawn from 0 to `largest_share` for the batch, and other neurons for every window. They are left out,
    not zeroed, so that a step also costs less. Padding goes first, and no window loses its last neuron.

    Parameters
    ----------
    batch : mapping of str to Tensor
        With ``values`` (batch, neuron, time), ``neuron_index`` and ``neuron_mask`` (batch, neuron).
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
    mask = batch["neuron_mask"]
    share = largest_share * float(rng.random())
    # Drawn by numpy, on the CPU: the same neurons are left out whatever device the batch lies on.
    order = torch.from_numpy(rng.random(tuple(mask.shape), dtype=np.float32)).to(mask.device)
    order = order.masked_fill(~mask, 2.0).argsort(dim=1, stable=True)
    left = (mask.sum(dim=1) * (1 - share)).round().clamp(min=1).long()
    kept = order[:, : int(left.max())]
    shown = torch.arange(kept.shape[1], device=mask.device) < left[:, None]
    return {
        **batch,
        "values": torch.take_along_dim(batch["values"], kept[:, :, None], dim=1),
        "neuron_index": batch["neuron_index"].gather(1, kept),
        "neuron_mask": mask.gather(1, kept) & shown,
    }
