from __future__ import annotations

import re
from pathlib import Path

import pytest

from poyodata.errors import SourceError, UsageError
from poyodata.sources import ArrayMapping, find_mapping, shipped_mappings
from poyodata.sources import mapping as module

GOOD = """
mapping: 1
traces: {name: dff, dims: [neuron, time]}
time: {rate_hz: 30.0}
metadata: {session_id: s1, donor_id: d1, container_id: c1, cre_line: Sst-IRES-Cre, area: VISp, depth_um: 275}
"""

STIMULUS = "stimuli: [{stimulus: drifting_gratings, start_frame: start, stop_frame: stop}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(GOOD.replace("time:", "tme:"), "unknown key 'tme': did you mean 'time'", id="misspelt_part"),
        pytest.param(
            GOOD.replace("rate_hz", "rate"), "unknown key 'rate' in 'time': did you mean 'rate_hz'", id="misspelt_inner"
        ),
        pytest.param(
            GOOD + STIMULUS.replace("start_frame", "start_frames"),
            "unknown key 'start_frames' in 'stimuli.0': did you mean 'start_frame'",
            id="misspelt_in_list",
        ),
        pytest.param(GOOD.replace("area: VISp, ", ""), "key 'metadata.area' is missing", id="missing_key"),
        pytest.param(
            "mapping: 1\ntime: {rate_hz: 30.0}\nmetadata: {session_id: s1, donor_id: d1, depth_um: 275}",
            r"'traces', 'metadata.container_id', 'metadata.cre_line', 'metadata.area' are missing; see docs/mapping.md",
            id="all_missing_keys",
        ),
        pytest.param(
            GOOD.replace("[neuron, time]", "[neuron, neuron]"), "neuron and time once each", id="same_dim_twice"
        ),
        pytest.param(GOOD.replace("[neuron, time]", "[cell, time]"), "traces.dims.0", id="unknown_dim"),
        pytest.param(
            GOOD.replace("rate_hz: 30.0", "rate_hz: 30.0, timestamps: t"),
            "exactly one of timestamps and rate_hz",
            id="two_clocks",
        ),
        pytest.param(
            GOOD + STIMULUS.replace(", stop_frame: stop", ""),
            "exactly one of stop_frame and duration_frames",
            id="no_end",
        ),
        pytest.param(
            GOOD + STIMULUS.replace("}]", ", blank: nan(direction_deg)}]"), "needs direction_deg", id="blank_of_nothing"
        ),
        pytest.param(GOOD.replace("mapping: 1", "mapping: 2"), "Input should be 1", id="other_version"),
        pytest.param("- a\n- b", "must hold keys", id="a_list"),
        pytest.param("traces: [", "is not YAML", id="not_yaml"),
    ],
)
def test_bad_mapping(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ArrayMapping.from_yaml(text)


def test_mapping_beside_the_file_comes_before_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "dff_dg_continuous.h5").touch()
    found = find_mapping(tmp_path)
    assert found is not None
    assert found == (tmp_path / "dff_dg_continuous.h5", shipped_mappings()["abo-dg-527745328"])
    (tmp_path / "mapping.yaml").write_text(GOOD + "file: dff_dg_continuous.h5\n")
    found = find_mapping(tmp_path / "dff_dg_continuous.h5")
    assert found is not None
    assert found[1].metadata.session_id == "s1"
    explicit = find_mapping(tmp_path, "abo-dg-527745328")
    assert explicit is not None
    assert explicit[1].metadata.session_id == "@ophys_experiment_id"


def test_no_mapping_for_another_file(tmp_path: Path) -> None:
    (tmp_path / "other.h5").touch()
    assert find_mapping(tmp_path / "other.h5") is None
    assert find_mapping(tmp_path) is None


def test_missing_mapping_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mapping .*nowhere.yaml does not exist"):
        find_mapping(tmp_path, tmp_path / "nowhere.yaml")


def test_mapping_for_a_folder_must_name_its_file(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD)
    with pytest.raises(UsageError, match=r"names no file"):
        find_mapping(tmp_path, tmp_path / "m.yaml")


PARTS = ("Array", "Traces", "Neurons", "Time", "Segments", "Stimulus", "Metadata")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "mapping.md"


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_documented(part: str) -> None:
    model = getattr(module, f"{part}Mapping")
    page = DOCUMENT.read_text(encoding="utf-8")
    documented = " ".join(own.__doc__ or "" for own in model.__mro__ if issubclass(own, module.Part))
    for key in model.model_fields:
        assert key in documented, f"{part}Mapping.{key}"
        assert re.search(rf"^[ -]*{key}:|`(\w+\.)?{key}`", page, re.MULTILINE), (
            f"{part}Mapping.{key} in {DOCUMENT.name}"
        )


def test_the_documented_example_is_the_shipped_mapping() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    shown, shipped = ArrayMapping.from_yaml(text), shipped_mappings()["abo-dg-527745328"]
    assert shown.segments is not None
    assert shipped.segments is not None
    # The page rounds the gaps; all else is the same.
    assert shown.segments.gaps_s == pytest.approx(shipped.segments.gaps_s, abs=0.05)
    rounded = shipped.segments.model_copy(update={"gaps_s": shown.segments.gaps_s})
    ours, theirs = shown.model_dump(), shipped.model_copy(update={"segments": rounded}).model_dump()
    assert ours["metadata"].pop("age_days") != theirs["metadata"].pop("age_days")  # NaN, equal to nothing
    assert ours == theirs
