"""When a packed copy pays, and that it is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation.view import View
from poyodata.errors import UsageError
from poyodata.loaders.packed import PackingEstimate, estimate_packing, open_packed
from poyodata.loaders.sources import TraceSource
from poyodata.store import Store
from tests.loaders.some_windows import expected, half_view, whole_view, windows

GB = 10**9


def estimate(share: float = 0.3, epochs: int = 1000, **changed: Any) -> PackingEstimate:
    facts = {"disk_bytes": 100 * GB, "memory_bytes": 100 * GB, "packing_s": 10.0, "mapped_s": 2.0, "packed_s": 1.0}
    return PackingEstimate(share, 10 * GB, int(10 * GB * share), epochs=epochs, **(facts | changed))


@pytest.mark.parametrize(
    ("facts", "pays"),
    [
        pytest.param({}, True, id="many-epochs"),
        pytest.param({"epochs": 9}, False, id="too-few-epochs"),
        pytest.param({"packed_s": 2.0}, False, id="nothing-gained"),
        pytest.param({"disk_bytes": 3 * GB}, False, id="no-room"),
    ],
)
def test_a_copy_pays_when_it_fits_and_is_read_often_enough(facts: dict[str, Any], pays: bool) -> None:
    assert estimate(**facts).pays is pays
    assert "30% of the trace columns" in estimate(**facts).text()


def test_estimates_are_made_from_the_tables(tiny_store: Store) -> None:
    half, whole = (estimate_packing(view(tiny_store), None, 100) for view in (half_view, whole_view))
    sessions = tiny_store.sessions
    assert whole.stored_bytes == whole.packed_bytes == 4 * (sessions["n_frames"] * sessions["n_neurons"]).sum()
    assert half.share == pytest.approx(0.5, abs=0.1)
    assert whole.pays_after == float("inf")
    assert "never pays" in whole.text()
    assert half.mapped_s > half.packed_s
    cold = estimate_packing(half_view(tiny_store), None, 100, memory_bytes=0)
    assert cold.pays_after < half.pays_after  # from the disk, what is read around the kept columns costs much more


def packed_source(view: View, folder: Path, **options: Any) -> TraceSource:
    return TraceSource(view, packed=folder, **options)


@pytest.mark.slow
def test_a_copy_is_made_once_and_opened_again(tiny_store: Store, tmp_path: Path) -> None:
    view, folder = half_view(tiny_store), tmp_path / "packed"
    assert open_packed(view, folder) is None
    first = packed_source(view, folder, access="packed")
    assert first.access == "packed"
    assert "asked for" in first.explain()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = packed_source(view, folder)  # auto: it is there already
    assert again.access == "packed"
    assert "there already" in again.explain()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    located = windows([2, 0], [11, 5000], 40)
    for layout in ("neuron", "time"):
        widest = int(again.n_neurons.max())
        out = np.empty((2, widest, 40) if layout == "neuron" else (2, 40, widest), np.float32)
        again.gather(located, out, layout=layout)  # type: ignore[arg-type]
        for number in range(2):
            wanted = expected(view, located, number)
            own = out[number].T if layout == "neuron" else out[number]
            np.testing.assert_array_equal(own[:, : wanted.shape[1]], wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "access"), [(0, "mapped"), (10**9, "packed")], ids=["few-epochs", "many-epochs"])
def test_auto_packs_where_it_pays(tiny_store: Store, tmp_path: Path, epochs: int, access: str) -> None:
    source = packed_source(half_view(tiny_store), tmp_path / "packed", epochs=epochs)
    assert source.access == access
    assert "of the trace columns are kept" in source.explain()
    assert (tmp_path / "packed").exists() is (access == "packed")


def test_without_a_folder_the_loader_says_what_a_copy_would_give(tiny_store: Store, tmp_path: Path) -> None:
    text = TraceSource(half_view(tiny_store), epochs=10**9).explain()
    assert "packed=..." in text
    assert "packed=..." not in TraceSource(whole_view(tiny_store), epochs=10**9).explain()


@pytest.mark.slow
def test_a_copy_of_another_manifest_is_never_read(tiny_store: Store, tmp_path: Path) -> None:
    half_view(tiny_store).materialise(tmp_path / "packed", progress=lambda _: None)
    assert open_packed(whole_view(tiny_store), tmp_path / "packed") is None
    with pytest.raises(UsageError, match="another manifest"):
        packed_source(whole_view(tiny_store), tmp_path / "packed", access="packed")


def test_a_copy_that_does_not_fit_is_refused(
    tiny_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poyodata.loaders.packed.free_disk", lambda _: 1000)
    with pytest.raises(UsageError, match="does not fit"):
        packed_source(half_view(tiny_store), tmp_path / "packed", access="packed")
    assert packed_source(half_view(tiny_store), tmp_path / "packed", epochs=10**9).access == "mapped"
