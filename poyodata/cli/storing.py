"""The command ``info``, and those that look after a store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, StorePath, print_table, say
from poyodata.errors import StoreError, UsageError


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
    if not len(sessions):
        say(f"\nThe store is empty. Next: poyodata ingest SOURCE --out {store}")
        return
    say("")
    print_table(by_line.round({"seconds": 1}), as_json=False)
    say(f"\nNext: poyodata stats {store}")


@app.command(epilog="Example: poyodata verify allen.zarr")
def verify(store: StorePath, as_json: AsJson = False) -> None:
    """Read every byte of a store and name every damaged recording, block and file. Exits with 1 when there are any."""
    from poyodata.progress import stage
    from poyodata.store import open_store
    from poyodata.store.verify import verify_store

    folder = _folder(store)
    try:
        n_recordings = len(open_store(folder))
    except StoreError:  # said below, with all else that is damaged
        n_recordings = 0
    with stage("verifying every byte", n_recordings, "recordings") as advance:
        found = verify_store(folder, advance)
    if as_json:
        say(json.dumps({"intact": not found.damages, **asdict(found)}, indent=2))
    else:
        for damage in found.damages:
            say(f"damaged  {f'recording {damage.recording}: ' if damage.recording else ''}{damage.file}: {damage.what}")
        for name in found.unexpected:
            say(f"unknown  {name}: no recording of the store names this file; it does no harm")
        of = f"{found.n_recordings:,} recordings, {found.n_files:,} files, {found.n_bytes / 1e6:,.1f} MB"
        say(f"{of}: {len(found.damages) or 'nothing'} damaged")
        if found.damages:
            say("\nNext: restore the damaged files from a copy, or poyodata ingest SOURCE --out " + f"{store} --update")
    raise typer.Exit(1 if found.damages else 0)


@app.command(epilog="Example: poyodata remove allen.zarr 501574836 --yes")
def remove(
    store: StorePath,
    sessions: Annotated[list[str], typer.Argument(help="Recordings, by session_id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove recordings from a store, and the stimulus templates that only they brought."""
    from poyodata.store import StoreWriter, open_store

    folder = _folder(store)
    open_store(folder)  # a path that holds no store is refused, where a writer would make one
    with StoreWriter(folder) as writer:
        writer.require(sessions)
        if not yes:
            typer.confirm(f"Remove {len(sessions)} of {len(writer.sessions)} recordings from {store}?", abort=True)
        writer.remove(sessions)
        say(f"removed {len(sessions)} recordings; {len(writer.sessions)} are left")


@app.command(epilog="Example: poyodata merge ours.zarr theirs.zarr --out all.zarr")
def merge(
    stores: Annotated[list[Path], typer.Argument(help="Stores to bring together; they stay as they are.")],
    out: Annotated[Path, typer.Option(help="The store that takes them; made where it is missing.")],
    update: Annotated[
        bool, typer.Option("--update", help="Replace recordings of --out that have the same name but other content.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the recordings of several stores into one, linked where the file system allows, else copied.

    Recordings that are the same are taken once. One commit: all of them, or none.
    """
    import pandas as pd

    from poyodata.progress import stage
    from poyodata.store import open_store
    from poyodata.store.merge import merge_stores

    with stage("merging stores", sum(len(open_store(store)) for store in stores), "recordings") as advance:
        merged = merge_stores(out, stores, replace=update, progress=advance)
    print_table(pd.DataFrame([asdict(one) for one in merged]), as_json)
    if not as_json:
        say(f"\nNext: poyodata info {out}")


@app.command(epilog="Example: poyodata migrate allen.zarr")
def migrate(store: StorePath, as_json: AsJson = False) -> None:
    """Bring a store of an older format version up to date, in place. Killed midway, it can be run again."""
    from poyodata.progress import stage
    from poyodata.store import FORMAT_VERSION
    from poyodata.store.migrate import migrate_store

    folder = _folder(store)
    with stage("migrating", len(list((folder / "sessions").glob("*/zarr.json"))), "recordings") as advance:
        done = migrate_store(folder, advance)
    if as_json:
        say(json.dumps(asdict(done), indent=2))
        return
    if done.version_before == FORMAT_VERSION:
        say(f"{store} has format version {FORMAT_VERSION} already")
        return
    say(f"{store}: {done.n_recordings} recordings, format version {done.version_before} -> {FORMAT_VERSION}")
    say(f"digest {done.digest}")
    say("Digests of blocks are others in this version, and so is the store's: resolve diets of this store again.")


def _folder(store: str) -> Path:
    """A store of this machine."""
    path = store.removeprefix("file://")
    if "://" in path:
        raise UsageError(f"{store} is a URL; this command takes the folder of a store on this machine.")
    return Path(path)
