"""A store of format version 2 comes out as if it had been ingested today, or is refused with the command to run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poyodata.digests import json_digest
from poyodata.errors import StoreError, UsageError
from poyodata.store import StoreWriter, disk, migrate, open_store
from poyodata.store.migrate import migrate_store
from poyodata.store.verify import verify_store


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def padded(array, rows, fill):
    blocks = -(-len(array) // rows) * rows - len(array)
    whole = np.concatenate([array, np.full((blocks, *array.shape[1:]), fill, array.dtype)])
    return [whole[start : start + rows] for start in range(0, len(whole), rows)]


def write_plain(path, table, metadata=None):
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, b"poyodata": json.dumps(metadata).encode()})
    path.unlink(missing_ok=True)
    pq.write_table(arrow, path, compression="zstd")


def as_version_2(path):
    """Rewrite what format version 3 changed as version 2 wrote it."""
    store = open_store(path)
    blocks, parts = [], []
    for session_id in store:
        for name in store.blocks.loc[store.blocks["session_id"] == session_id, "traces"].unique():
            digests = [sha(block) for block in padded(np.array(store.traces(session_id, name)), 1024, np.nan)]
            rows = {"session_id": session_id, "traces": name, "block": range(len(digests)), "digest": digests}
            blocks.append(pd.DataFrame(rows))
        known = store.parts[store.parts["session_id"] == session_id].set_index("part")["digest"].to_dict()
        values, time_s = store.signal(session_id, "running_speed")
        masks = store.masks(session_id)
        neuron = np.repeat(np.arange(len(masks), dtype="<i4"), [len(mask) for mask in masks])
        image = store.max_projection(session_id)
        known |= {
            "time": sha(store.time_s(session_id)),
            "masks": json_digest([sha(np.concatenate(masks)), sha(neuron)]),
            "max_projection": json_digest([list(image.shape), sha(image)]),
            "signal:running_speed": json_digest([sha(values), sha(time_s), "cm/s"]),
        }
        parts.append(pd.DataFrame({"session_id": session_id, "part": list(known), "digest": list(known.values())}))
    stimuli = {}
    for name in store.stimuli:
        movie = np.array(store.movie(name))
        stimuli[name] = json_digest({"blocks": [sha(b) for b in padded(movie, 16, 0)], "shape": list(movie.shape)})
    tables = path / "tables"
    for name in ("neurons", "epochs", "segments"):
        write_plain(
            tables / f"{name}.parquet", pq.read_table(tables / f"{name}.parquet").to_pandas().drop(columns="generation")
        )
    write_plain(tables / "blocks.parquet", pd.concat(blocks, ignore_index=True))
    write_plain(tables / "parts.parquet", pd.concat(parts, ignore_index=True))
    for session_id in store:
        write_plain(tables / "presentations" / f"{session_id}.parquet", store.presentations_of(session_id))
    sessions = store.sessions.drop(columns=["generation", "templates"]).assign(digest="of version 2")
    write_plain(tables / "sessions.parquet", sessions, {"format_version": 2, "stimuli": stimuli})
    disk.remove(tables / "digests")
    (path / "zarr.json").write_text(
        json.dumps(
            {"zarr_format": 3, "node_type": "group", "attributes": {"format": "poyodata-store", "format_version": 2}}
        )
    )
    return store


@pytest.fixture
def old(write_store, make_record):
    store = write_store(make_record("a"), make_record("b", n_neurons=3), make_record("c", n_neurons=2), traces=("raw",))
    as_version_2(store.path)
    return store


def test_old_store_is_refused_with_the_command_that_migrates(old):
    before = old.path / "tables" / "sessions.parquet"
    content = before.read_bytes()
    for opening in (open_store, StoreWriter, verify_store):
        with pytest.raises(StoreError, match=rf"format version 2, .* `poyodata migrate {old.path}`\.$"):
            opening(old.path)
    assert before.read_bytes() == content


def test_migrated_store_is_as_if_ingested_today(old):
    (old.path / "statistics" / "f00.parquet").write_bytes(b"of the old digest")
    done = migrate_store(old.path)
    assert (done.version_before, done.n_recordings, done.digest) == (2, 3, old.digest)
    store = open_store(old.path)
    assert store.digest == old.digest
    assert store.format_version == 3
    for name in ("sessions", "neurons", "presentations", "epochs", "segments", "blocks", "parts"):
        pd.testing.assert_frame_equal(getattr(store, name), getattr(old, name))
    found = verify_store(old.path)
    assert (found.damages, found.unexpected) == ((), ())
    assert migrate_store(old.path).version_before == 3
    with StoreWriter(old.path) as writer:
        writer.remove(["a"])


def _other_block(path):
    with (path / "sessions/b/raw/c/0/0").open("r+b") as file:
        file.write(b"xxxx")


def _other_time(path):
    with (path / "sessions/b/time/c/0").open("r+b") as file:
        file.write(b"xxxx")


def _other_movie(path):
    with (path / "stimuli/natural_movie_one/frames/c/0/0/0").open("r+b") as file:
        file.write(b"xxxx")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_other_block, "recording 'b': raw is not what was written, so the store was not", id="block"),
        pytest.param(_other_time, "recording 'b': all parts is not what was written", id="part"),
        pytest.param(_other_movie, "template natural_movie_one is not what was written", id="template"),
        pytest.param(lambda p: disk.remove(p / "sessions/c"), "sessions/c/dff is not a Zarr", id="gone"),
    ],
)
def test_damaged_store_is_not_migrated(old, damage, message):
    damage(old.path)
    with pytest.raises(StoreError, match=message):
        migrate_store(old.path)
    with pytest.raises(StoreError, match="poyodata migrate"):
        open_store(old.path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill many migrations cheaply")
@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_migration_killed_at_any_step_can_be_run_again(write_store, make_record, stride, tmp_path):
    import shutil

    template = write_store(make_record("a", n_frames=1100), make_record("b", n_neurons=2, n_frames=1100))
    as_version_2(template.path)
    n_killed, step = 0, 0
    while True:
        step += stride
        path = shutil.copytree(template.path, tmp_path / f"{step}.zarr")
        child = os.fork()
        if child == 0:
            _kill_at(step)
            migrate_store(path)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        n_killed += 1
        migrate_store(path)
        assert open_store(path).digest == template.digest
        assert verify_store(path).damages == ()
        shutil.rmtree(path)
    assert n_killed > 20 // stride


def _kill_at(step):
    left = [step]

    def counted(call):
        def killing(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return killing

    for name in ("replace", "fsync", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def test_empty_old_store(write_store):
    store = write_store()
    write_plain(
        store.path / "tables/sessions.parquet",
        store.sessions.drop(columns=["generation", "templates"]),
        {"format_version": 2, "stimuli": {}},
    )
    assert migrate_store(store.path).version_before == 2
    assert open_store(store.path).digest == store.digest


def test_nothing_to_do_needs_no_right_to_write(write_store, make_record, monkeypatch):
    store = write_store(make_record("a"))

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(disk, "replace_file", refuse)
    monkeypatch.setattr(migrate.WriterLock, "__init__", refuse)
    done = migrate_store(store.path)
    assert (done.version_before, done.n_recordings, done.digest) == (3, 1, store.digest)


def test_what_cannot_be_migrated(old, tmp_path):
    with pytest.raises(UsageError, match="no store at"):
        migrate_store(tmp_path / "nothing.zarr")
    sessions = pq.read_table(old.path / "tables/sessions.parquet").to_pandas()
    for version, message in ((1, "cannot be migrated: ingest the recordings again"), (4, "a newer poyodata wrote it")):
        write_plain(old.path / "tables/sessions.parquet", sessions, {"format_version": version, "stimuli": {}})
        with pytest.raises(StoreError, match=message):
            migrate_store(old.path)
        with pytest.raises(StoreError, match=message):
            open_store(old.path)


def test_the_command(old, program):
    done = program("migrate", old.path)
    assert done.status == 0
    assert "3 recordings, format version 2 -> 3" in done.out
    done = program("migrate", old.path, "--json")
    assert json.loads(done.out) == {"version_before": 3, "n_recordings": 3, "digest": old.digest}
    assert "has format version 3 already" in program("migrate", old.path).out
