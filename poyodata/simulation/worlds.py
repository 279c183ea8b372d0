"""Worlds by name, and how one is loaded from its name or its YAML."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

from poyodata.errors import UsageError, nearest
from poyodata.simulation.world import World

_FEWER = {"Sst-IRES-Cre": 24, "Vip-IRES-Cre": 24, "Pvalb-IRES-Cre": 20}

_DEMO: dict[str, Any] = {
    # Two of Allen's five: in eleven minutes, five leave too few trials of each grating to estimate information.
    "temporal_frequencies_hz": (1.0, 4.0),
    "neurons_by_line": _FEWER,
}

# The observatory's own counts and lengths; areas about as often as in its 2018 listing.
_ALLEN: dict[str, Any] = {
    "areas": ("VISp",) * 5 + ("VISl",) * 4 + ("VISal", "VISpm") * 3 + ("VISam", "VISrl") * 2,
    "trials_per_block": (200, 200, 228),
    "static_gratings_per_block": (1920, 1920, 2160),
    "scenes_per_block": (1920, 1920, 2110),
    "scenes": 118,
    "scene_height_px": 918,
    "scene_width_px": 1174,
    "sparse_noise_per_block": (2880, 2880, 3120),
    "movie_frames": 900,
    "movie_repeats": 10,
    "movie_three_frames": 3600,
    "movie_three_repeats": 5,
    "spontaneous_s": 296.0,
    "lead_s": 24.5,
    "pause_s": 30.0,
    "frame_rate_hz": (29.9, 30.2),
}

_TINY: dict[str, Any] = {
    "neurons": 12,
    "trials_per_block": (17, 17, 17),
    "temporal_frequencies_hz": (1.0, 4.0),
    "static_gratings_per_block": (40, 40, 40),
    "scenes_per_block": (30, 30, 30),
    "scenes": 5,
    "scene_height_px": 24,
    "scene_width_px": 32,
    "sparse_noise_per_block": (40, 40, 40),
    "movie_frames": 10,
    "movie_repeats": 4,
    "movie_three_frames": 20,
    "movie_height_px": 32,
    "movie_width_px": 64,
    "spontaneous_s": 12.0,
    "lead_s": 2.0,
}

_WORLDS = (
    World(
        name="demo",
        description="One mouse of each of the 13 lines, about eleven minutes each: decodable, small, quick.",
        **_DEMO,
    ),
    World(
        name="tiny",
        description="Three recordings of three lines, three minutes each, for tests.",
        sessions=3,
        lines=("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre"),
        **_TINY,
    ),
    World(
        name="tiny-sessions",
        description="One small container recorded in sessions A, B, C and C2, with everything that real files hold.",
        sessions=4,
        session_types=("A", "B", "C", "C2"),
        lines=("Cux2-CreERT2",),
        movie_three_repeats=2,
        dropped_frames_per_hour=60.0,
        duplicate_share=0.1,
        invalid_share=0.1,
        **_TINY,
    ),
    World(
        name="cux2",
        description="One Cux2 mouse at the size of a real session A, an hour of 254 neurons; realism is judged on it.",
        sessions=1,
        lines=("Cux2-CreERT2",),
        neurons=254,
        # The real recording it stands beside is more responsive than its line.
        driven_by_line={"Cux2-CreERT2": 0.72},
        **_ALLEN,
    ),
    World(
        name="allen-like",
        description="The Allen Brain Observatory: its donors, containers, sessions A, B, C or C2, and their lengths.",
        sessions=1518,
        session_types=("A", "B", "C/C2"),
        census="allen",
        neurons=100,
        neurons_log_sd=0.45,
        dropped_frames_per_hour=2.0,
        duplicate_share=0.01,
        invalid_share=0.02,
        eye_tracking_share=0.55,
        templates="linked",
        **_ALLEN,
    ),
    World(
        name="two-mice-a-line",
        description="Two mice of each line, gratings at full length, one movie: for studies across mice.",
        sessions=26,
        neurons=60,
        neurons_by_line=_FEWER,
        **{**_ALLEN, "movie_three_repeats": 0, "movie_height_px": 76, "movie_width_px": 152, "spontaneous_s": 60.0},
    ),
    World(
        name="predictable-knows-more",
        description="The demo world, but bursty neurons are hardly tuned: a diet of predictable neurons should win.",
        tuning_by_kind={"bursty": 0.2},
        **_DEMO,
    ),
    World(
        name="unpredictable-knows-more",
        description="The demo world, but dense neurons are hardly tuned: a diet of unpredictable neurons should win.",
        tuning_by_kind={"dense": 0.1},
        **_DEMO,
    ),
    World(
        name="untuned",
        description="The demo world without tuning: nothing can be decoded, and whatever is decoded leaked.",
        tuning_scale=0.0,
        **_DEMO,
    ),
)

WORLDS = MappingProxyType({world.name: world for world in _WORLDS})
"""Worlds by name."""


def load_world(world: str | Path | World) -> World:
    """Take a world as it is, by name, or from a YAML file.

    Raises
    ------
    UsageError
        For an unknown name or a missing file.

    Examples
    --------
    >>> load_world("demmo")
    Traceback (most recent call last):
    poyodata.errors.UsageError: unknown world 'demmo': did you mean 'demo'? Or give the path of a world's YAML.
    """
    if isinstance(world, World):
        return world
    if str(world) in WORLDS:
        return WORLDS[str(world)]
    path = Path(world)
    if path.is_file():
        try:
            return World.from_yaml(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not a text file in UTF-8; give the YAML of a world.") from error
    raise UsageError(f"unknown world {str(world)!r}: {nearest(str(world), WORLDS)} Or give the path of a world's YAML.")
