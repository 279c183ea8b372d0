"""What is known of each CRE line, and how its neurons are made up in the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class EventLaw:
    """How a kind of neuron emits calcium events: medians over neurons and their spread in log units.

    Attributes
    ----------
    base_rate_hz, base_log_sd : float
        Events a second without a stimulus.
    driven_rate_hz, driven_log_sd : float
        Further events a second under the best grating.
    amplitude, amplitude_log_sd : float
        Peak dF/F of a neuron's median event.
    burst_log_sd : float
        Spread of a neuron's event amplitudes (log-normal, cut at 3 standard deviations): large means rare giant
        bursts.
    """

    base_rate_hz: float
    base_log_sd: float
    driven_rate_hz: float
    driven_log_sd: float
    amplitude: float
    amplitude_log_sd: float
    burst_log_sd: float


@dataclass(frozen=True, kw_only=True)
class LineLaw:
    """Composition of a CRE line, and its place in the Allen Brain Observatory.

    Attributes
    ----------
    dense, bursty : float
        Shares of the kinds; the rest is quiet.
    driven : float
        Share of neurons that gratings drive. Set so that the share found responsive by Allen's criterion comes out as
        ``responsive``.
    responsive : float
        Published share of cells responsive to drifting gratings (Pvalb has none published; 0.6 is our guess).
    heaviness : float
        Multiplies ``burst_log_sd`` and the neurons' own gains: how heavy the tails of the line are among the lines.
    brightness : float
        Multiplies the amplitude of events.
    arousal_gain : float
        Mean dependence of the log rate on arousal, which also makes the mouse run.
    concentration : tuple of two floats
        Range of the cells' tuning to direction (von Mises kappa): interneurons are broadly tuned.
    genotype : str
    reporter : str
        As in the name of a specimen.
    depths_um : tuple of float
        Usual imaging depths.
    neurons : int
        Mean number of neurons in a recording (cells of Allen's table over containers).
    donors, containers : int
        In the whole Allen Brain Observatory.
    """

    dense: float
    bursty: float
    driven: float
    responsive: float
    heaviness: float
    brightness: float
    arousal_gain: float
    concentration: tuple[float, float]
    genotype: str
    reporter: str
    depths_um: tuple[float, ...]
    neurons: int
    donors: int
    containers: int


# Fitted to the quartiles, autocorrelation and tuning of a real Cux2 recording (see docs/realism.md).
KINDS = MappingProxyType(
    {
        # Many moderate events: skewness near 2, excess kurtosis near 7.
        "dense": EventLaw(
            base_rate_hz=0.3,
            base_log_sd=0.25,
            driven_rate_hz=2.8,
            driven_log_sd=0.3,
            amplitude=0.12,
            amplitude_log_sd=0.2,
            burst_log_sd=0.62,
        ),
        # Few large bursts: the heavy tails.
        "bursty": EventLaw(
            base_rate_hz=0.009,
            base_log_sd=0.6,
            driven_rate_hz=1.4,
            driven_log_sd=1.35,
            amplitude=0.2,
            amplitude_log_sd=0.25,
            burst_log_sd=0.855,
        ),
        # Events that hardly leave the noise.
        "quiet": EventLaw(
            base_rate_hz=0.04,
            base_log_sd=0.6,
            driven_rate_hz=1.4,
            driven_log_sd=1.35,
            amplitude=0.125,
            amplitude_log_sd=0.24,
            burst_log_sd=1.1,
        ),
    }
)
"""Kinds of neurons."""

_AI93 = ("Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt", "Camk2a-tTA;Ai93")
_AI148 = ("Ai148(TIT2L-GC6f-ICL-tTA2)/wt", "Ai148")


_SHARP, _BROAD = (2.0, 22.0), (1.0, 5.0)


def _line(
    name: str,
    mixture: tuple[float, float],
    driven: float,
    responsive: float,
    depths_um: tuple[float, ...],
    neurons: int,
    donors: int,
    containers: int,
    reporter: tuple[str, str] = _AI93,
    heaviness: float = 1.0,
    brightness: float = 1.0,
    arousal_gain: float = 0.15,
    concentration: tuple[float, float] = _SHARP,
) -> LineLaw:
    return LineLaw(
        dense=mixture[0],
        bursty=mixture[1],
        driven=driven,
        responsive=responsive,
        heaviness=heaviness,
        brightness=brightness,
        arousal_gain=arousal_gain,
        concentration=concentration,
        genotype=f"{name}/wt;{reporter[0]}",
        reporter=f"{name};{reporter[1]}",
        depths_um=depths_um,
        neurons=neurons,
        donors=donors,
        containers=containers,
    )


_MIXED = (0.11, 0.50)
_REGULAR = (0.94, 0.01)

# Donors: specimens listed by the NWB 2 conversion of the Visual Coding data, 267 in all. Containers: DANDI 000728 holds
# 1,518 recordings, hence 506; shared out by containers per donor, of the line itself for the six lines of the 2018
# listing (216 containers), the same for all others. Neurons: cells of Allen's table of drifting-gratings metrics over
# those containers (Pvalb has none there). Responsive: the same table.
LINES = MappingProxyType(
    {
        "Cux2-CreERT2": _line("Cux2-CreERT2", _MIXED, 0.47, 0.487, (175.0, 275.0), 150, 41, 91),
        "Emx1-IRES-Cre": _line("Emx1-IRES-Cre", _MIXED, 0.45, 0.497, (175.0, 275.0, 375.0), 150, 19, 45),
        "Fezf2-CreER": _line("Fezf2-CreER", _MIXED, 0.84, 0.739, (365.0, 375.0), 60, 8, 14, _AI148),
        "Nr5a1-Cre": _line("Nr5a1-Cre", _MIXED, 0.20, 0.310, (350.0,), 43, 26, 48, heaviness=1.22),
        "Ntsr1-Cre_GN220": _line(
            "Ntsr1-Cre_GN220", _REGULAR, 0.41, 0.531, (550.0, 570.0, 625.0), 73, 10, 17, _AI148, 0.35, 2.1, 0.15, _BROAD
        ),
        "Pvalb-IRES-Cre": _line(
            "Pvalb-IRES-Cre", _REGULAR, 0.52, 0.600, (175.0, 275.0), 15, 9, 15, _AI148, 0.3, 1.95, 0.35, _BROAD
        ),
        "Rbp4-Cre_KL100": _line("Rbp4-Cre_KL100", _MIXED, 0.54, 0.574, (375.0,), 30, 26, 54),
        "Rorb-IRES2-Cre": _line("Rorb-IRES2-Cre", _MIXED, 0.48, 0.503, (275.0,), 92, 27, 54),
        "Scnn1a-Tg3-Cre": _line("Scnn1a-Tg3-Cre", _MIXED, 0.36, 0.431, (275.0, 350.0), 133, 7, 9),
        "Slc17a7-IRES2-Cre": _line("Slc17a7-IRES2-Cre", _MIXED, 0.60, 0.577, (175.0, 275.0, 375.0), 130, 33, 56),
        "Sst-IRES-Cre": _line(
            "Sst-IRES-Cre", _REGULAR, 0.90, 0.855, (275.0, 375.0), 12, 30, 50, _AI148, 0.28, 1.2, 0.35, _BROAD
        ),
        "Tlx3-Cre_PL56": _line("Tlx3-Cre_PL56", _MIXED, 0.50, 0.530, (275.0, 375.0), 127, 7, 12, _AI148),
        "Vip-IRES-Cre": _line(
            "Vip-IRES-Cre", _REGULAR, 0.14, 0.248, (175.0, 275.0), 16, 24, 41, _AI148, 0.35, 2.5, 0.3, _BROAD
        ),
    }
)
"""Laws by CRE line."""
