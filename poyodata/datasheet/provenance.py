"""Sections about where a diet comes from: statistics, frozen numbers, warnings, YAML, and how to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from poyodata._version import version
from poyodata.curation import Diet
from poyodata.datasheet.sheet import Sheet, plain
from poyodata.datasheet.subject import Subject
from poyodata.plots import MAX_KURTOSIS, MAX_SKEWNESS
from poyodata.statistics import column_metadata

_ALLEN_SESSIONS = ("three_session_A", "three_session_B", "three_session_C", "three_session_C2")
_PAPER = "https://doi.org/10.1038/s41593-019-0550-9"


def write_frozen(sheet: Sheet, subject: Subject) -> None:
    """Numbers that were fixed when the diet was resolved."""
    meta = subject.manifest.meta
    sheet.section("Statistics and frozen numbers")
    statistics = meta["statistics"]
    if statistics["names"]:
        sheet.listing(
            f"{name}, version {statistics['versions'][name]}, on {statistics['time'][name]}"
            for name in statistics["names"]
        )
    else:
        sheet.text("The diet names no statistic.")
    for word in ("learned", "annotations"):
        for name, known in meta[word].items():
            sheet.text(f"{word.capitalize()}: {name} ({plain(known) if isinstance(known, Mapping) else known})")
    for title, known in (("Parameters", meta["parameters"]), ("Frozen", meta["frozen"])):
        if known:
            sheet.subheading(title)
            sheet.table(pd.DataFrame([{"what": name, "value": _shown(value)} for name, value in known.items()]))
    every = column_metadata()
    named = [name for name in map(str, subject.table.columns) if name.partition("@")[0] in every]
    if named:
        sheet.subheading("Conventions")
        known_columns = column_metadata(named)
        sheet.table(
            pd.DataFrame(
                [
                    {
                        "column": name,
                        "unit": known_columns[name]["unit"],
                        "definition": known_columns[name]["definition"],
                    }
                    for name in named
                ]
            )
        )


def _shown(value: Any) -> str:
    return plain(value) if isinstance(value, Mapping) else str(value)


def write_warnings(sheet: Sheet, subject: Subject) -> None:
    """What was remarked while the diet was resolved."""
    sheet.section("Warnings")
    if not subject.manifest.warnings:
        sheet.text("None.")
    for warning in subject.manifest.warnings:
        sheet.text(warning, "warning")


def write_diet(sheet: Sheet, subject: Subject) -> None:
    """The diet as it would be typed, and those that it refers to."""
    sheet.section("The diet")
    meta = subject.manifest.meta
    sheet.code(Diet.from_dict(meta["diet"]).to_yaml())
    for name, document in meta["references"].items():
        sheet.folded(f"It refers to {name}", Diet.from_dict(document).to_yaml())


def write_citation(sheet: Sheet, subject: Subject) -> None:
    """What to name beside a result, and whom to cite."""
    sheet.section("How to cite")
    manifest = subject.manifest
    sheet.code(
        f"poyodata {version}, diet {manifest.name}, manifest {manifest.digest}\n"
        f"store {manifest.store_digest}, split {manifest.split_digest}"
    )
    sessions = subject.store.sessions
    simulated = sessions["device"].astype("str").str.contains("imulated").any() if "device" in sessions else False
    if simulated:
        sheet.text("These recordings are simulated by poyodata in the format of the Allen Brain Observatory.")
    elif sessions["session_type"].isin(_ALLEN_SESSIONS).any():
        sheet.link(
            "The recordings are of the Allen Brain Observatory. Cite de Vries, S.E.J., Lecoq, J.A., Buice, M.A., et "
            "al. (2020). A large-scale standardized physiological survey reveals functional organization of the mouse "
            "visual cortex. Nature Neuroscience 23, 138-151, and keep to the terms of use of the Allen Institute.",
            _PAPER,
        )
    if subject.thresholds.published:
        sheet.text(
            f"The thresholds skewness <= {MAX_SKEWNESS} and kurtosis <= {MAX_KURTOSIS} are those of POYO-CAP: cite it. "
            "It does not say which kurtosis it means; here it is excess kurtosis, of biased moments."
        )
