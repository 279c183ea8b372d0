from __future__ import annotations

import errno
import importlib
import json

import pytest

from poyodata.errors import UsageError
from poyodata.export import FORMATS, LINEAGE, export, select
from tests.simulation.test_allen_writer import file_size_limit

every_format = pytest.mark.parametrize("form", FORMATS)


@every_format
def test_an_export_says_where_it_comes_from(store, tmp_path, form):
    table = export(select(store, where="cell_specimen_id == 101"), form, tmp_path / "out")
    about = json.loads((tmp_path / "out" / LINEAGE).read_text())
    assert about["complete"] is True
    assert about["format"] == form
    assert about["lineage"]["store"]["digest"] == store.digest
    assert about["lineage"]["where"] == "cell_specimen_id == 101"
    assert table[["session_id", "n_frames", "n_neurons", "status"]].to_numpy().tolist() == [
        ["gapped", 1500, 1, "written"],
        ["regular", 1500, 1, "written"],
    ]


@every_format
def test_a_stopped_export_goes_on(store, tmp_path, form, monkeypatch, files_of):
    module = importlib.import_module(FORMATS[form])
    write, selection, steps = module.write_recording, select(store), []

    def stopped(folder, recording):
        if recording.session_id == "regular":
            (folder / ".regular.x.partial").write_bytes(b"half")
            raise KeyboardInterrupt
        write(folder, recording)

    monkeypatch.setattr(module, "write_recording", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(selection, form, tmp_path / "out")
    assert json.loads((tmp_path / "out" / LINEAGE).read_text())["complete"] is False
    monkeypatch.setattr(module, "write_recording", write)
    table = export(selection, form, tmp_path / "out", progress=steps.append)
    assert table["status"].tolist() == ["kept", "written"]
    assert steps == [1, 1]
    assert not list((tmp_path / "out").rglob(".*")), "nothing half written is left"
    before = files_of(tmp_path / "out")
    assert export(selection, form, tmp_path / "out")["status"].tolist() == ["kept", "kept"]
    after = files_of(tmp_path / "out")
    assert {name: after[name] for name in after if "." in name} == before


def test_another_export_is_never_written_over(store, tmp_path, files_of):
    export(select(store, sessions=["regular"]), "numpy", tmp_path / "out")
    before = files_of(tmp_path / "out")
    for form, selection, what in (
        ("numpy", select(store, sessions=["gapped"]), "with another sessions and selection"),
        ("parquet", select(store, sessions=["regular"]), "of format numpy"),
    ):
        with pytest.raises(UsageError, match=f"holds another export \\({what}\\).*choose a new folder"):
            export(selection, form, tmp_path / "out")
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["somebody's.txt", LINEAGE], ids=["other-files", "no-lineage"])
def test_a_folder_of_somebody_else(store, tmp_path, files_of, name):
    (tmp_path / name).write_text("precious")
    before = files_of(tmp_path)
    with pytest.raises(UsageError, match=r"not empty and holds no export|cannot be read"):
        export(select(store), "numpy", tmp_path)
    assert files_of(tmp_path) == before


def test_an_unknown_format(store, tmp_path):
    with pytest.raises(UsageError, match="no format is called 'nwb': did you mean 'nwb2'"):
        export(select(store), "nwb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@every_format
def test_a_disk_that_fills_up(store, tmp_path, form):
    selection = select(store)
    with file_size_limit(9_000), pytest.raises(UsageError, match=r"cannot be written \(.*too large\).*free some space"):
        export(selection, form, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.stat().st_size]
    assert export(selection, form, tmp_path / "out")["status"].tolist() == ["written", "written"]


def test_a_folder_that_may_not_be_written(store, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UsageError, match=r"out cannot be written \(Permission denied\)"):
        export(select(store), "numpy", tmp_path / "out")
