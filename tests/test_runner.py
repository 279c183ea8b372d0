"""The runner: the same results wherever the work is done, and one clear end when a worker, a cluster or the owner dies.

Functions are made inside tests: cloudpickle then sends them by value, and no worker has to import a test module.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from poyodata import errors, runner
from poyodata.errors import PoyodataError, SourceError, UsageError, WorkerError
from poyodata.runner import count_workers, run
from tests.processes import gone

ROOT = Path(__file__).resolve().parents[1]
PLACES = [
    pytest.param({"workers": 1}, id="here"),
    pytest.param({"workers": 2}, id="processes"),
    pytest.param({"scheduler": "cluster"}, id="cluster"),
]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    where: dict[str, Any] = request.param
    return {"scheduler": request.getfixturevalue("scheduler")} if "scheduler" in where else where


# -- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_every_result_comes_back_once_with_its_index(place: dict[str, Any]) -> None:
    factor = 3
    results: list[tuple[int, int]] = []
    run(lambda item: item * factor, range(7), lambda index, result: results.append((index, result)), **place)
    assert sorted(results) == [(index, 3 * index) for index in range(7)]


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_nothing_to_do(place: dict[str, Any]) -> None:
    run(len, [], lambda index, result: pytest.fail("there was no item"), **place)


@pytest.mark.parametrize("place", PLACES[1:], indirect=True)
def test_work_is_done_elsewhere(place: dict[str, Any]) -> None:
    def look(_item: int) -> tuple[int, str | None]:
        import os
        import time

        time.sleep(0.2)
        return os.getpid(), os.environ.get("OMP_NUM_THREADS")

    results: list[tuple[int, str | None]] = []
    run(look, range(6), lambda index, result: results.append(result), **place)
    assert os.getpid() not in {pid for pid, _ in results}
    assert len({pid for pid, _ in results}) == 2
    if "workers" in place:  # a cluster's workers have the threads that whoever started them gave them
        assert {threads for _, threads in results} == {"1"}


@pytest.mark.slow
def test_local_processes_begin_in_order_and_hand_over_what_is_ready() -> None:
    def slow_first(item: int) -> float:
        import time

        begun = time.time()
        time.sleep(1.5 if item == 0 else 0.0)
        return begun

    begun: dict[int, float] = {}
    run(slow_first, range(5), begun.__setitem__, workers=2)
    assert list(begun) == [1, 2, 3, 4, 0]
    assert sorted(list(begun)[:-1], key=begun.__getitem__) == [1, 2, 3, 4]


def test_a_workers_threads_take_turns(scheduler: str) -> None:
    import distributed

    def begin_and_end(_item: int) -> tuple[float, float]:
        import time

        begun = time.time()
        time.sleep(0.1)
        return begun, time.time()

    spans: list[tuple[float, float]] = []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
    ) as cluster:
        run(begin_and_end, range(4), lambda index, span: spans.append(span), scheduler=cluster.scheduler_address)
    spans.sort()
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("n_items", "workers", "work_s", "expected"),
    [
        pytest.param(3, 8, 0.0, 3, id="no-more-than-items"),
        pytest.param(3, 2, 0.0, 2, id="as-many-as-asked-for"),
        pytest.param(0, 2, 0.0, 1, id="nothing-to-do"),
        pytest.param(100, None, 9.9, 1, id="too-small-to-pay"),
        pytest.param(100, None, 10.0, 4, id="as-many-as-cores"),
        pytest.param(2, None, 10.0, 2, id="fewer-items-than-cores"),
    ],
)
def test_how_many_processes(
    n_items: int, workers: int | None, work_s: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "available_cpus", lambda: 4)
    assert count_workers(n_items, workers, work_s) == expected


def test_much_work_goes_to_processes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "available_cpus", lambda: 2)
    pids: list[int] = []
    run(lambda item: os.getpid(), range(2), lambda index, pid: pids.append(pid), work_s=60.0)
    assert os.getpid() not in pids
    # What does not pickle stays here, as long as nobody asks for something else.
    lock = threading.Lock()
    run(lambda item: lock.locked() or os.getpid(), range(2), lambda index, pid: pids.append(pid), work_s=60.0)
    assert pids[2:] == [os.getpid()] * 2


# -- errors --------------------------------------------------------------------------------------------------------


def test_every_error_of_ours_survives_the_way() -> None:
    family = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PoyodataError)]
    assert len(family) > 5
    for kind in family:
        copy = pickle.loads(pickle.dumps(kind("one sentence.")))  # noqa: S301
        assert (type(copy), str(copy)) == (kind, "one sentence.")


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_the_first_error_arrives_as_it_was_raised(place: dict[str, Any]) -> None:
    def fail(item: int) -> int:
        if item == 1:
            raise SourceError("recording 1 is truncated.")
        return item

    with pytest.raises(SourceError, match=r"^recording 1 is truncated\.$") as caught:
        run(fail, range(3), lambda index, result: None, **place)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("place", PLACES[1:], indirect=True)
def test_a_fault_says_where_it_was(place: dict[str, Any]) -> None:
    def divide_by_it(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError) as caught:
        run(divide_by_it, [1, 0], lambda index, result: None, **place)
    assert "in divide_by_it" in caught.value.__notes__[0]


def test_an_error_that_does_not_pickle() -> None:
    def fail(item: int) -> None:
        class TwoWordsError(Exception):
            def __init__(self, one: str, two: str) -> None:
                super().__init__(f"{one} {two}")

        raise TwoWordsError("very", "wrong")

    with pytest.raises(WorkerError, match=r"TwoWordsError: very wrong$"):
        run(fail, range(2), lambda index, result: None, workers=2)


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_what_is_done_with_a_result_may_fail(place: dict[str, Any]) -> None:
    def refuse(index: int, result: int) -> None:
        raise UsageError("not this one.")

    with pytest.raises(UsageError, match=r"^not this one\.$"):
        run(abs, range(4), refuse, **place)


@pytest.mark.parametrize(
    ("places", "says"),
    [
        pytest.param({"workers": 0}, "workers is 0; give at least 1", id="no-workers"),
        pytest.param({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "both given", id="both"),
        pytest.param({"scheduler": "somewhere"}, "missing port number", id="no-port"),
        pytest.param({"scheduler": "http://127.0.0.1:8787"}, "unknown address scheme", id="not-of-dask"),
    ],
)
def test_calls_that_are_refused(places: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run(abs, range(3), lambda index, result: pytest.fail("it ran"), **places)


@pytest.mark.parametrize("place", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}], ids=["processes", "cluster"])
def test_work_that_does_not_pickle(place: dict[str, Any]) -> None:
    lock = threading.Lock()
    with pytest.raises(UsageError, match=r"must pickle, and this does not.*use workers=1"):
        run(lambda item: lock.locked(), range(2), lambda index, result: None, **place)


# -- what dies -----------------------------------------------------------------------------------------------------


def test_a_local_worker_is_killed(tmp_path: Path) -> None:
    def die_of_two(item: int) -> int:
        import os
        import signal
        import time

        while item == 2 and len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60 if item == 3 else 0)
        return item

    with pytest.raises(WorkerError, match=r"worker process was killed.*lack of memory, with .*recording 2.* in hand"):
        run(
            die_of_two,
            range(5),
            lambda index, result: (tmp_path / str(result)).touch(),
            workers=2,
            name=lambda item: f"recording {item}",
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def kill_once(marker: Path) -> Callable[[int], int]:
    def work(item: int) -> int:
        import os
        import signal
        import time

        time.sleep(0.1)
        if item == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    return work


def test_a_clusters_worker_is_killed_once(scheduler: str, tmp_path: Path) -> None:
    results: dict[int, int] = {}
    run(kill_once(tmp_path / "killed"), range(8), results.__setitem__, scheduler=scheduler)
    assert (tmp_path / "killed").exists()
    assert results == {index: index for index in range(8)}


@pytest.mark.slow
def test_a_clusters_worker_is_killed_every_time(scheduler: str) -> None:
    def die(item: int) -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"recording 7 was in hand 4 times when its worker was killed"):
        run(die, [7], lambda index, result: None, scheduler=scheduler, name=lambda item: f"recording {item}")


def test_the_scheduler_is_lost() -> None:
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp", host="127.0.0.1"
    )

    def work(item: int) -> int:
        import time

        time.sleep(0.2)
        return item

    def stop(index: int, result: int) -> None:
        cluster.close()

    with pytest.raises(WorkerError, match="scheduler was lost before"):
        run(work, range(3), stop, scheduler=cluster.scheduler_address)


@pytest.mark.parametrize("answer", ["nobody", "another"])
def test_no_scheduler_there(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:  # which takes connections and says nothing
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if answer == "nobody":
            server.close()
        with pytest.raises(WorkerError, match=f"no dask scheduler answers at '{address}'.*start one"):
            run(abs, [1], lambda index, result: None, scheduler=address)


def test_distributed_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'poyodata\[cluster\]'"):
        run(abs, [1], lambda index, result: None, scheduler="tcp://127.0.0.1:1")


# What a shell starts in the background is deaf to SIGINT; here it is to hear.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from poyodata.runner import run

signal.signal(signal.SIGINT, signal.default_int_handler)

def work(item):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(float(sys.argv[2]))
    return item

run(work, range(4), lambda index, result: print(index, result), workers=2)
"""


def script(folder: Path, sleep_s: float) -> subprocess.Popen[str]:
    """Run a script that does not guard its main part; its workers leave their process numbers in `folder`."""
    path = folder / "script.py"
    path.write_text(SCRIPT)
    (folder / "pids").mkdir()
    return subprocess.Popen(
        [sys.executable, path, folder / "pids", str(sleep_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def pids_of(folder: Path) -> list[int]:
    until = time.monotonic() + 30
    while time.monotonic() < until and len(list((folder / "pids").iterdir())) < 2:
        time.sleep(0.05)
    return [int(path.name) for path in (folder / "pids").iterdir()]


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    with script(tmp_path, 0.0) as process:
        out, err = process.communicate(timeout=60)
    assert (sorted(out.split("\n")[:-1]), err) == ([f"{index} {index}" for index in range(4)], "")


def test_workers_do_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    with script(tmp_path, 60.0) as process:
        pids = pids_of(tmp_path)
        assert len(pids) == 2
        process.kill()
        assert gone(pids)


def test_ctrl_c_stops_everything_at_once(tmp_path: Path) -> None:
    with script(tmp_path, 600.0) as process:
        pids = pids_of(tmp_path)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the owner and its workers
        out, err = process.communicate(timeout=60)
        assert gone(pids)
    assert process.returncode != 0
    assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1
    assert out == ""
