"""A packed store: the selected neurons alone, opened like any other store, and it says what it is of."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import poyodata
from poyodata.curation import Diet, View, c, check_leaks
from poyodata.curation.packing import PackedRecord
from poyodata.errors import SplitError, StoreError, UsageError
from poyodata.loaders import make_loader
from poyodata.sources.record import SessionRecord, Signal
from poyodata.splits import Across, Blocks, Fractions, SplitSpec, resolve_split
from poyodata.statistics import compute_statistics
from poyodata.statistics.learned.columns import write_columns
from poyodata.statistics.learned.lineage import lineage_of
from poyodata.statistics.statistic import Column
from poyodata.store import Store, StoreWriter, open_store
from poyodata.store.annotations import annotate
from poyodata.store.verify import verify_store
from tests.curation.test_on_a_store import FRAMES, N_NEURONS, record

LINES = ("Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre")
GRATINGS = c.stimulus == "drifting_gratings"


def whole_record(number: int) -> SessionRecord:
    """A recording with everything that a recording can have; one value of it is missing."""
    rng = np.random.default_rng(number + 50)
    plain = record(number, LINES[number])
    traces = plain.read_traces(0, FRAMES).copy()
    traces[700, 3] = np.nan
    raw = rng.normal(300, 9, (FRAMES, N_NEURONS)).astype(np.float32)
    movie = np.arange(18 * 4 * 5, dtype=np.uint8).reshape(18, 4, 5)
    masks = [np.column_stack([np.arange(k + 1), np.arange(k + 1)]).astype(np.int16) for k in range(N_NEURONS)]
    return replace(
        plain,
        read_traces=lambda start, stop: traces[start:stop],
        neurons=plain.neurons.assign(snr=np.arange(N_NEURONS) / 4, layer=["2/3"] * N_NEURONS),
        further={"raw": lambda start, stop: raw[start:stop]},
        signals={"running_speed": Signal(values=np.arange(90.0), time_s=np.arange(90.0), unit="cm/s")},
        templates={"natural_movie_one": lambda: movie} if number else {},
        masks=masks,
        max_projection=np.full((6, 5), number, np.uint8),
        segments=np.array([[0, 5000], [5000, FRAMES]], np.int64),
    )


def write(path: Path) -> Store:
    with StoreWriter(path) as writer:
        for number in range(3):
            writer.add(whole_record(number), missing="keep", traces=("raw",))
    return open_store(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("whole") / "whole.zarr"
    store = write(path)
    labels = pd.DataFrame({"neuron_id": store.neurons["neuron_id"], "kind": np.arange(len(store.neurons)) % 3})
    annotate(path, labels, "kinds")
    cells = pd.DataFrame({"cell_specimen_id": [0, 1, 1002], "matched": ["yes", "no", "yes"]})
    annotate(path, cells, "cells")
    annotate(path, pd.DataFrame({"neuron_id": ["602_7"], "odd": ["one"]}), "lonely")
    return open_store(path)


def diet() -> Diet:
    """Columns 0, 2, 4 of Sst and Vip: one recording is left out whole."""
    return Diet.where((c.snr <= 1.0) & (c.kind != 1) & (c.cre_line != "Cux2-CreERT2"), name="few").during(GRATINGS)


@pytest.fixture(scope="module")
def view(whole: Store) -> View:
    return diet().resolve(whole).open(whole)


@pytest.fixture(scope="module")
def packed(view: View, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return view.materialise(tmp_path_factory.mktemp("packed") / "packed.zarr", progress=lambda _: None)


def test_a_view_gives_the_masks_of_its_neurons_as_the_packed_store_does(view: View, packed: Store) -> None:
    for session in view.session_ids:
        own, written = view.dataset(session), packed[session]
        for name in ("dff", "mask_px", "mask_neuron"):
            assert own[name].dtype == written[name].dtype
            np.testing.assert_array_equal(own[name], written[name])
        assert own["mask_neuron"].max() == own.sizes["neuron"] - 1 == 2


def test_the_selected_columns_are_there_bit_by_bit(view: View, packed: Store, whole: Store) -> None:
    assert packed.session_ids == view.session_ids == ("600", "602")
    assert packed.neurons["neuron_id"].tolist() == view.manifest.neurons["neuron_id"].tolist()
    for session in packed.session_ids:
        columns = view.columns(session)
        for name in ("dff", "raw"):
            expected = np.ascontiguousarray(whole.traces(session, name)[:, columns])
            assert packed.traces(session, name).tobytes() == expected.tobytes()
        assert np.isnan(packed.traces(session)).sum() == (1 if 3 in columns else 0)
        assert packed.time_s(session).tobytes() == whole.time_s(session).tobytes()
        for own, other in zip(
            packed.signal(session, "running_speed"), whole.signal(session, "running_speed"), strict=True
        ):
            assert own.tobytes() == other.tobytes()
        for own, column in zip(packed.masks(session), columns, strict=True):
            assert np.array_equal(own, whole.masks(session)[column])
        assert np.array_equal(packed.max_projection(session), whole.max_projection(session))
        pd.testing.assert_frame_equal(packed.presentations_of(session), whole.presentations_of(session))
        for table in ("segments", "epochs"):
            own, other = (getattr(store, table) for store in (packed, whole))
            rows = other[other["session_id"] == session].reset_index(drop=True)
            pd.testing.assert_frame_equal(own[own["session_id"] == session].reset_index(drop=True), rows)
    assert np.array_equal(packed.movie("natural_movie_one"), whole.movie("natural_movie_one"))
    rows = whole.neurons[whole.neurons["neuron_id"].isin(packed.neurons["neuron_id"])].reset_index(drop=True)
    shared = [name for name in packed.neurons.columns if name != "column"]
    pd.testing.assert_frame_equal(packed.neurons[shared], rows[shared], check_dtype=False)


def test_it_opens_like_any_other_store(packed: Store, whole: Store) -> None:
    found = verify_store(packed.path)
    assert (found.damages, found.unexpected) == ((), ())
    dataset = packed["600"]
    assert dataset["dff"].shape == (FRAMES, len(packed.neurons[packed.neurons["session_id"] == "600"]))
    assert dataset["running_speed"].attrs["units"] == "cm/s"
    ours = compute_statistics(packed, "moments").set_index("neuron_id")
    theirs = compute_statistics(whole, "moments").set_index("neuron_id").loc[ours.index]
    assert ours["skewness"].tolist() == theirs["skewness"].tolist()
    manifest = Diet.where("skewness > -9").during(GRATINGS, min_length_s=1.9).resolve(packed)
    assert len(manifest.neurons) == len(packed.neurons)
    loader = make_loader(packed, manifest, split="train", window_s=1.9, batch_size=4, seed=0)
    batch = next(iter(loader))
    assert len(batch) > 0


def test_it_carries_its_lineage(view: View, packed: Store, tmp_path: Path) -> None:
    manifest = view.manifest
    lineage = packed.lineage
    assert lineage is not None
    assert (lineage["manifest"], lineage["store"]) == (manifest.digest, manifest.store_digest)
    assert (lineage["name"], lineage["split"]) == ("few", manifest.split_digest)
    assert (lineage["split_name"], lineage["fold"], lineage["before"]) == ("blocks-5fold", 0, None)
    assert (lineage["recordings"], lineage["neurons"]) == (2, len(manifest.neurons))
    again = Diet.where("snr <= 0.5", name="fewer").during(GRATINGS).resolve(packed)
    assert again.meta["lineage"] == lineage
    twice = again.open(packed).materialise(tmp_path / "twice.zarr")
    assert twice.lineage is not None
    assert (twice.lineage["manifest"], twice.lineage["before"]) == (again.digest, lineage)
    assert twice.sessions["source_digest"].tolist() == packed.sessions["digest"].tolist()


def test_it_says_so_where_a_store_is_shown(packed: Store, whole: Store) -> None:
    from typer.testing import CliRunner

    from poyodata.cli import app

    assert packed.lineage is not None
    shown = f"manifest {packed.lineage['manifest'][:12]}"
    assert shown in repr(packed) and shown in packed._repr_html_()
    text, facts = (CliRunner().invoke(app, ["info", str(packed.path), *more]).output for more in ([], ["--json"]))
    assert shown in text and json.loads(facts)["lineage"] == packed.lineage
    assert "lineage" not in json.loads(CliRunner().invoke(app, ["info", str(whole.path), "--json"]).output)


def test_a_plain_store_has_no_lineage(whole: Store) -> None:
    assert whole.lineage is None
    assert "lineage" not in repr(whole)


def test_the_same_twice_has_the_same_digest(view: View, packed: Store, tmp_path: Path) -> None:
    again = view.materialise(tmp_path / "again.zarr")
    assert again.digest == packed.digest
    before = {path: path.read_bytes() for path in (tmp_path / "again.zarr").rglob("*") if path.is_file()}
    assert view.materialise(tmp_path / "again.zarr").digest == packed.digest
    assert all(path.read_bytes() == content for path, content in before.items())


def test_annotations_are_carried_and_what_is_not_is_named(
    view: View, whole: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        packed = view.materialise(tmp_path / "p.zarr")
    assert set(packed.annotations) == {"kinds", "cells"}
    assert "'lonely' says nothing of the packed neurons" in caplog.text
    expected = whole.neurons.set_index("neuron_id").loc[packed.neurons["neuron_id"], "kind"]
    assert packed.neurons["kind"].tolist() == expected.tolist()


@pytest.mark.slow
def test_learned_columns_are_named_and_not_carried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = write(tmp_path / "s.zarr")
    split = resolve_split(store, "blocks-5fold")
    column = Column(dtype="float64", unit="1", definition="How stable a neuron is.", low=0, high=1)
    table = pd.DataFrame({"neuron_id": store.neurons["neuron_id"], "stability": 0.5})
    seen = {name: split.intervals(name, "train") for name in store.session_ids}
    lineage = lineage_of(store, split, producer="nuclr", version="1", trained_on=seen, computed_on=seen)
    write_columns(store, "nuclr", table, {"stability": column}, lineage)
    manifest = Diet.where("stability > 0.1 and snr < 1").resolve(store, split=split)
    with caplog.at_level(logging.WARNING):
        packed = manifest.open(store).materialise(tmp_path / "p.zarr")
    assert "learned columns 'nuclr' are not in the packed store" in caplog.text
    assert len(packed.neurons) == len(manifest.neurons)


MICE = SplitSpec(
    name="mice",
    across=Across(fractions=Fractions(train=0.34, valid=0.33, test=0.33)),
    within=Blocks(folds=5),
)


def test_a_packed_store_keeps_the_split_it_was_packed_under_though_an_animal_is_gone(
    whole: Store, tmp_path: Path
) -> None:
    split = resolve_split(whole, MICE)
    gone = str(split.sessions.loc[split.sessions["role"] == "valid", "session_id"].iloc[0])
    few = Diet.where(f"session_id != '{gone}' and skewness > -100 and snr < 1.4", name="two")
    source = few.resolve(whole, split=split)
    packed = source.open(whole).materialise(tmp_path / "two.zarr", progress=lambda _: None)
    with pytest.raises(SplitError, match="without a donor"):
        resolve_split(packed, MICE)
    with pytest.raises(SplitError, match="resolved for other content"):
        Diet.everyone().resolve(packed, split=resolve_split(whole, "blocks-5fold"))
    mine = Diet.where("skewness > -100", name="again").resolve(packed, split=split)
    columns = ["session_id", "role", "start_frame", "stop_frame", "guard_frames"]
    pd.testing.assert_frame_equal(mine.role_time[columns], source.role_time[columns])
    assert set(zip(mine.neurons["session_id"], mine.neurons["role"], strict=True)) == {
        (session, role)
        for session, role in zip(split.sessions["session_id"], split.sessions["role"], strict=True)
        if session != gone
    }
    assert not any("was packed under" in one for one in mine.warnings)
    assert check_leaks([("pretrain", source), ("test", mine)]).ok
    assert split.on(packed).check().on(packed).digest == mine.split_digest
    other = Diet.everyone().resolve(packed, split="blocks-5fold")
    said = "the store was packed under split 'mice', fold 0, which gave 2 of its recordings (first 60"
    assert any(said in one for one in other.warnings)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda path: path.mkdir() or (path / "thesis.tex").write_text("x"), "something else", id="folder"),
        pytest.param(lambda path: path.write_text("x"), "something else", id="file"),
        pytest.param(lambda path: write(path), "another store", id="store"),
        pytest.param(lambda path: StoreWriter(path, {"name": "other"}).close(), "of diet 'other'", id="packed"),
    ],
)
def test_a_target_that_holds_something_else_is_refused(
    prepare: Callable[[Path], Any], message: str, view: View, tmp_path: Path
) -> None:
    target = tmp_path / "target.zarr"
    prepare(target)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(UsageError, match=f"exists and holds .*{message}.*give a new folder"):
        view.materialise(target)
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize("inside", ["packed", "tables/packed.zarr", "a/b/packed"])
def test_a_target_inside_the_store_itself_is_refused(inside: str, view: View, whole: Store, tmp_path: Path) -> None:
    before = sorted(map(str, whole.path.rglob("*")))
    link = tmp_path / "link"
    link.symlink_to(whole.path, target_is_directory=True)
    for root in (whole.path, link):
        with pytest.raises(UsageError, match=r"lies within the store that is packed.*give a folder outside of it"):
            view.materialise(root / inside)
    assert sorted(map(str, whole.path.rglob("*"))) == before


def test_nothing_else_can_be_added_to_a_packed_store(packed: Store) -> None:
    digest = packed.digest
    with StoreWriter(packed.path) as writer, pytest.raises(StoreError, match="a copy of a part of another store"):
        writer.add(whole_record(1), missing="keep")
    with pytest.raises(StoreError, match="nothing else can be added"):
        StoreWriter(packed.path, {"name": "other"})
    assert open_store(packed.path).digest == digest
    assert open_store(packed.path).lineage == packed.lineage


def test_a_changed_lineage_is_found(packed: Store, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy.zarr"
    shutil.copytree(packed.path, copy)
    table = copy / "tables" / "sessions.parquet"
    content = table.read_bytes()
    assert b'"name": "few"' in content
    table.write_bytes(content.replace(b'"name": "few"', b'"name": "Few"'))
    assert any(damage.file == "tables/sessions.parquet" for damage in verify_store(copy).damages)
    with pytest.raises(StoreError, match="its seal is broken"):
        open_store(copy)


@pytest.mark.parametrize(
    "part", ["traces", *(pytest.param(part, marks=pytest.mark.slow) for part in ("clock", "masks", "template"))]
)
def test_damage_is_named_and_not_copied(part: str, tmp_path: Path) -> None:
    store = write(tmp_path / "s.zarr")
    view = Diet.where("snr < 1").resolve(store).open(store)
    file = {
        "traces": "sessions/601/raw/c/0/0",
        "clock": "sessions/601/time/c/0",
        "masks": "sessions/601/mask_px/c/0/0",
        "template": "stimuli/natural_movie_one/frames/c/0/0/0",
    }[part]
    content = bytearray((store.path / file).read_bytes())
    content[40] ^= 1
    (store.path / file).write_bytes(content)
    with pytest.raises(StoreError, match=r"recording '601' .* not what was written, so that it was not packed"):
        view.materialise(tmp_path / "p.zarr")
    left = open_store(tmp_path / "p.zarr")
    assert left.session_ids == ("600",)  # finished before; the damaged one left nothing behind
    assert verify_store(left.path).unexpected == ()


KILLED = """
import os, signal, sys
from pathlib import Path
from poyodata.curation import Manifest
from poyodata.store import open_store
store = open_store(sys.argv[1])
view = Manifest.load(sys.argv[2]).open(store)
view.materialise(sys.argv[3], progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


MEASURED = """
import resource, sys
from poyodata.curation import Manifest
from poyodata.store import open_store
store = open_store(sys.argv[1])
view = Manifest.load(sys.argv[2]).open(store)
import poyodata.curation.packing
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
view.materialise(sys.argv[3], progress=lambda _: None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_memory_is_that_of_blocks(tmp_path: Path) -> None:
    """A recording of 400 MB, of which half is kept, takes less than 100 MB."""
    n_neurons, n_frames = 500, 200_000
    block = np.random.default_rng(0).normal(size=(n_frames // 100, n_neurons)).astype(np.float32)
    plain = record(0, LINES[0])
    neurons = pd.concat([plain.neurons.iloc[:1]] * n_neurons, ignore_index=True).assign(
        neuron_id=[f"600_{k}" for k in range(n_neurons)],
        cell_specimen_id=pd.array(np.arange(n_neurons), dtype="Int64"),
        snr=np.arange(n_neurons) % 2,
    )
    large = replace(
        plain,
        neurons=neurons,
        time_s=np.arange(n_frames) / 30.0,
        segments=np.array([[0, n_frames]], np.int64),
        read_traces=lambda start, stop: np.resize(block, (stop - start, n_neurons)),
    )
    with StoreWriter(tmp_path / "large.zarr") as writer:
        writer.add(large)
    store = open_store(tmp_path / "large.zarr")
    folder = Diet.where("snr == 1").resolve(store).save(tmp_path / "m")
    environment = {**os.environ, "PYTHONPATH": str(Path(poyodata.__file__).parents[1])}
    command = [sys.executable, "-c", MEASURED, str(store.path), str(folder), str(tmp_path / "p.zarr")]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(found.stdout) < 100


@pytest.mark.slow
def test_killed_half_way_it_goes_on(view: View, packed: Store, tmp_path: Path) -> None:
    folder, target = view.manifest.save(tmp_path / "m"), tmp_path / "p.zarr"
    environment = {**os.environ, "PYTHONPATH": str(Path(poyodata.__file__).parents[1])}
    command = [sys.executable, "-c", KILLED, str(view.store.path), str(folder), str(target)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    half = open_store(target)
    assert (half.session_ids, half.lineage) == (("600",), packed.lineage)
    assert verify_store(target).damages == ()
    written: list[str] = []
    real = PackedRecord.check

    def counted(self: PackedRecord) -> PackedRecord:
        written.append(self.session_id)
        return real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackedRecord, "check", counted)
        assert view.materialise(target).digest == packed.digest
    assert written == ["602"]


def test_a_full_disk_is_said_and_leaves_nothing(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = io.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(file, str | os.PathLike) and "p.zarr" in os.fspath(file) and "raw" in os.fspath(file):
            raise OSError(errno.ENOSPC, "No space left on device", os.fspath(file))
        return real(file, mode, *arguments, **options)

    monkeypatch.setattr(io, "open", opened)
    with pytest.raises(StoreError, match=r"is full .*Free some space and run the same again"):
        view.materialise(tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr").exists()
