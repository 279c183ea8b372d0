"""The store: recordings on disk as Zarr v3 and Parquet, written once, read and memory-mapped by everything else."""

from __future__ import annotations

from poyodata.store.layout import BLOCK_FRAMES, FORMAT_VERSION
from poyodata.store.reader import Store, open_store
from poyodata.store.writer import AddedSession, StoreWriter

__all__ = ["BLOCK_FRAMES", "FORMAT_VERSION", "AddedSession", "Store", "StoreWriter", "open_store"]
