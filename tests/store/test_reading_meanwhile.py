"""Who reads while a recording is updated or removed gets what was there, or is told; never a part of it."""

from __future__ import annotations

import shutil

import pytest
import xarray as xr
import zarr

from poyodata.errors import StoreError
from poyodata.store import StoreWriter, files, open_store

TOLD = r"'a' of .* was updated or removed since this store was opened; open it again\."
CHANGES = {
    "update": lambda writer, record: writer.add(record, replace=True),
    "remove": lambda writer, _: writer.remove(["a"]),
}
READS = {
    "item": lambda store: store["a"],
    "traces": lambda store: store.traces("a"),
    "time_s": lambda store: store.time_s("a"),
    "masks": lambda store: store.masks("a"),
    "presentations_of": lambda store: store.presentations_of("a"),
    "digests_of": lambda store: store.digests_of("a"),
}


@pytest.mark.slow
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_is_never_half_there_under_its_name(write_store, make_record, monkeypatch, read, change):
    store = write_store(make_record("a"), make_record("b"))
    whole, told = [], []
    real = shutil.rmtree

    def slowly(folder, *arguments, **options):
        for part in ("raw", "time", "mask_px", "running_speed", "dff"):  # half of what is in it
            if (folder / part).is_dir():
                real(folder / part)
        try:
            whole.append(set(READS[read](open_again)) if read == "item" else READS[read](open_again))
        except StoreError as error:
            told.append(str(error))
        real(folder, *arguments, **options)

    open_again = open_store(store.path)
    everything = set(open_again["a"])
    with StoreWriter(store.path) as writer, monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", slowly)
        CHANGES[change](writer, make_record("a", seed=9))
    assert whole or told
    assert all("was updated or removed since this store was opened; open it again." in message for message in told)
    if read == "item":
        assert all(variables == everything for variables in whole)


def during(monkeypatch, owner, name, act, *, before):
    """Have a change fall right before or after a call."""
    real = getattr(owner, name)

    def call(*arguments, **options):
        monkeypatch.setattr(owner, name, real)
        if before:
            act()
            return real(*arguments, **options)
        result = real(*arguments, **options)
        act()
        return result

    monkeypatch.setattr(owner, name, call)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("owner", "name", "before", "read"),
    [
        pytest.param(xr, "open_zarr", True, "item", id="before-opening"),
        pytest.param(xr, "open_zarr", False, "item", id="after-opening"),
        pytest.param(files, "map_shard", True, "traces", id="before-mapping"),
        pytest.param(zarr, "open_array", True, "time_s", id="before-a-small-array"),
        pytest.param(zarr, "open_array", False, "time_s", id="between-metadata-and-chunk"),
    ],
)
def test_a_change_while_something_is_opened_is_said(
    write_store, make_record, monkeypatch, change, owner, name, before, read
):
    store = write_store(make_record("a"), make_record("b"))

    def act():
        with StoreWriter(store.path) as writer:
            CHANGES[change](writer, make_record("a", seed=9))

    during(monkeypatch, owner, name, act, before=before)
    with pytest.raises(StoreError, match=TOLD):
        READS[read](store)


@pytest.mark.parametrize(("name", "read"), [("read_tables", "presentations_of"), ("read_table", "digests_of")])
def test_a_table_that_goes_before_it_is_read_is_said(write_store, make_record, monkeypatch, name, read):
    from poyodata.store import reader

    store = write_store(make_record("a"), make_record("b"))

    def act():
        with StoreWriter(store.path) as writer:
            writer.remove(["a"])

    during(monkeypatch, reader, name, act, before=True)
    with pytest.raises(StoreError, match=TOLD):
        READS[read](store)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dff", "x_um", "mask_px", "running_speed"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_opened_before_a_change_gives_no_fill_values(write_store, make_record, change, name):
    store = write_store(make_record("a"), make_record("b"))
    before = store["a"]
    with StoreWriter(store.path) as writer:
        CHANGES[change](writer, make_record("a", seed=9))
    with pytest.raises(StoreError, match="was updated or removed since it was opened"):
        before[name].to_numpy()


def test_a_lost_file_gives_no_fill_values(write_store, make_record):
    store = write_store(make_record("a"))
    (store.path / "sessions/a/dff/c/0/0").unlink()
    with pytest.raises(StoreError, match="or the file is lost"):
        store["a"]["dff"][:10].to_numpy()
    assert len(store["a"]["x_um"])
