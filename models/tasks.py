"""Tasks: what a model is asked about a window, where a batch has the answer, and how much it weighs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from poyodata.errors import ModelError, nearest

Kind = Literal["class", "value", "image"]
At = Literal["window", "frames"]


@dataclass(frozen=True, slots=True)
class Task:
    """One question, asked of every window.

    A batch may lack answers. A class below 0 (a blank sweep, or grey) and a value that is NaN do not count; a task
    whose columns the batch does not have is left out for that batch.

    Attributes
    ----------
    name : str
        Of the output. Where a loader has a target of this name, the batch has its column.
    kind : {"class", "value", "image"}
        One of several classes; one or more numbers; a picture.
    n_outputs : int
        Classes, or numbers. Of an image, the latent width that its decoder is handed; 0 for the model's own.
    columns : tuple of str
        Columns of the batch with the answer; of a value with several, one number each, stacked last.
    weight : float
        Of the task's loss in the sum over tasks. Those of `TASKS` are those of POYO+ (Table A2 there).
    mean, std : tuple of float
        What values are normalised by before they are compared: one of each for every number; empty for not at all.
        Stages of training fit those that are empty (`poyodata.models.training.scales`).
    at : {"window", "frames"}
        Whether there is one answer for the window, at its middle, or one for each frame.

    Examples
    --------
    >>> TASKS["running"].weight, TASKS["temporal_frequency"].n_outputs
    (1.5, 5)
    """

    name: str
    kind: Kind
    n_outputs: int
    columns: tuple[str, ...]
    weight: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    at: At = "window"

    def __post_init__(self) -> None:
        if self.kind not in ("class", "value", "image") or self.at not in ("window", "frames"):
            raise ModelError(f"task {self.name!r} is of kind {self.kind!r} at {self.at!r}; see the docstring of Task")
        least = {"class": 2, "value": 1, "image": 0}[self.kind]
        if self.n_outputs < least:
            raise ModelError(f"task {self.name!r} has {self.n_outputs} outputs; a {self.kind} needs {least} or more")
        if not self.columns or (self.kind != "value" and len(self.columns) != 1):
            raise ModelError(f"task {self.name!r} has columns {self.columns}; a {self.kind} is in exactly one")
        if self.kind == "value" and len(self.columns) not in (1, self.n_outputs):
            raise ModelError(f"task {self.name!r} has {len(self.columns)} columns for {self.n_outputs} numbers")
        if not 0 <= self.weight < math.inf:
            raise ModelError(f"task {self.name!r} weighs {self.weight}; a weight is 0 or more, and finite")
        if {len(self.mean), len(self.std)} - {0, self.n_outputs} or len(self.mean) != len(self.std):
            raise ModelError(
                f"task {self.name!r} has {len(self.mean)} means and {len(self.std)} standard deviations; "
                f"give {self.n_outputs} of each, or none"
            )
        if any(not 0 < std < math.inf for std in self.std) or not all(map(math.isfinite, self.mean)):
            raise ModelError(
                f"task {self.name!r} has means {self.mean} and standard deviations {self.std}; all must be finite, and "
                "the latter above 0"
            )


def _registry() -> Iterator[Task]:
    # Static gratings: 6 orientations, 5 spatial frequencies, 4 phases, and their 120 combinations.
    for name, classes, weight in (
        ("direction", 8, 1.0),
        ("temporal_frequency", 5, 1.0),
        ("static_grating", 120, 1.0),
        ("orientation", 6, 1.0),
        ("spatial_frequency", 5, 1.0),
        ("phase", 4, 1.0),
        ("movie_frame", 900, 0.25),
    ):
        yield Task(name, "class", classes, (name,), weight)
    yield Task("scene", "class", 118, ("image",), 0.3)
    yield Task("running", "value", 1, ("running",), 1.5, (6.80354332,), (13.87822103,))
    # The weight of POYO+ is that of where the eye looks; of the pupil's area it gives neither weight nor scale.
    yield Task("pupil", "value", 1, ("pupil",), 8.0)
    yield Task(
        "gaze",
        "value",
        2,
        ("pupil_azimuth_deg", "pupil_altitude_deg"),
        8.0,
        (11.02599208, 16.91118513),
        (15.94543917, 6.83344030),
    )
    yield Task("movie_pixels", "image", 0, ("movie",))


TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _registry()})
"""Known tasks by name. Columns are named as the loaders' targets are: ``scene`` is in that of the target ``image``,
``movie_pixels`` in that of ``movie``, ``gaze`` in two of the target ``signal`` under the names of the signals."""


def make_tasks(names: Sequence[str], **changes: Any) -> tuple[Task, ...]:
    """Tasks by name, with what differs from `TASKS`.

    Parameters
    ----------
    names : sequence of str
        Names of `TASKS`.
    **changes
        Fields of :class:`Task`: one value for all, or a mapping from the name of a task to its value; those that it
        does not name keep theirs.

    Raises
    ------
    ModelError
        For an unknown name or field, a name given twice, no name at all, or a change of a task that is not among them.

    Examples
    --------
    >>> direction, running = make_tasks(("direction", "running"), weight={"running": 0.5}, n_outputs={"direction": 4})
    >>> direction.n_outputs, direction.weight, running.weight
    (4, 1.0, 0.5)
    """
    if isinstance(names, str) or not names:
        raise ModelError(f"tasks={names!r}: give a sequence of one or more of {', '.join(TASKS)}")
    made: list[Task] = []
    for name in names:
        if name not in TASKS:
            raise ModelError(f"there is no task {name!r}; {nearest(name, TASKS)}")
        if name in names[: len(made)]:
            raise ModelError(f"task {name!r} arrived twice; name every task once")
        made.append(TASKS[name])
    known = {field.name for field in fields(Task)} - {"name", "kind"}
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for field, change in changes.items():
        if field not in known:
            raise ModelError(f"a task has no {field!r} to change; {nearest(field, known)}")
        values = change if isinstance(change, Mapping) else dict.fromkeys(names, change)
        for name, value in values.items():
            if name not in names:
                raise ModelError(
                    f"{field} of task {name!r} was given, but the tasks are {', '.join(names)}; {nearest(name, names)}"
                )
            own[name][field] = value
    # All at once: a mean without its standard deviation is refused.
    return tuple(replace(task, **own[task.name]) for task in made)
