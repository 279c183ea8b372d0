"""Groups of pictures that are drawn together: repeats of one are not new ones, and neighbours are nearly alike."""

from __future__ import annotations

import numpy as np

from poyodata.models.evaluation.frames import segments_of
from poyodata.models.evaluation.intervals import Pictures
from poyodata.models.evaluation.metrics import Movie
from poyodata.models.evaluation.stitching import Answers

N_BLOCKS = 10
"""Blocks of neighbouring ids where cuts are not known: the longer, the less often one scene lies in two of them."""


def pictures_of(answers: Answers, movie: Movie) -> Pictures | None:
    """Group rows by the picture shown: by segments of the movie, else by 10 blocks of neighbouring ids.

    Segments are those of `movie`; where it is not known where it is cut, or the test holds one alone, blocks. A decoder
    that is good at a picture is so in all its repeats, of whatever time and recording.

    Returns
    -------
    Pictures or None
        None where rows are not about pictures, or it is not known about which.

    Examples
    --------
    >>> shown = np.repeat(np.arange(40), 3)
    >>> given = Answers.of_classes("x", ["r"] * 120, range(120), prediction=shown, target=shown, n_classes=40)
    >>> pictures_of(given, Movie()) is None
    True
    >>> from dataclasses import replace
    >>> pictures_of(replace(given, shown=shown), Movie()).words()
    '10 blocks of neighbouring pictures'
    >>> pictures_of(replace(given, shown=shown), Movie(segment_starts=[0, 10, 30])).words()
    "3 segments, too few to be drawn again: Student's interval with 2 degrees of freedom"
    """
    if answers.shown is None or (answers.shown < 0).any():
        return None
    if movie.segment_starts is not None:
        segments = np.unique(segments_of(answers.shown, movie.segment_starts), return_inverse=True)[1]
        if segments.max(initial=0) > 0:
            return Pictures(segments.astype(np.int64), "segments")
    ids, rank = np.unique(answers.shown, return_inverse=True)
    n_blocks = min(N_BLOCKS, len(ids))
    return Pictures((rank * n_blocks // max(1, len(ids))).astype(np.int64), "blocks of neighbouring pictures")
