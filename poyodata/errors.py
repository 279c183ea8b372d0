"""The one family of errors that poyodata raises on purpose.

Every message says what arrived, what was expected and what to do. ``exit_code`` is what the command line returns:
2 for a wrong call (a path, a name, an option), 1 for content that is invalid or differs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class PoyodataError(ValueError):
    """Base of every error that poyodata raises on purpose."""

    exit_code = 1


class UsageError(PoyodataError):
    """A call that cannot be carried out as written: a missing path, an unknown name, contradictory options."""

    exit_code = 2


class SourceError(PoyodataError):
    """A recording file is missing, truncated, or lacks what a recording must have."""


class StoreError(PoyodataError):
    """A store cannot be opened, written or trusted."""


class WorkerError(PoyodataError):
    """Work given to other processes or to a cluster was not done: a worker was killed, or nobody answers."""


class AnnotationError(PoyodataError):
    """A user's labels of neurons or cells cannot be joined to a store."""


class StatisticError(PoyodataError):
    """A statistic is unknown or cannot be computed."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file, and where.

    Attributes
    ----------
    line, column : int or None
        Counted from 1; None where there is no file.
    path : str
        Keys and positions that lead there: ``neurons.mix.1.fraction``.
    message : str
        One sentence.
    name : str
        Of the file.

    Examples
    --------
    >>> print(Problem(3, 10, "neurons.where", "write == to compare.", "mine.yaml"))
    mine.yaml:3:10: neurons.where: write == to compare.
    """

    line: int | None
    column: int | None
    path: str
    message: str
    name: str = ""

    def __str__(self) -> str:
        at = [self.name] if self.name else []
        at += [] if self.line is None else [str(self.line), str(self.column or 1)]
        return ": ".join(part for part in (":".join(at), self.path, self.message) if part)


class SplitError(PoyodataError):
    """A split is not well formed, or cannot be made from what the store holds.

    Attributes
    ----------
    problems : tuple of Problem
        Everything that is wrong with a specification; empty for other errors.
    """

    def __init__(self, message: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class DietError(PoyodataError):
    """A diet is not well formed, or selects nothing.

    Attributes
    ----------
    problems : tuple of Problem
        Everything that is wrong with a file, in the order in which it stands there; empty for other errors.
    """

    def __init__(self, message: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class ManifestError(PoyodataError):
    """A manifest is damaged, or does not belong to the store it is used with."""


class LeakError(PoyodataError):
    """What a model would be tested on was seen before the test."""


class LoaderError(PoyodataError):
    """No batch can be made as asked."""


class RecipeError(LoaderError):
    """A recipe is not well formed.

    Attributes
    ----------
    problems : tuple of Problem
        Everything that is wrong with a file, in the order in which it stands there; empty for other errors.
    """

    def __init__(self, message: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class ModelError(PoyodataError):
    """A model, its configuration or its checkpoint is not usable."""


class JudgeError(PoyodataError):
    """AllenSDK's environment cannot be made, or AllenSDK cannot be run in it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is meant, or list what is known: the end of a sentence, to be appended to a message.

    Parameters
    ----------
    name : str
        What arrived.
    known : iterable of str
        What would have been accepted.

    Returns
    -------
    str
        ``"did you mean 'X'?"`` for a close match, else the first known names.

    Examples
    --------
    >>> nearest("skewnes", ["skewness", "kurtosis"])
    "did you mean 'skewness'?"
    >>> nearest("zzz", ["skewness", "kurtosis"])
    'known are kurtosis, skewness.'
    """
    names = sorted({str(k) for k in known})
    folded = {k.casefold(): k for k in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if not close:
        # A short name inside a long one ("sst" in "Sst-IRES-Cre") is closer than the edit distance says.
        close = [k for k in folded if name and (name.casefold() in k)][:1]
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    if not names:
        return "none is known here."
    shown = ", ".join(names[:12])
    return f"known are {shown}" + (f" and {len(names) - 12} more." if len(names) > 12 else ".")
