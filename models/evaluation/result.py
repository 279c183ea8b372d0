"""`Result`: what an evaluation found, as a table, as sentences and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from poyodata.errors import ModelError
from poyodata.models.evaluation.frames import Seen

FORMAT_VERSION = 1

POOLED, OF_RECORDINGS = "pooled", "mean of recordings"


@dataclass(frozen=True)
class Row:
    """One metric of one group of answers.

    Attributes
    ----------
    metric : str
        ``accuracy``, ``balanced_accuracy``, ``within_1s``, ``r2``, ``ssim`` or ``psnr`` (dB).
    group : str
        ``pooled`` (all answers alike), ``mean of recordings`` (unweighted), or a recording.
    value, low, high : float
        The metric and its interval; NaN where there is none.
    n : int
        Trials or frames; of the mean of recordings, those that have a value.
    beside : mapping of str to float
        The same metric of chance and of every baseline.
    """

    metric: str
    group: str
    value: float
    low: float
    high: float
    n: int
    beside: Mapping[str, float]


@dataclass(frozen=True)
class Gain:
    """Difference of a metric between the model and a baseline on the same windows.

    Attributes
    ----------
    metric : str
    over : str
        Name of the baseline.
    oracle : bool
        Whether that baseline was told what the test shows.
    value, low, high : float
        Model minus baseline; NaN where there is no interval.
    drawn : str
        What was drawn again for the interval, in words.
    refused : str
        Why no gain or difference may be claimed, in words; empty where one may.
    """

    metric: str
    over: str
    oracle: bool
    value: float
    low: float
    high: float
    drawn: str
    refused: str = ""

    @property
    def is_gain(self) -> bool:
        """Whether a gain may be claimed, and the whole interval lies above 0."""
        return not self.refused and self.low > 0


@dataclass(frozen=True)
class Result:
    """What an evaluation found. Printed, it says what may be said, and then the table.

    Attributes
    ----------
    task, kind : str
    rows : tuple of Row
    differences : tuple of Gain
        Of the first metric from each baseline, pooled, with the clusters of the table. Of pictures that were all shown
        in training they are refused, and have no sentence.
    claims : tuple of Gain
        Of pictures: of each metric over the better of the baselines that are no oracles, by segments of the movie.
    drawn : str
        What was drawn again for the intervals of the table.
    confidence : float
    seen : Seen or None
        How many pictures of the test were shown in training, counted from their ids; None for other tasks, and where
        the ids of training were not given.
    sentences : tuple of str
        The verdict.
    """

    task: str
    kind: str
    rows: tuple[Row, ...]
    differences: tuple[Gain, ...]
    claims: tuple[Gain, ...]
    drawn: str
    confidence: float
    seen: Seen | None
    sentences: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """Columns metric, group, value, low, high, n, and one for chance and for every baseline."""
        rows = [
            {"metric": r.metric, "group": r.group, "value": r.value, "low": r.low, "high": r.high, "n": r.n, **r.beside}
            for r in self.rows
        ]
        return pd.DataFrame(rows)

    @property
    def all_test_frames_seen(self) -> bool | None:
        """Whether every picture of the test was shown in training; None where that is not known."""
        return None if self.seen is None else self.seen.all_seen

    def row(self, metric: str, group: str = POOLED) -> Row:
        """One row of the table.

        Raises
        ------
        ModelError
            If there is none.
        """
        for row in self.rows:
            if (row.metric, row.group) == (metric, group):
                return row
        raise ModelError(
            f"there is no {metric!r} of {group!r}; metrics are {', '.join(dict.fromkeys(r.metric for r in self.rows))}"
        )

    def __str__(self) -> str:
        told = "\n".join(self.sentences)
        return f"{told}\n\n{self.table.to_string(index=False, float_format=lambda x: f'{x:.3f}', na_rep='-')}"

    def to_json(self) -> str:
        """Give everything as JSON text, which `from_json` reads; NaN is null."""
        record = {"format": FORMAT_VERSION, **_plain(asdict(self))}
        return json.dumps(record, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what `to_json` wrote.

        Raises
        ------
        ModelError
            If it is no such text, or of another format.
        """
        try:
            record = dict(json.loads(text))
            if record.pop("format") != FORMAT_VERSION:
                raise ModelError("the result has another format version; evaluate again")
            seen = record.pop("seen")
            return cls(
                rows=tuple(Row(**_numbers(row)) for row in record.pop("rows")),
                differences=tuple(Gain(**_numbers(gain)) for gain in record.pop("differences")),
                claims=tuple(Gain(**_numbers(gain)) for gain in record.pop("claims")),
                seen=None if seen is None else Seen(**seen),
                sentences=tuple(record.pop("sentences")),
                **record,
            )
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the text is no result of an evaluation ({type(error).__name__}); give what Result.to_json wrote"
            ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose nulls are NaN again; they stand for numbers alone."""
    return {
        key: _numbers(one) if isinstance(one, dict) else float("nan") if one is None else one
        for key, one in record.items()
    }
