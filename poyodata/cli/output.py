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
Workers = Annotated[
    int | None,
    typer.Option(help="Local processes. By default as many as cores where there is enough work, else this one alone."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A dask.distributed scheduler to be used instead where work is left; its workers must see the same files.",
    ),
]


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Stopped(SystemExit):
    """The end of a command that was told to stop.

    Parameters
    ----------
    code : int or str or None
        Exit status.
    how : str
        How what was begun is gone on with.
    """

    def __init__(self, code: int | str | None, how: str) -> None:
        super().__init__(code)
        self.how = how


def say(text: str) -> None:
    """Print a result on standard output."""
    typer.echo(text)


def print_table(table: pd.DataFrame, as_json: bool, keys: int = 1) -> None:
    """Print a table on standard output: as JSON records, or aligned.

    On a terminal, columns that do not fit beside the others follow in a table of their own, after the first `keys`
    columns again.
    """
    if as_json:
        say(table.to_json(orient="records", indent=2, double_precision=15))
        return
    from poyodata.cli.tables import print_aligned

    print_aligned(table, keys)
