"""From a world to a folder of recordings, with the truth beside them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.errors import UsageError
from poyodata.simulation.allen_writer import FOV_PX, FOV_UM, SimulatedSession, replacing, write_allen_nwb
from poyodata.simulation.population import LINES, draw_population
from poyodata.simulation.stimulus import movie_drive, movie_template, session_a
from poyodata.simulation.traces import GAIN_S, autoregression, simulate_dff
from poyodata.simulation.truth import fisher_direction_true
from poyodata.simulation.world import World, load_world
from poyodata.sources.record import SessionMetadata
from poyodata.vocabulary import CRE_LINES

_FIRST_SESSION, _FIRST_CONTAINER, _FIRST_DONOR = 900_000_000, 910_000_000, 700_000

Progress = Callable[[int, int, str], None]


def simulate(
    out_folder: str | Path,
    world: str | Path | World = "demo",
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Simulate every recording of a world into NWB 1.0 files, one a recording.

    A recording depends on the seed and on its own running number alone: adding recordings leaves the others as they
    were, bit for bit. Beside the files lie ``world.yaml`` (with the seed used), ``truth/<session_id>.parquet`` (the
    parameters of every neuron and its true Fisher information, see `poyodata.simulation.truth`) and
    ``truth/<session_id>.json``.

    Parameters
    ----------
    out_folder : str or Path
        Made when it is not there. Files of the same world and seed are written again; a folder of another world or
        seed is refused.
    world : str, Path or World
        A named world, the path of a world's YAML, or a world.
    seed : int, optional
        The world's own when left out.
    progress : callable ``(done, total, label)``, optional
        Called before each recording and once at the end.

    Returns
    -------
    list of Path
        The NWB files, in the order of their session ids.

    Raises
    ------
    UsageError
        For a world that cannot exist, a folder that holds another world, or one that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> world = load_world("tiny").replace(sessions=1, neurons=2, trials_per_block=(2,))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in simulate(folder, world, seed=1)]
    ['900000000.nwb']
    """
    chosen = _seeded(load_world(world), seed)
    folder = Path(out_folder)
    _refuse_other_world(folder, chosen)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        with replacing(folder / "world.yaml") as partial:
            partial.write_text(chosen.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
    movie = _movie(chosen)
    paths = []
    for index, session_id in enumerate(session_ids(chosen)):
        if progress is not None:
            progress(index, chosen.sessions, f"session {session_id} ({chosen.line_of(index)})")
        session, truth = simulate_session(chosen, index, movie)
        with replacing(folder / "truth" / f"{session_id}.parquet") as partial:
            truth.to_parquet(partial, index=False)
        with replacing(folder / "truth" / f"{session_id}.json") as partial:
            partial.write_text(json.dumps(_lineage(chosen, session), indent=1), encoding="utf-8")
        paths.append(write_allen_nwb(folder / f"{session_id}.nwb", session))
    if progress is not None:
        progress(chosen.sessions, chosen.sessions, "done")
    return paths


def session_ids(world: World) -> list[str]:
    """Ids of a world's recordings, in order.

    Examples
    --------
    >>> session_ids(load_world("tiny"))
    ['900000000', '900000001', '900000002']
    """
    return [str(_FIRST_SESSION + index) for index in range(world.sessions)]


def simulate_session(
    world: World, index: int, movie: npt.NDArray[np.uint8] | None = None
) -> tuple[SimulatedSession, pd.DataFrame]:
    """Simulate one recording in memory.

    Parameters
    ----------
    world : World
    index : int
        Running number of the recording, from 0.
    movie : ndarray, shape (frame, height, width), uint8, optional
        The world's movie, when it is at hand; made anew when left out.

    Returns
    -------
    session : SimulatedSession
    truth : DataFrame, one row a neuron
        ``session_id, cell_specimen_id, roi_id, cre_line``, the columns of `draw_population` and of
        `fisher_direction_true`.

    Examples
    --------
    >>> session, truth = simulate_session(load_world("tiny").replace(trials_per_block=(3,)), 0)
    >>> session.metadata.cre_line, session.dff.shape[0] == len(truth)
    ('Sst-IRES-Cre', True)
    """
    line = world.line_of(index)
    session_id = str(_FIRST_SESSION + index)
    # Streams of their own, so that a change to one (more neurons, say) leaves the others as they are.
    stimulus, population, activity, anatomy = (
        np.random.default_rng(random_stream(world.seed, f"{session_id}:{part}"))
        for part in ("stimulus", "population", "activity", "anatomy")
    )
    timeline = session_a(world, stimulus)
    neurons = draw_population(line, world, population)
    if movie is None:
        movie = _movie(world)
    gain = autoregression(len(timeline.time_s), GAIN_S * timeline.rate_hz, activity)
    dff = simulate_dff(neurons, timeline, None if movie is None else movie_drive(movie), gain, activity)
    count = len(neurons)
    baseline = anatomy.uniform(300.0, 1500.0, count)
    ids = 10_000_000_000 + (int(session_id) - _FIRST_SESSION) * 10_000 + np.arange(count)
    session = SimulatedSession(
        metadata=_metadata(world, index, session_id, line, anatomy),
        specimen_name=f"{LINES[line].reporter}-{_donor(world, index)}",
        timeline=timeline,
        dff=dff,
        fluorescence=np.clip(np.rint(baseline[:, None] * (1.0 + dff)), 0, 65535).astype(np.uint16),
        cell_specimen_id=ids,
        roi_id=ids + 5_000_000_000,
        centre_px=anatomy.uniform(12.0, FOV_PX - 12.0, (count, 2)),
        radius_px=anatomy.uniform(5.0, 9.0, count),
        # The mouse runs when the shared gain is high; treadmill noise on top.
        running_speed=np.maximum(0.0, 9.0 * (gain + 0.4)) + anatomy.normal(0.0, 0.3, len(gain)),
        movie=movie,
    )
    truth = pd.concat(
        [
            pd.DataFrame(
                {
                    "session_id": session_id,
                    "cell_specimen_id": ids,
                    "roi_id": session.roi_id,
                    "cre_line": line,
                    "x_um": session.centre_px[:, 0] * FOV_UM / FOV_PX,
                    "y_um": session.centre_px[:, 1] * FOV_UM / FOV_PX,
                }
            ),
            neurons,
            fisher_direction_true(neurons, timeline.rate_hz, world.temporal_frequencies_hz),
        ],
        axis=1,
    )
    return session, truth


def _seeded(world: World, seed: int | None) -> World:
    return world if seed is None else world.replace(seed=seed)


def _refuse_other_world(folder: Path, world: World) -> None:
    """Raise when the folder holds recordings of another world: left there, they would be read with the new ones."""
    marker = folder / "world.yaml"
    if marker.is_file() and marker.read_text(encoding="utf-8") != world.to_yaml():
        raise UsageError(
            f"{folder} holds recordings of another world or seed (its world.yaml differs); choose another folder, or "
            "remove that one."
        )


def random_stream(seed: int, name: str) -> np.random.SeedSequence:
    """Name a stream of random numbers: its content depends on the seed and the name, on no other stream."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(name.encode()),))


def _movie(world: World) -> npt.NDArray[np.uint8] | None:
    if not world.movie_repeats:
        return None
    rng = np.random.default_rng(random_stream(world.seed, "natural_movie_one"))
    return movie_template(world.movie_frames, world.movie_height_px, world.movie_width_px, rng)


def _donor(world: World, index: int) -> str:
    # Numbered within the line, so that a longer list of recordings renames no mouse.
    line = world.line_of(index)
    turn = index // len(world.lines)
    return str(_FIRST_DONOR + CRE_LINES.index(line) * 1000 + turn // world.sessions_per_donor)


def _metadata(world: World, index: int, session_id: str, line: str, anatomy: np.random.Generator) -> SessionMetadata:
    law = LINES[line]
    donor = np.random.default_rng(random_stream(world.seed, f"donor:{_donor(world, index)}"))
    return SessionMetadata(
        session_id=session_id,
        donor_id=_donor(world, index),
        container_id=str(_FIRST_CONTAINER + index),
        cre_line=line,
        area=world.areas[int(anatomy.integers(len(world.areas)))],
        depth_um=law.depth_um,
        session_type="three_session_A",
        indicator="GCaMP6f",
        genotype=law.genotype,
        sex=str(donor.choice(["female", "male"])),
        age_days=float(donor.integers(80, 140)),
    )


def _lineage(world: World, session: SimulatedSession) -> dict[str, object]:
    return {
        "session_id": session.metadata.session_id,
        "donor_id": session.metadata.donor_id,
        "cre_line": session.metadata.cre_line,
        "rate_hz": session.timeline.rate_hz,
        "seed": world.seed,
        "world": world.name,
        "world_digest": world.digest(),
        "poyodata": version,
        "fisher_direction_true": "rad^-2; formula and what it leaves out: documentation of poyodata.simulation.truth",
    }
