from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import poyodata.curation

ROOT = Path(poyodata.curation.__file__).resolve().parents[1]


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)


def test_the_bare_name_is_refused() -> None:
    result = run("import sys; sys.path.insert(0, '.'); import curation", ROOT)
    assert result.returncode == 1
    assert "this folder is the code of poyodata.curation; import that name, not 'curation'" in result.stderr


def test_diets_are_read_without_torch_store_or_statistics() -> None:
    program = (
        "import sys\nfrom poyodata.curation import Diet, c, load_diet, mix\nload_diet('mixed-30')\n"
        "heavy = {'torch', 'matplotlib', 'dask', 'zarr', 'numba', 'poyodata.store', 'poyodata.statistics'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = run(program, ROOT)
    assert result.returncode == 0, result.stderr


def test_every_exported_name_is_there() -> None:
    for name in poyodata.curation.__all__:
        assert getattr(poyodata.curation, name) is not None
