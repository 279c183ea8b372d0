"""A user's own labels of neurons or cells, joined to a store as columns of its neurons.

An annotation is one sealed table, ``tables/annotations/<name>~<digest>.parquet``: a key (``neuron_id`` or
``cell_specimen_id``) and the user's columns. The commit point lists it with its own digest, so that joining, replacing
and removing one are each a single atomic step. What was recorded is the same with and without annotations:
`Store.digest` does not know of them, and whoever used one names its digest beside that of the store.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd

from poyodata.digests import table_digest
from poyodata.errors import AnnotationError, UsageError, nearest
from poyodata.store.commit import (
    Annotation,
    Committed,
    Readable,
    WriterLock,
    read_committed,
    read_table,
    replace_committed,
    replace_table,
)
from poyodata.store.disk import disk_errors, remove
from poyodata.store.labels import checked_labels, conform_labels, one_row_a_key
from poyodata.store.layout import Paths, check_format, check_name
from poyodata.store.remote import local_folder
from poyodata.store.tables import JOINED_COLUMNS, TABLES, committed_rows
from poyodata.vocabulary import CURATION_COLUMNS


def annotate(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    name: str,
    on: str | None = None,
    *,
    ignore_unknown: bool = False,
    replace_existing: bool = False,
    reserved: Collection[str] = (),
) -> Annotation:
    """Join a table of labels to the neurons of a store, as columns of `Store.neurons`.

    Parameters
    ----------
    path : path-like
        The store, on this machine.
    table : DataFrame
        A column `on` and at least one column of texts, numbers or truth values. A label of a cell goes to all its
        neurons; neurons without a row have no value there.
    name : str
        What the annotation is called.
    on : {"neuron_id", "cell_specimen_id"}, optional
        Default: the one of the two that the table has.
    ignore_unknown : bool
        Leave out rows of neurons or cells that the store does not have, instead of refusing the table.
    replace_existing : bool
        Put the table in the place of an annotation of that name with other content, which is refused otherwise.
    reserved : collection of str
        Column names that mean something else to whoever joins them later, such as those of statistics, which the
        command line gives here. A diet that names a column of both is refused.

    Returns
    -------
    Annotation

    Raises
    ------
    UsageError
        No store, a key or a name that cannot be used, or a name that is taken.
    AnnotationError
        The table has unknown keys, two values for one key, a column that is taken, or one of mixed kinds.
    StoreError
        The store is being written or cannot be written. In every case the store is as it was.

    Examples
    --------
    >>> annotate("no-such.zarr", pd.DataFrame({"neuron_id": ["a"], "label": ["place"]}), "places")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: no store at no-such.zarr: give the path of a store, or make one with `poyodata ingest`.
    """
    check_name(name, "annotation")
    with _writing(path) as (paths, committed, lock):
        labels, key = checked_labels(table, on)
        neurons = _neurons(paths, committed)
        others = {other: known for other, known in committed.annotations.items() if other != name}
        _require_free_columns(labels, neurons, others, reserved)
        labels = _require_known_keys(labels, key, neurons, ignore_unknown)
        annotation = Annotation(table_digest(labels), key, tuple(map(str, labels.columns[1:])))
        before = committed.annotations.get(name)
        if before == annotation:
            return annotation
        if before is not None and not replace_existing:
            raise UsageError(
                f"the store has an annotation {name!r} with other content; give another name (--name), or say that it "
                "is to be replaced (--replace)."
            )
        replace_table(paths.annotation(name, annotation.digest), labels)
        lock.require_held()
        replace_committed(paths, replace(committed, annotations={**committed.annotations, name: annotation}))
        if before is not None and before.digest[:12] != annotation.digest[:12]:
            remove(paths.annotation(name, before.digest))
    return annotation


def remove_annotation(path: str | os.PathLike[str], name: str) -> None:
    """Take an annotation out of a store, in one atomic step.

    Raises
    ------
    UsageError
        No store, or no annotation of that name.
    StoreError
        The store is being written or cannot be written.

    Examples
    --------
    >>> remove_annotation("no-such.zarr", "places")
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: no store at no-such.zarr: give the path of a store, or make one with `poyodata ingest`.
    """
    with _writing(path) as (paths, committed, lock):
        if name not in committed.annotations:
            raise UsageError(f"the store has no annotation {name!r}: {nearest(name, committed.annotations)}")
        rest = {other: known for other, known in committed.annotations.items() if other != name}
        lock.require_held()
        replace_committed(paths, replace(committed, annotations=rest))
        remove(paths.annotation(name, committed.annotations[name].digest))


def join_labels(neurons: pd.DataFrame, tables: Sequence[tuple[Annotation, pd.DataFrame]]) -> pd.DataFrame:
    """Put the columns of annotations beside the neurons they are of.

    Parameters
    ----------
    neurons : DataFrame
    tables : sequence of (Annotation, DataFrame)
        As `read_annotation` gives them.

    Returns
    -------
    DataFrame
        `neurons` and then the annotations' columns; missing where there is no row.

    Examples
    --------
    >>> neurons = pd.DataFrame({"neuron_id": ["a", "b"]})
    >>> labels = pd.DataFrame({"neuron_id": ["b"], "label": ["place"]})
    >>> join_labels(neurons, [(Annotation("9f", "neuron_id", ("label",)), labels)])["label"].isna().tolist()
    [True, False]
    """
    values = [labels.set_index(known.on).reindex(neurons[known.on]).reset_index(drop=True) for known, labels in tables]
    return pd.concat([neurons, *values], axis=1) if values else neurons


def read_annotation(file: Readable, annotation: Annotation) -> pd.DataFrame:
    """Read the table of an annotation: its key and its columns, sorted by key.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    return conform_labels(read_table(file)[0], annotation.on)


def require_free_names(columns: Iterable[str], annotations: Mapping[str, Annotation]) -> None:
    """Raise when a recording would bring a column of neurons that has the name of one of an annotation.

    Raises
    ------
    AnnotationError

    Examples
    --------
    >>> require_free_names(["roi_id", "snr"], {"places": Annotation("9f", "neuron_id", ("label",))})
    """
    taken = set(columns)
    for name, known in annotations.items():
        for column in known.columns:
            if column in taken:
                raise AnnotationError(
                    f"the neurons have a column {column!r} of their own, which is also one of the annotation {name!r}; "
                    f"remove that (poyodata annotate STORE --remove {name}) and join it under another name."
                )


def merge_annotations(
    target: Paths, sources: Sequence[tuple[Paths, Mapping[str, Annotation]]]
) -> dict[str, Annotation]:
    """Bring the annotations of stores into another store, for whoever commits them there.

    Annotations of one name are joined when they are of the same key and have the same columns, and do not contradict
    each other.

    Parameters
    ----------
    target : Paths
        Store whose lock is held; the tables are written there, nothing else is.
    sources : sequence of (Paths, annotations)
        Stores, that of the target among them where its own are to be kept.

    Returns
    -------
    dict of str to Annotation
        What ``Committed.annotations`` of the target is to be.

    Raises
    ------
    AnnotationError
        Two annotations of one name cannot be joined. Nothing that is committed has changed.
    """
    tables: dict[str, tuple[Annotation, pd.DataFrame]] = {}
    for paths, owned in sources:
        for name, known in owned.items():
            labels = read_annotation(paths.annotation(name, known.digest), known)
            if name in tables and tables[name][0].digest != known.digest:
                labels = _joined(name, tables[name], (known, labels))
            tables[name] = Annotation(table_digest(labels), known.on, known.columns), labels
    _require_apart({name: known for name, (known, _) in tables.items()})
    for name, (known, labels) in tables.items():
        if not target.annotation(name, known.digest).exists():
            replace_table(target.annotation(name, known.digest), labels)
    return {name: known for name, (known, _) in tables.items()}


# -- the parts of a change -------------------------------------------------------------------------------------------


@contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[tuple[Paths, Committed, WriterLock]]:
    """Hold the writer's lock of a store."""
    root = local_folder(path, "annotated")
    check_format(root)
    paths = Paths(root)
    with disk_errors(root):
        lock = WriterLock(paths.lock)
        try:
            yield paths, read_committed(paths), lock
        finally:
            lock.release()


def _neurons(paths: Paths, committed: Committed) -> pd.DataFrame:
    """Neurons of what is committed, as their table has them."""
    file = paths.table("neurons")
    if len(committed.sessions) == 0 or not file.exists():
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TABLES["neurons"].items()})
    return committed_rows(read_table(file)[0], committed.sessions)


def _require_known_keys(labels: pd.DataFrame, key: str, neurons: pd.DataFrame, ignore: bool) -> pd.DataFrame:
    known = neurons[key].dropna()
    unknown = ~labels[key].isin(known)
    if not unknown.any():
        return labels
    if ignore and not unknown.all():
        return labels[~unknown].reset_index(drop=True)
    first = str(labels.loc[unknown, key].iloc[0])
    raise AnnotationError(
        f"{int(unknown.sum())} of {len(labels)} {key}s are not in the store, the first is {first}: "
        f"{nearest(first, known.astype('str'))} "
        + ("None would remain." if ignore else "Correct them, or leave them out (--ignore-unknown).")
    )


def _require_free_columns(
    labels: pd.DataFrame, neurons: pd.DataFrame, others: Mapping[str, Annotation], reserved: Collection[str]
) -> None:
    own = {*neurons.columns, *TABLES["neurons"], *JOINED_COLUMNS, *TABLES["sessions"]}
    of_windows = {*TABLES["presentations"], *CURATION_COLUMNS}
    mine = list(map(str, labels.columns[1:]))
    kinds = {"the store": own, "a statistic": reserved, "windows": of_windows}
    # Names that differ in case alone are taken for each other by whoever reads or types them.
    known_names = {str(name).casefold(): str(name) for name in [*of_windows, *reserved, *own]}
    known_names |= {column.casefold(): column for known in others.values() for column in known.columns}
    for place, name in enumerate(mine):
        holder = next((other for other, known in others.items() if name in known.columns), None)
        if holder is not None:
            raise AnnotationError(
                f"column {name!r} is that of the annotation {holder!r} already; give it another name."
            )
        what = next((what for what, names in kinds.items() if name in names), None)
        if what is not None:
            raise AnnotationError(f"column {name!r} is the name of a column of {what}; give yours another name.")
        earlier = {other.casefold(): other for other in mine[:place]}
        alike = (known_names | earlier).get(name.casefold())
        if alike is not None:
            raise AnnotationError(
                f"column {name!r} differs in case alone from the column {alike!r}; give yours another name."
            )


def _require_apart(annotations: Mapping[str, Annotation]) -> None:
    """Raise when two annotations have a column of one name, or of names that differ in case alone."""
    holders: dict[str, tuple[str, str]] = {}
    for name, known in annotations.items():
        for column in known.columns:
            if column.casefold() in holders:
                holder, alike = holders[column.casefold()]
                both = (
                    f"{holder!r} and {name!r} both have a column {column!r}"
                    if alike == column
                    else f"{holder!r} and {name!r} have columns {alike!r} and {column!r}, which differ in case alone"
                )
                raise AnnotationError(
                    f"the annotations {both}; remove one of them (poyodata annotate STORE --remove NAME) and try again."
                )
            holders[column.casefold()] = name, column


def _joined(name: str, one: tuple[Annotation, pd.DataFrame], other: tuple[Annotation, pd.DataFrame]) -> pd.DataFrame:
    if (one[0].on, one[0].columns) != (other[0].on, other[0].columns):
        raise AnnotationError(
            f"two stores have an annotation {name!r}, but with other columns or of another key; remove it in one of "
            "them (poyodata annotate STORE --remove NAME)."
        )
    try:
        return one_row_a_key(conform_labels(pd.concat([one[1], other[1]], ignore_index=True), one[0].on), one[0].on)
    except AnnotationError as error:
        raise AnnotationError(f"two stores contradict each other in the annotation {name!r}: {error}") from error
