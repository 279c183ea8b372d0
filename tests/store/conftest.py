"""A synthetic recording of a few neurons. Also run as a plain file by the crash test's child process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from poyodata.sources.record import SessionMetadata, SessionRecord, Signal


def make_record(session_id="s1", n_frames=2500, n_neurons=7, seed=0, *, donor_id="m1", templates=True, edit=None):
    """Recording with known content; ``edit(traces)`` changes the traces in place."""
    rng = np.random.default_rng([seed, *session_id.encode()])
    traces = rng.normal(size=(n_frames, n_neurons)).astype("float32")
    if edit is not None:
        edit(traces)
    time_s = np.arange(n_frames) / 30.0 + rng.uniform(0, 0.01, n_frames)
    cells = pd.array([100 + i for i in range(n_neurons)], dtype="Int64")
    cells[-1] = pd.NA
    neurons = pd.DataFrame(
        {
            "neuron_id": [f"{session_id}_{100 + i}" for i in range(n_neurons)],
            "cell_specimen_id": cells,
            "roi_id": pd.array(range(n_neurons), dtype="Int64"),
            "x_um": rng.uniform(0, 400, n_neurons),
            "y_um": np.r_[np.nan, rng.uniform(0, 400, n_neurons - 1)],
            "valid_roi": np.arange(n_neurons) % 2 == 0,
            "exclusion_label": ["", "duplicate"] * (n_neurons // 2) + [""] * (n_neurons % 2),
        }
    )
    start = np.arange(12) * (n_frames // 12)
    presentations = pd.DataFrame(
        {
            "stimulus": ["drifting_gratings"] * 6 + ["natural_movie_one"] * 6,
            "epoch": [0] * 6 + [1] * 6,
            "trial": [*range(6), *range(6)],
            "start_frame": start,
            "stop_frame": start + n_frames // 24,
            "start_s": time_s[start],
            "stop_s": time_s[start + n_frames // 24],
            "blank": [False] * 5 + [True] + [False] * 6,
            "direction_deg": [0.0, 45.0, 90.0, 135.0, 180.0, np.nan] + [np.nan] * 6,
            "temporal_frequency_hz": [1.0] * 5 + [np.nan] * 7,
            "orientation_deg": np.nan,
            "spatial_frequency_cpd": np.nan,
            "phase": np.nan,
            "image": -1,
            "movie_frame": [-1] * 6 + [*range(6)],
            "repeat": [-1] * 6 + [0] * 6,
        }
    )
    further = {name: rng.normal(300, 9, size=(n_frames, n_neurons)).astype("float32") for name in ("raw", "corrected")}
    masks = [
        np.column_stack([rng.integers(0, 512, 3 * i), rng.integers(0, 512, 3 * i)]).astype(np.int16)
        for i in range(n_neurons)
    ]
    movie = np.arange(20 * 4 * 5, dtype=np.uint8).reshape(20, 4, 5)
    return SessionRecord(
        metadata=SessionMetadata(
            session_id=session_id,
            donor_id=donor_id,
            container_id=f"c-{donor_id}",
            cre_line="Sst-IRES-Cre",
            area="VISp",
            depth_um=275.0,
        ),
        neurons=neurons,
        time_s=time_s,
        segments=np.array([[0, n_frames // 2], [n_frames // 2, n_frames]]),
        presentations=presentations,
        read_traces=lambda start, stop: traces[start:stop],
        source_digest=f"file-of-{session_id}",
        signals={"running_speed": Signal(values=np.arange(9.0), time_s=np.arange(9.0) / 3, unit="cm/s")},
        templates={"natural_movie_one": lambda: movie} if templates else {},
        further={name: (lambda start, stop, own=own: own[start:stop]) for name, own in further.items()},
        masks=masks,
        max_projection=rng.integers(0, 256, (6, 5), dtype=np.uint8),
    )


@pytest.fixture(name="make_record")
def make_record_fixture():
    return make_record


@pytest.fixture
def change():
    """``dataclasses.replace``, also for a field of the metadata."""

    def changed(record, **fields):
        own = {name: fields.pop(name) for name in list(fields) if hasattr(record.metadata, name)}
        return replace(record, **fields, metadata=replace(record.metadata, **own))

    return changed


@pytest.fixture
def write_store(tmp_path):
    """Write a store from records and open it."""
    from poyodata.store import StoreWriter, open_store

    def write(*records, name="tiny.zarr", **options):
        with StoreWriter(tmp_path / name) as writer:
            for record in records:
                writer.add(record, **options)
        return open_store(tmp_path / name)

    return write


@pytest.fixture
def files_of():
    """Every file under a folder with its bytes: what must not change."""

    def contents(folder):
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return contents


@pytest.fixture
def program(monkeypatch, capsys):
    """Run the command line in this process."""
    from types import SimpleNamespace

    from poyodata.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["poyodata", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return SimpleNamespace(status=int(stop.value.code or 0), out=shown.out, err=shown.err)

    return run
