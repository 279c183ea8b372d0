"""Tables of text: what fits, what follows in a part of its own, and how values are shown."""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd
import pytest

from poyodata.cli.output import print_table
from poyodata.cli.tables import cell_text, parts_that_fit, print_wrapped

TABLE = pd.DataFrame(
    {
        "cre_line": ["Sst-IRES-Cre", "Cux2-CreERT2"],
        "neurons": [12, 3456],
        "skewness": ["1.91 [1.69, 2.13]", "2.05 [1.59, 2.51]"],
        "mean": [0.123456, np.nan],
        "what": ["[bold]no markup[/bold]", "text"],
    }
)


@pytest.mark.parametrize(
    ("widths", "most", "keys", "parts"),
    [
        pytest.param([10, 10], 22, 1, [[0, 1]], id="fits-exactly"),
        pytest.param([10, 10, 10], 22, 1, [[0, 1], [0, 2]], id="two-parts"),
        pytest.param([5, 5, 5, 5], 19, 2, [[0, 1, 2], [0, 1, 3]], id="two-keys"),
        pytest.param([10, 500, 5], 80, 1, [[0, 1], [0, 2]], id="one-that-never-fits"),
        pytest.param([10, 10, 500], 80, 1, [[0, 1, 2]], id="wrapped-where-it-stands"),
        pytest.param([10, 50, 500], 80, 1, [[0, 1], [0, 2]], id="too-little-room-to-wrap"),
        pytest.param([10], 5, 1, [[0]], id="key-alone"),
        pytest.param([], 80, 1, [[]], id="no-columns"),
    ],
)
def test_parts(widths: list[int], most: int, keys: int, parts: list[list[int]]) -> None:
    assert parts_that_fit(widths, most, keys) == parts


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(TABLE, as_json=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("cre_line" in line for line in lines) == (1 if width >= 80 else 3)
    assert any("2.05 [1.59, 2.51]" in line for line in lines)


def test_without_a_terminal_every_column_is_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    wide = pd.DataFrame({f"column_{i}": [i] for i in range(60)})
    print_table(wide, as_json=False)
    header = capsys.readouterr().out.splitlines()[0]
    assert header.split() == list(wide.columns)


def test_a_pipe_gets_no_spaces_at_the_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pd.DataFrame({"statistic": ["a", "b"], "columns": ["x", "a much longer text"]}), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("a")] == [["a", "x"]]
    assert not [line for line in lines if line != line.rstrip()]


def test_nothing_in_a_table_is_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TABLE, as_json=False)
    print_wrapped("a [link] and [bold]more[/bold]")
    shown = capsys.readouterr().out
    assert "[bold]no markup[/bold]" in shown
    assert "a [link] and [bold]more[/bold]" in shown
    assert "\x1b" not in shown


def test_a_long_table_shows_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pd.DataFrame({"row": [f"r{i}" for i in range(100)]}), as_json=False)
    shown = capsys.readouterr().out.split()
    assert "r29" in shown
    assert "r30" not in shown
    assert "..." in shown
    assert "r70" in shown
    assert "r69" not in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.000"),
        (-0.00123456, "-0.001235"),
        (9999.9, "10000"),
        (123456.7, "123457"),
        (np.float64("nan"), "-"),
        (None, "-"),
        (pd.NA, "-"),
        (np.int64(7), "7"),
        (True, "True"),
        ("", ""),
        (["a", "b"], "['a', 'b']"),
    ],
    ids=str,
)
def test_values(value: object, text: str) -> None:
    assert cell_text(value) == text
