"""How a store and its recordings print: as text, and in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from poyodata.store.group import COORDINATES, MASK_NEURON, MASK_PX, MAX_PROJECTION
from poyodata.store.session import TRACE_DIMENSIONS
from poyodata.vocabulary import DFF

if TYPE_CHECKING:
    import xarray as xr

    from poyodata.store.reader import Store

_FIRST_ATTRIBUTES = (
    *("session_id", "session_type", "cre_line", "area", "depth_um", "rate_hz", "duration_s", "n_neurons", "n_frames"),
    *("donor_id", "container_id", "sex", "age_days", "genotype", "indicator"),
)

_MOST_RECORDINGS = 8

_STYLE = (
    "<style>"
    ".poyodata-store{font-size:13px;line-height:1.5;max-width:60em}"
    ".poyodata-store .title{font-weight:600;font-size:14px}"
    ".poyodata-store .quiet{opacity:.65}"
    ".poyodata-store code{font-size:12px;background:none;color:inherit;padding:0}"
    ".poyodata-store table{border-collapse:collapse;margin:6px 0 8px 0;font-size:13px;color:inherit}"
    ".poyodata-store tr{background:none!important}"
    ".poyodata-store th,.poyodata-store td{padding:2px 12px 2px 0!important;text-align:left!important;"
    "vertical-align:top;background:none!important;color:inherit!important;border:0!important;white-space:nowrap}"
    ".poyodata-store thead th{font-weight:600;border-bottom:1px solid rgba(128,128,128,.5)!important}"
    ".poyodata-store .number{text-align:right!important;font-variant-numeric:tabular-nums}"
    ".poyodata-store .facts td:first-child{opacity:.65}"
    ".poyodata-store .facts td{white-space:normal}"
    ".poyodata-store summary{cursor:pointer}"
    "</style>"
)


def facts(store: Store) -> dict[str, str]:
    """What a store holds, in a few words each."""
    sessions = store.sessions
    hours = float((sessions["n_frames"] / sessions["rate_hz"]).sum()) / 3600
    known = {
        "path": str(store.path),
        "recordings": f"{len(store):,} ({hours:.1f} h)",
        "neurons": f"{int(sessions['n_neurons'].sum()):,}",
        "donors": f"{sessions['donor_id'].nunique():,}",
        "CRE lines": ", ".join(sorted(sessions["cre_line"].unique())) or "none",
        "templates": ", ".join(sorted(store.stimuli)) or "none",
        "annotations": ", ".join(sorted(store.annotations)),
        "lineage": lineage_text(store),
        "digest": store.digest[:12],
        "cache": str(store.cache_folder or ""),
    }
    return {name: value for name, value in known.items() if value}


def lineage_text(store: Store) -> str:
    """What a store was made from, in one line; ``""`` where it was made from recordings."""
    known = store.lineage or {}
    shown = {name: value for name, value in known.items() if isinstance(value, str | int) and value != ""}
    return ", ".join(f"{name} {value[:12] if isinstance(value, str) else value}" for name, value in shown.items())


def text(store: Store) -> str:
    """A store as text."""
    known = facts(store)
    width = max(map(len, known))
    return "\n".join(["<Store>", *(f"  {name:<{width}}  {value}" for name, value in known.items())])


def page(store: Store) -> str:
    """A store as HTML: facts, its CRE lines, its recordings. Takes the colours of the page that it is shown on."""
    known = facts(store)
    if not len(store):
        body = "<p>It is empty: fill it with <code>poyodata ingest SOURCE --out STORE</code>.</p>"
    else:
        body = _facts(known) + _table(by_line(store)) + _recordings(store)
    title = f"<span class='title'>Store</span> <code>{html.escape(known['path'])}</code>"
    return f"<div class='poyodata-store'>{_STYLE}<div>{title}</div>{body}</div>"


def arranged(dataset: xr.Dataset) -> xr.Dataset:
    """A recording with its variables, coordinates and attributes in the order in which one asks for them.

    Zarr lists what is in a group in the order of the file system. Nothing is read.
    """
    import xarray as xr

    last = (MAX_PROJECTION, MASK_PX, MASK_NEURON)
    traces = {str(name) for name in dataset.data_vars if dataset[name].dims == TRACE_DIMENSIONS}
    first = sorted(traces, key=lambda name: (name != DFF, name))
    signals = sorted(str(name) for name in dataset.data_vars if name not in (*first, *last))
    variables = [*first, *signals, *(name for name in last if name in dataset)]
    known = [name for name in ("time", *COORDINATES) if name in dataset.coords]
    coordinates = [*known, *sorted(str(name) for name in dataset.coords if name not in known)]
    attributes = [name for name in _FIRST_ATTRIBUTES if name in dataset.attrs]
    ordered = xr.Dataset(
        {name: dataset[name].variable for name in variables},
        {name: dataset[name].variable for name in coordinates},
        {name: dataset.attrs[name] for name in [*attributes, *(key for key in dataset.attrs if key not in attributes)]},
    )
    ordered.encoding = dataset.encoding
    return ordered


def by_line(store: Store) -> pd.DataFrame:
    """One row a CRE line: recordings, mice, imaging sites, neurons, hours."""
    lines = store.sessions.assign(hours=store.sessions["n_frames"] / store.sessions["rate_hz"] / 3600)
    return lines.groupby("cre_line", as_index=False).agg(
        recordings=("session_id", "size"),
        mice=("donor_id", "nunique"),
        sites=("container_id", "nunique"),
        areas=("area", lambda areas: ", ".join(sorted(set(areas)))),
        neurons=("n_neurons", "sum"),
        hours=("hours", "sum"),
    )


def _facts(known: dict[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in known.items()
        if name not in ("path", "CRE lines")
    )
    return f"<table class='facts'><tbody>{rows}</tbody></table>"


def _recordings(store: Store) -> str:
    columns = {
        "session_id": "session",
        "donor_id": "mouse",
        "cre_line": "CRE line",
        "area": "area",
        "depth_um": "depth (µm)",
        "session_type": "session type",
        "rate_hz": "rate (Hz)",
        "duration_s": "minutes",
        "n_neurons": "neurons",
    }
    shown = store.sessions[list(columns)].head(_MOST_RECORDINGS)
    shown = shown.assign(duration_s=shown["duration_s"] / 60).rename(columns=columns)
    more = len(store) - len(shown)
    rest = f"<div class='quiet'>and {more:,} more: <code>store.sessions</code></div>" if more else ""
    opened = ' open=""' if not more else ""
    return f"<details{opened}><summary>recordings</summary>{_table(shown)}{rest}</details>"


def _table(table: pd.DataFrame) -> str:
    numbers = [pd.api.types.is_numeric_dtype(table[column].dtype) for column in table.columns]
    kinds = [" class='number'" if number else "" for number in numbers]
    head = "".join(
        f"<th{kind}>{html.escape(str(name).replace('cre_line', 'CRE line'))}</th>"
        for kind, name in zip(kinds, table.columns, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(f"<td{kind}>{_value(value)}</td>" for kind, value in zip(kinds, row, strict=True)) + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _value(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value))
