"""Lightning: all stages from one manifest, and runs that go on in the middle of an epoch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from poyodata.curation import Manifest, load_diet
from poyodata.errors import LoaderError
from poyodata.loaders import Recipe, make_loader
from poyodata.loaders.torch import make_data_module
from poyodata.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and short epochs


class Eater(lightning.LightningModule):
    """Notes which windows it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.eaten: dict[str, list[tuple[int, int, int]]] = {}

    def _eat(self, stage: str, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        rows = zip(batch["session_index"].tolist(), batch["start_frame"].tolist(), strict=True)
        self.eaten.setdefault(stage, []).extend((self.current_epoch, *row) for row in rows)
        loss: torch.Tensor = self.layer(batch["values"].mean().reshape(1, 1)).sum()
        return loss

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        return self._eat("train", batch)

    def validation_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._eat("valid", batch)

    def test_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._eat("test", batch)

    def predict_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        self._eat("predict", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveAt(lightning.Callback):
    """Saves a checkpoint while the training runs, as ModelCheckpoint does."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.step = step

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


class SaveAtEnd(lightning.Callback):
    """Saves a checkpoint when the first epoch has ended, as ModelCheckpoint does by default."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


def trainer(folder: Path, **options: Any) -> lightning.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        **quiet,
        **options,
    )


def module(store: Store, manifest: Manifest, **arguments: Any) -> Any:
    return make_data_module(store, manifest, **{"window_s": 1.0, "batch_size": 10, "jitter_frames": 2, **arguments})


def test_every_stage_reads_its_role(tiny_store: Store, gratings: Manifest, tmp_path: Path) -> None:
    data = module(tiny_store, gratings, options={"predict": {"split": "valid"}, "valid": {"batch_size": 50}})
    eater = Eater()
    run = trainer(tmp_path, max_epochs=2)
    run.fit(eater, datamodule=data)
    run.test(eater, datamodule=data, verbose=False)
    run.predict(eater, datamodule=data)
    count = gratings.windows["role"].value_counts()
    assert len(eater.eaten["train"]) == 2 * count["train"]
    assert len(eater.eaten["valid"]) == 2 * count["valid"]
    assert len(eater.eaten["test"]) == count["test"]
    assert len(eater.eaten["predict"]) == count["valid"]
    assert data.loader("valid").batch_size == 50
    epochs = [[row[1:] for row in eater.eaten["train"] if row[0] == epoch] for epoch in (0, 1)]
    assert epochs[0] != epochs[1], "every epoch has its own order"
    assert data.loader("train").normalisation is data.loader("test").normalisation, "fitted once"


@pytest.mark.parametrize("stop", [4, 9, 14], ids=["first-epoch", "at-its-end", "second-epoch"])
def test_a_run_goes_on_in_mid_epoch(tiny_store: Store, gratings: Manifest, tmp_path: Path, stop: int) -> None:
    whole = Eater()
    trainer(tmp_path, max_epochs=3).fit(whole, datamodule=module(tiny_store, gratings))
    begun, ended = Eater(), Eater()
    run = trainer(tmp_path, max_steps=stop, callbacks=[SaveAt(tmp_path / "last.ckpt", stop)])
    run.fit(begun, datamodule=module(tiny_store, gratings))
    again = trainer(tmp_path, max_epochs=3)
    again.fit(ended, datamodule=module(tiny_store, gratings), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    found = [row[1:] for row in begun.eaten["train"] + ended.eaten["train"]]
    assert found == [row[1:] for row in whole.eaten["train"]]


def test_a_run_goes_on_after_the_end_of_an_epoch(tiny_store: Store, gratings: Manifest, tmp_path: Path) -> None:
    whole = Eater()
    callbacks: list[Any] = [SaveAtEnd(tmp_path / "last.ckpt")]
    trainer(tmp_path, max_epochs=2, callbacks=callbacks).fit(whole, datamodule=module(tiny_store, gratings))
    ended = Eater()
    again = trainer(tmp_path, max_epochs=2)
    again.fit(ended, datamodule=module(tiny_store, gratings), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    second = [row[1:] for row in whole.eaten["train"] if row[0] == 1]
    assert [row[1:] for row in ended.eaten["train"]] == second


def test_a_run_on_other_data_is_refused(tiny_store: Store, gratings: Manifest, tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=3, callbacks=[SaveAt(tmp_path / "last.ckpt", 3)])
    run.fit(Eater(), datamodule=module(tiny_store, gratings))
    other = load_diet("predictable").during("stimulus == 'drifting_gratings'")
    data = module(tiny_store, other.resolve(tiny_store, split="blocks-5fold"))
    with pytest.raises(LoaderError, match="manifest was"):
        trainer(tmp_path, max_epochs=1).fit(
            Eater(), datamodule=data, ckpt_path=tmp_path / "last.ckpt", weights_only=True
        )


def test_bad_input_fails_when_it_is_set_up(tiny_store: Store, gratings: Manifest) -> None:
    with pytest.raises(LoaderError, match="Shorten window_s"):
        module(tiny_store, gratings, window_s=9000.0).setup("fit")
    with pytest.raises(LoaderError, match="did you mean 'valid'"):
        module(tiny_store, gratings, options={"vaild": {}})
    with pytest.raises(LoaderError, match="'world'"):
        module(tiny_store, gratings, world=2)


def test_without_lightning_it_says_what_to_do(
    tiny_store: Store, gratings: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(LoaderError, match="lightning is not installed"):
        module(tiny_store, gratings)


RECIPE = "recipe: 1\nwindows: {window_s: 1.0}\n"


@pytest.mark.parametrize(
    ("arguments", "ways"),
    [
        pytest.param({"options": {"valid": {"normalise": False}}}, ("neuron", None), id="valid-without"),
        pytest.param({"options": {"train": {"normalise": "recording"}}}, ("recording", "neuron"), id="train-otherwise"),
        pytest.param({"options": {"train": {"normalise": False}}}, (None, "neuron"), id="train-without"),
        pytest.param(
            {"window_s": None, "options": {"train": {"recipe": RECIPE}, "valid": {"window_s": 1.0}}},
            (None, "neuron"),
            id="a-recipe-for-train",
        ),
        pytest.param(
            {"window_s": None, "recipe": RECIPE + "transforms: [normalise]"}, ("neuron", "neuron"), id="one-recipe"
        ),
    ],
)
@pytest.mark.parametrize("stages", [("train", "valid"), ("valid", "train")], ids=["fit", "validate-first"])
def test_options_of_a_stage_change_the_normalisation_of_no_other(
    tiny_store: Store, gratings: Manifest, arguments: dict[str, Any], ways: tuple[Any, Any], stages: tuple[str, str]
) -> None:
    def read(given: dict[str, Any]) -> dict[str, Any]:
        named = {name: Recipe.from_yaml(one) if name == "recipe" else one for name, one in given.items()}
        return {name: one for name, one in named.items() if one is not None}

    options = {stage: read(given) for stage, given in arguments.get("options", {}).items()}
    common = {"window_s": 1.0, "batch_size": 10, **arguments, "options": options}
    data = make_data_module(tiny_store, gratings, **read(common))
    found = {stage: data.loader(stage).normalisation for stage in stages}
    assert (found["train"].by, found["valid"].by) == ways
    if ways[0] == ways[1]:
        assert found["train"] is found["valid"], "fitted once"


def test_a_normalisation_that_is_given_to_a_stage_is_of_that_stage(tiny_store: Store, gratings: Manifest) -> None:
    own = make_loader(tiny_store, gratings, window_s=1.0).normalisation
    data = make_data_module(tiny_store, gratings, window_s=1.0, options={"train": {"normalise": own}})
    assert data.loader("train").normalisation is own
    assert data.loader("valid").normalisation is not own
