"""Section about other diets: how many neurons they share with this one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation import PRESETS, Diet, Manifest, load_diet
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import select_neurons
from poyodata.datasheet.sheet import Sheet
from poyodata.datasheet.subject import Subject
from poyodata.errors import PoyodataError
from poyodata.statistics import column_metadata


def write_overlaps(sheet: Sheet, subject: Subject) -> None:
    """Shared neurons with the presets and with other diets, of those that the columns at hand can answer."""
    sheet.section("Overlap with other diets")
    sheet.text(
        "Of the neurons that this diet considered. Other diets are decided on this diet's split "
        f"({_split_of(subject.manifest)}) and on statistics of its window of time ({_window_of(subject)}); those that "
        "name another split or window, or columns that were not at hand, are not computed here. Manifests are compared "
        "as they were resolved. Jaccard: neurons that both keep, of those that either keeps."
    )
    own = (subject.table["answer"] == "kept").to_numpy()
    rows, left = [], []
    for name, mask in _others(subject):
        if isinstance(mask, str):
            left.append(f"{name}: {mask}")
            continue
        either = int((own | mask).sum())
        rows.append(
            {
                "diet": name,
                "its neurons": int(mask.sum()),
                "both": int((own & mask).sum()),
                "this alone": int((own & ~mask).sum()),
                "the other alone": int((mask & ~own).sum()),
                "Jaccard": (own & mask).sum() / either if either else np.nan,
            }
        )
    if rows:
        counts = ("its neurons", "both", "this alone", "the other alone")
        sheet.table(pd.DataFrame(rows), {**dict.fromkeys(counts, ","), "Jaccard": ".3f"})
    if left:
        sheet.text("Not compared:")
        sheet.listing(left)


def _others(subject: Subject) -> Iterator[tuple[str, npt.NDArray[np.bool_] | str]]:
    """Name of each other diet, and which of the neurons considered it keeps, or why that is not known."""
    table = _table(subject)
    this = Diet.from_dict(subject.manifest.meta["diet"])
    presets = [name for name in PRESETS if load_diet(name).bound().to_dict() != this.to_dict()]
    for other in (*presets, *subject.others):
        if isinstance(other, Manifest):
            # A manifest may be of a diet that is among the presets, with other thresholds or another split.
            name = f"{other.name} (manifest {other.digest[:12]}{_elsewhere(subject, other)})"
            yield name, _of_manifest(subject, other)
            continue
        try:
            diet = load_diet(other).bound()
            yield diet.name, _otherwise(subject, diet) or _selected(diet, table)
        except PoyodataError as error:
            yield str(other.name if isinstance(other, Diet) else other), str(error)


def _split_of(manifest: Manifest) -> str:
    split = manifest.meta["split"]
    return f"{split['spec'].get('name') or 'without a name'}, fold {split['fold']}"


def _window_of(subject: Subject) -> str:
    return str(subject.manifest.meta["statistics"]["window"])


def _otherwise(subject: Subject, diet: Diet) -> str:
    """Why what is at hand of this manifest does not decide a diet: it is of another split, or another time."""
    split = subject.manifest.meta["split"]["spec"].get("name")
    if diet.splits is not None and diet.splits != split:
        return f"it is of split {diet.splits}, and this diet of split {split or 'without a name'}; give its manifest."
    computed = [name for name in References(diet).columns if name.partition("@")[0] in column_metadata()]
    window = _window_of(subject)
    if computed and diet.statistics_window != window:
        return (
            f"it is of statistics of window {diet.statistics_window}, and this diet of window {window}; give its "
            "manifest."
        )
    return ""


def _elsewhere(subject: Subject, other: Manifest) -> str:
    """What a manifest was resolved on, where that is not what this one was."""
    parts = []
    if other.split_digest != subject.manifest.split_digest:
        parts.append(f", split {_split_of(other)}")
    if other.meta["statistics"]["window"] != _window_of(subject):
        parts.append(f", window {other.meta['statistics']['window']}")
    return "".join(parts)


def _selected(diet: Diet, table: pd.DataFrame) -> npt.NDArray[np.bool_] | str:
    references = References(diet)
    absent = [name for name in references.columns if name not in table.columns]
    if absent:
        return f"it names {', '.join(absent)}, which this diet does not."
    if references.counted:
        return f"it matches {' and '.join(references.counted)}, which are counted when it is resolved."
    return np.asarray(select_neurons(diet, table, references).kept)


def _of_manifest(subject: Subject, other: Manifest) -> npt.NDArray[np.bool_] | str:
    if other.store_digest != subject.manifest.store_digest:
        return f"it was resolved on another store ({other.store_digest[:12]})."
    return np.asarray(subject.table["neuron_id"].isin(other.neurons["neuron_id"]))


def _table(subject: Subject) -> pd.DataFrame:
    """Columns at hand: those of the rule, of the store, and moments where they are cheap."""
    table = subject.table
    further = {}
    for name in ("skewness", "kurtosis"):
        values = subject.column(name)
        if not isinstance(values, str) and name not in table.columns:
            further[name] = values.to_numpy(np.float64)
    return table.assign(**further)
