"""Recipes are read from YAML with every problem in its place, written back, and hashed by what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poyodata.errors import PoyodataError, RecipeError, UsageError
from poyodata.loaders.masks import Mask, MaskSpec
from poyodata.loaders.recipe import Recipe, SamplingChoice, WindowsChoice
from poyodata.loaders.targets import Vocabulary
from poyodata.loaders.transforms import Crop, Jitter, Noise, Normalise, UnitDropout
from poyodata.loaders.views import TwoViews

TWO_VIEWS = """
diet: predictable
recipe:
  views:  {window_s: 30, max_gap_s: 240, min_gap_s: 30, keep: [0.5, 1.0], min_neurons: 11, pairs: any}
  masks:
    - {scheme: neuron, ratio: 0.3}
    - {scheme: causal, ratio: 0.6}
    - {scheme: within, by: area, ratio: 0.3}
    - {scheme: across, by: predictable}
  mask_draw: per_batch
  on_single_group: skip
"""
EVERYTHING = """
recipe: 1
name: decoding
diet: mixed-30
windows: {mode: fixed, window_s: 2, hop_s: 1.5, random_phase: true}
sampling: {how: weighted, weights: {predictable: 2, unpredictable: 1}, n_windows: 1000}
targets: [direction, {name: running, at: all}, {name: speed, target: running, at: centre}]
transforms:
  - normalise
  - {name: unit_dropout, law: uniform, min_units: 5, max_units: 100}
  - {name: jitter, frames: 3}
  - {name: crop, n_frames: 50}
  - {name: noise, std: 0.1}
  - {name: noise, std: 1}
masks: [{scheme: across, by: x_um, bins: [100, 200.5]}, {scheme: within, by: x_um, bins: 4, weight: 2}]
mask_draw: per_sample
on_single_group: error
layout: tokens
"""
MADE = Recipe(
    windows=WindowsChoice("fixed", 2.0, hop_s=1.5, random_phase=True),
    sampling=SamplingChoice("weighted", weights={"predictable": 2.0, "unpredictable": 1.0}, n_windows=1000),
    targets={"direction": {}, "running": {"at": "all"}, "speed": {"target": "running", "at": "centre"}},
    transforms=(
        Normalise(),
        UnitDropout("uniform", 5, 100),
        Jitter(3),
        Crop(50),
        Noise(0.1),
        Noise(1.0),
    ),
    masks=MaskSpec(
        (Mask("across", by="x_um", bins=(100.0, 200.5)), Mask("within", by="x_um", bins=4, weight=2.0)),
        "per_sample",
        "error",
    ),
    layout="tokens",
    name="decoding",
    diet="mixed-30",
)


def test_a_document_is_read_into_the_parts_it_names() -> None:
    assert Recipe.from_yaml(EVERYTHING) == MADE
    assert MADE.normalise == "neuron" and Recipe().normalise is False
    assert MADE.transform(Crop) == Crop(50) and Recipe().transform(Crop) is None


def test_a_document_beside_a_diet_is_read() -> None:
    recipe = Recipe.from_yaml(TWO_VIEWS)
    assert recipe.diet == "predictable"
    assert recipe.views == TwoViews(30, 240, 30, (0.5, 1.0), 11, "any")
    assert recipe.masks is not None
    assert recipe.masks.labels == ("neuron", "causal", "within:area", "across:predictable")
    assert Recipe.from_yaml("recipe: {masks: [{scheme: neuron}]}") == Recipe(masks=MaskSpec((Mask("neuron"),)))


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(Recipe(), id="empty"),
        pytest.param(MADE, id="everything"),
        pytest.param(Recipe.from_yaml(TWO_VIEWS), id="two views"),
        pytest.param(Recipe(sampling=SamplingChoice("balanced", by="direction_deg")), id="balanced"),
        pytest.param(Recipe(windows=WindowsChoice("frames", n_frames=1, stimulus="natural_movie_one")), id="frames"),
        pytest.param(Recipe(transforms=(Normalise("recording"), UnitDropout())), id="defaults"),
        pytest.param(Recipe(targets={"direction": {"name": "way"}, "image": {"name": "direction"}}), id="names"),
        pytest.param(Recipe(masks=MaskSpec((Mask("cosmooth", folds=5, exclude_radius_um=30.0),))), id="evaluation"),
    ],
)
def test_written_and_read_it_is_the_same(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe.to_yaml())
    for again in (
        Recipe.from_yaml(recipe.to_yaml()),
        Recipe.from_yaml(path),
        Recipe.from_yaml(str(path)),
        Recipe.from_dict(recipe.to_dict()),
    ):
        assert again == recipe
        assert again.digest == recipe.digest
        assert again.to_yaml() == recipe.to_yaml()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(EVERYTHING, EVERYTHING.replace("name: decoding\n", ""), id="name"),
        pytest.param(EVERYTHING, EVERYTHING.replace("mixed-30", "all"), id="diet"),
        pytest.param(EVERYTHING, EVERYTHING.replace("window_s: 2,", "window_s: 2.0,"), id="2 and 2.0"),
        pytest.param(
            EVERYTHING, EVERYTHING.replace("- normalise\n", "- {name: normalise, by: neuron}\n"), id="default"
        ),
        pytest.param(TWO_VIEWS, TWO_VIEWS.replace(", min_gap_s: 30", ""), id="default gap"),
        pytest.param(TWO_VIEWS, TWO_VIEWS.replace(", ratio: 0.3", ""), id="default ratio"),
    ],
)
def test_spellings_of_one_recipe_have_one_digest(one: str, other: str) -> None:
    assert one != other
    assert Recipe.from_yaml(one).digest == Recipe.from_yaml(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("targets: [direction]", "targets: [{name: direction, at: trial}]", id="default of a label"),
        pytest.param("targets: [running]", "targets: [{name: running, over: mean, lacking: refuse}]", id="of a signal"),
        pytest.param("targets: [direction]", "targets: [{name: direction, target: direction}]", id="kind"),
        pytest.param("targets: [direction, running]", "targets: [running, direction]", id="order of targets"),
        pytest.param("windows: {mode: fixed, window_s: 1}", "windows: {mode: fixed, window_s: 1, hop_s: 1}", id="hop"),
        pytest.param("windows: {mode: frames}", "windows: {mode: frames, n_frames: 1}", id="one frame"),
    ],
)
def test_what_is_left_to_a_default_may_be_said(one: str, other: str) -> None:
    a, b = (Recipe.from_yaml(f"recipe: 1\n{text}\n") for text in (one, other))
    assert a.digest == b.digest


def test_options_that_yaml_cannot_hold_are_in_the_digest() -> None:
    def digest(*classes: str) -> str:
        vocabulary = Vocabulary("temporal_frequency_hz", classes)
        return Recipe(targets={"temporal_frequency": {"vocabulary": vocabulary}, "movie": {"cache": Path("x")}}).digest

    assert digest("1", "2") == digest("1", "2") != digest("2", "1")


def test_a_target_of_another_name_is_not_the_kind_of_that_name() -> None:
    renamed = Recipe(targets={"direction": {"name": "temporal_frequency", "at": "centre"}})
    assert renamed.targets == {"temporal_frequency": {"target": "direction", "at": "centre"}}
    assert renamed.digest != Recipe(targets={"temporal_frequency": {"at": "centre"}}).digest
    with pytest.raises(RecipeError, match="two targets are named 'way'"):
        Recipe(targets={"way": {"target": "direction"}, "image": {"name": "way"}})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("window_s: 2,", "window_s: 2.1,"),
        ("hop_s: 1.5", "hop_s: 1.4"),
        ("predictable: 2", "predictable: 3"),
        ("n_windows: 1000", "n_windows: 1001"),
        ("at: all", "at: start"),
        ("frames: 3", "frames: 4"),
        ("std: 0.1", "std: 0.2"),
        ("- normalise\n", "- {name: normalise, by: recording}\n"),
        ("200.5", "200.6"),
        ("per_sample", "per_batch"),
        ("on_single_group: error", "on_single_group: skip"),
        ("layout: tokens", "layout: dense"),
    ],
)
def test_every_change_of_meaning_changes_the_digest(old: str, new: str) -> None:
    assert old in EVERYTHING
    assert Recipe.from_yaml(EVERYTHING.replace(old, new)).digest != MADE.digest


def test_every_problem_is_found_at_once_with_its_line() -> None:
    text = """recipe: 1
windws: {mode: trial}
windows: {mode: trail, window_s: "2", nframes: 3}
sampling: {how: balanced}
targets: [direction, drection, {nam: x}, direction]
transforms:
  - normalize
  - {name: unit_dropout, min_units: 10.5, peak: true}
  - {name: jitter}
  - {name: crop, n_frames: 0}
masks:
  - {scheme: neuron, ratio: 1.5}
  - {scheme: withn, by: area}
  - {scheme: within}
  - {scheme: across, by: x_um, bins: many}
  - 3
mask_draw: per_bach
on_single_group:
views: {window_s: 30, keep: [0.5], max_gap_s: ~}
layout: dnse
"""
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)
    assert str(caught.value).split("\n") == [
        "<yaml>:2:1: windws: unknown key; did you mean 'windows'?",
        "<yaml>:3:17: windows.mode: unknown value 'trail': did you mean 'trial'?",
        "<yaml>:3:34: windows.window_s: expected a number, got '2'.",
        "<yaml>:3:39: windows.nframes: unknown key; did you mean 'n_frames'?",
        "<yaml>:4:1: sampling: sampling is balanced `by` a column: `how: balanced` and `by` go together.",
        "<yaml>:5:22: targets.1: unknown target 'drection': did you mean 'direction'?",
        "<yaml>:5:32: targets.2: a target is its name, or a mapping with `name` and options.",
        "<yaml>:5:42: targets.3: target 'direction' stands there twice; keep one, or give one another name.",
        "<yaml>:7:5: transforms.0: unknown transform 'normalize': did you mean 'normalise'?",
        "<yaml>:8:37: transforms.1.min_units: expected a whole number, got 10.5.",
        "<yaml>:8:49: transforms.1.peak: expected a number, got True.",
        "<yaml>:9:5: transforms.2: the key 'frames' is missing.",
        "<yaml>:10:5: transforms.3: a crop has at least 1 frame, got 0.",
        "<yaml>:12:5: masks.0: `ratio` is between 0 and 1, got 1.5.",
        "<yaml>:13:14: masks.1.scheme: unknown value 'withn': did you mean 'within'?",
        "<yaml>:14:5: masks.2: mask 'within' needs `by`: a column that groups neurons, such as area or x_um.",
        "<yaml>:15:38: masks.3.bins: expected a whole number or a list of numbers, got 'many'.",
        "<yaml>:16:5: masks.4: expected a mapping, got 3.",
        "<yaml>:17:12: mask_draw: unknown value 'per_bach': did you mean 'per_batch'?",
        "<yaml>:18:1: on_single_group: has no value; write one, or leave the key out.",
        "<yaml>:19:29: views.keep: expected a list of 2 numbers, got a list of 1.",
        "<yaml>:19:36: views.max_gap_s: has no value; write one, or leave the key out.",
        "<yaml>:20:9: layout: unknown value 'dnse': did you mean 'dense'?",
    ]
    assert [problem.line for problem in caught.value.problems] == sorted(p.line for p in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("recipe: 2\n", "this version reads 1", id="version"),
        pytest.param("recipe: true\n", "this version reads 1", id="a truth value"),
        pytest.param("diet: 1\nneurons: all\n", "no recipe: it must begin with `recipe: 1`", id="a diet"),
        pytest.param("- 1\n", "a recipe is a mapping", id="a list"),
        pytest.param("\n", "the recipe is empty; begin with `recipe: 1`", id="empty"),
        pytest.param("recipe: 1\nname: &a x\n", "anchors and aliases .* not read in a recipe", id="alias"),
        pytest.param("recipe: 1\nname: !!python/object:os.system x\n", "tags .* are not read in a recipe", id="tag"),
        pytest.param("recipe: 1\nlayout: dense\nlayout: dense\n", "stands there twice", id="a key twice"),
        pytest.param("recipe: 1\n  x: [\n", "not YAML", id="no YAML"),
        pytest.param("recipe: 1\nname: " + "x" * 70_000 + "\n", "a recipe is 64 KiB at most", id="long"),
        pytest.param("recipe: {layout: dense}\nlayout: dense\n", "layout: unknown key", id="beside the recipe"),
        pytest.param("recipe: {recipe: 1}\ndiet: all\n", "recipe.recipe: unknown key", id="a recipe in a recipe"),
        pytest.param("recipe: 1\ndiet: 1\n", "diet: expected a text, got 1", id="a diet that is no name"),
        pytest.param("recipe: 1\nmasks: []\n", "no masks to draw from", id="no masks"),
        pytest.param("recipe: 1\nmasks: {scheme: neuron}\n", "expected a list, got a mapping", id="no list"),
        pytest.param("recipe: 1\nmask_draw: per_batch\n", "is for `masks`, and there are none", id="draw of nothing"),
        pytest.param("recipe: 1\nviews: {window_s: 3}\nwindows: {window_s: 3}\n", "leave `windows` out", id="both"),
        pytest.param("recipe: 1\nviews: {window_s: 3}\ntransforms: [unit_dropout]\n", "views.keep", id="dropouts"),
        pytest.param("recipe: 1\ntransforms: [normalise, normalise]\n", "stands there 2 times", id="twice"),
        pytest.param("recipe: 1\nwindows: {window_s: 1, n_frames: 3}\n", "not by both", id="two lengths"),
        pytest.param("recipe: 1\nwindows: {mode: whole, window_s: 1}\n", "not for mode 'whole'", id="whole"),
        pytest.param("recipe: 1\nwindows: {window_s: -1}\n", "is above 0, got -1", id="negative"),
        pytest.param("recipe: 1\nsampling: {weights: {a: 1}}\n", "go together", id="weights"),
        pytest.param("recipe: 1\nsampling: {how: weighted, weights: {a: x}}\n", "expected a mapping of names", id="x"),
        pytest.param("recipe: 1\nsampling: {how: weighted, weights: {a: 0}}\n", "one of them is above 0", id="zero"),
        pytest.param("recipe: 1\nsampling: {n_windows: 4}\n", "weighted or balanced", id="n windows"),
        pytest.param("recipe: 1\nsampling: same_recording\n", "did you mean 'same-recording'", id="sampling"),
    ],
)
def test_bad_documents_are_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        Recipe.from_yaml(text)
    assert caught.value.problems
    assert "diet may" not in str(caught.value)


def test_problems_inside_a_nested_recipe_have_their_path() -> None:
    with pytest.raises(RecipeError, match=r"<yaml>:3:13: recipe\.layout: unknown value 'x'"):
        Recipe.from_yaml("diet: all\nrecipe:\n    layout: x\n")


@pytest.mark.parametrize("source", [None, 3, Path("nowhere.yaml"), "nowhere.yaml"])
def test_what_is_no_document_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match="recipe"):
        Recipe.from_yaml(source)


def test_a_recipe_is_a_value() -> None:
    with pytest.raises(AttributeError):
        MADE.layout = "dense"  # type: ignore[misc]
    with pytest.raises(PoyodataError, match="did you mean 'dense'"):
        Recipe(layout="dens")  # type: ignore[arg-type]
