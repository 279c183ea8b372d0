"""The commands under ``fetch``: recordings from public archives."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from poyodata.cli.application import fetch_app
from poyodata.cli.output import AsJson, print_table, say
from poyodata.errors import UsageError


@fetch_app.command("allen", epilog="Example: poyodata fetch allen --out raw --lines Sst,Vip --areas VISp --dry-run")
def fetch_allen(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the recordings, in AllenSDK's cache layout; --list needs none.")
    ] = None,
    lines: Annotated[str | None, typer.Option(help="CRE lines, separated by commas: Sst,Vip.")] = None,
    areas: Annotated[str | None, typer.Option(help="Visual areas: VISp,VISl.")] = None,
    depths: Annotated[str | None, typer.Option(help="Imaging depths in micrometres, or ranges: 175-275,350.")] = None,
    stimulus: Annotated[str | None, typer.Option(help="Stimuli, of which a recording has at least one.")] = None,
    donors: Annotated[str | None, typer.Option(help="Mice, by their donor number.")] = None,
    containers: Annotated[str | None, typer.Option(help="Experiment containers, by id.")] = None,
    sessions: Annotated[str | None, typer.Option(help="Recordings, by ophys experiment id.")] = None,
    session_types: Annotated[str | None, typer.Option(help="Session types: A,B,C,C2.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many by id.")] = None,
    include_failed: Annotated[bool, typer.Option("--include-failed", help="Take failed containers too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every recording: no filter, no --limit.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the recordings chosen; writes nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many files and bytes; writes nothing.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the lists anew, although --out has them.")] = False,
    cells: Annotated[bool, typer.Option("--cells", help="Keep AllenSDK's (long) table of cell metrics too.")] = False,
    via: Annotated[Literal["http", "allensdk"], typer.Option(help="The plain road, or AllenSDK's own.")] = "http",
    warehouse: Annotated[
        str, typer.Option(envvar="POYODATA_ALLEN_WAREHOUSE", help="Address of the warehouse or of a mirror.")
    ] = "http://api.brain-map.org",
    connections: Annotated[int, typer.Option(min=1, max=4, help="Files at a time.")] = 2,
    retries: Annotated[int, typer.Option(min=0, help="Attempts that may fail in a row after the first.")] = 5,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Longest silence, in seconds.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """List or download recordings of the Allen Brain Observatory (filters are and-ed, values of one are or-ed)."""
    from poyodata import fetch

    selection = fetch.Selection.from_text(
        lines=lines,
        areas=areas,
        depths=depths,
        stimuli=stimulus,
        donors=donors,
        containers=containers,
        sessions=sessions,
        session_types=session_types,
        include_failed=include_failed,
        limit=limit,
    )
    if everything and not selection.is_everything:
        raise UsageError("--all means every recording, but a filter or --limit is given too; leave one of them out.")
    if out is None and not listing:
        raise UsageError("--out is missing: name the folder for the recordings, or look at them first with --list.")
    with fetch.open_road(
        via, warehouse=warehouse, connections=connections, retries=retries, timeout_s=timeout_s
    ) as road:
        if out is None or listing:
            cache = fetch.AllenCache.at(out) if out is not None else None
            chosen, _ = fetch.choose(cache, selection, road, refresh=refresh)
            print_table(fetch.table_of(cache, chosen), as_json)
            if not as_json:
                say(f"\n{fetch.census(chosen)}")
            return
        typer.echo(fetch.TERMS, err=True)
        refused = selection.is_everything and not everything
        if dry_run or refused:
            cache = fetch.AllenCache.at(out)
            chosen, _ = fetch.choose(cache, selection, road, refresh=refresh)
            plan = fetch.plan_fetch(cache, chosen, road)
            if refused and not dry_run:
                raise UsageError(
                    f"without a filter every recording is meant: {plan.summary()} "
                    "Give --all to fetch them all, or choose with --lines, --areas or another filter, or --limit."
                )
            say(json.dumps(plan.to_json(), indent=2) if as_json else plan.summary())
            return
        report = fetch.fetch_allen(out, selection, road, refresh=refresh, cells=cells)
    say(json.dumps(report.to_json(), indent=2) if as_json else report.summary())
    for file in report.missing:
        typer.echo(f"poyodata: {file.path.name}: {file.status}, {file.message}", err=True)
    if report.missing:
        typer.echo(f"Try again, from what has arrived: {shlex.join(['poyodata', *sys.argv[1:]])}", err=True)
        raise typer.Exit(1)
    if not report.complete:
        numbers = ", ".join(str(file.session_id) for file in report.without_file)
        typer.echo(f"poyodata: nothing of this can be had: the warehouse has no NWB file of {numbers}.", err=True)
        raise typer.Exit(1)
    if not as_json:
        say(f"Next: poyodata ingest {out} --out {out.with_suffix('.zarr')}")
