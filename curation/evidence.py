"""Evidence: the columns that a rule names beyond those of the store, found, computed or read, and held to the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from poyodata.curation.language.window_rule import told_of_windows
from poyodata.digests import json_digest
from poyodata.errors import DietError, StatisticError, nearest
from poyodata.splits import Split
from poyodata.statistics import Resampling, Statistic, column_metadata, compute_statistics, find_statistics
from poyodata.statistics.learned.columns import damaged_columns, learned_columns, read_learned
from poyodata.statistics.learned.lineage import ColumnLineage, describe_overlap, held_out_recordings, held_out_time
from poyodata.statistics.restricted import parse_restricted, restricted_name

if TYPE_CHECKING:
    from poyodata.curation.diet import Diet
    from poyodata.store import Store

BOUNDS: tuple[str, ...] = ("_low", "_high")
"""Endings of the columns that hold the bounds of a statistic's interval."""

ALL_TIME = "statistics were computed on all time, test time included (statistics: {window: all})"
"""Remark on statistics that are not of train-role time."""


@dataclass(frozen=True)
class Source:
    """Where a column of statistics comes from.

    Attributes
    ----------
    statistic : str
        Name, with ``@`` and the stimulus where it is restricted.
    interval : bool
        Whether the column is a bound of an interval.
    """

    statistic: str
    interval: bool = False


@dataclass(frozen=True)
class Evidence:
    """Columns joined to the neurons, and what the manifest says of them.

    Attributes
    ----------
    table : DataFrame
        The population with the columns that the rule names.
    statistics, learned : dict
        Entries of that name in ``Manifest.meta``.
    warnings : list of str
    """

    table: pd.DataFrame
    statistics: dict[str, Any]
    learned: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def gather(
    diet: Diet,
    store: Store,
    split: Split,
    population: pd.DataFrame,
    columns: Sequence[str],
    further: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """Join to the population the columns that the rule names, and no others: each costs a pass over the recordings.

    Parameters
    ----------
    diet : Diet
    store : Store
    split : Split
        Whose train-role time statistics look at, and which learned columns must not have looked past.
    population : DataFrame
        Neurons, with all that the store knows of them.
    columns : sequence of str
        That the rule names.
    further : sequence of str
        Names that could have been meant too, for messages.
    progress : callable, optional
        Called with 1 after each recording whose statistics are there.

    Raises
    ------
    DietError
        Nothing has a column of that name, or a learned one has looked at time that the split holds out.
    """
    wanted = [name for name in columns if name not in population.columns]
    learned = _learned(diet, store, population, columns)
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for name in wanted:
        if name not in learned:
            try:
                sources[name] = _source(diet, store, name, [*population.columns, *further, *learned])
            except DietError as error:
                problems.append(str(error))
    if len(problems) > 1:
        begin = f"diet {diet.name!r} names "
        listed = " ".join(f"({number}) {said.removeprefix(begin)}" for number, said in enumerate(problems, start=1))
        raise DietError(f"{begin}{len(problems)} columns that cannot be had: {listed}")
    if problems:
        raise DietError(problems[0])
    values, statistics, warnings = _computed(diet, store, split, sources, progress)
    files: dict[str, Any] = {}
    for name in wanted:
        if name in learned and learned[name] not in files:
            own = [column for column in wanted if learned.get(column) == learned[name]]
            table, files[learned[name]], said = _read(diet, store, split, learned[name], own)
            values.append(table)
            warnings += said
    parts = [_rows_of(table, population["neuron_id"]) for table in values]
    return Evidence(pd.concat([population, *parts], axis=1) if parts else population, statistics, files, warnings)


def _rows_of(table: pd.DataFrame, neuron_id: pd.Series[Any]) -> pd.DataFrame:
    """Rows of these neurons, without their names; missing values for those that the table lacks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Not pandas' own index of texts, which makes a Python string of every name first.
    known, names = (pa.array(part.astype("str").array) for part in (table["neuron_id"], neuron_id))
    place = pc.index_in(names, value_set=known)
    rest = table.drop(columns="neuron_id").reset_index(drop=True)
    rows = place.fill_null(-1).to_numpy(zero_copy_only=False)
    return (rest.reindex(rows) if place.null_count else rest.iloc[rows]).reset_index(drop=True)


def source_of(name: str) -> Source | None:
    """Say which statistic a column is of; None where it is of none.

    Raises
    ------
    StatisticError
        When the statistic cannot be restricted in that way.

    Examples
    --------
    >>> source_of("skewness_high@drifting_gratings")
    Source(statistic='moments@drifting_gratings', interval=True)
    >>> source_of("snr") is None
    True
    """
    known = column_metadata()
    column, stimulus = parse_restricted(name)
    bound = next((end for end in BOUNDS if column not in known and column.endswith(end)), "")
    column = column.removesuffix(bound)
    if column not in known:
        return None
    statistic = restricted_name(known[column]["statistic"], stimulus)
    find_statistics(statistic)
    return Source(statistic, bool(bound))


def _source(diet: Diet, store: Store, name: str, further: Sequence[str]) -> Source:
    column, _, stimulus = name.partition("@")
    try:
        found = source_of(name)
    except StatisticError as error:
        raise DietError(f"diet {diet.name!r} names {name!r}: {error}") from None
    if found is None:
        known = [*further, *column_metadata()]
        meant = told_of_windows(name) or nearest(column, known)
        if stimulus and column in further:
            meant = "only statistics can be restricted to a stimulus."
        for file, problem in damaged_columns(store).items():
            meant += f" The learned columns {file!r} cannot be read: {problem}"
        raise DietError(f"diet {diet.name!r} names an unknown column {name!r}: {meant}")
    if stimulus:
        shown = store.epochs["stimulus"].unique().tolist()
        if stimulus not in shown:
            raise DietError(
                f"diet {diet.name!r} names {name!r}, but no recording of the store shows {stimulus!r}: "
                f"{nearest(stimulus, shown)}"
            )
    return found


def _computed(
    diet: Diet,
    store: Store,
    split: Split,
    sources: Mapping[str, Source],
    progress: Callable[[int], None] | None,
) -> tuple[list[pd.DataFrame], dict[str, Any], list[str]]:
    """Compute statistics; those of which a bound is named with intervals, the others without."""
    everything = diet.statistics_window == "all"
    uncertain = tuple(dict.fromkeys(source.statistic for source in sources.values() if source.interval))
    plain = tuple(dict.fromkeys(one.statistic for one in sources.values() if one.statistic not in uncertain))
    resampling = Resampling()
    tables: list[pd.DataFrame] = []
    digests: list[str] = []
    for names, intervals in ((plain, None), (uncertain, resampling)):
        if not names:
            continue
        computed = compute_statistics(
            store,
            names,
            split=None if everything else split,
            window=diet.statistics_window,
            sessions=split.sessions["session_id"].tolist() if everything else None,
            # One bar of as many steps as there are recordings.
            progress=None if intervals is not None and plain else progress,
            intervals=intervals,
        )
        own = [column for column, source in sources.items() if source.statistic in names]
        for column in own:
            if column not in computed.columns:
                raise DietError(f"diet {diet.name!r} names {column!r}, but there are no intervals of that column.")
        tables.append(computed[["neuron_id", *own]])
        digests.append(computed.attrs["digest"])
    used: list[Statistic] = [find_statistics(name)[0] for name in (*plain, *uncertain)]
    meta: dict[str, Any] = {
        "names": [*plain, *uncertain],
        "window": diet.statistics_window,
        "digest": digests[0] if len(digests) == 1 else json_digest(digests) if digests else None,
        "split_digest": split.digest,
        "uses_labels": [statistic.name for statistic in used if statistic.uses_labels],
        "versions": {name: statistic.version for name, statistic in zip((*plain, *uncertain), used, strict=True)},
        "time": {name: _time(diet.statistics_window, name) for name in (*plain, *uncertain)},
        "intervals": {"names": list(uncertain), **asdict(resampling)} if uncertain else None,
    }
    return tables, meta, [ALL_TIME] if everything and sources else []


def _time(window: str, name: str) -> str:
    """Say in words what a statistic was computed on."""
    stimulus = name.partition("@")[2]
    what = "train-role time" if window == "train" else "all time, test time included"
    return f"{what}, within the epochs of {stimulus}" if stimulus else what


# -- learned columns -------------------------------------------------------------------------------------------------


def _learned(diet: Diet, store: Store, population: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """Name of the file of each learned column; none that the rule names may mean something else too."""
    if not columns:
        return {}
    home = learned_columns(store)
    for name in columns:
        if name in home and (name in population.columns or source_of(name) is not None):
            other = "the store" if name in population.columns else "a statistic"
            raise DietError(
                f"diet {diet.name!r} names {name!r}, which is a column of the learned columns {home[name]!r} and of "
                f"{other}; write the learned one under another name."
            )
    return home


def _read(
    diet: Diet, store: Store, split: Split, name: str, columns: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Read learned columns when their model has not looked at what the split holds out."""
    known, table = read_learned(store, name)
    beyond, warnings = _held_to(diet, split, name, known.lineage)
    meta = {
        "digest": known.digest,
        "columns": list(columns),
        "beyond_train": beyond,
        **{
            word: value
            for word, value in known.lineage.summary().items()
            if word not in ("trained_on", "computed_on", "recordings")
        },
    }
    return table[["neuron_id", *columns]], meta, warnings


def _held_to(diet: Diet, split: Split, name: str, lineage: ColumnLineage) -> tuple[bool, list[str]]:
    """Tell whether a column's model looked past train-role time, where the diet allows it; refuse it elsewhere."""
    warnings: list[str] = []
    problem = ""
    if lineage.window == "all":
        problem = f"learned columns {name!r} looked at all time, test time included"
    else:
        beyond = held_out_time(lineage.looked_at, split)
        held = held_out_recordings(lineage.trained_on, split)
        if len(beyond):
            problem = (
                f"learned columns {name!r} were trained under another split and looked at {describe_overlap(beyond)} "
                f"of split {split.spec.name}, fold {split.fold}"
            )
        elif held and lineage.uses_labels:
            problem = (
                f"learned columns {name!r} were trained with labels of {len(held)} recordings (first {held[0]}) of "
                f"animals that split {split.spec.name}, fold {split.fold} holds out"
            )
        elif held:
            warnings.append(
                f"learned columns {name!r} are transductive: their model saw, without labels, train-role time of "
                f"{len(held)} recordings of held-out animals (first {held[0]})"
            )
    if not problem:
        return False, warnings
    if diet.statistics_window == "train":
        raise DietError(
            f"diet {diet.name!r}: {problem}. Train that model under this split and fold, or accept the leak in writing "
            "(statistics: {window: all})."
        )
    return True, [f"{problem} (statistics: {{window: all}})"]
