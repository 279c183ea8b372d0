"""Ingest: what is in the files is in the store; a failed call leaves a store as it was, and none where none was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from poyodata.cli import main
from poyodata.errors import PoyodataError, SourceError, StoreError, UsageError, WorkerError
from poyodata.ingest import ingest
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.sources import SessionRecord, SourceFile, find_sources, read_allen_nwb
from poyodata.sources.allen_nwb import DFF
from poyodata.store import open_store
from poyodata.vocabulary import TRACES
from tests.processes import gone
from tests.simulation.made_session import made_session

DEMIXED = "processing/brain_observatory_pipeline/Fluorescence/imaging_plane_1_demixed_signal"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings; nobody may change them."""
    folder = tmp_path_factory.mktemp("made") / "raw"
    for seed, session_type in enumerate("ABC"):
        write_allen_nwb(folder / f"90000000{seed}.nwb", made_session(session_type, seed=seed, frames=1500))
    return folder


def truncated(raw: Path, folder: Path) -> Path:
    path = folder / "900000001.nwb"
    path.write_bytes((raw / path.name).read_bytes()[:20_000])
    return path


def with_nan(raw: Path, folder: Path) -> Path:
    path = folder / "900000001.nwb"
    shutil.copyfile(raw / path.name, path)
    with h5py.File(path, "r+") as file:
        file[f"{DFF}/data"][0, 5] = np.nan
    return path


Spoil = Callable[[Path, Path], Path]
FAILURES = [
    pytest.param(truncated, SourceError, id="truncated"),
    pytest.param(with_nan, StoreError, id="nan"),
]


@pytest.mark.parametrize(("spoil", "error"), FAILURES)
def test_a_failed_first_ingest_leaves_no_store(
    spoil: Spoil, error: type[PoyodataError], raw: Path, tmp_path: Path
) -> None:
    bad = spoil(raw, tmp_path)
    with pytest.raises(error):
        ingest([bad], tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize(("spoil", "error"), FAILURES)
def test_a_failed_ingest_leaves_the_store_as_it_was(
    spoil: Spoil, error: type[PoyodataError], raw: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    bad = spoil(raw, tmp_path)
    # In a new store the recordings finished before the bad one stay, and so do those of an older store.
    with pytest.raises(error):
        ingest([raw / "900000000.nwb", bad], store)
    digest = open_store(store).digest
    assert open_store(store).sessions["session_id"].tolist() == ["900000000"]
    with pytest.raises(error):
        ingest([bad], store)
    assert open_store(store).digest == digest


def test_an_empty_store_of_somebody_else_stays(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "mine.zarr"
    store.mkdir()
    with pytest.raises(SourceError):
        ingest([truncated(raw, tmp_path)], store)
    assert store.is_dir()


def test_missing_values_name_the_flags(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"--missing keep; stored as NaN.*--missing drop; those neurons are left out"):
        ingest([with_nan(raw, tmp_path)], tmp_path / "new.zarr")


def test_no_neuron_left_names_the_flag(raw: Path, tmp_path: Path) -> None:
    bad = with_nan(raw, tmp_path)
    with h5py.File(bad, "r+") as file:
        file[f"{DFF}/data"][:, 5] = np.nan
    with pytest.raises(StoreError, match="--missing keep"):
        ingest([bad], tmp_path / "new.zarr", missing="drop")


def test_one_recording_where_one_is_expected(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    with pytest.raises(UsageError, match="raw holds 3 recordings; this takes one: give the file of one recording"):
        ingest([raw], store, expect_one=True)
    assert not store.exists()
    assert ingest([raw / "900000000.nwb"], store, expect_one=True)["session_id"].tolist() == ["900000000"]


def test_everything_in_the_files_is_in_the_store(raw: Path, tmp_path: Path) -> None:
    ingest([raw], tmp_path / "store.zarr", traces=("all",))
    store = open_store(tmp_path / "store.zarr")
    assert store.session_ids == ("900000000", "900000001", "900000002")
    for session_id in store:
        record = read_allen_nwb(raw / f"{session_id}.nwb")
        for name in TRACES:
            traces = np.concatenate(list(record.blocks(600, name)))
            np.testing.assert_array_equal(store.traces(session_id, name), traces)
        np.testing.assert_array_equal(store.time_s(session_id), record.time_s)
        shown = store.presentations_of(session_id)
        for column in record.presentations:
            np.testing.assert_array_equal(shown[column].to_numpy(), record.presentations[column].to_numpy())
        for name, expected in record.signals.items():
            values, time_s = store.signal(session_id, name)
            np.testing.assert_array_equal(values, expected.values)
            np.testing.assert_array_equal(time_s, expected.time_s)
        neurons = store.neurons[store.neurons["session_id"] == session_id]
        for column in record.neurons:
            assert neurons[column].tolist() == record.neurons[column].tolist()
        assert record.masks is not None
        for read, mask in zip(store.masks(session_id), record.masks, strict=True):
            np.testing.assert_array_equal(read, mask)
        assert record.max_projection is not None
        np.testing.assert_array_equal(store.max_projection(session_id), record.max_projection)
        row = store.sessions[store.sessions["session_id"] == session_id].iloc[0]
        assert {name: row[name] for name in vars(record.metadata)} == vars(record.metadata)
        for stimulus, template in record.templates.items():
            np.testing.assert_array_equal(store.movie(stimulus), np.asarray(template()))
    # Once a store: two recordings of three were shown natural_movie_one.
    assert sorted(store.stimuli) == [
        *("locally_sparse_noise", "natural_movie_one", "natural_movie_three", "natural_movie_two", "natural_scenes")
    ]
    assert ingest([raw], tmp_path / "store.zarr")["status"].tolist() == ["unchanged"] * 3


def test_an_update_keeps_the_stored_traces(raw: Path, tmp_path: Path) -> None:
    store, file = tmp_path / "store.zarr", tmp_path / "900000001.nwb"
    shutil.copyfile(raw / file.name, file)
    ingest([file], store, traces=("demixed", "raw"))
    with h5py.File(file, "r+") as opened:
        opened[f"{DFF}/data"][0, 5] += 1
    assert ingest([file], store, update=True)["status"].tolist() == ["updated"]
    assert sorted(open_store(store).blocks["traces"].unique()) == ["demixed", "dff", "raw"]
    with h5py.File(file, "r+") as opened:
        opened[f"{DFF}/data"][0, 5] += 1
        del opened[DEMIXED]
    digest = open_store(store).digest
    with pytest.raises(SourceError, match="'900000001' is stored with the traces demixed, which the new one does not"):
        ingest([file], store, update=True)
    assert open_store(store).digest == digest


def without_demixed(raw: Path, folder: Path) -> Path:
    path = folder / "900000001.nwb"
    shutil.copyfile(raw / path.name, path)
    with h5py.File(path, "r+") as file:
        del file[DEMIXED]
    return path


@pytest.mark.parametrize(
    ("traces", "stored"),
    [
        ((), ["dff"]),
        (("dff",), ["dff"]),
        (("raw",), ["dff", "raw"]),
        (("corrected", "dff"), ["corrected", "dff"]),
        (("all",), sorted(TRACES)),
    ],
)
def test_traces_that_are_asked_for(traces: tuple[str, ...], stored: list[str], raw: Path, tmp_path: Path) -> None:
    ingest([raw / "900000000.nwb"], tmp_path / "store.zarr", traces=traces)
    assert sorted(open_store(tmp_path / "store.zarr").blocks["traces"].unique()) == stored


def test_traces_that_a_recording_lacks(raw: Path, tmp_path: Path) -> None:
    path = without_demixed(raw, tmp_path)
    with pytest.raises(SourceError, match=r"no traces 'corrected'; it has dff, raw, neuropil\. Ask .*--traces all"):
        ingest([path], tmp_path / "store.zarr", traces=("dff", "corrected"))
    assert not (tmp_path / "store.zarr").exists()
    ingest([path], tmp_path / "store.zarr", traces=("all",))
    assert set(open_store(tmp_path / "store.zarr").blocks["traces"]) == {"dff", "raw", "neuropil"}


def test_unknown_traces(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown --traces 'neuropill': did you mean 'neuropil'"):
        ingest([raw], tmp_path / "store.zarr", traces=("dff", "neuropill"))
    assert not (tmp_path / "store.zarr").exists()


@pytest.mark.parametrize(
    ("option", "status", "stored"),
    [
        ([], 0, {"dff"}),
        (["--traces", "dff, corrected"], 0, {"dff", "corrected"}),
        (["--traces", "all"], 0, set(TRACES)),
        (["--traces", "dff,rwa"], 2, None),
    ],
)
def test_the_programs_option(
    option: list[str],
    status: int,
    stored: set[str] | None,
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "store.zarr"
    monkeypatch.setattr(sys, "argv", ["poyodata", "ingest", str(raw / "900000000.nwb"), "--out", str(store), *option])
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == status
    if stored is None:
        assert "did you mean 'raw'?" in capsys.readouterr().err
    else:
        assert set(open_store(store).blocks["traces"]) == stored


# -- in other processes --------------------------------------------------------------------------------------------

ELSEWHERE = [pytest.param("processes", id="processes"), pytest.param("cluster", id="cluster")]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"workers": 2} if request.param == "processes" else {"scheduler": request.getfixturevalue("scheduler")}


@pytest.fixture(scope="module")
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of an undisturbed ingest in one process."""
    path = tmp_path_factory.mktemp("expected") / "store.zarr"
    ingest([raw], path, workers=1)
    return path


def files(store: Path) -> dict[str, bytes]:
    """Everything in a store but its tables of all recordings, whose rows may be in the order of arrival."""
    paths = (path for path in store.rglob("*") if path.is_file())
    names = {path: path.relative_to(store).as_posix() for path in paths}
    flat = {"tables/neurons.parquet", "tables/epochs.parquet", "tables/segments.parquet", "tables/sessions.parquet"}
    return {name: path.read_bytes() for path, name in names.items() if name not in flat}


def require_same(store: Path, expected: Path) -> None:
    assert open_store(store).digest == open_store(expected).digest
    for table in ("sessions", "neurons", "presentations", "epochs", "segments", "blocks", "parts"):
        one, other = getattr(open_store(store), table), getattr(open_store(expected), table)
        assert one.to_csv() == other.to_csv(), table
    assert files(store) == files(expected)


@pytest.mark.slow
@pytest.mark.parametrize("place", ELSEWHERE, indirect=True)
def test_the_store_does_not_depend_on_who_wrote_it(
    place: dict[str, Any], raw: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw.parent)  # where a cluster's workers do not stand
    out = Path(os.path.relpath(tmp_path / "store.zarr"))
    names = ["900000002.nwb", "900000000.nwb", "900000001.nwb"]
    rows = ingest([Path("raw") / name for name in names], out, **place)
    assert [f"{session_id}.nwb" for session_id in rows["session_id"]] == names
    require_same(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("place", ELSEWHERE, indirect=True)
def test_a_bad_recording_among_good_ones(place: dict[str, Any], raw: Path, tmp_path: Path) -> None:
    bad, store = truncated(raw, tmp_path), tmp_path / "store.zarr"
    with pytest.raises(SourceError, match=str(bad)):
        ingest([raw / "900000000.nwb", bad, raw / "900000002.nwb"], store, **place)
    assert "900000000" in open_store(store)
    assert "900000001" not in open_store(store)
    assert not list(store.glob(".tmp-*"))


@dataclass(frozen=True)
class Disturbed(SourceFile):
    """A recording in which something happens, once, after its first block was written."""

    marker: Path = Path()
    then: str = "kill"

    def open(self) -> SessionRecord:
        record = SourceFile.open(self)

        def read(start: int, stop: int) -> Any:
            if start and not self.marker.exists():
                self.marker.write_text(str(os.getpid()))
                if self.then == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.then == "sleep":
                    time.sleep(60)
            return record.read_traces(start, stop)

        return replace(record, read_traces=read)


def disturb(monkeypatch: pytest.MonkeyPatch, marker: Path) -> None:
    def find(path: Path, **options: Any) -> list[SourceFile]:
        found = find_sources(path, **options)
        return [
            Disturbed(one.path, one.kind, one.mapping, marker) if one.path.name == "900000001.nwb" else one
            for one in found
        ]

    monkeypatch.setattr("poyodata.ingest.find_sources", find)


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_is_replaced(
    scheduler: str, raw: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(monkeypatch, tmp_path / "killed")
    rows = ingest([raw], tmp_path / "store.zarr", scheduler=scheduler)
    assert (tmp_path / "killed").exists()
    assert rows["status"].tolist() == ["added"] * 3
    require_same(tmp_path / "store.zarr", expected)


@pytest.mark.slow
def test_a_killed_local_worker_costs_only_what_was_in_hand(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.zarr"
    disturb(monkeypatch, tmp_path / "killed")
    with pytest.raises(WorkerError, match=r"worker process was killed.*900000001\.nwb"):
        ingest([raw], store, workers=2)
    assert "900000000" in open_store(store), "written before the others began, for its movies"
    assert not list(store.glob(".tmp-*"))


OWNER = """
import sys
from pathlib import Path
import poyodata.ingest
from tests.test_ingest import Disturbed, find_sources

raw, out, folder = map(Path, sys.argv[1:])
poyodata.ingest.find_sources = lambda path, **options: [
    Disturbed(one.path, one.kind, one.mapping, folder / one.path.name, "sleep" if one.path.name[8] != "0" else "")
    for one in find_sources(path, **options)
    ]
poyodata.ingest.ingest([raw], out, workers=2)
"""


@pytest.mark.slow
def test_a_killed_owner_leaves_no_workers_and_what_the_next_one_collects(
    raw: Path, expected: Path, tmp_path: Path
) -> None:
    store, markers = tmp_path / "store.zarr", [tmp_path / "900000001.nwb", tmp_path / "900000002.nwb"]
    ingest([raw / "900000000.nwb"], store)
    with subprocess.Popen([sys.executable, "-c", OWNER, raw, store, tmp_path], cwd=Path(__file__).parents[1]) as owner:
        until = time.monotonic() + 60
        while not all(marker.exists() and marker.read_text() for marker in markers) and time.monotonic() < until:
            time.sleep(0.05)
        owner.kill()
    assert gone([int(marker.read_text()) for marker in markers])
    assert len(list(store.glob(".tmp-*"))) == 2
    assert open_store(store).session_ids == ("900000000",)
    rows = ingest([raw], store)
    assert sorted(rows["status"]) == ["added", "added", "unchanged"]
    require_same(store, expected)


@pytest.mark.slow
def test_recordings_that_bring_the_same_movies_at_once(raw: Path, expected: Path, tmp_path: Path) -> None:
    # The first recording has no movies here, so that both others write theirs, one of them for nothing.
    first = tmp_path / "900000000.nwb"
    shutil.copyfile(raw / first.name, first)
    with h5py.File(first, "r+") as file:
        del file["stimulus"]["templates"]
    store = tmp_path / "store.zarr"
    ingest([first, raw / "900000001.nwb", raw / "900000002.nwb"], store, workers=2)
    assert open_store(store).stimuli.items() <= open_store(expected).stimuli.items()
    assert not list(store.glob(".tmp-*"))


def test_workers_must_see_the_store(raw: Path, tmp_path: Path) -> None:
    from poyodata.ingest import _write
    from poyodata.store.layout import Paths

    (entry,) = find_sources(raw / "900000000.nwb")
    with pytest.raises(StoreError, match="does not see the store"):
        _write(Paths(tmp_path / "store.zarr"), "error", ("dff",), False, frozenset(), entry)
    assert not list(tmp_path.iterdir())


# -- update --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_update_replaces_what_differs(workers: int, raw: Path, expected: Path, tmp_path: Path) -> None:
    store, changed = tmp_path / "store.zarr", tmp_path / "900000001.nwb"
    shutil.copytree(expected, store)
    shutil.copyfile(raw / changed.name, changed)
    with h5py.File(changed, "r+") as file:
        file[f"{DFF}/data"][3, 77] += 1.0
    sources = [raw / "900000000.nwb", changed]
    with pytest.raises(StoreError, match=r"'900000001' is in the store already, with other content.*--update"):
        ingest(sources, store, workers=workers)
    require_same(store, expected)
    rows = ingest(sources, store, workers=workers, update=True)
    assert rows["status"].tolist() == ["unchanged", "updated"]
    difference = open_store(store).traces("900000001") - open_store(expected).traces("900000001")
    assert np.argwhere(difference).tolist() == [[77, 3]]
    rows = ingest([raw / changed.name], store, workers=workers, update=True)
    assert rows["status"].tolist() == ["updated"]
    assert open_store(store).digest == open_store(expected).digest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "status", "says"),
    [
        (["--workers", "2"], 0, ""),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], 2, "both given"),
        (["--workers", "0"], 2, "give at least 1"),
        (["--scheduler", "tcp://127.0.0.1:1"], 1, "no dask scheduler answers at 'tcp://127.0.0.1:1'"),
    ],
)
def test_the_programs_workers(
    option: list[str],
    status: int,
    says: str,
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "store.zarr"
    monkeypatch.setattr(sys, "argv", ["poyodata", "ingest", str(raw), "--out", str(store), *option])
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == status
    assert says in capsys.readouterr().err
    assert store.exists() == (status == 0)
