"""Trains, is killed at points of its own choosing, goes on, and tells whether the end is the same. A script of tests.

Every point is a function call somewhere in the steps, in the writing of checkpoints, or in the writing of tables: they
are counted in an undisturbed run and then spread evenly over each kind. Processes are forked from one that has imported
everything and trained nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from poyodata.models import PoyoConfig, PoyoPlus, TrainConfig, train
from poyodata.models.checkpoint import load_checkpoint

KINDS = ("checkpoint", "metrics", "step")


class Windows:
    """Four batches a pass that depend on the pass; tells where it is."""

    neuron_ids = ("a:0", "a:1", "a:2")
    session_ids = ("a",)

    def __init__(self) -> None:
        self.epoch = self.start = self.given = 0

    def set_epoch(self, epoch: int) -> None:
        self.start = self.start if epoch == self.epoch else 0
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        start, self.start = self.start, 0
        for number in range(start, 4):
            self.given = number + 1
            rng = np.random.default_rng([self.epoch, number])
            yield {
                "values": torch.from_numpy(rng.standard_normal((4, 3, 24)).astype(np.float32)),
                "neuron_index": torch.tensor([[1, 2, 3]] * 4),
                "neuron_mask": torch.ones(4, 3, dtype=torch.bool),
                "session_index": torch.zeros(4, dtype=torch.int64),
                "direction": torch.from_numpy(rng.integers(0, 8, 4)),
            }

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "given": self.given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.start = state["epoch"], state["given"]


def run(folder: Path) -> None:
    config = PoyoConfig.named(
        "poyo-tiny", window_frames=24, rate_hz=10.0, dim=16, dim_head=8, self_heads=2, depth=1, attention_dropout=0.1
    )
    model = PoyoPlus(config, Windows.neuron_ids, Windows.session_ids, seed=1)
    settings = TrainConfig(
        steps=8, objective="masked", checkpoint_every=2, log_every=2, validate_every=4, loggers=(), folder=str(folder)
    )
    train(model, Windows(), settings, validate=list(Windows())[:1], progress=False, resume=True)


def kind_of(file: str) -> str | None:
    if file.endswith(("models/checkpoint.py", "torch/serialization.py")):
        return "checkpoint"
    if file.endswith(("training/rows.py", "poyodata/replacing.py")):
        return "metrics"
    return "step" if "/models/" in file or "/torch/optim/" in file else None


def in_a_child(work: Any) -> int:
    """What became of a process: 0, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def counted(folder: Path, counts: Path) -> None:
    seen: Counter[str] = Counter()

    def note(frame: Any, event: str, _: Any) -> None:
        if event in ("call", "c_call") and (kind := kind_of(frame.f_code.co_filename)):
            seen[kind] += 1

    sys.setprofile(note)
    run(folder)
    sys.setprofile(None)
    counts.write_text(json.dumps(seen), encoding="utf-8")


def killed(folder: Path, kind: str, number: int) -> None:
    seen = 0

    def note(frame: Any, event: str, _: Any) -> None:
        nonlocal seen
        if event in ("call", "c_call") and kind_of(frame.f_code.co_filename) == kind:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(note)
    run(folder)


def differences(folder: Path, other: Path) -> list[str]:
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    found = [
        "files"
        for each in [sorted(p.relative_to(other).as_posix() for p in other.rglob("*") if p.is_file())]
        if each != sorted(names)
    ]
    for name in names:
        mine, theirs = folder / name, other / name
        if name.endswith(".csv") and mine.read_bytes() != theirs.read_bytes():
            found.append(name)
        if name.endswith((".ckpt", ".pt")):
            one, two = load_checkpoint(mine), load_checkpoint(theirs)
            tensors = [
                each.model.state_dict() | (each.training.tensors if each.training else {}) for each in (one, two)
            ]
            if list(tensors[0]) != list(tensors[1]) or not all(
                torch.equal(v, tensors[1][k]) for k, v in tensors[0].items()
            ):
                found.append(name)
    return found


def main(folder: Path, n_points: int) -> None:
    torch.set_num_threads(1)
    whole, counts = folder / "whole", folder / "counts.json"
    if in_a_child(lambda: counted(whole, counts)) != 0:
        raise SystemExit("the undisturbed run failed")
    totals = json.loads(counts.read_text(encoding="utf-8"))
    for number in range(n_points):
        kind = KINDS[number % len(KINDS)]
        of_kind = len(range(number % len(KINDS), n_points, len(KINDS)))
        at = max(1, int(totals[kind] * (number // len(KINDS) + 0.5) / of_kind))
        broken = folder / f"{number}"
        first = in_a_child(lambda broken=broken, kind=kind, at=at: killed(broken, kind, at))
        second = in_a_child(lambda broken=broken: run(broken))
        point = {"kind": kind, "at": at, "of": totals[kind], "killed": first == signal.SIGKILL, "resumed": second}
        point["differs"] = ["failed"] if second else differences(whole, broken)
        sys.stdout.write(json.dumps(point) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
