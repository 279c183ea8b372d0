"""`ResultRow`: what one decoder reached on which neurons and trials, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poyodata.errors import LoaderError
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from poyodata.models import Run


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One line of a demo's result table.

    Attributes
    ----------
    decoder : str
    neurons : str
        The diet it was evaluated on.
    n_neurons, n_trials : int
        Neurons it read (mean over blocks where they differ), and held-out trials it was scored on.
    accuracy : float
        Share of held-out trials whose direction was right; for several blocks, the mean over blocks.
    low, high : float
        95 % interval; the report says of what kind.
    chance : float
        Best accuracy of a decoder that reads no neuron: one in eight, or the share of the commonest direction.
    blocks : mapping of block name to accuracy
    seed : int or None
    parameters, steps, windows_seen : int
        Of the model, of its training in all its stages; 0 where it has none.
    seconds : float
        Wall time of training.
    """

    decoder: str
    neurons: str
    n_neurons: int
    n_trials: int
    accuracy: float
    low: float
    high: float
    chance: float
    blocks: dict[str, float] = field(default_factory=dict)
    seed: int | None = None
    parameters: int = 0
    steps: int = 0
    windows_seen: int = 0
    seconds: float = 0.0

    @property
    def exceeds_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.low > self.chance


def result_table(rows: Sequence[ResultRow]) -> pd.DataFrame:
    """Rows as the table that is printed and put into the report; blocks are columns, an interval is one."""
    table = pd.DataFrame([{key: value for key, value in asdict(row).items() if key != "blocks"} for row in rows])
    blocks = sorted({name for row in rows for name in row.blocks})
    for at, name in enumerate(blocks):
        table.insert(4 + at, name, [row.blocks.get(name, np.nan) for row in rows])
    table["seed"] = table["seed"].astype("Int64")
    table.insert(
        list(table.columns).index("low"), "95 % interval", [f"{row.low:.3f} to {row.high:.3f}" for row in rows]
    )
    return table.drop(columns=["low", "high"])


def require_same_trials(answers: Mapping[Any, pd.DataFrame]) -> None:
    """Refuse to compare decoders that answered different trials: a table of them would compare unlike things.

    Parameters
    ----------
    answers : mapping of decoder to DataFrame with ``session_id`` and ``trial``

    Raises
    ------
    LoaderError
        Naming the first decoder that differs.
    """
    asked = {key: sorted(zip(found["session_id"], found["trial"], strict=True)) for key, found in answers.items()}
    first = next(iter(asked.values()))
    for key, trials in asked.items():
        if trials != first:
            raise LoaderError(
                f"{key} answered {len(trials)} trials, others {len(first)} or different ones; "
                "give every decoder the same manifest and window."
            )


def training_cost(runs: Sequence[Run]) -> dict[str, Any]:
    """What `ResultRow` says of training, over all stages and blocks: parameters, steps, windows seen, seconds."""
    return {
        "parameters": runs[-1].parameters if runs else 0,
        "steps": sum(run.steps for run in runs),
        "windows_seen": sum(run.windows for run in runs),
        "seconds": sum(run.seconds for run in runs),
    }


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What a demo found, and where it wrote it.

    Attributes
    ----------
    rows : tuple of ResultRow
    report : Path
        The HTML page.
    verdict : str
        One sentence.
    passed : bool
        Whether the check of the demo holds; the program's exit status follows it.
    next_commands : tuple of str
        What a user might type next.
    facts : mapping
        Digests, seeds and times that stand in the JSON beside the rows.
    """

    rows: tuple[ResultRow, ...]
    report: Path
    verdict: str
    passed: bool
    next_commands: tuple[str, ...]
    facts: dict[str, Any]

    def to_json(self) -> str:
        """Rows and facts as JSON."""
        facts = {"verdict": self.verdict, "passed": self.passed, "report": str(self.report), **self.facts}
        return json.dumps({**facts, "rows": [asdict(row) for row in self.rows]}, indent=2, allow_nan=False)

    def save(self, path: Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        with replacing(path) as partial:
            partial.write_text(self.to_json() + "\n", encoding="utf-8")

    def shown_table(self) -> pd.DataFrame:
        """The table for a terminal: intervals in one column, rounded."""
        table = result_table(self.rows)
        numbers = table.select_dtypes("float").columns
        return table.assign(**{name: table[name].round(1 if name == "seconds" else 3) for name in numbers})
