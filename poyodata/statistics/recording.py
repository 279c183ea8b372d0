"""Every statistic of one recording: what is done wherever a worker is, and what comes back of it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from poyodata.digests import json_digest
from poyodata.errors import PoyodataError, StatisticError
from poyodata.statistics.blocks import BlockStates, merged_state
from poyodata.statistics.declaration import checked_columns
from poyodata.statistics.kept import Columns, KeptResults
from poyodata.statistics.pieces import Piece
from poyodata.statistics.restricted import bound_names, parse_restricted
from poyodata.statistics.seen import Seen
from poyodata.statistics.statistic import Resampling, Statistic

if TYPE_CHECKING:
    from poyodata.store import Store


@dataclass(frozen=True, eq=False)
class Outcome:
    """What comes back of one recording.

    Attributes
    ----------
    points, bounds : dict of statistic to Columns
        Of those that could be computed.
    blocks : dict of statistic to BlockStates
        States that were not kept before.
    failures : list of (text, bool)
        What could not be computed and why, each with whether that is for the store's sake and not a statistic's.
    """

    points: dict[str, Columns] = field(default_factory=dict)
    bounds: dict[str, Columns] = field(default_factory=dict)
    blocks: dict[str, BlockStates] = field(default_factory=dict)
    failures: list[tuple[str, bool]] = field(default_factory=list)


def block_lineage(statistic: Statistic) -> tuple[str, str]:
    """Name and digest under which states of blocks are kept: a restriction has those of the whole."""
    name, _ = parse_restricted(statistic.name)
    return name, json_digest({"name": name, "version": statistic.version, "params": dict(statistic.params)})


def compute_recording(
    store: Store, statistics: Mapping[str, Statistic], resampling: Resampling | None, piece: Piece
) -> Outcome:
    """Compute what is asked for of one recording; what cannot be is said in the outcome, and the rest is computed.

    Parameters
    ----------
    store : Store
    statistics : mapping of name to Statistic
    resampling : Resampling or None
        For ``piece.bounds``.
    piece : Piece
    """
    outcome = Outcome()
    digests = dict(zip(store.sessions["session_id"].tolist(), store.sessions["digest"].tolist(), strict=True))
    if digests.get(piece.session_id) != piece.digest:
        # In another process the store was opened again.
        text = f"recording {piece.session_id!r} was changed meanwhile; open the store again, then compute"
        outcome.failures.append((text, True))
        return outcome
    seen = Seen(store, piece)
    kept = KeptResults(store.statistics_folder)
    for name in piece.points:
        with _told(outcome, name, piece):
            outcome.points[name] = _points(seen, kept, statistics[name], piece, outcome)
    for name in piece.bounds:
        with _told(outcome, name, piece):
            outcome.bounds[name] = _bounds(seen, statistics[name], piece, resampling or Resampling())
    return outcome


@contextmanager
def _told(outcome: Outcome, name: str, piece: Piece) -> Iterator[None]:
    """Write down what goes wrong; the other statistics, and the other recordings, go on."""
    try:
        yield
    except MemoryError:
        raise
    except StatisticError as error:
        failure = str(error), False
    except (PoyodataError, OSError) as error:
        failure = f"recording {piece.session_id!r}: {error}", True
    except Exception as error:  # whatever the functions of a statistic raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        what = f"{type(error).__name__}: {error} ({place})"
        failure = f"the statistic {name!r}, recording {piece.session_id!r}: {what}", False
    else:
        return
    if failure not in outcome.failures:  # what is damaged, all statistics run into
        outcome.failures.append(failure)


def _points(seen: Seen, kept: KeptResults, statistic: Statistic, piece: Piece, outcome: Outcome) -> Columns:
    spans, n_neurons = piece.spans_of(statistic), len(piece.neurons)
    if statistic.kept_blocks is None:
        state = reduce(statistic.combine, (statistic.chunk(one, statistic.params) for one in seen.stretches(statistic)))
    else:
        name, lineage = block_lineage(statistic)
        known = outcome.blocks.get(name) or kept.blocks(piece.digest, name, lineage, n_neurons)
        state, blocks = merged_state(statistic, statistic.kept_blocks, seen, spans, known)
        if known is None and blocks is not None:
            outcome.blocks[name] = blocks
    return checked_columns(statistic, statistic.finalize(state, statistic.params), n_neurons, piece.session_id)


def _bounds(seen: Seen, statistic: Statistic, piece: Piece, resampling: Resampling) -> Columns:
    # By recording and statistic: neither the number of workers nor what else is computed changes what is drawn. By the
    # recording's name, not its digest, which is of test-role time too.
    own_seed = int(json_digest([resampling.seed, piece.session_id, statistic.name])[:15], 16)
    own = replace(resampling, seed=own_seed)
    stretches = seen.stretches(statistic)
    if statistic.interval is not None:
        found = statistic.interval(stretches, statistic.params, own)
    else:
        from poyodata.statistics.uncertainty import jackknife_interval

        found = jackknife_interval(statistic, stretches, statistic.params, own)
    bounds = {}
    for column, ends in found.items():
        for name, end in zip(bound_names(column), ends, strict=True):
            bounds[name] = np.asarray(end, np.float64)
            if column not in statistic.columns or bounds[name].shape != (len(piece.neurons),):
                raise StatisticError(
                    f"the statistic {statistic.name!r}, recording {piece.session_id!r}: its interval of {column!r} "
                    f"has shape {bounds[name].shape}; give its own columns alone, {(len(piece.neurons),)} each."
                )
    return bounds
