"""The label of a window's own trial, whatever else the window holds: joined by integer trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import LoaderError
from poyodata.loaders.first_touch import FirstTouch
from poyodata.loaders.targets.shown import NOTHING
from poyodata.loaders.targets.store_values import codes_of
from poyodata.loaders.targets.target import IntArray, Places, Windows
from poyodata.loaders.targets.vocabulary import Vocabulary

if TYPE_CHECKING:
    from poyodata.curation.view import View
    from poyodata.store import Store

NO_TRIAL = -3
"""Code of a window that has no trial of its own: it came from no presentation, or from several."""

_UNREAD = -4  # has a trial whose label the manifest does not hold, and which was not looked up yet


@dataclass(frozen=True)
class LabelReader:
    """Presentations of recordings, as codes of one label.

    Attributes
    ----------
    store : Store
    columns : tuple of str
        Of the label.
    stimuli : frozenset of str
        Those that are meant.
    classes : Vocabulary or None
        None for ids.
    """

    store: Store
    columns: tuple[str, ...]
    stimuli: frozenset[str]
    classes: Vocabulary | None

    def read(self, session_id: str, beside: Sequence[str]) -> tuple[pd.DataFrame, npt.NDArray[np.int32]]:
        """Presentations of the stimuli in a recording, these columns beside the label's, and their codes."""
        rows = self.store.presentations_of(session_id, ["stimulus", "blank", *beside, *self.columns])
        rows = rows[rows["stimulus"].isin(self.stimuli)]
        return rows, self.codes(rows)

    def codes(self, rows: pd.DataFrame) -> npt.NDArray[np.int32]:
        """Codes of presentations of the stimuli."""
        return codes_of(rows, self.columns, self.classes)


class OwnTrials:
    """Codes of the trials that the rows of an index came from, 4 bytes a row.

    Taken from the manifest where it holds the label, and else read when a recording is first met.

    Parameters
    ----------
    view : View
    index : WindowIndex
    reader : LabelReader
    """

    def __init__(self, view: View, index: Windows, reader: LabelReader) -> None:
        windows, columns = view.manifest.windows, list(reader.columns)
        self._view, self._reader, self._source = view, reader, index.source
        has = rows_with_trial(view, index)
        has = has[_meant(windows, reader.stimuli)[index.source[has]]]
        self._code = np.full(len(index.source), NO_TRIAL, np.int32)
        self._code[rows_with_trial(view, index)] = NOTHING
        if set(columns) <= set(windows.columns):
            self._code[has] = reader.codes(windows[["blank", *columns]].iloc[index.source[has]])
        else:
            self._code[has] = _UNREAD
        unread = np.flatnonzero(self._code == _UNREAD)
        sessions = index.session_index[unread]
        self._reading = FirstTouch()
        self._unread = {int(at): unread[sessions == at] for at in np.unique(sessions)}

    def codes(self, located: Places) -> IntArray:
        """Codes of windows, shape (batch,); `NO_TRIAL` for those without a trial of their own."""
        if self._unread:
            with self._reading:
                for at in self._unread.keys() & set(located.session_index.tolist()):
                    self._read(self._unread[at])
                    del self._unread[at]  # last: other threads take what is not here as read
        return self._code[located.row].astype(np.int64)

    def _read(self, rows: IntArray) -> None:
        windows = self._view.manifest.windows.iloc[self._source[rows]]
        shown, codes = self._reader.read(str(windows["session_id"].iloc[0]), ("trial",))
        keys = (pd.MultiIndex.from_frame(table[["stimulus", "trial"]]) for table in (shown, windows))
        place = next(keys).get_indexer(next(keys))
        if (place < 0).any():
            trial = windows.iloc[int(np.argmax(place < 0))]
            raise LoaderError(
                f"recording {trial['session_id']!r} has no presentation {trial['trial']} of {trial['stimulus']}, "
                "which the manifest names; resolve the diet again."
            )
        self._code[rows] = codes[place]


def _meant(windows: pd.DataFrame, stimuli: frozenset[str]) -> npt.NDArray[np.bool_]:
    kind, names = pd.factorize(windows["stimulus"])
    return np.asarray(np.isin(names.to_numpy(object), list(stimuli))[kind], dtype=np.bool_)


def rows_with_trial(view: View, index: Windows) -> IntArray:
    """Rows of an index that came from one presentation."""
    rows = np.flatnonzero(index.source >= 0)
    return rows[view.manifest.windows["trial"].to_numpy(np.int64)[index.source[rows]] >= 0]


def windows_by_trial(view: View, index: Windows) -> Mapping[str, int]:
    """Count the windows of rows that came from one presentation, by its stimulus."""
    rows = rows_with_trial(view, index)
    kind, names = pd.factorize(view.manifest.windows["stimulus"].iloc[index.source[rows]])
    counts = np.bincount(kind, weights=index.count[rows], minlength=len(names)).astype(np.int64)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
