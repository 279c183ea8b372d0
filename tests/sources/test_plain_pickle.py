from __future__ import annotations

import datetime
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.sources.plain_pickle import load_plain


def saved(path: Path, value: Any, protocol: int = 4) -> Path:
    """What ``np.save`` writes of an object array, in any protocol."""
    array = np.asarray(value, object) if not isinstance(value, np.ndarray) else value
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, file, protocol=protocol)
    return path


PLAIN: dict[str, Any] = {
    "fs": np.float32(30.5),
    "nframes": np.int64(900),
    "text": "a µm",
    "flag": np.True_,
    "image": np.arange(6, dtype=">f4").reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "texts": np.array(["a", "bc"]),
    "list": [1, 2.5, None, ("x", b"y")],
    "nested": {"neucoeff": 0.7, "more": np.array([{"a": 1}, None], object)},
    "empty": np.zeros((0, 3)),
    "date": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    "folder": Path("somewhere"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_content(protocol: int, tmp_path: Path) -> None:
    found = load_plain(saved(tmp_path / "ops.npy", PLAIN, protocol))
    for name in ("image", "columns", "texts", "empty"):
        np.testing.assert_array_equal(found[name], PLAIN[name])
        assert found[name].dtype == PLAIN[name].dtype
    assert (found["fs"], found["nframes"], found["text"], found["flag"]) == (30.5, 900, "a µm", True)
    assert isinstance(found["nframes"], int)
    assert found["list"] == [1, 2.5, None, ["x", b"y"]]
    assert found["nested"]["neucoeff"] == 0.7
    assert found["nested"]["more"].tolist() == [{"a": 1}, None]
    assert (found["date"], found["folder"]) == (None, None)


def test_what_numpy_itself_saves(tmp_path: Path) -> None:
    regions = np.array([{"xpix": np.arange(3), "med": [1, 2]}, {"xpix": np.arange(2), "med": [3, 4]}], object)
    np.save(tmp_path / "stat.npy", regions)
    found = load_plain(tmp_path / "stat.npy")
    assert [one["med"] for one in found] == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(found[1]["xpix"], [0, 1])


class _Hostile:
    """Runs a call when it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_nothing_that_a_file_names_is_run(tmp_path: Path) -> None:
    import builtins
    import os
    import subprocess

    mark = tmp_path / "mark"
    for number, call in enumerate(
        (
            _Hostile(os.system, f"touch {mark}"),
            _Hostile(subprocess.check_call, ["touch", str(mark)]),
            _Hostile(builtins.eval, f"open({str(mark)!r}, 'w')"),
            _Hostile(builtins.exec, f"open({str(mark)!r}, 'w')"),
            _Hostile(builtins.getattr, "text", "upper"),
            _Hostile(np.load, str(mark)),
            _Hostile(Path.touch, mark),
        )
    ):
        path = saved(tmp_path / f"{number}.npy", {"fs": 30.0, "x": [call]})
        with pytest.raises(SourceError, match="which it could run; arrays, numbers"):
            load_plain(path)
    assert not mark.exists()
    np.load(tmp_path / "0.npy", allow_pickle=True)
    assert mark.exists()  # so that what was refused is what runs elsewhere


def test_harmless_names_do_nothing(tmp_path: Path) -> None:
    found = load_plain(saved(tmp_path / "ops.npy", {"x": _Hostile(datetime.timedelta, 5), "y": 1}))
    assert found == {"x": None, "y": 1}


def _itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _doubled() -> list[Any]:
    """2 to the power of 25 items, if each were made anew."""
    item: list[Any] = [0]
    for _ in range(25):
        item = [item, item]
    return item


def test_content_without_end_is_refused_or_shared(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="without end"):
        load_plain(saved(tmp_path / "a.npy", {"x": _itself()}))
    assert load_plain(saved(tmp_path / "b.npy", {"x": _doubled()}))["x"][0] is not None


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
    content = saved(tmp_path / "ops.npy", PLAIN).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        path = tmp_path / "cut.npy"
        path.write_bytes(content[: rng.integers(0, len(content) - 1)])
        with pytest.raises(SourceError, match=r"cut\.npy"):
            load_plain(path)
    for _ in range(200):
        flipped = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            flipped[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(flipped)
        try:
            load_plain(path)  # a number may have become another
        except SourceError as error:
            assert "cut.npy" in str(error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "does not exist", id="missing"),
        pytest.param(lambda path: np.save(path, np.zeros(3)), "holds float64 values; an object array", id="numbers"),
        pytest.param(lambda path: path.write_bytes(b"text"), "cannot be read", id="no_npy"),
        pytest.param(lambda path: saved(path, {"x": np.zeros(2, [("a", "f4")])}), "structured array", id="structured"),
    ],
)
def test_other_files(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "x.npy")
    with pytest.raises(SourceError, match=message):
        load_plain(tmp_path / "x.npy")
