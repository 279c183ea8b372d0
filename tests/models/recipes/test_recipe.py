"""Training recipes: what a document says is what is trained, and everything wrong with one has its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from poyodata.errors import PoyodataError, RecipeError, UsageError
from poyodata.models.recipes import TrainingRecipe, known_recipes, load_recipe
from poyodata.models.recipes.overrides import overridden, read_overrides

SMALL = """\
training: 1
name: mine
stage: pretrain
seed: 4
batch_size: 8
stimulus: drifting_gratings
loader:
  windows: {mode: trial, window_s: 1.5}
  targets: [direction]
  transforms: [normalise]
model: {size: poyo-tiny, depth: 1}
train: {steps: 12, lr: 1e-3}
"""


@pytest.mark.parametrize("name", known_recipes())
def test_shipped_recipes_are_read_and_written_back(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about.strip()
    again = TrainingRecipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.digest == recipe.digest


def test_the_written_recipe_has_every_setting_of_training() -> None:
    recipe = TrainingRecipe.from_yaml(SMALL)
    written = recipe.to_dict()

    def lacking(settings: BaseModel, given: dict[str, object], but: set[str]) -> set[str]:
        values = settings.model_dump()
        return {name for name in values if values[name] is not None} - set(given) - but

    of_run = {"seed", "folder", "accelerator", "devices", "nodes", "loggers", "requeue"}
    assert not lacking(recipe.train, written["train"], of_run)
    assert written["model"] == {"size": "poyo-tiny", "depth": 1}
    assert written["loader"]["windows"] == {"window_s": 1.5}
    assert (written["seed"], recipe.train.seed) == (4, 4)


def test_the_digest_is_of_what_changes_a_weight() -> None:
    recipe = TrainingRecipe.from_yaml(SMALL)
    same = [
        SMALL.replace("name: mine", "name: yours\nabout: other words"),
        SMALL.replace("1e-3", "0.001"),
        SMALL.replace("{mode: trial, window_s: 1.5}", "{window_s: 1.50}"),
    ]
    assert {TrainingRecipe.from_yaml(text).digest for text in same} == {recipe.digest}
    other = ["seed: 5", "batch_size: 9", "window_s: 1.6", "depth: 2", "steps: 13", "lr: 2e-3", "stage: finetune"]
    found = {recipe.digest}
    for change in other:
        key = change.split(":")[0]
        lines = SMALL.splitlines()
        at = next(number for number, line in enumerate(lines) if f"{key}:" in line)
        before = lines[at].split(f"{key}:")[1].split(",")[0].split("}")[0]
        lines[at] = lines[at].replace(f"{key}:{before}", change)
        found.add(TrainingRecipe.from_yaml("\n".join(lines)).digest)
    assert len(found) == 1 + len(other)


def test_a_recipe_of_loaders_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "loader.yaml").write_text("recipe: 1\nwindows: {window_s: 1.5}\ntargets: [direction]\n")
    begin, end = SMALL.split("loader:")[0], SMALL.split("[normalise]\n")[1]
    (tmp_path / "mine.yaml").write_text(f"{begin}loader: loader.yaml\n{end}")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.loader.windows.window_s == 1.5
    assert list(recipe.loader.targets) == ["direction"]
    assert TrainingRecipe.from_yaml(recipe.to_yaml()) == recipe


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        pytest.param("batch_size", "batch_siz", "5:1: batch_siz", "did you mean 'batch_size'", id="key"),
        pytest.param("lr: 1e-3", "lrr: 1e-3", "12:20: train.lrr", "did you mean 'lr'", id="train-key"),
        pytest.param("depth: 1", "dept: 1", "11:26: model.dept", "did you mean 'depth'", id="model-key"),
        pytest.param(
            "window_s: 1.5", "windows_s: 1.5", "8:26: loader.windows.windows_s", "'window_s'", id="loader-key"
        ),
        pytest.param("[direction]", "[directoin]", "9:13: loader.targets.0", "did you mean 'direction'", id="target"),
        pytest.param("poyo-tiny", "poyo-tini", "11:15: model.size", "did you mean 'poyo-tiny'", id="size"),
        pytest.param("stage: pretrain", "stage: pretain", "3:8: stage", "did you mean 'pretrain'", id="stage"),
        pytest.param("1e-3", "fast", "12:24: train.lr", "expected a number, got 'fast'", id="not-a-number"),
        pytest.param("steps: 12", "steps: 0", "12:16: train.steps", "greater than or equal to 1", id="range"),
        pytest.param("seed: 4", "seed: 4.5", "4:7: seed", "expected a whole number", id="fraction"),
        pytest.param("seed: 4", "seed:", "4:1: seed", "has no value", id="empty"),
        pytest.param("depth: 1", "name: x", "11:26: model.name", "comes from the size", id="not-in-a-recipe"),
        pytest.param(
            "depth: 1", "image_size: [64]", "11:38: model.image_size", "a longer list, got a list of 1", id="short"
        ),
        pytest.param("  targets", "  masks: [{scheme: neuron}]\n  targets", "", "leave `masks` out", id="masks"),
        pytest.param("  targets", "  layout: tokens\n  targets", "", "dense batches, and `loader` lays", id="tokens"),
        pytest.param("  targets", "  layout: jagged\n  targets", "", "leave `layout` out", id="jagged"),
        pytest.param("seed: 4", "epochs: 1.0e+300", "4:9: epochs", "less than or equal to 1000000", id="no-end"),
        pytest.param("lr: 1e-3", "seed: 3", "12:20: train.seed", "stands beside `train`", id="seed-in-train"),
        pytest.param("lr: 1e-3", "folder: x", "12:20: train.folder", "--out", id="folder-in-train"),
        pytest.param("steps: 12, ", "", "12:1: train", "needs its length", id="no-length"),
        pytest.param("seed: 4", "epochs: 3", "12:1: train", "not both", id="two-lengths"),
        pytest.param("depth: 1", "patch_frames: 50", "11:1: model", "does not fit", id="model-contradiction"),
        pytest.param("train: {steps: 12, lr: 1e-3}\n", "", "1:1", "the key 'train' is missing", id="no-train"),
        pytest.param("batch_size: 8\n", "", "1:1", "the key 'batch_size' is missing", id="no-batch-size"),
        pytest.param("training: 1", "training: 2", "1:1: training", "this version reads 1", id="format"),
        pytest.param("training: 1\n", "", "", "must begin with `training: 1`", id="no-recipe"),
        pytest.param("loader:\n", "loader: &a\n", "7:9", "anchors and aliases", id="anchor"),
        pytest.param("seed: 4", "seed: 4\nseed: 5", "5:1", "stands there twice", id="twice"),
    ],
)
def test_everything_wrong_has_its_place(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    assert old in SMALL
    file = tmp_path / "mine.yaml"
    file.write_text(SMALL.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert said in str(caught.value)
    if place:
        assert f"mine.yaml:{place}" in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    text = SMALL.replace("batch_size", "batch_siz").replace("1e-3", "fast").replace("[direction]", "[directoin]")
    with pytest.raises(RecipeError) as caught:
        TrainingRecipe.from_yaml(text)
    paths = {problem.path for problem in caught.value.problems}
    assert {"batch_siz", "train.lr", "loader.targets.0"} <= paths


def test_settings_are_typed_and_reach_every_part() -> None:
    recipe = load_recipe(
        "small-pretrain",
        ["seed=7", "train.lr=1e-4", "loader.windows.window_s=2", "model.depth=1", "about='on'", "stimulus=null"],
    )
    assert (recipe.seed, recipe.train.seed, recipe.train.lr) == (7, 7, 1e-4)
    assert (recipe.loader.windows.window_s, recipe.model.changes["depth"]) == (2, 1)
    assert (recipe.about, recipe.stimulus) == ("on", None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(["batch_siz=4"], "--set: batch_siz: unknown key; did you mean 'batch_size'", id="key"),
        pytest.param(["train.lr=fast"], "--set: train.lr: expected a number", id="kind"),
        pytest.param(["batch_size=2.5"], "--set: batch_size: expected a whole number", id="fraction"),
        pytest.param(["loader.windows.mode=trail"], "--set: loader.windows.mode", id="loader"),
        pytest.param(["train.lr"], "--set takes a key and a value", id="no-value"),
        pytest.param(["train..lr=3"], "--set takes a key and a value", id="no-key"),
        pytest.param(["train.lr=1", "train.lr=2"], "set one of them, once", id="twice"),
        pytest.param(["train.lr=1", "train={steps: 3}"], "set one of them, once", id="within"),
        pytest.param(["train.lr=[1"], "is no value of YAML", id="no-yaml"),
        pytest.param(["train.lr=!!python/object:os.system x"], "is no value of YAML", id="tag"),
    ],
)
def test_wrong_settings(settings: list[str], said: str) -> None:
    with pytest.raises(PoyodataError) as caught:
        load_recipe("small-pretrain", settings)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("loader", "setting", "said"),
    [
        pytest.param(
            "{sampling: same-recording}",
            "loader.sampling.drop_last=true",
            "'loader.sampling' is 'same-recording' in the recipe, which has no 'drop_last' to set; write it there as a",
            id="short-form",
        ),
        pytest.param("lo.yaml", "loader.windows.window_s=1.9", "'loader' is 'lo.yaml' in the recipe", id="file"),
        pytest.param(
            "{targets: [direction]}", "loader.targets.0=running", "'loader.targets' is a list in the recipe", id="list"
        ),
    ],
)
def test_a_setting_never_takes_the_place_of_what_is_around_it(
    tmp_path: Path, loader: str, setting: str, said: str
) -> None:
    (tmp_path / "lo.yaml").write_text("recipe: 1\nwindows: {window_s: 1.5}\ntargets: [direction]\n")
    begin, end = SMALL.split("loader:")[0], SMALL.split("[normalise]\n")[1]
    (tmp_path / "mine.yaml").write_text(f"{begin}loader: {loader}\n{end}")
    with pytest.raises(UsageError) as caught:
        load_recipe(tmp_path / "mine.yaml", [setting])
    assert said in str(caught.value)


def test_a_setting_adds_what_was_not_there_and_leaves_the_document_alone() -> None:
    document = {"loader": {"targets": ["direction"]}}
    made = overridden(document, {("loader", "windows", "mode"): "trial", ("loader", "windows", "window_s"): 2})
    assert made == {"loader": {"targets": ["direction"], "windows": {"mode": "trial", "window_s": 2}}}
    assert document == {"loader": {"targets": ["direction"]}}


def test_a_value_of_several_lines_is_refused() -> None:
    with pytest.raises(UsageError, match="no value of YAML"):
        read_overrides(["train.lr=1\nother: 2"])


def test_an_unknown_recipe_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'small-pretrain'"):
        load_recipe("small-pretrane")
    with pytest.raises(UsageError, match="no training recipe can be read"):
        load_recipe("nowhere.yaml")
