"""The command ``info``, and those that look after a store."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, StorePath, print_table, say
from poyodata.errors import StoreError, UsageError, nearest

if TYPE_CHECKING:
    from poyodata.store.damage import Verification
    from poyodata.store.kept_stores import KeptStore


@app.command(epilog="Example: poyodata info allen.zarr")
def info(store: StorePath, as_json: AsJson = False) -> None:
    """Say what a store holds: recordings, donors, CRE lines, neurons, hours.

    Of a store at a URL, credentials and server are those of the environment: AWS_PROFILE, AWS_ENDPOINT_URL, or
    FSSPEC_S3_ANON=true for a public bucket.
    """
    from poyodata.store import open_store
    from poyodata.store.shown import lineage_text

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
    if opened.lineage is not None:
        facts["lineage"] = opened.lineage if as_json else lineage_text(opened)
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
        say(f"\nThe store is empty. Next: poyodata ingest SOURCE --out {quote(store)}")
        return
    say("")
    print_table(by_line.round({"seconds": 1}), as_json=False)
    say(f"\nNext: poyodata stats {quote(store)}")


@app.command(epilog="Example: poyodata verify allen.zarr")
def verify(store: StorePath, as_json: AsJson = False) -> None:
    """Read every byte of a store and name every damaged recording, block and file. Exits with 1 when there are any."""
    from poyodata.progress import stage
    from poyodata.store import open_store
    from poyodata.store.remote import local_folder
    from poyodata.store.verify import verify_store

    folder = local_folder(store, "verified")
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
        if found.unnamed:
            say(
                f"unnamed  {len(found.unnamed)} recordings lie in the store that its table of sessions does not name "
                f"({', '.join(found.unnamed)}): an ingest was cut short, or an older sessions.parquet was put back; "
                "the next writer removes them"
            )
        of = f"{found.n_recordings:,} recordings, {found.n_files:,} files, {found.n_bytes / 1e6:,.1f} MB"
        say(f"{of}: {len(found.damages) or 'nothing'} damaged")
        if found.damages:
            say(f"\nNext: {_advice(found, store)}")
    raise typer.Exit(1 if found.damages else 0)


@app.command(epilog="Example: poyodata remove allen.zarr 501574836 --yes")
def remove(
    store: StorePath,
    sessions: Annotated[list[str], typer.Argument(help="Recordings, by session_id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove recordings from a store, and the stimulus templates that only they brought."""
    from poyodata.store import StoreWriter, open_store
    from poyodata.store.remote import local_folder

    folder = local_folder(store, "changed")
    opened = open_store(folder)  # a path that holds no store is refused, where a writer would make one
    for session_id in sessions:
        if session_id not in opened:
            raise UsageError(f"no recording {session_id!r} in {store}: {nearest(session_id, opened.session_ids)}")
    chosen = list(dict.fromkeys(sessions))
    if not yes:  # before a writer is opened, which collects what is not named
        typer.confirm(f"Remove {len(chosen)} of {len(opened)} recordings from {store}?", abort=True)
    with StoreWriter(folder) as writer:
        writer.remove(chosen)
        say(f"removed {len(chosen)} recordings; {len(writer.sessions)} are left")


@app.command(epilog="Example: poyodata merge ours.zarr theirs.zarr --out all.zarr")
def merge(
    stores: Annotated[list[str], typer.Argument(help="Stores to bring together; they stay as they are.")],
    out: Annotated[str, typer.Option(help="The store that takes them; made where it is missing.")],
    update: Annotated[
        bool, typer.Option("--update", help="Replace recordings of --out that have the same name but other content.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the recordings of several stores into one, linked where the file system allows, else copied.

    Recordings that are the same are taken once. One commit: all of them, or none. A linked file is one file in both
    stores: what damages it there damages both, so that a merged store is no backup.
    """
    import pandas as pd

    from poyodata.progress import stage
    from poyodata.store import open_store
    from poyodata.store.merge import learned_left_behind, merge_stores
    from poyodata.store.remote import local_folder

    folders = [local_folder(store, "merged from") for store in stores]
    target = local_folder(out, "merged into")
    with stage("merging stores", sum(len(open_store(folder)) for folder in folders), "recordings") as advance:
        merged = merge_stores(target, folders, replace=update, progress=advance)
    print_table(pd.DataFrame([asdict(one) for one in merged]), as_json)
    if left := learned_left_behind([folder for folder in folders if folder.resolve() != target.resolve()]):
        typer.echo(f"poyodata: learned columns are not merged and stay with their stores: {', '.join(left)}", err=True)
    if not as_json:
        say(f"\nNext: poyodata info {quote(str(out))}")


@app.command(epilog="Example: poyodata migrate allen.zarr")
def migrate(store: StorePath, as_json: AsJson = False) -> None:
    """Bring a store of an older format version up to date, in place. Killed midway, it can be run again."""
    from poyodata.progress import stage
    from poyodata.store import FORMAT_VERSION
    from poyodata.store.migrate import migrate_store
    from poyodata.store.remote import local_folder

    folder = local_folder(store, "migrated")
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


@app.command(epilog="Example: poyodata cache --limit-gb 20")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it, or all of --store.")] = False,
    limit_gb: Annotated[
        float | None,
        typer.Option(min=0, help="Remove what was not used for longest until at most so many GB (1e9 bytes) are left."),
    ] = None,
    store: Annotated[str, typer.Option(help="With --clear: only what is kept of this URL.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what is kept on this machine of stores at URLs, clear it, or bring it down to a limit.

    It lies in $POYODATA_CACHE, else in the user's cache folder. What is removed is fetched again when it is read.
    """
    import pandas as pd

    from poyodata.store.kept_stores import clear_kept_stores, kept_stores, trim_kept_stores
    from poyodata.store.remote_cache import stores_folder

    if clear and limit_gb is not None:
        raise UsageError("give one of --clear and --limit-gb.")
    if store and not clear:
        raise UsageError("--store says what --clear removes; give both.")
    freed = clear_kept_stores(store) if clear else 0
    if limit_gb is not None:
        freed = trim_kept_stores(int(limit_gb * 1e9))
    known = kept_stores()
    if as_json:
        rows = [{"url": one.url, "folder": str(one.folder), **_use(one)} for one in known]
        say(json.dumps({"folder": str(stores_folder()), "freed_bytes": freed, "stores": rows}, indent=2))
        return
    if known:
        print_table(pd.DataFrame([{"url": one.url or one.folder.name, **_use(one)} for one in known]), as_json=False)
        say("")
    if clear or limit_gb is not None:
        say(f"{freed / 1e6:,.1f} MB given back")
    say(f"{sum(one.n_bytes for one in known) / 1e6:,.1f} MB kept of {len(known)} stores in {stores_folder()}")


def _use(kept: KeptStore) -> dict[str, Any]:
    used = datetime.fromtimestamp(kept.used).astimezone().isoformat(timespec="minutes")
    return {"recordings": kept.n_recordings, "megabytes": round(kept.n_bytes / 1e6, 1), "last_used": used}


def _advice(found: Verification, store: str) -> str:
    """What mends the damage that was found."""
    kept = [one for one in found.damages if one.file.startswith("statistics/")]
    if len(kept) == len(found.damages):
        return "remove the damaged files of statistics/; they are computed again when they are asked for"
    if found.is_of_recordings:
        update = f"poyodata ingest SOURCE --out {quote(store)} --update"
        return f"{update} (it writes what is damaged anew), or restore the damaged files from a copy"
    return "restore the damaged files from a copy, or poyodata ingest SOURCE --out with a new store"
