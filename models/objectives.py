"""What training minimises: answers to tasks, and reconstruction of masked latents.

As published, half of the latent time steps, the last ones, are masked after the encoder; masked and clean latents go
through the same processor; the loss is the L1 distance of the two over the masked latents plus 0.01 times the
cross-entropy of the clean ones. :meth:`MaskedLatents.legacy` is what the released code does instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from poyodata.errors import ModelError, nearest
from poyodata.models import image_losses
from poyodata.models.collapse import latent_rank, latent_spread
from poyodata.models.masking import MaskMode, latent_mask, replace_latents
from poyodata.models.multitask import Loss, Per, PictureLoss, known_answers, multitask_loss, tasks_in, windows_of
from poyodata.models.poyo import PoyoPlus

__all__ = [
    "Loss",
    "MaskedLatents",
    "PictureLoss",
    "latent_loss",
    "latent_terms",
    "masked_objective",
    "multitask_loss",
    "supervised_objective",
]

Distance = Literal["l1", "mse"]
Where = Literal["masked", "all"]
Target = Literal["average", "self"]
Fill = Literal["token", "zero"]


@dataclass(frozen=True, slots=True)
class MaskedLatents:
    """How masked latents are reconstructed.

    Attributes
    ----------
    mode : {"causal", "random_tokens", "channels", "one_channel"}
        What is masked; see :func:`poyodata.models.masking.latent_mask`.
    rate : float
        Share that is masked, in (0, 1).
    loss : {"l1", "mse"}
        Distance of reconstructed latents from the target.
    where : {"masked", "all"}
        Which latents are compared.
    stop_gradient : bool
        Whether the target stands still. Without it the target also moves towards what is easy to reconstruct.
    target : {"average", "self"}
        ``average``: processed latents of a slow average of the model, both sides layer-normalised (see
        `poyodata.models.teacher` for why). ``self``: the model's own, compared as they are, as published.
    aux_weight : float
        Weight of the tasks' loss beside the reconstruction.
    fill : {"token", "zero"}
        What stands in place of masked latents: a learned token plus the latent's own initial embedding, or 0.
    residual : bool
        Whether the masked branch keeps the encoder's residuals. Without, it is encoded a second time.
    per : {"mean", "windows"}
        ``windows``: the loss is multiplied by the number of windows with an answer to the last task.

    The last three are by default ``token``, True and ``mean``; with the mode ``one_channel``, which is the released
    code's alone, they are its ``zero``, False and ``windows``.

    Examples
    --------
    >>> MaskedLatents().mode, MaskedLatents().aux_weight
    ('causal', 0.01)
    """

    mode: MaskMode = "causal"
    rate: float = 0.5
    loss: Distance = "l1"
    where: Where = "masked"
    stop_gradient: bool = True
    target: Target = "average"
    aux_weight: float = 0.01
    fill: Fill | None = None
    residual: bool | None = None
    per: Per | None = None

    def __post_init__(self) -> None:
        released = self.mode == "one_channel"
        by_mode = (("fill", "zero" if released else "token"), ("residual", not released))
        for name, value in (*by_mode, ("per", "windows" if released else "mean")):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        options = (("mode", MaskMode), ("loss", Distance), ("where", Where), ("target", Target), ("fill", Fill))
        for name, kinds in (*options, ("per", Per)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise ModelError(f"MaskedLatents: {name}={value!r}; {nearest(str(value), get_args(kinds))}")
        if not 0 < self.rate < 1:
            raise ModelError(f"MaskedLatents: rate={self.rate} is no share between 0 and 1")
        if not self.aux_weight >= 0:
            raise ModelError(f"MaskedLatents: aux_weight={self.aux_weight} is below 0; a weight is 0 or more")

    @classmethod
    def paper(cls) -> MaskedLatents:
        """Make the published formula: L1 between masked latents and the model's own, which stand still.

        Whether they stand still is not published; without it the formula has a gradient towards collapse.

        Examples
        --------
        >>> MaskedLatents.paper().target
        'self'
        """
        return cls(target="self")

    @classmethod
    def legacy(cls) -> MaskedLatents:
        """Make what the released code does in pretraining, as its configuration is shipped.

        Reproduced exactly (``kirby/nn/perceiver_rotary.py:197-290``, ``multitask_readout.py:312-328``): the masked
        branch is a second call of the cross-attention with dropout of its own, without its residual; one channel,
        ``dim - int(dim / 2)``, is zeroed (line 218 lacks a colon); the encoder's feed-forward follows, again without
        residual; both branches share the processor; the squared error is taken over all latents and channels; both
        branches get its gradient; tasks are read from the unmasked branch; and the sum of squared error and weighted
        task losses, both of weight 1, is multiplied by the number of windows with an answer.

        Not reproduced: where no task has an answer the released code ends in a NameError; here the number is 0. The
        order in which dropout draws. What does not concern the objective is elsewhere: the latents' window of 1 s and
        start and end tokens in ``PoyoConfig(layout="legacy")``, LAMB, its decay and rates in `optimizers` and
        `schedules`.

        Examples
        --------
        >>> MaskedLatents.legacy().loss
        'mse'
        """
        return cls(
            mode="one_channel",
            rate=0.5,
            loss="mse",
            where="all",
            stop_gradient=False,
            target="self",
            aux_weight=1.0,
            fill="zero",
            residual=False,
            per="windows",
        )


def supervised_objective(
    model: PoyoPlus,
    batch: Mapping[str, Tensor],
    *,
    label_smoothing: float = 0.0,
    image_loss: PictureLoss = image_losses.image_loss,
) -> Loss:
    """What a model's answers cost on a batch; see :func:`~poyodata.models.multitask.multitask_loss`.

    Identifying movie frames is a task like others: ``PoyoConfig(tasks=("movie_frame",))``, a class for each frame.

    Parameters
    ----------
    model : PoyoPlus
        The model; its tasks are asked as far as the batch answers them.
    batch : mapping of str to Tensor
        A batch with columns of the tasks.
    label_smoothing : float
        Share of the target spread over all classes.
    image_loss : callable, optional
        What pictures cost; by default the published sum of terms.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> batch = {
    ...     "values": torch.zeros(2, 1, 60), "neuron_index": torch.ones(2, 1, dtype=torch.int64),
    ...     "neuron_mask": torch.ones(2, 1, dtype=torch.bool), "session_index": torch.zeros(2, dtype=torch.int64),
    ...     "direction": torch.tensor([3, -1]),
    ... }
    >>> sorted(supervised_objective(model, batch).terms)
    ['direction', 'direction_count']
    """
    asked = tasks_in(batch, model.tasks)
    outputs = model(batch, [task.name for task in asked]) if asked else {}
    return multitask_loss(outputs, batch, asked or model.tasks, label_smoothing=label_smoothing, image_loss=image_loss)


def masked_objective(
    model: PoyoPlus,
    batch: Mapping[str, Tensor],
    options: MaskedLatents | None = None,
    *,
    teacher: PoyoPlus | None = None,
    rng: np.random.Generator | None = None,
    label_smoothing: float = 0.0,
    image_loss: PictureLoss = image_losses.image_loss,
) -> Loss:
    """Masked latent reconstruction plus `aux_weight` times what the clean branch's answers cost.

    The windows are encoded once. A copy of the latents has a part replaced; both copies go through the shared processor
    as one batch of twice the size, and are compared after it. A batch that answers no task is reconstructed alone.

    Parameters
    ----------
    model : PoyoPlus
        The model.
    batch : mapping of str to Tensor
        A batch, with columns of the tasks where there are answers.
    options : MaskedLatents, optional
        How; by default ``MaskedLatents()``.
    teacher : PoyoPlus, optional
        The slow average of the model; for the target ``average`` alone.
    rng : numpy.random.Generator, optional
        Draws of the random masks.
    label_smoothing : float
        Share of the target spread over all classes.
    image_loss : callable, optional
        What pictures cost; by default the published sum of terms.

    Returns
    -------
    Loss
        With terms ``reconstruction``, ``supervised`` (the tasks' weighted sum, 0 where none is answered), those of the
        tasks, and the collapse monitor, ``latent_spread`` and ``latent_rank``: of the teacher's latents, or of the
        model's in evaluation mode. Dropout alone would make latents of equal windows differ, so that of a model in
        training nothing is measured here; see :func:`latent_terms`.

    Raises
    ------
    ModelError
        If the teacher is missing or not asked for, or the latents are too few to mask a part of.
    """
    options = MaskedLatents() if options is None else options
    if (teacher is None) == (options.target == "average"):
        raise ModelError(
            f"the target {options.target!r} {'needs a' if teacher is None else 'has no'} teacher; "
            + ("pass a Teacher's model, or choose target='self'" if teacher is None else "leave it out")
        )
    config = model.config
    mask = latent_mask(
        options.mode,
        options.rate,
        n_steps=config.n_steps,
        latents_per_step=config.latents_per_step,
        dim=config.dim,
        n_windows=len(batch["values"]),
        rng=rng,
        device=batch["values"].device,
    )
    fill = (model.mask_token + model.latents).repeat(config.n_steps, 1) if options.fill == "token" else 0.0
    z = model.encode(batch)
    if options.residual:
        hidden = replace_latents(z, mask, fill)
    else:
        hidden = model.perceiver.read_ffn(replace_latents(model.read(batch), mask, fill))
    masked, clean = model.process(torch.cat((hidden, z))).chunk(2)

    still: Tensor | None = None if model.training else clean
    if teacher is None:
        target = clean.detach() if options.stop_gradient else clean
        reconstruction = latent_loss(masked, target, mask, options.loss, options.where)
    else:
        with torch.no_grad():
            still = target = teacher.process(teacher.encode(batch))
        reconstruction = latent_loss(_levelled(masked), _levelled(target), mask, options.loss, options.where)

    asked = tasks_in(batch, model.tasks)
    if asked:
        outputs = model.decode(clean, batch["session_index"], [task.name for task in asked])
        supervised = multitask_loss(
            outputs, batch, asked, label_smoothing=label_smoothing, image_loss=image_loss, per=options.per or "mean"
        )
    else:
        supervised = Loss(torch.zeros_like(reconstruction), {})
    by_windows = options.per == "windows" and bool(asked)
    scale = windows_of(known_answers(asked[-1], batch)) if by_windows else 1
    sums = {
        "supervised": supervised.sums.get("loss", {}),
        "loss": {"reconstruction": 1.0, "supervised": options.aux_weight},
    }
    return Loss(
        scale * reconstruction + options.aux_weight * supervised.total,
        {
            "reconstruction": reconstruction.detach(),
            "supervised": supervised.total.detach(),
            **supervised.terms,
            **({} if still is None else _spread_and_rank(still)),
        },
        {} if by_windows else sums,
    )


def latent_terms(model: PoyoPlus, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The collapse monitor of a model in any mode: ``latent_spread`` and ``latent_rank`` as they are without dropout.

    It takes a forward pass of its own, so that it is for now and then.

    Parameters
    ----------
    model : PoyoPlus
        Its mode, and the random state, stay as they are.
    batch : mapping of str to Tensor
        Windows.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"]).train()
    >>> batch = {"values": torch.ones(2, 1, 60), "neuron_index": torch.ones(2, 1, dtype=torch.int64)}
    >>> latent_terms(model, batch)["latent_spread"].item()
    0.0
    """
    return _spread_and_rank(model.trajectory(batch)[-1])


def _spread_and_rank(z: Tensor) -> dict[str, Tensor]:
    return {"latent_spread": latent_spread(z), "latent_rank": latent_rank(z)}


def latent_loss(
    predicted: Tensor, target: Tensor, mask: Tensor, loss: Distance = "l1", where: Where = "masked"
) -> Tensor:
    """Mean distance of latents, over what is masked or over all.

    Parameters
    ----------
    predicted, target : Tensor, shape (batch, latent, dim)
        Processed latents with and without masking.
    mask : Tensor, bool
        True where they were masked; of a shape that broadcasts to that of the latents.
    loss : {"l1", "mse"}
        Absolute or squared differences.
    where : {"masked", "all"}
        Which are compared.

    Examples
    --------
    >>> mask = torch.tensor([False, True])[None, :, None]
    >>> latent_loss(torch.zeros(1, 2, 3), torch.tensor([[[5.0], [2.0]]]).expand(1, 2, 3), mask, "mse").item()
    4.0
    """
    difference = predicted.float() - target.float()
    distance = difference.abs() if loss == "l1" else difference.square()
    if where == "all":
        return distance.mean()
    # Weights, not an index: how many are masked is for the device to know, and the shape must not depend on it.
    return (distance * mask).sum() / (mask.sum() * (distance.numel() // mask.numel()))


def _levelled(z: Tensor) -> Tensor:
    """Latents of mean 0 and variance 1 over their channels: their size alone cannot lower or raise the error."""
    return functional.layer_norm(z, z.shape[-1:])
