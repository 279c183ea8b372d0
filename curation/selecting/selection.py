"""From a diet and a table of neurons to who is kept, who is not, for whom it is unknown, and by which step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import And, to_text
from poyodata.curation.language.parameters import settled
from poyodata.curation.language.rule_document import rule_text, they_are
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.matching import MatchPlan
from poyodata.curation.selecting.reference_population import ReferencePopulation
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.sampling import round_half_up
from poyodata.curation.selecting.taking import Labels, Taking
from poyodata.errors import DietError, nearest

__all__ = ["References", "Selection", "Selector", "Step", "apply_missing", "pool_of", "round_half_up", "select_neurons"]


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
        For every sample, balance, top and match what was taken of how many, by the path of the rule; for every
        quantile, zscore and rank what it came to, by its text.
    warnings : list of str
    matched : list of dict
        For every `match` what still differs between target and draw; see `Manifest.imbalance`.
    trace : list of (Step, Kleene)
        The answer at every step, where it was asked for.
    reference : ReferencePopulation
        What quantiles, zscores and ranks were compared with.
    parts : mapping of str to ndarray of bool
        What each term of a mix took, by its path.
    """

    kept: Mask
    term: Labels
    steps: list[Step]
    frozen: dict[str, Any]
    warnings: list[str]
    matched: list[dict[str, Any]] = field(default_factory=list)
    trace: list[tuple[Step, Kleene]] = field(default_factory=list)
    reference: ReferencePopulation = field(default_factory=ReferencePopulation, repr=False)
    parts: Mapping[str, Mask] = field(default_factory=dict, repr=False)


@dataclass
class Selector:
    """Evaluates rules over one table of neurons and writes down every step."""

    table: pd.DataFrame
    references: References
    reference: ReferencePopulation
    tracing: bool = False
    plans: dict[str, MatchPlan] = field(default_factory=dict)
    evaluator: Evaluator = field(init=False)
    taking: Taking = field(init=False)
    steps: list[Step] = field(default_factory=list)
    frozen: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    matched: list[dict[str, Any]] = field(default_factory=list)
    trace: list[tuple[Step, Kleene]] = field(default_factory=list)
    taken_in: Mask = field(init=False)
    excluded: dict[tuple[str, str], Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.evaluator = Evaluator(self.table, notes=self.warnings, reference=self.reference)
        self.taking = Taking(self.table, self.frozen, self.warnings)
        self.taken_in = np.zeros(len(self.table), np.bool_)

    def note(self, path: str, rule: str, answer: Kleene) -> Kleene:
        """Write a step down and give its answer back."""
        step = Step(path, rule, *answer.counts())
        self.steps.append(step)
        if self.tracing:
            self.trace.append((step, answer))
        return answer

    def keep(self, rule: rules.Rule, diet: Diet, path: str) -> tuple[Kleene, Labels | None]:
        """Answer a rule for every neuron; a mix also says which of its terms kept it."""
        labels: Labels | None = None
        text, include = rule_text(rule), diet.missing == "include"
        before = self.taken_in.copy()
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
                pool = self._pool(rule.of, diet, f"{path}.sample.of")
                answer = self.taking.sample(rule, pool, f"{path}.sample", include)
            case rules.Balance():
                pool = self._pool(rule.of, diet, f"{path}.balance.of")
                answer = self.taking.balance(rule, pool, f"{path}.balance", include)
            case rules.Top():
                pool = self._pool(rule.of, diet, f"{path}.top.of")
                answer = self.taking.top(rule, pool, self.evaluator.values(rule.by), f"{path}.top", include)
            case rules.Match():
                answer = self._match(rule, diet, f"{path}.match")
            case rules.Mix():
                pools = [self._pool(term.of, diet, f"{path}.mix[{index}].of") for index, term in enumerate(rule.terms)]
                answer, labels = self.taking.mix(rule, pools, path)
            case rules.Union() | rules.Intersect() | rules.Difference():
                answer = self._combine(rule, diet, path)
        # Who was taken into a pool and then not chosen from it is kept, if at all, for another reason.
        self.taken_in = before | (self.taken_in & answer.true)
        return self.note(path, text, answer), labels

    def apply_missing(self, diet: Diet, answer: Kleene) -> Kleene:
        """Apply a diet's policy for unknown neurons, and write down whom it takes in."""
        if diet.missing == "include":
            self.taken_in |= answer.unknown
        return apply_missing(diet, answer)

    def _pool(self, rule: rules.Rule, diet: Diet, path: str) -> Kleene:
        """Answer a rule of whose neurons some are taken; where unknown ones are included, they are among them.

        Included only afterwards, they would come on top of what was counted: a sample of 3 would keep 5.
        """
        answer, _ = self.keep(rule, diet, path)
        if diet.missing != "include":
            return answer
        return self.note(f"{path}.missing", f"missing: {diet.missing}", self.apply_missing(diet, answer))

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
        neuron_id = self.table["neuron_id"]
        listed = neuron_id.isin(rule.ids).to_numpy(np.bool_)
        known = set(neuron_id[listed])
        absent = [name for name in rule.ids if name not in known]
        if absent:
            raise DietError(
                f"{len(absent)} of {len(rule.ids)} neurons under `ids` are not among those to choose from, the first "
                f"is {absent[0]!r}: {nearest(absent[0], neuron_id.iloc[:2000].tolist())} To choose from are the "
                "neurons of the store in recordings of the split, those with an invalid ROI only where the diet names "
                "valid_roi or exclusion_label."
            )
        return Kleene.known(listed)

    def _reference(self, rule: rules.Reference, diet: Diet, path: str) -> tuple[Kleene, Labels | None]:
        other = self.references.get(rule, diet)
        for what, theirs, ours in (
            ("window", other.statistics_window, diet.statistics_window),
            ("reference", other.statistics_reference, diet.statistics_reference),
        ):
            warning = f"diet {rule.diet!r} asks for statistics of {what} {theirs!r}; here they are of {what} {ours!r}"
            if theirs != ours and warning not in self.warnings:
                self.warnings.append(warning)
        answer, labels = self.keep(other.neurons, other, f"{path}[{rule.diet}]")
        if diet.missing == "include" and other.missing == "exclude" and answer.unknown.any():
            known = self.excluded.get((rule.diet, diet.name), np.zeros_like(answer.unknown))
            self.excluded[rule.diet, diet.name] = known | answer.unknown
        return self.apply_missing(other, answer), labels

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

    def _match(self, rule: rules.Match, diet: Diet, path: str) -> Kleene:
        before = self.taken_in.copy()
        target = self._pool(rule.to, diet, f"{path}.to")
        self.taken_in = before  # what is matched is not kept for that
        pool = self._pool(rule.of, diet, f"{path}.from")
        seed, draw = settled(rule.seed), settled(rule.draw)
        # Of nested draws the outer plan is another for every draw.
        if path not in self.plans or not self.plans[path].is_for(target.true, pool.true):
            self.plans[path] = MatchPlan.make(self.table, target.true, pool.true, rule.on)
        drawn = self.plans[path].draw(seed, draw)
        self.frozen[path] = {
            "target": int(target.true.sum()),
            "pool": int(pool.true.sum()),
            "taken": len(drawn),
            "seed": seed,
            "draw": draw,
        }
        self.matched += [{"rule": path} | row for row in self.plans[path].imbalance(drawn)]
        return self.taking.answer(pool, drawn)


def pool_of(answers: Mapping[str, Kleene], path: str) -> Kleene:
    """What was taken from: the answer of the step `path`, the unknown neurons that the diet includes among it."""
    return answers.get(f"{path}.missing", answers[path])


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


def select_neurons(
    diet: Diet,
    table: pd.DataFrame,
    references: References | None = None,
    *,
    trace: bool = False,
    plans: dict[str, MatchPlan] | None = None,
    allow_empty: bool = False,
) -> Selection:
    """Apply the neuron rule of a diet to a table of neurons.

    Parameters
    ----------
    diet : Diet
    table : DataFrame
        One row for each neuron: ``neuron_id`` and every column that the rule names. With a column ``role``, quantiles
        compare with its ``train`` rows, and `match` draws within each role; `match` on windows or tokens takes columns
        of those names.
    references : References, optional
        Diets referred to, when they are loaded already.
    trace : bool
        Keep the answer of every step.
    plans : dict, optional
        What earlier draws of the same `match` rules on the same table shared; filled here.
    allow_empty : bool
        Answer also where nothing is kept, for who only counts or explains.

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
    references = references or References(diet)
    diet = diet.bound()
    _require_columns(diet, table, references)
    selector = Selector(table, references, _reference_population(diet, table), trace, {} if plans is None else plans)
    selector.note("population", "neurons of the store", Kleene.known(np.ones(len(table), np.bool_)))
    answer, labels = selector.keep(diet.neurons, diet, "neurons")
    answer = selector.note("missing", f"missing: {diet.missing}", selector.apply_missing(diet, answer))
    if not answer.true.any() and not allow_empty:
        raise _empty(diet, selector.steps, len(table), selector.warnings)
    for (name, outer), rows in selector.excluded.items():
        count = int((answer.true & rows & selector.taken_in).sum())
        if count:
            selector.warnings.append(
                f"{they_are(count, 'neuron')} kept for which diet {name!r} is unknown, and which it excludes by "
                f"itself: `missing: include` of diet {outer!r} takes them in"
            )
    unknown = int(answer.unknown.sum())
    if unknown:
        selector.warnings.append(
            f"{they_are(unknown, 'neuron')} left out because a column the diet names is missing there"
        )
    term = np.where(answer.true, diet.name, "").astype(object)
    if labels is not None:
        term = np.where(answer.true & (labels != ""), labels, term).astype(object)
    frozen = selector.frozen | selector.reference.frozen
    return Selection(
        answer.true,
        term,
        selector.steps,
        frozen,
        selector.warnings,
        selector.matched,
        selector.trace,
        selector.reference,
        selector.taking.parts,
    )


def _require_columns(diet: Diet, table: pd.DataFrame, references: References) -> None:
    """Name all columns that the table lacks together, with what may have been meant."""
    has = [str(name) for name in table.columns]
    lacking = [name for name in references.columns if name not in has]
    if lacking:
        said = " ".join(f"{name!r}: {nearest(name, has)}" for name in lacking)
        number = "an unknown column" if len(lacking) == 1 else f"{len(lacking)} unknown columns"
        raise DietError(f"diet {diet.name!r} names {number} {said}")
    for name in references.counted:
        if name not in has:
            raise DietError(
                f"diet {diet.name!r} matches on {name}, which only a store knows: resolve it there, or give the table "
                f"a column {name!r} with the {name} of each neuron's recording."
            )


def _reference_population(diet: Diet, table: pd.DataFrame) -> ReferencePopulation:
    """Neurons that quantile, zscore and rank compare with: valid ones of recordings to learn from."""
    train = diet.statistics_reference == "train" and "role" in table.columns
    rows = (table["role"] == "train").to_numpy(np.bool_) if train else None
    if "valid_roi" in table.columns and pd.api.types.is_bool_dtype(table["valid_roi"].dtype):
        valid = table["valid_roi"].fillna(False).to_numpy(np.bool_)
        rows = valid if rows is None else rows & valid
    return ReferencePopulation(rows, "train" if train else "all")


def _empty(diet: Diet, steps: Sequence[Step], population: int, notes: Sequence[str]) -> DietError:
    first = next((step for step in steps if step.kept == 0), steps[-1])
    advice = "Loosen that condition."
    if first.unknown:
        advice += f" `missing: include` would keep the {first.unknown} for which it is unknown."
    advice += "".join(f" Note that {note}." for note in notes[:3])
    return DietError(
        f"diet {diet.name!r} keeps none of the {population} neurons. The first step that leaves none is {first.step} "
        f"({first.rule}): {first.rejected} rejected, {first.unknown} unknown. {advice}"
    )
