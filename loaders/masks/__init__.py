"""Masks: what a model may not see, and what of that it is scored on."""

from __future__ import annotations

from poyodata.loaders.masks.groups import Groups, group_neurons, neuron_positions
from poyodata.loaders.masks.mask import Mask
from poyodata.loaders.masks.mask_spec import MaskSpec, WindowSizes
from poyodata.loaders.masks.masked import Masked, MaskReport

__all__ = ["Groups", "Mask", "MaskReport", "MaskSpec", "Masked", "WindowSizes", "group_neurons", "neuron_positions"]
