from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.export import export, select
from poyodata.export.torch_brain import Clock
from poyodata.sources.torch_brain import read_torch_brain
from poyodata.splits import resolve_split
from poyodata.store import open_store

same = np.testing.assert_array_equal
KINDS = {"Data", "ArrayDict", "RegularTimeSeries", "IrregularTimeSeries", "Interval"}


@pytest.fixture(scope="module")
def exported(tiny_store_path, tiny_manifest, tmp_path_factory):
    """Folder of files of the world `tiny`, under the manifest of all neurons."""
    folder = tmp_path_factory.mktemp("torch_brain") / "out"
    export(select(open_store(tiny_store_path), manifest=tiny_manifest), "torch-brain", folder)
    return folder


@pytest.fixture(scope="module")
def made(made_store_path, tmp_path_factory):
    """Folder of the two made recordings, without roles."""
    folder = tmp_path_factory.mktemp("torch_brain") / "made"
    export(select(open_store(made_store_path)), "torch-brain", folder)
    return folder


# -- the layout, as torch_brain.data writes and reads it ---------------------------------------------------------------


def rules(group):
    """What every object of a file must have; yields what is wrong."""
    kind, where = group.attrs.get("object"), group.name
    arrays = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
    groups = {name: item for name, item in group.items() if isinstance(item, h5py.Group)}
    if kind not in KINDS:
        yield f"{where}: object is {kind!r}"
        return
    if kind == "Data":
        if "absolute_start" not in group.attrs:
            yield f"{where}: no absolute_start"
        if arrays:
            yield f"{where}: arrays {sorted(arrays)} would all be loaded at once"
        for child in groups.values():
            yield from rules(child)
        return
    lengths = {name: len(item) for name, item in arrays.items() if name != "timestamp_indices_1s"}
    if len(set(lengths.values())) > 1:
        yield f"{where}: arrays of several lengths {lengths}"
    for name, item in arrays.items():
        if item.dtype.kind not in "fiubS":
            yield f"{where}/{name}: dtype {item.dtype}"
    if kind != "RegularTimeSeries":
        texts = {name for name, item in arrays.items() if item.dtype.kind == "S"}
        if texts != set(group.attrs["_unicode_keys"].astype(str)):
            yield f"{where}: texts {texts} are not its _unicode_keys"
    if kind == "Interval":
        start, end = group["start"][:], group["end"][:]
        if not {"start", "end"} <= set(group.attrs["timekeys"].astype(str)):
            yield f"{where}: timekeys lack start or end"
        if start.dtype != np.float64 or (end <= start).any() or (np.diff(start) < 0).any() or (np.diff(end) < 0).any():
            yield f"{where}: not sorted and longer than nothing"
        # Two frames of a movie may fall on one imaging frame; a domain has no time twice.
        if "domain" in where and (start[1:] < end[:-1]).any():
            yield f"{where}: not disjoint"
    if kind.endswith("TimeSeries"):
        if set(groups) != {"domain"} or groups["domain"].attrs["object"] != "Interval":
            yield f"{where}: no domain"
            return
        yield from rules(groups["domain"])
    if kind == "RegularTimeSeries":
        domain, rate_hz = groups["domain"], group.attrs["sampling_rate"]
        if round((domain["end"][-1] - domain["start"][0]) * rate_hz, 6) != len(group["df_over_f"]):
            yield f"{where}: domain is not as long as its samples"
    if kind == "IrregularTimeSeries":
        time_s, domain = group["timestamps"][:], groups["domain"]
        if "timestamps" not in group.attrs["timekeys"].astype(str) or (np.diff(time_s) < 0).any():
            yield f"{where}: timestamps are no time key, or go back"
        seconds = np.arange(domain["start"][0], domain["end"][-1] + 1.0, 1.0)
        if group["timestamp_indices_1s"][:].tolist() != np.searchsorted(time_s, seconds).tolist():
            yield f"{where}: timestamp_indices_1s are not where the seconds begin"


@pytest.mark.parametrize("folder", ["exported", "made"])
def test_files_keep_the_rules(folder, request):
    files = sorted(request.getfixturevalue(folder).glob("*.h5"))
    assert len(files) in (2, 3)
    for path in files:
        with h5py.File(path) as file:
            assert list(rules(file)) == []


def test_the_rules_find_what_is_wrong(exported, tmp_path):
    path = tmp_path / "one.h5"
    path.write_bytes(next(iter(exported.glob("*.h5"))).read_bytes())
    with h5py.File(path, "r+") as file:
        file["train_domain/end"][0] = file["train_domain/start"][0]
        del file["rois"].attrs["object"]
        file["running/timestamp_indices_1s"][2] += 1
        assert [wrong.split(":")[0] for wrong in rules(file)] == ["/rois", "/running", "/train_domain"]


def test_what_the_allen_pipeline_has_is_there(exported, tiny_store_path):
    store = open_store(tiny_store_path)
    session_id = store.session_ids[0]
    meta, neurons = store.sessions.iloc[0], store.neurons[store.neurons["session_id"] == session_id]
    with h5py.File(exported / f"{session_id}.h5") as file:
        assert file["calcium_traces"].attrs["object"] == "RegularTimeSeries"
        same(file["calcium_traces/df_over_f"], store.traces(session_id))
        assert file["calcium_traces/df_over_f"].chunks is None, "windows are read from one piece"
        same(file["calcium_traces/true_timestamps"], store.time_s(session_id))
        assert file["calcium_traces"].attrs["sampling_rate"] == pytest.approx(meta["rate_hz"], rel=1e-4)
        assert file["rois/id"][:].astype(str).tolist() == neurons["neuron_id"].tolist()
        mask = store.masks(session_id)[0]
        same(file["rois/imaging_plane_xy"][0], mask.mean(axis=0)[::-1])
        extent = [file[f"rois/imaging_plane_{name}"][0] for name in ("area", "width", "height")]
        assert extent == [len(mask), np.ptp(mask[:, 0]) + 1, np.ptp(mask[:, 1]) + 1]
        assert file["subject"].attrs["id"] == meta["donor_id"], "the mouse, not the container"
        assert file["subject"].attrs["container_id"] == meta["container_id"]
        assert (file["subject"].attrs["cre_line"], file["subject"].attrs["age"]) == ("Sst_IRES_Cre", meta["age_days"])
        assert file["device"].attrs["imaging_depth"] == meta["depth_um"]
        gratings = store.presentations_of(session_id).query("stimulus == 'drifting_gratings' and not blank")
        same(file["drifting_gratings/orientation"], gratings["direction_deg"])
        same(file["drifting_gratings/orientation_id"], gratings["direction_deg"] // 45)
        frequencies = [1.0, 2.0, 4.0, 8.0, 15.0]
        same(
            file["drifting_gratings/temporal_frequency_id"],
            [frequencies.index(hz) for hz in gratings["temporal_frequency_hz"]],
        )
        movie = store.presentations_of(session_id).query("stimulus == 'natural_movie_one'")
        same(file["natural_movie_one/frame"], movie["movie_frame"])
        same(file["natural_movie_one/repeat"], movie["repeat"])
        values, _ = store.signal(session_id, "running_speed")
        same(file["running/running_speed"][:, 0], values[np.isfinite(values)].astype(np.float32))
        assert file["pupil/location"].shape == (len(file["pupil/size"]), 2)
        epochs = store.epochs[store.epochs["session_id"] == session_id]
        for stimulus, count in Counter(epochs["stimulus"]).items():
            assert len(file[f"{stimulus}_domain/start"]) == count


def test_roles_are_those_of_the_manifest(exported, tiny_manifest):
    windows = tiny_manifest.windows
    for path in sorted(exported.glob("*.h5")):
        own = windows[windows["session_id"] == path.stem]
        with h5py.File(path) as file:
            start_s, rate_hz = file["domain/start"][0], file["calcium_traces"].attrs["sampling_rate"]
            for role in ("train", "valid", "test"):
                frames = np.zeros(len(file["calcium_traces/df_over_f"]), bool)
                for start, stop in zip(file[f"{role}_domain/start"], file[f"{role}_domain/end"], strict=True):
                    first, last = ((at - start_s) * rate_hz for at in (start, stop))
                    assert abs(first - round(first)) + abs(last - round(last)) < 1e-6, "cut between two frames"
                    frames[round(first) : round(last)] = True
                wanted = np.zeros_like(frames)
                for row in own[own["role"] == role].itertuples():
                    wanted[row.start_frame : row.stop_frame] = True
                same(frames, wanted)


def test_a_split_gives_roles_too(tiny_store_path, tmp_path):
    store = open_store(tiny_store_path)
    split = resolve_split(store, "blocks-5fold")
    first = store.session_ids[0]
    export(select(store, split=split, sessions=[first]), "torch-brain", tmp_path / "out")
    with h5py.File(tmp_path / "out" / f"{first}.h5") as file:
        length_s = {
            role: (file[f"{role}_domain/end"][:] - file[f"{role}_domain/start"][:]).sum() for role in ("train", "test")
        }
        frames = {role: int(np.diff(split.intervals(first, role)).sum()) for role in length_s}
        rate_hz = file["calcium_traces"].attrs["sampling_rate"]
    assert {role: round(seconds * rate_hz) for role, seconds in length_s.items()} == frames


def test_without_roles_there_are_none(made):
    with h5py.File(made / "regular.h5") as file:
        assert not [name for name in file if name.removesuffix("_domain") in ("train", "valid", "test")]


def test_a_gap_keeps_the_true_timestamps(made, store):
    with h5py.File(made / "gapped.h5") as file:
        traces, time_s = file["calcium_traces"], store.time_s("gapped")
        assert traces.attrs["object"] == "IrregularTimeSeries"
        same(traces["timestamps"], time_s)
        for domain in (file["domain"], traces["domain"]):
            same(domain["start"], time_s[[0, 750]])
            np.testing.assert_allclose(domain["end"], time_s[[749, -1]] + np.median(np.diff(time_s)))
        same(file["drifting_gratings/start"], time_s[file["drifting_gratings/start_frame"][:]])


@pytest.mark.parametrize(
    ("late_frames", "regular"),
    [pytest.param(0.4, True, id="within-half-a-frame"), pytest.param(0.6, False, id="beyond")],
)
def test_a_grid_is_used_when_frames_keep_to_it(store, late_frames, regular):
    recording = select(store, sessions=["regular"]).recording("regular")
    time_s = np.arange(1500) / 30.0
    time_s[700] += late_frames / 30.0
    object.__setattr__(recording, "time_s", time_s)  # a cached property: what was read
    clock = Clock.of(recording)
    assert (clock.rate_hz is not None) == regular
    if regular:
        assert clock.rate_hz == pytest.approx(30.0)
        np.testing.assert_allclose(clock.at(time_s), clock.time_s, atol=1e-12)
        assert clock.at(time_s[700:701] + 1e-3)[0] > clock.time_s[700]
        same(clock.at(np.array([-2.0, 60.0])), [-2.0, 60.0])


def test_texts_that_are_not_ascii_and_missing_labels(store, tmp_path):
    selection = select(store, sessions=["regular"])
    labelled = selection.neurons.assign(
        label=["Zürich", *[None] * 6], checked=[True, None, *[False] * 5], deep=[True, False] * 3 + [True]
    )
    object.__setattr__(selection, "neurons", labelled.astype({"label": "str", "checked": "boolean"}))
    export(selection, "torch-brain", tmp_path / "out")
    with h5py.File(tmp_path / "out" / "regular.h5") as file:
        assert list(rules(file)) == []
        assert file["rois/label"][:3].tolist() == [b"Z\\xfcrich", b"", b""]
        assert file["rois/deep"].dtype == bool
        same(file["rois/checked"][:], [1.0, np.nan, 0, 0, 0, 0, 0])
        same(file["rois/cell_specimen_id"][-2:], [105.0, np.nan])


def test_our_own_source_reads_it_back(exported, tiny_store_path):
    store = open_store(tiny_store_path)
    session_id = store.session_ids[0]
    record = read_torch_brain(exported / f"{session_id}.h5")
    meta, shown = store.sessions.iloc[0], store.presentations_of(session_id).query("not blank")
    for name in ("session_id", "donor_id", "container_id", "cre_line", "area", "depth_um", "session_type", "indicator"):
        assert getattr(record.metadata, name) == meta[name], name
    neurons = store.neurons[store.neurons["session_id"] == session_id]
    assert record.neurons["neuron_id"].tolist() == neurons["neuron_id"].tolist()
    same(record.read_traces(0, 500), store.traces(session_id)[:500])
    same(record.time_s, store.time_s(session_id))
    for name in (
        "stimulus",
        "start_frame",
        "stop_frame",
        "start_s",
        "direction_deg",
        "temporal_frequency_hz",
        "movie_frame",
    ):
        same(record.presentations[name], shown[name], err_msg=name)


# -- read by others ----------------------------------------------------------------------------------------------------


def test_temporaldata_opens_and_slices(exported, tiny_store_path):
    temporaldata = pytest.importorskip("temporaldata", reason="temporaldata is not installed")
    store = open_store(tiny_store_path)
    session_id = store.session_ids[0]
    with h5py.File(exported / f"{session_id}.h5") as file:
        recording = temporaldata.Data.from_hdf5(file)
        start, end = recording.train_domain.start[1], recording.train_domain.end[1]
        window = recording.slice(start, end)
        first = int(np.flatnonzero(store.time_s(session_id) == window.calcium_traces.true_timestamps[0])[0])
        same(window.calcium_traces.df_over_f, store.traces(session_id)[first : first + len(window.calcium_traces)])
        assert len(window.drifting_gratings) == len(window.drifting_gratings.orientation_id) > 0
        assert window.running.running_speed.shape[1] == 1
        assert recording.rois.id.tolist()[0].startswith(session_id)
        whole = temporaldata.Data.from_hdf5(file, lazy=False)
        same(whole.calcium_traces.df_over_f, store.traces(session_id))


def test_temporaldata_opens_a_recording_with_a_gap(made, store):
    temporaldata = pytest.importorskip("temporaldata", reason="temporaldata is not installed")
    time_s = store.time_s("gapped")
    with h5py.File(made / "gapped.h5") as file:
        recording = temporaldata.Data.from_hdf5(file)
        window = recording.slice(time_s[740], time_s[760])
        same(window.calcium_traces.df_over_f, store.traces("gapped")[740:760])
        assert len(window.domain) == 2
        same(recording.calcium_traces.timestamps, time_s)


@pytest.mark.slow
def test_torch_brain_samples_from_it(exported, tiny_store_path, tiny_manifest, tmp_path):
    python = os.environ.get("POYODATA_TORCH_BRAIN_PYTHON")
    if not python:
        pytest.skip("POYODATA_TORCH_BRAIN_PYTHON does not name a Python that has torch_brain 0.2.1")
    script = Path(__file__).with_name("sample_with_torch_brain.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(script), str(exported), str(tmp_path / "read.npz")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    read = np.load(tmp_path / "read.npz")
    about = json.loads(str(read["about"]))
    store = open_store(tiny_store_path)
    assert about["recordings"] == list(store.session_ids)
    assert about["rois"] == sorted(store.neurons["neuron_id"])
    assert about["subjects"] == store.sessions["donor_id"].tolist()
    role_of = {}
    for name in store.session_ids:
        role_of[name] = np.full(len(store.time_s(name)), "", dtype="U8")
        for row in tiny_manifest.windows.query("session_id == @name").itertuples():
            role_of[name][row.start_frame : row.stop_frame] = row.role
    counts = Counter()
    for window in about["windows"]:
        name = window["recording"]
        frames = np.searchsorted(store.time_s(name), read[f"{window['name']}_s"])
        same(store.time_s(name)[frames], read[f"{window['name']}_s"])
        same(np.diff(frames), 1)
        same(read[f"{window['name']}_dff"], store.traces(name)[frames])
        if window["sampler"] == "trial":
            assert (window["start_frame"], window["stop_frame"]) == ([frames[0]], [frames[-1] + 1]), "its own frames"
            shown = store.presentations_of(name).query("stimulus == 'drifting_gratings'").set_index("start_frame")
            assert window["orientation"] == [shown.loc[frames[0], "direction_deg"]]
        else:
            assert set(role_of[name][frames]) == {window["split"]}, "no frame of another role"
        counts[window["sampler"], window["split"]] += 1
    assert set(counts) == {
        (kind, split) for kind in ("random", "sequential") for split in ("train", "valid", "test")
    } | {("trial", "")}
    assert min(counts.values()) > 20
    sys.stderr.write(f"torch_brain read {sum(counts.values())} windows\n")
