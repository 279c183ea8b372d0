"""Tables that grow, and are cut back to where a checkpoint was taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from poyodata.errors import ModelError
from poyodata.models.training.history import History
from poyodata.models.training.rows import Rows


def test_numbers_come_back_exactly_and_new_columns_come_last(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "a.csv")
    rows.append([{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1 / 3}])
    place = rows.state()
    before = (tmp_path / "a.csv").read_bytes()
    rows.append([{"step": 3, "loss": 1e-30, "accuracy": 0.5}, {"step": 4, "loss": 2.0}])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        "1,0.1,", f"2,{1 / 3!r},", "3,1e-30,0.5", "4,2.0,"
    ]  # fmt: skip
    again = Rows(tmp_path / "a.csv")
    again.cut(rows.state())
    assert again.rows == rows.rows
    again.cut(place)
    assert (tmp_path / "a.csv").read_bytes() == before
    assert again.rows == [{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1 / 3}]


def test_half_a_row_is_dropped(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "a.csv")
    rows.append([{"step": 1, "loss": 0.1}])
    place, before = rows.state(), (tmp_path / "a.csv").read_bytes()
    with (tmp_path / "a.csv").open("a", encoding="utf-8") as file:
        file.write("2,0.")
    Rows(tmp_path / "a.csv").cut(place)
    assert (tmp_path / "a.csv").read_bytes() == before


def test_rows_that_are_gone_are_missed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it had 3 rows"):
        Rows(tmp_path / "a.csv").cut({"columns": ["step"], "rows": 3})


def test_only_one_of_several_processes_writes(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "a.csv", writes=False)
    rows.append([{"step": 1}])
    rows.sync()
    assert not list(tmp_path.iterdir())
    assert len(rows.table()) == 1


def test_terms_are_averaged_over_the_batches_that_have_them() -> None:
    history = History(Rows())
    parts = [{"loss": torch.tensor(1.0), "running": torch.tensor(4.0)}, {"loss": torch.tensor(3.0)}]
    history.add({"step": 1, "lr": 0.5, "windows": 4}, parts)
    assert history.read() == [{"step": 1, "loss": 2.0, "running": 4.0, "lr": 0.5, "windows": 4}]
    assert history.read() == []


def test_a_gradient_that_is_not_finite_is_named() -> None:
    history = History(Rows())
    history.add({"step": 1, "lr": 0.5}, [{"loss": torch.tensor(1.0), "gradient_norm": torch.tensor(1.0)}])
    history.add({"step": 2, "lr": 0.5}, [{"loss": torch.tensor(1.0), "gradient_norm": torch.tensor(float("inf"))}])
    with pytest.raises(ModelError, match="the gradient norm is inf at step 2"):
        history.read()
    assert len(history.rows.rows) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda text: text.replace(b",8\n", b",8.0\n"), "line 2 of .*'8.0'", id="fraction-of-a-whole"),
        pytest.param(lambda text: text.replace(b"2,0.5", b"2,half"), "line 3 of .*'half'", id="junk"),
        pytest.param(lambda text: text.replace(b"0.5,8", b"0.5"), "line 3 of .*2 of 3 fields", id="short-row"),
        pytest.param(lambda text: text + b"\xff\xfe", "is no text", id="foreign-bytes"),
        pytest.param(lambda text: b"", "it had 2 rows", id="emptied"),
    ],
)
def test_a_table_that_was_changed_is_refused(change: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = Rows(file)
    rows.append([{"step": 1, "loss": 0.25, "windows": 8}, {"step": 2, "loss": 0.5, "windows": 8}])
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ModelError, match=said):
        Rows(file).cut(rows.state())
