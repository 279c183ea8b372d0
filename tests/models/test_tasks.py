"""Tasks are named as the loaders' targets are, change only where asked, and nonsense is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from poyodata.errors import ModelError
from poyodata.loaders.targets import known_targets
from poyodata.models.tasks import TASKS, Task, make_tasks


def test_a_loader_knows_every_task() -> None:
    own = {"scene": "image", "movie_pixels": "movie", "gaze": "signal"}
    targets = known_targets()
    for name, task in TASKS.items():
        assert task.name == name
        assert own.get(name, name) in targets
        if name != "gaze":
            assert task.columns == (own.get(name, name),)


def test_published_classes_and_weights() -> None:
    outputs = {name: task.n_outputs for name, task in TASKS.items()}
    assert outputs["static_grating"] == outputs["orientation"] * outputs["spatial_frequency"] * outputs["phase"]
    assert (outputs["direction"], outputs["temporal_frequency"], outputs["scene"]) == (8, 5, 118)
    assert (outputs["movie_frame"], outputs["running"]) == (900, 1)
    weights = {name: task.weight for name, task in TASKS.items()}
    assert (weights["movie_frame"], weights["scene"], weights["running"], weights["gaze"]) == (0.25, 0.3, 1.5, 8.0)
    assert (TASKS["running"].mean, TASKS["running"].std) == ((6.80354332,), (13.87822103,))


def test_changes_are_for_all_or_by_task() -> None:
    names = ("direction", "running", "movie_pixels")
    assert [task.weight for task in make_tasks(names, weight=1.0)] == [1.0, 1.0, 1.0]
    made = make_tasks(names, weight={"running": 0.5}, at={"running": "frames"})
    assert [task.weight for task in made] == [1.0, 0.5, 1.0]
    assert [task.at for task in made] == ["window", "frames", "window"]
    (pupil,) = make_tasks(("pupil",), mean={"pupil": (1700.0,)}, std={"pupil": (450.0,)})
    assert (pupil.mean, pupil.std) == ((1700.0,), (450.0,))
    assert TASKS["running"].weight == 1.5


@pytest.mark.parametrize(
    ("names", "changes", "said"),
    [
        pytest.param(("directions",), {}, "did you mean 'direction'", id="unknown"),
        pytest.param(("running", "running"), {}, "'running' arrived twice", id="twice"),
        pytest.param((), {}, "one or more", id="none"),
        pytest.param("direction", {}, "a sequence", id="text"),
        pytest.param(("running",), {"weights": 2.0}, "did you mean 'weight'", id="unknown-field"),
        pytest.param(("running",), {"weight": {"pupil": 2.0}}, "'pupil' was given", id="task-not-there"),
        pytest.param(("running",), {"weight": {"runing": 2.0}}, "did you mean 'running'", id="task-misspelt"),
        pytest.param(("running",), {"weight": -1.0}, "weighs -1.0", id="negative"),
        pytest.param(("running",), {"weight": float("inf")}, "and finite", id="endless"),
        pytest.param(("running",), {"weight": float("nan")}, "weighs nan", id="nan"),
        pytest.param(("running",), {"std": (0.0,)}, "above 0", id="no-spread"),
        pytest.param(("running",), {"mean": (float("nan"),)}, "must be finite", id="mean-nan"),
        pytest.param(("running",), {"std": ()}, "1 means and 0 standard deviations", id="mean-without-spread"),
        pytest.param(("direction",), {"n_outputs": 1}, "needs 2 or more", id="one-class"),
        pytest.param(("direction",), {"columns": ("a", "b")}, "in exactly one", id="two-columns"),
        pytest.param(("gaze",), {"columns": ("a", "b", "c")}, "3 columns for 2", id="columns"),
        pytest.param(("gaze",), {"at": "trial"}, "at 'trial'", id="at"),
    ],
)
def test_nonsense_is_refused(names: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        make_tasks(names, **changes)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="kind 'number'"):
        Task("a", "number", 1, ("a",))  # type: ignore[arg-type]
