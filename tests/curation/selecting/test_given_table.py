from __future__ import annotations

import datetime
from typing import Any

import pandas as pd
import pytest

from poyodata.curation import Diet
from poyodata.errors import DietError, UsageError

TABLE = pd.DataFrame({"neuron_id": ["a", "b"], "skewness": [1.0, 2.0], "area": ["VISp", "VISl"]})
DATES = pd.Series([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)], dtype=object)
HIGH = Diet.where("skewness > 1")
VISP = Diet.where("area == 'VISp'")
LISTED = TABLE.assign(area=[["VISp"], "VISl"])

REFUSED = {
    "a mapping": (HIGH, {"neuron_id": ["a"]}, UsageError, "from a table of neurons .* not from a dict"),
    "nothing": (HIGH, None, UsageError, "not from a NoneType"),
    "a column twice": (HIGH, pd.concat([TABLE, TABLE[["skewness"]]], axis=1), DietError, "2 columns 'skewness'"),
    "ids twice": (HIGH, pd.concat([TABLE, TABLE[["neuron_id"]]], axis=1), DietError, "2 columns 'neuron_id'"),
    "lists": (HIGH, TABLE.assign(skewness=[[1.0], [2.0]]), DietError, r"skewness holds a list \(\[1.0\]\)"),
    "lists among texts": (VISP, LISTED, DietError, "area holds a list"),
    "mappings": (VISP, TABLE.assign(area=[{}, "VISp"]), DietError, "area holds a dict"),
    "tables": (VISP, TABLE.assign(area=[pd.Series([1, 2]), "VISp"]), DietError, "area holds a Series"),
    "lists as ids": (Diet.ids(["a"]), TABLE.assign(neuron_id=[["a"], "b"]), DietError, "neuron_id holds a list"),
    "dates": (HIGH, TABLE.assign(skewness=DATES), DietError, r"skewness holds date values \(2020-01-01\)"),
    "dates for texts": (VISP, TABLE.assign(area=DATES), DietError, "area holds date values"),
    "numbers among texts": (VISP, TABLE.assign(area=["VISp", 3]), DietError, r"str values \(VISp\) beside int values"),
    "truths among numbers": (HIGH, TABLE.assign(skewness=[True, 3.5]), DietError, "bool values .* beside float values"),
    "groups of dates": (Diet.everyone().balance("area"), TABLE.assign(area=DATES), DietError, "area holds date values"),
    "groups of mixed kinds": (
        Diet.everyone().sample(n=1, within="area"),
        TABLE.assign(area=["VISp", 3]),
        DietError,
        "str values .* beside int values",
    ),
    "an order of dates": (
        Diet.everyone().top(1, "area"),
        TABLE.assign(area=DATES),
        DietError,
        "area holds date values",
    ),
    "instants": (
        HIGH,
        TABLE.assign(skewness=pd.to_datetime(["2020-01-01", "2020-01-02"]).astype(object)),
        DietError,
        "skewness holds Timestamp values",
    ),
    "groups of lists": (Diet.everyone().balance("area"), LISTED, DietError, "area holds a list"),
    "pools of lists": (Diet.everyone().sample(n=1, within="area"), LISTED, DietError, "area holds a list"),
    "an order of lists": (Diet.everyone().top(1, "area"), LISTED, DietError, "area holds a list"),
}


@pytest.mark.parametrize(("diet", "table", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_selected_from(diet: Diet, table: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        diet.select(table)


def test_columns_that_no_rule_names_hold_what_they_like() -> None:
    table = pd.concat([LISTED.assign(trials=[[1], [2]]), pd.DataFrame({3: [0, 1]})], axis=1)
    assert HIGH.select(pd.concat([table, table[["trials"]]], axis=1)).kept.tolist() == [False, True]
