"""The field of view as an image: what a maximum projection of the two-photon movie would show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from poyodata.simulation.recording import FOV_PX, SimulatedSession
from poyodata.simulation.streams import random_stream

_NEUROPIL_GRAIN_PX = 12.0
_BLUR_PX = 1.0
_NOISE_SHARE = 0.05


def maximum_projection(session: SimulatedSession) -> npt.NDArray[np.uint8]:
    """Draw regions of interest, as bright as their mean raw fluorescence, on a patchy neuropil.

    The patches are drawn at random from the session's id, so that a recording always has the same image. No movie is
    simulated: the image is for the eye and holds nothing that the masks and traces do not.

    Parameters
    ----------
    session : SimulatedSession

    Returns
    -------
    ndarray, shape (512, 512), uint8
        Rows are y, columns are x.
    """
    rng = np.random.default_rng(random_stream(0, f"{session.metadata.session_id}:maximum_projection"))
    patches = gaussian_filter(rng.standard_normal((FOV_PX, FOV_PX)), _NEUROPIL_GRAIN_PX, mode="wrap")
    patches /= patches.std()
    neuropil = session.fluorescence.neuropil.mean() if session.fluorescence.neuropil.size else 1.0
    image = neuropil * np.clip(1.0 + 0.25 * patches, 0.2, None)
    for pixels, brightness in zip(session.rois.pixels, session.fluorescence.raw.mean(axis=1), strict=True):
        columns, rows = pixels[:, 0], pixels[:, 1]
        image[rows, columns] = np.maximum(image[rows, columns], 1.5 * brightness)
    image = gaussian_filter(image, _BLUR_PX)
    image *= 1.0 + _NOISE_SHARE * rng.standard_normal(image.shape)
    top = np.percentile(image, 99.9)
    scaled: npt.NDArray[np.float64] = np.clip(image * (255.0 / top if top > 0 else 0.0), 0, 255)
    return scaled.astype(np.uint8)
