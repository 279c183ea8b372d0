"""Joining diets: what ``&``, ``|``, ``-`` and `mix` make of them, and of the options in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from poyodata.curation.language import rules
from poyodata.curation.language.window_rule import WindowRule
from poyodata.errors import DietError

if TYPE_CHECKING:
    from poyodata.curation.diet import Diet

Joined: TypeAlias = type[rules.Union] | type[rules.Intersect] | type[rules.Difference]


def mix(*diets: Diet, name: str = "unnamed", description: str = "") -> Diet:
    """Put several diets together; a sampled diet gives its sample.

    Examples
    --------
    >>> from poyodata.curation import Diet
    >>> low = Diet.where("skewness <= 3.51", name="low")
    >>> mix(~low, low.sample(fraction=0.3, seed=0), name="mixed")
    Diet('mixed': mix of not low + 0.3 of low)
    """
    joined = rules.Mix(tuple(map(mixed_term, diets)))
    return replace(agreed_options(diets), neurons=joined, name=name, description=description)


def mixed_term(diet: Diet) -> rules.MixTerm:
    """Return the term of a mix that a diet becomes: its name the label, its sample the amount."""
    if isinstance(diet.neurons, rules.Sample) and diet.neurons.within is None:
        part = diet.neurons
        label = _label(part.of, diet.name.removesuffix(" sample"))
        return rules.MixTerm(part.of, label, fraction=part.fraction, n=part.n, seed=part.seed)
    return rules.MixTerm(diet.neurons, _label(diet.neurons, diet.name))


def _label(rule: rules.Rule, name: str) -> str:
    """Name of a term; a reference names itself, and so does a rule without a name."""
    itself = rule.diet if isinstance(rule, rules.Reference) else "unnamed"
    return "" if name in ("unnamed", itself) else name


def composed_name(name: str) -> str:
    """Return a name made of others, while it is short enough to be read."""
    return name if len(name) <= rules.MAX_NAME else "unnamed"


def joined_diet(word: str, kind: Joined, first: Diet, second: Diet) -> Diet:
    """Join two diets; ``a | b | c`` is one union of three, however it is grouped."""
    if not hasattr(second, "neurons"):
        raise DietError(
            f"a diet is joined with a diet; got {type(second).__name__}. Make one with Diet.where(...), or by its name "
            "with Diet.reference(...)."
        )
    parts = _taken_apart(kind, first.neurons)
    parts += (second.neurons,) if kind is rules.Difference else _taken_apart(kind, second.neurons)
    name = composed_name(f"({first.name}) {word} ({second.name})")
    return replace(agreed_options((first, second)), neurons=kind(parts), name=name, description="")


def _taken_apart(kind: Joined, rule: rules.Rule) -> tuple[rules.Rule, ...]:
    return rule.rules if isinstance(rule, kind) else (rule,)


def agreed_options(diets: Sequence[Diet]) -> Diet:
    """Take splits, windows and policies from diets that are joined; where two differ, the user must say which."""
    if not diets:
        raise DietError("`mix` joins at least two diets; got none.")
    first = diets[0]
    chosen: dict[str, Any] = {}
    for attribute, unset, how in (
        ("splits", None, "with_options(splits=...)"),
        ("windows", WindowRule(), "during(...)"),
    ):
        given = list(dict.fromkeys(getattr(diet, attribute) for diet in diets if getattr(diet, attribute) != unset))
        if len(given) > 1:
            raise DietError(
                f"the diets joined here have different {attribute}; join them without, then set {attribute} on the "
                f"result with .{how}."
            )
        chosen[attribute] = given[0] if given else unset
    for attribute in ("statistics_window", "missing", "statistics_reference"):
        values = {getattr(diet, attribute) for diet in diets}
        if len(values) > 1:
            raise DietError(
                f"the diets joined here differ in {attribute} ({' and '.join(sorted(values))}); "
                f"give both the same with .with_options({attribute}=...)."
            )
    chosen["folder"] = agreed_folder(diets)
    chosen["disjoint"] = tuple(dict.fromkeys(pair for diet in diets for pair in diet.disjoint))
    return replace(first, **chosen)


def agreed_folder(diets: Sequence[Diet]) -> Path | None:
    """Take the folder in which files are looked up from diets that are joined; refuse two, where any names a file.

    Without a folder a diet looks in the current one, and so has one of its own where it names a file.
    """
    among = [diet.folder for diet in diets if diet.folder is not None or refers_to_files(diet)]
    places: dict[Path, Path | None] = {}
    for folder in among:
        where = (folder or Path()).resolve()
        places[where] = places.get(where) or folder
    if len(places) < 2:
        return next(iter(places.values()), None)
    if not any(map(refers_to_files, diets)):
        return None
    shown = " and ".join("the current one" if one is None else repr(str(one)) for one in places.values())
    raise DietError(
        f"the diets joined here refer to files, which they look up in different folders ({shown}); refer to them by "
        "absolute paths, or give both the same folder with .with_options(folder=...)."
    )


def refers_to_files(diet: Diet) -> bool:
    """Tell whether a diet names others by paths that begin at its folder."""
    named = [rule.diet for rule, _ in rules.walk_rules(diet.neurons) if isinstance(rule, rules.Reference)]
    return any(map(rules.names_file, [*named, *(pair.other for pair in diet.disjoint)]))
