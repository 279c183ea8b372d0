"""Tables of statistics as files: what they mean goes with them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from poyodata.errors import UsageError
from poyodata.statistics.written import write_statistics

MEANING = {
    "unit": "1",
    "definition": "Third moment, biased.",
    "statistic": "moments",
    "version": 2,
    "range": [None, None],
}


@pytest.fixture
def table():
    made = pd.DataFrame({"neuron_id": ["a", "b"], "skewness": [1.5, np.nan], "n_frames": [3, 4]})
    made.attrs = {"digest": "9f", "lineage": {"window": "all"}, "notes": ("n",), "columns": {"skewness": MEANING}}
    return made


def test_parquet(table, tmp_path):
    path = tmp_path / "table.parquet"
    assert write_statistics(table, path) == (path,)
    pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_dtype=False)
    schema = pyarrow.parquet.read_schema(path)
    assert schema.field("skewness").metadata[b"definition"] == b"Third moment, biased."
    assert schema.field("skewness").metadata[b"version"] == b"2"
    assert schema.field("n_frames").metadata is None
    assert json.loads(schema.metadata[b"poyodata"]) == {"digest": "9f", "lineage": {"window": "all"}, "notes": ["n"]}


def test_csv(table, tmp_path):
    path = tmp_path / "table.csv"
    written = write_statistics(table, path)
    assert [one.name for one in written] == ["table.csv", "table.csv.json"]
    pd.testing.assert_frame_equal(pd.read_csv(path), table, check_dtype=False)
    facts = json.loads(written[1].read_text())
    assert facts["columns"] == {"skewness": MEANING}
    assert facts["lineage"] == {"window": "all"}


def test_files_are_replaced_whole_and_nothing_else_is_left(table, tmp_path):
    for name in ("table.csv", "table.parquet"):
        (tmp_path / name).write_text("old")
        write_statistics(table, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.csv.json", "table.parquet"]
    assert table.attrs["digest"] == "9f", "the table itself is left as it is"


@pytest.mark.parametrize("name", ["table.xlsx", "table", "nowhere/table.csv"])
def test_refused(table, tmp_path, name):
    with pytest.raises(UsageError, match=r"give a file that ends|folder that is there"):
        write_statistics(table, tmp_path / name)
    assert not list(tmp_path.iterdir())
