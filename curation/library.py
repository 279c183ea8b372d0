"""Diets by name: the presets that come with the package, and files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from poyodata.curation.diet import Diet
from poyodata.errors import UsageError, nearest

PRESETS: tuple[str, ...] = (
    "all",
    "inhibitory",
    "mixed-30",
    "predictable",
    "predictable-cre",
    "unpredictable",
    "unpredictable-strict",
)
"""Names of the diets that come with the package."""


def load_diet(source: str | Path | Mapping[str, Any] | Diet, *, folder: Path | None = None) -> Diet:
    """Find a diet: by the name of a preset, by the path of a YAML file, or from a plain mapping.

    Parameters
    ----------
    source : str, Path, mapping or Diet
    folder : Path, optional
        Where a relative path begins; default is the working directory.

    Raises
    ------
    UsageError
        No preset of that name and no such file.
    DietError
        What was found is no diet.

    Examples
    --------
    >>> load_diet("predictable")
    Diet('predictable': skewness <= 3.51 and kurtosis <= 22.62)
    """
    if isinstance(source, Diet):
        return source
    if isinstance(source, Mapping):
        return Diet.from_dict(source, folder=folder)
    if isinstance(source, str) and source in PRESETS:
        return _preset(source)
    path = Path(source)
    if isinstance(source, Path) or path.suffix in (".yaml", ".yml"):
        return Diet.from_yaml(path if folder is None or path.is_absolute() else folder / path)
    raise UsageError(
        f"unknown diet {source!r}: {nearest(source, PRESETS)} A file is named by a path that ends in .yaml."
    )


@cache
def _preset(name: str) -> Diet:
    text = files("poyodata.curation").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    return Diet.from_yaml(text)
