"""`TrainingPlan`: what a stage of training would take, before it is started."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from poyodata.loaders.loader import Loader
from poyodata.models.batches import shown_names
from poyodata.models.config import PoyoConfig
from poyodata.models.recipes.recipe import TrainingRecipe

FLOAT = 4
IMPORT_MB = 550.0
"""What a process has taken when torch and Lightning are imported, before there is a model."""


@dataclass(frozen=True)
class TrainingPlan:
    """Sizes and counts of one stage.

    Attributes
    ----------
    stage : str
    recipe : str
        Its name; `recipe_digest` is its digest.
    manifest_digest : str
    recordings, neurons, windows : int
        To learn from.
    size : str
        Name of the size of the model.
    parameters, embeddings : int
        Of the model in all, and those of them that are rows of neurons and recordings: those that are learnt from, and
        those that the run before knows.
    batch_size, batches : int
        Windows of a batch; batches of one pass over the training windows.
    steps : int
        Optimiser steps.
    windows_seen : int
        Windows over all steps, so far as batches are full.
    latents : int
        Latents of one window.
    tokens_per_window : float
        Input tokens of one window: frames, in patches, of the neurons shown; the mean over windows, before neurons
        are dropped.
    tokens_seen : float
        Over all steps.
    memory_mb : float
        Rough: weights, gradients and optimiser state, and activations of one step, in float32, above what the imported
        libraries take (`IMPORT_MB`).
    """

    stage: str
    recipe: str
    recipe_digest: str
    manifest_digest: str
    recordings: int
    neurons: int
    windows: int
    size: str
    parameters: int
    embeddings: int
    batch_size: int
    batches: int
    steps: int
    windows_seen: int
    latents: int
    tokens_per_window: float
    tokens_seen: float
    memory_mb: float

    def facts(self) -> dict[str, Any]:
        """Everything by name, as JSON has it."""
        return asdict(self)


def steps_of(recipe: TrainingRecipe, batches: int) -> int:
    """Optimiser steps: as given, or as many as the epochs take.

    Parameters
    ----------
    recipe : TrainingRecipe
    batches : int
        Of one pass.
    """
    if recipe.epochs is None:
        return recipe.train.steps
    return max(1, round(recipe.epochs * batches / recipe.train.accumulate))


def make_plan(
    recipe: TrainingRecipe, config: PoyoConfig, loader: Loader, parameters: int, embeddings: int
) -> TrainingPlan:
    """Count what a stage would take.

    Parameters
    ----------
    recipe : TrainingRecipe
    config : PoyoConfig
        Of the model, for the windows of the loader.
    loader : Loader
        Of the training windows.
    parameters, embeddings : int
        Of the model.
    """
    windows, names = loader.windows, shown_names(loader)
    steps = steps_of(recipe, len(loader))
    own = loader.view.manifest.neurons["session_id"].value_counts()
    counts = [int(own[name]) for name in windows.session_ids]
    shown = _neurons_shown(windows.session_index, windows.count, counts)
    seen = steps * recipe.batch_size * recipe.train.accumulate * loader.ranks.world
    tokens = shown * config.n_patches
    return TrainingPlan(
        stage=recipe.stage,
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        manifest_digest=loader.view.manifest.digest,
        recordings=len(names.sessions),
        neurons=len(names.neurons),
        windows=len(windows),
        size=config.name,
        parameters=parameters,
        embeddings=embeddings,
        batch_size=recipe.batch_size,
        batches=len(loader),
        steps=steps,
        windows_seen=seen,
        latents=config.n_latents,
        tokens_per_window=round(tokens, 1),
        tokens_seen=round(tokens * seen, 1),
        memory_mb=round(memory_mb(config, recipe, parameters, max(counts, default=0)), 1),
    )


def _neurons_shown(session_index: Any, count: Any, neurons: list[int]) -> float:
    """Mean number of neurons of a window."""
    total = int(sum(int(n) for n in count))
    weighted = sum(neurons[int(at)] * int(n) for at, n in zip(session_index, count, strict=True))
    return weighted / max(1, total)


def memory_mb(config: PoyoConfig, recipe: TrainingRecipe, parameters: int, neurons: int) -> float:
    """Memory of training above what imports take, in MB: a rough count of what a step keeps for its way back.

    Parameters
    ----------
    config : PoyoConfig
    recipe : TrainingRecipe
    parameters : int
    neurons : int
        Of the widest recording.
    """
    tokens, latents, dim = neurons * config.n_patches, config.n_latents, config.dim
    cross, inner = config.cross_heads * config.dim_head, config.self_heads * config.dim_head
    masked = recipe.train.objective == "masked"
    # Tokens: projected, normalised, keys and values, and the gradients of these.
    encoder = 2 * tokens * (2 * config.context_dim + 2 * cross)
    feed = dim * (3 + 3 * config.ffn_mult)
    layer = latents * (4 * dim + 4 * inner + feed)
    branches = 2 if masked else 1
    processor = branches * config.depth * layer
    if config.attention_dropout > 0:
        encoder += 4 * config.cross_heads * latents * tokens
        processor += branches * config.depth * 4 * config.self_heads * latents**2
    step = recipe.batch_size * (encoder + processor) * FLOAT
    # Weights, gradients, and two moments; the slow average of the model is one copy more.
    copies = 5 if masked and recipe.train.target == "average" else 4
    return (copies * parameters * FLOAT + step) / 1e6


def readable(number: float) -> str:
    """Write a count as people say it.

    Examples
    --------
    >>> readable(327_911_982), readable(1_269_120), readable(4096), readable(57)
    ('327.9 M', '1.3 M', '4.1 k', '57')
    """
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.1f} {letter}"
    return f"{math.floor(number)}"


def plan_text(plan: Mapping[str, Any]) -> str:
    """Say a plan in lines."""
    rows = (
        ("learns from", f"{plan['windows']:,} windows, {plan['neurons']:,} neurons, {plan['recordings']:,} recordings"),
        (
            "model",
            f"{plan['size']}, {plan['parameters']:,} parameters ({readable(plan['embeddings'])} of them rows of "
            f"neurons and recordings), {plan['latents']} latents",
        ),
        ("steps", f"{plan['steps']:,} of {plan['batch_size']} windows; one pass is {plan['batches']:,} batches"),
        (
            "tokens",
            f"{readable(plan['tokens_per_window'])} a window, {readable(plan['tokens_seen'])} in all (before neurons "
            "are dropped)",
        ),
        ("memory", f"about {plan['memory_mb']:,.0f} MB above {IMPORT_MB:.0f} MB of imported libraries, in float32"),
    )
    return "\n".join(f"{name:<12}{text}" for name, text in rows)
