from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.sources import find_sources, open_source, read_torch_brain
from poyodata.sources.recording_mapping import TorchBrainMapping

same = np.testing.assert_array_equal
Change = Callable[[h5py.File], Any]


def _group(file: h5py.Group, name: str, kind: str, **values: Any) -> h5py.Group:
    """One object of torch_brain, as its ``to_hdf5`` lays it down."""
    group = file.create_group(name)
    group.attrs["object"] = kind
    for key, value in values.items():
        if isinstance(value, np.ndarray):
            group.create_dataset(key, data=value.astype("S") if value.dtype.kind == "U" else value)
        else:
            group.attrs[key] = value
    return group


def _interval(file: h5py.Group, name: str, start: list[float], end: list[float], **columns: Any) -> None:
    _group(file, name, "Interval", start=np.array(start), end=np.array(end), **columns)


def written(
    path: Path, *, brainset: str = "allen_visual_coding_ophys_2016", change: Change = lambda _: None
) -> tuple[Path, np.ndarray]:
    """A file in the layout of the Allen pipeline of torch_brain 0.2.1: 600 frames at 30 Hz from 10 s, 4 regions."""
    traces = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["object"] = "Data"
        file.attrs["absolute_start"] = 0.0
        _group(file, "brainset", "Data", id=brainset)
        _group(file, "subject", "Data", id="511510753", sex="M", age=104.0, cre_line="Cux2_CreERT2")
        _group(file, "session", "Data", id="501", recording_date="2016-02-04 10:25:24")
        _group(file, "device", "Data", id="501", imaging_depth=175, target_area="VISp")
        calcium = _group(file, "calcium_traces", "RegularTimeSeries", sampling_rate=30.0, df_over_f=traces)
        _interval(calcium, "domain", [10.0], [30.0])
        centre = np.arange(8.0).reshape(4, 2)
        _group(file, "rois", "ArrayDict", id=np.array(["71", "5", "9", "44"]), imaging_plane_xy=centre)
        _interval(
            file, "drifting_gratings", [11.0, 14.0], [13.0, 16.0],
            orientation=np.array([90.0, 315.0]), temporal_frequency=np.array([2.0, 15.0]),
        )  # fmt: skip
        _interval(file, "natural_movie_one", [17.0, 17.5, 18.0], [17.5, 18.0, 18.5], frame=np.array([0, 1, 0]))
        _interval(file, "natural_scenes", [19.0, 19.25], [19.25, 19.5], frame=np.array([0, 118]))
        _interval(
            file, "static_gratings", [20.0], [20.25],
            orientation=np.array([30.0]), spatial_frequency=np.array([0.04]), phase=np.array([0.25]),
        )  # fmt: skip
        _interval(
            file, "locally_sparse_noise", [21.0, 22.0], [21.25, 22.25],
            frame=np.array([7, 3]), pixel_size=np.array([4.65, 9.3]),
        )  # fmt: skip
        _interval(file, "spontaneous_domain", [25.0], [28.0])
        _interval(file, "train_domain", [10.0], [20.0])
        stamps = 10.0 + np.arange(50) / 10.0
        _group(file, "running", "IrregularTimeSeries", timestamps=stamps, running_speed=np.ones((50, 1), np.float32))
        _group(
            file, "pupil", "IrregularTimeSeries",
            timestamps=stamps, location=np.arange(100.0).reshape(50, 2), size=np.full(50, 400.0),
        )  # fmt: skip
        change(file)
    return path, traces


def mapping(**parts: Any) -> TorchBrainMapping:
    parts.setdefault("metadata", {"donor_id": "222426"})
    return TorchBrainMapping.model_validate({"mapping": 1, "source": "torch-brain", **parts})


def test_recording(tmp_path: Path) -> None:
    path, traces = written(tmp_path / "501.h5")
    record = read_torch_brain(path, mapping())
    meta = record.metadata
    assert (meta.session_id, meta.donor_id, meta.container_id) == ("501", "222426", "511510753")
    assert (meta.cre_line, meta.area, meta.depth_um) == ("Cux2-CreERT2", "VISp", 175.0)
    assert (meta.sex, meta.age_days, meta.start_time) == ("male", 104.0, "2016-02-04T10:25:24")
    same(record.time_s, 10.0 + np.arange(600) / 30.0)
    same(record.read_traces(0, 600), traces)
    assert record.neurons["neuron_id"].tolist() == ["501_71", "501_5", "501_9", "501_44"]
    assert record.neurons["roi_id"].tolist() == [71, 5, 9, 44]
    assert record.neurons["cell_specimen_id"].isna().all()
    assert record.neurons[["x_px", "y_px"]].iloc[1].tolist() == [3.0, 2.0]
    assert (len(record.templates), record.masks, record.max_projection) == (0, None, None)


def test_presentations(tmp_path: Path) -> None:
    rows = read_torch_brain(written(tmp_path / "501.h5")[0], mapping()).presentations
    told = rows[["stimulus", "start_frame", "stop_frame", "blank"]].values.tolist()
    assert told == [
        ["drifting_gratings", 30, 90, False],
        ["drifting_gratings", 120, 180, False],
        ["natural_movie_one", 210, 225, False],
        ["natural_movie_one", 225, 240, False],
        ["natural_movie_one", 240, 255, False],
        ["natural_scenes", 270, 277, True],
        ["natural_scenes", 277, 285, False],
        ["static_gratings", 300, 307, False],
        ["locally_sparse_noise_4deg", 330, 337, False],
        ["locally_sparse_noise_8deg", 360, 367, False],
        ["spontaneous", 450, 540, False],
    ]
    assert rows["direction_deg"].tolist()[:2] == [90.0, 315.0]
    assert rows["temporal_frequency_hz"].tolist()[:2] == [2.0, 15.0]
    assert rows["movie_frame"].tolist()[2:5] == [0, 1, 0]
    assert rows["repeat"].tolist()[2:5] == [0, 0, 1]
    assert rows["image"].tolist()[5:] == [-1, 117, -1, 7, 3, -1]
    assert rows[["orientation_deg", "spatial_frequency_cpd", "phase"]].iloc[7].tolist() == [30.0, 0.04, 0.25]


def test_signals(tmp_path: Path) -> None:
    signals = read_torch_brain(written(tmp_path / "501.h5")[0], mapping()).signals
    assert set(signals) == {"running_speed", "pupil_x_cm", "pupil_y_cm", "pupil_area_px"}
    same(signals["pupil_y_cm"].values, np.arange(1.0, 100.0, 2.0))
    assert signals["running_speed"].time_s[[0, -1]].tolist() == [10.0, 14.9]


def test_the_container_is_never_taken_for_the_mouse(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "501.h5")
    with pytest.raises(SourceError, match=r"does not say donor_id .the mouse.: give it .* is the imaging container"):
        read_torch_brain(path)
    # Elsewhere the subject is the mouse, and its imaging site is not known.
    other, _ = written(tmp_path / "other.h5", brainset="another_lab_2024")
    with pytest.raises(SourceError, match=r"does not say container_id .the imaging site.: give it"):
        read_torch_brain(other)
    record = read_torch_brain(other, mapping(metadata={"container_id": "c1"}))
    assert (record.metadata.donor_id, record.metadata.container_id) == ("511510753", "c1")


def test_true_timestamps_go_before_the_even_clock(tmp_path: Path) -> None:
    true_s = 10.0 + np.arange(600) / 30.0 + np.linspace(0.0, 0.3, 600)

    def change(file: h5py.File) -> None:
        file["calcium_traces/true_timestamps"] = true_s

    record = read_torch_brain(written(tmp_path / "501.h5", change=change)[0], mapping())
    same(record.time_s, true_s)
    assert record.presentations["start_frame"].tolist()[:3] == [30, 120, 210]
    np.testing.assert_allclose(
        record.signals["running_speed"].time_s[3], np.interp(10.3, 10 + np.arange(600) / 30, true_s)
    )


def test_irregular_series_with_gaps(tmp_path: Path) -> None:
    stamps = np.concatenate([10.0 + np.arange(300) / 30.0, 100.0 + np.arange(300) / 30.0])

    def change(file: h5py.File) -> None:
        file["calcium_traces/timestamps"] = stamps

    path, _ = written(tmp_path / "501.h5", change=change)
    with pytest.raises(SourceError, match="`outside: drop` in the mapping"):
        read_torch_brain(path, mapping())
    record = read_torch_brain(path, mapping(outside="drop"))
    assert record.segments.tolist() == [[0, 300], [300, 600]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda f: f.attrs.__setitem__("object", "Other"), "no `Data` of torch_brain", id="no_data"),
        pytest.param(
            lambda f: f["calcium_traces"].__delitem__("df_over_f"), "no calcium_traces/df_over_f", id="no_dff"
        ),
        pytest.param(
            lambda f: f["calcium_traces"].attrs.__setitem__("sampling_rate", 0.0), "sampling_rate 0", id="rate"
        ),
        pytest.param(
            lambda f: (f["rois"].__delitem__("id"), f["rois"].__setitem__("id", np.array([b"1"]))),
            "rois/id has 1 ids for 4 traces",
            id="ids",
        ),
        pytest.param(lambda f: f["natural_scenes"].__delitem__("frame"), "natural_scenes has no frame", id="column"),
        pytest.param(
            lambda f: f["drifting_gratings/orientation"].__setitem__(0, 33.0), "has the direction 33", id="direction"
        ),
        pytest.param(
            lambda f: f.__delitem__("session"),
            "does not say session_id",
            id="no_session",
        ),
    ],
)
def test_files_that_are_no_recording(change: Change, message: str, tmp_path: Path) -> None:
    path, _ = written(tmp_path / "501.h5", change=change)
    with pytest.raises(SourceError, match=message):
        read_torch_brain(path, mapping())


def test_is_found_by_looking(tmp_path: Path) -> None:
    written(tmp_path / "501.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "mapping.yaml").write_text("{mapping: 1, source: torch-brain, metadata: {donor_id: m1}}")
    (found,) = find_sources(tmp_path)
    assert (found.kind, found.path.name) == ("torch-brain", "501.h5")
    (record,) = open_source(tmp_path / "501.h5", "torch-brain")
    assert record.metadata.donor_id == "m1"


def test_an_id_with_the_recording_before_it_is_kept(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["rois/id"]
        file["rois/id"] = np.array(["501_a", "501_b", "c", "501_d"], dtype="S")

    record = read_torch_brain(written(tmp_path / "501.h5", change=change)[0], mapping())
    assert record.neurons["neuron_id"].tolist() == ["501_a", "501_b", "501_c", "501_d"]
