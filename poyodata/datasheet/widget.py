"""`plane_widget`: a plane of neurons with sliders and a brush, which writes the ``where`` clause that it shows."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language.expressions import Column, to_text
from poyodata.datasheet.target import PAGES, check_target
from poyodata.errors import UsageError, nearest
from poyodata.plots import MAX_KURTOSIS, MAX_SKEWNESS, column_label
from poyodata.replacing import replacing
from poyodata.splits import SPLITS, Split, SplitSpec, default_split, resolve_split
from poyodata.statistics import compute_statistics, select_columns
from poyodata.statistics.grouping import UNKNOWN

if TYPE_CHECKING:
    from poyodata.store import Store

MOST_GROUPS = 14
"""Groups with a colour of their own; all others share one."""

_LIMITS = {"skewness": MAX_SKEWNESS, "kurtosis": MAX_KURTOSIS}


@dataclass(frozen=True)
class PlaneWidget:
    """An interactive plane: shown by a notebook as the value of a cell, or saved as a page.

    Attributes
    ----------
    page : str
        The whole page: HTML with its data, style and script, which needs no network and no widget extension.
    height_px : int
        Of the frame in a notebook.
    """

    page: str
    height_px: int = 720

    def save(self, path: str | Path) -> Path:
        """Write the page to an HTML file, which any browser opens; only a page of poyodata is replaced."""
        target = check_target(path, PAGES, "a plane")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                partial.write_text(self.page, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the plane cannot be written to {path} ({error.strerror}); give another file.") from error
        return target

    def _repr_html_(self) -> str:
        # A frame of its own: its style and script touch nothing of the notebook, and the notebook's nothing of it.
        inner = html.escape(self.page, quote=True)
        return (
            f'<iframe srcdoc="{inner}" sandbox="allow-scripts" allow="clipboard-write" title="plane of two columns" '
            f'style="width:100%;height:{self.height_px}px;border:0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"PlaneWidget({len(self.page) // 1024} KiB; show it in a notebook, or write it with .save(path))"


def plane_widget(
    source: Store | pd.DataFrame,
    x: str = "skewness",
    y: str = "kurtosis",
    *,
    max_x: float | None = None,
    max_y: float | None = None,
    by: str = "cre_line",
    split: Split | SplitSpec | str | None = None,
) -> PlaneWidget:
    """Make an interactive plane of two columns, with thresholds and a brush.

    The clause that it writes keeps exactly the neurons that it counts as selected; the diet names the split of a store.

    Parameters
    ----------
    source : Store or DataFrame
        A store, whose neurons with a valid region are shown with statistics of train-role time; or any table with the
        two columns, a row a neuron.
    x, y : str
        Columns of numbers.
    max_x, max_y : float, optional
        Thresholds to begin with; by default those of `predictable` for skewness and kurtosis, else the third quartile.
    by : str
        Column of texts that gives colours; left out where the table has none of that name.
    split : Split, SplitSpec or str, optional
        Whose train-role time statistics of a store are of; by default the store's own default.

    Returns
    -------
    PlaneWidget

    Raises
    ------
    UsageError
        When a table lacks a column, or it holds no numbers.
    DietError
        When a column's name cannot stand in a clause.
    StatisticError
        When no statistic of a store gives a column.

    Examples
    --------
    >>> table = pd.DataFrame({"skewness": [0.1, 4.0], "kurtosis": [0.0, 60.0]})
    >>> plane_widget(table).page.startswith("<!doctype html>")
    True
    """
    if isinstance(source, pd.DataFrame):
        table, lines = source, []
    else:
        if not isinstance(split, Split):
            split = resolve_split(source, default_split(source) if split is None else split)
        table, lines = _of_store(source, (x, y), split), _split_lines(split)
    values = {name: _numbers(table, name) for name in (x, y)}
    names, codes = _groups(table, by)
    given = {
        "x": _packed(values[x]),
        "y": _packed(values[y]),
        "groups": _packed(codes),
        "names": names,
        "by": by,
        "name_x": to_text(Column(x)),
        "name_y": to_text(Column(y)),
        "label_x": _plain(x, table),
        "label_y": _plain(y, table),
        "max_x": _limit(x, values[x], max_x),
        "max_y": _limit(y, values[y], max_y),
        "split": lines,
    }
    folder = resources.files("poyodata.datasheet")
    template = Template(folder.joinpath("plane.html").read_text(encoding="utf-8"))
    # No text of the data may end the script: "<" is written as JSON allows.
    data = json.dumps(given, allow_nan=False).replace("<", "\\u003c")
    script = folder.joinpath("plane.js").read_text(encoding="utf-8")
    return PlaneWidget(template.substitute(title=html.escape(f"{y} against {x}"), given=data, script=script))


def _split_lines(split: Split) -> list[str]:
    """Lines of a diet that name the split, and say what a diet cannot: a fold, or a split that has no name."""
    lines = []
    known = SPLITS.get(split.spec.name)
    if known is not None and known.digest == split.spec.digest:
        lines.append(f"splits: {split.spec.name}")
    else:
        lines.append("# The counts are of a split that is not among the named ones: resolve on it (split=...).")
    if split.fold:
        lines.append(f"# The counts are of fold {split.fold}: resolve with fold={split.fold}.")
    return lines


def _of_store(store: Store, columns: tuple[str, str], split: Split) -> pd.DataFrame:
    """Neurons that a diet would consider, with what the store and its statistics say of them."""
    neurons = store.neurons
    inside = neurons["session_id"].isin(split.sessions["session_id"]) & neurons["valid_roi"].astype(bool)
    table = neurons[inside.to_numpy(bool)].reset_index(drop=True)
    wanted = [name for name in dict.fromkeys(columns) if name not in table.columns]
    if not wanted:
        return table
    computed = compute_statistics(store, select_columns(wanted), split)
    joined = table.merge(computed[["neuron_id", *wanted]], on="neuron_id", how="left")
    joined.attrs = {"columns": computed.attrs["columns"]}
    return joined


def _numbers(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    if name not in table.columns:
        raise UsageError(f"the table has no column {name!r}: {nearest(name, map(str, table.columns))}")
    if not pd.api.types.is_numeric_dtype(table[name].dtype) or pd.api.types.is_bool_dtype(table[name].dtype):
        raise UsageError(f"column {name!r} holds {table[name].dtype} values; a plane has two columns of numbers.")
    return table[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _groups(table: pd.DataFrame, by: str) -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Names of groups and which of them each neuron is in; one without a name where there is no such column."""
    if by not in table.columns:
        return [""], np.zeros(len(table), np.uint8)
    texts = table[by].astype("string").fillna("").replace("", UNKNOWN)
    largest = texts.value_counts().index.tolist()
    shown = [*sorted(largest[:MOST_GROUPS]), *(["other"] if len(largest) > MOST_GROUPS else [])]
    place = {name: at for at, name in enumerate(shown)}
    return shown, np.array([place.get(name, MOST_GROUPS) for name in texts], np.uint8)


def _limit(column: str, values: npt.NDArray[np.float64], given: float | None) -> float:
    if given is not None:
        if not np.isfinite(given):
            raise UsageError(f"the threshold of {column} is {given}; give a finite number.")
        return float(given)
    known = _LIMITS.get(column.partition("@")[0])
    finite = values[np.isfinite(values)]
    if known is not None or not len(finite):
        return known or 0.0
    third = float(np.percentile(finite, 75))
    short = float(f"{third:.4g}")
    # Four digits are short to read, and may lie outside of a narrow range.
    return short if finite.min() <= short <= finite.max() else third


def _packed(values: npt.NDArray[Any]) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")


def _plain(column: str, table: pd.DataFrame) -> str:
    return re.sub(r"\$\^\{(-?\d+)\}\$", r"^\1", column_label(column, table.attrs.get("columns")))
