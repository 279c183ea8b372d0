"""The demo on simulated recordings: pretrain on the predictable diet, fine-tune on the others, test on the held-out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from poyodata.curation import Manifest, c, check_leaks, load_diet
from poyodata.demo import page as sections
from poyodata.demo.decoders import Lesson, Recipe, poyo_predictions, ridge_predictions, train_poyo
from poyodata.demo.results import DemoResult, ResultRow, require_same_trials, training_cost
from poyodata.errors import UsageError
from poyodata.ingest import ingest
from poyodata.progress import stage
from poyodata.report import Page
from poyodata.splits import resolve_split
from poyodata.statistics import compute_statistics
from poyodata.store import Store, open_store
from poyodata.vocabulary import DRIFTING_GRATINGS

if TYPE_CHECKING:
    from poyodata.models import Run

SPLIT = "blocks-5fold"
DIETS = ("predictable", "unpredictable", "inhibitory", "mixed-30")
# A neuron is seen in one window of thirteen, so everything is learnt more slowly than on one recording: more steps, and
# a pretraining gentle enough that fine-tuning still finds its way out.
RECIPE = Recipe(scratch_steps=3500, pretrain_steps=500, pretrain_lr=5e-4)


def run_simulated(out: Path, *, steps: int | None = None, seed: int = 0, world: str = "demo") -> DemoResult:
    """Simulate, ingest, compute, select, train, evaluate and report.

    Parameters
    ----------
    out : Path
        Folder for ``raw/``, ``store.zarr/``, ``diets/``, ``report.html`` and ``results.json``. A later run in the same
        folder takes up the recordings and the store of an earlier one with the same seed.
    steps : int, optional
        Training steps from scratch; a seventh of them is pretraining on the other road.
    seed : int
        Of the world and of training.
    world : str
        A named world.

    Returns
    -------
    DemoResult
        ``passed`` when the fine-tuned model's whole interval lies above chance.

    Raises
    ------
    UsageError
        When the folder holds a demo of another seed or world.
    """
    begun = time.perf_counter()
    recipe = RECIPE if steps is None else replace(RECIPE, scratch_steps=steps, pretrain_steps=steps // 7)
    recipe = replace(recipe, seed=seed)
    if recipe.pretrain_steps < 1:
        raise UsageError(f"--steps is {steps}; the two stages need at least 7 steps.")
    _simulate(out / "raw", world, seed)
    ingest([out / "raw"], out / "store.zarr", kind="allen-nwb")
    store = open_store(out / "store.zarr")
    split = resolve_split(store, SPLIT)
    with stage("statistics of every neuron", len(store.sessions), "recordings") as advance:
        statistics = compute_statistics(store, ("moments", "fisher_direction"), split=split, progress=advance)
    manifests: dict[str, Manifest] = {}
    with stage("resolving diets", len(DIETS), "diets") as advance:
        for name in DIETS:
            diet = load_diet(name).during(c.stimulus == DRIFTING_GRATINGS)
            manifests[name] = diet.resolve(store, split=split)
            manifests[name].save(out / "diets" / name)
            advance(1)
    eaten, tested = manifests["predictable"], manifests["unpredictable"]
    leaks = check_leaks([("pretrain", eaten), ("finetune", tested)])

    lessons = [
        Lesson("pretraining on predictable", eaten, "masked", recipe.pretrain_steps),
        Lesson("fine-tuning on unpredictable", tested, "direction", recipe.finetune_steps),
    ]
    tuned, tuned_runs = train_poyo(recipe, store, lessons, seed=seed, label="poyo-tiny")
    whole = Lesson("from scratch on unpredictable", tested, "direction", recipe.scratch_steps)
    scratch, scratch_runs = train_poyo(recipe, store, [whole], seed=seed, label="poyo-tiny")

    with stage("evaluating on held-out trials", 3, "decoders") as advance:
        answers = {"poyo-tiny, pretrained + fine-tuned": poyo_predictions(recipe, store, tested, tuned)}
        advance(1)
        answers["poyo-tiny, from scratch"] = poyo_predictions(recipe, store, tested, scratch)
        advance(1)
        answers["ridge, one a recording"] = ridge_predictions(recipe, store, tested)
        advance(1)
    require_same_trials(answers)
    runs = {"poyo-tiny, pretrained + fine-tuned": tuned_runs, "poyo-tiny, from scratch": scratch_runs}
    rows = [
        score_row(decoder, store, tested, found, runs.get(decoder, []), seed=seed if decoder in runs else None)
        for decoder, found in answers.items()
    ]

    main = rows[0]
    verdict = (
        f"Pretrained on the predictable neurons and fine-tuned on the others, poyo-tiny names {main.accuracy:.1%} of "
        f"{main.n_trials} held-out gratings (95 % interval {main.low:.1%} to {main.high:.1%}; "
        f"chance {main.chance:.1%}): "
        + ("above chance." if main.exceeds_chance else "NOT above chance with its whole interval.")
    )
    curves = {
        "pretraining: masked latents + 0.01 cross-entropy": tuned_runs[0].losses,
        "fine-tuning: cross-entropy": tuned_runs[1].losses,
        "from scratch: cross-entropy": scratch_runs[0].losses,
    }
    title = f"{len(store.sessions)} simulated recordings, {len(DIETS)} diets, one model"
    report = Page(f"poyodata demo: {title}")
    report.text(
        f"{len(store.sessions)} simulated recordings of {store.sessions['cre_line'].nunique()} CRE lines, "
        f"{len(store.neurons)} neurons. Split {SPLIT}: in each recording, a fifth of every stimulus epoch is a test, "
        "another is left unused.",
        "lead",
    )
    report.text(verdict, "verdict")
    sections.plane_section(report, statistics, out, "all simulated recordings")
    sections.diets_section(report, list(manifests.values()), statistics)
    sections.lineage_section(report, leaks)
    sections.losses_section(report, curves)
    sections.results_section(
        report,
        rows,
        "Dots: pooled over recordings; bars: 95 % bootstrap over donors; dashed: chance. All rows: the same neurons "
        "and trials. One seed of one simulated world: the first two rows are no evidence for or against the diet.",
    )
    facts = {
        "store": store.digest,
        "split": split.digest,
        "pretrained on manifest": eaten.digest,
        "fine-tuned and tested on manifest": tested.digest,
    }
    sections.closing(report, facts)
    path = report.save(out / "report.html")
    seconds = time.perf_counter() - begun
    result = DemoResult(
        rows=tuple(rows),
        report=path,
        verdict=verdict,
        passed=main.exceeds_chance,
        next_commands=(
            f"poyodata info {out / 'store.zarr'}",
            f"poyodata stats {out / 'store.zarr'}",
            f"poyodata diet resolve mixed-30 {out / 'store.zarr'}",
            "poyodata demo --data RECORDING        # the same on a recording of yours",
        ),
        facts={"seed": seed, "seconds": round(seconds, 1), "split": SPLIT, "digests": facts},
    )
    result.save(out / "results.json")
    return result


def _simulate(raw: Path, world: str, seed: int) -> None:
    """Simulate into `raw`, unless the very same world lies there already."""
    from poyodata.simulation import load_world, session_ids, simulate

    chosen = load_world(world).replace(seed=seed)
    marker = raw / "world.yaml"
    is_same = marker.exists() and marker.read_text(encoding="utf-8") == chosen.to_yaml()
    if is_same and all((raw / f"{name}.nwb").exists() for name in session_ids(chosen)):
        return
    with stage("simulating recordings", chosen.sessions, "recordings") as advance:
        # The simulator calls before each recording and once at the end: all calls but the first end one.
        simulate(raw, chosen, progress=lambda done, _total, _label: advance(1) if done else None)


def score_row(
    decoder: str,
    store: Store,
    manifest: Manifest,
    predictions: pd.DataFrame,
    runs: Sequence[Run],
    *,
    seed: int | None,
) -> ResultRow:
    """Score predictions on a manifest's test trials, with an interval that draws donors again."""
    from poyodata.models import score

    donor = store.sessions.set_index("session_id")["donor_id"]
    found = score(
        predictions["session_id"],
        predictions["trial"],
        predictions["prediction"],
        predictions["target"],
        cluster=donor.loc[predictions["session_id"]].to_numpy(),
        n_classes=8,
    )
    return ResultRow(
        decoder=decoder,
        neurons=manifest.name,
        n_neurons=len(manifest.neurons),
        n_trials=found.n_trials,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        chance=found.chance,
        seed=seed,
        **training_cost(runs),
    )
