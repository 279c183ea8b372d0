"""Groups of windows by what was shown and by who was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.loaders.sampling import groups_by
from poyodata.loaders.windows import fixed_windows, frame_windows, trial_windows
from tests.loaders.plain_view import plain_view, window

SEGMENTS = {"a": [(0, 500)], "b": [(0, 500)], "c": [(0, 500)]}
TRIALS = [
    window("a", "train", 0, 50, trial=0, direction_deg=90.0),
    window("a", "train", 60, 110, trial=1, direction_deg=0.0),
    window("a", "train", 120, 170, trial=2, direction_deg=7.0, blank=True),
    window("b", "train", 0, 50, trial=0, direction_deg=90.0, stimulus="static_gratings"),
    window("c", "train", 0, 50, trial=1),
]
SHOWN = [
    {**row, "phase": phase, "image": image}
    for row, phase, image in zip(TRIALS, [0.5, 0.25, 0.5, 0.5, np.nan], [-1, 3, 4, 7, 3], strict=True)
]


@pytest.fixture
def view() -> View:
    return plain_view(SEGMENTS, TRIALS, presentations=SHOWN)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param("direction_deg", [1, 0, -1, 1, -1], id="blanks-have-no-direction"),
        pytest.param("stimulus", [0, 0, 0, 1, 0], id="text"),
        pytest.param("trial", [0, 1, 2, 0, 1], id="number"),
        pytest.param("blank", [0, 0, 1, 0, 0], id="bool"),
        pytest.param("phase", [1, 0, -1, 1, -1], id="a-column-that-the-manifest-lacks"),
        pytest.param("image", [-1, 0, -1, 1, 0], id="minus-one-is-none"),
        pytest.param("session_id", [0, 0, 0, 1, 2], id="recording"),
        pytest.param("cre_line", [0, 0, 0, 1, 0], id="of-recordings"),
    ],
)
def test_groups_of_trials(view: View, column: str, expected: list[int]) -> None:
    assert groups_by(view, trial_windows(view, "train", 40), column).tolist() == expected


@pytest.mark.parametrize(
    ("column", "match"),
    [
        pytest.param("directon_deg", "by 'directon_deg': did you mean 'direction_deg'", id="typo"),
        pytest.param("start_frame", "cannot be grouped by 'start_frame'", id="place"),
        pytest.param("temporal_frequency_hz", "no window has a value of 'temporal_frequency_hz'", id="no-value"),
    ],
)
def test_refusals(view: View, column: str, match: str) -> None:
    with pytest.raises(LoaderError, match=match):
        groups_by(view, trial_windows(view, "train", 40), column)


def test_rows_of_several_windows_have_a_group_where_those_agree() -> None:
    rows = [
        window("a", "train", 0, 50, trial=0, direction_deg=90.0),
        window("a", "train", 50, 110, trial=1, direction_deg=0.0),
        window("b", "train", 100, 150, stimulus="natural_movie_one", direction_deg=0.0),
    ]
    view = plain_view({"a": [(0, 500)], "b": [(0, 500)]}, rows)
    index = frame_windows(view, "train")
    assert index.source.tolist() == [-1, 2]
    assert groups_by(view, index, "stimulus").tolist() == [0, 1]
    assert groups_by(view, index, "cre_line").tolist() == [0, 1]
    with pytest.raises(LoaderError, match="frames 0 to 110 of recording 'a' show several values of 'direction_deg'"):
        groups_by(view, fixed_windows(view, "train", 30, random_phase=True), "direction_deg")
