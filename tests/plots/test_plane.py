"""The plane: who is drawn where, thresholds, regions, words."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError
from poyodata.plots import MAX_KURTOSIS, MAX_SKEWNESS, moments_plane

TABLE = pd.DataFrame({"skewness": [0.1, 3.51, 3.6, 2.0, np.nan], "kurtosis": [-0.4, 22.62, 50.0, 30.0, 1.0]})


def counts(ax):
    return {text.get_text().split(":")[0]: int(text.get_text().split(":")[1]) for text in ax.get_legend().get_texts()}


def test_every_neuron_is_a_point_of_its_region() -> None:
    ax = moments_plane(TABLE)
    drawn = {points.get_label(): np.asarray(points.get_offsets()) for points in ax.collections}
    np.testing.assert_allclose(drawn["predictable: 2"], [[0.1, -0.4], [3.51, 22.62]])
    np.testing.assert_allclose(drawn["both high: 1"], [[3.6, 50.0]])
    np.testing.assert_allclose(drawn["neither: 1"], [[2.0, 30.0]])
    assert ax.get_legend().get_title().get_text() == "4 neurons\n1 without moments"


def test_all_points_and_thresholds_are_within_the_axes() -> None:
    ax = moments_plane(pd.DataFrame({"skewness": [-3.0, 40.0], "kurtosis": [9.0, 2000.0]}), 1.5, 6.0)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert left < -3.0
    assert right > 40.0
    assert low < -2.0
    assert high > 2000.0
    lines = {tuple(np.unique(line.get_xdata())): line for line in ax.lines}
    assert (1.5,) in lines
    assert any(set(np.asarray(line.get_ydata())) == {6.0} for line in ax.lines)


def test_thresholds_decide_regions() -> None:
    assert counts(moments_plane(TABLE)) == {"predictable": 2, "both high": 1, "neither": 1}
    assert counts(moments_plane(TABLE, 3.6, 20.0)) == {"predictable": 1, "both high": 0, "neither": 3}


def test_regions_are_named_and_axes_say_the_convention() -> None:
    ax = moments_plane(TABLE)
    words = [text.get_text().strip() for text in ax.texts]
    assert sorted(words) == sorted(["3.51", "22.62", "neither", "neither", "predictable", "both high"])
    assert (MAX_SKEWNESS, MAX_KURTOSIS) == (3.51, 22.62)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("skewness of dF/F", "excess kurtosis of dF/F")


def test_restricted_moments() -> None:
    table = TABLE.add_suffix("@drifting_gratings")
    ax = moments_plane(table, stimulus="drifting_gratings")
    assert ax.get_xlabel() == "skewness of dF/F, during drifting gratings"
    with pytest.raises(StatisticError, match="did you mean 'skewness@drifting_gratings'"):
        moments_plane(table)


def test_draws_on_given_axes_and_without_any_neuron() -> None:
    _, ax = plt.subplots()
    assert moments_plane(TABLE[:0], ax=ax) is ax
    assert counts(ax) == {"predictable": 0, "both high": 0, "neither": 0}
