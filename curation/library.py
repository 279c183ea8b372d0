"""Diets by name: the presets that come with the package, those of installed packages, and files."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.errors import DietError, PoyodataError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

PRESETS: tuple[str, ...] = (
    "all",
    "inhibitory",
    "mixed-30",
    "mixed-cre",
    "predictable",
    "predictable-cre",
    "random-matched",
    "unpredictable",
    "unpredictable-cre",
    "unpredictable-strict",
)
"""Names of the diets that come with the package."""

ENTRY_POINTS = "poyodata.diets"
"""Group of entry points under which installed packages offer a `Diet`, a mapping, or a function that returns one."""

FILES: tuple[str, ...] = rules.FILES
"""Endings of the names of files with diets."""


def load_diet(source: str | Path | Mapping[str, Any] | Diet, *, folder: Path | None = None) -> Diet:
    """Find a diet: by the name of a preset or of an installed package's, by the path of a file, or from a mapping.

    Parameters
    ----------
    source : str, Path, mapping or Diet
        A text that ends in .yaml, .yml or .json is the path of a file.
    folder : Path, optional
        Where a relative path begins; default is the working directory.

    Raises
    ------
    UsageError
        No diet of that name and no such file.
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
    if not isinstance(source, str | Path):
        raise UsageError(f"a diet is found by a name, a path or a mapping; got {type(source).__name__}.")
    if isinstance(source, str) and source in PRESETS:
        _refuse_two_homes(source)
        return _preset(source)
    if isinstance(source, Path) or source.endswith(FILES):
        path = Path(source)
        path = path if folder is None or path.is_absolute() else folder / path
        try:
            return Diet.from_json(path) if path.suffix == ".json" else Diet.from_yaml(path)
        except UsageError:
            _refuse_path(str(source))
            raise
    offered = _offered()
    if source in offered:
        _refuse_two_homes(source)
        return _load(offered[source][0])
    shown = nearest(source[:100], [*PRESETS, *offered])
    raise UsageError(
        f"unknown diet {source[:100]!r}: {shown} A file is named by a path that ends in {', '.join(FILES)}."
    )


def known_diets() -> dict[str, str]:
    """Where every diet that has a name comes from: ``poyodata``, or the package that brings it. Nothing is loaded.

    Examples
    --------
    >>> known_diets()["mixed-30"]
    'poyodata'
    """
    offered = {name: " and ".join(map(_package, entries)) for name, entries in _offered().items()}
    presets = {name: f"poyodata and {offered[name]}" if name in offered else "poyodata" for name in PRESETS}
    return offered | presets


def list_diets() -> pd.DataFrame:
    """List every diet that has a name. One that cannot be loaded is listed with what is wrong with it.

    Returns
    -------
    DataFrame
        ``name``, ``origin``, ``description``, ``parameters`` (name to default) and ``problem`` (``""`` where none is).

    Examples
    --------
    >>> list_diets().set_index("name").loc["predictable", "parameters"]
    {'max_kurtosis': 22.62, 'max_skewness': 3.51}
    """
    import pandas as pd

    rows = []
    for name, origin in sorted(known_diets().items()):
        description, parameters, problem = "", {}, ""
        try:
            _refuse_path(name)
            diet = load_diet(name)
            description, parameters = diet.description, dict(sorted(diet.parameters.items()))
        except PoyodataError as error:
            problem = str(error)
        rows.append((name, origin, description, parameters, problem))
    return pd.DataFrame(rows, columns=["name", "origin", "description", "parameters", "problem"])


@cache
def _preset(name: str) -> Diet:
    text = files("poyodata.curation").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    return Diet.from_yaml(text)


@cache
def _offered() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Entry points of installed packages by the name of their diet; looked for once, loaded when asked for."""
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.value):
        found.setdefault(entry.name, []).append(entry)
    return found


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _refuse_two_homes(name: str) -> None:
    entries = _offered().get(name, [])
    homes = (["poyodata"] if name in PRESETS else []) + [f"package {_package(entry)!r}" for entry in entries]
    if len(homes) > 1:
        raise DietError(
            f"{' and '.join(homes)} both have a diet {name!r}, so the name means neither; remove one package, or write "
            "the diet into a file and name that."
        )


def _refuse_path(name: str) -> None:
    """Refuse the name of a package's diet that is read as the path of a file."""
    if name.endswith(FILES) and name in _offered():
        packages = " and ".join(repr(_package(entry)) for entry in _offered()[name])
        raise DietError(
            f"package {packages} offers a diet by the name {name!r}, which cannot be reached: a name that ends in "
            f"{', '.join(FILES)} is the path of a file. The package has to offer it under another name."
        )


def _load(entry: importlib.metadata.EntryPoint) -> Diet:
    """Load the diet of a package; it bears the name under which it is offered."""
    who = f"the diet {entry.name!r} of package {_package(entry)!r}"
    try:
        offered = entry.load()
        if callable(offered):
            offered = offered()
        diet = Diet.from_dict(offered) if isinstance(offered, Mapping) else offered
    except DietError as error:
        raise DietError(f"{who} is not well formed: {error}") from None
    except (Exception, SystemExit) as error:  # whatever a package raises when it is imported
        raise DietError(
            f"{who} cannot be loaded ({type(error).__name__}: {error}); update or remove the package."
        ) from error
    if not isinstance(diet, Diet):
        raise DietError(
            f"{who} is a {type(offered).__name__}; a package offers a Diet, a mapping, or a function that returns one."
        )
    return diet.named(entry.name)
