"""The interactive plane: what it is given, what it refuses, and that nothing of the data becomes markup."""

from __future__ import annotations

import base64
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Manifest
from poyodata.datasheet import plane_widget
from poyodata.errors import DietError, UsageError
from poyodata.splits import SPLITS, SplitSpec, default_split, resolve_split
from poyodata.store import Store


def given(page: str) -> dict[str, Any]:
    """The data that a page was given."""
    found = re.search(r"^const given = (\{.*\});$", page, re.MULTILINE)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def doubles(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f8")


TABLE = pd.DataFrame(
    {
        "neuron_id": ["a", "b", "c", "d"],
        "skewness": [0.1, 1 / 3, np.nan, 7.0],
        "kurtosis": np.array([0.0, -1.5, 3.0, 1e6], np.float32),
        "cre_line": ["</script><script>alert(1)</script>", "Sst-IRES-Cre", "", "Sst-IRES-Cre"],
    }
)


def test_values_arrive_to_the_last_bit() -> None:
    data = given(plane_widget(TABLE).page)
    assert doubles(data["x"]).tobytes() == TABLE["skewness"].to_numpy().tobytes()
    assert doubles(data["y"]).tobytes() == TABLE["kurtosis"].to_numpy(np.float64).tobytes()
    assert (data["max_x"], data["max_y"]) == (3.51, 22.62)


def test_nothing_of_the_data_becomes_markup() -> None:
    page = plane_widget(TABLE).page
    assert page.count("<script>") == page.count("</script>") == 1
    assert "</script><script>alert(1)</script>" in given(page)["names"]
    assert not re.findall(r"https?://", page)


def test_the_frame_holds_the_page_and_nothing_else() -> None:
    widget = plane_widget(TABLE)
    frames: list[dict[str, str | None]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            frames.append({"tag": tag, **dict(attrs)})

    Reader().feed(widget._repr_html_())
    (frame,) = frames
    assert frame["tag"] == "iframe"
    assert frame["srcdoc"] == widget.page
    assert frame["sandbox"] == "allow-scripts"
    assert "src" not in frame
    assert html.escape(widget.page, quote=True) in widget._repr_html_()


def test_a_store_shows_the_neurons_that_a_diet_considers(opened: Store, predictable: Manifest) -> None:
    data = given(plane_widget(opened).page)
    expected = predictable.population
    for axis, column in (("x", "skewness"), ("y", "kurtosis")):
        assert np.array_equal(np.sort(doubles(data[axis])), np.sort(expected[column]))
    assert data["names"] == sorted(expected["cre_line"].unique())
    assert data["label_y"] == "excess kurtosis"


def test_the_diet_of_a_store_names_its_split_and_says_what_it_cannot_name(opened: Store) -> None:
    assert given(plane_widget(TABLE).page)["split"] == []
    assert given(plane_widget(opened, split="blocks-5fold").page)["split"] == ["splits: blocks-5fold"]
    named = given(plane_widget(opened).page)["split"]
    assert named == [f"splits: {default_split(opened).name}"]
    (line, fold) = given(plane_widget(opened, split=resolve_split(opened, "blocks-5fold", fold=2)).page)["split"]
    assert line == "splits: blocks-5fold"
    assert fold == "# The counts are of fold 2: resolve with fold=2."
    within = SPLITS["blocks-5fold"].within.model_copy(update={"guard_s": 3.0})
    (own,) = given(plane_widget(opened, split=SplitSpec(name="blocks-5fold", within=within)).page)["split"]
    assert own.startswith("# The counts are of a split that is not among the named ones")


def test_a_narrow_range_begins_with_a_threshold_within_it() -> None:
    table = pd.DataFrame({"x": np.linspace(1000.01, 1000.02, 9), "y": np.arange(9.0)})
    assert 1000.01 < given(plane_widget(table, "x", "y").page)["max_x"] < 1000.02


def test_columns_of_a_stimulus_and_columns_of_a_store_are_named_as_in_a_clause(opened: Store) -> None:
    data = given(plane_widget(opened, "skewness@drifting_gratings", "depth_um", by="area").page)
    assert (data["name_x"], data["name_y"], data["by"]) == ("skewness@drifting_gratings", "depth_um", "area")


def test_many_groups_share_a_colour_and_many_neurons_a_small_page() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60_000, 2)), columns=["skewness", "kurtosis"])
    table["cre_line"] = [f"line-{number % 30:02d}" for number in range(len(table))]
    page = plane_widget(table).page
    data = given(page)
    assert len(data["names"]) == 15
    assert data["names"][-1] == "other"
    assert len(page) < 1_500_000


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"x": "skewnes"}, UsageError, "nearest|Did you mean|skewness", id="no such column"),
        pytest.param({"y": "cre_line"}, UsageError, "two columns of numbers", id="texts"),
        pytest.param({"max_x": float("nan")}, UsageError, "finite", id="threshold"),
        pytest.param({"x": "my column"}, DietError, "cannot be a column name", id="name"),
    ],
)
def test_what_cannot_be_a_plane_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plane_widget(TABLE.assign(**{"my column": 1.0}), **options)


def test_it_is_saved_as_a_page(tmp_path: Path) -> None:
    path = plane_widget(TABLE).save(tmp_path / "new" / "plane.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(UsageError, match="another file"):
        plane_widget(TABLE).save(tmp_path)
