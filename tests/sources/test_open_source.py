from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from poyodata.errors import SourceError, UsageError
from poyodata.sources import find_sources, open_source


def test_folder_of_nwb_is_opened_one_at_a_time(tiny_folder: Path, tmp_path: Path) -> None:
    for file in tiny_folder.glob("*.nwb"):
        shutil.copy(file, tmp_path)
    (tmp_path / ".hidden.nwb.1.partial").touch()
    (tmp_path / ".hidden.nwb").touch()
    (tmp_path / "900000001.nwb").write_bytes(b"broken")
    records = open_source(tmp_path)
    assert next(records).metadata.session_id == "900000000"
    with pytest.raises(SourceError, match="900000001"):
        next(records)


@pytest.mark.parametrize("kind", ["auto", "allen-nwb"])
def test_one_nwb_file(kind: str, tiny_folder: Path) -> None:
    (record,) = open_source(tiny_folder / "900000002.nwb", kind)
    assert record.metadata.cre_line == "Vip-IRES-Cre"


@pytest.mark.parametrize("up", [0, 1, 2])
def test_arrays_by_file_folder_and_folder_of_folders(up: int, twin_path: Path) -> None:
    place = [twin_path, twin_path.parent, twin_path.parent.parent][up]
    if up == 2:
        place = place / "twin_root"
        shutil.copytree(twin_path.parent, place / "abo", dirs_exist_ok=True)
    (file,) = find_sources(place)
    assert file.kind == "arrays"
    assert file.open().n_neurons == 24


def test_explicit_mapping_reads_a_file_of_another_name(twin_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "renamed.h5"
    shutil.copy(twin_path, path)
    with pytest.raises(UsageError, match="no recording found"):
        find_sources(path)
    (record,) = open_source(path, mapping="abo-dg-527745328")
    assert record.n_neurons == 24


@pytest.mark.parametrize(
    ("kind", "looked_for"),
    [
        ("auto", r"\*.nwb files, NWB 2 files, .*folders of suite2p or an array file"),
        ("suite2p", "folders of suite2p"),
        ("arrays", "an array file with its mapping"),
        ("allen-nwb", r"\*.nwb"),
    ],
)
def test_nothing_found(kind: str, looked_for: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(UsageError, match=f"no recording found in .*{looked_for}"):
        open_source(tmp_path, kind)


def test_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_source(tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown source kind 'array': did you mean 'arrays'"):
        open_source(tmp_path, "array")
    with pytest.raises(UsageError, match="the mapping is one of the arrays source"):
        open_source(tmp_path, "allen-nwb", "abo-dg-527745328")


def test_both_versions_of_nwb_in_one_folder(tiny_folder: Path, nwb2_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "900000001.nwb", tmp_path / "b.nwb")
    shutil.copy(nwb2_folder / "900000000.nwb", tmp_path / "a.nwb")
    shutil.copy(nwb2_folder / "900000002.nwb", tmp_path / "c.nwb")
    found = find_sources(tmp_path)
    assert [(file.path.name, file.kind) for file in found] == [
        ("a.nwb", "nwb2"),
        ("b.nwb", "allen-nwb"),
        ("c.nwb", "nwb2"),
    ]
    assert [file.open().metadata.session_id for file in found] == ["900000000", "900000001", "900000002"]
    assert [file.path.name for file in find_sources(tmp_path, "allen-nwb")] == ["b.nwb"]


def test_mapping_of_another_source_beside_is_passed_over(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "900000001.nwb", tmp_path)
    (tmp_path / "mapping.yaml").write_text("{mapping: 1, source: suite2p}")
    (found,) = find_sources(tmp_path)
    assert (found.kind, found.mapping) == ("allen-nwb", None)
    (tmp_path / "900000001.nwb").unlink()
    with pytest.raises(UsageError, match="no recording found"):
        find_sources(tmp_path)


def test_nwb_2_read_as_nwb_1(nwb2_folder: Path) -> None:
    (file,) = find_sources(nwb2_folder / "900000000.nwb", "allen-nwb")
    with pytest.raises(SourceError, match=r"is an NWB 2.*Read it as `nwb2`"):
        file.open()
