"""The page of every column, docs/statistics-columns.md: ``python -m tests.statistics_page`` writes it anew."""

from __future__ import annotations

import math
from pathlib import Path

from poyodata.statistics import BUILT_IN, STATISTICS, Column, Statistic
from poyodata.statistics.statistic import GROUPS

PAGE = Path(__file__).parents[1] / "docs" / "statistics-columns.md"
HEAD = """# Every column of every statistic

Written by `python -m tests.statistics_page` from what the statistics declare; a test compares the two. What the groups
are for, and what the numbers may be trusted with, is in [statistics.md](statistics.md). The same in a terminal:
`poyodata stats --describe kurtosis`; in Python: `describe_statistic("kurtosis")`, `column_metadata()`.

Unit 1 stands for a plain number. Ranges have both ends included. Every column of numbers may have an interval beside it
(`kurtosis_low`, `kurtosis_high`) and may be restricted to a stimulus (`kurtosis@drifting_gratings`).
"""


def _range(column: Column) -> str:
    low, high = ("" if math.isinf(end) else f"{end:g}" for end in (column.low, column.high))
    if not low and not high:
        return "any"
    return f"{low} to {high}" if low and high else f"from {low}" if low else f"to {high}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(statistic: Statistic) -> list[str]:
    looks = "labels and traces" if statistic.uses_labels else "traces alone"
    stimulus = f" of {statistic.stimulus}" if statistic.stimulus else ""
    signals = "".join(f", {name}" for name in statistic.signals)
    how = "a method of its own" if statistic.interval is not None else "the jackknife over pieces of time"
    return [
        f"### {statistic.name}, version {statistic.version}",
        "",
        f"Looks at {looks}{stimulus}{signals}. Intervals: {how}.",
        "",
        "| column | unit | range | definition |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | {column.unit} | {_range(column)} | {_cell(column.definition)} |"
            for name, column in statistic.columns.items()
        ),
        "",
        f"Missing: {statistic.nan_policy}",
        "",
    ]


def page() -> str:
    """The page as it should be."""
    lines = [HEAD]
    own = [STATISTICS[name] for name in BUILT_IN]
    for group in GROUPS:
        members = [statistic for statistic in own if statistic.group == group]
        if members:
            lines += [f"## {group.capitalize()}", ""]
            for statistic in members:
                lines += _section(statistic)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
