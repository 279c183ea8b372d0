"""How sure membership of a class is: neurons that change side of a threshold between two halves of train time.

A rule such as ``skewness <= 3.51 and kurtosis <= 22.62`` divides neurons in two. Another hour would divide them
differently; the nearest thing at hand are the two halves of each recording's train-role time. The share of neurons that
flip is a property of the rule and of the length of recordings, and belongs beside every count of a class. Halves are
half as long, so that between halves more neurons flip than would between two recordings of this length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.digests import json_digest, table_digest
from poyodata.errors import SplitError, StatisticError, UsageError
from poyodata.splits import Split, SplitSpec, default_split, resolve_split

if TYPE_CHECKING:
    from poyodata.store import Store

Rule: TypeAlias = str | Callable[[pd.DataFrame], npt.ArrayLike]
"""Comparisons of columns with numbers, joined by ``and``; or a function of the table of statistics to booleans."""

_COMPARISON = re.compile(r"\s*([A-Za-z_]\w*(?:@\w+)?)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_COMPARE: dict[str, Callable[[pd.Series[float], float], pd.Series[bool]]] = {
    "<=": lambda values, bound: values <= bound,
    ">=": lambda values, bound: values >= bound,
    "<": lambda values, bound: values < bound,
    ">": lambda values, bound: values > bound,
}


def membership_flips(
    store: Store,
    rules: Rule | Mapping[str, Rule],
    split: Split | SplitSpec | str | None = None,
    *,
    columns: Sequence[str] = (),
    sessions: Sequence[str] | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Count the neurons that are members in one half of train time and not in the other.

    Parameters
    ----------
    store : Store
    rules : str, callable, or mapping of name to either
        What makes a neuron a member: ``"skewness <= 3.51 and kurtosis <= 22.62"``, or a function that takes the table
        of statistics and gives a boolean for each row.
    split : Split, SplitSpec or str, optional
        Whose train-role time is halved; by default the split that `default_split` gives for the store.
    columns : sequence of str
        Columns that rules which are functions look at; those of texts are found in them.
    sessions : sequence of str, optional
        These recordings alone.
    workers : int, optional
        As `compute_statistics` takes it.

    Returns
    -------
    DataFrame
        One row a rule: ``rule``; ``neurons``, those whose columns are known in the whole and in both halves;
        ``members``, of the whole; ``members_first`` and ``members_second``, of the halves; ``flips`` between the halves
        and their ``share`` of the neurons; ``flips_first_whole`` and ``flips_second_whole``, between a half and all of
        train time.

    Raises
    ------
    StatisticError
        For a rule that cannot be read, or columns that no statistic gives.
    SplitError
        When a split cannot be made from the store, or a recording has fewer than two frames of train time.

    Examples
    --------
    >>> split_rule("skewness <= 3.51 and kurtosis <= 22.62")
    [('skewness', '<=', 3.51), ('kurtosis', '<=', 22.62)]
    """
    detail = memberships(store, rules, split, columns=columns, sessions=sessions, workers=workers)
    rows = []
    for name, group in detail.groupby("rule", sort=False):
        known = group[group["known"]]
        first, second, whole = (known[half].to_numpy(bool) for half in ("first", "second", "whole"))
        rows.append(
            {
                "rule": name,
                "neurons": len(known),
                "members": int(whole.sum()),
                "members_first": int(first.sum()),
                "members_second": int(second.sum()),
                "flips": int((first != second).sum()),
                "share": float((first != second).mean()) if len(known) else float("nan"),
                "flips_first_whole": int((first != whole).sum()),
                "flips_second_whole": int((second != whole).sum()),
            }
        )
    return pd.DataFrame(rows)


def memberships(
    store: Store,
    rules: Rule | Mapping[str, Rule],
    split: Split | SplitSpec | str | None = None,
    *,
    columns: Sequence[str] = (),
    sessions: Sequence[str] | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Tell for every neuron and rule whether it is a member in all of train time and in each half: the detail.

    Parameters
    ----------
    store, rules, split, columns, sessions, workers
        As in `membership_flips`.

    Returns
    -------
    DataFrame
        ``rule``, ``neuron_id``, ``whole``, ``first``, ``second`` (bool), and ``known``: whether the columns of the rule
        are numbers in all three. Unknown ones are members of nothing.
    """
    from poyodata.statistics.compute import compute_statistics
    from poyodata.statistics.registry import interval_of, select_columns

    named = rules if isinstance(rules, Mapping) else {rules if isinstance(rules, str) else "rule": rules}
    if not named:
        raise UsageError("no rule was given; give one such as 'skewness <= 3.51 and kurtosis <= 22.62'.")
    looked_at = {name: _columns_of(rule, columns) for name, rule in named.items()}
    wanted = list(dict.fromkeys(column for names in looked_at.values() for column in names))
    for column in wanted:
        bounded = interval_of(column)
        if bounded is not None:
            raise StatisticError(
                f"{column!r} is an end of the interval of {bounded!r}, which halves of train time do not share; make "
                f"the rule of {bounded!r} itself."
            )
    if not isinstance(split, Split):
        split = resolve_split(store, default_split(store) if split is None else split)
    split.require_content(store)
    halves = halve_train_time(store, split)
    statistics = select_columns(wanted)
    tables = [
        compute_statistics(store, statistics, part, sessions=sessions, workers=workers) for part in (split, *halves)
    ]
    parts = []
    for name, rule in named.items():
        known = np.logical_and.reduce([table[looked_at[name]].notna().all(axis=1) for table in tables])
        inside = [_apply(rule, table) & known for table in tables]
        rows = {"rule": name, "neuron_id": tables[0]["neuron_id"].to_numpy()}
        parts.append(
            pd.DataFrame(rows | dict(zip(("whole", "first", "second"), inside, strict=True)) | {"known": known})
        )
    return pd.concat(parts, ignore_index=True)


def split_rule(text: str) -> list[tuple[str, str, float]]:
    """Read a rule: columns, comparisons and bounds.

    Raises
    ------
    StatisticError
        When it is not a list of comparisons of columns with numbers, joined by ``and``.
    """
    found = []
    for part in re.split(r"\band\b", text):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise StatisticError(
                f"{part.strip()!r} is no comparison of a column with a number; write a rule such as "
                "'skewness <= 3.51 and kurtosis <= 22.62', or give a function of the table."
            )
        found.append((match[1], match[2], float(match[3])))
    return found


def _columns_of(rule: Rule, columns: Sequence[str]) -> list[str]:
    if isinstance(rule, str):
        return list(dict.fromkeys(column for column, _, _ in split_rule(rule)))
    if not columns:
        raise UsageError("a rule that is a function does not say what it looks at; name it in `columns`.")
    return list(columns)


def _apply(rule: Rule, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    if not isinstance(rule, str):
        result = np.asarray(rule(table))
        if result.shape != (len(table),) or result.dtype != bool:
            raise StatisticError(
                f"a rule gave {result.dtype} of shape {result.shape}; it has to give one boolean for each of the "
                f"{len(table)} neurons."
            )
        return result
    inside = np.ones(len(table), bool)
    for column, comparison, bound in split_rule(rule):
        inside &= _COMPARE[comparison](table[column], bound).to_numpy(bool)
    return inside


def halve_train_time(store: Store, split: Split) -> tuple[Split, Split]:
    """Give each recording's train-role time to two splits, the first half of its frames and the second.

    Parameters
    ----------
    store : Store
        That the split was resolved on.
    split : Split

    Returns
    -------
    first, second : Split
        Windows and presentations of train time (and of held-out animals' identification time) alone; a presentation
        that the cut divides is in neither. Recordings and specification are those of `split`; digests are their own.

    Raises
    ------
    SplitError
        When a recording has train time, but fewer than two frames of it.
    """
    windows = split.require_content(store).windows
    windows = windows[windows["role"].isin(["train", "identify"])]
    windows = windows.sort_values(["session_id", "start_frame"], kind="stable")
    parts: tuple[list[pd.DataFrame], list[pd.DataFrame]] = ([], [])
    for session, rows in windows.groupby("session_id", sort=False):
        start, stop = rows["start_frame"].to_numpy(np.int64), rows["stop_frame"].to_numpy(np.int64)
        ends = np.cumsum(stop - start)
        if ends[-1] < 2:
            raise SplitError(f"recording {session}: {ends[-1]} frames of train time cannot be halved.")
        # The frame at which half of the train time is over.
        row = int(np.searchsorted(ends, ends[-1] // 2, side="right"))
        cut = int(stop[row] - (ends[row] - ends[-1] // 2))
        for half, (low, high) in zip(parts, ((0, cut), (cut, int(stop[-1]))), strict=True):
            clipped = rows.assign(start_frame=start.clip(low, high), stop_frame=stop.clip(low, high))
            half.append(clipped[clipped["stop_frame"] > clipped["start_frame"]])
    first, second = (
        _of_windows(split, pd.concat([split.windows.iloc[:0], *half], ignore_index=True), index)
        for index, half in enumerate(parts)
    )
    return first, second


def _of_windows(split: Split, windows: pd.DataFrame, half: int) -> Split:
    """Narrow a split to windows of its own; its trials are the presentations that lie whole in one of them."""
    digest = json_digest({"split": split.digest, "half_of_train_time": half, "windows": table_digest(windows)})
    return replace(split, digest=digest, windows=windows).check()
