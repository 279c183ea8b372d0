"""Splits: which animals and which stretches of time a model may learn from, and which only test it.

A split has two axes. **Across** recordings every donor (or container, or session) gets a role; **within** every
recording, time gets a role by block, by stimulus epoch or by trial. Both are needed: a held-out animal still has to
yield the statistics by which its neurons are selected, and these may look at its train-role time alone.

=====================  ==================  ===================  =======
session role           train-role time     valid-role time      test-role time
=====================  ==================  ===================  =======
train, no across axis  ``train``           ``valid``            ``test``
train                  ``train``           ``valid``            ``valid``
valid                  ``identify``        ``valid``            ``valid``
test                   ``identify``        ``test``             ``test``
=====================  ==================  ===================  =======

==================  ==========================================================================================
``blocks-5fold``    contiguous blocks of every stimulus epoch, cut at trials (movies: at repeats); 5 folds
``epoch-out``       one recorded epoch of drifting gratings is test; as many folds as epochs
``donor-70-10-20``  mice held out; time within each recording by blocks
``movie-segments``  segments of movies, cut at scene changes, held out in every repeat; 5 folds
``paper-trial``     POYO-CAP's: gratings 70/10/20 over shuffled trials (seed 42), movies by repeats 8/1/1
==================  ==========================================================================================

Under all of them but ``movie-segments``, every movie frame of test was shown in training: what is decoded from such a
test is which of the known frames was shown, and a frame that is reconstructed was seen before. Under ``paper-trial``,
neighbouring trials also land on both sides without a guard. It is there to compare with the paper, and every manifest
made under it says so.

``identify`` is for statistics and unit identification only. Frames within the guard of a cut and trials dropped beside
one have no role. The guard is taken from the side that matters less: train loses the frames near valid and test, valid
those near test, test none. It counts stored frames, because the length of a gap in a recording may be only nominal.
The default of 2 s is what GCaMP needs to decay; drift of the baseline lasts longer and no guard removes it.
"""

from __future__ import annotations

from poyodata.splits.fractions import ROLES, Fractions
from poyodata.splits.resolve import MIN_DONORS, default_split, n_folds, resolve_split
from poyodata.splits.specification import SPLITS, Across, SplitSpec, split_spec
from poyodata.splits.split import Split
from poyodata.splits.within import Blocks, EpochOut, MovieSegments, PaperTrials, Trials

__all__ = [
    "MIN_DONORS",
    "ROLES",
    "SPLITS",
    "Across",
    "Blocks",
    "EpochOut",
    "Fractions",
    "MovieSegments",
    "PaperTrials",
    "Split",
    "SplitSpec",
    "Trials",
    "default_split",
    "n_folds",
    "resolve_split",
    "split_spec",
]
