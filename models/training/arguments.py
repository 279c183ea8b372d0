"""What is given to stages from a notebook: one sentence for what was mixed up, in the place of an AttributeError."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path

from poyodata.errors import UsageError

PATH = (str, os.PathLike)
"""What a path is given as."""

_FOLDER_OF_RUN = "the path of a run's folder; that of a StageRun is its `folder`"
_WANTED = {
    "store": "a Store, as poyodata.open_store(path) opens it",
    "manifest": "a Manifest: load_diet(name).resolve(store) makes one, Manifest.load(folder) reads one",
    "recipe": "a TrainingRecipe, as load_recipe(name) of poyodata.models.recipes reads it",
    "run": _FOLDER_OF_RUN,
    "from_run": _FOLDER_OF_RUN + "; or None, to begin from scratch",
    "out": "the path of a folder",
    "allow_leakage": "the reason in words, which then stands in every result; or leave it out",
    "folds": "a list of what `evaluate` gave, one for each fold",
}


def require_kinds(**given: tuple[object, type | tuple[type, ...]]) -> None:
    """Refuse what is not of the kind that it is meant to be.

    Parameters
    ----------
    **given : tuple of (object, type or types)
        What arrived, and what is taken, by the name of the argument.

    Raises
    ------
    UsageError
        Saying what arrived, and what to call for what is expected.

    Examples
    --------
    >>> require_kinds(out=("runs/a", PATH))
    >>> require_kinds(out=(3, PATH))
    Traceback (most recent call last):
    ...
    poyodata.errors.UsageError: out is 3; give the path of a folder.
    """
    for name, (value, kinds) in given.items():
        if not isinstance(value, kinds):
            raise UsageError(f"{name} is {_said(value)}; give {_WANTED[name]}.")


def require_whole(name: str, value: object, least: int) -> int:
    """Give a whole number as an int; NumPy's are taken too.

    Raises
    ------
    UsageError
        It is none, or less than `least`.

    Examples
    --------
    >>> require_whole("bins", 4, 1)
    4
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UsageError(f"{name} is {_said(value)}; give a whole number of at least {least}.")
    return int(value)


def _said(value: object) -> str:
    """Say what arrived: a plain value itself, of anything else its class."""
    if isinstance(value, Path):
        return f"the path {str(value)!r}"
    plain = value is None or isinstance(value, str | int | float)
    return repr(value) if plain else f"of class {type(value).__name__}"
