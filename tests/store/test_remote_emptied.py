"""The cache of a remote store goes while it is read from: what is read is right all the same. And half answers."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from poyodata.errors import StoreError
from poyodata.store import StoreWriter, open_store, reader, remote_files
from poyodata.store.kept_stores import clear_kept_stores, kept_stores, trim_kept_stores
from poyodata.store.remote_blocks import RemoteArray
from poyodata.store.remote_cache import in_folder
from tests.store.conftest import make_record
from tests.store.test_remote import _rewrite_compressed
from tests.web import Web

N_FRAMES, N_NEURONS = 6_000, 20
BLOCK_BYTES = 1024 * N_NEURONS * 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emptied")
    with StoreWriter(folder / "s.zarr") as writer:
        writer.add(make_record("a", n_frames=N_FRAMES, n_neurons=N_NEURONS), traces=("dff", "raw"))
    return folder


@pytest.fixture
def local(written):
    return open_store(written / "s.zarr")


@pytest.fixture
def web(written):
    with Web(written) as web:
        yield web


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(web, cache):
    return open_store(f"{web.url}/s.zarr")


EMPTY = {
    "trim": lambda cache: trim_kept_stores(0, cache),
    "clear": lambda cache: clear_kept_stores(cache=cache),
    "rmtree": lambda cache: shutil.rmtree(cache, ignore_errors=True),
}


@pytest.mark.parametrize("empty", EMPTY)
def test_a_dataset_has_its_values_when_the_cache_went_since(store, local, cache, empty):
    dataset = store["a"]
    EMPTY[empty](cache)
    assert not list(cache.rglob("*.parquet"))
    xr.testing.assert_identical(dataset.load(), local["a"].load())
    for name, variable in dataset.variables.items():
        assert variable.dtype == local["a"][name].dtype, name


READS = {
    "neurons": lambda store: store.neurons,
    "epochs": lambda store: store.epochs,
    "presentations": lambda store: store.presentations,
    "presentations_of": lambda store: store.presentations_of("a"),
    "digests_of": lambda store: store.digests_of("a"),
    "blocks": lambda store: store.blocks,
    "time_s": lambda store: store.time_s("a"),
    "signal": lambda store: store.signal("a", "running_speed")[0],
    "masks": lambda store: np.concatenate(store.masks("a")),
    "max_projection": lambda store: store.max_projection("a"),
    "movie": lambda store: np.asarray(store.movie("natural_movie_one")),
    "traces": lambda store: np.asarray(store.traces("a")),
    "dataset": lambda store: store["a"].x_um.values,
}


def same(ours, theirs):
    if isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("what", READS)
def test_the_cache_goes_between_fetching_and_reading(store, local, cache, monkeypatch, what):
    gone = []

    def emptied_before(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **options):
            gone.append(name)
            shutil.rmtree(cache, ignore_errors=True)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    expected = READS[what](local)
    for owner, name in (
        (reader, "read_table"),
        (reader, "read_tables"),
        (remote_files, "read_table"),
        (zarr, "open_array"),
        (xr, "open_zarr"),
    ):
        emptied_before(owner, name)
    same(READS[what](store), expected)
    assert gone


@pytest.mark.slow
def test_reads_beside_trims(store, local, cache):
    done, failed = threading.Event(), []

    def trim():
        while not done.wait(0.01):
            try:
                trim_kept_stores(0)
                kept_stores()
            except Exception as error:
                failed.append(error)

    trimming = [threading.Thread(target=trim) for _ in range(2)]
    expected = {what: read(local) for what, read in READS.items()}
    whole = local["a"].load()
    for thread in trimming:
        thread.start()
    try:
        for _ in range(2):
            again = open_store(store.path)
            for what, read in READS.items():
                same(read(again), expected[what])
            xr.testing.assert_identical(again["a"].load(), whole)
    finally:
        done.set()
        for thread in trimming:
            thread.join()
    assert not failed


def test_rows_are_those_that_were_brought(store, local, cache, monkeypatch):
    """Another thread that fetches after the cache went maps a new file, in which the rows of this one are not."""
    traces = store.traces("a")
    real = RemoteArray._bring

    def then_another(self, wanted):
        monkeypatch.setattr(RemoteArray, "_bring", real)
        rows = real(self, wanted)
        shutil.rmtree(cache)
        np.testing.assert_array_equal(self[5000:5010], local.traces("a")[5000:5010])
        return rows

    monkeypatch.setattr(RemoteArray, "_bring", then_another)
    np.testing.assert_array_equal(traces[:1000], local.traces("a")[:1000])


def test_the_cache_goes_in_the_middle_of_a_long_read(store, local, cache, web, monkeypatch):
    monkeypatch.setattr("poyodata.store.remote_blocks._REQUEST_BYTES", BLOCK_BYTES)
    monkeypatch.setattr("poyodata.store.remote_blocks.IN_FLIGHT", 1)
    traces = store.traces("a")

    def empty(path, count, content):
        if "dff/c" in path:
            shutil.rmtree(cache, ignore_errors=True)

    web.trouble = empty
    np.testing.assert_array_equal(np.asarray(traces), local.traces("a"))
    assert web.sent("dff/c") == (6, 6 * BLOCK_BYTES)  # each block once, however often the cache goes


def test_compressed_traces_are_decoded_whole(tmp_path, cache, monkeypatch):
    with StoreWriter(tmp_path / "served/s.zarr") as writer:
        writer.add(make_record("a"))
    served = tmp_path / "served/s.zarr"
    expected = np.array(open_store(served).traces("a"))
    _rewrite_compressed(served / "sessions/a/dff", served / "tables/digests/a.parquet")
    monkeypatch.setenv("POYODATA_SCRATCH", str(tmp_path / "scratch"))
    real = zarr.open_array

    def emptied(*arguments, **options):
        array = real(*arguments, **options)
        if "cache" in str(arguments[0]):
            monkeypatch.setattr(zarr, "open_array", real)
            shutil.rmtree(cache)
        return array

    with Web(tmp_path / "served") as web:
        store = open_store(f"{web.url}/s.zarr")
        monkeypatch.setattr(zarr, "open_array", emptied)
        with pytest.warns(UserWarning, match="cannot be mapped in place"):
            np.testing.assert_array_equal(np.asarray(store.traces("a")), expected)
    assert zarr.open_array is real


def test_a_folder_that_goes_again_and_again_is_made_again(tmp_path):
    file, tries = tmp_path / "one/two/file", []

    def write():
        tries.append(file)
        if len(tries) < 5:
            shutil.rmtree(tmp_path / "one")
        file.write_text("here")
        return "done"

    assert in_folder(file, write) == "done"
    assert (len(tries), file.read_text()) == (5, "here")


def test_what_comes_after_the_cache_went_says_its_store(store):
    trim_kept_stores(0)
    store.time_s("a")
    assert [one.url for one in kept_stores()] == [store.path]


# -- half answers, and other ones ------------------------------------------------------------------------------------

HALF = {
    "cut": lambda content: content[: len(content) // 2],
    "web-page": lambda content: b"<!DOCTYPE html><title>Log in</title>",
    "nothing": lambda content: b"",
}


@pytest.mark.parametrize("what", HALF)
@pytest.mark.parametrize("part", ["/s.zarr/zarr.json", "sessions.parquet"])
def test_a_half_answer_is_asked_for_again(web, cache, local, part, what):
    web.trouble = lambda path, count, content: HALF[what](content) if part in path and count == 1 else None
    assert open_store(f"{web.url}/s.zarr").digest == local.digest


@pytest.mark.parametrize(("what", "came"), [("cut", r"[\d,]+ bytes"), ("web-page", "36 bytes, a web page")])
@pytest.mark.parametrize(
    ("part", "advice"), [("/s.zarr/zarr.json", "Check the URL, and try again"), ("sessions.parquet", "Try again")]
)
def test_half_answers_are_said_to_be_the_servers(web, cache, part, advice, what, came):
    web.trouble = lambda path, count, content: HALF[what](content) if part in path else None
    message = rf"{part} came twice .*\({came}\): the server or the transfer sent something else or not all .*{advice}"
    with pytest.raises(StoreError, match=message) as raised:
        open_store(f"{web.url}/s.zarr")
    assert "ingest" not in str(raised.value)
    assert web.sent(part)[0] == 2
