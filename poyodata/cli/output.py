"""What commands share: their common arguments, and how results are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]
# As text: a Path would take a slash from the URL of a store.
StorePath = Annotated[
    str, typer.Argument(help="A store, as made by `poyodata ingest`: its folder, or a URL (s3://, https://).")
]
SplitName = Annotated[
    str, typer.Option("--splits", help="Split: blocks-5fold, epoch-out, donor-70-10-20, or a YAML file.")
]
Fold = Annotated[int, typer.Option(help="Fold of the split, from 0.")]


def say(text: str) -> None:
    """Print a result on standard output."""
    typer.echo(text)


def print_table(table: pd.DataFrame, as_json: bool) -> None:
    """Print a table on standard output, aligned or as JSON records."""
    if as_json:
        say(table.to_json(orient="records", indent=2, double_precision=15))
        return
    import pandas as pd

    with pd.option_context(
        "display.width", 160, "display.max_columns", 40, "display.precision", 4, "display.max_rows", 60
    ):
        say(table.to_string(index=False, max_rows=60))
