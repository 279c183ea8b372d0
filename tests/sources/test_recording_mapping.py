from __future__ import annotations

import re
from pathlib import Path

import pytest

from poyodata.errors import SourceError, UsageError
from poyodata.sources import find_sources, load_mapping
from poyodata.sources import recording_mapping as module
from poyodata.sources.recording_mapping import mapping_from_yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
MODELS = (
    "KnownMetadata",
    "DffMapping",
    "TableMapping",
    "SeriesMapping",
    "RoiColumns",
    "SignalMapping",
    "Nwb2Mapping",
    "TorchBrainMapping",
    "Suite2pClock",
    "Suite2pMapping",
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{mapping: 1, source: nwb}", "unknown source 'nwb': did you mean 'nwb2'", id="source"),
        pytest.param("{mapping: 1, source: nwb2, trace: {}}", "unknown key 'trace': did you mean 'traces'", id="key"),
        pytest.param(
            "{mapping: 1, source: nwb2, stimuli: [{stimulus: a, tabel: b}]}",
            "unknown key 'tabel' in 'stimuli.0': did you mean 'table'",
            id="key_in_a_list",
        ),
        pytest.param(
            "{mapping: 1, source: nwb2, traces: {dff: {neuropl: b}}}",
            "unknown key 'neuropl' in 'traces.dff': did you mean 'neuropil'",
            id="key_in_a_part_of_a_part",
        ),
        pytest.param("{mapping: 1, source: suite2p, plane: -1}", "plane: .*greater than or equal to 0", id="value"),
        pytest.param("{source: suite2p}", "the key 'mapping' is missing", id="version"),
        pytest.param("{mapping: 1}", "names its `source`", id="no_source"),
        pytest.param(
            "{mapping: 1, source: suite2p, stimuli: [{stimulus: a, table: t, start_s: s, start_frame: f}]}",
            "in seconds .* or in frames .*, not both",
            id="two_clocks",
        ),
        pytest.param(
            "{mapping: 1, source: suite2p, stimuli: [{stimulus: a, table: t, start_frame: f}]}",
            "exactly one of stop_frame and duration_frames",
            id="no_end",
        ),
        pytest.param(
            "{mapping: 1, source: suite2p, stimuli: [{stimulus: a, table: t, stop_frame: f}]}",
            "go with start_frame",
            id="no_start",
        ),
        pytest.param(
            "{mapping: 1, source: suite2p, stimuli: [{stimulus: a, table: t, stop_s: f, duration_s: 1}]}",
            "one of a stop and a duration",
            id="two_ends",
        ),
        pytest.param("{mapping: 1, source: suite2p, time: {}}", "exactly one of timestamps and rate_hz", id="no_clock"),
    ],
)
def test_wrong_mappings(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        mapping_from_yaml(text)


@pytest.mark.parametrize("model", MODELS)
def test_every_key_is_documented(model: str) -> None:
    known = getattr(module, model)
    documented = " ".join(own.__doc__ or "" for own in known.__mro__ if issubclass(own, module.Part))
    for key in known.model_fields:
        assert key in documented, f"{model}.{key}"
        assert re.search(rf"\b{key}\b", PAGE), f"{model}.{key} in sources.md"


def test_documented_examples_are_mappings() -> None:
    sources = [mapping_from_yaml(text).source for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert sources == ["torch-brain", "nwb2", "suite2p"]


def test_tables_lie_beside_the_mapping(tmp_path: Path) -> None:
    stimuli = "stimuli: [{stimulus: a, table: s.csv}]"
    text = f"{{mapping: 1, source: suite2p, metadata_table: m.csv, time: {{timestamps: /t.npy}}, {stimuli}}}"
    (tmp_path / "m.yaml").write_text(text)
    found = load_mapping(tmp_path / "m.yaml")
    assert isinstance(found, module.Suite2pMapping)
    assert (found.metadata_table, found.stimuli[0].table) == (str(tmp_path / "m.csv"), str(tmp_path / "s.csv"))
    assert found.time is not None and found.time.timestamps == "/t.npy"


def test_shipped_names_and_missing_files() -> None:
    assert load_mapping("abo-dg-527745328").source == "arrays"
    with pytest.raises(UsageError, match=r"mapping gone\.yaml does not exist"):
        load_mapping("gone.yaml")


def test_mapping_of_another_source(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("{mapping: 1, source: suite2p}")
    with pytest.raises(UsageError, match="is one of the suite2p source; leave out --mapping, or read as `suite2p`"):
        find_sources(tmp_path, "nwb2", tmp_path / "m.yaml")
