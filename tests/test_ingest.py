"""Ingest: a call that fails leaves a store as it was, and no store where there was none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import PoyodataError, SourceError, StoreError, UsageError
from poyodata.ingest import ingest
from poyodata.sources.allen_nwb import DFF
from poyodata.store import open_store


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
    spoil: Spoil, error: type[PoyodataError], tiny_raw: Path, tmp_path: Path
) -> None:
    bad = spoil(tiny_raw, tmp_path)
    with pytest.raises(error):
        ingest([bad], tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize(("spoil", "error"), FAILURES)
def test_a_failed_ingest_leaves_the_store_as_it_was(
    spoil: Spoil, error: type[PoyodataError], tiny_raw: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    bad = spoil(tiny_raw, tmp_path)
    # In a new store the recordings finished before the bad one stay, and so do those of an older store.
    with pytest.raises(error):
        ingest([tiny_raw / "900000000.nwb", bad], store)
    digest = open_store(store).digest
    assert open_store(store).sessions["session_id"].tolist() == ["900000000"]
    with pytest.raises(error):
        ingest([bad], store)
    assert open_store(store).digest == digest


def test_an_empty_store_of_somebody_else_stays(tiny_raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "mine.zarr"
    store.mkdir()
    with pytest.raises(SourceError):
        ingest([truncated(tiny_raw, tmp_path)], store)
    assert store.is_dir()


def test_missing_values_name_the_flags(tiny_raw: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"--missing keep; stored as NaN.*--missing drop; those neurons are left out"):
        ingest([with_nan(tiny_raw, tmp_path)], tmp_path / "new.zarr")


def test_no_neuron_left_names_the_flag(tiny_raw: Path, tmp_path: Path) -> None:
    bad = with_nan(tiny_raw, tmp_path)
    with h5py.File(bad, "r+") as file:
        file[f"{DFF}/data"][:, 5] = np.nan
    with pytest.raises(StoreError, match="--missing keep"):
        ingest([bad], tmp_path / "new.zarr", missing="drop")


def test_one_recording_where_one_is_expected(tiny_raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    with pytest.raises(UsageError, match="raw holds 3 recordings; this takes one: give the file of one recording"):
        ingest([tiny_raw], store, expect_one=True)
    assert not store.exists()
    assert ingest([tiny_raw / "900000000.nwb"], store, expect_one=True)["session_id"].tolist() == ["900000000"]
