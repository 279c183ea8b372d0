"""What a store no longer names, or never did: removed by its one writer, after a commit and when it opens the store."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from poyodata.store.commit import Committed, replace_table
from poyodata.store.complete import FILE as COMPLETE_RECORDINGS
from poyodata.store.disk import remove, retire
from poyodata.store.layout import TEMPORARY, Paths, generation_name


def collect_garbage(paths: Paths, committed: Committed) -> None:
    """Remove what an earlier writer left unfinished: folders and files which nothing committed names."""
    recordings = {generation_name(*one) for one in committed.generations.items()}
    stimuli = {generation_name(name, one.generation) for name, one in committed.stimuli.items()}
    digests = paths.tables / "digests"
    labels = {paths.annotation(name, one.digest).name for name, one in committed.annotations.items()}
    for parent, known in (
        (paths.sessions, recordings | {"zarr.json"}),
        (paths.stimuli, stimuli | {"zarr.json"}),
        (paths.tables / "presentations", {f"{name}.parquet" for name in recordings}),
        (digests, {f"{name}.parquet" for name in recordings} | {"stimuli"}),
        (digests / "stimuli", {f"{name}.parquet" for name in stimuli}),
        (paths.tables / "annotations", labels),
    ):
        for child in list(parent.iterdir()) if parent.is_dir() else []:
            if child.name not in known:
                retire(child, paths.root)
    for parent in (paths.root, paths.tables):
        for child in parent.glob(f"{TEMPORARY}*"):
            remove(child)
    # Others write statistics without the lock: only what a writer alone begins there is surely abandoned. A loader
    # whose note of complete recordings is taken away half written looks at them again.
    for name in ("zarr.json", COMPLETE_RECORDINGS):
        for child in paths.statistics.glob(f"{TEMPORARY}*-{name}"):
            remove(child)
    for name in ("blocks", "parts"):  # of format version 2
        remove(paths.table(name))


def remove_superseded(paths: Paths, before: Committed, after: Committed, tables: Mapping[str, pd.DataFrame]) -> None:
    """Remove what a commit no longer names; `tables` are the flat ones after it. What a crash leaves is garbage."""
    superseded = [
        (name, generation)
        for name, generation in before.generations.items()
        if after.generations.get(name) != generation
    ]
    for name, generation in superseded:
        retire(paths.session(name, generation), paths.root)
        remove(paths.presentations(name, generation))
        remove(paths.digests(name, generation))
    for name, template in before.stimuli.items():
        if after.stimuli.get(name) != template:
            retire(paths.stimulus(name, template.generation), paths.root)
            remove(paths.stimulus_digests(name, template.generation))
    for name, annotation in before.annotations.items():
        known = after.annotations.get(name)
        if known is None or known.digest[:12] != annotation.digest[:12]:
            remove(paths.annotation(name, annotation.digest))
    if superseded:
        for name, table in tables.items():
            replace_table(paths.table(name), table, {"commit": after.number})
