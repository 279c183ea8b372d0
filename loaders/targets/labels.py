"""What was shown, as classes and ids: direction, frequencies, orientation, phase, scenes and movie frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.first_touch import FirstTouch
from poyodata.loaders.targets.own_trials import NO_TRIAL, LabelReader, OwnTrials, rows_with_trial, windows_by_trial
from poyodata.loaders.targets.shown import BLANK, FrameCodes, ShownFrames, counted, windows_by_stimulus
from poyodata.loaders.targets.store_values import (
    DIRECTION,
    DIRECTION_STEP_DEG,
    N_DIRECTIONS,
    class_names,
    class_values,
    is_known,
    label_values,
    refuse_odd_directions,
    shown_values,
)
from poyodata.loaders.targets.target import IntArray, Places, TargetColumn, Windows, frame_numbers, require_checked
from poyodata.loaders.targets.vocabulary import Vocabulary

if TYPE_CHECKING:
    from poyodata.curation.view import View

At = Literal["trial", "centre", "start", "all"]


@dataclass(frozen=True)
class Label:
    """A kind of label.

    Attributes
    ----------
    columns : tuple of str
        Columns of presentations; of several, each combination is a class.
    unit : str
        Of the value beside the class; ``""`` where there is none.
    is_id : bool
        Whether the numbers of the store are the ids themselves.
    """

    columns: tuple[str, ...]
    unit: str = ""
    is_id: bool = False


LABELS: Mapping[str, Label] = MappingProxyType(
    {
        "direction": Label((DIRECTION,)),
        "temporal_frequency": Label(("temporal_frequency_hz",), "hz"),
        "spatial_frequency": Label(("spatial_frequency_cpd",), "cpd"),
        "orientation": Label(("orientation_deg",), "deg"),
        "phase": Label(("phase",), "cycles"),
        "static_grating": Label(("orientation_deg", "spatial_frequency_cpd", "phase")),
        "image": Label(("image",), is_id=True),
        "movie_frame": Label(("movie_frame",), is_id=True),
    }
)


def label_target(
    kind: str,
    view: View,
    *,
    at: At = "trial",
    stimulus: str | None = None,
    vocabulary: Vocabulary | None = None,
    name: str | None = None,
) -> LabelTarget:
    """Make the target of a label.

    Parameters
    ----------
    kind : str
        Of `LABELS`. ``direction`` is degrees / 45; ``image`` and ``movie_frame`` are the numbers of the store; the
        others are classes of a vocabulary.
    view : View
    at : {"trial", "centre", "start", "all"}
        Of which frame. ``trial``: the window's own trial, whatever else the window holds; windows without one are
        taken at their centre. ``centre``: frame ``start + length // 2``. ``all``: of every frame.
    stimulus : str, optional
        This one alone. Ids need one, as frame 7 of two movies is not the same: by default the only one in the windows
        that has such ids.
    vocabulary : Vocabulary, optional
        Classes of an earlier store, which grow by what is new here and are never renumbered
        (``vocabulary.grow(target.classes.names)``). By default every value in any recording of the store, sorted:
        the same for every diet of one store.
    name : str, optional
        In the batch; by default `kind`.

    Raises
    ------
    UsageError
        For an unknown kind, stimulus or `at`.
    LoaderError
        When the store shows a value that the vocabulary does not hold.
    """
    if kind not in LABELS:
        raise UsageError(f"unknown label {kind!r}: {nearest(kind, LABELS)}")
    if at not in get_args(At):
        raise UsageError(f"at={at!r} is no place in a window: {nearest(str(at), get_args(At))}")
    known = view.store.epochs["stimulus"].unique()
    if stimulus is not None and stimulus not in known:
        raise UsageError(f"no recording of the store shows {stimulus!r}: {nearest(stimulus, known)}")
    return LabelTarget(name or kind, LABELS[kind], view, at, stimulus, vocabulary)


class LabelTarget:
    """A label of what was shown; made by `label_target`.

    Columns ``<name>`` int64, ``<name>_blank`` bool, and ``<name>_<unit>`` float32 where the label has a value. So a
    class of 0 or more is shown; -1 with ``_blank`` is a blank sweep of a stimulus that has the label; -1 without is
    anything else: grey between sweeps, or another stimulus. The value is NaN in both.

    Labels are joined by integer trial (`at` ``trial``) or integer frame, never by a float of time. Of a recording, the
    presentations are read when a window of it is first asked for, and only the columns needed; 12 bytes a presentation
    with the label are kept (`FrameCodes`), and 4 bytes a row of the index.

    Attributes
    ----------
    name : str
    """

    def __init__(
        self, name: str, label: Label, view: View, at: At, stimulus: str | None, vocabulary: Vocabulary | None
    ) -> None:
        self.name = name
        self._label = label
        self._view = view
        self._at = at
        self._stimulus = stimulus
        self._stimuli: frozenset[str] = frozenset() if stimulus is None else frozenset({stimulus})
        self._vocabulary = vocabulary
        self._session_ids: tuple[str, ...] | None = None
        self._own: OwnTrials | None = None
        self._by_frames = ShownFrames(0)
        self._reading = FirstTouch()
        if label.columns != (DIRECTION,) and not label.is_id:
            _ = self.classes  # a value beyond the vocabulary is told now

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        """Arrays that it adds to a batch."""
        shape = "(batch, time)" if self._at == "all" else "(batch,)"
        unit = self._label.unit
        made = {
            self.name: TargetColumn("int64", shape, "id" if self._label.is_id else "class"),
            f"{self.name}_blank": TargetColumn("bool", shape, "bool"),
        }
        return made | ({f"{self.name}_{unit}": TargetColumn("float32", shape, unit)} if unit else {})

    @cached_property
    def classes(self) -> Vocabulary:
        """What the classes are, as text: ``"1"``, ``"2"``, ``"4"`` Hz.

        Raises
        ------
        LoaderError
            For ids, and for values of the store that a given vocabulary does not hold.
        """
        columns = self._label.columns
        if self._label.is_id:
            raise LoaderError(f"target {self.name!r} has ids, not classes; see n_classes for how many.")
        if columns == (DIRECTION,):
            return Vocabulary(columns[0], tuple(f"{DIRECTION_STEP_DEG * step:g}" for step in range(N_DIRECTIONS)))
        shown = shown_values(self._view.store, columns)
        rows = [values for stimulus, values in shown.items() if self._stimulus in (None, stimulus)]
        values = np.unique(np.concatenate(rows), axis=0) if rows else np.empty((0, len(columns)))
        found = Vocabulary(self.kind, tuple(dict.fromkeys(class_names(values))))
        if self._vocabulary is None:
            return found
        if self._vocabulary.kind != found.kind:
            raise LoaderError(
                f"target {self.name!r} has classes of kind {found.kind!r}, and the vocabulary given is of kind "
                f"{self._vocabulary.kind!r}; give the one that was saved for this target."
            )
        self._vocabulary.index(found.names)
        return self._vocabulary

    @property
    def n_classes(self) -> int:
        """How many classes or ids there are: what a model's output needs. A blank is none of them."""
        if not self._label.is_id:
            return len(self.classes)
        store = self._view.store
        if self._stimuli and self._stimuli <= store.stimuli.keys():
            return max(len(store.movie(name)) for name in self._stimuli)
        shown = shown_values(store, self._label.columns)
        meant = [name for name in shown if name in self._stimuli or not self._stimuli]
        return max((int(shown[name].max()) + 1 for name in meant), default=0)

    @property
    def kind(self) -> str:
        """Column of presentations that the label is of; several are joined by ``+``."""
        return "+".join(self._label.columns)

    @property
    def stimuli(self) -> frozenset[str]:
        """Stimuli whose labels are meant, known when the index was checked."""
        return self._stimuli

    # -- before training -----------------------------------------------------------------------------------------

    def check(self, view: View, index: Windows) -> None:
        """Take the index; see `Target.check`.

        Raises
        ------
        LoaderError
            When no window shows a stimulus with this label, when all that do are blank sweeps, when ids of several
            stimuli would be mixed, or when a direction is no multiple of 45 degrees.
        """
        if self._label.columns == (DIRECTION,):
            refuse_odd_directions(view, index)
        carriers = self._carriers(view)
        shown = self._shown(view, index)
        found = {name: count for name, count in shown.items() if name in carriers}
        wanted = found if self._stimulus is None else {k: n for k, n in found.items() if k == self._stimulus}
        if not wanted:
            which = f"of {self._stimulus!r} " if self._stimulus else ""
            raise LoaderError(
                f"target {self.name!r} can never be had: none of the {int(index.count.sum()):,} windows shows a "
                f"presentation {which}with {' and '.join(self._label.columns)}; they show {counted(shown)}. In this "
                f"store {' and '.join(sorted(carriers)) or 'no stimulus'} has it: let the diet's windows.where choose "
                "that, or leave the target out."
            )
        if self._label.is_id and len(wanted) > 1:
            raise LoaderError(
                f"target {self.name!r} would mix the ids of {counted(wanted)}, which mean different pictures; give "
                "`stimulus` the name of one, and make a target with a `name` of its own for each other one."
            )
        self._refuse_blanks(view, index, wanted)
        self._stimuli = frozenset(wanted)
        self._session_ids = tuple(index.session_ids)
        self._by_frames = ShownFrames(len(index.session_ids))
        self._own = OwnTrials(view, index, self._reader()) if self._at == "trial" else None

    def _refuse_blanks(self, view: View, index: Windows, wanted: Mapping[str, int]) -> None:
        """Raise where what the windows are made of is presentations, and those of the stimuli are blank throughout."""
        windows = view.manifest.windows
        # What is shown at a frame of a window may be of any window of the manifest.
        own = self._at == "trial" and bool((index.source >= 0).all())
        rows = windows.iloc[index.source] if own else windows
        meant = rows["stimulus"].isin(list(wanted)).to_numpy(bool)
        if (rows["trial"] >= 0).all() and rows["blank"].to_numpy(bool)[meant].all():
            raise LoaderError(
                f"target {self.name!r} can never be had: all {counted(wanted)} windows that could have "
                f"{' and '.join(self._label.columns)} are blank sweeps. Let the diet's windows.where choose others "
                "too, or leave the target out."
            )

    def _carriers(self, view: View) -> frozenset[str]:
        """Stimuli that have the label: of the windows where the manifest says so, else of the store."""
        windows, columns = view.manifest.windows, self._label.columns
        if set(columns) <= set(windows.columns):
            known = is_known(label_values(windows, columns), windows["blank"].to_numpy(bool), columns)
            if known.any():
                return frozenset(map(str, windows["stimulus"][known].unique()))
        return frozenset(shown_values(view.store, columns))

    def _shown(self, view: View, index: Windows) -> Mapping[str, int]:
        """Windows by the stimulus of their own trial, or by the stimuli whose epochs they reach into."""
        if self._at == "trial" and len(rows_with_trial(view, index)) == len(index.source):
            return windows_by_trial(view, index)
        return windows_by_stimulus(view, index)

    # -- in a batch ----------------------------------------------------------------------------------------------

    def of(self, located: Places) -> dict[str, npt.NDArray[Any]]:
        """Labels of windows; see `Target.of`."""
        codes = self.codes(located)
        none = codes < 0
        arrays: dict[str, npt.NDArray[Any]] = {
            self.name: np.where(none, -1, codes),
            f"{self.name}_blank": codes == BLANK,
        }
        if self._label.unit:
            arrays[f"{self.name}_{self._label.unit}"] = self._values[np.where(none, len(self._values) - 1, codes)]
        return arrays

    def codes(self, located: Places) -> IntArray:
        """Classes or ids of windows, shape (batch,) or (batch, time); `NOTHING` and `BLANK` where there is none."""
        require_checked(self._session_ids, self.name)
        if self._at == "all":
            return self._by_frame(located.session_index, located.start, frame_numbers(located, self.name))
        if self._at == "start":
            return self._by_frame(located.session_index, located.start, None)
        centre = located.start + located.length // 2
        if self._at == "centre":
            return self._by_frame(located.session_index, centre, None)
        codes = self._own.codes(located) if self._own else np.full(len(centre), NO_TRIAL, np.int64)
        others = np.flatnonzero(codes == NO_TRIAL)
        if len(others):
            codes[others] = self._by_frame(located.session_index[others], centre[others], None)
        return codes

    @cached_property
    def _values(self) -> npt.NDArray[np.float32]:
        return np.append(class_values(self.classes), np.nan).astype(np.float32)

    def _by_frame(self, sessions: IntArray, first: IntArray, reach: IntArray | None) -> IntArray:
        if self._by_frames.missing(sessions):
            with self._reading:
                for at in self._by_frames.missing(sessions):
                    rows, codes = self._reader().read((self._session_ids or ())[at], ("start_frame", "stop_frame"))
                    frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64)
                    self._by_frames.add(at, FrameCodes.of_presentations(frames[:, 0], frames[:, 1], codes))
        if reach is None:
            return self._by_frames.at(sessions, first[:, None])[:, 0]
        return self._by_frames.at(sessions, first[:, None] + reach)

    def _reader(self) -> LabelReader:
        classes = None if self._label.is_id else self.classes
        return LabelReader(self._view.store, self._label.columns, self._stimuli, classes)
