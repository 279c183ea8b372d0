"""Regions of interest: where the cells lie, which ones were segmented twice, and the fluorescence they give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.behaviour import Latents
from poyodata.simulation.recording import FOV_PX, Fluorescence
from poyodata.simulation.world import World

EXCLUSIONS = ("motion_border", "union", "duplicate")
_BORDER_PX = 12


def draw_anatomy(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Place the cells of a container in the field of view.

    Parameters
    ----------
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame, one row a cell
        ``x_px``, ``y_px`` (centre), ``long_px``, ``short_px`` (half axes), ``tilt_rad``, ``baseline`` (counts),
        ``neuropil_r``.

    Examples
    --------
    >>> draw_anatomy(3, np.random.default_rng(0)).shape
    (3, 7)
    """
    long = rng.uniform(5.5, 9.0, count)
    return pd.DataFrame(
        {
            "x_px": rng.uniform(_BORDER_PX, FOV_PX - _BORDER_PX, count),
            "y_px": rng.uniform(_BORDER_PX, FOV_PX - _BORDER_PX, count),
            "long_px": long,
            "short_px": long * rng.uniform(0.65, 1.0, count),
            "tilt_rad": rng.uniform(0.0, np.pi, count),
            "baseline": rng.uniform(300.0, 1500.0, count),
            "neuropil_r": np.clip(rng.normal(0.65, 0.2, count), 0.05, 1.2),
        }
    )


def mark_copies(neurons: pd.DataFrame, world: World, rng: np.random.Generator) -> pd.DataFrame:
    """Turn some neurons into near-duplicates of others, and others into regions that should be left out.

    A near-duplicate repeats the calcium of its source, a little weaker or stronger, with noise of its own, two pixels
    away. Regions with an exclusion label are duplicates that were noticed, unions (as bright as two), and cells at the
    border whose trace is all jerks.

    Parameters
    ----------
    neurons : DataFrame
        Cells and their anatomy.
    world : World
        ``duplicate_share`` and ``invalid_share``.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        With the columns ``duplicate_of`` (row of the source, -1 for none) and ``exclusion_label`` (``""`` for none).
    """
    n = len(neurons)
    marked = neurons.assign(duplicate_of=np.full(n, -1), exclusion_label="")
    n_copies, n_invalid = round(world.duplicate_share * n), round(world.invalid_share * n)
    if n_copies + n_invalid >= n:
        n_copies = n_invalid = 0
    chosen = rng.permutation(n)
    copies, invalid, whole = chosen[:n_copies], chosen[n_copies : n_copies + n_invalid], chosen[n_copies + n_invalid :]
    labels = np.array([EXCLUSIONS[k % len(EXCLUSIONS)] for k in range(n_invalid)], dtype=object)
    marked.loc[invalid, "exclusion_label"] = labels
    for row in [*copies.tolist(), *invalid[labels == "duplicate"].tolist()]:
        source = int(rng.choice(whole))
        repeated = [name for name in neurons.columns if name not in ("cell", "kind", "baseline")]
        marked.loc[row, repeated] = marked.loc[source, repeated].to_numpy()
        marked.loc[row, "kind"] = str(marked.loc[source, "kind"])
        marked.loc[row, "duplicate_of"] = source
        scale = float(rng.uniform(0.85, 1.15))
        for name in ("amplitude", "slow_noise", "shared_noise", "drift_noise", "artefact"):
            marked.loc[row, name] *= scale
        marked.loc[row, ["x_px", "y_px"]] += rng.choice([-2.0, 2.0], 2)
    jerky = invalid[labels == "motion_border"]
    marked.loc[jerky, "artefact"] *= 20.0
    marked.loc[jerky, "x_px"] = 3.0
    wide = invalid[labels == "union"]
    marked.loc[wide, ["long_px", "amplitude"]] *= 1.8
    return marked.astype(neurons.dtypes.to_dict() | {"duplicate_of": np.int64})


def mask_pixels(neurons: pd.DataFrame) -> list[npt.NDArray[np.int16]]:
    """Pixels of every region of interest: x and y, inside the field of view.

    Parameters
    ----------
    neurons : DataFrame
        With the columns of `draw_anatomy`.

    Returns
    -------
    list of ndarray, shape (pixel, 2), int16
    """
    masks = []
    for x, y, long, short, tilt in (
        neurons[["x_px", "y_px", "long_px", "short_px", "tilt_rad"]].to_numpy(np.float64).tolist()
    ):
        reach = int(np.ceil(long)) + 1
        dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        columns, rows = dx + round(x), dy + round(y)
        along = (columns - x) * np.cos(tilt) + (rows - y) * np.sin(tilt)
        across = (rows - y) * np.cos(tilt) - (columns - x) * np.sin(tilt)
        inside = (along / long) ** 2 + (across / short) ** 2 <= 1.0
        inside &= (columns >= 0) & (columns < FOV_PX) & (rows >= 0) & (rows < FOV_PX)
        masks.append(np.stack([columns[inside], rows[inside]], axis=1).astype(np.int16))
    return masks


def draw_fluorescence(
    neurons: pd.DataFrame,
    dff: npt.NDArray[np.float32],
    latents: Latents,
    neuropil_scale: float,
    rng: np.random.Generator,
) -> Fluorescence:
    """Make the fluorescence of which `dff` is what is left after demixing, neuropil subtraction and normalisation.

    Parameters
    ----------
    neurons : DataFrame
        With the columns of `draw_anatomy` and ``duplicate_of``.
    dff : ndarray, shape (neuron, time), float32, dF/F
    latents : Latents
    neuropil_scale : float
    rng : numpy.random.Generator

    Returns
    -------
    Fluorescence
    """
    count, n_frames = dff.shape
    baseline = neurons["baseline"].to_numpy(np.float32)
    ratio = neurons["neuropil_r"].to_numpy(np.float64)
    surroundings = (0.10 * latents.shared + 0.08 * latents.arousal).astype(np.float32)
    neuropil, demixed = np.empty_like(dff), np.empty_like(dff)
    for index in range(count):
        around = np.float32(0.7) * baseline[index] * np.float32(neuropil_scale)
        neuropil[index] = np.float32(0.03) * rng.standard_normal(n_frames, dtype=np.float32)
        neuropil[index] += 1.0 + surroundings * np.float32(rng.uniform(0.7, 1.3))
        neuropil[index] *= around
        demixed[index] = baseline[index] * (1.0 + dff[index]) + np.float32(ratio[index]) * neuropil[index]
    raw = demixed.copy()
    # A region that overlaps another holds some of its light until the traces are demixed.
    for index, source in enumerate(neurons["duplicate_of"].to_numpy(np.int64).tolist()):
        if source >= 0:
            raw[index] += np.float32(0.3) * demixed[source]
            raw[source] += np.float32(0.3) * demixed[index]
    return Fluorescence(raw=raw, neuropil=neuropil, demixed=demixed, neuropil_r=ratio)
