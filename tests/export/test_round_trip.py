"""What the exports lose of a recording that has as little as a recording may have, and names that no layout expects."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from poyodata.export import export, select
from poyodata.ingest import ingest
from poyodata.sources.presentations import presentation_rows, presentation_table
from poyodata.sources.record import SessionMetadata, SessionRecord
from poyodata.store import StoreWriter, open_store

same = np.testing.assert_array_equal
STIMULI = ("flash_stimulus", "red_domain", "red", "test", "domain", "rois", "dim/bars", "spontaneous", "bars-2")
CONDITIONS = {"bars-2": {"direction_deg": [10.0, 20.0]}, "red": {"phase": [0.1, 0.2], "image": [0, 3]}}
N_FRAMES, N_NEURONS = 900, 4


def bare(session_id, *, roi_ids=None, **metadata):
    """No ids, no masks, a line of another laboratory, empty texts, odd names of stimuli."""
    rng = np.random.default_rng([*session_id.encode()])
    traces = rng.normal(size=(N_FRAMES, N_NEURONS)).astype(np.float32)
    time_s = 5.0 + np.arange(N_FRAMES) / 30.0 + rng.uniform(0, 0.005, N_FRAMES)
    rois = pd.array([pd.NA] * N_NEURONS if roi_ids is None else roi_ids, dtype="Int64")
    parts = [
        presentation_rows(
            name,
            [30 + 90 * number, 60 + 90 * number],
            [50 + 90 * number, 80 + 90 * number],
            time_s,
            **CONDITIONS.get(name, {}),
        )
        for number, name in enumerate(STIMULI)
    ]
    known = {"donor_id": "m-1", "container_id": "c-1", "cre_line": "C57BL/6J", "area": "V1", "depth_um": 120.0}
    return SessionRecord(
        metadata=SessionMetadata(session_id=session_id, **(known | metadata)),
        neurons=pd.DataFrame(
            {
                "neuron_id": [f"{session_id}_{number}" for number in range(N_NEURONS)],
                "cell_specimen_id": pd.array([pd.NA] * N_NEURONS, dtype="Int64"),
                "roi_id": rois,
                "x_um": np.nan,
                "y_um": np.nan,
                "valid_roi": True,
                "exclusion_label": "",
            }
        ),
        time_s=time_s,
        segments=np.array([[0, N_FRAMES]]),
        presentations=presentation_table(parts),
        read_traces=lambda start, stop: traces[start:stop],
        source_digest=f"file-of-{session_id}",
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Two sessions of one mouse whose names part at ``-Stim``, and one of which more is known."""
    path = tmp_path_factory.mktemp("bare") / "bare.zarr"
    with StoreWriter(path) as writer:
        writer.add(bare("m1-Stim2", container_id=""))
        writer.add(bare("m1-Stim3", cre_line="Ai94-Cux2-like-line", roi_ids=[7, pd.NA, 0, 12]))
        writer.add(
            bare(
                "x_1",
                cre_line="Sst_IRES_Cre",
                sex="F",
                genotype="wt/wt",
                start_time="spring 2021",
                device="Scanner-2",
                session_type="my session",
                indicator="jGCaMP8m",
                age_days=61.25,
                excitation_nm=920.5,
                fov="400 x 400",
                specimen_name="Zürich-3",
                pipeline_version="own 0.1",
            )
        )
    return open_store(path)


@pytest.fixture(scope="module", params=["nwb2", "torch-brain"])
def second(request, first, tmp_path_factory):
    """The store that an export of `first` is ingested to."""
    folder = tmp_path_factory.mktemp("round")
    export(select(first), request.param, folder / "out")
    ingest([folder / "out"], folder / "again.zarr", kind=request.param)
    return open_store(folder / "again.zarr")


def test_metadata(first, second):
    names = [field.name for field in fields(SessionMetadata)]
    pd.testing.assert_frame_equal(second.sessions[names], first.sessions[names])


def test_neurons(first, second):
    pd.testing.assert_frame_equal(second.neurons[list(first.neurons.columns)], first.neurons)


def test_traces_and_time(first, second):
    for session_id in first.session_ids:
        same(second.traces(session_id), first.traces(session_id))
        same(second.time_s(session_id), first.time_s(session_id))


def test_stimuli(first, second):
    for session_id in first.session_ids:
        before, after = (
            store.presentations_of(session_id).sort_values("start_frame", ignore_index=True)
            for store in (first, second)
        )
        assert set(before["stimulus"]) == set(STIMULI)
        names = [name for name in before.columns if name not in ("start_s", "stop_s")]
        pd.testing.assert_frame_equal(after[names], before[names])


@pytest.mark.slow
def test_an_export_of_what_was_ingested_is_read_the_same(first, second, tmp_path):
    for form in ("nwb2", "torch-brain"):
        export(select(second, sessions=["m1-Stim3"]), form, tmp_path / form)
        ingest([tmp_path / form], tmp_path / f"{form}.zarr", kind=form)
        third = open_store(tmp_path / f"{form}.zarr").neurons
        own = first.neurons[first.neurons["session_id"] == "m1-Stim3"].reset_index(drop=True)
        pd.testing.assert_frame_equal(third[list(own.columns)], own)
