"""What would end a run only after steps is told before there is a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from poyodata.curation import Manifest
from poyodata.errors import PoyodataError
from poyodata.models.recipes import known_recipes, load_recipe
from poyodata.models.training import stages
from poyodata.store import Store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=2")


def with_valid(manifest: Manifest, how: str) -> Manifest:
    windows, valid = manifest.windows.copy(), manifest.windows["role"] == "valid"
    if how == "none":
        windows = windows[~valid].reset_index(drop=True)
    elif how == "short":
        windows.loc[valid, "stop_frame"] = windows.loc[valid, "start_frame"] + 5
    return replace(manifest, windows=windows)


@pytest.mark.parametrize(
    ("settings", "accelerator", "valid", "said"),
    [
        pytest.param(
            ["train.monitor=accuracy"], "cpu", "as-it-is", "no 'accuracy' to monitor; known are", id="monitor"
        ),
        pytest.param(["train.perceptual=/nope.pt"], "cpu", "as-it-is", "no file /nope.pt", id="perceptual"),
        pytest.param([], "gpu", "as-it-is", "finds no GPU", id="gpu"),
        pytest.param([], "cpu", "short", "trials of role 'valid'", id="valid-windows-too-short"),
        pytest.param(["train.patience=3"], "cpu", "none", "has no valid windows", id="patience-without-validation"),
    ],
)
def test_mistakes_of_a_validation_are_told_before_anything_is_written(
    store: Store,
    manifest: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    accelerator: stages.Accelerator,
    valid: str,
    said: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    eaten, recipe = with_valid(manifest, valid), load_recipe("small-pretrain", [*TINY, *settings])
    with pytest.raises(PoyodataError, match=said):
        stages.pretrain(store, eaten, recipe, tmp_path / "r", accelerator=accelerator, loggers=(), progress=False)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param("{how: balanced, by: direction_deg, n_windows: 5}", id="balanced"),
        pytest.param("{how: weighted, weights: {all: 1.0}, n_windows: 5}", id="weighted"),
        pytest.param("{shuffle: true, drop_last: true}", id="tail"),
    ],
)
def test_a_validation_reads_every_window_in_order(store: Store, manifest: Manifest, sampling: str) -> None:
    settings = [*TINY[:3], "batch_size=1000", "train.steps=2", f"loader.sampling={sampling}"]
    if "drop_last" in sampling:
        settings[3] = "batch_size=20"
    prepared = stages.prepare(store, manifest, load_recipe("small-pretrain", settings), stage="pretrain")
    validation = prepared.validation()
    assert validation is not None
    read = [trial for batch in validation.arrays() for trial in batch["trial"].tolist()]
    windows = manifest.windows
    assert len(read) == (windows["role"] == "valid").sum()
    assert read == windows.loc[windows["role"] == "valid", "trial"].tolist()


@pytest.mark.parametrize("name", [name for name in known_recipes() if "movie" not in name])
def test_every_shipped_recipe_is_tried(store: Store, manifest: Manifest, name: str) -> None:
    recipe = load_recipe(name)
    prepared = stages.prepare(store, manifest, recipe, stage=recipe.stage, accelerator="cpu")
    n_valid = int((manifest.windows["role"] == "valid").sum())
    assert prepared.facts()["plan"]["valid_windows"] == n_valid
    assert f"validation  {n_valid} windows" in prepared.text()


def test_a_plan_says_that_nothing_is_validated(store: Store, manifest: Manifest) -> None:
    recipe = load_recipe("small-pretrain", TINY)
    prepared = stages.prepare(store, with_valid(manifest, "none"), recipe, stage="pretrain", accelerator="cpu")
    assert "validation  none" in prepared.text()
    assert prepared.facts()["plan"]["valid_windows"] == 0
