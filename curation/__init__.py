"""Curation: diets (intent), manifests (fact) and views (data). Knows stores, splits and statistics; never torch."""

from __future__ import annotations

if __name__ != "poyodata.curation":
    raise ImportError(f"this folder is the code of poyodata.curation; import that name, not {__name__!r}")

import importlib
from typing import TYPE_CHECKING, Any

from poyodata.curation.diet import Diet, Disjoint
from poyodata.curation.joining import mix
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.language.spelling import c, param
from poyodata.curation.language.window_rule import WindowRule, WindowSample
from poyodata.curation.library import PRESETS, load_diet

if TYPE_CHECKING:
    from poyodata.curation.leaks.check import LeakReport, check_leaks
    from poyodata.curation.manifest import Manifest
    from poyodata.curation.resolve import resolve_diet
    from poyodata.curation.selecting.draws import draw_controls
    from poyodata.curation.view import View

_HOME = {
    "LeakReport": "poyodata.curation.leaks.check",
    "Manifest": "poyodata.curation.manifest",
    "View": "poyodata.curation.view",
    "check_leaks": "poyodata.curation.leaks.check",
    "draw_controls": "poyodata.curation.selecting.draws",
    "resolve_diet": "poyodata.curation.resolve",
}

__all__ = [
    "PRESETS",
    "Diet",
    "Disjoint",
    "LeakReport",
    "Manifest",
    "View",
    "WindowRule",
    "WindowSample",
    "c",
    "check_leaks",
    "draw_controls",
    "load_diet",
    "mix",
    "param",
    "parse_expression",
    "resolve_diet",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'poyodata.curation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
