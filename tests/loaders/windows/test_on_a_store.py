"""Windows of a store that was ingested."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.curation import load_diet
from poyodata.intervals import covers
from poyodata.loaders.sampling import balanced, groups_by
from poyodata.loaders.windows import drop_missing, fixed_windows, frame_windows, trial_windows, whole_windows
from poyodata.store import Store

GRATINGS = "stimulus == 'drifting_gratings'"


@pytest.mark.parametrize("role", ["train", "valid", "test"])
def test_windows_keep_clear_of_other_roles(tiny_store: Store, role: str) -> None:
    manifest = load_diet("all").resolve(tiny_store, split="blocks-5fold")
    view = manifest.open(tiny_store)
    time = manifest.role_time
    for index in (
        fixed_windows(view, role, 30, random_phase=True).at_epoch(0, 3),
        frame_windows(view, role, 4),
        whole_windows(view, role),
    ):
        at = index.locate(np.arange(len(index)))
        assert len(index) == len(set(zip(at.session_index.tolist(), at.start.tolist(), strict=True))) > 0
        for number, key in enumerate(view.session_ids):
            start, stop = at.start[at.session_index == number], (at.start + at.length)[at.session_index == number]
            assert covers(view.segments[key], start, stop).all()
            others = time[(time["session_id"] == key) & (time["role"] != role)]
            guard = others["guard_frames"].to_numpy() if role == "train" else 0
            before = stop[:, None] <= (others["start_frame"] - guard).to_numpy()
            after = start[:, None] >= (others["stop_frame"] + guard).to_numpy()
            assert (before | after).all()


def test_while_leaves_trials_where_their_sweep_began(tiny_store: Store) -> None:
    diet = load_diet("all").during(GRATINGS, while_="running_cm_s < 5")
    view = diet.resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    rows = view.manifest.windows
    index = trial_windows(view, "train", 15)
    onsets = tiny_store.presentations.set_index(["session_id", "start_frame"])["trial"]
    for row, session, start in zip(index.source, index.session_index, index.first, strict=True):
        own = rows.iloc[row]
        assert onsets.loc[(view.session_ids[session], start)] == own["trial"]
        eaten = rows[(rows["session_id"] == own["session_id"]) & (rows["role"] == "train")]
        spans = eaten[["start_frame", "stop_frame"]].to_numpy(np.int64)
        assert covers(spans, [start], [start + 15]).all()
    assert 0 < len(index) < (rows["role"] == "train").sum()


def test_directions_are_balanced(tiny_store: Store) -> None:
    view = load_diet("all").during(GRATINGS).resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    index = drop_missing(trial_windows(view, "train", 30), view)
    groups = groups_by(view, index, "direction_deg")
    assert set(groups.tolist()) == set(range(-1, 8))
    sampler = balanced(index, groups, 16, 0)
    for number in range(len(sampler) - 1):
        row = index.locate(sampler.batch(0, number).window).row
        shown = view.manifest.windows.iloc[index.source[row]]
        assert (shown["direction_deg"].value_counts() == 2).all() and not shown["blank"].any()


def test_a_column_of_the_presentations_is_that_of_the_manifest(tiny_store: Store) -> None:
    view = load_diet("all").during(GRATINGS).resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    index = trial_windows(view, "train", 30)
    expected = groups_by(view, index, "direction_deg")
    lacking = view.manifest.windows.drop(columns="direction_deg")
    object.__setattr__(view.manifest, "windows", lacking)
    assert groups_by(view, index, "direction_deg").tolist() == expected.tolist()
