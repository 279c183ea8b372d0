"""One importable top level, whatever the way in: checkout, editable install, wheel, elsewhere, spawned worker."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import multiprocessing, sys
import poyodata, poyodata.curation, poyodata.loaders, poyodata.models
from poyodata.curation import Diet
def name(_):
    import poyodata.curation
    return poyodata.curation.Diet.__module__, poyodata.curation.__file__
if __name__ == "__main__":
    assert Diet.__module__.startswith("poyodata.curation"), Diet.__module__
    if sys.argv[1:] == ["spawn"]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(name, [0])[0] == name(0)
    print(poyodata.__file__)
"""


def copy_checkout(target: Path) -> Path:
    """A checkout as git would give it: tracked and untracked files that are not ignored, links as links."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        source, copy = ROOT / name, target / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


def run_probe(folder: Path, cwd: Path, *, path: Path | None, spawn: bool = False) -> str:
    """Run the probe isolated from this environment's own poyodata; returns the file that was imported."""
    script = folder / "probe.py"
    lines = [f"import sys; sys.path = [p for p in sys.path if p != {str(folder)!r}]"]
    lines += [f"sys.path.insert(0, {str(path)!r})"] if path else []
    lines += ["sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]"] if path else []
    script.write_text("\n".join(lines) + PROBE)
    arguments = [sys.executable, str(script), *(["spawn"] if spawn else [])]
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    checkout = copy_checkout(folder / "checkout")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_links_are_relative() -> None:
    for name in ("curation", "loaders", "models"):
        link = ROOT / "poyodata" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"


def test_every_package_folder_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in ("poyodata", "curation", "loaders", "models")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    found = {name if name.startswith("poyodata") else f"poyodata.{name}" for name in found}
    assert found == listed


@pytest.mark.slow
def test_wheel_holds_only_poyodata(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"poyodata"}
    for needed in (
        "poyodata/py.typed",
        "poyodata/curation/__init__.py",
        "poyodata/report/page.html",
        "poyodata/allensdk/requirements.txt",
    ):
        assert needed in names
    shipped = {f"poyodata/curation/presets/{path.name}" for path in (ROOT / "curation" / "presets").glob("*.yaml")}
    shipped |= {
        f"poyodata/sources/mappings/{path.name}" for path in (ROOT / "poyodata/sources/mappings").glob("*.yaml")
    }
    assert shipped <= set(names)
    assert len(shipped) > 3


def as_checkout(folder: Path, wheel: Path) -> Path:
    return copy_checkout(folder / "checkout")


def as_wheel(folder: Path, wheel: Path) -> Path:
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
@pytest.mark.parametrize("spawn", [False, True], ids=["direct", "spawned"])
@pytest.mark.parametrize("way", [as_checkout, as_wheel], ids=["checkout", "wheel"])
def test_imports_from(way: Callable[[Path, Path], Path], spawn: bool, tmp_path: Path, wheel: Path) -> None:
    place = way(tmp_path, wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run_probe(tmp_path, elsewhere, path=place, spawn=spawn).startswith(str(place))


@pytest.mark.slow
def test_checkout_imports_at_its_root(tmp_path: Path) -> None:
    place = copy_checkout(tmp_path / "checkout")
    done = subprocess.run(
        [sys.executable, "-c", "import poyodata, poyodata.models, poyodata.loaders; print(poyodata.__file__)"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(place))


@pytest.mark.slow
@pytest.mark.parametrize("links", [True, False], ids=["with-links", "without-links"])
def test_editable_install(links: bool, tmp_path: Path) -> None:
    place = copy_checkout(tmp_path / "checkout")
    if not links:
        for name in ("curation", "loaders", "models"):
            (place / "poyodata" / name).unlink()
    site = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(site)], check=True)
    python = site / "bin" / "python"
    purelib = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-deps",
    ]
    done = subprocess.run([*pip, "--editable", str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The dependencies come from this environment, after the new one; its own poyodata is shadowed by the editable one.
    Path(purelib, "zz_dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [str(python), str(probe), "spawn"], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(place))


@pytest.mark.parametrize("name", ["curation", "loaders", "models"])
def test_bare_names_are_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"poyodata.{name}" in done.stderr.splitlines()[-1]
