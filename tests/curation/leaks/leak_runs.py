"""Names of the leak checks, and short ways to say a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.curation.leaks.leak_cases import Recording, Run, Span, held, manifest, packed, recording, run, trained

TIME, NEAR = "test windows seen in training", "test windows within the guard of training"
DONORS, CONTAINERS, CELLS = (f"test {unit}s learnt from with labels" for unit in ("donor", "container", "cell"))
TWO_DONORS, TWO_CONTAINERS, TWO_CELLS = (f"{u}s in two roles of the split" for u in ("donor", "container", "cell"))
REFERENCE, THRESHOLD_SPLIT = "thresholds that know held-out animals", "thresholds under another split than the test"
WINDOW, STATISTIC_SPLIT = "statistics beyond train-role time", "statistics under another split than the test"
LABELS, MATCHED = "held-out neurons selected by labels", "controls matched beyond train-role time"
FIT_ROLES, FIT_SPLIT = "fitted beyond train-role time", "fitted under another split than the test"
FIT_TIME = "test windows seen by what was fitted"
FIT_NEAR = "test windows within the guard of what was fitted"
FIT_DONORS = "test donors in what was fitted"
MOVIE = "movie frames of the test were trained on"
PACKED, STORES = "packed store under another split", "stages of different stores"

FOLD_1: tuple[Span, ...] = (("test", 0, 40), ("valid", 50, 90), ("train", 100, 200))
NAMELESS: dict[str, Any] = {"container": None, "cells": (None, None)}
LEARNT: Span = ("train", 0, 100)
BY_MICE: dict[str, Any] = {"across": "donor"}


def shared(by: str) -> str:
    return f"{by}s shared although declared disjoint"


def after(*spans: Span, **options: Any) -> Run:
    """One recording, pretrained on these windows of it and then tested as its split says."""
    return run(manifest(recording(0).eat(*spans)), manifest(recording(0)), **options)


def alone(*recordings: Recording, **options: Any) -> Run:
    """One stage."""
    return run(manifest(*recordings, **options))


def before_mice(*recordings: Recording, **options: Any) -> Run:
    """Pretrain on these recordings; then a test on mouse d2, which a split across mice holds out."""
    return run(manifest(*recordings, **{"split": "split b"} | options), manifest(trained(0), held(4), **BY_MICE))


def mice(*recordings: Recording, **options: Any) -> Run:
    """One stage under a split across mice, which tests on mouse d2."""
    return alone(*recordings, held(4), **BY_MICE | options)


def fitted(*changes: Any, **options: Any) -> Run:
    return run(manifest(recording(0), recording(1)), fitted=[*changes], **options)


def promise(other: str, by: str) -> dict[str, Any]:
    return {"disjoint": [{"from": other, "by": by}]}


def low_inside(*ids: str, **further: Any) -> dict[str, Any]:
    """References of a diet that refers to `low`, which means these neurons."""
    return {"low": {"diet": 1, "name": "low", "neurons": {"ids": list(ids)}} | further}


TWO_PARTS = low_inside("s0_0") | {
    "high": {"diet": 1, "name": "high", "neurons": {"ids": ["s0_1"]}} | promise("low", "donor")
}
"""References of a diet of two parts, of which one must not share a donor with the other."""
FOLD_OF_0 = [recording(0, time=FOLD_1)]
ORIGINAL = manifest(recording(0), recording(1))


OF_MOMENTS: dict[str, Any] = {"names": ["moments"]}
OF_ALL_TIME: dict[str, Any] = {"names": ["moments"], "window": "all"}
OF_FOLD_B: dict[str, Any] = {"names": ["moments"], "split_digest": "split b"}
OF_LABELS: dict[str, Any] = {"names": ["tuning"], "uses_labels": ["tuning"]}


def _repacked(recordings: Sequence[Recording], twice: bool, facts: dict[str, Any], by: dict[str, Any]) -> Run:
    """Pack what these facts chose, once or twice, and eat all of the packed store with the same roles."""
    lineage = packed(manifest(*recordings, **facts, **by), chosen_by=[])
    if twice:
        between = manifest(*recordings, store="pack", split="split b", lineage=lineage, **by)
        lineage = packed(between, chosen_by=[], before=lineage)
    return run(manifest(*recordings, split="split c", store="last pack", lineage=lineage, **by))


def repacked(twice: bool = False, **facts: Any) -> Run:
    """Eat all of a store that was packed from recordings 0 and 1."""
    return _repacked([recording(0), recording(1)], twice, facts, {})


def repacked_mice(twice: bool = False, **facts: Any) -> Run:
    """Eat all of a store that was packed under a split across mice."""
    return _repacked([trained(0), held(4)], twice, facts, BY_MICE)


def mice_fitted(*fits: Any) -> Run:
    return run(manifest(trained(0), held(2), held(4), **BY_MICE), fitted=[*fits])


BY_TIME: dict[str, Any] = {"kind": "blocks", "segments": None}


def by_segments(fold: int = 0, **within: Any) -> dict[str, Any]:
    """Split of a manifest that holds segments of movies out."""
    spec = {"kind": "movie-segments", "folds": 5, "segments": 8, "guard_s": 2.0} | within
    return {"split": {"spec": {"name": "segments", "within": spec}, "fold": fold, "digest": "split a", "across": None}}


def movies(learnt: Sequence[tuple[str, int]], fold: int = 0, **within: Any) -> Run:
    """Pretrain on windows of mouse d1 that show this; then a test on frames 5 to 8 of a movie, shown to mouse d0."""

    def showing(role: str, shown: Sequence[tuple[str, int]], one: Recording, **split: Any) -> Any:
        windows = [(role, at, at + 1) for at in range(len(shown))]
        made = manifest(one.eat(*windows))
        table = made.windows.assign(stimulus=[name for name, _ in shown], movie_frame=[frame for _, frame in shown])
        return replace(made, windows=table, meta={**made.meta, **split})

    tested = [("natural_movie_one", frame) for frame in (5, 6, 7, 8)]
    test = showing("test", [*tested, ("drifting_gratings", -1)], recording(0), **by_segments())
    return run(showing("train", learnt, recording(2), **by_segments(fold, **within)), test)


def number(by: str) -> int:
    """Recording that shares just this with recording 1."""
    return 1 if by in ("session", "neuron") else 0
