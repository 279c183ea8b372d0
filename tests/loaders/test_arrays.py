"""Loaders without torch: NumPy arrays, and labelled xarray Datasets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from poyodata.curation import Manifest
from poyodata.errors import LoaderError
from poyodata.loaders import make_loader, to_xarray
from poyodata.loaders.arrays import datasets
from poyodata.loaders.targets.target import TargetColumn
from poyodata.store import Store

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocked())
import numpy as np
import poyodata as pdx
from poyodata.loaders import Recipe, make_loader, to_torch_brain
from poyodata.loaders.arrays import datasets

store, manifest = pdx.open_store(sys.argv[1]), pdx.Manifest.load(sys.argv[2])
recipe = Recipe.from_yaml('''
recipe: 1
windows: {window_s: 1.0}
targets: [direction, temporal_frequency]
transforms:
  - normalise
  - {name: unit_dropout, law: uniform, min_units: 3, max_units: 12}
  - {name: noise, std: 0.1}
masks: [{scheme: neuron}, {scheme: causal}]
''')
total = 0
for layout in ("dense", "tokens", "token-views", "jagged"):
    for batch in make_loader(store, manifest, window_s=1.0, layout=layout, prefetch=1).arrays():
        assert all(isinstance(values, np.ndarray) for values in batch.values()), batch.keys()
for batch in make_loader(store, manifest, recipe=recipe).arrays():
    total += len(batch["values"])
for labelled in datasets(make_loader(store, manifest, "test", window_s=1.0)):
    total += labelled.sizes["window"]
try:
    next(iter(make_loader(store, manifest, window_s=1.0)))
except ImportError as error:
    assert "torch" in str(error)
else:
    raise AssertionError("torch is not blocked")
print(total, "torch" in sys.modules)
"""


@pytest.mark.slow
def test_all_of_it_works_without_torch(
    tiny_store: Store, tiny_store_path: Path, gratings: Manifest, tmp_path: Path
) -> None:
    gratings.save(tmp_path / "diet")
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tiny_store_path), str(tmp_path / "diet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    count = gratings.windows["role"].value_counts()
    assert done.stdout.split() == [str(count["train"] + count["test"]), "False"]


@pytest.mark.parametrize("layout", ["dense", "tokens", "token-views"])
def test_tensors_are_the_arrays(tiny_store: Store, gratings: Manifest, layout: str) -> None:
    loader = make_loader(tiny_store, gratings, "test", window_s=1.0, layout=layout)  # type: ignore[arg-type]
    for tensors, arrays in zip(loader, loader.arrays(), strict=True):
        assert tensors.keys() == arrays.keys()
        for name, values in arrays.items():
            assert isinstance(tensors[name], torch.Tensor)
            np.testing.assert_array_equal(tensors[name].numpy(), values)


def test_jagged_tensors_hold_the_dense_values(tiny_store: Store, gratings: Manifest) -> None:
    loaders = [make_loader(tiny_store, gratings, "test", window_s=1.0, layout=one) for one in ("jagged", "dense")]  # type: ignore[arg-type]
    for nested, dense in zip(*loaders, strict=True):
        assert nested["values"].is_nested
        for row, mask, values in zip(nested["values"].unbind(), dense["neuron_mask"], dense["values"], strict=True):
            assert torch.equal(row, values[mask])


def test_labels_name_recordings_and_neurons(tiny_store: Store, gratings: Manifest) -> None:
    loader = make_loader(tiny_store, gratings, "test", window_s=1.0, normalise=False, batch_size=5)
    n_windows = 0
    for labelled in datasets(loader):
        n_windows += labelled.sizes["window"]
        for at in range(labelled.sizes["window"]):
            window = labelled.isel(window=at)
            session_id, start = str(window["session_id"].item()), int(window["start_frame"])
            recording = tiny_store[session_id]
            names = [name for name in window["neuron_id"].values if name]
            kept = recording.isel(time=slice(start, start + loader.n_frames))
            own = kept.isel(neuron=np.flatnonzero(np.isin(recording["neuron_id"].values, names)))
            np.testing.assert_array_equal(window["values"].values[: len(names)], own["dff"].transpose("neuron", "time"))
        assert labelled["values"].dims == ("window", "neuron", "time")
        assert labelled["direction"].dims == ("window",)
        np.testing.assert_allclose(labelled["time"], np.arange(loader.n_frames) / loader.rate_hz)
        assert labelled.attrs["manifest_digest"] == gratings.digest
    assert n_windows == loader.sampler.n_windows


def test_tokens_have_no_labels(tiny_store: Store, gratings: Manifest) -> None:
    loader = make_loader(tiny_store, gratings, "test", window_s=1.0, layout="tokens")
    with pytest.raises(LoaderError, match="only dense batches"):
        to_xarray(loader, loader.batch(0, 0))


@pytest.mark.parametrize(
    ("words", "shape", "dims"),
    [
        pytest.param("(batch,)", (2,), ("window",), id="one"),
        pytest.param("(batch, time)", (2, 5), ("window", "time"), id="frames"),
        pytest.param("(batch, 5, 7)", (2, 5, 7), ("window", "own_1", "own_2"), id="as high as there are frames"),
        pytest.param("(batch, time, 5, 2)", (2, 5, 5, 2), ("window", "time", "own_2", "own_3"), id="a movie"),
    ],
)
def test_dimensions_are_those_that_a_target_declares(words: str, shape: tuple[int, ...], dims: tuple[str, ...]) -> None:
    target = SimpleNamespace(columns={"own": TargetColumn("float32", words, "1")})
    loader: Any = SimpleNamespace(
        layout="dense",
        targets=(target,),
        neuron_ids=("p", "q"),
        session_ids=("a",),
        rate_hz=10.0,
        normalisation=SimpleNamespace(fitted=None),
        manifest_digest="",
        role="test",
    )
    batch = {
        "values": np.zeros((2, 2, 5), np.float32),
        "neuron_index": np.array([[1, 2], [2, 0]]),
        "session_index": np.zeros(2, np.int64),
        "time_mask": np.ones((2, 5), np.bool_),
        "own": np.zeros(shape, np.float32),
    }
    labelled = to_xarray(loader, batch)
    assert labelled["own"].dims == dims
    assert labelled["time_mask"].dims == ("window", "time")
