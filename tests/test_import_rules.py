"""Imports run one way: source, store, splits, statistics, diet, manifest, view, loader, model, report; never back."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = {
    "_version",
    "compiling",
    "csv_tables",
    "digests",
    "documents",
    "drawing",
    "errors",
    "hash_kernel",
    "hdf5_output",
    "intervals",
    "nwb2_objects",
    "progress",
    "replacing",
    "runner",
    "runtime",
    "vocabulary",
}

# layer: what it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "sources": {"core"},
    "simulation": {"core", "sources"},
    "allensdk": {"core", "sources"},
    "fetch": {"core", "allensdk"},
    "store": {"core"},
    "splits": {"core", "store"},
    "statistics": {"core", "store", "splits"},
    "curation": {"core", "store", "splits", "statistics"},
    # What a loader fits says in a `Fitted` what it looked at; the checks for leaks that read it stay in curation.
    "loaders": {"core", "store", "statistics.moments", "curation.manifest", "curation.view", "curation.leaks.fitted"},
    "export": {"core", "store", "splits", "curation"},
    "models": {"core"},
    "report": {"core"},
    "plots": {"core", "store", "splits", "statistics"},
    "datasheet": {"core", "store", "splits", "statistics", "curation", "plots", "report"},
    "realism": {"core", "sources", "simulation", "statistics", "models", "report", "plots"},
    "ingest": {"core", "sources", "store"},
    "demo": {
        "ingest",
        "core",
        "sources",
        "simulation",
        "store",
        "splits",
        "statistics",
        "curation",
        "loaders",
        "models",
        "report",
        "plots",
        "datasheet",
    },
    "cli": {
        "core",
        "sources",
        "simulation",
        "store",
        "splits",
        "statistics",
        "curation",
        "export",
        "loaders",
        "models",
        "report",
        "datasheet",
        "ingest",
        "demo",
        "fetch",
        "allensdk",
        "realism",
    },
}
# What brings a store, a manifest and a model together: recipes embed the loaders' own, and stages make loaders, check
# the lineage for leaks and write runs. The rest of the models knows core alone.
STAGES = {"core", "models", "loaders", "curation", "store", "splits"}
MAY_IMPORT_MORE: dict[str, set[str]] = {
    "poyodata.models.recipes": {"loaders.recipe", "loaders.recipe_document"},
    "poyodata.models.training.ancestry": STAGES,
    "poyodata.models.training.classes": STAGES,
    "poyodata.models.training.demands": STAGES,
    "poyodata.models.training.evaluating": STAGES,
    "poyodata.models.training.first_pictures": STAGES,
    "poyodata.models.training.known": STAGES,
    "poyodata.models.training.past_stages": STAGES,
    "poyodata.models.training.plan": STAGES,
    "poyodata.models.training.preparing": STAGES,
    "poyodata.models.training.runs": STAGES,
    "poyodata.models.training.scales": STAGES,
    "poyodata.models.training.stages": STAGES,
}
# The doors from a lower layer to a higher one: `store.compute_statistics(...)` and `manifest.report(...)` are where a
# user looks for them. They open when the method is called, so that importing the lower layer costs and knows nothing of
# the higher.
DOORS = {
    ("poyodata.store.reader", "poyodata.statistics.compute_statistics"),
    ("poyodata.curation.manifest", "poyodata.datasheet.write_datasheet"),
}
MAY_IMPORT_TORCH = {"loaders", "models", "demo"}
# Loaders work without torch; what subclasses torch's own classes lies in one folder of them.
IMPORT_TORCH_AT_ONCE = ("poyodata.models", "poyodata.loaders.torch.")
HEAVY = {"torch", "lightning", "torchmetrics", "matplotlib", "dask", "distributed", "pynwb", "tensorboard"}


def layer_of(module: str) -> str:
    """``poyodata.store.reader`` -> ``store``; ``poyodata.errors`` -> ``core``."""
    first = module.split(".")[1] if "." in module else ""
    return "core" if first in CORE or not first or first == "__main__" else first


def module_files() -> Iterator[tuple[str, Path]]:
    for folder in (ROOT / "poyodata", ROOT / "curation", ROOT / "loaders", ROOT / "models"):
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(ROOT)
            if any((ROOT / Path(*relative.parts[: i + 1])).is_symlink() for i in range(len(relative.parts))):
                continue  # a link: its files are walked at their real place
            parts = relative.with_suffix("").parts
            parts = parts if parts[0] == "poyodata" else ("poyodata", *parts)
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports_of(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line, imported name, and whether it is made when the module is imported (not in a function or for typing)."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[tuple[int, str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((child.lineno, alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import; imports across folders are absolute"
                yield from ((child.lineno, f"{child.module}.{alias.name}", at_import) for alias in child.names)
            else:
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                inner = at_import and not typing_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


MODULES = dict(module_files())


def test_every_layer_is_found() -> None:
    assert {layer_of(name) for name in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_imports_never_run_back(module: str) -> None:
    path = MODULES[module]
    if module in ("poyodata", "poyodata.__main__"):
        return  # the lazy front door names everything, and imports it on use only: see the laziness tests
    layer = layer_of(module)
    for line, name, at_import in imports_of(path):
        where = f"{path.relative_to(ROOT)}:{line}: imports {name}"
        top = name.split(".")[0]
        assert top not in {"curation", "loaders", "models"}, f"{where}; the importable name is poyodata.{name}"
        if top == "poyodata":
            target = layer_of(name)
            allowed = target == layer or target in MAY_IMPORT[layer]
            allowed |= (module, name) in DOORS and not at_import
            more = MAY_IMPORT_MORE.get(module) or MAY_IMPORT_MORE.get(module.rpartition(".")[0], set())
            allowed |= target in more or any(name.startswith(f"poyodata.{entry}") for entry in more if "." in entry)
            allowed |= any(name.startswith(f"poyodata.{entry}") for entry in MAY_IMPORT[layer] if "." in entry)
            assert allowed, f"{where}; {layer} may import only {sorted(MAY_IMPORT[layer])}"
        if top in {"torch", "lightning", "torchmetrics"}:
            assert layer in MAY_IMPORT_TORCH, f"{where}; {layer} works without torch"
        if top in HEAVY and not module.startswith(IMPORT_TORCH_AT_ONCE):
            assert not at_import, f"{where} when it is imported; import it in the function that needs it"


@pytest.mark.parametrize(("module", "name"), sorted(DOORS))
def test_every_door_is_there_and_opens_late(module: str, name: str) -> None:
    assert [at_import for _, imported, at_import in imports_of(MODULES[module]) if imported == name] == [False]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import poyodata", id="package"),
        pytest.param(
            "from poyodata import Diet, Manifest, SplitSpec, c, compute_statistics, mix, open_store", id="names"
        ),
        pytest.param("import poyodata.cli", id="cli"),
        pytest.param(
            "from poyodata.loaders import Loader, Recipe, make_loader, to_torch_brain, to_xarray", id="loaders"
        ),
    ],
)
def test_import_is_light(statement: str) -> None:
    heavy = HEAVY if statement != "import poyodata" else HEAVY | {"numpy", "pandas", "zarr", "xarray", "numba"}
    code = f"{statement}\nimport sys\nprint(sorted(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", f"`{statement}` loads {done.stdout.strip()}"


def test_every_public_name_exists() -> None:
    import poyodata

    assert all(getattr(poyodata, name) is not None for name in poyodata.__all__)
    with pytest.raises(AttributeError, match="Diett"):
        _ = poyodata.Diett
