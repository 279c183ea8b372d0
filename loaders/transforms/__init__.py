"""Transforms: what is done to windows on their way into a batch, as pure functions of (seed, epoch, sample)."""

from __future__ import annotations

from poyodata.loaders.transforms.crop import Crop
from poyodata.loaders.transforms.jitter import Jitter
from poyodata.loaders.transforms.noise import Noise
from poyodata.loaders.transforms.normalise import (
    Normalisation,
    Normalise,
    fit_normalisation,
    identity_normalisation,
    load_normalisation,
    normalisation_for,
    require_fitted,
)
from poyodata.loaders.transforms.transform import NeuronTransform, Transform, WindowTransform
from poyodata.loaders.transforms.unit_dropout import UnitDropout

__all__ = [
    "Crop",
    "Jitter",
    "NeuronTransform",
    "Noise",
    "Normalisation",
    "Normalise",
    "Transform",
    "UnitDropout",
    "WindowTransform",
    "fit_normalisation",
    "identity_normalisation",
    "load_normalisation",
    "normalisation_for",
    "require_fitted",
]
