"""A store in a bucket, with and without us; the bucket is moto's, on loopback."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from poyodata.errors import StoreError, UsageError
from poyodata.store import StoreWriter, open_store
from tests.store.conftest import make_record

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

URL = "s3://lab/stores/allen.zarr"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    path = tmp_path_factory.mktemp("s3") / "allen.zarr"
    with StoreWriter(path) as writer:
        writer.add(make_record("long", n_frames=12_000, n_neurons=40), traces=("dff", "raw"))
        writer.add(make_record("short", donor_id="m2"))
    return open_store(path)


@pytest.fixture(scope="module")
def options(local):
    """Storage options of a bucket that the store was copied to."""
    import s3fs

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "any", "secret": "any"}
    s3 = s3fs.S3FileSystem(**options)
    s3.mkdir("lab")
    s3.put(str(local.path), URL, recursive=True, ACL="public-read")
    s3.mkdir("empty")
    yield options
    server.stop()


def test_is_the_same_store(local, options, tmp_path):
    store = open_store(URL, options, cache=tmp_path)
    assert store.path == URL
    assert store.digest == local.digest
    for name in ("sessions", "neurons", "presentations", "epochs", "segments", "blocks", "parts", "cells"):
        pd.testing.assert_frame_equal(getattr(store, name), getattr(local, name))
    traces = store.traces("long")
    np.testing.assert_array_equal(traces[3000:4000], local.traces("long")[3000:4000])
    assert 0 < traces.fetched < 0.5
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    np.testing.assert_array_equal(np.asarray(again.traces("long", "raw")), local.traces("long", "raw"))
    xr.testing.assert_identical(store["short"].load(), local["short"].load())
    np.testing.assert_array_equal(np.asarray(store.movie("natural_movie_one")), local.movie("natural_movie_one"))


def test_requests_are_counted_in_parts(local, options, tmp_path, monkeypatch):
    import s3fs

    asked = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self, method, *args, **kwargs):
        asked.append((method, kwargs.get("Key", ""), kwargs.get("Range", "")))
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    traces = open_store(URL, options, cache=tmp_path).traces("long")
    asked.clear()
    traces[5000:6000]
    block = 1024 * 40 * 4
    assert asked == [("get_object", "stores/allen.zarr/sessions/long/dff/c/0/0", f"bytes={4 * block}-{6 * block - 1}")]
    asked.clear()
    traces[5000:6000]
    again = open_store(URL, options, cache=tmp_path)
    again.traces("long")[5000:6000]
    assert [(method, key.rsplit("/", 1)[-1]) for method, key, _ in asked] == [
        ("get_object", "zarr.json"),
        ("get_object", "sessions.parquet"),
    ]


def test_plain_xarray_and_zarr_read_the_bucket(local, options):
    """No import of ours: xarray and zarr over fsspec."""
    import zarr

    storage = {"storage_options": options}
    dataset = xr.open_zarr(URL, group="sessions/long", consolidated=False, **storage)
    np.testing.assert_array_equal(dataset.dff[2000:2100, 3].values, local.traces("long")[2000:2100, 3])
    assert set(dataset.variables) == set(local["long"].variables)
    assert dataset.attrs["donor_id"] == "m1"
    array = zarr.open_array(f"{URL}/sessions/short/dff", mode="r", **storage)
    np.testing.assert_array_equal(array[:], local.traces("short"))
    frames = zarr.open_array(f"{URL}/stimuli/natural_movie_one/frames", mode="r", **storage)
    np.testing.assert_array_equal(frames[:], local.movie("natural_movie_one"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "changed", "kind", "message"),
    [
        pytest.param(
            "s3://nolab/a.zarr", {}, UsageError, "^no store at s3://nolab/a.zarr .*check the bucket", id="bucket"
        ),
        pytest.param("s3://empty/a.zarr", {}, UsageError, "^no store at s3://empty/a.zarr", id="key"),
        pytest.param(
            URL, {"endpoint_url": "http://127.0.0.1:9"}, StoreError, "could not be read .*check the URL", id="endpoint"
        ),
        pytest.param(URL, {"kee": "x"}, UsageError, "storage_options that fsspec", id="option"),
    ],
)
def test_what_cannot_be_opened(options, monkeypatch, tmp_path, url, changed, kind, message):
    monkeypatch.setattr("poyodata.store.remote._PAUSES_S", (0.0, 0.0))
    with pytest.raises(kind, match=message) as raised:
        open_store(url, {**options, **changed}, cache=tmp_path)
    assert "\n" not in str(raised.value)


def test_denied(options, monkeypatch, tmp_path):
    import s3fs

    async def denied(self, method, *args, **kwargs):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", denied)
    with pytest.raises(UsageError, match=r"may not be read .*Access Denied.*'anon': True"):
        open_store(URL, options, cache=tmp_path)


def test_without_credentials(options, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    message = r"may not be read .*'anon': True.*AWS_ACCESS_KEY_ID.*FSSPEC_S3_ANON=true; AWS_ENDPOINT_URL"
    with pytest.raises(UsageError, match=message):
        open_store(URL, {"endpoint_url": options["endpoint_url"]}, cache=tmp_path)
    # As a public bucket is read.
    assert len(open_store(URL, {"endpoint_url": options["endpoint_url"], "anon": True}, cache=tmp_path)) == 2


def test_another_server_is_another_store(tmp_path):
    from poyodata.store.remote_cache import store_cache

    here, there = ({"endpoint_url": f"http://127.0.0.1:{port}", "key": str(port)} for port in (1, 2))
    assert store_cache(URL, here, tmp_path) != store_cache(URL, there, tmp_path)
    assert store_cache(URL, here, tmp_path) == store_cache(URL + "/", {**here, "key": "other"}, tmp_path)


def test_command_line_takes_urls(local, options, monkeypatch, tmp_path, capsys):
    import json

    from typer.testing import CliRunner

    from poyodata.cli import app

    monkeypatch.setenv("POYODATA_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", options["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    done = CliRunner().invoke(app, ["info", URL, "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["path"], facts["digest"], facts["recordings"]) == (URL, local.digest, 2)


@pytest.mark.slow
def test_variables_that_messages_name_are_heeded(local, options, tmp_path):
    """In a process of its own: fsspec reads its variables when it is imported."""
    import os
    import subprocess
    import sys

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FSSPEC_"))}
    none = {name: str(tmp_path / "none") for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
    named = {"AWS_ENDPOINT_URL": options["endpoint_url"], "FSSPEC_S3_ANON": "true"}
    more = {"AWS_EC2_METADATA_DISABLED": "true", "POYODATA_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "poyodata", "info", URL]
    done = subprocess.run(command, env={**kept, **none, **named, **more}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert local.digest in done.stdout
