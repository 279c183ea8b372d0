"""The teacher of masked latent reconstruction: a slow average of the model, without dropout.

The published objective compares masked latents with the model's own unmasked ones. Nothing then keeps latents at their
size: the error grows without bound (a test watches it), and fine-tuning starts from a model whose latents hardly
depend on the windows. Rejected: dividing the error by the latents' spread over the batch, which stops the growth and
little else. Comparing layer-normalised latents with those of an average of past models, as data2vec does (Baevski et
al. 2022), disturbed fine-tuning least and is the default; ``TrainConfig(target="self")`` is the formula as published.
"""

from __future__ import annotations

import copy

import torch

from poyodata.models.poyo import PoyoPlus


class Teacher:
    """A copy of a model that follows it slowly.

    Parameters
    ----------
    model : PoyoPlus
        Where the average starts.
    rate : float
        Share of the way to the model that it goes at every :meth:`follow`.

    Attributes
    ----------
    model : PoyoPlus
        The average, never in training mode; a run that is to go on keeps its ``state_dict``.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> teacher = Teacher(model, rate=0.5)
    >>> _ = torch.nn.init.constant_(model.latents, 1.0), torch.nn.init.constant_(teacher.model.latents, 0.0)
    >>> teacher.follow(model)
    >>> teacher.model.latents[0, :2].tolist()
    [0.5, 0.5]
    """

    def __init__(self, model: PoyoPlus, rate: float) -> None:
        self.rate = rate
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, model: PoyoPlus) -> None:
        """Go a step towards the model."""
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), self.rate)
