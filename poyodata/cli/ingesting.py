"""The commands ``ingest`` and ``stats``: what runs over many recordings."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, Fold, SplitName, StorePath, print_table, say
from poyodata.errors import UsageError
from poyodata.progress import stage

Workers = Annotated[
    int | None,
    typer.Option(help="Local processes. By default as many as cores where there is enough work, else this one alone."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A dask.distributed scheduler to be used instead; its workers must see the same files."
    ),
]


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
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Compute neuron statistics; print the median of each CRE line, or write every neuron to --out."""
    from poyodata.splits import default_split, resolve_split
    from poyodata.statistics import compute_statistics
    from poyodata.store import open_store

    opened = open_store(store)
    split = resolve_split(opened, splits or default_split(opened), fold=fold) if window == "train" else None
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    n_recordings = len(opened) if split is None else len(split.sessions)
    with stage("computing statistics", n_recordings, "recordings") as advance:
        table = compute_statistics(
            opened, names, split=split, window=window, progress=advance, workers=workers, scheduler=scheduler
        )
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
    print_table(table if as_json else by_line, as_json)
    if not as_json:
        say("\nMedians over neurons. kurtosis is excess and biased; skewness is biased (scipy's defaults).")
        say(f"Next: poyodata diet resolve predictable {quote(store)} --out predictable")
