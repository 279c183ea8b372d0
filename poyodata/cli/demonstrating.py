"""The command ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, print_table, say
from poyodata.errors import UsageError


@app.command(epilog="Example: poyodata demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store, the runs and report.html.")] = Path("demo"),
    recording: Annotated[
        Path | None,
        typer.Option(
            "--data", help="A real recording: a file or folder with its mapping; leaves each grating block out in turn."
        ),
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="Mapping YAML of the recording given with --data.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="With --data: training seeds of every row.")] = 2,
    steps: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Training steps from scratch (default: the recipe's).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulation and of the first training run.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Walk the whole road: simulate or read --data, ingest, statistics, diets, pretrain, fine-tune, test, report."""
    from poyodata import demo as road

    if recording is not None:
        result = road.run_recording(recording, out, mapping=mapping, seeds=seeds, steps=steps, seed=seed)
    else:
        if mapping is not None:
            raise UsageError("--mapping describes the recording given with --data; give --data too, or leave it out.")
        result = road.run_simulated(out, steps=steps, seed=seed)
    if as_json:
        say(result.to_json())
    else:
        print_table(result.shown_table(), as_json=False)
        say("")
        say(result.verdict)
        say(f"\nReport: {result.report}\nNext:")
        for command in result.next_commands:
            say(f"  {command}")
    if not result.passed:
        raise typer.Exit(1)
