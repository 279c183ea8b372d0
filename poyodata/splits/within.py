"""How time within a recording is divided: by blocks, by an epoch left out, by trials, or by segments of a movie."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from poyodata.splits.fractions import Fractions
from poyodata.splits.part import Part
from poyodata.vocabulary import DRIFTING_GRATINGS

MAX_FOLDS = 1000
"""Also of segments of a movie."""

MAX_GUARD_S = 3600.0


class Blocks(Part):
    """Contiguous blocks within each stimulus epoch, snapped to trials (movies: to repeats); no block crosses an epoch.

    With `folds`, block f of every epoch is test, block f + 1 (cyclically) valid, the others train. With `fractions`,
    the first share of every epoch is train, then comes valid, then test.
    """

    kind: Literal["blocks"] = "blocks"
    folds: int | None = Field(default=None, ge=3, le=MAX_FOLDS)
    fractions: Fractions | None = None
    guard_s: float = Field(default=2.0, ge=0, le=MAX_GUARD_S)

    @model_validator(mode="after")
    def _one_of(self) -> Blocks:
        if (self.folds is None) == (self.fractions is None):
            raise ValueError("blocks take either `folds` or `fractions`")
        return self


class EpochOut(Part):
    """One recorded epoch of a stimulus is test, everything else train; there is no valid role.

    Two presentations in a row between which a gap of the recording or a change of role lies are both dropped.
    """

    kind: Literal["epoch-out"] = "epoch-out"
    stimulus: str = DRIFTING_GRATINGS
    guard_s: float = Field(default=2.0, ge=0, le=MAX_GUARD_S)


class Trials(Part):
    """Trials of every stimulus dealt out in hash order; only the frames of trials have a role. Grey is cut by time.

    Neighbouring trials land on both sides, closer than a 2 s guard would allow: the guard is 0 unless given.
    """

    kind: Literal["trials"] = "trials"
    fractions: Fractions
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    guard_s: float = Field(default=0.0, ge=0, le=MAX_GUARD_S)


class PaperTrials(Part):
    """Time as POYO-CAP divides it: gratings by shuffled trials, movies by repeats. For comparison with the paper alone.

    Trials of drifting gratings, without blank sweeps, are shuffled with ``numpy.random.default_rng(seed)``, the same in
    every recording, and dealt out 70/10/20: 418, 60 and 120 of 598. Of the repeats of a movie in the order shown, the
    last are test and those before them valid: 8/1/1 of ten. So **every movie frame of test was shown in training**, and
    **neighbouring trials land on both sides** without a guard.

    The paper uses nothing else. Here, trials of other stimuli are dealt out as those of gratings are, and grey screen
    is cut into 70/10/20 by time. Blank sweeps and the time between trials have no role.
    """

    kind: Literal["paper-trials"] = "paper-trials"
    fractions: Fractions = Fractions(train=0.7, valid=0.1, test=0.2)
    repeats: Fractions = Fractions(train=0.8, valid=0.1, test=0.1)
    seed: int = Field(default=42, ge=0, lt=2**63)
    guard_s: float = Field(default=0.0, ge=0, le=MAX_GUARD_S)


class MovieSegments(Part):
    """Segments of movies cut at scene changes: every repeat of a segment has one role, in every recording.

    The only division under which a movie frame of test was never shown in training. A scene change is a step between
    two frames whose mean absolute difference lies more than `cut_factor` deviations above the movie's median one
    (deviation: 1.4826 times the median distance from that median) and is at least 5 grey levels. Where a movie has
    fewer than `segments` scenes, the longest segment is cut in two, at the greatest step of its middle half, until
    there are enough; frames beside such a cut look alike, and only the guard parts them. No segment is shorter than a
    quarter of what `segments` equal ones would be.

    Segments next to each other share a block, so that the guard is lost at few cuts. With `folds`, block f is test,
    block f + 1 (cyclically) valid, the others train. With `fractions`, train comes first, then valid, then test. Other
    stimuli are divided by blocks of time, as `Blocks` does.

    Attributes
    ----------
    folds : int or None
    fractions : Fractions or None
        One of the two.
    segments : int
        Least number of segments of every movie.
    cut_factor : float
    guard_s : float, seconds
        At every cut, in every repeat.
    """

    kind: Literal["movie-segments"] = "movie-segments"
    folds: int | None = Field(default=None, ge=3, le=MAX_FOLDS)
    fractions: Fractions | None = None
    segments: int = Field(default=8, ge=3, le=MAX_FOLDS)
    cut_factor: float = Field(default=8.0, gt=0, le=1e6)
    guard_s: float = Field(default=2.0, ge=0, le=MAX_GUARD_S)

    @model_validator(mode="after")
    def _one_of(self) -> MovieSegments:
        if (self.folds is None) == (self.fractions is None):
            raise ValueError("movie-segments take either `folds` or `fractions`")
        if self.folds is not None and self.segments < self.folds:
            raise ValueError(f"{self.folds} folds need at least as many `segments`, not {self.segments}")
        return self

    @property
    def blocks(self) -> Blocks:
        """How other stimuli are divided."""
        return Blocks(folds=self.folds, fractions=self.fractions, guard_s=self.guard_s)


Within: TypeAlias = Annotated[Blocks | EpochOut | Trials | PaperTrials | MovieSegments, Field(discriminator="kind")]
