"""The commands ``diet preview`` and ``resolve``: what a diet means on a store, as counts and as a fact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poyodata.cli.application import diet_app
from poyodata.cli.diets_options import DietName, Settings, print_funnel, read_diet, records, resolved, split_of
from poyodata.cli.output import AsJson, Fold, SplitName, StorePath, print_table, say
from poyodata.errors import UsageError
from poyodata.progress import stage

if TYPE_CHECKING:
    import pandas as pd

    from poyodata.curation import Diet, Manifest
    from poyodata.splits import Split
    from poyodata.store import Store


@diet_app.command("preview", epilog="Example: poyodata diet preview predictable allen.zarr --set max_skewness=3.0")
def diet_preview(
    diet: DietName,
    store: StorePath,
    splits: SplitName = "",
    fold: Fold = 0,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Count what a diet would keep, step by step."""
    from poyodata.store import open_store

    opened, wanted = open_store(store), read_diet(diet, settings)
    split = split_of(wanted, opened, splits, fold)
    with stage(f"counting {wanted.name}", 1) as advance:
        preview = wanted.preview(opened, split=split)
        advance(1)
    if as_json:
        say(json.dumps(preview.to_dict(), indent=2, ensure_ascii=False))
        return
    print_funnel(preview.funnel())
    total = preview.kept + preview.rejected + preview.unknown
    unknown = f", {preview.unknown:,} unknown" if preview.unknown else ""
    where = f"recordings {preview.recordings:,}, donors {preview.donors:,}"
    say(f"\n{preview.kept:,} of {total:,} neurons{unknown}; {where}")
    for what, counts in (("roles", preview.by_role), ("lines", preview.by_cre_line), ("areas", preview.by_area)):
        say(f"  {what:<8}" + ", ".join(f"{name or '(none)'} {count:,}" for name, count in counts.items()))
    for warning in preview.warnings:
        say(f"note: {warning}")


@diet_app.command("resolve", epilog="Example: poyodata diet resolve predictable allen.zarr --out calm --draws 20")
def diet_resolve(
    diet: DietName,
    store: StorePath,
    out: Annotated[Path | None, typer.Option(help="Folder for the manifest.")] = None,
    splits: SplitName = "",
    fold: Fold = 0,
    settings: Settings = None,
    draws: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="Random controls beside it: OUT/draw-000, ...")
    ] = 0,
    on: Annotated[
        str, typer.Option(metavar="COLUMNS", help="What controls agree in; by default session_id. With --draws.")
    ] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="Of the controls; by default 0. With --draws.")] = None,
    as_json: AsJson = False,
) -> None:
    """Resolve a diet on a store, as a content-hashed manifest.

    The manifest lists the neurons and windows that the diet means there. Controls are as many random neurons of the
    store, like the diet's in the columns named with --on; how far each draw is from what it was matched to is printed.
    """
    from poyodata.store import open_store

    if draws and out is None:
        raise UsageError("--draws writes controls beside the manifest: give --out FOLDER.")
    if not draws and (on or seed is not None):
        raise UsageError("--on and --seed are of random controls: give --draws N, or leave them out.")
    if out is not None:
        _check_out(out, draws)
    opened, wanted = open_store(store), read_diet(diet, settings)
    split = split_of(wanted, opened, splits, fold)
    manifest = resolved(wanted, opened, split)
    controls = _controls(wanted, opened, split, draws, on, seed) if draws else []
    if out is not None:
        manifest.save(out)
        for number, control in enumerate(controls):
            control.save(out / _draw(number))
    imbalance = _imbalance(controls)
    if as_json:
        drawn = {"draws": [control.digest for control in controls], "imbalance": records(imbalance)} if draws else {}
        say(json.dumps(_facts(manifest) | drawn, indent=2, ensure_ascii=False))
        return
    print_funnel(manifest.funnel())
    for warning in manifest.warnings:
        say(f"note: {warning}")
    if controls:
        say(f"\nWhat {draws} draws of controls still differ in from what they were matched to:")
        print_table(_residual(imbalance), as_json=False, keys=2)
    say(f"\nmanifest {manifest.digest}" + (f" written to {out}" if out else ""))
    if controls and out is not None:
        say(f"controls in {out / _draw(0)} to {out / _draw(draws - 1)}")


def _draw(number: int) -> str:
    """Folder of a control beside its manifest."""
    return f"draw-{number:03d}"


def _check_out(out: Path, draws: int) -> None:
    """Refuse a folder before anything is resolved for it: not ours, or with draws that would not be replaced."""
    from poyodata.curation.manifest import check_target

    folders = [out / _draw(number) for number in range(draws)]
    for folder in (out, *folders):
        check_target(folder)
    older = [path.name for path in sorted(out.glob("draw-*")) if path.is_dir() and path not in folders]
    if older:
        shown = ", ".join(older[:3]) + (f" and {len(older) - 3} more" if len(older) > 3 else "")
        raise UsageError(
            f"{str(out)!r} holds {shown} of an earlier call, which this one would not replace and which would pass for "
            "controls of its manifest; remove them, or give another --out."
        )


def _controls(diet: Diet, store: Store, split: Split, draws: int, on: str, seed: int | None) -> list[Manifest]:
    """Draw controls for a diet; a diet that is one of controls itself says what they agree in, and is drawn again."""
    from poyodata.curation.language.rules import Match, walk_rules
    from poyodata.curation.selecting.draws import draw_controls

    if any(isinstance(rule, Match) for rule, _ in walk_rules(diet.neurons)):
        columns = [name.strip() for name in on.split(",") if name.strip()]
    else:
        columns = [name.strip() for name in (on or "session_id").split(",") if name.strip()]
    with stage(f"drawing {draws} controls", draws, "draws") as advance:
        controls = draw_controls(diet, store, draws, on=columns, seed=seed or 0, split=split)
        advance(draws)
    return controls


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "parameters": manifest.meta["parameters"],
        "funnel": records(manifest.funnel()),
        "warnings": list(manifest.warnings),
    }


def _imbalance(controls: list[Manifest]) -> pd.DataFrame:
    """How far each draw is from what it was matched to, in everything that it was matched in."""
    import pandas as pd

    tables = [control.imbalance().assign(draw=number) for number, control in enumerate(controls)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _residual(imbalance: pd.DataFrame) -> pd.DataFrame:
    """The imbalance of all draws together: the worst of each thing that was matched."""
    numbers = {name: imbalance[name].astype(float).abs() for name in ("difference", "smd", "ks")}
    keys = ["thing", "role"] if imbalance["role"].any() else ["thing"]
    table = imbalance.assign(**numbers).groupby(keys, sort=False)
    return table.agg(
        groups=("group", "nunique"),
        difference_mean=("difference", "mean"),
        difference_max=("difference", "max"),
        smd_max=("smd", "max"),
        ks_max=("ks", "max"),
    ).reset_index()
