"""What AllenSDK said of one recording, as its script wrote it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.allensdk import reading
from poyodata.allensdk.environment import ensure_environment, run_script
from poyodata.errors import UsageError


class Answers:
    """Answers to the questions of `poyodata.allensdk.reading`, read from their folder when they are asked for.

    Parameters
    ----------
    folder : Path
        What the script filled; has to stay there as long as this is used.

    Attributes
    ----------
    version : str
        Of AllenSDK.
    """

    def __init__(self, folder: Path) -> None:
        noted = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.version: str = noted["allensdk"]
        self._answers: dict[str, dict[str, Any]] = noted["answers"]

    @property
    def questions(self) -> tuple[str, ...]:
        """Everything that was asked, in order."""
        return tuple(self._answers)

    def raised(self, question: str) -> str | None:
        """Class and message of what AllenSDK raised, or None."""
        answer = self._answers[question]
        return f"{answer['raised']}: {answer['message']}" if "raised" in answer else None

    def value(self, question: str) -> Any:
        """A plain value: text, list or metadata. None where AllenSDK raised."""
        return self._answers[question].get("value")

    def parts(self, question: str) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name, mapped from disk; a table's columns, in its row order. Empty where AllenSDK raised."""
        files = self._answers[question].get("parts", {})
        return {name: np.load(self.folder / file, mmap_mode="r", allow_pickle=False) for name, file in files.items()}


def ask_allensdk(path: str | Path, folder: str | Path, *, gratings: bool = False, tuning: bool = False) -> Answers:
    """Let AllenSDK read a recording; makes its environment if there is none yet.

    Parameters
    ----------
    path : str or Path
        An NWB 1.0 file.
    folder : str or Path
        Empty; takes the answers, which are about as large as the file's traces, masks and templates unpacked.
    gratings : bool
        Ask for AllenSDK's analysis of drifting gratings too.
    tuning : bool
        Ask for its tuning of cells to gratings, scenes and movies too.

    Returns
    -------
    Answers

    Raises
    ------
    UsageError
        When there is no such file, or no Python for AllenSDK.
    JudgeError
        When AllenSDK's environment cannot be made, or its process ends badly.
    """
    path, folder = Path(path), Path(folder)
    if not path.is_file():
        raise UsageError(f"{path} is no file; give the path of a recording's NWB file.")
    asked = {"--gratings": gratings, "--tuning": tuning}
    arguments = [str(path.absolute()), str(folder.absolute()), *(name for name, wanted in asked.items() if wanted)]
    run_script(ensure_environment(), Path(reading.__file__), arguments)
    return Answers(folder)
