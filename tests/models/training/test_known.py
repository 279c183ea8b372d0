"""What a model knows is what its stages were shown; the rest is neither tested, forgotten nor renumbered in silence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.curation import Manifest, c, load_diet
from poyodata.errors import LoaderError, ModelError, UsageError
from poyodata.loaders import make_loader
from poyodata.loaders.recipe import Recipe
from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, load_checkpoint, resume, save_checkpoint, train
from poyodata.models.batches import ModelBatches, shown_names
from poyodata.models.recipes import TrainingRecipe, load_recipe
from poyodata.models.training import stages
from poyodata.models.training.ancestry import FOLDER, UNFINISHED, Ancestor, Ancestry
from poyodata.models.training.classes import with_classes
from poyodata.models.training.config import FREE_ON_RESUME
from poyodata.models.training.known import strangers, without
from poyodata.models.training.optimizers import optimizer_of
from poyodata.models.training.runs import check_out
from poyodata.models.unet import UNetDecoder
from poyodata.store import Store

MakeBatch = Callable[..., dict[str, Tensor]]
TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=2")
QUIET: dict[str, Any] = {"loggers": (), "progress": False, "accelerator": "cpu"}


def recipe(*settings: str, name: str = "small-finetune") -> TrainingRecipe:
    return load_recipe(name, [*TINY, *settings])


def learning_from(manifest: Manifest, *sessions: str) -> Manifest:
    """Train windows of some recordings alone; all other windows as they are."""
    others = set(manifest.neurons["session_id"]) - set(sessions)
    return without(manifest, "train", others)


@pytest.fixture(scope="module")
def first(store: Store, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A run that learnt from the first recording alone; that recording, the next one, and the run."""
    one, other = sorted(set(manifest.neurons["session_id"]))[:2]
    out = tmp_path_factory.mktemp("runs") / "a"
    settings = recipe("model.features=[area]")
    stages.finetune(store, learning_from(manifest, one), settings, None, out, **QUIET)
    return one, other, out


# -- who was trained -------------------------------------------------------------------------------------------------


def test_only_recordings_that_are_learnt_from_have_rows(first: tuple[str, str, Path], manifest: Manifest) -> None:
    one, _, run = first
    model = load_checkpoint(run / "model.pt").model
    own = manifest.neurons.loc[manifest.neurons["session_id"] == one, "neuron_id"]
    assert model.session_ids == (one,)
    assert set(model.neuron_ids) == set(own) == model.trained_neuron_ids
    assert model.trained_session_ids == {one}
    assert model.trained_tasks == {"direction"}


def test_the_checkpoint_is_chosen_on_recordings_that_are_learnt_from(
    first: tuple[str, str, Path], store: Store, manifest: Manifest
) -> None:
    one = first[0]
    prepared = stages.prepare(store, learning_from(manifest, one), recipe(), stage="finetune")
    measured = prepared.validation()
    assert measured is not None
    assert shown_names(measured).sessions == (one,)
    assert prepared.plan.recordings == 1
    assert prepared.plan.parameters == prepared.model().n_parameters


def test_recordings_that_no_stage_trained_are_left_out_of_a_test_and_counted(
    first: tuple[str, str, Path], store: Store, manifest: Manifest, tmp_path: Path
) -> None:
    one, _, run = first
    found = stages.evaluate(store, manifest, run, out=tmp_path / "r", accelerator="cpu", allow_leakage="none is there")
    tested = manifest.windows[manifest.windows["role"] == "test"]
    n = tested["session_id"].nunique()
    assert any(f"{n - 1} of {n} recordings" in line and "identify them first" in line for line in found.remarks)
    groups = set(found.table()["group"]) - {"pooled"}
    assert groups <= {one}


def test_a_test_on_strangers_alone_is_refused(
    first: tuple[str, str, Path], store: Store, manifest: Manifest, tmp_path: Path
) -> None:
    one, _, run = first
    others = without(manifest, "test", [one])
    with pytest.raises(ModelError, match=r"no stage of this run trained .* identify them first \(trains: identific"):
        stages.evaluate(store, others, run, out=tmp_path / "r", accelerator="cpu", allow_leakage="none is there")
    assert not (tmp_path / "r").exists()


def test_names_of_what_was_trained_survive_growth_and_saving(config: PoyoConfig, tmp_path: Path) -> None:
    model = PoyoPlus(config, ["a", "b"], ["s", "t"])
    model.mark_trained(["a"], ["s"], ["direction"])
    model.extend_vocabulary(["c"], ["u"])
    again = load_checkpoint(save_checkpoint(model, tmp_path / "m.pt")).model
    new = PoyoPlus(config, ["c", "b"], ["u"])
    new.load_by_name(again.state_dict(), keep_others=True)
    for one in (model, again, new):
        assert (one.trained_neuron_ids, one.trained_session_ids) == ({"a"}, {"s"})
        assert one.trained_tasks == {"direction"}


def test_a_recording_without_windows_has_no_row_to_be_mistaken_for(
    store: Store, manifest: Manifest, config: PoyoConfig
) -> None:
    one = str(manifest.neurons["session_id"].min())
    loader = make_loader(store, learning_from(manifest, one), "train", window_s=0.5)
    shown = shown_names(loader)
    neurons, sessions = ModelBatches(loader, PoyoPlus(config, shown.neurons, shown.sessions)).rows or (None, None)
    assert neurons is not None
    assert sessions is not None
    own = (manifest.neurons["session_id"] == one).to_numpy()
    assert (neurons[1:].numpy() == -1).tolist() == (~own).tolist()
    assert neurons[0] == 0
    assert sorted(set(sessions.tolist())) == [-1, 0]
    assert strangers(manifest, "test", shown.neurons, shown.sessions) == tuple(
        sorted(set(manifest.windows.loc[manifest.windows["role"] == "test", "session_id"]) - {one})
    )


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_a_second_stage_keeps_what_the_first_one_knew(
    first: tuple[str, str, Path], store: Store, manifest: Manifest, tmp_path: Path
) -> None:
    one, other, run = first
    second = stages.prepare(store, learning_from(manifest, other), recipe(), stage="finetune", from_run=run)
    assert second.plan.embeddings == second.model().units[1:].numel() + second.model().sessions.numel()
    stages.carry_out(second, tmp_path / "b", loggers=(), progress=False)
    before, after = (load_checkpoint(each / "model.pt").model for each in (run, tmp_path / "b"))
    assert set(after.session_ids) == {one, other} == after.trained_session_ids
    own, mine = (model.rows_of(before.neuron_ids, [one]) for model in (before, after))
    assert torch.equal(after.units[mine[0]], before.units[own[0]])  # not decayed either
    assert torch.equal(after.sessions[mine[1]], before.sessions[own[1]])
    back = stages.prepare(store, learning_from(manifest, one), recipe(), stage="finetune", from_run=tmp_path / "b")
    third = back.model()
    assert torch.equal(third.units[third.rows_of(before.neuron_ids, [one])[0]], before.units[own[0]])


@pytest.mark.parametrize("decay", ["matrices", "all"])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_rows_without_a_gradient_are_not_decayed(optimizer: str, decay: str, model: PoyoPlus) -> None:
    settings = TrainConfig(optimizer=optimizer, decay=decay, weight_decay=0.5, lr=0.1)
    made = optimizer_of(model, settings)
    before = model.units.detach().clone()
    model.units.grad = torch.zeros_like(model.units)
    model.units.grad[2] = 1e-12  # its own step is lost in LAMB's and AdamW's eps: what moves is the decay
    made.step()
    assert torch.equal(model.units[[0, 1, 3, 4, 5]], before[[0, 1, 3, 4, 5]])
    assert not torch.equal(model.units[2], before[2])
    assert all(group["weight_decay"] == 0.5 for group in made.param_groups if group.get("sparse_rows"))


# -- what numbers mean -----------------------------------------------------------------------------------------------


def test_classes_keep_the_numbers_that_they_were_learnt_under(
    first: tuple[str, str, Path], store: Store, manifest: Manifest, tmp_path: Path
) -> None:
    one, _, run = first
    whole = load_checkpoint(run / "model.pt")
    assert whole.model.classes["area"] == tuple(sorted(set(store.neurons["area"])))
    earlier = tmp_path / "earlier"
    import shutil

    shutil.copytree(run, earlier)
    elsewhere = ("another", *reversed(whole.model.classes["area"]))  # as a store with one more area numbers them
    whole.model.classes = {"area": elsewhere}
    save_checkpoint(whole.model, earlier / "model.pt", whole.facts)
    prepared = stages.prepare(store, learning_from(manifest, one), recipe(), stage="finetune", from_run=earlier)
    assert prepared.loader.vocabularies["area"].names == elsewhere == prepared.model().classes["area"]
    measured = prepared.validation()
    assert measured is not None
    assert measured.vocabularies["area"].names == elsewhere


def test_a_class_of_answers_that_is_new_is_refused(store: Store) -> None:
    shown = load_diet("all").during(c.stimulus == "drifting_gratings").resolve(store, split="paper-trial")
    known = with_classes(Recipe(targets={"temporal_frequency": {}}), {"temporal_frequency": ("3",)})
    with pytest.raises(LoaderError, match="not in the vocabulary of kind 'temporal_frequency_hz'"):
        make_loader(store, shown, "train", recipe=replace(known, windows=replace(known.windows, window_s=0.5)))


def test_rows_of_other_classes_are_not_copied_by_number(config: PoyoConfig) -> None:
    old, new = PoyoPlus(config, ["a"], ["s"], seed=1), PoyoPlus(config, ["a"], ["s"], seed=2)
    old.classes, new.classes = {"area": ("VISl", "VISp")}, {"area": ("VISp",)}
    before = new.units.detach().clone()
    with pytest.raises(ModelError, match="class 0 of 'area' is 'VISp' here and 'VISl' in the state"):
        new.load_by_name(old.state_dict())
    assert torch.equal(new.units, before)
    new.classes = {"area": ("VISl",)}
    new.load_by_name(old.state_dict())
    assert new.classes == {"area": ("VISl", "VISp")}


# -- runs that were stopped ------------------------------------------------------------------------------------------


def test_a_run_killed_while_its_stages_are_written_is_no_other_run(
    store: Store, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Ancestor("finetune", manifest, recipe(), str(store.path))
    both = Ancestry((one, one))
    written: list[Path] = []
    save = Manifest.save

    def killed(self: Manifest, folder: Path) -> Path:
        if written:
            raise KeyboardInterrupt
        written.append(folder)
        return save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            both.save(tmp_path, ("csv",))
    assert [path.name for path in tmp_path.iterdir()] == [UNFINISHED]
    with pytest.raises(UsageError, match="was stopped before it began"):
        stages.resume(tmp_path)
    check_out(tmp_path)  # as good as empty
    both.save(tmp_path, ("csv",))
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]
    assert Ancestry.load(tmp_path).facts == both.facts
    assert (tmp_path / FOLDER / "loggers.txt").read_text() == "csv\n"
    with pytest.raises(UsageError, match="holds a run already"):
        check_out(tmp_path)


class BrokenOffError(Exception):
    pass


def break_off(step: int, loss: float) -> None:
    if step == 3:
        raise BrokenOffError


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"residual_dropout": 0.9}, "the model's residual_dropout was 0.2, here it is 0.9", id="dropout"),
        pytest.param({"dim": 32}, "the model's dim was 16, here it is 32", id="width"),
    ],
)
def test_a_run_does_not_go_on_with_another_model(
    change: dict[str, Any], said: str, config: PoyoConfig, batch: dict[str, Tensor], tmp_path: Path
) -> None:
    settings = TrainConfig(steps=4, log_every=1, checkpoint_every=1, loggers=(), folder=str(tmp_path))
    names = [f"s:{i}" for i in range(5)]
    with pytest.raises(BrokenOffError):
        train(PoyoPlus(config, names, ["s"]), [batch], settings, progress=False, on_step=break_off)
    other = PoyoPlus(PoyoConfig(**{**config.model_dump(), **change}), names, ["s"])
    with pytest.raises(ModelError, match=said):
        train(other, [batch], settings, progress=False, resume=True)


def test_checkpoints_at_other_steps_do_not_change_the_end(
    model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path
) -> None:
    measured: list[float] = []

    def worse(model: PoyoPlus) -> dict[str, float]:
        measured.append(float(len(measured)))
        return {"loss": measured[-1]}

    settings = TrainConfig(steps=9, log_every=1, checkpoint_every=2, patience=2, loggers=(), folder=str(tmp_path))
    with pytest.raises(BrokenOffError):
        train(model, [batch], settings, progress=False, on_step=break_off, validate=worse)
    done = resume(tmp_path, [batch], progress=False, validate=worse, checkpoint_every=9)
    assert done.steps == 6  # measured after 2, 4 and 6; the best was the first
    assert done.validation["step"].tolist() == [2, 4, 6]


def test_processes_are_not_free_when_a_run_goes_on() -> None:
    assert {"devices", "nodes"}.isdisjoint(FREE_ON_RESUME)
    assert TrainConfig(devices=2).differences(TrainConfig()) == {"devices": (2, 1)}
    by_default, other = recipe(), recipe("train.checkpoint_every=7")
    assert by_default.digest != other.digest  # models are measured at other steps
    settled = f"train.validate_every={by_default.train.checkpoint_every}"
    assert recipe("train.checkpoint_every=7", settled).digest == by_default.digest


# -- identification --------------------------------------------------------------------------------------------------


def test_identification_needs_a_model_that_was_trained(
    first: tuple[str, str, Path], store: Store, manifest: Manifest, config: PoyoConfig, batch: dict[str, Tensor]
) -> None:
    identify = TrainConfig(steps=1, trains="identification")
    model = PoyoPlus(config, [f"s:{i}" for i in range(5)], ["s"])
    with pytest.raises(ModelError, match="this one never was"):
        train(model, [batch], identify, progress=False)
    train(model, [batch], TrainConfig(steps=1, objective="masked", aux_weight=0), progress=False)
    with pytest.raises(ModelError, match="that of 'direction' was never trained"):
        train(model, [batch], identify, progress=False)
    with pytest.raises(ModelError, match="--from RUN"):
        stages.prepare(store, manifest, recipe("train.trains=identification"), stage="finetune")


def test_identification_of_held_out_animals(store: Store, manifest: Manifest, config: PoyoConfig) -> None:
    from poyodata.models.training.demands import check_identified

    before = PoyoPlus(config, ["a"], ["s"])
    before.mark_trained(["a"], ["s"], ["direction"])
    settings = recipe("train.trains=identification", "train.objective=supervised")
    check_identified(config, before, settings)
    wider = config.model_copy(update={"tasks": ("direction", "running")})
    with pytest.raises(ModelError, match="readout of task 'running', which the run before did not train"):
        check_identified(wider, before, settings)


def test_running_averages_are_free_again_after_identification(config: PoyoConfig, batches: MakeBatch) -> None:
    pictures = PoyoConfig(**{**config.model_dump(), "tasks": ("movie_pixels",)})
    model = PoyoPlus(pictures, [f"s:{i}" for i in range(5)], ["s"])
    model.mark_trained(model.neuron_ids, model.session_ids, ["movie_pixels"])
    batch = {**batches(), "movie": torch.rand(6, 64, 128, generator=torch.Generator().manual_seed(0))}
    train(model, [batch], TrainConfig(steps=1, objective="supervised", trains="identification"), progress=False)
    decoders = [part for part in model.train().modules() if isinstance(part, UNetDecoder)]
    assert decoders
    assert not any(decoder.statistics_frozen for decoder in decoders)
    assert all(part.training for decoder in decoders for part in decoder.modules())


# -- collapse, and time ----------------------------------------------------------------------------------------------


def test_collapsed_latents_are_told_once(
    model: PoyoPlus,
    batch: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spreads = iter([torch.tensor(1.0)] + [torch.tensor(1e-4)] * 30)
    monkeypatch.setattr("poyodata.models.objectives.latent_spread", lambda z: next(spreads))
    settings = TrainConfig(steps=14, objective="masked", log_every=4, loggers=(), folder=str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="poyodata"):
        run = train(model, [batch], settings, progress=False)
    (said,) = run.warnings
    assert "latents have collapsed" in said
    assert "at step 11" in said
    assert json.loads((tmp_path / "summary.json").read_text())["warnings"] == [said]
    assert [record.message for record in caplog.records if "collapsed" in record.message] == [said]
    assert resume(tmp_path, [batch], progress=False).warnings == run.warnings


def test_angles_of_queries_start_from_exact_times() -> None:
    config = PoyoConfig.named("poyo-tiny", window_frames=57, rate_hz=30.1, tasks=("direction",))
    model = PoyoPlus(config, ["a"], ["s"])
    from poyodata.models.perceiver import rotation

    times_s = (torch.arange(57, dtype=torch.float64) + 0.5) / 30.1
    exact = rotation(times_s, config.dim_head, config.t_min_s, config.t_max_s)
    assert torch.equal(model.get_buffer("frame_cos"), exact.cos)
    middle = rotation(
        torch.tensor([57 / 30.1 / 2], dtype=torch.float64), config.dim_head, config.t_min_s, config.t_max_s
    )
    assert torch.equal(model.get_buffer("middle_sin"), middle.sin)
