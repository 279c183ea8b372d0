"""Population information against neurons: a line a recording, its band, refusals in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError
from poyodata.plots import information_curve


def curve(session, sizes, value, reasons):
    value = np.array(value, float)
    return pd.DataFrame(
        {
            "session_id": session,
            "n_neurons": sizes,
            "fisher_population": value,
            "fisher_population_low": value - 1,
            "fisher_population_high": value + 2,
            "reason": reasons,
        }
    )


def crosses(ax):
    return next(line for line in ax.lines if line.get_marker() == "x").get_xdata().tolist()


FEW = "15 trials of a direction are too few for 50 neurons"
TABLE = pd.concat(
    [curve("a", [20, 10, 50], [6, 4, np.nan], ["", "", FEW]), curve("b", [10, 20], [1, -0.5], ["", ""])],
    ignore_index=True,
)


def test_a_line_for_each_recording_with_its_interval() -> None:
    ax = information_curve(TABLE)
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}
    assert lines == {"a": [[10, 4], [20, 6]], "b": [[10, 1], [20, -0.5]]}
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (3.0, 8.0)
    assert ax.get_xlabel() == "neurons"
    assert "rad" in ax.get_ylabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_refused_sizes_are_marked_and_said_in_words() -> None:
    ax = information_curve(TABLE)
    assert ax.get_title(loc="left") == f"Refused (x): {FEW}"
    assert crosses(ax) == []
    assert ax.get_xlim()[1] < 25
    near = TABLE.assign(n_neurons=TABLE["n_neurons"].replace(50, 22))
    assert crosses(information_curve(near)) == [22]


def test_all_refused() -> None:
    reasons = [f"reason {i}" for i in range(5)]
    ax = information_curve(curve("a", [1, 2, 3, 4, 5], [np.nan] * 5, reasons))
    assert ax.get_legend() is None
    assert ax.get_title(loc="left") == "Refused (x): reason 0 (and 4 more sizes refused; see the table)"
    assert crosses(ax) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param(TABLE.drop(columns="fisher_population_low"), "fisher_population_low", id="column"),
        pytest.param(TABLE[:0], "no row", id="empty"),
    ],
)
def test_wrong_tables(table, words) -> None:
    with pytest.raises(StatisticError, match=words):
        information_curve(table)
