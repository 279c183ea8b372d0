"""Comparing arrays value by value."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.allensdk.finding import Tally, compare_columns

NAN = np.nan


@pytest.mark.parametrize(
    ("theirs", "ours", "differing"),
    [
        pytest.param([1.0, NAN], [1.0, NAN], 0, id="nan equals nan"),
        pytest.param([1.0, NAN], [1.0, 0.0], 1, id="nan and a number"),
        pytest.param([0.0, 1.0], [NAN, 1.0], 1, id="a number and nan"),
        pytest.param([1.0], [np.nextafter(1.0, 2.0)], 1, id="the last bit"),
        pytest.param([3, 4], [3, 5], 1, id="integers"),
        pytest.param(["a", "b"], ["a", "c"], 1, id="texts"),
        pytest.param([0.0], [-0.0], 0, id="zero has one value"),
    ],
)
def test_values(theirs: list[object], ours: list[object], differing: int) -> None:
    tally = Tally()
    tally.add(np.array(theirs), np.array(ours))
    assert (tally.compared, tally.differing) == (len(theirs), differing)


def test_the_first_difference_of_many_pieces() -> None:
    tally = Tally()
    for start in (0, 10, 20):
        theirs = np.zeros((2, 10))
        ours = theirs.copy()
        if start:
            ours[1, 3] = start
        tally.add(theirs, ours, (0, start))
    assert (tally.differing, tally.first) == (2, "at 1, 13: 0.0 / 10.0")


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        pytest.param({"a": np.arange(3), "b": np.zeros(3)}, "the same", id="same"),
        pytest.param({"a": np.arange(3)}, "b is missing", id="missing"),
        pytest.param({"a": np.arange(3), "b": None}, "b is missing", id="none"),
        pytest.param({"a": np.arange(4), "b": np.zeros(3)}, "a has 4 int64, not 3 int64", id="length"),
        pytest.param({"a": np.arange(3), "b": np.zeros((3, 1))}, "b has 3 x 1 float64, not 3 float64", id="shape"),
        pytest.param(
            {"a": np.arange(3), "b": np.array([0.0, 0.0, 2.0])},
            "b differs in 1 of 3, AllenSDK / ours at 2: 0.0 / 2.0",
            id="value",
        ),
    ],
)
def test_columns(ours: dict[str, np.ndarray | None], said: str) -> None:
    finding = compare_columns("table", {"a": np.arange(3), "b": np.zeros(3)}, ours)
    assert finding.ours == said
    assert finding.state == ("equal" if said == "the same" else "differs")
