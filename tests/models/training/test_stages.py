"""Stages: from a store, a manifest and a recipe to a run, tested on what no stage of it has seen."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from poyodata.curation import Manifest, c, load_diet
from poyodata.errors import LeakError, ManifestError, ModelError, PoyodataError, UsageError
from poyodata.models.checkpoint import load_checkpoint
from poyodata.models.recipes import TrainingRecipe, load_recipe
from poyodata.models.training import fit, stages
from poyodata.models.training.ancestry import Ancestry
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.plan import readable, steps_of
from poyodata.splits import resolve_split
from poyodata.store import Store, StoreWriter, open_store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8")


def recipe(name: str, *settings: str, steps: int = 3) -> TrainingRecipe:
    by_epochs = any(one.startswith("epochs") for one in settings)
    length = ("train.steps=null",) if by_epochs else (f"train.steps={steps}",)
    own = {one.split("=")[0] for one in settings}
    tiny = [one for one in TINY if one.split("=")[0] not in own]
    return load_recipe(name, [*tiny, *length, *settings])


def gratings(store: Store, *, fold: int = 0, split: str = "blocks-5fold", diet: str = "all") -> Manifest:
    eaten = load_diet(diet).during(c.stimulus == "drifting_gratings")
    return eaten.resolve(store, split=resolve_split(store, split, fold=fold))


@dataclass(frozen=True)
class Road:
    """A pretrained and a fine-tuned run on the world `tiny`."""

    store: Store
    manifest: Manifest
    pretrained: Path
    tuned: Path
    pretraining: stages.StageRun
    tuning: stages.StageRun


@pytest.fixture(scope="module")
def road(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Road:
    folder = tmp_path_factory.mktemp("runs")
    store = open_store(tiny_store_path)
    manifest = gratings(store)
    first = stages.pretrain(
        store, manifest, recipe("small-pretrain"), folder / "pretrained", loggers=(), progress=False, accelerator="cpu"
    )
    second = stages.finetune(
        store,
        manifest,
        recipe("small-finetune"),
        folder / "pretrained",
        folder / "tuned",
        loggers=(),
        progress=False,
        accelerator="cpu",
    )
    return Road(store, manifest, folder / "pretrained", folder / "tuned", first, second)


def test_a_run_is_a_folder_with_its_recipe_and_manifest(road: Road) -> None:
    names = {path.name for path in road.pretrained.iterdir()}
    assert {"config.json", "lineage.json", "metrics.csv", "environment.json", "checkpoints", "stages"} <= names
    own = road.tuned / "stages" / "1-finetune"
    assert TrainingRecipe.from_yaml(own / "recipe.yaml") == recipe("small-finetune")
    assert Manifest.load(own / "manifest").digest == road.manifest.digest
    assert road.tuning.run.steps == len(pd.read_csv(road.tuned / "metrics.csv")) == 3


def test_the_lineage_is_chained_over_stages(road: Road) -> None:
    facts = json.loads((road.tuned / "lineage.json").read_text())
    assert [entry["name"] for entry in facts] == ["pretrain", "finetune"]
    assert {entry["manifest_digest"] for entry in facts} == {road.manifest.digest}
    mine = Ancestry.load(road.tuned)
    assert mine.names() == ["pretrain", "finetune"]
    first, second = mine.facts
    assert first["before"] is None
    assert second["before"] == first["digest"]
    assert Ancestry.load(road.pretrained).facts == [first]


def test_fine_tuning_begins_with_the_weights_of_the_run_before(road: Road) -> None:
    before = load_checkpoint(road.pretrained / "model.pt").model
    prepared = stages.prepare(
        road.store, road.manifest, recipe("small-finetune"), stage="finetune", from_run=road.pretrained
    )
    begun = prepared.model()
    for name, value in begun.state_dict().items():
        if name != "_extra_state":
            assert (value == before.state_dict()[name]).all(), name
    scratch = stages.prepare(road.store, road.manifest, recipe("small-finetune"), stage="finetune").model()
    assert not (scratch.latents == before.latents).all()


def test_the_test_writes_what_it_found(road: Road, tmp_path: Path) -> None:
    found = stages.evaluate(road.store, road.manifest, road.tuned, out=tmp_path / "r", accelerator="cpu")
    facts = json.loads((tmp_path / "r" / "result.json").read_text())
    best = json.loads((road.tuned / "summary.json").read_text())["best"]
    last = {"file": "model.pt", "step": load_checkpoint(road.tuned / "model.pt").facts["steps"]}
    assert facts["checkpoint"] == (last if best is None else {"file": "best.ckpt", "step": best["step"]})
    assert facts == json.loads(json.dumps(found.facts))
    assert [entry["name"] for entry in facts["lineage"]] == ["pretrain", "finetune", "evaluate"]
    assert facts["leaks"]["ok"] is True
    assert facts["leaks"]["allow_leakage"] is None
    assert facts["manifest_digest"] == road.manifest.digest
    answers = pd.read_parquet(tmp_path / "r" / "direction.parquet")
    windows = road.manifest.windows
    tested = windows[(windows["role"] == "test") & ~windows["blank"]]
    assert set(zip(answers["session_id"], answers["trial"], strict=True)) == set(
        zip(tested["session_id"], tested["trial"], strict=True)
    )
    pooled = found.results["direction"].row("accuracy")
    assert pooled.value == pytest.approx((answers["prediction"] == answers["target"]).mean())
    assert {"chance", "linear"} <= set(pooled.beside)
    assert "accuracy" in "\n".join(found.remarks)


def test_windows_that_chose_the_checkpoint_are_no_test(road: Road, tmp_path: Path) -> None:
    found = stages.evaluate(road.store, road.manifest, road.tuned, role="valid", out=tmp_path, accelerator="cpu")
    assert "this is no test" in found.remarks[0]
    assert "this is no test" in stages.pool_folds([found])["direction"].sentences[0]


def test_folds_are_judged_as_one_test(road: Road, tmp_path: Path) -> None:
    first = stages.evaluate(road.store, road.manifest, road.tuned, out=tmp_path / "0", accelerator="cpu")
    other, quiet = gratings(road.store, fold=1), {"loggers": (), "progress": False}
    stages.finetune(road.store, other, recipe("small-finetune", steps=1), None, tmp_path / "other", **quiet)
    second = stages.evaluate(road.store, other, tmp_path / "other", accelerator="cpu")
    whole = stages.pool_folds([first, second])["direction"].row("accuracy")
    parts = [one.results["direction"].row("accuracy") for one in (first, second)]
    assert whole.n == sum(part.n for part in parts)
    assert whole.value == pytest.approx(sum(part.value * part.n for part in parts) / whole.n)
    linear = sum(part.beside["linear"] * part.n for part in parts) / whole.n
    assert whole.beside["linear"] == pytest.approx(linear)
    with pytest.raises(ModelError, match="there are no folds"):
        stages.pool_folds([])


def test_a_test_window_that_an_earlier_stage_saw_ends_the_call(road: Road, tmp_path: Path) -> None:
    other = gratings(road.store, fold=1)
    with pytest.raises(LeakError, match=r"leaks? from training into the test"):
        stages.finetune(road.store, other, recipe("small-finetune"), road.pretrained, tmp_path / "no")
    assert not (tmp_path / "no").exists()
    with pytest.raises(LeakError, match=r"leaks? from training into the test"):
        stages.evaluate(road.store, other, road.tuned)


def test_a_reason_stands_in_every_result(road: Road, tmp_path: Path) -> None:
    other = gratings(road.store, fold=1)
    tuned = stages.finetune(
        road.store,
        other,
        recipe("small-finetune", steps=1),
        road.pretrained,
        tmp_path / "leaky",
        allow_leakage="a look at it",
        loggers=(),
        progress=False,
        accelerator="cpu",
    )
    assert tuned.ancestry.reasons == ("a look at it",)
    found = stages.evaluate(road.store, other, tmp_path / "leaky", accelerator="cpu")
    assert found.facts["leaks"]["allow_leakage"] == "a look at it"
    assert found.facts["leaks"]["ok"] is False
    assert found.remarks[0].startswith("LEAKS, allowed (a look at it)")
    # What was allowed there allows nothing else.
    with pytest.raises(LeakError):
        stages.evaluate(road.store, gratings(road.store, fold=2), tmp_path / "leaky")


def test_a_run_that_was_stopped_goes_on_to_the_same_end(road: Road, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(road.pretrained, stopped)
    # As it was before the first step: there is a checkpoint of step 0 in every run, and none is needed to begin.
    for name in ("summary.json", "model.pt", "config.json"):
        (stopped / name).unlink()
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "metrics.csv").unlink()
    (stopped / "validation.csv").unlink(missing_ok=True)
    done = stages.resume(stopped, stage="pretrain", accelerator="cpu", progress=False)
    assert done.run.steps == 3
    assert same_weights(stopped, road.pretrained)
    again = stages.resume(stopped, road.store, accelerator="cpu", progress=False)
    assert again.run.steps == 3
    assert same_weights(stopped, road.pretrained)


@pytest.mark.parametrize(
    ("noted", "planned"),
    [
        pytest.param("2 1\n", (2, 1), id="two-devices"),
        pytest.param("1 3\n", (1, 3), id="three-machines"),
        pytest.param(None, (1, 1), id="not-noted"),
    ],
)
def test_a_run_that_never_began_goes_on_with_as_many_processes_as_it_was_planned_for(
    noted: str | None, planned: tuple[int, int], road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = tmp_path / "run", recipe("small-finetune", "epochs=2")
    devices, nodes = planned
    prepared = stages.prepare(
        road.store, road.manifest, asked, stage="finetune", accelerator="cpu", devices=devices, nodes=nodes
    )
    prepared.ancestry.save(run, (), planned)
    file = run / "stages" / "processes.txt"
    assert file.read_text() == f"{devices} {nodes}\n"
    if noted is None:
        file.unlink()
    begun: list[TrainConfig] = []

    def train(_model: object, _loader: object, config: TrainConfig, **_: object) -> None:
        begun.append(config)

    monkeypatch.setattr(fit, "train", train)
    stages.resume(run, accelerator="cpu", progress=False)
    (config,) = begun
    assert (config.devices, config.nodes, config.steps) == (devices, nodes, prepared.train.steps)


def test_processes_that_are_not_numbers_are_said(road: Road, tmp_path: Path) -> None:
    prepared = stages.prepare(road.store, road.manifest, recipe("small-finetune"), stage="finetune")
    prepared.ancestry.save(tmp_path / "run")
    (tmp_path / "run" / "stages" / "processes.txt").write_text("two\n")
    with pytest.raises(ModelError, match=r"processes.txt does not say .*; write both numbers"):
        stages.resume(tmp_path / "run")


def test_a_run_that_never_began_is_not_begun_with_another_than_it_was(road: Road, tmp_path: Path) -> None:
    before, run = tmp_path / "before", tmp_path / "run"
    shutil.copytree(road.pretrained, before)
    prepared = stages.prepare(road.store, road.manifest, recipe("small-finetune"), stage="finetune", from_run=before)
    prepared.ancestry.save(run)
    shutil.rmtree(before)
    stages.pretrain(
        road.store, road.manifest, recipe("small-pretrain", "train.lr=1e-6"), before, loggers=(), progress=False
    )
    with pytest.raises(ModelError, match=r"was trained anew since: .* put it back as it was"):
        stages.resume(run, accelerator="cpu", progress=False)
    assert not (run / "checkpoints").exists()


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_checkpoint(folder / "model.pt").model.state_dict() for folder in (one, other))
    return all(bool((first[name] == second[name]).all()) for name in first)


def test_a_plan_counts_what_will_be_trained(road: Road) -> None:
    prepared = stages.prepare(road.store, road.manifest, recipe("small-pretrain", "epochs=4"), stage="pretrain")
    plan = prepared.plan
    windows = road.manifest.windows
    assert plan.windows == len(prepared.loader.windows) <= int((windows["role"] == "train").sum())
    assert plan.batches == -(-plan.windows // 8)
    assert plan.steps == prepared.train.steps == 4 * plan.batches
    assert plan.neurons == len(road.manifest.neurons)
    assert plan.tokens_per_window == 12 * prepared.config.n_patches
    model = prepared.model()
    assert plan.parameters == model.n_parameters
    assert plan.embeddings == model.units[1:].numel() + model.sessions.numel()
    assert 0 < plan.memory_mb < 1000
    text = prepared.text()
    for part in (prepared.recipe.to_yaml(), f"{plan.parameters:,} parameters", "no leak"):
        assert part.rstrip() in text


def test_epochs_become_steps() -> None:
    assert steps_of(recipe("paper-pretrain", "epochs=50"), 10) == 500
    assert steps_of(recipe("paper-pretrain", "epochs=1.5", "train.accumulate=2"), 10) == 8
    assert readable(1_269_120) == "1.3 M"


def test_a_readout_that_was_trained_is_kept_when_another_is_given_its_outputs(road: Road, tmp_path: Path) -> None:
    tasks = ("model.tasks=[direction,temporal_frequency]", "loader.targets=[direction,temporal_frequency]")
    first = recipe("small-finetune", *tasks, "model.n_outputs.temporal_frequency=3", steps=1)
    run, quiet = tmp_path / "run", {"loggers": (), "progress": False, "accelerator": "cpu"}
    stages.finetune(road.store, road.manifest, first, None, run, **quiet)
    before = load_checkpoint(run / "model.pt").model.state_dict()
    asked = recipe("small-finetune", *tasks, "model.n_outputs.direction=8")
    prepared = stages.prepare(road.store, road.manifest, asked, stage="finetune", from_run=run)
    assert prepared.config.n_outputs == {"temporal_frequency": 3, "direction": 8}
    begun = prepared.model().state_dict()
    assert (
        begun["readouts.heads.temporal_frequency.weight"] == before["readouts.heads.temporal_frequency.weight"]
    ).all()


def test_a_recipe_of_the_other_stage_is_refused(road: Road, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of stage finetune"):
        stages.pretrain(road.store, road.manifest, recipe("small-finetune"), tmp_path / "r")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(["model.tasks=[direction, running]"], "task 'running' reads 'running'", id="missing-target"),
        pytest.param(["stimulus=natural_movie_one"], "has windows of drifting_gratings", id="stimulus"),
        pytest.param(["model.size=poyo-1.3m"], "is a poyo-tiny, and recipe", id="another-size"),
        pytest.param(["model.self_heads=2"], "model.self_heads to 2, .* was trained with 4", id="heads"),
        pytest.param(["model.self_heads=2", "model.dim_head=16"], "model.dim_head to 16, .* with 8", id="cut-heads"),
        pytest.param(["model.depth=0"], "model.depth to 0, .* with 1.*--set model.depth=null", id="fewer-layers"),
        pytest.param(["model.features=[area]"], r"model.features to \('area',\), .* with \(\)", id="features"),
        pytest.param(["model.tokens=patched"], "model.tokens to 'patched', .* with 'gated'", id="tokens"),
        pytest.param(["model.patch_frames=2"], "model.patch_frames to 2", id="patches"),
        pytest.param(["model.latents_per_step=3"], "model.latents_per_step to 3", id="latents"),
        pytest.param(["loader.windows.window_s=400"], "window", id="window-too-long"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_trained(
    road: Road, tmp_path: Path, settings: list[str], said: str
) -> None:
    with pytest.raises(PoyodataError, match=said):
        stages.finetune(
            road.store, road.manifest, recipe("small-finetune", *settings), road.pretrained, tmp_path / "r", loggers=()
        )
    assert not (tmp_path / "r").exists()


def test_a_manifest_of_another_store_is_refused(road: Road, tmp_path: Path) -> None:
    StoreWriter(tmp_path / "other.zarr").close()
    with pytest.raises(ManifestError, match="store"):
        stages.pretrain(open_store(tmp_path / "other.zarr"), road.manifest, recipe("small-pretrain"), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_folder_that_holds_something_is_refused(road: Road, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder, said in (
        (road.pretrained, "holds a run already"),
        (tmp_path, "is not empty"),
        (tmp_path / "notes.txt", "is a file"),
    ):
        with pytest.raises(UsageError, match=said):
            stages.pretrain(road.store, road.manifest, recipe("small-pretrain"), folder)


def test_no_run_is_said_to_be_none(road: Road, tmp_path: Path) -> None:
    for call in (
        lambda: stages.resume(tmp_path),
        lambda: stages.evaluate(road.store, road.manifest, tmp_path),
        lambda: stages.finetune(road.store, road.manifest, recipe("small-finetune"), tmp_path, tmp_path / "r"),
    ):
        with pytest.raises(UsageError, match="holds no run"):
            call()
    with pytest.raises(UsageError, match="is a run of stage pretrain"):
        stages.resume(road.pretrained, stage="finetune")


@pytest.mark.parametrize("file", ["recipe.yaml", "stage.json", "manifest/manifest.json"])
def test_a_lineage_that_was_changed_is_refused(road: Road, tmp_path: Path, file: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(road.tuned, run)
    changed = run / "stages" / "0-pretrain" / file
    text = changed.read_text()
    changed.write_text(text.replace("seed: 0", "seed: 1").replace('"pretrain"', '"other"').replace('"all"', '"some"'))
    assert changed.read_text() != text
    with pytest.raises((ModelError, ManifestError), match=r"changed|damaged|differ"):
        stages.evaluate(road.store, road.manifest, run)


@pytest.mark.parametrize("text", ["[]", "3", '{"from_run": 3}', "{"])
def test_a_stage_that_is_no_stage_is_refused(road: Road, tmp_path: Path, text: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(road.tuned, run)
    (run / "stages" / "0-pretrain" / "stage.json").write_text(text)
    with pytest.raises(ModelError, match="0-pretrain is damaged"):
        Ancestry.load(run)


def test_files_that_are_no_stages_may_lie_beside_them(road: Road, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(road.tuned, run)
    for name in ("._0-pretrain", "._1-finetune", "my-notes.txt"):
        (run / "stages" / name).write_text("of a copy")
    assert Ancestry.load(run).facts == Ancestry.load(road.tuned).facts


def test_stages_that_cannot_be_written_are_said(road: Road, tmp_path: Path) -> None:
    (tmp_path / "stages" / "of-another-process").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"cannot write .*stages \(Directory not empty\); make room"):
        Ancestry.load(road.tuned).save(tmp_path)


def test_a_stage_that_was_taken_away_is_missed(road: Road, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(road.tuned, run)
    shutil.rmtree(run / "stages" / "0-pretrain")
    with pytest.raises(ModelError, match="changed"):
        stages.evaluate(road.store, road.manifest, run)


@pytest.mark.slow
def test_pictures_end_to_end(tiny_store_path: Path, tmp_path: Path) -> None:
    store = open_store(tiny_store_path)
    movie = load_diet("all").during(c.stimulus == "natural_movie_one").resolve(store, split="paper-trial")
    stages.finetune(
        store,
        movie,
        recipe("small-finetune-movie", "loader.windows.window_s=0.1", steps=2),
        None,
        tmp_path / "movie",
        loggers=(),
        progress=False,
        accelerator="cpu",
    )
    found = stages.evaluate(store, movie, tmp_path / "movie", accelerator="cpu")
    assert found.results["movie_pixels"].all_test_frames_seen
    assert "were shown in training" in "\n".join(found.remarks)
    assert {"ssim", "psnr", "within_1s"} <= set(found.table()["metric"])


def test_a_new_decoder_begins_with_the_mean_of_the_training_frames(tiny_store_path: Path) -> None:
    store = open_store(tiny_store_path)
    movie = load_diet("all").during(c.stimulus == "natural_movie_one").resolve(store, split="paper-trial")
    prepared = stages.prepare(
        store, movie, recipe("small-finetune-movie", "loader.windows.window_s=0.1", steps=1), stage="finetune"
    )
    model = prepared.model().eval()
    batch = next(iter(prepared.loader))
    with torch.no_grad():
        answer = model(prepared.loader.to_torch(batch))["movie_pixels"]
    (target,) = prepared.loader.targets
    expected = np.clip(target.mean_frame(prepared.loader.windows), 0.02, 0.98)
    np.testing.assert_allclose(answer.numpy(), np.broadcast_to(expected, answer.shape), atol=1e-5)
