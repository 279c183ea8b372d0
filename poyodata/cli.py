"""The program ``poyodata``: every command is a thin skin over one function of the library.

Heavy imports are made inside commands: ``poyodata --help`` must answer at once. Standard output carries results (with
``--json`` nothing else), standard error progress and messages. Exit status: 0 done, 1 content is invalid or the check
that was asked for fails, 2 the call itself is wrong.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from poyodata._version import version
from poyodata.errors import PoyodataError, UsageError
from poyodata.runtime import limit_threads

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="poyodata",
    help="Data diets for calcium imaging: which neurons a model eats, stated in six lines and proved afterwards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
diet_app = typer.Typer(help="Data diets: list, show, resolve.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(diet_app, name="diet")
fetch_app = typer.Typer(help="Recordings from public archives: allen.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(fetch_app, name="fetch")

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]
StorePath = Annotated[Path, typer.Argument(help="A store, as made by `poyodata ingest`.")]
SplitName = Annotated[
    str, typer.Option("--splits", help="Split: blocks-5fold, epoch-out, donor-70-10-20, or a YAML file.")
]
Fold = Annotated[int, typer.Option(help="Fold of the split, from 0.")]


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def _say(text: str) -> None:
    typer.echo(text)


def _print_table(table: pd.DataFrame, as_json: bool) -> None:
    if as_json:
        _say(table.to_json(orient="records", indent=2, double_precision=15))
        return
    import pandas as pd

    with pd.option_context(
        "display.width", 160, "display.max_columns", 40, "display.precision", 4, "display.max_rows", 60
    ):
        _say(table.to_string(index=False, max_rows=60))


def _version(asked: bool) -> None:
    if asked:
        _say(f"poyodata {version}")
        raise typer.Exit


@app.callback()
def _program(
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    limit_threads()


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
        _say(result.to_json())
    else:
        _print_table(result.shown_table(), as_json=False)
        _say("")
        _say(result.verdict)
        _say(f"\nReport: {result.report}\nNext:")
        for command in result.next_commands:
            _say(f"  {command}")
    if not result.passed:
        raise typer.Exit(1)


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
        _say(json.dumps({"files": [str(path) for path in files]}, indent=2))
    else:
        # NWB 2 is for other tools: our own reader takes NWB 1.0.
        then = f" Next: poyodata ingest {out} --out {out.with_suffix('.zarr')}" if file_format == "allen-nwb" else ""
        _say(f"{len(files)} recordings in {out}.{then}")


@app.command(epilog="Example: poyodata worlds allen-like > mine.yaml")
def worlds(
    world: Annotated[str, typer.Argument(help="Print this one as YAML, to be changed and given to simulate.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the simulated worlds, or print one as YAML."""
    from poyodata.simulation import WORLDS, load_world

    if world:
        chosen = load_world(world)
        _say(chosen.model_dump_json(indent=2) if as_json else chosen.to_yaml().rstrip())
        return
    rows = [{"world": one.name, "recordings": one.sessions, "description": one.description} for one in WORLDS.values()]
    if as_json:
        _say(json.dumps(rows, indent=2))
        return
    for row in rows:
        _say(f"{row['world']:<24}  {row['recordings']:>5}  {row['description']}")


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
            _print_table(fetch.table_of(cache, chosen), as_json)
            if not as_json:
                _say(f"\n{fetch.census(chosen)}")
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
            _say(json.dumps(plan.to_json(), indent=2) if as_json else plan.summary())
            return
        report = fetch.fetch_allen(out, selection, road, refresh=refresh, cells=cells)
    _say(json.dumps(report.to_json(), indent=2) if as_json else report.summary())
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
        _say(f"Next: poyodata ingest {out} --out {out.with_suffix('.zarr')}")


@app.command(epilog="Example: poyodata ingest raw --out allen.zarr")
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders of recordings.")],
    out: Annotated[Path, typer.Option(help="The store; made when it is not there, else added to.")],
    kind: Annotated[str, typer.Option(help="allen-nwb, arrays, or auto.")] = "auto",
    mapping: Annotated[Path | None, typer.Option(help="Mapping YAML for an arrays source.")] = None,
    missing: Annotated[
        str, typer.Option(help="NaN in dF/F: error, keep (as missing), or drop (the neurons).")
    ] = "error",
    traces: Annotated[
        str,
        typer.Option(help="dff; or dff,raw,neuropil,demixed,corrected, those you need; or all that there are."),
    ] = "dff",
    as_json: AsJson = False,
) -> None:
    """Read recordings into a store."""
    from poyodata.ingest import ingest as ingest_sources

    names = [name.strip() for name in traces.split(",") if name.strip()]
    table = ingest_sources(sources, out, kind=kind, mapping=mapping, missing=missing, traces=names)
    _print_table(table, as_json)
    if not as_json:
        _say(f"\nNext: poyodata info {out}")


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
        _say(json.dumps({**facts, "by_cre_line": json.loads(by_line.to_json(orient="records"))}, indent=2))
        return
    for key, value in facts.items():
        _say(f"{key:<16}{', '.join(value) if isinstance(value, list) else value}")
    _say("")
    _print_table(by_line.round({"seconds": 1}), as_json=False)
    _say(f"\nNext: poyodata stats {store}")


@app.command(epilog="Example: poyodata stats allen.zarr --only moments,fisher_direction --splits blocks-5fold")
def stats(
    store: StorePath,
    only: Annotated[str, typer.Option(help="Statistics, separated by commas.")] = "moments,fisher_direction",
    splits: SplitName = "",
    fold: Fold = 0,
    window: Annotated[
        Literal["train", "all"],
        typer.Option(help="train: train-role time only; all: every frame (leaks into any test)."),
    ] = "train",
    out: Annotated[Path | None, typer.Option(help="Write the table to this CSV or Parquet file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute neuron statistics; print the median of each CRE line, or write every neuron to --out."""
    from poyodata.splits import default_split, resolve_split
    from poyodata.statistics import compute_statistics
    from poyodata.store import open_store

    opened = open_store(store)
    split = resolve_split(opened, splits or default_split(opened), fold=fold) if window == "train" else None
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    table = compute_statistics(opened, names, split=split, window=window)
    for name in (column for column in table.columns if column.startswith("fisher")):
        without = int(table[name].isna().sum())
        if without:
            typer.echo(f"{name}: no value for {without} of {len(table)} neurons, too few train-role trials.", err=True)
    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise UsageError(f"--out is {out.name!r}; give a file that ends in .csv or .parquet.")
        table.to_csv(out, index=False) if out.suffix == ".csv" else table.to_parquet(out, index=False)
    lines = table.merge(opened.neurons[["neuron_id", "cre_line"]], on="neuron_id")
    by_line = lines.groupby("cre_line").median(numeric_only=True).reset_index()
    by_line.insert(1, "neurons", lines.groupby("cre_line").size().to_numpy())
    _print_table(table if as_json else by_line, as_json)
    if not as_json:
        _say("\nMedians over neurons. kurtosis is excess and biased; skewness is biased (scipy's defaults).")
        _say(f"Next: poyodata diet resolve predictable {store} --out predictable")


@diet_app.command("list", epilog="Example: poyodata diet list")
def diet_list(as_json: AsJson = False) -> None:
    """List the diets that come with poyodata."""
    from poyodata.curation import PRESETS, load_diet

    rows = [{"diet": name, "description": load_diet(name).description} for name in PRESETS]
    if as_json:
        _say(json.dumps(rows, indent=2))
    else:
        width = max(len(row["diet"]) for row in rows)
        for row in rows:
            _say(f"{row['diet']:<{width}}  {row['description']}")


@diet_app.command("show", epilog="Example: poyodata diet show mixed-30")
def diet_show(diet: Annotated[str, typer.Argument(help="Name of a preset, or a YAML file.")]) -> None:
    """Print a diet as YAML."""
    from poyodata.curation import load_diet

    _say(load_diet(diet).to_yaml().rstrip())


@diet_app.command("resolve", epilog="Example: poyodata diet resolve predictable allen.zarr --out predictable")
def diet_resolve(
    diet: Annotated[str, typer.Argument(help="Name of a preset, or a YAML file.")],
    store: StorePath,
    out: Annotated[Path | None, typer.Option(help="Folder for the manifest.")] = None,
    splits: SplitName = "",
    fold: Fold = 0,
    as_json: AsJson = False,
) -> None:
    """Resolve a diet on a store: which neurons and windows it means there, as a content-hashed manifest."""
    from poyodata.curation import load_diet
    from poyodata.store import open_store

    manifest = load_diet(diet).resolve(open_store(store), split=splits or None, fold=fold)
    if out is not None:
        manifest.save(out)
    funnel = manifest.funnel()
    if as_json:
        _say(
            json.dumps(
                {
                    "name": manifest.name,
                    "digest": manifest.digest,
                    "funnel": json.loads(funnel.to_json(orient="records")),
                },
                indent=2,
            )
        )
        return
    _print_table(funnel, as_json=False)
    _say(f"\nmanifest {manifest.digest}" + (f" written to {out}" if out else ""))


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
            _say(f"{verdicts[-1].to_text()}\n\n{verdicts[-1].summary()}\n")
    if as_json:
        _say(json.dumps([verdict.to_json() for verdict in verdicts], indent=2))
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
        _say(
            json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}, indent=2)
        )
        return
    _print_table(result.table, as_json=False)
    _say(f"\nPage: {result.page}")


def main() -> None:
    """Run the program; errors of ours end in one sentence and their exit status."""
    try:
        app(prog_name="poyodata")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo("poyodata: stopped. Finished recordings are kept; the same command goes on from them.", err=True)
        raise
    except PoyodataError as error:
        typer.echo(f"poyodata: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error)
        typer.echo(f"poyodata: {what}. Free space or correct the path, then run the same command again.", err=True)
        sys.exit(1)
