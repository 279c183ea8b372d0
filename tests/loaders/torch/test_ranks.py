"""Two processes with gloo share an epoch exactly."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from poyodata.curation import Manifest, load_diet
from poyodata.loaders import make_loader
from poyodata.store import Store, open_store

WORLD = 2


def eat(rank: int, port: int, store: str, manifest: str, out: str, split: str, tail: str | None) -> None:
    """Train a model of one number under DDP, and write which windows this rank had."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    loader = make_loader(
        open_store(store),
        Manifest.load(manifest),
        split,
        window_s=1.0,
        batch_size=4,
        rank=rank,
        world=WORLD,
        tail=tail,  # type: ignore[arg-type]
    )
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    rows = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        with model.join():
            for batch in loader:
                model(batch["values"].mean().reshape(1, 1)).sum().backward()
                rows += [
                    [epoch, *row]
                    for row in zip(
                        batch["sample"].tolist(),
                        batch["session_index"].tolist(),
                        batch["start_frame"].tolist(),
                        strict=True,
                    )
                ]
    torch.save(rows, Path(out) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "tail"), [("train", None), ("train", "keep"), ("test", None)], ids=["drop", "keep", "evaluation"]
)
def test_ranks_share_an_epoch_exactly(
    tiny_store_path: Path, tiny_store: Store, tmp_path: Path, split: str, tail: str | None
) -> None:
    manifest = load_diet("all").during("stimulus == 'drifting_gratings'").resolve(tiny_store, split="blocks-5fold")
    manifest.save(tmp_path / "diet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (port, str(tiny_store_path), str(tmp_path / "diet"), str(tmp_path), split, tail)
    torch.multiprocessing.spawn(eat, arguments, nprocs=WORLD)
    alone = make_loader(tiny_store, manifest, split, window_s=1.0, batch_size=4)
    n = alone.sampler.n_windows
    assert n % WORLD, "the test needs an epoch that does not divide evenly"
    shares = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    kept = tail == "keep" or split == "test"
    for epoch in range(2):
        mine = [[tuple(row[1:]) for row in share if row[0] == epoch] for share in shares]
        assert [len(rows) for rows in mine] == ([n // WORLD + 1, n // WORLD] if kept else [n // WORLD] * WORLD)
        alone.set_epoch(epoch)
        names = ("sample", "session_index", "start_frame")
        epoch_rows = [row for b in alone for row in zip(*(b[name].tolist() for name in names), strict=True)]
        together = sorted(row for rows in mine for row in rows)
        assert together == sorted(epoch_rows)[: len(together)]
        assert len(set(together)) == len(together) == (n if kept else n - n % WORLD)
