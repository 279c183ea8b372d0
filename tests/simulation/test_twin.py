from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import UsageError
from poyodata.simulation import write_array_twin

LAYOUT = {
    "dff": np.dtype("<f2"),
    "cell_specimen_id": np.dtype("<i8"),
    "segments/segment": np.dtype("<i8"),
    "segments/first_trial": np.dtype("<i8"),
    "segments/last_trial_excl": np.dtype("<i8"),
    "segments/start": np.dtype("<i8"),
    "segments/stop": np.dtype("<i8"),
    "stimulus_table/trial": np.dtype("<i8"),
    "stimulus_table/segment": np.dtype("<i8"),
    "stimulus_table/start": np.dtype("<i8"),
    "stimulus_table/end": np.dtype("<i8"),
    "stimulus_table/orientation": np.dtype("<f4"),
    "stimulus_table/temporal_frequency": np.dtype("<f4"),
    "stimulus_table/blank_sweep": np.dtype("<f4"),
}
ATTRIBUTES = {
    "ophys_experiment_id",
    "container_id",
    "donor",
    "cre_line",
    "full_genotype",
    "imaging_depth",
    "targeted_structure",
    "session_type",
    "sampling_rate_hz_nominal",
}


def layout(path: Path) -> dict[str, np.dtype]:
    found: dict[str, np.dtype] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item.dtype}) if isinstance(item, h5py.Dataset) else None)
        assert set(file.attrs) == ATTRIBUTES
        assert file["dff"].chunks == (1, file["dff"].shape[1])
    return found


def test_layout(tmp_path: Path) -> None:
    assert layout(write_array_twin(tmp_path / "twin.h5", seed=0, neurons=3, trials=12)) == LAYOUT


def test_cuts_and_frames(tmp_path: Path) -> None:
    path = write_array_twin(tmp_path / "twin.h5", seed=0, neurons=3, trials=20)
    with h5py.File(path) as file:
        first, last = file["segments/first_trial"][()], file["segments/last_trial_excl"][()]
        start, stop = file["segments/start"][()], file["segments/stop"][()]
        onset = file["stimulus_table/start"][()]
        assert file["dff"].shape == (3, stop[-1])
    assert first.tolist() == [0, 3, 6, 9, 12, 16]
    assert last.tolist() == [3, 6, 9, 12, 16, 20]
    np.testing.assert_array_equal(start[1:], stop[:-1])
    # Every segment begins eight frames before its first sweep and ends 84 after its last one began.
    np.testing.assert_array_equal(onset[first], start + 8)
    np.testing.assert_array_equal(onset[last - 1], stop - 84)


def test_seed(tmp_path: Path) -> None:
    one, same, other = (
        write_array_twin(tmp_path / f"{name}.h5", seed=seed, neurons=2, trials=6).read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_too_small(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 neuron and 6 trials, got 2 and 5"):
        write_array_twin(tmp_path / "twin.h5", seed=0, neurons=2, trials=5)
