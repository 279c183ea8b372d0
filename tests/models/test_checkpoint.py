"""Checkpoints come back as they were, or are refused with what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poyodata.errors import ModelError
from poyodata.models.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from poyodata.models.poyo import PoyoPlus


@pytest.fixture
def saved(model: PoyoPlus, tmp_path: Path) -> Path:
    training = TrainingState({"optimizer.0.exp_avg": torch.ones(2, dtype=torch.bfloat16)}, {"step": 3})
    return save_checkpoint(model, tmp_path / "model.pt", {"manifest_digest": "ab", "steps": 3}, training)


def test_round_trip(saved: Path, model: PoyoPlus, batch: dict[str, Tensor]) -> None:
    loaded = load_checkpoint(saved)
    assert loaded.model.config == model.config
    assert loaded.model.neuron_ids == model.neuron_ids
    assert loaded.facts == {"manifest_digest": "ab", "steps": 3}
    assert loaded.training is not None
    assert loaded.training.progress == {"step": 3}
    assert torch.equal(loaded.training.tensors["optimizer.0.exp_avg"], torch.ones(2, dtype=torch.bfloat16))
    assert not loaded.model.training
    assert torch.equal(loaded.model(batch)["direction"], model.eval()(batch)["direction"])
    assert loaded.model.extend_vocabulary(["new"], ["t"]) == (1, 1)
    assert [path.name for path in saved.parent.iterdir()] == ["model.pt"]  # nothing unfinished stays


def test_new_rows_after_loading_are_those_of_the_original(saved: Path, model: PoyoPlus) -> None:
    loaded = load_checkpoint(saved).model
    for each in (loaded, model):
        each.extend_vocabulary(["new"])
    assert torch.equal(loaded.units[-1], model.units[-1])


def test_plain_torch_reads_it_safely(saved: Path) -> None:
    whole = torch.load(saved, weights_only=True)
    assert whole["format"] == "poyodata-model"
    assert set(whole) == {"format", "format_version", "config", "facts", "state", "training", "digest"}


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    whole = torch.load(path, weights_only=True)
    change(whole)
    torch.save(whole, path)


def _flip_weight(whole: dict[str, Any]) -> None:
    whole["state"]["latents"][0, 0] += 1e-3


def _flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - b for b in content[middle : middle + 8])
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda p: p.unlink(), "no checkpoint at", id="missing"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:-200]), "damaged: the file is truncated", id="truncated"),
        pytest.param(lambda p: p.write_bytes(b""), "damaged: the file is empty", id="empty"),
        pytest.param(lambda p: p.write_text("hello"), "damaged: it is no archive of torch", id="text"),
        pytest.param(lambda p: p.write_bytes(pickle.dumps(Hostile())), "damaged", id="pickle"),
        pytest.param(lambda p: torch.save({"a": Hostile()}, p), "damaged: it would run code", id="code"),
        pytest.param(lambda p: torch.save({"state_dict": {}}, p), "no poyodata model", id="foreign"),
        pytest.param(lambda p: torch.save([1], p), "no poyodata model", id="foreign-list"),
        pytest.param(_flip_bytes, "damaged|digest differs", id="bytes"),
        pytest.param(lambda p: _edit(p, _flip_weight), "digest differs", id="weight"),
        pytest.param(
            lambda p: _edit(p, lambda w: w.update(facts=w["facts"].replace("ab", "cd"))), "digest differs", id="facts"
        ),
        pytest.param(lambda p: _edit(p, lambda w: w.pop("facts")), "digest differs", id="part-missing"),
        pytest.param(lambda p: _edit(p, lambda w: w.update(more=1)), "digest differs", id="part-added"),
        pytest.param(lambda p: _edit(p, lambda w: w.update(state=[1])), "digest differs", id="part-of-another-kind"),
        pytest.param(
            lambda p: _edit(p, lambda w: w["training"]["tensors"]["optimizer.0.exp_avg"].add_(1)),
            "digest differs",
            id="optimiser",
        ),
        pytest.param(
            lambda p: _edit(p, lambda w: w["training"].update(progress=w["training"]["progress"].replace("3", "4"))),
            "digest differs",
            id="progress",
        ),
        pytest.param(lambda p: _edit(p, lambda w: w.update(format_version=2)), "format version 2", id="version"),
    ],
)
def test_damage_is_refused(
    saved: Path, damage: Callable[[Path], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    damage(saved)
    with pytest.raises(ModelError, match=said) as caught:
        load_checkpoint(saved)
    assert "model.pt" in str(caught.value)
    assert not (saved.parent / "executed").exists()
