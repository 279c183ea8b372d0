from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from poyodata.errors import SourceError, UsageError
from poyodata.sources import ArrayMapping, read_arrays, shipped_mappings

METADATA = {
    "session_id": "s1",
    "donor_id": 7,
    "container_id": "c1",
    "cre_line": "sst_ires_cre",
    "area": "VISp",
    "depth_um": 275,
}


GRATINGS: dict[str, Any] = {
    "stimulus": "drifting_gratings",
    "start_frame": "start",
    "duration_frames": 5,
    "direction_deg": "angle",
    "blank": "nan(direction_deg)",
}


def mapping(**changes: Any) -> ArrayMapping:
    content: dict[str, Any] = {
        "mapping": 1,
        "traces": {"name": "dff", "dims": ["time", "neuron"]},
        "neurons": {"roi_id": "roi"},
        "time": {"timestamps": "clock"},
        "stimuli": [GRATINGS],
        "metadata": METADATA,
    }
    return ArrayMapping.model_validate(content | changes)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    clock = np.arange(100) / 30.0
    clock[60:] += 4.0
    return {
        "dff": rng.normal(size=(100, 3)).astype(np.float16),
        "roi": np.array([11, 12, 13]),
        "clock": clock,
        "start": np.array([70, 10, 30]),
        "angle": np.array([90.0, 0.0, np.nan]),
    }


def save(kind: str, folder: Path, arrays: dict[str, np.ndarray]) -> Any:
    if kind == "npz":
        np.savez(folder / "all.npz", **arrays)
        return folder / "all.npz"
    if kind == "npy":
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values)
        return folder / "dff.npy"
    if kind == "hdf5":
        with h5py.File(folder / "all.h5", "w") as file:
            file.update(arrays)
        return folder / "all.h5"
    dataset = xr.Dataset({name: (tuple(f"{name}_{i}" for i in range(v.ndim)), v) for name, v in arrays.items()})
    if kind == "netcdf":
        # The netCDF 3 writer that scipy brings has no half precision.
        dataset.assign(dff=dataset["dff"].astype(np.float32)).to_netcdf(folder / "all.nc")
        return folder / "all.nc"
    if kind == "zarr":
        dataset.to_zarr(folder / "all.zarr", consolidated=False)
        return folder / "all.zarr"
    return dataset


@pytest.mark.parametrize("kind", ["npz", "npy", "hdf5", "netcdf", "zarr", "xarray"])
def test_every_container_gives_the_same_record(kind: str, tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    record = read_arrays(save(kind, tmp_path, arrays), mapping())
    got = record.read_traces(20, 90)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, arrays["dff"][20:90].astype(np.float32))
    assert record.neurons["neuron_id"].tolist() == ["s1_11", "s1_12", "s1_13"]
    assert record.neurons["cell_specimen_id"].isna().all()
    assert record.segments.tolist() == [[0, 60], [60, 100]]
    table = record.presentations
    assert table[["trial", "start_frame", "stop_frame"]].to_numpy().tolist() == [[0, 10, 15], [1, 30, 35], [2, 70, 75]]
    assert table["blank"].tolist() == [False, True, False]
    assert record.metadata.cre_line == "Sst-IRES-Cre"
    assert record.metadata.donor_id == "7"
    assert len(record.source_digest) == 32


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("key", ["roi_id", "cell_specimen_id"])
def test_ids_of_any_dtype_give_the_same_names(
    key: str, dtype: Any, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = save("npz", tmp_path, arrays | {"roi": arrays["roi"].astype(dtype)})
    neurons = read_arrays(path, mapping(neurons={key: "roi"})).neurons
    assert neurons["neuron_id"].tolist() == ["s1_11", "s1_12", "s1_13"]
    assert neurons[key].tolist() == [11, 12, 13]


def test_digest_follows_content(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    first = read_arrays(save("xarray", tmp_path, arrays), mapping()).source_digest
    again = read_arrays(save("xarray", tmp_path, arrays), mapping()).source_digest
    other = read_arrays(save("xarray", tmp_path, arrays | {"roi": np.array([1, 2, 3])}), mapping()).source_digest
    assert first == again != other


@pytest.mark.parametrize("rows", [1, 7, 1024, 100_000])
def test_blocks_of_a_transposed_file(rows: int, twin_path: Path) -> None:
    record = read_arrays(twin_path)
    with h5py.File(twin_path) as file:
        stored = file["dff"][()].astype(np.float32)
    if rows == 1:
        np.testing.assert_array_equal(record.read_traces(5, 6), stored[:, 5:6].T)
    else:
        np.testing.assert_array_equal(np.concatenate(list(record.blocks(rows))), stored.T)


def test_twin_reads_like_the_real_recording(twin_path: Path) -> None:
    record = read_arrays(twin_path)
    assert record.n_neurons == 24
    assert len(record.segments) == 6
    table = record.presentations
    assert table.groupby("epoch")["trial"].agg(["min", "max"]).to_numpy().tolist() == [[0, 29], [30, 59], [60, 89]]
    assert set(table["direction_deg"].dropna()) == set(np.arange(8) * 45.0)
    assert table["blank"].sum() == 4
    assert table.loc[table["blank"], "direction_deg"].isna().all()
    # No sweep, with the eight frames before it, reaches over a cut.
    for start, stop in table[["start_frame", "stop_frame"]].to_numpy():
        assert ((record.segments[:, 0] <= start - 8) & (stop <= record.segments[:, 1])).any()


def test_reader_travels_to_another_process(twin_path: Path) -> None:
    record = read_arrays(twin_path)
    first = record.read_traces(0, 10)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(record)).read_traces(0, 10), first)  # noqa: S301


def test_rate_and_gaps(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    arrays |= {"seg0": np.array([0, 40]), "seg1": np.array([40, 100])}
    parts = {"time": {"rate_hz": 10.0}, "segments": {"start": "seg0", "stop": "seg1", "gaps_s": [2.5]}}
    record = read_arrays(save("xarray", tmp_path, arrays), mapping(**parts))
    assert record.time_s[39] == pytest.approx(3.9)
    assert record.time_s[40] == pytest.approx(4.0 + 2.5)
    assert record.segments.tolist() == [[0, 40], [40, 100]]


def test_constant_rate_is_one_segment(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    record = read_arrays(save("xarray", tmp_path, arrays), mapping(time={"rate_hz": 10.0}))
    assert record.segments.tolist() == [[0, 100]]


SEGMENTS = {"start": "seg0", "stop": "seg1"}

BAD: list[Any] = [
    pytest.param(
        {},
        {"traces": {"name": "df", "dims": ["time", "neuron"]}},
        "no dataset 'df'; did you mean 'dff'",
        id="missing_dataset",
    ),
    pytest.param({}, {"traces": {"name": "roi", "dims": ["time", "neuron"]}}, "traces have two axes", id="one_axis"),
    pytest.param({}, {"traces": {"name": "dff", "dims": ["neuron", "time"]}}, "right way round", id="wrong_way_round"),
    pytest.param({"roi": np.arange(4)}, {}, r"'roi' has shape \(4,\), expected \(3,\)", id="ids_do_not_fit"),
    pytest.param({"angle": np.zeros(2)}, {}, r"'angle' has shape \(2,\), expected \(3,\)", id="column_does_not_fit"),
    pytest.param(
        {"start": np.array([10, 30, 98])}, {}, "row 2 of drifting_gratings spans frames 98 to 103", id="beyond_the_end"
    ),
    pytest.param({"roi": np.array([1, 2, 2])}, {}, "neuron s1_2 stands there twice", id="same_id_twice"),
    pytest.param(
        {"clock": np.r_[0:99, 98] / 30.0}, {}, "timestamps must be finite and increase", id="clock_stands_still"
    ),
    pytest.param({"clock": np.r_[0:50, 49, 51:100] / 30.0}, {}, "they fail at frame 50", id="clock_stands_still_where"),
    pytest.param({"clock": np.r_[0:50, np.nan, 51:100] / 30.0}, {}, "they fail at frame 50", id="clock_is_nan"),
    pytest.param({"angle": np.array([1.5708, 0.0, np.nan])}, {}, "direction 1.5708; .*direction_deg", id="radians"),
    pytest.param(
        {"angle": np.array([45.001, 0.0, np.nan])}, {}, "direction 45.001; .*direction_deg", id="not_quite_45"
    ),
    pytest.param({"angle": np.array([90.0, np.inf, np.nan])}, {}, "direction inf; .*direction_deg", id="infinite"),
    pytest.param({}, {"stimuli": [GRATINGS | {"blank": None}]}, "direction nan; .*direction_deg", id="nan_not_blank"),
    pytest.param(
        {}, {"stimuli": [GRATINGS | {"duration_frames": 1}]}, "lasts one frame; check stop_frame", id="one_frame_each"
    ),
    *(
        pytest.param(
            {}, {"stimuli": [GRATINGS | {"stimulus": name}]}, f"{name}': did you mean '{meant}'", id=f"misspelt_{name}"
        )
        for name, meant in (
            ("drifting_grating", "drifting_gratings"),
            ("Drifting_Gratings", "drifting_gratings"),
            ("natural_movies_one", "natural_movie_one"),
            ("spontanous", "spontaneous"),
        )
    ),
    pytest.param({}, {"time": {"rate_hz": "@rate"}}, "no attribute 'rate'", id="missing_attribute"),
    pytest.param({"roi": np.array([1.0, np.nan, 3.0])}, {}, "neurons.roi_id holds nan; whole numbers", id="id_is_nan"),
    pytest.param({"start": np.array([10, np.nan, 70])}, {}, "'start' holds nan; whole numbers", id="start_is_nan"),
    pytest.param({}, {"time": {"rate_hz": 0.0}}, "time.rate_hz must be above 0", id="rate_of_zero"),
    pytest.param(
        {},
        {"metadata": METADATA | {"cre_line": "Sts-IRES-Cre"}},
        "unknown CRE line 'Sts-IRES-Cre': did you mean 'Sst-IRES-Cre'",
        id="unknown_line",
    ),
    pytest.param(
        {},
        {"metadata": METADATA | {"depth_um": "deep"}},
        "metadata.depth_um must be a number, got 'deep'",
        id="depth_is_text",
    ),
    pytest.param(
        {}, {"segments": SEGMENTS | {"gaps_s": [1.0]}}, "gaps_s goes with time.rate_hz", id="gaps_beside_timestamps"
    ),
    pytest.param({}, {"segments": SEGMENTS, "time": {"rate_hz": 30.0}}, "need segments.gaps_s", id="gaps_missing"),
    pytest.param(
        {},
        {"segments": SEGMENTS | {"gaps_s": [1.0, 2.0]}, "time": {"rate_hz": 30.0}},
        "needs 1 values, got 2",
        id="too_many_gaps",
    ),
    pytest.param(
        {},
        {"segments": SEGMENTS | {"gaps_s": [-1.0]}, "time": {"rate_hz": 30.0}},
        "must be above 0, got -1.0",
        id="negative_gap",
    ),
    pytest.param(
        {"seg1": np.array([40, 99])}, {"segments": SEGMENTS}, "cover all 100 frames", id="segments_stop_short"
    ),
]


@pytest.mark.parametrize(("change", "parts", "message"), BAD)
def test_bad_arrays(
    change: dict[str, np.ndarray], parts: dict[str, Any], message: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    arrays |= {"seg0": np.array([0, 40]), "seg1": np.array([40, 100])} | change
    with pytest.raises(SourceError, match=message):
        read_arrays(save("xarray", tmp_path, arrays), mapping(**parts))


@pytest.mark.parametrize("name", ["natural_movie_two", "natural_scenes", "looming_disc", "plaids"])
def test_other_stimuli_are_welcome(name: str, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    arrays["angle"] = np.array([10.0, 20.0, 30.0])  # only gratings have directions in eighths
    shown = GRATINGS | {"stimulus": name, "duration_frames": 1}
    table = read_arrays(save("xarray", tmp_path, arrays), mapping(stimuli=[shown])).presentations
    assert table["stimulus"].tolist() == [name] * 3


@pytest.mark.parametrize("angle", [315.0, np.float32(45) * (1 + 1e-7), 360.0, -45.0])
def test_multiples_of_45_are_directions(angle: float, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    arrays["angle"] = np.array([angle, 0.0, np.nan])
    assert read_arrays(save("xarray", tmp_path, arrays), mapping()).presentations["direction_deg"].max() >= 0


def test_missing_dataset_lists_what_there_is(twin_path: Path) -> None:
    shipped = shipped_mappings()["abo-dg-527745328"]
    wrong = shipped.model_copy(update={"traces": shipped.traces.model_copy(update={"name": "dff_traces"})})
    with pytest.raises(
        SourceError, match=r"dff_dg_continuous.h5 has no dataset 'dff_traces'.*stimulus_table/orientation"
    ):
        read_arrays(twin_path, wrong)


def test_truncated_file_names_itself(twin_path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "dff_dg_continuous.h5"
    cut.write_bytes(twin_path.read_bytes()[:50_000])
    with pytest.raises(SourceError, match=r"dff_dg_continuous.h5 is a truncated or damaged HDF5 file of 50,000 bytes"):
        read_arrays(cut)


@pytest.mark.parametrize("suffix", [".npz", ".nc", ".h5"])
def test_not_what_the_suffix_says(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("hello")
    with pytest.raises(SourceError, match=f"notes{suffix}"):
        read_arrays(path, mapping())


def test_pickled_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = save("npz", tmp_path, arrays | {"roi": np.array([{}, {}, {}], dtype=object)})
    with pytest.raises(SourceError, match=r"all\.npz cannot be read"):
        read_arrays(path, mapping())


def test_no_mapping_says_how_to_get_one(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match=r"no mapping says how to read .*put a mapping.yaml beside it"):
        read_arrays(save("npz", tmp_path, arrays))
