"""Every CRE line has its law, and laws are possible ones."""

from __future__ import annotations

import pytest

from poyodata.realism.reference import PREDICTABLE_LINES
from poyodata.simulation.lines import KINDS, LINES
from poyodata.vocabulary import CRE_LINES, canonical_cre_line


def test_every_line_has_its_law() -> None:
    assert set(LINES) == set(CRE_LINES)


@pytest.mark.parametrize("line", CRE_LINES)
def test_a_law_is_possible_and_named_by_its_line(line: str) -> None:
    law = LINES[line]
    assert canonical_cre_line(law.genotype) == line
    assert canonical_cre_line(law.reporter) == line
    assert law.dense + law.bursty <= 1.0
    assert 0.0 < law.driven <= 1.0
    # The criterion finds some of the undriven cells by chance, and misses some that are weakly driven.
    assert abs(law.responsive - law.driven) < 0.2


def test_predictable_lines_are_mostly_dense() -> None:
    for line, law in LINES.items():
        assert (law.dense > 0.5) == (line in PREDICTABLE_LINES)
    assert KINDS["dense"].burst_log_sd < min(KINDS["bursty"].burst_log_sd, KINDS["quiet"].burst_log_sd)
