"""`References`: the diets that a diet refers to, loaded once, with the parameters that are set there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import columns_of
from poyodata.curation.language.parameters import settled
from poyodata.curation.library import FILES, load_diet
from poyodata.errors import DietError, PoyodataError

MAX_REFERENCES = 200
MAX_CHAIN = 20
"""Few files that each refer twice to the next would mean more diets than can be looked at."""


TOO_MANY = (
    f"a diet may refer to {MAX_REFERENCES} diets at most, those that they refer to among them, {MAX_CHAIN} deep; write "
    "some of them as one."
)


class FoundDiets:
    """Diets by name and folder; each is looked for and read once.

    Attributes
    ----------
    visits : int
        How often one was referred to, by all that took diets from here.

    Examples
    --------
    >>> FoundDiets().get("predictable", None)
    Diet('predictable': skewness <= 3.51 and kurtosis <= 22.62)
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, Path | None], Diet | PoyodataError] = {}
        self.visits = 0

    def get(self, name: str, folder: Path | None) -> Diet:
        """Return what `load_diet` finds."""
        key = name, folder if rules.names_file(name) else None
        if key not in self._known:
            try:
                self._known[key] = load_diet(name, folder=folder)
            except PoyodataError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, PoyodataError):
            raise found.with_traceback(None)
        return found


class References:
    """Diets that a diet refers to, loaded once; refuses circles.

    Parameters
    ----------
    diet : Diet
    documents : mapping, optional
        What `documents` of an earlier one returned: diets are then taken from it, and no file is read.
    found : FoundDiets, optional
        What was read before.

    Attributes
    ----------
    diet : Diet
        The diet itself, constants in the place of its parameters.
    columns : tuple of str
        Every column that the diet and those it refers to name, in order.
    counted : tuple of str
        What is matched beside columns: ``windows``, ``tokens``.

    Examples
    --------
    >>> References(Diet.reference("predictable")).columns
    ('skewness', 'kurtosis')
    """

    def __init__(self, diet: Diet, documents: Mapping[str, Any] | None = None, found: FoundDiets | None = None) -> None:
        self.diet = diet.bound()
        self._found = FoundDiets() if found is None else found
        self._base = self.diet.folder or Path()
        self._documents = documents
        self._loaded: dict[str, tuple[str, Diet]] = {}
        self._visits = 0
        named = dict.fromkeys(self._visit(self.diet, ()))
        self.columns: tuple[str, ...] = tuple(name for name, counted in named if not counted)
        self.counted: tuple[str, ...] = tuple(name for name, counted in named if counted)

    @classmethod
    def from_documents(cls, diet: Diet, documents: Mapping[str, Any]) -> References:
        """Build the references of a diet from what a manifest holds under ``references``, without reading a file.

        Raises
        ------
        DietError
            The documents lack a diet that is referred to.
        """
        return cls(diet, documents)

    def get(self, rule: rules.Reference, diet: Diet) -> Diet:
        """Return the diet that a rule of `diet` means, with the parameters that the rule sets, as constants."""
        key = self._key(rule, diet)
        if key not in self._loaded:
            self._loaded[key] = self._load(rule, diet) if self._documents is None else self._recorded(rule, diet)
        return self._loaded[key][1]

    @property
    def documents(self) -> dict[str, Any]:
        """Canonical form of every diet referred to, constants in the place of parameters, by how it is referred to."""
        return {shown: diet.to_dict() for shown, diet in sorted(self._loaded.values(), key=lambda pair: pair[0])}

    def _load(self, rule: rules.Reference, diet: Diet) -> tuple[str, Diet]:
        found = self._found.get(rule.diet, diet.folder)
        plain = found.bound()
        if rule.given:
            found = found.with_parameters(**{name: settled(value) for name, value in rule.given}).bound()
            if found != plain:
                return self._key(rule, diet), found
        return self._name(rule, diet), plain

    def _recorded(self, rule: rules.Reference, diet: Diet) -> tuple[str, Diet]:
        documents = self._documents or {}
        key, name = self._key(rule, diet), self._name(rule, diet)
        shown = key if key in documents else name
        if shown not in documents:
            raise DietError(f"the manifest holds no diet {key!r} although its diet refers to it; resolve again.")
        # What it refers to itself is looked up beside it, as when it was a file.
        return shown, Diet.from_dict(documents[shown], folder=self._base / Path(name).parent)

    def _key(self, rule: rules.Reference, diet: Diet) -> str:
        """How a diet is called in `documents`, with what is set there."""
        name = self._name(rule, diet)
        given = ", ".join(f"{word} = {settled(value)!r}" for word, value in rule.given)
        return f"{name} with {given}" if given else name

    def _name(self, rule: rules.Reference, diet: Diet) -> str:
        """Name of a diet; a file by its place beside the diet that all begins with, wherever that lies."""
        name = rule.diet
        if name.endswith(FILES) and not Path(name).is_absolute():
            name = Path(os.path.relpath((diet.folder or Path()) / name, self._base)).as_posix()
        return name

    def _visit(self, diet: Diet, chain: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, bool]]:
        """Yield what is named, and whether it is counted: ``windows`` is a column anywhere but in a match."""
        for rule, _ in rules.walk_rules(diet.neurons):
            match rule:
                case rules.Where():
                    yield from ((name, False) for name in columns_of(rule.condition))
                case rules.Sample():
                    yield from () if rule.within is None else ((rule.within, False),)
                case rules.Balance():
                    yield from ((name, False) for name in rule.by)
                case rules.Top():
                    yield from ((name, False) for name in columns_of(rule.by))
                    yield from () if rule.within is None else ((rule.within, False),)
                case rules.Match():
                    yield from ((name, name in rules.COUNTED) for name in rule.on)
                case rules.Reference():
                    key = self._key(rule, diet)
                    keys = [known for known, _ in chain]
                    if key in keys:
                        names = [name for _, name in chain[keys.index(key) :]]
                        raise DietError(
                            f"diets refer to each other in a circle: {' -> '.join([*names, rule.diet])}. "
                            "Write one of them without the reference."
                        )
                    self._visits += 1
                    self._found.visits += 1
                    if self._visits > MAX_REFERENCES or len(chain) >= MAX_CHAIN:
                        raise DietError(TOO_MANY)
                    yield from self._visit(self.get(rule, diet), (*chain, (key, rule.diet)))
