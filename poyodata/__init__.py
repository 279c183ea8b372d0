"""Data diets for calcium imaging: a store, neuron statistics, declarative diets, loaders and models.

Names are loaded when they are first used, so that ``import poyodata`` costs neither torch nor matplotlib nor dask.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from poyodata._version import version as __version__

if TYPE_CHECKING:
    from poyodata.curation import Diet, Manifest, c, mix, param
    from poyodata.splits import SplitSpec, resolve_split
    from poyodata.statistics import compute_statistics
    from poyodata.store import Store, open_store

_HOME = {
    "Diet": "poyodata.curation",
    "Manifest": "poyodata.curation",
    "SplitSpec": "poyodata.splits",
    "Store": "poyodata.store",
    "c": "poyodata.curation",
    "compute_statistics": "poyodata.statistics",
    "mix": "poyodata.curation",
    "open_store": "poyodata.store",
    "param": "poyodata.curation",
    "resolve_split": "poyodata.splits",
}

__all__ = [
    "Diet",
    "Manifest",
    "SplitSpec",
    "Store",
    "__version__",
    "c",
    "compute_statistics",
    "mix",
    "open_store",
    "param",
    "resolve_split",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'poyodata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
