"""Numbers of real recordings that simulated ones are held against, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from poyodata.simulation.lines import LINES

Quartiles = tuple[float, ...]

MAX_SKEWNESS, MAX_KURTOSIS = 3.51, 22.62
"""Thresholds of the diet ``predictable`` (POYO-CAP)."""

REAL_NAME = "527745328"
REAL: Mapping[str, Quartiles] = MappingProxyType(
    {
        "skewness": (1.303, 2.995, 5.795),
        "kurtosis": (8.916, 28.64, 71.58),
        "std": (0.07516, 0.08953, 0.1212),
        "noise": (0.05342, 0.0593, 0.06508),
        "reliability": (0.0152, 0.04204, 0.1011),
        "variance_ratio": (6.948, 27.8, 122.8),
        "gosi": (0.2848, 0.469, 0.6544),
        "autocorrelation_0.033_s": (0.3893, 0.5259, 0.7188),
        "autocorrelation_0.1_s": (0.3043, 0.4403, 0.6295),
        "autocorrelation_0.2_s": (0.2268, 0.3556, 0.5466),
        "autocorrelation_0.33_s": (0.1766, 0.2892, 0.4665),
        "autocorrelation_0.5_s": (0.1434, 0.2364, 0.4003),
        "autocorrelation_1_s": (0.1018, 0.1622, 0.2726),
        "autocorrelation_2_s": (0.04688, 0.07332, 0.1161),
        "autocorrelation_3_s": (0.03899, 0.05836, 0.08384),
        "autocorrelation_5_s": (0.0158, 0.0346, 0.05926),
        "noise_correlation": (0.1046, 0.2062, 0.3384),
        "frame_correlation": (0.07342, 0.124, 0.1711),
        "ridge_trials": (0.9449,),
        "ridge_blocks": (0.9299,),
    }
)
"""Quartiles of `poyodata.realism.Measures` of one real recording, to four digits.

Allen Brain Observatory experiment 527745328: Cux2-CreERT2, VISp, 275 um, 254 neurons, the 56,848 frames around its 628
drifting-gratings sweeps (dF/F kept as float16). It has no spontaneous epoch, hence no share of responsive cells.
"""

PREDICTABLE_LINES = ("Ntsr1-Cre_GN220", "Pvalb-IRES-Cre", "Sst-IRES-Cre", "Vip-IRES-Cre")
PREDICTABLE_SKEWNESS, PREDICTABLE_KURTOSIS = 1.87, 7.32
"""Means over the neurons of the four lines that POYO-CAP calls predictable."""

HEAVIEST_KURTOSIS = 148.51
"""Mean excess kurtosis of the line with the heaviest tails, as POYO-CAP gives it ("up to")."""

RESPONSIVE: Mapping[str, float] = MappingProxyType(
    {line: law.responsive for line, law in LINES.items() if line != "Pvalb-IRES-Cre"}
)
"""Share of cells responsive to drifting gratings by line: 40,359 cells of the Allen Institute's table of
drifting-gratings metrics (swdb_dg_table of its 2019 summer workshop), which has no Pvalb cells."""


@dataclass(frozen=True)
class Label:
    """How a measure is named and read.

    Attributes
    ----------
    text, unit : str
    relative : bool
        Differences are given in per cent rather than in the measure's own unit.
    """

    text: str
    unit: str
    relative: bool


LABELS: Mapping[str, Label] = MappingProxyType(
    {
        "skewness": Label("skewness", "", True),
        "kurtosis": Label("excess kurtosis", "", True),
        "std": Label("standard deviation", "dF/F", True),
        "noise": Label("noise of a frame", "dF/F", True),
        "reliability": Label("reliability of time courses", "r", False),
        "variance_ratio": Label("variance ratio across directions", "", True),
        "gosi": Label("orientation selectivity (gOSI)", "", False),
        **{
            name: Label(f"autocorrelation at {name.split('_')[1]} s", "r", False)
            for name in REAL
            if name.startswith("autocorrelation")
        },
        "noise_correlation": Label("noise correlation", "r", False),
        "frame_correlation": Label("correlation of frames", "r", False),
        "ridge_trials": Label("ridge, every fifth trial held out", "accuracy", False),
        "ridge_blocks": Label("ridge, each block held out", "accuracy", False),
        "responsive": Label("responsive cells", "share", False),
    }
)
"""By measure, in the order of a table."""
