"""The command ``info``, and those that look after a store."""

from __future__ import annotations

import json
from typing import Any

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, StorePath, print_table, say


@app.command(epilog="Example: poyodata info allen.zarr")
def info(store: StorePath, as_json: AsJson = False) -> None:
    """Say what a store holds: recordings, donors, CRE lines, neurons, hours."""
    from poyodata.store import open_store

    opened = open_store(store)
    sessions = opened.sessions
    facts: dict[str, Any] = {
        "path": str(store),
        "format_version": opened.format_version,
        "digest": opened.digest,
        "recordings": len(sessions),
        "donors": int(sessions["donor_id"].nunique()),
        "containers": int(sessions["container_id"].nunique()),
        "neurons": int(sessions["n_neurons"].sum()),
        "cells": len(opened.cells),
        "hours": round(float(sessions["duration_s"].sum()) / 3600, 3),
        "stimuli": sorted(opened.presentations["stimulus"].unique().tolist()),
    }
    by_line = (
        sessions.groupby("cre_line")
        .agg(
            recordings=("session_id", "size"),
            donors=("donor_id", "nunique"),
            neurons=("n_neurons", "sum"),
            seconds=("duration_s", "sum"),
        )
        .reset_index()
    )
    if as_json:
        say(json.dumps({**facts, "by_cre_line": json.loads(by_line.to_json(orient="records"))}, indent=2))
        return
    for key, value in facts.items():
        say(f"{key:<16}{', '.join(value) if isinstance(value, list) else value}")
    say("")
    print_table(by_line.round({"seconds": 1}), as_json=False)
    say(f"\nNext: poyodata stats {store}")
