"""Tests of runs whose pictures are scenes: ids that are no times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest, c, load_diet
from poyodata.ingest import ingest
from poyodata.models.recipes import load_recipe
from poyodata.models.training import stages
from poyodata.simulation import simulate
from poyodata.splits import SplitSpec
from poyodata.store import Store, open_store

THIN = SplitSpec.model_validate(
    {"name": "thin", "across": None, "within": {"kind": "blocks", "folds": 5, "guard_s": 0.0}}
)
TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=1")
QUIET: dict[str, Any] = {"loggers": (), "progress": False, "accelerator": "cpu"}
PIXELS = "{name: movie, height: 64, width: 128, stimulus: natural_scenes}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("scenes")
    simulate(folder / "raw", "tiny-sessions")
    ingest([folder / "raw"], folder / "store.zarr")
    return open_store(folder / "store.zarr")


@pytest.fixture(scope="module")
def scenes(store: Store) -> Manifest:
    return load_diet("all").during(c.stimulus == "natural_scenes").resolve(store, split=THIN)


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(f"[{PIXELS}]", id="pixels"),
        pytest.param(f"[{PIXELS}, {{name: image, stimulus: natural_scenes}}]", id="pixels-and-ids"),
    ],
)
def test_a_model_of_scenes_is_tested_by_the_ids_of_scenes(
    store: Store, scenes: Manifest, tmp_path: Path, targets: str
) -> None:
    settings = ("stimulus=natural_scenes", "loader.windows={mode: trial, n_frames: 8}", f"loader.targets={targets}")
    recipe = load_recipe("small-finetune-movie", [*TINY, *settings])
    stages.finetune(store, scenes, recipe, None, tmp_path / "run", **QUIET)
    found = stages.evaluate(store, scenes, tmp_path / "run", accelerator="cpu")
    result = found.results["movie_pixels"]
    answers = found.tested["movie_pixels"].comparison.answers
    assert answers.shown is not None
    assert 0 <= answers.shown.min() <= answers.shown.max() < len(store.movie("natural_scenes"))
    for at, shown in enumerate(answers.shown):
        alike = (answers.target == answers.target[at]).all(axis=(1, 2))
        np.testing.assert_array_equal(alike, answers.shown == shown)
    assert {row.metric for row in result.rows} == {"ssim", "psnr"}
    assert result.seen is not None
