"""`Run`: what a training run was and did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Run:
    """What a training run was and did.

    Attributes
    ----------
    config : TrainConfig
        How it was trained.
    history : DataFrame
        One row a step: step (from 1), loss, the loss's terms, lr, gradient_norm (before clipping), windows.
    seconds : float
        Wall time of all steps.
    steps, windows : int
        Steps taken and windows seen.
    parameters : int
        Parameters of the model, embeddings included.
    manifest_digest : str or None
        Digest of the manifest that was trained on.
    folder : Path or None
        Where the run lies: see `poyodata.models.training.folder`.
    model : PoyoPlus
        What was trained, in evaluation mode.
    validation : DataFrame
        One row a validation: step and what was measured; empty where there was none.
    best : mapping or None
        ``step``, ``metric`` and ``value`` of the best validation.
    lineage : Lineage
        The stages behind the model, this one last.
    warnings : tuple of str
        What its numbers must be read with: that latents collapsed.
    """

    config: TrainConfig
    history: pd.DataFrame
    seconds: float
    steps: int
    windows: int
    parameters: int
    manifest_digest: str | None
    folder: Path | None
    model: PoyoPlus = field(repr=False, compare=False)
    validation: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    best: Mapping[str, Any] | None = None
    lineage: Lineage = ()
    warnings: tuple[str, ...] = ()

    @property
    def losses(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Loss of every step, shape (steps,), float64."""
        return self.history["loss"].to_numpy(dtype=np.float64)
