"""A diet in torch_brain's own Dataset and samplers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Manifest, load_diet
from poyodata.errors import LoaderError, UsageError
from poyodata.export import export, select
from poyodata.loaders import TorchBrainDiet, to_torch_brain
from poyodata.store import Store

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("eat_with_torch_brain.py")


@pytest.fixture
def predictable(tiny_store: Store) -> Manifest:
    diet = load_diet("predictable").during("stimulus == 'drifting_gratings'")
    return diet.resolve(tiny_store, split="blocks-5fold")


def test_it_says_what_the_manifest_says(tiny_store: Store, predictable: Manifest) -> None:
    diet = to_torch_brain(predictable)
    assert diet.recording_ids == sorted(predictable.neurons["session_id"].unique())
    assert [name for key in diet.recording_ids for name in diet.neuron_ids[key]] == predictable.neurons[
        "neuron_id"
    ].tolist()
    assert diet.roles == predictable.roles
    for role in diet.roles:
        for key, frames in diet.frames[role].items():
            covered = np.zeros(len(tiny_store.time_s(key)), bool)
            for start, stop in frames:
                covered[start:stop] = True
            rows = predictable.windows.query("role == @role and session_id == @key")
            wanted = np.zeros_like(covered)
            for start, stop in rows[["start_frame", "stop_frame"]].to_numpy():
                wanted[start:stop] = True
            np.testing.assert_array_equal(covered, wanted)


def test_it_can_be_saved_for_another_environment(predictable: Manifest, tmp_path: Path) -> None:
    diet = to_torch_brain(predictable)
    again = TorchBrainDiet.load(diet.save(tmp_path / "diet.json"))
    assert (again.name, again.manifest_digest, again.store_digest) == (
        predictable.name,
        predictable.digest,
        predictable.store_digest,
    )
    assert again.neuron_ids == diet.neuron_ids
    for role in diet.roles:
        for key, frames in diet.frames[role].items():
            np.testing.assert_array_equal(again.frames[role][key], frames)


def test_saying_it_needs_neither_pandas_nor_a_store(predictable: Manifest, tmp_path: Path) -> None:
    path = to_torch_brain(predictable).save(tmp_path / "diet.json")
    code = (
        "import sys\nfrom poyodata.loaders import TorchBrainDiet\n"
        f"print(TorchBrainDiet.load({str(path)!r}).name)\n"
        "print(sorted({'pandas', 'zarr', 'numba', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [predictable.name, "[]"], done.stderr


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        pytest.param(None, UsageError, "cannot be read", id="no-file"),
        pytest.param("not json", LoaderError, "is not what", id="no-json"),
        pytest.param('{"torch_brain_diet": 99}', LoaderError, "of this version", id="later-version"),
        pytest.param("[]", LoaderError, "is not what", id="a-list"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, error: type[Exception], match: str) -> None:
    path = tmp_path / "diet.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=match):
        TorchBrainDiet.load(path)


def test_without_torch_brain_it_says_what_to_do(predictable: Manifest, tmp_path: Path) -> None:
    if _has_torch_brain():
        pytest.skip("torch_brain is installed")
    with pytest.raises(LoaderError, match="torch_brain is not installed"):
        to_torch_brain(predictable).dataset(tmp_path)


def _has_torch_brain() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch_brain") is not None


class Rows:
    """As an ArrayDict of torch_brain: only what is asked of it here."""

    def __init__(self, ids: list[str]) -> None:
        self.id = np.array(ids)

    def select_by_mask(self, mask: Any) -> Rows:
        return Rows(self.id[mask].tolist())


def sample(ids: list[str], digest: str = "s", session: str = "a") -> Any:
    traces = SimpleNamespace(df_over_f=np.arange(4 * len(ids)).reshape(4, -1))
    return SimpleNamespace(
        session=SimpleNamespace(id=session),
        rois=Rows(ids),
        calcium_traces=traces,
        brainset=SimpleNamespace(store_digest=digest),
    )


def small() -> TorchBrainDiet:
    rows = {"session_id": ["a"], "role": "train", "start_frame": [0], "stop_frame": [3]}
    neurons = pd.DataFrame({"session_id": ["a", "a"], "neuron_id": ["n1", "n3"]})
    made: Any = SimpleNamespace(name="d", digest="m", store_digest="s", neurons=neurons, windows=pd.DataFrame(rows))
    return to_torch_brain(made)


@pytest.mark.parametrize("session", ["a", "nested/a"], ids=["alone", "in-a-nested-dataset"])
def test_neurons_and_traces_are_cut_together(session: str) -> None:
    kept = small().keep(sample(["n0", "n1", "n2", "n3"], session=session))
    assert kept.rois.id.tolist() == ["n1", "n3"]
    assert kept.calcium_traces.df_over_f.tolist() == [[1, 3], [5, 7], [9, 11], [13, 15]]


def test_a_file_without_a_neuron_of_the_diet_is_refused() -> None:
    with pytest.raises(LoaderError, match=r"lacks 1 of the 2 neurons .* 'n3'"):
        small().keep(sample(["n0", "n1", "n2"]))


@pytest.mark.slow
def test_torch_brain_eats_the_diet(tiny_store: Store, predictable: Manifest, tmp_path: Path) -> None:
    python = os.environ.get("POYODATA_TORCH_BRAIN_PYTHON")
    if not python:
        pytest.skip("POYODATA_TORCH_BRAIN_PYTHON does not name a Python that has torch_brain 0.2.1")
    export(select(tiny_store), "torch-brain", tmp_path / "files")
    diet = to_torch_brain(predictable)
    diet.save(tmp_path / "diet.json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [python, str(SCRIPT), str(tmp_path / "diet.json"), str(tmp_path / "files"), str(tmp_path / "read.npz")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    read = np.load(tmp_path / "read.npz")
    about = json.loads(str(read["about"]))
    assert about["recordings"] == diet.recording_ids
    assert about["refused"] == "LoaderError"
    frames_of = {(role, key): diet.frames[role][key] for role in diet.roles for key in diet.frames[role]}
    counts = dict.fromkeys(diet.roles, 0)
    for window in about["windows"]:
        key, role, name = window["recording"], window["role"], window["name"]
        time_s = tiny_store.time_s(key)
        frames = np.searchsorted(time_s, read[f"{name}_s"])
        np.testing.assert_array_equal(time_s[frames], read[f"{name}_s"])
        stretches = frames_of[role, key]
        inside = (stretches[:, 0] <= frames[0]) & (frames[-1] < stretches[:, 1])
        assert inside.sum() == 1, "a window lies within one stretch of its role"
        assert tuple(window["neurons"]) == diet.neuron_ids[key]
        columns = predictable.open(tiny_store).columns(key)
        np.testing.assert_array_equal(read[f"{name}_dff"], tiny_store.traces(key)[frames][:, columns])
        counts[role] += 1
    assert min(counts.values()) > 10
