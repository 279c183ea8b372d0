"""Trains in two processes, started by torch.distributed.run, or alone on both their batches. A script of tests."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, train


def batch(seed: int, n_windows: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        "values": torch.from_numpy(rng.standard_normal((n_windows, 3, 24)).astype(np.float32)),
        "neuron_index": torch.tensor([[1, 2, 3]] * n_windows),
        "neuron_mask": torch.ones(n_windows, 3, dtype=torch.bool),
        "session_index": torch.zeros(n_windows, dtype=torch.int64),
        "direction": torch.from_numpy(rng.integers(0, 8, n_windows)),
    }


class Ends:
    """Makes two batches, and fails."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        yield batch(0, 4)
        yield batch(1, 4)
        raise RuntimeError("this rank has no more")


def main(mode: str, folder: Path) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    # Registered before all others, and so done after them.
    atexit.register(lambda: (folder / f"{mode}-{rank}-in-group").write_text(str(torch.distributed.is_initialized())))
    config = PoyoConfig.named(
        "poyo-tiny", window_frames=24, rate_hz=10.0, dim=16, dim_head=8, self_heads=2, depth=1,
        ffn_dropout=0.0, residual_dropout=0.0,
    )  # fmt: skip
    model = PoyoPlus(config, ["a:0", "a:1", "a:2"], ["a"], seed=1)
    whole = [batch(seed, 8) for seed in range(3)]
    shares = [{name: value[rank::2] for name, value in each.items()} for each in whole]
    # Of unlike lengths: 3 batches a pass in one process, 1 in the other.
    unlike = shares if rank == 0 else shares[:1]
    loader = {"alone": whole, "equal": shares, "unequal": unlike, "failing": shares if rank == 0 else Ends()}[mode]
    settings = TrainConfig(
        steps=4, unit_dropout=0.0, devices=1 if mode == "alone" else 2, accelerator="cpu", log_every=2,
        checkpoint_every=2, loggers=(), folder=str(folder / mode),
    )  # fmt: skip
    run = train(model, loader, settings, validate=[batch(9, 4)], progress=False)
    if mode == "equal":  # once more in the same processes
        train(model, loader, settings.model_copy(update={"folder": None}), progress=False)
    if rank == 0:
        found = {"losses": run.losses.tolist(), "windows": run.windows}
        (folder / f"{mode}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
