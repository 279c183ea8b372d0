"""Training steps beside a plain implementation of the same equations: ``python -m tests.benchmarks.models``.

A step is forward, backward and AdamW of the 1.3 M model on the CPU: masked latents as published plus 0.01 times the
cross-entropy of a direction, 8 windows of 57 frames without padding. Parts: ``step`` (seconds), ``threads`` (on which
each side is fastest; ``step`` takes those), ``memory`` above what is imported, ``peak`` (share of what a product of
matrices reaches). The two sides of a row take turns; every row says what dropouts each side has.

Rows of ``step`` are measured in processes of their own. A large array that is let go goes back to the system, and costs
more to get again than to fill; how often that happens hangs on what the process did before, and the plain step at 200
neurons took 1.2 or 2.0 s for it. Rows "with memory kept" tell malloc to give nothing back, which leaves the arithmetic.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from poyodata.models.config import PoyoConfig
from poyodata.models.objectives import MaskedLatents, masked_objective
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.optimizers import optimizer_of
from tests.benchmarks.own_process import in_own_process
from tests.benchmarks.plain_poyo import PlainPoyo
from tests.benchmarks.row import row, side_by_side

FRAMES, RATE_HZ, BATCH, N = 57, 30.0, 8, 5
NEURONS = (60, 200)
STEPS = (8, 16)  # of latents: the paper's count, which is of 1 s, and what its 0.125 s make of 1.9 s, as shipped
PAPER_DROPOUT = 0.2  # of attention; a model as shipped has none, and the other dropouts are the paper's on both sides
MEMORY_BAR = 0.5
Kind = Literal["ours", "plain"]


@dataclass(frozen=True)
class Recipe:
    """Attention dropout of the two sides, and what share of the plain step's seconds may be taken by ours."""

    ours: float
    plain: float
    bars: dict[int, float | None]
    kept: bool = False  # whether malloc keeps what is let go

    def case(self, neurons: int, steps: int) -> str:
        config = config_of(steps, self.ours)
        return (
            f"{'with memory kept, ' if self.kept else ''}"
            f"{neurons} neurons, {config.n_latents} latents, {neurons * FRAMES:,} tokens, batch {BATCH}, masked "
            f"objective on, attention dropout {self.ours:g} in ours and {self.plain:g} in the plain one, in both "
            f"{config.ffn_dropout:g} in the feed-forward and {config.residual_dropout:g} of residuals"
        )


RECIPES = (
    Recipe(ours=0.0, plain=PAPER_DROPOUT, bars={60: 0.5, 200: 0.3}),
    Recipe(ours=0.0, plain=0.0, bars={60: 0.65, 200: 0.5}),
    Recipe(ours=0.0, plain=0.0, bars={60: None, 200: None}, kept=True),
    Recipe(ours=PAPER_DROPOUT, plain=PAPER_DROPOUT, bars={60: None, 200: None}),
)
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**30)}


def config_of(steps: int, attention_dropout: float) -> PoyoConfig:
    """The 1.3 M model of windows of 1.9 s, cut into so many latent steps of 16 latents each."""
    step_s = FRAMES / RATE_HZ / steps if steps != STEPS[-1] else 0.125
    return PoyoConfig.named(
        "poyo-1.3m", window_frames=FRAMES, rate_hz=RATE_HZ, latent_step_s=step_s, attention_dropout=attention_dropout
    )


def windows_of(neurons: int, frames: int, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """A batch of windows of one recording, none of them padded."""
    draws = torch.Generator().manual_seed(seed)
    return {
        "values": torch.randn(batch, neurons, frames, generator=draws),
        "neuron_index": torch.arange(1, neurons + 1).repeat(batch, 1),
        "session_index": torch.zeros(batch, dtype=torch.int64),
        "direction": torch.arange(batch) % 8,
    }


class Side:
    """One of the two implementations in training: a model, its optimiser and a batch."""

    def __init__(
        self, kind: Kind, neurons: int, attention_dropout: float, steps: int = STEPS[0], *, device: str = "cpu"
    ) -> None:
        config = config_of(steps, attention_dropout)
        ours = PoyoPlus(config, [f"n{i}" for i in range(neurons)], ["a"])
        self.n_latents = config.n_latents
        self.threads: int | None = None
        self.batch = {name: field.to(device) for name, field in windows_of(neurons, FRAMES, BATCH).items()}
        if kind == "ours":
            model: torch.nn.Module = ours
            self.optimizer = optimizer_of(ours.to(device), TrainConfig())
            options = MaskedLatents.paper()
            self.loss: Callable[[], Tensor] = lambda: masked_objective(ours, self.batch, options).total
        else:
            model = plain = PlainPoyo(ours).to(device)
            self.optimizer = torch.optim.AdamW(plain.parameters())
            self.loss = lambda: plain.masked_loss(self.batch)
        model.train()

    def step(self) -> None:
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def flop(self) -> int:
        """Multiplications and additions of matrix products in a forward and a backward pass."""
        # What the fused kernel of the CPU does is not counted by torch; the same products one by one are.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            self.loss().backward()
        return int(counter.get_total_flops())


def flop_of(kind: Kind, neurons: int, steps: int) -> int:
    """As `Side.flop`, from shapes alone; attention dropout makes none of it."""
    return Side(kind, neurons, 0.0, steps, device="meta").flop()


@functools.cache
def fastest_threads(neurons: int) -> dict[Kind, int]:
    """Threads on which each side takes the fewest seconds as the first recipe has it; prints what was measured."""
    found: dict[Kind, int] = {}
    dropouts: dict[Kind, float] = {"ours": RECIPES[0].ours, "plain": RECIPES[0].plain}
    before = torch.get_num_threads()
    for kind, dropout in dropouts.items():
        side = Side(kind, neurons, dropout)
        counts = (1, 2) if (os.cpu_count() or 1) > 1 else (1,)

        def on(threads: int, side: Side = side) -> None:
            torch.set_num_threads(threads)
            side.step()

        walls = [wall for wall, _ in side_by_side(*(functools.partial(on, count) for count in counts), n=N)]
        found[kind] = min(zip(walls, counts, strict=True))[1]
        for count, wall in zip(counts[1:], walls[1:], strict=True):
            case = f"{kind} on {count} threads, {neurons} neurons, attention dropout {dropout:g}"
            row("models", case, wall, "s/step", reference="1 thread", reference_value=walls[0], n=N)
    torch.set_num_threads(before)
    return found


_STEP = """
from tests.benchmarks.models import Side
from tests.benchmarks.row import side_by_side
neurons, steps, n = (int(each) for each in sys.argv[1:4])
sides = []
for kind, dropout, threads in zip(("ours", "plain"), sys.argv[4:6], sys.argv[6:8]):
    sides.append(Side(kind, neurons, float(dropout), steps))
    sides[-1].threads = int(threads)
ours, plain = side_by_side(*(side.step for side in sides), n=n)
say(ours=ours, plain=plain)
"""


def step() -> None:
    """Seconds of a step, of the clock and of the processor."""
    for neurons, steps, recipe in itertools.product(NEURONS, STEPS, RECIPES):
        threads = fastest_threads(neurons)
        settings = (neurons, steps, N, recipe.ours, recipe.plain, threads["ours"], threads["plain"])
        found = in_own_process(_STEP, *map(str, settings), environment=KEEP if recipe.kept else None)
        for unit, value, reference_value in zip(("s/step", "CPU-s/step"), found["ours"], found["plain"], strict=True):
            row(
                "models", f"{recipe.case(neurons, steps)}, on {threads['ours']} thread(s)", value, unit,
                reference=f"plain, on {threads['plain']} thread(s)", reference_value=reference_value, n=N,
                bar=recipe.bars[neurons],
            )  # fmt: skip


_MEMORY = """
import torch
from tests.benchmarks.models import Side
torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).zero_grad()  # brings modules of its own
imported_mb = peak_mb()
side = Side(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
for _ in range(3):
    side.step()
say(peak_mb=peak_mb() - imported_mb)
"""


def memory() -> None:
    """What three steps take above what is imported, each side in processes of its own, on one thread."""
    for neurons, steps, recipe in itertools.product(NEURONS, STEPS, RECIPES[:2]):
        sides: dict[Kind, float] = {"ours": recipe.ours, "plain": recipe.plain}
        ours, plain = (
            statistics.median(
                in_own_process(_MEMORY, kind, str(neurons), str(dropout), str(steps))["peak_mb"] for _ in range(N)
            )
            for kind, dropout in sides.items()
        )
        row(
            "models", f"memory, {recipe.case(neurons, steps)}", ours, "MB", reference="plain", reference_value=plain,
            n=N, bar=MEMORY_BAR,
        )  # fmt: skip


def peak() -> None:
    """Share of the products of matrices in what one thread can do of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    a = torch.randn(2048, 2048)
    sides: dict[Kind, float] = {"ours": RECIPES[0].ours, "plain": RECIPES[0].plain}
    for neurons, steps, (kind, dropout) in itertools.product(NEURONS, STEPS, sides.items()):
        side = Side(kind, neurons, dropout, steps)
        (wall, _), (product, _) = side_by_side(side.step, lambda: a @ a, n=N)
        gflop = flop_of(kind, neurons, steps) / 1e9
        case = (
            f"{kind}, {neurons} neurons, {side.n_latents} latents, attention dropout {dropout:g}, "
            f"{gflop:.1f} GFLOP/step, 1 thread"
        )
        row(
            "models", case, gflop / wall, "GFLOP/s", reference="2048^3 float32 product",
            reference_value=2 * 2048**3 / product / 1e9, n=N, higher_is_better=True,
        )  # fmt: skip
    torch.set_num_threads(before)


def threads() -> None:
    """What a second thread gives."""
    for neurons in NEURONS:
        fastest_threads(neurons)


PARTS = {"step": step, "memory": memory, "peak": peak, "threads": threads}


def main(parts: tuple[str, ...] = tuple(PARTS)) -> None:
    """Print one line a case."""
    for part in parts:
        PARTS[part]()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or tuple(PARTS))
