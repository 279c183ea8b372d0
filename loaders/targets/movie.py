"""Pixels of what was shown: movie frames and scenes at a requested resolution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.loaders.targets.frames import FloatFrames, resampled_frames
from poyodata.loaders.targets.labels import At, LabelTarget, label_target
from poyodata.loaders.targets.shown import BLANK, windows_by_stimulus
from poyodata.loaders.targets.store_values import shown_values
from poyodata.loaders.targets.target import Places, TargetColumn, Windows

if TYPE_CHECKING:
    from poyodata.curation.view import View
    from poyodata.loaders.windows.index import WindowIndex

_AT_ONCE = 4096


def movie_target(
    view: View,
    *,
    height: int,
    width: int,
    at: At = "trial",
    stimulus: str | None = None,
    cache: str | Path | None = None,
    name: str = "movie",
) -> MovieTarget:
    """Make the target of the pixels of a movie, or of scenes.

    Parameters
    ----------
    view : View
    height, width : int, pixels
        The template is brought to these once, by the mean over areas (`resampled_frames`).
    at : {"trial", "centre", "start", "all"}
        Of which frame of a window; see `label_target`.
    stimulus : str, optional
        By default the only one in the windows that has movie frames. A stimulus of ids of images, such as
        ``natural_scenes``, must be named.
    cache : path, optional
        Folder that keeps the resampled frames; see `resampled_frames`.
    name : str
        In the batch.

    Raises
    ------
    UsageError
        For an unknown stimulus or `at`, or sides that are no whole numbers.
    """
    for side, value in (("height", height), ("width", width)):
        if value != int(value) or value < 1:
            raise UsageError(f"{side}={value!r} is no number of pixels; give a whole number of at least 1.")
    kind = "image" if stimulus is not None and _has_images(view, stimulus) else "movie_frame"
    ids = label_target(kind, view, at=at, stimulus=stimulus, name=name)
    return MovieTarget(name, ids, view, int(height), int(width), None if cache is None else Path(cache))


def _has_images(view: View, stimulus: str) -> bool:
    """Whether a stimulus is of images, not of movie frames: asked of the first recording that shows it."""
    epochs = view.store.epochs
    showing = epochs["session_id"][(epochs["stimulus"] == stimulus).to_numpy(bool)]
    if showing.empty:
        return False
    rows = view.store.presentations_of(str(showing.iloc[0]), ("stimulus", "image", "movie_frame"))
    rows = rows[(rows["stimulus"] == stimulus).to_numpy(bool)]
    return bool((rows["image"] >= 0).any() and not (rows["movie_frame"] >= 0).any())


class MovieTarget:
    """Pixels of the movie frame or scene that a window shows; made by `movie_target`.

    Columns ``<name>`` float32 of shape (batch, height, width), or (batch, time, height, width) for every frame: 0 for
    black to 1 for white, NaN where nothing of the movie is shown; and ``<name>_blank`` bool as for labels.

    The frames are kept once, 4 bytes a pixel of the requested resolution: 7 MB for 900 frames of 32 x 64. The ids
    behind them are those of the target ``movie_frame`` or ``image``, at its price.

    Attributes
    ----------
    name : str
    """

    def __init__(self, name: str, ids: LabelTarget, view: View, height: int, width: int, cache: Path | None) -> None:
        self.name = name
        self._ids = ids
        self._view = view
        self._size = (height, width)
        self._cache = cache
        self._held: FloatFrames | None = None

    @property
    def kind(self) -> str:
        """Label of the ids behind the pixels: ``movie_frame``, or ``image`` of scenes."""
        return self._ids.kind

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        """Arrays that it adds to a batch."""
        blank = self._ids.columns[f"{self.name}_blank"]
        shape = f"{blank.shape[:-1].rstrip(',')}, {self._size[0]}, {self._size[1]})"
        return {self.name: TargetColumn("float32", shape, "share of white"), f"{self.name}_blank": blank}

    def check(self, view: View, index: Windows) -> None:
        """Take the index; see `Target.check`.

        Raises
        ------
        LoaderError
            When no window shows a movie, or when the store has no template of it or one of fewer frames.
        """
        self._ids.check(view, index)
        (stimulus,) = self._ids.stimuli
        if stimulus not in view.store.stimuli:
            count = windows_by_stimulus(view, index).get(stimulus, 0)
            raise LoaderError(
                f"target {self.name!r} can never be had: {count:,} windows show {stimulus!r}, and the store has no "
                f"template of it: {nearest(stimulus, view.store.stimuli)} Ingest a recording that brings the "
                "template, choose another `stimulus`, or ask for the target 'movie_frame', which needs none."
            )
        self._require_frame(self._highest(view, stimulus), len(view.store.movie(stimulus)))
        self._held = None

    def _highest(self, view: View, stimulus: str) -> int:
        """Highest frame that is shown, as the manifest says or, where its windows are no trials, the store."""
        windows, kind = view.manifest.windows, self._ids.kind
        if kind in windows.columns:
            shown = windows[kind].to_numpy(np.int64)[(windows["stimulus"] == stimulus).to_numpy(bool)]
            if (windows["trial"] >= 0).all():
                return int(shown.max(initial=-1))
        return int(shown_values(view.store, (kind,))[stimulus].max())

    @property
    def frames(self) -> FloatFrames:
        """All frames at the requested resolution, shape (frame, height, width), float32; made when first used."""
        if self._held is None:
            (stimulus,) = self._ids.stimuli
            self._held = resampled_frames(self._view.store, stimulus, *self._size, cache=self._cache)
        return self._held

    def mean_frame(self, index: WindowIndex) -> npt.NDArray[np.float32]:
        """Mean of the different frames that windows show, shape (height, width): what all of them have in common."""
        shown = [
            np.unique(self._ids.codes(index.locate(np.arange(first, min(first + _AT_ONCE, len(index))))))
            for first in range(0, len(index), _AT_ONCE)
        ]
        codes = np.unique(np.concatenate([np.empty(0, np.int64), *shown]))
        frames = self.frames[codes[codes >= 0]]
        # By summing and dividing, white may come out a bit whiter than white.
        return np.asarray(np.clip(frames.mean(axis=0, dtype=np.float64), 0.0, 1.0), np.float32)

    def of(self, located: Places) -> dict[str, npt.NDArray[Any]]:
        """Pixels of windows; see `Target.of`.

        Raises
        ------
        LoaderError
            For a movie frame that the template does not have.
        """
        codes, frames = self._ids.codes(located), self.frames
        self._require_frame(int(codes.max(initial=-1)), len(frames))
        pixels = np.asarray(frames[np.maximum(codes, 0)])
        pixels[codes < 0] = np.nan
        return {self.name: pixels, f"{self.name}_blank": codes == BLANK}

    def _require_frame(self, highest: int, n_frames: int) -> None:
        if highest >= n_frames:
            raise LoaderError(
                f"target {self.name!r}: frame {highest} of {', '.join(self._ids.stimuli)} is shown, and its template "
                f"has {n_frames}; the presentations and the template are not of the same movie. Correct the source."
            )

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps or makes the frames itself.
        return {**self.__dict__, "_held": None}
