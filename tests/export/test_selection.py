from __future__ import annotations

import pytest

from poyodata.curation import load_diet
from poyodata.errors import DietError, ManifestError, UsageError
from poyodata.export import select
from poyodata.splits import resolve_split
from poyodata.store import open_store

CELL = "cell_specimen_id == 101"


@pytest.mark.parametrize(
    ("chosen", "counts"),
    [
        pytest.param({}, {"gapped": 5, "regular": 7}, id="everything"),
        pytest.param({"sessions": ["regular"]}, {"regular": 7}, id="recordings"),
        pytest.param({"where": CELL}, {"gapped": 1, "regular": 1}, id="condition"),
        pytest.param({"where": CELL, "sessions": ["gapped"]}, {"gapped": 1}, id="both"),
        pytest.param({"where": "n_neurons == 5"}, {"gapped": 5}, id="column-of-the-recordings"),
        pytest.param({"where": "neuron_id in ['regular_100', 'gapped_103']"}, {"gapped": 1, "regular": 1}, id="ids"),
    ],
)
def test_what_is_selected(store, chosen, counts):
    selection = select(store, **chosen)
    assert selection.neurons["session_id"].value_counts().to_dict() == counts
    assert selection.session_ids == tuple(sorted(counts))
    assert dict(zip(selection.sessions["session_id"], selection.sessions["n_neurons"], strict=True)) == counts
    assert selection.windows is None
    assert selection.recording("gapped" if "gapped" in counts else "regular").shape[0] == 1500


def test_a_manifest_brings_neurons_windows_and_what_it_looked_at(tiny_store_path):
    store = open_store(tiny_store_path)
    split = resolve_split(store, "blocks-5fold")
    manifest = load_diet("predictable").resolve(store, split=split)
    selection = select(store, manifest=manifest)
    assert selection.neurons["neuron_id"].tolist() == manifest.neurons["neuron_id"].tolist()
    assert {"skewness", "kurtosis", "role", "term", "x_um"} <= set(selection.neurons.columns)
    assert selection.windows.equals(manifest.windows)
    assert selection.lineage["manifest"] == {"name": "predictable", "digest": manifest.digest}
    assert selection.lineage["split"]["digest"] == split.digest
    first = selection.session_ids[0]
    part = select(store, manifest=manifest, sessions=[first], where="skewness <= 3")
    assert set(part.windows["session_id"]) == {first}
    assert part.lineage["selection"] != selection.lineage["selection"]


def test_a_split_gives_roles(tiny_store_path):
    store = open_store(tiny_store_path)
    split = resolve_split(store, "blocks-5fold")
    selection = select(store, split=split)
    assert len(selection.neurons) == len(store.neurons)
    assert selection.windows.equals(split.windows)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        pytest.param(
            {"sessions": ["regulr"]}, UsageError, "no recording 'regulr': did you mean 'regular'", id="recording"
        ),
        pytest.param({"where": "skewnes < 1"}, DietError, "unknown column 'skewnes'", id="column"),
        pytest.param(
            {"where": "valid_roi and skewness > 0.5"}, DietError, "'skewness' is a statistic.*--diet", id="statistic"
        ),
        pytest.param(
            {"where": "session_id != 'regulr'"}, DietError, "no neuron has session_id 'regulr'", id="text-behind-!="
        ),
        pytest.param({"where": "cre_line ="}, DietError, "is not an expression", id="syntax"),
        pytest.param({"where": "session_id == 'regulr'"}, DietError, "did|has 'regular'", id="text"),
        pytest.param(
            {"sessions": ["gapped"], "where": "cell_specimen_id == 105"},
            UsageError,
            "nothing is selected: 12 neurons in the store, 1 where .*, 0 in the recordings asked for",
            id="empty",
        ),
    ],
)
def test_what_cannot_be_selected(store, chosen, error, message):
    with pytest.raises(error, match=message):
        select(store, **chosen)


def test_a_manifest_of_another_store_is_refused(store, tiny_manifest):
    with pytest.raises(ManifestError, match="resolved on a store of digest"):
        select(store, manifest=tiny_manifest)


def test_a_manifest_and_a_split_contradict_each_other(tiny_store_path, tiny_manifest):
    store = open_store(tiny_store_path)
    with pytest.raises(UsageError, match="leave the split out"):
        select(store, manifest=tiny_manifest, split=resolve_split(store, "blocks-5fold"))


def test_stretches_stop_before_a_gap(store):
    recording = select(store).recording("gapped")
    time_s = recording.time_s
    stops = recording.times_of([10, 750, 1500], stop=True)
    assert stops[0] == time_s[10]
    assert stops[1] == pytest.approx(time_s[749] + recording.period_s)
    assert stops[1] < time_s[750] - 2
    assert stops[2] == pytest.approx(time_s[-1] + recording.period_s)
