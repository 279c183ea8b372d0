"""Running and pupil of windows, against the mouse of the simulation, frame by frame."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import make_target
from poyodata.loaders.targets.behaviour import signal_names
from poyodata.loaders.windows.fixed import fixed_windows
from poyodata.loaders.windows.frames import frame_windows
from poyodata.loaders.windows.whole import whole_windows
from poyodata.simulation.sessions import SimulatedSession
from poyodata.store import Store
from tests.loaders.targets.conftest import view_of


def at_time(values: np.ndarray, clock: np.ndarray, moment: float) -> float:
    """A signal at one moment, as the docstring defines it, one sample at a time."""
    for before in range(len(clock)):
        if clock[before] == moment:
            return float(values[before])
        if before + 1 < len(clock) and clock[before] < moment < clock[before + 1]:
            if clock[before + 1] - clock[before] > 1.0:
                return np.nan
            share = (moment - clock[before]) / (clock[before + 1] - clock[before])
            return float(values[before] + share * (values[before + 1] - values[before]))
    return np.nan


def truth(session: SimulatedSession, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "running":
        return session.behaviour.running_speed, session.behaviour.running_time_s
    eye = session.behaviour.eye
    assert eye is not None
    return eye.area_px, eye.time_s


@pytest.mark.parametrize("name", ["running", "pupil"])
def test_means_over_windows_frame_by_frame(store: Store, simulated: dict[str, SimulatedSession], name: str) -> None:
    view = view_of(store)
    index = fixed_windows(view, "test", 9, random_phase=False)
    mean, each = make_target(name, view, lacking="nan"), make_target(name, view, over="all", lacking="nan")
    mean.check(view, index)
    each.check(view, index)
    chosen = np.random.default_rng(0).choice(len(index), 60, replace=False)
    located = index.locate(np.r_[chosen, 0, len(index) - 1])
    found, frames = mean.of(located)[name], each.of(located)[name]
    missing = 0
    for at in range(len(located)):
        session = simulated[view.session_ids[located.session_index[at]]]
        if name == "pupil" and session.behaviour.eye is None:
            assert np.isnan(found[at])
            assert np.isnan(frames[at]).all()
            continue
        values, clock = truth(session, name)
        wanted = np.array(
            [at_time(values, clock, session.timeline.time_s[located.start[at] + step]) for step in range(9)]
        )
        np.testing.assert_allclose(frames[at], wanted, rtol=1e-5)
        missing += int(np.isnan(wanted).sum())
        known = wanted[np.isfinite(wanted)]
        np.testing.assert_allclose(found[at], known.mean() if len(known) else np.nan, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert (missing > 0) == (name == "pupil")  # the mouse blinks


def test_places_in_a_window(store: Store) -> None:
    view = view_of(store)
    index = fixed_windows(view, "train", 6, random_phase=False)
    located = index.locate(np.arange(len(index)))
    found = {}
    for over in ("start", "centre", "all"):
        target = make_target("running", view, over=over)
        target.check(view, index)
        found[over] = target.of(located)["running"]
    np.testing.assert_array_equal(found["start"], found["all"][:, 0])
    np.testing.assert_array_equal(found["centre"], found["all"][:, 3])


def test_whole_recordings_have_one_mean_each(store: Store) -> None:
    view = view_of(store)
    index = whole_windows(view, "test")
    assert len(np.unique(index.length)) > 1
    located = index.locate(np.arange(len(index)))
    target = make_target("running", view)
    target.check(view, index)
    for at, value in enumerate(target.of(located)["running"]):
        frames = target.of_frames(view.session_ids[located.session_index[at]])
        window = frames[located.start[at] : located.start[at] + located.length[at]].astype(np.float64)
        np.testing.assert_allclose(value, window[np.isfinite(window)].mean(), rtol=1e-5)
    with pytest.raises(LoaderError, match="one array"):
        each = make_target("running", view, over="all")
        each.check(view, index)
        each.of(located)


def test_a_recording_without_a_pupil_is_refused_with_counts(store: Store) -> None:
    view = view_of(store)
    index = frame_windows(view, "train")
    (blind,) = [key for key in view.session_ids if "pupil_area_px" not in signal_names(store, key)]
    lost = int(index.count[index.session_index == view.session_ids.index(blind)].sum())
    says = rf"1 of 4 recordings have no signal 'pupil_area_px' \({blind}\), which is {lost:,} of {len(index):,} windows"
    with pytest.raises(LoaderError, match=rf"{says}.*lacking='nan'"):
        make_target("pupil", view).check(view, index)


def test_a_signal_that_no_recording_has_is_refused_even_as_nan(store: Store) -> None:
    view = view_of(store)
    target = make_target("signal", view, signal="licking", lacking="nan")
    with pytest.raises(LoaderError, match=r"4 of 4 recordings.*Signals that there are: motion_x_px"):
        target.check(view, frame_windows(view, "train"))


def test_only_recordings_of_the_windows_count(store: Store) -> None:
    view = view_of(store, "locally_sparse_noise")
    index = frame_windows(view, "train", stimulus="locally_sparse_noise")
    target = make_target("pupil", view)
    target.check(view, index)
    assert np.isfinite(target.of(index.locate(np.arange(20)))["pupil"]).any()


def test_a_signal_is_read_when_first_touched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of(store)
    index = frame_windows(view, "train")
    target = make_target("running", view)
    read: list[str] = []
    real = store.signal
    monkeypatch.setattr(store, "signal", lambda session, name: (read.append(session), real(session, name))[1])
    target.check(view, index)
    assert read == []
    target.of(index.locate(np.array([0, 1])))
    target.of(index.locate(np.array([3])))
    assert read == [view.session_ids[0]]
    assert target.of_frames(view.session_ids[0]).nbytes == 4 * len(store.time_s(view.session_ids[0]))


@pytest.mark.parametrize(
    ("options", "says"), [({"over": "meen"}, "'mean'"), ({"lacking": "nans"}, "'nan'"), ({"sgnal": "a"}, "'signal'")]
)
def test_a_slip_names_what_was_meant(store: Store, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {says}"):
        make_target("running", view_of(store), **options)


def test_in_another_process(store: Store) -> None:
    view = view_of(store)
    index = frame_windows(view, "train")
    target = make_target("running", view)
    target.check(view, index)
    located = replace(index.locate(np.arange(9)))
    copied = pickle.loads(pickle.dumps(target))  # noqa: S301
    np.testing.assert_array_equal(copied.of(located)["running"], target.of(located)["running"])
