"""The demo on one real recording: each recorded grating block is left out in turn, beside a ridge decoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation import Manifest, c, check_leaks, load_diet
from poyodata.curation.leaks.check import LeakReport
from poyodata.demo import page as sections
from poyodata.demo.decoders import Lesson, Recipe, poyo_predictions, ridge_predictions, train_poyo
from poyodata.demo.results import DemoResult, ResultRow, require_same_trials, training_cost
from poyodata.errors import UsageError
from poyodata.ingest import ingest
from poyodata.progress import stage
from poyodata.report import Page
from poyodata.splits import n_folds, resolve_split
from poyodata.statistics import compute_statistics
from poyodata.store import open_store
from poyodata.vocabulary import DRIFTING_GRATINGS

if TYPE_CHECKING:
    from poyodata.models import Run

SPLIT = "epoch-out"
DIETS = ("all", "predictable", "unpredictable")
RECIPE = Recipe(scratch_steps=1500, pretrain_steps=500)


def run_recording(
    source: Path,
    out: Path,
    *,
    mapping: Path | None = None,
    seeds: int = 2,
    steps: int | None = None,
    seed: int = 0,
) -> DemoResult:
    """Train and test `poyo-tiny` and a ridge decoder on one recording, once for each of its grating blocks.

    Parameters
    ----------
    source : Path
        One recording of drifting gratings in at least two blocks.
    out : Path
        Folder for ``store.zarr/``, ``report.html`` and ``results.json``.
    mapping : Path, optional
        Mapping YAML of an ``arrays`` source.
    seeds : int
        Training seeds: `seed`, `seed` + 1, ...
    steps : int, optional
        Training steps of each road.
    seed : int

    Returns
    -------
    DemoResult
        ``passed`` when every model trained from scratch on all neurons exceeds chance with its whole interval.

    Raises
    ------
    UsageError
        When the source holds more than one recording.
    """
    begun = time.perf_counter()
    recipe = RECIPE if steps is None else replace(RECIPE, scratch_steps=steps, pretrain_steps=max(1, steps // 3))
    if recipe.finetune_steps < 1:
        raise UsageError(f"--steps is {steps}; the two stages need at least 2 steps.")
    session_id = _ingest_one(source, out / "store.zarr", mapping)
    store = open_store(out / "store.zarr")
    folds = n_folds(store, SPLIT)
    predictions: dict[tuple[str, str, int | None], list[pd.DataFrame]] = {}
    runs: dict[tuple[str, str, int | None], list[Run]] = {}
    counts: dict[str, list[int]] = {name: [] for name in DIETS}
    manifests: dict[str, Manifest] = {}
    curves: dict[str, npt.NDArray[np.float64]] = {}
    leaks: LeakReport | None = None
    neurons = pd.DataFrame()
    for fold in range(folds):
        split = resolve_split(store, SPLIT, fold=fold)
        eaten = {}
        with stage(f"block {fold + 1}/{folds}: statistics and diets", 1 + len(DIETS)) as advance:
            statistics = compute_statistics(store, ("moments", "fisher_direction"), split=split)
            neurons = statistics if fold == 0 else neurons
            advance(1)
            for name in DIETS:
                eaten[name] = load_diet(name).during(c.stimulus == DRIFTING_GRATINGS).resolve(store, split=split)
                eaten[name].save(out / "diets" / f"block-{fold + 1}" / name)
                counts[name].append(len(eaten[name].neurons))
                advance(1)
        manifests = manifests or eaten
        found = check_leaks([("pretrain", eaten["predictable"]), ("finetune", eaten["unpredictable"])])
        leaks = found if leaks is None else leaks
        with stage(f"block {fold + 1}/{folds}: ridge", len(DIETS), "diets") as advance:
            for name in DIETS:
                predictions.setdefault(("ridge", name, None), []).append(ridge_predictions(recipe, store, eaten[name]))
                advance(1)
        for at in range(seeds):
            for decoder, name, lessons in _roads(recipe, eaten):
                label = f"block {fold + 1}/{folds}, seed {seed + at}"
                model, done = train_poyo(replace(recipe, seed=seed + at), store, lessons, seed=seed + at, label=label)
                key = (decoder, name, seed + at)
                predictions.setdefault(key, []).append(poyo_predictions(recipe, store, eaten[name], model))
                runs.setdefault(key, []).extend(done)
                if fold == 0 and at == 0:
                    curves |= {lesson.name: run.losses for lesson, run in zip(lessons, done, strict=True)}
    rows = [
        _row(key, found, runs.get(key, []), round(float(np.mean(counts[key[1]]))))
        for key, found in sorted(
            predictions.items(), key=lambda item: (DIETS.index(item[0][1]), item[0][0], item[0][2] or 0)
        )
    ]
    require_same_trials({key: pd.concat(found) for key, found in predictions.items()})

    scratch = [row for row in rows if row.neurons == "all" and row.steps]
    ridge = next(row for row in rows if row.neurons == "all" and not row.steps)
    passed = all(row.exceeds_chance for row in scratch)
    reached = ", ".join(f"{row.accuracy:.3f}" for row in scratch)
    verdict = (
        f"Leaving out each of {folds} grating blocks, poyo-tiny from scratch on all neurons reaches {reached} "
        f"(one number a seed, {scratch[0].steps // folds} steps a block), "
        f"ridge {ridge.accuracy:.3f} on the same trials; chance {ridge.chance:.3f}."
    )
    report = Page(f"poyodata demo: recording {session_id}")
    recording = store.sessions.iloc[0]
    report.text(
        f"{recording['cre_line']}, {recording['area']}, {recording['depth_um']:.0f} um, donor {recording['donor_id']}: "
        f"{len(store.neurons)} neurons, {recording['n_frames']} frames in {len(store.segments)} stretches without gap.",
        "lead",
    )
    report.text(verdict, "verdict")
    sections.plane_section(report, neurons, out, "block 1 left out")
    sections.diets_section(report, list(manifests.values()), neurons)
    if leaks is not None:
        sections.lineage_section(report, leaks)
    sections.losses_section(report, curves)
    sections.results_section(
        report,
        rows,
        "Dots: mean over blocks; bars: 95 % Wilson intervals over trials taken as independent. They say nothing about "
        "other animals: this is one recording. Diets are resolved anew for every block, from train-role time alone.",
    )
    facts = {
        "store": store.digest,
        **{f"manifest of {name}, block 1 left out": m.digest for name, m in manifests.items()},
    }
    sections.closing(report, facts)
    path = report.save(out / "report.html")
    result = DemoResult(
        rows=tuple(rows),
        report=path,
        verdict=verdict,
        passed=passed,
        next_commands=(f"poyodata info {out / 'store.zarr'}", f"poyodata stats {out / 'store.zarr'} --splits {SPLIT}"),
        facts={"seconds": round(time.perf_counter() - begun, 1), "split": SPLIT, "digests": facts},
    )
    result.save(out / "results.json")
    return result


def _roads(recipe: Recipe, eaten: dict[str, Manifest]) -> list[tuple[str, str, list[Lesson]]]:
    """Decoder, the diet it is tested on, and its lessons; the two roads to `unpredictable` take equally many steps."""
    other = eaten["unpredictable"]
    return [
        (
            "poyo-tiny, from scratch",
            "all",
            [Lesson("from scratch, all neurons", eaten["all"], "direction", recipe.scratch_steps)],
        ),
        (
            "poyo-tiny, from scratch",
            "unpredictable",
            [Lesson("from scratch, unpredictable", other, "direction", recipe.scratch_steps)],
        ),
        (
            "poyo-tiny, pretrained + fine-tuned",
            "unpredictable",
            [
                Lesson("pretraining on predictable", eaten["predictable"], "masked", recipe.pretrain_steps),
                Lesson("fine-tuning on unpredictable", other, "direction", recipe.finetune_steps),
            ],
        ),
    ]


def _ingest_one(source: Path, store: Path, mapping: Path | None) -> str:
    rows = ingest([source], store, mapping=mapping, expect_one=True)
    opened = open_store(store)
    if len(opened.sessions) != 1:
        raise UsageError(f"{store} holds other recordings too; choose another --out, or remove that folder.")
    return str(rows["session_id"].iloc[0])


def _row(key: tuple[str, str, int | None], found: list[pd.DataFrame], runs: Sequence[Run], n_neurons: int) -> ResultRow:
    from poyodata.models.evaluation import accuracy, chance_level, wilson_interval

    decoder, name, seed = key
    blocks = {f"block {at + 1}": accuracy(p["prediction"], p["target"]) for at, p in enumerate(found)}
    every = pd.concat(found)
    low, high = wilson_interval(int((every["prediction"] == every["target"]).sum()), len(every))
    return ResultRow(
        decoder=decoder,
        neurons=name,
        n_neurons=n_neurons,
        n_trials=len(every),
        accuracy=float(np.mean(list(blocks.values()))),
        low=low,
        high=high,
        # Of the block in which it is largest, so that no block's commonest direction passes for a decoder.
        chance=max(chance_level(p["target"], 8) for p in found),
        blocks=blocks,
        seed=seed,
        **training_cost(runs),
    )
