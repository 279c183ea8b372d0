"""Run as a plain file: change a store step by step in forked children, each killed at another point.

``python killer.py CONFTEST FOLDER POINTS SEED`` leaves one store a point in FOLDER, with a log of the steps that were
finished, and ``whole.json``: the digest after each step of an undisturbed run, and how many points there are in it. A
point is one call that changes the disk; a write is killed after half of its bytes.
"""

from __future__ import annotations

import builtins
import io
import itertools
import json
import os
import random
import runpy
import signal
import sys
from pathlib import Path

STEPS = ("add a", "add b", "update a", "remove b", "merge c d", "add b again")


def steps_of(make_record):
    """What is done in each step; every one can be done again."""
    from dataclasses import replace

    import numpy as np

    from poyodata.store import StoreWriter
    from poyodata.store.merge import merge_stores

    movie = np.arange(18 * 4 * 5, dtype=np.uint8).reshape(18, 4, 5)
    other = {
        name: replace(make_record(name, n_frames=1100, n_neurons=2), templates={"other": lambda: movie})
        for name in "cd"
    }

    def add(name, **options):
        def step(path):
            with StoreWriter(path) as writer:
                writer.add(make_record(name, n_frames=1100, n_neurons=3, seed=len(options)), traces=("raw",), **options)

        return step

    def remove(path):
        with StoreWriter(path) as writer:
            writer.remove([name for name in ["b"] if name in set(writer.sessions["session_id"])])

    def merge(path):
        origin = path.with_name("origin.zarr")
        if not origin.exists():
            with StoreWriter(origin) as writer:
                for record in other.values():
                    writer.add(record)
        merge_stores(path, [origin])

    return dict(zip(STEPS, (add("a"), add("b"), add("a", replace=True), remove, merge, add("b")), strict=True))


class Watched:
    """A file whose writes go through ``write(file, content)``."""

    def __init__(self, file, write):
        self._file, self._write = file, write

    def write(self, content):
        return self._write(self._file, content)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def killed_at(point, root):
    """Count every call that changes the disk below `root`, and die at one of them; returns the count so far."""
    counter = itertools.count(1)
    reached = [0]
    real = io.open

    def due(kind):
        number = next(counter)  # files are forced to disk by several threads
        reached[0] = max(number, reached[0])
        if number == point:
            with real(root / "killed", "a") as log:
                log.write(f"{kind}\n")
        return number == point

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(module, name):
        call = getattr(module, name)

        def step(*arguments, **options):
            if due(name):
                die()
            return call(*arguments, **options)

        setattr(module, name, step)

    for name in ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "link", "ftruncate", "pwrite"):
        counted(os, name)

    def half(file, content):
        if due("write"):
            file.write(content[: len(content) // 2])
            file.flush()
            die()
        return file.write(content)

    def opened(file, mode="r", *arguments, **options):
        made = real(file, mode, *arguments, **options)
        inside = isinstance(file, str | os.PathLike) and ".zarr" in os.fspath(file)
        return Watched(made, half) if inside and set(mode) & set("wxa+") else made

    io.open = builtins.open = opened
    return reached


def main(conftest, root, n_points, seed):
    """Run the steps once undisturbed, then once for each point."""
    make_record = runpy.run_path(conftest)["make_record"]
    import pyarrow.parquet  # noqa: F401 - imported once, before the forks
    import xarray  # noqa: F401
    import zarr  # noqa: F401

    from poyodata.store import open_store
    from poyodata.store.annotations import annotate  # noqa: F401

    steps = steps_of(make_record)

    def run(point):
        path = root / f"{point}.zarr"
        reached = killed_at(point, root)
        digests = []
        for name, step in steps.items():
            step(path)
            with (root / f"{point}.finished").open("a") as log:
                log.write(f"{name}\n")
            if point == 0:
                digests.append(open_store(path).digest)
        if point == 0:
            (root / "whole.json").write_text(json.dumps({"digests": digests, "n_points": reached[0]}))

    def forked(call, *arguments):
        # All work is done in children: threads that Parquet starts would not survive the next fork.
        child = os.fork()
        if child == 0:
            try:
                call(*arguments)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        return os.waitpid(child, 0)[1]

    assert forked(steps["merge c d"], root / "unused.zarr") == 0  # makes the origin, once
    assert forked(run, 0) == 0
    total = json.loads((root / "whole.json").read_text())["n_points"]
    drawn = random.Random(seed).sample(range(1, total + 1), n_points)  # noqa: S311 - a seeded draw
    for point in sorted(drawn):
        status = forked(run, point)
        assert os.WIFSIGNALED(status), (point, status)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
