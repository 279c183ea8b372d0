"""One runner for what is done to each of many recordings: in this process, in local processes, or on a dask cluster.

A worker has one recording in hand at a time, however many threads it was given, so that its memory is bounded by what
one recording needs. Results come back one by one, in the order in which they are ready, to the process that asked.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from poyodata.errors import PoyodataError, UsageError, WorkerError
from poyodata.runtime import available_cpus, limit_threads

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = Callable[[int, Any], None]

SMALL_S = 10.0
"""Seconds of work in one process below which no others are started by default: each costs about two to start."""

ANSWER_S = 10.0
"""Seconds that a scheduler has to answer."""

_log = logging.getLogger(__name__)
_in_hand = threading.Lock()


def run(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    done: Callable[[int, Result], None],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    work_s: float = 0.0,
    name: Callable[[Item], str] = str,
) -> None:
    """Call a function on every item, here or elsewhere, and hand each result over as soon as it is there.

    Parameters
    ----------
    function : callable ``item -> result``
        Elsewhere it must pickle, as must items and results.
    items : sequence
    done : callable ``(index, result) -> None``
        Called in this thread, once an item, in the order in which results are ready.
    workers : int, optional
        Local processes. By default as many as cores, at most one an item; none but this one where `work_s` is small.
    scheduler : str, optional
        Address of a dask.distributed scheduler to be used instead. Its workers must have this version of poyodata and
        see the same files. What a killed worker had in hand is given to another, a few times.
    work_s : float, seconds
        What all items would take in one process, roughly.
    name : callable ``item -> str``
        What messages call an item.

    Raises
    ------
    UsageError
        For workers and a scheduler at once, fewer than one worker, or a function that does not pickle.
    WorkerError
        When a worker was killed, or the cluster does not answer. Results handed over before it stay handed over.
    Exception
        Whatever `function` or `done` raises, the first of them; work in hand elsewhere is given up.

    Examples
    --------
    >>> lengths = {}
    >>> run(len, ["Sst", "Cux2"], lengths.__setitem__)
    >>> lengths
    {0: 3, 1: 4}
    """
    check_workers(workers, scheduler)
    count = count_workers(len(items), workers, work_s)
    tasks = None
    if scheduler is not None or count > 1:
        tasks = _pack(function, items, required=scheduler is not None or workers is not None)
    if tasks is None:
        for index, item in enumerate(items):
            done(index, function(item))
        return
    names = [name(item) for item in items]
    if scheduler is not None:
        _on_cluster(tasks, names, done, scheduler)
    else:
        _in_processes(tasks, names, done, count)


def check_workers(workers: int | None, scheduler: str | None) -> None:
    """Raise when the two do not go together, before anything is opened or written.

    Raises
    ------
    UsageError
    """
    if workers is not None and scheduler is not None:
        raise UsageError("workers and a scheduler were both given; a scheduler has workers of its own: leave one out.")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; give at least 1.")


def count_workers(n_items: int, workers: int | None = None, work_s: float = 0.0) -> int:
    """Count the processes that `run` takes for so much work.

    Examples
    --------
    >>> count_workers(3, workers=8), count_workers(3, work_s=1.0)
    (3, 1)
    """
    if workers is None:
        workers = available_cpus() if work_s >= SMALL_S else 1
    return max(1, min(workers, n_items))


# -- one item, wherever it is --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Failed:
    """What comes back in place of a result; errors are values until they are raised in the asking process."""

    error: Exception


def _pack(function: Callable[[Item], Any], items: Sequence[Item], required: bool) -> list[bytes] | None:
    """Every call, pickled; None where it cannot be and need not.

    Bytes travel through dask unseen: it would unpickle calls on its scheduler, too, where no store is in sight.
    """
    import cloudpickle

    try:
        return [cloudpickle.dumps(partial(function, item)) for item in items]
    except Exception as error:  # whatever an object's own pickling raises
        if not required:
            return None
        raise UsageError(
            f"work for other processes must pickle, and this does not ({error}); define it without open files, locks "
            "and the like, or use workers=1."
        ) from error


def _attempt(task: bytes) -> Any:
    with _in_hand:
        try:
            return pickle.loads(task)()  # noqa: S301 - packed by the process that asked
        except Exception as error:
            if not isinstance(error, PoyodataError):  # a fault, not an answer: where it was must not be lost
                error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)))
            return _Failed(error if _survives(error) else WorkerError(f"{type(error).__name__}: {error}"))


def _result(result: Any) -> Any:
    if isinstance(result, _Failed):
        raise result.error
    return result


def _survives(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - of our own making
    except Exception:  # whatever an exception's own pickling raises
        return False


# -- local processes -----------------------------------------------------------------------------------------------


class _Worker(SpawnProcess):
    """A process that does not run the user's script again: what it needs of that, cloudpickle brings by value."""

    def start(self) -> None:
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Spawn(SpawnContext):
    Process = _Worker


def _in_processes(tasks: Sequence[bytes], names: Sequence[str], done: Done, count: int) -> None:
    import dask.multiprocessing

    keys = {f"{index:012d}": index for index in range(len(tasks))}
    begun: dict[str, str] = {}

    def put_in_order(_graph: Any, state: Any) -> None:
        state["ready"].sort(reverse=True)  # dask takes the next from the end

    def begin(key: str, *_: Any) -> None:
        begun[key] = names[keys[key]]

    def finish(key: str, result: Any, _graph: Any, state: Any, _worker: Any) -> None:
        del begun[key]
        state["cache"][key] = None  # dask keeps every result until the end; ours are handed over
        done(keys[key], _result(result))

    context = _Spawn()
    held, leash = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(held,))
    try:
        dask.multiprocessing.get(
            {key: (partial(_attempt, tasks[index]),) for key, index in keys.items()},
            list(keys),
            pool=pool,
            chunksize=1,
            optimize_graph=False,
            callbacks=[(None, put_in_order, begin, finish, None)],
        )
        pool.shutdown()
    except BrokenProcessPool as error:
        raise WorkerError(
            f"a worker process was killed, often for lack of memory, with {' or '.join(sorted(begun.values()))} in "
            "hand; what was finished before stays. Run the same again to go on, with fewer workers."
        ) from error
    finally:
        leash.close()
        pool.shutdown(cancel_futures=True)
        held.close()


def _begin_worker(held: Connection) -> None:
    """Set up a worker process: one thread, deaf to Ctrl-C (the owner hears it), and gone when the owner lets go."""
    limit_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_owner, args=(held,), daemon=True).start()


def _end_with_owner(held: Connection) -> None:
    wait([held])  # nothing is ever sent: it is ready when the owner closed its end, or was killed
    os._exit(1)


# -- a cluster -----------------------------------------------------------------------------------------------------


def _on_cluster(tasks: Sequence[bytes], names: Sequence[str], done: Done, address: str) -> None:
    try:
        import distributed
    except ImportError as error:
        raise UsageError("a scheduler needs the package distributed: pip install 'poyodata[cluster]'.") from error
    with _client(address) as client:
        if not client.ncores():
            _log.warning("the scheduler at %s has no workers yet; waiting for one (dask worker %s)", address, address)
        # The key counts no more than the item: the same work asked for twice is done twice.
        indices = {client.submit(_attempt, task, pure=False): index for index, task in enumerate(tasks)}
        ready = distributed.as_completed(list(indices), loop=client.loop)
        try:
            for future in ready:
                index = indices.pop(future)
                done(index, _result(_fetch(future, names[index])))
                future.release()
        finally:
            client.cancel(list(indices), force=True)


def _client(address: str) -> Any:
    import distributed
    from distributed.comm import get_address_host_port

    try:
        place = get_address_host_port(address)
    except ValueError as error:
        raise UsageError(
            f"{address!r} is no address of a dask scheduler ({error}); give the one that `dask scheduler` prints, as "
            "in tcp://10.0.0.1:8786."
        ) from error
    try:
        if address.startswith("tcp://") or "://" not in address:
            _require_greeting(place)
        return distributed.Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ImportError) as error:
        raise WorkerError(
            f"no dask scheduler answers at {address!r} ({type(error).__name__}: {error}); start one (dask scheduler) "
            "and give the address that it prints."
        ) from error


def _require_greeting(place: tuple[str, int]) -> None:
    """Raise when nobody is there, or not a scheduler: on a web server's port, its dashboard's too, a client hangs."""
    with socket.create_connection(place, timeout=ANSWER_S) as connection:
        greeting = connection.recv(8)  # a scheduler speaks first, and begins with the length of what it says
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 1 << 20:
        raise ConnectionError("what is there is no dask scheduler")


def _fetch(future: Any, name: str) -> Any:
    import distributed

    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise WorkerError(
            f"{name} was in hand {error.allowed_failures + 1} times when its worker was killed, often for lack of "
            "memory; what was finished before stays. Give the workers more memory, then run the same again to go on."
        ) from error
    except CancelledError as error:
        raise WorkerError(
            f"the dask scheduler was lost before {name} was done; what was finished before stays. Start the cluster "
            "again, then run the same again to go on."
        ) from error
    except Exception as error:  # `_attempt` raises nothing: this is the cluster's own, of any class
        raise WorkerError(
            f"the cluster could not run {name} ({type(error).__name__}: {error}); its workers need the same versions "
            "of poyodata and dask as this process."
        ) from error
