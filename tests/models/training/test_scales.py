"""Numbers are learnt in units of their spread in the training windows, and answered in their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from poyodata.curation import Manifest, c, load_diet
from poyodata.errors import ModelError, RecipeError
from poyodata.loaders.loader import Loader
from poyodata.models.config import PoyoConfig
from poyodata.models.evaluation import evaluate
from poyodata.models.recipes import TrainingRecipe, load_recipe
from poyodata.models.training import stages
from poyodata.models.training.scales import with_scales
from poyodata.splits import resolve_split
from poyodata.store import Store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=2")
QUIET: dict[str, Any] = {"loggers": (), "progress": False, "accelerator": "cpu"}
WITH_PUPIL = ("model.tasks=[direction, pupil]", "loader.targets=[direction, pupil]")
NAN = np.nan


def recipe(*settings: str, name: str = "small-finetune") -> TrainingRecipe:
    return load_recipe(name, [*TINY, *settings])


@pytest.fixture(scope="module")
def first(store: Store, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt the pupil."""
    out = tmp_path_factory.mktemp("runs") / "first"
    stages.finetune(store, manifest, recipe(*WITH_PUPIL), None, out, **QUIET)
    return out


# -- what is fitted --------------------------------------------------------------------------------------------------


@dataclass
class Given:
    """A loader, its windows and its one target: numbers that are given window by window."""

    name: str
    values: npt.NDArray[np.float32]

    @property
    def targets(self) -> tuple[Given, ...]:
        return (self,)

    @property
    def columns(self) -> Mapping[str, None]:
        return {self.name: None}

    @property
    def windows(self) -> Given:
        return self

    def __len__(self) -> int:
        return len(self.values)

    def locate(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return rows

    def of(self, located: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        return {self.name: self.values[located]}


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        pytest.param([1000.0, 3000.0], {}, (2000.0, 1000.0), id="windows"),
        pytest.param([1000.0, NAN, 3000.0, np.inf], {}, (2000.0, 1000.0), id="missing"),
        pytest.param([0.1, 0.1, 0.1], {}, (0.1, 1.0), id="constant"),
        pytest.param([[1.0, NAN], [3.0, 5.0]], {"frame_tasks": ("pupil",)}, (3.0, (8 / 3) ** 0.5), id="frames"),
    ],
)
def test_mean_and_spread_of_known_answers(values: Any, settings: dict[str, Any], expected: tuple[float, float]) -> None:
    config = PoyoConfig(tasks=("direction", "pupil"), **settings)
    found = with_scales(config, cast(Loader, Given("pupil", np.asarray(values, np.float32))))
    ((mean, std),) = found.scales["pupil"]
    assert (mean, std) == pytest.approx(expected)
    assert set(found.scales) == {"pupil"}
    assert found.make_tasks()[1].std == (std,)


def test_numbers_that_have_a_scale_keep_it() -> None:
    loader = cast(Loader, Given("running", np.asarray([1.0, 5.0], np.float32)))
    published = PoyoConfig(tasks=("running",))
    assert with_scales(published, loader) is published
    given = PoyoConfig(tasks=("pupil",), scales={"pupil": ((1.0, 2.0),)})
    assert with_scales(given, loader) is given
    learnt_raw = PoyoConfig(tasks=("pupil",))
    assert with_scales(learnt_raw, loader, ["pupil"]) is learnt_raw


def test_a_task_without_any_answer_is_refused() -> None:
    with pytest.raises(ModelError, match="no training window has an answer to task 'pupil'"):
        with_scales(PoyoConfig(tasks=("pupil",)), cast(Loader, Given("pupil", np.full(3, NAN, np.float32))))


def test_a_target_of_other_numbers_is_refused() -> None:
    config = PoyoConfig(layout="legacy", tasks=("pupil",))  # the released readout has two
    with pytest.raises(ModelError, match=r"'pupil' is of 2 numbers, .* gives pupil in shape \(3,\)"):
        with_scales(config, cast(Loader, Given("pupil", np.ones(3, np.float32))))


def test_only_training_windows_are_looked_at(store: Store, manifest: Manifest) -> None:
    prepared = stages.prepare(store, manifest, recipe(*WITH_PUPIL), stage="finetune")
    windows = manifest.windows[(manifest.windows["role"] == "train")]
    (_, target) = prepared.loader.targets
    index = prepared.loader.windows
    assert len(index) <= len(windows)
    values = target.of(index.locate(np.arange(len(index))))["pupil"].astype(np.float64)
    ((mean, std),) = prepared.config.scales["pupil"]
    assert mean == pytest.approx(np.nanmean(values))
    assert std == pytest.approx(np.nanstd(values))
    assert std > 20
    assert "scales" in prepared.text()


# -- from stage to stage ---------------------------------------------------------------------------------------------


def test_what_is_told_is_in_units_of_the_target(first: Path, store: Store, manifest: Manifest) -> None:
    prepared = stages.prepare(store, manifest, recipe(*WITH_PUPIL), stage="finetune", from_run=first)
    model = prepared.model().eval()
    ((mean, std),) = model.config.scales["pupil"]
    table = evaluate(model, prepared.loader, task="pupil")
    assert abs(table["target"].mean() - mean) < std
    assert abs(table["prediction"].mean() - mean) < std  # after two steps a model says little but the mean


def test_the_loss_begins_at_about_the_weight(first: Path) -> None:
    metrics = (first / "metrics.csv").read_text().splitlines()
    row = dict(zip(metrics[0].split(","), metrics[1].split(","), strict=True))
    assert 0.1 < float(row["pupil"]) < 4
    assert float(row["loss"]) == pytest.approx(float(row["direction"]) + 8 * float(row["pupil"]), rel=1e-4)


def test_later_stages_keep_the_scale_that_a_readout_learnt_on(first: Path, store: Store, manifest: Manifest) -> None:
    learnt = json.loads((first / "config.json").read_text())["model"]["scales"]["pupil"]
    other = load_diet("all").during(c.stimulus == "drifting_gratings").resolve(store, split=manifest_split(store))
    shared: dict[str, Any] = {"stage": "finetune", "allow_leakage": "other windows, to fit another scale"}
    kept = stages.prepare(store, other, recipe(*WITH_PUPIL), from_run=first, **shared)
    scratch = stages.prepare(store, other, recipe(*WITH_PUPIL), **shared)
    assert [list(one) for one in kept.config.scales["pupil"]] == learnt
    assert scratch.config.scales["pupil"] != kept.config.scales["pupil"]
    without = stages.prepare(store, other, recipe("model.tasks=[direction]"), from_run=first, **shared)
    assert without.config.scales == {}


def manifest_split(store: Store) -> Any:
    return resolve_split(store, "blocks-5fold", fold=2)


def test_a_task_that_is_new_to_a_later_stage_is_fitted(store: Store, manifest: Manifest, tmp_path: Path) -> None:
    stages.finetune(store, manifest, recipe(), None, tmp_path / "first", **QUIET)
    later = stages.prepare(store, manifest, recipe(*WITH_PUPIL), stage="finetune", from_run=tmp_path / "first")
    assert set(later.config.scales) == {"pupil"}


def test_settings_from_before_there_were_scales_are_read(first: Path) -> None:
    known = json.loads((first / "config.json").read_text())["model"]
    old = PoyoConfig(**{name: value for name, value in known.items() if name not in ("scales", "weights")})
    assert (old.scales, old.weights) == ({}, {})
    assert [(task.weight, task.std) for task in old.make_tasks()] == [(1.0, ()), (8.0, ())]


def test_runs_from_before_there_were_scales_go_on(store: Store, manifest: Manifest, tmp_path: Path) -> None:
    stages.finetune(store, manifest, recipe(), None, tmp_path, **QUIET)
    file = tmp_path / "config.json"
    facts = json.loads(file.read_text())
    del facts["model"]["scales"], facts["model"]["weights"]
    file.write_text(json.dumps(facts))
    assert stages.resume(tmp_path, store, accelerator="cpu", progress=False).run.steps == 2


# -- weights ---------------------------------------------------------------------------------------------------------


def test_weights_are_set_in_recipes_and_kept(first: Path, store: Store, manifest: Manifest) -> None:
    settings = recipe(*WITH_PUPIL, "model.weights.pupil=2", "model.weights.direction=0.5")
    assert TrainingRecipe.from_yaml(settings.to_yaml()) == settings
    assert settings.digest != recipe(*WITH_PUPIL).digest
    prepared = stages.prepare(store, manifest, settings, stage="finetune", from_run=first)
    assert {task.name: task.weight for task in prepared.model().tasks} == {"direction": 0.5, "pupil": 2.0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(["model.weights.pupill=2"], "did you mean 'pupil'", id="unknown"),
        pytest.param(["model.weights.pupil=-1"], "weighs -1", id="negative"),
        pytest.param(["model.weights.pupil=heavy"], "expected a number", id="no-number"),
        pytest.param(["model.scales.pupil=[[1, 2]]"], "from the windows of `loader`", id="scales"),
    ],
)
def test_weights_that_make_no_sense_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(*WITH_PUPIL, *settings)
