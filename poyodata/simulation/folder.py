"""From a world to a folder of recordings, with the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from poyodata._version import version
from poyodata.errors import UsageError, nearest
from poyodata.replacing import replacing
from poyodata.simulation.allen_writer import TEMPLATES_FILE, write_allen_nwb
from poyodata.simulation.census import recording, session_ids
from poyodata.simulation.nwb2_writer import write_nwb2
from poyodata.simulation.recording import SimulatedSession
from poyodata.simulation.sessions import Truth, simulate_session
from poyodata.simulation.size import refuse_too_large
from poyodata.simulation.templates import Templates
from poyodata.simulation.world import World
from poyodata.simulation.worlds import load_world

Progress = Callable[[int, int, str], None]
FORMATS = ("allen-nwb", "nwb2")
_TRUTH = ("parquet", "events.parquet", "noise_covariance.npy")


def simulate(
    out_folder: str | Path,
    world: str | Path | World = "demo",
    seed: int | None = None,
    progress: Progress | None = None,
    file_format: Literal["allen-nwb", "nwb2"] = "allen-nwb",
) -> list[Path]:
    """Simulate every recording of a world into NWB files, one a recording.

    A recording depends on the seed and on its own running number alone: adding recordings leaves the others as they
    were, bit for bit (the truth to the rounding of linear algebra, which depends on the number of threads). Beside the
    files lie ``world.yaml`` (with the seed used) and the folder ``truth`` with four files of each:
    ``<session_id>.parquet`` (parameters and true Fisher information of every neuron), ``<session_id>.events.parquet``
    (every calcium event), ``<session_id>.noise_covariance.npy`` and ``<session_id>.json``; see `Truth`.

    Parameters
    ----------
    out_folder : str or Path
        Made when it is not there. Recordings of the same world and seed that lie there whole are kept, so that a
        simulation cut short goes on where it stopped, and one of fewer recordings grows; a folder of another world,
        seed or format, or of other recordings, is refused.
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
    _refuse_other_content(folder, chosen, file_format)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        with replacing(folder / "world.yaml") as partial:
            partial.write_text(chosen.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
    lineage = _lineage(chosen, file_format)
    done = {session_id for session_id in session_ids(chosen) if _is_whole(folder, session_id, chosen, lineage)}
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
        size = path.stat().st_size
        _write_truth(folder / "truth", session, truth, {**_of_session(session), **lineage, "bytes": size})
    if progress is not None:
        progress(chosen.sessions, chosen.sessions, "done")
    return paths


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


def _refuse_other_content(folder: Path, world: World, file_format: str) -> None:
    """Raise when the folder holds other recordings: left there, they would be read with the new ones."""
    marker = folder / "world.yaml"
    if not marker.is_file():
        if folder.is_dir() and any(folder.glob("*.nwb")):
            raise UsageError(f"{folder} holds NWB files that are no simulation of ours; choose another folder.")
        return
    try:
        older = World.from_yaml(marker.read_text(encoding="utf-8"))
        same = older.replace(sessions=world.sessions) == world and older.sessions <= world.sessions
    except (UsageError, UnicodeDecodeError):
        same = False
    if not same:
        raise UsageError(
            f"{folder} holds recordings of another world or seed (its world.yaml differs), or more recordings; choose "
            "another folder, or remove that one."
        )
    formats = {found["format"] for found in map(_read_lineage, (folder / "truth").glob("*.json")) if "format" in found}
    if formats - {file_format}:
        raise UsageError(
            f"{folder} holds recordings in the format {min(formats - {file_format})}, not {file_format}; choose "
            "another folder, or remove that one."
        )


def _is_whole(folder: Path, session_id: str, world: World, lineage: dict[str, object]) -> bool:
    """Whether a recording and its truth lie there as this version would write them."""
    file, truth = folder / f"{session_id}.nwb", folder / "truth"
    if not file.is_file() or not all((truth / f"{session_id}.{part}").is_file() for part in _TRUTH):
        return False
    if world.templates == "linked" and lineage["format"] == "allen-nwb" and not (folder / TEMPLATES_FILE).is_file():
        return False
    wanted = {name: lineage[name] for name in ("recording_digest", "poyodata", "format")}
    return {**wanted, "bytes": file.stat().st_size}.items() <= _read_lineage(truth / f"{session_id}.json").items()


def _read_lineage(path: Path) -> dict[str, str | int]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str | int)} if isinstance(found, dict) else {}


def _lineage(world: World, file_format: str) -> dict[str, object]:
    """What all recordings of a folder come from."""
    return {
        "seed": world.seed,
        "world": world.name,
        "world_digest": world.digest(),
        # How many recordings there are decides nothing in any of them.
        "recording_digest": world.replace(sessions=1).digest(),
        "format": file_format,
        "poyodata": version,
        "fisher": "rad^-2 and s^-2; formulas and what they leave out: documentation of poyodata.simulation.truth",
    }


def _of_session(session: SimulatedSession) -> dict[str, object]:
    """What only this recording has."""
    return {
        "session_id": session.metadata.session_id,
        "donor_id": session.metadata.donor_id,
        "cre_line": session.metadata.cre_line,
        "rate_hz": session.timeline.rate_hz,
    }
