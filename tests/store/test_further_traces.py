"""Traces beside dF/F, masks, and templates that do not fit into memory."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import xarray as xr
import zarr

from poyodata.digests import array_digest
from poyodata.errors import SourceError, StoreError, UsageError
from poyodata.store import StoreWriter, open_store
from poyodata.store.group import join_masks, split_masks

ALL = ("dff", "raw", "corrected")


def whole(record, name):
    return record.read_traces(0, record.n_frames) if name == "dff" else record.further[name](0, record.n_frames)


@pytest.mark.parametrize("name", ALL)
def test_every_reader_reads_every_trace(write_store, make_record, name):
    record = make_record("s1")
    store = write_store(record, traces=ALL)
    expected = whole(record, name)
    mapped = store.traces("s1", name)
    assert isinstance(mapped, np.memmap)
    assert mapped.dtype == np.float32
    assert mapped.tobytes() == expected.tobytes()
    dataset = xr.open_zarr(store.path, group="sessions/s1", consolidated=False)
    assert dataset[name].dims == ("time", "neuron")
    assert dataset[name].attrs["units"] == ("dF/F" if name == "dff" else "counts")
    assert "neuron_id" in dataset[name].coords
    np.testing.assert_array_equal(dataset[name].values, expected)
    np.testing.assert_array_equal(zarr.open_group(str(store.path), mode="r")[f"sessions/s1/{name}"][5:9], expected[5:9])
    assert set(ALL) < set(store["s1"].data_vars)


def test_layout_is_that_of_dff(write_store, make_record):
    folder = write_store(make_record("s1"), traces=ALL).path / "sessions" / "s1"
    layouts = {name: json.loads((folder / name / "zarr.json").read_text()) for name in ALL}
    for name in ALL:
        del layouts[name]["attributes"]
    assert layouts["raw"] == layouts["corrected"] == layouts["dff"]


def test_blocks_have_digests_by_trace(write_store, make_record):
    record = make_record("s1")
    blocks = write_store(record, traces=ALL).blocks
    assert blocks.groupby("traces")["block"].agg(list).to_dict() == {name: [0, 1, 2] for name in ALL}
    raw = blocks.loc[blocks["traces"] == "raw", "digest"].tolist()
    assert raw[:2] == [array_digest(whole(record, "raw")[start : start + 1024]) for start in (0, 1024)]


@pytest.mark.slow
def test_dff_alone_is_the_default_and_has_one_digest(write_store, make_record, change):
    store = write_store(make_record("s1"))
    assert store.blocks["traces"].unique().tolist() == ["dff"]
    assert [name for name in store["s1"].data_vars if name in ALL] == ["dff"]
    # What the source might give beside it does not count.
    assert write_store(change(make_record("s1"), further={}), name="b.zarr").digest == store.digest
    assert write_store(make_record("s1"), name="c.zarr", traces=()).digest == store.digest
    further = [write_store(make_record("s1"), name=f"{t}.zarr", traces=("dff", t)).digest for t in ("raw", "corrected")]
    assert len({store.digest, *further}) == 3
    both = [write_store(make_record("s1"), name=f"{t[0]}-.zarr", traces=t).digest for t in (ALL, ALL[::-1])]
    assert both[0] == both[1]


@pytest.mark.parametrize(("asked", "named"), [(("raw", "demixed"), "'demixed'"), (("events",), "'events'")])
def test_traces_that_the_recording_lacks(tmp_path, make_record, files_of, asked, named):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        before = files_of(writer.path)
        with pytest.raises(SourceError, match=rf"'s1' has no traces {named}; it has dff, raw, corrected"):
            writer.add(make_record("s1"), traces=asked)
        assert files_of(writer.path) == before


def test_unknown_name_in_a_store(write_store, make_record):
    store = write_store(make_record("s1"), traces=("raw",))
    with pytest.raises(UsageError, match="no traces 'corrected': known are dff, raw"):
        store.traces("s1", "corrected")
    for name in ("mask_px", "time", "running_speed"):
        with pytest.raises(UsageError, match=f"no traces '{name}'"):
            store.traces("s1", name)


def test_again_with_fewer_equal_more_or_other_traces(write_store, make_record, change):
    store = write_store(make_record("s1"), traces=("raw",))
    other = change(make_record("s1"), further={"raw": lambda start, stop: np.zeros((stop - start, 7), "float32")})
    with StoreWriter(store.path) as writer:
        for traces in ((), ("dff",), ("raw",), ("raw", "dff")):
            assert writer.add(make_record("s1"), traces=traces).status == "unchanged"
        with pytest.raises(StoreError, match=r"in the store already, without the traces corrected; .* new store"):
            writer.add(make_record("s1"), traces=ALL)
        with pytest.raises(StoreError, match=r"other content \(traces raw\)"):
            writer.add(other, traces=("raw",))
    assert open_store(store.path).digest == store.digest


def _broken(traces):
    traces[[3, 2000], [1, 5]] = [np.nan, np.inf]


def test_missing_dff_drops_the_columns_of_everything(write_store, make_record):
    record, kept = make_record("s1", edit=_broken), [0, 2, 3, 4, 6]
    store = write_store(record, missing="drop", traces=ALL)
    for name in ALL:
        np.testing.assert_array_equal(store.traces("s1", name), whole(record, name)[:, kept])
    for read, mask in zip(store.masks("s1"), [record.masks[column] for column in kept], strict=True):
        np.testing.assert_array_equal(read, mask)
    assert store.neurons["exclusion_label"].tolist() == record.neurons["exclusion_label"].iloc[kept].tolist()


@pytest.mark.parametrize("missing", ["error", "keep", "drop"])
def test_missing_values_elsewhere_are_kept(write_store, make_record, change, missing):
    raw = whole(make_record("s1"), "raw").copy()
    _broken(raw)
    record = change(make_record("s1"), further={"raw": lambda start, stop: raw[start:stop]})
    store = write_store(record, missing=missing, traces=("raw",))
    np.testing.assert_array_equal(store.traces("s1", "raw"), np.where(np.isfinite(raw), raw, np.nan))
    assert store.traces("s1").shape == (2500, 7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"further": {"time": None}}, "'time' has the name of another array", id="clock"),
        pytest.param({"further": {"mask_px": None}}, "'mask_px' has the name of another array", id="masks"),
        pytest.param({"further": {"max_projection": None}}, "'max_projection' has the name", id="image"),
        pytest.param({"further": {"a/b": None}}, "trace 'a/b' cannot name a folder", id="path"),
        pytest.param({"further": {"running_speed": None}}, "'running_speed' has the name", id="signal"),
        pytest.param({"masks": []}, "has 0 masks for 7 traces", id="too-few-masks"),
    ],
)
def test_names_and_numbers_that_clash(tmp_path, make_record, change, fields, message):
    with StoreWriter(tmp_path / "s.zarr") as writer:
        with pytest.raises((StoreError, SourceError), match=message):
            writer.add(change(make_record("s1"), **fields))
        assert len(writer.sessions) == 0


def test_traces_of_another_width_are_refused(tmp_path, make_record, change):
    record = change(make_record("s1"), further={"raw": lambda start, stop: np.zeros((stop - start, 3), "float32")})
    with StoreWriter(tmp_path / "s.zarr") as writer:
        with pytest.raises(StoreError, match="add up to"):
            writer.add(record, traces=("raw",))
        assert list((writer.path / "sessions").iterdir()) == [writer.path / "sessions" / "zarr.json"]


def test_masks(write_store, make_record):
    record = make_record("s1")
    store = write_store(record, make_record("s2", n_neurons=2))
    masks = store.masks("s1")
    assert len(masks) == 7
    assert len(masks[0]) == 0
    for read, mask in zip(masks, record.masks, strict=True):
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, mask)
    assert len(store.masks("s2")) == 2
    dataset = store["s1"]
    assert dataset["mask_px"].dims == ("mask_pixel", "xy")
    assert dataset["mask_px"].dtype == np.int16
    assert dataset["mask_neuron"].dtype == np.int32
    np.testing.assert_array_equal(dataset["mask_px"].values[dataset["mask_neuron"].values == 6], record.masks[6])


def test_recordings_without_masks(write_store, make_record, change):
    empty = [np.empty((0, 2), np.int16)] * 7
    store = write_store(change(make_record("s1"), masks=None), change(make_record("s2"), masks=empty))
    with pytest.raises(UsageError, match="'s1' has no masks; its source had none"):
        store.masks("s1")
    assert [mask.shape for mask in store.masks("s2")] == [(0, 2)] * 7
    with pytest.raises(UsageError, match="no recording 's3'"):
        store.masks("s3")


@pytest.mark.parametrize("lengths", [[0], [3], [0, 0, 2], [1, 0, 2, 0], [2, 2]])
def test_masks_join_and_split(lengths):
    masks = [np.full((length, 2), index, np.int16) for index, length in enumerate(lengths)]
    again = split_masks(*join_masks(masks), len(masks))
    assert [mask.tolist() for mask in again] == [mask.tolist() for mask in masks]


def test_exclusion_labels(write_store, make_record):
    record = make_record("s1")
    store = write_store(record)
    labels = record.neurons["exclusion_label"].tolist()
    assert store.neurons["exclusion_label"].tolist() == labels
    assert store["s1"]["exclusion_label"].values.tolist() == labels
    assert ((store.neurons["exclusion_label"] == "") == store.neurons["valid_roi"]).all()


class LongMovie:
    """Frames made when they are sliced, as of a file."""

    shape = (4000, 60, 100)
    dtype = np.dtype(np.uint8)

    def __getitem__(self, frames):
        start, stop, _ = frames.indices(len(self.frame_numbers))
        return np.broadcast_to(self.frame_numbers[start:stop, None, None], (stop - start, 60, 100)).copy()

    frame_numbers = np.arange(4000).astype(np.uint8)


def test_templates_are_read_in_pieces(tmp_path, make_record, change):
    record = change(make_record("s1"), templates={"natural_movie_three": LongMovie})
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.add(make_record("s0"))  # imports are not counted
        tracemalloc.start()
        try:
            writer.add(record)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert writer.add(record).status == "unchanged"
    assert peak < 4_000_000 < 60 * 100 * 4000
    stored = open_store(writer.path).movie("natural_movie_three")
    np.testing.assert_array_equal(stored[:, 7, 7], LongMovie.frame_numbers)
