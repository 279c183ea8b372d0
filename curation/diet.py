"""`Diet`: which neurons and which time a model may eat. An intent without data, equal in Python, YAML and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from poyodata.curation.binding import collect_parameters, settings_of, written_anew
from poyodata.curation.documents import document as documents
from poyodata.curation.joining import agreed_options, composed_name, joined_diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parameters import Parameter, Value, settled
from poyodata.curation.language.rule_document import rule_document, rule_text, windows_document
from poyodata.curation.language.spelling import Condition, Term, condition_node, operand_node
from poyodata.curation.language.window_rule import WindowRule, WindowSample
from poyodata.digests import canonical_json, json_digest
from poyodata.documents import plain_text
from poyodata.documents.places import Places
from poyodata.errors import DietError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from poyodata.curation.explain import Explanation
    from poyodata.curation.manifest import Manifest
    from poyodata.curation.preview import Preview
    from poyodata.curation.selecting.selection import Selection
    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

DISJOINT_BY: tuple[str, ...] = ("donor", "container", "session", "cell", "neuron")
MISSING: tuple[str, ...] = ("exclude", "include", "error")
TRAIN_OR_ALL: tuple[str, ...] = ("train", "all")


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
        Where references to files are looked up, None for the current folder; no part of the diet's content, and so
        not of its YAML and JSON.

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
        for what, part, kind in (("description", self.description, str), ("window rule", self.windows, WindowRule)):
            if not isinstance(part, kind):
                raise DietError(f"a diet's {what} is a {kind.__name__}; got {type(part).__name__}.")
        rules.check_description(self.description)
        if self.splits is not None:
            rules.check_name(self.splits, "a split's name")
        for what, value, known in (
            ("statistics window", self.statistics_window, TRAIN_OR_ALL),
            ("reference", self.statistics_reference, TRAIN_OR_ALL),
            ("policy for missing values", self.missing, MISSING),
        ):
            if value not in known:
                raise DietError(f"unknown {what} {str(value)[:60]!r}: {nearest(str(value)[:60], known)}")
        object.__setattr__(self, "disjoint", tuple(self.disjoint))
        if self.folder is not None and not isinstance(self.folder, str | Path):
            raise DietError(f"a diet's folder is a path; got {type(self.folder).__name__}.")
        object.__setattr__(self, "folder", None if self.folder is None else Path(self.folder))
        collect_parameters(self.neurons, self.windows)

    @classmethod
    def where(cls, condition: Condition | Term | str, *, name: str = "unnamed", **options: Any) -> Diet:
        """Neurons for which `condition` is true; `options` are further attributes of the diet."""
        return cls(rules.Where(condition_node(condition)), name=name, **options)

    @classmethod
    def everyone(cls, *, name: str = "all", **options: Any) -> Diet:
        """Every neuron of the store."""
        return cls(rules.Everyone(), name=name, **options)

    @classmethod
    def ids(cls, neuron_ids: Iterable[str] | pd.DataFrame, *, name: str = "unnamed", **options: Any) -> Diet:
        """Neurons by their ``neuron_id``: a list of them, or a table with that column."""
        listed: Any = neuron_ids
        if hasattr(listed, "columns"):
            if "neuron_id" not in listed.columns:
                raise DietError("the table given to Diet.ids has no column 'neuron_id'; name neurons by that.")
            listed = listed["neuron_id"]
        if isinstance(listed, str):
            raise DietError(f"Diet.ids takes a list; write Diet.ids([{listed!r}]).")
        if not isinstance(listed, Iterable):
            raise DietError(f"Diet.ids takes a list of neuron_id, or a table with them; got {type(listed).__name__}.")
        return cls(rules.Ids(tuple(str(neuron_id) for neuron_id in listed)), name=name, **options)

    @classmethod
    def reference(cls, diet: str, *, with_: Mapping[str, Value | Parameter] | None = None, **options: Any) -> Diet:
        """Neurons that the diet of that name keeps, looked up when resolved.

        Parameters
        ----------
        diet : str
            A preset, a diet of an installed package, or the path of a file.
        with_ : mapping, optional
            Parameters of that diet that are set here; ``with:`` in a file.
        **options
            Attributes of this diet, its name among them.
        """
        return cls(rules.Reference(diet, tuple((with_ or {}).items())), **({"name": diet} | options))

    def __bool__(self) -> bool:
        raise DietError(
            f"diet {self.name!r} has no truth value by itself: join diets with & | - ~ (not and / or / not), as in "
            "low & deep; to ask whether there is one, write `diet is not None`."
        )

    def __invert__(self) -> Diet:
        return self._with_rule(rules.Complement(self.neurons), f"not {self.name}")

    def __and__(self, other: Diet) -> Diet:
        return joined_diet("and", rules.Intersect, self, other)

    def __or__(self, other: Diet) -> Diet:
        return joined_diet("or", rules.Union, self, other)

    def __sub__(self, other: Diet) -> Diet:
        return joined_diet("but not", rules.Difference, self, other)

    def sample(
        self,
        *,
        fraction: float | Parameter | None = None,
        n: int | Parameter | None = None,
        seed: int | Parameter = 0,
        within: str | None = None,
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
        return self._with_rule(rule, f"{self.name} sample")

    def balance(self, by: str | Sequence[str], *, n: int | Parameter | None = None, seed: int | Parameter = 0) -> Diet:
        """Take as many neurons from every group of the columns `by`: `n`, or as many as the smallest group has."""
        columns = _column_names(by, "balance")
        return self._with_rule(rules.Balance(self.neurons, columns, n, seed), f"{self.name} balanced")

    def top(self, k: int | Parameter, by: Term | str, *, order: str = "highest", within: str | None = None) -> Diet:
        """Take the `k` neurons that are highest, or lowest, in `by`.

        Parameters
        ----------
        k : int
        by : Term or str
            A column, or a function of one: ``c.reliability``, ``"abs(skewness)"``.
        order : {"highest", "lowest"}
        within : str, optional
            A column; k neurons of each of its groups.

        Examples
        --------
        >>> Diet.everyone().top(10, by="reliability")
        Diet('all top 10': 10 highest in reliability of (all neurons))
        """
        rule = rules.Top(self.neurons, k, operand_node(by), order, within)
        return self._with_rule(rule, f"{self.name} top {settled(k)}")

    def matched(
        self,
        on: str | Sequence[str] = (),
        *,
        of: Diet | None = None,
        seed: int | Parameter = 0,
        draw: int | Parameter = 0,
    ) -> Diet:
        """Take random controls for this diet: as many neurons, like them in the columns `on`.

        Parameters
        ----------
        on : str or sequence of str
            What must agree: columns of text (``session_id``) or of numbers, ``windows``, ``tokens``.
        of : Diet, optional
            The pool that is drawn from; default is every neuron.
        seed, draw : int
            Draws 0, 1, 2, ... of one seed are independent of each other.
        """
        columns = _column_names(on, "matched")
        if of is not None and not isinstance(of, Diet):
            raise DietError(f"controls are drawn from a diet: of=Diet.reference(...); got {type(of).__name__}.")
        options = self if of is None else agreed_options((self, of))
        pool = rules.Everyone() if of is None else of.neurons
        rule = rules.Match(self.neurons, pool, columns, seed, draw)
        return options._with_rule(rule, f"matched to {self.name}")

    def during(
        self,
        condition: Condition | Term | str | None = None,
        *,
        min_length_s: float | Parameter | None = None,
        while_: Condition | Term | str | None = None,
        sample: WindowSample | None = None,
    ) -> Diet:
        """Eat only a part of the time.

        Parameters
        ----------
        condition : Condition or str, optional
            What was shown: ``c.stimulus == "drifting_gratings"``.
        min_length_s : float, seconds
            Shorter windows are left out, to the nearest whole frame of each recording: at 30.1 Hz, 2 s are 60 frames,
            which last 1.993 s. ``duration_s`` in a condition is exact.
        while_ : Condition or str, optional
            Of single frames: ``c.running_cm_s < 1``; windows are cut to the stretches in which it holds.
        sample : WindowSample, optional
            A part of the windows that are left.
        """
        where = None if condition is None else condition_node(condition)
        frames = None if while_ is None else condition_node(while_)
        return replace(self, windows=WindowRule(where, min_length_s, frames, sample))

    @property
    def parameters(self) -> dict[str, Value]:
        """Values of the diet's parameters by name, in the order in which they stand in it.

        Examples
        --------
        >>> Diet.where("skewness <= param(max_skewness, 3.51)").parameters
        {'max_skewness': 3.51}
        """
        return {name: one.default for name, one in collect_parameters(self.neurons, self.windows).items()}

    def with_parameters(self, /, **values: Value) -> Diet:
        """Set parameters: the values become the new defaults, wherever the parameter stands.

        Raises
        ------
        UsageError
            The diet has no such parameter.
        DietError
            A value of another kind, or out of range.

        Examples
        --------
        >>> Diet.where("skewness <= param(max_skewness, 3.51)").with_parameters(max_skewness=2)
        Diet('unnamed': skewness <= 2.0)
        """
        settings = settings_of(collect_parameters(self.neurons, self.windows), values)
        try:
            return self._rewritten(lambda parameter: settings[parameter.name])
        except DietError as error:
            given = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise DietError(f"the diet cannot have {given[:200]}: {error}") from None

    def bound(self) -> Diet:
        """Return the diet without parameters: the constants they stand for are in their place.

        Examples
        --------
        >>> Diet.where("skewness <= param(max_skewness, 3.51)").bound()
        Diet('unnamed': skewness <= 3.51)
        """
        return self._rewritten(lambda parameter: parameter.default) if self.parameters else self

    def _rewritten(self, new: Callable[[Parameter], Parameter | Value]) -> Diet:
        return replace(self, neurons=written_anew(self.neurons, new), windows=written_anew(self.windows, new))

    def _with_rule(self, rule: rules.Rule, name: str) -> Diet:
        return replace(self, neurons=rule, name=composed_name(name), description="")

    def named(self, name: str, description: str | None = None) -> Diet:
        """Give the diet another name, and another description where one is given."""
        return replace(self, name=name, description=self.description if description is None else description)

    def with_options(self, **options: Any) -> Diet:
        """Change ``splits``, ``statistics_window``, ``missing``, ``statistics_reference``, ``disjoint``, ``folder``.

        Examples
        --------
        >>> Diet.reference("calm.yaml").with_options(folder="my-diets").folder.name
        'my-diets'
        """
        known = ("splits", "statistics_window", "missing", "statistics_reference", "disjoint", "folder")
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
    def from_dict(cls, value: Mapping[str, Any], *, folder: str | Path | None = None) -> Diet:
        """Read what `to_dict` writes; JSON and YAML hold the same mapping."""
        given: Any = value
        return cls._build(dict(given) if isinstance(given, Mapping) else given, Places(), folder)

    @classmethod
    def _build(cls, value: Any, places: Places, folder: str | Path | None) -> Diet:
        return documents.build(value, places, diet=cls, disjoint=Disjoint, folder=folder)

    def to_yaml(self) -> str:
        """Write the diet as YAML, which `from_yaml` reads back to an equal diet.

        A text has no folder: references to files are looked up in the current one, unless `from_yaml` is given one.

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
        text = plain_text.write_yaml(self.to_dict())
        if len(text.encode()) > plain_text.MAX_BYTES:
            raise DietError(
                f"diet {self.name!r} is {len(text.encode()) // 1024} KiB as YAML, above the "
                f"{plain_text.MAX_BYTES // 1024} KiB that are read; name neurons by a rule instead of by `ids`."
            )
        return text

    @classmethod
    def from_yaml(cls, source: str | Path, *, folder: str | Path | None = None) -> Diet:
        """Read a diet from YAML text, or from a file: a ``Path``, or a text of one line that ends in .yaml or .yml.

        Parameters
        ----------
        source : str or Path
        folder : path, optional
            Where references to files are looked up; by default the folder of the file, and the current one for a text.

        Raises
        ------
        DietError
            With line and path of everything that is wrong.
        UsageError
            No such file, or neither a text nor a path.
        """
        _check_source(source, "from_yaml")
        if isinstance(source, str) and ("\n" in source or not source.strip().endswith((".yaml", ".yml"))):
            return cls._build(*plain_text.read_yaml(source), folder)
        path = Path(source)
        where = path.parent if folder is None else folder
        return cls._build(*plain_text.read_yaml(plain_text.read_file(path), str(path)), where)

    def to_json(self) -> str:
        """Write the diet as canonical JSON: sorted keys, no spaces."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, source: str | Path, *, folder: str | Path | None = None) -> Diet:
        """Read a diet from JSON text, or from a file given as a ``Path``; limits and `folder` are those of YAML.

        Examples
        --------
        >>> Diet.from_json(Diet.everyone().to_json()) == Diet.everyone()
        True
        """
        _check_source(source, "from_json")
        if isinstance(source, str):
            return cls._build(*plain_text.read_json(source), folder)
        where = source.parent if folder is None else folder
        return cls._build(*plain_text.read_json(plain_text.read_file(source), str(source)), where)

    def to_python(self) -> str:
        """Write the diet as Python source: run, it sets ``diet`` to an equal diet, which looks files up where it does.

        Examples
        --------
        >>> print(Diet.where("skewness <= 3.51", name="low").to_python())
        from poyodata.curation import Diet, c
        <BLANKLINE>
        diet = Diet.where(c.skewness <= 3.51, name="low")
        <BLANKLINE>
        """
        from poyodata.curation.language.python_source import python_source

        return python_source(self)

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

    def select(self, table: pd.DataFrame) -> Selection:
        """Apply the rule to any table of neurons, without a store.

        Parameters
        ----------
        table : DataFrame
            ``neuron_id`` and every column that the rule names. A column ``role`` says which neurons are of recordings
            to learn from, for ``quantile``, ``zscore`` and ``rank``; without it every neuron counts.

        Raises
        ------
        UsageError
            It is no table.
        DietError
            It lacks a column, has one twice, or holds lists; and as resolving does.
        """
        from poyodata.curation.selecting.given_table import check_table
        from poyodata.curation.selecting.references import References
        from poyodata.curation.selecting.selection import select_neurons

        diet = self.bound()
        references = References(diet)
        check_table(table, ["neuron_id", *references.columns])
        return select_neurons(diet, table, references)

    def preview(self, store: Store, split: Split | SplitSpec | str | None = None, fold: int = 0) -> Preview:
        """Count what the diet would keep, from tables alone; see `poyodata.curation.preview.preview_diet`."""
        from poyodata.curation.preview import preview_diet

        return preview_diet(self, store, split=split, fold=fold)

    def explain(
        self, store: Store, neuron_id: str, split: Split | SplitSpec | str | None = None, fold: int = 0
    ) -> Explanation:
        """Say which step keeps or drops a neuron, and with which values; see `poyodata.curation.explain`."""
        from poyodata.curation.explain import explain_neuron

        return explain_neuron(self, neuron_id, store=store, split=split, fold=fold)

    def draws(
        self,
        store: Store,
        n: int,
        *,
        on: str | Sequence[str] = (),
        of: Diet | None = None,
        seed: int = 0,
        split: Split | SplitSpec | str | None = None,
        fold: int = 0,
    ) -> list[Manifest]:
        """Resolve `n` draws of random controls for this diet; see `poyodata.curation.selecting.draws.draw_controls`."""
        from poyodata.curation.selecting.draws import draw_controls

        return draw_controls(self, store, n, on=on, of=of, seed=seed, split=split, fold=fold)

    def __repr__(self) -> str:
        bound = self.bound()
        during = f" during {to_text(bound.windows.where)}" if bound.windows.where is not None else ""
        return f"Diet({self.name!r}: {rule_text(bound.neurons)}{during})"


def _check_source(source: Any, method: str) -> None:
    if not isinstance(source, str | Path):
        raise UsageError(
            f"Diet.{method} takes a text or a Path, not a {type(source).__name__}; Diet.from_dict reads a mapping."
        )


def _column_names(given: Any, method: str) -> tuple[str, ...]:
    """Columns given as one name or several."""
    if not isinstance(given, Iterable):
        raise DietError(f"`{method}` takes the name of a column or a list of names; got {type(given).__name__}.")
    return (given,) if isinstance(given, str) else tuple(given)
