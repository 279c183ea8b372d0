"""A store is read whole by xarray, zarr, pandas and NumPy alone, in a process that never imports poyodata."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

TRACES = ("dff", "events", "raw", "demixed", "corrected")

READ = """
import json, sys
import numpy as np, pandas as pd, xarray as xr, zarr
path, out = sys.argv[1], sys.argv[2]
arrays = {}

def plain(values):
    return np.array(values.tolist(), "U") if values.dtype.kind in "OT" else np.asarray(values)

for name in pd.read_parquet(f"{path}/tables/sessions.parquet")["session_id"]:
    dataset = xr.open_zarr(path, group=f"sessions/{name}", consolidated=False)
    group = zarr.open_group(path, mode="r")[f"sessions/{name}"]
    for array in [*dataset.data_vars, *dataset.coords]:
        by_xarray, by_zarr = (plain(values) for values in (dataset[array].values, group[array][:]))
        assert np.array_equal(by_xarray, by_zarr, equal_nan=by_zarr.dtype.kind == "f"), array
        arrays[f"{name}/{array}"] = by_xarray
    assert set(group.array_keys()) == {*dataset.data_vars, *dataset.coords}
    arrays[f"{name}/part"] = dataset["dff"].isel(time=slice(1000, 1100), neuron=[0, 2]).values
    shard = f"{path}/sessions/{name}/dff/c/0/0"
    arrays[f"{name}/mapped"] = np.array(np.memmap(shard, "<f4", "r", shape=dataset["dff"].shape))
movies = zarr.open_group(path, mode="r")["stimuli"]
arrays |= {f"stimuli/{name}": movie["frames"][:] for name, movie in movies.groups()}
np.savez(out, **arrays)
flat = ("sessions", "neurons", "epochs", "segments")
tables = {name: pd.read_parquet(f"{path}/tables/{name}.parquet") for name in flat}
tables["presentations"] = pd.read_parquet(f"{path}/tables/presentations")
tables["digests"] = pd.read_parquet(f"{path}/tables/digests/a.parquet")
for name, table in tables.items():
    table.to_pickle(f"{out}.{name}")
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "poyodata"]))
"""


@pytest.mark.slow
def test_everything_is_read_without_us(tmp_path, write_store, make_record, change):
    import pandas as pd

    def with_more(name, **options):
        record = make_record(name, **options)
        shape = (record.n_frames, len(record.neurons))
        more = {trace: np.random.default_rng(i).normal(size=shape).astype("f4") for i, trace in enumerate(TRACES[1:])}
        return change(record, further={k: (lambda start, stop, own=v: own[start:stop]) for k, v in more.items()})

    records = {"a": with_more("a"), "b": with_more("b", n_neurons=4, n_frames=1300)}
    store = write_store(*records.values(), traces=TRACES)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ, str(store.path), str(tmp_path / "read.npz")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    read = np.load(tmp_path / "read.npz")
    for name, record in records.items():
        for trace in TRACES:
            expected = store.traces(name, trace)
            assert expected.shape == (record.n_frames, len(record.neurons))
            np.testing.assert_array_equal(read[f"{name}/{trace}"], expected)
        np.testing.assert_array_equal(read[f"{name}/part"], store.traces(name)[1000:1100, [0, 2]])
        np.testing.assert_array_equal(read[f"{name}/mapped"], store.traces(name))
        np.testing.assert_array_equal(read[f"{name}/time"], record.time_s)
        assert read[f"{name}/neuron_id"].tolist() == record.neurons["neuron_id"].tolist()
        assert read[f"{name}/exclusion_label"].tolist() == record.neurons["exclusion_label"].tolist()
        np.testing.assert_array_equal(read[f"{name}/x_um"], record.neurons["x_um"])
        np.testing.assert_array_equal(read[f"{name}/running_speed"], record.signals["running_speed"].values)
        np.testing.assert_array_equal(read[f"{name}/max_projection"], record.max_projection)
        np.testing.assert_array_equal(read[f"{name}/mask_px"], np.concatenate(record.masks))
    np.testing.assert_array_equal(read["stimuli/natural_movie_one"], records["a"].templates["natural_movie_one"]())
    tables = {name: pd.read_pickle(f"{tmp_path / 'read.npz'}.{name}") for name in  # noqa: S301 - written above
              ("sessions", "neurons", "epochs", "segments", "presentations", "digests")}  # fmt: skip
    assert tables["sessions"]["digest"].tolist() == store.sessions["digest"].tolist()
    for name in ("neurons", "epochs", "segments"):
        kept = [column for column in tables[name] if column != "generation"]
        pd.testing.assert_frame_equal(tables[name][kept], getattr(store, name)[kept], check_dtype=False)
    presentations = tables["presentations"].sort_values(["session_id", "start_frame"], ignore_index=True)
    pd.testing.assert_frame_equal(presentations, store.presentations, check_dtype=False)
    assert set(tables["digests"]["kind"]) == {"block", "part", "file"}
