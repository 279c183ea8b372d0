from __future__ import annotations

import json
from pathlib import Path

import pytest

from poyodata.errors import UsageError
from poyodata.fetch.allen_cache import AllenCache, manifest_content


def test_the_manifest_is_allensdk_s(tmp_path: Path) -> None:
    cache = AllenCache.at(tmp_path / "raw")
    cache.create()
    # As AllenSDK 2.16.2 writes it into an empty folder.
    entries = json.loads(cache.manifest.read_text())["manifest"]
    assert entries[:2] == [
        {"type": "manifest_version", "value": "1.3"},
        {"key": "BASEDIR", "type": "dir", "spec": "."},
    ]
    assert {entry["key"]: entry["spec"] for entry in entries[2:]} == {
        "EXPERIMENT_CONTAINERS": "experiment_containers.json",
        "EXPERIMENTS": "ophys_experiments.json",
        "EXPERIMENT_DATA": "ophys_experiment_data/%d.nwb",
        "ANALYSIS_DATA": "ophys_experiment_analysis/%d_%s_analysis.h5",
        "EVENTS_DATA": "ophys_experiment_events/%d_events.npz",
        "CELL_SPECIMENS": "cell_specimens.json",
        "STIMULUS_MAPPINGS": "stimulus_mappings.json",
        "EYE_GAZE_DATA": "ophys_eye_gaze_mapping/%d_eyetracking_dlc_to_screen_mapping.h5",
    }
    assert all(entry["type"] == "file" and entry["parent_key"] == "BASEDIR" for entry in entries[2:])
    assert AllenCache.at(tmp_path / "raw") == cache
    assert cache.recording(5) == tmp_path / "raw" / "ophys_experiment_data" / "5.nwb"


def test_another_layout_is_kept(tmp_path: Path) -> None:
    content = manifest_content()
    for entry in content["manifest"]:
        if entry.get("key") == "BASEDIR":
            entry["spec"] = str(tmp_path / "elsewhere")
        if entry.get("key") == "EXPERIMENT_DATA":
            entry["spec"] = "nwb/ophys_%d.nwb"
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    cache = AllenCache.at(tmp_path)
    cache.create()
    assert json.loads(cache.manifest.read_text()) == content
    assert cache.recording(7) == tmp_path / "elsewhere" / "nwb" / "ophys_7.nwb"
    assert cache.recording(7).parent.is_dir()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "is not a manifest", id="damaged"),
        pytest.param("[]", "is not a manifest", id="no-object"),
        pytest.param('{"manifest": [{"type": "manifest_version", "value": "1.3"}]}', "EXPERIMENT_DATA", id="no-paths"),
        pytest.param(json.dumps(manifest_content()).replace("1.3", "0.2.2"), "version 0.2.2; .* expect 1.3", id="old"),
    ],
)
def test_a_manifest_that_allensdk_refuses_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        AllenCache.at(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        AllenCache.at(tmp_path / "raw")


def test_lists(tmp_path: Path) -> None:
    cache = AllenCache.at(tmp_path / "50% of %d")  # a folder may be called anything
    cache.create()
    assert cache.recording(5).parent == tmp_path / "50% of %d" / "ophys_experiment_data"
    assert cache.read_list("EXPERIMENTS") is None
    rows = [{"id": 1, "name": "µ"}, {"id": 2}]
    cache.write_list("EXPERIMENTS", iter(rows))
    assert cache.read_list("EXPERIMENTS") == rows
    path = Path(cache.specs["EXPERIMENTS"])
    path.write_text(path.read_text()[:-5])
    assert cache.read_list("EXPERIMENTS") is None

    def broken() -> object:
        yield {"id": 3}
        raise RuntimeError("the connection ended")

    path.write_text("[]")
    with pytest.raises(RuntimeError):
        cache.write_list("EXPERIMENTS", broken())
    assert path.read_text() == "[]"
    assert sorted(child.name for child in cache.root.iterdir()) == [
        "manifest.json",
        "ophys_experiment_data",
        "ophys_experiments.json",
    ]
    cache.write_list("EXPERIMENTS", [])
    assert json.loads(path.read_text()) == []
