"""The commands ``simulate`` and ``worlds``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, say


@app.command(epilog="Example: poyodata simulate raw --world demo --seed 0")
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for the NWB files and the truth.")],
    world: Annotated[str, typer.Option(help="A named world, or a YAML file of one.")] = "demo",
    sessions: Annotated[int | None, typer.Option(help="Number of recordings (default: the world's).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the world (default: the world's).")] = None,
    file_format: Annotated[
        Literal["allen-nwb", "nwb2"],
        typer.Option("--format", help="allen-nwb: NWB 1.0 as AllenSDK reads it; nwb2: in the layout of DANDI 000728."),
    ] = "allen-nwb",
    as_json: AsJson = False,
) -> None:
    """Simulate recordings of the Allen Brain Observatory as NWB files, with the truth beside them."""
    from poyodata.progress import stage
    from poyodata.simulation import load_world, simulate

    changes = {name: value for name, value in (("seed", seed), ("sessions", sessions)) if value is not None}
    chosen = load_world(world).replace(**changes)
    with stage("simulating recordings", chosen.sessions, "recordings") as advance:
        # The simulator calls before each recording and once at the end: all calls but the first end one.
        files = simulate(
            out,
            chosen,
            progress=lambda done, _total, _label: advance(1) if done else None,
            file_format=file_format,
        )
    if as_json:
        say(json.dumps({"files": [str(path) for path in files]}, indent=2))
    else:
        # NWB 2 is for other tools: our own reader takes NWB 1.0.
        then = f" Next: poyodata ingest {out} --out {out.with_suffix('.zarr')}" if file_format == "allen-nwb" else ""
        say(f"{len(files)} recordings in {out}.{then}")


@app.command(epilog="Example: poyodata worlds allen-like > mine.yaml")
def worlds(
    world: Annotated[str, typer.Argument(help="Print this one as YAML, to be changed and given to simulate.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the simulated worlds, or print one as YAML."""
    from poyodata.simulation import WORLDS, load_world

    if world:
        chosen = load_world(world)
        say(chosen.model_dump_json(indent=2) if as_json else chosen.to_yaml().rstrip())
        return
    rows = [{"world": one.name, "recordings": one.sessions, "description": one.description} for one in WORLDS.values()]
    if as_json:
        say(json.dumps(rows, indent=2))
        return
    for row in rows:
        say(f"{row['world']:<24}  {row['recordings']:>5}  {row['description']}")
