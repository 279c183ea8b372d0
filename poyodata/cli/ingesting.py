"""The command ``ingest``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, Scheduler, Workers, print_table, say


@app.command(epilog="Example: poyodata ingest raw --out allen.zarr")
def ingest(
    sources: Annotated[list[str], typer.Argument(help="Files or folders of recordings, or URLs.")],
    out: Annotated[Path, typer.Option(help="The store; made when it is not there, else added to.")],
    kind: Annotated[str, typer.Option(help="allen-nwb, nwb2, torch-brain, suite2p, arrays; auto looks.")] = "auto",
    mapping: Annotated[Path | None, typer.Option(help="Mapping YAML: what the files do not say.")] = None,
    missing: Annotated[
        str, typer.Option(help="NaN in dF/F: error, keep (as missing), or drop (the neurons).")
    ] = "error",
    traces: Annotated[
        str,
        typer.Option(help="dff; or dff,raw,neuropil,demixed,corrected, those you need; or all that there are."),
    ] = "dff",
    update: Annotated[
        bool, typer.Option("--update", help="Replace recordings that are there with other content.")
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Read recordings into a store."""
    from poyodata.ingest import ingest as ingest_sources

    names = [name.strip() for name in traces.split(",") if name.strip()]
    table = ingest_sources(
        sources,
        out,
        kind=kind,
        mapping=mapping,
        missing=missing,
        traces=names,
        update=update,
        workers=workers,
        scheduler=scheduler,
    )
    print_table(table, as_json)
    if not as_json:
        say(f"\nNext: poyodata info {quote(str(out))}")
