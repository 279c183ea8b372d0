"""Many threads that touch a recording first open it once, and all get its numbers."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest
from poyodata.curation.view import View
from poyodata.loaders.first_touch import FirstTouch
from poyodata.loaders.sources import TraceSource
from poyodata.loaders.targets import make_target
from poyodata.loaders.windows import trial_windows
from poyodata.store import Store

THREADS = 8
Work = Callable[[], Any]


def traces(view: View, index: Any) -> Callable[[], Work]:
    located = index.locate(np.arange(len(index)))

    def make() -> Work:
        source = TraceSource(view)

        def work() -> Any:
            out = np.empty((len(located), int(source.n_neurons.max()), index.n_frames), np.float32)
            source.gather(located, out)
            for number, address in enumerate(source._address.tolist()):
                assert address == source.traces(number).ctypes.data, "the address is that of the array that is kept"
            return out

        return work

    return make


def target(name: str, **options: Any) -> Callable[[View, Any], Callable[[], Work]]:
    def makes(view: View, index: Any) -> Callable[[], Work]:
        located = index.locate(np.arange(len(index)))

        def make() -> Work:
            made = make_target(name, view, **options)
            made.check(view, index)
            return lambda: made.of(located)[name]

        return make

    return makes


@pytest.mark.parametrize(
    ("touched", "makes"),
    [
        pytest.param("traces", traces, id="traces"),
        pytest.param("signal", target("running"), id="behaviour"),
        pytest.param("presentations_of", target("direction", at="centre"), id="labels-of-frames"),
        pytest.param("presentations_of", target("temporal_frequency"), id="labels-of-trials"),
    ],
)
def test_threads_open_a_recording_once(
    tiny_store: Store,
    gratings: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    touched: str,
    makes: Callable[[View, Any], Callable[[], Work]],
) -> None:
    # Without this column, trials are looked up in the store.
    monkeypatch.setitem(gratings.__dict__, "windows", gratings.windows.drop(columns="temporal_frequency_hz"))
    view = gratings.open(tiny_store)
    make = makes(view, trial_windows(view, "train", 20))
    expected = make()()
    work, count, real = make(), Counter[str](), getattr(tiny_store, touched)

    def slow(session_id: str, *rest: Any) -> Any:
        count[session_id] += 1
        time.sleep(0.01)
        found = real(session_id, *rest)
        return found.copy() if touched == "traces" else found

    monkeypatch.setattr(tiny_store, touched, slow)
    together = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        for found in [threads.submit(lambda: (together.wait(), work())[1]) for _ in range(THREADS)]:
            np.testing.assert_array_equal(found.result(), expected)
    assert count == dict.fromkeys(view.session_ids, 1)


def test_a_copy_is_open_while_the_lock_is_held() -> None:
    opening = FirstTouch()
    with opening, pickle.loads(pickle.dumps(opening)):  # noqa: S301
        pass


def test_a_lock_that_another_thread_held_when_a_process_was_forked_is_open_there() -> None:
    opening = FirstTouch()
    with opening:
        opening._process = os.getpid() + 1  # as a forked process finds it
        with opening:
            pass
        opening._lock.acquire()
