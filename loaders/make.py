"""`make_loader`: from a manifest and a recipe to a loader; everything that can be wrong is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from poyodata.curation.manifest import Manifest
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.arguments import By, Mode, recipe_of, require_one_of
from poyodata.loaders.loader import LEARNING, Layout, Loader
from poyodata.loaders.plan import Changes
from poyodata.loaders.recipe import Recipe, SamplingChoice, WindowsChoice
from poyodata.loaders.sampling import (
    Ranks,
    Sampler,
    balanced,
    groups_by,
    same_recording,
    term_weights,
    uniform,
    weighted,
)
from poyodata.loaders.sources import Access, TraceSource
from poyodata.loaders.targets import NeuronColumns, make_targets
from poyodata.loaders.transforms import Normalisation, fit_normalisation, identity_normalisation
from poyodata.loaders.views import ViewPairs
from poyodata.loaders.windows import WindowIndex, fixed_windows, frame_windows, trial_windows, whole_windows
from poyodata.loaders.windows.missing import drop_missing, missing_frames
from poyodata.loaders.windows.stretches import STRIDE
from poyodata.store import Store

ROLES = ("train", "valid", "test", "identify")
RATE_TOLERANCE = 0.02


def make_loader(
    store: Store,
    manifest: Manifest,
    split: str = "train",
    *,
    window_s: float | None = None,
    batch_size: int = 8,
    seed: int = 0,
    mode: Mode | None = None,
    offset_s: float | None = None,
    jitter_frames: int | None = None,
    shuffle: bool | None = None,
    normalise: bool | By | Normalisation | None = None,
    targets: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    sampling: str | SamplingChoice | None = None,
    layout: Layout | None = None,
    recipe: Recipe | None = None,
    neuron_columns: Sequence[str] = (),
    rank: int = 0,
    world: int = 1,
    tail: Literal["keep", "drop"] | None = None,
    prefetch: int = 0,
    access: Access = "auto",
    packed: str | Path | None = None,
) -> Loader:
    """Make a loader for one role of a manifest.

    What is shown and how is said by the arguments up to `layout`, or by a `recipe`, but not by both.

    Parameters
    ----------
    store : Store
        The store the manifest was resolved on; another is refused.
    manifest : Manifest
    split : str
        Role to read: ``train``, ``valid``, ``test`` or ``identify``.
    window_s : float, seconds
        Length of a window; every window of every recording has the same number of frames. With mode ``frames`` one
        frame by default; not for ``whole``.
    batch_size : int
        Windows of a batch of this rank.
    seed : int
        With the epoch, decides the order, the phase of fixed windows and all that is random.
    mode : {"trial", "fixed", "frames", "whole"}
        ``trial`` (default): one window for each trial, `offset_s` after its onset. ``fixed``: back-to-back windows
        through every stretch of the role. ``frames``: one at every frame, as decoders of movies read. ``whole``: every
        stretch in one window.
    offset_s : float, seconds
        Only with ``trial``; negative starts before the onset.
    jitter_frames : int
        Move every window by up to this many frames. Only in the roles to learn from.
    shuffle : bool, optional
        Default: True in the roles to learn from, else windows come in time order, recording by recording.
    normalise : bool, {"neuron", "recording"} or Normalisation
        Centre and scale by train-role mean and standard deviation, of every neuron (default; True) or recording. A
        `Normalisation` is used as it is: that of another loader of this manifest, or a saved one.
    targets : sequence of str, or mapping of str to options
        What batches hold beside the traces (`poyodata.loaders.targets.make_target`). Default: ``direction``, which is
        -1 where the windows have none.
    sampling : {"uniform", "same-recording"} or SamplingChoice
        ``SamplingChoice("balanced", by="direction_deg")``, ``SamplingChoice("weighted", weights={...})``.
    layout : {"dense", "tokens", "token-views", "jagged"}
        See `poyodata.loaders.batches`.
    recipe : Recipe, optional
        Says all of the above from a YAML file.
    neuron_columns : sequence of str
        Metadata and statistics of every neuron that go along, as ``neuron_<name>`` (batch, neuron).
    rank, world : int
        This process, and how many share an epoch.
    tail : {"keep", "drop"}, optional
        What becomes of windows that do not divide evenly among ranks (`Ranks`). Default: ``drop`` where several ranks
        learn, else ``keep``.
    prefetch : {0, 1}
        Threads that make batches ahead.
    access : {"auto", "mapped", "packed", "memory"}
        How traces are reached (`TraceSource`).
    packed : path, optional
        Folder for a packed copy of the diet.

    Returns
    -------
    Loader

    Raises
    ------
    UsageError
        An unknown role, mode, target or other name: the nearest known one is named.
    LoaderError
        No window fits or none is without missing frames, rates of the recordings differ, a target can never be had, or
        a value is out of range: before training starts.
    ManifestError
        The manifest belongs to another store, or to an earlier state of this one.
    """
    require_one_of("role", split, ROLES)
    if batch_size < 1:
        raise LoaderError(f"batch_size is {batch_size}; it must be at least 1.")
    if seed < 0:
        raise LoaderError(f"seed is {seed}; seeds are not negative.")
    if prefetch not in (0, 1):
        raise LoaderError(f"prefetch is {prefetch}; one thread is enough for any model, so it is 0 or 1.")
    always_direction = targets is None and recipe is None
    said = {
        "window_s": window_s,
        "mode": mode,
        "offset_s": offset_s,
        "jitter_frames": jitter_frames,
        "shuffle": shuffle,
        "normalise": None if isinstance(normalise, Normalisation) else normalise,
        "targets": targets,
        "sampling": sampling,
        "layout": layout,
    }
    if recipe is None:
        recipe = recipe_of(
            split,
            manifest,
            window_s=window_s,
            mode=mode,
            offset_s=offset_s,
            jitter_frames=jitter_frames,
            shuffle=shuffle,
            normalise=normalise,
            targets=targets,
            sampling=sampling,
            layout=layout,
        )
    elif twice := [name for name, value in said.items() if value is not None]:
        raise LoaderError(f"the recipe says {' and '.join(twice)}; say it there or here, and not in both places.")
    learning = split in LEARNING
    view = manifest.open(store)
    _check_neurons(view)
    rate_hz = _common_rate(view)
    shuffled = learning if recipe.sampling.shuffle is None else recipe.sampling.shuffle
    index, pairs = _windows(view, split, recipe, rate_hz, shuffled and learning)
    _check_layout(recipe, index)
    changes = _changes(view, recipe, learning, pairs)
    made = make_targets(recipe.targets, view) if pairs is None else ()
    if pairs is not None and recipe.targets:
        raise LoaderError("two views are pairs of windows, which have no targets; leave `targets` out of the recipe.")
    for target in made:
        target.check(view, index)
    ranks = Ranks.for_role(split, rank, world) if tail is None else Ranks(rank, world, tail)
    sampler = _sampler(view, index, recipe.sampling, batch_size, seed, ranks, shuffled)
    columns = NeuronColumns(view, neuron_columns) if neuron_columns else None
    source = TraceSource(view, access=access, packed=packed)
    normalisation = normalise if isinstance(normalise, Normalisation) else _normalisation(view, recipe)
    return Loader(
        view,
        index,
        sampler,
        source,
        role=split,
        seed=seed,
        batch_size=batch_size,
        ranks=ranks,
        rate_hz=rate_hz,
        normalisation=_for_view(normalisation, view),
        targets=made,
        neuron_columns=columns,
        changes=changes,
        layout=recipe.layout,
        prefetch=prefetch,
        recipe_digest=recipe.digest,
        always_direction=always_direction and pairs is None,
    )


def _check_neurons(view: View) -> None:
    """Every neuron must be where the manifest says; a column that is not there would be read from foreign memory."""
    own = view.manifest.neurons
    width = view.store.sessions.set_index("session_id")["n_neurons"].reindex(own["session_id"]).to_numpy(np.int64)
    column = own["column"].to_numpy(np.int64)
    gone = np.flatnonzero((column < 0) | (column >= width))
    if len(gone):
        first = own.iloc[gone[0]]
        raise LoaderError(
            f"neuron {first['neuron_id']!r} is not in recording {first['session_id']!r} any more, which has "
            f"{width[gone[0]]} neurons ({len(gone)} such); resolve the diet again."
        )


def _common_rate(view: View) -> float:
    rates = view.store.sessions.set_index("session_id").loc[list(view.session_ids), "rate_hz"]
    rate_hz = float(rates.median())
    if float((rates / rate_hz - 1).abs().max()) > RATE_TOLERANCE:
        raise LoaderError(
            f"recordings run at {rates.min():.2f} to {rates.max():.2f} Hz; one batch needs one rate. "
            "Load recordings of different rates with separate loaders."
        )
    return rate_hz


def _windows(
    view: View, role: str, recipe: Recipe, rate_hz: float, random: bool
) -> tuple[WindowIndex, ViewPairs | None]:
    """The windows of a role without those that hold a missing value, and the pairs of two views."""
    if recipe.views is not None:
        pairs = recipe.views.resolve(view, role, rate_hz, random_phase=random)
        _refuse_missing(view, pairs.index)
        return pairs.index, pairs
    choice = recipe.windows
    n_frames = _n_frames(choice, rate_hz)
    if choice.mode == "trial":
        index = trial_windows(view, role, n_frames, offset_frames=round(choice.offset_s * rate_hz))
    elif choice.mode == "fixed":
        hop = None if choice.hop_s is None else max(1, round(choice.hop_s * rate_hz))
        phase = random if choice.random_phase is None else choice.random_phase
        index = fixed_windows(view, role, n_frames, hop_frames=hop, random_phase=phase)
    elif choice.mode == "frames":
        index = frame_windows(view, role, n_frames, stimulus=choice.stimulus)
    else:
        index = whole_windows(view, role)
    return drop_missing(index, view), None


def _n_frames(choice: WindowsChoice, rate_hz: float) -> int:
    if choice.mode == "whole":
        return 0
    if choice.n_frames is not None:
        return choice.n_frames
    if choice.window_s is None:
        if choice.mode == "frames":
            return 1
        raise LoaderError(f"windows of mode {choice.mode!r} need their length; give window_s.")
    n_frames = round(choice.window_s * rate_hz)
    if n_frames < 1:
        raise LoaderError(
            f"window_s={choice.window_s} is less than one frame at {rate_hz:.2f} Hz; give at least {1 / rate_hz:.4f}."
        )
    return n_frames


def _refuse_missing(view: View, index: WindowIndex) -> None:
    """Second windows may lie anywhere in the stretches of the first ones, which so must be complete."""
    holes = missing_frames(view, [index.session_ids[at] for at in np.unique(index.session_index)])
    if len(holes):
        session_id = index.session_ids[int(holes[0, 0] // STRIDE)]
        raise LoaderError(
            f"two views need recordings without missing values, and selected neurons of {session_id!r} lack some; take "
            "a diet that excludes neurons with missing_fraction > 0, or ingest with --missing drop."
        )


def _check_layout(recipe: Recipe, index: WindowIndex) -> None:
    differ = bool((index.length != index.length[0]).any())
    if differ and recipe.layout in ("jagged", "token-views"):
        raise LoaderError(
            f"whole recordings differ in length, which layout {recipe.layout!r} cannot hold; use 'dense'."
        )
    values = [one.name for one in recipe.transforms if hasattr(one, "apply")]
    needs_dense = [*values, *(["masks"] if recipe.masks else []), *(["views"] if recipe.views else [])]
    if needs_dense and recipe.layout != "dense":
        raise LoaderError(f"{' and '.join(needs_dense)} change dense batches, and the layout is {recipe.layout!r}.")


def _changes(view: View, recipe: Recipe, learning: bool, pairs: ViewPairs | None) -> Changes:
    if recipe.masks is not None:
        recipe.masks.check(view)
    if recipe.masks is not None and pairs is not None:
        raise LoaderError("a recipe has masks or views, and not both.")
    acting = [(at, one) for at, one in enumerate(recipe.transforms) if learning or not one.training_only]
    windows: list[Any] = [(at, one) for at, one in acting if hasattr(one, "move")]
    neurons: list[Any] = [(at, one) for at, one in acting if hasattr(one, "choose")]
    values: list[Any] = [(at, one) for at, one in acting if hasattr(one, "apply")]
    if values and pairs is not None:
        raise LoaderError(f"transform {values[0][1].name!r} does not go with `views`; leave one out.")
    return Changes(tuple(windows), tuple(neurons), tuple(values), recipe.masks, pairs)


def _sampler(
    view: View,
    index: WindowIndex,
    choice: SamplingChoice,
    batch_size: int,
    seed: int,
    ranks: Ranks,
    shuffle: bool,
) -> Sampler:
    if choice.how == "balanced":
        groups = groups_by(view, index, str(choice.by))
        return balanced(index, groups, batch_size, seed, ranks, choice.n_windows, choice.drop_last)
    if choice.how == "weighted":
        weights = term_weights(view, choice.weights or {})
        return weighted(index, weights, batch_size, seed, ranks, choice.n_windows, choice.drop_last)
    make = same_recording if choice.how == "same-recording" else uniform
    return make(index, batch_size, seed, ranks, shuffle, choice.drop_last)


def _normalisation(view: View, recipe: Recipe) -> Normalisation:
    by = recipe.normalise
    return fit_normalisation(view, by) if by else identity_normalisation(view)


def _for_view(normalisation: Normalisation, view: View) -> Normalisation:
    """Refuse a normalisation of other neurons: its numbers would be applied to the wrong ones."""
    mine = {key: tuple(map(str, view.neurons(key)["neuron_id"])) for key in view.session_ids}
    if normalisation.fitted is None or dict(normalisation.neuron_ids) == mine:
        return normalisation
    raise LoaderError(
        f"the normalisation is of other neurons than those of manifest {view.manifest.name!r}; save it, read it "
        "with load_normalisation(path, view), or let it be fitted again."
    )
