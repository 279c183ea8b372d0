"""The registry of targets, and a target of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import (
    Target,
    TargetColumn,
    known_targets,
    make_target,
    make_targets,
    register_target,
    unregister_target,
)
from poyodata.loaders.windows.frames import frame_windows
from poyodata.store import Store
from tests.loaders.targets.conftest import view_of


class SecondsSinceStart:
    """When a window starts, on the recording's clock."""

    def __init__(self, view: Any, *, name: str = "seconds") -> None:
        self.name, self.view = name, view

    @property
    def columns(self) -> Mapping[str, TargetColumn]:
        return {self.name: TargetColumn("float64", "(batch,)", "s")}

    def check(self, view: Any, index: Any) -> None:
        if not len(index.count):
            raise LoaderError("no windows")

    def of(self, located: Any) -> dict[str, np.ndarray]:
        ids = self.view.session_ids
        pairs = zip(located.session_index, located.start, strict=True)
        return {self.name: np.array([self.view.store.time_s(ids[session])[start] for session, start in pairs])}


@pytest.fixture
def registered() -> Iterator[None]:
    register_target("seconds", SecondsSinceStart)
    yield
    unregister_target("seconds")


@pytest.mark.usefixtures("registered")
def test_a_target_of_ones_own_is_made_by_name(store: Store) -> None:
    view = view_of(store)
    target = make_target("seconds", view)
    assert isinstance(target, Target)
    index = frame_windows(view, "train")
    target.check(view, index)
    located = index.locate(np.arange(3))
    assert target.of(located)["seconds"][0] == store.time_s(view.session_ids[0])[located.start[0]]
    with pytest.raises(UsageError, match="known already"):
        register_target("seconds", SecondsSinceStart)
    with pytest.raises(UsageError, match="known already"):
        register_target("direction", SecondsSinceStart)


def test_every_target_is_made_by_name_and_keeps_the_interface(store: Store) -> None:
    view = view_of(store)
    options = {"movie": {"height": 4, "width": 8}}
    assert {"direction", "image", "movie", "movie_frame", "pupil", "running", "static_grating"} <= set(known_targets())
    made = make_targets({name: options.get(name, {}) for name in known_targets()}, view)
    for name, target in zip(known_targets(), made, strict=True):
        assert isinstance(target, Target)
        assert target.name == name == next(iter(target.columns))


def test_names_alone_are_enough(store: Store) -> None:
    made = make_targets(("direction", "running"), view_of(store))
    assert [target.name for target in made] == ["direction", "running"]


def test_an_option_that_is_missing_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match=r"needs height and width"):
        make_target("movie", view_of(store))
