"""`Target`: what a batch holds beside the traces, declared before anything is read, and the registry of its kinds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, UsageError, nearest

if TYPE_CHECKING:
    from poyodata.curation.view import View

IntArray = npt.NDArray[np.int64]


class TargetColumn(NamedTuple):
    """One array that a target adds to a batch.

    Attributes
    ----------
    dtype : str
    shape : str
        In words: ``"(batch,)"``, ``"(batch, time)"``.
    unit : str
        ``"class"``, ``"id"``, ``"bool"`` or a unit.
    """

    dtype: str
    shape: str
    unit: str


class Windows(Protocol):
    """What targets ask of `poyodata.loaders.windows.index.WindowIndex`."""

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Recordings, by ``session_index``."""

    @property
    def session_index(self) -> IntArray:
        """Shape (row,)."""

    @property
    def first(self) -> IntArray:
        """Start frame of the first window of each row."""

    @property
    def count(self) -> IntArray:
        """Windows of each row."""

    @property
    def length(self) -> IntArray:
        """Frames of each window of a row."""

    @property
    def source(self) -> IntArray:
        """Row of ``Manifest.windows`` that each row came from; -1 where it came from several."""

    @property
    def hop_frames(self) -> int:
        """Frames from the start of a window to that of the next one of its row."""

    @property
    def slack(self) -> IntArray:
        """How many frames each row may be shifted as a whole."""


class Places(Protocol):
    """Windows of a batch: `poyodata.loaders.windows.index.Located`."""

    @property
    def row(self) -> IntArray:
        """Row of the index, shape (batch,)."""

    @property
    def session_index(self) -> IntArray:
        """Shape (batch,)."""

    @property
    def start(self) -> IntArray:
        """First frame of each window, shape (batch,)."""

    @property
    def length(self) -> IntArray:
        """Frames of each window, shape (batch,)."""


@runtime_checkable
class Target(Protocol):
    """What a batch holds beside the traces. `make_target` makes one; a class of your own may be one too.

    A loader calls `check` once, before it reads anything, and then `of` for every batch. Both are pure functions of
    the store, the index and the windows.

    Attributes
    ----------
    name : str
        Also that of its first column.
    """

    name: str

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        """Arrays that it adds to a batch, by name."""

    def check(self, view: View, index: Windows) -> None:
        """Take the index whose windows `of` will be asked for; raise when it can never be had for them.

        Raises
        ------
        LoaderError
            With counts, and with what to do.
        """

    def of(self, located: Places) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the windows of a batch, in the order of `located`; the leading dimension is the batch."""


Builder = Callable[..., Target]
_registered: dict[str, Builder] = {}


def register_target(name: str, build: Builder) -> None:
    """Make a target known by name: ``build(view, **options)`` gives it.

    Raises
    ------
    UsageError
        When the name is taken.
    """
    if name in known_targets():
        raise UsageError(f"a target {name!r} is known already; give yours another name.")
    _registered[name] = build


def unregister_target(name: str) -> None:
    """Forget a target that `register_target` made known."""
    _registered.pop(name, None)


def known_targets() -> Mapping[str, Builder]:
    """Targets by name."""
    from poyodata.loaders.targets.behaviour import BEHAVIOUR
    from poyodata.loaders.targets.labels import LABELS, label_target
    from poyodata.loaders.targets.movie import movie_target

    labels: dict[str, Builder] = {name: partial(label_target, name) for name in LABELS}
    return {**labels, "movie": movie_target, **BEHAVIOUR, **_registered}


def defaults_of(name: str) -> dict[str, Any]:
    """Give the options of a kind of target that have a default, and what that is; none for an unknown kind.

    Examples
    --------
    >>> defaults_of("direction")["at"]
    'trial'
    """
    build = known_targets().get(name)
    parameters = inspect.signature(build).parameters.values() if build is not None else ()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def make_target(name: str, view: View, /, **options: Any) -> Target:
    """Make a target by name.

    Parameters
    ----------
    name : str
        ``direction``, ``temporal_frequency``, ``spatial_frequency``, ``orientation``, ``phase``, ``static_grating``,
        ``image``, ``movie_frame`` (`poyodata.loaders.targets.labels.label_target`), ``movie``
        (`poyodata.loaders.targets.movie.movie_target`), ``running``, ``pupil``
        (`poyodata.loaders.targets.behaviour.BehaviourTarget`), or one of your own (`register_target`).
    view : View
    **options
        Of that kind.

    Returns
    -------
    Target

    Raises
    ------
    UsageError
        For an unknown name or option: the nearest known one is named.
    LoaderError
        When it cannot be had of this store.
    """
    targets = known_targets()
    if name not in targets:
        raise UsageError(f"unknown target {name!r}: {nearest(name, targets)}")
    build = targets[name]
    parameters = list(inspect.signature(build).parameters.values())[1:]
    allowed = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    needed = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if not set(needed) <= options.keys():
        raise UsageError(f"target {name!r} needs {' and '.join(needed)}; give every one of them.")
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for option in options:
            if option not in allowed:
                raise UsageError(f"target {name!r} has no option {option!r}: {nearest(option, allowed)}")
    return build(view, **options)


def make_targets(specification: Mapping[str, Mapping[str, Any]] | tuple[str, ...], view: View) -> tuple[Target, ...]:
    """Make targets of which no two give a column of the same name.

    Parameters
    ----------
    specification : mapping of str to mapping, or tuple of str
        Names of targets, and options by name. The option ``target`` names the kind where the name is your own.
    view : View

    Raises
    ------
    UsageError
        As `make_target`.
    LoaderError
        When two give the same column.
    """
    entries = specification if isinstance(specification, Mapping) else {name: {} for name in specification}
    made: list[Target] = []
    owner: dict[str, str] = {}
    for name, options in entries.items():
        given = dict(options)
        kind = str(given.pop("target", name))
        target = make_target(kind, view, **({"name": name} if kind != name else {}) | given)
        for column in target.columns:
            if column in owner:
                raise LoaderError(
                    f"targets {owner[column]!r} and {name!r} both give {column!r}; give one of them another `name`."
                )
            owner[column] = name
        made.append(target)
    return tuple(made)


def frame_numbers(located: Places, name: str) -> IntArray:
    """Frames of a window, counted from its start, shape (time,).

    Raises
    ------
    LoaderError
        When windows differ in length, so that their frames have no array.
    """
    length = located.length
    if len(length) and (length != length[0]).any():
        raise LoaderError(
            f"target {name!r} cannot give every frame of windows of {length.min()} to {length.max()} frames in one "
            "array; ask for one place in each window, or for windows of one length."
        )
    return np.arange(length[0] if len(length) else 0, dtype=np.int64)


def require_checked(bound: Any, name: str) -> None:
    """Raise when a target is asked for windows before `Target.check` named their index."""
    if bound is None:
        raise LoaderError(f"target {name!r} was not checked; call target.check(view, index) before target.of(...).")
