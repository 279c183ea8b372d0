from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from poyodata.errors import SourceError, UsageError
from poyodata.fetch.experiments import Experiment, typed_experiments
from poyodata.fetch.selection import SESSION_STIMULI, Selection
from poyodata.vocabulary import STIMULI
from tests.fetch.loopback import CONTAINERS, rows_of

ROWS = rows_of()["OphysExperiment"]
SST = [1001, 1002, 1003, 2001, 2002, 2003]
VIP = [3001, 3002, 3003]
CUX2 = [4001, 4002, 4003]
FAILED = [5001, 5002]


@pytest.fixture(scope="module")
def known() -> list[Experiment]:
    return typed_experiments(ROWS)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({}, [*SST, *VIP, *CUX2], id="all-but-failed"),
        pytest.param({"include_failed": True}, [*SST, *VIP, *CUX2, *FAILED], id="all"),
        pytest.param({"lines": "Sst"}, SST, id="first-word"),
        pytest.param({"lines": "sst,VIP"}, [*SST, *VIP], id="two-lines"),
        pytest.param({"lines": "SST_IRES_CRE"}, SST, id="underscores"),
        pytest.param({"lines": "Sst-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt"}, SST, id="genotype"),
        pytest.param({"areas": "visp"}, [1001, 1002, 1003, *VIP, *CUX2], id="area"),
        pytest.param({"areas": "V1,LM"}, [*SST, *VIP, *CUX2], id="areas-by-their-other-names"),
        pytest.param({"depths": "175"}, [*VIP, *CUX2], id="depth"),
        pytest.param({"depths": "170-180,270 - 300um"}, [*SST, *VIP, *CUX2], id="depth-ranges"),
        pytest.param({"stimuli": "natural_movie_three"}, [1001, 2001, 3001, 4001], id="stimulus"),
        pytest.param(
            {"stimuli": "Natural Scenes,natural-movie-three"},
            [n for n in [*SST, *VIP, *CUX2] if n % 10 < 3],
            id="two-stimuli",
        ),
        pytest.param({"stimuli": "locally_sparse_noise"}, [4003], id="sparse-noise-of-C"),
        pytest.param({"donors": "201"}, SST, id="donor"),
        pytest.param({"containers": "2000,4000"}, [2001, 2002, 2003, *CUX2], id="containers"),
        pytest.param({"sessions": "3002,1001"}, [1001, 3002], id="sessions"),
        pytest.param({"session_types": "C"}, [4003], id="type-C-is-not-C2"),
        pytest.param({"session_types": "a,three_session_C2"}, [1001, 1003, 2001, 2003, 3001, 3003, 4001], id="types"),
        pytest.param({"lines": "Sst", "areas": "VISp", "session_types": "A"}, [1001], id="anded"),
        pytest.param({"limit": 2}, [1001, 1002], id="limit"),
    ],
)
def test_filters(filters: dict[str, Any], expected: list[int], known: list[Experiment]) -> None:
    chosen = Selection.from_text(**filters).choose(known[::-1])
    assert [experiment.session_id for experiment in chosen] == expected


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        pytest.param({"lines": "Sts"}, "unknown CRE line 'Sts'", id="line"),
        pytest.param({"lines": "Vip-IRES-Crr"}, "did you mean 'Vip-IRES-Cre'", id="line-nearest"),
        pytest.param({"areas": "VISq"}, "unknown area 'VISq': did you mean 'VIS", id="area"),
        pytest.param({"stimuli": "natural_movie_4"}, "unknown stimulus .*did you mean 'natural_movie_", id="stimulus"),
        pytest.param({"donors": "210"}, "unknown donor '210'", id="donor"),
        pytest.param({"sessions": "1009"}, r"unknown session 1009: did you mean '100\d'", id="session"),
        pytest.param({"sessions": "x"}, "--sessions holds 'x'", id="no-number"),
        pytest.param({"session_types": "D"}, "unknown session type 'three_session_D'", id="type"),
        pytest.param({"depths": "deep"}, "--depths holds 'deep'; give micrometres such as 275", id="depth"),
        pytest.param({"depths": "300-200"}, "give 200-300", id="depth-reversed"),
        pytest.param({"depths": "-200"}, "--depths holds '-200'", id="depth-half-open"),
        pytest.param(
            {"lines": "Pvalb"},
            r"--lines Pvalb leaves no recording \(14 listed, 12 after leaving out failed containers; "
            r"these have Cux2-CreERT2, Sst-IRES-Cre, Vip-IRES-Cre\)",
            id="empty",
        ),
        pytest.param(
            {"lines": "Vip", "areas": "VISl", "depths": "175"},
            r"--areas VISl leaves no recording \(14 listed, 12 after leaving out failed containers, "
            r"3 after --lines Vip; these have VISp\)",
            id="empty-in-the-middle",
        ),
        pytest.param({"depths": "400-500"}, r"--depths 400-500 leaves .* these have 175, 275\)", id="no-such-depth"),
        pytest.param(
            {"sessions": "5001"}, "Recordings of failed containers would pass: --include-failed", id="only-failed"
        ),
    ],
)
def test_what_is_unknown_or_empty_is_named(filters: dict[str, Any], message: str, known: list[Experiment]) -> None:
    with pytest.raises(UsageError, match=message):
        Selection.from_text(**filters).choose(known)


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, f"--{(name if name != 'stimuli' else 'stimulus').replace('_', '-')}")
        for name in ("lines", "areas", "depths", "stimuli", "donors", "containers", "sessions", "session_types")
    ],
)
def test_a_filter_that_is_given_but_empty_is_refused(name: str, option: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"^{option} is given but empty"):
        Selection.from_text(**{name: text})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"include_failed": True}, True, id="failed-too"),
        pytest.param({"limit": 1}, False, id="limit"),
        pytest.param({"stimuli": "natural_scenes"}, False, id="filter"),
    ],
)
def test_everything_is_told_from_a_choice(filters: dict[str, Any], expected: bool) -> None:
    assert Selection.from_text(**filters).is_everything is expected


def test_every_field_is_typed(known: list[Experiment]) -> None:
    assert known[0] == Experiment(
        session_id=1001,
        container_id=1000,
        donor="201",
        cre_line="Sst-IRES-Cre",
        area="VISp",
        depth_um=275,
        session_type="three_session_A",
        acquired="2017-02-08T21:57:10Z",
        failed=False,
        link="/api/v2/well_known_file_download/10011",
    )
    assert {e.session_id for e in known if e.link is None} == {3003}
    assert {e.container_id for e in known if e.failed} == {5000}
    assert len(known) == sum(len(box.types.split(",")) for box in CONTAINERS)


def edited(**changes: Any) -> dict[str, Any]:
    row = json.loads(json.dumps(ROWS[0]))
    return {**row, **changes}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(edited(specimen=None), "recording 1001 .* specimen: ", id="no-specimen"),
        pytest.param(edited(imaging_depth="deep"), "imaging_depth: ", id="depth-is-text"),
        pytest.param(edited(targeted_structure={}), "targeted_structure.acronym: ", id="no-acronym"),
        pytest.param({}, r"recording \? ", id="empty-row"),
    ],
)
def test_a_row_that_is_no_recording_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        typed_experiments([row])


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        pytest.param({"well_known_files": None}, "link_listed", False, id="files-not-listed"),
        pytest.param({"experiment_container": None}, "failed", False, id="no-container"),
        pytest.param({"stimulus_name": None}, "session_type", "", id="no-stimulus-name"),
        pytest.param({"more": 1}, "session_id", 1001, id="unknown-fields"),
    ],
)
def test_gaps_are_borne(change: dict[str, Any], field: str, expected: object) -> None:
    assert getattr(typed_experiments([edited(**change)])[0], field) == expected


def test_session_types_show_stimuli_that_we_know() -> None:
    assert {name for names in SESSION_STIMULI.values() for name in names} == set(STIMULI)


def test_the_real_list(real_lists: Path) -> None:
    with gzip.open(real_lists / "experiment_containers.json.gz", "rt", encoding="utf-8") as file:
        containers = json.load(file)
    # The real answer nests recordings in containers; ours to check is that their parts are typed as they are.
    rows = [
        {
            **experiment,
            "specimen": box["specimen"],
            "targeted_structure": box["targeted_structure"],
            "experiment_container": {"failed": box["failed"]},
        }
        for box in containers
        for experiment in box["ophys_experiments"]
    ]
    found = {experiment.session_id: experiment for experiment in typed_experiments(rows)}
    with (real_lists / "experiments_flat.csv").open(encoding="utf-8") as file:
        flat = list(csv.DictReader(file))
    assert len(found) == len(flat) == 648
    for row in flat:
        experiment = found[int(row["exp_id"])]
        assert experiment.cre_line == next(name for name in row["driver"].split(";") if "Cre" in name)
        assert (experiment.area, experiment.depth_um, experiment.donor) == (
            row["area"],
            int(row["depth"]),
            row["donor"],
        )
        assert (experiment.session_type, experiment.failed) == (row["session_type"], row["failed"] == "True")
    chosen = Selection.from_text(lines="Cux2", areas="VISp", depths="175", stimuli="drifting_gratings").choose(
        list(found.values())
    )
    assert (
        len(chosen)
        == sum(
            "Cux2-CreERT2" in r["driver"]
            and r["area"] == "VISp"
            and r["depth"] == "175"
            and r["failed"] == "False"
            and r["session_type"] == "three_session_A"
            for r in flat
        )
        > 5
    )
