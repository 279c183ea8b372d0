"""The model of a run is its own, of the step that its summary names; anything else is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from poyodata.curation import c, load_diet
from poyodata.errors import ModelError
from poyodata.models.recipes import load_recipe
from poyodata.models.training import stages
from poyodata.models.training.ancestry import Ancestry
from poyodata.models.training.runs import load_model
from poyodata.splits import resolve_split
from poyodata.store import open_store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=2", "train.validate_every=1")


@dataclass(frozen=True)
class Two:
    """Two runs on the same manifest with the same seed; the other learns more slowly."""

    mine: Path
    other: Path


@pytest.fixture(scope="module")
def two(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder, store = tmp_path_factory.mktemp("two"), open_store(tiny_store_path)
    manifest = load_diet("all").during(c.stimulus == "drifting_gratings").resolve(
        store, split=resolve_split(store, "blocks-5fold")
    )  # fmt: skip
    for name, lr in (("mine", 1e-2), ("other", 1e-7)):
        recipe = load_recipe("small-finetune", [*TINY, f"train.lr={lr}"])
        stages.finetune(
            store, manifest, recipe, None, folder / name, loggers=(), progress=False, accelerator="cpu"
        )  # fmt: skip
    return Two(folder / "mine", folder / "other")


def take(*files: str) -> Callable[[Path, Path], object]:
    def put(run: Path, other: Path) -> None:
        for file in files:
            shutil.copy(other / file, run / file)

    return put


def summary(**changes: object) -> Callable[[Path, Path], object]:
    def edit(run: Path, _: Path) -> None:
        facts = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps({**facts, **changes}))

    return edit


@pytest.mark.parametrize(
    ("best", "change", "said"),
    [
        pytest.param(
            False, take("model.pt"), r"model.pt is of another run than .*lineage.json", id="model-of-another-run"
        ),
        pytest.param(
            True, take("checkpoints/best.ckpt"), "best.ckpt is of another run than", id="best-of-another-run"
        ),
        pytest.param(
            True, lambda run, _: (run / "checkpoints/best.ckpt").unlink(), "best.ckpt is missing; put", id="best-lost"
        ),
        pytest.param(True, summary(best={"step": 9}), r"is of step \d, and .* of step 9", id="best-of-another-step"),
        pytest.param(False, summary(steps=9), r"model.pt is of step 2, and .* of step 9", id="model-of-another-step"),
        pytest.param(False, summary(steps="9"), "does not say how many steps", id="summary-odd"),
        pytest.param(
            True, lambda run, _: (run / "lineage.json").write_text("[]"), "there none", id="lineage-emptied"
        ),
        pytest.param(
            False,
            take("model.pt", "lineage.json", "summary.json", "config.json"),
            "model.pt was trained otherwise than the recipe in .*stages: lr 1e-07, the recipe says 0.01",
            id="all-but-the-recipe",
        ),
    ],
)  # fmt: skip
def test_a_model_that_is_not_the_runs_own_is_refused(
    best: bool, change: Callable[[Path, Path], object], said: str, two: Two, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(two.mine, run)
    ancestry = Ancestry.load(run)
    load_model(run, ancestry, best=best)
    change(run, two.other)
    with pytest.raises(ModelError, match=said):
        load_model(run, ancestry, best=best)


def test_the_best_is_the_one_that_the_summary_names(two: Two, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two.mine, run)
    summary(best=None)(run, run)
    (run / "checkpoints" / "best.ckpt").write_text("left over")
    last, found = (load_model(run, Ancestry.load(run), best=best).state_dict() for best in (False, True))
    assert all((value == found[name]).all() for name, value in last.items() if name != "_extra_state")


def test_all_files_of_another_run_but_the_recipe_are_not_gone_on_with(two: Two, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(two.other, run)
    shutil.rmtree(run / "stages")
    shutil.copytree(two.mine / "stages", run / "stages")
    with pytest.raises(ModelError, match=r"config.json trains otherwise than the recipe in .*: lr 1e-07"):
        stages.resume(run, accelerator="cpu", progress=False)
