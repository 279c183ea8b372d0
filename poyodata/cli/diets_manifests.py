"""The commands ``diet diff``, ``report``, ``sample`` and ``explain``: what was resolved, looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poyodata.cli.application import diet_app
from poyodata.cli.diets_options import Settings, is_manifest_folder, manifest_of, read_diet, records, split_of
from poyodata.cli.output import AsJson, Fold, SplitName, StorePath, print_table, say
from poyodata.cli.tables import print_wrapped
from poyodata.errors import UsageError
from poyodata.progress import stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from poyodata.curation import Manifest
    from poyodata.curation.changes.diff import ManifestDiff

Source = Annotated[str, typer.Argument(metavar="MANIFEST|DIET", help="The folder of a manifest; or a diet.")]
ManifestFolder = Annotated[
    Path | None, typer.Option("--manifest", help="A folder that `poyodata diet resolve --out` wrote; needs no store.")
]


@diet_app.command("diff", epilog="Example: poyodata diet diff predictable predictable-stricter")
def diet_diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="The folder of a manifest.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The folder of another manifest.")],
    as_json: AsJson = False,
) -> None:
    """Say what differs between two manifests, and why.

    Status 1 where they differ. Every neuron and window that came, went or moved is due to one cause.
    """
    from poyodata.curation import Manifest

    found = Manifest.load(a).diff(Manifest.load(b))
    if as_json:
        facts: dict[str, Any] = {"same": found.same, "counts": found.counts, "causes": records(found.table())}
        facts |= {"neurons": records(found.neurons), "windows": records(found.windows)}
        say(json.dumps(facts, indent=2, ensure_ascii=False))
    elif found.same:
        say(f"no difference: both are manifest {found.before.digest}")
    else:
        print_table(_counted(found), as_json=False)
        for line in _causes(found):
            print_wrapped(line)
    if not found.same:
        raise typer.Exit(1)


def _counted(found: ManifestDiff) -> pd.DataFrame:
    """How many neurons and windows there were, came, went, moved, and are."""
    import pandas as pd

    rows = []
    for what in ("neurons", "windows"):
        before, after = (len(getattr(one, what)) for one in (found.before, found.after))
        changes = {change: found.counts.get(f"{what}_{change}") for change in ("came", "went", "moved")}
        rows.append({"": what, "before": before, **changes, "after": after})
    return pd.DataFrame(rows).astype({"moved": "Int64"})


def _causes(found: ManifestDiff) -> Iterator[str]:
    """What each cause moved: + came, - went, ~ moved."""
    for cause in found.table().to_dict("records"):
        moved = [
            f"{what} " + " ".join(f"{sign}{cause[f'{what}_{change}']}" for change, sign in signs)
            for what, signs in _SIGNS.items()
            if any(cause[f"{what}_{change}"] for change, _ in signs)
        ]
        yield f"\n{cause['cause']} {cause['what']}".rstrip() + f": {', '.join(moved) or 'moves nothing'}"
        before, after = str(cause["before"]), str(cause["after"])
        yield from (
            [f"  {before} -> {after}"] if len(before + after) < _SHORT else [f"  from {before}", f"  to   {after}"]
        )


_SIGNS = {"neurons": (("came", "+"), ("went", "-"), ("moved", "~")), "windows": (("came", "+"), ("went", "-"))}
_SHORT = 60


@diet_app.command("report", epilog="Example: poyodata diet report predictable allen.zarr --out predictable.html")
def diet_report(
    source: Source,
    store: StorePath,
    out: Annotated[Path, typer.Option(help="The page: one HTML file, which needs nothing beside it.")],
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="OTHER", help="A manifest, or a diet, whose overlap is shown; repeatable."),
    ] = None,
    splits: SplitName = "",
    fold: Fold = 0,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Write one page about a diet.

    Funnel, skewness-kurtosis plane, composition, information, splits, leaks, overlaps, the diet itself.
    """
    from poyodata.datasheet import write_datasheet
    from poyodata.datasheet.target import PAGES, check_target
    from poyodata.store import open_store

    check_target(out, PAGES, "a datasheet")  # before a diet is resolved for it
    opened = open_store(store)
    manifest = manifest_of(source, opened, splits, fold, settings)
    beside = [
        manifest_of(other, opened, *(() if is_manifest_folder(other) else (splits, fold))) for other in others or ()
    ]
    with stage("writing the page", 1) as advance:
        write_datasheet(manifest, opened, out, others=beside)
        advance(1)
    _say_written(out, manifest, as_json)


@diet_app.command("sample", epilog="Example: poyodata diet sample predictable allen.zarr --out traces.svg")
def diet_sample(
    source: Source,
    store: StorePath,
    out: Annotated[Path, typer.Option(help="The picture: an SVG or PNG file.")],
    n: Annotated[int, typer.Option("-n", min=1, max=40, help="Neurons of either kind.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Which neurons.")] = 0,
    splits: SplitName = "",
    fold: Fold = 0,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Draw traces of some neurons kept and some rejected."""
    from poyodata.datasheet.sample import write_sample
    from poyodata.datasheet.target import PICTURES, check_target
    from poyodata.store import open_store

    check_target(out, PICTURES, "a sample")
    opened = open_store(store)
    manifest = manifest_of(source, opened, splits, fold, settings)
    write_sample(manifest, opened, out, n=n, seed=seed)
    _say_written(out, manifest, as_json)


def _say_written(file: Path, manifest: Manifest, as_json: bool) -> None:
    facts = {"file": str(file), "manifest": manifest.digest}
    say(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else f"{file} of manifest {manifest.digest}")


@diet_app.command("explain", epilog="Example: poyodata diet explain 900000000_10000000000 --manifest predictable")
def diet_explain(
    neuron: Annotated[str, typer.Argument(metavar="NEURON", help="Its neuron_id.")],
    diet: Annotated[str, typer.Argument(help="A diet, resolved on STORE; or use --manifest.")] = "",
    store: Annotated[str, typer.Argument(help="A store.")] = "",
    manifest: ManifestFolder = None,
    splits: SplitName = "",
    fold: Fold = 0,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Say which clause kept or dropped a neuron, and its values."""
    from poyodata.curation import Manifest
    from poyodata.store import open_store

    if manifest is not None:
        if diet or splits or fold or settings:
            raise UsageError("--manifest is resolved already: leave out DIET, STORE, --splits, --fold and --set.")
        found = Manifest.load(manifest).explain(neuron)
    elif diet and store:
        opened = open_store(store)
        chosen = read_diet(diet, settings)
        found = chosen.explain(opened, neuron, split=split_of(chosen, opened, splits, fold))
    else:
        raise UsageError("give --manifest FOLDER, or a diet and a store: poyodata diet explain NEURON DIET STORE.")
    if as_json:
        say(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    sentences, _, _ = str(found).partition("\n\n")
    print_wrapped(sentences)
    steps = found.steps[["answer", "looked_at", "place", "rule"]]
    if len(steps):
        say("")
        print_table(steps if steps["place"].any() else steps.drop(columns="place"), as_json=False, keys=2)
