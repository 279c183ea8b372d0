"""The program ``poyodata``: every command is a thin skin over one function of the library.

Heavy imports are made inside commands: ``poyodata --help`` must answer at once. Standard output carries results (with
``--json`` nothing else), standard error progress and messages. Exit status: 0 done, 1 content is invalid or the check
that was asked for fails, 2 the call itself is wrong.
"""

from __future__ import annotations

import sys

import typer

from poyodata.cli.application import app
from poyodata.cli.output import INTERRUPTED, Stopped
from poyodata.errors import PoyodataError

# In the order in which `poyodata --help` lists their commands.
# isort: off
from poyodata.cli import demonstrating, simulating, fetching  # noqa: F401
from poyodata.cli import ingesting, storing, statistics  # noqa: F401
from poyodata.cli import diets_files, diets_resolving, diets_manifests  # noqa: F401
from poyodata.cli import training  # noqa: F401
from poyodata.cli import exporting, judging  # noqa: F401
# isort: on

__all__ = ["app", "main"]

STOPPED = "stopped. Run the same command again; it begins anew, or goes on where recordings were finished and kept."


def main() -> None:
    """Run the program; errors of ours end in one sentence and their exit status."""
    try:
        app(prog_name="poyodata")
    except SystemExit as stop:
        if isinstance(stop, Stopped):
            typer.echo(f"poyodata: {stop.how}", err=True)
        elif stop.code == INTERRUPTED:
            typer.echo(f"poyodata: {STOPPED}", err=True)
        raise
    except PoyodataError as error:
        typer.echo(f"poyodata: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error)
        typer.echo(f"poyodata: {what}. Free space or correct the path, then run the same command again.", err=True)
        sys.exit(1)
