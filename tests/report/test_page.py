"""Pages: self-contained, escaped, whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.report import Page, figures


def test_everything_a_user_names_is_escaped() -> None:
    page = Page("<b>title</b>")
    page.heading("<i>")
    page.text("a < b", "lead")
    page.code("x<y")
    page.table(pd.DataFrame({"<c>": ["<d>"]}))
    page.figure("<svg></svg>", "<caption>")
    page.footer(["<small>"])
    text = page.html()
    for raw in ("<b>title", "<i>", "a < b", "x<y", "<c>", "<d>", "<caption>", "<small>"):
        assert raw not in text
    assert "<svg></svg>" in text


def test_tables_format_numbers_and_leave_gaps_empty() -> None:
    page = Page("t")
    page.table(pd.DataFrame({"word": ["a", None], "number": [1.23456, np.nan]}), {"number": ".2f"})
    text = page.html()
    assert "<td>1.23</td>" in text
    assert "<td></td>" in text
    assert "nan" not in text.lower().replace("nano", "")


def test_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    page = Page("t")
    target = page.save(tmp_path / "deep" / "page.html")
    assert target.read_text().startswith("<!doctype html>")
    page._parts.append(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        page.save(target)
    assert "t</h1>" in target.read_text()
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("drawing", "words"),
    [
        pytest.param(
            lambda: figures.composition(
                pd.DataFrame({"Sst-IRES-Cre": [3, 0], "Cux2-CreERT2": [1, 2]}, index=["a", "b"])
            ),
            ["Sst-IRES-Cre", "neurons"],
            id="composition",
        ),
        pytest.param(
            lambda: figures.loss_curves({"short": np.arange(3.0), "long": np.arange(99.0)}), ["short"], id="loss"
        ),
        pytest.param(
            lambda: figures.accuracies(
                pd.DataFrame({"decoder": ["ridge"], "accuracy": [0.5], "low": [0.4], "high": [0.6]}), 0.125
            ),
            ["ridge", "chance"],
            id="accuracies",
        ),
    ],
)
def test_figures_are_svg_and_the_same_twice(drawing: object, words: list[str]) -> None:
    assert callable(drawing)
    text = drawing()
    assert text.startswith("<svg")
    assert text == drawing()
    for word in words:
        assert word in text
    assert "http://www.w3.org" in text
    assert "<metadata" not in text
