"""The commands under ``train``: pretraining, fine-tuning, and the test of what was trained."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from poyodata.cli.application import train_app
from poyodata.cli.diets_options import is_manifest_folder, read_diet, resolved, split_of
from poyodata.cli.output import INTERRUPTED, AsJson, Fold, SplitName, Stopped, print_table, say
from poyodata.cli.tables import print_wrapped
from poyodata.errors import RecipeError, UsageError, nearest

if TYPE_CHECKING:
    from poyodata.curation import Manifest
    from poyodata.models.recipes import TrainingRecipe
    from poyodata.models.training.stages import StageRun
    from poyodata.store import Store

LOGGERS = ("tensorboard", "csv", "wandb", "none")
FREE_BESIDE_RESUME = ("resume", "diet", "store", "logger", "accelerator", "as_json", "listing")
"""Parameters that may be given with --resume; of `diet` and `store` one, which is then the store."""
Eaten = Annotated[
    str, typer.Argument(metavar="MANIFEST|DIET", help="The folder of a manifest, or a diet; not with --resume.")
]
StoreOf = Annotated[str, typer.Argument(metavar="STORE", help="A store: its folder, or a URL; not with --resume.")]
RecipeName = Annotated[
    str, typer.Option("--recipe", metavar="NAME|FILE", help="A recipe of this package, or a YAML file; see --list.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set an entry of the recipe: --set train.lr=1e-3; repeatable."),
]
Out = Annotated[Path | None, typer.Option("--out", help="A new folder for the run.")]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="FOLDER",
        help="Go on with the run in this folder; beside it STORE, --logger, --accelerator, --json.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the recipe, sizes, steps, tokens and memory; trains nothing.")
]
Allow = Annotated[
    str | None,
    typer.Option("--allow-leakage", metavar="REASON", help="Go on although a test leaks; the reason stays for good."),
]
Logger = Annotated[
    list[str] | None,
    typer.Option("--logger", metavar="NAME", help="tensorboard (by default), csv or wandb, repeatable; or none."),
]
Device = Annotated[Literal["auto", "cpu", "gpu"], typer.Option("--accelerator", help="Where the model is trained.")]
Devices = Annotated[int, typer.Option(min=1, help="Processes on each machine.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
Listing = Annotated[bool, typer.Option("--list", help="List the recipes of this package.")]


@train_app.command("pretrain", epilog="Example: poyodata train pretrain predictable allen.zarr --out runs/pretrained")
def train_pretrain(
    ctx: typer.Context,
    diet: Eaten = "",
    store: StoreOf = "",
    recipe: RecipeName = "small-pretrain",
    out: Out = None,
    settings: Sets = None,
    splits: SplitName = "",
    fold: Fold = 0,
    allow_leakage: Allow = None,
    accelerator: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    logger: Logger = None,
    resume: Resume = None,
    dry_run: DryRun = False,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Train a model from its beginning: masked latent reconstruction on gratings, in the recipes of this package.

    The recipe is printed in full and kept in the run. --resume goes on with a run that was stopped, bit for bit.
    """
    if listing:
        _list(as_json)
        return
    where = _Where(accelerator, devices, nodes, _loggers(logger))
    if resume is not None:
        _go_on("pretrain", ctx, resume, where, as_json)
        return
    begun = _Begun(diet, store, recipe, None, settings or [], splits, fold, allow_leakage)
    _begin("pretrain", begun, out, where, dry_run, as_json)


@train_app.command(
    "finetune",
    epilog="Example: poyodata train finetune unpredictable allen.zarr --from runs/pretrained --out runs/tuned",
)
def train_finetune(
    ctx: typer.Context,
    diet: Eaten = "",
    store: StoreOf = "",
    recipe: RecipeName = "small-finetune",
    from_run: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="The run to begin with; without it, from scratch.")
    ] = None,
    out: Out = None,
    settings: Sets = None,
    splits: SplitName = "",
    fold: Fold = 0,
    allow_leakage: Allow = None,
    accelerator: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    logger: Logger = None,
    resume: Resume = None,
    dry_run: DryRun = False,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on labels or pictures, from where another run ended, or from scratch.

    What the whole lineage is tested on must be new to every stage of it, else this ends before it trains; with
    --allow-leakage it goes on, and the reason stands in every result.
    """
    if listing:
        _list(as_json)
        return
    where = _Where(accelerator, devices, nodes, _loggers(logger))
    if resume is not None:
        _go_on("finetune", ctx, resume, where, as_json)
        return
    begun = _Begun(diet, store, recipe, from_run, settings or [], splits, fold, allow_leakage)
    _begin("finetune", begun, out, where, dry_run, as_json)


@train_app.command("evaluate", epilog="Example: poyodata train evaluate runs/tuned allen.zarr")
def train_evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    store: Annotated[str, typer.Argument(metavar="STORE", help="The store of its manifest.")],
    on: Annotated[
        str, typer.Option("--on", metavar="MANIFEST|DIET", help="What to test on; by default the run's own manifest.")
    ] = "",
    role: Annotated[Literal["test", "valid"], typer.Option(help="Role of the windows to test on.")] = "test",
    splits: SplitName = "",
    fold: Fold = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; by default in the run.")] = None,
    allow_leakage: Allow = None,
    accelerator: Device = "auto",
    bins: Annotated[
        int | None,
        typer.Option(min=1, help="Parts of a window that the linear decoder reads; by default training time chooses."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test a run on windows that no stage of it has seen, beside chance and simple decoders on the same windows."""
    from poyodata.models.training.stages import evaluate, last_stage
    from poyodata.store import open_store

    if not on and (splits or fold):
        raise UsageError("--splits and --fold are of a diet given with --on; the run's own manifest has its split.")
    opened, last = open_store(store), last_stage(run)
    manifest = _manifest(on, opened, splits, fold, last.recipe) if on else last.manifest
    found = evaluate(
        opened, manifest, run, role=role, out=out, allow_leakage=allow_leakage, accelerator=accelerator, bins=bins
    )
    if as_json:
        say(json.dumps(found.facts, indent=2, ensure_ascii=False))
        return
    print_table(found.table(), as_json=False)
    for line in found.remarks:
        print_wrapped(f"\n{line}")
    say(f"\nResults: {found.folder}")


class _Where(NamedTuple):
    """Where a run is trained, and who is told of it."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    nodes: int
    loggers: tuple[str, ...] | None


class _Begun(NamedTuple):
    """What a run is begun with."""

    diet: str
    store: str
    recipe: str
    from_run: Path | None
    settings: list[str]
    splits: str
    fold: int
    allow_leakage: str | None


def _loggers(names: list[str] | None) -> tuple[str, ...] | None:
    """Who is told of a run: None for the usual ones; ``none`` for nobody."""
    if not names:
        return None
    for name in names:
        if name not in LOGGERS:
            raise UsageError(f"--logger {name[:40]!r} is not known: {nearest(name, LOGGERS)}")
    if "none" in names and len(names) > 1:
        raise UsageError("--logger none is for nobody to be told; leave it out beside others.")
    return tuple(dict.fromkeys(name for name in names if name != "none"))


def _go_on(stage: Literal["pretrain", "finetune"], ctx: typer.Context, run: Path, where: _Where, as_json: bool) -> None:
    """Go on with a run that was stopped."""
    from poyodata.models.training import stages
    from poyodata.store import open_store

    options = [one for one in ctx.command.params if one.name not in FREE_BESIDE_RESUME]
    given = [one.opts[0] for one in options if _is_given(ctx, one.name)]
    diet, store = ctx.params["diet"], ctx.params["store"]
    if given or (diet and store):
        what = ", ".join(given) or f"{diet!r} and {store!r}"
        raise UsageError(
            f"--resume FOLDER goes on with what lies there, as it was begun, and {what} came with it; give nothing "
            "beside it but STORE, where it was moved, --logger, --accelerator and --json."
        )
    opened = open_store(store or diet) if store or diet else None
    with _saying_how_to_go_on(stage, run):
        done = stages.resume(run, opened, stage=stage, accelerator=where.accelerator, loggers=where.loggers)
    _report(done, as_json)


def _is_given(ctx: typer.Context, name: str | None) -> bool:
    source = None if name is None else ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextlib.contextmanager
def _saying_how_to_go_on(stage: str, run: Path) -> Iterator[None]:
    """Say how a run that was stopped is gone on with, where there is one by then."""
    from poyodata.models.training.ancestry import FOLDER

    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if not (run / FOLDER).exists():
            raise
        status = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else stop.code
        raise Stopped(status, f"stopped; go on with: poyodata train {stage} --resume {run}") from stop


def _begin(
    stage: Literal["pretrain", "finetune"],
    begun: _Begun,
    out: Path | None,
    where: _Where,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Read, plan, print, and train."""
    from poyodata.models.training import stages
    from poyodata.models.training.ranks import ranks_of
    from poyodata.store import open_store

    if not begun.diet or not begun.store:
        raise UsageError(f"say what to learn from: poyodata train {stage} MANIFEST|DIET STORE --out RUN.")
    if out is None and not dry_run:
        raise UsageError("--out is missing: name a new folder for the run, or look first with --dry-run.")
    chosen = _recipe(begun.recipe, begun.settings)
    if out is not None and not dry_run:
        stages.check_out(out)
    opened = open_store(begun.store)
    manifest = _manifest(begun.diet, opened, begun.splits, begun.fold, chosen)
    prepared = stages.prepare(
        opened,
        manifest,
        chosen,
        stage=stage,
        from_run=begun.from_run,
        allow_leakage=begun.allow_leakage,
        accelerator=where.accelerator,
        devices=where.devices,
        nodes=where.nodes,
    )
    if as_json and dry_run:
        say(json.dumps(prepared.facts(), indent=2, ensure_ascii=False))
        return
    if ranks_of(prepared.train)[0] == 0:
        for line in prepared.text().splitlines():
            typer.echo(line, err=not dry_run)
    if dry_run or out is None:
        return
    with _saying_how_to_go_on(stage, out):
        done = stages.carry_out(prepared, out, loggers=where.loggers)
    _report(done, as_json)


def _recipe(name: str, settings: list[str]) -> TrainingRecipe:
    from poyodata.models.recipes import load_recipe

    try:
        return load_recipe(name, settings)
    except RecipeError as error:
        if error.problems and all(problem.name == "--set" for problem in error.problems):
            raise UsageError(str(error)) from error
        raise


def _manifest(source: str, store: Store, splits: str, fold: int, recipe: TrainingRecipe | None) -> Manifest:
    """A manifest from its folder; or a diet resolved here, on the time of the recipe's stimulus if it names none."""
    from poyodata.curation import Manifest, c
    from poyodata.curation.language.window_rule import WindowRule

    if is_manifest_folder(source):
        if splits or fold:
            raise UsageError(f"{source} is a folder with a manifest, which is resolved already: leave out --splits.")
        return Manifest.load(source)
    diet = read_diet(source)
    stimulus = None if recipe is None else recipe.stimulus
    if stimulus is not None and diet.windows == WindowRule():
        diet = diet.during(c.stimulus == stimulus)
    return resolved(diet, store, split_of(diet, store, splits, fold))


def _list(as_json: bool) -> None:
    import pandas as pd

    from poyodata.models.recipes import known_recipes, load_recipe

    rows: list[dict[str, Any]] = []
    for name in known_recipes():
        one = load_recipe(name)
        rows.append({"recipe": name, "stage": one.stage, "model": one.model.size, "about": one.about})
    if as_json:
        print_table(pd.DataFrame(rows), as_json=True)
        return
    for row in rows:
        print_wrapped(f"{row['recipe']} ({row['stage']}, {row['model']}): {row['about']}")


def _report(done: StageRun, as_json: bool) -> None:
    """Say what a run came to; of several processes, the first does."""
    from poyodata.models.training.ranks import ranks_of

    if ranks_of(done.run.config)[0] > 0:
        return
    if as_json:
        say(json.dumps(done.facts, indent=2, ensure_ascii=False))
        return
    for line in done.text().splitlines():
        say(line)
