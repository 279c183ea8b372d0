from __future__ import annotations

import json

import numpy as np
import pandas as pd

from poyodata.export import export, numpy_arrays, recording, select
from poyodata.store import open_store

same = np.testing.assert_array_equal


def test_arrays_and_tables_of_a_recording(store, tmp_path):
    selection = select(store, where="cell_specimen_id > 102")
    export(selection, "numpy", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "export.json",
        "gapped",
        "regular",
        "sessions.csv",
    ]
    folder = tmp_path / "out" / "regular"
    dff = np.load(folder / "dff.npy", mmap_mode="r")
    assert (dff.dtype, dff.flags.c_contiguous) == (np.float32, True)
    same(dff, store.traces("regular")[:, 3:6])
    same(np.load(folder / "time_s.npy"), store.time_s("regular"))
    neurons = pd.read_csv(folder / "neurons.csv")
    assert neurons["neuron_id"].tolist() == ["regular_103", "regular_104", "regular_105"]
    values, time_s = store.signal("regular", "running_speed")
    same(np.load(folder / "signals" / "running_speed.npy"), np.column_stack([time_s, values]))
    shown = pd.read_csv(folder / "presentations.csv")
    same(shown["start_frame"], store.presentations_of("regular")["start_frame"])
    same(shown["start_s"], store.presentations_of("regular")["start_s"])
    about = json.loads((folder / "recording.json").read_text())
    assert about["arrays"]["dff"] == {"shape": [1500, 3], "dtype": "float32", "unit": "dF/F"}
    assert about["arrays"]["signals/running_speed"]["unit"] == ["s", "cm/s"]
    assert about["recording"]["donor_id"] == "m1"
    assert about["recording"]["age_days"] is None
    assert about["recording"]["n_neurons"] == 3
    assert about["lineage"]["store"]["digest"] == store.digest
    assert not (folder / "windows.csv").exists()


def test_windows_and_the_manifest(tiny_store_path, tiny_manifest, tmp_path):
    store = open_store(tiny_store_path)
    first = store.session_ids[0]
    export(select(store, manifest=tiny_manifest, sessions=[first]), "numpy", tmp_path / "out")
    windows = pd.read_csv(tmp_path / "out" / first / "windows.csv")
    own = tiny_manifest.windows[tiny_manifest.windows["session_id"] == first]
    assert windows[["role", "start_frame", "stop_frame"]].to_numpy().tolist() == (
        own[["role", "start_frame", "stop_frame"]].to_numpy().tolist()
    )
    about = json.loads((tmp_path / "out" / first / "recording.json").read_text())
    assert about["lineage"]["manifest"]["digest"] == tiny_manifest.digest


def test_one_block_at_a_time(store, tmp_path, monkeypatch):
    read, largest = recording.Recording.read, []

    def watched(self, *frames):
        block = read(self, *frames)
        largest.append(block.nbytes)
        return block

    monkeypatch.setattr(recording.Recording, "read", watched)
    blocks = recording.Recording.blocks
    monkeypatch.setattr(recording.Recording, "blocks", lambda self: blocks(self, 4 * 7 * 100))
    (tmp_path / "out").mkdir()
    numpy_arrays.write_recording(tmp_path / "out", select(store).recording("regular"))
    assert (len(largest), max(largest)) == (15, 4 * 7 * 100)
    same(np.load(tmp_path / "out" / "regular" / "dff.npy"), store.traces("regular"))
