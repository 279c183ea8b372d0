from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poyodata.curation import Diet, Manifest, c, load_diet
from poyodata.curation.manifest import IDENTITY, TABLES
from poyodata.errors import DietError, ManifestError, UsageError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]


@pytest.fixture
def manifest(resolve: Resolve, store: Any, make_split: Make) -> Manifest:
    diet = load_diet("mixed-30").during(c.stimulus == "drifting_gratings", min_length_s=1.9)
    return resolve(diet, store, make_split(store))


def test_a_manifest_lists_neurons_windows_and_where_they_come_from(manifest: Manifest, store: Any) -> None:
    assert tuple(manifest.neurons.columns) == (*IDENTITY, "skewness", "kurtosis")
    assert len(manifest.neurons) == 60
    assert manifest.neurons["term"].value_counts().to_dict() == {"unpredictable": 48, "predictable": 12}
    assert manifest.roles == ("test", "train", "valid")
    assert manifest.store_digest == store.digest
    assert {name.split(" with ")[0] for name in manifest.meta["references"]} == {"predictable", "unpredictable"}
    assert manifest.meta["statistics"]["names"] == ["moments"]
    funnel = manifest.funnel()
    assert funnel.columns.tolist() == ["step", "rule", "kept", "rejected", "unknown", "counts"]
    of_neurons = funnel[funnel["counts"] == "neurons"]
    assert (of_neurons[["kept", "rejected", "unknown"]].sum(axis=1) == 96).all()
    assert "8 neurons are left out" in manifest.warnings[0]
    assert "mixed-30" in repr(manifest) and "mixed-30" in manifest._repr_html_()


def test_saving_and_loading_gives_the_same_manifest(manifest: Manifest, tmp_path: Path) -> None:
    again = Manifest.load(manifest.save(tmp_path / "m"))
    assert again.digest == manifest.digest
    assert again.record_digest == manifest.record_digest
    pd.testing.assert_frame_equal(again.neurons, manifest.neurons)
    pd.testing.assert_frame_equal(again.windows, manifest.windows)
    pd.testing.assert_frame_equal(again.role_time, manifest.role_time)
    pd.testing.assert_frame_equal(again.population, manifest.population)
    assert again.meta == manifest.meta
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "m",
        "manifest.json",
        "neurons.parquet",
        "population.parquet",
        "role_time.parquet",
        "windows.parquet",
    ]
    manifest.save(tmp_path / "m")  # replaces an earlier one
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_saving_refuses_a_folder_that_holds_something_else(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds no manifest"):
        manifest.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"name": "my web app"}', id="of a web page"),
        pytest.param("[1, 2]", id="no mapping"),
        pytest.param("not JSON", id="no JSON"),
    ],
)
def test_saving_refuses_a_manifest_json_of_another_program(text: str, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    (tmp_path / "index.html").write_text("x")
    with pytest.raises(UsageError, match=r"manifest\.json is none that `Manifest\.save` wrote; give a new folder"):
        manifest.save(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"manifest.json": text, "index.html": "x"}


def test_saving_again_replaces_a_manifests_own_files_alone(manifest: Manifest, store: Any, tmp_path: Path) -> None:
    folder = manifest.save(tmp_path / "m")
    (folder / "report.html").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "figures" / "one.png").write_text("mine too")
    renamed = replace(manifest, meta={**manifest.meta, "name": "other"})
    renamed.save(folder)
    assert Manifest.load(folder).name == "other"
    assert (folder / "report.html").read_text() == "mine"
    assert (folder / "figures" / "one.png").read_text() == "mine too"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_saving_through_a_link_leaves_the_link(manifest: Manifest, tmp_path: Path) -> None:
    folder = manifest.save(tmp_path / "m")
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    replace(manifest, meta={**manifest.meta, "name": "other"}).save(link)
    assert link.is_symlink() and Manifest.load(folder).name == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "m"]


def _change_neuron(folder: Path) -> None:
    table = pd.read_parquet(folder / "neurons.parquet")
    table.loc[0, "column"] = 11
    table.to_parquet(folder / "neurons.parquet", index=False)


def _change_value(folder: Path) -> None:
    table = pd.read_parquet(folder / "neurons.parquet")
    table.loc[0, "skewness"] += 1e-9
    table.to_parquet(folder / "neurons.parquet", index=False)


def _change_window(folder: Path) -> None:
    table = pd.read_parquet(folder / "windows.parquet")
    table.loc[0, "role"] = "test"
    table.to_parquet(folder / "windows.parquet", index=False)


def _change_role_time(folder: Path) -> None:
    table = pd.read_parquet(folder / "role_time.parquet")
    table.loc[0, "stop_frame"] -= 1
    table.to_parquet(folder / "role_time.parquet", index=False)


def _change_answer(folder: Path) -> None:
    table = pd.read_parquet(folder / "population.parquet")
    table.loc[0, "answer"] = "unknown"
    table.to_parquet(folder / "population.parquet", index=False)


def _change_json(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "manifest.json").read_text()
        assert old in text
        (folder / "manifest.json").write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(_change_neuron, id="neuron"),
        pytest.param(_change_value, id="statistic value"),
        pytest.param(_change_window, id="window"),
        pytest.param(_change_role_time, id="time of a role"),
        pytest.param(_change_answer, id="population"),
        pytest.param(lambda folder: (folder / "population.parquet").unlink(), id="saved before there was a population"),
        pytest.param(_change_json('"seed": 0', '"seed": 1'), id="diet"),
        pytest.param(_change_json('"digest": "', '"digest": "0'), id="digest"),
        pytest.param(_change_json('"format": 2', '"format": 1'), id="format"),
        pytest.param(_change_json('"store_digest"', '"shop_digest"'), id="key"),
        pytest.param(_change_json('"cell_specimen_id": "Int64"', '"cell_specimen_id": "str"'), id="dtype"),
        pytest.param(_change_json('"cell_specimen_id": "Int64"', '"cell": "Int64"'), id="column"),
        pytest.param(_change_json("{", "["), id="json"),
        pytest.param(lambda folder: (folder / "windows.parquet").unlink(), id="file gone"),
        pytest.param(lambda folder: (folder / "windows.parquet").write_bytes(b"PAR1"), id="truncated"),
    ],
)
def test_a_changed_manifest_is_refused(tamper: Callable[[Path], None], manifest: Manifest, tmp_path: Path) -> None:
    folder = manifest.save(tmp_path / "m")
    tamper(folder)
    with pytest.raises(ManifestError, match="resolve the diet again"):
        Manifest.load(folder)


def _set(record: dict[str, Any], place: str, value: Any) -> str:
    *holders, last = place.split(".")
    inner = record
    for word in holders:
        inner = inner[word]
    inner[last] = value
    return json.dumps(record)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        pytest.param(lambda _: "[" * 100_000, "manifest.json is damaged: it is nested too deeply;", id="brackets"),
        pytest.param(lambda _: "{", "manifest.json is damaged: Expecting property name", id="cut off"),
        pytest.param(lambda _: "[1]", "manifest format 'None'", id="list"),
        pytest.param(lambda one: _set(one, "meta", []), "`meta` is a list, where a mapping belongs;", id="meta"),
        pytest.param(lambda one: _set(one, "meta.split", []), "`meta.split` is a list, where a", id="split"),
        pytest.param(lambda one: _set(one, "meta.split.digest", 3), "`meta.split.digest` is a number", id="digest"),
        pytest.param(lambda one: _set(one, "dtypes.windows", "str"), "`dtypes.windows` is a text", id="dtypes"),
        pytest.param(
            lambda one: _set(one, "dtypes.windows", {"x": "str"}),
            "windows.parquet is damaged: it has no column 'x'",
            id="column",
        ),
        pytest.param(lambda one: _set(one, "dtypes.windows.role", "x"), "column 'role' is not the 'x'", id="dtype"),
        pytest.param(lambda one: _set(one, "dtypes.windows.role", {}), "column 'role' of windows is no", id="no dtype"),
        pytest.param(
            lambda one: _set(one, "dtypes.neurons", {}), "neurons.parquet is damaged: it has", id="no columns"
        ),
        pytest.param(lambda one: json.dumps({**one, "meta": {}}), "it has no `meta.name`", id="empty"),
    ],
)
def test_what_is_damaged_is_said(
    write: Callable[[dict[str, Any]], str], said: str, manifest: Manifest, tmp_path: Path
) -> None:
    path = manifest.save(tmp_path / "m") / "manifest.json"
    path.write_text(write(json.loads(path.read_text())))
    with pytest.raises(ManifestError, match="resolve the diet again") as caught:
        Manifest.load(path.parent)
    assert said in str(caught.value) and len(str(caught.value)) < 500


def test_role_time_is_that_of_the_split_whatever_is_eaten(resolve: Resolve, store: Any, make_split: Make) -> None:
    split = make_split(store)
    diet = Diet.where("cre_line == 'Sst-IRES-Cre'").during((c.trial == 3) | (c.trial == 24) | (c.trial == 34))
    manifest = resolve(diet, store, split)
    columns = ["session_id", "role", "start_frame", "stop_frame"]
    expected = split.windows.loc[split.windows["session_id"].isin(["s00", "s01"]), columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(manifest.role_time[columns], expected, check_dtype=False)
    assert set(manifest.role_time["guard_frames"]) == {15}


@pytest.mark.parametrize(
    ("role", "across", "expected"),
    [
        pytest.param("train", False, [[0, 2385]], id="train keeps the guard"),
        pytest.param("valid", False, [[2400, 3300]], id="valid lies between its neighbours"),
        pytest.param("test", False, [[3300, 4200]], id="test loses nothing"),
        pytest.param("identify", True, [[0, 2385]], id="identify keeps the guard"),
        pytest.param("test", True, [[2400, 4200]], id="held-out animal"),
    ],
)
def test_free_stretches_keep_clear_of_other_roles(
    role: str, across: bool, expected: list[list[int]], resolve: Resolve, store: Any, make_split: Make
) -> None:
    diet = Diet.everyone().during((c.trial == 3) | (c.trial == 24) | (c.trial == 34))
    view = resolve(diet, store, make_split(store, across=across)).open(store)
    assert view.free_stretches(role)["s07"].tolist() == expected


def test_grey_goes_with_the_trial_before_it(resolve: Resolve, store: Any, make_split: Make) -> None:
    """Trials dealt out one by one: 3 is train, 4 valid and 5 test; 60 frames of trial, 30 of grey, guards of 15."""
    split = make_split(store)
    trials = [("train", 870), ("valid", 960), ("test", 1050)]
    rows = [(name, start, start + 60, role) for name in store.sessions["session_id"] for role, start in trials]
    split.windows = pd.DataFrame(rows, columns=list(split.windows.columns))
    view = resolve(Diet.everyone(), store, split).open(store)
    free = {role: view.free_stretches(role)["s00"].tolist() for role, _ in trials}
    assert free == {"train": [[0, 945]], "valid": [[960, 1050]], "test": [[1050, 2400]]}


def test_loading_nothing_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no manifest at"):
        Manifest.load(tmp_path / "none")


def test_the_digest_is_that_of_the_content(
    manifest: Manifest, resolve: Resolve, make_store: Make, make_split: Make, tmp_path: Path
) -> None:
    other = make_store()
    rng = np.random.default_rng(0)
    for name in ("sessions", "neurons", "presentations", "segments", "moments"):
        table = getattr(other, name)
        setattr(other, name, table.iloc[rng.permutation(len(table))].reset_index(drop=True))
    split = make_split(other)
    split.windows = split.windows.iloc[::-1].reset_index(drop=True)
    diet = load_diet("mixed-30").during(c.stimulus == "drifting_gratings", min_length_s=1.9)
    same = resolve(diet, other, split)
    assert same.digest == manifest.digest
    assert same.record_digest == manifest.record_digest


def test_the_digest_is_the_same_in_a_fresh_process(manifest: Manifest, tmp_path: Path) -> None:
    folder = manifest.save(tmp_path / "m")
    program = (
        "import sys; from poyodata.curation import Manifest; found = Manifest.load(sys.argv[1]); "
        "sys.stdout.write(found.digest + found.record_digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    found = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout == manifest.digest + manifest.record_digest


def _arrow(change: Callable[[pa.Table], pa.Table], **options: Any) -> Callable[[Path], None]:
    """Write a file again, as a program that knows nothing of pandas might."""

    def rewrite(file: Path) -> None:
        table = change(pq.read_table(file)).replace_schema_metadata(None)
        pq.write_table(table, file, **options)

    return rewrite


def _cast(old: Callable[[pa.DataType], bool], new: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        fields = [field.with_type(new) if old(field.type) else field for field in table.schema]
        return table.cast(pa.schema(fields))

    return change


def _missing_as_nan(table: pa.Table) -> pa.Table:
    """Whole numbers of which some are missing become floats, as pandas has it without its nullable types."""
    frame = table.to_pandas()
    return pa.Table.from_pandas(frame.astype({name: "float64" for name in frame if str(frame[name].dtype) == "Int64"}))


def _as_it_is(table: pa.Table) -> pa.Table:
    return table


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(_arrow(_as_it_is), id="no pandas metadata"),
        pytest.param(_arrow(_as_it_is, version="1.0", data_page_version="1.0"), id="format 1.0"),
        pytest.param(_arrow(_as_it_is, use_dictionary=False, compression="none"), id="no dictionary"),
        pytest.param(_arrow(_as_it_is, compression="gzip", row_group_size=7), id="gzip, small row groups"),
        pytest.param(_arrow(_cast(pa.types.is_string, pa.large_string())), id="large strings"),
        pytest.param(_arrow(_cast(pa.types.is_large_string, pa.string())), id="short strings"),
        pytest.param(_arrow(_cast(lambda kind: kind == pa.int64(), pa.int32())), id="int32"),
        pytest.param(_arrow(lambda table: table.unify_dictionaries().select(table.column_names[::-1])), id="columns"),
        pytest.param(
            _arrow(
                lambda table: pa.table(
                    {
                        name: table[name].dictionary_encode()
                        if pa.types.is_large_string(table[name].type) or pa.types.is_string(table[name].type)
                        else table[name]
                        for name in table.column_names
                    }
                )
            ),
            id="categories",
        ),
        pytest.param(_arrow(_missing_as_nan), id="missing as nan"),
    ],
)
def test_another_parquet_writer_changes_nothing(
    rewrite: Callable[[Path], None], manifest: Manifest, tmp_path: Path
) -> None:
    folder = manifest.save(tmp_path / "m")
    assert manifest.neurons["cell_specimen_id"].isna().any()
    for file in folder.glob("*.parquet"):
        before = file.read_bytes()
        rewrite(file)
        assert file.read_bytes() != before
    again = Manifest.load(folder)
    assert (again.digest, again.record_digest) == (manifest.digest, manifest.record_digest)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(manifest, name))


def test_labels_written_again_by_pandas_with_arrow_dtypes_are_read(
    resolve: Resolve, store: Any, make_split: Make, tmp_path: Path
) -> None:
    kinds = np.array(["simple", "complex", None], dtype=object)[np.arange(len(store.neurons)) % 3]
    store.neurons["kind"] = pd.Series(kinds).astype("category")
    store.neurons["code"] = pd.Series(2**60 + np.arange(len(store.neurons))).astype("Int64").mask(kinds == "complex")
    store.annotations = {"kinds": SimpleNamespace(digest="content", columns=("kind", "code"))}
    manifest = resolve(Diet.where("isnan(code) or kind == 'simple'"), store, make_split(store))
    assert str(manifest.neurons["kind"].dtype) == "category" and manifest.neurons["code"].isna().any()
    folder = manifest.save(tmp_path / "m")
    for file in folder.glob("*.parquet"):
        pd.read_parquet(file, dtype_backend="pyarrow").to_parquet(file)
    again = Manifest.load(folder)
    assert again.record_digest == manifest.record_digest
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(manifest, name), check_categorical=False)


def test_another_seed_split_or_name_is_another_manifest(
    manifest: Manifest, resolve: Resolve, store: Any, make_split: Make
) -> None:
    during = c.stimulus == "drifting_gratings"
    base = load_diet("mixed-30").during(during, min_length_s=1.9)
    others = [
        (base.with_parameters(seed=1), make_split(store)),
        (base.named("other"), make_split(store)),
        (base, make_split(store, fold=1)),
        (base.during(during & ~c.blank, min_length_s=1.9), make_split(store)),
    ]
    digests = {resolve(diet, store, split).digest for diet, split in others}
    assert len(digests | {manifest.digest}) == 5


def test_an_unknown_column_is_met_before_anything_is_computed(resolve: Resolve, store: Any, make_split: Make) -> None:
    with pytest.raises(DietError, match="did you mean 'skewness'"):
        resolve(Diet.where("skewnes > 1"), store, make_split(store))


def test_columns_of_recordings_can_be_named(resolve: Resolve, store: Any, make_split: Make) -> None:
    manifest = resolve(Diet.where("sex == 'F'"), store, make_split(store))
    assert len(manifest.neurons) == 48
    assert manifest.neurons["sex"].unique().tolist() == ["F"]


def _with_sessions(store: Any, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    store.sessions = change(store.sessions).reset_index(drop=True)


def _moved(store: Any, names: list[str]) -> None:
    rows = store.sessions["session_id"].isin(names)
    store.sessions.loc[rows, "digest"] = store.sessions.loc[rows, "digest"] + " again"


@pytest.mark.parametrize(
    ("move", "said"),
    [
        pytest.param(
            lambda store: _with_sessions(store, lambda table: table.iloc[1:]),
            "1 recording was removed (s00).",
            id="removed",
        ),
        pytest.param(
            lambda store: _with_sessions(
                store, lambda table: pd.concat([table, table.iloc[:1].assign(session_id="s99")])
            ),
            "1 recording was added (s99).",
            id="added",
        ),
        pytest.param(lambda store: _moved(store, ["s03"]), "1 recording was changed (s03).", id="changed"),
        pytest.param(
            lambda store: (
                _moved(store, [f"s0{n}" for n in range(1, 6)]),
                _with_sessions(store, lambda table: table.iloc[1:]),
            ),
            "1 recording was removed (s00), 5 recordings were changed (s01, s02, s03, ...).",
            id="several",
        ),
        pytest.param(
            lambda store: setattr(store, "extra", "a template"), "a stimulus template or the format", id="template"
        ),
    ],
)
def test_a_store_that_moved_is_refused_and_what_moved_is_said(
    move: Callable[[Any], Any], said: str, manifest: Manifest, store: Any
) -> None:
    manifest.open(store)
    move(store)
    with pytest.raises(ManifestError) as caught:
        manifest.open(store)
    message = str(caught.value)
    assert said in message
    assert manifest.store_digest[:12] in message and store.digest[:12] in message
    assert "poyodata diet resolve mixed-30" in message


def test_a_view_gives_the_selected_part(manifest: Manifest, store: Any) -> None:
    view = manifest.open(store)
    assert view.session_ids == tuple(f"s{i:02d}" for i in range(8))
    columns = view.columns("s00")
    assert columns.dtype == np.int64 and (np.diff(columns) > 0).all()
    assert view.neurons("s00")["column"].tolist() == columns.tolist()
    assert {5, 6, 7, 8, 9, 10} <= set(columns.tolist())
    assert len(view.windows("train")) == 8 * 20 and len(view.windows()) == 8 * 40
    assert view.segments["s00"].tolist() == [[0, 2400], [2400, 4200]]
    with pytest.raises(UsageError, match="known are test, train, valid"):
        view.windows("identify")
    with pytest.raises(UsageError, match="no neuron of recording"):
        view.columns("s99")


def test_the_meta_of_a_manifest_is_plain_json(manifest: Manifest) -> None:
    assert json.loads(json.dumps(manifest.meta)) == manifest.meta
