"""Windows cut to frames and sampled, and all steps together against a reference that goes frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation import Diet, Manifest, c
from poyodata.curation.language.window_rule import WindowSample
from poyodata.curation.windows.choice import COLUMNS, select_windows
from poyodata.curation.windows.cuts import sample_windows
from poyodata.curation.windows.recordings import Recordings
from poyodata.errors import DietError
from tests.curation.conftest import TinyStore, build_split, build_store

Resolve = Callable[..., Manifest]
GRATINGS = c.stimulus == "drifting_gratings"
RATE_HZ = 30.0


def walking_store(speed: Callable[[np.ndarray], np.ndarray], n_sessions: int = 1) -> TinyStore:
    """Speed as a function of the frame's number."""
    store = build_store(n_sessions)
    for session in store.sessions["session_id"]:
        time_s = store.time_s(session)
        store.signals[session, "running_speed"] = speed(np.arange(len(time_s))), time_s
    return store


def frames_of(manifest: Manifest) -> list[list[Any]]:
    return manifest.windows[["role", "start_frame", "stop_frame"]].to_numpy().tolist()


def in_trial(frame: np.ndarray) -> np.ndarray:
    """Frame within its trial and the grey after it; negative in the first grey."""
    return np.where(frame < 600, -1, (frame - 600) % 90)


def test_presentations_are_cut_to_the_frames_of_which_while_holds(resolve: Resolve) -> None:
    store = walking_store(lambda frame: np.where((in_trial(frame) >= 20) & (in_trial(frame) != 40), 5.0, 0.0))
    split = build_split(store)
    diet = Diet.everyone().during(GRATINGS & (c.trial < 25) & (c.role != "test"), while_=c.running_cm_s > 1)
    manifest = resolve(diet, store, split)
    assert frames_of(manifest)[:4] == [
        ["train", 620, 640],
        ["train", 641, 660],
        ["train", 710, 730],
        ["train", 731, 750],
    ]
    assert len(manifest.windows) == 50
    assert manifest.windows["trial"].tolist() == np.repeat(np.arange(25), 2).tolist()
    steps = manifest.funnel().set_index("step")
    assert steps.loc["windows.while", ["kept", "rejected", "unknown", "counts"]].tolist() == [975, 525, 0, "frames"]
    longer = resolve(diet.during(diet.windows.where, while_=diet.windows.while_, min_length_s=20 / 30), store, split)
    assert len(longer.windows) == 25


def test_stretches_are_cut_without_a_condition_on_presentations(resolve: Resolve) -> None:
    store = walking_store(lambda frame: np.where(frame % 1000 < 700, 5.0, 0.0))
    manifest = resolve(Diet.everyone().during(while_=c.running_cm_s > 1), store, build_split(store))
    assert frames_of(manifest) == [
        ["train", 0, 700],
        ["train", 1000, 1700],
        ["train", 2000, 2400],
        ["valid", 2400, 2700],
        ["valid", 3000, 3300],
        ["test", 3300, 3700],
        ["test", 4000, 4200],
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param((c.time_s >= 10) & (c.time_s < 100), [["train", 300, 2400], ["valid", 2400, 3000]], id="time"),
        pytest.param(c.role == "valid", [["valid", 2400, 3300]], id="role"),
        pytest.param(~(c.role == "train") & (c.time_s > 109), [["valid", 3271, 3300], ["test", 3300, 4200]], id="both"),
    ],
)
def test_frames_are_chosen_by_time_and_role(condition: Any, expected: list, resolve: Resolve) -> None:
    store = build_store(1)
    diet = Diet.everyone().during(while_=condition & c.role.isin(["train", "valid", "test"]))
    assert frames_of(resolve(diet, store, build_split(store))) == expected


def test_unknown_frames_are_left_out_and_counted(resolve: Resolve) -> None:
    store = walking_store(lambda frame: np.where((frame > 100) & (frame < 110), np.nan, 5.0))
    manifest = resolve(Diet.everyone().during(while_=~(c.running_cm_s > 9)), store, build_split(store))
    assert frames_of(manifest)[:2] == [["train", 0, 101], ["train", 110, 2400]]
    steps = manifest.funnel().set_index("step")
    assert steps.loc["windows.while", ["kept", "rejected", "unknown"]].tolist() == [4191, 0, 9]
    empty = build_store(1)
    with pytest.raises(DietError, match=r"windows.while .* holds at no frame of its 1 windows"):
        resolve(Diet.everyone().during(while_=c.running_cm_s > 9), empty, build_split(empty))


def test_quantiles_are_refused_where_single_frames_are_looked_at() -> None:
    with pytest.raises(DietError, match="put them under `where`"):
        Diet.everyone().during(while_=c.running_cm_s > c.running_cm_s.quantile(0.5))


WINDOWS = pd.DataFrame(
    {
        "session_id": np.repeat(["a", "b"], 40),
        "role": np.tile(np.repeat(["train", "test"], 20), 2),
        "start_frame": np.tile(np.arange(40) * 10, 2),
        "stop_frame": np.tile(np.arange(40) * 10 + 7, 2),
    }
)


def taken(sample: WindowSample, table: pd.DataFrame = WINDOWS) -> set[tuple[str, int]]:
    kept = table[sample_windows(table, sample)]
    return set(zip(kept["session_id"], kept["start_frame"], strict=True))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        pytest.param(WindowSample(fraction=0.25), {"train": 5, "test": 20}, id="train alone by default"),
        pytest.param(WindowSample(n=3, roles=("train", "test")), {"train": 3, "test": 3}, id="number, both roles"),
        pytest.param(WindowSample(fraction=0.01, roles=("test",)), {"train": 20, "test": 0}, id="none of test"),
        pytest.param(WindowSample(fraction=1.0), {"train": 20, "test": 20}, id="all"),
    ],
)
def test_a_sample_is_of_each_recording_and_role(sample: WindowSample, expected: dict) -> None:
    kept = WINDOWS[sample_windows(WINDOWS, sample)]
    counts = kept.groupby(["session_id", "role"]).size()
    for session in ("a", "b"):
        assert {role: counts.get((session, role), 0) for role in ("train", "test")} == expected


def test_a_sample_is_nested_and_depends_on_nothing_else() -> None:
    few, more = taken(WindowSample(fraction=0.2, seed=3)), taken(WindowSample(fraction=0.6, seed=3))
    assert few < more
    assert few == taken(WindowSample(fraction=0.2, seed=3), WINDOWS.sample(frac=1, random_state=1))
    assert few != taken(WindowSample(fraction=0.2, seed=4))
    alone = taken(WindowSample(fraction=0.2, seed=3), WINDOWS[WINDOWS["session_id"] == "b"])
    assert alone == {row for row in few if row[0] == "b"}
    assert {start for name, start in few if name == "a"} != {start for name, start in few if name == "b"}


def test_too_many_windows_asked_for_are_named() -> None:
    with pytest.raises(DietError, match="asks for 21 windows of each recording, and 'a' has 20 of role 'train'"):
        sample_windows(WINDOWS, WindowSample(n=21))


def test_a_sample_comes_last_and_stands_in_the_funnel(resolve: Resolve) -> None:
    store = build_store(2)
    diet = Diet.everyone().during(GRATINGS, min_length_s=1.9, sample=WindowSample(fraction=0.25, seed=1))
    manifest = resolve(diet, store, build_split(store))
    assert manifest.windows["role"].value_counts().to_dict() == {"train": 10, "valid": 20, "test": 20}
    names = [step for step in manifest.funnel()["step"] if step.startswith("windows")]
    assert names[:4] == ["windows.role", "windows.where", "windows.min_length_s", "windows.sample"]
    assert manifest.meta["frozen"]["windows.sample"] == {"pool": 40, "taken": 10, "seed": 1}
    none = Diet.everyone().during(GRATINGS, sample=WindowSample(fraction=0.01))
    with pytest.raises(DietError, match=r"role 'train' .*windows.sample .*takes none of its 40 windows"):
        resolve(none, store, build_split(store))


# -- all steps, frame by frame ---------------------------------------------------------------------------------------

LONG = 400


def random_recordings(seed: int) -> tuple[Recordings, dict[str, np.ndarray]]:
    """One or two recordings with random presentations, gaps and roles, and a speed that is known at some frames."""
    rng = np.random.default_rng(seed)
    tables: dict[str, list] = {"shown": [], "segments": [], "roles": [], "epochs": []}
    speeds = {}

    def pieces(most: int) -> list[tuple[int, int]]:
        inner = np.unique(rng.integers(1, LONG, rng.integers(0, most + 1))).tolist()
        return list(pairwise([0, *inner, LONG]))

    for number in range(rng.integers(1, 3)):
        session = f"s{number}"
        tables["segments"] += [(session, *piece) for piece in pieces(3)]
        for piece in pieces(5):
            role = rng.choice(["train", "valid", "test", ""])
            if role:
                tables["roles"].append((session, *piece, role))
        for trial, (start, stop) in enumerate(pieces(12)):
            stop -= min(int(rng.integers(0, 5)), stop - start)
            stimulus = rng.choice(["drifting_gratings", "spontaneous"])
            tables["shown"].append((session, stimulus, trial, trial, start, stop))
            tables["epochs"].append((session, trial, stimulus, start, stop))
        steps = rng.choice([0.0, 5.0, np.nan], rng.integers(1, 13))
        speeds[session] = np.repeat(steps, -(-LONG // len(steps)))[:LONG]
    shown = pd.DataFrame(
        tables["shown"], columns=["session_id", "stimulus", "epoch", "trial", "start_frame", "stop_frame"]
    ).assign(blank=False, direction_deg=np.nan, temporal_frequency_hz=np.nan, movie_frame=-1)
    names = sorted(speeds)
    store = TinyStore(
        sessions=pd.DataFrame({"session_id": names, "rate_hz": RATE_HZ, "n_frames": LONG}),
        neurons=pd.DataFrame(),
        presentations=shown,
        epochs=pd.DataFrame(tables["epochs"], columns=["session_id", "epoch", "stimulus", "start_frame", "stop_frame"]),
        segments=pd.DataFrame(tables["segments"], columns=["session_id", "start_frame", "stop_frame"]),
    )
    for name in names:
        store.signals[name, "running_speed"] = speeds[name], store.time_s(name)
    roles = pd.DataFrame(tables["roles"], columns=["session_id", "start_frame", "stop_frame", "role"]).astype(
        {"session_id": "str", "role": "str"}
    )
    return Recordings(store.sessions, store.epochs, store.segments, roles, store), speeds


def label_frames(table: pd.DataFrame, session: str, values: list) -> np.ndarray:
    label = np.full(LONG, "", dtype=object)
    own = (table["session_id"] == session).to_numpy()
    for (start, stop), value in zip(table.loc[own, ["start_frame", "stop_frame"]].to_numpy(), values, strict=True):
        label[start:stop] = value
    return label


def expected_windows(
    found: Recordings, speeds: dict[str, np.ndarray], where: bool, running: bool, least: int
) -> set[tuple[str, str, int, int]]:
    """Frame by frame: what the rule means, without the code under test."""
    windows = set()
    for session, speed in speeds.items():
        own = found.roles[found.roles["session_id"] == session]
        role = label_frames(found.roles, session, own["role"].tolist())
        part = label_frames(found.roles, session, list(range(len(own))))
        gaps = found.segments[found.segments["session_id"] == session]
        piece = label_frames(found.segments, session, list(range(len(gaps))))
        candidates = []
        if where:
            for row in found.store.presentations_of(session).itertuples():
                frames = list(range(row.start_frame, row.stop_frame))
                if row.stimulus == "spontaneous":
                    candidates += runs(frames, [(role[f], piece[f]) for f in frames])
                elif frames and len({(role[f], piece[f]) for f in frames}) == 1:
                    candidates.append(frames)
        else:
            # Stretches of one role that touch stay apart, as the split has them.
            candidates += runs(list(range(LONG)), [(part[f], piece[f]) for f in range(LONG)])
        for frames in candidates:
            if role[frames[0]] == "":
                continue
            kept = runs(frames, [bool(speed[f] > 1) for f in frames]) if running else [frames]
            for stretch in kept:
                if running and not speed[stretch[0]] > 1:
                    continue
                if len(stretch) >= least:
                    windows.add((session, role[stretch[0]], stretch[0], stretch[-1] + 1))
    return windows


def runs(frames: list[int], keys: list) -> list[list[int]]:
    parts: list[list[int]] = []
    for at, frame in enumerate(frames):
        if at == 0 or keys[at] != keys[at - 1]:
            parts.append([])
        parts[-1].append(frame)
    return parts


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), where=st.booleans(), running=st.booleans(), least=st.sampled_from([0, 0, 10, 40]))
def test_every_step_is_what_it_means_frame_by_frame(seed: int, where: bool, running: bool, least: int) -> None:
    found, speeds = random_recordings(seed)
    diet = Diet.everyone().during(
        c.stimulus.isin(["drifting_gratings", "spontaneous"]) & ((c.trial >= 0) | c.trial.isnan()) if where else None,
        while_=c.running_cm_s > 1 if running else None,
        min_length_s=least / RATE_HZ if least else None,
    )
    expected = expected_windows(found, speeds, where, running, least)
    try:
        windows = select_windows(diet, found, promised=()).windows
    except DietError as error:
        assert "keeps no window" in str(error)
        assert not expected
        return
    rows = windows[["session_id", "role", "start_frame", "stop_frame"]]
    assert not rows.duplicated().any()
    assert {tuple(row) for row in rows.to_numpy().tolist()} == expected
    assert tuple(windows.columns) == COLUMNS
