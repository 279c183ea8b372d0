"""Every example of every docstring runs as printed."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.test_import_rules import MODULES


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"poyodata.__main__"}))
def test_examples(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert found.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    examples = [test for module in MODULES for test in finder.find(importlib.import_module(module)) if test.examples]
    assert len(examples) > 80
