"""`Exported`: what a file that `poyodata export` wrote says of itself beside its layout, so that nothing is guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from poyodata.sources.record import SessionMetadata

_TEXT = "str"


@dataclass(frozen=True)
class Exported:
    """What the store knew of an exported recording.

    Attributes
    ----------
    metadata : mapping of str to str or float
        Every field of `SessionMetadata`, as the store had it: empty texts and NaN too.
    stimuli : mapping of str to str
        Name of each stimulus by the name of its table in the file. Empty in exports that did not tell.
    """

    metadata: Mapping[str, Any]
    stimuli: Mapping[str, str]

    @property
    def session_id(self) -> str:
        """Name of the recording in the store."""
        return str(self.metadata["session_id"])

    def neuron_ids(self, texts: Sequence[str], session_id: str) -> list[str]:
        """Names of the neurons as they were, behind the recording's name where a mapping gives it another.

        Examples
        --------
        >>> Exported({"session_id": "a"}, {}).neuron_ids(["a_0", "b"], "a")
        ['a_0', 'b']
        >>> Exported({"session_id": "a"}, {}).neuron_ids(["a_0", "b"], "c")
        ['c_0', 'c_b']
        """
        if session_id == self.session_id:
            return list(texts)
        return [f"{session_id}_{text.removeprefix(f'{self.session_id}_')}" for text in texts]


def read_exported(text: str) -> Exported | None:
    """Understand the JSON that an export keeps of its recording.

    Parameters
    ----------
    text : str
        ``{"recording": {...}, "stimuli": {...}}``; other keys may stand beside them.

    Returns
    -------
    Exported or None
        None when it is something else: the file is then read by its layout alone.

    Examples
    --------
    >>> read_exported("") is None, read_exported('{"recording": {"session_id": "a"}}') is None
    (True, True)
    """
    try:
        said = json.loads(text)
    except ValueError:
        return None
    recording = said.get("recording") if isinstance(said, dict) else None
    if not isinstance(recording, dict):
        return None
    metadata: dict[str, Any] = {}
    for field in fields(SessionMetadata):
        value = recording.get(field.name)
        is_text = field.type == _TEXT
        if not (isinstance(value, str) if is_text else value is None or _is_number(value)):
            return None
        metadata[field.name] = value if is_text else math.nan if value is None else float(value)
    stimuli = said.get("stimuli")
    names = stimuli if isinstance(stimuli, dict) else {}
    return Exported(metadata, {str(name): str(stimulus) for name, stimulus in names.items()})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
