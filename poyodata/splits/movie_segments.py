"""Segments of a movie between its scene changes, and the time in which each was shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poyodata.errors import SplitError, UsageError
from poyodata.splits.blocks import block_roles, role_sequence
from poyodata.splits.fractions import ROLES
from poyodata.splits.recording import OTHERWISE, Recording, TimeRoles, stretches
from poyodata.splits.within import MovieSegments

LEAST_STEP = 5.0
"""Grey levels: a smaller mean difference of two frames is no scene change, however still the movie is."""

_PIXELS = 64
_FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class Segmentation:
    """Where a movie is cut.

    Attributes
    ----------
    starts : ndarray, shape (segment,), int64
        First frame of every segment, 0 included.
    n_frames : int
        Of the movie.
    n_within : int
        Cuts that are no scene changes: the movie has too few.
    """

    starts: npt.NDArray[np.int64]
    n_frames: int
    n_within: int


def frame_steps(template: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean absolute difference of every frame of a movie from the frame before it.

    Parameters
    ----------
    template : ndarray, shape (frame, height, width), uint8

    Returns
    -------
    ndarray, shape (frame - 1,), float64, grey levels
        Of every k-th row and column, such that at least 64 rows are left.

    Examples
    --------
    >>> frame_steps(np.array([[[10]], [[12]], [[5]]], np.uint8))
    array([2., 7.])
    """
    stride = max(1, template.shape[1] // _PIXELS)
    steps = [
        np.abs(np.diff(template[at : at + _FRAMES_AT_ONCE + 1, ::stride, ::stride].astype(np.int16), axis=0))
        .mean(axis=(1, 2))
        .astype(np.float64)
        for at in range(0, len(template) - 1, _FRAMES_AT_ONCE)
    ]
    return np.concatenate([np.empty(0), *steps])


def cut_movie(template: npt.NDArray[np.uint8], segments: int, cut_factor: float) -> Segmentation:
    """Cut a movie at its scene changes, and further where these are too few; see `MovieSegments`.

    Parameters
    ----------
    template : ndarray, shape (frame, height, width), uint8
    segments : int
        Least number of segments.
    cut_factor : float
        Deviations above the median step from which on a step is a scene change.

    Returns
    -------
    Segmentation

    Raises
    ------
    SplitError
        When the movie has fewer frames than segments are asked for.

    Examples
    --------
    >>> still = np.repeat(np.array([10, 90, 20, 200], np.uint8), 6)[:, None, None]
    >>> cut_movie(still, segments=3, cut_factor=8.0).starts
    array([ 0,  6, 12, 18])
    """
    n = len(template)
    if n < segments:
        raise SplitError(f"a movie of {n} frames has no {segments} segments; ask for {n} at most.")
    steps = frame_steps(template)
    middle = float(np.median(steps))
    deviation = 1.4826 * float(np.median(np.abs(steps - middle)))
    shortest = max(1, n // (4 * segments))
    is_change = (steps > middle + cut_factor * deviation) & (steps >= LEAST_STEP)
    edges = [0, n]
    # The greatest first: of two changes that leave too short a segment between them, it stays.
    for cut in (np.flatnonzero(is_change)[np.argsort(-steps[is_change], kind="stable")] + 1).tolist():
        if min(abs(cut - edge) for edge in edges) >= shortest:
            edges.append(cut)
    n_within = max(0, segments - (len(edges) - 1))
    for _ in range(n_within):
        edges.sort()
        lengths = np.diff(edges)
        longest = int(np.argmax(lengths))
        low = edges[longest] + max(1, int(lengths[longest]) // 4)
        high = max(low + 1, edges[longest + 1] - int(lengths[longest]) // 4)
        edges.append(low + int(np.argmax(steps[low - 1 : high - 1])))
    return Segmentation(np.sort(np.array(edges, np.int64))[:-1], n, n_within)


def blocks_of_segments(cut: Segmentation, within: MovieSegments) -> npt.NDArray[np.int64]:
    """Block of every segment: neighbours together, such that blocks come closest to their shares of the movie.

    Returns
    -------
    ndarray, shape (segment,), int64
        Index into `role_sequence`; none of the blocks is empty.
    """
    shares = within.fractions.shares if within.fractions is not None else np.full(within.folds or 1, 1.0)
    wanted = np.cumsum(shares / shares.sum())[:-1] * cut.n_frames
    asked = np.flatnonzero(shares > 0)
    block, low = np.zeros(len(cut.starts), np.int64), 1
    for number, place in enumerate(wanted):
        later = int((asked > number).sum())
        if shares[number] == 0 or later == 0:
            at = low - 1 if shares[number] == 0 else len(cut.starts)
        else:
            options = np.arange(low, len(cut.starts) - later + 1)
            at = int(options[np.argmin(np.abs(cut.starts[options] - place))])
            low = at + 1
        block[at:] = number + 1
    return block


def segment_roles(
    recording: Recording, within: MovieSegments, fold: int, name: str, cuts: dict[str, Segmentation]
) -> tuple[TimeRoles, TimeRoles]:
    """Give every showing of a segment of a movie its role, and divide other stimuli by blocks.

    Parameters
    ----------
    recording : Recording
    within : MovieSegments
    fold : int
    name : str
        Of the split, for messages.
    cuts : dict of str to Segmentation
        Of movies cut before, by stimulus; added to.

    Returns
    -------
    roles : dict of str to Intervals
    of_movies : dict of str to Intervals
        What of it is time of movies.

    Raises
    ------
    SplitError
        When no movie was shown, the store lacks the template of one, or an epoch of another stimulus is too short.
    """
    stimulus, epoch, frame, repeat, start, stop = recording.shown(
        "stimulus", "epoch", "movie_frame", "repeat", "start_frame", "stop_frame"
    )
    of_movie = frame >= 0
    movies = sorted(set(stimulus[of_movie].tolist()))
    if not movies:
        raise SplitError(
            f"recording {recording.session_id} was shown no movie, and split {name!r} holds segments of movies out; "
            f"{OTHERWISE}."
        )
    sequence = role_sequence(within, fold)
    rows: dict[str, list[npt.NDArray[np.int64]]] = {role: [np.empty((0, 2), np.int64)] for role in ROLES}
    for movie in movies:
        cut = _cut(recording, movie, within, name, cuts)
        own = np.flatnonzero((stimulus == movie) & of_movie)
        if frame[own].max() >= cut.n_frames:
            raise SplitError(
                f"recording {recording.session_id} was shown frame {frame[own].max()} of {movie}, whose template has "
                f"{cut.n_frames}; ingest the recordings with the template that they were shown."
            )
        block = blocks_of_segments(cut, within)[np.searchsorted(cut.starts, frame[own], side="right") - 1]
        new = (np.diff(block) != 0) | (np.diff(epoch[own]) != 0) | (np.diff(repeat[own]) != 0) | (np.diff(own) != 1)
        first = np.flatnonzero(np.r_[True, new])
        spans = np.column_stack([start[own[first]], np.maximum.reduceat(stop[own], first)]).astype(np.int64)
        # A frame of the microscope in which two segments were shown is the later one's.
        spans[:-1, 1] = np.minimum(spans[:-1, 1], spans[1:, 0])
        for number, role in enumerate(sequence):
            rows[role].append(spans[block[first] == number])
    others = recording.epochs.of(lambda name: name not in movies)
    divided = block_roles(recording, within.blocks, fold, name, others)
    of_movies = {role: stretches(np.concatenate(parts)) for role, parts in rows.items()}
    return {role: stretches(np.concatenate([spans, divided[role]])) for role, spans in of_movies.items()}, of_movies


def _cut(
    recording: Recording, movie: str, within: MovieSegments, name: str, cuts: dict[str, Segmentation]
) -> Segmentation:
    if movie not in cuts:
        try:
            template = recording.movie(movie)
        except UsageError as error:
            raise SplitError(
                f"recording {recording.session_id} was shown {movie}, of which the store has no template to find scene "
                f"changes in; ingest a recording that brings it, or use 'blocks-5fold' in place of {name!r}."
            ) from error
        try:
            cuts[movie] = cut_movie(template, within.segments, within.cut_factor)
        except SplitError as error:
            raise SplitError(f"{movie}: {error}") from error
    return cuts[movie]
