"""The verdict: whether our reader says of a recording what AllenSDK says."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from poyodata.allensdk.answers import ask_allensdk
from poyodata.allensdk.comparison import compare
from poyodata.allensdk.finding import Finding
from poyodata.sources.allen_nwb import read_allen_nwb


@dataclass(frozen=True)
class Verdict:
    """One row a quantity, for one recording.

    Attributes
    ----------
    path : Path
    allensdk : str
        Version of AllenSDK.
    findings : tuple of Finding
    """

    path: Path
    allensdk: str
    findings: tuple[Finding, ...]

    @property
    def agrees(self) -> bool:
        """Whether AllenSDK reads the file, something is equal and nothing differs.

        What AllenSDK raises on in a file that it reads, and what we do not keep, is no difference.
        """
        states = {finding.state for finding in self.findings}
        return not self.refusal and "equal" in states and "differs" not in states

    @property
    def refusal(self) -> str:
        """What AllenSDK raised when it could not open the file; empty where it could."""
        # It reads the metadata when it opens a file, so that nothing it says without them can be relied on.
        raised = (
            row.allensdk for row in self.findings if row.quantity == "metadata" and row.state == "AllenSDK raises"
        )
        return next(raised, "")

    def table(self) -> pd.DataFrame:
        """One row a quantity: ``quantity``, ``allensdk``, ``ours``, ``state``, ``note``."""
        return pd.DataFrame([asdict(finding) for finding in self.findings])

    def to_text(self) -> str:
        """The table for people: what is equal in one line each, notes and differences below their quantity."""
        width = max(len(finding.quantity) for finding in self.findings)
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.state:<15}  {finding.quantity:<{width}}  {_shortened(finding.allensdk)}")
            if finding.state in ("differs", "AllenSDK raises"):
                lines.append(f"{'':<15}  {'':<{width}}  ours: {finding.ours}")
            if finding.note:
                lines.append(f"{'':<15}  {'':<{width}}  ({finding.note})")
        return "\n".join(lines)

    def summary(self) -> str:
        """One sentence.

        Examples
        --------
        >>> Verdict(Path("a.nwb"), "2.16.2", (Finding("dff traces", "2 x 3 float32", "the same", "equal"),)).summary()
        'a.nwb: our reader agrees with AllenSDK 2.16.2: 1 equal, 0 differ, 0 that AllenSDK raises on, 0 not kept.'
        """
        states = [finding.state for finding in self.findings]
        if self.refusal:
            said = _shortened(" ".join(self.refusal.split()), 160)
            verdict = f"AllenSDK {self.allensdk} cannot open the file ({said}), so that our reader is not confirmed"
        elif self.agrees:
            verdict = f"our reader agrees with AllenSDK {self.allensdk}"
        elif "differs" in states:
            verdict = f"our reader differs from AllenSDK {self.allensdk}"
        else:
            verdict = (
                f"AllenSDK {self.allensdk} reads nothing that could be compared, so that our reader is not confirmed"
            )
        return (
            f"{self.path.name}: {verdict}: {states.count('equal')} equal, "
            f"{states.count('differs')} differ, {states.count('AllenSDK raises')} that AllenSDK raises on, "
            f"{states.count('not kept')} not kept."
        )

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        rows = [asdict(finding) for finding in self.findings]
        return {
            "file": str(self.path),
            "allensdk": self.allensdk,
            "agrees": self.agrees,
            "summary": self.summary(),
            "findings": rows,
        }


def judge(path: str | Path) -> Verdict:
    """Read a recording with AllenSDK, in its own environment, and with our reader, and compare value by value.

    Parameters
    ----------
    path : str or Path
        An NWB 1.0 file of the Allen Brain Observatory, real or simulated.

    Returns
    -------
    Verdict

    Raises
    ------
    SourceError
        When our reader refuses the file.
    UsageError
        When there is no Python for AllenSDK.
    JudgeError
        When AllenSDK's environment cannot be made, or its process ends badly.
    """
    path = Path(path)
    record = read_allen_nwb(path)
    with tempfile.TemporaryDirectory(prefix="poyodata-judge-") as folder:
        answers = ask_allensdk(path, folder)
        return Verdict(path, answers.version, compare(answers, record))


def _shortened(text: str, most: int = 70) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
