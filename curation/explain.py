"""`Explanation`: which step of a diet kept or dropped one neuron, with the values that the step looked at."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import Call, Quantile, to_text, walk
from poyodata.curation.manifest import Manifest
from poyodata.curation.resolve import Ground
from poyodata.curation.selecting.deciding import decided_by
from poyodata.curation.selecting.evaluate import Evaluator
from poyodata.curation.selecting.kleene import Kleene
from poyodata.curation.selecting.places_taken import place_in, taken_by
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.selection import Selection, select_neurons
from poyodata.errors import UsageError, nearest

if TYPE_CHECKING:
    from poyodata.splits import Split, SplitSpec
    from poyodata.store import Store

IDENTITY: tuple[str, ...] = (
    "session_id",
    "donor_id",
    "container_id",
    "cell_specimen_id",
    "cre_line",
    "area",
    "role",
)
_WORD = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*(?:@\w+)?")
_CANDIDATES = 2000


@dataclass(frozen=True)
class Explanation:
    """What a diet made of one neuron. Made by ``manifest.explain(neuron_id)`` or ``diet.explain(store, neuron_id)``.

    Attributes
    ----------
    neuron_id : str
    diet : str
        Name of the diet.
    answer : str
        ``kept``, ``rejected`` or ``unknown``; also ``not considered`` where split or exclusion label leave it out.
    decided_by : str
        The step that dropped it; ``""`` where it is kept.
    reason : str
        That step in words.
    about : dict
        Who it is: recording, donor, CRE line, role of its recording ...
    values : dict
        Every column that the rule named.
    steps : DataFrame
        One row a step of the rule: step, rule, answer (``kept``, ``rejected``, ``unknown``), looked_at (values of the
        columns that the step names, and thresholds that were frozen), place (its rank in a sample, and the cut-off).
    windows : dict of str to int, or None
        Windows of its recording by role; None where windows were not resolved.
    """

    neuron_id: str
    diet: str
    answer: str
    decided_by: str
    reason: str
    about: Mapping[str, Any]
    values: Mapping[str, Any]
    steps: pd.DataFrame = field(repr=False)
    windows: Mapping[str, int] | None = None

    @property
    def kept(self) -> bool:
        """Whether the diet keeps it."""
        return self.answer == "kept"

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain mappings and lists, for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "steps"}
        plain |= {"about": dict(self.about), "values": dict(self.values)}
        plain |= {"windows": None if self.windows is None else dict(self.windows)}
        return plain | {"steps": self.steps.to_dict(orient="records")}

    def _sentences(self) -> list[str]:
        who = ", ".join(f"{name} {value}" for name, value in self.about.items() if value not in ("", None))
        said = [f"Neuron {self.neuron_id} is {self.answer} by diet {self.diet!r}{self.reason and f': {self.reason}'}."]
        said += [f"It is of {who}."] if who else []
        if self.windows is not None:
            counts = ", ".join(f"{count:,} {role}" for role, count in self.windows.items()) or "none"
            said.append(f"Windows of its recording: {counts}.")
        return said

    def __str__(self) -> str:
        lines = self._sentences()
        if len(self.steps):
            shown = [name for name in self.steps.columns if name != "place" or (self.steps["place"] != "").any()]
            lines += ["", self.steps[shown].to_string(index=False, max_colwidth=70, justify="left")]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        text = "".join(f"<div>{html.escape(sentence)}</div>" for sentence in self._sentences())
        return text + (self.steps.to_html(index=False) if len(self.steps) else "")


def explain_neuron(
    of: Manifest | Diet,
    neuron_id: str,
    *,
    store: Store | None = None,
    split: Split | SplitSpec | str | None = None,
    fold: int = 0,
) -> Explanation:
    """Say what became of one neuron, and by which step.

    Parameters
    ----------
    of : Manifest or Diet
        A manifest needs no store.
    neuron_id : str
    store : Store, optional
        With a diet.
    split : Split, SplitSpec or str, optional
        With a diet: default as in resolving.
    fold : int

    Returns
    -------
    Explanation

    Raises
    ------
    UsageError
        No neuron of that name, or a diet without a store.
    DietError, SplitError
        The diet cannot be asked of the store.
    """
    if isinstance(of, Manifest):
        return _of_manifest(of, neuron_id)
    if store is None:
        raise UsageError("a diet knows no neurons; give the store to explain it on, or take a manifest.")
    ground = Ground.prepare(of, store, split, fold)
    diet = of.bound()
    table = ground.evidence.table
    if neuron_id not in set(table["neuron_id"]):
        return _not_considered(diet, store, ground.split, neuron_id)
    return _explained(diet, table, ground.references, neuron_id, None)


def _of_manifest(manifest: Manifest, neuron_id: str) -> Explanation:
    table = manifest.population
    if neuron_id not in set(table["neuron_id"]):
        raise UsageError(
            f"manifest {manifest.name!r} considered no neuron {str(neuron_id)[:60]!r}: "
            f"{_nearest(neuron_id, table['neuron_id'])} Neurons of recordings that its split leaves out, and regions "
            "with an exclusion label, are not considered; the diet on its store says which."
        )
    diet = Diet.from_dict(manifest.meta["diet"])
    references = References.from_documents(diet, manifest.meta["references"])
    session = table.loc[(table["neuron_id"] == neuron_id).to_numpy(bool), "session_id"].iloc[0]
    windows = manifest.windows.loc[(manifest.windows["session_id"] == session).to_numpy(bool), "role"]
    counts = {str(role): int(count) for role, count in windows.value_counts().sort_index().items()}
    return _explained(diet, table, references, neuron_id, counts)


def _explained(
    diet: Diet, table: pd.DataFrame, references: References, neuron_id: str, windows: Mapping[str, int] | None
) -> Explanation:
    selection = select_neurons(diet, table, references, trace=True, allow_empty=True)
    row = int(np.flatnonzero((table["neuron_id"] == neuron_id).to_numpy(bool))[0])
    named = (*references.columns, *references.counted)
    values = {name: _plain(table[name].iloc[row]) for name in named}
    steps = _steps(diet, table, references, selection, row, values)
    step = str(decided_by(diet, selection, references).iloc[row])
    idle = () if step else _idle_terms(diet, references, selection, row)
    told = [not name.startswith(idle) for name in steps["step"]]
    return Explanation(
        neuron_id=neuron_id,
        diet=diet.name,
        answer=_answer(selection.trace[-1][1], row),
        decided_by=step,
        reason=_reason(steps[told], step, str(selection.term[row]), diet),
        about={name: _plain(table[name].iloc[row]) for name in IDENTITY if name in table.columns},
        values=values,
        steps=steps,
        windows=windows,
    )


def _steps(
    diet: Diet,
    table: pd.DataFrame,
    references: References,
    selection: Selection,
    row: int,
    values: Mapping[str, Any],
) -> pd.DataFrame:
    """One row a step of the rule."""
    answers = {step.step: answer for step, answer in selection.trace}
    places = {
        path: place_in(rule, path, table, selection, answers, row)
        for rule, path in _rules(diet.neurons, diet, "neurons", references)
    }
    compared = _compared(diet, table, references, selection, row)
    rows = []
    for step, answer in selection.trace[1:]:
        words = [word for word in _WORD.findall(step.rule) if word in values]
        said = [f"{name} = {_shown(values[name])}" for name in dict.fromkeys(words)]
        said += [f"{text} = {shown}" for text, shown in compared.items() if text in step.rule]
        place = places.get(step.step, "")
        rows.append((step.step, step.rule, _answer(answer, row), ", ".join(said), place))
    return pd.DataFrame(rows, columns=["step", "rule", "answer", "looked_at", "place"], dtype="str")


def _compared(
    diet: Diet, table: pd.DataFrame, references: References, selection: Selection, row: int
) -> dict[str, str]:
    """What every function of the rule came to for one neuron, by its text, with what it was compared with."""
    evaluator = Evaluator(table, reference=selection.reference)
    said: dict[str, str] = {}
    for rule, _ in _rules(diet.neurons, diet, "neurons", references):
        whole = rule.condition if isinstance(rule, rules.Where) else rule.by if isinstance(rule, rules.Top) else None
        for node, _ in walk(whole) if whole is not None else ():
            if not isinstance(node, Call | Quantile) or (isinstance(node, Call) and node.function == "isnan"):
                continue
            text, values = to_text(node), evaluator.values(node)
            own = values.values if values.missing is None else None if values.missing[row] else values.values[row]
            known = selection.reference.frozen.get(text, {})
            beside = f" (mean {_shown(known['mean'])}, std {_shown(known['std'])})" if "std" in known else ""
            said[text] = _shown(_plain(own)) + beside
    return said


def _idle_terms(diet: Diet, references: References, selection: Selection, row: int) -> tuple[str, ...]:
    """Beginnings of the steps of terms of a mix that did not take a neuron which another term took."""
    idle: list[str] = []
    for rule, path in _rules(diet.neurons, diet, "neurons", references):
        took = taken_by(selection, path, row) if isinstance(rule, rules.Mix) else None
        if isinstance(rule, rules.Mix) and took is not None:
            idle += [f"{path}.mix[{index}]" for index in range(len(rule.terms)) if index != took]
    return tuple(idle)


def _rules(rule: rules.Rule, diet: Diet, path: str, references: References) -> Iterator[tuple[rules.Rule, str]]:
    """Yield every rule with the path that its step has, through references."""
    yield rule, path
    match rule:
        case rules.Complement():
            yield from _rules(rule.of, diet, f"{path}.complement", references)
        case rules.Sample() | rules.Balance() | rules.Top():
            yield from _rules(rule.of, diet, f"{path}.{type(rule).__name__.lower()}.of", references)
        case rules.Match():
            yield from _rules(rule.to, diet, f"{path}.match.to", references)
            yield from _rules(rule.of, diet, f"{path}.match.from", references)
        case rules.Union() | rules.Intersect() | rules.Difference():
            for index, part in enumerate(rule.rules):
                yield from _rules(part, diet, f"{path}.{type(rule).__name__.lower()}[{index}]", references)
        case rules.Mix():
            for index, term in enumerate(rule.terms):
                yield from _rules(term.of, diet, f"{path}.mix[{index}].of", references)
        case rules.Reference():
            other = references.get(rule, diet)
            yield from _rules(other.neurons, other, f"{path}[{rule.diet}]", references)
        case _:
            pass


def _reason(steps: pd.DataFrame, decided: str, term: str, diet: Diet) -> str:
    if not decided:
        places = [place for place in steps["place"] if place]
        label = f"as {term!r}" if term not in ("", diet.name) else ""
        return ", ".join(part for part in (label, *places) if part)
    if decided not in set(steps["step"]):
        return decided
    step = steps[steps["step"] == decided].iloc[0]
    rule = str(step["rule"]).removeprefix("... and ")
    said = [rule, str(step["looked_at"]), str(step["place"])]
    unknown = "a value that it looks at is missing" if step["answer"] == "unknown" else ""
    return "; ".join(part for part in [f"step {decided}", *said, unknown] if part)


def _not_considered(diet: Diet, store: Store, split: Split, neuron_id: str) -> Explanation:
    """What to say of a neuron that no rule was asked about."""
    neurons = store.neurons
    found = neurons[(neurons["neuron_id"] == neuron_id).to_numpy(bool)]
    if found.empty:
        raise UsageError(
            f"no neuron {str(neuron_id)[:60]!r} in {store.path}: {_nearest(neuron_id, neurons['neuron_id'])}"
        )
    row = found.iloc[0]
    held = row["session_id"] in set(split.sessions["session_id"])
    step = "valid_roi" if held else "split"
    label = str(row.get("exclusion_label", "") or "")
    reason = (
        f"its region of interest has the exclusion label {label!r}, and the rule does not ask about that"
        if held
        else f"split {split.spec.name} leaves its recording out"
    )
    steps = pd.DataFrame(columns=["step", "rule", "answer", "looked_at", "place"], dtype="str")
    about = {name: _plain(row[name]) for name in IDENTITY if name in found.columns}
    return Explanation(neuron_id, diet.name, "not considered", step, reason, about, {}, steps)


def _nearest(neuron_id: str, known: pd.Series[Any]) -> str:
    """The nearest name; of many neurons those of the same recording are compared, which is what differs least."""
    prefix = str(neuron_id).rpartition("_")[0]
    alike = known[known.str.startswith(f"{prefix}_")] if prefix else known.iloc[:0]
    return nearest(str(neuron_id)[:60], (alike if len(alike) else known).iloc[:_CANDIDATES].tolist())


def _answer(answer: Kleene, row: int) -> str:
    return "kept" if answer.true[row] else "unknown" if answer.unknown[row] else "rejected"


def _plain(value: Any) -> Any:
    """A value as JSON has it; a missing one is None."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r}" if isinstance(value, str) else str(value)
