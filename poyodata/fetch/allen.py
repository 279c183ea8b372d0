"""The Allen Brain Observatory, from the warehouse into a folder of AllenSDK's layout."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from poyodata.errors import SourceError
from poyodata.fetch.allen_cache import AllenCache
from poyodata.fetch.allensdk_road import AllenSDKRoad
from poyodata.fetch.display import Display, human_bytes, waiting
from poyodata.fetch.download import BusyError, Partial
from poyodata.fetch.experiments import Experiment
from poyodata.fetch.listing import choose
from poyodata.fetch.plan import Plan, plan_fetch
from poyodata.fetch.report import FetchedFile, Report
from poyodata.fetch.retry import RetryPolicy
from poyodata.fetch.roads import HttpRoad, NoFileError, Road
from poyodata.fetch.selection import Selection
from poyodata.fetch.terms import write_terms
from poyodata.fetch.warehouse import WAREHOUSE, Warehouse
from poyodata.fetch.web import TIMEOUT_S, StoppedError, Web, WebError
from poyodata.fetch.workers import work_through
from poyodata.progress import console

GIVE_UP_AFTER = 5
"""Files that fail in a row until the rest is left for another time: then it is the server, not the file."""


@contextmanager
def open_road(
    via: Literal["http", "allensdk"] = "http",
    *,
    warehouse: str = WAREHOUSE,
    connections: int = 2,
    retries: int = 5,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Road]:
    """Open the road by which recordings come.

    Parameters
    ----------
    via : {"http", "allensdk"}
        The warehouse itself, or AllenSDK in its own environment, which is made where there is none yet.
    warehouse : str
        Address of the warehouse, or of a mirror.
    connections : int
        Files at a time, on the plain road.
    retries : int
        Attempts that may fail in a row after the first.
    timeout_s : float
        Longest silence.

    Yields
    ------
    Road

    Raises
    ------
    UsageError
        When the warehouse is no address, or the time-out no time.

    Examples
    --------
    >>> with open_road(connections=100) as road:
    ...     road.connections
    4
    """
    web = Web(timeout_s=timeout_s, policy=RetryPolicy(retries=retries), notice=_print_notice)
    source = Warehouse(web, warehouse)  # refuses an address that is none, whatever the road
    if via == "http":
        yield HttpRoad(source, connections)
        return
    from poyodata.allensdk.environment import ensure_environment

    with AllenSDKRoad(ensure_environment(), web, source.url) as road:
        yield road


def _print_notice(sentence: str) -> None:
    console().print(f"  {sentence}", markup=False, soft_wrap=True)


def fetch_allen(out: Path, selection: Selection, road: Road, *, refresh: bool = False, cells: bool = False) -> Report:
    """Fetch recordings into a folder that AllenSDK's ``BrainObservatoryCache`` can use as it is.

    Parameters
    ----------
    out : Path
        The folder; made when it is not there.
    selection : Selection
    road : Road
        `poyodata.fetch.roads.HttpRoad`, or AllenSDK's own.
    refresh : bool
        Ask for the lists anew although they are there.
    cells : bool
        Keep AllenSDK's table of cell metrics too (``cell_specimens.json``, long).

    Returns
    -------
    Report
        With every recording that was chosen; those that failed are in ``missing``.

    Raises
    ------
    UsageError
        When a filter's value is unknown, none passes, or the folder is another cache's.
    SourceError
        When there is no list.
    OSError
        When the disk is too small, or becomes so.
    """
    cache = AllenCache.at(out)
    chosen, asked = choose(cache, selection, road, refresh=refresh)
    cache.create()
    write_terms(out)
    if asked is not None:
        cache.write_list("EXPERIMENTS", asked)
    for key in ("EXPERIMENT_CONTAINERS", "STIMULUS_MAPPINGS", *(["CELL_SPECIMENS"] if cells else [])):
        if refresh or cache.read_list(key) is None:
            with waiting(f"asking the warehouse for {Path(cache.specs[key]).name}"):
                cache.write_list(key, road.rows(key))
    plan = plan_fetch(cache, chosen, road)
    if plan.missing_bytes > plan.free_bytes():
        raise OSError(
            errno.ENOSPC,
            f"{human_bytes(plan.missing_bytes)} are to come and {human_bytes(plan.free_bytes())} are free",
            str(out),
        )
    return _fetch(plan, road)


def _fetch(plan: Plan, road: Road) -> Report:
    cache = plan.cache
    rows = {
        number: FetchedFile(number, "already here", cache.recording(number), cache.recording(number).stat().st_size)
        for number in plan.here
    }
    for experiment in plan.without_file:
        number = experiment.session_id
        rows[number] = FetchedFile(number, "no file", cache.recording(number), message="the warehouse has none")
    guard, failures, off = threading.Lock(), 0, threading.Event()

    def work(experiment: Experiment) -> None:
        nonlocal failures
        path = cache.recording(experiment.session_id)
        if off.is_set():
            message = f"{GIVE_UP_AFTER} files before it failed in a row"
            row, server_fails = FetchedFile(experiment.session_id, "not tried", path, message=message), True
        else:
            row, server_fails = _save(road, experiment, path, lambda count: display.held(path.name, count))
            display.finished(
                f"{path.name}  {row.status}"
                + (f": {row.message}" if row.message else f"  {human_bytes(row.size_bytes)}")
            )
        with guard:
            rows[experiment.session_id] = row
            failures = failures + 1 if server_fails else 0
            if failures >= GIVE_UP_AFTER:
                off.set()

    with Display(len(plan.to_fetch), sum(plan.sizes.values())) as display:
        before, road.web.notice = road.web.notice, display.say
        try:
            work_through(plan.to_fetch, work, threads=road.connections, stop=road.web.stop)
        finally:
            road.web.notice = before
    return Report(out=cache.root, files=tuple(rows[e.session_id] for e in plan.chosen))


def _save(road: Road, experiment: Experiment, path: Path, held: Callable[[int], None]) -> tuple[FetchedFile, bool]:
    """What became of one recording, and whether that speaks against the server rather than against this file."""
    number = experiment.session_id
    try:
        status, size = road.save(experiment, path, held)
    except StoppedError:
        raise
    except NoFileError:
        return FetchedFile(number, "no file", path, message="the warehouse has none"), False
    except BusyError as error:
        return FetchedFile(number, "busy", path, Partial(path).held(), str(error)), False
    except SourceError as error:
        server_fails = not isinstance(error, WebError) or error.passing
        return FetchedFile(number, "failed", path, Partial(path).held(), str(error)), server_fails
    return FetchedFile(number, status, path, size), False
