"""Loaders: a manifest in, batches out.

Names are loaded when they are first used, so that what needs little (`poyodata.loaders.torch_brain`) costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "poyodata.loaders":
    raise ImportError(f"this folder is the code of poyodata.loaders; import that name, not {__name__!r}")

if TYPE_CHECKING:
    from poyodata.loaders.arrays import to_xarray
    from poyodata.loaders.loader import Loader
    from poyodata.loaders.make import make_loader
    from poyodata.loaders.recipe import Recipe, SamplingChoice, WindowsChoice
    from poyodata.loaders.torch_brain import TorchBrainDiet, to_torch_brain
    from poyodata.loaders.transforms.normalise import Normalisation, load_normalisation

_HOME = {
    "Loader": "poyodata.loaders.loader",
    "Normalisation": "poyodata.loaders.transforms.normalise",
    "Recipe": "poyodata.loaders.recipe",
    "SamplingChoice": "poyodata.loaders.recipe",
    "TorchBrainDiet": "poyodata.loaders.torch_brain",
    "WindowsChoice": "poyodata.loaders.recipe",
    "load_normalisation": "poyodata.loaders.transforms.normalise",
    "make_loader": "poyodata.loaders.make",
    "to_torch_brain": "poyodata.loaders.torch_brain",
    "to_xarray": "poyodata.loaders.arrays",
}

__all__ = [
    "Loader",
    "Normalisation",
    "Recipe",
    "SamplingChoice",
    "TorchBrainDiet",
    "WindowsChoice",
    "load_normalisation",
    "make_loader",
    "to_torch_brain",
    "to_xarray",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'poyodata.loaders' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
