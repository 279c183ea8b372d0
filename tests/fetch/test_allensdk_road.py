from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poyodata.errors import PoyodataError, SourceError
from poyodata.fetch import AllenCache, Selection, fetch_allen, open_road
from poyodata.fetch.allensdk_road import AllenSDKRoad
from tests.fetch.loopback import Failure, Loopback, QuickWeb, rows_of

STAND_IN = '''
"""Asks as AllenSDK does, with nothing but the standard library; keeps what a broken connection left."""
import json, urllib.parse, urllib.request

print("a greeting that must not be taken for an answer")

class BrainObservatoryApi:
    def __init__(self, base_uri):
        self.url = base_uri

    def _ask(self, query):
        query += ",rma::options[num_rows$eq'all'][count$eqfalse]"
        with urllib.request.urlopen(f"{self.url}/api/v2/data/query.json?q={urllib.parse.quote(query)}") as response:
            return json.loads(response.read())["msg"]

    def get_ophys_experiments(self):
        return self._ask("model::OphysExperiment")

    def get_experiment_containers(self):
        return self._ask("model::ExperimentContainer")

    def get_stimulus_mappings(self):
        return self._ask("model::ApiCamStimulusMapping")

    def get_cell_metrics(self):
        yield from self._ask("model::ApiCamCellMetric")

    def save_ophys_experiment_data(self, number, path, strategy):
        assert strategy == "create"
        if number == 4003:
            raise SystemExit(3)
        criteria = f"[attachable_id$eq{number}],well_known_file_type[name$eqNWBOphys]"
        found = self._ask(f"model::WellKnownFile,rma::criteria,{criteria}")
        if not found:
            raise Exception(f"ophys experiment {number} has no data file")
        with urllib.request.urlopen(self.url + found[0]["download_link"]) as response, open(path, "wb") as file:
            while piece := response.read1(4096):
                file.write(piece)
'''


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has a stand-in for AllenSDK."""
    folder = tmp_path_factory.mktemp("environment")
    module = folder / "allensdk" / "api" / "queries" / "brain_observatory_api.py"
    module.parent.mkdir(parents=True)
    module.write_text(STAND_IN)
    python = folder / "python"
    python.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.path.insert(0, {str(folder)!r})\n"
        "assert sys.argv[1] == '-I'\nsys.argv = sys.argv[2:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python.chmod(0o755)
    return python


@pytest.fixture
def sdk_road(interpreter: Path, loopback: Loopback, web: QuickWeb) -> Iterator[AllenSDKRoad]:
    with AllenSDKRoad(interpreter, web, loopback.url) as road:
        yield road


def test_the_same_files_come(
    sdk_road: AllenSDKRoad, web: QuickWeb, loopback: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loopback.fail(1002, Failure("truncate"), Failure("status"), Failure("reset"))
    report = fetch_allen(tmp_path, Selection(donors=("201", "202")), sdk_road, cells=True)
    assert [file.status for file in report.files] == ["downloaded"] * 8 + ["no file"]
    for file in report.files[:-1]:
        assert file.path.read_bytes() == loopback.content(file.session_id)
    assert len(web.pauses) == 3
    assert "1002.nwb: what AllenSDK brought is cut off" in capsys.readouterr().err
    cache = AllenCache.at(tmp_path)
    assert cache.read_list("EXPERIMENTS") == rows_of()["OphysExperiment"]
    assert len(cache.read_list("CELL_SPECIMENS") or []) == 7
    assert sorted(path.name for path in (tmp_path / "ophys_experiment_data").iterdir()) == sorted(
        file.path.name for file in report.files[:-1]
    )
    loopback.log.clear()
    assert {file.status for file in fetch_allen(tmp_path, Selection(donors=("201",)), sdk_road).files} == {
        "already here"
    }
    assert loopback.log == []


def test_bounds_hold_and_a_file_that_is_cut_off_stays_until_the_whole_is_there(
    sdk_road: AllenSDKRoad, loopback: Loopback, tmp_path: Path
) -> None:
    path = AllenCache.at(tmp_path).recording(1001)
    path.parent.mkdir()
    cut = loopback.content(1001)[:8000]
    path.write_bytes(cut)
    loopback.fail(1001, *[Failure("truncate")] * 6)
    report = fetch_allen(tmp_path, Selection(sessions=(1001,)), sdk_road)
    assert (report.files[0].status, path.read_bytes()) == ("failed", cut)
    assert "6 attempts in a row" in report.files[0].message
    assert fetch_allen(tmp_path, Selection(sessions=(1001,)), sdk_road).files[0].status == "replaced"
    assert path.read_bytes() == loopback.content(1001)


def test_a_process_that_dies_fails_one_file(sdk_road: AllenSDKRoad, loopback: Loopback, tmp_path: Path) -> None:
    report = fetch_allen(tmp_path, Selection(sessions=(4002, 4003), include_failed=True), sdk_road)
    assert [file.status for file in report.files] == ["downloaded", "failed"]
    assert "process ended without an answer" in report.files[1].message
    assert fetch_allen(tmp_path, Selection(sessions=(4001,)), sdk_road).missing == []


def test_a_refusal_is_not_taken_for_a_list(sdk_road: AllenSDKRoad, loopback: Loopback, tmp_path: Path) -> None:
    del loopback.tables["OphysExperiment"]
    with pytest.raises(SourceError, match="refuses AllenSDK's query: Unknown model"):
        fetch_allen(tmp_path / "raw", Selection(), sdk_road)
    assert not (tmp_path / "raw").exists()


AS_A_USER = """
import socket, sys
asked = []
def refuse(_self, address):
    asked.append(address)
    raise OSError("there is no network here")
socket.socket.connect = refuse
from allensdk.core.brain_observatory_cache import BrainObservatoryCache
cache = BrainObservatoryCache(manifest_file=sys.argv[1])
assert [box["id"] for box in cache.get_experiment_containers(cre_lines=["Sst-IRES-Cre"])] == [1000, 2000]
assert cache.get_all_cre_lines() == ["Cux2-CreERT2", "Sst-IRES-Cre", "Vip-IRES-Cre"]
assert len(cache.get_cell_specimens(simple=False)) == 7
assert cache.get_ophys_experiment_data(1001).nwb_file == sys.argv[2]
assert asked == [], asked
"""
LISTS = """
import sys
from allensdk.core.brain_observatory_cache import BrainObservatoryCache
cache = BrainObservatoryCache(manifest_file=sys.argv[1], base_uri=sys.argv[2])
found = cache.get_ophys_experiments(stimuli=["natural_movie_three"], cre_lines=["Sst-IRES-Cre"])
assert [row["id"] for row in found] == [1001, 2001], found
"""


@pytest.fixture(scope="module")
def allensdk_python() -> Path:
    """The interpreter of AllenSDK's environment; a test that asks for it is skipped where none can be made."""
    from poyodata.allensdk.environment import ensure_environment

    try:
        return ensure_environment()
    except PoyodataError as error:
        pytest.skip(f"AllenSDK's environment cannot be made here: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("via", ["http", "allensdk"])
def test_allensdk_uses_the_folder_as_its_own(
    via: str, allensdk_python: Path, loopback: Loopback, tmp_path: Path
) -> None:
    import subprocess

    with open_road(via, warehouse=loopback.url) as road:
        report = fetch_allen(tmp_path, Selection(sessions=(1001, 1003)), road, cells=True)
    assert [file.status for file in report.files] == ["downloaded"] * 2
    for file in report.files:
        assert file.path.read_bytes() == loopback.content(file.session_id)
    asked = len(loopback.log)
    run = [str(allensdk_python), "-I", "-c"]
    manifest = str(AllenCache.at(tmp_path).manifest)
    done = subprocess.run([*run, AS_A_USER, manifest, str(report.files[0].path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(loopback.log) == asked
    # AllenSDK 2.16 never lists recordings without asking which have eye tracking; the list itself it takes from us.
    done = subprocess.run([*run, LISTS, manifest, loopback.url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (query,) = [path for _, path, _ in loopback.log[asked:]]
    assert "EyeDlcScreenMapping" in query
