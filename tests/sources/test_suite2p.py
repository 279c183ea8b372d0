from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter1d, minimum_filter1d

from poyodata.errors import SourceError, UsageError
from poyodata.sources import find_sources, open_source, read_suite2p
from poyodata.sources.baseline import Baseline, BaselineDff, CorrectedFluorescence
from poyodata.sources.recording_mapping import Suite2pMapping

same = np.testing.assert_array_equal

METADATA = {
    "session_id": "s1",
    "donor_id": "m1",
    "container_id": "c1",
    "cre_line": "Vip-IRES-Cre",
    "area": "VISl",
    "depth_um": 200,
}
YAML = """
mapping: 1
source: suite2p
metadata: {session_id: s1, donor_id: m1, container_id: c1, cre_line: Vip-IRES-Cre, area: VISl, depth_um: 200}
um_per_px: 0.5
stimuli:
  - {stimulus: drifting_gratings, table: shown.csv, start_s: start, stop_s: end, direction_deg: angle}
"""


def mapping(**parts: Any) -> Suite2pMapping:
    return Suite2pMapping.model_validate({"mapping": 1, "source": "suite2p", "metadata": METADATA, **parts})


def written(folder: Path, *, planes: int = 1, frames: int = 900, neurons: int = 3, **ops: Any) -> list[np.ndarray]:
    """Results as suite2p saves them; F of every plane."""
    traces = []
    for plane in range(planes):
        rng = np.random.default_rng(plane)
        place = folder / "suite2p" / f"plane{plane}"
        place.mkdir(parents=True)
        cells = (rng.gamma(2.0, 10.0, (neurons, frames)) + 60.0).astype(np.float32)
        np.save(place / "F.npy", cells)
        np.save(place / "Fneu.npy", (rng.gamma(2.0, 4.0, (neurons, frames)) + 10.0).astype(np.float32))
        np.save(place / "iscell.npy", np.column_stack([np.arange(neurons) != 1, np.full(neurons, 0.5)]))
        regions = [
            {"ypix": np.array([n + 1, n]), "xpix": np.array([7, 8]), "lam": np.ones(2, np.float32), "med": [n, 7]}
            for n in range(neurons)
        ]
        np.save(place / "stat.npy", np.array(regions, object))
        settings = {"fs": 30.0, "neucoeff": 0.6, "baseline": "maximin", "win_baseline": 5.0, "sig_baseline": 4.0} | ops
        np.save(place / "ops.npy", np.array(settings, object))
        traces.append(cells)
    return traces


def neuropil(folder: Path, plane: int = 0) -> np.ndarray:
    return np.load(folder / "suite2p" / f"plane{plane}" / "Fneu.npy")


def test_recording_of_a_folder(tmp_path: Path) -> None:
    (cells,) = written(tmp_path)
    (tmp_path / "mapping.yaml").write_text(YAML)
    (tmp_path / "shown.csv").write_text("start,end,angle\n5.0,7.0,90\n10.0,12.0,135\n")
    (found,) = find_sources(tmp_path)
    assert found.kind == "suite2p"
    record = found.open()
    assert (record.metadata.session_id, record.metadata.donor_id, record.metadata.area) == ("s1", "m1", "VISl")
    same(record.time_s, np.arange(900) / 30.0)
    same(record.further["raw"](0, 900), cells.T)
    same(record.further["neuropil"](5, 90), neuropil(tmp_path).T[5:90])
    corrected = cells.T - np.float32(0.6) * neuropil(tmp_path).T
    same(record.further["corrected"](0, 900), corrected)
    baseline = Baseline(neucoeff=0.6, win_baseline_s=5.0, sig_baseline_frames=4.0)
    expected = BaselineDff(lambda a, b: corrected[a:b], (900, 3), 30.0, baseline)(0, 900)
    same(record.read_traces(0, 900), expected)
    assert np.isfinite(expected).all()
    neurons = record.neurons
    assert neurons["neuron_id"].tolist() == ["s1_0", "s1_1", "s1_2"]
    assert neurons["valid_roi"].tolist() == [True, False, True]
    assert neurons["exclusion_label"].tolist() == ["", "not_a_cell", ""]
    assert neurons["cell_specimen_id"].isna().all()
    assert neurons[["x_um", "y_um"]].iloc[2].tolist() == [3.5, 1.0]
    assert record.masks is not None and record.masks[1].tolist() == [[8, 1], [7, 2]]
    assert record.presentations[["start_frame", "stop_frame", "direction_deg"]].values.tolist() == [
        [150.0, 210.0, 90.0],
        [300.0, 360.0, 135.0],
    ]


@pytest.mark.parametrize("inner", ["", "suite2p", "suite2p/plane0"])
def test_any_folder_of_it_may_be_named(inner: str, tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "mapping.yaml").write_text(YAML.split("um_per_px")[0])
    (record,) = open_source(tmp_path / inner)
    assert record.n_neurons == 3


def test_folder_of_sessions(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name)
        (tmp_path / name / "mapping.yaml").write_text(YAML.split("um_per_px")[0].replace("s1", name))
    assert [record.metadata.session_id for record in open_source(tmp_path)] == ["a", "b"]


def test_several_planes(tmp_path: Path) -> None:
    first, second = written(tmp_path, planes=2)
    place = tmp_path / "suite2p" / "plane1"
    for name in ("F", "Fneu"):
        np.save(place / f"{name}.npy", np.load(place / f"{name}.npy")[:, :-1])
    record = read_suite2p(tmp_path, mapping())
    assert record.n_frames == 899
    same(record.further["raw"](0, 899), np.concatenate([first[:, :899], second[:, :899]]).T)
    assert record.neurons["plane"].tolist() == [0, 0, 0, 1, 1, 1]
    assert record.neurons["plane_roi"].tolist() == [0, 1, 2, 0, 1, 2]
    assert record.neurons["roi_id"].tolist() == [0, 1, 2, 3, 4, 5]
    one = read_suite2p(tmp_path, mapping(plane=1))
    same(one.further["raw"](0, 899), second[:, :899].T)
    same(one.read_traces(0, 899), record.read_traces(0, 899)[:, 3:])
    with pytest.raises(SourceError, match="has no plane 2; it has 0, 1"):
        read_suite2p(tmp_path, mapping(plane=2))


def by_formula(cells: np.ndarray, around: np.ndarray, fs: float) -> np.ndarray:
    """dF/F of (region, frame) as docs/sources.md writes it down, with suite2p's window of 5 s."""
    corrected = cells - np.float32(0.6) * around
    window = int(5.0 * fs)
    floor = gaussian_filter(corrected, [0.0, 4.0])
    floor = maximum_filter1d(minimum_filter1d(floor, window), window)
    return ((corrected - floor) / floor).T


@pytest.mark.parametrize("fs", [10.0, 20.0, 30.9])
@pytest.mark.parametrize("clock", ["fs", "rate_hz", "timestamps"])
def test_window_is_that_of_the_rate(clock: str, fs: float, tmp_path: Path) -> None:
    (cells,) = written(tmp_path, fs=fs if clock == "fs" else 1.0)
    np.save(tmp_path / "times.npy", np.arange(900) / fs)
    time = {"rate_hz": fs, "timestamps": str(tmp_path / "times.npy")}
    record = read_suite2p(tmp_path, mapping(**({} if clock == "fs" else {"time": {clock: time[clock]}})))
    same(record.read_traces(0, 900), by_formula(cells, neuropil(tmp_path), fs))


@pytest.mark.parametrize(
    ("key", "value", "name", "given"),
    [
        pytest.param("sig_baseline", 0, "sig_baseline_frames", 4.0, id="no_width"),
        pytest.param("neucoeff", float("nan"), "neucoeff", 0.6, id="nan"),
        pytest.param("win_baseline", -5, "win_baseline_s", 5.0, id="negative"),
        pytest.param("win_baseline", float("inf"), "win_baseline_s", 5.0, id="endless"),
        pytest.param("prctile_baseline", 108.0, "prctile_baseline", 8.0, id="no_percentile"),
        pytest.param("baseline", "constant_prctile", "baseline", "maximin", id="unknown_baseline"),
    ],
)
def test_settings_without_a_meaning_are_refused_unless_the_mapping_has_others(
    key: str, value: Any, name: str, given: Any, tmp_path: Path
) -> None:
    (cells,) = written(tmp_path, **{key: value})
    with pytest.raises(SourceError, match=rf"ops\.npy has {key} = .*give `dff: {{{name}: \.\.\.}}` in the mapping"):
        read_suite2p(tmp_path, mapping())
    record = read_suite2p(tmp_path, mapping(dff={name: given}))
    same(record.read_traces(0, 900), by_formula(cells, neuropil(tmp_path), 30.0))


@pytest.mark.parametrize("kind", ["prctile", "constant"])
def test_baseline_of_the_whole_recording(kind: str, tmp_path: Path) -> None:
    (cells,) = written(tmp_path)
    record = read_suite2p(tmp_path, mapping(dff={"baseline": kind, "neucoeff": 0.5}))
    corrected = CorrectedFluorescence(lambda a, b: cells.T[a:b], lambda a, b: neuropil(tmp_path).T[a:b], 0.5)
    baseline = Baseline(baseline=kind, neucoeff=0.5, sig_baseline_frames=4.0)  # type: ignore[arg-type]
    same(record.read_traces(0, 900), BaselineDff(corrected, (900, 3), 30.0, baseline)(0, 900))


def test_settings_of_newer_versions(tmp_path: Path) -> None:
    written(tmp_path / "old", neucoeff=0.4, baseline="prctile", prctile_baseline=15.0)
    nested: dict[str, Any] = dict.fromkeys(("neucoeff", "baseline", "win_baseline", "sig_baseline"))
    nested |= {"extraction": {"neuropil_coefficient": 0.4}}
    nested |= {"dcnv_preprocess": {"baseline": "prctile", "prctile_baseline": 15.0}}
    written(tmp_path / "new", **nested)
    old, new = (read_suite2p(tmp_path / name, mapping()) for name in ("old", "new"))
    same(old.read_traces(0, 900), new.read_traces(0, 900))


def test_clock_of_the_mapping(tmp_path: Path) -> None:
    written(tmp_path)
    assert read_suite2p(tmp_path, mapping(time={"rate_hz": 15.0})).time_s[-1] == 899 / 15.0
    stamps = np.arange(900) / 30.0 + 5.0
    np.save(tmp_path / "times.npy", stamps)
    (tmp_path / "m.yaml").write_text(YAML.split("um_per_px")[0] + "time: {timestamps: times.npy}\n")
    (record,) = open_source(tmp_path, mapping=tmp_path / "m.yaml")
    same(record.time_s, stamps)


def test_ops_and_stat_may_be_missing(tmp_path: Path) -> None:
    written(tmp_path)
    for name in ("ops", "stat", "iscell"):
        (tmp_path / "suite2p" / "plane0" / f"{name}.npy").unlink()
    with pytest.raises(SourceError, match=r"does not say the frame rate \(fs\): give `time:"):
        read_suite2p(tmp_path, mapping())
    record = read_suite2p(tmp_path, mapping(time={"rate_hz": 30.0}))
    assert record.masks is None
    assert record.neurons["valid_roi"].all()


def test_who_was_recorded_is_asked_for_in_one_sentence(tmp_path: Path) -> None:
    written(tmp_path)
    (found,) = find_sources(tmp_path)
    with pytest.raises(SourceError, match=r"does not say session_id \(the recording\), donor_id .*`source: suite2p`"):
        found.open()


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["ops.npy", "stat.npy", "F.npy", "iscell.npy"])
def test_hostile_pickle_does_nothing(name: str, tmp_path: Path) -> None:
    written(tmp_path)
    mark = tmp_path / "mark"
    np.save(tmp_path / "suite2p" / "plane0" / name, np.array([_Hostile(mark)] * 3, object))
    with pytest.raises(SourceError, match=name):
        read_suite2p(tmp_path, mapping())
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("F.npy", np.zeros(5, np.float32), r"F\.npy has shape \(5,\); \(region, frame\)", id="one_axis"),
        pytest.param("Fneu.npy", np.zeros((3, 5), np.float32), r"Fneu\.npy has shape \(3, 5\), and F", id="neuropil"),
        pytest.param("iscell.npy", np.zeros((2, 2)), r"iscell\.npy has shape \(2, 2\) for 3 regions", id="is_cell"),
        pytest.param("iscell.npy", np.full((3, 2), np.nan), r"iscell\.npy has values that are missing", id="no_cell"),
        pytest.param("stat.npy", np.array([{}] * 2, object), "one dict for each of 3 regions", id="regions"),
        pytest.param("ops.npy", np.array([1, 2], object), "holds a list; a dict was expected", id="settings"),
        pytest.param("ops.npy", np.array({"fs": "fast"}, object), "does not say the frame rate", id="rate"),
        pytest.param(
            "ops.npy",
            np.array({"fs": 30.0, "baseline": "mean"}, object),
            "baseline = 'mean', of which no",
            id="baseline",
        ),
        pytest.param(
            "stat.npy",
            np.array([{"xpix": np.array([1]), "ypix": np.array([1, 2])}] * 3, object),
            "no pixels of one region",
            id="pixels",
        ),
    ],
)
def test_wrong_files(name: str, value: np.ndarray, message: str, tmp_path: Path) -> None:
    written(tmp_path)
    np.save(tmp_path / "suite2p" / "plane0" / name, value)
    with pytest.raises(SourceError, match=message):
        read_suite2p(tmp_path, mapping())


def test_wrong_stimuli(tmp_path: Path) -> None:
    written(tmp_path)
    shown = {"stimulus": "grey", "table": str(tmp_path / "gone.csv"), "start_s": "on", "duration_s": 1.0}
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read"):
        read_suite2p(tmp_path, mapping(stimuli=[shown]))
    (tmp_path / "gone.csv").write_text("start\n1.0\n")
    with pytest.raises(SourceError, match="has no column 'on'; it has start"):
        read_suite2p(tmp_path, mapping(stimuli=[shown]))
    record = read_suite2p(tmp_path, mapping(stimuli=[shown | {"start_s": "start"}]))
    assert record.presentations[["start_frame", "stop_frame"]].values.tolist() == [[30, 60]]


def test_table_with_trailing_commas_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "shown.csv").write_text("on,angle,tf\n1.0,90,2,\n5.0,45,1,\n")
    shown = {"stimulus": "x", "table": str(tmp_path / "shown.csv"), "start_s": "on", "direction_deg": "angle"}
    with pytest.raises(SourceError, match=r"shown\.csv has 4 fields in line 2 and 3 in its header"):
        read_suite2p(tmp_path, mapping(stimuli=[shown]))


def test_readers_travel_to_another_process(tmp_path: Path) -> None:
    written(tmp_path)
    record = read_suite2p(tmp_path, mapping())
    first = record.read_traces(3, 50)
    copy = pickle.loads(pickle.dumps(record.read_traces))  # noqa: S301 - our own
    same(copy(3, 50), first)
    assert len(pickle.dumps(record.read_traces)) < 5_000


def test_digest_is_that_of_all_files(tmp_path: Path) -> None:
    written(tmp_path)
    before = read_suite2p(tmp_path, mapping()).source_digest
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert read_suite2p(tmp_path / "copy", mapping()).source_digest == before
    np.save(tmp_path / "suite2p" / "plane0" / "iscell.npy", np.ones((3, 2)))
    assert read_suite2p(tmp_path, mapping()).source_digest != before


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no results of suite2p"):
        read_suite2p(tmp_path, mapping())
    with pytest.raises(UsageError, match="looked for folders of suite2p"):
        find_sources(tmp_path, "suite2p")
