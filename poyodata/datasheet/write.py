"""`write_datasheet`: everything there is to know of a manifest, in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from poyodata._version import version
from poyodata.datasheet.eaten import write_leaks, write_matched, write_splits, write_windows
from poyodata.datasheet.overlaps import write_overlaps
from poyodata.datasheet.provenance import write_citation, write_diet, write_frozen, write_warnings
from poyodata.datasheet.selected import (
    write_composition,
    write_flips,
    write_funnel,
    write_information,
    write_plane,
)
from poyodata.datasheet.sheet import Sheet, percent
from poyodata.datasheet.subject import Subject
from poyodata.datasheet.target import PAGES, check_target
from poyodata.errors import UsageError

if TYPE_CHECKING:
    from poyodata.curation import Diet, Manifest
    from poyodata.store import Store

SECTIONS = (
    write_funnel,
    write_plane,
    write_flips,
    write_composition,
    write_information,
    write_splits,
    write_windows,
    write_leaks,
    write_overlaps,
    write_matched,
    write_frozen,
    write_warnings,
    write_diet,
    write_citation,
)


def write_datasheet(
    manifest: Manifest,
    store: Store,
    path: str | Path,
    *,
    others: Sequence[Diet | Manifest | str] = (),
    stages: Sequence[tuple[str, Manifest]] = (),
    allow_leakage: str | None = None,
) -> Path:
    """Write the datasheet of a manifest: one self-contained HTML file, without script and without network.

    Funnel, skewness-kurtosis plane, share of neurons that flip between halves of train time, composition, information,
    splits, windows, leaks, overlap with other diets, frozen numbers, warnings, YAML and citation.

    Parameters
    ----------
    manifest : Manifest
    store : Store
        That it was resolved on.
    path : str or Path
        The HTML file, outside of any store; only a page of poyodata that is there is replaced.
    others : sequence of Diet, Manifest or str
        Compared with the manifest beside the presets; a str is the name of a preset or a YAML file.
    stages : sequence of (str, Manifest)
        Whole lineage whose leaks are listed, as `check_leaks` takes it; by default the manifest alone.
    allow_leakage : str, optional
        Reason to go on in spite of leaks, shown beside them. Leaks are shown whether it is given or not.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ManifestError
        When the store is not what the manifest was resolved on.
    UsageError
        When the file cannot be written, ends in something else than .html, or would replace what is no such page.

    Notes
    -----
    Statistics that the diet does not name (moments of a diet by CRE line, information) are shown where they are kept,
    and computed where the store has at most 100 recordings without them.

    Examples
    --------
    >>> write_datasheet(manifest, store, "predictable.html")  # doctest: +SKIP
    """
    target = check_target(path, PAGES, "a datasheet")
    manifest.open(store)
    subject = Subject(manifest, store, tuple(others), tuple(stages), allow_leakage)
    sheet = Sheet(f"{manifest.name}: datasheet")
    _lead(sheet, subject)
    for section in SECTIONS:
        section(sheet, subject)
    sheet.footer([f"poyodata {version}", f"manifest {manifest.digest}"])
    try:
        return sheet.save(target)
    except OSError as error:
        raise UsageError(f"the datasheet cannot be written to {path} ({error.strerror}); give another file.") from error


def _lead(sheet: Sheet, subject: Subject) -> None:
    manifest, meta = subject.manifest, subject.manifest.meta
    description = str(meta["diet"].get("description", ""))
    if description:
        sheet.text(description, "lead")
    neurons, considered = manifest.neurons, len(manifest.population)
    cells = neurons["cell_specimen_id"].dropna().nunique()
    split = meta["split"]
    windows = manifest.windows["role"].value_counts().sort_index()
    facts = {
        "neurons": f"{len(neurons):,} of {considered:,} considered ({percent(len(neurons), considered)})",
        "cells": f"{cells:,} with a cell_specimen_id",
        "recordings": f"{neurons['session_id'].nunique():,} of {manifest.population['session_id'].nunique():,}",
        "donors": f"{neurons['donor_id'].nunique():,} of {manifest.population['donor_id'].nunique():,}",
        "windows": ", ".join(f"{role} {n:,}" for role, n in windows.items()),
        "split": f"{split['spec'].get('name') or 'without a name'}, fold {split['fold']}",
        "manifest": manifest.digest,
        "store": manifest.store_digest,
        "split digest": manifest.split_digest,
    }
    if meta.get("lineage"):
        lineage = meta["lineage"]
        facts["packed from"] = f"manifest {lineage['manifest']} of store {lineage['store']}"
    sheet.facts(facts)
