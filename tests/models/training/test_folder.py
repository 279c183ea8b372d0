"""A run is a folder: what is in it, where its model comes from, and that it is refused where it does not belong."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, finetune, load_checkpoint, pretrain
from poyodata.models.training.lineage import added, from_json, lineage_of, to_json


def test_a_run_is_a_folder(model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    run = finetune(
        model,
        [batch],
        steps=3,
        folder=str(folder),
        manifest_digest="ab12",
        loggers=(),
        validate=[batch],
        progress=False,
    )
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tables = {"metrics.csv", "validation.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "model.pt"}
    assert found == tables | {"config.json", "lineage.json", "environment.json", "summary.json"}
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert written["manifest_digest"] == "ab12"
    assert written["train"]["steps"] == 3
    assert written["model"]["dim"] == 16
    (session,) = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["sessions"]
    assert {"torch", "lightning", "poyodata", "numpy", "python"} == set(session["versions"])
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["windows"] == 18
    table = pd.read_csv(folder / "metrics.csv")
    pd.testing.assert_frame_equal(table, run.history, rtol=1e-14)
    loaded = load_checkpoint(folder / "model.pt")
    assert loaded.training is None
    assert loaded.facts["manifest_digest"] == "ab12"
    torch.testing.assert_close(loaded.model(batch), model(batch), rtol=0, atol=0)
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt").training is not None
    with pytest.raises(ModelError, match="holds a run already"):
        finetune(model, [batch], steps=3, folder=str(folder), progress=False)


def test_lineage_is_chained_over_stages(config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path) -> None:
    model = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"])
    common = {"steps": 1, "progress": False, "loggers": ()}
    pretrain(model, [batch], folder=str(tmp_path / "a"), manifest_digest="aa", **common)
    run = finetune(model, [batch], folder=str(tmp_path / "b"), manifest_digest="bb", **common)
    assert [(stage.name, stage.manifest_digest) for stage in run.lineage] == [("pretrain", "aa"), ("finetune", "bb")]
    assert run.lineage[1].before == run.lineage[0].digest
    assert lineage_of(model) == run.lineage
    written = json.loads((tmp_path / "b" / "lineage.json").read_text(encoding="utf-8"))
    assert from_json(written) == run.lineage
    assert from_json(load_checkpoint(tmp_path / "b" / "model.pt").facts["lineage"]) == run.lineage
    looked = added(run.lineage, "evaluate", "cc", {"role": "test"})
    assert looked[2].before == run.lineage[1].digest


@pytest.mark.parametrize(
    ("at", "field"), [pytest.param(0, "manifest_digest", id="first"), pytest.param(1, "before", id="link")]
)
def test_a_changed_lineage_is_refused(at: int, field: str) -> None:
    entries = to_json(added(added((), "pretrain", "aa", {}), "finetune", "bb", {}))
    entries[at][field] = "ff"
    with pytest.raises(ModelError, match="was changed"):
        from_json(entries)
