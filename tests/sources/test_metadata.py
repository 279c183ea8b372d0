from __future__ import annotations

from pathlib import Path

import pytest

from poyodata.errors import SourceError
from poyodata.sources.metadata import complete_metadata, line_of
from poyodata.sources.recording_mapping import TorchBrainMapping

FOUND = {
    "session_id": "s1",
    "donor_id": "m1",
    "container_id": "c1",
    "cre_line": "Sst_IRES_Cre",
    "area": "VISp",
    "depth_um": "175",
}


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        pytest.param("Vip-IRES-Cre/wt;Ai148", False, "Vip-IRES-Cre", id="genotype"),
        pytest.param("C57BL/6J", True, "C57BL/6J", id="another_mouse"),
        pytest.param("C57BL/6J", False, None, id="another_mouse_that_nobody_confirmed"),
        pytest.param("Sst-IRES-Crre", True, None, id="near_miss"),
    ],
)
def test_lines(text: str, given: bool, expected: str | None) -> None:
    if expected is not None:
        assert line_of(text, "one", given=given) == expected
        return
    with pytest.raises(SourceError, match="one: unknown CRE line"):
        line_of(text, "one", given=given)


def test_mapping_goes_before_the_file() -> None:
    mapping = TorchBrainMapping.model_validate(
        {"mapping": 1, "source": "torch-brain", "metadata": {"donor_id": 7, "depth_um": 200}}
    )
    found = complete_metadata(FOUND, mapping, "one", "torch-brain")
    assert (found.donor_id, found.depth_um, found.cre_line) == ("7", 200.0, "Sst-IRES-Cre")


@pytest.mark.parametrize("missing", FOUND)
def test_every_required_key_is_asked_for(missing: str) -> None:
    with pytest.raises(SourceError, match=rf"^one does not say {missing} \(.*: give it under `metadata:`"):
        complete_metadata(FOUND | {missing: " "}, None, "one", "nwb2")


def test_table_with_trailing_commas_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "mice.csv"
    given = TorchBrainMapping(mapping=1, source="torch-brain", metadata_table=str(table))
    table.write_bytes(b"\xef\xbb\xbfsession_id,donor_id,area\ns1,007,VISl\n")
    found = complete_metadata(FOUND, given, "one", "torch-brain")
    assert (found.donor_id, found.area) == ("007", "VISl")
    table.write_text("session_id,donor_id,area\ns1,007,VISl,\n")
    with pytest.raises(SourceError, match=r"metadata_table .*mice\.csv has 4 fields in line 2 and 3 in its header"):
        complete_metadata(FOUND, given, "one", "torch-brain")


def test_a_depth_that_is_no_number() -> None:
    with pytest.raises(SourceError, match=r"metadata\.depth_um must be a number, got 'deep'"):
        complete_metadata(FOUND | {"depth_um": "deep"}, None, "one", "nwb2")
