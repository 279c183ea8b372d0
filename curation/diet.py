"""`Diet`: which neurons and which time a model may eat. An intent without data, equal in Python, YAML and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from poyodata.curation import document as documents
from poyodata.curation import plain_text, rules
from poyodata.curation.expressions import to_text
from poyodata.curation.rule_document import rule_document, rule_text, windows_document
from poyodata.curation.spelling import Condition, Term, condition_node
from poyodata.curation.window_rule import WindowRule
from poyodata.digests import canonical_json, json_digest
from poyodata.errors import DietError, UsageError, nearest

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest
    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

DISJOINT_BY: tuple[str, ...] = ("donor", "container", "session", "cell", "neuron")
MISSING: tuple[str, ...] = ("exclude", "include", "error")


@dataclass(frozen=True)
class Disjoint:
    """A promise: this diet shares no donor (container, session, cell, neuron) with the diet `other`."""

    other: str
    by: str = "donor"

    def __post_init__(self) -> None:
        rules.check_name(self.other, "the diet under `from`")
        if self.by not in DISJOINT_BY:
            raise DietError(f"unknown `by` {self.by[:60]!r} of a disjoint pair: {nearest(self.by[:60], DISJOINT_BY)}")


@dataclass(frozen=True)
class Diet:
    """Which neurons and which time a model may eat.

    Attributes
    ----------
    neurons : Rule
    name, description : str
    splits : str or None
        Name of a split; None takes the store's default.
    statistics_window : {"train", "all"}
        Time that statistics are computed on. ``all`` looks at test time, and every leak check says so.
    missing : {"exclude", "include", "error"}
        What becomes of neurons for which the rule is unknown.
    statistics_reference : {"train", "all"}
        Neurons that ``quantile``, ``zscore`` and ``rank`` compare with: those of recordings to learn from, or all.
        ``all`` looks at held-out animals, and every leak check says so.
    windows : WindowRule
    disjoint : tuple of Disjoint
    folder : Path or None
        Where references to files are looked up; no part of the diet's content.

    Examples
    --------
    >>> from poyodata.curation import c
    >>> Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="predictable")
    Diet('predictable': skewness <= 3.51 and kurtosis <= 22.62)
    """

    neurons: rules.Rule
    name: str = "unnamed"
    description: str = ""
    splits: str | None = None
    statistics_window: Literal["train", "all"] = "train"
    missing: Literal["exclude", "include", "error"] = "exclude"
    statistics_reference: Literal["train", "all"] = "train"
    windows: WindowRule = field(default_factory=WindowRule)
    disjoint: tuple[Disjoint, ...] = ()
    folder: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        rules.check_rule_size(self.neurons)
        rules.check_name(self.name, "a diet's name")
        if not all(line.isprintable() for line in self.description.split("\n")):
            raise DietError("the description holds characters that cannot be printed; remove them.")
        if self.splits is not None:
            rules.check_name(self.splits, "a split's name")
        if self.statistics_window not in ("train", "all"):
            raise DietError(
                f"unknown statistics window {self.statistics_window!r}: "
                f"{nearest(self.statistics_window, ('train', 'all'))}"
            )
        if self.statistics_reference not in ("train", "all"):
            raise DietError(
                f"unknown reference {self.statistics_reference!r}: {nearest(self.statistics_reference, ('train', 'all'))}"
            )
        if self.missing not in MISSING:
            raise DietError(f"unknown policy for missing values {self.missing!r}: {nearest(self.missing, MISSING)}")

    @classmethod
    def where(cls, condition: Condition | Term | str, *, name: str = "unnamed", **options: Any) -> Diet:
        """Neurons for which `condition` is true; `options` are further attributes of the diet."""
        return cls(rules.Where(condition_node(condition)), name=name, **options)

    @classmethod
    def everyone(cls, *, name: str = "all", **options: Any) -> Diet:
        """Every neuron of the store."""
        return cls(rules.Everyone(), name=name, **options)

    @classmethod
    def ids(cls, neuron_ids: Sequence[str], *, name: str = "unnamed", **options: Any) -> Diet:
        """Neurons by their ``neuron_id``."""
        return cls(rules.Ids(tuple(str(neuron_id) for neuron_id in neuron_ids)), name=name, **options)

    @classmethod
    def reference(cls, diet: str, **options: Any) -> Diet:
        """Neurons that the diet of that name keeps, looked up when resolved."""
        return cls(rules.Reference(diet), **({"name": diet} | options))

    def __invert__(self) -> Diet:
        return replace(self, neurons=rules.Complement(self.neurons), name=_composed(f"not {self.name}"), description="")

    def __and__(self, other: Diet) -> Diet:
        return _joined("and", rules.Intersect, self, other)

    def __or__(self, other: Diet) -> Diet:
        return _joined("or", rules.Union, self, other)

    def __sub__(self, other: Diet) -> Diet:
        return _joined("but not", rules.Difference, self, other)

    def sample(
        self, *, fraction: float | None = None, n: int | None = None, seed: int = 0, within: str | None = None
    ) -> Diet:
        """Take part of the neurons, by the smallest hash of (seed, neuron_id): nested, whatever the order of the store.

        Parameters
        ----------
        fraction : float, optional
            Share of the neurons, above 0 and at most 1.
        n : int, optional
            Number of neurons instead.
        seed : int
        within : str, optional
            A column; the fraction, or n, holds in each of its groups.
        """
        rule = rules.Sample(self.neurons, fraction=fraction, n=n, seed=seed, within=within)
        return replace(self, neurons=rule, name=_composed(f"{self.name} sample"), description="")

    def during(self, condition: Condition | Term | str | None = None, *, min_length_s: float | None = None) -> Diet:
        """Eat only time in which `condition` holds, in windows of at least `min_length_s` seconds."""
        where = None if condition is None else condition_node(condition)
        return replace(self, windows=WindowRule(where, min_length_s))

    def named(self, name: str, description: str | None = None) -> Diet:
        """Give the diet another name, and another description where one is given."""
        return replace(self, name=name, description=self.description if description is None else description)

    def with_options(self, **options: Any) -> Diet:
        """Change ``splits``, ``statistics_window``, ``missing``, ``statistics_reference`` or ``disjoint``."""
        known = ("splits", "statistics_window", "missing", "statistics_reference", "disjoint")
        for word in options:
            if word not in known:
                raise UsageError(f"unknown option {word!r} of a diet: {nearest(word, known)}")
        return replace(self, **options)

    def to_dict(self) -> dict[str, Any]:
        """Write the diet as plain mappings and lists: the one canonical form."""
        document: dict[str, Any] = {"diet": 1, "name": self.name}
        if self.description:
            document["description"] = self.description
        if self.splits is not None:
            document["splits"] = self.splits
        document["statistics"] = {"window": self.statistics_window}
        if self.statistics_reference != "train":
            document["statistics"]["reference"] = self.statistics_reference
        document["missing"] = self.missing
        document["neurons"] = rule_document(self.neurons)
        windows = windows_document(self.windows)
        if windows:
            document["windows"] = windows
        if self.disjoint:
            document["disjoint"] = [{"from": pair.other, "by": pair.by} for pair in self.disjoint]
        return document

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, folder: Path | None = None) -> Diet:
        """Read what `to_dict` writes; JSON and YAML hold the same mapping."""
        return cls._build(dict(value), {}, folder)

    @classmethod
    def _build(cls, value: Any, lines: Mapping[plain_text.Path, int], folder: Path | None) -> Diet:
        document = documents.read_document(value, lines)
        builder = documents.Builder(lines)
        where = document.windows.where
        windows = builder.made(
            ("windows",),
            WindowRule,
            None if where is None else builder.condition(where, ("windows", "where")),
            document.windows.min_length_s,
        )
        disjoint = tuple(
            builder.made(("disjoint", index), Disjoint, pair.other, pair.by)
            for index, pair in enumerate(document.disjoint)
        )
        diet: Diet = builder.made(
            (),
            cls,
            builder.rule(document.neurons, ("neurons",)),
            name=document.name,
            description=document.description,
            splits=document.splits,
            statistics_window=document.statistics.window,
            statistics_reference=document.statistics.reference,
            missing=document.missing,
            windows=windows,
            disjoint=disjoint,
            folder=folder,
        )
        return diet

    def to_yaml(self) -> str:
        """Write the diet as YAML, which `from_yaml` reads back to an equal diet.

        Examples
        --------
        >>> print(Diet.where("skewness <= 3.51", name="low").to_yaml())
        diet: 1
        name: low
        statistics:
          window: train
        missing: exclude
        neurons:
          where: skewness <= 3.51
        <BLANKLINE>
        """
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)
        if len(text.encode()) > plain_text.MAX_BYTES:
            raise DietError(
                f"diet {self.name!r} is {len(text.encode()) // 1024} KiB as YAML, above the "
                f"{plain_text.MAX_BYTES // 1024} KiB that are read; name neurons by a rule instead of by `ids`."
            )
        return text

    @classmethod
    def from_yaml(cls, source: str | Path) -> Diet:
        """Read a diet from YAML text, or from a file: a ``Path``, or a text of one line that ends in .yaml or .yml.

        Raises
        ------
        DietError
            With line and path of everything that is wrong.
        UsageError
            No such file.
        """
        if isinstance(source, str) and ("\n" in source or not source.strip().endswith((".yaml", ".yml"))):
            return cls._build(*plain_text.read_yaml(source), None)
        path = Path(source)
        try:
            with path.open("rb") as file:
                raw = file.read(plain_text.MAX_BYTES + 1)
        except OSError as error:
            raise UsageError(
                f"no diet can be read from {str(path)!r} ({error.strerror}); give the path of a YAML file."
            ) from None
        try:
            return cls._build(*plain_text.read_yaml(raw.decode("utf-8")), path.parent)
        except UnicodeDecodeError:
            raise DietError(f"{path.name}: not UTF-8 text; save the diet as UTF-8.") from None
        except DietError as error:
            raise DietError(f"{path.name}: {error}") from None

    def to_json(self) -> str:
        """Write the diet as canonical JSON: sorted keys, no spaces."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Diet:
        """Read a diet from JSON; the limits are those of YAML.

        Examples
        --------
        >>> Diet.from_json(Diet.everyone().to_json()) == Diet.everyone()
        True
        """
        return cls._build(plain_text.read_json(text), {}, None)

    @property
    def digest(self) -> str:
        """Sha256 of the canonical form, references as they are written; name and description count."""
        return json_digest(self.to_dict())

    def resolve(
        self,
        store: Store,
        split: Split | SplitSpec | str | None = None,
        fold: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> Manifest:
        """Find out which neurons and windows of a store this diet means; see `poyodata.curation.resolve_diet`."""
        from poyodata.curation.resolve import resolve_diet

        return resolve_diet(self, store, split=split, fold=fold, progress=progress)

    def __repr__(self) -> str:
        during = f" during {to_text(self.windows.where)}" if self.windows.where is not None else ""
        return f"Diet({self.name!r}: {rule_text(self.neurons)}{during})"


def mix(*diets: Diet, name: str = "unnamed", description: str = "") -> Diet:
    """Put several diets together; a sampled diet gives its sample.

    Examples
    --------
    >>> low = Diet.where("skewness <= 3.51", name="low")
    >>> mix(~low, low.sample(fraction=0.3, seed=0), name="mixed")
    Diet('mixed': mix of not low + 0.3 of low)
    """
    terms = []
    for diet in diets:
        rule = diet.neurons
        if isinstance(rule, rules.Sample) and rule.within is None:
            label = diet.name.removesuffix(" sample") if diet.name != "unnamed" else ""
            terms.append(rules.MixTerm(rule.of, name=label, fraction=rule.fraction, n=rule.n, seed=rule.seed))
        else:
            terms.append(rules.MixTerm(rule, name="" if diet.name == "unnamed" else diet.name))
    joined = rules.Mix(tuple(terms))
    return replace(_options_of(diets), neurons=joined, name=name, description=description)


def _composed(name: str) -> str:
    return name if len(name) <= rules.MAX_NAME else "unnamed"


def _joined(
    word: str, kind: type[rules.Union] | type[rules.Intersect] | type[rules.Difference], a: Diet, b: Diet
) -> Diet:
    name = _composed(f"({a.name}) {word} ({b.name})")
    return replace(_options_of((a, b)), neurons=kind((a.neurons, b.neurons)), name=name, description="")


def _options_of(diets: Sequence[Diet]) -> Diet:
    """Take splits, windows and policies from diets that are joined; where two differ, the user must say which."""
    if not diets:
        raise DietError("`mix` joins at least two diets; got none.")
    first = diets[0]
    chosen: dict[str, Any] = {}
    for attribute, unset in (("splits", None), ("windows", WindowRule()), ("folder", None)):
        given = list(dict.fromkeys(getattr(diet, attribute) for diet in diets if getattr(diet, attribute) != unset))
        if len(given) > 1:
            raise DietError(
                f"the diets joined here have different {attribute}; join them without, "
                f"then set {attribute} on the result."
            )
        chosen[attribute] = given[0] if given else unset
    for attribute in ("statistics_window", "missing", "statistics_reference"):
        values = {getattr(diet, attribute) for diet in diets}
        if len(values) > 1:
            raise DietError(
                f"the diets joined here differ in {attribute} ({' and '.join(sorted(values))}); "
                f"give both the same with .with_options({attribute}=...)."
            )
    chosen["disjoint"] = tuple(dict.fromkeys(pair for diet in diets for pair in diet.disjoint))
    return replace(first, **chosen)
