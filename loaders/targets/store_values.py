"""Values of labels that a store shows anywhere, and how presentations become classes and ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.errors import LoaderError
from poyodata.loaders.targets.shown import BLANK, NOTHING
from poyodata.loaders.targets.vocabulary import Vocabulary

if TYPE_CHECKING:
    from poyodata.curation.view import View
    from poyodata.loaders.targets.target import Windows
    from poyodata.store import Store

FloatArray = npt.NDArray[np.float64]

DIRECTION = "direction_deg"
DIRECTION_STEP_DEG = 45.0
N_DIRECTIONS = 8
IDS = ("image", "movie_frame")
_BATCH = 40  # recordings read together: with movies a million rows

_shown: WeakKeyDictionary[Store, dict[tuple[str, ...], dict[str, FloatArray]]] = WeakKeyDictionary()


def shown_values(store: Store, columns: Sequence[str]) -> Mapping[str, FloatArray]:
    """Every value of a label that any recording of a store shows, by stimulus.

    One pass over these columns of the presentations of all recordings, about 1 ms a recording; kept for the store.

    Parameters
    ----------
    store : Store
    columns : sequence of str
        Of presentations.

    Returns
    -------
    dict of stimulus to ndarray, shape (value, column), float64
        Sorted. Stimuli without the label are left out.
    """
    kept, key = _shown.setdefault(store, {}), tuple(columns)
    if key not in kept:
        found: dict[str, list[FloatArray]] = {}
        for first in range(0, len(store), _BATCH):
            rows = store.presentations_of(store.session_ids[first : first + _BATCH], ["stimulus", "blank", *columns])
            values = label_values(rows, columns)
            known = is_known(values, rows["blank"].to_numpy(bool), columns)
            kind, stimuli = pd.factorize(rows["stimulus"][known])
            # Sorting all rows of a movie takes thirty times as long as finding those that are new.
            each = pd.DataFrame(np.column_stack([kind, values[known]])).drop_duplicates().to_numpy(np.float64)
            for number, stimulus in enumerate(stimuli.tolist()):
                found.setdefault(str(stimulus), []).append(each[each[:, 0] == number, 1:])
        kept[key] = {name: np.unique(np.concatenate(parts), axis=0) for name, parts in sorted(found.items())}
    return kept[key]


def label_values(rows: pd.DataFrame, columns: Sequence[str]) -> FloatArray:
    """Columns of a label as one array, shape (row, column), float64."""
    return np.column_stack([rows[column].to_numpy(np.float64) for column in columns])


def is_known(values: FloatArray, blank: npt.NDArray[np.bool_], columns: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which presentations have a label: ids of 0 and above, other values that are finite, and no blank."""
    known = values >= 0 if columns[0] in IDS else np.isfinite(values)
    return np.asarray(known.all(axis=1) & ~blank, dtype=np.bool_)


def class_names(values: FloatArray) -> list[str]:
    """Names of classes: six digits, so that 0.04 from a file of float32 is 0.04.

    Examples
    --------
    >>> class_names(np.array([[np.float64(np.float32(0.04)), 0.25], [2.0, 0.0]]))
    ['0.04/0.25', '2/0']
    """
    return ["/".join(f"{value:.6g}" for value in row) for row in values.tolist()]


def class_values(classes: Vocabulary) -> FloatArray:
    """Numbers that classes of one column stand for, shape (class,), float64."""
    return np.array([float(name) for name in classes.names], np.float64)


def codes_of(rows: pd.DataFrame, columns: Sequence[str], classes: Vocabulary | None) -> npt.NDArray[np.int32]:
    """Codes of presentations of stimuli that have a label.

    Parameters
    ----------
    rows : DataFrame
        With `columns` and ``blank``.
    columns : sequence of str
    classes : Vocabulary or None
        None for ids.

    Returns
    -------
    ndarray, shape (row,), int32
        0 and above, `BLANK`, or `NOTHING` where a value is missing though the presentation is no blank.

    Raises
    ------
    LoaderError
        For a value that is no class.
    """
    values, blank = label_values(rows, columns), rows["blank"].to_numpy(bool)
    known = is_known(values, blank, columns)
    codes = np.where(blank, BLANK, NOTHING).astype(np.int32)
    if classes is None:
        codes[known] = values[known, 0].astype(np.int32)
        return codes
    shown, which = _distinct(values[known])
    if tuple(columns) == (DIRECTION,):
        odd = odd_directions(shown[:, 0])
        if odd.any():
            raise LoaderError(_odd_text(f"{int(odd[which].sum())} presentations have", shown[odd][0, 0]))
        number = np.round(shown[:, 0] / DIRECTION_STEP_DEG).astype(np.int64) % N_DIRECTIONS
    else:
        number = classes.index(class_names(shown))
    codes[known] = number[which]
    return codes


def _distinct(values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Rows that differ, and which of them each row is: by hashing, which is ten times as fast as sorting them."""
    key = np.zeros(len(values), np.int64)
    for column in values.T:
        number, levels = pd.factorize(column)
        key = key * len(levels) + number
    which, keys = pd.factorize(key)
    first = np.empty(len(keys), np.int64)
    first[which[::-1]] = np.arange(len(key))[::-1]
    return values[first], which.astype(np.int64)


def odd_directions(degrees: FloatArray) -> npt.NDArray[np.bool_]:
    """Which directions are no multiple of 45 degrees; missing ones are none.

    Examples
    --------
    >>> odd_directions(np.array([0.0, 30.0, 360.0, np.nan])).tolist()
    [False, True, False, False]
    """
    steps = degrees / DIRECTION_STEP_DEG
    return np.asarray(np.abs(steps - np.round(steps)) > 1e-6, dtype=np.bool_)


def refuse_odd_directions(view: View, index: Windows) -> None:
    """Raise where a direction is no class: of a trial of the windows or, where the manifest has none, of the store.

    Raises
    ------
    LoaderError
    """
    windows, met = view.manifest.windows, index.source[index.source >= 0]
    degrees = windows[DIRECTION].to_numpy(np.float64)
    odd = met[odd_directions(degrees[met]) & ~windows["blank"].to_numpy(bool)[met]]
    if len(odd):
        row = windows.iloc[int(odd.min())]
        who = f"recording {row['session_id']!r}, trial {row['trial']} has"
        raise LoaderError(_odd_text(who, row["direction_deg"]))
    if not np.isfinite(degrees).any():
        for stimulus, values in shown_values(view.store, (DIRECTION,)).items():
            wrong = values[odd_directions(values[:, 0]), 0]
            if len(wrong):
                raise LoaderError(_odd_text(f"{stimulus} is shown in this store at", wrong[0]))


def _odd_text(who: str, degrees: Any) -> str:
    """Sentence for a direction that is no class."""
    return (
        f"{who} direction {degrees:g} degrees, and labels are the 8 multiples of 45. Correct the recording's mapping "
        "if the unit is another, choose other trials by the diet's windows.where, or leave the target 'direction' out."
    )
