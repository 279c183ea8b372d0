"""`LeakReport`: what was checked, what leaks, and why a run went on all the same."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

COLUMNS: tuple[str, ...] = ("check", "stages", "checked", "found", "ok", "verdict", "detail", "allowed")


@dataclass(frozen=True)
class LeakCheck:
    """One check of one stage, of a pair of stages, or of something fitted.

    Attributes
    ----------
    check : str
        What must not be.
    stages : str
    checked, found : int
        How many things were looked at, and how many of them leak.
    detail : str
        The first of those found; where nothing was looked at, why not.
    is_promise : bool
        Whether it is said aloud when there was nothing to hold it against.

    Examples
    --------
    >>> LeakCheck("donors in two roles of the split", "pretrain", 4, 0).verdict
    'ok'
    >>> LeakCheck("donors in two roles of the split", "pretrain", 0, 0).verdict
    'nothing to check'
    """

    check: str
    stages: str
    checked: int
    found: int
    detail: str = ""
    is_promise: bool = False

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return self.found == 0

    @property
    def verdict(self) -> str:
        """``"LEAK"``, ``"ok"``, or ``"nothing to check"`` where nothing was looked at, which proves nothing.

        What could leak and cannot be judged is ``"NOT CHECKED"``: a promise that could not be held against anything, an
        annotation, a learned column trained on manifests of which nothing is known.
        """
        if not self.ok:
            return "LEAK"
        return "ok" if self.checked else "NOT CHECKED" if self.is_promise else "nothing to check"

    def __str__(self) -> str:
        counts = f"{self.found:,} of {self.checked:,}" if self.checked else ""
        facts = ", ".join(text for text in (counts, self.detail) if text)
        return f"{self.verdict}: {self.check} [{self.stages}]" + (f": {facts}" if facts else "")


@dataclass(frozen=True)
class LeakReport:
    """Result of `check_leaks`.

    Attributes
    ----------
    checks : tuple of LeakCheck
    allow_leakage : str or None
        The reason given for going on all the same.
    """

    checks: tuple[LeakCheck, ...]
    allow_leakage: str | None = None

    @property
    def leaks(self) -> tuple[LeakCheck, ...]:
        """Checks that found something."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def unchecked(self) -> tuple[LeakCheck, ...]:
        """What could leak and cannot be judged; see `LeakCheck.verdict`."""
        return tuple(check for check in self.checks if check.verdict == "NOT CHECKED")

    @property
    def ok(self) -> bool:
        """No leak at all, allowed or not."""
        return not self.leaks

    def table(self) -> pd.DataFrame:
        """One row a check, with the columns `COLUMNS`; ``allowed`` is the reason given, beside what leaks."""
        reason = self.allow_leakage or ""
        rows = [
            (one.check, one.stages, one.checked, one.found, one.ok, one.verdict, one.detail, "" if one.ok else reason)
            for one in self.checks
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def text(self) -> str:
        """Say everything in lines: leaks, promises not checked, what is ok, and where there was nothing to check."""
        order = ("LEAK", "NOT CHECKED", "ok", "nothing to check")
        ranked = sorted(self.checks, key=lambda one: order.index(one.verdict))
        return "\n".join([self._summary(), *(f"  {one}" for one in ranked)])

    def _summary(self) -> str:
        looked = sum(one.checked > 0 for one in self.checks)
        idle = len(self.checks) - looked - len(self.unchecked)
        head = f"{looked} checks" + (f" ({idle} more had nothing to check)" if idle else "")
        if self.unchecked:
            head += f", {len(self.unchecked)} NOT CHECKED"
        if self.ok:
            return f"{head}: no leak"
        return f"{head}: {len(self.leaks)} {'leaks' if len(self.leaks) > 1 else 'leak'}, allowed: {self.allow_leakage}"

    def __repr__(self) -> str:
        return f"LeakReport({self._summary()})"

    def _repr_html_(self) -> str:
        return self.table().to_html(index=False)
