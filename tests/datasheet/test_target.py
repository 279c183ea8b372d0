"""Where pages and pictures may be written: what others wrote stays."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from poyodata.curation import Manifest
from poyodata.datasheet import plane_widget, write_datasheet, write_sample
from poyodata.datasheet.target import PAGES, PICTURES, check_target
from poyodata.errors import UsageError
from poyodata.store import Store, open_store

REFUSED = [
    pytest.param("mine.yaml", PAGES, "ends in .yaml", id="a diet"),
    pytest.param("page", PAGES, "ends in nothing", id="no ending"),
    pytest.param("mine.html", PAGES, "did not write it", id="another's page"),
    pytest.param("link.html", PAGES, "did not write it", id="a link to a diet"),
    pytest.param("folder.html", PAGES, "is a folder", id="a folder"),
    pytest.param("s.zarr/page.html", PAGES, "within the store", id="a page in a store"),
    pytest.param("s.zarr/new/traces.svg", PICTURES, "within the store", id="a picture in a store"),
    pytest.param("s.zarr/zarr.json", PICTURES, "ends in .json", id="a file of a store"),
]


@pytest.mark.parametrize(("name", "endings", "message"), REFUSED)
def test_what_others_wrote_stays(name: str, endings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "s.zarr").mkdir()
    for own in ("mine.yaml", "mine.html", "s.zarr/zarr.json"):
        (tmp_path / own).write_text("mine")
    (tmp_path / "link.html").symlink_to(tmp_path / "mine.yaml")
    with pytest.raises(UsageError, match=message):
        check_target(tmp_path / name, endings, "a page")


def test_a_page_of_ours_and_a_picture_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "old.svg").write_text("<svg/>")
    assert check_target(tmp_path / "old.svg", PICTURES, "a sample") == tmp_path / "old.svg"
    plane = plane_widget(pd.DataFrame({"skewness": [1.0, 2.0], "kurtosis": [1.0, 3.0]}))
    path = plane.save(tmp_path / "plane.html")
    assert plane.save(path).read_text(encoding="utf-8") == plane.page


def test_the_datasheet_of_before_is_replaced(predictable: Manifest, opened: Store, sheet: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    shutil.copy(sheet, path)
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", "OLD</body>"), encoding="utf-8")
    assert "OLD</body>" not in write_datasheet(predictable, opened, path).read_text(encoding="utf-8")


WRITERS: dict[str, Any] = {
    "datasheet": (write_datasheet, "page.html"),
    "plane": (lambda manifest, store, path: plane_widget(manifest.population).save(path), "plane.html"),
    "sample": (write_sample, "traces.svg"),
}


@pytest.mark.parametrize(("write", "name"), WRITERS.values(), ids=WRITERS.keys())
def test_nothing_is_written_into_a_store(
    write: Any, name: str, predictable: Manifest, tiny_store_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_store_path, tmp_path / "s.zarr")
    held = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="within the store"):
        write(predictable, open_store(tmp_path / "s.zarr"), tmp_path / "s.zarr" / name)
    assert sorted(tmp_path.rglob("*")) == held
