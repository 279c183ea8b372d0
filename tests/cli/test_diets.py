"""The commands under ``diet``: what they print, write, refuse, and how they end."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import typer.main

from poyodata.cli import INTERRUPTED, app
from poyodata.curation import Diet, Manifest, load_diet
from poyodata.store import Store, StoreWriter, open_store
from tests.cli.conftest import Program

COMMANDS = list(typer.main.get_command(app).commands["diet"].commands)  # type: ignore[attr-defined]
SWEEP = """\
diet: 1
name: sweep
description: Of low skewness.
neurons:
  sample:
    of: {where: "skewness <= param(max_skewness, 3.51)"}
    fraction: {param: share, default: 0.5}
    seed: {param: seed, default: 0}
"""
BROKEN = """\
diet: 1
name: broken
neuron: all
neurons:
  sample:
    of: {where: skewnes <= }
    fraction: 1.5
windows: {wher: blank}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    return file


@pytest.fixture(scope="module")
def manifests(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Manifests of skewness up to 1.3, and up to 1.1; nobody may write to them."""
    folder, store = tmp_path_factory.mktemp("manifests"), open_store(tiny_store_path)
    loose, strict = (Diet.where(f"skewness <= {limit}", name="low").resolve(store) for limit in (1.3, 1.1))
    return loose.save(folder / "loose"), strict.save(folder / "strict")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(program: Program, command: str) -> None:
    status, out, _ = program("diet", command, "--help")
    assert status == 0
    assert f"Example: poyodata diet {command}" in " ".join(out.split())


def test_the_commands_are_those_promised() -> None:
    assert set(COMMANDS) >= {"list", "show", "validate", "preview", "resolve", "diff", "report", "sample", "explain"}


def test_presets_are_listed_with_parameters(program: Program) -> None:
    status, out, _ = program("diet", "list", "--json")
    assert status == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["predictable"]["origin"] == "poyodata"
    assert rows["predictable"]["parameters"] == load_diet("predictable").parameters
    assert rows["mixed-30"]["description"] == load_diet("mixed-30").description


def test_a_folder_is_listed_and_what_is_broken_is_told(program: Program, sweep: Path) -> None:
    status, out, _ = program("diet", "list", sweep.parent)
    assert status == 0
    assert "max_skewness=3.51, share=0.5, seed=0" in out
    (sweep.parent / "broken.yaml").write_text(BROKEN)
    status, out, err = program("diet", "list", sweep.parent)
    assert status == 1
    assert "max_skewness" in out
    assert "broken.yaml" in err


def test_shown_as_yaml_json_and_python(program: Program, sweep: Path) -> None:
    diet = load_diet(sweep)
    assert Diet.from_yaml(program("diet", "show", sweep)[1] + "\n") == diet
    assert json.loads(program("diet", "show", sweep, "--json")[1]) == diet.to_dict()
    assert program("diet", "show", sweep, "--python")[1].strip() == diet.to_python().strip()


def test_parameters_are_set(program: Program, sweep: Path, tiny_store_path: Path, tmp_path: Path) -> None:
    settings = ("--set", "max_skewness=2", "--set", "share = 0.9", "--set", "seed=3")
    expected = load_diet(sweep).with_parameters(max_skewness=2.0, share=0.9, seed=3)
    assert Diet.from_yaml(program("diet", "show", sweep, *settings)[1] + "\n") == expected
    status, out, _ = program("diet", "resolve", sweep, tiny_store_path, *settings, "--json")
    assert status == 0
    assert json.loads(out)["digest"] == expected.resolve(open_store(tiny_store_path)).digest
    assert json.loads(out)["parameters"] == {"max_skewness": 2.0, "share": 0.9, "seed": 3}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        pytest.param("max_skewnes=2", "did you mean 'max_skewness'", id="name"),
        pytest.param("max_skewness=much", "max_skewness", id="kind"),
        pytest.param("seed=0.5", "seed", id="fraction-for-a-whole-number"),
        pytest.param("share=2", "at most 1", id="out-of-range"),
        pytest.param("max_skewness", "--set max_skewness=3.0", id="no-value"),
        pytest.param("max_skewness=", "--set max_skewness=3.0", id="empty-value"),
    ],
)
def test_wrong_settings(program: Program, sweep: Path, setting: str, said: str) -> None:
    status, out, err = program("diet", "show", sweep, "--set", setting)
    assert status == 2
    assert not out
    assert said in err
    assert "Traceback" not in err


TRUTHS = {"yes": True, "on": True, "TRUE": True, "no": False, "Off": False, "false": False}
TEXTS = {
    "O'Brien": "O'Brien",
    "'Sst'": "Sst",
    '"Sst"': "Sst",
    "'Sst\"": "'Sst\"",
    "'": "'",
    "''": "",
    "": "",
    "a=b": "a=b",
    "no": "no",
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("ok", text, value) for text, value in TRUTHS.items()] + [("line", text, value) for text, value in TEXTS.items()],
)
def test_truths_and_texts_are_set(program: Program, tmp_path: Path, name: str, text: str, value: object) -> None:
    file = tmp_path / "set.yaml"
    file.write_text(Diet.where("cre_line != param(line, 'x') and valid_roi == param(ok, True)").to_yaml())
    status, out, _ = program("diet", "show", file, "--set", f"{name}={text}")
    assert status == 0
    assert Diet.from_yaml(out + "\n").parameters[name] == value
    status, _, err = program("diet", "show", file, "--set", "ok=perhaps")
    assert status == 2
    assert "'ok' is a truth value" in err


def test_every_problem_of_a_file_is_printed_with_its_place(program: Program, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    status, out, _ = program("diet", "validate", tmp_path / "broken.yaml")
    assert status == 1
    lines = [int(found) for found in re.findall(r"broken\.yaml:(\d+):\d+: ", out)]
    assert lines == sorted(lines)
    assert len(lines) == 4
    assert {3, 6, 8} <= set(lines)
    status, out, _ = program("diet", "validate", tmp_path / "broken.yaml", "--json")
    assert status == 1
    assert {row["line"] for row in json.loads(out)} == set(lines)
    assert all(row["column"] >= 1 for row in json.loads(out))


def test_names_are_checked_on_a_store(program: Program, sweep: Path, tiny_store_path: Path) -> None:
    named = sweep.with_name("named.yaml")
    named.write_text("diet: 1\nname: a\nneurons: {where: cre_line == 'SST' and skewnes < 2}\n")
    status, out, _ = program("diet", "validate", sweep, named)
    assert (status, out.count("well formed")) == (0, 2)
    status, out, _ = program("diet", "validate", sweep, named, tiny_store_path)
    assert status == 1
    assert out.count("well formed") == 1
    assert "named.yaml:3:" in out
    assert "Sst-IRES-Cre" in out
    assert "did you mean 'skewness'" in out


def test_the_schema_is_the_published_one(program: Program) -> None:
    status, out, _ = program("diet", "schema")
    assert status == 0
    page = Path(__file__).resolve().parents[2] / "docs" / "diet.schema.json"
    assert json.loads(out) == json.loads(page.read_text())


def test_a_preview_counts_what_resolving_keeps(program: Program, sweep: Path, tiny_store_path: Path) -> None:
    kept = len(load_diet(sweep).resolve(open_store(tiny_store_path)).neurons)
    status, out, err = program("diet", "preview", sweep, tiny_store_path)
    assert status == 0
    assert f"{kept} of 36 neurons" in out
    assert "counting sweep" in err
    status, out, _ = program("diet", "preview", sweep, tiny_store_path, "--json")
    assert json.loads(out)["kept"] == kept


def test_resolve_takes_split_and_fold(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    arguments = ("diet", "resolve", "predictable", tiny_store_path, "--splits", "blocks-5fold", "--fold", 2)
    status, out, err = program(*arguments, "--out", tmp_path / "m", "--json")
    assert status == 0
    assert "resolving predictable" in err
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.meta["split"]["fold"] == 2
    assert json.loads(out)["digest"] == manifest.digest
    assert manifest.digest in program(*arguments)[1]


@pytest.mark.slow
def test_draws_are_written_beside_the_manifest(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    out_folder = tmp_path / "m"
    arguments = (
        "diet",
        "resolve",
        "predictable",
        tiny_store_path,
        "--set",
        "max_skewness=1.3",
        "--out",
        out_folder,
        "--draws",
        3,
        "--seed",
        5,
    )
    status, out, _ = program(*arguments, "--on", "cre_line")
    assert status == 0
    kept = Manifest.load(out_folder)
    draws = [Manifest.load(out_folder / f"draw-{number:03d}") for number in range(3)]
    assert [len(draw.neurons) for draw in draws] == [len(kept.neurons)] * 3
    assert len({draw.digest for draw in draws}) == 3
    assert "cre_line" in out
    again = tmp_path / "again"
    arguments = (
        "diet",
        "resolve",
        "predictable",
        tiny_store_path,
        "--set",
        "max_skewness=1.3",
        "--out",
        again,
        "--draws",
        2,
        "--seed",
        5,
    )
    status, out, _ = program(*arguments, "--on", "cre_line", "--json")
    assert json.loads(out)["draws"] == [draw.digest for draw in draws[:2]]
    assert json.loads(out)["imbalance"]


def test_a_diff_ends_with_one(program: Program, manifests: tuple[Path, Path]) -> None:
    loose, strict = manifests
    assert program("diet", "diff", loose, loose)[0] == 0
    status, out, _ = program("diet", "diff", loose, strict)
    assert status == 1
    assert "1.3" in out
    assert "1.1" in out
    status, out, _ = program("diet", "diff", loose, strict, "--json")
    assert status == 1
    gone = len(Manifest.load(loose).neurons) - len(Manifest.load(strict).neurons)
    assert json.loads(out)["counts"]["neurons_went"] == gone > 0


def test_why_a_neuron_was_dropped(program: Program, manifests: tuple[Path, Path], tiny_store_path: Path) -> None:
    population = Manifest.load(manifests[1]).population.set_index("neuron_id")
    dropped = population.index[(population["answer"] == "rejected").to_numpy(bool)][0]
    status, out, _ = program("diet", "explain", dropped, "--manifest", manifests[1])
    assert status == 0
    assert "skewness <= 1.1" in out
    assert f"{population.loc[dropped, 'skewness']:.4g}"[:4] in out
    status, out, _ = program("diet", "explain", dropped, "all", tiny_store_path, "--json")
    assert status == 0
    assert json.loads(out)["answer"] == "kept"


def test_a_page_of_a_manifest_and_of_a_diet(
    program: Program, manifests: tuple[Path, Path], tiny_store_path: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    status, _, err = program("diet", "report", manifests[0], tiny_store_path, "--out", page, "--with", manifests[1])
    assert status == 0
    assert "writing the page" in err
    assert Manifest.load(manifests[0]).digest in page.read_text()


def test_traces_are_drawn(
    program: Program, manifests: tuple[Path, Path], tiny_store_path: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "traces.svg"
    status, out, _ = program("diet", "sample", manifests[0], tiny_store_path, "--out", picture, "-n", 2)
    assert status == 0
    assert "<svg" in picture.read_text()
    assert Manifest.load(manifests[0]).digest in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["show", "predictabel"], "did you mean 'predictable'", id="show-unknown"),
        pytest.param(["show", "all", "--json", "--python"], "give one of", id="two-forms"),
        pytest.param(["list", "nowhere"], "'nowhere' is no folder", id="no-folder"),
        pytest.param(["validate", "STORE"], "at least one diet", id="store-alone"),
        pytest.param(["validate", "nowhere.yaml"], "nowhere.yaml", id="no-file"),
        pytest.param(["preview", "predictabel", "STORE"], "did you mean", id="preview-unknown"),
        pytest.param(["preview", "all", "nowhere.zarr"], "nowhere.zarr", id="no-store"),
        pytest.param(["resolve", "all", "STORE", "--splits", "block-5fold"], "did you mean 'blocks-5fold'", id="split"),
        pytest.param(["resolve", "all", "STORE", "--fold", "7"], "folds 0 to 4", id="fold"),
        pytest.param(["resolve", "all", "STORE", "--draws", "2"], "--out", id="draws-nowhere"),
        pytest.param(["resolve", "all", "STORE", "--on", "cre_line"], "--draws", id="on-without-draws"),
        pytest.param(["diff", "MANIFEST", "nowhere"], "no manifest at 'nowhere'", id="diff-nowhere"),
        pytest.param(["explain", "x"], "--manifest", id="explain-nothing"),
        pytest.param(["explain", "x", "all", "STORE", "--manifest", "MANIFEST"], "leave out", id="explain-both"),
        pytest.param(["explain", "x", "--manifest", "MANIFEST"], "'x'", id="explain-unknown-neuron"),
        pytest.param(["report", "MANIFEST", "STORE", "--out", "p.html", "--fold", "1"], "leave out", id="report-fold"),
        pytest.param(["sample", "MANIFEST", "STORE", "--out", "t.gif"], ".gif", id="sample-format"),
    ],
)
def test_wrong_calls(
    program: Program,
    manifests: tuple[Path, Path],
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"STORE": tiny_store_path, "MANIFEST": manifests[0]}
    status, out, err = program("diet", *(places.get(word, word) for word in arguments))
    assert status == 2
    assert said in err
    assert "Traceback" not in err
    assert not out


def test_another_store_is_refused(program: Program, manifests: tuple[Path, Path], tmp_path: Path) -> None:
    StoreWriter(tmp_path / "other.zarr").close()
    status, _, err = program("diet", "report", manifests[0], tmp_path / "other.zarr", "--out", tmp_path / "p.html")
    assert status == 1
    assert "store" in err
    assert "Traceback" not in err
    assert not (tmp_path / "p.html").exists()


def test_validate_takes_the_names_that_other_commands_take(
    program: Program, sweep: Path, tiny_store_path: Path
) -> None:
    status, out, _ = program("diet", "validate", "predictable", sweep, tiny_store_path)
    assert (status, out.count("well formed")) == (0, 2)
    text = sweep.with_suffix(".txt")
    sweep.rename(text)
    for command in ("validate", "show"):
        status, out, err = program("diet", command, text)
        assert status == 2
        assert not out
        assert "unknown diet" in err


def test_a_file_that_is_not_there_costs_the_others_nothing(program: Program, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    files = (tmp_path / "missing.yaml", tmp_path / "broken.yaml", sweep)
    status, out, err = program("diet", "validate", *files, "--json")
    assert status == 2
    assert "missing.yaml" in err
    rows = json.loads(out)
    assert [row["line"] for row in rows if row["file"] == str(files[0])] == [None]
    assert len([row for row in rows if row["file"] == str(files[1])]) == 4
    status, out, err = program("diet", "validate", *files)
    assert status == 2
    assert "broken.yaml:3:1" in out
    assert "well formed" in out
    assert err.count("no diet can be read") == 1


def test_what_was_written_is_said_as_json(
    program: Program, manifests: tuple[Path, Path], tiny_store_path: Path, tmp_path: Path
) -> None:
    digest = Manifest.load(manifests[0]).digest
    for command, name in (("report", "page.html"), ("sample", "traces.svg")):
        file = tmp_path / name
        status, out, _ = program("diet", command, manifests[0], tiny_store_path, "--out", file, "--json")
        assert status == 0
        assert json.loads(out) == {"file": str(file), "manifest": digest}
        assert file.exists()
    assert program("diet", "schema", "--json")[:2] == program("diet", "schema")[:2]


def test_a_report_never_replaces_a_diet_or_a_part_of_a_store(
    program: Program, sweep: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s.zarr"
    shutil.copytree(tiny_store_path, store)
    held = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for command in ("report", "sample"):
        for out in (sweep, store / "zarr.json", store / "page.html", store / "traces.svg"):
            status, _, err = program("diet", command, sweep, store, "--out", out)
            assert status == 2
            assert "give another file" in err
            assert "resolving" not in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == held


def test_a_diff_says_rules_in_words_and_fits_the_terminal(
    program: Program, tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tiny_store_path)
    low = Diet.where("skewness <= 1.3 and cre_line in ['Sst-IRES-Cre', 'Vip-IRES-Cre', 'Cux2-CreERT2']", name="low")
    before = low.resolve(store).save(tmp_path / "before")
    after = low.top(3, "kurtosis", within="session_id").resolve(store).save(tmp_path / "after")
    said = program("diet", "diff", before, after)[1]
    assert "\n  to   3 highest in kurtosis" in said
    assert "{" not in said
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    said = re.sub(r"\x1b\[[0-9;]*m", "", program("diet", "diff", before, after)[1])
    assert "3 highest in kurtosis" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80


def test_an_interrupted_command_promises_nothing(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise SystemExit(INTERRUPTED)

    monkeypatch.setattr("poyodata.cli.app", interrupted)
    status, out, err = program("diet", "resolve", "all", "nowhere.zarr")
    assert (status, out) == (INTERRUPTED, "")
    assert "Run the same command again; it begins anew, or goes on where recordings were finished and kept." in err
    assert "are kept" not in err


def test_the_neuron_of_the_examples_is_one_of_a_simulated_store(program: Program, tiny_store: Store) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "diets.md"
    shown = program("diet", "explain", "--help")[1] + page.read_text(encoding="utf-8")
    named = re.findall(r"diet explain (\d+_\d+)", " ".join(shown.split()))
    assert len(named) == 2
    assert set(named) <= set(tiny_store.neurons["neuron_id"])


@pytest.mark.slow
def test_the_real_recording_is_parted_in_three(program: Program, real_recording: Path, tmp_path: Path) -> None:
    store = tmp_path / "real.zarr"
    assert program("ingest", real_recording, "--mapping", "abo-dg-527745328", "--out", store)[0] == 0
    rules = {
        "predictable": "{where: skewness <= 3.51 and kurtosis <= 22.62}",
        "high-in-both": "{where: skewness > 3.51 and kurtosis > 22.62}",
        "neither": "{difference: [all, {diet: predictable.yaml}, {diet: high-in-both.yaml}]}",
    }
    kept = {}
    for name, rule in rules.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"diet: 1\nname: {name}\nstatistics: {{window: all}}\nneurons: {rule}\n")
        status, out, _ = program("diet", "preview", file, store, "--json")
        assert status == 0
        kept[name] = json.loads(out)["kept"]
    assert kept == {"predictable": 111, "high-in-both": 105, "neither": 38}


def test_notes_are_shown_and_change_no_status(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "rare.yaml"
    file.write_text("diet: 1\nneurons:\n  where: cre_line == 'Rorb-IRES2-Cre' or skewness > 1\n")
    said = "the store has no neuron with cre_line 'Rorb-IRES2-Cre'"
    status, out, _ = program("diet", "validate", file, tiny_store_path)
    assert status == 0
    assert f"rare.yaml:3:22: note: neurons.where: {said}" in " ".join(out.split())
    assert "well formed" in out
    status, out, _ = program("diet", "validate", file, tiny_store_path, "--json")
    assert status == 0
    (row,) = json.loads(out)
    assert (row["kind"], row["line"], row["column"], row["message"]) == ("note", 3, 22, said)
    file.write_text("diet: 1\nneurons:\n  where: cre_line == 'Rorb-IRES2-Cre' or skewnes > 1\n")
    status, out, _ = program("diet", "validate", file, tiny_store_path, "--json")
    assert status == 1
    assert [row["kind"] for row in json.loads(out)] == ["error", "note"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        pytest.param("foreign", "holds no manifest; give a new folder", id="foreign"),
        pytest.param("s.zarr/inside", "lies within the store", id="within-a-store"),
        pytest.param("s.zarr", "lies within the store", id="a-store"),
        pytest.param("older", "holds draw-001, draw-002 of an earlier call", id="older-draws"),
        pytest.param("wild", "wild/draw-000 exists and holds no manifest", id="foreign-draw"),
    ],
)
def test_a_folder_is_refused_before_anything_is_resolved(
    program: Program, manifests: tuple[Path, Path], tiny_store_path: Path, tmp_path: Path, place: str, said: str
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    shutil.copytree(tiny_store_path, tmp_path / "s.zarr")
    for folder in ("older", *(f"older/draw-{number:03d}" for number in range(3)), "wild"):
        shutil.copytree(manifests[0], tmp_path / folder)
    (tmp_path / "wild" / "draw-000").mkdir()
    held = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments = ("diet", "resolve", "predictable", tmp_path / "s.zarr", "--out", tmp_path / place, "--draws", 1)
    status, out, err = program(*arguments)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())
    assert "resolving" not in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == held


def test_draws_that_are_replaced_are_not_in_the_way(program: Program, tiny_store_path: Path, tmp_path: Path) -> None:
    arguments = ("diet", "resolve", "predictable", tiny_store_path, "--out", tmp_path / "m", "--on", "cre_line")
    for seed in (0, 1):
        assert program(*arguments, "--draws", 2, "--seed", seed)[0] == 0
    assert Manifest.load(tmp_path / "m" / "draw-001").meta["diet"]["neurons"]["match"]["seed"] == 1
    status, _, err = program("diet", "resolve", "predictable", tiny_store_path, "--out", tmp_path / "m")
    assert status == 2
    assert "holds draw-000, draw-001 of an earlier call" in err


def test_an_empty_folder_hides_no_preset_and_is_no_manifest(
    program: Program,
    manifests: tuple[Path, Path],
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("predictable", "empty"):
        (tmp_path / name).mkdir()
    assert (
        program("diet", "report", "predictable", tiny_store_path, "--out", "p.html", "--set", "max_skewness=2")[0] == 0
    )
    assert program("diet", "validate", "predictable")[0] == 0
    for call in (
        ("diff", "empty", manifests[0]),
        ("diff", manifests[0], "empty"),
        ("explain", "x", "--manifest", "empty"),
        ("report", "empty", tiny_store_path, "--out", "q.html"),
        ("report", manifests[0], tiny_store_path, "--out", "q.html", "--with", "empty"),
        ("sample", "empty", tiny_store_path, "--out", "q.svg"),
    ):
        status, out, err = program("diet", *call)
        assert (status, out) == (2, "")
        assert "holds no manifest" in err
    shutil.copytree(manifests[0], tmp_path / "mixed-30")
    status, _, err = program("diet", "report", "mixed-30", tiny_store_path, "--out", "q.html", "--set", "seed=1")
    assert status == 2
    assert "is a folder with a manifest" in err
