from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter1d, minimum_filter1d

from poyodata.errors import SourceError
from poyodata.simulation.nwb2_writer import write_nwb2
from poyodata.sources import SessionRecord, open_source, read_allen_nwb, read_nwb2
from poyodata.sources.recording_mapping import Nwb2Mapping
from tests.simulation.made_session import SESSION_STIMULI

same = np.testing.assert_array_equal

# What NWB 2 in the layout of DANDI 000728 does not keep, or keeps otherwise.
NOT_KEPT = {"start_time", "device", "fov", "pipeline_version"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, id=name, marks=[pytest.mark.slow] * (name == "C")) for name in SESSION_STIMULI],
)
def made_pair(
    request: pytest.FixtureRequest, made: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SessionRecord, SessionRecord]:
    """A recording of every session type, through NWB 1.0 and through NWB 2."""
    session, first = made(request.param)
    second = write_nwb2(tmp_path_factory.mktemp("pair") / "two.nwb", session)
    return read_allen_nwb(first), read_nwb2(second)


def assert_equal_but_for_stops(one: SessionRecord, two: SessionRecord) -> None:
    for field in dataclasses.fields(one.metadata):
        if field.name not in NOT_KEPT:
            same(getattr(one.metadata, field.name), getattr(two.metadata, field.name), err_msg=field.name)
    same(one.time_s, two.time_s)
    same(one.segments, two.segments)
    same(one.read_traces(0, one.n_frames), two.read_traces(0, two.n_frames))
    same(one.read_traces(5, 77), two.read_traces(5, 77))
    for name in ("neuropil", "demixed", "corrected"):
        same(one.further[name](0, one.n_frames), two.further[name](0, two.n_frames), err_msg=name)
    assert set(one.further) - set(two.further) == {"raw"}
    columns = ["neuron_id", "cell_specimen_id", "valid_roi", "exclusion_label", "neuropil_r"]
    assert one.neurons[columns].equals(two.neurons[columns])
    assert two.neurons["roi_id"].isna().all()
    # The size of a pixel is rounded in NWB 2.
    np.testing.assert_allclose(one.neurons[["x_um", "y_um"]], two.neurons[["x_um", "y_um"]], rtol=0.002)
    assert one.masks is not None and two.masks is not None
    for mine, its in zip(one.masks, two.masks, strict=True):
        same(mine, its)
    assert one.max_projection is not None and two.max_projection is not None
    same(one.max_projection, two.max_projection)
    assert set(one.signals) - set(two.signals) == {"motion_x_px", "motion_y_px"}
    for name, signal in two.signals.items():
        same(one.signals[name].values, signal.values, err_msg=name)
        same(one.signals[name].time_s, signal.time_s, err_msg=name)
        assert one.signals[name].unit == signal.unit
    assert set(one.templates) == set(two.templates)
    for name, frames in one.templates.items():
        same(np.asarray(frames()), np.asarray(two.templates[name]()), err_msg=name)
        same(frames()[1:3], two.templates[name]()[1:3], err_msg=name)
    exact = [name for name in one.presentations if name not in ("stop_frame", "stop_s", "spatial_frequency_cpd")]
    assert one.presentations[exact].equals(two.presentations[exact])


def test_both_formats_are_one_recording(made_pair: tuple[SessionRecord, SessionRecord]) -> None:
    one, two = made_pair
    assert_equal_but_for_stops(one, two)
    # Only these have their ends, or what follows them without a pause.
    ended = one.presentations["stimulus"].isin(
        ["spontaneous", "natural_movie_one", "natural_movie_two", "natural_movie_three"]
    )
    assert one.presentations.loc[ended, ["stop_frame", "stop_s"]].equals(
        two.presentations.loc[ended, ["stop_frame", "stop_s"]]
    )
    still = one.presentations["stimulus"] == "static_gratings"
    assert set(two.presentations.loc[still, "stop_frame"] - one.presentations.loc[still, "stop_frame"]) <= {0, 1}


def test_tiny_world_in_both_formats(tiny_folder: Path, nwb2_folder: Path) -> None:
    ones, twos = list(open_source(tiny_folder)), list(open_source(nwb2_folder))
    assert len(ones) == len(twos) == 3
    for one, two in zip(ones, twos, strict=True):
        assert_equal_but_for_stops(one, two)
        # NWB 2 says 2 s, NWB 1.0 counts frames: the nearest frame is that one or the next.
        differ = two.presentations["stop_frame"] - one.presentations["stop_frame"]
        assert set(differ) <= {0, 1}
        assert (two.presentations.loc[differ != 0, "stimulus"] == "drifting_gratings").all()


@dataclasses.dataclass
class Made:
    """What `plain_nwb2` wrote."""

    path: Path
    data: np.ndarray
    time_s: np.ndarray


METADATA = {"donor_id": "m1", "container_id": "c1", "cre_line": "Sst-IRES-Cre", "area": "VISp", "depth_um": 175}


_WRITTEN: dict[Any, tuple[bytes, Made]] = {}


def _unchanged(_: Any) -> None:
    """The file as it is."""


def plain_nwb2(
    path: Path,
    *,
    groups: dict[str, tuple[str, ...]] | None = None,
    masks: str = "image_mask",
    rate_hz: float | None = None,
    change: Callable[[Any], None] = _unchanged,
    genotype: str = "Sst-IRES-Cre/wt",
    one_trace: bool = False,
    conversion: float = 1.0,
) -> Made:
    """A file such as any laboratory writes, by pynwb: 3 of 5 regions, 200 frames, one of each series asked for."""
    options = (tuple((groups or {}).items()), masks, rate_hz, change, genotype, one_trace, conversion)
    if options in _WRITTEN:
        path.write_bytes(_WRITTEN[options][0])
        return dataclasses.replace(_WRITTEN[options][1], path=path)
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.file import Subject
    from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel

    rng = np.random.default_rng(0)
    nwb = NWBFile(
        session_description="A test.",
        identifier="id-1",
        session_start_time=datetime(2024, 5, 6, tzinfo=UTC),
        session_id="ses-1",
        subject=Subject(subject_id="mouse-7", sex="F", age="P12W", species="Mus musculus", genotype=genotype),
    )
    device = nwb.create_device(name="Scope", description="A scope.")
    plane = nwb.create_imaging_plane(
        name="plane",
        description="Layer 2/3, depth 175 um",
        optical_channel=OpticalChannel(name="green", description="Green.", emission_lambda=510.0),
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="VISp",
        device=device,
        grid_spacing=[2e-6, 2e-6],
        grid_spacing_unit="meters",
    )
    module = nwb.create_processing_module(name="ophys", description="Traces.")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(name="rois", description="Regions.", imaging_plane=plane)
    for number in range(5):
        image = np.zeros((20, 10), np.float32)  # x, y
        image[number : number + 3, 4] = 0.5
        pixels = [(int(x), int(y), 0.5) for x, y in zip(*np.nonzero(image), strict=True)]
        if masks == "image_mask":
            table.add_roi(image_mask=image)
        elif masks == "pixel_mask":
            table.add_roi(pixel_mask=pixels)
        else:
            table.add_roi(voxel_mask=[(x, y, 0, weight) for x, y, weight in pixels])
    rows = [4] if one_trace else [3, 0, 4]
    region = table.create_roi_table_region(region=rows, description="Some.")
    data = rng.normal(5.0, 1.0, (200, len(rows))).astype(np.float32)
    time_s = 3.0 + np.arange(200) / 10.0
    clock: dict[str, Any] = {"timestamps": time_s} if rate_hz is None else {"starting_time": 3.0, "rate": rate_hz}
    for group, names in (groups or {"DfOverF": ("RoiResponseSeries",)}).items():
        kind = DfOverF if group.startswith("DfOverF") else Fluorescence
        container = kind(name=group)
        module.add(container)
        for index, name in enumerate(names):
            container.create_roi_response_series(
                name=name,
                description="Traces.",
                data=data[:, 0] if one_trace else data + index,
                unit="n.a.",
                rois=region,
                conversion=conversion,
                **clock,
            )
    change(nwb)
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    _WRITTEN[options] = path.read_bytes(), Made(path, data, time_s)
    return _WRITTEN[options][1]


def mapping(**parts: Any) -> Nwb2Mapping:
    return Nwb2Mapping.model_validate({"mapping": 1, "source": "nwb2", "metadata": METADATA, **parts})


@pytest.mark.parametrize("masks", ["image_mask", "pixel_mask", "voxel_mask"])
def test_file_of_any_laboratory(masks: str, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", masks=masks)
    record = read_nwb2(made.path, mapping(metadata={"container_id": "c9"}))
    meta = record.metadata
    assert (meta.session_id, meta.donor_id, meta.container_id) == ("ses-1", "mouse-7", "c9")
    assert (meta.cre_line, meta.area, meta.depth_um) == ("Sst-IRES-Cre", "VISp", 175.0)
    assert (meta.indicator, meta.excitation_nm, meta.sex, meta.age_days) == ("GCaMP6s", 920.0, "female", 84.0)
    assert meta.device == "A scope."
    same(record.read_traces(0, 200), made.data)
    same(record.time_s, made.time_s)
    assert record.neurons["neuron_id"].tolist() == ["ses-1_3", "ses-1_0", "ses-1_4"]
    assert record.neurons["roi_id"].tolist() == [3, 0, 4]
    assert record.neurons["cell_specimen_id"].isna().all()
    assert record.masks is not None
    assert record.masks[0].tolist() == [[3, 4], [4, 4], [5, 4]]  # x, y
    assert record.neurons["x_um"].tolist() == [8.0, 2.0, 10.0]
    assert record.neurons["y_um"].tolist() == [8.0, 8.0, 8.0]
    assert len(record.presentations) == 0
    turned = read_nwb2(made.path, mapping(neurons={"mask_x": "row"})).masks
    assert turned is not None and turned[0].tolist() == [[4, 3], [4, 4], [4, 5]]


@pytest.mark.parametrize(
    ("said", "session_id"),
    [
        pytest.param("501940850-StimC2", "501940850", id="dandi"),
        pytest.param("m1-Stim2", "m1-Stim2", id="another_laboratory"),
        pytest.param("501-Stim-2", "501-Stim-2", id="another_form"),
    ],
)
def test_only_the_ending_of_the_released_files_is_taken_off(said: str, session_id: str, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb")
    with h5py.File(made.path, "r+") as file:
        file["general/session_id"][()] = said
        file["general/notes"] = "Container ID: 5\nMouse ID (from genotype white paper): 7\n"
    assert read_nwb2(made.path, mapping()).metadata.session_id == session_id


def test_ids_below_0_are_missing(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb")
    with h5py.File(made.path, "r+") as file:
        file["processing/ophys/ImageSegmentation/rois/roi_id"] = np.array([-1, 1, 2, 8, -1])
    neurons = read_nwb2(made.path, mapping()).neurons
    assert neurons["roi_id"].tolist() == [8, pd.NA, pd.NA]
    assert neurons["neuron_id"].tolist() == ["ses-1_8", "ses-1_0", "ses-1_4"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"rate_hz": 20.0}, lambda made: 3.0 + np.arange(200) / 20.0, id="rate_and_start"),
        pytest.param({}, lambda made: made.time_s, id="timestamps"),
    ],
)
def test_clock(options: dict[str, Any], expected: Callable[[Made], np.ndarray], tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", **options)
    same(read_nwb2(made.path, mapping()).time_s, expected(made))


def test_one_trace_with_one_axis(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", one_trace=True)
    record = read_nwb2(made.path, mapping())
    same(record.read_traces(0, 200), made.data)
    assert record.read_traces(3, 5).shape == (2, 1)


def test_conversion_is_applied(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", conversion=0.5)
    same(read_nwb2(made.path, mapping()).read_traces(3, 9), made.data[3:9] * 0.5)


def test_series_that_lies_the_wrong_way_round(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb")
    with h5py.File(made.path, "r+") as file:
        del file["processing/ophys/DfOverF/RoiResponseSeries/data"]
        file["processing/ophys/DfOverF/RoiResponseSeries/data"] = made.data.T
    same(read_nwb2(made.path, mapping()).read_traces(10, 20), made.data[10:20])


PLANES = {"DfOverF": ("Plane0", "Plane1"), "Fluorescence": ("Plane0", "Neuropil")}


@pytest.mark.parametrize(
    ("groups", "traces", "message"),
    [
        pytest.param(
            PLANES,
            {},
            r"several series that may be the traces, .*DfOverF/Plane0 \(200, 3\), .*DfOverF/Plane1 .*name one",
            id="several_planes",
        ),
        pytest.param(
            {"Fluorescence": ("Raw",)}, {}, r"no dF/F, but .*Fluorescence/Raw .*dff: \{baseline", id="fluorescence"
        ),
        pytest.param(PLANES, {"name": "Plane2"}, "no series ends in 'Plane2'.*did you mean", id="misspelt"),
        pytest.param(PLANES, {"name": "Plane0"}, "2 series end in 'Plane0'", id="ambiguous"),
        pytest.param(
            PLANES, {"name": "Fluorescence/Plane0"}, "lies in no DfOverF: add `dff:.*`holds: dff`", id="named_raw"
        ),
        pytest.param(PLANES, {"name": "DfOverF/Plane0", "dff": {"baseline": "maximin"}}, "is dF/F already", id="twice"),
        pytest.param({"Fluorescence": ("Raw",)}, {"dff": {}}, "needs `baseline`: maximin, prctile", id="no_baseline"),
        pytest.param(
            {"Fluorescence": ("Raw",)},
            {"dff": {"baseline": "maximin", "neucoeff": 0.7}},
            "neucoeff of the mapping needs `neuropil`",
            id="no_neuropil",
        ),
    ],
)
def test_traces_that_must_be_named(
    groups: dict[str, tuple[str, ...]], traces: dict[str, Any], message: str, tmp_path: Path
) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", groups=groups)
    with pytest.raises(SourceError, match=message):
        read_nwb2(made.path, mapping(traces=traces))


def test_named_series_and_further_ones(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", groups=PLANES)
    record = read_nwb2(made.path, mapping(traces={"name": "DfOverF/Plane1"}, further={"raw": "Fluorescence/Plane0"}))
    same(record.read_traces(0, 200), made.data + 1)
    same(record.further["raw"](0, 200), made.data)
    same(record.further["neuropil"](0, 200), made.data + 1)
    assert record.read_traces(0, 1).dtype == np.float32
    held = read_nwb2(made.path, mapping(traces={"name": "Fluorescence/Plane0", "holds": "dff"}))
    same(held.read_traces(0, 200), made.data)
    with pytest.raises(SourceError, match=r"further\.bright in the mapping: known traces are raw"):
        read_nwb2(made.path, mapping(traces={"name": "DfOverF/Plane1"}, further={"bright": "Neuropil"}))


def test_dff_is_computed_where_the_mapping_says_how(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", groups={"Fluorescence": ("Raw", "Around")})
    dff = {"baseline": "prctile", "prctile_baseline": 20, "neucoeff": 0.5, "neuropil": "Around"}
    record = read_nwb2(made.path, mapping(traces={"name": "Raw", "dff": dff}))
    corrected = made.data - np.float32(0.5) * (made.data + 1)
    floor = np.percentile(corrected, 20, axis=0).astype(np.float32)
    same(record.read_traces(0, 200), (corrected - floor) / floor)


def _other_clock(file: h5py.File, series: str) -> None:
    file[f"{series}/starting_time"][()] = 10.0


def _other_rate(file: h5py.File, series: str) -> None:
    file[f"{series}/starting_time"].attrs["rate"] = 10.1


def _other_order(file: h5py.File, series: str) -> None:
    rows = file[f"{series}/rois"][()]
    table = file[f"{series}/rois"].attrs["table"]
    del file[f"{series}/rois"]
    file[f"{series}/rois"] = rows[::-1]
    file[f"{series}/rois"].attrs["table"] = table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_other_clock, "Neuropil starts at 10 s and .* at 3 s", id="start"),
        pytest.param(_other_rate, "Neuropil starts at 3 s and .*, or their rates differ", id="rate"),
        pytest.param(_other_order, "Neuropil is not of the same regions, in the same order, as", id="regions"),
    ],
)
def test_series_that_does_not_go_with_the_traces(
    change: Callable[[h5py.File, str], None], message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = {"DfOverF": ("Plane0",), "Fluorescence": ("Cells", "Neuropil")}
    made = plain_nwb2(tmp_path / "one.nwb", groups=groups, rate_hz=10.0)
    computed = {"name": "Cells", "dff": {"baseline": "prctile", "neuropil": "Neuropil"}}
    assert set(read_nwb2(made.path, mapping()).further) == {"neuropil"}
    assert read_nwb2(made.path, mapping(traces=computed)).read_traces(0, 9).shape == (9, 3)
    assert not caplog.records
    with h5py.File(made.path, "r+") as file:
        change(file, "processing/ophys/Fluorescence/Neuropil")
    assert set(read_nwb2(made.path, mapping()).further) == set()
    (said,) = caplog.messages
    assert re.search(f"{message}.*; it is left out$", said)
    with pytest.raises(SourceError, match=f"{message}.*; correct further.neuropil in the mapping"):
        read_nwb2(made.path, mapping(further={"neuropil": "Neuropil"}))
    with pytest.raises(SourceError, match=f"{message}.*; name a series that goes with it as traces.dff.neuropil"):
        read_nwb2(made.path, mapping(traces=computed))


@pytest.mark.parametrize(("unit", "factor"), [("percent", 0.01), ("%", 0.01), ("n.a.", 1.0), ("a.u.", 1.0)])
def test_percent_is_a_hundredth(unit: str, factor: float, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", groups=PLANES)
    with h5py.File(made.path, "r+") as file:
        for name in ("DfOverF/Plane0", "Fluorescence/Neuropil"):
            file[f"processing/ophys/{name}/data"].attrs["unit"] = unit
    record = read_nwb2(made.path, mapping(traces={"name": "DfOverF/Plane0"}))
    same(record.read_traces(0, 200), (made.data.astype(np.float64) * factor).astype(np.float32))
    same(record.further["neuropil"](0, 200), made.data + 1)  # fluorescence is no share


@pytest.mark.parametrize(
    ("rate_hz", "start_s", "window"),
    [
        pytest.param(10.0, 50.0, 50, id="10"),
        pytest.param(20.0, 7.0, 100, id="20"),
        pytest.param(30.9, 0.0, 154, id="30.9"),
        pytest.param(np.float32(9.4), 0.0, 47, id="9.4_float32"),
    ],
)
def test_window_is_that_of_the_rate(rate_hz: float, start_s: float, window: int, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", groups={"Fluorescence": ("Raw",)}, rate_hz=10.0)
    with h5py.File(made.path, "r+") as file:
        clock = file["processing/ophys/Fluorescence/Raw/starting_time"]
        clock[()], clock.attrs["rate"] = start_s, rate_hz
    dff = {"baseline": "maximin", "win_baseline_s": 5.0, "sig_baseline_frames": 1.0}
    got = read_nwb2(made.path, mapping(traces={"name": "Raw", "dff": dff})).read_traces(0, 200)
    floor = minimum_filter1d(gaussian_filter(made.data, [1.0, 0.0]), window, axis=0)
    floor = maximum_filter1d(floor, window, axis=0)
    same(got, (made.data - floor) / floor)


def _gratings(nwb: Any) -> None:
    from pynwb.epoch import TimeIntervals

    table = TimeIntervals(name="shown", description="All that was shown.")
    table.add_column(name="kind", description="Stimulus.")
    table.add_column(name="angle", description="Degrees.")
    for start, kind, angle in ((4.0, "dg", 90.0), (6.0, "grey", np.nan), (8.0, "dg", np.nan), (10.0, "dg", 45.0)):
        table.add_interval(start_time=start, stop_time=start + 1.0, kind=kind, angle=angle)
    nwb.add_time_intervals(table)


SHOWN = {
    "stimulus": "drifting_gratings",
    "table": "intervals/shown",
    "where": {"kind": "dg"},
    "direction_deg": "angle",
    "blank": "nan(direction_deg)",
}


def test_mapped_table(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", change=_gratings)
    rows = read_nwb2(made.path, mapping(stimuli=[SHOWN])).presentations
    assert rows[["start_frame", "stop_frame", "blank"]].values.tolist() == [
        [10, 20, False],
        [50, 60, True],
        [70, 80, False],
    ]
    same(rows["direction_deg"], [90.0, np.nan, 45.0])
    # Unmapped, a table comes in under its own name; mapped to nothing, not at all.
    unmapped = read_nwb2(made.path, mapping()).presentations
    assert unmapped["stimulus"].tolist() == ["shown"] * 4
    assert len(read_nwb2(made.path, mapping(stimuli=[])).presentations) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"table": "intervals/show"}, "no table 'intervals/show'.*did you mean 'intervals/shown'", id="table"
        ),
        pytest.param({"direction_deg": "angel"}, "no column 'angel'; did you mean 'angle'", id="column"),
        pytest.param({"where": {"kind": "gd"}}, "no row with kind = 'gd'", id="no_row"),
        pytest.param({"temporal_frequency_hz": "kind"}, "holds 'dg' and the like; numbers were expected", id="texts"),
        pytest.param(
            {"duration_s": 100.0}, "`outside: drop` in the mapping leaves such presentations out", id="outside"
        ),
    ],
)
def test_table_that_is_mapped_wrongly(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", change=_gratings)
    with pytest.raises(SourceError, match=message):
        read_nwb2(made.path, mapping(stimuli=[SHOWN | changes]))
    if "duration_s" in changes:
        assert len(read_nwb2(made.path, mapping(stimuli=[SHOWN | changes | {"outside": "drop"}])).presentations) == 0


def _known_tables(nwb: Any) -> None:
    from pynwb.epoch import TimeIntervals

    table = TimeIntervals(name="static_gratings_presentations", description="Shown.")
    for name in ("orientation", "spatial_frequency", "phase"):
        table.add_column(name=name, description="A value.")
    for start, angle in ((4.0, 30.0), (5.0, np.nan)):
        table.add_interval(
            start_time=start, stop_time=start + 0.5, orientation=angle, spatial_frequency=0.04, phase=0.25
        )
    nwb.add_time_intervals(table)
    nwb.add_trial(start_time=4.0, stop_time=5.0)
    nwb.add_epoch(start_time=4.0, stop_time=5.0)


def test_tables_of_known_names(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", change=_known_tables)
    rows = read_nwb2(made.path, mapping()).presentations
    assert rows["stimulus"].tolist() == ["static_gratings"] * 2
    same(rows["orientation_deg"], [30.0, np.nan])
    same(rows["phase"], [0.25, np.nan])
    assert rows["blank"].tolist() == [False, True]


def _directions_in_words(nwb: Any) -> None:
    from pynwb.epoch import TimeIntervals

    table = TimeIntervals(name="moving", description="Shown.")
    table.add_column(name="direction", description="A word.")
    table.add_interval(start_time=4.0, stop_time=4.5, direction="left")
    nwb.add_time_intervals(table)


def test_words_where_numbers_are_meant_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", change=_directions_in_words)
    assert read_nwb2(made.path, mapping()).presentations["direction_deg"].isna().all()
    (said,) = caplog.messages
    assert "intervals/moving/direction holds no numbers, as direction_deg needs" in said
    shown = {"stimulus": "x", "table": "intervals/moving", "direction_deg": "direction"}
    with pytest.raises(SourceError, match="holds 'left' and the like; numbers were expected"):
        read_nwb2(made.path, mapping(stimuli=[shown]))


def _behaviour(nwb: Any) -> None:
    from pynwb import TimeSeries

    nwb.add_acquisition(TimeSeries(name="speed", data=[0.1, 0.2, 0.3], unit="m/s", starting_time=2.0, rate=2.0))
    nwb.add_acquisition(
        TimeSeries(name="licks", data=np.arange(6.0).reshape(3, 2), unit="n", timestamps=[1.0, 2.0, 4.0])
    )


def test_signals(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", change=_behaviour)
    record = read_nwb2(made.path, mapping(signals={"lick_right": {"name": "licks", "column": 1, "scale": 2.0}}))
    np.testing.assert_allclose(record.signals["running_speed"].values, [10.0, 20.0, 30.0])
    same(record.signals["running_speed"].time_s, [2.0, 2.5, 3.0])
    assert record.signals["running_speed"].unit == "cm/s"
    same(record.signals["lick_right"].values, [2.0, 6.0, 10.0])
    same(record.signals["lick_right"].time_s, [1.0, 2.0, 4.0])
    assert record.signals["lick_right"].unit == "n"
    with pytest.raises(SourceError, match=r"'lick', which the mapping names \(signals\.x\); did you mean"):
        read_nwb2(made.path, mapping(signals={"x": {"name": "lick"}}))
    with pytest.raises(SourceError, match="it has no column 2"):
        read_nwb2(made.path, mapping(signals={"x": {"name": "licks", "column": 2}}))


def test_missing_metadata_is_asked_for_in_one_sentence(tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb", genotype="")
    with pytest.raises(SourceError) as caught:
        read_nwb2(made.path)
    assert str(caught.value) == (
        f"{made.path} does not say container_id (the imaging site) and cre_line (the driver line): give them under "
        "`metadata:` in a mapping.yaml with `source: nwb2`."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda f: f.attrs.__setitem__("nwb_version", "1.0.6"), "NWB 1.0.6 file; NWB 2", id="nwb1"),
        pytest.param(lambda f: f.attrs.__delitem__("nwb_version"), "without nwb_version", id="no_nwb"),
        pytest.param(lambda f: f.__delitem__("processing"), "has no RoiResponseSeries", id="no_traces"),
        pytest.param(
            lambda f: f.__delitem__("processing/ophys/ImageSegmentation"), "refers to no table", id="no_regions"
        ),
        pytest.param(
            lambda f: f["processing/ophys/DfOverF/RoiResponseSeries/rois"].__setitem__(0, 9),
            "rows from 0 to 9, but .* has 5",
            id="regions_that_are_not_there",
        ),
        pytest.param(
            lambda f: f.__delitem__("processing/ophys/DfOverF/RoiResponseSeries/timestamps"),
            "neither timestamps nor starting_time",
            id="no_clock",
        ),
        pytest.param(
            lambda f: f["processing/ophys/DfOverF/RoiResponseSeries/timestamps"].__setitem__(9, 0.0),
            "timestamps must be finite and increase; they fail at frame 9",
            id="clock_that_goes_back",
        ),
        pytest.param(
            lambda f: (
                f.__delitem__("processing/ophys/DfOverF/RoiResponseSeries/data"),
                f.__setitem__("processing/ophys/DfOverF/RoiResponseSeries/data", np.zeros((7, 7))),
            ),
            r"has shape \(7, 7\), but there are 3 regions .* and 200 timestamps",
            id="wrong_shape",
        ),
    ],
)
def test_files_that_are_no_recording(change: Callable[[h5py.File], Any], message: str, tmp_path: Path) -> None:
    made = plain_nwb2(tmp_path / "one.nwb")
    with h5py.File(made.path, "r+") as file:
        change(file)
    with pytest.raises(SourceError, match=message) as caught:
        read_nwb2(made.path, mapping())
    assert str(caught.value).startswith(str(made.path)) or "recording 'ses-1'" in str(caught.value)


def test_metadata_table_serves_a_folder(tmp_path: Path) -> None:
    plain_nwb2(tmp_path / "one.nwb")
    (tmp_path / "mice.csv").write_text("session_id,container_id,donor_id\nses-1,c4,m4\nses-2,c5,m5\n")
    (tmp_path / "mapping.yaml").write_text("{mapping: 1, source: nwb2, metadata_table: mice.csv}")
    (record,) = open_source(tmp_path)
    assert (record.metadata.donor_id, record.metadata.container_id) == ("m4", "c4")
    (tmp_path / "mice.csv").write_text("session_id,container\nses-1,c4\n")
    with pytest.raises(SourceError, match="has the columns session_id, container; expected session_id and others of"):
        next(open_source(tmp_path))
    (tmp_path / "mice.csv").write_text("session_id,container_id\nses-2,c4\n")
    with pytest.raises(SourceError, match="has 0 rows of session 'ses-1'"):
        next(open_source(tmp_path))


def test_nothing_but_metadata_is_read_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plain_nwb2(tmp_path / "one.nwb")
    record = read_nwb2(made.path, mapping())
    with h5py.File(made.path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/data"][5, 1] = 99.0
    assert record.read_traces(5, 6)[0, 1] == 99.0
