"""Does it learn: ``python -m tests.benchmarks.learning [real|twin|simulated|movie ...]``, beside simple decoders.

Every row is a test of windows that no stage saw, all folds pooled, with the interval of the difference from the
decoder beside it:

* ``real``: directions of the real recording (``POYODATA_REAL_DATA``), each block of gratings left out in turn;
* ``twin``: the same road on a simulated recording of the same layout;
* ``simulated``: directions of three simulated mice, five folds of blocks;
* ``movie``: pictures of a simulated movie, whose segments are held out in turn.

``--steps``, ``--pretrain-steps`` and ``--seeds`` decide how long it takes: minutes a fold on two cores.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import poyodata as pdx
from poyodata.curation import load_diet
from poyodata.ingest import ingest
from poyodata.models.recipes import load_recipe
from poyodata.models.training.stages import Evaluation, evaluate, finetune, pool_folds, pretrain
from poyodata.simulation import load_world, simulate
from poyodata.simulation.twin import write_array_twin
from poyodata.splits import SplitSpec, n_folds, resolve_split
from tests.benchmarks.row import row, skipped

if TYPE_CHECKING:
    from poyodata.models.evaluation import Gain, Result

REAL = "abo-dg-527745328"
HERE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
GRATINGS, MOVIE = "drifting_gratings", "natural_movie_three"
# Sixty scenes of two seconds make as many segments, fifteen in each fold.
SEGMENTS = SplitSpec.model_validate(
    {"name": "movie-segments-4", "within": {"kind": "movie-segments", "folds": 4, "segments": 24, "guard_s": 1.0}}
)


@dataclass(frozen=True)
class Lengths:
    """How long each stage is, and with which seeds."""

    steps: int
    pretrain_steps: int
    seeds: tuple[int, ...]
    settings: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each case and seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.learning")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; by default all but the twin")
    parser.add_argument("--steps", type=int, default=1500, help="of fine-tuning, in every fold")
    parser.add_argument("--pretrain-steps", type=int, default=500, help="0 for none")
    parser.add_argument("--seeds", type=int, default=2, help="0, 1, ... of training")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="an entry of both recipes")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.cases if name not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}; cases are {', '.join(CASES)}")
    lengths = Lengths(given.steps, given.pretrain_steps, tuple(range(given.seeds)), tuple(given.settings))
    for case in given.cases or ("real", "simulated", "movie"):
        with tempfile.TemporaryDirectory() as folder:
            CASES[case](case, lengths, Path(folder))


def real(case: str, lengths: Lengths, folder: Path) -> None:
    """Directions of the real recording, block by block."""
    source = Path(os.environ.get("POYODATA_REAL_DATA", HERE)) / REAL
    if not source.exists():
        skipped("learning", case, f"there is no {REAL} in {source.parent}; set POYODATA_REAL_DATA")
        return
    ingest([source], folder / "store.zarr")
    directions(case, lengths, folder, "epoch-out")


def twin(case: str, lengths: Lengths, folder: Path) -> None:
    """The same road on a simulated recording of its layout."""
    (folder / "twin").mkdir()
    write_array_twin(folder / "twin" / "dff_dg_continuous.h5", seed=0)
    ingest([folder / "twin"], folder / "store.zarr")
    directions(case, lengths, folder, "epoch-out")


def simulated(case: str, lengths: Lengths, folder: Path) -> None:
    """Directions of three simulated mice, five folds."""
    world = load_world("tiny").replace(name="learning", neurons=60, trials_per_block=(80, 80, 80))
    simulate(folder / "raw", world)
    ingest([folder / "raw"], folder / "store.zarr")
    directions(case, lengths, folder, "blocks-5fold")


def movie(case: str, lengths: Lengths, folder: Path) -> None:
    """Pictures of held-out segments of a simulated movie, two minutes of 64 x 128 pixels that one mouse sees six times.

    The movie is one of a disc, and cells answer in phase, strongly: the energy of receptive fields does not tell a
    picture from its negative, and two minutes of natural scenes are too few to learn what scenes look like.
    """
    world = load_world("tiny").replace(
        name="learning-movie",
        sessions=1,
        lines=("Cux2-CreERT2",),
        neurons=400,
        trials_per_block=(6, 6, 6),
        movie_repeats=0,
        movie_three_frames=3600,
        movie_three_repeats=3,
        movie_height_px=64,
        movie_width_px=128,
        movies="discs",
        movie_phase=1.0,
        tuning_scale=80.0,
        noise_scale=0.2,
        driven_by_line={"Cux2-CreERT2": 1.0},
    )
    simulate(folder / "raw", world)
    ingest([folder / "raw"], folder / "store.zarr")
    store = pdx.open_store(folder / "store.zarr")
    for seed in lengths.seeds:
        own = replace(lengths, settings=(f"stimulus={MOVIE}", f"loader.windows.stimulus={MOVIE}", *lengths.settings))
        folds = list(_folds(case, store, SEGMENTS, MOVIE, "small-finetune-movie", None, own, seed, folder))
        result = pool_folds(folds)["movie_pixels"]
        for claim in result.claims:
            _print(f"{case}, {claim.metric} in held-out segments", result, claim, lengths, seed, 0)


def directions(case: str, lengths: Lengths, folder: Path, split: str) -> None:
    """Directions named by a model that was pretrained and fine-tuned, beside a linear decoder on the same trials."""
    store = pdx.open_store(folder / "store.zarr")
    first = "small-pretrain" if lengths.pretrain_steps else None
    for seed in lengths.seeds:
        folds = list(_folds(case, store, split, GRATINGS, "small-finetune", first, lengths, seed, folder))
        result = pool_folds(folds)["direction"]
        linear = next(one for one in result.differences if one.over == "linear")
        _print(f"{case}, direction, {split}", result, linear, lengths, seed, lengths.pretrain_steps)


def _folds(
    case: str,
    store: pdx.Store,
    split: str | SplitSpec,
    stimulus: str,
    recipe: str,
    first: str | None,
    lengths: Lengths,
    seed: int,
    folder: Path,
) -> Iterator[Evaluation]:
    """Train and test every fold, each from its own beginning."""
    quiet: dict[str, Any] = {"loggers": (), "progress": False}
    settings = [*lengths.settings, f"seed={seed}"]
    count = n_folds(store, split)
    for fold in range(count):
        begun = time.perf_counter()
        eaten = load_diet("all").during(f"stimulus == '{stimulus}'")
        manifest = eaten.resolve(store, split=resolve_split(store, split, fold=fold))
        runs = folder / "runs" / f"{seed}-{fold}"
        before = None
        if first is not None:
            before = runs / "pretrained"
            pretrain(
                store,
                manifest,
                load_recipe(first, [*settings, f"train.steps={lengths.pretrain_steps}"]),
                before,
                **quiet,
            )
        tuned = load_recipe(recipe, [*settings, f"train.steps={lengths.steps}"])
        finetune(store, manifest, tuned, before, runs / "tuned", **quiet)
        found = evaluate(store, manifest, runs / "tuned")
        told = "; ".join(one.sentences[0] for one in found.results.values())
        sys.stderr.write(
            f"{case}, seed {seed}, fold {fold + 1} of {count}: {told} [{time.perf_counter() - begun:.0f} s]\n"
        )
        sys.stderr.flush()
        yield found


def _print(case: str, result: Result, gain: Gain, lengths: Lengths, seed: int, pretrain_steps: int) -> None:
    pooled = result.row(gain.metric)
    row(
        "learning",
        case,
        pooled.value,
        gain.metric,
        reference=gain.over,
        reference_value=pooled.beside[gain.over],
        n=pooled.n,
        more={
            "low": _finite(pooled.low),
            "high": _finite(pooled.high),
            "difference": gain.value,
            "difference_low": _finite(gain.low),
            "difference_high": _finite(gain.high),
            "drawn": gain.drawn,
            "refused": gain.refused,
            "beside": {name: _finite(value) for name, value in pooled.beside.items()},
            "steps": lengths.steps,
            "pretrain_steps": pretrain_steps,
            "seed": seed,
        },
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


CASES = {"real": real, "twin": twin, "simulated": simulated, "movie": movie}

if __name__ == "__main__":
    main()
