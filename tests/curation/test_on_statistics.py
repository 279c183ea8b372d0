"""Rules over what statistics give: restricted to a stimulus, with intervals, of a user's own; nothing is replaced."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from poyodata.curation import Diet, Manifest, c
from poyodata.curation.evidence import source_of
from poyodata.errors import DietError, StatisticError
from poyodata.intervals import intersect
from poyodata.splits import Split, resolve_split
from poyodata.statistics import Resampling, column_metadata, compute_statistics
from poyodata.statistics.registry import unregister_statistic
from poyodata.store import Store, open_store

EXAMPLE = Path(__file__).with_name("own_statistic.py")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
GRATINGS = "drifting_gratings"


@pytest.fixture(scope="module")
def store(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("on-statistics") / "tiny.zarr"
    shutil.copytree(tiny_store_path, path)
    return open_store(path)


@pytest.fixture(scope="module")
def split(store: Store) -> Split:
    return resolve_split(store, "blocks-5fold")


@pytest.fixture
def peak() -> Iterator[None]:
    runpy.run_path(str(EXAMPLE))
    yield
    unregister_statistic("peak")


def kept(manifest: Manifest) -> set[str]:
    return set(manifest.neurons["neuron_id"])


def test_a_column_restricted_to_a_stimulus(store: Store, split: Split) -> None:
    rule = c["skewness@drifting_gratings"] <= 2
    diet = Diet.where(rule, name="low")
    for spelled in (Diet.from_yaml(diet.to_yaml()), Diet.from_json(diet.to_json()), Diet.where(str(rule), name="low")):
        assert spelled == diet
        assert spelled.digest == diet.digest
    manifest = diet.resolve(store, split=split)
    ids, values = [], []
    for session in store.session_ids:
        epochs = store.epochs[(store.epochs["session_id"] == session) & (store.epochs["stimulus"] == GRATINGS)]
        spans = intersect(split.train_time(session), epochs[["start_frame", "stop_frame"]].to_numpy(np.int64))
        seen = np.concatenate([store.traces(session)[start:stop] for start, stop in spans]).astype(np.float64)
        gone = seen - seen.mean(axis=0)
        values.append((gone**3).mean(axis=0) / (gone**2).mean(axis=0) ** 1.5)
        ids.append(store.neurons.loc[store.neurons["session_id"] == session, "neuron_id"].to_numpy())
    expected = dict(zip(np.concatenate(ids), np.concatenate(values), strict=True))
    assert kept(manifest) == {name for name, value in expected.items() if value <= 2}
    assert 0 < len(manifest.neurons) < len(expected)
    own = manifest.neurons.set_index("neuron_id")["skewness@drifting_gratings"]
    assert own.to_numpy() == pytest.approx([expected[name] for name in own.index], rel=1e-9)
    said = manifest.meta["statistics"]
    assert said["names"] == ["moments@drifting_gratings"]
    assert said["time"] == {"moments@drifting_gratings": "train-role time, within the epochs of drifting_gratings"}
    assert said["versions"] == {"moments@drifting_gratings": 1}
    assert said["intervals"] is None


def test_restricted_and_whole_columns_stand_side_by_side(store: Store, split: Split, tmp_path: Path) -> None:
    diet = Diet.where("skewness <= 3 and skewness@drifting_gratings <= 3 and kurtosis@spontaneous > -2", name="both")
    manifest = diet.resolve(store, split=split)
    assert manifest.meta["statistics"]["names"] == ["moments", "moments@drifting_gratings", "moments@spontaneous"]
    both = manifest.neurons
    assert not np.allclose(both["skewness"], both["skewness@drifting_gratings"])
    loaded = Manifest.load(manifest.save(tmp_path / "both"))
    assert loaded.digest == manifest.digest
    assert "skewness@drifting_gratings" in loaded.neurons


def test_bounds_of_intervals_select_the_neurons_one_can_be_sure_of(store: Store, split: Split) -> None:
    sure = Diet.where("skewness_high <= 2 and std > 0", name="sure").resolve(store, split=split)
    computed = compute_statistics(store, "moments", split, intervals=Resampling())
    expected = computed.loc[(computed["skewness_high"] <= 2).to_numpy(bool), "neuron_id"]
    assert kept(sure) == set(expected)
    point = Diet.where("skewness <= 2", name="point").resolve(store, split=split)
    assert kept(sure) < kept(point)
    assert sure.meta["statistics"]["intervals"] == {"names": ["moments"], "level": 0.95, "draws": 1000, "seed": 0}
    assert point.meta["statistics"]["intervals"] is None


def test_only_what_a_bound_is_named_of_is_computed_with_intervals(store: Store, split: Split) -> None:
    steps: list[int] = []
    rule = "skewness_low@drifting_gratings <= 2 and not isnan(l_skewness)"
    manifest = Diet.where(rule, name="mixed").resolve(store, split=split, progress=steps.append)
    said = manifest.meta["statistics"]
    assert said["intervals"]["names"] == ["moments@drifting_gratings"]
    assert len(said["names"]) == 2
    assert sum(steps) == len(store)


def test_a_statistic_of_ones_own_in_a_diet(store: Store, split: Split, peak: None) -> None:
    manifest = Diet.where("brightest_dff > 1 and brightest_dff@spontaneous < 5", name="bright").resolve(
        store, split=split
    )
    highest = {
        name: max(float(store.traces(session)[start:stop, column].max()) for start, stop in split.train_time(session))
        for session, name, column in store.neurons[["session_id", "neuron_id", "column"]].itertuples(index=False)
    }
    own = manifest.neurons
    assert len(own) > 0
    assert own["brightest_dff"].to_numpy() == pytest.approx([highest[name] for name in own["neuron_id"]])
    assert (own["brightest_dff@spontaneous"] < 5).all()
    assert manifest.meta["statistics"]["versions"] == {"peak": 1, "peak@spontaneous": 1}


def test_without_it_the_name_is_unknown(store: Store, split: Split) -> None:
    with pytest.raises(DietError, match="unknown column 'brightest_dff'"):
        Diet.where("brightest_dff > 1", name="bright").resolve(store, split=split)


def test_the_documentation_shows_the_statistic_that_is_tested_here() -> None:
    if not PAGE.exists():
        pytest.skip("docs/statistics.md is not there yet")
    shown = re.sub(r"\s", "", PAGE.read_text(encoding="utf-8"))
    lines = EXAMPLE.read_text(encoding="utf-8")
    assert re.sub(r"\s", "", lines[lines.index("peak = ") :]) in shown


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "skewness@drifting_grating <= 2",
            "no recording of the store shows 'drifting_grating': did you mean 'drifting",
        ),
        ("skewness@natural_scenes <= 2", "no recording of the store shows 'natural_scenes'"),
        ("skewnes@drifting_gratings <= 2", "unknown column 'skewnes@drifting_gratings': did you mean 'skewness'"),
        ("area@drifting_gratings == 'VISp'", "unknown column 'area@drifting_gratings': only statistics can be restr"),
        ("fisher_direction@spontaneous > 1", "'fisher_direction' needs 'drifting_gratings'"),
        ("skewness_hi <= 2", "unknown column 'skewness_hi': did you mean 'skewness'"),
        ("area_low <= 2", "unknown column 'area_low': did you mean 'area'"),
        ("n_frames_low <= 2", "no intervals of that column"),
    ],
)
def test_names_that_mean_nothing(rule: str, message: str, store: Store, split: Split) -> None:
    with pytest.raises(DietError, match=re.escape(message)):
        Diet.where(rule, name="low").resolve(store, split=split)


def test_columns_of_quality_select_only_where_a_rule_names_them(store: Store, split: Split) -> None:
    manifest = Diet.where("baseline_drift < 1e9 and missing_fraction == 0", name="steady").resolve(store, split=split)
    owners = {column_metadata()[name]["statistic"] for name in ("baseline_drift", "missing_fraction")}
    assert set(manifest.meta["statistics"]["names"]) == owners
    assert Diet.everyone().resolve(store, split=split).meta["statistics"]["names"] == []


def test_windows_are_not_chosen_by_statistics(store: Store) -> None:
    with pytest.raises(DietError, match="windows are chosen by what was shown"):
        Diet.everyone().during("skewness@drifting_gratings <= 2")


def test_groups_of_a_sample_can_be_of_a_restricted_column(store: Store, split: Split) -> None:
    diet = Diet.everyone().sample(n=1, within="n_frames@drifting_gratings")
    assert Diet.from_yaml(diet.to_yaml()) == diet
    groups = diet.resolve(store, split=split).neurons["n_frames@drifting_gratings"]
    assert groups.is_unique


def test_sources_of_columns() -> None:
    assert source_of("area") is None
    with pytest.raises(StatisticError):
        source_of("fisher_direction@natural_scenes")
