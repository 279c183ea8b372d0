"""What is easily mixed up in a notebook is said in one sentence, before anything is read or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest, load_diet
from poyodata.errors import UsageError
from poyodata.loaders.recipe import Recipe
from poyodata.models.recipes import TrainingRecipe, load_recipe
from poyodata.models.training import stages
from poyodata.models.training.arguments import require_whole
from poyodata.models.training.stages import StageRun
from poyodata.store import Store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=1")
QUIET: dict[str, Any] = {"progress": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def recipe() -> TrainingRecipe:
    return load_recipe("small-finetune", TINY)


@pytest.fixture(scope="module")
def run(store: Store, manifest: Manifest, recipe: TrainingRecipe, tmp_path_factory: pytest.TempPathFactory) -> StageRun:
    folder = tmp_path_factory.mktemp("runs") / "a"
    return stages.finetune(store, manifest, recipe, None, folder, loggers=(), **QUIET)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"store": "t10.zarr"}, r"store is 't10.zarr'; .* poyodata.open_store\(path\)", id="path-of-store"),
        pytest.param({"manifest": "all"}, r"manifest is 'all'; .*load_diet\(name\).resolve\(store\)", id="diets-name"),
        pytest.param({"manifest": load_diet("all")}, r"manifest is of class Diet; .*resolve\(store\)", id="diet"),
        pytest.param({"manifest": Path("m")}, r"manifest is the path 'm'; .*Manifest.load\(folder\)", id="path"),
        pytest.param({"recipe": "small-finetune"}, r"recipe is 'small-finetune'; .*load_recipe\(name\)", id="recipe"),
        pytest.param({"recipe": Recipe()}, r"recipe is of class Recipe; .*load_recipe\(name\)", id="loaders-recipe"),
        pytest.param({"from_run": 3}, r"from_run is 3; .* or None, to begin from scratch", id="run-before"),
        pytest.param({"out": None}, r"out is None; give the path of a folder", id="no-folder"),
        pytest.param({"allow_leakage": True}, r"allow_leakage is True; give the reason in words", id="no-reason"),
        pytest.param({"loggers": ["tb"]}, r"there is no logger 'tb'", id="logger"),
    ],
)
def test_what_is_mixed_up_in_a_stage(
    changed: dict[str, Any], said: str, store: Store, manifest: Manifest, recipe: TrainingRecipe, tmp_path: Path
) -> None:
    given = {"store": store, "manifest": manifest, "recipe": recipe, "from_run": None, "out": tmp_path / "r"}
    with pytest.raises(UsageError, match=said):
        stages.finetune(**{**given, **QUIET, **changed})
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"store": "t10.zarr"}, r"store is 't10.zarr'; .* poyodata.open_store\(path\)", id="path-of-store"),
        pytest.param({"manifest": load_diet("all")}, r"manifest is of class Diet", id="diet"),
        pytest.param({"run": 3}, r"run is 3; give the path of a run's folder", id="no-run"),
        pytest.param({"role": "train"}, r"role is 'train'; only windows of role test or valid", id="train"),
        pytest.param({"role": "identify"}, r"role is 'identify'; only windows of role test or valid", id="identify"),
        pytest.param({"accelerator": "tpu"}, r"accelerator is 'tpu'; give auto, cpu or gpu", id="tpu"),
        pytest.param({"bins": 2.5}, r"bins is 2.5; give a whole number of at least 1", id="half-a-bin"),
        pytest.param({"bins": 0}, r"bins is 0; give a whole number of at least 1", id="no-bin"),
        pytest.param({"seed": "0"}, r"seed is '0'; give a whole number of at least 0", id="seed"),
        pytest.param({"allow_leakage": True}, r"allow_leakage is True; give the reason in words", id="no-reason"),
        pytest.param({"out": 3}, r"out is 3; give the path of a folder", id="no-folder"),
    ],
)
def test_what_is_mixed_up_in_a_test(
    changed: dict[str, Any], said: str, store: Store, manifest: Manifest, run: StageRun
) -> None:
    with pytest.raises(UsageError, match=said):
        stages.evaluate(**{"store": store, "manifest": manifest, "run": run.folder, "accelerator": "cpu", **changed})
    assert not (run.folder / "results").exists()


def test_a_stage_that_was_carried_out_is_no_path(store: Store, manifest: Manifest, run: StageRun) -> None:
    given: Any = run
    for call in (lambda: stages.evaluate(store, manifest, given), lambda: stages.resume(given)):
        with pytest.raises(UsageError, match=r"run is of class StageRun; .* is its `folder`"):
            call()


@pytest.mark.parametrize("inside", [pytest.param((), id="a-file"), pytest.param(("r", "s"), id="in-a-file")])
def test_results_are_not_written_over_a_file(
    inside: tuple[str, ...], store: Store, manifest: Manifest, run: StageRun, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt' is a file; name a folder"):
        stages.evaluate(store, manifest, run.folder, out=file.joinpath(*inside))
    assert file.read_text() == "mine"


def test_folds_are_a_list_of_evaluations(store: Store, manifest: Manifest, run: StageRun, tmp_path: Path) -> None:
    bins: Any = np.int64(2)  # as a loop over an array gives it
    found = stages.evaluate(store, manifest, run.folder, out=tmp_path, accelerator="cpu", bins=bins)
    pool: Callable[[Any], Any] = stages.pool_folds
    for given, said in (
        (found, "folds is of class Evaluation; give a list of what `evaluate` gave"),
        ([found, run], "folds is of class StageRun; give a list"),
        ("runs", "folds is 'r'; give a list"),
        ({found}, "folds is of class set; give a list"),
    ):
        with pytest.raises(UsageError, match=said):
            pool(given)
    assert set(pool((found,))) == {"direction"}


def test_the_corrected_call_finds_its_folder_free(
    store: Store, manifest: Manifest, recipe: TrainingRecipe, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="there is no logger 'tb'"):
        stages.finetune(store, manifest, recipe, None, tmp_path / "r", loggers=["tb"], **QUIET)
    prepared = stages.prepare(store, manifest, recipe, stage="finetune", accelerator="cpu")
    with pytest.raises(UsageError, match="there is no logger 'tb'"):
        stages.carry_out(prepared, tmp_path / "r", loggers="tb")
    done = stages.finetune(store, manifest, recipe, None, tmp_path / "r", loggers="csv", **QUIET)
    assert done.run.config.loggers == ("csv",)
    assert (done.folder / "stages" / "loggers.txt").read_text() == "csv\n"
    with pytest.raises(UsageError, match="there is no logger 'tb'"):
        stages.resume(done.folder, store, loggers=["tb"])


@pytest.mark.parametrize("value", [True, 2.0, "2", None, -1])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(UsageError, match="give a whole number of at least 0"):
        require_whole("seed", value, 0)
