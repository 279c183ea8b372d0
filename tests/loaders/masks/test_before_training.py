"""Masks that cannot be drawn are refused before training, with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from poyodata.curation import Manifest
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders import Recipe, make_loader
from poyodata.loaders.masks import Mask, MaskSpec, WindowSizes
from poyodata.store import Store


@pytest.fixture
def view(tiny_store: Store, whole_time: Manifest) -> View:
    """Three recordings of 12 neurons each."""
    return whole_time.open(tiny_store)


def check(view: View, sizes: WindowSizes, *masks: Mask, on: Any = "skip") -> dict[str, int]:
    return MaskSpec(masks, on_single_group=on).check(view, dict.fromkeys(view.session_ids, sizes))


@pytest.mark.parametrize(
    ("mask", "sizes", "says"),
    [
        pytest.param(Mask("causal"), WindowSizes((1, 1)), r"fewer than 2 spans.*windows longer", id="one frame"),
        pytest.param(Mask("temporal", span_frames=30), WindowSizes((9, 30)), "span_frames smaller", id="one span"),
        pytest.param(Mask("forward", gap_frames=28), WindowSizes((9, 30)), "no frame .*gap_frames", id="gap"),
        pytest.param(
            Mask("neuron", exclude_radius_um=1e6), WindowSizes((30, 30)), "exclude_radius_um smaller", id="radius"
        ),
        pytest.param(
            Mask("within", by="x_um", bins=2, exclude_radius_um=1e6), WindowSizes(), "no neuron is left", id="of group"
        ),
        pytest.param(Mask("neuron"), WindowSizes((30, 30), (1, 1)), "1 neurons .*unit_dropout", id="one neuron"),
        pytest.param(
            Mask("across", by="x_um", bins=2), WindowSizes((30, 30), (1, 3)), "3 neurons .*unit_dropout", id="few"
        ),
    ],
)
def test_what_can_never_be_drawn_is_refused(view: View, mask: Mask, sizes: WindowSizes, says: str) -> None:
    with pytest.raises(LoaderError, match=rf"mask '{mask.label}' can never be drawn: .*{says}"):
        check(view, sizes, Mask("random"), mask)
    with pytest.raises(LoaderError, match=says):
        check(view, sizes, mask, on="error")


@pytest.mark.parametrize(
    ("mask", "sizes", "says"),
    [
        pytest.param(Mask("causal"), WindowSizes((1, 30)), "spans", id="a stretch of one frame"),
        pytest.param(Mask("forward", gap_frames=9), WindowSizes((10, 30)), "no frame", id="a short stretch"),
        pytest.param(Mask("neuron"), WindowSizes((30, 30), (1, 9)), "1 neurons", id="dropout"),
        pytest.param(Mask("across", by="x_um", bins=2), WindowSizes(None, (7, 12)), "7 neurons", id="all of a group"),
        pytest.param(Mask("cosmooth", folds=13), WindowSizes(), "12 neurons .*folds", id="folds"),
        pytest.param(Mask("across", by="area"), WindowSizes(), "fewer than 2 groups .*another column", id="one area"),
    ],
)
def test_what_cannot_be_drawn_for_some_windows_is_an_error_only_where_asked(
    view: View, mask: Mask, sizes: WindowSizes, says: str
) -> None:
    check(view, sizes, Mask("random"), mask)
    with pytest.raises(LoaderError, match=rf"makes no sense in recording '{view.session_ids[0]}': .*{says}"):
        check(view, sizes, mask, on="error")


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        pytest.param(Mask("neuron"), 2, id="two neurons"),
        pytest.param(Mask("across", by="x_um", bins=2), 8, id="two of each group are left whichever go"),
        pytest.param(Mask("causal"), 1, id="frames of one neuron"),
    ],
)
def test_what_can_always_be_drawn_is_not_refused(view: View, mask: Mask, kept: int) -> None:
    assert check(view, WindowSizes((30, 30), (kept, 12)), mask, on="error") == {mask.label: 0}


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        pytest.param("windows: {mode: frames}\nmasks: [{scheme: causal}]", "spans of frames", id="one-frame windows"),
        pytest.param(
            "windows: {window_s: 1.0}\ntransforms: [{name: crop, n_frames: 1}]\nmasks: [{scheme: temporal}]",
            "spans of frames",
            id="crop",
        ),
        pytest.param(
            "windows: {window_s: 1.0}\ntransforms: [{name: unit_dropout, law: uniform, min_units: 1, max_units: 9}]\n"
            "masks: [{scheme: neuron}]\non_single_group: error",
            "1 neurons in a window are too few",
            id="unit dropout",
        ),
    ],
)
def test_a_loader_asks_of_the_windows_that_it_reads(
    tiny_store: Store, gratings: Manifest, recipe: str, says: str
) -> None:
    with pytest.raises(LoaderError, match=says):
        make_loader(tiny_store, gratings, recipe=Recipe.from_yaml(f"recipe: 1\n{recipe}\n"))


def test_recordings_that_are_not_read_are_not_asked(view: View) -> None:
    read = {view.session_ids[1]: WindowSizes((30, 30))}
    spec = MaskSpec((Mask("across", by="area"), Mask("neuron")))
    assert spec.check(view, read) == {"across:area": 1, "neuron": 0}
