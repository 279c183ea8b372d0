"""The demo's report: the plane, the diets, the losses, the result table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.curation import Manifest
from poyodata.curation.leaks import LeakReport
from poyodata.demo.results import CHANCE, ResultRow, result_table
from poyodata.report import Page, figures
from poyodata.vocabulary import CRE_LINES

MAX_SKEWNESS, MAX_KURTOSIS = 3.51, 22.62
"""Thresholds of the preset `predictable` (POYO-CAP)."""


def plane_section(page: Page, neurons: pd.DataFrame, folder: Path, where: str) -> None:
    """Draw every neuron on the skewness-kurtosis plane, and keep the drawing beside the page as SVG."""
    page.heading("Every neuron on the skewness-kurtosis plane")
    drawing = figures.moments_plane(neurons, MAX_SKEWNESS, MAX_KURTOSIS)
    target = folder / "figures" / "moments-plane.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(drawing, encoding="utf-8")
    page.figure(
        drawing,
        f"Moments of dF/F over the train-role time of {where}. Kurtosis is excess; both moments are biased (scipy's "
        f"defaults). Dashed: skewness {MAX_SKEWNESS} and kurtosis {MAX_KURTOSIS}, the thresholds of the diet "
        "predictable. Orange neurons are on the predictable side of one threshold alone: they are in its complement, "
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
    skewness = statistics.set_index("neuron_id")["skewness"]
    rows = [
        {
            "diet": m.name,
            "neurons": len(m.neurons),
            "recordings": m.neurons["session_id"].nunique(),
            "donors": m.neurons["donor_id"].nunique(),
            **{f"{role} windows": int((m.windows["role"] == role).sum()) for role in ("train", "valid", "test")},
            "median skewness": skewness.loc[m.neurons["neuron_id"]].median(),
            "manifest": m.digest[:12],
        }
        for m in manifests
    ]
    page.table(pd.DataFrame(rows), {"median skewness": ".2f"})


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


def losses_section(page: Page, curves: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Draw the training losses."""
    page.heading("Training")
    page.figure(
        figures.loss_curves(curves),
        "Loss of every step (grey) and its running mean over 25 steps. Objectives differ, and so do scales.",
    )


def results_section(page: Page, rows: Sequence[ResultRow], interval: str) -> None:
    """Show the table of results and its picture."""
    page.heading("Held-out trials")
    table = result_table(rows)
    labels = [f"{row.decoder}" + (f" (seed {row.seed})" if row.seed is not None else "") for row in rows]
    page.figure(figures.accuracies(table.assign(decoder=labels), CHANCE), f"Accuracy on held-out trials. {interval}")
    blocks = {name: ".3f" for name in table.columns if name.startswith("block")}
    page.table(
        table.rename(columns={"n_neurons": "neurons read", "n_trials": "trials", "windows_seen": "windows seen"}),
        {
            "accuracy": ".3f",
            "low": ".3f",
            "high": ".3f",
            "seconds": ".1f",
            "windows seen": ",",
            "parameters": ",",
            **blocks,
        },
    )


def closing(page: Page, facts: Mapping[str, str]) -> None:
    """Add the small print: digests and citation."""
    lines = [f"poyodata {version}", *(f"{key}: {value}" for key, value in facts.items())]
    lines.append(
        "Data in the style of, or from, the Allen Brain Observatory: cite de Vries et al. 2020, Nature Neuroscience 23."
    )
    page.footer(lines)
