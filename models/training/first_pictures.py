"""The pictures that new decoders begin with: what all training frames have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import torch

from poyodata.loaders.loader import Loader
from poyodata.loaders.targets.movie import MovieTarget
from poyodata.models.pixels import ImageDecoder
from poyodata.models.poyo import PoyoPlus


def begin_with_pictures(model: PoyoPlus, loader: Loader, known: Collection[str] = ()) -> None:
    """Let decoders of pictures begin with the mean of the frames that training windows show.

    Parameters
    ----------
    model : PoyoPlus
    loader : Loader
        Of the training windows; of a target that is not of a movie, nothing is known.
    known : collection of str
        Tasks whose decoders have learnt before, and stay as they are.
    """
    targets = {name: target for target in loader.targets for name in target.columns}
    for task in model.tasks:
        target = targets.get(task.columns[0])
        if task.kind == "image" and task.name not in known and isinstance(target, MovieTarget):
            decoder = cast(ImageDecoder, model.readouts.heads[task.name])
            decoder.begin_with(torch.from_numpy(target.mean_frame(loader.windows)))
