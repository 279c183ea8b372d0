from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import load_world
from poyodata.simulation.census import ALLEN_CONTAINERS, recording
from poyodata.simulation.lines import LINES
from poyodata.simulation.sessions import _start_time
from poyodata.simulation.world import World
from poyodata.vocabulary import CRE_LINES, canonical_cre_line


def everything(world: World) -> pd.DataFrame:
    entries = [recording(world, number) for number in range(world.sessions)]
    return pd.DataFrame([entry.metadata.__dict__ | {"specimen": entry.specimen_name} for entry in entries])


def test_allen_like_has_the_observatorys_counts() -> None:
    table = everything(load_world("allen-like"))
    assert len(table) == 1518
    assert table["session_id"].is_unique
    assert table["container_id"].nunique() == 506 == ALLEN_CONTAINERS
    assert table["donor_id"].nunique() == 267
    assert set(table["cre_line"]) == set(CRE_LINES)
    for line, part in table.groupby("cre_line"):
        assert part["donor_id"].nunique() == LINES[str(line)].donors
        assert part["container_id"].nunique() == LINES[str(line)].containers
    # A mouse has one line, a container one mouse, one place and three sessions.
    assert table.drop_duplicates(["donor_id", "cre_line"])["donor_id"].is_unique
    assert table.drop_duplicates(["container_id", "donor_id", "area", "depth_um"])["container_id"].is_unique
    kinds = table.groupby("container_id")["session_type"].agg(tuple)
    assert set(kinds) == {("three_session_A", "three_session_B", f"three_session_{kind}") for kind in ("C", "C2")}
    assert set(table["area"]) == {"VISal", "VISam", "VISl", "VISp", "VISpm", "VISrl"}


def test_any_beginning_is_a_fair_sample() -> None:
    table = everything(load_world("allen-like").replace(sessions=150))
    count = Counter(table.drop_duplicates("container_id")["cre_line"])
    for line, law in LINES.items():
        assert abs(count[line] - 50 * law.containers / 506) < 1.5


def test_recordings_do_not_depend_on_how_many_there_are() -> None:
    world = load_world("allen-like")
    assert recording(world, 100) == recording(world.replace(sessions=101), 100)


def test_ids_of_cells_are_unique_over_containers() -> None:
    world = load_world("tiny").replace(sessions=3, neurons=3000, cell_overlap=0.05, session_types=("A", "B"))
    first, second = (recording(world, number) for number in (0, 2))
    cells = np.arange(60_000)
    assert first.cell_specimen_ids(cells).max() < second.cell_specimen_ids(cells).min()
    assert not set(recording(world, 0).roi_ids(60_000)) & set(recording(world, 1).roi_ids(60_000))


def test_a_line_that_stands_there_twice_has_mice_of_its_own() -> None:
    world = load_world("tiny").replace(sessions=6, lines=("Sst-IRES-Cre", "Sst-IRES-Cre", "Vip-IRES-Cre"))
    assert everything(world)["donor_id"].is_unique


def test_days_and_ages_agree() -> None:
    world = load_world("allen-like").replace(sessions=30)
    for number in range(0, 30, 3):
        days = [pd.Timestamp(_start_time(recording(world, number + k))) for k in range(3)]
        ages = [recording(world, number + k).metadata.age_days for k in range(3)]
        assert [(day - days[0]).days for day in days] == [age - ages[0] for age in ages] == [0, 1, 2]


def test_no_such_recording() -> None:
    with pytest.raises(UsageError, match="world 'tiny' has 3 recordings; there is no number 3"):
        recording(load_world("tiny"), 3)


def test_donors_of_the_listing(real_metadata: Path) -> None:
    """Donors by line as the list of specimens has them, and containers per donor of the 2018 listing."""
    pairs = json.loads((real_metadata / "unique_specimen_name_and_genotype_pairs.json").read_text())
    mice = Counter(canonical_cre_line(genotype) for name, genotype in {tuple(pair) for pair in pairs})
    listed = pd.read_csv(real_metadata / "experiments_flat.csv")
    listed["line"] = listed["full_genotype"].map(canonical_cre_line)
    for line, part in listed.groupby("line"):
        per_donor = part["container_id"].nunique() / part["donor"].nunique()
        law = LINES[str(line)]
        assert law.containers / law.donors == pytest.approx(per_donor, abs=0.06)
        assert set(law.depths_um) <= set(part["depth"].astype(float))
    for line, law in LINES.items():
        assert mice[line] - law.donors in range(0, 6), line
