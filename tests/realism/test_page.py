"""The realism page: whole without real data, and with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from poyodata.cli import app
from poyodata.errors import UsageError
from poyodata.realism import figures, measure, simulate_gratings
from poyodata.realism.comparison import lines_table, measure_lines
from poyodata.realism.page import write_realism
from poyodata.realism.reference import REAL
from poyodata.simulation import load_world, simulate


@pytest.mark.slow
def test_without_real_data_it_says_so(tmp_path: Path) -> None:
    result = write_realism(tmp_path / "page.html", world="tiny", lines=False)
    text = result.page.read_text()
    assert "The real traces are not at hand" in text
    assert "The answer" not in text
    row = result.table.set_index("measure").loc["excess kurtosis"]
    assert row["real"] == "8.92 / 28.6 / 71.6"
    assert len(result.table) == len(REAL) + 1
    # Self-contained: nothing is fetched.
    assert not re.findall(r'(?:src|href)="http', text)
    assert text.count("<svg") == 5


@pytest.mark.slow
def test_beside_another_recording(tmp_path: Path) -> None:
    """The simulated recording's own file stands in for the real one: no measure differs."""
    world = load_world("tiny").replace(name="no-movie", sessions=1, movie_repeats=0)
    (file,) = simulate(tmp_path / "raw", world)
    result = write_realism(tmp_path / "page.html", data=file, world=str(tmp_path / "raw" / "world.yaml"), lines=False)
    table = result.table.set_index("measure")
    assert (table["real"] == table["simulated"]).all()
    assert table.loc["skewness", "difference"] == "+0 / +0 / +0 %"
    text = result.page.read_text()
    assert re.search(r"Side [AB] is simulated", text)
    assert "not at hand" not in text


def test_one_recording_is_compared(tiny_raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 3 recordings"):
        write_realism(tmp_path / "page.html", data=tiny_raw, world="tiny", lines=False)
    assert not (tmp_path / "page.html").exists()


def test_the_command(tmp_path: Path) -> None:
    arguments = ["realism", "--world", "tiny", "--no-lines", "--json", "--out", str(tmp_path / "page.html")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert {row["measure"] for row in json.loads(done.stdout)["measures"]} >= {"skewness", "noise of a frame"}
    assert (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_sides_are_in_no_fixed_order() -> None:
    pairs = [[simulate_gratings("tiny", neurons=2, seed=seed + at) for at in (0, 50)] for seed in range(8)]
    orders = {tuple(figures.guess_order(pair)) for pair in pairs}
    assert orders == {(0, 1), (1, 0)}
    assert figures.guess_order(pairs[0]) == figures.guess_order(pairs[0])


@pytest.mark.slow
def test_lines_are_tabled_and_drawn() -> None:
    neurons = measure_lines(2, 4, ["Sst-IRES-Cre", "Pvalb-IRES-Cre"])
    assert neurons["cre_line"].value_counts().to_dict() == {"Sst-IRES-Cre": 8, "Pvalb-IRES-Cre": 8}
    assert not neurons["skewness"].duplicated().any()
    table = lines_table(neurons)
    assert table["neurons"].tolist() == [8, 8]
    by_line = table.set_index("line")["responsive, Allen"]
    assert np.isnan(by_line["Pvalb-IRES-Cre"])
    assert by_line["Sst-IRES-Cre"] == 0.855
    for drawing in (figures.responsive(table), figures.moments_by_line(table)):
        assert drawing.startswith("<svg")
        assert "Sst-IRES-Cre" in drawing


@pytest.mark.slow
def test_drawings_are_the_same_twice() -> None:
    found = measure(simulate_gratings("tiny", neurons=8))
    for draw in (figures.plane, figures.quantiles, figures.time_course):
        assert draw(found, None) == draw(found, None)
        assert draw(found, found).startswith("<svg")
