"""Training on a GPU: ``python -m tests.benchmarks.models_gpu`` writes ``docs/benchmarks_gpu.md`` within ten minutes.

Steps (forward, backward, AdamW) of masked pretraining as published, in bf16 and compiled, at widths 64, 512 and 1024;
and what of such a step is spent on waiting for its batch. ``--smoke`` runs all of it once on a CPU, tiny and in eager
mode, to see that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import itertools
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from poyodata.curation import load_diet
from poyodata.loaders import Loader, make_loader
from poyodata.loaders.torch.device import DeviceLoader
from poyodata.models.config import PoyoConfig
from poyodata.models.objectives import MaskedLatents, masked_objective
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.optimizers import optimizer_of
from poyodata.store import open_store
from tests.benchmarks.loader_data import noise_store
from tests.benchmarks.own_process import ROOT
from tests.benchmarks.row import row, skipped

PAPER_WINDOWS, WINDOW_S, RATE_HZ, FRAMES = 80_146, 1.9, 30.0, 57
DEADLINE_S, LOADER_BAR = 540.0, 0.02


@dataclass(frozen=True)
class Plan:
    """What is run: how large, on what, and how often."""

    device: str = "cuda"
    sizes: tuple[str, ...] = ("poyo-1.3m", "poyo-32m", "poyo-115m")
    batches: tuple[int, ...] = (128, 64, 32, 16, 8)  # the largest that fits
    neurons: int = 60
    frames_a_recording: int = 60_000
    compiled: bool = True
    product: int = 8192
    n: int = 20

    @classmethod
    def smoke(cls) -> Plan:
        return cls("cpu", ("poyo-tiny",), (4,), neurons=5, frames_a_recording=9000, compiled=False, product=64, n=2)

    def wait(self) -> None:
        """Until the device has done all that it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Row:
    """What was measured of one size."""

    size: str
    dim: int
    batch: int
    step_s: float
    tokens_per_s: float
    tflop_per_s: float
    share: float
    epoch_s: float
    wait_share: float
    compile_s: float
    memory_gb: float

    def __str__(self) -> str:
        return (
            f"| {self.size} | {self.dim} | {self.batch} | {1e3 * self.step_s:.1f} | {self.tokens_per_s:,.0f} | "
            f"{self.tflop_per_s:.1f} | {100 * self.share:.1f} % | {self.epoch_s / 60:.1f} | "
            f"{100 * self.wait_share:.2f} % | {self.compile_s:.0f} | {self.memory_gb:.1f} |"
        )


HEADER = (
    "| size | dim | batch | ms a step | tokens/s | TFLOP/s | of the peak | paper's epoch, min | waits for its batch | "
    "first step, s | GB |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


class Steps:
    """A model in training."""

    def __init__(self, size: str, loader: Loader, plan: Plan) -> None:
        self.config = PoyoConfig.named(size, window_frames=FRAMES, rate_hz=RATE_HZ)
        self.model = PoyoPlus(self.config, loader.neuron_ids, loader.session_ids).to(plan.device).train()
        self.optimizer = optimizer_of(self.model, TrainConfig())
        self.objective = torch.compile(masked_objective) if plan.compiled else masked_objective
        self.device = plan.device

    def __call__(self, batch: dict[str, Tensor]) -> None:
        with torch.autocast(self.device, dtype=torch.bfloat16):
            loss = self.objective(self.model, batch, MaskedLatents.paper())
        loss.total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def main(arguments: list[str]) -> None:
    """Measure, print a line a size, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks_gpu.md", help="where the table goes")
    parser.add_argument("--smoke", action="store_true", help="tiny, on a CPU; needs --out")
    options = parser.parse_args(arguments)
    plan = Plan.smoke() if options.smoke else Plan()
    if options.smoke and options.out == parser.get_default("out"):
        parser.error("--smoke measures nothing worth keeping: name another file with --out")
    if not options.smoke and not torch.cuda.is_available():
        skipped("models_gpu", "training steps", "there is no GPU here")
        return
    begun = time.monotonic()
    rows, notes = [], []
    peak = peak_flop_per_s(plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.zarr"
        noise_store(path, 5, plan.frames_a_recording, plan.neurons)
        for size in plan.sizes:
            # A size takes about as long as the one before: most of it is compilation.
            left = DEADLINE_S - (time.monotonic() - begun)
            longest = max((taken for taken, _ in rows), default=0.0)
            if left < 1.2 * longest:
                notes.append(f"{size} was left out: {left:.0f} s of {DEADLINE_S:.0f} were left.")
                continue
            started = time.monotonic()
            found = measured(size, path, plan, peak)
            if found is None:
                notes.append(f"{size} does not fit into the memory of the device.")
                continue
            rows.append((time.monotonic() - started, found))
            tell(found, peak, plan)
            # After each: what was measured is kept when the next one fails.
            write(options.out, [each for _, each in rows], notes, peak, plan)
    write(options.out, [each for _, each in rows], notes, peak, plan)


def measured(size: str, store_path: Path, plan: Plan, peak: float) -> Row | None:
    """Measure a size with the largest of the batches that fits; None where none does."""
    for batch_size in plan.batches:
        try:
            return measured_with(size, batch_size, store_path, plan, peak)
        except torch.cuda.OutOfMemoryError:
            forget_all(plan)
    return None


def measured_with(size: str, batch_size: int, store_path: Path, plan: Plan, peak: float) -> Row:
    """Measure a size with batches of a size."""
    forget_all(plan)
    store = open_store(store_path)
    manifest = load_diet("all").resolve(store, split="blocks-5fold")
    loader = make_loader(
        store, manifest, mode="fixed", window_s=WINDOW_S, batch_size=batch_size, targets=(), prefetch=1, tail="drop"
    )
    steps = Steps(size, loader, plan)
    first = next(batches(loader, plan))
    started = time.perf_counter()
    steps(first)
    plan.wait()
    compile_s = time.perf_counter() - started

    def resident() -> None:
        steps(first)
        plan.wait()

    step_s = median_of(resident, plan.n)
    wait_share = waited(steps, loader, plan)
    n_values, n_neurons = first["values"].shape[2], first["values"].shape[1]
    flop = flop_of_step(steps.config, first)
    memory_gb = torch.cuda.max_memory_allocated() / 1e9 if plan.device == "cuda" else 0.0
    return Row(
        size=size,
        dim=steps.config.dim,
        batch=batch_size,
        step_s=step_s,
        tokens_per_s=batch_size * n_neurons * (n_values // steps.config.patch_frames) / step_s,
        tflop_per_s=flop / step_s / 1e12,
        share=flop / step_s / peak,
        epoch_s=PAPER_WINDOWS / batch_size * step_s / (1 - wait_share),
        wait_share=wait_share,
        compile_s=compile_s,
        memory_gb=memory_gb,
    )


def batches(loader: Loader, plan: Plan) -> Iterator[dict[str, Tensor]]:
    """Batches without end, on the device, each with directions that tell nothing."""
    on_device = DeviceLoader(loader, plan.device)
    direction = torch.arange(loader.batch_size, device=plan.device) % 8
    for epoch in itertools.count():
        loader.set_epoch(epoch)
        for batch in on_device:
            yield {**batch, "direction": direction}


def waited(steps: Steps, loader: Loader, plan: Plan) -> float:
    """Share of the time of training that passes between asking for a batch and having it.

    The device is done with a step before the next batch is asked for; what hides behind a step is what the loader's own
    thread makes ahead and copies, as in training.
    """
    shares = []
    source = batches(loader, plan)
    steps(next(source))
    plan.wait()
    for _ in range(5):
        waiting, begun = 0.0, time.perf_counter()
        for _ in range(plan.n):
            asked = time.perf_counter()
            batch = next(source)
            plan.wait()
            waiting += time.perf_counter() - asked
            steps(batch)
            plan.wait()
        shares.append(waiting / (time.perf_counter() - begun))
    return statistics.median(shares)


def flop_of_step(config: PoyoConfig, batch: dict[str, Tensor]) -> int:
    """Multiplications and additions of matrix products in a forward and a backward pass, from shapes alone."""
    model = PoyoPlus(config, (), ["a"]).to("meta").train()
    shapes = {name: field.to("meta") for name, field in batch.items() if isinstance(field, Tensor)}
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        masked_objective(model, shapes, MaskedLatents.paper()).total.backward()
    return int(counter.get_total_flops())


def peak_flop_per_s(plan: Plan) -> float:
    """What a product of large bf16 matrices reaches on the device, not what its maker promises."""
    a = torch.randn(plan.product, plan.product, device=plan.device, dtype=torch.bfloat16)

    def product() -> None:
        torch.mm(a, a)
        plan.wait()

    return float(2 * plan.product**3 / median_of(product, plan.n))


def median_of(work: Callable[[], None], n: int) -> float:
    """Median wall-clock seconds of `n` calls, after three that are not counted."""
    seconds = []
    for _ in range(3 + n):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[3:])


def forget_all(plan: Plan) -> None:
    """Give back what the size before took."""
    if plan.compiled:
        torch.compiler.reset()
    gc.collect()
    if plan.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def tell(found: Row, peak: float, plan: Plan) -> None:
    """Print the lines of a size."""
    case = f"{found.size}, dim {found.dim}, {plan.neurons} neurons, batch {found.batch}, {hardware(plan)}"
    row(
        "models_gpu", f"{case}, {found.tokens_per_s:,.0f} tokens/s, paper's epoch {found.epoch_s / 60:.1f} min",
        found.tflop_per_s, "TFLOP/s", reference=f"{plan.product}^3 bf16 product", reference_value=peak / 1e12,
        n=plan.n, higher_is_better=True,
    )  # fmt: skip
    row(
        "models_gpu", f"wait for a batch, {case}", found.wait_share, "share", reference="a step",
        reference_value=1.0, n=5, bar=LOADER_BAR,
    )  # fmt: skip


def write(path: Path, rows: list[Row], notes: list[str], peak: float, plan: Plan) -> None:
    """Write the table anew."""
    how = "bf16 autocast, compiled" if plan.compiled else "bf16 autocast, eager"
    text = f"""# Training on a GPU

`python -m tests.benchmarks.models_gpu`, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, on {hardware(plan)}; torch
{torch.__version__}.

Masked pretraining as published on windows of {WINDOW_S} s at {RATE_HZ:g} Hz and {plan.neurons} neurons, {how}, AdamW;
attention dropout 0, the paper's other dropouts. A step is forward, backward and optimiser; medians of {plan.n}. The
peak is what a product of two bf16 matrices of {plan.product} x {plan.product} reached in the same run:
{peak / 1e12:.4g} TFLOP/s. The paper's epoch is {PAPER_WINDOWS:,} windows. The first step includes compilation.

{HEADER}
"""
    text += "".join(f"{each}\n" for each in rows)
    text += "".join(f"\n{note}\n" for note in notes)
    path.write_text(text, encoding="utf-8")


def hardware(plan: Plan) -> str:
    """Name of the device."""
    if plan.device == "cuda":
        device = torch.cuda.get_device_properties(0)
        return f"{device.name} ({device.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda})"
    return f"a CPU ({platform.machine()})"


if __name__ == "__main__":
    main(sys.argv[1:])
