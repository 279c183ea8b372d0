"""Training steps beside the largest matrix product of the machine: ``python -m tests.benchmarks.models``."""

from __future__ import annotations

import torch

from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, train
from tests.benchmarks.row import median_seconds, row

N_STEPS = 10


def main() -> None:
    """Print one line a size: seconds a training step, and the seconds of one 2,048-square product beside it."""
    a = torch.randn(2048, 2048)
    product = median_seconds(lambda: a @ a)
    for size, neurons, frames, batch in (("poyo-tiny", 254, 80, 32), ("poyo-1.3m", 60, 57, 8)):
        names = [f"n{i}" for i in range(neurons)]
        windows = {
            "values": torch.randn(batch, neurons, frames),
            "neuron_index": torch.arange(1, neurons + 1).repeat(batch, 1),
            "neuron_mask": torch.ones(batch, neurons, dtype=torch.bool),
            "session_index": torch.zeros(batch, dtype=torch.int64),
            "direction": torch.arange(batch) % 8,
        }
        model = PoyoPlus(PoyoConfig.named(size, window_frames=frames, rate_hz=30.0), names, ["a"])

        def steps(model: PoyoPlus = model, windows: dict[str, torch.Tensor] = windows) -> None:
            train(model, [windows], TrainConfig(steps=N_STEPS), progress=False)

        seconds = median_seconds(steps) / N_STEPS
        case = f"{size}, {neurons} neurons, {frames} frames, batch {batch}"
        row("models", case, seconds, "s/step", reference="2048^3 float32 product", reference_value=product, n=5)


if __name__ == "__main__":
    main()
