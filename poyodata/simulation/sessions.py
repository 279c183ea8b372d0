"""From a world to a folder of recordings, with the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata._version import version
from poyodata.errors import UsageError, nearest
from poyodata.simulation.allen_writer import write_allen_nwb
from poyodata.simulation.behaviour import draw_behaviour, draw_latents
from poyodata.simulation.census import Recording, recording, session_ids
from poyodata.simulation.drive import Drive, visual_drive
from poyodata.simulation.nwb2_writer import write_nwb2
from poyodata.simulation.population import count_cells, draw_population, found_again
from poyodata.simulation.recording import FOV_PX, FOV_UM, Rois, SimulatedSession
from poyodata.simulation.regions import draw_anatomy, draw_fluorescence, mark_copies, mask_pixels
from poyodata.simulation.size import refuse_too_large
from poyodata.simulation.streams import random_stream
from poyodata.simulation.sweep_model import noise_covariance, sweep_model
from poyodata.simulation.templates import Templates
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.truth import fisher_direction_true, fisher_movie_true
from poyodata.simulation.whole_files import replacing
from poyodata.simulation.world import World
from poyodata.simulation.worlds import load_world

Progress = Callable[[int, int, str], None]
FORMATS = ("allen-nwb", "nwb2")
_TRUTH_COLUMNS_LEFT_OUT = ("cell", "x_px", "y_px", "long_px", "short_px", "tilt_rad")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of one recording.

    Attributes
    ----------
    neurons : DataFrame, one row a neuron
        ``session_id, cell_specimen_id, roi_id, cre_line, x_um, y_um, exclusion_label``, ``duplicate_of`` (its
        ``cell_specimen_id``), the columns of `poyodata.simulation.population.draw_population` and the true Fisher
        informations of `poyodata.simulation.truth`.
    events : DataFrame
        ``neuron``, ``frame``, ``amplitude`` of every calcium event.
    noise_covariance : ndarray, shape (neuron, neuron), float64, squares of dF/F
        Of the mean dF/F over a drifting-gratings sweep at a fixed grating.
    """

    neurons: pd.DataFrame
    events: pd.DataFrame
    noise_covariance: npt.NDArray[np.float64]


def simulate(
    out_folder: str | Path,
    world: str | Path | World = "demo",
    seed: int | None = None,
    progress: Progress | None = None,
    file_format: Literal["allen-nwb", "nwb2"] = "allen-nwb",
) -> list[Path]:
    """Simulate every recording of a world into NWB files, one a recording.

    A recording depends on the seed and on its own running number alone: adding recordings leaves the others as they
    were, bit for bit. Beside the files lie ``world.yaml`` (with the seed used) and the folder ``truth`` with four files
    of each: ``<session_id>.parquet`` (parameters and true Fisher information of every neuron),
    ``<session_id>.events.parquet`` (every calcium event), ``<session_id>.noise_covariance.npy`` and
    ``<session_id>.json``; see `Truth`.

    Parameters
    ----------
    out_folder : str or Path
        Made when it is not there. Recordings of the same world and seed that lie there whole are kept, so that a
        simulation cut short goes on where it stopped, and one of fewer recordings grows; a folder of another world or
        seed is refused.
    world : str, Path or World
        A named world, the path of a world's YAML, or a world.
    seed : int, optional
        The world's own when left out.
    progress : callable ``(done, total, label)``, optional
        Called before each recording and once at the end.
    file_format : {"allen-nwb", "nwb2"}
        NWB 1.0 as the Allen Institute released it, or NWB 2 in the layout of DANDI 000728.

    Returns
    -------
    list of Path
        The NWB files, in the order of their session ids.

    Raises
    ------
    UsageError
        For a world that cannot exist, a folder that holds another world, or one that cannot be written or is too small.

    Examples
    --------
    >>> import tempfile
    >>> world = load_world("tiny").replace(sessions=1, neurons=2, trials_per_block=(2,))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in simulate(folder, world, seed=1)]
    ['900000000.nwb']
    """
    chosen = _seeded(load_world(world), seed)
    if file_format not in FORMATS:
        raise UsageError(f"unknown format {file_format!r}: {nearest(file_format, FORMATS)}")
    folder = Path(out_folder)
    _refuse_other_world(folder, chosen)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        with replacing(folder / "world.yaml") as partial:
            partial.write_text(chosen.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
    done = {session_id for session_id in session_ids(chosen) if _is_whole(folder, session_id, chosen, file_format)}
    refuse_too_large(chosen, folder, 1.0 - len(done) / chosen.sessions)
    templates = Templates(chosen)
    paths = []
    for number, session_id in enumerate(session_ids(chosen)):
        path = folder / f"{session_id}.nwb"
        if progress is not None:
            progress(number, chosen.sessions, f"session {session_id} ({recording(chosen, number).line})")
        paths.append(path)
        if session_id in done:
            continue
        session, truth = simulate_session(chosen, number, templates)
        if file_format == "nwb2":
            write_nwb2(path, session)
        else:
            write_allen_nwb(path, session, chosen.templates)
        _write_truth(folder / "truth", session, truth, _lineage(chosen, session, file_format))
    if progress is not None:
        progress(chosen.sessions, chosen.sessions, "done")
    return paths


def simulate_session(world: World, number: int, templates: Templates | None = None) -> tuple[SimulatedSession, Truth]:
    """Simulate one recording in memory.

    Parameters
    ----------
    world : World
    number : int
        Running number of the recording, from 0.
    templates : Templates, optional
        The world's, when they are at hand; made anew when left out.

    Returns
    -------
    session : SimulatedSession
    truth : Truth

    Examples
    --------
    >>> session, truth = simulate_session(load_world("tiny").replace(trials_per_block=(3,)), 0)
    >>> session.metadata.cre_line, session.dff.shape[0] == len(truth.neurons)
    ('Sst-IRES-Cre', True)
    """
    entry = recording(world, number)

    # Streams of their own, so that a change to one (more neurons, say) leaves the others as they are.
    def stream(part: str) -> np.random.Generator:
        return np.random.default_rng(random_stream(world.seed, f"{entry.metadata.session_id}:{part}"))

    timeline = session_timeline(
        world, entry.metadata.session_type, stream("stimulus"), dropped_frames_per_hour=world.dropped_frames_per_hour
    )
    shown = (templates or Templates(world)).of(timeline.tables)
    neurons = mark_copies(_cells_found(world, entry, stream("population")), world, stream("copies"))
    latents = draw_latents(timeline.n_frames, timeline.rate_hz, world.artefacts_per_hour, stream("latents"))
    drive = visual_drive(neurons, timeline, shown)
    activity = simulate_activity(neurons, drive, latents, timeline.rate_hz, stream("activity"))
    behaviour = stream("behaviour")
    eye_tracked = bool(behaviour.random() < world.eye_tracking_share)
    session = SimulatedSession(
        metadata=entry.metadata,
        specimen_name=entry.specimen_name,
        timeline=timeline,
        dff=activity.dff,
        fluorescence=draw_fluorescence(neurons, activity.dff, latents, world.neuropil_scale, stream("fluorescence")),
        rois=Rois(
            cell_specimen_id=entry.cell_specimen_ids(neurons["cell"].to_numpy()),
            roi_id=entry.roi_ids(len(neurons)),
            pixels=mask_pixels(neurons),
            exclusion_label=tuple(neurons["exclusion_label"]),
        ),
        behaviour=draw_behaviour(latents, timeline.time_s, eye_tracked, behaviour),
        templates=shown,
        start_time=_start_time(entry),
    )
    return session, _truth(world, entry, session, neurons, drive, activity.events)


def _cells_found(world: World, entry: Recording, rng: np.random.Generator) -> pd.DataFrame:
    """Cells of the recording's container that it finds, with their anatomy."""
    cells, mean = _container_cells(world, entry.container, entry.line)
    alone = len(world.session_types) == 1
    count = mean if alone else min(len(cells), max(1, int(rng.binomial(len(cells), world.cell_overlap))))
    return found_again(cells, rng, count)


@lru_cache(maxsize=4)
def _container_of(world_yaml: str, container: int, line: str) -> tuple[pd.DataFrame, int]:
    world = World.from_yaml(world_yaml)
    rng = np.random.default_rng(random_stream(world.seed, f"cells:{container}"))
    mean = count_cells(line, world, rng)
    total = mean if len(world.session_types) == 1 else max(mean, round(mean / world.cell_overlap))
    cells = draw_population(line, world, rng, total)
    return pd.concat([cells, draw_anatomy(total, rng)], axis=1), mean


def _container_cells(world: World, container: int, line: str) -> tuple[pd.DataFrame, int]:
    return _container_of(world.to_yaml(), container, line)


def _truth(
    world: World,
    entry: Recording,
    session: SimulatedSession,
    neurons: pd.DataFrame,
    drive: Drive,
    events: pd.DataFrame,
) -> Truth:
    rate_hz, shown = session.timeline.rate_hz, world.temporal_frequencies_hz
    model = sweep_model(neurons, rate_hz, shown, world.artefacts_per_hour)
    ids = session.rois.cell_specimen_id
    source = neurons["duplicate_of"].to_numpy(np.int64)
    first = pd.DataFrame(
        {
            "session_id": entry.metadata.session_id,
            "cell_specimen_id": ids,
            "roi_id": session.rois.roi_id,
            "cre_line": entry.line,
            "x_um": neurons["x_px"] * FOV_UM / FOV_PX,
            "y_um": neurons["y_px"] * FOV_UM / FOV_PX,
        }
    )
    parameters = neurons.drop(columns=list(_TRUTH_COLUMNS_LEFT_OUT)).assign(
        duplicate_of=pd.array(np.where(source >= 0, ids[source], -1), dtype="Int64")
    )
    parameters.loc[source < 0, "duplicate_of"] = pd.NA
    parts = [first, parameters, fisher_direction_true(neurons, rate_hz, shown, world.artefacts_per_hour, model)]
    if "natural_movie_one" in drive.first_row:
        begin = drive.first_row["natural_movie_one"]
        movie = drive.rate_hz[begin : begin + world.movie_frames]
        parts.append(fisher_movie_true(neurons, movie, rate_hz, world.artefacts_per_hour))
    return Truth(
        neurons=pd.concat(parts, axis=1), events=events, noise_covariance=noise_covariance(neurons, model, shown)
    )


def _write_truth(folder: Path, session: SimulatedSession, truth: Truth, lineage: dict[str, object]) -> None:
    session_id = session.metadata.session_id
    with replacing(folder / f"{session_id}.parquet") as partial:
        truth.neurons.to_parquet(partial, index=False)
    with replacing(folder / f"{session_id}.events.parquet") as partial:
        truth.events.to_parquet(partial, index=False)
    with replacing(folder / f"{session_id}.noise_covariance.npy") as partial, partial.open("wb") as file:
        np.save(file, truth.noise_covariance, allow_pickle=False)
    # Last: a recording is whole when its lineage is there.
    with replacing(folder / f"{session_id}.json") as partial:
        partial.write_text(json.dumps(lineage, indent=1), encoding="utf-8")


def _seeded(world: World, seed: int | None) -> World:
    return world if seed is None else world.replace(seed=seed)


def _refuse_other_world(folder: Path, world: World) -> None:
    """Raise when the folder holds recordings of another world: left there, they would be read with the new ones."""
    marker = folder / "world.yaml"
    if not marker.is_file():
        return
    try:
        older = World.from_yaml(marker.read_text(encoding="utf-8"))
        same = older.replace(sessions=world.sessions) == world and older.sessions <= world.sessions
    except UsageError:
        same = False
    if not same:
        raise UsageError(
            f"{folder} holds recordings of another world or seed (its world.yaml differs), or more recordings; choose "
            "another folder, or remove that one."
        )


def _is_whole(folder: Path, session_id: str, world: World, file_format: str) -> bool:
    """Whether a recording lies there as this version would write it."""
    lineage = folder / "truth" / f"{session_id}.json"
    if not lineage.is_file() or not (folder / f"{session_id}.nwb").is_file():
        return False
    try:
        found = json.loads(lineage.read_text(encoding="utf-8"))
    except ValueError:
        return False
    wanted = {"recording_digest": _recording_digest(world), "poyodata": version, "format": file_format}
    return isinstance(found, dict) and all(found.get(name) == value for name, value in wanted.items())


def _recording_digest(world: World) -> str:
    # How many recordings there are decides nothing in any of them.
    return world.replace(sessions=1).digest()


def _start_time(entry: Recording) -> str:
    day = pd.Timestamp("2017-01-02 10:00:00") + pd.Timedelta(days=entry.container % 600 + entry.number % 7)
    return day.strftime("%a %b %d %H:%M:%S %Y")


def _lineage(world: World, session: SimulatedSession, file_format: str) -> dict[str, object]:
    return {
        "session_id": session.metadata.session_id,
        "donor_id": session.metadata.donor_id,
        "cre_line": session.metadata.cre_line,
        "rate_hz": session.timeline.rate_hz,
        "seed": world.seed,
        "world": world.name,
        "world_digest": world.digest(),
        "recording_digest": _recording_digest(world),
        "format": file_format,
        "poyodata": version,
        "fisher": "rad^-2 and s^-2; formulas and what they leave out: documentation of poyodata.simulation.truth",
    }
