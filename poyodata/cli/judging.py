"""The commands ``judge`` and ``realism``: what files and simulations are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, print_table, say


@app.command(epilog="Example: poyodata judge raw/501794235.nwb")
def judge(
    files: Annotated[list[Path], typer.Argument(help="NWB 1.0 files of the Allen Brain Observatory.")],
    as_json: AsJson = False,
) -> None:
    """Compare value by value what AllenSDK reads from files, in an environment of its own, with what poyodata reads."""
    from poyodata.allensdk.judge import judge as judge_file

    verdicts = []
    for path in files:
        verdicts.append(judge_file(path))
        if not as_json:
            say(f"{verdicts[-1].to_text()}\n\n{verdicts[-1].summary()}\n")
    if as_json:
        say(json.dumps([verdict.to_json() for verdict in verdicts], indent=2))
    if not all(verdict.agrees for verdict in verdicts):
        raise typer.Exit(1)


@app.command(epilog="Example: poyodata realism --out realism.html")
def realism(
    out: Annotated[Path, typer.Option(help="The HTML page.")] = Path("realism.html"),
    recording: Annotated[
        Path | None, typer.Option("--data", help="A real recording of drifting gratings: a file, or its folder.")
    ] = None,
    world: Annotated[str, typer.Option(help="World whose first recording is compared.")] = "cux2",
    lines: Annotated[bool, typer.Option(help="Simulate all 13 CRE lines too (two minutes).")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure a simulated recording as a real one is measured, and put the two side by side on a page."""
    from poyodata.realism.page import write_realism

    result = write_realism(out, data=recording, world=world, lines=lines)
    if as_json:
        tables = {"measures": result.table, "lines": result.lines}
        say(json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}, indent=2))
        return
    print_table(result.table, as_json=False)
    say(f"\nPage: {result.page}")
