"""CSV tables: what is read as it stands, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from poyodata.csv_tables import read_csv_table
from poyodata.errors import AnnotationError, PoyodataError, SourceError


def _table(folder: Path, content: bytes) -> Path:
    file = folder / "table.csv"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(b"id,x\n7,1.5\n8,2\n", [[7, 1.5], [8, 2.0]], id="numbers"),
        pytest.param(b"id,x\n007,1.5\n12,0.5\n", [["007", 1.5], ["12", 0.5]], id="leading zeros"),
        pytest.param(b"\xef\xbb\xbfid,x\n7,a\n", [[7, "a"]], id="byte order mark"),
        pytest.param(b"id,x\r\n7,a\r\n\r\n8,b\r\n", [[7, "a"], [8, "b"]], id="empty line"),
        pytest.param(b'id,x\n7,"a,b"\n8,"c\nd"\n', [[7, "a,b"], [8, "c\nd"]], id="quoted"),
    ],
)
def test_what_stands_in_a_table_is_read(tmp_path: Path, content: bytes, rows: list[list[object]]) -> None:
    table = read_csv_table(_table(tmp_path, content), "the table")
    assert table.columns.tolist() == ["id", "x"]
    assert table.astype(object).to_numpy().tolist() == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"id,x\n7,a,\n8,b,\n", "has 3 fields in line 2 and 2 in its header", id="trailing commas"),
        pytest.param(b"id,x\n7,a\n8,b,c\n", "has 3 fields in line 3 and 2 in its header", id="one surplus field"),
        pytest.param(b"id,x\n7\n", "has 1 fields in line 2 and 2 in its header", id="missing field"),
        pytest.param(b"id,x,x\n7,1,2\n", "has two columns 'x'", id="two columns of one name"),
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"id,x\n7,\xff\xfe\n", "cannot be read", id="no text"),
    ],
)
@pytest.mark.parametrize("error", [SourceError, AnnotationError])
def test_what_would_shift_is_refused(tmp_path: Path, content: bytes, message: str, error: type[PoyodataError]) -> None:
    with pytest.raises(error, match=f"^the labels .*table.csv {message}"):
        read_csv_table(_table(tmp_path, content), "the labels", error)
