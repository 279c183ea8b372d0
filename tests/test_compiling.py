"""Kernels are compiled wherever they are used, also where nothing can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import pytest

from poyodata.compiling import compiled


def test_compiles_where_no_folder_for_compiled_code_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def njit(*signature: Any, **options: Any) -> Callable[[Any], Any]:
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled()(len) is len
    assert [call.get("cache", False) for call in calls] == [True, False]
