"""Entries of a recipe that are set beside it: ``key=value`` texts, read as the YAML that they would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from poyodata.documents import plain_text
from poyodata.documents.places import RECIPE
from poyodata.errors import RecipeError, UsageError

Overrides: TypeAlias = Mapping[tuple[str, ...], Any]
"""Values by the keys that lead to them."""


def read_overrides(texts: Sequence[str]) -> Overrides:
    """Read ``key=value`` texts.

    Parameters
    ----------
    texts : sequence of str
        Keys are joined by points; a value is a number, a truth value, a text, ``null``, or a list or mapping in the
        one-line form of YAML.

    Returns
    -------
    mapping of tuple of str to value

    Raises
    ------
    UsageError
        No key, no value, no YAML, or the same key twice, or a key within another that is set.

    Examples
    --------
    >>> read_overrides(["train.lr=1e-3", "model.tasks=[direction, running]", "name=mine"])
    {('train', 'lr'): 0.001, ('model', 'tasks'): ['direction', 'running'], ('name',): 'mine'}
    """
    found: dict[tuple[str, ...], Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        words = tuple(word.strip() for word in key.split("."))
        if not equals or not value or not all(words):
            raise UsageError(f"--set takes a key and a value, as in --set train.lr=1e-3; got {text[:80]!r}.")
        for other in found:
            if words[: len(other)] == other or other[: len(words)] == words:
                raise UsageError(f"--set names {'.'.join(other)!r} and {key[:60]!r}; set one of them, once.")
        try:
            if "\n" in value:
                raise RecipeError
            found[words] = plain_text.read_yaml(f"value: {value}", "--set", RECIPE)[0]["value"]
        except RecipeError:
            raise UsageError(
                f"--set {key[:60]}: {value[:60]!r} is no value of YAML; write a number, true, false, a text in quotes, "
                "or a list such as [direction, running]."
            ) from None
    return found


def overridden(value: Any, overrides: Overrides) -> Any:
    """Give a document with some entries replaced or added; the one that was given stays as it was.

    A part of the way that is not there is added. ``null`` takes an entry away.

    Raises
    ------
    UsageError
        A part of the way is there and has no entries: a text, a list, the name of a file. What else it says would be
        lost.

    Examples
    --------
    >>> overridden({"train": {"lr": 1.0}, "seed": 3}, {("train", "steps"): 5, ("seed",): None})
    {'train': {'lr': 1.0, 'steps': 5}}
    """
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for words, new in overrides.items():
        inner = made
        for at, word in enumerate(words[:-1], start=1):
            there = inner.get(word)
            if there is not None and not isinstance(there, dict):
                key, part = ".".join(words), ".".join(words[:at])
                raise UsageError(
                    f"--set {key}: {part!r} is {_shown(there)} in the recipe, which has no {words[at]!r} to set; write "
                    f"it there as a mapping, or set the whole of it: --set '{part}={{...}}'."
                )
            inner[word] = dict(there or {})
            inner = inner[word]
        if new is None:
            inner.pop(words[-1], None)
        else:
            inner[words[-1]] = new
    return made


def _shown(value: Any) -> str:
    return "a list" if isinstance(value, list) else repr(value)[:60]
