from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from poyodata.fetch.completeness import is_complete
from poyodata.fetch.download import BusyError, Partial, download
from poyodata.fetch.retry import RetryPolicy
from poyodata.fetch.web import StoppedError, WebError
from tests.fetch.loopback import Failure, Loopback, QuickWeb, hdf5_bytes

NUMBER = 1001


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "ophys_experiment_data" / f"{NUMBER}.nwb"


def fetch(loopback: Loopback, web: QuickWeb, target: Path) -> str:
    return download(web, loopback.url + loopback.link(NUMBER), target)[0]


def only_file(target: Path) -> bool:
    return [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("failures", "resumed_from"),
    [
        pytest.param([], None, id="none"),
        pytest.param([Failure("truncate", 0.5)], 0.5, id="truncated"),
        pytest.param([Failure("truncate", 0.0)], None, id="truncated-at-once"),
        pytest.param([Failure("truncate", 0.5), Failure("truncate", 0.5)], 0.75, id="truncated-twice"),
        pytest.param([Failure("reset", 0.3)], None, id="reset"),
        pytest.param([Failure("silent", 0.4)], 0.4, id="silent"),
        pytest.param([Failure("trickle", 0.4)], 0.4, id="trickle"),
        pytest.param([Failure("status", code=500)], None, id="500"),
        pytest.param([Failure("status", code=502), Failure("status", code=503, retry_after="1")], None, id="502-503"),
        pytest.param([Failure("truncate", 0.5), Failure("status", code=500)], 0.5, id="truncated-then-500"),
        pytest.param([Failure("html")], None, id="web-page"),
        pytest.param([Failure("truncate", 0.5), Failure("html")], None, id="truncated-then-web-page"),
        pytest.param([Failure("short")], None, id="length-too-short"),
        pytest.param([Failure("long")], None, id="length-too-long"),
        pytest.param([Failure("truncate", 0.5), Failure("change")], None, id="changed-meanwhile"),
        pytest.param([Failure("truncate", 0.5), Failure("deaf")], None, id="changed-and-part-sent-all-the-same"),
        pytest.param([Failure("truncate", 0.5), Failure("shifted")], None, id="part-from-elsewhere"),
    ],
)
def test_a_file_arrives(failures: list[Failure], resumed_from: float | None, loopback: Loopback, target: Path) -> None:
    slow = any(failure.kind in ("silent", "trickle") for failure in failures)
    web = QuickWeb(timeout_s=0.4 if slow else 10.0)
    loopback.fail(NUMBER, *failures)
    assert fetch(loopback, web, target) == "downloaded"
    content = loopback.content(NUMBER)
    assert target.read_bytes() == content
    assert only_file(target)
    ranges = [headers["Range"] for headers in loopback.asked(loopback.link(NUMBER)) if "Range" in headers]
    if resumed_from is not None:
        start = int(ranges[-1].removeprefix("bytes=").removesuffix("-"))
        assert start == pytest.approx(resumed_from * len(content), abs=300)
    assert len(web.pauses) <= 5
    if slow:
        said = {"silent": "no answer came within the time-out", "trickle": "bytes came in "}[failures[0].kind]
        assert said in web.notices[0]


@pytest.mark.parametrize(
    "setting",
    [pytest.param({"ranges": False}, id="no-ranges"), pytest.param({"validators": False}, id="no-validators")],
)
def test_where_parts_cannot_be_had_the_file_starts_again(
    setting: dict[str, bool], loopback: Loopback, web: QuickWeb, target: Path
) -> None:
    vars(loopback).update(setting)
    loopback.fail(NUMBER, Failure("truncate", 0.9), Failure("truncate", 0.5))
    fetch(loopback, web, target)
    assert target.read_bytes() == loopback.content(NUMBER)
    assert len(loopback.asked(loopback.link(NUMBER))) == 3


def test_without_a_length_the_file_itself_says_where_it_ends(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    loopback.lengths = False
    loopback.fail(NUMBER, Failure("truncate", 0.5))
    fetch(loopback, web, target)
    assert target.read_bytes() == loopback.content(NUMBER)


@pytest.mark.parametrize("seed", range(24))
def test_any_failures_within_the_bound_end_well_and_beyond_it_keep_the_part(
    seed: int, loopback: Loopback, target: Path
) -> None:
    rng = np.random.default_rng(seed)
    kinds = ["truncate", "reset", "html", "short", "long", "change", "deaf", "shifted", "status"]
    retries = int(rng.integers(0, 6))
    web = QuickWeb(retries=retries)
    loopback.ranges, loopback.validators, loopback.lengths = (bool(rng.random() < 0.8) for _ in range(3))

    def draw() -> Failure:
        kind = str(rng.choice(kinds))
        return Failure(kind, after=float(rng.random()), code=int(rng.choice([408, 429, 500, 502, 503, 504])))

    loopback.fail(NUMBER, *(draw() for _ in range(retries)))
    assert fetch(loopback, web, target) == "downloaded"
    assert target.read_bytes() == loopback.content(NUMBER)
    assert only_file(target)

    target.unlink()
    loopback.failures.clear()
    half = Failure("truncate", after=0.5)
    loopback.fail(NUMBER, half, *[Failure("status")] * retries)
    with pytest.raises(WebError, match=f"{retries + 1} attempts in a row have failed"):
        fetch(loopback, web, target)
    assert not target.exists()
    assert 0 < Partial(target).held() < len(loopback.content(NUMBER))
    assert fetch(loopback, web, target) == "downloaded"
    assert target.read_bytes() == loopback.content(NUMBER)


def test_progress_starts_the_count_anew(loopback: Loopback, target: Path) -> None:
    web = QuickWeb(retries=1)
    web.policy = RetryPolicy(retries=1, progress_bytes=1000)
    loopback.fail(NUMBER, *[Failure("truncate", after=0.2)] * 10)
    assert fetch(loopback, web, target) == "downloaded"
    assert len(web.pauses) == 10
    assert target.read_bytes() == loopback.content(NUMBER)


def test_starting_again_is_no_progress(loopback: Loopback, target: Path) -> None:
    web = QuickWeb(retries=3)
    web.policy = RetryPolicy(retries=3, progress_bytes=1000)
    loopback.ranges = False
    loopback.fail(NUMBER, *[Failure("truncate", after=0.5)] * 100)
    with pytest.raises(WebError, match="4 attempts in a row"):
        fetch(loopback, web, target)
    assert len(loopback.failures[loopback.link(NUMBER)]) == 96


def test_coming_back_to_what_was_held_before_is_no_progress(loopback: Loopback, target: Path) -> None:
    web = QuickWeb(retries=3)
    web.policy = RetryPolicy(retries=3, progress_bytes=1000)
    loopback.ranges = False
    loopback.fail(NUMBER, *[Failure("truncate", after=0.5), Failure("truncate", after=0.0)] * 50)
    with pytest.raises(WebError, match="4 attempts in a row"):
        fetch(loopback, web, target)
    assert len(loopback.failures[loopback.link(NUMBER)]) == 96


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_what_cannot_be_had_is_asked_for_once(code: int, loopback: Loopback, web: QuickWeb, target: Path) -> None:
    loopback.fail(NUMBER, Failure("status", code=code))
    with pytest.raises(WebError, match=f"the server answers {code} "):
        fetch(loopback, web, target)
    assert web.pauses == []
    assert list(target.parent.iterdir()) == []


def test_a_good_file_is_left_alone(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(hdf5_bytes(99))  # whole, and another one than the server's: still not ours to touch
    before = target.stat()
    assert fetch(loopback, web, target) == "already here"
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert loopback.log == []


def test_a_file_that_is_cut_off_is_replaced_when_the_whole_is_there(loopback: Loopback, target: Path) -> None:
    target.parent.mkdir()
    cut = loopback.content(NUMBER)[:9000]
    target.write_bytes(cut)
    loopback.fail(NUMBER, Failure("truncate"), Failure("status"))
    with pytest.raises(WebError):
        fetch(loopback, QuickWeb(retries=1), target)
    assert target.read_bytes() == cut
    assert fetch(loopback, QuickWeb(), target) == "replaced"
    assert target.read_bytes() == loopback.content(NUMBER)
    assert only_file(target)


@pytest.mark.parametrize(
    ("left", "origin"),
    [
        pytest.param(b"x" * 100, None, id="part-of-unknown-origin"),
        pytest.param(b"", "{", id="origin-damaged"),
        pytest.param(b"x" * 100, '{"url": "http://elsewhere/1", "length": 500, "etag": "\\"a\\""}', id="other-address"),
    ],
)
def test_a_part_that_cannot_be_trusted_is_not_used(
    left: bytes, origin: str | None, loopback: Loopback, web: QuickWeb, target: Path
) -> None:
    partial = Partial(target)
    target.parent.mkdir()
    partial.path.write_bytes(left)
    if origin is not None:
        partial.origin_path.write_text(origin)
    fetch(loopback, web, target)
    assert target.read_bytes() == loopback.content(NUMBER)
    assert only_file(target)


def test_a_part_of_another_address_is_not_used(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    loopback.fail(NUMBER, Failure("truncate"), *[Failure("status")] * 5)
    with pytest.raises(WebError):
        fetch(loopback, web, target)
    partial = Partial(target)
    header = loopback.content(NUMBER)[:3000]
    partial.path.write_bytes(header.ljust(partial.held(), b"\0"))
    partial.origin_path.write_text(partial.origin_path.read_text().replace("http://127.0.0.1", "http://localhost"))
    fetch(loopback, web, target)
    assert "Range" not in loopback.asked(loopback.link(NUMBER))[-1]
    assert target.read_bytes() == loopback.content(NUMBER)


def test_a_good_file_that_came_meanwhile_is_left_alone(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    other = hdf5_bytes(99)
    url = loopback.url + loopback.link(NUMBER)
    download(web, url, target, lambda count: target.write_bytes(other) if count > 20_000 else None)
    assert target.read_bytes() == other
    assert only_file(target)


def test_a_part_that_another_process_took_away_while_we_came(
    loopback: Loopback, web: QuickWeb, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock, calls = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            Partial(target).path.unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert fetch(loopback, web, target) == "downloaded"
    assert len(calls) == 2
    assert target.read_bytes() == loopback.content(NUMBER)


def test_a_file_system_without_locks(
    loopback: Loopback, web: QuickWeb, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl

    def none_here(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none_here)
    assert fetch(loopback, web, target) == "downloaded"


def test_a_part_that_was_whole_needs_no_request(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    loopback.fail(NUMBER, Failure("truncate", after=0.9), *[Failure("status")] * 5)
    with pytest.raises(WebError):
        fetch(loopback, web, target)
    Partial(target).path.write_bytes(loopback.content(NUMBER))
    asked = len(loopback.log)
    assert fetch(loopback, web, target) == "downloaded"
    assert len(loopback.log) == asked


def test_one_writer_a_file(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    target.parent.mkdir()
    with Partial(target).locked(), pytest.raises(BusyError, match=r"1001\.nwb"):
        fetch(loopback, web, target)
    assert fetch(loopback, web, target) == "downloaded"


def test_two_writers_at_once(loopback: Loopback, target: Path) -> None:
    outcomes = []

    def run() -> None:
        try:
            outcomes.append(fetch(loopback, QuickWeb(), target))
        except BusyError:
            outcomes.append("busy")

    crew = [threading.Thread(target=run) for _ in range(8)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert outcomes.count("downloaded") == 1
    assert set(outcomes) <= {"downloaded", "already here", "busy"}
    assert only_file(target)
    assert is_complete(target)


def test_stopped_in_the_middle_the_part_stays(loopback: Loopback, web: QuickWeb, target: Path) -> None:
    loopback.files[loopback.link(NUMBER)] = hdf5_bytes(1, size=3_000_000)

    def held(count: int) -> None:
        if count > 100_000:
            web.stop.set()

    url = loopback.url + loopback.link(NUMBER)
    with pytest.raises(StoppedError, match="goes on"):
        download(web, url, target, held)
    part = Partial(target).held()
    assert part > 100_000
    assert not target.exists()
    assert fetch(loopback, QuickWeb(), target) == "downloaded"
    assert loopback.asked(loopback.link(NUMBER))[-1]["Range"] == f"bytes={part}-"
    assert target.read_bytes() == loopback.content(NUMBER)


def test_a_disk_that_fills_up_is_no_fault_of_the_server(
    loopback: Loopback, web: QuickWeb, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import poyodata.fetch.download as module

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_append", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(loopback, web, target)
    assert len(loopback.log) == 1
