"""Where a neuron stands in what a sample, a balance or a top takes from, and where the cut is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation.language import rules
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parameters import settled
from poyodata.curation.selecting.column_values import read_column
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.reference_population import ReferencePopulation
from poyodata.curation.selecting.sampling import Rows, group_codes, hashes_of, places, round_half_up
from poyodata.curation.selecting.selection import Selection, pool_of


def place_in(
    rule: rules.Rule,
    path: str,
    table: pd.DataFrame,
    selection: Selection,
    answers: Mapping[str, Kleene],
    row: int,
) -> str:
    """Say a neuron's place in the pool of a rule that takes a part of one, and how many are taken.

    Parameters
    ----------
    rule : Rule
    path : str
        Of the rule's step.
    table : DataFrame
        Neurons, as they were selected from.
    selection : Selection
        Of that table.
    answers : mapping of step to Kleene
        Its trace.
    row : int
        Of the neuron.

    Returns
    -------
    str
        ``""`` for rules that take no part of a pool, and for a neuron that is not in the pool.
    """
    frozen = selection.frozen
    match rule:
        case rules.Sample():
            return _by_hash(rule, f"{path}.sample", table, answers, row, () if rule.within is None else (rule.within,))
        case rules.Balance():
            at = f"{path}.balance"
            return _by_hash(rule, at, table, answers, row, rule.by, frozen.get(at, {}).get("each"))
        case rules.Top():
            return _by_value(rule, f"{path}.top", table, selection.reference, answers, row)
        case rules.Match():
            known = frozen.get(f"{path}.match", {})
            if not pool_of(answers, f"{path}.match.from").true[row]:
                return ""
            return f"{known['taken']:,} of {known['pool']:,} drawn (seed {known['seed']}, draw {known['draw']})"
        case rules.Mix():
            return _of_terms(rule, path, table, answers, selection, row)
        case _:
            return ""


def _by_hash(
    rule: rules.Sample | rules.Balance,
    path: str,
    table: pd.DataFrame,
    answers: Mapping[str, Kleene],
    row: int,
    columns: Sequence[str],
    each: int | None = None,
) -> str:
    member, group = _members(table, pool_of(answers, f"{path}.of").true, row, columns)
    if row not in member:
        return ""
    seed = settled(rule.seed)
    place = _place_of(row, member, (hashes_of(table["neuron_id"], member, seed),), table)
    fraction = settled(rule.fraction) if isinstance(rule, rules.Sample) else None
    taken = round_half_up(fraction * len(member)) if fraction is not None else each
    if taken is None:
        taken = int(settled(rule.n)) if rule.n is not None else len(member)
    return f"place {place:,} of {len(member):,}{group} by hash (seed {seed}), the first {taken:,} are taken"


def _by_value(
    rule: rules.Top,
    path: str,
    table: pd.DataFrame,
    reference: ReferencePopulation,
    answers: Mapping[str, Kleene],
    row: int,
) -> str:
    values = Evaluator(table, reference=reference).values(rule.by)
    known = np.ones(len(table), np.bool_) if values.missing is None else ~values.missing
    columns = () if rule.within is None else (rule.within,)
    member, group = _members(table, pool_of(answers, f"{path}.of").true & known, row, columns)
    if row not in member:
        return ""
    key = np.asarray(values.values, dtype=np.float64)
    sign = -1.0 if rule.order == "highest" else 1.0
    keys = (sign * key[member], hashes_of(table["neuron_id"], member, 0))
    place = _place_of(row, member, keys, table)
    k = int(settled(rule.k))
    cut = np.sort(keys[0])[min(k, len(member)) - 1] * sign
    return (
        f"place {place:,} of {len(member):,}{group} by {rule.order} {to_text(rule.by)} ({key[row]:.6g}), the first "
        f"{k:,} are taken (to {cut:.6g})"
    )


def taken_by(selection: Selection, path: str, row: int) -> int | None:
    """Number of the term of the mix at `path` that took a neuron, the first that did; None where none did."""
    index = 0
    while (part := selection.parts.get(f"{path}.mix[{index}]")) is not None:
        if part[row]:
            return index
        index += 1
    return None


def _of_terms(
    rule: rules.Mix,
    path: str,
    table: pd.DataFrame,
    answers: Mapping[str, Kleene],
    selection: Selection,
    row: int,
) -> str:
    said = []
    took = taken_by(selection, path, row)
    for index in range(len(rule.terms)):
        known = selection.frozen.get(f"{path}.mix[{index}]")
        if took not in (None, index):
            continue
        pool = pool_of(answers, f"{path}.mix[{index}].of").true
        if known is None or not pool[row]:
            continue
        if known["pool"] != int(pool.sum()):
            left = f"the {known['pool']:,} that other terms leave"
            said.append(f"term {index + 1}: {known['taken']:,} of {left} are taken")
            continue
        member = np.flatnonzero(pool).astype(np.int64)
        place = _place_of(row, member, (hashes_of(table["neuron_id"], member, known["seed"]),), table)
        said.append(
            f"term {index + 1}: place {place:,} of {len(member):,} by hash (seed {known['seed']}), the first "
            f"{known['taken']:,} are taken"
        )
    return "; ".join(said)


def _members(table: pd.DataFrame, pool: Mask, row: int, columns: Sequence[str]) -> tuple[Rows, str]:
    """Rows of the pool that are of the neuron's own group, and what that is called."""
    if not columns:
        return np.flatnonzero(pool).astype(np.int64), ""
    codes, names = group_codes(table, columns)
    if codes[row] < 0:
        missing = next(name for name in columns if _is_missing(table[name], name, row))
        return np.empty(0, np.int64), f" ({missing} is missing)"
    return np.flatnonzero(pool & (codes == codes[row])).astype(np.int64), f" in {names[codes[row]]}"


def _is_missing(column: pd.Series[Any], name: str, row: int) -> bool:
    missing = read_column(column, name).missing
    return missing is not None and bool(missing[row])


def _place_of(row: int, member: Rows, keys: Sequence[Any], table: pd.DataFrame) -> int:
    place = places(keys, np.zeros(len(member), np.int64), table["neuron_id"], member)
    return int(place[np.searchsorted(member, row)]) + 1
