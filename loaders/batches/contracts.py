"""What is in a batch: names, shapes, dtypes and units, as typed dictionaries.

A loader adds to each: ``sample`` and the columns of its targets, masks and views. Arrays here are NumPy's; a loader
that yields torch tensors yields the same names, shapes and dtypes.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt


class Windows(TypedDict):
    """Where the windows of a batch are from.

    ``session_index`` (batch,) int64: position in ``session_ids``.
    ``start_frame`` (batch,) int64: frame of the recording at which the window starts.
    """

    session_index: npt.NDArray[np.int64]
    start_frame: npt.NDArray[np.int64]


class DenseBatch(Windows):
    """Windows padded to the widest recording of the batch.

    ``values`` float32: dF/F, or centred and scaled; (batch, neuron, time), in layout ``time`` (batch, time, neuron);
    0 in padding.
    ``neuron_index`` (batch, neuron) int64: 0 is padding, else 1 + row of the manifest's neurons, or 1 + number in the
    vocabulary that the loader was given.
    ``neuron_mask`` (batch, neuron) bool: True for a neuron, False for padding.
    ``time_mask`` (batch, time) bool: True for a frame, False for padding; only where windows differ in length.
    """

    values: npt.NDArray[np.float32]
    neuron_index: npt.NDArray[np.int64]
    neuron_mask: npt.NDArray[np.bool_]
    time_mask: NotRequired[npt.NDArray[np.bool_]]


class TokenBatch(Windows):
    """Windows as tokens, one for each frame and neuron, all neurons of a frame before the next frame.

    Flat: token is time * neuron, padded to the longest of the batch and to a multiple of 8. As views: token is (time,
    neuron), values are an array and the other three are broadcast, so that they take no memory of their own and may
    not be written to.

    ``input_values`` (batch, token, 1) float32, or (batch, time, neuron): dF/F, or centred and scaled; 0 in padding.
    ``input_timestamps`` (batch, token) float64: seconds from the start of the window; 0 in padding (as views, that of
    its frame).
    ``input_unit_index`` (batch, token) int64: as ``neuron_index`` of a dense batch, 0 in padding.
    ``input_mask`` (batch, token) bool: True for a token, False for padding.
    ``latent_index`` (batch, latent) int64: which of the latents of its step.
    ``latent_timestamps`` (batch, latent) float64: seconds from the start of the window, the middle of its step.
    """

    input_values: npt.NDArray[np.float32]
    input_timestamps: npt.NDArray[np.float64]
    input_unit_index: npt.NDArray[np.int64]
    input_mask: npt.NDArray[np.bool_]
    latent_index: npt.NDArray[np.int64]
    latent_timestamps: npt.NDArray[np.float64]


class JaggedBatch(Windows):
    """Windows one after the other without padding.

    ``values`` (neuron of all windows, time) float32: dF/F, or centred and scaled.
    ``neuron_index`` (neuron of all windows,) int64: 1 + its number, as in a dense batch.
    ``offsets`` (batch + 1,) int64: window b has the rows ``offsets[b]`` to ``offsets[b + 1]``.
    """

    values: npt.NDArray[np.float32]
    neuron_index: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
