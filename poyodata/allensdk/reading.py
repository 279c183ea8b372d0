"""Runs in AllenSDK's own environment: asks AllenSDK for all it can read from one file and writes down the answers.

Nothing of poyodata is there, so this file stands alone; it also runs on Python 3.8. Usage:
``python -I reading.py FILE.nwb FOLDER [--gratings] [--tuning]``. The folder gets one ``.npy`` file for each array or
column, and ``answers.json``, which says for each question which files answer it, what value, or what AllenSDK raised.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

WITHOUT_TEMPLATE = ("drifting_gratings", "static_gratings", "spontaneous")


class Notes:
    """The answers so far, in a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, dict[str, Any]] = {}

    def ask(self, question: str, answer: Callable[[], Any], convert: Callable[[Any], Any] | None = None) -> Any:
        """Write down what `answer` returns, a dict of arrays or a value for JSON, or what it raises."""
        try:
            given = answer() if convert is None else convert(answer())
        except Exception as error:  # whatever AllenSDK raises is its answer
            self.answers[question] = {"raised": type(error).__name__, "message": str(error)}
            return None
        if isinstance(given, dict) and all(isinstance(part, np.ndarray) for part in given.values()):
            files = {name: f"{len(self.answers)}-{index}.npy" for index, name in enumerate(given)}
            for name, file in files.items():
                # Without what h5py hangs on a dtype, which the format cannot hold.
                values = given[name].astype(np.dtype(given[name].dtype.str))
                np.save(self.folder / file, values, allow_pickle=False)
            self.answers[question] = {"parts": files}
        else:
            self.answers[question] = {"value": given}
        return given

    def close(self) -> None:
        """Write the list of answers; last, so that it is there only when all of them are."""
        import allensdk

        found = {"allensdk": allensdk.__version__, "python": sys.version.split()[0], "answers": self.answers}
        (self.folder / "answers.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Read one file."""
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet

    path, notes = arguments[0], Notes(Path(arguments[1]))
    opened: dict[str, Any] = {}

    def data_set() -> Any:
        # Opening reads the metadata and may raise: then that is the answer to every question.
        if not opened:
            opened["it"] = BrainObservatoryNwbDataSet(path)
        return opened["it"]

    ask_everything(notes, data_set)
    if "--gratings" in arguments[2:]:
        ask_gratings(notes, data_set)
    if "--tuning" in arguments[2:]:
        ask_tuning(notes, data_set)
    notes.close()


def ask_everything(notes: Notes, data_set: Callable[[], Any]) -> None:
    """Ask for all that a user of AllenSDK can ask a recording for."""

    def call(method: str, *arguments: Any, **options: Any) -> Any:
        return getattr(data_set(), method)(*arguments, **options)

    def call_pair(first: str, second: str, method: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        both = call(method, *arguments, **options)
        return {first: np.asarray(both[0]), second: np.asarray(both[1])}

    for name in ("dff", "fluorescence", "neuropil", "demixed", "corrected_fluorescence"):
        notes.ask(f"get_{name}_traces", partial(call_pair, "timestamps", "traces", f"get_{name}_traces"))
    for name in ("neuropil_r", "cell_specimen_ids", "roi_ids", "roi_mask_array", "max_projection"):
        notes.ask(f"get_{name}", partial(call, f"get_{name}"), whole)
    notes.ask("get_metadata", partial(call, "get_metadata"), plain)
    notes.ask("get_session_type", partial(call, "get_session_type"))
    notes.ask("get_running_speed", partial(call_pair, "values", "timestamps", "get_running_speed"))
    for spherical in (True, False):
        located = partial(call_pair, "timestamps", "values", "get_pupil_location", as_spherical=spherical)
        notes.ask(f"get_pupil_location(as_spherical={spherical})", located)
    notes.ask("get_pupil_size", partial(call_pair, "timestamps", "values", "get_pupil_size"))
    notes.ask("get_motion_correction", partial(call, "get_motion_correction"), columns)
    notes.ask("get_stimulus_epoch_table", partial(call, "get_stimulus_epoch_table"), columns)
    stimuli = notes.ask("list_stimuli", partial(call, "list_stimuli"), list) or []
    for name in [*stimuli, "master"]:
        notes.ask(f"get_stimulus_table({name})", partial(call, "get_stimulus_table", name), columns)
    for name in [name for name in stimuli if name not in WITHOUT_TEMPLATE]:
        notes.ask(f"get_stimulus_template({name})", partial(call, "get_stimulus_template", name), whole)
    for name in [name for name in stimuli if name.startswith("locally_sparse_noise")]:
        noise = partial(call_pair, "values", "on_screen", "get_locally_sparse_noise_stimulus_template")
        notes.ask(f"get_locally_sparse_noise_stimulus_template({name})", partial(noise, name, mask_off_screen=False))


def ask_gratings(notes: Notes, data_set: Callable[[], Any]) -> None:
    """Ask for AllenSDK's own analysis of drifting gratings."""
    from allensdk.brain_observatory.drifting_gratings import DriftingGratings

    made: dict[str, Any] = {}

    def gratings() -> Any:
        if not made:
            made["it"] = DriftingGratings(data_set())
        return made["it"]

    def of_gratings(name: str) -> Any:
        return getattr(gratings(), name)

    def lengths() -> dict[str, int]:
        return {name: int(getattr(gratings(), name)) for name in ("sweeplength", "interlength", "extralength")}

    notes.ask("DriftingGratings", lengths)
    for name in ("orivals", "tfvals", "response"):
        notes.ask(f"DriftingGratings.{name}", partial(of_gratings, name), whole)
    for name in ("stim_table", "mean_sweep_response"):
        notes.ask(f"DriftingGratings.{name}", partial(of_gratings, name), columns)
    notes.ask("DriftingGratings.get_peak", lambda: gratings().get_peak(), columns)


def ask_tuning(notes: Notes, data_set: Callable[[], Any]) -> None:
    """Ask for AllenSDK's analysis of every stimulus that it tunes cells to; it raises where one was not shown."""
    from allensdk.brain_observatory import drifting_gratings, natural_movie, natural_scenes, static_gratings

    def analysed(kind: Callable[..., Any], *arguments: Any) -> Callable[[str], Any]:
        made: dict[str, Any] = {}

        def part(name: str) -> Any:
            if not made:
                made["it"] = kind(data_set(), *arguments)
            found = getattr(made["it"], name)
            return found() if callable(found) else found

        return part

    analyses = {
        "DriftingGratings": analysed(drifting_gratings.DriftingGratings),
        "StaticGratings": analysed(static_gratings.StaticGratings),
        "NaturalScenes": analysed(natural_scenes.NaturalScenes),
    }
    for name, part in analyses.items():
        notes.ask(f"tuning {name}.sweeplength", partial(part, "sweeplength"), int)
        notes.ask(f"tuning {name}.response", partial(part, "response"), whole)
        notes.ask(f"tuning {name}.get_peak", partial(part, "get_peak"), columns)
    for movie in ("natural_movie_one", "natural_movie_two", "natural_movie_three"):
        part = analysed(natural_movie.NaturalMovie, movie)
        notes.ask(f"tuning NaturalMovie({movie}).sweeplength", partial(part, "sweeplength"), int)
        notes.ask(f"tuning NaturalMovie({movie}).get_peak", partial(part, "get_peak"), columns)


def whole(array: Any) -> dict[str, Any]:
    """One array that is all of the answer."""
    return {"values": np.asarray(array)}


def columns(table: Any) -> dict[str, Any]:
    """Columns of a table as arrays, in its row order; texts as fixed-width texts, so that nothing needs pickle."""
    arrays = {str(name): table[name].to_numpy() for name in table.columns}
    for name, values in arrays.items():
        if values.dtype == object:
            texts = any(isinstance(value, str) for value in values)
            arrays[name] = values.astype(str) if texts else values.astype(float)
    return arrays


def plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata as JSON has them: dates in ISO form, numpy's numbers as Python's."""

    def value_of(value: Any) -> Any:
        if hasattr(value, "isoformat"):
            return value.isoformat()
        if isinstance(value, (np.generic, np.ndarray)):
            value = value.tolist()
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    return {name: value_of(value) for name, value in metadata.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
