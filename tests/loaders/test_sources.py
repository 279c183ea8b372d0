"""What windows are gathered from: opened when touched, refused in words, never read out of bounds."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation.view import View
from poyodata.errors import LoaderError, PoyodataError, StoreError, UsageError
from poyodata.loaders.readahead import Readahead
from poyodata.loaders.sources import TraceSource
from poyodata.store import Store, open_store
from tests.loaders.some_windows import expected, half_view, whole_view, windows

VIEWS: dict[str, Callable[[Store], View]] = {"half": half_view, "whole": whole_view}
BATCH = windows([2, 0, 1, 2], [5, 0, 6000, 6200], 60)


def gathered(source: TraceSource, located: Any = BATCH, layout: Any = "neuron", **options: Any) -> np.ndarray:
    width, n_time = int(source.n_neurons.max()), int(located.length.max())
    shape = (width, n_time) if layout == "neuron" else (n_time, width)
    out = np.full((len(located), *shape), 9, np.float32)
    source.gather(located, out, layout=layout, **options)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("access", ["auto", "mapped", "memory", "packed"])
@pytest.mark.parametrize("layout", ["neuron", "time"])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_windows_are_the_stores_own_numbers(
    tiny_store: Store, tmp_path: Path, view: Callable[[Store], View], layout: Any, access: Any
) -> None:
    own = view(tiny_store)
    source = TraceSource(own, access=access, packed=tmp_path / "packed" if access == "packed" else None)
    out = gathered(source, layout=layout)
    for number in range(len(BATCH)):
        wanted = expected(own, BATCH, number)
        got = out[number].T if layout == "neuron" else out[number]
        np.testing.assert_array_equal(got[:, : wanted.shape[1]], wanted)
        assert (got[:, wanted.shape[1] :] == 0).all()
    assert source.access == {"auto": "mapped"}.get(access, access)


def test_each_window_may_keep_neurons_of_its_own(tiny_store: Store) -> None:
    view = half_view(tiny_store)
    source = TraceSource(view)
    positions = [np.array([2, 0]), np.array([], np.int64), np.array([1]), np.arange(source.n_neurons[2])]
    rng = np.random.default_rng(0)
    shift, scale = rng.standard_normal((2, len(view.manifest.neurons))).astype(np.float32)
    out = gathered(source, kept=positions, shift=shift, scale=scale)
    for number, kept in enumerate(positions):
        session = BATCH.session_index[number]
        neurons = source.first_neuron[session] + kept
        assert (view.manifest.neurons["session_id"].iloc[neurons] == view.session_ids[session]).all()
        wanted = (expected(view, BATCH, number)[:, kept] - shift[neurons]) * scale[neurons]
        np.testing.assert_allclose(out[number, : len(kept)], wanted.T, rtol=1e-5, atol=1e-6)
        assert (out[number, len(kept) :] == 0).all()


def test_a_recording_is_opened_when_a_window_of_it_is_asked_for(
    tiny_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tiny_store_path)
    opened: list[str] = []
    traces = Store.traces
    monkeypatch.setattr(Store, "traces", lambda self, key, *rest: (opened.append(key), traces(self, key, *rest))[1])
    source = TraceSource(whole_view(store))
    assert opened == []
    for _ in range(3):
        gathered(source, windows([1, 1], [0, 50], 10))
    assert opened == [source.session_ids[1]]
    gathered(source, BATCH)
    assert sorted(opened) == sorted(source.session_ids)
    assert "3 of 3 recordings are open" in source.explain()


@pytest.mark.parametrize(
    ("located", "options", "message"),
    [
        pytest.param(windows([0], [-1], 5), {}, "frames -1 to 4", id="before-the-start"),
        pytest.param(windows([0, 1], [0, 6266], 5), {}, "900000001", id="after-the-end"),
        pytest.param(windows([0], [2**62], 5), {}, "was asked for", id="far-away"),
        pytest.param(windows([0], [9], -3), {}, "frames 9 to 6", id="negative-length"),
        pytest.param(windows([0], [0], 5), {"kept": [np.array([99])]}, "positions count", id="no-such-neuron"),
        pytest.param(windows([0], [0], 5), {"kept": [np.array([-1])]}, "positions count", id="negative-neuron"),
        pytest.param(windows([0], [0], 5), {"kept": []}, "one array each", id="too-few-selections"),
        pytest.param(windows([0], [0], 5), {"shift": np.zeros(36, np.float32)}, "both or neither", id="half-scaled"),
        pytest.param(
            windows([0], [0], 5),
            {"shift": np.zeros(3, np.float32), "scale": np.zeros(36, np.float32)},
            "one float32 for each",
            id="shift-of-another-length",
        ),
    ],
)
def test_what_would_touch_other_memory_is_refused(
    tiny_store: Store, located: Any, options: dict[str, Any], message: str
) -> None:
    source = TraceSource(whole_view(tiny_store))
    with pytest.raises(LoaderError, match=message):
        source.gather(located, np.zeros((len(located), 12, 5), np.float32), **options)


@pytest.mark.parametrize(
    ("out", "layout"),
    [
        pytest.param(np.zeros((1, 12, 4), np.float32), "neuron", id="too-few-frames"),
        pytest.param(np.zeros((1, 11, 5), np.float32), "neuron", id="too-few-neurons"),
        pytest.param(np.zeros((2, 12, 5), np.float32), "neuron", id="too-many-windows"),
        pytest.param(np.zeros((1, 12, 5), np.float64), "neuron", id="float64"),
        pytest.param(np.zeros((1, 5, 12), np.float32).transpose(0, 2, 1), "neuron", id="not-in-c-order"),
        pytest.param(np.zeros((1, 12, 5), np.float32), "time", id="of-the-other-layout"),
        pytest.param(np.zeros((11, 5), np.float32), "neuron", id="too-few-rows"),
        pytest.param(np.zeros((1, 59), np.float32), "time", id="too-few-tokens"),
    ],
)
def test_an_array_that_is_too_small_is_refused(tiny_store: Store, out: np.ndarray, layout: Any) -> None:
    source = TraceSource(whole_view(tiny_store))
    with pytest.raises(LoaderError, match="do not go into an array"):
        source.gather(windows([0], [0], 5), out, layout=layout)


def _traces_file(store: Store, session_id: str) -> Path:
    return Path(store.traces(session_id).filename)  # type: ignore[attr-defined]


@pytest.mark.parametrize("damage", ["missing", "truncated", "truncated-after-opening"])
def test_damaged_files_are_an_error_in_words(tiny_store_path: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(tiny_store_path, copy)
    file = _traces_file(open_store(copy), "900000001")
    store = open_store(copy)
    if damage == "truncated-after-opening":
        store.traces("900000001")
    if damage == "missing":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    source = TraceSource(whole_view(store))
    with pytest.raises((StoreError, LoaderError), match=r"restore it from a copy"):
        gathered(source)
    gathered(source, windows([0, 2], [0, 0], 10))  # the others are as they were


def test_too_many_open_files_are_an_error_in_words(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    source = TraceSource(whole_view(tiny_store))
    monkeypatch.setattr(Store, "traces", refuse)
    with pytest.raises(LoaderError, match="ulimit -n"):
        gathered(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"access": "maped"}, "mapped"), ({"access": "packed"}, "packed=<folder>")],
    ids=["unknown", "packed-without-folder"],
)
def test_unknown_access_is_refused(tiny_store: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TraceSource(whole_view(tiny_store), **options)


def test_a_source_travels_to_a_spawned_process(tiny_store: Store) -> None:
    source = TraceSource(half_view(tiny_store))
    before = gathered(source)
    text = pickle.dumps(source)
    assert len(text) < 200_000  # no traces go along
    np.testing.assert_array_equal(gathered(pickle.loads(text)), before)  # noqa: S301 - as between processes


def _in_fork(source: TraceSource) -> str:
    """What a forked child gets: a digest of the batch, or the error."""
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            theirs.send(gathered(source).tobytes())
        except PoyodataError as error:
            theirs.send(str(error).encode())
        finally:
            os._exit(0)
    theirs.close()
    answer: bytes = ours.recv()
    os.waitpid(child, 0)
    return answer.decode("latin-1")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("is_open", [False, True], ids=["untouched", "opened-before"])
def test_a_forked_child_reads_what_is_mapped_and_nothing_else(
    tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    view = half_view(tiny_store)
    sources = {
        "mapped": TraceSource(view),
        "packed": TraceSource(view, access="packed", packed=tmp_path / "packed"),
        "memory": TraceSource(view, access="memory"),
    }
    wanted = gathered(TraceSource(view)).tobytes().decode("latin-1")
    if is_open:
        for source in sources.values():
            gathered(source)
    assert _in_fork(sources["mapped"]) == wanted
    assert _in_fork(sources["packed"]) == wanted
    assert "num_workers=0" in _in_fork(sources["memory"])
    monkeypatch.setattr(Store, "cache_folder", Path("cache"))
    remote = TraceSource(view)
    assert "a store at a URL" in _in_fork(remote)
    gathered(remote)  # the process that made it goes on


def test_batches_are_announced_only_while_they_come_from_the_disk(
    tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = iter([0, 0, 8, 8, 8, 8, 9, 9, 9])
    monkeypatch.setattr("poyodata.loaders.readahead._disk_reads", lambda: next(reads))
    readahead = Readahead()
    seen = []
    for _ in range(4):
        readahead.announce(BATCH, np.full(3, 12, np.uint64))
        readahead.learn()
        seen.append(readahead.is_cold)
    assert seen == [True, False, True, False]


def test_announced_ranges_hold_the_windows(tiny_store: Store) -> None:
    class Mapping:
        def __init__(self) -> None:
            self.asked: list[tuple[int, int]] = []

        def madvise(self, _: int, start: int, n_bytes: int) -> None:
            self.asked.append((start, start + n_bytes))

    readahead = Readahead()
    mapping: Any = Mapping()
    readahead._maps[1] = (mapping, 0)
    located = windows([1, 0, 1], [1000, 5, 3], [57, 57, 1])
    readahead.is_cold = True
    readahead.announce(located, np.full(3, 200, np.uint64))
    assert len(mapping.asked) == 2  # a recording in memory is not announced
    for (begin, end), start, length in zip(mapping.asked, [1000, 3], [57, 1], strict=True):
        assert begin % 4096 == 0
        assert begin <= start * 800
        assert end == (start + length) * 800
