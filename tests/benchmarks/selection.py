"""Cost of what is selected in stores of two sizes: ``python -m tests.benchmarks.selection``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from poyodata.ingest import ingest
from poyodata.simulation import load_world, simulate
from poyodata.store import open_store
from tests.benchmarks.row import median_seconds, row

FEW, MANY = 15, 60


def main() -> None:
    """Print one line a case: the same recording, read from a store of 60 recordings and from one of 15."""
    with tempfile.TemporaryDirectory() as folder:
        files = simulate(Path(folder) / "raw", load_world("tiny").replace(sessions=MANY))
        stores = [Path(folder) / f"{count}.zarr" for count in (MANY, FEW)]
        for store, count in zip(stores, (MANY, FEW), strict=True):
            ingest(files[:count], store)

        def one_recording(path: Path) -> None:
            store = open_store(path)
            store.presentations_of("900000003")
            store.traces("900000003").sum()

        for case, read in (("one recording, opened anew", one_recording), ("open", lambda path: open_store(path))):
            many, few = (median_seconds(lambda path=path, read=read: read(path)) for path in stores)  # type: ignore[misc]
            row("selection", case, many, "s", reference=f"the same in {FEW} recordings", reference_value=few, n=5)


if __name__ == "__main__":
    main()
