"""Files of early pipelines, incomplete ones and those on which AllenSDK raises: what the judge makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.allensdk.answers import ask_allensdk
from poyodata.allensdk.comparison import compare
from poyodata.allensdk.judge import judge
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.sources.allen_nwb import read_allen_nwb
from tests.allensdk.test_judge import by_quantity, states
from tests.simulation.made_session import made_session

pytestmark = pytest.mark.slow

PIPELINE = "processing/brain_observatory_pipeline"
PRESENTATION = "stimulus/presentation"
GRATINGS = f"{PRESENTATION}/drifting_gratings_stimulus"
MOVIE = f"{PRESENTATION}/natural_movie_one_stimulus"
RUNNING = f"{PIPELINE}/BehavioralTimeSeries/running_speed"
FLUORESCENCE = f"{PIPELINE}/Fluorescence/imaging_plane_1"
PUPIL = {"pupil location in degrees", "pupil location in cm", "pupil size"}

Edit = Callable[[h5py.File], None]


def put(file: h5py.File, name: str, values: object) -> None:
    if name in file:
        del file[name]
    file[name] = values


def no_eye(file: h5py.File) -> None:
    del file[f"{PIPELINE}/EyeTracking"], file[f"{PIPELINE}/PupilTracking"]


def no_demixing(file: h5py.File) -> None:
    del file[f"{FLUORESCENCE}_demixed_signal"]


def sweeps_at(*starts: int) -> Edit:
    """Move the four sweeps, of 25 frames now, so that long pauses lie between them."""
    return lambda file: put(file, f"{GRATINGS}/frame_duration", np.array([[start, start + 25] for start in starts]))


def movie_broken_off(file: h5py.File) -> None:
    for part in ("data", "frame_duration"):
        put(file, f"{MOVIE}/{part}", file[f"{MOVIE}/{part}"][:-3])


def movie_ends_within_a_frame(file: h5py.File) -> None:
    frames = file[f"{MOVIE}/frame_duration"][()]
    frames[-1, 1] = frames[-1, 0]
    put(file, f"{MOVIE}/frame_duration", frames)


def blanks_with_an_orientation(file: h5py.File) -> None:
    features = [name.decode() for name in file[f"{GRATINGS}/features"][()]]
    values = file[f"{GRATINGS}/data"][()]
    values[values[:, features.index("blank_sweep")] == 1, features.index("orientation")] = 0.0
    put(file, f"{GRATINGS}/data", values)


def running_as_a_column(file: h5py.File) -> None:
    put(file, f"{RUNNING}/data", file[f"{RUNNING}/data"][()][:, np.newaxis])


def running_on_another_clock(file: h5py.File) -> None:
    put(file, f"{RUNNING}/timestamps", file[f"{RUNNING}/timestamps"][()] + 0.01)


def running_on_the_whole_clock(file: h5py.File) -> None:
    put(file, f"{RUNNING}/timestamps", file[f"{FLUORESCENCE}/timestamps"][()])
    put(file, f"{RUNNING}/data", np.arange(600.0))


def dff_in_double(file: h5py.File) -> None:
    name = f"{PIPELINE}/DfOverF/imaging_plane_1/data"
    put(file, name, file[name][()].astype(np.float64) + 1e-12)


def ids_as_texts(file: h5py.File) -> None:
    name = f"{PIPELINE}/ImageSegmentation/roi_ids"
    put(file, name, file[name][()].astype("S"))


def first_pipeline(file: h5py.File) -> None:
    put(file, "general/generated_by", np.array([b"pipeline", b"x", b"version", b"1.0"]))
    around = f"{FLUORESCENCE}_neuropil_response"
    put(file, f"{FLUORESCENCE}/neuropil_traces", file[f"{around}/data"][()])
    put(file, f"{FLUORESCENCE}/r", file[f"{around}/r"][()])
    del file[around], file[f"{FLUORESCENCE}_demixed_signal"]


def before_versions(file: h5py.File) -> None:
    first_pipeline(file)
    del file["general/generated_by"]


def unknown_age(file: h5py.File) -> None:
    put(file, "general/subject/age", np.bytes_(b"unknown"))


def unknown_start_time(file: h5py.File) -> None:
    put(file, "session_start_time", np.bytes_(b"soon"))


def session_id_in_an_array(file: h5py.File) -> None:
    put(file, "general/session_id", np.array([b"900000000"]))


def without(*names: str) -> Edit:
    def edit(file: h5py.File) -> None:
        for name in names:
            del file[name]

    return edit


IMAGE = f"{PIPELINE}/ImageSegmentation/imaging_plane_1/reference_images"
DEVICE = "general/devices/2-photon microscope"
EXCITATION = "general/optophysiology/imaging_plane_1/excitation_lambda"
CUTS = "pauses within a stimulus are epochs' ends for AllenSDK"


@pytest.mark.parametrize(
    ("edit", "raises", "notes"),
    [
        pytest.param(no_eye, PUPIL, {"pupil size": ""}, id="no eye tracking"),
        pytest.param(no_demixing, {"demixed traces", "corrected traces"}, {}, id="no demixing"),
        pytest.param(sweeps_at(6, 86, 166, 246), {"epochs", "master table"}, {}, id="too many epochs"),
        pytest.param(sweeps_at(1, 26, 91, 116), set(), {"epochs": CUTS}, id="epochs cut by frames"),
        pytest.param(
            movie_broken_off, {"table natural_movie_one", "epochs", "master table"}, {}, id="movie broken off"
        ),
        pytest.param(
            movie_ends_within_a_frame,
            set(),
            {"epochs": "1 end with a presentation shorter than a frame"},
            id="movie ends within a frame",
        ),
        pytest.param(
            blanks_with_an_orientation,
            set(),
            {"table drifting_gratings": "orientation of blanks is NaN with us"},
            id="blanks with an orientation",
        ),
        pytest.param(running_as_a_column, set(), {"running speed": "pads with NaN"}, id="running as a column"),
        pytest.param(running_on_another_clock, {"running speed"}, {}, id="running on another clock"),
        pytest.param(running_on_the_whole_clock, set(), {"running speed": ""}, id="running on the whole clock"),
        pytest.param(dff_in_double, set(), {"dff traces": "AllenSDK's float64, rounded once"}, id="dff in double"),
        pytest.param(ids_as_texts, set(), {"roi_ids": ""}, id="ids as texts"),
        pytest.param(first_pipeline, {"demixed traces"}, {"corrected traces": "rounded once"}, id="first pipeline"),
        pytest.param(
            before_versions,
            {"demixed traces"},
            {"corrected traces": "rounded once", "metadata pipeline_version": ""},
            id="before versions",
        ),
        pytest.param(without(IMAGE), {"maximum projection"}, {}, id="no image"),
        pytest.param(
            without("session_start_time", DEVICE, EXCITATION, "general/fov"),
            set(),
            {"metadata session_start_time": "", "metadata excitation_lambda": "", "metadata device": ""},
            id="little metadata",
        ),
        pytest.param(
            lambda file: put(file, "session_start_time", np.bytes_(b"2016-02-11 09:54:37.25")),
            set(),
            {"metadata session_start_time": ""},
            id="start time in ISO 8601",
        ),
    ],
)
def test_it_agrees_and_says_why(
    edit: Edit, raises: set[str], notes: dict[str, str], allen_python: Path, tmp_path: Path
) -> None:
    path = write_allen_nwb(tmp_path / "odd.nwb", made_session("A"))
    with h5py.File(path, "r+") as file:
        edit(file)
    verdict = judge(path)
    assert states(verdict.findings, "differs") == set(), verdict.to_text()
    assert states(verdict.findings, "AllenSDK raises") == raises
    rows = by_quantity(verdict.findings)
    for quantity, note in notes.items():
        assert note in rows[quantity].note
        assert note or not rows[quantity].note


def test_a_wavelength_without_a_number_is_not_kept(allen_python: Path, tmp_path: Path) -> None:
    path = write_allen_nwb(tmp_path / "odd.nwb", made_session("A"))
    with h5py.File(path, "r+") as file:
        put(file, EXCITATION, np.bytes_(b"infrared"))
    verdict = judge(path)
    assert verdict.agrees
    assert states(verdict.findings, "not kept") == {"metadata excitation_lambda"}
    assert by_quantity(verdict.findings)["metadata excitation_lambda"].note == (
        "as the number of its nanometres, but it has none"
    )


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(unknown_age, "OSError: Could not parse age.", id="age"),
        pytest.param(unknown_start_time, "ParserError: ", id="start time"),
        pytest.param(session_id_in_an_array, "", id="session id in an array"),
    ],
)
def test_where_allensdk_cannot_open_the_file(edit: Edit, said: str, allen_python: Path, tmp_path: Path) -> None:
    path = write_allen_nwb(tmp_path / "odd.nwb", made_session("A"))
    with h5py.File(path, "r+") as file:
        edit(file)
    verdict = judge(path)
    assert not verdict.agrees
    assert f"cannot open the file ({said}" in verdict.summary()
    assert {finding.state for finding in verdict.findings} == {"AllenSDK raises"}
    assert all(finding.allensdk.startswith(said) for finding in verdict.findings)


def test_eye_tracking_that_only_we_see_is_a_difference(allen_python: Path, tmp_path: Path) -> None:
    blind, seeing = (write_allen_nwb(tmp_path / f"{name}.nwb", made_session("A")) for name in ("blind", "seeing"))
    with h5py.File(blind, "r+") as file:
        no_eye(file)
    (tmp_path / "answers").mkdir()
    findings = compare(ask_allensdk(blind, tmp_path / "answers"), read_allen_nwb(seeing))
    assert states(findings, "differs") == PUPIL
