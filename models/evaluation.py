"""A model's answers, one row a window, to be judged by :mod:`poyodata.models.metrics`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from poyodata.errors import ModelError
from poyodata.models.batches import Batches, ModelBatches, to_device
from poyodata.models.losses import UNLABELLED
from poyodata.models.poyo import PoyoPlus


def evaluate(model: PoyoPlus, loader: Batches, *, logits: bool = False) -> pd.DataFrame:
    """Answers of a model to every labelled window of a loader; the model and the random state stay as they are.

    Parameters
    ----------
    model : PoyoPlus
        Must have a row for every neuron and recording of the loader.
    loader : iterable of batch
        One pass over it is taken, as its epoch 0.
    logits : bool
        Whether columns ``logit_0`` and on are added.

    Returns
    -------
    DataFrame
        Columns session_id, trial, start_frame, target, prediction, sorted by session and start_frame.
        Windows without a direction (blank sweeps) have no row.

    Raises
    ------
    ModelError
        If no window has a direction, or a neuron has no row in the model.

    Examples
    --------
    >>> from poyodata.models.config import PoyoConfig
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> batch = {
    ...     "values": torch.zeros(2, 1, 60), "neuron_index": torch.ones(2, 1, dtype=torch.int64),
    ...     "neuron_mask": torch.ones(2, 1, dtype=torch.bool), "session_index": torch.zeros(2, dtype=torch.int64),
    ...     "direction": torch.tensor([3, -1]), "trial": torch.tensor([0, 1]), "start_frame": torch.tensor([8, 99]),
    ... }
    >>> evaluate(model, [batch])[["session_id", "trial", "target"]].values.tolist()
    [['a', 0, 3]]
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts: list[pd.DataFrame] = []
    try:
        with torch.inference_mode():
            for batch in ModelBatches(loader, model).epoch(0):
                outputs = model(to_device(batch, device)).float().cpu().numpy()
                part = pd.DataFrame(
                    {
                        "session_id": [model.session_ids[i] for i in batch["session_index"].tolist()],
                        "trial": batch["trial"].cpu().numpy(),
                        "start_frame": batch["start_frame"].cpu().numpy(),
                        "target": batch["direction"].cpu().numpy(),
                        "prediction": outputs.argmax(axis=1).astype(np.int64),
                    }
                )
                if logits:
                    part[[f"logit_{i}" for i in range(outputs.shape[1])]] = outputs
                parts.append(part[part["target"] != UNLABELLED])
    finally:
        model.train(was_training)
    if not any(len(part) for part in parts):
        raise ModelError(
            "no window of the loader has a direction; choose a role and a stimulus that has labelled trials"
        )
    answers = pd.concat(parts, ignore_index=True)
    return answers.sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)
