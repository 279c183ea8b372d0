"""AllenSDK's environment, simulated recordings of every session type, and what AllenSDK says of them, each once."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from poyodata.allensdk.answers import Answers, ask_allensdk
from poyodata.allensdk.environment import ensure_environment
from poyodata.errors import PoyodataError
from poyodata.simulation import load_world, simulate
from poyodata.sources.allen_nwb import read_allen_nwb
from poyodata.sources.record import SessionRecord
from poyodata.vocabulary import TEMPORAL_FREQUENCIES_HZ

SESSION_TYPES = ("A", "B", "C", "C2")

Judged = tuple[SessionRecord, Answers]


@pytest.fixture(scope="session")
def allen_python() -> Path:
    """Interpreter of AllenSDK's environment. Where none can be made, a developer's tests are skipped; CI's fail."""
    try:
        return ensure_environment()
    except PoyodataError as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            raise
        pytest.skip(f"no environment for AllenSDK: {error}")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small recording of each session type, of one container, by session type."""
    world = load_world("tiny").replace(
        session_types=SESSION_TYPES,
        sessions=4,
        neurons=6,
        trials_per_block=(66, 66, 66),
        temporal_frequencies_hz=TEMPORAL_FREQUENCIES_HZ,
        movie_three_repeats=2,
        eye_tracking_share=1.0,
        invalid_share=0.3,
    )
    files = simulate(tmp_path_factory.mktemp("judged"), world)
    return dict(zip(SESSION_TYPES, files, strict=True))


@pytest.fixture(scope="session")
def judged(
    allen_python: Path, simulated: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Judged]:
    """Our record and AllenSDK's answers for the recording of a session type."""

    @lru_cache
    def read(session_type: str) -> Judged:
        folder = tmp_path_factory.mktemp(f"answers-{session_type}")
        answers = ask_allensdk(simulated[session_type], folder, gratings=session_type == "A")
        return read_allen_nwb(simulated[session_type]), answers

    return read
