from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from poyodata.export import FORMATS
from poyodata.store import open_store


@pytest.mark.parametrize("command", ["export", "annotate"])
def test_help_has_an_example(program, command):
    status, out, _ = program(command, "--help")
    assert status == 0
    assert f"Example: poyodata {command}" in " ".join(out.split())


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_its_name(program, tiny_store_path, tmp_path, form):
    first = open_store(tiny_store_path).session_ids[0]
    options = ["--sessions", first, "--where", "cell_specimen_id < 10000000004", "--out", tmp_path / "out", "--json"]
    status, out, _ = program("export", form, tiny_store_path, *options)
    assert status == 0
    (row,) = json.loads(out)
    assert (row["session_id"], row["n_neurons"], row["status"]) == (first, 4, "written")
    assert json.loads(program("export", form, tiny_store_path, *options)[1])[0]["status"] == "kept"


def test_a_diet_and_the_manifest_it_resolves_to_are_one_export(program, tiny_store_path, tmp_path):
    store = str(tiny_store_path)
    assert program("diet", "resolve", "all", store, "--out", tmp_path / "manifest", "--splits", "blocks-5fold")[0] == 0
    for out, options in (
        ("one", ["--manifest", tmp_path / "manifest"]),
        ("other", ["--diet", "all", "--splits", "blocks-5fold"]),
    ):
        assert program("export", "numpy", store, "--out", tmp_path / out, *options)[0] == 0
    abouts = [json.loads((tmp_path / out / "export.json").read_text()) for out in ("one", "other")]
    assert abouts[0] == abouts[1]
    assert abouts[0]["lineage"]["manifest"]["name"] == "all"


def test_a_split_gives_roles(program, tiny_store_path, tmp_path):
    store = open_store(tiny_store_path)
    first = store.session_ids[0]
    options = ["--sessions", first, "--splits", "blocks-5fold", "--fold", 1, "--out", tmp_path / "out"]
    status, out, _ = program("export", "numpy", tiny_store_path, *options)
    assert (status, f"12 neurons of 1 recordings in {tmp_path / 'out'}" in out) == (0, True)
    assert json.loads((tmp_path / "out" / "export.json").read_text())["lineage"]["split"]["fold"] == 1
    np.testing.assert_array_equal(np.load(tmp_path / "out" / first / "dff.npy"), store.traces(first))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["numpy", "--manifest", "m", "--diet", "all"], 2, "leave out --diet and --splits", id="two-diets"),
        pytest.param(
            ["numpy", "--where", "depth_um < 0"], 2, "nothing is selected: 36 neurons in the store, 0 where", id="empty"
        ),
        pytest.param(["numpy", "--where", "depth"], 1, "unknown column 'depth': did you mean 'depth_um'", id="column"),
        pytest.param(["numpy", "--sessions", "9"], 2, "no recording '9'", id="recording"),
        pytest.param(["numpy", "--manifest", "nowhere"], 2, "no manifest at 'nowhere'", id="manifest"),
        pytest.param(["matlab"], 2, "matlab", id="format"),
    ],
)
def test_wrong_calls(program, tiny_store_path, tmp_path, arguments, status, message):
    form, *options = arguments
    given, out, err = program("export", form, tiny_store_path, "--out", tmp_path / "out", *options)
    assert (given, out) == (status, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_annotate(program, tiny_store_path, tmp_path):
    store, labels = tmp_path / "tiny.zarr", tmp_path / "places.csv"
    shutil.copytree(tiny_store_path, store)
    labels.write_text("cell_specimen_id,label,rank\n10000000000,place,1\n10000000001,grid,\n7,none,3\n")
    status, _, err = program("annotate", store, labels)
    assert (status, "1 of 3 cell_specimen_ids are not in the store, the first is 7" in err) == (1, True)
    status, out, _ = program("annotate", store, labels, "--ignore-unknown")
    assert (status, "annotation places: label, rank on cell_specimen_id" in out) == (0, True)
    listed = json.loads(program("annotate", store, "--list", "--json")[1])
    assert [(row["annotation"], row["columns"]) for row in listed] == [("places", "label, rank")]
    status, out, _ = program("export", "numpy", store, "--where", "label == 'place'", "--out", tmp_path / "out")
    assert (status, "1 neurons of 1 recordings" in out) == (0, True)
    assert (tmp_path / "out" / "900000000" / "neurons.csv").read_text().splitlines()[1].endswith(",place,1")
    labels.write_text("cell_specimen_id,skewness\n10000000000,2.0\n")
    status, _, err = program("annotate", store, labels, "--name", "mine")
    assert (status, "'skewness' is the name of a column of a statistic" in err) == (1, True)
    assert program("annotate", store, "--remove", "places")[0] == 0
    assert json.loads(program("annotate", store, "--list", "--json")[1]) == []


@pytest.mark.parametrize("arguments", [[], ["labels.csv", "--list"], ["--list", "--remove", "a"]], ids=" ".join)
def test_one_thing_at_a_time(program, tiny_store_path, arguments):
    status, _, err = program("annotate", tiny_store_path, *arguments)
    assert (status, "give one of: a file of labels, --remove NAME, or --list" in err) == (2, True)
