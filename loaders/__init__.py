"""Loaders: a manifest in, batches out."""

from __future__ import annotations

if __name__ != "poyodata.loaders":
    raise ImportError(f"this folder is the code of poyodata.loaders; import that name, not {__name__!r}")

from poyodata.loaders.loader import Batch, Loader, make_loader
from poyodata.loaders.order import epoch_order
from poyodata.loaders.windows import WindowTable, fixed_windows, trial_windows

__all__ = ["Batch", "Loader", "WindowTable", "epoch_order", "fixed_windows", "make_loader", "trial_windows"]
