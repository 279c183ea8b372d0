"""One simulated recording, with what is true of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.simulation.behaviour import draw_behaviour, draw_latents
from poyodata.simulation.census import Recording, recording
from poyodata.simulation.drive import Drive, visual_drive
from poyodata.simulation.population import count_cells, draw_population, found_again
from poyodata.simulation.recording import FOV_PX, FOV_UM, Rois, SimulatedSession, Timeline
from poyodata.simulation.regions import draw_anatomy, draw_fluorescence, mark_copies, mask_pixels
from poyodata.simulation.streams import random_stream
from poyodata.simulation.sweep_model import noise_covariance, sweep_model
from poyodata.simulation.templates import Templates
from poyodata.simulation.timeline import session_timeline
from poyodata.simulation.traces import simulate_activity
from poyodata.simulation.truth import fisher_direction_true, fisher_movie_true
from poyodata.simulation.world import World

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
    >>> from poyodata.simulation.worlds import load_world
    >>> session, truth = simulate_session(load_world("tiny").replace(trials_per_block=(3,)), 0)
    >>> session.metadata.cre_line, session.dff.shape[0] == len(truth.neurons)
    ('Sst-IRES-Cre', True)
    """
    entry = recording(world, number)

    # Streams of their own, so that a change to one (more neurons, say) leaves the others as they are.
    def stream(part: str) -> np.random.Generator:
        return np.random.default_rng(random_stream(world.seed, f"{entry.metadata.session_id}:{part}"))

    def laid_out(dropped_frames_per_hour: float) -> Timeline:
        kind = entry.metadata.session_type
        return session_timeline(world, kind, stream("stimulus"), dropped_frames_per_hour=dropped_frames_per_hour)

    # The neurons live through every frame; the microscope loses some of them afterwards.
    timeline = laid_out(0.0)
    seen = laid_out(world.dropped_frames_per_hour) if world.dropped_frames_per_hour else timeline
    kept = np.isin(timeline.time_s, seen.time_s)
    shown = (templates or Templates(world)).of(timeline.tables)
    neurons = _cells_found(world, entry, stream("population"))
    latents = draw_latents(timeline.n_frames, timeline.rate_hz, world.artefacts_per_hour, stream("latents"))
    drive = visual_drive(neurons, timeline, shown, world.movie_phase)
    activity = simulate_activity(neurons, drive, latents, timeline.rate_hz, stream("activity"))
    behaviour = stream("behaviour")
    eye_tracked = bool(behaviour.random() < world.eye_tracking_share)
    session = SimulatedSession(
        metadata=entry.metadata,
        specimen_name=entry.specimen_name,
        timeline=seen,
        dff=activity.dff if kept.all() else activity.dff[:, kept],
        fluorescence=draw_fluorescence(
            neurons, activity.dff, latents, world.neuropil_scale, stream("fluorescence")
        ).frames(kept),
        rois=Rois(
            cell_specimen_id=entry.cell_specimen_ids(neurons["cell"].to_numpy()),
            roi_id=entry.roi_ids(len(neurons)),
            pixels=mask_pixels(neurons),
            exclusion_label=tuple(neurons["exclusion_label"]),
        ),
        behaviour=draw_behaviour(latents, timeline.time_s, eye_tracked, behaviour).frames(kept, timeline.time_s),
        templates=shown,
        start_time=_start_time(entry),
    )
    # An event in a lost frame shows in the next one that was kept.
    frame = np.minimum((np.cumsum(kept) - kept)[activity.events["frame"]], len(seen.time_s) - 1).astype(np.int32)
    return session, _truth(world, entry, session, neurons, drive, activity.events.assign(frame=frame))


def _cells_found(world: World, entry: Recording, rng: np.random.Generator) -> pd.DataFrame:
    """Cells of the recording's container that it finds, with their anatomy."""
    cells, mean = _container_cells(world, entry.container, entry.line)
    alone = len(world.session_types) == 1
    count = mean if alone else min(len(cells), max(1, int(rng.binomial(len(cells), world.cell_overlap))))
    return found_again(cells, rng, count)


def _container_cells(world: World, container: int, line: str) -> tuple[pd.DataFrame, int]:
    """All cells of a container, and how many a recording finds on average."""
    rng = np.random.default_rng(random_stream(world.seed, f"cells:{container}"))
    mean = count_cells(line, world, rng)
    total = mean if len(world.session_types) == 1 else max(mean, round(mean / world.cell_overlap))
    cells = pd.concat([draw_population(line, world, rng, total), draw_anatomy(total, rng)], axis=1)
    # Copies belong to the container: a cell is the same one in all of its recordings.
    return mark_copies(cells, world, rng), mean


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


def _start_time(entry: Recording) -> str:
    day = pd.Timestamp("2017-01-02 10:00:00") + pd.Timedelta(days=entry.container % 600 + entry.turn)
    return day.strftime("%a %b %d %H:%M:%S %Y")
