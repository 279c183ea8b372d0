"""A run is a folder: what is in it, where its model comes from, and that it is refused where it does not belong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, finetune, load_checkpoint, pretrain, train
from poyodata.models.training.fit import resume
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
    assert found == tables | {"config.json", "lineage.json", "environment.json", "summary.json", "training.lock"}
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


# -- files of another run --------------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {"steps": 4, "checkpoint_every": 2, "log_every": 1, "loggers": (), "accelerator": "cpu"}


def new_model(config: PoyoConfig) -> PoyoPlus:
    return PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"], seed=1)


class BrokenOffError(Exception):
    pass


def break_off(step: int, _: float) -> None:
    if step == 3:
        raise BrokenOffError


@pytest.fixture
def broken_off(config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path) -> Callable[..., Path]:
    """Give the folder of a run that was broken off after its checkpoint of step 2."""

    def make(name: str, **changes: Any) -> Path:
        settings = TrainConfig(**{**SETTINGS, **changes}, folder=str(tmp_path / name))
        with pytest.raises(BrokenOffError):
            train(new_model(config), [batch], settings, progress=False, on_step=break_off)
        return tmp_path / name

    return make


def edited(file: str, change: Callable[[Any], object]) -> Callable[[Path, Path], object]:
    def edit(mine: Path, _: Path) -> None:
        content = json.loads((mine / file).read_text(encoding="utf-8"))
        change(content)
        (mine / file).write_text(json.dumps(content), encoding="utf-8")

    return edit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda mine, other: shutil.copy(other / "checkpoints" / "last.ckpt", mine / "checkpoints" / "last.ckpt"),
            r"last.ckpt is of another run than .*lineage.json",
            id="checkpoint-of-another-run",
        ),
        pytest.param(
            edited("config.json", lambda c: c["train"].update(lr=0.5, steps=40)),
            "trained with other settings than .*config.json says: steps was 4, there it is 40; lr was 0.002",
            id="config-edited",
        ),
        pytest.param(
            edited("config.json", lambda c: c["classes"].update(direction=["90", "0"])), "classes was", id="classes"
        ),
        pytest.param(edited("config.json", lambda c: c.pop("model")), "it has no model", id="config-without-model"),
        pytest.param(
            edited("config.json", lambda c: c.pop("manifest_digest")), "no manifest_digest", id="config-without-digest"
        ),
        pytest.param(edited("config.json", lambda c: c.update(manifest_digest=3)), "no text", id="config-odd-digest"),
        pytest.param(
            edited("config.json", lambda c: c.update(classes=5)), "no lists of names", id="config-odd-classes"
        ),
        pytest.param(
            lambda mine, _: (mine / "config.json").write_text("[]"), "expected a dict", id="config-no-mapping"
        ),
        pytest.param(
            lambda mine, _: (mine / "config.json").unlink(), "config.json is missing, and the run", id="config-lost"
        ),
        pytest.param(lambda mine, _: (mine / "lineage.json").write_text("[]"), "there none", id="lineage-emptied"),
        pytest.param(lambda mine, _: (mine / "lineage.json").write_text("[1]"), "expected name", id="lineage-odd"),
        pytest.param(lambda mine, _: (mine / "lineage.json").write_text("{"), "cannot be read", id="lineage-damaged"),
        pytest.param(lambda mine, _: (mine / "lineage.json").unlink(), "lineage.json is missing", id="lineage-lost"),
        pytest.param(
            lambda mine, _: (mine / "checkpoints" / "last.ckpt").unlink(), "last.ckpt is missing", id="checkpoint-lost"
        ),
    ],
)
def test_files_that_are_not_the_runs_own_are_refused(
    change: Callable[[Path, Path], object],
    said: str,
    broken_off: Callable[..., Path],
    batch: dict[str, Tensor],
) -> None:
    mine, other = broken_off("mine"), broken_off("other", lr=1e-7)
    before = (mine / "checkpoints" / "last.ckpt").read_bytes()
    change(mine, other)
    with pytest.raises(ModelError, match=said):
        resume(mine, [batch], progress=False)
    assert (other / "checkpoints" / "last.ckpt").exists()
    if "last.ckpt" not in said:
        assert (mine / "checkpoints" / "last.ckpt").read_bytes() == before


def test_a_run_that_lost_its_settings_is_not_begun_over(
    broken_off: Callable[..., Path], config: PoyoConfig, batch: dict[str, Tensor]
) -> None:
    mine = broken_off("mine")
    (mine / "config.json").unlink()
    settings = TrainConfig(**SETTINGS, folder=str(mine))
    for again in (True, False):
        with pytest.raises(ModelError, match=r"config.json is missing, .* put it back to go on"):
            train(new_model(config), [batch], settings, progress=False, resume=again)
    assert load_checkpoint(mine / "checkpoints" / "last.ckpt").facts["steps"] == 2


def test_runs_on_other_batches_have_other_lineages(config: PoyoConfig, batch: dict[str, Tensor]) -> None:
    class Batches(list[dict[str, Tensor]]):
        recipe_digest, batch_size = "ab", 6

    class Others(Batches):
        recipe_digest = "cd"

    runs = [
        train(new_model(config), made([batch]), TrainConfig(steps=1), progress=False)
        for made in (Batches, Batches, Others)
    ]
    assert runs[0].lineage == runs[1].lineage
    assert runs[0].lineage != runs[2].lineage


def test_what_a_killed_process_left_is_removed(
    broken_off: Callable[..., Path], batch: dict[str, Tensor], tmp_path: Path
) -> None:
    mine = broken_off("mine")
    left = [mine / ".summary.json.7.partial", mine / "checkpoints" / ".last.ckpt.7.partial"]
    for file in left:
        file.write_text("half")
    assert resume(mine, [batch], progress=False).steps == 4
    assert not any(file.exists() for file in left)
