"""The commands under ``diet``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from poyodata.cli.application import diet_app
from poyodata.cli.output import AsJson, Fold, SplitName, StorePath, print_table, say


@diet_app.command("list", epilog="Example: poyodata diet list")
def diet_list(as_json: AsJson = False) -> None:
    """List the diets that come with poyodata."""
    from poyodata.curation import PRESETS, load_diet

    rows = [{"diet": name, "description": load_diet(name).description} for name in PRESETS]
    if as_json:
        say(json.dumps(rows, indent=2))
    else:
        width = max(len(row["diet"]) for row in rows)
        for row in rows:
            say(f"{row['diet']:<{width}}  {row['description']}")


@diet_app.command("show", epilog="Example: poyodata diet show mixed-30")
def diet_show(diet: Annotated[str, typer.Argument(help="Name of a preset, or a YAML file.")]) -> None:
    """Print a diet as YAML."""
    from poyodata.curation import load_diet

    say(load_diet(diet).to_yaml().rstrip())


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
        say(
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
    print_table(funnel, as_json=False)
    say(f"\nmanifest {manifest.digest}" + (f" written to {out}" if out else ""))
