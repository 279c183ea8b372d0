"""The program's tree of commands, before any of them is there, and what it answers by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from poyodata._version import version
from poyodata.cli.output import say
from poyodata.runtime import limit_threads

app = typer.Typer(
    name="poyodata",
    help="Data diets for calcium imaging: which neurons a model eats, stated in six lines and proved afterwards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
diet_app = typer.Typer(help="Data diets: which neurons, and which time.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(diet_app, name="diet")
fetch_app = typer.Typer(help="Recordings from public archives: allen.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(fetch_app, name="fetch")
train_app = typer.Typer(
    help="Models: pretrain, fine-tune, and test what was trained.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(train_app, name="train")


def _version(asked: bool) -> None:
    if asked:
        say(f"poyodata {version}")
        raise typer.Exit


@app.callback()
def _program(
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    limit_threads()
