"""What the commands under ``diet`` share: a diet with its parameters set, a manifest, and how they are asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poyodata.cli.output import print_table, say
from poyodata.errors import DietError, SplitError, UsageError
from poyodata.progress import stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from poyodata.curation import Diet, Manifest
    from poyodata.splits import Split
    from poyodata.store import Store

DietName = Annotated[str, typer.Argument(metavar="DIET", help="A preset, a diet of a package, or a YAML or JSON file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Set a parameter of the diet: --set max_skewness=3.0; repeatable."
    ),
]


_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""What YAML reads as a truth value."""


def read_diet(source: str, settings: Sequence[str] | None = None) -> Diet:
    """Load a diet and set its parameters from ``NAME=VALUE`` texts.

    Raises
    ------
    UsageError
        No such diet, no such parameter, or a value of another kind than the parameter's.
    """
    from poyodata.curation import load_diet

    diet = load_diet(source)
    if not settings:
        return diet
    known, values = diet.parameters, {}
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or (not value and not isinstance(known.get(name), str)):
            raise UsageError(f"--set takes a name and a value, as in --set max_skewness=3.0; got {text!r}.")
        if name in values:
            raise UsageError(f"--set names {name!r} twice; set it once.")
        values[name] = _value(value, type(known.get(name, "")))
    try:
        return diet.with_parameters(**values)
    except DietError as error:
        raise UsageError(f"--set: {error}") from error


def _value(text: str, kind: type) -> bool | int | float | str:
    """Read a value as the kind that the parameter has; what cannot be read stays text, which the diet refuses."""
    if kind is bool:
        return _TRUTHS.get(text.casefold(), text)
    if kind is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def split_of(diet: Diet, store: Store, splits: str, fold: int) -> Split:
    """The split that is asked for, else the diet's, else the store's own.

    Raises
    ------
    UsageError
        The split has no such fold.
    """
    from poyodata.splits import default_split, n_folds, resolve_split

    spec = splits or diet.splits or default_split(store)
    try:
        return resolve_split(store, spec, fold=fold)
    except SplitError as error:
        if len(store) and not 0 <= fold < n_folds(store, spec):
            raise UsageError(str(error)) from error
        raise


def resolved(diet: Diet, store: Store, split: Split) -> Manifest:
    """Resolve a diet, with progress on standard error."""
    with stage(f"resolving {diet.name}", len(split.sessions), "recordings") as advance:
        return diet.resolve(store, split=split, progress=advance)


def manifest_of(
    source: str, store: Store, splits: str = "", fold: int = 0, settings: Sequence[str] | None = None
) -> Manifest:
    """Load a manifest where `source` is a folder, else resolve the diet of that name.

    Raises
    ------
    UsageError
        Options that only a diet has are given beside a manifest.
    ManifestError
        The manifest was resolved on another store.
    """
    from poyodata.curation import Manifest

    if not is_manifest_folder(source):
        diet = read_diet(source, settings)
        return resolved(diet, store, split_of(diet, store, splits, fold))
    if settings or splits or fold:
        raise UsageError(
            f"{source} is a folder with a manifest, which is resolved already: leave out --set, --splits and --fold. A "
            "diet of that name is meant where no such folder is; call the command elsewhere for it."
        )
    manifest = Manifest.load(source)
    manifest.open(store)  # refuses another store
    return manifest


def is_manifest_folder(source: str) -> bool:
    """Tell whether a folder with a manifest is meant, rather than a diet of that name.

    Raises
    ------
    UsageError
        A folder that holds no manifest, and no diet is called so.
    """
    from poyodata.curation.library import known_diets
    from poyodata.curation.manifest import is_manifest

    folder = Path(source)
    if not folder.is_dir():
        return False
    if not is_manifest(folder) and source not in known_diets():
        raise UsageError(f"{source!r} is a folder that holds no manifest; give one that `diet resolve --out` wrote.")
    return is_manifest(folder)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON gives them."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def print_funnel(funnel: pd.DataFrame) -> None:
    """Print a funnel: neurons first, then time. Names of steps are left out where a terminal has no room for them."""
    neurons = (funnel["counts"] == "neurons").to_numpy(bool)
    parts = [(funnel[neurons], ["kept", "rejected", "unknown", "rule"])]
    parts += [(funnel[~neurons], ["kept", "rejected", "unknown", "counts", "rule"])] if not neurons.all() else []
    for number, (part, columns) in enumerate(parts):
        if number:
            say("")
        width = sum(part[name].astype(str).str.len().max() for name in ("step", "rule")) + 12 * (len(columns) - 1)
        shown = ["step", *columns] if width <= terminal_width() else columns
        print_table(part[shown], as_json=False, keys=len(shown) - 1)


def terminal_width() -> int:
    """Columns of the terminal; where there is none, more than any line has."""
    return get_terminal_size().columns if sys.stdout.isatty() else 100_000
