import subprocess
import sys

import pytest

from poyodata.errors import StatisticError
from poyodata.statistics import STATISTICS, column_metadata, describe_statistic, select_columns


def test_columns_have_names_of_their_own():
    names = [name for statistic in STATISTICS.values() for name in statistic.columns]
    assert len(names) == len(set(names)) == len(column_metadata())
    assert not set(names) & {"neuron_id", "session_id", "column", "donor_id", "cre_line", "area", "depth_um"}


def test_an_end_of_an_interval_is_described_and_told_from_a_column():
    said = describe_statistic("kurtosis_low@drifting_gratings").splitlines()
    assert said[0] == (
        "kurtosis_low@drifting_gratings: Lower end of the confidence interval of kurtosis@drifting_gratings."
    )
    assert "EXCESS" in said[1]
    with pytest.raises(StatisticError, match=r"'kurtosis_high' is an end of the interval of 'kurtosis'.*--intervals"):
        select_columns(["kurtosis_high"])
    with pytest.raises(StatisticError, match="has a column 'kurtosi_low': did you mean"):
        column_metadata(["kurtosi_low"])


def test_names_are_texts():
    with pytest.raises(StatisticError, match="named by texts, such as 'skewness'; 3 arrived"):
        describe_statistic(3)


def test_every_column_says_unit_and_convention():
    for name, column in column_metadata().items():
        assert column["unit"], name
        assert column["definition"].endswith("."), name
    assert "EXCESS" in column_metadata()["kurtosis"]["definition"]
    assert "biased" in column_metadata()["skewness"]["definition"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["skewness", "kurtosis"], ("moments",)),
        (["n_trials", "mean"], ("moments", "fisher_direction")),
        ([], ()),
    ],
    ids=["one", "both", "none"],
)
def test_select_columns(columns, expected):
    assert select_columns(columns) == expected


@pytest.mark.parametrize("name", [*STATISTICS, *column_metadata()])
def test_everything_is_described(name):
    assert describe_statistic(name).startswith(name)


@pytest.mark.parametrize("ask", [describe_statistic, lambda name: select_columns([name])], ids=["describe", "select"])
def test_typing_errors_are_met_with_the_nearest_name(ask):
    with pytest.raises(StatisticError, match="did you mean 'skewness'"):
        ask("skewnes")


def test_statistics_need_no_torch():
    code = "import sys, poyodata.statistics; sys.exit(bool({'torch', 'matplotlib', 'dask'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
