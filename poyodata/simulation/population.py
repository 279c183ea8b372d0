"""Who the simulated neurons are: line by line, how bursty, how tuned, how noisy."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.world import World
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ


@dataclass(frozen=True)
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
        Spread of a neuron's event amplitudes (log-normal): large means rare giant bursts.
    """

    base_rate_hz: float
    base_log_sd: float
    driven_rate_hz: float
    driven_log_sd: float
    amplitude: float
    amplitude_log_sd: float
    burst_log_sd: float


@dataclass(frozen=True)
class LineLaw:
    """Composition of a CRE line.

    Attributes
    ----------
    dense, bursty : float
        Shares of the kinds; the rest is quiet.
    responsive : float
        Share of neurons that drifting gratings drive (Allen's published shares; Pvalb has none and gets 0.6).
    genotype : str
    reporter : str
        As in the name of a specimen.
    depth_um : float
        Usual imaging depth.
    """

    dense: float
    bursty: float
    responsive: float
    genotype: str
    reporter: str
    depth_um: float


KINDS = MappingProxyType(
    {
        # Many moderate events: skewness near 2, excess kurtosis near 7.
        "dense": EventLaw(0.32, 0.40, 3.6, 0.4, 0.18, 0.25, 0.43),
        # Few large bursts: the heavy tails.
        "bursty": EventLaw(0.025, 0.45, 1.8, 0.65, 0.26, 0.30, 0.78),
        # Events that hardly leave the noise.
        "quiet": EventLaw(0.06, 0.60, 2.5, 0.7, 0.10, 0.30, 0.70),
    }
)

_AI93 = "Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt"
_AI148 = "Ai148(TIT2L-GC6f-ICL-tTA2)/wt"


def _excitatory(dense: float, bursty: float, responsive: float, line: str, depth_um: float) -> LineLaw:
    return LineLaw(dense, bursty, responsive, f"{line}/wt;{_AI93}", f"{line};Camk2a-tTA;Ai93", depth_um)


def _ai148(dense: float, bursty: float, responsive: float, line: str, depth_um: float) -> LineLaw:
    return LineLaw(dense, bursty, responsive, f"{line}/wt;{_AI148}", f"{line};Ai148", depth_um)


LINES = MappingProxyType(
    {
        "Cux2-CreERT2": _excitatory(0.08, 0.74, 0.487, "Cux2-CreERT2", 275.0),
        "Emx1-IRES-Cre": _excitatory(0.08, 0.74, 0.497, "Emx1-IRES-Cre", 275.0),
        "Fezf2-CreER": _ai148(0.10, 0.74, 0.739, "Fezf2-CreER", 350.0),
        "Nr5a1-Cre": _excitatory(0.08, 0.74, 0.310, "Nr5a1-Cre", 350.0),
        "Ntsr1-Cre_GN220": _ai148(0.90, 0.01, 0.531, "Ntsr1-Cre_GN220", 550.0),
        "Pvalb-IRES-Cre": _ai148(0.94, 0.01, 0.600, "Pvalb-IRES-Cre", 275.0),
        "Rbp4-Cre_KL100": _excitatory(0.08, 0.74, 0.574, "Rbp4-Cre_KL100", 375.0),
        "Rorb-IRES2-Cre": _excitatory(0.08, 0.74, 0.503, "Rorb-IRES2-Cre", 275.0),
        "Scnn1a-Tg3-Cre": _excitatory(0.08, 0.74, 0.431, "Scnn1a-Tg3-Cre", 350.0),
        "Slc17a7-IRES2-Cre": _excitatory(0.08, 0.74, 0.577, "Slc17a7-IRES2-Cre", 275.0),
        "Sst-IRES-Cre": _ai148(0.94, 0.01, 0.855, "Sst-IRES-Cre", 275.0),
        "Tlx3-Cre_PL56": _ai148(0.08, 0.74, 0.530, "Tlx3-Cre_PL56", 375.0),
        "Vip-IRES-Cre": _ai148(0.94, 0.01, 0.248, "Vip-IRES-Cre", 275.0),
    }
)

N_DIRECTIONS = len(DIRECTIONS_DEG)
N_FREQUENCIES = len(TEMPORAL_FREQUENCIES_HZ)


def draw_population(line: str, world: World, rng: np.random.Generator, count: int | None = None) -> pd.DataFrame:
    """Draw the neurons of one recording.

    Parameters
    ----------
    line : str
        A member of `poyodata.vocabulary.CRE_LINES`.
    world : World
        Its ``*_scale`` fields multiply what is drawn.
    rng : numpy.random.Generator
    count : int, optional
        Neurons; the world's count for the line when left out.

    Returns
    -------
    DataFrame, one row a neuron
        ``kind`` (dense, bursty, quiet), ``responsive``, ``preferred_direction_deg``, ``tuning_concentration`` (von
        Mises kappa), ``opposite_response`` (response to the opposite direction over that to the preferred one),
        ``preferred_temporal_frequency_hz``, ``temporal_frequency_width_octaves``, ``base_rate_hz``, ``driven_rate_hz``
        (added under the best grating), ``movie_rate_hz``, ``movie_patch``, ``amplitude`` (median event's peak dF/F),
        ``burst_log_sd``, ``rise_s``, ``decay_s``, ``gain_sd`` (of the log gain), ``white_noise`` (dF/F, each frame),
        ``slow_noise`` (dF/F, time constant 3 s), ``shared_noise`` (dF/F, weight of the common signal).

    Examples
    --------
    >>> from poyodata.simulation.world import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> len(neurons), bool(neurons["base_rate_hz"].gt(0).all())
    (12, True)
    """
    law = LINES[line]
    n = world.n_neurons(line) if count is None else count
    kind = rng.choice(["dense", "bursty", "quiet"], size=n, p=[law.dense, law.bursty, 1.0 - law.dense - law.bursty])
    responsive = rng.random(n) < law.responsive

    def spread(median: str, log_sd: str) -> npt.NDArray[np.float64]:
        centre = np.array([getattr(KINDS[k], median) for k in kind])
        width = np.array([getattr(KINDS[k], log_sd) for k in kind])
        return np.asarray(centre * np.exp(width * rng.normal(size=n)))

    base = spread("base_rate_hz", "base_log_sd")
    driven = spread("driven_rate_hz", "driven_log_sd")
    amplitude = spread("amplitude", "amplitude_log_sd")
    burst = np.array([KINDS[k].burst_log_sd for k in kind]) * np.exp(0.12 * rng.normal(size=n))
    # Neurons that gratings do not drive still move a little with them.
    driven *= np.where(responsive, 1.0, 0.12)
    return pd.DataFrame(
        {
            "kind": kind,
            "responsive": responsive,
            "preferred_direction_deg": rng.uniform(0.0, 360.0, n),
            "tuning_concentration": rng.uniform(1.5, 5.0, n),
            "opposite_response": rng.beta(1.2, 1.8, n),
            "preferred_temporal_frequency_hz": 2.0 ** rng.uniform(0.0, np.log2(15.0), n),
            "temporal_frequency_width_octaves": rng.uniform(1.0, 2.2, n),
            "base_rate_hz": base * world.event_rate_scale,
            "driven_rate_hz": driven * world.event_rate_scale * world.tuning_scale,
            "movie_rate_hz": driven * rng.uniform(0.2, 1.0, n) * world.event_rate_scale * world.tuning_scale,
            "movie_patch": rng.integers(0, 64, n),
            "amplitude": amplitude * world.amplitude_scale,
            "burst_log_sd": burst,
            "rise_s": rng.uniform(0.04, 0.08, n),
            "decay_s": 0.36 * np.exp(0.25 * rng.normal(size=n)),
            "gain_sd": world.shared_gain_scale * rng.uniform(0.2, 0.8, n),
            "white_noise": world.noise_scale * 0.056 * np.exp(0.13 * rng.normal(size=n)),
            "slow_noise": world.noise_scale * 0.016 * np.exp(0.3 * rng.normal(size=n)),
            "shared_noise": world.noise_scale * 0.024 * np.exp(0.3 * rng.normal(size=n)),
        }
    )


def grating_tuning(neurons: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Tune every neuron to direction and temporal frequency: 1 for the best grating on a fine grid, else below.

    Parameters
    ----------
    neurons : DataFrame
        As `draw_population` gives it.

    Returns
    -------
    ndarray, shape (neuron, 8, 5), float64
        Share of ``driven_rate_hz`` under each of Allen's directions and temporal frequencies.

    Examples
    --------
    >>> from poyodata.simulation.world import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> grating_tuning(neurons).shape
    (12, 8, 5)
    """

    def column(name: str) -> npt.NDArray[np.float64]:
        return neurons[name].to_numpy(np.float64)[:, None]

    angle = np.deg2rad(np.array(DIRECTIONS_DEG)[None, :] - column("preferred_direction_deg"))
    kappa = column("tuning_concentration")
    direction = np.exp(kappa * (np.cos(angle) - 1.0))
    direction = np.maximum(direction, column("opposite_response") * np.exp(kappa * (-np.cos(angle) - 1.0)))
    octaves = np.log2(np.array(TEMPORAL_FREQUENCIES_HZ))[None, :] - np.log2(column("preferred_temporal_frequency_hz"))
    frequency = np.exp(-0.5 * (octaves / column("temporal_frequency_width_octaves")) ** 2)
    return np.asarray(direction[:, :, None] * frequency[:, None, :])
