"""The commands ``export`` and ``annotate``: out of a store, and a user's own columns into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from poyodata.cli.application import app
from poyodata.cli.output import AsJson, Fold, SplitName, StorePath, print_table, say
from poyodata.errors import UsageError


@app.command(epilog="Example: poyodata export numpy allen.zarr --diet predictable --out predictable-numpy")
def export(
    form: Annotated[
        Literal["nwb2", "parquet", "numpy", "torch-brain"], typer.Argument(metavar="FORMAT", help="The format.")
    ],
    store: StorePath,
    out: Annotated[
        Path, typer.Option(help="A new folder; or one in which the same export was stopped, which goes on there.")
    ],
    manifest: Annotated[
        Path | None, typer.Option(help="Its neurons and windows: a folder that `poyodata diet resolve --out` wrote.")
    ] = None,
    diet: Annotated[str, typer.Option(help="Resolve this diet (a preset or a YAML file) and export that.")] = "",
    sessions: Annotated[str, typer.Option(help="These recordings alone: 501574836,501574837.")] = "",
    where: Annotated[
        str, typer.Option(help="Neurons for which this holds: \"cre_line == 'Vip-IRES-Cre' and valid_roi\".")
    ] = "",
    splits: SplitName = "",
    fold: Fold = 0,
    as_json: AsJson = False,
) -> None:
    """Write neurons of a store as NWB 2, Parquet, NumPy or torch_brain files, with roles and lineage.

    What is named is asked for at once: a manifest or a diet, recordings, a condition. Nothing named is the whole store.
    Time gets its roles from the manifest, or from --splits.
    """
    from poyodata.curation import Manifest, load_diet
    from poyodata.export import export as write
    from poyodata.export import select
    from poyodata.progress import stage
    from poyodata.splits import resolve_split
    from poyodata.store import open_store

    if manifest is not None and (diet or splits):
        raise UsageError("--manifest brings a diet and a split of its own; leave out --diet and --splits.")
    opened = open_store(store)
    split = resolve_split(opened, splits, fold=fold) if splits else None
    chosen = Manifest.load(manifest) if manifest is not None else None
    if diet:
        chosen, split = load_diet(diet).resolve(opened, split=split, fold=fold), None
    names = [name.strip() for name in sessions.split(",") if name.strip()] or None
    selection = select(opened, manifest=chosen, sessions=names, where=where or None, split=split)
    with stage(f"writing {form}", len(selection.session_ids), "recordings") as advance:
        table = write(selection, form, out, progress=advance)
    print_table(table, as_json)
    if not as_json:
        say(f"\n{len(selection.neurons):,} neurons of {len(table):,} recordings in {out}")


@app.command(epilog="Example: poyodata annotate allen.zarr labels.csv --on cell_specimen_id")
def annotate(
    store: StorePath,
    labels: Annotated[
        Path | None, typer.Argument(help="CSV or Parquet file: neuron_id or cell_specimen_id, and columns of labels.")
    ] = None,
    on: Annotated[str, typer.Option(help="What a row is of: neuron_id or cell_specimen_id.")] = "",
    name: Annotated[str, typer.Option(help="Name of the annotation (default: that of the file).")] = "",
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out rows of neurons that the store does not have.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an annotation of this name.")] = False,
    remove: Annotated[str, typer.Option(help="Take the annotation of this name out of the store.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the annotations of the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Join your own labels of neurons or cells to a store, as columns that diets can name."""
    import pandas as pd

    from poyodata.curation.resolve import statistic_columns
    from poyodata.statistics.learned.columns import learned_columns
    from poyodata.store import open_store
    from poyodata.store.annotations import annotate as join
    from poyodata.store.annotations import remove_annotation
    from poyodata.store.labels import read_labels

    if (labels is not None) + bool(remove) + listing != 1:
        raise UsageError("give one of: a file of labels, --remove NAME, or --list.")
    if listing:
        known = open_store(store).annotations
        rows = [
            {"annotation": one, "on": own.on, "columns": ", ".join(own.columns), "digest": own.digest}
            for one, own in known.items()
        ]
        print_table(pd.DataFrame(rows, columns=["annotation", "on", "columns", "digest"]), as_json)
        return
    if remove:
        remove_annotation(store, remove)
        say(json.dumps({"removed": remove}) if as_json else f"removed {remove}")
        return
    if labels is None:
        raise UsageError("give a file of labels.")
    called = name or labels.stem
    added = join(
        store,
        read_labels(labels),
        called,
        on or None,
        ignore_unknown=ignore_unknown,
        replace_existing=replace,
        reserved={*statistic_columns(), *learned_columns(open_store(store))},
    )
    if as_json:
        facts = {"annotation": called, "on": added.on, "columns": list(added.columns), "digest": added.digest}
        say(json.dumps(facts, indent=2))
        return
    say(f"annotation {called}: {', '.join(added.columns)} on {added.on}, digest {added.digest[:12]}")
    say(f"\nNext: a diet may say, for example, `where: {added.columns[0]} == ...`")
