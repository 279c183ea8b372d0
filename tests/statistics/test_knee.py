"""The knee over line means: on curves whose knee is known, and how it wavers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import StatisticError, UsageError
from poyodata.statistics.knee import knee_over_lines, kneedle


def test_the_published_example():
    # Satopaa et al. 2011, figure 2: y = -1 / x + 5 for ten points from 0 to 1 has its knee at x = 0.22.
    x = np.linspace(0.0, 1.0, 10)
    y = -1.0 / (x + 0.1) + 5.0
    assert x[kneedle(x, y)[0]] == pytest.approx(0.22, abs=0.01)


@pytest.mark.parametrize(
    ("y", "curve", "knee"),
    [
        pytest.param([0, 7, 8, 9, 9.5, 10], "concave", (1,), id="concave"),
        pytest.param([0, 0.5, 1, 2, 3, 10], "convex", (4,), id="convex"),
        pytest.param([0, 0.5, 1, 2, 3, 10], "concave", (), id="other-way-round"),
        pytest.param([0, 1, 2, 3, 4, 5], "concave", (), id="straight"),
        pytest.param([3, 3, 3, 3], "convex", (), id="flat"),
        pytest.param([1, 1, 1, 1, 9], "convex", (3,), id="ties-before-the-knee"),
        pytest.param([0, 9, 9, 9, 9], "concave", (1,), id="ties-after-the-knee"),
        pytest.param([0, 0, 0, 10], "convex", (2,), id="four-points"),
        pytest.param([0, 0, 10], "convex", (), id="three-points-fall-by-less-than-a-step"),
    ],
)
def test_known_curves(y, curve, knee):
    assert kneedle(range(len(y)), y, curve) == knee


def test_convex_is_concave_seen_from_its_other_end():
    rng = np.random.default_rng(0)
    for _ in range(50):
        y = np.sort(rng.gamma(0.5, size=13))
        seen_back = [12 - i for i in kneedle(range(13), np.sort(-y), "concave")]
        assert list(kneedle(range(13), y, "convex")) == seen_back


def test_scale_and_offset_change_nothing():
    y = np.sort(np.random.default_rng(1).gamma(0.5, size=13))
    assert kneedle(range(13), y, "convex") == kneedle(100 + 3 * np.arange(13), 7 * y - 40, "convex")


def test_a_demanding_sensitivity_finds_less():
    y = [0, 1, 2, 3.5, 5, 7]
    assert kneedle(range(6), y, "convex", sensitivity=0)
    assert not kneedle(range(6), y, "convex", sensitivity=5)


def test_the_most_pronounced_of_two_knees_comes_first():
    y = [0, 3, 3, 3, 3, 3, 9, 9, 9, 9, 9, 9.5, 10]
    knees = kneedle(range(13), y, "concave", sensitivity=0.5)
    assert set(knees) == {1, 6}
    assert knees[0] == 6


@pytest.mark.parametrize(
    ("x", "y", "arguments", "words"),
    [
        pytest.param([0, 1], [0, 1], {}, "3 points or more", id="two-points"),
        pytest.param([0, 1, 2], [0, 1], {}, "x and y alike", id="lengths"),
        pytest.param([0, 1, 2], [2, 1, 0], {}, "increasing", id="falling"),
        pytest.param([0, 0, 2], [0, 1, 2], {}, "increasing", id="x-twice"),
        pytest.param([0, 1, 2], [0, np.nan, 2], {}, "finite", id="nan"),
        pytest.param([0, 1, 2], [0, 1, 2], {"curve": "concav"}, "did you mean 'concave'", id="curve"),
        pytest.param([0, 1, 2], [0, 1, 2], {"sensitivity": -1}, "0 or more", id="sensitivity"),
    ],
)
def test_wrong_calls(x, y, arguments, words):
    with pytest.raises(UsageError, match=words):
        kneedle(x, y, **arguments)


def lines_of(means, donors_each=1, spread=0.0):
    """Neurons of lines a, b, c, ... whose values have these means."""
    rows = []
    for line, mean in zip("abcdefghijklm", means, strict=False):
        for d in range(donors_each):
            shift = spread * (d - (donors_each - 1) / 2)
            rows += [(f"{line}{d}{i}", line, f"{line}{d}", mean + shift + own) for i, own in enumerate((-0.1, 0.1))]
    columns = ["neuron_id", "cre_line", "donor_id", "skewness"]
    table = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0, ignore_index=True)
    return table[["neuron_id", "skewness"]], SimpleNamespace(neurons=table[columns[:3]])


MEANS = (1.0, 1.05, 1.1, 1.2, 2.2, 9.0)


def test_the_threshold_is_the_mean_of_the_line_at_the_knee():
    knee = knee_over_lines(*lines_of(MEANS[::-1]))
    assert knee.threshold == pytest.approx(2.2)
    assert knee.means == pytest.approx(sorted(MEANS))
    assert knee.lines == ("f", "e", "d", "c", "b", "a")
    assert knee.lines_below == ("f", "e", "d", "c", "b")


def test_a_line_more_or_less_moves_it():
    knee = knee_over_lines(*lines_of(MEANS))
    assert set(knee.without) == set(knee.lines)
    assert knee.without["f"] == pytest.approx(1.2), "without the line of the heaviest tails the knee falls"
    assert knee.without["e"] == pytest.approx(1.2)
    assert knee.without["a"] == pytest.approx(2.2)
    assert "With one line left out: 1.2 to 2.2" in knee.text


def test_donors_drawn_again_move_it_where_there_are_several():
    alone = knee_over_lines(*lines_of(MEANS))
    assert alone.by_donors == ()
    assert "No line has two donors" in alone.text
    several = knee_over_lines(*lines_of(MEANS, donors_each=3, spread=0.8), seed=1)
    assert len(several.by_donors) == 200
    assert len(set(several.by_donors)) > 5
    assert several.by_donors == knee_over_lines(*lines_of(MEANS, donors_each=3, spread=0.8), seed=1).by_donors
    assert several.by_donors != knee_over_lines(*lines_of(MEANS, donors_each=3, spread=0.8), seed=2).by_donors


def test_no_knee_is_said():
    knee = knee_over_lines(*lines_of((1.0, 2.0, 3.0, 4.0)))
    assert knee.threshold is None
    assert knee.lines_below == ()
    assert "no knee" in knee.text


def test_missing_values_and_unknown_lines_are_left_out():
    table, store = lines_of(MEANS)
    table.loc[store.neurons["cre_line"] == "f", "skewness"] = np.nan
    assert "f" not in knee_over_lines(table, store).lines
    store.neurons.loc[store.neurons["cre_line"] == "e", "cre_line"] = ""
    assert knee_over_lines(table, store).lines == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("means", "column", "words"),
    [
        pytest.param((1.0, 2.0), "skewness", "of 2 CRE lines", id="two-lines"),
        pytest.param(MEANS, "skewnes", "did you mean 'skewness'", id="unknown-column"),
        pytest.param(MEANS, "neuron_id", "no column of numbers 'neuron_id'", id="text"),
    ],
)
def test_what_has_no_knee(means, column, words):
    with pytest.raises(StatisticError, match=words):
        knee_over_lines(*lines_of(means), column)


def test_an_angle_has_no_knee():
    table, store = lines_of(MEANS)
    table = table.rename(columns={"skewness": "preferred_direction_deg"})
    with pytest.raises(StatisticError, match="is an angle, which has no mean, and so no knee"):
        knee_over_lines(table, store, "preferred_direction_deg")


def test_too_few_lines_are_left_without_one():
    knee = knee_over_lines(*lines_of((1.0, 1.5, 9.0)), sensitivity=0.0)
    assert knee.threshold == pytest.approx(1.5)
    assert set(knee.without.values()) == {None}
    assert "With one line left out: none in 3 of 3" in knee.text
