from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from poyodata.errors import StoreError, UsageError
from poyodata.sources.record import NEURON_COLUMNS, PRESENTATION_COLUMNS, SessionMetadata
from poyodata.store import StoreWriter, open_store
from poyodata.store.tables import METADATA_COLUMNS, TABLES


def test_schema_is_the_sources_schema():
    presentations = {name: kind for name, kind in TABLES["presentations"].items() if name != "session_id"}
    assert presentations == dict(PRESENTATION_COLUMNS)
    assert {name: TABLES["neurons"][name] for name in NEURON_COLUMNS} == dict(NEURON_COLUMNS)
    kinds = {"str": "str", "float": "float64"}
    assert {field.name: kinds[field.type] for field in dataclasses.fields(SessionMetadata)} == METADATA_COLUMNS


def test_plain_xarray_and_zarr_read_what_was_written(write_store, make_record):
    record = make_record("s1")
    store = write_store(record)
    expected = record.read_traces(0, record.n_frames)
    dataset = xr.open_zarr(store.path, group="sessions/s1", consolidated=False)
    assert dataset.dff.dims == ("time", "neuron")
    assert set(dataset.coords) == {
        *(
            "time",
            "neuron_id",
            "cell_specimen_id",
            "roi_id",
            "x_um",
            "y_um",
            "valid_roi",
            "exclusion_label",
            "running_speed_time",
        )
    }
    assert dataset.dff.encoding["preferred_chunks"] == {"time": 1024, "neuron": 7}
    np.testing.assert_array_equal(dataset.dff.values, expected)
    np.testing.assert_array_equal(dataset.time.values, record.time_s)
    assert dataset.time.dtype == np.float64
    assert dataset.neuron_id.values.tolist() == record.neurons["neuron_id"].tolist()
    assert dataset.cell_specimen_id.values.tolist() == [100, 101, 102, 103, 104, 105, -1]
    assert dataset.valid_roi.values.tolist() == record.neurons["valid_roi"].tolist()
    np.testing.assert_array_equal(dataset.y_um.values, record.neurons["y_um"])
    np.testing.assert_array_equal(dataset.running_speed.values, np.arange(9.0))
    assert dataset.attrs["donor_id"] == "m1"
    assert dataset.attrs["source_digest"] == "file-of-s1"
    assert "age_days" not in dataset.attrs  # unknown
    assert dataset.attrs["rate_hz"] == pytest.approx(30, rel=0.05)
    root = zarr.open_group(str(store.path), mode="r")
    assert {name for name, _ in root.members()} == {"sessions", "stimuli", "statistics", "tables"}
    np.testing.assert_array_equal(root["sessions/s1/dff"][1000:1100], expected[1000:1100])
    np.testing.assert_array_equal(root["stimuli/natural_movie_one/frames"][:], record.templates["natural_movie_one"]())


KNOWN = {
    "specimen_name": "Sst-IRES-Cre;Ai148-345678",
    "start_time": "2017-01-02T10:00:00",
    "device": "A microscope. CAM2P.1 Please see elsewhere",
    "excitation_nm": 910.0,
    "fov": "400x400 microns (512 x 512 pixels)",
    "pipeline_version": "3.0",
}


def test_metadata_are_columns_and_attributes(write_store, make_record, change):
    store = write_store(change(make_record("a"), **KNOWN), make_record("b"))
    known, missing = store.sessions[list(KNOWN)].to_dict("records")
    assert known == KNOWN
    assert np.isnan(missing.pop("excitation_nm"))
    assert set(missing.values()) == {""}
    assert {name: store["a"].attrs[name] for name in KNOWN} == KNOWN
    assert not KNOWN.keys() & store["b"].attrs.keys()


def test_max_projection(write_store, make_record, change):
    image = np.random.default_rng(0).integers(0, 256, (12, 7), dtype=np.uint8)
    store = write_store(change(make_record("a"), max_projection=image), change(make_record("b"), max_projection=None))
    read = store.max_projection("a")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, image)
    assert store.max_projection("b") is None
    assert store.parts.groupby("session_id")["part"].agg(lambda parts: "max_projection" in set(parts)).to_dict() == {
        "a": True,
        "b": False,
    }
    with_it, without = (xr.open_zarr(store.path, group=f"sessions/{name}", consolidated=False) for name in "ab")
    assert with_it["max_projection"].dims == ("y", "x")
    assert with_it["max_projection"].dtype == np.uint8
    np.testing.assert_array_equal(with_it["max_projection"].values, image)
    assert set(with_it) - {"max_projection"} == set(without)
    np.testing.assert_array_equal(with_it.dff.values, store.traces("a"))


def test_lost_max_projection_is_not_taken_for_none(write_store, make_record):
    store = write_store(make_record("s1"))
    (store.path / "sessions/s1/max_projection").rename(store.path / "elsewhere")
    with pytest.raises(StoreError, match="max_projection cannot be read"):
        store.max_projection("s1")


def test_dataset_is_lazy(write_store, make_record):
    dataset = write_store(make_record("s1"))["s1"]
    assert not dataset.dff.variable._in_memory
    part = dataset.dff.isel(time=slice(10, 20), neuron=[0, 3])
    assert not part.variable._in_memory
    assert part.values.shape == (10, 2)
    assert not dataset.dff.variable._in_memory


def test_tables(write_store, make_record):
    first, second = make_record("b", donor_id="m2"), make_record("a", n_neurons=5)
    store = write_store(first, second)
    assert store.session_ids == ("a", "b")
    assert list(store) == ["a", "b"]
    assert len(store) == 2
    assert "a" in store
    assert "c" not in store
    assert store.sessions.columns.tolist() == list(TABLES["sessions"])
    assert store.sessions["n_neurons"].tolist() == [5, 7]
    neurons = store.neurons
    assert neurons["session_id"].tolist() == ["a"] * 5 + ["b"] * 7
    assert neurons["column"].tolist() == [*range(5), *range(7)]
    assert neurons["neuron_id"].tolist() == [*second.neurons["neuron_id"], *first.neurons["neuron_id"]]
    assert neurons["donor_id"].tolist() == ["m1"] * 5 + ["m2"] * 7
    assert neurons["depth_um"].tolist() == [275.0] * 12
    assert neurons["cell_specimen_id"].dtype == "Int64"
    assert neurons["cell_specimen_id"].isna().sum() == 2
    assert isinstance(neurons.index, pd.RangeIndex)
    presentations = store.presentations
    assert presentations["session_id"].tolist() == ["a"] * 12 + ["b"] * 12
    expected = pd.concat([second.presentations, first.presentations], ignore_index=True)
    for name, kind in PRESENTATION_COLUMNS.items():
        assert presentations[name].dtype == kind
        pd.testing.assert_series_equal(presentations[name], expected[name].astype(kind))
    pd.testing.assert_frame_equal(store.presentations_of("a"), presentations.iloc[:12])
    some = ["stimulus", "start_frame", "direction_deg"]
    pd.testing.assert_frame_equal(store.presentations_of("a", some), presentations.iloc[:12][some])
    both = store.presentations_of(["b", "a"], some)
    pd.testing.assert_frame_equal(both, pd.concat([presentations[12:], presentations[:12]], ignore_index=True)[some])
    pd.testing.assert_frame_equal(store.presentations_of([], some), presentations.iloc[:0][some])
    with pytest.raises(UsageError, match="did you mean 'start_frame'"):
        store.presentations_of("a", ["start_frames"])
    assert store.epochs[store.epochs["session_id"] == "b"].drop(columns="session_id").values.tolist() == [
        [0, "drifting_gratings", 0, 5 * 208 + 104],
        [1, "natural_movie_one", 6 * 208, 11 * 208 + 104],
    ]
    assert store.segments[["segment", "start_frame", "stop_frame"]].values.tolist() == 2 * [
        [0, 0, 1250],
        [1, 1250, 2500],
    ]
    assert store.blocks.groupby("session_id")["block"].agg(list).tolist() == [[0, 1, 2]] * 2
    assert store.parts[store.parts["session_id"] == "a"]["part"].tolist() == [
        *("masks", "max_projection", "metadata", "neurons", "presentations", "segments"),
        *("signal:running_speed", "time"),
    ]


def test_cells_are_counted_over_recordings(write_store, make_record):
    store = write_store(make_record("a", n_neurons=4), make_record("b", n_neurons=6))
    assert store.cells["cell_specimen_id"].tolist() == [100, 101, 102, 103, 104]
    assert store.cells["n_sessions"].tolist() == [2, 2, 2, 1, 1]
    assert store.cells.loc[0, ["donor_id", "container_id"]].tolist() == ["m1", "c-m1"]


def test_one_recording(write_store, make_record):
    record = make_record("s1")
    store = write_store(record)
    traces = store.traces("s1")
    assert isinstance(traces, np.memmap)
    assert traces.dtype == np.float32
    assert traces.tobytes() == record.read_traces(0, record.n_frames).tobytes()
    assert store.traces("s1") is traces
    np.testing.assert_array_equal(store.time_s("s1"), record.time_s)
    values, time_s = store.signal("s1", "running_speed")
    np.testing.assert_array_equal(values, record.signals["running_speed"].values)
    np.testing.assert_array_equal(time_s, record.signals["running_speed"].time_s)
    np.testing.assert_array_equal(store.movie("natural_movie_one"), record.templates["natural_movie_one"]())
    assert store.statistics_folder == store.path / "statistics"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda s: s["501574837"], "no recording '501574837'.* did you mean '501574836'", id="item"),
        pytest.param(lambda s: s.traces("501574837"), "did you mean '501574836'", id="traces"),
        pytest.param(lambda s: s.time_s("x"), "known are 501574836", id="time"),
        pytest.param(lambda s: s.presentations_of("x"), "known are 501574836", id="presentations"),
        pytest.param(lambda s: s.max_projection("x"), "known are 501574836", id="max-projection"),
        pytest.param(lambda s: s.traces("501574836", "evnts"), "no traces 'evnts': known are dff", id="other-traces"),
        pytest.param(lambda s: s.signal("501574836", "runing_speed"), "did you mean 'running_speed'", id="signal"),
        pytest.param(lambda s: s.movie("natural_movie_two"), "did you mean 'natural_movie_one'", id="movie"),
    ],
)
def test_unknown_names(write_store, make_record, call, message):
    store = write_store(make_record("501574836"))
    with pytest.raises(UsageError, match=message):
        call(store)


def _version(number):
    def damage(path):
        metadata = json.loads((path / "zarr.json").read_text())
        metadata["attributes"]["format_version"] = number
        (path / "zarr.json").write_text(json.dumps(metadata))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *(
            pytest.param(
                _version(number),
                rf"^the store .* has format version {number}, this poyodata reads and writes 3; {advice}$",
                id=f"version-{number}",
            )
            for number, advice in (
                (1, r"that version cannot be migrated: ingest the recordings again into a new store\."),
                (7, r"a newer poyodata wrote it: update poyodata to open it\."),
            )
        ),
        pytest.param(
            lambda path: (path / "zarr.json").unlink(), "is not a poyodata store|holds something else", id="no-store"
        ),
        pytest.param(
            lambda path: (path / "tables/sessions.parquet").unlink(), "is missing although there are", id="commit-gone"
        ),
        pytest.param(
            lambda path: (path / "tables/sessions.parquet").write_bytes(b"PAR1"), "cannot be read", id="commit-damaged"
        ),
    ],
)
def test_what_cannot_be_trusted_is_not_opened(write_store, make_record, damage, message, files_of):
    path = write_store(make_record()).path
    damage(path)
    before = files_of(path)
    for opening in (open_store, StoreWriter):
        with pytest.raises(StoreError, match=message) as raised:
            opening(path)
        assert raised.value.exit_code == 1
    assert files_of(path) == before


@pytest.mark.parametrize(("name", "read"), [("time", "time_s"), ("running_speed", "signal")])
def test_a_lost_chunk_is_not_taken_for_fill_values(name, read, write_store, make_record):
    store = write_store(make_record("s1"))
    (lost,) = (store.path / "sessions" / "s1" / name / "c").iterdir()
    lost.unlink()
    with pytest.raises(StoreError, match="is missing"):
        store.time_s("s1") if read == "time_s" else store.signal("s1", name)


def test_missing_path_is_a_wrong_call(tmp_path, write_store):
    write_store(name="allen.zarr")
    with pytest.raises(UsageError, match=r"no store at .*alen\.zarr: did you mean 'allen\.zarr'") as raised:
        open_store(tmp_path / "alen.zarr")
    assert raised.value.exit_code == 2


def test_missing_table_is_named(write_store, make_record):
    store = write_store(make_record())
    (store.path / "tables" / "neurons.parquet").unlink()
    with pytest.raises(StoreError, match=r"neurons\.parquet cannot be read"):
        _ = store.neurons


def test_missing_recording_folder_is_named(write_store, make_record):
    store = write_store(make_record("s1"))
    (store.path / "sessions" / "s1").rename(store.path / "elsewhere")
    with pytest.raises(StoreError, match="s1 is missing; restore it"):
        store.traces("s1")


def test_empty_store_opens(write_store):
    store = write_store()
    assert len(store) == 0
    for name in ("neurons", "cells", "presentations", "epochs", "segments", "blocks", "parts"):
        assert len(getattr(store, name)) == 0
    assert "recordings  0 (0.0 h)" in repr(store)


def test_open_store_is_a_snapshot(write_store, make_record):
    old = write_store(make_record("a"))
    new = write_store(make_record("b"))
    assert old.neurons["session_id"].unique().tolist() == ["a"]
    assert old.presentations["session_id"].unique().tolist() == ["a"]
    assert old.blocks["session_id"].unique().tolist() == ["a"]
    assert new.neurons["session_id"].unique().tolist() == ["a", "b"]
    assert old.digest != new.digest


def test_pickles_by_path(write_store, make_record):
    store = write_store(make_record("s1"))
    _ = store.traces("s1")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert again.digest == store.digest
    assert len(pickle.dumps(store)) < 1000


def test_shown(write_store, make_record):
    store = write_store(make_record("s1"))
    assert store.digest[:12] in repr(store)
    assert "Sst-IRES-Cre" in repr(store)
    assert "cache" not in repr(store)


def test_shown_in_a_notebook(write_store, make_record, change, monkeypatch):
    import xml.etree.ElementTree as ElementTree

    monkeypatch.setattr("poyodata.store.shown._MOST_RECORDINGS", 2)
    records = [change(make_record(f"s{i:02}"), cre_line="Vip-IRES-Cre" if i else "<Sst>") for i in range(4)]
    page = ElementTree.fromstring(write_store(*records)._repr_html_())  # noqa: S314 - our own
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    assert ["recordings", "4 (0.1 h)"] in rows
    assert ["<Sst>", "1", "1", "1", "VISp", "7", "0.0"] in rows
    assert ["Vip-IRES-Cre", "3", "1", "1", "VISp", "21", "0.1"] in rows
    # The first recordings, folded; the rest is said.
    assert sum(row[0].startswith("s0") for row in rows) == 2
    assert next(page.iter("details")).get("open") is None
    assert "and 2 more: store.sessions" in "".join(page.itertext())
    empty = "".join(ElementTree.fromstring(write_store(name="empty.zarr")._repr_html_()).itertext())  # noqa: S314
    assert "It is empty" in empty


def test_recording_is_arranged(write_store, make_record, change):
    record = change(make_record("s1"), session_type="three_session_A", sex="male")
    dataset = write_store(record, traces=("dff", "raw", "corrected"))["s1"]
    assert list(dataset.data_vars) == [
        *("dff", "corrected", "raw", "running_speed", "max_projection", "mask_px", "mask_neuron")
    ]
    assert list(dataset.coords)[:3] == ["time", "neuron_id", "cell_specimen_id"]
    assert list(dataset.attrs)[:3] == ["session_id", "session_type", "cre_line"]
    assert list(dataset.attrs)[-1] == "source_digest"


def test_import_is_light():
    heavy = "{'torch', 'matplotlib', 'dask', 'xarray', 'zarr', 'pyarrow.parquet'}"
    code = f"import sys, poyodata.store; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
