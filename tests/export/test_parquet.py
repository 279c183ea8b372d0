from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from poyodata.export import export, recording, select
from poyodata.export.parquet import LINEAGE_KEY
from poyodata.store import open_store

same = np.testing.assert_array_equal


def test_tables(store, tmp_path, monkeypatch):
    blocks = recording.Recording.blocks
    monkeypatch.setattr(recording.Recording, "blocks", lambda self: blocks(self, 4 * 7 * 400))
    export(select(store, where="cell_specimen_id > 102"), "parquet", tmp_path / "out")
    folder = tmp_path / "out"
    traces = pd.read_parquet(folder / "traces" / "regular.parquet")
    assert traces.columns.tolist() == ["time_s", "regular_103", "regular_104", "regular_105"]
    assert traces.dtypes.astype(str).tolist() == ["float64", *["float32"] * 3]
    same(traces["time_s"], store.time_s("regular"))
    same(traces.iloc[:, 1:], store.traces("regular")[:, 3:6])
    assert pq.ParquetFile(folder / "traces" / "regular.parquet").num_row_groups == 4
    neurons = pd.read_parquet(folder / "neurons.parquet")
    wanted = store.neurons[store.neurons["cell_specimen_id"] > 102].reset_index(drop=True)
    pd.testing.assert_frame_equal(neurons, wanted)
    assert pd.read_parquet(folder / "sessions.parquet")["n_neurons"].tolist() == [1, 3]
    shown = pd.read_parquet(folder / "presentations")
    pd.testing.assert_frame_equal(
        shown[shown["session_id"] == "regular"].reset_index(drop=True), store.presentations_of("regular")
    )
    signals = pd.read_parquet(folder / "signals" / "regular.parquet")
    values, time_s = store.signal("regular", "running_speed")
    same(signals[["time_s", "value"]], np.column_stack([time_s, values]))
    assert set(signals["unit"]) == {"cm/s"}
    assert len(pd.read_parquet(folder / "signals" / "gapped.parquet")) == 0
    assert not (folder / "windows.parquet").exists()


def test_missing_values_stay_values(store, tmp_path, monkeypatch):
    read = recording.Recording.read

    def holed(self, *frames):
        block = read(self, *frames).copy()
        block[0, 0] = np.nan
        return block

    monkeypatch.setattr(recording.Recording, "read", holed)
    export(select(store, sessions=["regular"]), "parquet", tmp_path / "out")
    column = pq.read_table(tmp_path / "out" / "traces" / "regular.parquet").column(1)
    assert (column.null_count, np.isnan(column[0].as_py())) == (0, True)


def test_lineage_is_in_every_file(tiny_store_path, tiny_manifest, tmp_path):
    store = open_store(tiny_store_path)
    export(select(store, manifest=tiny_manifest, sessions=store.session_ids[:1]), "parquet", tmp_path / "out")
    files = sorted((tmp_path / "out").rglob("*.parquet"))
    assert [file.relative_to(tmp_path / "out").parts[0] for file in files] == [
        "neurons.parquet",
        "presentations",
        "sessions.parquet",
        "signals",
        "traces",
        "windows.parquet",
    ]
    for file in files:
        lineage = json.loads(pq.read_schema(file).metadata[LINEAGE_KEY])
        assert lineage["manifest"]["digest"] == tiny_manifest.digest, file
        assert lineage["store"]["digest"] == store.digest, file
