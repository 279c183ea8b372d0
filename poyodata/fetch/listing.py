"""Which recordings there are and which are meant: the list, chosen from, and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from poyodata.errors import UsageError
from poyodata.fetch.allen_cache import AllenCache
from poyodata.fetch.completeness import is_complete
from poyodata.fetch.display import waiting
from poyodata.fetch.download import Partial
from poyodata.fetch.experiments import Experiment, typed_experiments
from poyodata.fetch.roads import Road
from poyodata.fetch.selection import Selection

if TYPE_CHECKING:
    import pandas as pd


def choose(
    cache: AllenCache | None, selection: Selection, road: Road, *, refresh: bool = False
) -> tuple[list[Experiment], list[Mapping[str, Any]] | None]:
    """Recordings that a selection means, from the list kept in a cache or else from the road; writes nothing.

    Parameters
    ----------
    cache : AllenCache, optional
    selection : Selection
    road : Road
    refresh : bool
        Ask anew although there is a list.

    Returns
    -------
    chosen : list of Experiment
        Sorted by session id, never empty.
    asked : list of mapping, or None
        The whole list, where it was asked for.

    Raises
    ------
    UsageError
        When a filter's value is unknown, or none passes.
    SourceError
        When there is no list.
    """
    if cache is not None and not refresh:
        kept = cache.read_list("EXPERIMENTS")
        if kept is not None:
            try:
                return selection.choose(typed_experiments(kept)), None
            except UsageError as error:
                raise UsageError(f"{error} The list is the one kept in {cache.root}; --refresh asks anew.") from None
    with waiting("asking the warehouse for its list of recordings"):
        asked = list(road.rows("EXPERIMENTS"))
    return selection.choose(typed_experiments(asked)), asked


def state_of(cache: AllenCache | None, experiment: Experiment) -> str:
    """How much of a recording's file is here: "complete", "cut off", "partial", "", or "no file" in the warehouse.

    Examples
    --------
    >>> listed = {"container_id": 4, "donor": "1", "cre_line": "", "area": "VISp", "depth_um": 175, "failed": False}
    >>> state_of(None, Experiment(session_id=5, session_type="", acquired="", link=None, **listed))
    'no file'
    """
    path = cache.recording(experiment.session_id) if cache is not None else None
    if path is not None and path.is_file():
        return "complete" if is_complete(path) else "cut off"
    if experiment.link_listed and experiment.link is None:
        return "no file"
    return "partial" if path is not None and Partial(path).held() else ""


def table_of(cache: AllenCache | None, chosen: Sequence[Experiment]) -> pd.DataFrame:
    """Table of recordings.

    Parameters
    ----------
    cache : AllenCache, optional
    chosen : sequence of Experiment

    Returns
    -------
    DataFrame
        ``session_id, container_id, donor, cre_line, area, depth_um, session_type, acquired, failed, file``; the last
        as `state_of` says.
    """
    import pandas as pd

    names = [
        "session_id",
        "container_id",
        "donor",
        "cre_line",
        "area",
        "depth_um",
        "session_type",
        "acquired",
        "failed",
    ]
    rows = [[*(getattr(e, name) for name in names), state_of(cache, e)] for e in chosen]
    table = pd.DataFrame(rows, columns=[*names, "file"])
    table["acquired"] = table["acquired"].str[:10]
    return table


def census(chosen: Sequence[Experiment]) -> str:
    """How many recordings, containers and mice there are, in one sentence.

    Examples
    --------
    >>> census([])
    'recordings 0, containers 0, mice 0; with an NWB file 0'
    """
    with_file = sum(e.link is not None or not e.link_listed for e in chosen)
    return (
        f"recordings {len(chosen)}, containers {len({e.container_id for e in chosen})}, "
        f"mice {len({e.donor for e in chosen})}; with an NWB file {with_file}"
    )
