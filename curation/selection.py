"""From a diet and a table of neurons to who is kept, who is not, for whom it is unknown, and by which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation import rules
from poyodata.curation.diet import Diet
from poyodata.curation.evaluate import Evaluator, Kleene, Mask
from poyodata.curation.expressions import And, columns_of, to_text
from poyodata.curation.library import load_diet
from poyodata.curation.parameters import settled
from poyodata.curation.rule_document import rule_text, term_text
from poyodata.digests import hash_order
from poyodata.errors import DietError, nearest

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Step:
    """One row of a funnel; kept, rejected and unknown add up to what the step looked at."""

    step: str
    rule: str
    kept: int
    rejected: int
    unknown: int
    counts: str = "neurons"


@dataclass(frozen=True)
class Selection:
    """What a diet keeps of a table of neurons.

    Attributes
    ----------
    kept : ndarray, shape (neuron,), bool
    term : ndarray, shape (neuron,), object
        Label of the term that kept a neuron; ``""`` elsewhere.
    steps : list of Step
    frozen : dict
        For every sample its pool, what was taken and the seed.
    warnings : list of str
    """

    kept: Mask
    term: Labels
    steps: list[Step]
    frozen: dict[str, Any]
    warnings: list[str]


class References:
    """Diets that a diet refers to, loaded once; refuses circles."""

    def __init__(self, diet: Diet) -> None:
        self._loaded: dict[tuple[str, Path | None], Diet] = {}
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(self._visit(diet, ())))

    def get(self, name: str, folder: Path | None) -> Diet:
        """Return the diet that `name` means for a diet that lies in `folder`."""
        key = (name, folder)
        if key not in self._loaded:
            self._loaded[key] = load_diet(name, folder=folder)
        return self._loaded[key]

    @property
    def documents(self) -> dict[str, Any]:
        """Canonical form of every diet referred to, by name."""
        return {name: diet.to_dict() for (name, _), diet in sorted(self._loaded.items(), key=lambda item: item[0][0])}

    def _visit(self, diet: Diet, chain: tuple[tuple[str, Path | None], ...]) -> list[str]:
        columns: list[str] = []
        for rule, _ in rules.walk_rules(diet.neurons):
            if isinstance(rule, rules.Where):
                columns += columns_of(rule.condition)
            elif isinstance(rule, rules.Sample) and rule.within:
                columns.append(rule.within)
            elif isinstance(rule, rules.Reference):
                key = (rule.diet, diet.folder)
                if key in chain:
                    circle = " -> ".join(name for name, _ in (*chain[chain.index(key) :], key))
                    raise DietError(
                        f"diets refer to each other in a circle: {circle}. Write one of them without the reference."
                    )
                columns += self._visit(self.get(*key), (*chain, key))
        return columns


@dataclass
class Selector:
    """Evaluates rules over one table of neurons and writes down every step."""

    table: pd.DataFrame
    references: References
    evaluator: Evaluator = field(init=False)
    steps: list[Step] = field(default_factory=list)
    frozen: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.evaluator = Evaluator(self.table, notes=self.warnings)
        self.neuron_id = self.table["neuron_id"].to_numpy(dtype=object)

    def note(self, path: str, rule: str, answer: Kleene) -> Kleene:
        """Write a step down and give its answer back."""
        self.steps.append(Step(path, rule, *answer.counts()))
        return answer

    def keep(self, rule: rules.Rule, diet: Diet, path: str) -> tuple[Kleene, Labels | None]:
        """Answer a rule for every neuron; a mix also says which of its terms kept it."""
        labels: Labels | None = None
        text = rule_text(rule)
        match rule:
            case rules.Everyone():
                answer = Kleene.known(np.ones(len(self.table), np.bool_))
            case rules.Where():
                answer = self._where(rule, path)
            case rules.Ids():
                answer = self._ids(rule)
            case rules.Reference():
                answer, labels = self._reference(rule, diet, path)
            case rules.Complement():
                answer = ~self.keep(rule.of, diet, f"{path}.complement")[0]
            case rules.Sample():
                pool, _ = self.keep(rule.of, diet, f"{path}.sample.of")
                groups = self._groups(rule.within)
                taken = self._take(
                    pool.true, settled(rule.fraction), settled(rule.n), settled(rule.seed), groups, f"{path}.sample"
                )
                answer = Kleene(taken, pool.unknown)
            case rules.Mix():
                answer, labels = self._mix(rule, diet, path)
            case rules.Union() | rules.Intersect() | rules.Difference():
                answer = self._combine(rule, diet, path)
        return self.note(path, text, answer), labels

    def _where(self, rule: rules.Where, path: str) -> Kleene:
        if not isinstance(rule.condition, And):
            return self.evaluator.evaluate(rule.condition)
        answer = self.evaluator.evaluate(rule.condition.terms[0])
        self.note(f"{path}.where[0]", to_text(rule.condition.terms[0]), answer)
        for index, term in enumerate(rule.condition.terms[1:], start=1):
            answer = answer & self.evaluator.evaluate(term)
            self.note(f"{path}.where[{index}]", f"... and {to_text(term)}", answer)
        return answer

    def _ids(self, rule: rules.Ids) -> Kleene:
        known = set(self.neuron_id.tolist())
        absent = [name for name in rule.ids if name not in known]
        if absent:
            raise DietError(
                f"{len(absent)} of {len(rule.ids)} neurons under `ids` are not in the store, the first is "
                f"{absent[0]!r}: {nearest(absent[0], self.neuron_id[:2000])}"
            )
        return Kleene.known(np.isin(self.neuron_id.astype(str), np.array(rule.ids, dtype=str)))

    def _reference(self, rule: rules.Reference, diet: Diet, path: str) -> tuple[Kleene, Labels | None]:
        other = self.references.get(rule.diet, diet.folder)
        if other.statistics_window != diet.statistics_window:
            self.warnings.append(
                f"diet {rule.diet!r} asks for statistics of window {other.statistics_window!r}; "
                f"here they are of window {diet.statistics_window!r}"
            )
        answer, labels = self.keep(other.neurons, other, f"{path}[{rule.diet}]")
        return apply_missing(other, answer), labels

    def _combine(self, rule: rules.Union | rules.Intersect | rules.Difference, diet: Diet, path: str) -> Kleene:
        word = type(rule).__name__.lower()
        answers = [self.keep(part, diet, f"{path}.{word}[{index}]")[0] for index, part in enumerate(rule.rules)]
        joined = answers[0]
        for answer in answers[1:]:
            if isinstance(rule, rules.Union):
                joined = joined | answer
            else:
                joined = joined & (answer if isinstance(rule, rules.Intersect) else ~answer)
        return joined

    def _mix(self, rule: rules.Mix, diet: Diet, path: str) -> tuple[Kleene, Labels]:
        pools = [self.keep(term.of, diet, f"{path}.mix[{index}].of")[0] for index, term in enumerate(rule.terms)]
        taken: list[Mask | None] = [None] * len(pools)
        for index, (term, pool) in enumerate(zip(rule.terms, pools, strict=True)):
            if not pool.true.any():
                raise DietError(
                    f"term {index + 1} of the mix ({term_text(term)}) is empty: its pool holds none of the "
                    f"{len(self.table)} neurons. Loosen the rule of its pool, or leave the term out."
                )
            if term.share is None:
                whole = term.fraction is None and term.n is None
                at = f"{path}.mix[{index}]"
                taken[index] = (
                    pool.true
                    if whole
                    else self._take(pool.true, settled(term.fraction), settled(term.n), settled(term.seed), None, at)
                )
        self._shares(rule, pools, taken, path)
        true = np.zeros(len(self.table), np.bool_)
        unknown = np.zeros(len(self.table), np.bool_)
        labels = np.full(len(self.table), "", dtype=object)
        for term, pool, part in zip(rule.terms, pools, taken, strict=True):
            kept = part if part is not None else np.zeros(len(self.table), np.bool_)
            labels[kept & ~true] = _label(term)
            true = true | kept
            unknown = unknown | pool.unknown
        return Kleene(true, unknown & ~true), labels

    def _shares(self, rule: rules.Mix, pools: Sequence[Kleene], taken: list[Mask | None], path: str) -> None:
        """Size the terms given as a share of the result around the terms of known size."""
        shared = [(index, settled(term.share)) for index, term in enumerate(rule.terms) if term.share is not None]
        if not shared:
            return
        used = np.zeros(len(self.table), np.bool_)
        for part in taken:
            if part is not None:
                used = used | part
        if used.any():
            total = used.sum() / (1 - sum(share for _, share in shared))
        else:
            total = min(pools[index].true.sum() / share for index, share in shared)
        for index, share in shared:
            pool = pools[index].true & ~used
            wanted = round_half_up(share * total)
            if wanted > pool.sum():
                raise DietError(
                    f"term {index + 1} of the mix needs {wanted} neurons for its share of {share:g}, but its pool has "
                    f"{int(pool.sum())} that no other term takes. Lower the share, or sample the other terms."
                )
            part = self._take(pool, None, wanted, settled(rule.terms[index].seed), None, f"{path}.mix[{index}]")
            taken[index], used = part, used | part

    def _groups(self, within: str | None) -> npt.NDArray[np.int64] | None:
        if within is None:
            return None
        if within not in self.table.columns:
            raise DietError(
                f"unknown column {within!r} after `within`: {nearest(within, map(str, self.table.columns))}"
            )
        return pd.factorize(self.table[within], use_na_sentinel=False)[0].astype(np.int64)

    def _take(
        self,
        pool: Mask,
        fraction: float | None,
        n: int | None,
        seed: int,
        groups: npt.NDArray[np.int64] | None,
        path: str,
    ) -> Mask:
        """Take the smallest hashes of a pool, in every group."""
        member = np.flatnonzero(pool)
        group = np.zeros(len(member), np.int64) if groups is None else groups[member]
        # Equal hashes are as good as impossible; the id decides all the same, so that the order never does.
        order = np.lexsort((self.neuron_id[member].astype(str), hash_order(self.neuron_id[member], seed), group))
        ordered = group[order]
        first = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1] if len(ordered) else np.zeros(0, np.int64)
        size = np.diff(np.r_[first, len(ordered)])
        rank = np.arange(len(ordered)) - np.repeat(first, size)
        if n is not None and len(size) and size.min() < n:
            where = "" if groups is None else "one group of "
            raise DietError(
                f"a sample asks for {n} neurons, but {where}its pool has {size.min()}; lower n, or give a fraction."
            )
        if n is not None and n > 0 and not len(size):
            raise DietError(f"a sample asks for {n} neurons, but its pool is empty; loosen the rule of the pool.")
        quota = (
            np.full(len(size), n or 0)
            if n is not None
            else np.array([round_half_up((fraction or 0.0) * k) for k in size])
        )
        taken = np.zeros(len(self.table), np.bool_)
        taken[member[order[rank < np.repeat(quota, size).astype(np.int64)]]] = True
        self.frozen[path] = {"pool": len(member), "taken": int(taken.sum()), "seed": seed}
        return taken


def round_half_up(value: float) -> int:
    """Round to the nearest whole number, halves up; 0.3 x 105 counts as 31.5 however its last bit fell.

    Examples
    --------
    >>> round_half_up(31.5), round_half_up(0.1 * 5), round_half_up(32.49)
    (32, 1, 32)
    """
    return int(np.floor(value + 0.5 + 1e-9))


def apply_missing(diet: Diet, answer: Kleene) -> Kleene:
    """Apply a diet's policy for unknown neurons; ``exclude`` leaves them unknown, which is not kept."""
    unknown = int(answer.unknown.sum())
    if unknown and diet.missing == "error":
        raise DietError(
            f"diet {diet.name!r} is unknown for {unknown} neurons, because a column it names is missing there, "
            "and says `missing: error`. Write `missing: exclude` or `include`, or ask with isnan(column)."
        )
    if diet.missing == "include":
        return Kleene(answer.true | answer.unknown, np.zeros_like(answer.unknown))
    return answer


def _label(term: rules.MixTerm) -> str:
    text = term.name or (term.of.diet if isinstance(term.of, rules.Reference) else rule_text(term.of))
    return text[: rules.MAX_NAME]


def select_neurons(diet: Diet, table: pd.DataFrame, references: References | None = None) -> Selection:
    """Apply the neuron rule of a diet to a table of neurons.

    Parameters
    ----------
    diet : Diet
    table : DataFrame
        One row for each neuron: ``neuron_id`` and every column that the rule names.
    references : References, optional
        Diets referred to, when they are loaded already.

    Returns
    -------
    Selection

    Raises
    ------
    DietError
        Unknown column, text or neuron, an empty term, unknowns under ``missing: error``, or nothing kept.

    Examples
    --------
    >>> table = pd.DataFrame({"neuron_id": ["a", "b", "c"], "skewness": [1.0, 5.0, np.nan]})
    >>> select_neurons(Diet.where("skewness <= 3.51"), table).kept.tolist()
    [True, False, False]
    """
    selector = Selector(table, references or References(diet))
    selector.note("population", "neurons of the store", Kleene.known(np.ones(len(table), np.bool_)))
    answer, labels = selector.keep(diet.neurons, diet, "neurons")
    answer = selector.note("missing", f"missing: {diet.missing}", apply_missing(diet, answer))
    if not answer.true.any():
        raise _empty(diet, selector.steps, len(table))
    unknown = int(answer.unknown.sum())
    if unknown:
        selector.warnings.append(f"{unknown} neurons are left out because a column the diet names is missing there")
    term = np.where(answer.true, diet.name, "").astype(object)
    if labels is not None:
        term = np.where(answer.true & (labels != ""), labels, term).astype(object)
    return Selection(answer.true, term, selector.steps, selector.frozen, selector.warnings)


def _empty(diet: Diet, steps: Sequence[Step], population: int) -> DietError:
    first = next((step for step in steps if step.kept == 0), steps[-1])
    advice = "Loosen that condition."
    if first.unknown:
        advice += f" `missing: include` would keep the {first.unknown} for which it is unknown."
    return DietError(
        f"diet {diet.name!r} keeps none of the {population} neurons. The first step that leaves none is {first.step} "
        f"({first.rule}): {first.rejected} rejected, {first.unknown} unknown. {advice}"
    )
