"""The command ``stats``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, Fold, Scheduler, SplitName, Workers, print_table, say
from poyodata.cli.tables import cell_text, print_wrapped
from poyodata.errors import SplitError, StatisticError, UsageError, nearest
from poyodata.progress import stage

if TYPE_CHECKING:
    import pandas as pd

    from poyodata.splits import Split
    from poyodata.store import Store

DIGITS = 3
ALL_TIME = "ALL TIME (window: all): test time was looked at, which leaks into any test."
PRINTED = ("skewness", "kurtosis", "robust_snr", "fisher_direction", "reliability")
"""Columns that are printed when every statistic is computed: what diets are made of; --out has them all."""


@app.command(epilog="Example: poyodata stats allen.zarr --by cre_line,area --columns skewness,kurtosis")
def stats(
    store: Annotated[str, typer.Argument(help="A store: its folder, or a URL (s3://, https://).")] = "",
    only: Annotated[str, typer.Option(help="Statistics, separated by commas; by default all: see --list.")] = "",
    columns: Annotated[str, typer.Option(help="Columns to print, and to compute where --only names none.")] = "",
    by: Annotated[
        str, typer.Option(help="Group by cre_line, area, depth, donor, container, or any column: cre_line,area.")
    ] = "",
    average: Annotated[Literal["median", "mean"], typer.Option(help="What is printed of each group.")] = "median",
    intervals: Annotated[bool, typer.Option("--intervals", help="A confidence interval of every neuron too.")] = False,
    level: Annotated[float, typer.Option(help="Level of all intervals.")] = 0.95,
    splits: SplitName = "",
    fold: Fold = 0,
    window: Annotated[
        Literal["train", "all"],
        typer.Option(help="train: train-role time only; all: every frame (leaks into any test)."),
    ] = "train",
    out: Annotated[
        Path | None, typer.Option(help="Write every neuron and column to this CSV or Parquet file, with definitions.")
    ] = None,
    knee: Annotated[
        str, typer.Option(metavar="COLUMN", help="The knee of this column over line means, and how it wavers.")
    ] = "",
    describe: Annotated[str, typer.Option(metavar="NAME", help="Say what a statistic or column is.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the statistics.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Compute neuron statistics, and print them by CRE line, area, depth, donor, ...

    Intervals of groups are clustered by donor. With --json: every neuron, or the groups where --by is given.
    """
    from poyodata.statistics.grouping import group_names, group_neurons
    from poyodata.statistics.groups import columns_with_a_mean
    from poyodata.statistics.registry import describe_statistic, interval_of, select_columns
    from poyodata.statistics.written import require_writable, write_statistics
    from poyodata.store import open_store

    if listing:
        print_table(_list(), as_json)
        return
    if describe:
        with _wrong_call():
            text = describe_statistic(describe)
        say(json.dumps({describe: text})) if as_json else print_wrapped(text)
        return
    if not store:
        raise UsageError("give a store; or --list, or --describe NAME, which need none.")
    if not 0 < level < 1:
        raise UsageError(f"--level lies between 0 and 1, such as 0.95; {level:g} arrived.")
    if out is not None:
        require_writable(out)
    _require_time(window, splits, fold)
    opened = open_store(store)
    named, unknown = _known(_parted(only, "--only"), partial(_require_shown, opened))
    wanted, unknown_columns = _known(_parted(columns, "--columns"), partial(_require_column, opened, intervals))
    if by:
        group_neurons(opened.neurons[["neuron_id"]].head(0), opened, group_names(by))  # refuses what is no group
    prints_groups = bool(by) or not (knee or as_json)
    no_mean = [name for name in wanted if prints_groups and _why_no_mean(name)]
    if wanted and len(no_mean) == len(wanted) and (by or out is None):
        raise UsageError(f"{no_mean[0]} is {_why_no_mean(no_mean[0])}: it has no mean over neurons that groups show.")
    if knee:
        _require_knee(opened, knee)
    sources = [interval_of(name) or name for name in (*wanted, *([knee] if knee else []))]
    asked = list(dict.fromkeys([*named, *(select_columns(sources) if sources else ())]))
    table = _computed(opened, asked or None, splits, fold, window, level if intervals else None, workers, scheduler)
    written = () if out is None else write_statistics(table, out)
    for name in no_mean:
        typer.echo(f"poyodata: {name} has no mean over neurons and is not printed; --out writes it.", err=True)
    absent = [name for name in wanted if name not in table.columns]
    for name in absent:
        typer.echo(f"poyodata: {interval_of(name)} has no interval, so there is no {name}.", err=True)
    averaged = columns_with_a_mean(table)
    chosen = [name for name in wanted if name not in (*no_mean, *absent)]
    if not wanted:
        chosen = [name for name in (averaged if asked else PRINTED) if name in averaged]
    if knee:
        _print_knee(opened, table, knee, as_json)
    elif as_json and not by:
        print_table(table, as_json)
    else:
        _print_groups(opened, table, by or "cre_line", chosen, average, level, as_json)
    if as_json:
        for text in _said(table):
            typer.echo(text, err=True)
    else:
        _print_conventions(table, [knee] if knee else chosen)
        _print_end(table, chosen, written, store)
    if unknown or unknown_columns or no_mean or absent:
        raise typer.Exit(UsageError.exit_code)


@contextmanager
def _wrong_call() -> Iterator[None]:
    """Names that nobody knows are a wrong call, whatever the library calls them."""
    try:
        yield
    except StatisticError as error:
        raise UsageError(str(error)) from error


def _require_time(window: str, splits: str, fold: int) -> None:
    """Raise when all time is asked for, and a split or a fold of one."""
    for option, given in (("--splits", bool(splits)), ("--fold", bool(fold))):
        if window == "all" and given:
            raise UsageError(f"--window all looks at all time, so {option} has no meaning; leave one of them out.")


def _require_column(store: Store, intervals: bool, name: str) -> None:
    """Raise unless a column can be computed: also an end of an interval, where these are asked for."""
    from poyodata.statistics.registry import interval_of, select_columns

    column = interval_of(name)
    if column is not None and not intervals:
        raise StatisticError(f"{name!r} is an end of the interval of {column!r}: add --intervals.")
    _require_shown(store, *select_columns([column or name]))


def _require_knee(store: Store, column: str) -> None:
    """Raise unless there is a column of that name, of which means can be taken."""
    with _wrong_call():
        _require_column(store, False, column)
    reason = _why_no_mean(column)
    if reason:
        raise UsageError(f"--knee: {column} is {reason}, which has no mean, and so no knee over means.")


def _why_no_mean(column: str) -> str | None:
    from poyodata.statistics.groups import why_no_mean
    from poyodata.statistics.registry import column_metadata, interval_of

    return why_no_mean(own := interval_of(column) or column, column_metadata([own]))


def _parted(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise UsageError(f"{option} {text!r} names nothing; give names with commas between, or leave it out.")
    return names


def _known(names: Sequence[str], find: Callable[[str], object]) -> tuple[list[str], bool]:
    """The names that are known, and whether others were among them: these are named on standard error.

    Where none is known there is nothing to go on with, and the first error is raised.
    """
    known, errors = [], []
    for name in names:
        try:
            find(name)
            known.append(name)
        except StatisticError as error:
            errors.append(error)
    if errors and not known:
        raise UsageError(str(errors[0])) from errors[0]
    for one in errors:
        typer.echo(f"poyodata: {one} It is left out.", err=True)
    return known, bool(errors)


def _require_shown(store: Store, name: str) -> None:
    """Raise unless a statistic is known, and what it is restricted to was shown in some recording."""
    from poyodata.statistics.registry import find_statistics

    (statistic,) = find_statistics(name)
    shown = set(store.epochs["stimulus"])
    if statistic.during is not None and statistic.during not in shown:
        raise StatisticError(
            f"{name!r}: no recording was shown {statistic.during!r}; {nearest(statistic.during, shown)}"
        )


def _list() -> pd.DataFrame:
    """Every statistic, with its columns."""
    import pandas as pd

    from poyodata.statistics.registry import known_statistics

    rows = [
        {"statistic": one.name, "group": one.group, "version": one.version, "columns": ", ".join(one.columns)}
        for one in known_statistics().values()
    ]
    return pd.DataFrame(rows)


def _computed(
    store: Store,
    names: Sequence[str] | None,
    splits: str,
    fold: int,
    window: Literal["train", "all"],
    level: float | None,
    workers: int | None,
    scheduler: str | None,
) -> pd.DataFrame:
    split = _split(store, splits, fold) if window == "train" else None
    n_recordings = len(store) if split is None else len(split.sessions)
    with stage("computing statistics", n_recordings, "recordings") as advance:
        return store.compute_statistics(
            names, split, window, progress=advance, intervals=level, workers=workers, scheduler=scheduler
        )


def _split(store: Store, splits: str, fold: int) -> Split:
    from poyodata.splits import default_split, n_folds, resolve_split

    spec = splits or default_split(store)
    try:
        return resolve_split(store, spec, fold=fold)
    except SplitError as error:
        if len(store) and not 0 <= fold < n_folds(store, spec):
            raise UsageError(str(error)) from error
        raise


def _print_groups(
    store: Store, table: pd.DataFrame, by: str, columns: Sequence[str], average: str, level: float, as_json: bool
) -> None:
    """Counts and averages of every group, each with its interval."""
    from poyodata.statistics.groups import COUNTS, summarise_by, summary_name

    groups = summarise_by(table, store, by, columns, intervals=level)
    if as_json:
        print_table(groups, as_json)
        return
    keys: list[str] = groups.attrs["by"]
    shown = groups[[*keys, *COUNTS]].copy()
    for column in columns:
        names = [summary_name(column, f"{average}{end}") for end in ("", "_low", "_high")]
        shown[column] = [_with_interval(*values) for values in groups[names].itertuples(index=False)]
    _print_time(table)
    some = groups["note"].str.contains("no interval").all()
    between = "" if some else f", with {100 * level:g} % intervals clustered by donor"
    print_wrapped(f"{average.capitalize()}s over neurons{between}.\n")
    print_table(shown, as_json=False, keys=len(keys))
    if groups["note"].any():
        print_wrapped("")
    for note, own in groups[groups["note"] != ""].groupby("note", sort=False):
        which = [" / ".join(map(str, row)) for row in own[keys].itertuples(index=False)]
        of = "every group" if len(own) == len(groups) else ", ".join(which)
        print_wrapped(f"{of}: {note}")


def _with_interval(value: float, low: float, high: float) -> str:
    if low != low or high != high:  # NaN
        return cell_text(value, DIGITS)
    return f"{cell_text(value, DIGITS)} [{cell_text(low, DIGITS)}, {cell_text(high, DIGITS)}]"


def _print_knee(store: Store, table: pd.DataFrame, column: str, as_json: bool) -> None:
    """Line means and the knee over them; what becomes of it without each line."""
    import pandas as pd

    from poyodata.statistics.knee import knee_over_lines

    found = knee_over_lines(table, store, column)
    if as_json:
        say(json.dumps(asdict(found), indent=2))
        return
    _print_time(table)
    print_wrapped("")
    rows = {
        "cre_line": found.lines,
        f"mean {column}": found.means,
        "threshold without it": [cell_text(found.without[line]) for line in found.lines],
    }
    print_table(pd.DataFrame(rows), as_json=False)
    print_wrapped(f"\n{found.text}")
    print_wrapped(
        "An illustration: the paper behind the preset predictable takes its thresholds from such a knee; its own "
        "numbers, 3.51 and 22.62, are not reproduced by it."
    )


def _print_time(table: pd.DataFrame) -> None:
    """Which time was looked at; loudly when test time was."""
    lineage = table.attrs["lineage"]
    split = lineage["split"]
    if lineage["window"] == "all":
        print_wrapped(ALL_TIME, loud=True)
    elif split is not None:
        print_wrapped(f"Train-role time of the split {split['name']}, fold {split['fold']}.")


def _said(table: pd.DataFrame) -> list[str]:
    """What must be known of the numbers beside their definitions."""
    return [ALL_TIME] * (table.attrs["lineage"]["window"] == "all") + [f"{note}." for note in table.attrs["notes"]]


def _print_conventions(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Unit and definition of every column printed, as its statistic declares them, and why values are missing."""
    print_wrapped("")
    known: dict[str, dict[str, Any]] = table.attrs["columns"]
    for name in columns:
        without = int(table[name].isna().sum())
        gap = f" No value for {without} of {len(table)} neurons." if without else ""
        print_wrapped(f"{name} [{known[name]['unit']}]: {known[name]['definition']}{gap}")
    statistics = {known[name]["statistic"] for name in columns}
    for note in table.attrs["notes"]:
        if note.partition(":")[0] in statistics:
            print_wrapped(f"{note}.")


def _print_end(table: pd.DataFrame, columns: Sequence[str], written: Sequence[Path], store: str) -> None:
    """What else there is, and what to do next."""
    others = len(table.columns) - 1 - len(columns)
    print_wrapped("")
    if written:
        print_wrapped(f"Written: {', '.join(map(str, written))} ({len(table)} neurons, {len(table.columns)} columns).")
    elif others:
        print_wrapped(f"{others} further columns were computed: --out FILE writes them all, --columns prints others.")
    if table.attrs["lineage"]["window"] == "all":
        say(f"Next, on train-role time alone, as diets have it: poyodata stats {quote(store)}")
    else:
        say(f"Next: poyodata diet resolve predictable {quote(store)} --out predictable")
