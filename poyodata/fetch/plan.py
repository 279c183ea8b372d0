"""What a fetch would do: which files are here, which are to come, and how large they are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from poyodata.errors import SourceError
from poyodata.fetch.allen_cache import AllenCache
from poyodata.fetch.completeness import is_complete
from poyodata.fetch.display import human_bytes, waiting
from poyodata.fetch.download import Partial
from poyodata.fetch.experiments import Experiment
from poyodata.fetch.roads import Road
from poyodata.fetch.web import StoppedError
from poyodata.fetch.workers import work_through


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a fetch would do.

    Attributes
    ----------
    cache : AllenCache
    chosen : tuple of Experiment
    here : frozenset of int
        Session ids whose file is there and whole.
    sizes : mapping of int to int
        Bytes of the others' files, as far as they are known.
    held : mapping of int to int
        Bytes of these that have arrived before.
    """

    cache: AllenCache
    chosen: tuple[Experiment, ...]
    here: frozenset[int]
    sizes: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    @property
    def to_fetch(self) -> list[Experiment]:
        """Recordings whose file is yet to come."""
        return [e for e in self.chosen if e.session_id not in self.here and not (e.link_listed and e.link is None)]

    @property
    def without_file(self) -> list[Experiment]:
        """Recordings of which the warehouse lists no NWB file."""
        return [e for e in self.chosen if e.session_id not in self.here and e.link_listed and e.link is None]

    @property
    def missing_bytes(self) -> int:
        """Bytes to come, as far as sizes are known."""
        return sum(max(0, size - self.held.get(number, 0)) for number, size in self.sizes.items())

    def free_bytes(self) -> int:
        """Free space where the recordings go."""
        place = self.cache.recording(0).absolute().parent
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def summary(self) -> str:
        """One sentence."""
        unknown = len(self.to_fetch) - len(self.sizes)
        if unknown == 0:
            size = human_bytes(self.missing_bytes)
        elif self.sizes:
            size = f"at least {human_bytes(self.missing_bytes)}, the size of {unknown} is not known"
        else:
            size = "size not known"
        return (
            f"{len(self.chosen)} recordings chosen, {len(self.here)} of them here: {len(self.to_fetch)} to fetch "
            f"({size}; {human_bytes(self.free_bytes())} free)."
            + (f" {len(self.without_file)} have no NWB file in the warehouse." if self.without_file else "")
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "recordings": len(self.chosen),
            "here": len(self.here),
            "to_fetch": len(self.to_fetch),
            "without_file": len(self.without_file),
            "bytes": self.missing_bytes,
            "sizes_unknown": len(self.to_fetch) - len(self.sizes),
            "free_bytes": self.free_bytes(),
            "sessions": [experiment.session_id for experiment in self.to_fetch],
        }


def plan_fetch(cache: AllenCache, chosen: Sequence[Experiment], road: Road) -> Plan:
    """See what is here, and ask for the sizes of the rest; writes nothing.

    Parameters
    ----------
    cache : AllenCache
    chosen : sequence of Experiment
    road : Road

    Returns
    -------
    Plan
    """
    here = frozenset(e.session_id for e in chosen if is_complete(cache.recording(e.session_id)))
    plan = Plan(cache=cache, chosen=tuple(chosen), here=here)
    failures = 0

    def ask(experiment: Experiment) -> None:
        nonlocal failures
        if failures >= 3:  # no sizes are to be had; the fetch itself will say why
            return
        try:
            size = road.size_bytes(experiment)
        except StoppedError:
            raise
        except SourceError:
            failures += 1
            return
        failures = 0
        if size is not None:
            plan.sizes[experiment.session_id] = size
            plan.held[experiment.session_id] = min(size, Partial(cache.recording(experiment.session_id)).held())

    with waiting(f"asking for the sizes of {len(plan.to_fetch)} files"):
        work_through(plan.to_fetch, ask, threads=road.connections, stop=road.web.stop)
    return plan
