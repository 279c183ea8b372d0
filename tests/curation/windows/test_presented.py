"""Conditions on presentations: what they may name, what is read for them, and what they compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c
from poyodata.curation.windows import presented as module
from poyodata.errors import DietError
from tests.curation.conftest import RATE_HZ, TinyStore, build_split, build_store

Resolve = Callable[..., Manifest]
GRATINGS = c.stimulus == "drifting_gratings"


def running_store(n_sessions: int = 1, without: tuple[str, ...] = ()) -> TinyStore:
    """In every trial the mouse runs as many cm/s as the trial's number says; it rests in grey."""
    store = build_store(n_sessions)
    for session in store.sessions["session_id"]:
        time_s = store.time_s(session)
        speed = np.zeros(len(time_s))
        for row in store.presentations_of(session).itertuples():
            speed[row.start_frame : row.stop_frame] = max(row.trial, 0)
        if session not in without:
            store.signals[session, "running_speed"] = speed, time_s
    return store


class Watched:
    """A store that writes down what is read of it."""

    def __init__(self, store: TinyStore) -> None:
        self.store, self.read = store, []

    def __getattr__(self, name: str) -> Any:
        if name in ("presentations_of", "time_s", "signal"):
            return lambda *args: (self.read.append((name, *args)), getattr(self.store, name)(*args))[1]
        return getattr(self.store, name)


@pytest.mark.parametrize(
    ("condition", "trials"),
    [
        pytest.param(GRATINGS & (c.running_cm_s >= 37), [37, 38, 39], id="running"),
        pytest.param(GRATINGS & (c.running_cm_s.quantile(0.5) < c.running_cm_s), range(10, 40), id="quantile of train"),
        pytest.param(GRATINGS & (c.start_s > (600 + 36 * 90) / RATE_HZ - 0.001), range(36, 40), id="time"),
        pytest.param(GRATINGS & (c.stop_s < 30), range(3), id="end of a window"),
        pytest.param((c.duration_s > 1.99) & (c.duration_s < 2.01) & (c.trial < 2), [0, 1], id="duration"),
        pytest.param(GRATINGS & (c.orientation_deg == 45), [1, 5, 13, 17], id="orientation"),
        pytest.param(GRATINGS & (c.image == 4), [4], id="image"),
    ],
)
def test_a_condition_names_time_behaviour_and_everything_shown(condition: Any, trials: Any, resolve: Resolve) -> None:
    store = running_store()
    shown = store.presentations
    store.presentations = shown.assign(
        orientation_deg=np.where(shown["trial"] < 20, shown["direction_deg"] % 180, np.nan), image=shown["trial"]
    )
    # Naming the role lifts the promise that every role keeps some time.
    diet = Diet.everyone().during(condition & c.role.isin(["train", "valid", "test"]))
    manifest = resolve(diet, store, build_split(store))
    assert manifest.windows["trial"].tolist() == list(trials)


def test_unknown_behaviour_keeps_nothing_and_is_counted_and_told(resolve: Resolve) -> None:
    store = running_store(2, without=("s01",))
    manifest = resolve(Diet.everyone().during(GRATINGS & (c.running_cm_s >= 0)), store, build_split(store))
    assert set(manifest.windows["session_id"]) == {"s00"}
    funnel = manifest.funnel().set_index("step")
    assert funnel.loc["windows.where", ["kept", "rejected", "unknown"]].tolist() == [40, 2, 40]
    assert "running_cm_s is unknown in 1 of 2 recordings: they have no signal 'running_speed'" in manifest.warnings


def test_quantiles_compare_with_train_presentations_and_are_frozen(resolve: Resolve) -> None:
    store = running_store()
    split = build_split(store)
    manifest = resolve(Diet.everyone().during("running_cm_s >= quantile(running_cm_s, 0.25)"), store, split)
    (frozen,) = (value for key, value in manifest.meta["frozen"].items() if key.startswith("windows: "))
    train = [0.0, *range(20)]  # grey screen, and the trials of role train
    assert frozen["value"] == pytest.approx(np.quantile(train, 0.25))
    assert (frozen["n"], frozen["reference"]) == (21, "train")
    assert "windows: quantile(running_cm_s, 0.25)" in manifest.meta["frozen"]
    louder = running_store()
    values, time_s = louder.signals["s00", "running_speed"]
    test_time = time_s > (600 + 30 * 90) / RATE_HZ
    louder.signals["s00", "running_speed"] = np.where(test_time, 100 * values, values), time_s
    again = resolve(Diet.everyone().during("running_cm_s >= quantile(running_cm_s, 0.25)"), louder, split)
    assert again.meta["frozen"]["windows: quantile(running_cm_s, 0.25)"] == frozen


@pytest.mark.parametrize(
    ("windows", "read"),
    [
        pytest.param({}, set(), id="nothing is asked for"),
        pytest.param({"min_length_s": 1.0}, set(), id="a length"),
        pytest.param({"condition": GRATINGS}, {"presentations_of"}, id="what was shown"),
        pytest.param({"condition": c.start_s >= 0}, {"presentations_of", "time_s"}, id="time"),
        pytest.param(
            {"condition": GRATINGS & (c.running_cm_s >= 0)}, {"presentations_of", "time_s", "signal"}, id="behaviour"
        ),
        pytest.param({"while_": c.running_cm_s >= 0}, {"time_s", "signal"}, id="behaviour of frames"),
    ],
)
def test_only_what_is_named_is_read(windows: dict, read: set, resolve: Resolve) -> None:
    store = Watched(running_store(2))
    resolve(Diet.everyone().during(windows.pop("condition", None), **windows), store, build_split(store.store))
    assert {name for name, *_ in store.read} == read
    for name, _, *columns in store.read:
        if name == "presentations_of":
            assert "repeat" not in columns[0]


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param(GRATINGS, id="one stimulus"),
        pytest.param(GRATINGS & ~c.blank & (c.direction_deg >= 90), id="and more"),
        pytest.param(c.stimulus.isin(["spontaneous", "drifting_gratings"]) & (c.trial < 30), id="two stimuli"),
        pytest.param((c.stimulus == "spontaneous") & (c.role == "train"), id="grey of one role"),
        pytest.param(GRATINGS & (c.role == "valid"), id="a role"),
        pytest.param(GRATINGS & (c.running_cm_s > 3), id="behaviour"),
    ],
)
def test_letting_other_stimuli_go_early_changes_nothing(
    condition: Any, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = running_store(3)
    diet = Diet.everyone().during(condition & c.role.isin(["train", "valid", "test"]))
    monkeypatch.setattr(module, "BATCH", 1)
    early = resolve(diet, store, build_split(store))
    monkeypatch.setattr(module, "_stimuli_of", lambda where: None)
    monkeypatch.setattr(module, "BATCH", 10**9)
    late = resolve(diet, store, build_split(store))
    pd.testing.assert_frame_equal(early.windows, late.windows)
    pd.testing.assert_frame_equal(early.funnel(), late.funnel())


def test_a_presentation_without_a_frame_is_no_window(resolve: Resolve) -> None:
    store = build_store(1)
    store.presentations.loc[5, "stop_frame"] = store.presentations.loc[5, "start_frame"]
    windows = resolve(Diet.everyone().during(GRATINGS), store, build_split(store)).windows
    assert 4 not in set(windows["trial"])
    assert len(windows) == 39


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        pytest.param("speed > 3", "'speed' is no column of that", id="unknown column"),
        pytest.param("running_cm_s > 'fast'", "write the number without quotes", id="kind"),
        pytest.param("role == 'trian'", "did you mean|no presentation has role", id="role"),
        pytest.param("stimulus == 'drifting_gratings' and pupil_area_px > 3", "keeps no presentation", id="no signal"),
    ],
)
def test_what_cannot_be_asked_is_said(condition: str, says: str, resolve: Resolve) -> None:
    store = running_store()
    with pytest.raises(DietError, match=says):
        resolve(Diet.everyone().during(condition), store, build_split(store))


@pytest.mark.parametrize(
    ("condition", "kept", "unknown"),
    [
        pytest.param("repeat < 3", 3, 31, id="below"),
        pytest.param("not (repeat >= 3)", 3, 31, id="not above"),
        pytest.param("repeat >= -1", 10, 31, id="at least -1"),
        pytest.param("repeat in [-1, 0]", 1, 31, id="in"),
        pytest.param("isnan(repeat)", 31, 0, id="missing"),
        pytest.param("repeat < quantile(repeat, 0.5)", 5, 31, id="quantile"),
        pytest.param("not isnan(trial)", 40, 0, id="trials"),
        pytest.param("trial < 1", 1, 1, id="no trial of grey screen"),
        pytest.param("trial < 1 or stimulus == 'spontaneous'", 2, 0, id="or"),
    ],
)
def test_minus_one_is_no_number(condition: str, kept: int, unknown: int, resolve: Resolve) -> None:
    store = build_store(1)
    shown = store.presentations
    store.presentations = shown.assign(repeat=np.where(shown["trial"].between(0, 9), shown["trial"], -1))
    store.presentations.loc[shown["stimulus"] == "spontaneous", "repeat"] = -1
    manifest = resolve(
        Diet.everyone().during(f"({condition}) and role in ['train', 'valid', 'test']"), store, build_split(store)
    )
    assert len(manifest.windows) == kept
    step = manifest.funnel().set_index("step").loc["windows.where"]
    assert (step["kept"], step["unknown"]) == (kept, unknown)


def test_large_numbers_of_presentations_stay_exact(resolve: Resolve) -> None:
    store = build_store(1)
    large = 2**53 + 1
    store.presentations = store.presentations.assign(image=np.int64(-1))
    store.presentations.loc[[3, 4], "image"] = [large, large - 1]
    manifest = resolve(Diet.everyone().during(f"image == {large} and role == 'train'"), store, build_split(store))
    assert manifest.windows["trial"].tolist() == [2]
