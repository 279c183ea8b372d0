"""`poyodata stats`: what it prints, what it writes, and what it says to names that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

from poyodata.statistics import column_metadata
from poyodata.store import Store, StoreWriter
from tests.cli.conftest import Program


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_statistic_is_computed_and_few_columns_are_printed(
    program: Program, tiny_store_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "all.parquet"
    status, shown, _ = program("stats", tiny_store_path, "--out", out)
    assert status == 0
    assert "donors" in shown
    assert "Sst-IRES-Cre" in shown
    assert "kurtosis" in shown
    assert "l_kurtosis" not in shown
    assert set(column_metadata()) <= set(pd.read_parquet(out).columns)
    assert f"Written: {out}" in shown


def test_conventions_stand_under_the_table_from_the_declarations(program: Program, tiny_store_path: Path) -> None:
    _, shown, _ = program("stats", tiny_store_path, "--columns", "kurtosis,l_skewness,fisher_direction")
    known = column_metadata()
    for name in ("kurtosis", "l_skewness", "fisher_direction"):
        assert f"{name} [{known[name]['unit']}]: {known[name]['definition']}" in shown
    assert "Train-role time of the split blocks-5fold, fold 0." in shown
    assert "EXCESS" in shown
    assert "ALL TIME" not in shown


def test_all_time_is_said_loudly(program: Program, tiny_store_path: Path) -> None:
    _, shown, _ = program("stats", tiny_store_path, "--only", "moments", "--window", "all")
    assert shown.startswith("ALL TIME (window: all): test time was looked at")
    _, shown, said = program("stats", tiny_store_path, "--only", "moments", "--window", "all", "--json")
    assert len(json.loads(shown)) == 36
    assert "ALL TIME" in said
    status, _, said = program("stats", tiny_store_path, "--window", "all", "--splits", "blocks-5fold")
    assert status == 2
    assert "leave one of them out" in said


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        pytest.param("cre_line", 3, id="line"),
        pytest.param("donor", 3, id="donor"),
        pytest.param("area,depth", None, id="two"),
        pytest.param("session_type", 1, id="text"),
    ],
)
def test_groups_as_json(program: Program, tiny_store_path: Path, by: str, groups: int | None) -> None:
    status, shown, _ = program("stats", tiny_store_path, "--only", "moments", "--by", by, "--json")
    rows = json.loads(shown)
    assert status == 0
    assert groups is None or len(rows) == groups
    assert sum(row["neurons"] for row in rows) == 36
    assert {"donors", "recordings", "cells", "skewness_median", "kurtosis_mean_low", "note"} <= set(rows[0])


def test_one_donor_has_no_interval_and_the_reason_once(program: Program, tiny_store_path: Path) -> None:
    _, shown, _ = program("stats", tiny_store_path, "--only", "moments", "--by", "cre_line")
    assert shown.count("no interval") == 1
    assert "every group: 1 donor: no interval, which takes 3" in shown
    _, shown, _ = program(
        "stats", tiny_store_path, "--columns", "skewness", "--by", "session_type", "--average", "mean"
    )
    assert "Means over neurons, with 95 % intervals clustered by donor." in shown
    (row,) = [line for line in shown.splitlines() if line.startswith("three_session_A")]
    assert row.rstrip().endswith("]")


def test_intervals_of_neurons(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    status, _, _ = program(
        *("stats", tiny_store_path, "--only", "moments", "--intervals", "--level", 0.8, "--out", out)
    )
    assert status == 0
    table = pd.read_csv(out)
    assert (table["mean_low"] < table["mean_high"]).all()
    meanings = json.loads(out.with_name("m.csv.json").read_text())
    assert "80 %" in meanings["columns"]["mean_low"]["definition"]
    assert meanings["lineage"]["window"] == "train"


def test_parquet_carries_what_columns_mean(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    assert program("stats", tiny_store_path, "--only", "moments", "--out", out)[0] == 0
    schema = pyarrow.parquet.read_schema(out)
    field = schema.field("kurtosis").metadata
    assert field[b"definition"].decode() == column_metadata()["kurtosis"]["definition"]
    assert field[b"unit"] == b"1"
    facts = json.loads(schema.metadata[b"poyodata"])
    assert facts["lineage"]["split"]["name"] == "blocks-5fold"
    assert len(facts["digest"]) == 64


def test_unknown_names_are_told_and_the_rest_is_computed(program: Program, tiny_store_path: Path) -> None:
    status, shown, said = program("stats", tiny_store_path, "--only", "moments,robus")
    assert status == 2
    assert "did you mean 'robust'?" in said
    assert "skewness" in shown
    status, shown, said = program("stats", tiny_store_path, "--only", "moments,moments@drifting_grating")
    assert status == 2
    assert "did you mean 'drifting_gratings'?" in said
    assert "skewness" in shown
    status, shown, said = program("stats", tiny_store_path, "--columns", "skewness,kurtosiss")
    assert status == 2
    assert "did you mean 'kurtosis'?" in said
    assert "Sst-IRES-Cre" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--only", "moment"], "did you mean 'moments'", id="statistic"),
        pytest.param(["--columns", "skewnes"], "did you mean 'skewness'", id="column"),
        pytest.param(["--only", "moments", "--by", "cre_lin"], "did you mean 'cre_line'", id="group"),
        pytest.param(["--only", "moments", "--by", "depth_u"], "did you mean 'depth", id="depth"),
        pytest.param(["--splits", "block-5fold"], "did you mean 'blocks-5fold'", id="split"),
        pytest.param(["--knee", "skewnes"], "did you mean 'skewness'", id="knee"),
        pytest.param(["--out", "table.xlsx"], ".csv or .parquet", id="ending"),
        pytest.param(["--out", "nowhere/table.csv"], "folder that is there", id="folder"),
        pytest.param(["--only", "moments", "--level", "95"], "between 0 and 1", id="level"),
        pytest.param(["--only", "moments@static_gratings"], "no recording was shown 'static_gratings'", id="not-shown"),
        pytest.param(["--columns", "skewness@static_gratings"], "no recording was shown", id="column-not-shown"),
        pytest.param(["--only", "moments", "--fold", "7"], "has the folds 0 to 4", id="fold"),
        pytest.param(["--window", "all", "--fold", "3"], "--fold has no meaning", id="fold-of-all-time"),
        pytest.param(["--only", ","], "--only ',' names nothing", id="only-a-comma"),
        pytest.param(["--columns", ","], "--columns ',' names nothing", id="columns-a-comma"),
        pytest.param(["--by", ","], "name what to group by", id="by-a-comma"),
        pytest.param(["--knee", "preferred_direction_deg"], "is an angle, which has no mean", id="knee-angle"),
        pytest.param(["--columns", "preferred_direction_deg", "--by", "donor"], "is an angle", id="by-angle"),
        pytest.param(["--columns", "preferred_direction_deg"], "is an angle", id="angle-alone"),
        pytest.param(["--columns", "skewness_low"], "of the interval of 'skewness': add --intervals", id="bound"),
        pytest.param(["--knee", "skewness_low"], "an end of the interval of 'skewness'", id="knee-bound"),
        pytest.param(["--describe", "kurtosis_lo"], "did you mean 'kurtosis'", id="describe"),
    ],
)
def test_wrong_calls(
    program: Program, tiny_store_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(*_: object, **__: object) -> None:
        pytest.fail("a wrong call is refused before anything is computed")

    monkeypatch.setattr(Store, "compute_statistics", compute)
    status, shown, errors = program("stats", tiny_store_path, *arguments)
    assert status == 2
    assert said in errors
    assert "Traceback" not in errors
    assert not shown


def test_no_store_is_named(program: Program) -> None:
    status, _, said = program("stats")
    assert status == 2
    assert "give a store" in said


def test_the_knee(program: Program, tiny_store_path: Path) -> None:
    status, shown, _ = program("stats", tiny_store_path, "--knee", "skewness")
    assert status == 0
    assert "threshold without it" in shown
    assert "With one line left out" in words(shown)
    assert "not reproduced" in words(shown)
    assert column_metadata()["skewness"]["definition"] in shown
    _, shown, _ = program("stats", tiny_store_path, "--knee", "kurtosis", "--json")
    found = json.loads(shown)
    assert found["column"] == "kurtosis"
    assert set(found["without"]) == set(found["lines"])


def test_what_there_is(program: Program) -> None:
    status, shown, _ = program("stats", "--list")
    assert status == 0
    assert "moments" in shown
    assert "fisher_direction" in shown
    assert {row["statistic"] for row in json.loads(program("stats", "--list", "--json")[1])} >= {"moments", "robust"}
    assert program("stats", "--describe", "kurtosis")[1].startswith("kurtosis [1]: EXCESS")
    assert "kurtosis" in json.loads(program("stats", "--describe", "kurtosis", "--json")[1])
    status, _, said = program("stats", "--describe", "kurtosi")
    assert status == 2
    assert "did you mean 'kurtosis'" in said


def test_columns_of_other_statistics_are_computed_too(program: Program, tiny_store_path: Path) -> None:
    status, shown, _ = program("stats", tiny_store_path, "--only", "robust", "--columns", "skewness")
    assert status == 0
    assert "skewness [1]: Fisher-Pearson" in shown
    status, shown, _ = program("stats", tiny_store_path, "--only", "robust", "--knee", "skewness")
    assert status == 0
    assert "mean skewness" in shown


def test_an_end_of_an_interval_is_a_column_where_there_are_intervals(program: Program, tiny_store_path: Path) -> None:
    status, shown, _ = program("stats", tiny_store_path, "--columns", "skewness_low", "--intervals")
    assert status == 0
    assert "skewness_low [1]: Lower end of the 95 % confidence interval of skewness" in words(shown)
    assert program("stats", "--describe", "kurtosis_low")[1].startswith("kurtosis_low: Lower end of the confidence")
    status, _, said = program("stats", tiny_store_path, "--columns", "n_frames_low,skewness_low", "--intervals")
    assert status == 2
    assert "n_frames has no interval" in said


def test_an_angle_is_in_what_is_written_and_in_json(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "angles.csv"
    program("stats", tiny_store_path, "--columns", "preferred_direction_deg", "--out", out)
    assert "preferred_direction_deg" in pd.read_csv(out)
    status, shown, said = program("stats", tiny_store_path, "--columns", "preferred_direction_deg", "--json")
    assert status == 0
    assert "preferred_direction_deg" in json.loads(shown)[0]
    assert "not printed" not in said


def test_what_is_next_after_all_time_is_train_time(program: Program, tiny_store_path: Path) -> None:
    _, shown, _ = program("stats", tiny_store_path, "--only", "moments", "--window", "all")
    assert "diet resolve" not in shown
    assert shown.rstrip().endswith(f"poyodata stats {tiny_store_path}")
    assert "poyodata diet resolve" in program("stats", tiny_store_path, "--only", "moments")[1]


def test_an_angle_has_no_mean(program: Program, tiny_store_path: Path) -> None:
    status, shown, said = program("stats", tiny_store_path, "--columns", "preferred_direction_deg,gosi")
    assert status == 2
    assert "preferred_direction_deg has no mean" in said
    assert "gosi [1]" in shown
    assert "preferred_direction_deg" not in shown
    status, shown, _ = program("stats", tiny_store_path, "--only", "tuning_drifting_gratings")
    assert status == 0
    assert "preferred_direction_deg" not in shown


def test_an_empty_store(program: Program, tmp_path: Path) -> None:
    StoreWriter(tmp_path / "empty.zarr").close()
    status, _, said = program("stats", tmp_path / "empty.zarr", "--only", "moments")
    assert "Traceback" not in said
    assert status in (0, 1)


def test_a_restricted_column_is_printed_by_its_name(program: Program, tiny_store_path: Path) -> None:
    status, shown, _ = program("stats", tiny_store_path, "--columns", "skewness@drifting_gratings,skewness")
    assert status == 0
    assert "skewness@drifting_gratings [1]: Fisher-Pearson" in shown
    assert "Within epochs of drifting_gratings alone." in shown
