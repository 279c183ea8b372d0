from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.simulation.recording import SimulatedSession
from poyodata.sources import SessionRecord, read_allen_nwb
from poyodata.sources.record import SessionMetadata

PIPELINE = "processing/brain_observatory_pipeline"
DFF = f"{PIPELINE}/DfOverF/imaging_plane_1"
GRATINGS = "stimulus/presentation/drifting_gratings_stimulus"
GENOTYPE = "general/subject/genotype"
DEVICE = "general/devices/2-photon microscope"
EXCITATION = "general/optophysiology/imaging_plane_1/excitation_lambda"
Made = Callable[[str], tuple[SimulatedSession, Path]]


@pytest.fixture
def record(made: Made) -> SessionRecord:
    return read_allen_nwb(made("A")[1])


@pytest.mark.parametrize("session_type", ["A", "B", "C", "C2"])
def test_traces_clock_and_metadata(session_type: str, made: Made) -> None:
    session, path = made(session_type)
    record = read_allen_nwb(path)
    np.testing.assert_array_equal(np.concatenate(list(record.blocks(100))), session.dff.T)
    np.testing.assert_array_equal(record.time_s, session.timeline.time_s)
    assert record.metadata == dataclasses.replace(
        session.metadata,
        specimen_name="Cux2-CreERT2;Camk2a-tTA;Ai93-222426",
        start_time="2017-01-02T10:00:00",
        device="Simulated microscope. SIM2P.1 Please see general/generated_by.",
        excitation_nm=910.0,
        fov="400x400 microns (512 x 512 pixels)",
        pipeline_version="3.0",
    )
    assert record.segments.tolist() == [[0, 200], [200, 600]]  # a frame was dropped
    assert len(record.source_digest) == 32


def test_epochs(record: SessionRecord) -> None:
    table = record.presentations
    assert list(dict.fromkeys(zip(table["epoch"], table["stimulus"], strict=True))) == [
        (0, "drifting_gratings"),
        (1, "natural_movie_one"),
        (2, "natural_movie_three"),
        (3, "spontaneous"),
    ]


def test_gap_in_the_clock_is_a_segment(edited: Callable[..., Path]) -> None:
    def drop(file: h5py.File) -> None:
        file[f"{DFF}/timestamps"][100:] += 5.0

    assert read_allen_nwb(edited(drop)).segments.tolist() == [[0, 100], [100, 200], [200, 600]]


@pytest.mark.parametrize("age", [b"123 days", b"P123", b"123"])
def test_age_however_it_is_written(age: bytes, edited: Callable[..., Path]) -> None:
    assert read_allen_nwb(edited(rewrite("general/subject/age", np.bytes_(age)))).metadata.age_days == 123.0


@pytest.mark.parametrize(
    ("name", "stored", "field", "expected"),
    [
        ("session_start_time", np.bytes_(b"Thu Feb 11 09:54:37 2016"), "start_time", "2016-02-11T09:54:37"),
        ("session_start_time", np.bytes_(b" Thu Feb  4 10:25:24 2016\n"), "start_time", "2016-02-04T10:25:24"),
        ("session_start_time", "2016-02-11 09:54:37.5", "start_time", "2016-02-11T09:54:37.500000"),
        ("session_start_time", "2016-02-11T09:54:37+01:00", "start_time", "2016-02-11T09:54:37+01:00"),
        ("session_start_time", np.bytes_(b"one day in May "), "start_time", "one day in May "),
        ("session_start_time", np.bytes_(b"Thu Feb 30 09:54:37 2016"), "start_time", "Thu Feb 30 09:54:37 2016"),
        ("session_start_time", np.bytes_(b""), "start_time", ""),
        (EXCITATION, "920.5 nm", "excitation_nm", 920.5),
        (EXCITATION, np.bytes_(b" 910nanometres"), "excitation_nm", 910.0),
        (EXCITATION, np.float64(910.0), "excitation_nm", 910.0),
        (EXCITATION, "9.1e-07", "excitation_nm", np.nan),
        (EXCITATION, "0.91 um", "excitation_nm", np.nan),
        (EXCITATION, "infrared", "excitation_nm", np.nan),
        (DEVICE, "A microscope\nof ours", "device", "A microscope\nof ours"),
        ("general/fov", "all of it", "fov", "all of it"),
        ("general/generated_by", np.array([b"pipeline", b"x", b"version", b"1.0"]), "pipeline_version", "1.0"),
        ("general/generated_by", np.empty(0, "S3"), "pipeline_version", "0.9"),
    ],
)
def test_metadata_however_it_is_written(
    name: str, stored: object, field: str, expected: object, edited: Callable[..., Path]
) -> None:
    np.testing.assert_equal(getattr(read_allen_nwb(edited(rewrite(name, stored))).metadata, field), expected)


def test_metadata_that_the_file_lacks(made: Made, edited: Callable[..., Path]) -> None:
    def remove_all(file: h5py.File) -> None:
        for name in ("session_start_time", DEVICE, EXCITATION, "general/fov", "general/generated_by"):
            del file[name]

    metadata = read_allen_nwb(edited(remove_all)).metadata
    assert (metadata.start_time, metadata.device, metadata.fov) == ("", "", "")
    assert np.isnan(metadata.excitation_nm)
    assert metadata.pipeline_version == "0.9"  # of files older than the custom to say it
    assert metadata.genotype == made("A")[0].metadata.genotype


def test_what_a_source_does_not_know_is_missing() -> None:
    texts = dict.fromkeys(("session_id", "donor_id", "container_id", "cre_line", "area"), "x")
    metadata = dataclasses.asdict(SessionMetadata(**texts, depth_um=1.0))
    missing = {name: value for name, value in metadata.items() if name not in texts and name != "depth_um"}
    numbers = {"age_days", "excitation_nm"}
    np.testing.assert_equal(missing, {name: np.nan if name in numbers else "" for name in missing})
    assert {"specimen_name", "start_time", "device", "fov", "pipeline_version"} | numbers <= set(missing)


def test_an_epoch_in_five_parts_comes_in(edited: Callable[..., Path]) -> None:
    """AllenSDK raises EpochSeparationException as soon as a stimulus pauses three times."""
    start = np.array([5, 15, 330, 345, 390, 480, 590])

    def split(file: h5py.File) -> None:
        for name in list(file["stimulus/presentation"]):
            if name != "drifting_gratings_stimulus":
                del file[f"stimulus/presentation/{name}"]
        for name in ("data", "frame_duration"):
            values = file[f"{GRATINGS}/{name}"][()]
            del file[f"{GRATINGS}/{name}"]
            file[f"{GRATINGS}/{name}"] = (
                np.resize(values, (len(start), 3)) if name == "data" else np.column_stack([start, start + 5])
            )
        for frame in (300, 360, 400, 500):
            file[f"{DFF}/timestamps"][frame:] += 60.0

    table = read_allen_nwb(edited(split)).presentations
    assert table["start_frame"].tolist() == start.tolist()
    assert table["epoch"].tolist() == [0, 0, 1, 1, 2, 3, 4]
    assert table["trial"].tolist() == list(range(7))


SHOWN = {"drifting_gratings", "natural_movie_one", "natural_movie_three", "spontaneous"}


@pytest.mark.parametrize(
    "name",
    [
        "stimulus",
        "stimulus/presentation",
        "stimulus/presentation/spontaneous_stimulus",
        "stimulus/templates",
        f"{PIPELINE}/Fluorescence",
        f"{PIPELINE}/Fluorescence/imaging_plane_1_demixed_signal",
        f"{PIPELINE}/EyeTracking",
        f"{PIPELINE}/PupilTracking",
        f"{PIPELINE}/MotionCorrection",
        f"{PIPELINE}/BehavioralTimeSeries",
        f"{PIPELINE}/ImageSegmentation/imaging_plane_1",
        f"{PIPELINE}/ImageSegmentation/roi_ids",
        "general/fov",
        "general/generated_by",
        "general/session_type",
        "general/subject/age",
        "nwb_version",
    ],
)
def test_a_recording_comes_in_without_a_part(name: str, made: Made, edited: Callable[..., Path]) -> None:
    lost = {
        "stimulus": SHOWN,
        "stimulus/presentation": SHOWN,
        "stimulus/presentation/spontaneous_stimulus": {"spontaneous"},
    }
    record = read_allen_nwb(edited(remove(name)))
    np.testing.assert_array_equal(record.read_traces(0, 600), made("A")[0].dff.T)
    assert set(record.presentations["stimulus"]) == SHOWN - lost.get(name, set())
    assert len(record.templates) == (0 if name in ("stimulus", "stimulus/templates") else 2)


def rewrite(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


def remove(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            rewrite(GENOTYPE, np.bytes_(b"Ssst-IRES-Cre/wt")),
            "unknown CRE line 'Ssst-IRES-Cre/wt': did you mean 'Sst-IRES-Cre'",
            id="unknown_line",
        ),
        pytest.param(
            rewrite("general/specimen_name", np.bytes_(b"mouse")), "must end in the donor's number", id="no_donor"
        ),
        pytest.param(
            rewrite("nwb_version", np.bytes_(b"2.2.5")),
            "is an NWB 2.2.5 file; this source reads the NWB 1.0",
            id="nwb_2",
        ),
        pytest.param(
            remove(f"{DFF}/data"),
            "not one of the Allen Brain Observatory: it has no processing/.*DfOverF",
            id="no_traces",
        ),
        pytest.param(remove("general"), "it has no general/session_id.*and 3 more", id="no_metadata"),
        pytest.param(
            rewrite(f"{DFF}/timestamps", np.arange(10.0)),
            r"4 cell specimen ids and 10 timestamps",
            id="clock_too_short",
        ),
        pytest.param(
            rewrite(f"{DFF}/data", np.zeros((600, 4))), "a \\(neuron, time\\) array was expected", id="transposed"
        ),
        pytest.param(remove(f"{GRATINGS}/frame_duration"), "has no frame_duration", id="no_frames"),
        pytest.param(remove(f"{GRATINGS}/features"), "has the features none", id="no_features"),
        pytest.param(
            rewrite(f"{GRATINGS}/frame_duration", np.full((4, 2), 10**6)),
            "row 0 of drifting_gratings spans frames 1000000",
            id="beyond_the_end",
        ),
        pytest.param(
            rewrite("stimulus/presentation/spontaneous_stimulus/data", np.array([1, 1])),
            "2 starts and 0 ends",
            id="grey_never_ends",
        ),
    ],
)
def test_bad_file(change: Callable[[h5py.File], None], message: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_allen_nwb(edited(change))
    assert str(caught.value).count("edited.nwb") == 1


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated_file(share: float, made: Made, tmp_path: Path) -> None:
    whole = made("A")[1].read_bytes()
    path = tmp_path / "cut.nwb"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=r"cut.nwb is a truncated or damaged HDF5 file"):
        read_allen_nwb(path)


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone.nwb does not exist"):
        read_allen_nwb(tmp_path / "gone.nwb")
    (tmp_path / "text.nwb").write_text("hello")
    with pytest.raises(SourceError, match=r"text.nwb is not an HDF5 file"):
        read_allen_nwb(tmp_path / "text.nwb")
    with h5py.File(tmp_path / "plain.nwb", "w") as file:
        file["x"] = 1
    with pytest.raises(SourceError, match=r"is an HDF5 file but not one of the Allen Brain Observatory"):
        read_allen_nwb(tmp_path / "plain.nwb")


PARTS = (
    f"{DFF}/data",
    f"{DFF}/timestamps",
    f"{PIPELINE}/Fluorescence/imaging_plane_1/data",
    f"{PIPELINE}/Fluorescence/imaging_plane_1/timestamps",
    f"{PIPELINE}/Fluorescence/imaging_plane_1_neuropil_response/data",
    f"{PIPELINE}/Fluorescence/imaging_plane_1_neuropil_response/r",
    f"{PIPELINE}/Fluorescence/imaging_plane_1_demixed_signal/data",
    f"{PIPELINE}/ImageSegmentation/cell_specimen_ids",
    f"{PIPELINE}/ImageSegmentation/roi_ids",
    f"{PIPELINE}/ImageSegmentation/exclusion_labels",
    f"{PIPELINE}/ImageSegmentation/imaging_plane_1/roi_list",
    f"{PIPELINE}/ImageSegmentation/imaging_plane_1/roi_0001/img_mask",
    f"{PIPELINE}/ImageSegmentation/imaging_plane_1/reference_images/maximum_intensity_projection_image/data",
    f"{PIPELINE}/BehavioralTimeSeries/running_speed/data",
    f"{PIPELINE}/PupilTracking/pupil_size/timestamps",
    f"{PIPELINE}/MotionCorrection/2p_image_series/xy_translation/feature_description",
    f"{GRATINGS}/data",
    f"{GRATINGS}/frame_duration",
    f"{GRATINGS}/features",
    "general/session_id",
    "general/generated_by",
    "general/fov",
    "nwb_version",
)


@pytest.mark.parametrize("name", [*PARTS, "stimulus/templates/natural_movie_one_image_stack/data"])
def test_a_group_in_place_of_a_dataset(name: str, edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    with pytest.raises(SourceError, match=f"edited.nwb: {name} is a group, a dataset was expected"):
        read_allen_nwb(edited(change))


@pytest.mark.parametrize("name", ["stimulus/presentation", "stimulus/templates"])
def test_a_dataset_in_place_of_a_group(name: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=f"edited.nwb: {name} is a dataset, a group was expected"):
        read_allen_nwb(edited(rewrite(name, 1)))


@pytest.mark.parametrize("name", [name for name in PARTS if not name.endswith("/data") or "running" in name])
def test_a_huge_declared_shape(name: str, edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        kind = file[name].dtype
        del file[name]
        file.create_dataset(name, (2**45,), kind)

    with pytest.raises(SourceError, match=f"edited.nwb: {name} declares the shape"):
        read_allen_nwb(edited(change))


def test_frames_of_a_stimulus_that_are_no_numbers(edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        frames = file[f"{GRATINGS}/frame_duration"][()].astype(float)
        frames[1, 0] = np.nan
        rewrite(f"{GRATINGS}/frame_duration", frames)(file)

    with pytest.raises(SourceError, match=f"{GRATINGS}/frame_duration holds nan; whole numbers were expected"):
        read_allen_nwb(edited(change))
