"""What training minimises: cross-entropy on directions, and reconstruction of masked latents.

Losses live outside the models. A loss is a number with the terms it was made from, so that a run can show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from poyodata.models.masking import causal_mask, replace_latents
from poyodata.models.poyo import PoyoPlus

UNLABELLED = -1


class Loss(NamedTuple):
    """A loss to go down, and the terms to look at (detached, by name)."""

    total: Tensor
    terms: dict[str, Tensor]


def direction_loss(logits: Tensor, direction: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the windows that have a direction; 0 where none has.

    Parameters
    ----------
    logits : Tensor, shape (batch, n_directions)
        Before the softmax.
    direction : Tensor, shape (batch,), int64
        Class of every window; -1 marks blank sweeps and windows without a label, which do not count.
    label_smoothing : float
        Share of the target spread over all directions.

    Examples
    --------
    >>> round(direction_loss(torch.zeros(2, 8), torch.tensor([3, -1])).item(), 4)
    2.0794
    """
    labelled = (direction != UNLABELLED).sum()
    summed = functional.cross_entropy(
        logits, direction, ignore_index=UNLABELLED, reduction="sum", label_smoothing=label_smoothing
    )
    return summed / labelled.clamp(min=1)


def latent_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error over the masked latents; no gradient reaches the target.

    Parameters
    ----------
    predicted, target : Tensor, shape (batch, latent, dim)
        Processed latents with and without masking.
    mask : Tensor, shape (latent,), bool
        True for the latents that were masked.

    Examples
    --------
    >>> latent_loss(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.tensor([False, True])).item()
    1.0
    """
    return functional.l1_loss(predicted[:, mask], target.detach()[:, mask])


def latent_spread(z: Tensor) -> Tensor:
    """Measure how far latents differ between windows: their standard deviation over the batch; 0 means collapse.

    It is averaged over latents and channels.

    A reconstruction of latents is perfect when every window gives the same latents: watch this beside the loss.

    Examples
    --------
    >>> latent_spread(torch.ones(4, 2, 3)).item()
    0.0
    """
    return z.detach().std(dim=0, correction=0).mean()


def direction_objective(model: PoyoPlus, batch: Mapping[str, Tensor], label_smoothing: float = 0.0) -> Loss:
    """Cross-entropy of a model's answers on a batch."""
    logits = model(batch)
    loss = direction_loss(logits, batch["direction"], label_smoothing)
    return Loss(loss, {"cross_entropy": loss.detach()})


def masked_objective(
    model: PoyoPlus,
    batch: Mapping[str, Tensor],
    *,
    rate: float,
    aux_weight: float,
    teacher: PoyoPlus | None = None,
    label_smoothing: float = 0.0,
) -> Loss:
    """Masked latent reconstruction plus `aux_weight` times the cross-entropy of the unmasked branch.

    The windows are encoded once. A copy of the latents has those of the last `rate` of the time steps replaced by the
    mask token (plus the latent's own initial embedding, which tells apart the latents of one step); both go through
    the shared processor as one batch of twice the size; the masked latents are compared with unmasked ones.

    Parameters
    ----------
    model : PoyoPlus
        The model.
    batch : mapping of str to Tensor
        A batch with ``direction``.
    rate : float
        Share of the latent time steps that are masked.
    aux_weight : float
        Weight of the cross-entropy.
    teacher : PoyoPlus, optional
        Gives the unmasked latents to compare with, both sides layer-normalised. Without it they are the model's own,
        compared as they are: the published formula.
    label_smoothing : float
        Share of the target spread over all directions.

    Returns
    -------
    Loss
        With terms ``reconstruction``, ``cross_entropy`` and ``latent_spread`` (the collapse monitor).
    """
    config = model.config
    mask = causal_mask(config.n_steps, config.latents_per_step, rate).to(batch["values"].device)
    z = model.encode(batch)
    replacement = (model.mask_token + model.latents).repeat(config.n_steps, 1)
    masked, clean = model.process(torch.cat((replace_latents(z, mask, replacement), z))).chunk(2)
    logits = model.decode(clean, batch["session_index"])
    if teacher is None:
        reconstruction = latent_loss(masked, clean, mask)
    else:
        with torch.no_grad():
            target = teacher.process(teacher.encode(batch))
        reconstruction = latent_loss(_levelled(masked), _levelled(target), mask)
    cross_entropy = direction_loss(logits, batch["direction"], label_smoothing)
    return Loss(
        reconstruction + aux_weight * cross_entropy,
        {
            "reconstruction": reconstruction.detach(),
            "cross_entropy": cross_entropy.detach(),
            "latent_spread": latent_spread(clean),
        },
    )


def _levelled(z: Tensor) -> Tensor:
    """Latents of mean 0 and variance 1 over their channels: their size alone cannot lower or raise the error."""
    return functional.layer_norm(z, z.shape[-1:])
