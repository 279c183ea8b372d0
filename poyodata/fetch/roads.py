"""The roads by which lists and recordings come; the plain one asks the warehouse itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from poyodata.errors import SourceError
from poyodata.fetch.download import Status, download
from poyodata.fetch.experiments import Experiment
from poyodata.fetch.warehouse import CELL_METRICS, CONTAINERS, EXPERIMENTS, STIMULUS_MAPPINGS, Warehouse
from poyodata.fetch.web import Web

MAX_CONNECTIONS = 4
"""The warehouse is shared by many; more connections would be at the cost of others."""


class NoFileError(SourceError):
    """The warehouse has no NWB file of a recording."""


class Road(Protocol):
    """What `poyodata.fetch.allen` needs of a road.

    Attributes
    ----------
    connections : int
        Files at a time.
    web : Web
        Holds the bounds of the attempts, whom to tell about those that failed, and what ends them all.
    """

    connections: int
    web: Web

    def rows(self, key: str) -> Iterable[Mapping[str, Any]]:
        """One of the lists of AllenSDK's cache, by its key there."""

    def size_bytes(self, experiment: Experiment) -> int | None:
        """Size of a recording's file before it is fetched; None where it cannot be known."""

    def save(self, experiment: Experiment, target: Path, held: Callable[[int], None]) -> tuple[Status, int]:
        """Put a recording's file in place, whole; returns what was done and the file's bytes."""


class HttpRoad:
    """The warehouse over plain HTTP.

    Parameters
    ----------
    warehouse : Warehouse
    connections : int
        Files at a time, at most `MAX_CONNECTIONS`.
    """

    def __init__(self, warehouse: Warehouse, connections: int = 2) -> None:
        self.warehouse = warehouse
        self.web = warehouse.web
        self.connections = max(1, min(connections, MAX_CONNECTIONS))

    def rows(self, key: str) -> Iterable[Mapping[str, Any]]:
        """One of the lists of AllenSDK's cache, by its key there."""
        if key == "CELL_SPECIMENS":
            return self.warehouse.pages(CELL_METRICS)
        queries = {
            "EXPERIMENTS": EXPERIMENTS,
            "EXPERIMENT_CONTAINERS": CONTAINERS,
            "STIMULUS_MAPPINGS": STIMULUS_MAPPINGS,
        }
        return self.warehouse.rows(queries[key])

    def size_bytes(self, experiment: Experiment) -> int | None:
        """Size of a recording's file, from a HEAD request."""
        return self.warehouse.size_bytes(self._link(experiment))

    def save(self, experiment: Experiment, target: Path, held: Callable[[int], None]) -> tuple[Status, int]:
        """Put a recording's file in place, whole."""
        url = self.warehouse.file_url(self._link(experiment))
        return download(self.web, url, target, held)

    def _link(self, experiment: Experiment) -> str:
        link = experiment.link
        if link is None and not experiment.link_listed:
            link = self.warehouse.nwb_link(experiment.session_id)
        if link is None:
            raise NoFileError(f"the warehouse has no NWB file of recording {experiment.session_id}")
        return link
