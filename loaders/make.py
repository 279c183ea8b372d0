"""`make_loader`: from a manifest and a recipe to a loader; everything that can be wrong is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal

import numpy as np

from poyodata.curation.manifest import Manifest
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.arguments import By, Mode, recipe_of, require_one_of
from poyodata.loaders.checks import names, whole_number
from poyodata.loaders.loader import LEARNING, Layout, Loader
from poyodata.loaders.masks import WindowSizes
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
from poyodata.loaders.targets.vocabulary import NEURON, RECORDING, Vocabulary, numbered_by
from poyodata.loaders.transforms import (
    Jitter,
    Normalisation,
    UnitDropout,
    fit_normalisation,
    identity_normalisation,
    normalisation_for,
    require_fitted,
)
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
    targets: str | Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    sampling: str | SamplingChoice | None = None,
    layout: Layout | None = None,
    recipe: Recipe | None = None,
    neuron_columns: str | Sequence[str] = (),
    rank: int = 0,
    world: int = 1,
    tail: Literal["keep", "drop"] | None = None,
    prefetch: int = 0,
    access: Access = "auto",
    packed: str | Path | None = None,
    vocabulary: Vocabulary | Sequence[Vocabulary] = (),
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
        `Normalisation` is used as it is: that of another loader of this store and split, or a saved one. Beside a
        recipe, it must be of the kind that the recipe says.
    targets : str, sequence of str, or mapping of str to options
        What batches hold beside the traces (`poyodata.loaders.targets.make_target`). Default: ``direction``, which is
        -1 where the windows have none.
    sampling : {"uniform", "same-recording"} or SamplingChoice
        ``SamplingChoice("balanced", by="direction_deg")``, ``SamplingChoice("weighted", weights={...})``.
    layout : {"dense", "tokens", "token-views", "jagged"}
        See `poyodata.loaders.batches`.
    recipe : Recipe, optional
        Says all of the above from a YAML file.
    neuron_columns : str or sequence of str
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
    vocabulary : Vocabulary or sequence of Vocabulary
        Numbers that neurons, recordings and classes of `neuron_columns` have already, one vocabulary of a kind. They
        grow by what they lack, and renumber nothing; ``Loader.vocabularies`` gives them to keep.

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
    batch_size, seed = whole_number("batch_size", batch_size, 1), whole_number("seed", seed)
    if whole_number("prefetch", prefetch) > 1:
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
    if isinstance(normalise, Normalisation) and (normalise.by or False) != recipe.normalise:
        raise LoaderError(
            f"the recipe normalises {_way(recipe.normalise)}, and the normalisation given is {_way(normalise.by)}; let "
            "the recipe say what is given, or let the normalisation be fitted again."
        )
    learning = split in LEARNING
    view = manifest.open(store)
    _check_neurons(view)
    rate_hz = _common_rate(view)
    shuffled = learning if recipe.sampling.shuffle is None else recipe.sampling.shuffle
    index, pairs = _windows(view, split, recipe, rate_hz, shuffled, learning)
    _check_layout(recipe, index)
    changes = _changes(view, recipe, learning, index, pairs)
    made = make_targets(recipe.targets, view) if pairs is None else ()
    if pairs is not None and recipe.targets:
        raise LoaderError("two views are pairs of windows, which have no targets; leave `targets` out of the recipe.")
    for target in made:
        target.check(view, index)
    ranks = Ranks.for_role(split, rank, world) if tail is None else Ranks(rank, world, tail)
    sampler = _sampler(view, index, recipe.sampling, batch_size, seed, ranks, shuffled)
    asked = names("neuron columns", neuron_columns)
    known = numbered_by(view, vocabulary, asked)
    columns = NeuronColumns(view, asked, neurons=known.get(NEURON), classes=known, grow=True) if asked else None
    source = TraceSource(view, access=access, packed=packed)
    read = {index.session_ids[at] for at in np.unique(index.session_index)}
    if isinstance(normalise, Normalisation):
        normalisation = normalisation_for(normalise, view)
    else:
        normalisation = _normalisation(view, recipe, read)
    if normalisation.fitted is not None:
        require_fitted(normalisation.fitted.sessions, read)
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
        normalisation=normalisation,
        targets=made,
        neuron_columns=columns,
        changes=changes,
        layout=recipe.layout,
        prefetch=prefetch,
        recipe_digest=recipe.digest,
        always_direction=always_direction and pairs is None,
        neurons=known.get(NEURON),
        recordings=known.get(RECORDING),
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
    view: View, role: str, recipe: Recipe, rate_hz: float, shuffled: bool, learning: bool
) -> tuple[WindowIndex, ViewPairs | None]:
    """The windows of a role without those that hold a missing value, and the pairs of two views."""
    random = shuffled and learning
    if recipe.views is not None:
        pairs = recipe.views.resolve(view, role, rate_hz, random_phase=random)
        _refuse_missing(view, pairs.index)
        return pairs.index, pairs
    choice = recipe.windows
    n_frames = _n_frames(choice, rate_hz)
    if choice.mode == "trial":
        jitter: Jitter | None = recipe.transform(Jitter) if learning else None
        reach = 0 if jitter is None else jitter.frames
        offset = round(choice.offset_s * rate_hz)
        index = trial_windows(view, role, n_frames, offset_frames=offset, reach_frames=reach)
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


def _changes(view: View, recipe: Recipe, learning: bool, index: WindowIndex, pairs: ViewPairs | None) -> Changes:
    if recipe.masks is not None and pairs is not None:
        raise LoaderError("a recipe has masks or views, and not both.")
    acting = [(at, one) for at, one in enumerate(recipe.transforms) if learning or not one.training_only]
    windows: list[Any] = [(at, one) for at, one in acting if hasattr(one, "move")]
    neurons: list[Any] = [(at, one) for at, one in acting if hasattr(one, "choose")]
    values: list[Any] = [(at, one) for at, one in acting if hasattr(one, "apply")]
    if values and pairs is not None:
        raise LoaderError(f"transform {values[0][1].name!r} does not go with `views`; leave one out.")
    if recipe.masks is not None:
        recipe.masks.check(view, _sizes(index, [one for _, one in windows], [one for _, one in neurons]))
    return Changes(tuple(windows), tuple(neurons), tuple(values), recipe.masks, pairs)


def _sizes(index: WindowIndex, windows: list[Any], neurons: list[Any]) -> dict[str, WindowSizes]:
    """How large the windows of every recording are that is read, after all that cuts them."""
    dropouts = [one for one in neurons if isinstance(one, UnitDropout)]
    kept = (min(one.min_units for one in dropouts), min(one.max_units for one in dropouts)) if dropouts else None
    sizes: dict[str, WindowSizes] = {}
    sessions, first = np.unique(index.session_index, return_index=True)
    least, most = (of.reduceat(index.length, first).tolist() for of in (np.minimum, np.maximum))
    for at, *frames in zip(sessions.tolist(), least, most, strict=True):
        for one in windows:
            frames = [one.length(n) for n in frames]
        sizes[index.session_ids[at]] = WindowSizes((frames[0], frames[1]), kept)
    return sizes


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


def _normalisation(view: View, recipe: Recipe, read: Set[str]) -> Normalisation:
    by = recipe.normalise
    return fit_normalisation(view, by, read) if by else identity_normalisation(view)


def _way(by: By | Literal[False] | None) -> str:
    return f"by {by}" if by else "not at all"
