"""Missing frames never reach a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poyodata.curation import Diet, load_diet
from poyodata.errors import LoaderError
from poyodata.loaders import Loader, make_loader
from poyodata.sources import SessionRecord, open_source
from poyodata.store import Store, StoreWriter, open_store

GRATINGS = "stimulus == 'drifting_gratings'"
HOLE_FRAMES = 3


def holed_store(raw: Path, out: Path, frames: slice, columns: list[int]) -> Store:
    """One recording of the world `tiny`, with NaN at some frames of some columns."""

    def holed(record: SessionRecord) -> SessionRecord:
        def read_traces(start: int, stop: int) -> Any:
            block = np.array(record.read_traces(start, stop))
            hole = slice(max(frames.start - start, 0), max(frames.stop - start, 0))
            block[hole, columns] = np.nan
            return block

        return replace(record, read_traces=read_traces)

    with StoreWriter(out) as writer:
        for record in open_source(sorted(raw.glob("*.nwb"))[0]):
            writer.add(holed(record), missing="keep")
    return open_store(out)


@pytest.fixture(scope="module")
def trial(tiny_store_path: Path, tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A train trial away from the edge, of the first recording."""
    store = holed_store(tiny_raw, tmp_path_factory.mktemp("whole") / "s.zarr", slice(0, 0), [])
    manifest = load_diet("all").during(GRATINGS).resolve(store, split="blocks-5fold")
    rows = manifest.windows[manifest.windows["role"] == "train"].reset_index(drop=True)
    return rows.iloc[3]


def finite(loader: Loader) -> bool:
    return all(bool(batch["values"].isfinite().all()) for batch in loader)


def test_windows_with_missing_frames_are_left_out_and_counted(tiny_raw: Path, tmp_path: Path, trial: Any) -> None:
    hole = int(trial["start_frame"]) + 5
    store = holed_store(tiny_raw, tmp_path / "s.zarr", slice(hole, hole + HOLE_FRAMES), [4])
    manifest = load_diet("all").during(GRATINGS).resolve(store, split="blocks-5fold")
    loader = make_loader(store, manifest, "train", window_s=1.0)
    total = int((manifest.windows["role"] == "train").sum())
    assert loader.windows.dropped == {"windows with a missing value": 1}
    assert len(loader.windows) == total - 1
    assert int(trial["trial"]) not in manifest.windows["trial"].iloc[loader.windows.source].tolist()
    assert finite(loader)
    assert np.isfinite(loader.normalisation.shift[loader.session_ids[0]]).all()
    others = Diet.where("column != 4", name="others").during(GRATINGS).resolve(store, split="blocks-5fold")
    assert not make_loader(store, others, "train", window_s=1.0).windows.dropped


def test_jitter_moves_no_window_onto_a_hole(tiny_raw: Path, tmp_path: Path, trial: Any) -> None:
    stop = int(trial["start_frame"]) + 30
    store = holed_store(tiny_raw, tmp_path / "s.zarr", slice(stop + 3, stop + 4), [0])
    manifest = load_diet("all").during(GRATINGS).resolve(store, split="blocks-5fold")
    window_s = 30 / float(store.sessions["rate_hz"].iloc[0])
    for jitter in (0, 3, 40):
        loader = make_loader(store, manifest, "train", window_s=window_s, jitter_frames=jitter)
        assert not loader.windows.dropped
        for epoch in range(3):
            loader.set_epoch(epoch)
            assert finite(loader)


def test_fixed_windows_have_no_hole_in_any_epoch(tiny_raw: Path, tmp_path: Path, trial: Any) -> None:
    hole = int(trial["start_frame"]) + 5
    store = holed_store(tiny_raw, tmp_path / "s.zarr", slice(hole, hole + HOLE_FRAMES), [4])
    manifest = load_diet("all").resolve(store, split="blocks-5fold")
    loader = make_loader(store, manifest, "train", window_s=1.0, mode="fixed")
    for epoch in range(4):
        loader.set_epoch(epoch)
        assert finite(loader)
        assert len(loader.windows) > 10


@pytest.mark.parametrize("mode", ["trial", "fixed"])
def test_a_neuron_without_any_value_is_named_with_the_remedy(tiny_raw: Path, tmp_path: Path, mode: Any) -> None:
    store = holed_store(tiny_raw, tmp_path / "s.zarr", slice(0, 10**9), [2])
    manifest = load_diet("all").during(GRATINGS).resolve(store, split="blocks-5fold")
    session = store.sessions["session_id"].iloc[0]
    with pytest.raises(LoaderError, match=rf"'{session}', \d+ frames.*--missing drop.*missing_fraction > 0"):
        make_loader(store, manifest, "train", window_s=1.0, mode=mode)
    whole = Diet.where("missing_fraction == 0", name="whole").during(GRATINGS).resolve(store, split="blocks-5fold")
    assert finite(make_loader(store, whole, "train", window_s=1.0, mode=mode))
