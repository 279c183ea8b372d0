"""Sections about who was selected: the funnel, the plane of moments, how many neurons flip, what they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.expressions import Node, columns_of, to_text
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.datasheet import figures
from poyodata.datasheet.conditions import Thresholds, of_moments, own_conditions
from poyodata.datasheet.sheet import ANSWERS, Sheet, percent, share
from poyodata.datasheet.subject import Subject
from poyodata.errors import PoyodataError
from poyodata.plots import column_label
from poyodata.statistics import membership_flips, select_columns
from poyodata.statistics.grouping import group_names, group_neurons

FISHER = "fisher_direction"


def write_funnel(sheet: Sheet, subject: Subject) -> None:
    """What each step kept, rejected and could not answer."""
    sheet.section("Funnel")
    funnel = subject.manifest.funnel()
    rows = []
    for row in funnel.itertuples(index=False):
        counts = {name: int(getattr(row, name)) for name in ANSWERS}
        rows.append((str(row.step), str(row.rule), counts, str(row.counts)))
    sheet.text(
        "Each step of the rule, with what it keeps of everything it looks at; a step of an `and` continues the step "
        "before it. Unknown are those for which a column that the rule names is missing. The last steps share windows "
        "out by role: what the step of one role rejects is a window of another role, and is not lost."
    )
    sheet.funnel(rows)
    sheet.table(funnel, dict.fromkeys(ANSWERS, ","))


def write_plane(sheet: Sheet, subject: Subject) -> None:
    """The skewness-kurtosis plane with its three regions."""
    sheet.section("Skewness and kurtosis")
    at = subject.thresholds
    x, y = subject.column(at.x), subject.column(at.y)
    if isinstance(x, str) or isinstance(y, str):
        sheet.text(x if isinstance(x, str) else str(y))
        return
    sheet.text(_said_of(at, subject.manifest.meta["statistics"]["window"]))
    answer = subject.table["answer"].to_numpy(str)
    moments = pd.DataFrame({"skewness": x.to_numpy(np.float64), "kurtosis": y.to_numpy(np.float64)})
    known = np.isfinite(moments.to_numpy()).all(axis=1)
    regions = _regions(moments, at)
    counts = pd.crosstab(pd.Series(regions), pd.Series(answer)).reindex(
        index=[*dict.fromkeys(REGIONS.values()), "no moments"], columns=list(ANSWERS), fill_value=0
    )
    if counts.loc["no moments"].sum() == 0:
        counts = counts.drop(index="no moments")
    total = counts.sum(axis=1)
    neither = int(total.reindex([REGIONS[(False, True)], REGIONS[(True, False)]]).sum())
    whole = int(known.sum())
    sheet.text(
        f"{neither:,} of {whole:,} neurons ({percent(neither, whole)}) are neither predictable nor high in both: "
        "two thresholds divide neurons in three, not in two.",
        "verdict",
    )
    if whole:
        total_by = {name: int((answer[known] == name).sum()) for name in ANSWERS}
        said = ", ".join(f"{int(count):,} {name}" for name, count in total.items())
        sheet.drawing(
            figures.plane(moments[known].reset_index(drop=True), answer[known], at),
            f"Every neuron considered: {', '.join(f'{count:,} {name}' for name, count in total_by.items() if count)}. "
            "Dashed: the thresholds; a neuron on one is under it. Dotted: further thresholds that the diet names. Grey "
            "line: kurtosis = skewness^2 - 2, below which no distribution lies.",
            f"Scatter plot of {at.y} against {at.x} of {whole:,} neurons; thresholds {at.max_x:g} and {at.max_y:g}: "
            f"{said}.",
            [name for name, count in total_by.items() if count],
        )
    table = counts.assign(all=total, share=[share(count, len(answer)) for count in total])
    sheet.table(table.rename_axis("region").reset_index(), dict.fromkeys((*ANSWERS, "all"), ",") | {"share": ".1%"})


REGIONS = {
    (True, True): "predictable",
    (False, False): "high in both",
    (False, True): "neither: skewness alone is high",
    (True, False): "neither: kurtosis alone is high",
}
"""Name of each region, by whether x and y are at most their thresholds."""


def _regions(moments: pd.DataFrame, at: Thresholds) -> npt.NDArray[np.object_]:
    low_x, low_y = (moments["skewness"] <= at.max_x).to_numpy(), (moments["kurtosis"] <= at.max_y).to_numpy()
    names = np.array([REGIONS[(bool(a), bool(b))] for a, b in zip(low_x, low_y, strict=True)], dtype=object)
    names[~np.isfinite(moments.to_numpy()).all(axis=1)] = "no moments"
    return names


def _said_of(at: Thresholds, window: str) -> str:
    time = "train-role time" if window == "train" else "all time, test time included"
    text = f"Biased moments of dF/F over {time}; kurtosis is excess (0 for a Gaussian). "
    pair = f"{at.x} {at.max_x:g} and {at.y} {at.max_y:g}"
    further = " and ".join(f"{column} with {value:g}" for column, value in at.further)
    beside = f" It compares also {further}, which the regions do not look at." if further else ""
    published = ", those of POYO-CAP." if at.published else "."
    if at.own:
        return f"{text}The diet's thresholds are {pair}{published}{beside}"
    if at.of_target:
        return (
            f"{text}The diet draws controls, and has no thresholds of its own; those of what they are matched to, "
            f"{pair}, are drawn for comparison{published}{beside}"
        )
    return (
        f"{text}The diet names no pair of thresholds on skewness and kurtosis; those of the preset `predictable` "
        f"({at.max_x:g} and {at.max_y:g}) are drawn for comparison.{beside}"
    )


def write_flips(sheet: Sheet, subject: Subject) -> None:
    """How many neurons are members in one half of train time and not in the other."""
    sheet.section("How sure membership is")
    split, at = subject.split, subject.thresholds
    if split is None:
        sheet.text("Not shown: the split of the manifest cannot be resolved again on this store.")
        return
    own = [condition for condition in own_conditions(subject.manifest) if of_moments(condition)]
    rules: dict[str, Callable[[pd.DataFrame], npt.ArrayLike]] = {to_text(node): _rule_of(node) for node in own}
    columns = list(dict.fromkeys(name for node in own for name in columns_of(node)))
    if not own:
        columns = [at.x, at.y] if at.own or at.of_target else ["skewness", "kurtosis"]
        x, y = columns
        text = f"{x} <= {at.max_x!r} and {y} <= {at.max_y!r}"
        rules = {text: lambda table: (table[x] <= at.max_x) & (table[y] <= at.max_y)}
    for statistic in select_columns(columns):
        if not subject.affordable(statistic):
            sheet.text(f"Not shown: {subject.advice(statistic)}")
            return
    try:
        # Each rule with its own columns: a neuron is known where those of its rule are.
        parts = [
            membership_flips(subject.store, {name: rule}, split, columns=_columns(name, own, columns))
            for name, rule in rules.items()
        ]
    except PoyodataError as error:
        sheet.text(f"Not shown: {error}")
        return
    flips = pd.concat(parts, ignore_index=True)
    first = flips.iloc[0]
    sheet.text(
        f"{int(first['flips']):,} of {int(first['neurons']):,} neurons "
        f"({percent(first['flips'], first['neurons'])}) flip: they meet "
        "the condition in one half of the train-role time of their recording and not in the other.",
        "verdict",
    )
    if own:
        whose = "The diet's own conditions on moments are"
    elif at.own:
        whose = "The diet has no condition on moments alone; this one is of its thresholds, and is"
    elif at.of_target:
        whose = (
            "Controls are drawn, whatever their moments. This condition is that of the neurons they are matched to, "
            "not of the controls, and is"
        )
    else:
        whose = "The diet has no condition on moments alone; this one is that of `predictable`, for comparison, and is"
    sheet.text(
        f"{whose} looked at in each half and in the whole of train-role time. Halves are half as long, "
        "so that between halves more neurons flip than would "
        "between two recordings of this length."
    )
    if own and subject.manifest.meta["statistics"]["window"] == "all":
        sheet.text(
            "The diet itself is decided by statistics of all time (window: all). Members and flips below are those of "
            "the same condition on train-role time, and members differ from the neurons that the diet keeps.",
            "warning",
        )
    sheet.table(flips.rename(columns=lambda name: str(name).replace("_", " ")), {"share": ".1%"})


def _columns(name: str, own: list[Node], default: list[str]) -> list[str]:
    return next((list(columns_of(node)) for node in own if to_text(node) == name), default)


def _rule_of(condition: Node) -> Callable[[pd.DataFrame], npt.ArrayLike]:
    return lambda table: Evaluator(table).evaluate(condition).true


def write_composition(sheet: Sheet, subject: Subject) -> None:
    """Of which lines, areas and depths the selection is, beside all that was considered."""
    sheet.section("Composition")
    table = subject.table[["neuron_id", "answer"]]
    sheet.text(
        "Selected neurons beside all that were considered. Neurons are not cells: a cell that was recorded in three "
        "sessions is three neurons; and neurons of one animal are no independent draws, so donors stand beside them."
    )
    for title, by in (("By CRE line", "cre_line"), ("By CRE line, area and depth", "cre_line,area,depth")):
        sheet.subheading(title)
        sheet.table(_composition(table, subject, by), _COMPOSITION)


_COMPOSITION = {"neurons": ",", "selected": ",", "of its neurons": ".1%", "of the selection": ".1%"}


def _composition(table: pd.DataFrame, subject: Subject, by: str) -> pd.DataFrame:
    names = group_names(by)
    rows = group_neurons(table, subject.store, names).rename(columns=str.strip)
    rows["kept"] = (rows["answer"] == "kept").to_numpy()
    keys = [name for name, _ in names]
    result = []
    for key, group in rows.groupby(keys, observed=True, sort=True):
        own = group[group["kept"]]
        result.append(
            {
                **dict(zip(keys, key, strict=True)),
                "neurons": len(group),
                "selected": len(own),
                "of its neurons": share(len(own), len(group)),
                "of the selection": share(len(own), int(rows["kept"].sum())),
                "cells": _pair(own, group, "cell_specimen_id"),
                "recordings": _pair(own, group, "session_id"),
                "donors": _pair(own, group, "donor_id"),
            }
        )
    return pd.DataFrame(result)


def _pair(own: pd.DataFrame, group: pd.DataFrame, column: str) -> str:
    return f"{own[column].dropna().nunique():,} of {group[column].dropna().nunique():,}"


def write_information(sheet: Sheet, subject: Subject) -> None:
    """Whether the selected neurons tell more of the direction than the rejected ones."""
    sheet.section("Information")
    values = subject.column(FISHER)
    if isinstance(values, str):
        sheet.text(values)
        return
    answer = subject.table["answer"].to_numpy(str)
    found = {name: values.to_numpy(np.float64)[answer == name] for name in ANSWERS}
    finite = {name: own[np.isfinite(own)] for name, own in found.items()}
    if not any(map(len, finite.values())):
        sheet.text(
            f"No neuron has a {FISHER}: it needs six trials of each direction of drifting gratings in train-role time."
        )
        return
    shown = [name for name in ANSWERS if len(finite[name])]
    medians = ", ".join(f"{name} {np.median(finite[name]):.3g}" for name in shown)
    sheet.text(
        "Linear Fisher information between neighbouring directions of each neuron, cross-fitted and bias-corrected: "
        "estimates of neurons without information scatter around zero, and negative ones stay negative. A diet that "
        "selects by shape of activity need not select by information."
    )
    sheet.drawing(
        figures.cumulative({name: finite[name] for name in shown}, column_label(FISHER)),
        f"Cumulative distribution of {FISHER}; medians in rad^-2: {medians}.",
        f"Cumulative distribution of {FISHER} by answer; medians {medians}.",
        shown,
    )
    rows = [
        {
            "neurons": name,
            "with a value": len(own),
            "without": len(found[name]) - len(own),
            **{f"{level} %": float(np.percentile(own, level)) if len(own) else np.nan for level in (5, 25, 50, 75, 95)},
            "mean": float(own.mean()) if len(own) else np.nan,
        }
        for name, own in finite.items()
        if len(found[name])
    ]
    sheet.table(pd.DataFrame(rows), {**{f"{level} %": ".3g" for level in (5, 25, 50, 75, 95)}, "mean": ".3g"})
