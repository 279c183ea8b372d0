from __future__ import annotations

import dataclasses
import resource
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import allen_writer as writer
from poyodata.simulation.allen_writer import write_allen_nwb, write_templates
from poyodata.simulation.field_of_view import maximum_projection
from poyodata.simulation.recording import SimulatedSession
from tests.simulation.made_session import SESSION_STIMULI, made_session

PIPELINE = "processing/brain_observatory_pipeline"


def datasets(path: Path) -> dict[str, h5py.Dataset]:
    """Every dataset of an open file, by path, through external links too."""
    found: dict[str, object] = {}

    def walk(group: h5py.Group, at: str) -> None:
        for name, item in group.items():
            if isinstance(item, h5py.Group):
                walk(item, f"{at}{name}/")
            else:
                found[at + name] = item[()]

    with h5py.File(path) as file:
        walk(file, "")
    return found


def series(name: str, values: np.ndarray, time_s: np.ndarray, **more: object) -> dict[str, object]:
    content = {"data": values, "timestamps": time_s, "num_samples": len(time_s), **more}
    return {f"{name}/{part}": value for part, value in content.items()}


def texts(*values: str) -> np.ndarray:
    return np.array([value.encode() for value in values])


def expected(session: SimulatedSession) -> dict[str, object]:
    """Every dataset of the file but those under ``general``, written down a second time."""
    time_s, rois, names = session.timeline.time_s, session.rois, [f"roi_{n:04d}" for n in range(len(session.dff))]
    traces, seen = session.fluorescence, session.behaviour
    wanted: dict[str, object] = {
        "nwb_version": b"NWB-1.0.6",
        "identifier": b"poyodata simulation, session 900000003",
        "session_description": b"Simulated calcium imaging; no animal was recorded",
        "session_start_time": b"Mon Jan  2 10:00:00 2017",
        "file_create_date": texts("Mon Jan  2 10:00:00 2017"),
    }
    plane = f"{PIPELINE}/Fluorescence/imaging_plane_1"
    wanted |= series(f"{PIPELINE}/DfOverF/imaging_plane_1", session.dff, time_s, roi_names=texts(*names))
    wanted |= series(plane, traces.raw, time_s, roi_names=texts(*names))
    wanted |= series(
        f"{plane}_neuropil_response", traces.neuropil, time_s, roi_names=texts(*names), r=traces.neuropil_r
    )
    wanted |= series(f"{plane}_demixed_signal", traces.demixed, time_s, roi_names=texts(*names))
    base = f"{PIPELINE}/ImageSegmentation"
    wanted |= {
        f"{base}/cell_specimen_ids": rois.cell_specimen_id,
        f"{base}/roi_ids": texts(*map(str, rois.roi_id)),
        f"{base}/exclusion_labels": texts("", "duplicate", "", ""),
        f"{base}/imaging_plane_1/roi_list": texts(*names),
        f"{base}/imaging_plane_1/reference_images/maximum_intensity_projection_image/data": maximum_projection(session),
    }
    for name, pixels in zip(names, rois.pixels, strict=True):
        mask = np.zeros((512, 512), np.uint8)
        for x, y in pixels:
            mask[y, x] = 1
        wanted |= {
            f"{base}/imaging_plane_1/{name}/img_mask": mask,
            f"{base}/imaging_plane_1/{name}/pix_mask": pixels,
            f"{base}/imaging_plane_1/{name}/pix_mask_weight": np.ones(len(pixels), np.float32),
            f"{base}/imaging_plane_1/{name}/roi_description": name.encode(),
        }
    running = f"{PIPELINE}/BehavioralTimeSeries/running_speed"
    wanted |= series(running, seen.running_speed, seen.running_time_s)
    if (eye := seen.eye) is not None:
        wanted |= series(f"{PIPELINE}/EyeTracking/pupil_location_spherical", eye.location_deg, eye.time_s)
        wanted |= series(f"{PIPELINE}/EyeTracking/pupil_location", eye.location_cm, eye.time_s)
        wanted |= series(f"{PIPELINE}/PupilTracking/pupil_size", eye.area_px, eye.time_s)
    wanted |= series(
        f"{PIPELINE}/MotionCorrection/2p_image_series/xy_translation",
        seen.motion_px,
        time_s,
        feature_description=texts("x_motion", "y_motion"),
    )
    for stimulus, table in session.timeline.tables.items():
        frames, more = table[["start", "end"]].to_numpy(), {}
        if stimulus == "drifting_gratings":
            names = ["temporal_frequency", "orientation", "blank_sweep"]
            values = table[names].to_numpy()
            more = {"features": texts(*names), "feature_units": texts("Hz", "degrees", "boolean")}
        elif stimulus == "static_gratings":
            names = ["orientation", "spatial_frequency", "phase"]
            values = table[names].to_numpy()
            more = {"features": texts(*names), "feature_units": texts("degrees", "cycles/degree", "cycles")}
        elif stimulus == "spontaneous":
            ((first, stop),) = frames
            values, frames = np.array([1, -1], np.int8), np.array([[first, first], [stop, stop]])
        else:
            values = table["frame"].to_numpy()
        name = f"stimulus/presentation/{stimulus}_stimulus"
        wanted |= series(name, values, time_s[frames[:, 0]], frame_duration=frames, **more)
    for stimulus, frames in session.templates.items():
        name = f"stimulus/templates/{stimulus}_image_stack"
        wanted |= {f"{name}/data": frames, f"{name}/num_samples": len(frames)}
    return wanted


def assert_same(stored: dict[str, object], wanted: dict[str, object]) -> None:
    assert sorted(stored) == sorted(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(stored[name], value, err_msg=name)
        if isinstance(value, np.ndarray) and value.dtype.kind != "S":
            assert stored[name].dtype == value.dtype, name


@pytest.mark.parametrize(
    ("kind", "templates", "eye"),
    [
        pytest.param("A", "inside", True, id="A-inside-eye"),
        pytest.param("B", "inside", False, id="B-inside-no-eye"),
        pytest.param("B", "linked", True, id="B-linked-eye"),
        pytest.param("C", "linked", False, id="C-linked-no-eye"),
        pytest.param("C2", "inside", True, id="C2-inside-eye"),
    ],
)
def test_every_dataset_value_by_value(kind: str, templates: str, eye: bool, tmp_path: Path) -> None:
    session = made_session(kind, seed=3, eye=eye)
    path = write_allen_nwb(tmp_path / "new" / "one.nwb", session, templates)
    stored = datasets(path)
    assert_same({name: value for name, value in stored.items() if not name.startswith("general/")}, expected(session))
    with h5py.File(path) as file:
        assert ("EyeTracking" in file[PIPELINE], "PupilTracking" in file[PIPELINE]) == (eye, eye)


def test_general_says_whose_recording_it_is(tmp_path: Path) -> None:
    stored = datasets(write_allen_nwb(tmp_path / "one.nwb", made_session("B", seed=3)))
    plane = "optophysiology/imaging_plane_1"
    wanted = {
        "session_id": b"900000003",
        "ophys_experiment_id": b"900000003",
        "ophys_experiment_name": b"900000003_B",
        "experiment_container_id": b"511510753",
        "session_type": b"three_session_B",
        "specimen_name": b"Cux2-CreERT2;Camk2a-tTA;Ai93-222426",
        "targeted_structure": b"VISp",
        "fov": b"400x400 microns (512 x 512 pixels)",
        "pixel_size": b"0.78 microns",
        "institution": b"none: simulated",
        "For more information": b"Documentation of poyodata.simulation",
        "devices/2-photon microscope": b"Simulated microscope. SIM2P.1 Please see general/generated_by.",
        "subject/subject_id": b"222426",
        "subject/description": b"Simulated mouse",
        "subject/species": b"Mus musculus",
        "subject/genotype": b"Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)",
        "subject/sex": b"female",
        "subject/age": b"104 days",
        f"{plane}/location": b"VISp",
        f"{plane}/imaging depth": b"275 microns",
        f"{plane}/indicator": b"GCaMP6f",
        f"{plane}/excitation_lambda": b"910 nanometers",
        f"{plane}/imaging_rate": b"30.0000",
    }
    general = {name.removeprefix("general/"): value for name, value in stored.items() if name.startswith("general/")}
    assert general.pop("generated_by")[[0, -1]].tolist() == [b"poyodata.simulation", b"3.0"]
    assert general == wanted


def test_every_text_has_a_fixed_length(tmp_path: Path) -> None:
    with h5py.File(write_allen_nwb(tmp_path / "one.nwb", made_session())) as file:
        kinds: dict[str, str] = {}
        file.visititems(lambda name, item: kinds.update({name: item.dtype.kind} if hasattr(item, "dtype") else {}))
        assert set(kinds.values()) == {"f", "i", "u", "S"}
        assert file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"].attrs["unit"] == b"dF/F"


def test_layout_on_disk_is_fast(tmp_path: Path) -> None:
    with h5py.File(write_allen_nwb(tmp_path / "one.nwb", made_session())) as file:
        for name in (f"{PIPELINE}/DfOverF/imaging_plane_1", "stimulus/templates/natural_movie_one_image_stack"):
            assert file[name]["data"].chunks is None, name
        mask = file[f"{PIPELINE}/ImageSegmentation/imaging_plane_1/roi_0000/img_mask"]
        assert (mask.compression, mask.compression_opts) == ("gzip", 1)


def test_same_recording_same_bytes(tmp_path: Path) -> None:
    one, two = (write_allen_nwb(tmp_path / name, made_session("C2")) for name in ("one.nwb", "two.nwb"))
    assert one.read_bytes() == two.read_bytes()


def test_spontaneous_to_the_last_frame(tmp_path: Path) -> None:
    session = made_session()
    session.timeline.tables["spontaneous"]["end"] = session.timeline.n_frames
    stored = datasets(write_allen_nwb(tmp_path / "one.nwb", session))
    assert stored["stimulus/presentation/spontaneous_stimulus/timestamps"][1] == session.timeline.time_s[-1]


def test_no_neurons_and_no_tables(tmp_path: Path) -> None:
    session = made_session(neurons=0)
    session = dataclasses.replace(session, timeline=dataclasses.replace(session.timeline, tables={}), templates={})
    stored = datasets(write_allen_nwb(tmp_path / "one.nwb", session))
    assert stored[f"{PIPELINE}/DfOverF/imaging_plane_1/data"].shape == (0, 600)
    assert not [name for name in stored if name.startswith("stimulus")]


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces may come as views of (time, neuron) arrays; a whole copy would show."""
    session = made_session(neurons=64, frames=10_000)
    session = dataclasses.replace(session, dff=np.asfortranarray(session.dff))
    image = np.zeros((512, 512), np.uint8)
    monkeypatch.setattr(writer, "maximum_projection", lambda _: image)
    monkeypatch.setattr(writer, "_WRITE_BYTES", 1 << 16)
    tracemalloc.start()
    write_allen_nwb(tmp_path / "one.nwb", session)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < session.dff.nbytes / 2
    stored = datasets(tmp_path / "one.nwb")[f"{PIPELINE}/DfOverF/imaging_plane_1/data"]
    np.testing.assert_array_equal(stored, session.dff)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1_000, 20_000, 100_000], ids=["at-once", "in-the-texts", "in-the-traces"])
def test_disk_that_fills_up(size: int, tmp_path: Path) -> None:
    session = made_session(neurons=20)
    path = tmp_path / "one.nwb"
    with file_size_limit(size), pytest.raises(UsageError, match=r"one\.nwb cannot be written \(.*too large\); free"):
        write_allen_nwb(path, session)
    assert list(tmp_path.iterdir()) == []
    with file_size_limit(20_000), pytest.raises(UsageError, match=r"templates\.h5 cannot be written"):
        write_templates(tmp_path, {"natural_movie_one": np.zeros((40, 30, 40), np.uint8)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails", ["_write_traces", "_write_masks", "_write_stimuli"])
def test_a_failure_leaves_no_file(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, fails, fail)
    path = tmp_path / "one.nwb"
    with pytest.raises(KeyboardInterrupt):
        write_allen_nwb(path, made_session())
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_allen_nwb(path, made_session())
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_allen_nwb(tmp_path / "file" / "one.nwb", made_session())


def test_linked_templates_follow_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    sessions = {kind: made_session(kind, seed=number) for number, kind in enumerate(SESSION_STIMULI)}
    for kind, session in sessions.items():
        write_allen_nwb(folder / f"{kind}.nwb", session, "linked")
    assert sorted(file.name for file in folder.iterdir()) == ["A.nwb", "B.nwb", "C.nwb", "C2.nwb", "templates.h5"]
    folder = Path(shutil.move(folder, tmp_path / "there"))
    for kind, session in sessions.items():
        with h5py.File(folder / f"{kind}.nwb") as file:
            stacks = file["stimulus/templates"]
            assert sorted(stacks) == sorted(f"{name}_image_stack" for name in session.templates)
            for name, frames in session.templates.items():
                link = stacks.get(f"{name}_image_stack", getlink=True)
                assert (link.filename, link.path) == ("templates.h5", f"/{name}_image_stack")
                np.testing.assert_array_equal(stacks[f"{name}_image_stack/data"][()], frames)
    (folder / "templates.h5").unlink()
    with h5py.File(folder / "A.nwb") as file, pytest.raises(KeyError):
        file["stimulus/templates/natural_movie_one_image_stack"]


def test_templates_file_is_written_once(tmp_path: Path) -> None:
    write_allen_nwb(tmp_path / "A.nwb", made_session("A"), "linked")
    before = (tmp_path / "templates.h5").stat()
    write_allen_nwb(tmp_path / "A2.nwb", made_session("A", seed=1), "linked")
    assert (tmp_path / "templates.h5").stat().st_ino == before.st_ino
    write_allen_nwb(tmp_path / "C.nwb", made_session("C"), "linked")
    with h5py.File(tmp_path / "templates.h5") as file:
        movies = ["natural_movie_one", "natural_movie_three", "natural_movie_two"]
        assert list(file) == [f"{name}_image_stack" for name in ["locally_sparse_noise", *movies]]


def _other_value(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["natural_movie_one_image_stack/data"][-1, -1, -1] ^= 1


def _other_shape(path: Path) -> None:
    path.unlink()
    write_templates(path.parent, {"natural_movie_one": np.zeros((2, 3, 4), np.uint8)})


def _no_hdf5(path: Path) -> None:
    path.write_bytes(b"not HDF5")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(_other_value, r"holds another natural_movie_one \(shape", id="value"),
        pytest.param(_other_shape, r"holds another natural_movie_one \(shape \(2, 3, 4\)\)", id="shape"),
        pytest.param(_no_hdf5, r"is no HDF5 file of stimulus templates", id="no-hdf5"),
    ],
)
def test_other_templates_are_refused_and_kept(spoil, message: str, tmp_path: Path) -> None:
    write_allen_nwb(tmp_path / "A.nwb", made_session("A"), "linked")
    spoil(tmp_path / "templates.h5")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=message):
        write_allen_nwb(tmp_path / "B.nwb", made_session("B"), "linked")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    write_allen_nwb(tmp_path / "B.nwb", made_session("B"), "inside")


def test_a_failure_in_the_templates_keeps_the_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_templates(tmp_path, {"natural_movie_one": np.ones((2, 3, 4), np.uint8)})

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_write_templates", fail)
    with pytest.raises(KeyboardInterrupt):
        write_templates(tmp_path, {"natural_movie_two": np.ones((2, 3, 4), np.uint8)})
    assert [file.name for file in tmp_path.iterdir()] == ["templates.h5"]
    assert set(datasets(tmp_path / "templates.h5")) == {
        "natural_movie_one_image_stack/data",
        "natural_movie_one_image_stack/num_samples",
    }


def test_maximum_projection_shows_the_regions() -> None:
    session = made_session(seed=2)
    image = maximum_projection(session)
    assert (image.shape, image.dtype) == ((512, 512), np.uint8)
    inside = np.zeros((512, 512), bool)
    for pixels in session.rois.pixels:
        inside[pixels[:, 1], pixels[:, 0]] = True
    assert image[inside].mean() > 2 * image[~inside].mean()
    assert image[~inside].std() > 5
    np.testing.assert_array_equal(image, maximum_projection(session))
    assert (image != maximum_projection(made_session(seed=3))).any()
