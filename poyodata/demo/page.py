"""The demo's report: the plane, the diets, the losses, the result table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.curation import Manifest
from poyodata.curation.leaks.check import LeakReport
from poyodata.demo.results import ResultRow, result_table
from poyodata.drawing import as_svg, new_figure
from poyodata.plots.plane import MAX_KURTOSIS, MAX_SKEWNESS, moments_plane
from poyodata.report import Page, figures
from poyodata.vocabulary import CRE_LINES


def plane_section(page: Page, neurons: pd.DataFrame, folder: Path, where: str) -> None:
    """Draw every neuron on the skewness-kurtosis plane, and keep the drawing beside the page as SVG."""
    page.heading("Every neuron on the skewness-kurtosis plane")
    figure, (ax,) = new_figure(7.2, 4.6)
    moments_plane(neurons, ax=ax)
    drawing = as_svg(figure)
    target = folder / "figures" / "moments-plane.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(drawing, encoding="utf-8")
    page.figure(
        drawing,
        f"Moments of dF/F over the train-role time of {where}. Kurtosis is excess; both moments are biased (scipy's "
        f"defaults). Dashed: skewness {MAX_SKEWNESS} and kurtosis {MAX_KURTOSIS}, the thresholds of the diet "
        "predictable. Neurons under one threshold alone (neither) are in its complement, "
        "the diet unpredictable.",
    )


def diets_section(page: Page, manifests: Sequence[Manifest], statistics: pd.DataFrame) -> None:
    """Show what each diet is made of; `statistics` has a row for every neuron."""
    page.heading("The diets")
    lines = {m.name: m.neurons["cre_line"].value_counts() for m in manifests}
    counts = pd.DataFrame(lines).T.reindex(
        columns=[line for line in CRE_LINES if any(line in c for c in lines.values())]
    )
    page.figure(figures.composition(counts.fillna(0).astype(int)), "Neurons of each diet by CRE line.")
    known = statistics.set_index("neuron_id")
    rows = [
        {
            "diet": m.name,
            "neurons": len(m.neurons),
            "recordings": m.neurons["session_id"].nunique(),
            "donors": m.neurons["donor_id"].nunique(),
            **{role: int((m.windows["role"] == role).sum()) for role in ("train", "valid", "test")},
            "median skewness": known.loc[m.neurons["neuron_id"], "skewness"].median(),
            "median Fisher": known.loc[m.neurons["neuron_id"], "fisher_direction"].median(),
            "manifest": m.digest[:8],
        }
        for m in manifests
    ]
    page.table(pd.DataFrame(rows), {"median skewness": ".2f", "median Fisher": ".2f"})
    page.text(
        "Median Fisher: fisher_direction in rad^-2, linear Fisher information between neighbouring directions at the "
        "preferred temporal frequency, from train-role trials; an estimate may be negative."
    )


def lineage_section(page: Page, leaks: LeakReport) -> None:
    """Show that nothing of the test was seen before it."""
    page.heading("What was checked before training")
    page.text(
        "Over the whole lineage: pretraining, fine-tuning, test. Training would have been refused on any finding."
    )
    table = leaks.table()
    shown = table[["check", "stages", "checked", "found"]].assign(
        verdict=["ok" if ok else "LEAK" for ok in table["ok"]]
    )
    page.table(shown if leaks.ok else shown.assign(detail=table["detail"], allowed=table["allowed"]))


def _verdicts(table: pd.DataFrame) -> list[str]:
    found = zip(table["ok"], table["checked"], strict=True)
    return ["LEAK" if not ok else "ok" if checked else "nothing to check" for ok, checked in found]


def losses_section(page: Page, curves: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Draw the training losses."""
    page.heading("Training")
    page.figure(
        figures.loss_curves(curves),
        "Loss of every step (grey) and its running mean over 25 steps. Objectives differ, and so do scales.",
    )


def results_section(page: Page, rows: Sequence[ResultRow], interval: str) -> None:
    """Show the results as a picture and two tables: what was reached, and what it cost."""
    page.heading("Held-out trials")
    table = result_table(rows)
    seeds = ["" if row.seed is None else f", seed {row.seed}" for row in rows]
    labels = [f"{row.decoder} ({row.neurons}{seed})" for row, seed in zip(rows, seeds, strict=True)]
    drawn = table.assign(decoder=labels, low=[row.low for row in rows], high=[row.high for row in rows])
    page.figure(figures.accuracies(drawn, rows[0].chance), f"Accuracy on held-out trials. {interval}")
    cost = ["parameters", "steps", "windows_seen", "seconds"]
    blocks = {name: ".3f" for name in table.columns if name.startswith("block")}
    reached = table.drop(columns=cost).rename(columns={"n_neurons": "read", "n_trials": "trials"})
    page.table(reached, {"accuracy": ".3f", "chance": ".3f", **blocks})
    page.text(
        "What each row cost: parameters of the model, optimiser steps and windows seen over all stages and blocks."
    )
    page.table(
        table[["decoder", "neurons", "seed", *cost]].rename(columns={"windows_seen": "windows seen"}),
        {"seconds": ".1f", "windows seen": ",", "parameters": ",", "steps": ","},
    )


def closing(page: Page, facts: Mapping[str, str]) -> None:
    """Add the small print: digests and citation."""
    lines = [f"poyodata {version}", *(f"{key}: {value}" for key, value in facts.items())]
    lines.append(
        "Data in the style of, or from, the Allen Brain Observatory: cite de Vries et al. 2020, Nature Neuroscience 23."
    )
    page.footer(lines)
