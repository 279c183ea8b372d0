from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

import poyodata.fetch.plan as plan_module
from poyodata.errors import SourceError, UsageError
from poyodata.fetch import AllenCache, HttpRoad, Selection, Warehouse, choose, fetch_allen, plan_fetch
from poyodata.fetch.download import Partial
from poyodata.fetch.terms import TERMS
from tests.fetch.loopback import Failure, Loopback, QuickWeb, rows_of

SST = Selection(lines=("Sst",), areas=("VISp",))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_fetch_from_nothing(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    report = fetch_allen(raw, SST, road)
    assert [(file.session_id, file.status) for file in report.files] == [(n, "downloaded") for n in (1001, 1002, 1003)]
    assert report.missing == []
    assert names(raw) == [
        "TERMS.txt",
        "experiment_containers.json",
        "manifest.json",
        "ophys_experiment_data/1001.nwb",
        "ophys_experiment_data/1002.nwb",
        "ophys_experiment_data/1003.nwb",
        "ophys_experiments.json",
        "stimulus_mappings.json",
    ]
    for file in report.files:
        assert file.path.read_bytes() == loopback.content(file.session_id)
        assert file.size_bytes == len(loopback.content(file.session_id))
    assert json.loads((raw / "ophys_experiments.json").read_text()) == rows_of()["OphysExperiment"]
    assert json.loads((raw / "experiment_containers.json").read_text()) == rows_of()["ExperimentContainer"]
    assert (raw / "TERMS.txt").read_text() == TERMS
    assert "10.1038/s41593-019-0550-9" in TERMS
    assert report.summary() == (
        f"3 of 3 recordings are in {raw}: 0 were there already, 3 came "
        f"({sum(file.size_bytes for file in report.files) / 1000:.1f} kB)."
    )


def test_a_second_fetch_asks_nothing(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    fetch_allen(tmp_path, SST, road)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    loopback.log.clear()
    report = fetch_allen(tmp_path, SST, road)
    assert loopback.log == []
    assert {file.status for file in report.files} == {"already here"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_table_of_cells_comes_when_asked_for(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    fetch_allen(tmp_path, SST, road, cells=True)
    assert len(json.loads((tmp_path / "cell_specimens.json").read_text())) == 7


def test_lists_are_read_anew_when_asked_or_damaged(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    fetch_allen(tmp_path, SST, road)
    whole = (tmp_path / "ophys_experiments.json").read_text()
    (tmp_path / "ophys_experiments.json").write_text(whole[:1000])
    fetch_allen(tmp_path, SST, road)
    assert (tmp_path / "ophys_experiments.json").read_text() == whole
    loopback.tables["OphysExperiment"].pop()
    loopback.log.clear()
    with pytest.raises(UsageError, match=r"unknown session 9: .*--refresh asks anew"):
        fetch_allen(tmp_path, Selection(sessions=(9,)), road)
    fetch_allen(tmp_path, SST, road, refresh=True)
    assert len(json.loads((tmp_path / "ophys_experiments.json").read_text())) == 13
    assert len(loopback.asked("query.json")) == 3


def test_a_good_list_survives_a_refresh_that_fails(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    fetch_allen(tmp_path, SST, road)
    whole = (tmp_path / "ophys_experiments.json").read_text()
    loopback.failures["/api/v2/data/query.json"] = [Failure("truncate")] * 6
    with pytest.raises(SourceError, match="no list of OphysExperiment"):
        fetch_allen(tmp_path, SST, road, refresh=True)
    assert (tmp_path / "ophys_experiments.json").read_text() == whole


def test_one_bad_file_does_not_hold_back_the_others(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    loopback.fail(1002, *[Failure("truncate", after=0.5 if i == 0 else 0.0) for i in range(6)])
    report = fetch_allen(tmp_path, SST, road)
    assert [file.status for file in report.files] == ["downloaded", "failed", "downloaded"]
    (missing,) = report.missing
    assert missing.session_id == 1002
    assert "6 attempts in a row have failed" in missing.message
    assert missing.size_bytes == Partial(missing.path).held() > 10_000
    report = fetch_allen(tmp_path, SST, road)
    assert [file.status for file in report.files] == ["already here", "downloaded", "already here"]
    assert loopback.asked(loopback.link(1002))[-1]["Range"] == f"bytes={missing.size_bytes}-"
    assert report.files[1].path.read_bytes() == loopback.content(1002)


def test_a_server_that_is_down_is_left_alone(loopback: Loopback, web: QuickWeb, tmp_path: Path) -> None:
    road = HttpRoad(Warehouse(web, loopback.url), connections=1)
    for number in (1001, 1002, 1003, 2001, 2002, 2003, 4001, 4002):
        loopback.fail(number, *[Failure("status", code=503)] * 100)
    everything = Selection(lines=("Sst", "Cux2"))
    report = fetch_allen(tmp_path, everything, road)
    assert [file.status for file in report.files] == ["failed"] * 5 + ["not tried"] * 4
    assert len(report.missing) == 9
    loopback.failures.clear()
    assert fetch_allen(tmp_path, everything, road).missing == []


def test_files_that_are_gone_do_not_speak_against_the_server(
    loopback: Loopback, road: HttpRoad, tmp_path: Path
) -> None:
    for number in (1001, 1002, 1003, 2001, 2002, 2003):
        loopback.fail(number, Failure("status", code=404))
    report = fetch_allen(tmp_path, Selection(), road)
    assert [file.status for file in report.files if file.session_id < 3000] == ["failed"] * 6
    assert [file.status for file in report.files if file.session_id > 3000] == [
        "downloaded",
        "downloaded",
        "no file",
        "downloaded",
        "downloaded",
        "downloaded",
    ]


def test_a_recording_without_file_is_no_failure(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    for row in loopback.tables["OphysExperiment"]:
        del row["well_known_files"]  # an older list: files have to be asked for one by one
    report = fetch_allen(tmp_path, Selection(donors=("202",)), road)
    assert [file.status for file in report.files] == ["downloaded", "downloaded", "no file"]
    assert report.missing == []
    assert "no NWB file of 3003" in report.summary()


def test_a_plan_writes_nothing(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    cache = AllenCache.at(raw)
    chosen, asked = choose(cache, SST, road)
    plan = plan_fetch(cache, chosen, road)
    assert len(asked or []) == 14
    assert plan.missing_bytes == sum(len(loopback.content(number)) for number in (1001, 1002, 1003))
    assert not raw.exists()
    assert loopback.asked("well_known_file_download", "GET") == []
    assert plan.summary().startswith("3 recordings chosen, 0 of them here: 3 to fetch (")
    fetch_allen(raw, Selection(sessions=(1001,)), road)
    loopback.fail(1002, Failure("truncate", after=0.5), *[Failure("status")] * 5)
    fetch_allen(raw, Selection(sessions=(1002,)), road)
    plan = plan_fetch(cache, chosen, road)
    held = Partial(cache.recording(1002)).held()
    assert held > 0
    assert plan.missing_bytes == len(loopback.content(1002)) - held + len(loopback.content(1003))
    assert plan.to_json()["sessions"] == [1002, 1003]
    assert (plan.to_json()["here"], plan.to_json()["sizes_unknown"]) == (1, 0)


def test_sizes_that_cannot_be_had_are_said_to_be_unknown(loopback: Loopback, road: HttpRoad, tmp_path: Path) -> None:
    link = loopback.link(1002)
    del loopback.files[link]
    cache = AllenCache.at(tmp_path)
    plan = plan_fetch(cache, choose(cache, SST, road)[0], road)
    assert "at least" in plan.summary()
    assert "the size of 1 is not known" in plan.summary()
    loopback.files.clear()
    assert "(size not known; " in plan_fetch(cache, choose(cache, SST, road)[0], road).summary()


def test_a_disk_that_is_too_small(
    loopback: Loopback, road: HttpRoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda _path: usage._replace(free=50_000))
    with pytest.raises(OSError, match=r"kB are to come and 50\.0 kB are free") as found:
        fetch_allen(tmp_path / "raw", SST, road)
    assert found.value.errno == errno.ENOSPC
    assert loopback.asked("well_known_file_download") == []


def test_ctrl_c_keeps_what_has_arrived(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = QuickWeb(timeout_s=0.3)
    road = HttpRoad(Warehouse(web, loopback.url))
    loopback.fail(1001, *[Failure("silent", after=0.5)] * 9)

    import poyodata.fetch.workers as workers

    class Interrupted(workers.threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            super().join(timeout)
            if self.is_alive() and Partial(AllenCache.at(tmp_path).recording(1001)).held():
                raise KeyboardInterrupt

    monkeypatch.setattr(workers.threading, "Thread", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_allen(tmp_path, Selection(sessions=(1001,)), road)
    assert web.stop.is_set()
    monkeypatch.undo()
    loopback.failures.clear()
    part = Partial(AllenCache.at(tmp_path).recording(1001)).held()
    assert part > 10_000
    for _ in range(100):  # the thread that was left behind gives up its lock when its time-out comes
        report = fetch_allen(tmp_path, Selection(sessions=(1001,)), HttpRoad(Warehouse(QuickWeb(), loopback.url)))
        if report.files[0].status != "busy":
            break
    assert report.files[0].status == "downloaded"
    assert report.files[0].path.read_bytes() == loopback.content(1001)
