"""The package's door: names load on first use, linear models without torch, and never under the bare name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import poyodata.models


def _python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def test_every_export_exists() -> None:
    for name in poyodata.models.__all__:
        assert getattr(poyodata.models, name).__name__ == name
    assert dir(poyodata.models) == sorted(poyodata.models.__all__)
    with pytest.raises(AttributeError, match="no attribute 'PoyoMinus'"):
        poyodata.models.PoyoMinus  # noqa: B018


def test_linear_decoder_and_metrics_need_no_torch() -> None:
    found = _python(
        "import sys; sys.modules['torch'] = None\n"
        "from poyodata.models import RidgeDecoder, TrainConfig, PoyoConfig, score\n"
        "import poyodata.models as m\n"
        "try:\n    m.PoyoPlus\nexcept ImportError as error:\n    print(error)\n"
    )
    assert found.returncode == 0, found.stderr
    assert "poyodata.models.PoyoPlus needs torch" in found.stdout
    assert "pip install 'poyodata[train]'" in found.stdout


def test_the_bare_name_is_refused() -> None:
    folder = Path(poyodata.models.__file__).resolve().parent
    found = _python(
        f"import sys; sys.path.insert(0, {str(folder.parent)!r}); sys.modules.pop('models', None); import {folder.name}"
    )
    assert found.returncode == 1
    assert "write `import poyodata.models`" in found.stderr
