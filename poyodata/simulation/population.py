"""Who the simulated neurons are: cell by cell, how bursty, how tuned, how noisy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from poyodata.simulation.lines import KINDS, LINES
from poyodata.simulation.world import World
from poyodata.vocabulary import DIRECTIONS_DEG, TEMPORAL_FREQUENCIES_HZ

N_DIRECTIONS = len(DIRECTIONS_DEG)
N_FREQUENCIES = len(TEMPORAL_FREQUENCIES_HZ)

# Shares of preferred spatial frequencies, as in Allen's table of static-gratings metrics (0.02 .. 0.32 cycles/deg).
_SPATIAL_CPD = (0.02, 0.04, 0.08, 0.16, 0.32)
_SPATIAL_SHARE = (0.34, 0.24, 0.20, 0.11, 0.11)
# Fitted, as the kinds of `poyodata.simulation.lines`, to a real Cux2 recording (see docs/realism.md).
_DECAY_S, _DECAY_LOG_SD = 0.16, 0.25
_TAIL_BETA = (0.7, 1.4)
_OPPOSITE_BETA = (1.0, 2.2)
_BURST_LOG_SD_SPREAD = 0.15
# Means and standard deviations over cells.
_SHARED_GAIN, _OWN_GAIN, _AROUSAL_GAIN_SD = (0.5, 0.2), (0.3, 0.3), 0.25
# dF/F.
_WHITE_NOISE, _SLOW_NOISE, _SHARED_NOISE, _DRIFT_NOISE = 0.0575, 0.009, 0.035, 0.008
# Neurons that gratings do not drive still move a very little with them.
_UNDRIVEN = 0.01
# What moves from one recording of a cell to the next, in log units.
_BETWEEN_SESSIONS = {"base_rate_hz": 0.2, "driven_rate_hz": 0.2, "movie_rate_hz": 0.2, "static_rate_hz": 0.2}


def draw_population(line: str, world: World, rng: np.random.Generator, count: int | None = None) -> pd.DataFrame:
    """Draw the cells of one container.

    Parameters
    ----------
    line : str
        A member of `poyodata.vocabulary.CRE_LINES`.
    world : World
        Its ``*_scale`` fields multiply what is drawn.
    rng : numpy.random.Generator
    count : int, optional
        Cells; the world's count for the line when left out.

    Returns
    -------
    DataFrame, one row a cell
        ``kind`` (dense, bursty, quiet), ``responsive`` (gratings drive it), ``carries_movie`` (movies, scenes and noise
        do), ``preferred_direction_deg``, ``tuning_concentration`` (von Mises kappa), ``opposite_response`` (response to
        the opposite direction over that to the preferred one), ``preferred_temporal_frequency_hz``,
        ``temporal_frequency_width_octaves``, ``preferred_spatial_frequency_cpd``, ``preferred_phase`` (0 to 1),
        ``phase_selectivity`` (0 to 1), ``azimuth_deg``, ``altitude_deg`` (of the receptive field), ``base_rate_hz``,
        ``driven_rate_hz`` (added under the best drifting grating), ``static_rate_hz`` (under the best static one),
        ``movie_rate_hz`` (under the best frame), ``amplitude`` (median event's peak dF/F), ``burst_log_sd``,
        ``rise_s``, ``decay_s``, ``tail_share`` (of the calcium response, that decays slowly), ``arousal_gain`` and
        ``shared_gain`` (of the log rate, on two latents of the recording), ``own_gain`` (on a latent of the neuron's
        own), ``white_noise`` (dF/F, each frame), ``slow_noise`` (dF/F, time constant 3 s), ``shared_noise``
        (dF/F, weight of the common signal), ``drift_noise`` (dF/F, time constant 60 s), ``artefact`` (dF/F, of a median
        jerk).

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> len(neurons), bool(neurons["base_rate_hz"].gt(0).all())
    (12, True)
    """
    law = LINES[line]
    n = world.n_neurons(line) if count is None else count
    # Drawn evenly from their laws: a container is no luckier in its few dense or heavy-tailed cells than another.
    share = np.array([law.dense, law.bursty, 1.0 - law.dense - law.bursty])
    of_kind = rng.permutation(np.searchsorted(share.cumsum()[:-1], _even(n, rng), side="right"))
    kind = np.array(list(KINDS))[of_kind]
    driven_share = world.driven_by_line.get(line, law.driven)
    responsive, carries_movie = (_even_within(of_kind, rng) < driven_share for _ in range(2))
    alike = 2 * of_kind + responsive

    def normal() -> npt.NDArray[np.float64]:
        # Cut at two standard deviations: a cell with an event an hour would dominate every mean over cells.
        return np.asarray(np.clip(ndtri(_even_within(alike, rng)), -2.0, 2.0))

    def spread(median: str, log_sd: str) -> npt.NDArray[np.float64]:
        centre = np.array([getattr(KINDS[k], median) for k in kind])
        width = np.array([getattr(KINDS[k], log_sd) for k in kind])
        return np.asarray(centre * np.exp(width * normal()))

    base = spread("base_rate_hz", "base_log_sd")
    driven = spread("driven_rate_hz", "driven_log_sd")
    amplitude = spread("amplitude", "amplitude_log_sd")
    burst = np.array([KINDS[k].burst_log_sd for k in kind]) * np.exp(_BURST_LOG_SD_SPREAD * normal())
    tuning = world.tuning_scale * np.array([world.tuning_by_kind.get(str(k), 1.0) for k in kind])
    stimulus = driven * world.event_rate_scale * tuning
    gratings = np.where(responsive, 1.0, _UNDRIVEN)
    least, most = np.log(law.concentration).tolist()
    spatial_cpd = rng.choice(_SPATIAL_CPD, size=n, p=_SPATIAL_SHARE) * 2.0 ** rng.uniform(-0.4, 0.4, n)
    return pd.DataFrame(
        {
            "kind": kind,
            "responsive": responsive & (stimulus > 0),
            "carries_movie": carries_movie & (stimulus > 0),
            "preferred_direction_deg": rng.uniform(0.0, 360.0, n),
            "tuning_concentration": np.exp(rng.uniform(least, most, n)),
            "opposite_response": rng.beta(*_OPPOSITE_BETA, n),
            "preferred_temporal_frequency_hz": 2.0 ** np.clip(rng.normal(1.4, 1.4, n), 0.0, np.log2(15.0)),
            "temporal_frequency_width_octaves": rng.uniform(0.8, 2.0, n),
            "preferred_spatial_frequency_cpd": spatial_cpd,
            "preferred_phase": rng.random(n),
            "phase_selectivity": rng.beta(1.5, 2.0, n),
            "azimuth_deg": np.clip(rng.normal(5.0, 15.0, n), -45.0, 45.0),
            "altitude_deg": np.clip(rng.normal(0.0, 10.0, n), -30.0, 30.0),
            "base_rate_hz": base * world.event_rate_scale,
            "driven_rate_hz": stimulus * gratings,
            "static_rate_hz": stimulus * gratings * rng.uniform(0.4, 1.2, n),
            "movie_rate_hz": stimulus * np.where(carries_movie, rng.uniform(0.3, 1.2, n), 0.0),
            "amplitude": amplitude * law.brightness * world.amplitude_scale,
            "burst_log_sd": burst * law.heaviness * world.heaviness,
            "rise_s": rng.uniform(0.04, 0.08, n),
            "decay_s": _DECAY_S * np.exp(_DECAY_LOG_SD * rng.normal(size=n)),
            "tail_share": rng.beta(*_TAIL_BETA, n),
            "arousal_gain": world.shared_gain_scale * rng.normal(law.arousal_gain, _AROUSAL_GAIN_SD, n),
            "shared_gain": world.shared_gain_scale * np.abs(rng.normal(*_SHARED_GAIN, n)),
            "own_gain": world.shared_gain_scale * law.heaviness * np.abs(rng.normal(*_OWN_GAIN, n)),
            "white_noise": world.noise_scale * _WHITE_NOISE * np.exp(0.14 * rng.normal(size=n)),
            "slow_noise": world.noise_scale * _SLOW_NOISE * np.exp(0.3 * rng.normal(size=n)),
            "shared_noise": world.noise_scale * _SHARED_NOISE * np.exp(0.35 * rng.normal(size=n)),
            "drift_noise": world.noise_scale * world.drift_scale * _DRIFT_NOISE * np.exp(0.3 * rng.normal(size=n)),
            "artefact": world.noise_scale * 0.03 * rng.normal(size=n),
        }
    )


def count_cells(line: str, world: World, rng: np.random.Generator) -> int:
    """Number of neurons that the recordings of a container find, on average.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> count_cells("Vip-IRES-Cre", load_world("demo"), np.random.default_rng(0))
    24
    """
    mean = LINES[line].neurons if world.census == "allen" else world.n_neurons(line)
    if world.neurons_log_sd == 0:
        return mean
    return int(np.clip(round(mean * np.exp(world.neurons_log_sd * rng.normal())), 10, 400))


def found_again(cells: pd.DataFrame, rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Cells of a container that one recording finds, a little changed.

    Parameters
    ----------
    cells : DataFrame
        As `draw_population` gives it; ``duplicate_of``, if there, holds row numbers.
    rng : numpy.random.Generator
    count : int
        How many.

    Returns
    -------
    DataFrame
        `count` rows in the order of `cells`; column ``cell`` is the row in `cells`.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> rng = np.random.default_rng(0)
    >>> found_again(draw_population("Sst-IRES-Cre", load_world("tiny"), rng, 5), rng, 3)["cell"].is_monotonic_increasing
    True
    """
    rows = np.sort(rng.choice(len(cells), count, replace=False))
    found = cells.iloc[rows].reset_index(drop=True)
    change = {name: np.exp(log_sd * rng.normal(size=count)) for name, log_sd in _BETWEEN_SESSIONS.items()}
    if "duplicate_of" in found:
        # Rows here, not rows of the container; a copy whose source was not found stands alone.
        row = np.full(len(cells) + 1, -1)
        row[rows] = np.arange(count)
        source = row[found["duplicate_of"].to_numpy(np.int64)]
        found["duplicate_of"] = source
        for factor in change.values():
            factor[source >= 0] = factor[source[source >= 0]]
    for name, factor in change.items():
        found[name] *= factor
    found.insert(0, "cell", rows)
    return found


def numbers(neurons: pd.DataFrame) -> list[dict[str, float]]:
    """Numeric columns of every neuron, row by row: a hundred times faster to look into than rows of a DataFrame.

    Examples
    --------
    >>> numbers(pd.DataFrame({"kind": ["dense"], "rise_s": [0.05]}))
    [{'rise_s': 0.05}]
    """
    numeric = neurons.select_dtypes("number")
    names = [str(name) for name in numeric.columns]
    return [dict(zip(names, row, strict=True)) for row in numeric.to_numpy(np.float64).tolist()]


def grating_tuning(neurons: pd.DataFrame, directions_deg: npt.ArrayLike = DIRECTIONS_DEG) -> npt.NDArray[np.float64]:
    """Tune every neuron to direction and temporal frequency: 1 for the best grating on a fine grid, else below.

    Parameters
    ----------
    neurons : DataFrame
        As `draw_population` gives it.
    directions_deg : array_like, shape (direction,)

    Returns
    -------
    ndarray, shape (neuron, direction, 5), float64
        Share of ``driven_rate_hz`` under each direction and each of Allen's temporal frequencies.

    Examples
    --------
    >>> from poyodata.simulation.worlds import load_world
    >>> neurons = draw_population("Sst-IRES-Cre", load_world("tiny"), np.random.default_rng(0))
    >>> grating_tuning(neurons).shape
    (12, 8, 5)
    """

    def column(name: str) -> npt.NDArray[np.float64]:
        return neurons[name].to_numpy(np.float64)[:, None]

    angle = np.deg2rad(np.asarray(directions_deg, np.float64)[None, :] - column("preferred_direction_deg"))
    kappa = column("tuning_concentration")
    direction = np.exp(kappa * (np.cos(angle) - 1.0))
    direction = np.maximum(direction, column("opposite_response") * np.exp(kappa * (-np.cos(angle) - 1.0)))
    octaves = np.log2(np.array(TEMPORAL_FREQUENCIES_HZ))[None, :] - np.log2(column("preferred_temporal_frequency_hz"))
    frequency = np.exp(-0.5 * (octaves / column("temporal_frequency_width_octaves")) ** 2)
    return np.asarray(direction[:, :, None] * frequency[:, None, :])


def _even(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Numbers between 0 and 1, one in each of `n` equal parts, in random order."""
    return np.asarray((rng.permutation(n) + rng.random(n)) / n)


def _even_within(group: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """As `_even`, for the members of each group by themselves."""
    drawn = np.empty(len(group))
    for each in np.unique(group).tolist():
        member = group == each
        drawn[member] = _even(int(member.sum()), rng)
    return drawn
