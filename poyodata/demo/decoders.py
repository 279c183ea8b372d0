"""Decoders of a demo, each scored on exactly the same held-out trials and neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation import Manifest
from poyodata.errors import UsageError
from poyodata.loaders import Loader, make_loader
from poyodata.progress import Advance, stage
from poyodata.store import Store

if TYPE_CHECKING:
    from poyodata.models import PoyoPlus, Run


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a demo reads and trains. Steps are optimiser steps of `batch_size` windows.

    Attributes
    ----------
    window_s : float, seconds
        From the onset of the grating.
    jitter_frames : int
        Training windows start up to this many frames early or late.
    scratch_steps, pretrain_steps, finetune_steps : int
        The two roads are of one length: ``pretrain_steps + finetune_steps == scratch_steps``.
    pretrain_lr, lr : float
        Peak learning rates of masked reconstruction and of direction training.
    """

    window_s: float = 2.66
    jitter_frames: int = 3
    batch_size: int = 32
    scratch_steps: int = 1500
    pretrain_steps: int = 500
    pretrain_lr: float = 2e-3
    lr: float = 2e-3
    seed: int = 0

    @property
    def finetune_steps(self) -> int:
        """What is left of `scratch_steps` after pretraining."""
        return self.scratch_steps - self.pretrain_steps

    def loader(self, store: Store, manifest: Manifest, role: str) -> Loader:
        """Trial-aligned windows of one role; only training windows are shuffled and jittered."""
        return make_loader(
            store,
            manifest,
            role,
            window_s=self.window_s,
            batch_size=self.batch_size,
            seed=self.seed,
            jitter_frames=self.jitter_frames if role == "train" else 0,
        )


def trial_means(
    loader: Loader,
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Mean of each neuron over each window, by recording: features (trial, neuron), directions, trial numbers.

    Blank sweeps are left out: they have no direction.
    """
    rows: dict[str, list[tuple[npt.NDArray[np.float64], int, int]]] = {key: [] for key in loader.session_ids}
    for batch in loader:
        means = batch["values"].mean(dim=2).double().numpy()
        mask = batch["neuron_mask"].numpy()
        for at, (session, direction, trial) in enumerate(
            zip(batch["session_index"].tolist(), batch["direction"].tolist(), batch["trial"].tolist(), strict=True)
        ):
            if direction >= 0:
                rows[loader.session_ids[session]].append((means[at, mask[at]], direction, trial))
    return {
        key: (
            np.stack([x for x, _, _ in found]),
            np.array([y for _, y, _ in found]),
            np.array([t for _, _, t in found]),
        )
        for key, found in rows.items()
        if found
    }


def ridge_predictions(recipe: Recipe, store: Store, manifest: Manifest) -> pd.DataFrame:
    """One ridge decoder a recording, fitted on its train trials and asked about its test trials.

    Returns
    -------
    DataFrame with ``session_id``, ``trial``, ``target``, ``prediction``
    """
    from poyodata.models import RidgeDecoder

    still = replace(recipe, jitter_frames=0)
    train = trial_means(still.loader(store, manifest, "train"))
    test = trial_means(still.loader(store, manifest, "test"))
    found = []
    for key, (features, target, trial) in test.items():
        if key not in train:
            continue
        decoder = RidgeDecoder().fit(*train[key][:2])
        found.append(
            pd.DataFrame({"session_id": key, "trial": trial, "target": target, "prediction": decoder.predict(features)})
        )
    return pd.concat(found, ignore_index=True)


@dataclass(frozen=True)
class Lesson:
    """One stage of training: what is eaten, by which objective, for how long."""

    name: str
    manifest: Manifest
    objective: Literal["direction", "masked"]
    steps: int


def train_poyo(
    recipe: Recipe, store: Store, lessons: Sequence[Lesson], *, seed: int, label: str
) -> tuple[PoyoPlus, list[Run]]:
    """Train `poyo-tiny` through one or more lessons, with a progress bar for each.

    Units keep what earlier lessons taught them; neurons that a later lesson brings get rows of their own.
    """
    from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, train

    runs: list[Run] = []
    model: PoyoPlus | None = None
    for lesson in lessons:
        loader = recipe.loader(store, lesson.manifest, "train")
        if model is None:
            config = PoyoConfig.named("poyo-tiny", window_frames=loader.windows.n_frames, rate_hz=loader.rate_hz)
            model = PoyoPlus(config, loader.neuron_ids, loader.session_ids, seed=seed)
        lr = recipe.pretrain_lr if lesson.objective == "masked" else recipe.lr
        settings = TrainConfig(steps=lesson.steps, seed=seed, objective=lesson.objective, lr=lr)
        with stage(f"{label}: {lesson.name}", lesson.steps, "steps") as advance:
            digest = lesson.manifest.digest
            told = _each_step(advance)
            runs.append(train(model, loader, settings, manifest_digest=digest, progress=False, on_step=told))
    if model is None:
        raise UsageError("training needs at least one lesson; none was given.")
    return model, runs


def _each_step(advance: Advance) -> Callable[[int, float], None]:
    def told(_step: int, _loss: float) -> None:
        advance(1)

    return told


def poyo_predictions(recipe: Recipe, store: Store, manifest: Manifest, model: PoyoPlus) -> pd.DataFrame:
    """Answers of a model to the test trials of a manifest: ``session_id``, ``trial``, ``target``, ``prediction``."""
    from poyodata.models import evaluate

    return evaluate(model, recipe.loader(store, manifest, "test"))
