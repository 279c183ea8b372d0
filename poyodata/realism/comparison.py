"""Real beside simulated as a table, and every CRE line beside what is published of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from poyodata.realism.measures import measure_neurons
from poyodata.realism.reference import LABELS, REAL, RESPONSIVE, Quartiles
from poyodata.realism.simulated import simulate_gratings
from poyodata.vocabulary import CRE_LINES


def comparison(simulated: Mapping[str, Quartiles], real: Mapping[str, Quartiles] = REAL) -> pd.DataFrame:
    """Put quartiles side by side.

    Parameters
    ----------
    simulated, real : mapping of measure to quartiles
        As `Measures.quartiles` gives them. Measures that only one has are shown with a gap.

    Returns
    -------
    DataFrame
        ``measure, unit, real, simulated, difference`` as texts: quartiles (or one number), and simulated less real, in
        per cent of real where the unit is not a correlation or a share.

    Examples
    --------
    >>> table = comparison({"kurtosis": (9.0, 30.0, 70.0)}, {"kurtosis": (10.0, 30.0, 50.0)})
    >>> table.iloc[0].tolist()
    ['excess kurtosis', '', '10.0 / 30.0 / 50.0', '9.00 / 30.0 / 70.0', '-10 / +0 / +40 %']
    """
    rows = []
    for name, label in LABELS.items():
        ours, theirs = simulated.get(name, ()), real.get(name, ())
        if not ours and not theirs:
            continue
        if label.relative:
            apart = " / ".join(f"{round(100 * (a / b - 1)):+d}" for a, b in zip(ours, theirs, strict=False))
        else:
            apart = " / ".join(f"{a - b:+.3f}" for a, b in zip(ours, theirs, strict=False))
        rows.append(
            {
                "measure": label.text,
                "unit": label.unit,
                "real": _text(theirs),
                "simulated": _text(ours),
                "difference": f"{apart} %" if label.relative and apart else apart,
            }
        )
    return pd.DataFrame(rows)


def measure_lines(
    recordings: int = 10,
    neurons: int = 30,
    lines: Sequence[str] = CRE_LINES,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Simulate recordings of each CRE line at the length of a real session, and measure their neurons.

    Many small recordings rather than a large one, because all neurons of one share its latents: what these happen to be
    in the spontaneous epoch moves the share of responsive cells of a single recording by 0.1 and more.

    Parameters
    ----------
    recordings : int
        Of each line.
    neurons : int
        In each recording.
    lines : sequence of str
    progress : callable ``(n_done)``, optional
        Called after each recording.

    Returns
    -------
    DataFrame, one row a neuron
        ``cre_line`` and the columns of `poyodata.realism.measures.measure_neurons`.
    """
    found = []
    for line in lines:
        for repeat in range(recordings):
            recording = simulate_gratings("cux2", line=line, repeat=repeat, neurons=neurons)
            found.append(measure_neurons(recording).assign(cre_line=line))
            if progress is not None:
                progress(1)
    return pd.concat(found, ignore_index=True)


def lines_table(neurons: pd.DataFrame) -> pd.DataFrame:
    """Moments and share of responsive cells of every line, beside Allen's share.

    Parameters
    ----------
    neurons : DataFrame
        As `measure_lines` gives it.

    Returns
    -------
    DataFrame, one row a line
        ``line, neurons, skewness, kurtosis`` (means over neurons), ``median kurtosis``, ``responsive`` and
        ``responsive, Allen`` (NaN where none is published).
    """
    grouped = neurons.groupby("cre_line")
    table = grouped.agg(
        neurons=("skewness", "size"), skewness=("skewness", "mean"), kurtosis=("kurtosis", "mean")
    ).assign(**{"median kurtosis": grouped["kurtosis"].median(), "responsive": grouped["responsive"].mean()})
    table["responsive, Allen"] = pd.Series(dict(RESPONSIVE)).reindex(table.index)
    return table.reset_index(names="line")


def _text(values: Quartiles) -> str:
    return " / ".join(f"{value:#.3g}".rstrip(".") for value in values)
