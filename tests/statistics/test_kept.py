"""Nothing is computed twice: results of one recording and of one statistic are kept, whatever interrupts a call."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.splits import resolve_split
from poyodata.statistics import MOMENTS, STATISTICS, Column, Resampling, Statistic, compute_statistics
from poyodata.statistics.kept import KeptResults, time_key
from poyodata.store import open_store
from poyodata.store.seal import is_intact
from poyodata.store.verify import verify_store
from tests.conftest import ROOT
from tests.fake_store import make_store


def counting(name, seen, version=1, scale=1.0):
    """A statistic that writes down in `seen` the first trace value of every recording that it looks at."""

    def finalize(state, params):
        seen.append(name)
        return {f"{name}_top": state * params["scale"]}

    return Statistic(
        name=name,
        version=version,
        columns={f"{name}_top": Column(dtype="float64", unit="dF/F", definition="Highest frame.")},
        chunk=lambda stretch, params: stretch.traces.max(axis=0, initial=-np.inf).astype(np.float64),
        combine=np.maximum,
        finalize=finalize,
        nan_policy="none",
        params={"scale": scale},
    )


@pytest.fixture
def seen(monkeypatch):
    """Two statistics that count the recordings that they are computed for."""
    counts = []
    for name in ("first", "second"):
        monkeypatch.setitem(STATISTICS, name, counting(name, counts))
    return counts


BOTH = ("first", "second")


def test_a_new_recording_computes_itself_alone(tmp_path, seen):
    few, more = (make_store(tmp_path, n_sessions=n) for n in (3, 4))
    for name, array in few.arrays.items():
        more.arrays[name][:] = array
    more.sessions.loc[:2, "digest"] = few.sessions["digest"]
    compute_statistics(few, BOTH, split=resolve_split(few, "blocks-5fold"))
    seen.clear()
    steps = []
    table = compute_statistics(more, BOTH, split=resolve_split(more, "blocks-5fold"), progress=steps.append)
    assert Counter(seen) == {"first": 1, "second": 1}
    assert steps == [3, 1]
    shutil.rmtree(more.statistics_folder)
    again = compute_statistics(more, BOTH, split=resolve_split(more, "blocks-5fold"))
    pd.testing.assert_frame_equal(table, again, check_exact=True)


@pytest.mark.parametrize("change", [{"version": 2}, {"scale": 3.0}], ids=["version", "params"])
def test_a_changed_statistic_computes_itself_alone(store, seen, monkeypatch, change):
    before = compute_statistics(store, BOTH)
    seen.clear()
    monkeypatch.setitem(STATISTICS, "second", counting("second", seen, **change))
    after = compute_statistics(store, BOTH)
    assert Counter(seen) == {"second": 3}
    pd.testing.assert_series_equal(before["first_top"], after["first_top"])
    assert (after["second_top"] == before["second_top"] * change.get("scale", 1.0)).all()
    seen.clear()
    compute_statistics(store, ("second",))
    assert seen == [], "it is kept beside the first"


def test_what_was_computed_for_some_serves_for_all(store, seen):
    compute_statistics(store, "first", sessions=["s001"])
    compute_statistics(store, "second", sessions=["s001", "s002"])
    seen.clear()
    compute_statistics(store, BOTH)
    assert Counter(seen) == {"first": 2, "second": 1}


def test_another_fold_or_window_is_other_time(store, seen):
    for what in ({"split": resolve_split(store, "blocks-5fold", 1)}, {"window": "all"}):
        compute_statistics(store, BOTH)
        seen.clear()
        compute_statistics(store, BOTH, **what)
        assert Counter(seen) == {"first": 3, "second": 3}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError], ids=["ctrl-c", "a-fault-of-the-bar"])
def test_an_interrupted_call_goes_on(store, seen, stop):
    def progress(_steps):
        if len(seen) == 4:
            raise stop

    with pytest.raises(stop):
        compute_statistics(store, BOTH, progress=progress)
    assert Counter(seen) == {"first": 2, "second": 2}
    seen.clear()
    compute_statistics(store, BOTH)
    assert Counter(seen) == {"first": 1, "second": 1}


@pytest.mark.slow
def test_a_killed_call_goes_on(tmp_path, seen):
    """SIGKILL in the third recording: the two before it are there."""
    code = """
        import os, signal, pathlib
        from poyodata.statistics import STATISTICS, compute_statistics
        from tests.fake_store import make_store
        from tests.statistics.test_kept import counting

        STATISTICS["first"] = counting("first", [])
        done = []
        def progress(steps):
            done.append(steps)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        compute_statistics(make_store(pathlib.Path({folder!r}), n_sessions=3), "first", progress=progress)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code.format(folder=str(tmp_path)))], cwd=ROOT, capture_output=True
    )
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    table = compute_statistics(make_store(tmp_path, n_sessions=3), "first")
    assert seen == ["first"]
    assert table["first_top"].notna().all()


def test_intervals_are_kept_apart_from_values(store, seen, monkeypatch):
    drawn = []

    def interval(stretches, params, resampling):
        drawn.append(resampling.seed)
        rows = np.zeros(stretches[0].traces.shape[1])
        return {"first_top": (rows - resampling.seed % 7, rows + resampling.level)}

    monkeypatch.setitem(STATISTICS, "first", replace(STATISTICS["first"], interval=interval))
    compute_statistics(store, "first")
    seen.clear()
    table = compute_statistics(store, "first", intervals=0.9)
    assert seen == []
    assert table.columns.tolist() == ["neuron_id", "first_top", "first_top_low", "first_top_high"]
    assert (table["first_top_high"] == 0.9).all()
    assert len(set(drawn)) == 3, "every recording has draws of its own"
    drawn.clear()
    compute_statistics(store, "first", sessions=["s001"], intervals=Resampling(level=0.9))
    assert drawn == []
    compute_statistics(store, "first", sessions=["s001"], intervals=Resampling(level=0.9, seed=1))
    assert len(drawn) == 1


DAMAGES = [
    pytest.param(lambda path: path.write_bytes(path.read_bytes()[:100]), True, id="truncated"),
    pytest.param(lambda path: path.write_bytes(b""), True, id="empty"),
    pytest.param(lambda path: pd.read_parquet(path).mul(2).to_parquet(path), True, id="edited"),
    pytest.param(lambda path: path.unlink(), False, id="removed"),
    pytest.param(lambda path: shutil.rmtree(path.parent.parent), False, id="all-removed"),
]


@pytest.mark.parametrize("kind", ["columns", "blocks"])
@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_damaged_files_of_a_recording_are_computed_again(store, damage, told, kind, caplog):
    expected = compute_statistics(store, "moments", window="all")
    folder = store.statistics_folder / "recordings" / store.sessions["digest"][1]
    paths = {"blocks" if path.name.endswith(".blocks.parquet") else "columns": path for path in folder.iterdir()}
    assert all(is_intact(path.read_bytes()) for path in paths.values())
    if kind == "blocks":
        paths["columns"].unlink()  # else nothing asks for the blocks
    damage(paths[kind])
    for path in store.statistics_folder.glob("*.parquet"):
        path.unlink()
    pd.testing.assert_frame_equal(compute_statistics(store, "moments", window="all"), expected, check_exact=True)
    assert ("damaged" in caplog.text) == told
    assert paths["columns"].exists()


def test_a_file_in_another_recordings_place_is_not_taken_for_its_own(store, caplog):
    expected = compute_statistics(store, "moments", window="all")
    folders = [store.statistics_folder / "recordings" / digest for digest in store.sessions["digest"]]
    shutil.rmtree(folders[0])
    shutil.copytree(folders[1], folders[0])
    for path in store.statistics_folder.glob("*.parquet"):
        path.unlink()
    pd.testing.assert_frame_equal(compute_statistics(store, "moments", window="all"), expected, check_exact=True)
    assert "damaged" in caplog.text


def test_a_folder_and_two_files_a_recording(store):
    compute_statistics(store, window="all")
    compute_statistics(store, ["moments", "moments@drifting_gratings"], window="all")
    for digest in store.sessions["digest"]:
        files = sorted(path.name for path in (store.statistics_folder / "recordings" / digest).iterdir())
        assert len(files) == 2
        assert files[1] == "moments.blocks.parquet"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_still_gives_results(store, caplog):
    store.statistics_folder.mkdir()
    store.statistics_folder.chmod(0o500)
    assert compute_statistics(store, "moments")["mean"].notna().all()
    assert caplog.text.count("are not kept") == 1


def test_statistics_that_were_renamed_do_not_keep_each_others_columns(store):
    kept = KeptResults(store.statistics_folder)
    time = time_key(np.array([[0, 10]]))
    lineages = {"old": "a", "other": "b", "new": "c"}
    kept.keep_columns("r", time, {"old": {"top": np.arange(3.0)}, "other": {"x": np.ones(3)}}, lineages)
    kept.keep_columns("r", time, {"new": {"top": np.zeros(3)}}, lineages)
    found = kept.columns("r", time, lineages, 3)
    assert set(found) == {"new", "other"}
    assert found["new"]["top"].tolist() == [0, 0, 0]


def test_verify_reads_what_is_kept(tiny_store_path, tmp_path):
    path = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_store_path, path, ignore=shutil.ignore_patterns("recordings"))
    compute_statistics(open_store(path), ["moments"], window="all")
    assert verify_store(path).damages == ()
    assert verify_store(path).unexpected == ()
    (file, *_) = sorted(path.glob("statistics/recordings/*/*.blocks.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (damage,) = verify_store(path).damages
    assert damage.file == file.relative_to(path).as_posix()
    assert "computed again" in damage.what


def test_column_meanings_stand_in_the_files(store):
    import pyarrow.parquet as pq

    table = compute_statistics(store, "moments", intervals=Resampling(draws=50))
    schema = pq.read_schema(store.statistics_folder / f"{table.attrs['digest']}.parquet")
    import json

    columns = json.loads(schema.metadata[b"poyodata"])["columns"]
    assert columns == table.attrs["columns"]
    assert columns["kurtosis"]["definition"].startswith("EXCESS")
    assert columns["kurtosis"]["version"] == MOMENTS.version
    assert "95 %" in columns["kurtosis_low"]["definition"]
    assert set(columns) == set(table.columns) - {"neuron_id"}
