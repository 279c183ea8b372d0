"""What decoders beside a model learn from: train-role time of the recordings tested, held-out animals among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from poyodata.curation import Manifest
from poyodata.errors import ModelError
from poyodata.loaders import make_loader
from poyodata.models import PoyoPlus
from poyodata.models.evaluation.answers import compare
from poyodata.models.recipes import TrainingRecipe, load_recipe
from poyodata.models.training import stages
from poyodata.models.training.known import learnt_part, without
from poyodata.store import Store

TINY = ("model.dim=16", "model.dim_head=8", "model.depth=1", "batch_size=8", "train.steps=2")
QUIET: dict[str, Any] = {"loggers": (), "progress": False, "accelerator": "cpu"}


def recipe(*settings: str) -> TrainingRecipe:
    return load_recipe("small-finetune", [*TINY, *settings])


def held_out(manifest: Manifest, *sessions: str) -> Manifest:
    """Train time of some recordings identifies their neurons, as in held-out animals."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        theirs = (table["role"] == "train") & table["session_id"].isin(list(sessions))
        return table.assign(role=table["role"].mask(theirs, "identify"))

    return replace(manifest, windows=renamed(manifest.windows), role_time=renamed(manifest.role_time))


def frames(table: pd.DataFrame, *roles: str) -> set[tuple[str, int, int]]:
    rows = table.loc[table["role"].isin(list(roles)), ["session_id", "start_frame", "stop_frame"]]
    return set(rows.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("n_held_out", "learnt", "said"),
    [
        pytest.param(0, "train", None, id="train"),
        pytest.param(None, "identify", None, id="identify"),
        pytest.param(1, "train", "from those of role identify where a recording has none: in 1 of the", id="both"),
    ],
)
@pytest.mark.parametrize("role", ["valid", "test"])
def test_decoders_learn_from_train_role_time_of_every_recording(
    role: str, n_held_out: int | None, learnt: str, said: str | None, manifest: Manifest
) -> None:
    sessions = sorted(set(manifest.neurons["session_id"]))
    asked = held_out(manifest, *sessions[:n_held_out])
    part, found, remark = learnt_part(asked, role)
    assert found == learnt
    assert (remark is None) if said is None else (remark is not None and said in remark)
    assert (part is asked) is (said is None)
    for before, after in ((asked.windows, part.windows), (asked.role_time, part.role_time)):
        assert frames(after, learnt) == frames(before, "train", "identify")
        assert frames(after, role) == frames(before, role)


def test_recordings_without_train_role_time_are_counted(manifest: Manifest) -> None:
    first, *others = sorted(set(manifest.neurons["session_id"]))
    asked = without(held_out(manifest, others[0]), "train", [first])
    said = rf"1 of {1 + len(others)} recordings with valid windows .* \(first '{first}'\) have windows neither of role"
    with pytest.raises(ModelError, match=said):
        learnt_part(asked, "valid")


def test_valid_windows_of_held_out_animals_are_judged_beside_those_of_others(
    store: Store, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, *others = sorted(set(manifest.neurons["session_id"]))
    asked = held_out(manifest, held)
    stages.finetune(store, asked, recipe(), None, tmp_path / "a", **QUIET)
    identify = recipe("train.trains=identification")
    stages.finetune(store, asked, identify, tmp_path / "a", tmp_path / "b", **QUIET)
    learnt: list[set[tuple[str, int]]] = []

    def spy(model: PoyoPlus, train: Any, tested: Any, *given: Any, **options: Any) -> Any:
        read = train.windows
        names = [read.session_ids[at] for at in read.session_index]
        learnt.append(set(zip(names, read.first.tolist(), strict=True)))
        return compare(model, train, tested, *given, **options)

    monkeypatch.setattr("poyodata.models.training.evaluating.compare", spy)
    found = stages.evaluate(store, asked, tmp_path / "b", role="valid", accelerator="cpu")
    assert set(found.table()["group"]) >= {held, *others}
    assert any("of role identify where a recording has none" in line for line in found.remarks)
    own = {(name, start) for name, start, _ in frames(asked.windows, "train", "identify")}
    assert {name for name, _ in learnt[0]} == {held, *others}
    assert learnt[0] <= own


def test_fixed_windows_to_learn_from_are_those_of_both_roles(store: Store, manifest: Manifest) -> None:
    asked = held_out(manifest, min(manifest.neurons["session_id"]))
    part, learnt, _ = learnt_part(asked, "valid")

    def starts(of: Manifest, role: str) -> list[tuple[int, ...]]:
        read = make_loader(store, of, role, mode="fixed", window_s=0.5, normalise=False, shuffle=False).windows
        return list(zip(read.session_index.tolist(), read.first.tolist(), read.count.tolist(), strict=True))

    assert starts(part, learnt) == sorted(starts(asked, "identify") + starts(asked, "train"))
    assert starts(part, "valid") == starts(asked, "valid")
