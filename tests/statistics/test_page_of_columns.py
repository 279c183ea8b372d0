"""docs/statistics-columns.md says what the statistics declare, and docs/statistics.md names every group."""

from __future__ import annotations

import re

from poyodata.statistics import BUILT_IN, STATISTICS, column_metadata
from tests.statistics_page import PAGE, page


def test_page_is_what_the_registry_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.statistics_page"


def test_page_holds_every_column_with_its_unit_and_definition() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .*? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    own = {name for statistic in BUILT_IN for name in STATISTICS[statistic].columns}
    assert {name for name, _, _ in rows} == own
    known = column_metadata(own)
    for name, unit, definition in rows:
        assert (unit, definition.replace("\\|", "|")) == (known[name]["unit"], known[name]["definition"])


def test_overview_names_every_group_and_statistic() -> None:
    text = (PAGE.parent / "statistics.md").read_text(encoding="utf-8")
    for name in BUILT_IN:
        assert f"`{re.sub('_two$|_three$', '_one', name)}`" in text, name
