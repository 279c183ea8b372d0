from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import Truth, World, load_world, session_ids, simulate, simulate_session
from poyodata.simulation import folder as folder_module
from poyodata.simulation.recording import SimulatedSession
from poyodata.simulation.size import expected_bytes
from poyodata.simulation.templates import Templates
from poyodata.simulation.traces import kernel

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


@pytest.mark.slow
def test_donors_hold_one_line_and_their_own_recordings() -> None:
    world = SMALL.replace(sessions=12, containers_per_donor=2)
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


def test_what_is_there_is_kept_and_the_rest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tmp_path, SMALL.replace(sessions=2))
    (tmp_path / "truth" / "900000001.json").unlink()  # as after a kill between the file and its truth
    made: list[int] = []
    alone = folder_module.simulate_session

    def watched(world: World, number: int, templates: Templates | None = None) -> tuple[SimulatedSession, Truth]:
        made.append(number)
        return alone(world, number, templates)

    monkeypatch.setattr(folder_module, "simulate_session", watched)
    assert len(simulate(tmp_path, SMALL)) == 3  # one more than before
    assert made == [1, 2]
    simulate(tmp_path, SMALL)
    assert made == [1, 2]
    with pytest.raises(UsageError, match="in the format allen-nwb, not nwb2; choose another folder"):
        simulate(tmp_path, SMALL, file_format="nwb2")
    assert made == [1, 2]
    assert load_world(tmp_path / "world.yaml").sessions == 3


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: os.truncate(path / "900000000.nwb", 1000), id="truncated"),
        pytest.param(lambda path: (path / "truth" / "900000000.parquet").unlink(), id="no_truth"),
        pytest.param(lambda path: (path / "truth" / "900000000.events.parquet").unlink(), id="no_events"),
        pytest.param(lambda path: (path / "templates.h5").unlink(), id="no_templates"),
        pytest.param(lambda path: (path / "truth" / "900000000.json").write_text("{"), id="broken_lineage"),
    ],
)
def test_damage_is_repaired(damage: Callable[[Path], object], tmp_path: Path) -> None:
    world = SMALL.replace(sessions=1, templates="linked")
    simulate(tmp_path, world)

    def names() -> dict[str, int]:
        return {str(file.relative_to(tmp_path)): file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()}

    before = names()
    damage(tmp_path)
    simulate(tmp_path, world)
    assert names() == before


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "900000000.nwb").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds NWB files that are no simulation of ours"):
        simulate(tmp_path, SMALL)
    assert (tmp_path / "900000000.nwb").read_bytes() == b"mine"


def test_a_world_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    with pytest.raises(
        UsageError, match=r"'allen-like' takes about \d\d\d\.\d GB and .* has 1\.0 GB free; .*--sessions"
    ):
        simulate(tmp_path, "allen-like")


@pytest.mark.slow
@pytest.mark.parametrize(("templates", "types"), [("inside", ("A", "B")), ("linked", ("A", "C", "C2"))])
def test_size_is_known_beforehand(
    templates: Literal["inside", "linked"], types: tuple[str, ...], tmp_path: Path
) -> None:
    world = load_world("tiny-sessions").replace(
        templates=templates, session_types=types, sessions=3, neurons=30, movie_height_px=152, movie_width_px=304
    )
    files = [*simulate(tmp_path, world), *tmp_path.glob("templates.h5")]
    assert expected_bytes(world) == pytest.approx(sum(file.stat().st_size for file in files), rel=0.3)


def test_world_without_movie_and_grey(tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, SMALL.replace(sessions=1, movie_repeats=0, spontaneous_s=0.0))
    with h5py.File(path) as file:
        assert list(file["stimulus/presentation"]) == ["drifting_gratings_stimulus"]
        assert list(file["stimulus/templates"]) == []


@pytest.fixture(scope="module")
def container() -> list[tuple[SimulatedSession, Truth]]:
    """Sessions A, B, C and C2 of one container."""
    world = load_world("tiny-sessions").replace(neurons=40)
    return [simulate_session(world, number) for number in range(4)]


def test_sessions_of_a_container_share_most_cells(container: list[tuple[SimulatedSession, Truth]]) -> None:
    cells = [set(session.rois.cell_specimen_id.tolist()) for session, _ in container]
    rois = [set(session.rois.roi_id.tolist()) for session, _ in container]
    for number, these in enumerate(cells):
        for other, those in enumerate(cells[:number]):
            assert 0.6 < len(these & those) / min(len(these), len(those)) < 1.0
            assert not rois[number] & rois[other]
    metadata = pd.DataFrame([session.metadata.__dict__ for session, _ in container])
    assert metadata["session_type"].tolist() == [f"three_session_{kind}" for kind in ("A", "B", "C", "C2")]
    assert metadata[["container_id", "donor_id", "area", "depth_um", "cre_line"]].drop_duplicates().shape == (1, 5)
    assert metadata["session_id"].is_unique


def test_a_cell_keeps_its_tuning_and_place(container: list[tuple[SimulatedSession, Truth]]) -> None:
    """All cells, copies and labelled regions among them."""
    first, second = (truth.neurons.set_index("cell_specimen_id") for _, truth in container[:2])
    shared = first.index.intersection(second.index)
    assert len(shared) > 25
    assert first.loc[shared, "duplicate_of"].notna().any()
    for name in ("preferred_direction_deg", "azimuth_deg", "x_um", "kind", "amplitude", "exclusion_label"):
        assert (first.loc[shared, name] == second.loc[shared, name]).all()
    rates = np.log(first.loc[shared, "base_rate_hz"] / second.loc[shared, "base_rate_hz"]).to_numpy(np.float64)
    assert 0.1 < rates.std() < 0.6  # a little changed


def test_near_duplicates_and_labelled_regions(container: list[tuple[SimulatedSession, Truth]]) -> None:
    session, truth = container[0]
    copies = truth.neurons["duplicate_of"].notna().to_numpy()
    labels = truth.neurons["exclusion_label"].to_numpy()
    assert copies.sum() >= 3
    assert sorted(set(labels)) == ["", "duplicate", "motion_border", "union"]
    assert (labels[copies] == "").sum() >= 2
    assert set(labels[copies]) <= {"", "duplicate"}  # not noticed, or noticed
    assert session.rois.exclusion_label == tuple(labels)
    row = dict(zip(session.rois.cell_specimen_id.tolist(), range(len(labels)), strict=True))
    for copy in np.flatnonzero(copies).tolist():
        source = row[int(truth.neurons["duplicate_of"].iloc[copy])]
        amplitude = truth.neurons["amplitude"].to_numpy()[[copy, source]]
        assert 0.8 < amplitude[0] / amplitude[1] < 1.2
        assert np.corrcoef(session.dff[[copy, source]])[0, 1] > 0.15
        pixels = [set(map(tuple, session.rois.pixels[k].tolist())) for k in (copy, source)]
        assert len(pixels[0] & pixels[1]) > 0.3 * len(pixels[0])


def test_events_make_the_trace() -> None:
    """Without noise dF/F is the events through the kernel, nothing else."""
    world = SMALL.replace(noise_scale=0.0, sessions=1)
    session, truth = simulate_session(world, 0)
    neuron = truth.neurons.iloc[1]
    events = truth.events[truth.events["neuron"] == 1]
    n = session.timeline.n_frames
    impulse = np.bincount(events["frame"], events["amplitude"], n)
    response = kernel(neuron["rise_s"], neuron["decay_s"], session.timeline.rate_hz, n, neuron["tail_share"])
    assert len(events) > 5
    np.testing.assert_allclose(session.dff[1], np.convolve(impulse, response)[:n], atol=1e-5)


def test_fluorescence_leads_back_to_dff() -> None:
    session, truth = simulate_session(load_world("tiny-sessions"), 0)
    light = session.fluorescence
    corrected = light.demixed - light.neuropil_r[:, None] * light.neuropil
    baseline = truth.neurons["baseline"].to_numpy()[:, None]
    np.testing.assert_allclose(corrected / baseline - 1.0, session.dff, atol=2e-5)
    sources = set(truth.neurons["duplicate_of"].dropna())
    overlaps = truth.neurons["duplicate_of"].notna() | truth.neurons["cell_specimen_id"].isin(sources)
    alone = ~overlaps.to_numpy()
    assert 0 < alone.sum() < len(alone)
    np.testing.assert_array_equal(light.raw[alone], light.demixed[alone])
    assert (light.raw[~alone].mean(axis=1) > 1.1 * light.demixed[~alone].mean(axis=1)).all()


def test_behaviour_goes_with_the_neurons() -> None:
    """Running and pupil follow arousal; so do neurons with a positive gain, and the others go against it."""
    world = load_world("tiny").replace(
        sessions=1, lines=("Vip-IRES-Cre",), neurons=60, trials_per_block=(200,), shared_gain_scale=2.0, noise_scale=0.1
    )
    session, truth = simulate_session(world, 0)
    eye = session.behaviour.eye
    assert eye is not None
    assert 0.0 < np.isnan(eye.area_px).mean() < 0.1
    pupil = pd.Series(np.log(eye.area_px)).interpolate(limit_direction="both").to_numpy()
    activity = pd.DataFrame(session.dff.T).rolling(60, center=True, min_periods=1).mean().to_numpy()
    follows = np.array([np.corrcoef(pupil, activity[:, k])[0, 1] for k in range(60)])
    assert np.corrcoef(follows, truth.neurons["arousal_gain"])[0, 1] > 0.6
    running = np.interp(session.timeline.time_s, session.behaviour.running_time_s, session.behaviour.running_speed)
    assert np.corrcoef(running, pupil)[0, 1] > 0.3
    assert set(session.behaviour.running_time_s) <= set(session.timeline.time_s)


def test_dropped_frames_leave_gaps_in_time_alone() -> None:
    world = load_world("tiny").replace(sessions=1, dropped_frames_per_hour=600.0)
    session, _ = simulate_session(world, 0)
    step = np.diff(session.timeline.time_s) * session.timeline.rate_hz
    assert (step > 1.5).sum() >= 5
    assert session.dff.shape[1] == session.timeline.n_frames == len(session.behaviour.motion_px)
    # All else is as without drops: the microscope missed frames, the neurons did not.
    whole, _ = simulate_session(world.replace(dropped_frames_per_hour=0.0), 0)
    kept = np.isin(whole.timeline.time_s, session.timeline.time_s)
    assert 0 < (~kept).sum() < 0.1 * len(kept)
    np.testing.assert_array_equal(session.dff, whole.dff[:, kept])
    np.testing.assert_array_equal(session.fluorescence.raw, whole.fluorescence.raw[:, kept])
    np.testing.assert_array_equal(session.behaviour.motion_px, whole.behaviour.motion_px[kept])
    assert session.behaviour.eye is not None
    assert len(session.behaviour.eye.time_s) == kept.sum()
    frame = np.flatnonzero(kept)[session.timeline.tables["drifting_gratings"]["start"]]
    assert np.abs(frame - whole.timeline.tables["drifting_gratings"]["start"]).max() <= 4


@pytest.mark.parametrize("file_format", ["allen-nwb", "nwb2"])
def test_formats(file_format: Literal["allen-nwb", "nwb2"], tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, SMALL.replace(sessions=1), file_format=file_format)
    with h5py.File(path) as file:
        assert ("nwb_version" in file.attrs) == (file_format == "nwb2")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'nwb3': did you mean 'nwb2'"):
        simulate(tmp_path, SMALL, file_format="nwb3")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_linked_templates_are_written_once(tmp_path: Path) -> None:
    paths = simulate(tmp_path, SMALL.replace(sessions=2, templates="linked"))
    assert (tmp_path / "templates.h5").is_file()
    frames = []
    for path in paths:
        with h5py.File(path) as file:
            stack = file["stimulus/templates"]
            links = [stack.get(name, getlink=True) for name in stack]
            links += [stack[name].get("data", getlink=True) for name in stack]
            assert any(isinstance(link, h5py.ExternalLink) for link in links)
            frames.append(file["stimulus/templates/natural_movie_one_image_stack/data"][()])
    np.testing.assert_array_equal(*frames)


@pytest.mark.slow
def test_a_tenth_of_eyes_is_tracked() -> None:
    world = SMALL.replace(sessions=60, eye_tracking_share=0.1, trials_per_block=(1,), movie_repeats=0)
    tracked = sum(simulate_session(world, number)[0].behaviour.eye is not None for number in range(60))
    assert 1 <= tracked <= 14
