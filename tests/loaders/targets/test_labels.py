"""Labels of windows against the tables of the simulation, trial by trial and frame by frame."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import LABELS, Vocabulary, make_target, make_targets
from poyodata.loaders.targets.labels import LabelTarget
from poyodata.loaders.windows.fixed import fixed_windows
from poyodata.loaders.windows.frames import frame_windows
from poyodata.loaders.windows.index import Located, WindowIndex
from poyodata.loaders.windows.trials import trial_windows
from poyodata.simulation.sessions import SimulatedSession
from poyodata.store import Store
from tests.loaders.targets.conftest import view_of

GRATINGS, STATIC, SCENES, MOVIE = "drifting_gratings", "static_gratings", "natural_scenes", "natural_movie_one"
# Kind of label: its stimulus, and its columns in the simulation's own tables.
TRUTH = {
    "direction": (GRATINGS, ("orientation",)),
    "temporal_frequency": (GRATINGS, ("temporal_frequency",)),
    "orientation": (STATIC, ("orientation",)),
    "spatial_frequency": (STATIC, ("spatial_frequency",)),
    "phase": (STATIC, ("phase",)),
    "static_grating": (STATIC, ("orientation", "spatial_frequency", "phase")),
    "image": (SCENES, ("frame",)),
    "movie_frame": (MOVIE, ("frame",)),
}


def everything(index: WindowIndex) -> Located:
    return index.locate(np.arange(len(index)))


def frames_of(view: Any, n_frames: int = 1, hop: int = 1) -> Located:
    """Every frame of every recording of a view, role or no role."""
    counts = view.store.sessions.set_index("session_id").loc[list(view.session_ids), "n_frames"].to_numpy()
    start = np.concatenate([np.arange(0, count - n_frames, hop) for count in counts])
    session = np.repeat(np.arange(len(counts)), [len(np.arange(0, count - n_frames, hop)) for count in counts])
    return Located(np.zeros(len(start), np.int64), session, start, np.full(len(start), n_frames))


def text_of(row: Any, columns: tuple[str, ...]) -> str:
    return "/".join(f"{float(row[column]):.6g}" for column in columns)


def expected(kind: str, session: SimulatedSession, target: LabelTarget) -> tuple[np.ndarray, np.ndarray]:
    """Label and blank of every frame of a recording, painted presentation by presentation."""
    stimulus, columns = TRUTH[kind]
    label = np.full(len(session.timeline.time_s), -1)
    blank = np.zeros(len(label), bool)
    table = session.timeline.tables.get(stimulus, pd.DataFrame({"start": [], "end": []}))
    for _, row in table.sort_values(["start", "end"], kind="stable").iterrows():
        first, last = int(row["start"]), max(int(row["end"]), int(row["start"]) + 1)
        is_blank = bool(np.isnan(row[columns[0]]) or row.get("blank_sweep", 0) == 1 or row[columns[0]] < 0)
        if is_blank:
            code = -1
        elif kind == "direction":
            code = round(row["orientation"] / 45) % 8
        elif LABELS[kind].is_id:
            code = int(row["frame"])
        else:
            code = target.classes.names.index(text_of(row, columns))
        label[first:last], blank[first:last] = code, is_blank
    return label, blank


@pytest.mark.parametrize("kind", TRUTH)
def test_every_frame_has_the_label_of_what_was_shown_at_it(
    store: Store, simulated: dict[str, SimulatedSession], kind: str
) -> None:
    view = view_of(store)
    target = make_target(kind, view, at="start", stimulus=TRUTH[kind][0])
    target.check(view, frame_windows(view, "train"))
    located = frames_of(view)
    found = target.of(located)
    assert (found[kind] >= 0).any()
    for at, session_id in enumerate(view.session_ids):
        label, blank = expected(kind, simulated[session_id], target)
        mine = located.session_index == at
        np.testing.assert_array_equal(found[kind][mine], label[: mine.sum()])
        np.testing.assert_array_equal(found[f"{kind}_blank"][mine], blank[: mine.sum()])


@pytest.mark.parametrize("kind", TRUTH)
def test_every_trial_has_its_own_label(store: Store, kind: str) -> None:
    stimulus, _ = TRUTH[kind]
    view = view_of(store, stimulus)
    index = trial_windows(view, "train", 1)
    target = make_target(kind, view)
    target.check(view, index)
    found = target.of(everything(index))
    shown = store.presentations.set_index(["session_id", "stimulus", "trial"])
    columns = LABELS[kind].columns
    for at, source in enumerate(index.source):
        window = view.manifest.windows.iloc[source]
        row = shown.loc[(window["session_id"], stimulus, window["trial"])]
        assert found[f"{kind}_blank"][at] == row["blank"]
        if row["blank"]:
            assert found[kind][at] == -1
        elif kind == "direction":
            assert found[kind][at] == round(row["direction_deg"] / 45)
        elif LABELS[kind].is_id:
            assert found[kind][at] == row[columns[0]]
        else:
            assert target.classes.names[found[kind][at]] == text_of(row, columns)
            if LABELS[kind].unit:
                assert found[f"{kind}_{LABELS[kind].unit}"][at] == np.float32(row[columns[0]])
    assert len(index) == ((view.manifest.windows["role"] == "train") & (view.manifest.windows["trial"] >= 0)).sum()


def test_a_trial_keeps_its_label_when_its_window_is_moved_or_has_context(store: Store) -> None:
    view = view_of(store, GRATINGS)
    index = trial_windows(view, "train", 20)
    target = make_target("direction", view)
    target.check(view, index)
    located = everything(index)
    # So far before the onset that the centre lies in the grey or in the trial before.
    moved = replace(located, start=located.start - 60)
    np.testing.assert_array_equal(target.of(moved)["direction"], target.of(located)["direction"])
    by_frame = make_target("direction", view, at="centre")
    by_frame.check(view, index)
    assert (by_frame.of(moved)["direction"] != target.of(located)["direction"]).any()


def test_places_in_a_window(store: Store) -> None:
    view = view_of(store)
    index = fixed_windows(view, "train", 7, random_phase=True).at_epoch(0, 3)
    located = everything(index)
    found = {}
    for at in ("start", "centre", "all", "trial"):
        target = make_target("direction", view, at=at)
        target.check(view, index)
        found[at] = target.of(located)["direction"]
    assert found["all"].shape == (len(index), 7)
    np.testing.assert_array_equal(found["all"][:, 0], found["start"])
    np.testing.assert_array_equal(found["all"][:, 3], found["centre"])
    np.testing.assert_array_equal(found["trial"], found["centre"])  # no window has a trial of its own
    assert len(np.unique(found["all"])) == 9


def test_a_blank_is_not_grey(store: Store) -> None:
    view = view_of(store)
    target = make_target("temporal_frequency", view, at="start")
    target.check(view, frame_windows(view, "train"))
    found = target.of(frames_of(view))
    none = found["temporal_frequency"] == -1
    assert found["temporal_frequency_blank"][none].any()
    assert not found["temporal_frequency_blank"][none].all()
    assert not found["temporal_frequency_blank"][~none].any()
    np.testing.assert_array_equal(np.isnan(found["temporal_frequency_hz"]), none)
    assert set(found["temporal_frequency_hz"][~none]) == {1.0, 4.0}


def test_classes_are_those_of_the_store_whatever_the_diet_eats(store: Store) -> None:
    some = view_of(store, GRATINGS)
    few = replace(some.manifest, windows=some.manifest.windows.query("temporal_frequency_hz == 4")).open(store)
    index = trial_windows(few, "train", 10)
    target = make_target("temporal_frequency", few)
    target.check(few, index)
    assert target.classes.names == ("1", "4")
    assert set(target.of(everything(index))["temporal_frequency"]) == {1}


def test_classes_of_an_earlier_store_are_kept_and_grow(store: Store) -> None:
    view = view_of(store, GRATINGS)
    index = trial_windows(view, "train", 10)
    earlier = Vocabulary("temporal_frequency_hz", ("4", "15"))
    with pytest.raises(LoaderError, match=r"'1'.*grow"):
        make_target("temporal_frequency", view, vocabulary=earlier)
    grown = earlier.grow(make_target("temporal_frequency", view).classes.names)
    target = make_target("temporal_frequency", view, vocabulary=grown)
    target.check(view, index)
    found = target.of(everything(index))
    assert grown.names == ("4", "15", "1")
    for number, hertz in ((0, 4.0), (2, 1.0)):
        assert set(found["temporal_frequency_hz"][found["temporal_frequency"] == number]) == {hertz}
    with pytest.raises(LoaderError, match="kind 'phase'"):
        make_target("temporal_frequency", view, vocabulary=Vocabulary("phase", ("0",)))


def test_presentations_are_read_when_first_touched_and_only_what_is_needed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_of(store)
    index = frame_windows(view, "train", stimulus=GRATINGS)
    target = make_target("direction", view, at="start")
    target.check(view, index)
    read: list[tuple[str, tuple[str, ...]]] = []
    real = store.presentations_of

    def watched(session_id: str, columns: tuple[str, ...]) -> pd.DataFrame:
        read.append((session_id, tuple(columns)))
        return real(session_id, columns)

    monkeypatch.setattr(store, "presentations_of", watched)
    target.of(index.locate(np.array([0, 1])))
    target.of(index.locate(np.array([5, 2])))
    session = index.session_ids[index.session_index[0]]
    assert read == [(session, ("stimulus", "blank", "start_frame", "stop_frame", "direction_deg"))]


def test_labels_of_trials_that_the_manifest_has_are_not_read_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_of(store, GRATINGS)
    index = trial_windows(view, "train", 10)
    monkeypatch.setattr(store, "presentations_of", None)
    target = make_target("direction", view)
    target.check(view, index)
    assert set(target.of(everything(index))["direction"]) >= set(range(8))


def test_a_target_goes_to_another_process(store: Store) -> None:
    view = view_of(store, STATIC)
    index = trial_windows(view, "train", 5)
    target = make_target("orientation", view)
    target.check(view, index)
    located = everything(index)
    copied = pickle.loads(pickle.dumps(target))  # noqa: S301 -- of this very process
    np.testing.assert_array_equal(copied.of(located)["orientation"], target.of(located)["orientation"])


@pytest.mark.parametrize(
    ("eaten", "kind", "options", "says"),
    [
        pytest.param((GRATINGS,), "orientation", {}, r"none of the .* windows.*drifting_gratings.*static", id="none"),
        pytest.param((STATIC,), "direction", {}, r"static_gratings \(72\).*windows.where", id="other-stimulus"),
        pytest.param((), "image", {}, r"mix the ids of locally_sparse_noise.*natural_scenes", id="two-kinds-of-images"),
        pytest.param((), "movie_frame", {}, r"mix the ids of natural_movie.*`stimulus`", id="movies"),
        pytest.param((SCENES,), "movie_frame", {"stimulus": MOVIE}, "of 'natural_movie_one'", id="not-eaten"),
    ],
)
def test_what_can_never_be_had_is_refused_before_training(
    store: Store, eaten: tuple[str, ...], kind: str, options: dict[str, str], says: str
) -> None:
    view = view_of(store, *eaten)
    target = make_target(kind, view, **options)
    index = trial_windows(view, "train", 1) if eaten else frame_windows(view, "train")
    with pytest.raises(LoaderError, match=says):
        target.check(view, index)


def test_odd_directions_are_refused_before_training(store: Store) -> None:
    view = view_of(store, GRATINGS)
    windows = view.manifest.windows
    odd = windows["direction_deg"].where(windows["trial"] != windows["trial"].iloc[3], 30.0)
    wrong = replace(view.manifest, windows=windows.assign(direction_deg=odd)).open(store)
    index = trial_windows(wrong, str(windows["role"].iloc[3]), 10)
    with pytest.raises(LoaderError, match=rf"trial {windows['trial'].iloc[3]} has direction 30 degrees.*45"):
        make_target("direction", wrong).check(wrong, index)


def test_odd_directions_of_a_store_are_refused_where_the_manifest_names_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.presentations_of

    def tilted(session_id: Any, columns: Any) -> pd.DataFrame:
        rows = real(session_id, columns)
        return rows.assign(direction_deg=rows["direction_deg"] + 1.0)

    view = view_of(store)
    monkeypatch.setattr(store, "presentations_of", tilted)
    with pytest.raises(LoaderError, match=r"drifting_gratings is shown in this store at direction 1 degrees"):
        make_target("direction", view).check(view, frame_windows(view, "train"))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("directoin", {}, "did you mean 'direction'"),
        ("direction", {"att": "start"}, "did you mean 'at'"),
        ("direction", {"at": "center"}, "did you mean 'centre'"),
        ("image", {"stimulus": "natural_scene"}, "did you mean 'natural_scenes'"),
    ],
    ids=["kind", "option", "place", "stimulus"],
)
def test_a_slip_names_what_was_meant(store: Store, kind: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_target(kind, view_of(store), **options)


def test_a_target_that_was_not_checked_says_so(store: Store) -> None:
    view = view_of(store, GRATINGS)
    with pytest.raises(LoaderError, match=r"target\.check"):
        make_target("direction", view).of(everything(trial_windows(view, "train", 5)))


def test_windows_of_different_lengths_have_no_array_of_frames(store: Store) -> None:
    view = view_of(store)
    target = make_target("direction", view, at="all")
    target.check(view, frame_windows(view, "train"))
    located = replace(frames_of(view), length=np.arange(len(frames_of(view).start)))
    with pytest.raises(LoaderError, match="one array"):
        target.of(located)


def test_two_movies_in_one_batch_need_two_names(store: Store) -> None:
    view = view_of(store)
    two = {"movie_frame": {"stimulus": MOVIE}, "third": {"target": "movie_frame", "stimulus": "natural_movie_three"}}
    targets = make_targets(two, view)
    assert [name for target in targets for name in target.columns] == [
        "movie_frame",
        "movie_frame_blank",
        "third",
        "third_blank",
    ]
    with pytest.raises(LoaderError, match="both give 'direction'"):
        make_targets({"direction": {}, "again": {"target": "direction", "name": "direction"}}, view)


@pytest.mark.parametrize(
    ("kind", "stimulus", "count"),
    [
        ("direction", GRATINGS, 8),
        ("temporal_frequency", GRATINGS, 2),
        ("image", SCENES, 5),
        ("movie_frame", MOVIE, 10),
        ("movie_frame", "natural_movie_three", 20),
    ],
)
def test_a_model_can_ask_how_many_classes_there_are(store: Store, kind: str, stimulus: str, count: int) -> None:
    view = view_of(store)
    target = make_target(kind, view, stimulus=stimulus)
    assert target.n_classes == count
    target.check(view, frame_windows(view, "train"))
    assert target.n_classes == count


def test_arrays_are_as_declared(store: Store) -> None:
    view = view_of(store)
    index = frame_windows(view, "train", 3)
    located = index.locate(np.arange(5))
    for kind, (stimulus, _) in TRUTH.items():
        for at in ("trial", "all"):
            target = make_target(kind, view, at=at, stimulus=stimulus)
            target.check(view, index)
            found = target.of(located)
            assert found.keys() == target.columns.keys()
            for name, array in found.items():
                column = target.columns[name]
                assert str(array.dtype) == column.dtype
                assert array.shape == ((5, 3) if column.shape == "(batch, time)" else (5,))
