"""What simulated neurons see: Gabor receptive fields on a flat screen, their static tuning and their drive by frames.

Screen coordinates are degrees from the screen's centre, azimuth to the right and altitude up. A grating of orientation
``theta`` and spatial frequency ``f`` is ``cos(2 pi (f (azimuth cos(theta) + altitude sin(theta)) - phase))``. A neuron
of preferred wave vector ``k0`` weights the screen by a Gaussian of standard deviation ``sigma`` around its centre times
a wave of ``k0``, so that a grating of wave vector ``k`` drives it by ``exp(-2 pi^2 sigma^2 |k - k0|^2)``, with von
Mises tuning to orientation. A grating that stands still is the same for ``k`` and ``-k``; both add up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.movies import block_means
from poyodata.simulation.timeline import ORIENTATIONS_DEG, PHASES, SPATIAL_FREQUENCIES_CPD

SCREEN_DEG = (120.0, 95.0)
"""Width and height of the screen, filled by movies and scenes."""

DRIFTING_GRATING_CPD = 0.04
# Weaker changes than this share of the best grating's response are rounding, or a field off the screen.
_LEAST_CHANGE = 1e-4
_PART_DEG = 0.1


def rf_sigma_deg(neurons: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Size of every receptive field, such that drifting gratings find the neuron's tuning concentration.

    Parameters
    ----------
    neurons : DataFrame
        ``tuning_concentration`` (von Mises kappa under a grating of 0.04 cycles a degree) and
        ``preferred_spatial_frequency_cpd``.

    Returns
    -------
    ndarray, shape (neuron,), float64, degrees
        Standard deviation of the Gaussian.

    Examples
    --------
    >>> neurons = pd.DataFrame({"tuning_concentration": [2.0], "preferred_spatial_frequency_cpd": [0.04]})
    >>> rf_sigma_deg(neurons).round(2)
    array([5.63])
    """
    kappa, f0 = _column(neurons, "tuning_concentration"), _column(neurons, "preferred_spatial_frequency_cpd")
    return np.asarray(np.sqrt(kappa / (4.0 * np.pi**2 * DRIFTING_GRATING_CPD * f0)))


def static_grating_tuning(neurons: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Tune every neuron to orientation, spatial frequency and phase of static gratings.

    The phase that a neuron meets is that at its centre. A share ``phase_selectivity`` of the response follows the
    phase, as a half-wave rectified Gabor does; the rest does not, as the energy of a pair of Gabors.

    Parameters
    ----------
    neurons : DataFrame
        ``azimuth_deg``, ``altitude_deg``, ``preferred_direction_deg``, ``preferred_spatial_frequency_cpd``,
        ``tuning_concentration``, ``preferred_phase`` (cycles, at the centre) and ``phase_selectivity`` (0 to 1).

    Returns
    -------
    ndarray, shape (neuron, 6, 5, 4), float64
        Response to each of Allen's orientations, spatial frequencies and phases, as a share of that to the best
        grating of any kind.

    Examples
    --------
    >>> neurons = pd.DataFrame(
    ...     {
    ...         "azimuth_deg": [0.0],
    ...         "altitude_deg": [0.0],
    ...         "preferred_direction_deg": [30.0],
    ...         "preferred_spatial_frequency_cpd": [0.04],
    ...         "tuning_concentration": [3.0],
    ...         "preferred_phase": [0.25],
    ...         "phase_selectivity": [1.0],
    ...     }
    ... )
    >>> [int(i) for i in np.unravel_index(np.argmax(static_grating_tuning(neurons)[0]), (6, 5, 4))]
    [1, 1, 1]
    """
    orientation, frequency, phase = np.meshgrid(
        np.deg2rad(ORIENTATIONS_DEG), SPATIAL_FREQUENCIES_CPD, PHASES, indexing="ij"
    )
    kx, ky = frequency * np.cos(orientation), frequency * np.sin(orientation)
    sigma, x, y, k0x, k0y, preferred, selectivity, f0 = (
        column[:, None, None, None]
        for column in (
            rf_sigma_deg(neurons),
            _column(neurons, "azimuth_deg"),
            _column(neurons, "altitude_deg"),
            *_wave_vector(neurons),
            _column(neurons, "preferred_phase"),
            _column(neurons, "phase_selectivity"),
            _column(neurons, "preferred_spatial_frequency_cpd"),
        )
    )

    def lobe(distance_squared: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.exp(-2.0 * np.pi**2 * sigma**2 * distance_squared))

    turn = np.exp(2j * np.pi * (phase - kx * x - ky * y))
    wave = lobe((kx - k0x) ** 2 + (ky - k0y) ** 2) * turn + lobe((kx + k0x) ** 2 + (ky + k0y) ** 2) / turn
    # The best grating has the preferred orientation and at most the preferred frequency: below it the lobes overlap.
    f = f0 * np.linspace(0.0, 1.0, 101)
    best = (lobe((f - f0) ** 2) + lobe((f + f0) ** 2)).max(axis=-1, keepdims=True)
    followed = np.maximum((wave * np.exp(-2j * np.pi * preferred)).real, 0.0)
    return np.asarray(((1.0 - selectivity) * np.abs(wave) + selectivity * followed) / best)


def grating_frame(
    orientation_deg: float,
    spatial_frequency_cpd: float,
    phase: float,
    *,
    height_px: int = 304,
    width_px: int = 608,
    extent_deg: tuple[float, float] = SCREEN_DEG,
) -> npt.NDArray[np.uint8]:
    """Draw a static grating of full contrast.

    Parameters
    ----------
    orientation_deg, spatial_frequency_cpd : float
    phase : float
        Cycles, at the screen's centre.
    height_px, width_px : int
    extent_deg : tuple of float
        Width and height that the frame fills.

    Returns
    -------
    ndarray, shape (height, width), uint8

    Examples
    --------
    >>> grating_frame(0.0, 0.25, 0.0, height_px=1, width_px=4, extent_deg=(4.0, 1.0))
    array([[ 37, 217, 217,  37]], dtype=uint8)
    """
    azimuth = _centres(width_px, extent_deg[0] / width_px)
    altitude = -_centres(height_px, extent_deg[1] / height_px)
    theta = np.deg2rad(orientation_deg)
    along = azimuth[None, :] * np.cos(theta) + altitude[:, None] * np.sin(theta)
    wave = np.cos(2.0 * np.pi * (spatial_frequency_cpd * along - phase))
    return np.asarray(np.rint(127.0 + 127.0 * wave), np.uint8)


def gabor_responses(
    neurons: pd.DataFrame, template: npt.NDArray[np.uint8], extent_deg: tuple[float, float], *, max_px: int = 128
) -> npt.NDArray[np.complex64]:
    """Project frames on every neuron's pair of Gabors.

    Frames are shrunk to ``max_px`` columns and as fine rows by block means, and the Gabors are averaged over the same
    pixels, so nothing else is lost than detail within a pixel. On a movie of 120 degrees a pixel is 0.99 degrees:
    four or more for each period up to 0.25 cycles a degree; at 0.32 there are 3.2, and gratings reach the neuron with
    84 per cent of their contrast. Spots of sparse noise are far larger than the periods of most neurons, as in life.

    Parameters
    ----------
    neurons : DataFrame
        As for `static_grating_tuning`; phase columns are not needed.
    template : ndarray, shape (frame, height, width), uint8
        127 is grey.
    extent_deg : tuple of float
        Width and height that a frame fills.
    max_px : int
        Columns that frames are shrunk to, about.

    Returns
    -------
    ndarray, shape (frame, neuron), complex64
        Even (real) and odd (imaginary) Gabor. The modulus is about 1 for the neuron's best grating of full contrast.

    Examples
    --------
    >>> neurons = pd.DataFrame(
    ...     {
    ...         "azimuth_deg": [0.0],
    ...         "altitude_deg": [0.0],
    ...         "preferred_direction_deg": [30.0],
    ...         "preferred_spatial_frequency_cpd": [0.08],
    ...         "tuning_concentration": [3.0],
    ...     }
    ... )
    >>> frame = grating_frame(30.0, 0.08, 0.25)
    >>> gabor_responses(neurons, frame[None], SCREEN_DEG).imag.round(2)
    array([[0.98]], dtype=float32)
    """
    _, height, width = template.shape
    columns_px = max(1, round(width / max_px))
    rows_px = max(1, round(columns_px * (extent_deg[0] / width) / (extent_deg[1] / height)))
    column_deg, row_deg = columns_px * extent_deg[0] / width, rows_px * extent_deg[1] / height
    contrast = block_means(template, rows_px, columns_px)
    contrast -= 127.0
    contrast /= 127.0
    frames, rows, columns = contrast.shape
    sigma = rf_sigma_deg(neurons)
    kx, ky = _wave_vector(neurons)
    # An odd pixel left over is cut off on one side only, which moves the middle by half a pixel.
    right_deg = 0.5 * ((width - columns * columns_px) % 2) * extent_deg[0] / width
    low_deg = 0.5 * ((height - rows * rows_px) % 2) * extent_deg[1] / height
    across = _axis_weights(_column(neurons, "azimuth_deg") + right_deg, kx, sigma, columns, column_deg)
    down = _axis_weights(low_deg - _column(neurons, "altitude_deg"), -ky, sigma, rows, row_deg)
    responses = np.empty((frames, len(neurons)), np.complex64)
    pixels = contrast.reshape(frames, rows * columns)
    # A few neurons at a time keep the weights small.
    for first in range(0, len(neurons), 100):
        some = slice(first, first + 100)
        weights = 2.0 * (down[some, :, None] * across[some, None, :]).reshape(-1, rows * columns)
        responses.real[:, some] = pixels @ np.ascontiguousarray(weights.real).T
        responses.imag[:, some] = pixels @ np.ascontiguousarray(weights.imag).T
    return responses


def template_energy(
    neurons: pd.DataFrame,
    template: npt.NDArray[np.uint8],
    extent_deg: tuple[float, float],
    phase: float = 0.0,
    *,
    max_px: int = 128,
) -> npt.NDArray[np.float32]:
    """Measure how strongly every frame drives every neuron.

    Parameters
    ----------
    neurons, template, extent_deg, max_px
        As for `gabor_responses`; `phase` needs the columns of phase, too.
    phase : float
        Share of ``phase_selectivity`` that holds; the rest of a response is that to the energy, whatever the phase.

    Returns
    -------
    ndarray, shape (frame, neuron), float32
        Modulus of the pair of Gabors (of its part in the preferred phase, so far as that holds) over its maximum over
        the frames; 0 throughout for a neuron that no frame changes.

    Examples
    --------
    >>> neurons = pd.DataFrame(
    ...     {
    ...         "azimuth_deg": [0.0],
    ...         "altitude_deg": [0.0],
    ...         "preferred_direction_deg": [0.0],
    ...         "preferred_spatial_frequency_cpd": [0.08],
    ...         "tuning_concentration": [3.0],
    ...     }
    ... )
    >>> frames = np.stack([grating_frame(angle, 0.08, 0.0) for angle in (0.0, 45.0, 90.0)])
    >>> template_energy(neurons, frames, SCREEN_DEG)[:, 0].round(2)
    array([1.  , 0.17, 0.  ], dtype=float32)
    """
    pair = gabor_responses(neurons, template, extent_deg, max_px=max_px)
    energy = np.abs(pair)
    if phase:
        follows = (phase * _column(neurons, "phase_selectivity")).astype(np.float32)
        turn = np.exp(-2j * np.pi * _column(neurons, "preferred_phase")).astype(np.complex64)
        energy = (1 - follows) * energy + follows * np.maximum((pair * turn).real, 0)
    if not len(energy):
        return energy
    peak = energy.max(axis=0)
    # A single frame, such as the only scene of a small world, changes against grey.
    least = energy.min(axis=0) if len(energy) > 1 else np.zeros_like(peak)
    seen = peak - least > _LEAST_CHANGE
    return np.where(seen, energy / np.where(seen, peak, 1.0), np.float32(0.0))


def _axis_weights(
    centre_deg: npt.NDArray[np.float64],
    frequency_cpd: npt.NDArray[np.float64],
    sigma_deg: npt.NDArray[np.float64],
    count: int,
    pixel_deg: float,
) -> npt.NDArray[np.complex64]:
    """One axis of every Gabor, summed over each pixel; a round Gabor is the product of its axes."""
    parts = int(np.ceil(pixel_deg / _PART_DEG))
    away = _centres(count * parts, pixel_deg / parts)[None, :] - centre_deg[:, None]
    gauss = np.exp(-0.5 * (away / sigma_deg[:, None]) ** 2) / (sigma_deg[:, None] * np.sqrt(2.0 * np.pi))
    wave = gauss * np.exp(2j * np.pi * frequency_cpd[:, None] * away) * pixel_deg / parts
    return np.asarray(wave.reshape(len(centre_deg), count, parts).sum(axis=2), np.complex64)


def _centres(count: int, pixel_deg: float) -> npt.NDArray[np.float64]:
    """Centres of pixels in a row around 0."""
    return np.asarray((np.arange(count) - (count - 1) / 2.0) * pixel_deg)


def _wave_vector(neurons: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    f0 = _column(neurons, "preferred_spatial_frequency_cpd")
    theta = np.deg2rad(_column(neurons, "preferred_direction_deg"))
    return f0 * np.cos(theta), f0 * np.sin(theta)


def _column(neurons: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    return neurons[name].to_numpy(np.float64)
