"""Which step of a diet dropped each neuron, from the answers that were written down at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from poyodata.curation.diet import Diet
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import And
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.references import References
from poyodata.curation.selecting.sampling import Rows
from poyodata.curation.selecting.selection import Selection, pool_of


@dataclass
class _Blame:
    """Walks down the rule with the neurons that it dropped, until a step is reached that nothing below explains."""

    answers: Mapping[str, Kleene]
    references: References
    names: list[str] = field(default_factory=lambda: [""])
    code: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    def set(self, step: str, rows: Mask) -> None:
        if rows.any():
            self.names.append(step)
            self.code[rows] = len(self.names) - 1

    def visit(self, rule: rules.Rule, diet: Diet, path: str, rows: Mask) -> None:
        """Find the step that dropped `rows`, none of which `rule` keeps."""
        if not rows.any():
            return
        match rule:
            case rules.Where(condition=And(terms=terms)):
                for index in range(len(terms)):
                    dropped = rows & ~self.answers[f"{path}.where[{index}]"].true
                    self.set(f"{path}.where[{index}]", dropped)
                    rows = rows & ~dropped
            case rules.Sample() | rules.Balance() | rules.Top():
                rows = self._below(rule.of, diet, f"{path}.{type(rule).__name__.lower()}.of", rows)
            case rules.Match():
                rows = self._below(rule.of, diet, f"{path}.match.from", rows)
            case rules.Intersect():
                for index, part in enumerate(rule.rules):
                    rows = self._below(part, diet, f"{path}.intersect[{index}]", rows)
            case rules.Difference():
                rows = self._below(rule.rules[0], diet, f"{path}.difference[0]", rows)
                for index in range(1, len(rule.rules)):
                    dropped = rows & ~self.answers[f"{path}.difference[{index}]"].false
                    self.set(f"{path}.difference[{index}]", dropped)
                    rows = rows & ~dropped
            case rules.Reference():
                other = self.references.get(rule, diet)
                self.visit(other.neurons, other, f"{path}[{rule.diet}]", rows)
                return
            case _:
                pass
        self.set(path, rows)

    def _below(self, rule: rules.Rule, diet: Diet, path: str, rows: Mask) -> Mask:
        """Explain what a rule below dropped, and give back the rest."""
        dropped = rows & ~pool_of(self.answers, path).true
        self.visit(rule, diet, path, dropped)
        return rows & ~dropped


def decided_by(diet: Diet, selection: Selection, references: References) -> pd.Series[str]:
    """Name the step that dropped each neuron; ``""`` for those that are kept.

    It is the deepest step that did: of ``a and b`` within an intersection, the first of the two that does not hold.
    Where several rules are joined by ``union`` or ``mix``, none alone is to blame, and the join itself is named.

    Parameters
    ----------
    diet : Diet
    selection : Selection
        Made with ``trace=True``.
    references : References

    Examples
    --------
    >>> from poyodata.curation.selecting.selection import select_neurons
    >>> table = pd.DataFrame({"neuron_id": ["a", "b", "c"], "x": [1.0, 1.0, 9.0], "y": [2.0, 9.0, 2.0]})
    >>> diet = Diet.where("x < 5 and y < 5")
    >>> decided_by(diet, select_neurons(diet, table, trace=True), References(diet)).tolist()
    ['', 'neurons.where[1]', 'neurons.where[0]']
    """
    diet = diet.bound()
    blame = _Blame({step.step: answer for step, answer in selection.trace}, references)
    blame.code = np.zeros(len(selection.kept), np.int64)
    blame.visit(diet.neurons, diet, "neurons", ~selection.kept)
    names = list(dict.fromkeys(blame.names))
    order = np.array([names.index(name) for name in blame.names], np.int64)
    return pd.Series(pd.Index(names, dtype="str").take(order[blame.code]), dtype="str")
