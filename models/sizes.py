"""Named sizes, from one for demonstrations to the largest of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from poyodata.errors import ModelError, nearest

_LARGE = {"image": "unet", "image_size": (128, 256)}

SIZES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "poyo-tiny": {
            "tokens": "gated",
            "dim_head": 32,
            "depth": 2,
            "self_heads": 4,
            "latents_per_step": 4,
            "residual_dropout": 0.2,
            "unit_init_std": 1.0,
            "t_min_s": 0.5,
        },
        "poyo-1.3m": {},
        "poyo-3.3m": {"dim": 128},
        "poyo-32m": {"dim": 512},
        "poyo-115m": {"dim": 1024, **_LARGE},
        "poyo-330m": {"dim": 1024, "dim_head": 1024, **_LARGE},
    }
)
"""Settings of a :class:`~poyodata.models.PoyoConfig` by name, where they differ from its defaults.

The number is that of the parameters of the Perceiver: 1,269,120, 3,324,672, 32,173,056, 114,677,760 and, with what
stands around it, 328 to 332 million. ``poyo-330m`` is what the paper's released settings make, under the name of the
first. ``poyo-tiny`` has patches of about 0.65 s, and four latent steps over any window.
"""


def size_settings(name: str, *, window_frames: int, rate_hz: float) -> dict[str, Any]:
    """Settings of a size for windows of `window_frames` at `rate_hz` Hz.

    Raises
    ------
    ModelError
        If there is no such size.

    Examples
    --------
    >>> size_settings("poyo-32m", window_frames=57, rate_hz=30.0)["dim"]
    512
    >>> size_settings("poyo-tiny", window_frames=60, rate_hz=30.0)["patch_frames"]
    20
    """
    if name not in SIZES:
        raise ModelError(f"there is no model size {name!r}; {nearest(name, SIZES)}")
    settings = dict(SIZES[name])
    if name == "poyo-tiny":
        window_s = window_frames / rate_hz
        n_patches = max(1, round(window_s / 0.65))
        settings |= {"patch_frames": max(1, window_frames // n_patches), "latent_step_s": window_s / 4}
    return settings
