"""What the arguments of `make_loader` say, as a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from poyodata.curation.manifest import Manifest
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.checks import names, truth, whole_number
from poyodata.loaders.loader import LEARNING, Layout
from poyodata.loaders.recipe import LAYOUTS, Recipe, SamplingChoice, WindowsChoice
from poyodata.loaders.transforms import Jitter, Normalisation, Normalise

Mode = Literal["trial", "fixed", "frames", "whole"]
By = Literal["neuron", "recording"]
MODES: tuple[Mode, ...] = ("trial", "fixed", "frames", "whole")
SAMPLINGS = ("uniform", "same-recording", "balanced", "weighted")


def require_one_of(what: str, given: str, known: Sequence[str]) -> None:
    """Raise `UsageError`, with the nearest known name, for an unknown one."""
    if given not in known:
        raise UsageError(f"unknown {what} {given!r}: {nearest(str(given), known)}")


def way_of(normalise: bool | By | Normalisation | None) -> By | None:
    """Give the way to normalise that the argument `normalise` of `make_loader` says; None for not at all."""
    if isinstance(normalise, Normalisation):
        return normalise.by
    if isinstance(normalise, str):
        return normalise
    return "neuron" if normalise is None or truth("normalise", normalise) else None


def recipe_of(
    role: str,
    manifest: Manifest,
    *,
    window_s: float | None,
    mode: Mode | None,
    offset_s: float | None,
    jitter_frames: int | None,
    shuffle: bool | None,
    normalise: bool | By | Normalisation | None,
    targets: str | Sequence[str] | Mapping[str, Mapping[str, Any]] | None,
    sampling: str | SamplingChoice | None,
    layout: Layout | None,
) -> Recipe:
    """Give the recipe that these arguments of `make_loader` say; None is its default."""
    mode = "trial" if mode is None else mode
    require_one_of("mode", mode, MODES)
    require_one_of("layout", layout or "dense", LAYOUTS)
    if jitter_frames is not None and whole_number("jitter_frames", jitter_frames) and role not in LEARNING:
        raise LoaderError(f"jitter_frames={jitter_frames} is for role 'train' (or 'identify').")
    if isinstance(sampling, str):
        require_one_of("sampling", sampling, SAMPLINGS)
        if sampling in ("balanced", "weighted"):
            option = "by='direction_deg'" if sampling == "balanced" else "weights={...}"
            raise UsageError(f"sampling={sampling!r} needs to know of what: SamplingChoice({sampling!r}, {option}).")
    if isinstance(sampling, SamplingChoice):
        choice = sampling
        if shuffle is not None and shuffle != choice.shuffle:
            raise LoaderError("the sampling says whether to shuffle; leave the argument `shuffle` out.")
    else:
        choice = SamplingChoice(sampling or "uniform", shuffle=shuffle)  # type: ignore[arg-type]
    if targets is None:
        windows = manifest.windows
        shown = windows.loc[(windows["role"] == role).to_numpy(bool), "direction_deg"].notna()
        targets = ("direction",) if mode == "trial" and bool(shown.any()) else ()
    by = way_of(normalise)
    transforms = [] if by is None else [Normalise(by)]
    return Recipe(
        windows=WindowsChoice(mode=mode, window_s=window_s, offset_s=0.0 if offset_s is None else offset_s),
        sampling=choice,
        targets=targets if isinstance(targets, Mapping) else {name: {} for name in names("targets", targets)},
        transforms=(*transforms, *([Jitter(jitter_frames)] if jitter_frames else [])),
        layout=layout or "dense",
    )
