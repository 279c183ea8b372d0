"""Few recordings and many: ``python -m tests.benchmarks.training_growth``.

What a stage and a test cost beyond their steps: manifest, loader, scales, leak checks, rehearsal, normalisation,
baselines, verdict. All selections are of one store, so that what grows is what was selected. Processor seconds, on one
thread, in a process of each selection's own. A row says what a recording more costs among many, beside what it costs
among few: what every stage costs whatever it selects is in neither.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from poyodata.curation import Diet, c
from poyodata.splits import resolve_split
from poyodata.store import StoreWriter, open_store
from tests.benchmarks.many_recordings import one_recording
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.row import row

GROWTH = (8, 32, 96)
NEURONS, FRAMES = 20, 54_500
STEPS, ROUNDS = 5, 5
BAR = 2.0  # what grew as the square would be 3.2

_RUN = """
import pathlib, torch
import poyodata as pdx
from poyodata.models.recipes import load_recipe
from poyodata.models.training.preparing import prepare
from poyodata.models.training.stages import carry_out, evaluate
torch.set_num_threads(1)
store_path, manifest_path, run, steps = sys.argv[1:]
said = {}
def took(name, work):
    begun = time.process_time()
    done = work()
    said[name] = time.process_time() - begun
    return done
store = pdx.open_store(store_path)
manifest = pdx.Manifest.load(manifest_path)
recipe = load_recipe("small-finetune", [f"train.steps={steps}"])
prepared = took("prepared", lambda: prepare(store, manifest, recipe, stage="finetune"))
took("trained", lambda: carry_out(prepared, run, progress=False))
took("tested", lambda: evaluate(store, manifest, run))
say(peak=peak_mb(), **said)
"""


def growing(folder: Path) -> None:
    """What preparing, a few steps and a test cost for every recording more."""
    store_path = folder / "store.zarr"
    with StoreWriter(store_path) as writer:
        for number in range(max(GROWTH)):
            writer.add(one_recording(NEURONS, FRAMES, str(500_000_000 + number), seed=number + 1))
    store = open_store(store_path)
    split = resolve_split(store, "blocks-5fold")
    manifests = {}
    for count in GROWTH:
        chosen = Diet.where(c.session_id.isin(store.session_ids[:count]), name=f"first-{count}")
        diet = chosen.during(c.stimulus == "drifting_gratings")
        manifests[count] = folder / f"{count}.manifest"
        diet.resolve(store, split=split).save(manifests[count])
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in GROWTH}
    for turn in range(ROUNDS):
        for count in GROWTH:
            run = folder / f"run-{count}-{turn}"
            runs[count].append(in_own_process(_RUN, store_path, manifests[count], run, str(STEPS)))
    few, some, many = GROWTH
    size = f"{NEURONS} neurons, 600 trials each"
    for key, unit, what in (
        ("prepared", "CPU s", "preparing"),
        ("trained", "CPU s", f"{STEPS} steps and what goes with them"),
        ("tested", "CPU s", "the test"),
        ("peak", "MB", "memory at the peak"),
    ):
        spent = {count: statistics.median(run[key] for run in runs[count]) for count in GROWTH}
        row(
            "training growth", f"a recording more, of {some} to {many} ({size}): {what}",
            (spent[many] - spent[some]) / (many - some), unit, reference=f"of {few} to {some}",
            reference_value=(spent[some] - spent[few]) / (some - few), n=ROUNDS, bar=BAR,
        )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        growing(Path(folder))
