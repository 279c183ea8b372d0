"""Every statistic and every column says in words all that is declared of it."""

from __future__ import annotations

import pytest

from poyodata.statistics import STATISTICS, column_metadata, describe_statistic
from poyodata.statistics.described import describe_column
from poyodata.statistics.statistic import Column

FACTS = ("range", "looks at", "missing", "interval", "parameters", "statistic")


def facts_of(text: str) -> dict[str, str]:
    """The lines after the first, by what they are about."""
    pairs = (line.strip().partition("  ") for line in text.splitlines()[1:])
    return {name: fact.strip() for name, _, fact in pairs}


# A column that is called as its statistic is described with it, by the next test.
@pytest.mark.parametrize("name", [name for name in column_metadata() if name not in STATISTICS])
def test_every_column_is_described_in_full(name):
    known = column_metadata()[name]
    statistic = STATISTICS[known["statistic"]]
    text = describe_statistic(name)
    assert text.splitlines()[0] == f"{name} [{known['unit']}]: {known['definition']}"
    facts = facts_of(text)
    assert tuple(facts) == FACTS
    assert all(facts.values())
    assert facts["missing"] == statistic.nan_policy
    assert facts["statistic"] == f"{statistic.name}, version {statistic.version}, of the group {statistic.group}"
    assert "train-role time" in facts["looks at"]


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_is_described_in_full(name):
    statistic, text = STATISTICS[name], describe_statistic(name)
    assert text.startswith(f"{name}, version {statistic.version}")
    for column, declared in statistic.columns.items():
        assert f"{column} [{declared.unit}]" in text
        assert declared.definition in text
    assert statistic.nan_policy in text
    for key, value in statistic.params.items():
        assert f"{key} = {value}" in text


def test_labels_behaviour_and_restrictions_are_said():
    assert facts_of(describe_statistic("fisher_direction"))
    assert "labels of drifting_gratings" in describe_statistic("gosi")
    assert "running" in facts_of(describe_statistic("gosi"))["looks at"]
    assert "labels" not in facts_of(describe_statistic("kurtosis"))["looks at"]
    restricted = describe_statistic("kurtosis@natural_scenes")
    assert restricted.startswith("kurtosis@natural_scenes [1]")
    assert "within epochs of natural_scenes" in facts_of(restricted)["looks at"]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "any number"),
        ({"low": 0.0}, "0 and above"),
        ({"high": 1.0}, "1 and below"),
        ({"low": -1.0, "high": 1.0}, "-1 to 1"),
    ],
    ids=["none", "low", "high", "both"],
)
def test_ranges(bounds, words):
    column = Column(dtype="float64", unit="1", definition="A number.", **bounds)
    assert facts_of(describe_column("a", column, STATISTICS["moments"]))["range"] == words
