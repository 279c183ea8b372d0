"""Ingest: what is in the files is in the store; a failed call leaves a store as it was, and none where none was."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.cli import main
from poyodata.errors import PoyodataError, SourceError, StoreError, UsageError
from poyodata.ingest import ingest
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.sources import read_allen_nwb
from poyodata.sources.allen_nwb import DFF
from poyodata.store import open_store
from poyodata.vocabulary import TRACES
from tests.simulation.made_session import made_session

DEMIXED = "processing/brain_observatory_pipeline/Fluorescence/imaging_plane_1_demixed_signal"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings; nobody may change them."""
    folder = tmp_path_factory.mktemp("made") / "raw"
    for seed, session_type in enumerate("ABC"):
        write_allen_nwb(folder / f"90000000{seed}.nwb", made_session(session_type, seed=seed))
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
            expected = np.concatenate(list(record.blocks(600, name)))
            np.testing.assert_array_equal(store.traces(session_id, name), expected)
        np.testing.assert_array_equal(store.time_s(session_id), record.time_s)
        shown = store.presentations_of(session_id)
        for column in record.presentations:
            np.testing.assert_array_equal(shown[column].to_numpy(), record.presentations[column].to_numpy())
        for name, signal in record.signals.items():
            values, time_s = store.signal(session_id, name)
            np.testing.assert_array_equal(values, signal.values)
            np.testing.assert_array_equal(time_s, signal.time_s)
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
