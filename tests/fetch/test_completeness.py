from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.fetch.completeness import SIGNATURE, is_complete, stored_end


def ordinary(**options: object) -> object:
    def write(path: Path) -> None:
        with h5py.File(path, "w", **options) as file:
            file["x"] = np.arange(5000)

    return write


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(ordinary(libver="earliest"), id="superblock-0"),
        pytest.param(ordinary(libver=("v108", "v108")), id="superblock-2"),
        pytest.param(ordinary(libver="latest"), id="superblock-3"),
        pytest.param(ordinary(userblock_size=512), id="user-block-512"),
        pytest.param(ordinary(userblock_size=4096), id="user-block-4096"),
    ],
)
def test_the_stated_end_is_the_file_s_end(write: object, tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    write(path)
    whole = path.read_bytes()
    assert stored_end(path) == len(whole)
    assert is_complete(path)
    for keep in (len(whole) - 1, len(whole) // 2, 96 if whole.startswith(b"\x89HDF") else len(whole) - 8):
        path.write_bytes(whole[:keep])
        assert not is_complete(path), keep
        with pytest.raises(OSError, match=r"truncated|unable"):
            h5py.File(path)
    path.write_bytes(whole + b"rest")
    assert is_complete(path)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_superblock_1(width: int, tmp_path: Path) -> None:
    # h5py cannot be told to write this version: the fields are laid out by hand, as the format's description has them.
    versions = bytes([1, 0, 0, 0, 0, width, width, 0])
    nodes = struct.pack("<HHIHH", 4, 16, 0, 32, 0)
    undefined = b"\xff" * width
    addresses = bytes(width) + undefined + (300).to_bytes(width, "little") + undefined
    path = tmp_path / "a.nwb"
    path.write_bytes((SIGNATURE + versions + nodes + addresses).ljust(300, b"\0"))
    assert stored_end(path) == 300
    assert is_complete(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x89HDF", id="cut-in-the-signature"),
        pytest.param(b"\x89HDF\r\n\x1a\n", id="signature-alone"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes([9]) + bytes(100), id="unknown-version"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes([2, 200]) + bytes(100), id="impossible-width"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes([0]), id="cut-in-the-superblock"),
        pytest.param(b"<html>" * 1000, id="web-page"),
    ],
)
def test_what_is_no_hdf5_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(content)
    assert stored_end(path) is None
    assert not is_complete(path)


def test_a_folder_is_not_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
