"""The commands ``diet list``, ``show``, ``validate`` and ``schema``: diets as texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poyodata.cli.application import diet_app
from poyodata.cli.diets_options import DietName, Settings, read_diet, records
from poyodata.cli.output import AsJson, print_table, say
from poyodata.errors import DietError, PoyodataError, Problem, UsageError

if TYPE_CHECKING:
    from poyodata.store import Store


@diet_app.command("list", epilog="Example: poyodata diet list my-diets")
def diet_list(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders with diets as YAML and JSON files.")] = None,
    as_json: AsJson = False,
) -> None:
    """List diets: built in, of installed packages, in folders."""
    import pandas as pd

    from poyodata.curation.library import FILES, list_diets

    rows = records(list_diets())
    for folder in folders or ():
        if not folder.is_dir():
            raise UsageError(f"{str(folder)!r} is no folder; give one that holds diets, or none.")
        rows += [_row(path) for path in sorted(folder.iterdir()) if path.suffix in FILES]
    good = [row for row in rows if not row["problem"]]
    if as_json:
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        shown = [row | {"parameters": _settings(row["parameters"])} for row in good]
        table = pd.DataFrame(shown, columns=["name", "description", "parameters", "origin"])
        print_table(table.drop(columns="origin") if (table["origin"] == "poyodata").all() else table, as_json=False)
    for row in rows:
        if row["problem"]:
            typer.echo(f"poyodata: {row['problem']}", err=True)
    if len(good) < len(rows):
        raise typer.Exit(1)


def _row(path: Path) -> dict[str, Any]:
    """A file as `list_diets` lists diets with names."""
    from poyodata.curation import load_diet

    row: dict[str, Any] = {"name": str(path), "origin": "file", "description": "", "parameters": {}, "problem": ""}
    try:
        diet = load_diet(path)
    except PoyodataError as error:
        return row | {"problem": str(error)}
    return row | {"description": diet.description, "parameters": diet.parameters}


def _settings(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


@diet_app.command("show", epilog="Example: poyodata diet show predictable --set max_skewness=3.0 --python")
def diet_show(
    diet: DietName,
    settings: Settings = None,
    as_python: Annotated[bool, typer.Option("--python", help="As the Python source that makes it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a diet as YAML, as Python or as JSON."""
    if as_python and as_json:
        raise UsageError("a diet is shown as Python or as JSON; give one of --python and --json.")
    found = read_diet(diet, settings)
    if as_json:
        say(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        say((found.to_python() if as_python else found.to_yaml()).rstrip())


@diet_app.command("validate", epilog="Example: poyodata diet validate calm.yaml mixed.yaml allen.zarr")
def diet_validate(
    files: Annotated[
        list[str],
        typer.Argument(metavar="DIET... [STORE]", help="Files, or names of diets; then a store."),
    ],
    as_json: AsJson = False,
) -> None:
    """Print all that is wrong with diets, with line and column.

    Status 1 where anything is, 2 where a diet is not found. With a store, columns, texts and the split are compared
    with what it holds; notes are of what is only remarkable, such as a CRE line that it has no neuron of.
    """
    from poyodata.curation.library import known_diets
    from poyodata.store import open_store

    *names, last = files
    is_store = "://" in last or (Path(last).is_dir() and (bool(names) or last not in known_diets()))
    if not is_store:
        names.append(last)
    if not names:
        raise UsageError("give at least one diet before the store: poyodata diet validate my.yaml allen.zarr.")
    store = open_store(last) if is_store else None
    rows: list[dict[str, Any]] = []
    wrong = False
    absent: list[str] = []
    for name in names:
        try:
            problems, notes = _problems(name, store)
        except UsageError as error:  # the others are looked at all the same
            absent.append(str(error))
            rows.append(_found("error", name, Problem(None, None, "", str(error))))
            continue
        wrong = wrong or bool(problems)
        rows += [_found("error", name, one) for one in problems] + [_found("note", name, one) for one in notes]
        if not as_json:
            for kind, one in (*(("", one) for one in problems), *(("note", one) for one in notes)):
                at = ":".join(str(part) for part in (name, one.line, one.column) if part is not None)
                say(": ".join(part for part in (at, kind, one.path, one.message) if part))
            if not problems:
                say(f"{name}: well formed" + (f", and {last} has all that it names" if is_store else ""))
    if as_json:
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    for message in absent:
        typer.echo(f"poyodata: {message}", err=True)
    if wrong or absent:
        raise typer.Exit(UsageError.exit_code if absent else 1)


def _found(kind: str, name: str, one: Problem) -> dict[str, Any]:
    return {
        "kind": kind,
        "file": name,
        "line": one.line,
        "column": one.column,
        "path": one.path,
        "message": one.message,
    }


def _problems(name: str, store: Store | None) -> tuple[list[Problem], list[Problem]]:
    """Problems of what the other commands find under that name, and notes on it."""
    from poyodata.curation.documents.problems import look_through
    from poyodata.curation.library import FILES, load_diet

    if name.endswith(FILES):
        return look_through(Path(name), store)
    try:
        return look_through(load_diet(name), store)
    except DietError as error:
        return list(error.problems) or [Problem(None, None, "", str(error))], []


@diet_app.command("schema", epilog="Example: poyodata diet schema > diet.schema.json")
def diet_schema(_as_json: AsJson = False) -> None:
    """Print the JSON Schema of diets, for editors; it is JSON with and without --json."""
    from poyodata.curation.documents.schema import diet_schema as schema

    say(json.dumps(schema(), indent=2, ensure_ascii=False))
