"""A store at a URL is the store: same tables, same traces, fetched in parts, and never from a stale cache."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from poyodata.errors import StoreError, UsageError
from poyodata.store import StoreWriter, open_store
from tests.store.conftest import make_record
from tests.web import Web

N_FRAMES, N_NEURONS = 20_000, 50
BLOCK_BYTES = 1024 * N_NEURONS * 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with ``allen.zarr``: a long recording with further traces, and a short one."""
    folder = tmp_path_factory.mktemp("remote")
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("long", n_frames=N_FRAMES, n_neurons=N_NEURONS), traces=("dff", "raw"))
        writer.add(make_record("short", donor_id="m2"))
    return folder


@pytest.fixture
def local(written):
    return open_store(written / "allen.zarr")


@pytest.fixture
def serve(written):
    """Start a web server over the written store, or another folder."""
    started = []

    def start(folder=written, **options):
        started.append(Web(folder, **options))
        return started[-1]

    yield start
    for web in started:
        web.close()


@pytest.fixture
def opened(serve, tmp_path):
    """The written store through the web, with a cache of its own; and the server."""

    def start(folder=None, cache="cache", **options):
        web = serve(**({"folder": folder} if folder else {}), **options)
        return open_store(f"{web.url}/allen.zarr", cache=tmp_path / cache), web

    return start


TABLES = ("sessions", "neurons", "cells", "presentations", "epochs", "segments", "blocks", "parts")


def test_is_the_same_store(opened, local):
    store, web = opened()
    assert store.path == f"{web.url}/allen.zarr"
    assert [what for what, *_ in web.asked] == ["GET /allen.zarr/zarr.json", "GET /allen.zarr/tables/sessions.parquet"]
    assert store.digest == local.digest
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(store, name), getattr(local, name))
    pd.testing.assert_frame_equal(store.presentations_of("short"), local.presentations_of("short"))
    pd.testing.assert_frame_equal(store.digests_of("long"), local.digests_of("long"))
    for name in ("dff", "raw"):
        np.testing.assert_array_equal(np.asarray(store.traces("long", name)), local.traces("long", name))
    np.testing.assert_array_equal(store.time_s("short"), local.time_s("short"))
    np.testing.assert_array_equal(store.signal("short", "running_speed"), local.signal("short", "running_speed"))
    for ours, theirs in zip(store.masks("short"), local.masks("short"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(store.max_projection("long"), local.max_projection("long"))
    np.testing.assert_array_equal(np.asarray(store.movie("natural_movie_one")), local.movie("natural_movie_one"))
    assert not web.sent("allen.zarr/statistics")[0]
    for bad, message in [
        (lambda: store["lnog"], "did you mean 'long'"),
        (lambda: store.traces("long", "rw"), "did you mean 'raw'"),
        (lambda: store.signal("long", "running_sped"), "did you mean 'running_speed'"),
    ]:
        with pytest.raises(UsageError, match=message):
            bad()


def test_part_of_a_recording_is_fetched_once(opened, local):
    store, web = opened()
    traces = store.traces("long")
    assert (traces.shape, traces.dtype, traces.ndim, len(traces)) == ((N_FRAMES, N_NEURONS), np.float32, 2, N_FRAMES)
    assert web.sent("dff/c") == (0, 0)
    # 1,000 frames lie in two blocks: one request.
    np.testing.assert_array_equal(traces[5000:6000], local.traces("long")[5000:6000])
    assert web.sent("dff/c") == (1, 2 * BLOCK_BYTES)
    web.asked.clear()
    np.testing.assert_array_equal(traces[5000:6000, 3], local.traces("long")[5000:6000, 3])
    assert web.asked == []
    # Neighbours are joined; what is here is left out.
    traces[4000:8000]
    assert web.sent("dff/c") == (2, (1 + 2) * BLOCK_BYTES)
    # The whole of it: the rest. Then it is a map like that of a local store.
    whole = np.asarray(traces)
    assert web.sent("dff/c")[1] == (20 - 2) * BLOCK_BYTES
    assert not whole.flags.writeable
    web.asked.clear()
    assert np.shares_memory(np.asarray(traces), whole)
    np.testing.assert_array_equal(whole, local.traces("long"))
    assert web.asked == []


def test_cache_outlives_the_process(opened, written, tmp_path, local):
    store, web = opened()
    part = store.traces("long")[:3000]
    store.neurons, store.presentations  # noqa: B018 - read now
    web.asked.clear()
    again = open_store(store.path, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.traces("long")[:3000], part)
    pd.testing.assert_frame_equal(again.neurons, local.neurons)
    pd.testing.assert_frame_equal(again.presentations, local.presentations)
    asked = [what.removeprefix("GET /allen.zarr/") for what, *_ in web.asked if what.startswith("GET")]
    assert asked == ["zarr.json", "tables/sessions.parquet"]


KEYS = [
    pytest.param(7, id="integer"),
    pytest.param(-1, id="negative"),
    pytest.param(np.int64(3000), id="numpy-integer"),
    pytest.param(slice(None), id="all"),
    pytest.param(slice(1020, 1030), id="across-a-block"),
    pytest.param(slice(15_000, 100, -3000), id="backwards"),
    pytest.param(slice(5, 5), id="nothing"),
    pytest.param((slice(2000, 2100), 4), id="one-neuron"),
    pytest.param((slice(2000, 2100), [4, 2, 4]), id="neurons"),
    pytest.param(([19_999, 0, 5000],), id="frames"),
    pytest.param(np.array([4000, 3]), id="frame-array"),
    pytest.param(np.arange(N_FRAMES) % 6000 == 1, id="mask"),
    pytest.param(([19_999, 0], [1, 2]), id="points"),
    pytest.param((Ellipsis, 3), id="ellipsis"),
    pytest.param((None, 3), id="new-axis"),
    pytest.param((), id="empty-tuple"),
    pytest.param(np.array([[1, 2], [3, 19_000]]), id="frame-table"),
]


@pytest.mark.parametrize("key", KEYS)
def test_indexing_is_numpys(opened, local, key):
    store, _ = opened()
    ours, theirs = store.traces("long")[key], local.traces("long")[key]
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_indexing_outside_is_an_index_error(opened):
    store, web = opened()
    with pytest.raises(IndexError, match="out of bounds"):
        store.traces("short")[2500]
    assert web.sent("dff/c") == (0, 0)


def test_dataset_is_lazy(opened, local):
    store, web = opened()
    dataset = store["long"]
    assert web.sent("/c/0/0") == (2, web.sent("mask_px/c/0/0")[1] + web.sent("max_projection/c/0/0")[1])
    web.asked.clear()
    part = dataset.dff.isel(time=[19_000, 20], neuron=[3, 1])
    np.testing.assert_array_equal(part.values, local.traces("long")[[19_000, 20]][:, [3, 1]])
    assert web.sent() == (2, 2 * BLOCK_BYTES)
    assert dataset.dff.encoding["preferred_chunks"] == {"time": 1024, "neuron": N_NEURONS}
    chunked = dataset.chunk()
    np.testing.assert_array_equal(chunked.raw.mean("time").values, local["long"].raw.mean("time").values)
    xr.testing.assert_identical(dataset.load(), local["long"].load())
    assert list(dataset.variables) == list(local["long"].variables)


def test_pickles_by_url(opened, tmp_path, local):
    store, web = opened()
    traces = store.traces("long")
    traces[:10]
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert again.digest == local.digest
    web.asked.clear()
    again.traces("long")[:10]
    copy = pickle.loads(pickle.dumps(traces))  # noqa: S301 - our own
    np.testing.assert_array_equal(copy[:2000], local.traces("long")[:2000])
    assert web.sent("/c/0/0") == (1, BLOCK_BYTES)
    dataset = pickle.loads(pickle.dumps(store["long"]))  # noqa: S301 - our own
    np.testing.assert_array_equal(dataset.dff[:10].values, local.traces("long")[:10])


def test_server_without_ranges(opened, local, recwarn):
    store, web = opened(ranges=False)
    np.testing.assert_array_equal(store.traces("long")[5000:6000], local.traces("long")[5000:6000])
    assert web.sent("dff/c")[0] == 1
    np.testing.assert_array_equal(np.asarray(store.traces("long")), local.traces("long"))
    assert web.sent("dff/c")[0] == 1
    np.testing.assert_array_equal(np.asarray(store.traces("long", "raw")), local.traces("long", "raw"))
    (said,) = recwarn
    assert str(said.message).startswith(f"the server of {store.path} sends whole files when asked for parts of them")


# -- changes at the server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("etags", [True, False], ids=["etag", "time-only"])
def test_changed_store_is_not_read_from_the_cache(opened, tmp_path, etags):
    folder = tmp_path / "served"
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("a"))
    old, _ = opened(folder, etags=etags)
    assert set(old.neurons["session_id"]) == {"a"}
    old.traces("a")[:]
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("b"))
    new = open_store(old.path, cache=tmp_path / "cache")
    assert new.session_ids == ("a", "b")
    assert set(new.neurons["session_id"]) == {"a", "b"}
    assert set(new.presentations["session_id"]) == {"a", "b"}
    assert old.session_ids == ("a",)


def test_store_made_anew_at_the_same_url(opened, tmp_path):
    folder = tmp_path / "served"
    for seed in (0, 1):
        shutil.rmtree(folder, ignore_errors=True)
        with StoreWriter(folder / "allen.zarr") as writer:
            writer.add(make_record("a", seed=seed))
        if seed == 0:
            old, _ = opened(folder)
            before = np.array(old.traces("a"))
            old.time_s("a"), old.presentations
    new, here = open_store(old.path, cache=tmp_path / "cache"), open_store(folder / "allen.zarr")
    np.testing.assert_array_equal(np.asarray(new.traces("a")), here.traces("a"))
    assert not np.array_equal(before, here.traces("a"))
    np.testing.assert_array_equal(new.time_s("a"), here.time_s("a"))
    pd.testing.assert_frame_equal(new.presentations, here.presentations)
    # The store as it was opened first is no more; what it had read it still has.
    np.testing.assert_array_equal(old.traces("a")[:], before)


def test_same_content_in_other_bytes(opened, tmp_path):
    """The same recordings written anew, by a Zarr that compresses otherwise."""
    folder = tmp_path / "served"
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("a"))
    store, _ = opened(folder)
    store.time_s("a")
    group, digests = folder / "allen.zarr/sessions/a", folder / "allen.zarr/tables/digests/a.parquet"
    _rewrite_compressed(group / "running_speed", digests)
    again = open_store(store.path, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.signal("a", "running_speed")[0], np.arange(9.0))


def _rewrite_compressed(array, digests):
    import xxhash
    import zarr

    from poyodata.store.commit import read_table, replace_table

    old = zarr.open_array(str(array), mode="r")
    values, names, attributes = old[:], old.metadata.dimension_names, dict(old.attrs)
    shutil.rmtree(array)
    new = zarr.create_array(
        str(array),
        shape=values.shape,
        chunks=values.shape,
        dtype=values.dtype,
        dimension_names=names,
        attributes=attributes,
        compressors=zarr.codecs.GzipCodec(),
    )
    new[:] = values
    table = read_table(digests)[0]
    for file in (path for path in array.rglob("*") if path.is_file()):
        name = file.relative_to(array.parent).as_posix()
        table.loc[table["name"] == name, "digest"] = xxhash.xxh3_64_hexdigest(file.read_bytes())
    replace_table(digests, table)


@pytest.mark.parametrize("change", ["update", "remove"])
def test_recording_that_was_changed_since_opening(opened, tmp_path, change):
    folder = tmp_path / "served"
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("a", n_frames=5000))
        writer.add(make_record("b"))
    store, _ = opened(folder)
    traces = store.traces("a")
    first = np.array(traces[:10])
    with StoreWriter(folder / "allen.zarr") as writer:
        if change == "update":
            writer.add(make_record("a", seed=1), replace=True)
        else:
            writer.remove(["a"])
    np.testing.assert_array_equal(traces[:10], first)
    with pytest.raises(StoreError, match="dff/c/0/0 is no longer there; the store was changed since it was opened"):
        traces[4000:]
    with pytest.raises(StoreError, match=r"recording 'a' of http.* was updated or removed since this store was opened"):
        store.time_s("a")
    again = open_store(store.path, cache=tmp_path / "cache")
    assert ("a" in again) == (change == "update")
    np.testing.assert_array_equal(store.time_s("b"), again.time_s("b"))


# -- trouble on the way ----------------------------------------------------------------------------------------------


def _damaged(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def _once(part, what):
    return lambda path, count, content: what(content) if part in path and count == 1 else None


def _always(part, what):
    return lambda path, count, content: what(content) if part in path else None


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(_damaged, id="damaged"),
        pytest.param(lambda content: content[:-7], id="short"),
        pytest.param(lambda content: "drop", id="dropped"),
        pytest.param(lambda content: 503, id="busy"),
    ],
)
@pytest.mark.parametrize(
    "part", ["dff/c/0/0", "tables/sessions.parquet", "tables/neurons.parquet", "digests/long", "time/c/0"]
)
def test_trouble_once_is_passed(opened, local, monkeypatch, part, what):
    monkeypatch.setattr("poyodata.store.remote._PAUSES_S", (0.0, 0.0))
    store, _ = opened(trouble=_once(part, what))
    np.testing.assert_array_equal(store.traces("long")[:5000], local.traces("long")[:5000])
    np.testing.assert_array_equal(store.time_s("long"), local.time_s("long"))
    pd.testing.assert_frame_equal(store.neurons, local.neurons)


@pytest.mark.parametrize(
    ("part", "what", "kind", "message"),
    [
        pytest.param("dff/c/0/0", _damaged, StoreError, "dff/c/0/0: block 5 .* another digest", id="block-damaged"),
        pytest.param("dff/c/0/0", lambda _: "drop", StoreError, r"dff/c/0/0 could not be read \(", id="block-dropped"),
        pytest.param("dff/c/0/0", lambda _: b"x", StoreError, "1 bytes came, .* were asked for", id="block-short"),
        pytest.param("dff/c/0/0", lambda _: 403, UsageError, "may not be read .*give credentials", id="block-denied"),
        pytest.param("time/c/0", _damaged, StoreError, "time/c/0 came twice with another digest", id="file-damaged"),
        pytest.param("time/c/0", lambda _: 500, StoreError, "time/c/0 could not be read", id="file-failing"),
        pytest.param("neurons.parquet", _damaged, StoreError, "neurons.parquet came twice with", id="table-damaged"),
        pytest.param("sessions.parquet", _damaged, StoreError, "sessions.parquet came twice", id="commit-damaged"),
        pytest.param("zarr.json", lambda _: b"{}", StoreError, "is not a poyodata store", id="no-store"),
        pytest.param("zarr.json", lambda _: 401, UsageError, "may not be read .*give credentials", id="denied"),
    ],
)
def test_lasting_trouble_is_one_sentence(opened, local, monkeypatch, tmp_path, part, what, kind, message):
    monkeypatch.setattr("poyodata.store.remote._PAUSES_S", (0.0, 0.0))

    def read(**options):
        store, web = opened(**options)
        store.neurons, store.time_s("long")
        return store.traces("long")[5000:6000], web

    with pytest.raises(kind, match=message) as raised:
        read(trouble=_always(part, what))
    assert "\n" not in str(raised.value)
    # Nothing wrong was kept.
    np.testing.assert_array_equal(read()[0], local.traces("long")[5000:6000])


def test_retries_are_bounded(opened, monkeypatch):
    monkeypatch.setattr("poyodata.store.remote._PAUSES_S", (0.0, 0.0))
    store, web = opened(trouble=_always("dff/c", lambda _: 500))
    with pytest.raises(StoreError):
        store.traces("long")[0]
    assert web.sent("dff/c")[0] == 3


def test_missing_files_are_named(opened, tmp_path, written):
    folder = tmp_path / "served"
    shutil.copytree(written, folder)
    (folder / "allen.zarr/tables/neurons.parquet").unlink()
    (folder / "allen.zarr/tables/digests/short.parquet").unlink()
    store, _ = opened(folder)
    with pytest.raises(StoreError, match=r"the table http.*/allen\.zarr/tables/neurons\.parquet is missing"):
        _ = store.neurons
    with pytest.raises(StoreError, match=r"allen\.zarr/tables/digests/short\.parquet is missing; restore it"):
        store.traces("short")
    (folder / "allen.zarr/tables/sessions.parquet").unlink()
    with pytest.raises(StoreError, match=r"sessions\.parquet is missing; the store was not copied whole"):
        open_store(store.path, cache=tmp_path / "other")


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        pytest.param("{web}/alen.zarr", UsageError, r"^no store at http://127\.0\.0\.1:\d+/alen\.zarr", id="path"),
        pytest.param("http://127.0.0.1:9/a.zarr", StoreError, "could not be read .*check the URL", id="no-server"),
        pytest.param("qq://lab/a.zarr", UsageError, "qq://lab/a.zarr cannot be opened .*qq.*expected a URL", id="kind"),
    ],
)
def test_what_cannot_be_opened(serve, monkeypatch, tmp_path, url, kind, message):
    monkeypatch.setattr("poyodata.store.remote._PAUSES_S", (0.0, 0.0))
    with pytest.raises(kind, match=message) as raised:
        open_store(url.format(web=serve().url), cache=tmp_path)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r"^s3:// needs a package .* not installed .*pip install 'poyodata\[remote\]'"):
        open_store("s3://lab/allen.zarr")


def test_other_format_version(serve, tmp_path, written):
    folder = tmp_path / "served"
    shutil.copytree(written, folder)
    file = folder / "allen.zarr/zarr.json"
    metadata = json.loads(file.read_text())
    metadata["attributes"]["format_version"] = 99
    file.write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=r"^the store http://.*/allen\.zarr has format version 99"):
        open_store(f"{serve(folder).url}/allen.zarr", cache=tmp_path)


def test_options_are_for_urls(written, tmp_path):
    with pytest.raises(UsageError, match="storage_options and cache are for a store at a URL"):
        open_store(written / "allen.zarr", cache=tmp_path)
    assert open_store(f"file://{written}/allen.zarr").path == written / "allen.zarr"


# -- the cache -------------------------------------------------------------------------------------------------------


def test_where_the_cache_is(serve, tmp_path, monkeypatch):
    web = serve()
    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "mine"))
    store = open_store(f"{web.url}/allen.zarr")
    store.traces("long")[0]
    (folder,) = (tmp_path / "mine" / "stores").iterdir()
    assert json.loads((folder / "store.json").read_text()) == {"url": store.path}
    assert store.statistics_folder == folder / "statistics"
    (blocks,) = folder.glob("recordings/*/blocks/dff")
    assert blocks.stat().st_size >= 20 * BLOCK_BYTES
    assert blocks.stat().st_blocks * 512 < 2 * BLOCK_BYTES


def test_emptied_while_open(opened, tmp_path, local):
    store, _ = opened()
    traces = store.traces("long")
    before = traces[:2000]
    shutil.rmtree(tmp_path / "cache")
    np.testing.assert_array_equal(traces[:5000], local.traces("long")[:5000])
    np.testing.assert_array_equal(before, local.traces("long")[:2000])
    pd.testing.assert_frame_equal(store.neurons, local.neurons)
    np.testing.assert_array_equal(store.time_s("long"), local.time_s("long"))


def test_foreign_file_in_the_place_of_blocks(opened, tmp_path, local):
    store, _ = opened()
    store.traces("long")[0]
    (blocks,) = tmp_path.glob("cache/stores/*/recordings/*/blocks/dff")
    blocks.write_bytes(b"\1" * 100)
    again = open_store(store.path, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.traces("long")[:], local.traces("long"))


def _flip(file, at):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("at", [100, 3 * BLOCK_BYTES + 7, 20 * BLOCK_BYTES], ids=["first", "later", "mark"])
@pytest.mark.parametrize("how", [lambda traces: traces[:5000], np.asarray], ids=["slice", "whole"])
def test_block_that_the_disk_changed_is_fetched_again(opened, tmp_path, local, at, how):
    store, web = opened()
    np.asarray(store.traces("long"))
    (blocks,) = tmp_path.glob("cache/stores/*/recordings/*/blocks/dff")
    _flip(blocks, at)
    web.asked.clear()
    traces = open_store(store.path, cache=tmp_path / "cache").traces("long")
    np.testing.assert_array_equal(how(traces), how(local.traces("long")))
    assert web.sent("dff/c") == (1, BLOCK_BYTES)
    how(traces)
    assert web.sent("dff/c") == (1, BLOCK_BYTES)
    # The cache was mended with it.
    again = open_store(store.path, cache=tmp_path / "cache").traces("long")
    np.testing.assert_array_equal(again, local.traces("long"))
    assert web.sent("dff/c") == (1, BLOCK_BYTES)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-9]), id="short"),
        pytest.param(lambda file: _flip(file, file.stat().st_size // 2), id="flip"),
    ],
)
@pytest.mark.parametrize(
    "part",
    [
        "tables/neurons.parquet",
        "tables/neurons.parquet.identity",
        "recordings/*/digests.parquet",
        "recordings/*/presentations.parquet",
        "recordings/*/session/time/c/0",
        "recordings/*/session/time/zarr.json",
        "recordings/*/session/dff/zarr.json",
    ],
)
def test_damaged_file_in_the_cache_is_fetched_again(opened, tmp_path, local, part, damage):
    def read(store):
        pd.testing.assert_frame_equal(store.neurons, local.neurons)
        pd.testing.assert_frame_equal(store.presentations, local.presentations)
        for session_id in store.session_ids:
            np.testing.assert_array_equal(store.time_s(session_id), local.time_s(session_id))
            np.testing.assert_array_equal(store.traces(session_id)[:9], local.traces(session_id)[:9])

    store, web = opened()
    read(store)
    files = list(tmp_path.glob(f"cache/stores/*/{part}"))
    assert files
    for file in files:
        damage(file)
    read(open_store(store.path, cache=tmp_path / "cache"))
    web.asked.clear()
    read(open_store(store.path, cache=tmp_path / "cache"))
    got = [what.removeprefix("GET /allen.zarr/") for what, *_ in web.asked if what.startswith("GET")]
    assert got == ["zarr.json", "tables/sessions.parquet"]


def test_cache_that_cannot_be_written(serve, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the cache .* of remote stores cannot be written .*POYODATA_CACHE"):
        open_store(f"{serve().url}/allen.zarr", cache=tmp_path / "file")


READ = """
import sys, numpy as np
from poyodata.store import open_store
traces = open_store(sys.argv[1], cache=sys.argv[2]).traces("long")
print("reading", flush=True)
np.asarray(traces)
print("read", flush=True)
"""


def test_reader_killed_in_the_middle_leaves_no_wrong_block(serve, tmp_path, local, monkeypatch):
    monkeypatch.setattr("poyodata.store.remote_blocks._REQUEST_BYTES", BLOCK_BYTES)
    child = READ.replace("import sys, numpy as np", "import sys, numpy as np, poyodata.store.remote_blocks as b")
    child = child.replace("from poyo", f"b._REQUEST_BYTES, b.IN_FLIGHT = {BLOCK_BYTES}, 2\nfrom poyo", 1)
    running = []

    def kill(path, count, content):
        if "dff/c" in path and count == 7:
            running[0].kill()

    web = serve(trouble=kill)
    url = f"{web.url}/allen.zarr"
    running.append(
        subprocess.Popen([sys.executable, "-c", child, url, tmp_path / "cache"], stdout=subprocess.PIPE, text=True)
    )
    assert running[0].communicate()[0].split() == ["reading"]
    web.trouble = None
    web.asked.clear()
    traces = open_store(url, cache=tmp_path / "cache").traces("long")
    assert 0 < traces.fetched < 1
    np.testing.assert_array_equal(np.asarray(traces), local.traces("long"))
    assert 0 < web.sent("dff/c")[1] < 20 * BLOCK_BYTES


@pytest.mark.slow
def test_two_processes_share_a_cache(serve, tmp_path, local):
    web = serve()
    url = f"{web.url}/allen.zarr"
    command = [sys.executable, "-c", READ, url, tmp_path / "cache"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].split() for process in both] == [["reading", "read"]] * 2
    web.asked.clear()
    store = open_store(url, cache=tmp_path / "cache")
    np.testing.assert_array_equal(np.asarray(store.traces("long")), local.traces("long"))
    assert web.sent("dff/c") == (0, 0)


def test_threads_fetch_each_block_once(opened, local):
    from concurrent.futures import ThreadPoolExecutor

    store, web = opened()
    traces = store.traces("long")
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: traces[at : at + 2500], range(0, N_FRAMES, 2500)))
    np.testing.assert_array_equal(np.concatenate(parts), local.traces("long"))
    assert web.sent("dff/c")[1] == 20 * BLOCK_BYTES


def test_forked_process_reads(opened, local):
    import os

    store, _ = opened()
    traces = store.traces("long")
    child = os.fork()
    if child == 0:  # no assertion here: pytest must not go on in the child
        os._exit(0 if np.array_equal(traces[:5000], local.traces("long")[:5000]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_path", [False, True], ids=["text", "path"])
def test_urls_are_not_written_to(as_path):
    from pathlib import Path

    url = "s3://lab/allen.zarr"
    with pytest.raises(UsageError, match=r"^s3://lab/allen.zarr is a URL, and a store is written to a folder of this"):
        StoreWriter(Path(url) if as_path else url)
    if as_path:
        with pytest.raises(UsageError, match="was a URL before it was made a Path; give it as text"):
            open_store(Path(url))


@pytest.mark.parametrize("as_path", [False, True], ids=["text", "path"])
def test_a_file_url_is_the_folder_it_names(monkeypatch, tmp_path, as_path):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    url = f"file://{tmp_path}/elsewhere/new.zarr"
    with StoreWriter(Path(url) if as_path else url) as writer:
        writer.add(make_record("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert open_store(Path(url) if as_path else url).path == tmp_path / "elsewhere" / "new.zarr"


def test_command_line(serve, written, monkeypatch, tmp_path, make_record):
    from typer.testing import CliRunner

    from poyodata.cli import app

    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "cache"))
    url = f"{serve().url}/allen.zarr"
    done = CliRunner().invoke(app, ["info", url])
    assert done.exit_code == 0, done.output
    assert url in done.stdout
    assert "Sst-IRES-Cre" in done.stdout
    refused = CliRunner().invoke(app, ["ingest", str(written), "--out", "s3://lab/allen.zarr"])
    assert isinstance(refused.exception, UsageError)
    with StoreWriter(tmp_path / "new.zarr"):
        pass
    empty = CliRunner().invoke(app, ["info", str(tmp_path / "new.zarr")])
    assert empty.exit_code == 0
    assert f"The store is empty. Next: poyodata ingest SOURCE --out {tmp_path / 'new.zarr'}" in empty.stdout


@pytest.mark.parametrize(
    ("command", "what"),
    [
        pytest.param(["merge", "URL", "--out", "m.zarr"], "merged from", id="merge"),
        pytest.param(["merge", "HERE", "--out", "URL"], "merged into", id="merge-out"),
        pytest.param(["verify", "URL"], "verified", id="verify"),
        pytest.param(["remove", "URL", "short", "--yes"], "changed", id="remove"),
        pytest.param(["migrate", "URL"], "migrated", id="migrate"),
        pytest.param(["annotate", "URL", "--remove", "places"], "annotated", id="annotate"),
    ],
)
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/s.zarr", "s3://lab/s.zarr"], ids=["http", "s3"])
def test_commands_that_need_a_folder_refuse_urls(written, monkeypatch, tmp_path, command, what, url):
    from typer.testing import CliRunner

    from poyodata.cli import app

    monkeypatch.chdir(tmp_path)
    here = {"URL": url, "HERE": str(written / "allen.zarr")}
    refused = CliRunner().invoke(app, [here.get(part, part) for part in command])
    assert isinstance(refused.exception, UsageError), refused.output
    assert str(refused.exception) == (
        f"{url} is a URL, and a store at a URL can be read but not {what}: copy it to a folder of this machine and "
        "give that."
    )
    assert not list(tmp_path.iterdir())


def test_merge_refuses_urls_that_became_paths(tmp_path):
    from pathlib import Path

    from poyodata.store.merge import merge_stores

    with pytest.raises(UsageError, match=r"^s3://lab/s\.zarr is a URL, .* can be read but not merged from"):
        merge_stores(tmp_path / "m.zarr", [Path("s3://lab/s.zarr")])


@pytest.mark.slow
def test_commands_that_read_take_urls(serve, written, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from poyodata.cli import app

    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "cache"))
    url, here = f"{serve().url}/allen.zarr", f"file://{written}/allen.zarr"
    for command in (
        ["annotate", url, "--list"],
        ["export", "numpy", url, "--sessions", "short", "--out", str(tmp_path / "short")],
        ["verify", here],
        ["merge", here, "--out", f"file://{tmp_path}/merged.zarr"],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    assert open_store(tmp_path / "merged.zarr").digest == open_store(url).digest


def test_old_format_at_a_url_is_migrated_where_it_lies():
    from poyodata.store.layout import FORMAT_VERSION, require_version

    with pytest.raises(StoreError, match=r"run `poyodata migrate` on its folder where it lies"):
        require_version("https://host/allen.zarr", FORMAT_VERSION - 1)
    with pytest.raises(StoreError, match=r"with `poyodata migrate allen\.zarr`"):
        require_version("allen.zarr", FORMAT_VERSION - 1)


def test_annotations_come_along(opened, tmp_path):
    from poyodata.store.annotations import annotate

    folder = tmp_path / "served"
    with StoreWriter(folder / "allen.zarr") as writer:
        writer.add(make_record("a"))
    annotate(folder / "allen.zarr", pd.DataFrame({"neuron_id": ["a_100"], "label": ["place"]}), "places")
    store, web = opened(folder)
    pd.testing.assert_frame_equal(store.neurons, open_store(folder / "allen.zarr").neurons)
    assert store.neurons["label"].notna().sum() == 1
    web.asked.clear()
    assert len(open_store(store.path, cache=tmp_path / "cache").neurons)
    assert web.sent("annotations") == (0, 0)
