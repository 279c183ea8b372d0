"""`store.compute_statistics`: the same numbers as the function, with a bar where nobody counts."""

from __future__ import annotations

import inspect

import pandas as pd
import pytest

from poyodata.errors import StatisticError, UsageError
from poyodata.statistics import compute_statistics
from poyodata.store import Store


def test_it_is_the_function_by_another_name(tiny_store):
    found = tiny_store.compute_statistics(["moments"], split="blocks-5fold", intervals=0.9)
    expected = compute_statistics(tiny_store, ["moments"], split="blocks-5fold", intervals=0.9)
    pd.testing.assert_frame_equal(found, expected)
    assert found.attrs["digest"] == expected.attrs["digest"]
    assert found.attrs["columns"]["kurtosis"]["unit"] == "1"


def test_names_and_defaults_are_those_of_the_function():
    own = list(inspect.signature(Store.compute_statistics).parameters.values())[1:]
    theirs = list(inspect.signature(compute_statistics).parameters.values())[1:]
    assert [(one.name, one.default, one.kind) for one in own] == [(one.name, one.default, one.kind) for one in theirs]


def test_a_dataframe_to_group(tiny_store):
    table = tiny_store.compute_statistics("moments", window="all", sessions=["900000001"])
    assert len(table) == 12
    assert table.attrs["lineage"]["window"] == "all"


def test_progress_takes_the_place_of_the_bar(tiny_store, capsys):
    steps = []
    tiny_store.compute_statistics("moments", window="all", progress=steps.append)
    assert sum(steps) == 3
    assert "computing" not in capsys.readouterr().err
    tiny_store.compute_statistics("moments", window="all")
    assert "computing statistics" in capsys.readouterr().err


def test_errors_are_those_of_the_function(tiny_store):
    with pytest.raises(StatisticError, match="did you mean 'moments'"):
        tiny_store.compute_statistics("moment")
    with pytest.raises(UsageError, match="no recording '1'"):
        tiny_store.compute_statistics("moments", sessions=["1"])
    with pytest.raises(StatisticError, match="did you mean 'train'"):
        tiny_store.compute_statistics("moments", window="trains")
