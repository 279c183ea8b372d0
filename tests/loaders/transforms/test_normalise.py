"""Normalisation looks at train-role frames alone, each once; its file is trusted only where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.curation.view import View
from poyodata.errors import LoaderError, UsageError
from poyodata.intervals import as_intervals
from poyodata.loaders.transforms import (
    Normalisation,
    Normalise,
    fit_normalisation,
    identity_normalisation,
    load_normalisation,
)
from poyodata.loaders.transforms import normalise as module
from poyodata.store import Store


@pytest.fixture
def manifest(tiny_store: Store) -> Manifest:
    return load_diet("all").resolve(tiny_store, split="blocks-5fold")


@pytest.fixture
def view(tiny_store: Store, manifest: Manifest) -> View:
    return manifest.open(tiny_store)


def train_frames(view: View, session_id: str) -> Any:
    windows = view.manifest.windows
    mine = windows[(windows["session_id"] == session_id) & windows["role"].isin(["train", "identify"])]
    return as_intervals(mine[["start_frame", "stop_frame"]].to_numpy())


def train_values(view: View, session_id: str) -> Any:
    traces = np.asarray(view.traces(session_id))[:, view.columns(session_id)].astype(np.float64)
    return np.concatenate([traces[a:b] for a, b in train_frames(view, session_id)])


def test_every_neuron_has_mean_0_and_variance_1_over_train_frames(view: View) -> None:
    fitted = fit_normalisation(view)
    for key in view.session_ids:
        scaled = (train_values(view, key) - fitted.shift[key]) * fitted.scale[key]
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)


def test_by_recording_one_mean_and_one_deviation_serve_all(view: View) -> None:
    fitted = Normalise(by="recording").fit(view)
    for key in view.session_ids:
        values = train_values(view, key)
        assert np.unique(fitted.shift[key]).size == np.unique(fitted.scale[key]).size == 1
        np.testing.assert_allclose(fitted.shift[key][0], values.mean(), rtol=1e-5)
        np.testing.assert_allclose(fitted.scale[key][0], 1 / values.std(), rtol=1e-5)
        assert len(fitted.scale[key]) == values.shape[1]


class Watched:
    """Traces that write down which frames are read of them."""

    def __init__(self, traces: Any) -> None:
        self.traces, self.shape, self.read = traces, traces.shape, []

    def __getitem__(self, rows: slice) -> Any:
        assert isinstance(rows, slice)
        self.read.append((rows.start, rows.stop))
        return self.traces[rows]


@pytest.mark.parametrize("by", ["neuron", "recording"])
def test_each_train_frame_is_read_once_in_blocks_and_no_other(
    view: View, by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_normalisation(view, by)
    monkeypatch.setattr(module, "BLOCK_FRAMES", 100)
    watched = {key: Watched(np.asarray(view.traces(key))) for key in view.session_ids}
    monkeypatch.setattr(View, "traces", lambda self, key: watched[key])
    blocked = fit_normalisation(view, by)
    for key, one in watched.items():
        seen = np.zeros(one.shape[0], int)
        for start, stop in one.read:
            assert stop - start <= 100
            seen[start:stop] += 1
        expected = np.zeros(one.shape[0], int)
        for start, stop in train_frames(view, key):
            expected[start:stop] = 1
        np.testing.assert_array_equal(seen, expected)
        np.testing.assert_allclose(blocked.shift[key], whole.shift[key], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(blocked.scale[key], whole.scale[key], rtol=1e-5)


def test_what_valid_and_test_time_hold_changes_nothing(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = fit_normalisation(view)
    other = {}
    for key in view.session_ids:
        other[key] = np.full(view.traces(key).shape, 1e6, np.float32)
        for start, stop in train_frames(view, key):
            other[key][start:stop] = view.traces(key)[start:stop]
    monkeypatch.setattr(View, "traces", lambda self, key: other[key])
    assert fit_normalisation(view).digest == clean.digest


def test_a_neuron_that_never_changes_becomes_0(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = {key: np.array(view.traces(key)) for key in view.session_ids}
    key = view.session_ids[0]
    flat[key][:, 2], flat[key][:, 3] = 7.0, np.nan
    monkeypatch.setattr(View, "traces", lambda self, key: flat[key])
    fitted = fit_normalisation(view)
    assert fitted.scale[key][2] == fitted.scale[key][3] == 0
    assert np.isfinite(fitted.shift[key]).all()


def test_nothing_fitted_leaves_values_as_they_are(view: View, tmp_path: Path) -> None:
    none = identity_normalisation(view)
    key = view.session_ids[0]
    assert (none.shift[key] == 0).all() and (none.scale[key] == 1).all() and none.fitted is None
    with pytest.raises(UsageError, match="nothing to save"):
        none.save(tmp_path / "n.parquet")


def test_the_record_for_leak_checks_names_train_roles_and_frames(view: View) -> None:
    fitted = fit_normalisation(view).fitted
    assert fitted is not None and fitted.kind == "normalisation"
    assert set(fitted.roles) <= {"train", "identify"}
    assert fitted.looked_at is not None
    for key in view.session_ids:
        np.testing.assert_array_equal(fitted.looked_at[key], train_frames(view, key))


def saved(view: View, tmp_path: Path) -> tuple[Normalisation, Path]:
    fitted = fit_normalisation(view)
    return fitted, fitted.save(tmp_path / "folder" / "n.parquet")


def test_saved_and_loaded_it_is_the_same(view: View, tmp_path: Path) -> None:
    fitted, path = saved(view, tmp_path)
    loaded = load_normalisation(path, view)
    assert (loaded.digest, loaded.by, loaded.neuron_ids) == (fitted.digest, fitted.by, fitted.neuron_ids)
    for key in view.session_ids:
        np.testing.assert_array_equal(loaded.shift[key], fitted.shift[key])
        np.testing.assert_array_equal(loaded.scale[key], fitted.scale[key])
    assert loaded.fitted is not None and fitted.fitted is not None
    for word in ("name", "kind", "manifest_digest", "split_digest", "roles", "sessions", "donors", "uses_labels"):
        assert getattr(loaded.fitted, word) == getattr(fitted.fitted, word)
    assert [path.name for path in path.parent.iterdir()] == ["n.parquet"]


def test_it_serves_another_diet_of_the_same_store_and_split(tiny_store: Store, view: View, tmp_path: Path) -> None:
    fitted, path = saved(view, tmp_path)
    some = Diet.where("column >= 4", name="some").resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    loaded = load_normalisation(path, some)
    for key in some.session_ids:
        np.testing.assert_array_equal(loaded.shift[key], fitted.shift[key][some.columns(key)])
        assert loaded.neuron_ids[key] == tuple(some.neurons(key)["neuron_id"])


def test_the_digest_tells_ways_and_neurons_apart(tiny_store: Store, view: View) -> None:
    some = Diet.where("column >= 4", name="some").resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    digests = [fit_normalisation(view).digest, fit_normalisation(view, "recording").digest]
    assert len({*digests, fit_normalisation(some).digest}) == 3
    assert fit_normalisation(view).digest == digests[0]


def rewrite(path: Path, change: Any, words: Any = ()) -> None:
    table = pq.read_table(path)
    record = table.schema.metadata[b"poyodata.normalisation"]
    for old, new in words:
        assert old in record
        record = record.replace(old, new)
    frame = table.replace_schema_metadata(None).to_pandas()
    made = pa.Table.from_pandas(change(frame), preserve_index=False)
    pq.write_table(made.replace_schema_metadata({"poyodata.normalisation": record}), path)


def shifted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(shift=frame["shift"].where(frame.index != 3, frame["shift"] + np.float32(1e-3)))


@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        pytest.param(shifted, (), "does not match the digest", id="a value"),
        pytest.param(lambda frame: frame.iloc[:-1], (), "does not match the digest", id="a neuron less"),
        pytest.param(lambda frame: frame.iloc[::-1], (), "does not match the digest", id="another order"),
        pytest.param(lambda frame: frame.drop(columns="scale"), (), "damaged", id="a column less"),
        pytest.param(lambda frame: frame, [(b'"train"', b'"valid"')], "does not match the digest", id="roles"),
        pytest.param(lambda frame: frame, [(b'"format": 1', b'"format": 9')], "this version reads 1", id="format"),
        pytest.param(lambda frame: frame, [(b'"by": "neuron"', b'"by": "recording"')], "match the digest", id="by"),
    ],
)
def test_a_changed_file_is_refused(view: View, tmp_path: Path, change: Any, words: Any, says: str) -> None:
    _, path = saved(view, tmp_path)
    rewrite(path, change, words)
    with pytest.raises(LoaderError, match=says):
        load_normalisation(path, view)


def test_a_file_that_was_only_written_again_is_read(view: View, tmp_path: Path) -> None:
    _, path = saved(view, tmp_path)
    rewrite(path, lambda frame: frame)
    assert load_normalisation(path, view).by == "neuron"


def test_foreign_files_are_refused(tiny_store: Store, view: View, tmp_path: Path) -> None:
    _, path = saved(view, tmp_path)
    with pytest.raises(UsageError, match="no normalisation at"):
        load_normalisation(tmp_path / "none.parquet", view)
    (tmp_path / "text.parquet").write_text("no parquet")
    pd.DataFrame({"neuron_id": ["a"]}).to_parquet(tmp_path / "table.parquet")
    for name in ("text", "table"):
        with pytest.raises(LoaderError, match="is no normalisation"):
            load_normalisation(tmp_path / f"{name}.parquet", view)
    folds = load_diet("all").resolve(tiny_store, split="blocks-5fold", fold=1).open(tiny_store)
    with pytest.raises(LoaderError, match="fitted on split"):
        load_normalisation(path, folds)
    few = Diet.where("column >= 4", name="few").resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    with pytest.raises(LoaderError, match=r"knows nothing of neuron .*\(4 of its 12 are missing\)"):
        load_normalisation(fit_normalisation(few).save(tmp_path / "few.parquet"), view)


def test_a_file_of_another_store_is_refused(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = saved(view, tmp_path)
    monkeypatch.setattr(Manifest, "store_digest", "f" * 64)
    with pytest.raises(LoaderError, match=r"fitted on store .* and manifest 'all' is of store ffffffffffff"):
        load_normalisation(path, view)


def test_a_recording_without_train_time_is_refused_before_anything_is_read(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = view.session_ids[-1]
    windows = view.manifest.windows
    kept = windows[~((windows["session_id"] == key) & (windows["role"] == "train"))]
    monkeypatch.setitem(view.manifest.__dict__, "windows", kept)
    monkeypatch.delattr(View, "traces")
    with pytest.raises(LoaderError, match=f"recording '{key}' has no train-role window"):
        fit_normalisation(view)


def test_a_recording_without_a_window_is_left_as_it_is(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, key = fit_normalisation(view), view.session_ids[-1]
    windows = view.manifest.windows
    monkeypatch.setitem(view.manifest.__dict__, "windows", windows[windows["session_id"] != key])
    fitted = fit_normalisation(view)
    assert (fitted.shift[key] == 0).all() and (fitted.scale[key] == 1).all()
    for other in view.session_ids[:-1]:
        np.testing.assert_array_equal(fitted.shift[other], whole.shift[other])
    assert fitted.fitted is not None and key not in fitted.fitted.sessions


def test_only_recordings_that_are_read_have_to_be_fitted(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, last = view.session_ids
    windows = view.manifest.windows
    kept = windows[~((windows["session_id"] == last) & (windows["role"] == "train"))]
    monkeypatch.setitem(view.manifest.__dict__, "windows", kept)
    fitted = fit_normalisation(view, sessions={first})
    assert (fitted.scale[first] != 1).any() and (fitted.scale[last] == 1).all()
    with pytest.raises(LoaderError, match=f"recording '{last}' has no train-role window .*leave such recordings out"):
        fit_normalisation(view, sessions={first, last})


def test_an_unknown_way_is_refused(view: View) -> None:
    with pytest.raises(LoaderError, match="did you mean 'recording'"):
        fit_normalisation(view, "recordings")  # type: ignore[arg-type]
    with pytest.raises(LoaderError, match="by neuron or by recording"):
        Normalise(by="session")  # type: ignore[arg-type]
