from __future__ import annotations

import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import PoyodataError, SourceError, StoreError, UsageError
from poyodata.store import AddedSession, StoreWriter, open_store
from poyodata.store.complete import complete_recordings
from poyodata.store.session import neurons_digest
from poyodata.store.tables import JOINED_COLUMNS


def _nan_block(traces):
    traces[1024:2048] = np.nan


def _scattered(traces):
    traces[[3, 4, 2000], [1, 1, 5]] = [np.nan, np.inf, -np.inf]


def test_result_is_a_frozen_value(tmp_path, make_record):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        result = writer.add(make_record("s1"))
    assert result == AddedSession("s1", 2500, 7, 0, "added")
    with pytest.raises(FrozenInstanceError):
        result.status = "unchanged"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(_nan_block, "7 of 7 neurons have missing values .* in 1024 of 2500 frames", id="block"),
        pytest.param(_scattered, "2 of 7 neurons have missing values .* in 3 of 2500 frames", id="scattered"),
    ],
)
def test_missing_values_are_refused(write_store, make_record, files_of, edit, message):
    store = write_store(make_record("s1", templates=False))
    before = files_of(store.path)
    with StoreWriter(store.path) as writer:
        with pytest.raises(StoreError, match=message) as raised:
            writer.add(make_record("s2", edit=edit))
        assert writer.sessions["session_id"].tolist() == ["s1"]
    assert "missing='keep'" in str(raised.value)
    assert files_of(store.path) == before
    assert open_store(store.path).digest == store.digest


def test_missing_values_are_kept_as_nan(write_store, make_record):
    block = write_store(make_record("s1", edit=_nan_block), missing="keep")
    assert np.isnan(block.traces("s1")[1024:2048]).all()
    assert np.isfinite(block.traces("s1")[:1024]).all()
    scattered = make_record("s2", edit=_scattered)
    store = write_store(scattered, missing="keep")
    expected = scattered.read_traces(0, 2500)
    np.testing.assert_array_equal(store.traces("s2"), np.where(np.isfinite(expected), expected, np.nan))


def test_neurons_with_missing_values_are_dropped(write_store, make_record, tmp_path):
    record = make_record("s1", edit=_scattered)
    with StoreWriter(tmp_path / "tiny.zarr") as writer:
        assert writer.add(record, missing="drop") == AddedSession("s1", 2500, 5, 2, "added")
    store = open_store(tmp_path / "tiny.zarr")
    kept = [0, 2, 3, 4, 6]
    np.testing.assert_array_equal(store.traces("s1"), record.read_traces(0, 2500)[:, kept])
    assert store.neurons["neuron_id"].tolist() == record.neurons["neuron_id"].iloc[kept].tolist()
    assert store.neurons["column"].tolist() == [0, 1, 2, 3, 4]
    with StoreWriter(tmp_path / "other.zarr") as writer, pytest.raises(StoreError, match="every neuron has missing"):
        writer.add(make_record("s1", edit=_nan_block), missing="drop")


def test_unknown_choice_for_missing_values(tmp_path, make_record):
    with StoreWriter(tmp_path / "s.zarr") as writer, pytest.raises(UsageError, match="did you mean 'keep'"):
        writer.add(make_record(), missing="kep")


@pytest.mark.slow
def test_digest_does_not_depend_on_order_or_interruptions(write_store, make_record):
    records = [make_record(name) for name in "abc"]
    forward = write_store(*records, name="forward.zarr")
    write_store(records[2], name="backward.zarr")
    backward = write_store(records[1], records[0], name="backward.zarr")
    assert forward.digest == backward.digest
    for name in ("sessions", "neurons", "presentations", "epochs", "segments", "blocks", "parts"):
        pd.testing.assert_frame_equal(getattr(forward, name), getattr(backward, name))


CHANGES = {
    "traces": lambda make, change: make("s1", edit=lambda t: t.__setitem__((2499, 6), 9.0)),
    "time": lambda make, change: change(make("s1"), time_s=make("s1").time_s + 1e-9),
    "metadata": lambda make, change: change(make("s1"), sex="F"),
    "neurons": lambda make, change: change(make("s1"), neurons=make("s1").neurons.assign(x_um=0.0)),
    "presentations": lambda make, change: change(make("s1"), presentations=make("s1").presentations.assign(repeat=1)),
    "segments": lambda make, change: change(make("s1"), segments=np.array([[0, 2500]])),
    "masks": lambda make, change: change(make("s1"), masks=None),
    "max_projection": lambda make, change: change(make("s1"), max_projection=make("s1").max_projection.reshape(5, 6)),
    "signal:running_speed": lambda make, change: change(make("s1"), signals={}),
}


@pytest.mark.parametrize(
    "fields",
    [
        {"specimen_name": "Sst-1"},
        {"start_time": "2017-01-02T10:00:00"},
        {"device": "A microscope. CAM2P.1"},
        {"excitation_nm": 910.0},
        {"fov": "400x400 microns"},
        {"pipeline_version": "3.0"},
        {"max_projection": None},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_all_that_is_known_counts(write_store, make_record, change, fields):
    store = write_store(make_record("s1"))
    part = "max_projection" if "max_projection" in fields else "metadata"
    with StoreWriter(store.path) as writer, pytest.raises(StoreError, match=rf"other content \({part}\)"):
        writer.add(change(make_record("s1"), **fields))


@pytest.mark.parametrize("part", CHANGES)
def test_every_part_moves_the_digest_and_is_refused_under_the_same_name(write_store, make_record, change, part):
    store = write_store(make_record("s1"))
    changed = CHANGES[part](make_record, change)
    assert write_store(changed, name="changed.zarr").digest != store.digest
    with StoreWriter(store.path) as writer, pytest.raises(StoreError, match=rf"other content \({part}\)"):
        writer.add(changed)
    assert open_store(store.path).digest == store.digest


def test_same_recording_again_is_unchanged(write_store, make_record, files_of, change):
    store = write_store(make_record("s1"))
    before = files_of(store.path)
    with StoreWriter(store.path) as writer:
        result = writer.add(change(make_record("s1"), source_digest="the same content in another file"))
    assert result == AddedSession("s1", 2500, 7, 0, "unchanged")
    assert files_of(store.path) == before


def test_template_is_stored_once_and_never_changed(write_store, make_record, change, files_of):
    store = write_store(make_record("s1"), make_record("s2"))
    assert list(store.stimuli) == ["natural_movie_one"]
    before = files_of(store.path)
    other = change(make_record("s3"), templates={"natural_movie_one": lambda: np.ones((20, 4, 5), np.uint8)})
    with StoreWriter(store.path) as writer, pytest.raises(StoreError, match="another template for 'natural_movie_one'"):
        writer.add(other)
    assert files_of(store.path) == before
    assert write_store(make_record("s1"), make_record("s2"), name="again.zarr").digest == store.digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"session_id": "../x"}, "cannot name a folder", id="path-as-name"),
        pytest.param({"session_id": ".hidden"}, "cannot name a folder", id="hidden-name"),
        pytest.param({"session_id": ""}, "cannot name a folder", id="no-name"),
        pytest.param({"session_id": "zarr.json"}, "cannot name a folder", id="zarr-name"),
        pytest.param({"templates": {"a/b": None}}, "stimulus 'a/b' cannot name", id="stimulus-name"),
        pytest.param({"templates": {"m": lambda: np.zeros((2, 3))}}, "expected uint8", id="template-of-floats"),
        pytest.param({"read_traces": lambda a, b: np.zeros((b - a, 3), "float32")}, "add up to", id="wrong-width"),
        pytest.param({"read_traces": lambda a, b: np.zeros((1, 7), "float32")}, "add up to", id="too-short"),
        pytest.param({"time_s": np.zeros(2500)}, "timestamps must be finite and increase", id="bad-time"),
    ],
)
def test_bad_record_leaves_the_store_as_it_was(tmp_path, make_record, change, files_of, fields, message):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        before = files_of(writer.path)
        with pytest.raises(PoyodataError, match=message) as raised:
            writer.add(change(make_record("s1"), **fields))
        assert isinstance(raised.value, StoreError | SourceError)
        assert files_of(writer.path) == before
        assert not (tmp_path / "x").exists()
        assert writer.add(make_record("s1")).status == "added"


def test_signal_may_not_take_the_name_of_an_array(tmp_path, make_record, change):
    signals = {"time": make_record().signals["running_speed"]}
    with StoreWriter(tmp_path / "s.zarr") as writer, pytest.raises(StoreError, match="name of another array"):
        writer.add(change(make_record(), signals=signals))


def test_epoch_of_two_stimuli_is_refused(tmp_path, make_record, change):
    mixed = change(make_record(), presentations=make_record().presentations.assign(epoch=0))
    with StoreWriter(tmp_path / "s.zarr") as writer, pytest.raises(StoreError, match="epoch 0 has several stimuli"):
        writer.add(mixed)


def test_further_columns_of_neurons_join(write_store, make_record, change):
    def further(record, **columns):
        return change(record, neurons=record.neurons.assign(**columns))

    store = write_store(
        make_record("a", n_neurons=2),
        further(make_record("b", n_neurons=2), depth_rank=[1, 2], label=["x", None], edge=[True, False]),
        further(make_record("c", n_neurons=2), depth_rank=[0.5, np.nan]),
    )
    neurons = store.neurons
    assert neurons["depth_rank"].tolist()[2:5] == [1.0, 2.0, 0.5]
    assert neurons["depth_rank"].isna().tolist() == [True, True, False, False, False, True]
    assert neurons["label"].tolist() == ["", "", "x", "", "", ""]
    assert neurons["edge"].isna().tolist() == [True, True, False, False, True, True]
    with StoreWriter(store.path) as writer, pytest.raises(StoreError, match="'label' of table neurons is"):
        writer.add(further(make_record("d", n_neurons=2), label=[1.0, 2.0]))
    assert not (store.path / "sessions" / "d").exists()
    assert open_store(store.path).digest == store.digest
    # What verifies a recording later reads its neurons from the table of all.
    parts = store.parts[store.parts["part"] == "neurons"].set_index("session_id")["digest"]
    own = [name for name in neurons.columns if name not in JOINED_COLUMNS]
    for session_id, rows in neurons[own].groupby("session_id"):
        assert neurons_digest(rows) == parts[session_id]


def test_neuron_ids_are_unique_over_recordings(write_store, make_record, change):
    store = write_store(make_record("a"))
    twin = change(make_record("a"), session_id="b")
    with StoreWriter(store.path) as writer, pytest.raises(StoreError, match="neuron 'a_100' is in the store already"):
        writer.add(twin)


def test_closed_writer_adds_nothing(tmp_path, make_record):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        pass
    with pytest.raises(UsageError, match="is closed"):
        writer.add(make_record())


def test_one_writer_at_a_time(tmp_path, make_record):
    path = tmp_path / "s.zarr"
    with StoreWriter(path) as writer:
        with pytest.raises(StoreError, match=r"is being written by process \d+ on .*one writer at a time"):
            StoreWriter(path)
        writer.add(make_record("s1"))
        assert len(open_store(path)) == 1  # readers do not wait
    with StoreWriter(path) as writer:
        writer.add(make_record("s2"))
    assert len(open_store(path)) == 2


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="holds something else"):
        StoreWriter(tmp_path / "photos")
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["holiday.jpg"]
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StoreError, match="holds something else"):
        StoreWriter(tmp_path / "file")


def test_memory_stays_at_a_few_blocks(tmp_path, make_record, change):
    n_frames, n_neurons = 50_000, 200
    block = np.random.default_rng(0).normal(size=(1024, n_neurons)).astype("float32")
    few = make_record("s1", n_frames=100, n_neurons=n_neurons)
    record = change(
        make_record("s1", n_frames=n_frames, n_neurons=3, templates=False),
        neurons=few.neurons,
        masks=few.masks,
        read_traces=lambda start, stop: block[: stop - start].copy(),
        further={"raw": lambda start, stop: block[: stop - start] + 1},
    )
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("s0"))  # imports are not counted
        tracemalloc.start()
        try:
            writer.add(record, traces=("dff", "raw"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 5 * block.nbytes
    assert open_store(writer.path).traces("s1", "raw").nbytes == 40_000_000


@pytest.mark.parametrize(
    ("missing", "edit", "known"),
    [
        pytest.param("error", None, True, id="none"),
        pytest.param("keep", None, True, id="none to keep"),
        pytest.param("keep", _scattered, False, id="kept"),
        pytest.param("drop", _scattered, True, id="dropped with their neuron"),
    ],
)
def test_recordings_without_missing_values_are_noted(write_store, make_record, missing, edit, known):
    store = write_store(make_record("s1", edit=edit), missing=missing)
    assert complete_recordings(store.statistics_folder) == (set(store.sessions["digest"]) if known else set())
