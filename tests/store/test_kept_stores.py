"""What is kept of remote stores: said, cleared and brought down to a limit; a store that is open goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from poyodata.cli import app
from poyodata.errors import UsageError
from poyodata.store import StoreWriter, open_store
from poyodata.store.kept_stores import clear_kept_stores, kept_stores, trim_kept_stores
from poyodata.store.remote_cache import stores_folder
from tests.store.conftest import make_record
from tests.web import Web

N_FRAMES, N_NEURONS = 5_000, 40
TRACES_BYTES = 5 * 1024 * N_NEURONS * 4  # whole blocks


@pytest.fixture
def urls(tmp_path, monkeypatch):
    """Two stores at URLs, each with the recordings a and b."""
    for name in ("one", "two"):
        with StoreWriter(tmp_path / "served" / f"{name}.zarr") as writer:
            for session_id in ("a", "b"):
                writer.add(make_record(session_id, n_frames=N_FRAMES, n_neurons=N_NEURONS))
    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "cache"))
    web = Web(tmp_path / "served")
    yield [f"{web.url}/{name}.zarr" for name in ("one", "two")]
    web.close()


def read(url, session_id):
    """Fetch all of one recording, and say when: file systems keep time no finer than some milliseconds."""
    store = open_store(url)
    traces = np.array(store.traces(session_id))
    return store, traces


def age(seconds):
    """Everything that is kept was last used so long ago."""
    for path in stores_folder().rglob("*"):
        status = path.stat()
        os.utime(path, (status.st_atime, status.st_mtime - seconds))


def test_an_empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path / "none"))
    assert kept_stores() == []
    assert clear_kept_stores() == 0
    assert trim_kept_stores(0) == 0
    assert not (tmp_path / "none").exists()


def test_sizes_are_those_on_the_disk(urls):
    read(urls[0], "a")
    store, _ = read(urls[1], "a")
    store.traces("b")[:10]  # one block of five
    largest, other = kept_stores()
    assert (largest.url, largest.n_recordings, other.url, other.n_recordings) == (urls[1], 2, urls[0], 1)
    assert TRACES_BYTES < other.n_bytes < TRACES_BYTES + 200_000
    assert TRACES_BYTES // 5 <= largest.n_bytes - other.n_bytes < TRACES_BYTES // 2
    assert kept_stores(Path(os.environ["POYODATA_CACHE"])) == [largest, other]


@pytest.mark.parametrize("which", ["", "one"])
def test_clear(urls, which):
    opened = [read(url, "a") for url in urls]
    stranger = stores_folder() / "notes"
    stranger.mkdir()
    before = sum(one.n_bytes for one in kept_stores())
    freed = clear_kept_stores(f"{urls[0]}/" if which else "")
    left = kept_stores()
    assert [one.url for one in left] == ([urls[1]] if which else [])
    assert freed == before - sum(one.n_bytes for one in left)
    assert stranger.is_dir()
    assert not list(stores_folder().glob(".tmp-*"))
    for store, traces in opened:  # both go on; what is gone comes again
        np.testing.assert_array_equal(np.asarray(store.traces("a")), traces)
        assert len(store.traces("b")[:]) == N_FRAMES
        assert len(store.neurons) == 2 * N_NEURONS


def test_clear_refuses_a_store_of_which_nothing_is_kept(urls):
    read(urls[0], "a")
    with pytest.raises(UsageError, match=rf"^nothing is kept of {urls[0]}x: did you mean '{urls[0]}'"):
        clear_kept_stores(f"{urls[0]}x")
    assert len(kept_stores()) == 1


def test_trim_takes_what_was_not_used_for_longest(urls):
    read(urls[0], "a")
    age(300)
    read(urls[0], "b")
    age(200)
    read(urls[1], "a")
    age(100)
    open_store(urls[0]).traces("a")[:1]  # nothing is fetched, and yet it is used
    before = {one.url: one.n_bytes for one in kept_stores()}
    assert trim_kept_stores(10**12) == 0
    freed = trim_kept_stores(sum(before.values()) - 1)  # the oldest now is recording b of the first
    after = {one.url: one for one in kept_stores()}
    assert freed == sum(before.values()) - sum(one.n_bytes for one in after.values()) > TRACES_BYTES
    assert after[urls[0]].n_recordings == after[urls[1]].n_recordings == 1
    assert after[urls[1]].n_bytes == before[urls[1]]
    store = open_store(urls[0])
    assert store.traces("a").fetched == 1.0
    assert store.traces("b").fetched == 0.0


def test_trim_to_nothing(urls):
    for url in urls:
        read(url, "a")
    assert trim_kept_stores(0) > 2 * TRACES_BYTES
    assert kept_stores() == []
    with pytest.raises(UsageError, match="-1 bytes"):
        trim_kept_stores(-1)


def test_command(urls):
    def run(*arguments):
        done = CliRunner().invoke(app, ["cache", *arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    assert "0.0 MB kept of 0 stores" in run()
    read(urls[0], "a")
    assert urls[0] in run()
    said = json.loads(run("--json"))
    assert [one["url"] for one in said["stores"]] == [urls[0]]
    assert said["stores"][0]["recordings"] == 1
    assert "0.0 MB given back" in run("--limit-gb", "1")
    assert json.loads(run("--limit-gb", "0", "--json"))["freed_bytes"] > TRACES_BYTES
    read(urls[1], "a")
    assert "MB given back" in run("--clear", "--store", urls[1])
    assert kept_stores() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--clear", "--limit-gb", "1"], "one of --clear and --limit-gb", id="both"),
        pytest.param(["--store", "s3://lab/a.zarr"], "give both", id="store-alone"),
    ],
)
def test_command_refuses(arguments, message):
    refused = CliRunner().invoke(app, ["cache", *arguments])
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)
