from __future__ import annotations

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import World, load_world, session_ids, simulate, simulate_session
from poyodata.simulation import allen_writer as writer

SMALL = load_world("tiny").replace(neurons=3, trials_per_block=(4, 3))


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.nwb"))}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    first = simulate(tmp_path / "a", SMALL, seed=1)
    simulate(tmp_path / "b", SMALL, seed=1)
    simulate(tmp_path / "c", SMALL, seed=2)
    assert [file.stem for file in first] == session_ids(SMALL)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_more_recordings_leave_the_first_as_they_were(tmp_path: Path) -> None:
    simulate(tmp_path / "few", SMALL.replace(sessions=2), seed=1)
    simulate(tmp_path / "many", SMALL.replace(sessions=4), seed=1)
    few, many = digests(tmp_path / "few"), digests(tmp_path / "many")
    assert len(many) == 4
    assert few == {name: many[name] for name in few}


def test_a_recording_does_not_depend_on_the_others() -> None:
    alone, _ = simulate_session(SMALL, 2)
    simulate_session(SMALL, 0)
    again, _ = simulate_session(SMALL, 2)
    np.testing.assert_array_equal(alone.dff, again.dff)


def test_donors_hold_one_line_and_their_own_recordings() -> None:
    world = SMALL.replace(sessions=12, sessions_per_donor=2)
    metadata = pd.DataFrame([simulate_session(world, index)[0].metadata.__dict__ for index in range(12)])
    assert (metadata.groupby("donor_id").size() == 2).all()
    of_a_donor = metadata[["donor_id", "cre_line", "sex", "age_days", "genotype"]].drop_duplicates()
    assert len(of_a_donor) == 6
    assert metadata["container_id"].is_unique


def test_truth_and_world_lie_beside_the_files(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    simulate(tmp_path, SMALL, seed=4, progress=lambda done, total, label: calls.append((done, total, label)))
    assert [call[:2] for call in calls] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert load_world(tmp_path / "world.yaml") == SMALL.replace(seed=4)
    truth = pd.read_parquet(tmp_path / "truth" / "900000001.parquet")
    assert truth["cre_line"].tolist() == ["Cux2-CreERT2"] * 3
    assert truth.filter(like="fisher_direction_true").gt(0).all(axis=None)
    with h5py.File(tmp_path / "900000001.nwb") as file:
        ids = file["processing/brain_observatory_pipeline/ImageSegmentation/cell_specimen_ids"][()]
    assert truth["cell_specimen_id"].tolist() == ids.tolist()
    lineage = json.loads((tmp_path / "truth" / "900000001.json").read_text())
    assert lineage["seed"] == 4
    assert lineage["world_digest"] == SMALL.replace(seed=4).digest()


def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = simulate_session(SMALL, 0)
    path = tmp_path / "one.nwb"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_write_stimuli", fail)
    with pytest.raises(KeyboardInterrupt):
        writer.write_allen_nwb(path, session)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        writer.write_allen_nwb(path, session)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        simulate(tmp_path / "file" / "inner", SMALL)


@pytest.mark.parametrize(
    "other", [pytest.param(SMALL, id="seed"), pytest.param(SMALL.replace(sessions=1, seed=1), id="world")]
)
def test_folder_of_another_world_is_refused_untouched(other: World, tmp_path: Path) -> None:
    simulate(tmp_path, SMALL, seed=1)

    def content() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    before = content()
    with pytest.raises(UsageError, match=r"another world or seed.*choose another folder, or remove"):
        simulate(tmp_path, other)
    assert content() == before
    (tmp_path / "900000001.nwb").unlink()
    simulate(tmp_path, SMALL, seed=1)  # the same world may be written again
    assert content() == before


def test_world_without_movie_and_grey(tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, SMALL.replace(sessions=1, movie_repeats=0, spontaneous_s=0.0))
    with h5py.File(path) as file:
        assert list(file["stimulus/presentation"]) == ["drifting_gratings_stimulus"]
        assert "stimulus/templates" not in file


def test_allensdk_finds_what_it_decodes(tmp_path: Path) -> None:
    """Rules that AllenSDK's reader has beyond the paths: fixed-length strings, an age in days, a device sentence."""
    (path,) = simulate(tmp_path, SMALL.replace(sessions=1))
    with h5py.File(path) as file:
        assert file["general/subject/age"][()].decode().endswith(" days")
        assert file["general/devices/2-photon microscope"][()].decode().split(". ")[1].split()[1] == "Please"
        assert file["general/generated_by"][()][-1] == b"3.0"
        texts = [item for item in file["general"].values() if isinstance(item, h5py.Dataset)]
        assert all(item.dtype.kind == "S" for item in texts)
        base = file["processing/brain_observatory_pipeline"]
        assert base["Fluorescence/imaging_plane_1/data"].shape == base["DfOverF/imaging_plane_1/data"].shape
        names = base["ImageSegmentation/imaging_plane_1/roi_list"][()]
        assert base["ImageSegmentation/imaging_plane_1"][names[0]]["img_mask"].shape == (512, 512)
