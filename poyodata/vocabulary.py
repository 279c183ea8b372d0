"""The field's own names: CRE lines, visual areas, stimuli, traces, and how free text is brought to them.

Spellings are those of the Allen Brain Observatory (driver lines of ``experiment_containers.json``).
"""

from __future__ import annotations

from poyodata.errors import SourceError, nearest

CRE_LINES: tuple[str, ...] = (
    "Cux2-CreERT2",
    "Emx1-IRES-Cre",
    "Fezf2-CreER",
    "Nr5a1-Cre",
    "Ntsr1-Cre_GN220",
    "Pvalb-IRES-Cre",
    "Rbp4-Cre_KL100",
    "Rorb-IRES2-Cre",
    "Scnn1a-Tg3-Cre",
    "Slc17a7-IRES2-Cre",
    "Sst-IRES-Cre",
    "Tlx3-Cre_PL56",
    "Vip-IRES-Cre",
)

AREAS: tuple[str, ...] = ("VISal", "VISam", "VISl", "VISp", "VISpm", "VISrl")

DRIFTING_GRATINGS = "drifting_gratings"
STATIC_GRATINGS = "static_gratings"
NATURAL_SCENES = "natural_scenes"
NATURAL_MOVIE_ONE = "natural_movie_one"
NATURAL_MOVIE_TWO = "natural_movie_two"
NATURAL_MOVIE_THREE = "natural_movie_three"
LOCALLY_SPARSE_NOISE = "locally_sparse_noise"
LOCALLY_SPARSE_NOISE_4DEG = "locally_sparse_noise_4deg"
LOCALLY_SPARSE_NOISE_8DEG = "locally_sparse_noise_8deg"
SPONTANEOUS = "spontaneous"

NATURAL_MOVIES: tuple[str, ...] = (NATURAL_MOVIE_ONE, NATURAL_MOVIE_TWO, NATURAL_MOVIE_THREE)
SPARSE_NOISE: tuple[str, ...] = (LOCALLY_SPARSE_NOISE, LOCALLY_SPARSE_NOISE_4DEG, LOCALLY_SPARSE_NOISE_8DEG)

STIMULI: tuple[str, ...] = (
    DRIFTING_GRATINGS,
    STATIC_GRATINGS,
    NATURAL_SCENES,
    *NATURAL_MOVIES,
    *SPARSE_NOISE,
    SPONTANEOUS,
)
"""Stimuli of the Allen Brain Observatory. Others are welcome, but not names that look like a slip in one of these."""

DFF = "dff"
TRACES: tuple[str, ...] = (DFF, "raw", "neuropil", "demixed", "corrected")
"""Traces of a recording: dF/F, which every recording has, and the fluorescence behind it."""

EXPRESSION_FUNCTIONS: tuple[str, ...] = ("abs", "isnan", "log10", "param", "quantile", "rank", "zscore")
"""Functions of the expressions of diets."""

RESERVED_WORDS: tuple[str, ...] = tuple(name for name in EXPRESSION_FUNCTIONS if name != "rank")
"""Names that no column may have. Parentheses tell ``rank(x)`` from a column ``rank``, which users have."""

CURATION_COLUMNS: tuple[str, ...] = ("role", "term", "guard_frames", "windows", "tokens")
"""Columns that curation puts beside those of neurons and presentations, and what its matched controls count."""

DIRECTIONS_DEG: tuple[float, ...] = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
TEMPORAL_FREQUENCIES_HZ: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 15.0)

_ALIASES = {
    "exm1-ires-cre": "Emx1-IRES-Cre",  # the typing error of the POYO-CAP code's enumeration
    "rbp4-cre": "Rbp4-Cre_KL100",  # as in the genotypes of the early donors
    "ntsr1-cre": "Ntsr1-Cre_GN220",
    "tlx3-cre": "Tlx3-Cre_PL56",
}


def canonical_cre_line(text: str) -> str:
    """Bring a driver line or a whole genotype to one of the 13 CRE lines.

    Parameters
    ----------
    text : str
        ``"Sst-IRES-Cre"``, ``"sst_ires_cre"``, ``"Sst"`` or a genotype, such as
        ``"Sst-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt"``. Any of the parts between semicolons may carry the line.

    Returns
    -------
    str
        A member of `CRE_LINES`.

    Raises
    ------
    SourceError
        When no part names a known line.

    Examples
    --------
    >>> canonical_cre_line("Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt")
    'Cux2-CreERT2'
    >>> canonical_cre_line("SST_IRES_CRE"), canonical_cre_line("sst")
    ('Sst-IRES-Cre', 'Sst-IRES-Cre')
    """

    def fold(name: str) -> str:
        return name.strip().casefold().replace("_", "-")

    known = {fold(line): line for line in CRE_LINES} | {fold(k): v for k, v in _ALIASES.items()}
    known |= {fold(line.split("-")[0]): line for line in CRE_LINES}
    for part in text.split(";"):
        line = known.get(fold(part.split("/")[0]))
        if line is not None:
            return line
    raise SourceError(
        f"unknown CRE line {text!r}: {nearest(text.split(';')[0].split('/')[0], CRE_LINES)} "
        "Correct the recording's metadata, or name the line in the mapping (`cre_line:`)."
    )
