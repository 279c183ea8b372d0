"""`Beside`: what is written beside a trace, so that it is seen why its neuron was kept or dropped."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.datasheet.subject import Subject

MOST_COLUMNS = 3
"""Columns of a rule that are written beside a trace, and as many of the step that dropped its neuron."""
_VALUE = 40
"""Characters of a value."""
_NO_VALUES = ("neuron_id", "session_id", "column", "donor_id", "container_id", "cell_specimen_id", "role", "answer")


class Beside:
    """Names and values of columns: the first ones of the rule, and those of the step that dropped a neuron.

    Parameters
    ----------
    subject : Subject
    """

    def __init__(self, subject: Subject) -> None:
        population = subject.manifest.population
        self._values: dict[str, npt.NDArray[Any]] = {str(name): population[name].to_numpy() for name in population}
        self._always = _named(subject)[:MOST_COLUMNS]
        if not self._always:
            found = {name: subject.column(name) for name in ("skewness", "kurtosis")}
            known = {name: values.to_numpy() for name, values in found.items() if not isinstance(values, str)}
            self._values.update(known)
            self._always = list(known)
        rules = dict(subject.manifest.funnel()[["step", "rule"]].itertuples(index=False, name=None))
        steps = population["decided_by"].astype("str")
        self._steps = steps.to_numpy()
        self._deciding = {step: self._in_text(str(rules.get(step, ""))) for step in steps.unique()}

    def _in_text(self, rule: str) -> list[str]:
        words = dict.fromkeys(re.findall(r"[A-Za-z_]\w*(?:@\w+)?", rule))
        return [name for name in words if name in self._values and name not in self._always][:MOST_COLUMNS]

    @property
    def most_lines(self) -> int:
        """Lines of the longest text, and one for the name of the neuron."""
        most = len(self._always) + max(map(len, self._deciding.values()), default=0)
        return 1 + -(-most // MOST_COLUMNS)

    def text(self, row: int) -> str:
        """Names and values for a row of the subject's table."""
        names = [*self._always, *self._deciding[self._steps[row]]]
        said = [f"{name} {shortened(_short(self._values[name][row]), _VALUE)}" for name in names]
        return "\n".join("  ".join(said[at : at + MOST_COLUMNS]) for at in range(0, len(said), MOST_COLUMNS))


def _named(subject: Subject) -> list[str]:
    """Columns that the rule names."""
    population = subject.manifest.population
    named = [name for name in population.columns if name not in (*_NO_VALUES, "decided_by", "cre_line", "area")]
    documents = str([subject.manifest.meta["diet"]["neurons"], subject.manifest.meta["references"]])
    named += [name for name in ("cre_line", "area") if name in documents]
    return named


def shortened(text: str, most: int) -> str:
    """Cut a text that is longer than `most` characters.

    Examples
    --------
    >>> shortened("a long rule", 8)
    'a lon...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _short(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.3g}" if np.isfinite(value) else "unknown"
    return str(value)
