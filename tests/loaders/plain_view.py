"""Views of recordings that are written down in a test: tables in memory, and traces where a test needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from poyodata.curation import Manifest
from poyodata.curation.view import View

GRATINGS = "drifting_gratings"
ROLES = ("train", "valid", "test")
Spans = Sequence[tuple[int, int]]


def window(session: str, role: str, start: int, stop: int, **shown: Any) -> dict[str, Any]:
    """A row of ``Manifest.windows``: a stretch, or a trial where `shown` says which."""
    nothing = {
        "stimulus": GRATINGS,
        "trial": -1,
        "epoch": 0,
        "blank": False,
        "direction_deg": np.nan,
        "temporal_frequency_hz": np.nan,
        "movie_frame": -1,
    }
    return {"session_id": session, "role": role, "start_frame": start, "stop_frame": stop, **nothing, **shown}


class PlainStore(SimpleNamespace):
    """Tables and traces under the names of a store."""

    def presentations_of(self, names: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        shown = self.presentations[self.presentations["session_id"].isin(names)].reset_index(drop=True)
        return shown if columns is None else shown[list(columns)]

    def traces(self, session_id: str) -> Any:
        self.read.append(session_id)
        return self.arrays[session_id]


def plain_view(
    segments: Mapping[str, Spans],
    windows: Sequence[dict[str, Any]],
    *,
    time: Sequence[tuple[str, str, int, int]] | None = None,
    guard: int = 0,
    diet: Mapping[str, Any] | None = None,
    neurons: Mapping[str, Sequence[str]] | None = None,
    presentations: Sequence[dict[str, Any]] = (),
    arrays: Mapping[str, Any] | None = None,
    folder: Path = Path("nowhere"),
) -> View:
    """A view of recordings with these segments and windows; roles have the time of their windows, or `time`."""
    ids = sorted(segments)
    table = pd.DataFrame(windows).sort_values(["session_id", "start_frame"], kind="stable", ignore_index=True)
    given = [tuple(row) for row in table[["session_id", "role", "start_frame", "stop_frame"]].to_numpy().tolist()]
    role_time = pd.DataFrame(given if time is None else time, columns=list(table.columns[:4]))
    terms = neurons or {key: [""] for key in ids}
    rows = [(key, column, term) for key in ids for column, term in enumerate(terms[key])]
    who = pd.DataFrame(rows, columns=["session_id", "column", "term"])
    spans = [(key, at, *span) for key in ids for at, span in enumerate(segments[key])]
    store = PlainStore(
        segments=pd.DataFrame(spans, columns=["session_id", "segment", "start_frame", "stop_frame"]),
        sessions=pd.DataFrame(
            {
                "session_id": ids,
                "digest": [f"digest-{key}" for key in ids],
                "cre_line": [("Sst", "Vip")[at % 2] for at in range(len(ids))],
            }
        ),
        presentations=pd.DataFrame(list(presentations)) if presentations else table.drop(columns="role"),
        arrays=arrays,
        read=[],
        statistics_folder=folder,
    )
    view = View.__new__(View)
    view.store = store  # type: ignore[assignment]
    view.manifest = Manifest(
        who, table, role_time.assign(guard_frames=guard), who, {"name": "plain", "diet": diet or {}}
    )
    view.session_ids = tuple(ids)
    return view


@st.composite
def views(draw: st.DrawFn, trials: bool = False) -> View:
    """Recordings with gaps, and roles that lie in them anyhow; windows are parts of the time of their roles."""
    segments: dict[str, Spans] = {}
    windows: list[dict[str, Any]] = []
    time: list[tuple[str, str, int, int]] = []
    for key in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        cuts = sorted(draw(st.sets(st.integers(1, 299), max_size=3)))
        segments[key] = list(zip([0, *cuts], [*cuts, 300], strict=True))
        edges = [0, *sorted(draw(st.sets(st.integers(1, 299), max_size=6))), 300]
        for start, stop in pairwise(edges):
            role = draw(st.sampled_from((*ROLES, "")))
            if not role:
                continue
            time.append((key, role, start, stop))
            # What a diet eats of it: one piece, or two that touch or leave frames out between them.
            middle = draw(st.integers(start, stop))
            gap = draw(st.integers(0, 3))
            pieces = [(start, middle), (min(middle + gap, stop), stop)]
            windows += [
                window(key, role, a, b, trial=len(windows) if trials else -1) for a, b in pieces if b > a
            ]  # fmt: skip
    if not any(row["role"] == "train" for row in windows):
        segments["a"] = [(0, 300)]
        time = [row for row in time if row[0] != "a"] + [("a", "train", 10, 290)]
        windows = [row for row in windows if row["session_id"] != "a"]
        windows.append(window("a", "train", 10, 290, trial=99 if trials else -1))
    return plain_view(segments, windows, time=time, guard=draw(st.integers(0, 5)))


def allowed(view: View, role: str, eaten: bool = True) -> dict[str, list[np.ndarray]]:
    """Stretches of a role by the words of the promise, frame by frame: arrays of the frames of each."""
    found: dict[str, list[np.ndarray]] = {}
    time = view.manifest.role_time
    table = view.manifest.windows
    for key in view.session_ids:
        frames: set[int] = set()
        for _, row in table[(table["session_id"] == key) & (table["role"] == role)].iterrows():
            frames |= set(range(row["start_frame"], row["stop_frame"]))
        if not eaten:
            frames = _going_with(view, key, role)
        for _, row in time[(time["session_id"] == key) & (time["role"] != role)].iterrows():
            guard = row["guard_frames"] if role == "train" else 0
            frames -= set(range(row["start_frame"] - guard, row["stop_frame"] + guard))
        runs: list[np.ndarray] = []
        for start, stop in view.segments.get(key, np.empty((0, 2), np.int64)).tolist():
            inside = np.array(sorted(frames & set(range(start, stop))), np.int64)
            runs += [run for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(run)]
        found[key] = runs
    return found


def _going_with(view: View, key: str, role: str) -> set[int]:
    """Frames that go with a role: walk each segment, and let every frame follow the last role that was met."""
    time = view.manifest.role_time
    label: dict[int, str] = {}
    for _, row in time[time["session_id"] == key].iterrows():
        label |= dict.fromkeys(range(row["start_frame"], row["stop_frame"]), row["role"])
    found: set[int] = set()
    for start, stop in view.segments.get(key, np.empty((0, 2), np.int64)).tolist():
        last = next((label[frame] for frame in range(start, stop) if frame in label), None)
        for frame in range(start, stop):
            last = label.get(frame, last)
            if last == role:
                found.add(frame)
    return found
