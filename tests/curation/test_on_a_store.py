"""The road from a written store to a manifest and back to its traces, with nothing replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet, Manifest, c, check_leaks, load_diet, mix
from poyodata.errors import DietError, ManifestError
from poyodata.sources import read_arrays
from poyodata.sources.record import SessionMetadata, SessionRecord
from poyodata.splits import resolve_split
from poyodata.store import Store, StoreWriter, open_store

GRATINGS = c.stimulus == "drifting_gratings"
N_NEURONS, TRIALS, STEP = 8, 120, 90
FRAMES = TRIALS * STEP


def record(number: int, line: str) -> SessionRecord:
    """Gaussian traces in even columns, which are predictable; rare tall events in odd ones, which are not."""
    rng = np.random.default_rng(number)
    traces = rng.normal(0, 1, (FRAMES, N_NEURONS)).astype(np.float32)
    for column in range(1, N_NEURONS, 2):
        traces[rng.choice(FRAMES, FRAMES // 250, replace=False), column] += 40
    time_s = np.arange(FRAMES) / 30.0
    start = np.arange(TRIALS) * STEP
    shown = pd.DataFrame(
        {
            "stimulus": "drifting_gratings",
            "epoch": 0,
            "trial": np.arange(TRIALS),
            "start_frame": start,
            "stop_frame": start + 60,
            "start_s": time_s[start],
            "stop_s": time_s[start + 60 - 1],
            "blank": np.arange(TRIALS) % 10 == 9,
            "direction_deg": 45.0 * (np.arange(TRIALS) % 8),
            "temporal_frequency_hz": 2.0,
            "orientation_deg": np.nan,
            "spatial_frequency_cpd": np.nan,
            "phase": np.nan,
            "movie_frame": -1,
            "image": -1,
            "repeat": -1,
        }
    )
    session = f"60{number}"
    neurons = pd.DataFrame(
        {
            "neuron_id": [f"{session}_{k}" for k in range(N_NEURONS)],
            "cell_specimen_id": pd.array(1000 * number + np.arange(N_NEURONS), dtype="Int64"),
            "roi_id": pd.array(np.arange(N_NEURONS), dtype="Int64"),
            "x_um": 1.0,
            "y_um": 2.0,
            "valid_roi": True,
            "exclusion_label": "",
        }
    )
    return SessionRecord(
        metadata=SessionMetadata(
            session_id=session,
            donor_id=f"d{number}",
            container_id=f"c{number}",
            cre_line=line,
            area="VISp",
            depth_um=175.0,
        ),
        neurons=neurons,
        time_s=time_s,
        segments=np.array([[0, FRAMES]], np.int64),
        presentations=shown,
        read_traces=lambda a, b: traces[a:b],
        source_digest=f"made {number}",
    )


def write(path: Path, numbers: list[int]) -> Store:
    lines = ["Sst-IRES-Cre", "Cux2-CreERT2", "Vip-IRES-Cre"]
    with StoreWriter(path) as writer:
        for number in numbers:
            writer.add(record(number, lines[number]))
    return open_store(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(tmp_path_factory.mktemp("curation") / "small.zarr", [0, 1, 2])


def test_the_whole_road(small: Store, tmp_path: Path) -> None:
    predictable = Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="predictable")
    manifest = predictable.during(GRATINGS, min_length_s=1.9).resolve(small)
    assert manifest.meta["split"]["spec"]["name"] == "blocks-5fold"
    assert manifest.neurons["column"].tolist() == [0, 2, 4, 6] * 3
    assert manifest.roles == ("test", "train", "valid")
    view = Manifest.load(manifest.save(tmp_path / "m")).open(small)
    session = view.session_ids[0]
    dataset = view.dataset(session)
    assert dataset.sizes["neuron"] == 4
    assert dataset["neuron_id"].to_numpy().tolist() == view.neurons(session)["neuron_id"].tolist()
    np.testing.assert_array_equal(dataset["dff"].to_numpy(), view.traces(session)[:, view.columns(session)])


@pytest.mark.parametrize(
    ("diet", "expected"),
    [("all", 24), ("predictable", 12), ("unpredictable", 12), ("inhibitory", 16), ("mixed-30", 16)],
)
def test_presets_on_a_store(diet: str, expected: int, small: Store) -> None:
    assert len(load_diet(diet).resolve(small).neurons) == expected


def test_windows_are_the_trials_of_the_split(small: Store) -> None:
    split = resolve_split(small, "blocks-5fold", fold=2)
    manifest = load_diet("all").during(GRATINGS).resolve(small, split=split)
    got = manifest.windows[["session_id", "stimulus", "trial", "role"]]
    keys = ["session_id", "trial"]
    want = split.trials[["session_id", "stimulus", "trial", "role"]]
    pd.testing.assert_frame_equal(
        got.sort_values(keys, ignore_index=True), want.sort_values(keys, ignore_index=True), check_dtype=False
    )


def test_the_digest_survives_another_order_of_ingestion(small: Store, tmp_path: Path) -> None:
    other = write(tmp_path / "other.zarr", [2, 0, 1])
    diet = load_diet("mixed-30").during(GRATINGS)
    assert diet.resolve(small).digest == diet.resolve(other).digest


def test_a_store_with_one_more_recording_is_refused(small: Store, tmp_path: Path) -> None:
    manifest = load_diet("inhibitory").resolve(write(tmp_path / "grown.zarr", [0, 1]))
    with StoreWriter(tmp_path / "grown.zarr") as writer:
        writer.add(record(2, "Vip-IRES-Cre"))
    with pytest.raises(ManifestError, match="resolve the diet again"):
        manifest.open(open_store(tmp_path / "grown.zarr"))


def test_the_lineage_of_a_run_is_clean_under_one_fold_and_leaks_under_two(small: Store) -> None:
    low, high = (load_diet(name).during(GRATINGS) for name in ("predictable", "unpredictable"))
    stages = [("pretrain", low.resolve(small)), ("finetune", high.resolve(small)), ("test", high.resolve(small))]
    assert check_leaks(stages).ok
    stages[0] = ("pretrain", low.resolve(small, split="blocks-5fold", fold=1))
    leaks = check_leaks(stages, allow_leakage="planted").leaks
    assert {leak.check for leak in leaks} == {
        "test windows seen in training",
        "test windows within the guard of training",
        "statistics under another split than the test",
    }


def test_statistics_of_all_time_are_named_in_the_manifest(small: Store) -> None:
    manifest = load_diet("predictable").with_options(statistics_window="all").resolve(small)
    assert "statistics were computed on all time" in manifest.warnings[0]


def test_a_statistic_that_needs_labels_can_select(small: Store) -> None:
    manifest = Diet.where("not isnan(fisher_direction)", name="tuned").resolve(small)
    assert manifest.meta["statistics"]["names"] == ["fisher_direction"]
    assert manifest.meta["statistics"]["uses_labels"] == ["fisher_direction"]


def test_the_real_recording_has_the_known_numbers(real_recording: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "real.zarr") as writer:
        writer.add(read_arrays(real_recording / "dff_dg_continuous.h5"))
    store = open_store(tmp_path / "real.zarr")
    low, both = load_diet("predictable"), load_diet("unpredictable-strict")
    neither = Diet.everyone() - low - both
    counts = [
        len(diet.with_options(statistics_window="all").resolve(store).neurons)
        for diet in (low, both, neither.named("neither"), Diet.reference("unpredictable"), mix(~low, low))
    ]
    assert counts == [111, 105, 38, 143, 254]


@pytest.mark.parametrize(
    ("rule", "kept", "steps"),
    [
        pytest.param(None, 21, ["split", "valid_roi", "all"], id="left_out_unasked"),
        pytest.param(c.valid_roi, 21, ["split"], id="asked_for"),
        pytest.param(~c.valid_roi, 3, ["split"], id="looked_at"),
        pytest.param(c.exclusion_label == "union", 3, ["split"], id="by_label"),
    ],
)
def test_regions_labelled_for_exclusion(rule: Any, kept: int, steps: list[str], tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        for number in range(3):
            one = record(number, "Sst-IRES-Cre")
            one.neurons.loc[5, ["valid_roi", "exclusion_label"]] = [False, "union"]
            writer.add(one)
    diet = load_diet("all") if rule is None else Diet.where(rule)
    manifest = diet.resolve(open_store(tmp_path / "s.zarr"))
    assert len(manifest.neurons) == kept
    funnel = manifest.funnel()
    assert [step for step in funnel["step"] if step in ("split", "valid_roi")] == [s for s in steps if s != "all"]
    if rule is None:
        assert funnel.loc[funnel["step"] == "valid_roi", ["kept", "rejected"]].to_numpy().tolist() == [[21, 3]]


def test_listed_neurons_with_an_invalid_region_are_told_so(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s.zarr") as writer:
        one = record(0, "Sst-IRES-Cre")
        one.neurons.loc[5, ["valid_roi", "exclusion_label"]] = [False, "union"]
        writer.add(one)
    store = open_store(tmp_path / "s.zarr")
    listed = Diet.ids(store.neurons["neuron_id"].tolist())
    with pytest.raises(DietError, match=r"1 of 8 neurons under `ids`.*invalid ROI only where the diet names valid_roi"):
        listed.resolve(store)
    assert len((listed & Diet.where("valid_roi or not valid_roi")).resolve(store).neurons) == 8
