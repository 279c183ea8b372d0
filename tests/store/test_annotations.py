from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from poyodata.errors import AnnotationError, StoreError, UsageError
from poyodata.store import StoreWriter, open_store
from poyodata.store.annotations import annotate, merge_annotations, remove_annotation
from poyodata.store.commit import WriterLock, read_committed
from poyodata.store.labels import read_labels
from poyodata.store.layout import Paths
from poyodata.store.merge import merge_stores
from poyodata.store.verify import verify_store
from tests.store.conftest import make_record


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two recordings of the cells 100 to 105 and one trace without a cell each; read only."""
    path = tmp_path_factory.mktemp("written") / "tiny.zarr"
    with StoreWriter(path) as writer:
        writer.add(make_record("s1", n_frames=60))
        writer.add(make_record("s2", n_frames=60, templates=False, donor_id="m2"))
    return path


@pytest.fixture
def store(written, tmp_path):
    """A copy of `written`, to be changed."""
    shutil.copytree(written, tmp_path / "tiny.zarr")
    return open_store(tmp_path / "tiny.zarr")


def labels(**columns):
    return pd.DataFrame(columns)


PLACES = {"neuron_id": ["s2_101", "s1_100"], "label": ["grid", "place"]}


def column(store, name):
    """Values of a column by neuron, the missing ones left out."""
    known = open_store(store.path).neurons.set_index("neuron_id")[name].dropna()
    return dict(zip(known.index, known.tolist(), strict=True))


def test_labels_of_neurons_are_columns_of_neurons(store):
    before = store.digest
    added = annotate(store.path, labels(**PLACES), "places")
    opened = open_store(store.path)
    assert column(store, "label") == {"s1_100": "place", "s2_101": "grid"}
    assert opened.neurons.columns[-1] == "label"
    assert len(opened.neurons) == len(store.neurons) == 14
    assert opened.digest == before
    assert opened.annotations == {"places": added}
    assert (added.on, added.columns) == ("neuron_id", ("label",))
    assert [path.name for path in (store.path / "tables" / "annotations").iterdir()] == [
        f"places~{added.digest[:12]}.parquet"
    ]
    assert "label" not in store.neurons.columns, "a store shows what was there when it was opened"


def test_a_label_of_a_cell_goes_to_all_its_neurons(store):
    annotate(store.path, labels(cell_specimen_id=[101, 103], depth_class=["deep", "top"]), "depths")
    assert column(store, "depth_class") == {"s1_101": "deep", "s1_103": "top", "s2_101": "deep", "s2_103": "top"}


@pytest.mark.parametrize(
    ("values", "dtype", "stored"),
    [
        pytest.param(["a", None], "str", "a", id="text"),
        pytest.param(pd.Categorical(["a", None]), "str", "a", id="categories"),
        pytest.param(pd.array([3, None], dtype="Int64"), "Int64", 3, id="whole-number"),
        pytest.param([2.5, None], "float64", 2.5, id="number"),
        pytest.param([True, None], "boolean", True, id="truth"),
        pytest.param(pd.array([1.5, None], dtype="Float64"), "float64", 1.5, id="nullable-number"),
    ],
)
def test_columns_keep_their_kind(store, values, dtype, stored):
    annotate(store.path, pd.DataFrame({"neuron_id": ["s1_100", "s1_101"], "x": values}), "kinds")
    assert open_store(store.path).neurons["x"].dtype == dtype
    assert column(store, "x") == {"s1_100": stored}


def test_the_digest_does_not_depend_on_the_order_of_rows(store):
    one = annotate(store.path, labels(**PLACES), "places")
    assert annotate(store.path, labels(**PLACES).iloc[::-1], "places") == one
    again = annotate(store.path, pd.concat([labels(**PLACES)] * 2), "places")
    assert again == one, "a row that stands there twice is one row"


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        pytest.param(
            {"neuron_id": ["s1_100", "s1_1005", "x"], "label": ["a", "b", "c"]},
            {},
            AnnotationError,
            r"2 of 3 neuron_ids are not in the store, the first is s1_1005: did you mean 's1_10\d'\?.*--ignore",
            id="unknown-neurons",
        ),
        pytest.param(
            {"cell_specimen_id": [7], "label": ["a"]},
            {"ignore_unknown": True},
            AnnotationError,
            "1 of 1 cell_specimen_ids are not in the store.* None would remain",
            id="nothing-known",
        ),
        pytest.param(
            {"neuron_id": ["s1_100", "s1_100"], "label": ["a", "b"]},
            {},
            AnnotationError,
            "1 of the neuron_ids have more than one value; the first is s1_100, with label 'a' and 'b'",
            id="two-values",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "area": ["a"]},
            {},
            AnnotationError,
            "column 'area' is the name of a column of the store",
            id="column-of-the-store",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "sex": ["a"]},
            {},
            AnnotationError,
            "column 'sex' is the name of a column of the store",
            id="column-of-the-recordings",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "skewness": [1.0]},
            {"reserved": {"skewness"}},
            AnnotationError,
            "column 'skewness' is the name of a column of a statistic",
            id="column-of-a-statistic",
        ),
        *(
            pytest.param(
                {"neuron_id": ["s1_100"], word: ["a"]},
                {},
                AnnotationError,
                f"column {word!r} is a word of the expressions of diets",
                id=f"word-{word}",
            )
            for word in ("and", "or", "not", "in", "True", "log10", "isnan")
        ),
        *(
            pytest.param(
                {"neuron_id": ["s1_100"], word: ["a"]},
                {},
                AnnotationError,
                f"column {word!r} is the name of a column of windows",
                id=f"window-{word}",
            )
            for word in ("stimulus", "role", "term", "blank", "start_frame", "repeat")
        ),
        *(
            pytest.param(
                {"neuron_id": ["s1_100"], **{name: ["a"] for name in names}},
                {"reserved": {"skewness"}},
                AnnotationError,
                f"column {names[-1]!r} differs in case alone from the column {other!r}",
                id=f"case-{other}",
            )
            for names, other in (
                (["Skewness"], "skewness"),
                (["AREA"], "area"),
                (["Role"], "role"),
                (["Pupil"], "pupil"),
                (["label", "LABEL"], "label"),
            )
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "cell type": ["a"]},
            {},
            AnnotationError,
            "column 'cell type' cannot be named in a diet.*'cell_type'",
            id="column-with-a-space",
        ),
        pytest.param(
            {"neuron_id": ["s1_100", "s1_101"], "label": ["a", 3]},
            {},
            AnnotationError,
            "column 'label' holds mixed-integer values",
            id="mixed",
        ),
        pytest.param(
            {"neuron_id": ["s1_100", None], "label": ["a", "b"]},
            {},
            AnnotationError,
            "1 rows have no neuron_id; the first is row 1",
            id="no-key",
        ),
        pytest.param(
            {"cell_specimen_id": [100.5], "label": ["a"]},
            {},
            AnnotationError,
            "cell_specimen_id must be whole numbers",
            id="half-a-cell",
        ),
        pytest.param(
            {"label": ["a"]},
            {},
            UsageError,
            "neither of the columns neuron_id and cell_specimen_id",
            id="no-key-column",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "cell_specimen_id": [100], "label": ["a"]},
            {},
            UsageError,
            "both of the columns .*--on",
            id="two-keys",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "label": ["a"]},
            {"on": "neuron"},
            UsageError,
            "did you mean 'neuron_id'",
            id="unknown-key",
        ),
        pytest.param({"neuron_id": ["s1_100"]}, {}, UsageError, "no column beside neuron_id", id="no-labels"),
        pytest.param(
            {"neuron_id": ["s1_100"], "label": ["a"]},
            {"name": "../x"},
            StoreError,
            r"annotation '../x' .*Give the annotation another name \(--name\)",
            id="unsafe-name",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "label": np.array([2**64 - 1], "uint64")},
            {},
            AnnotationError,
            "column 'label' holds 18446744073709551615, which is beyond 64 bits.*give it as text",
            id="unsigned-beyond-64-bits",
        ),
        pytest.param(
            {"neuron_id": ["s1_100", "s1_101"], "label": [1, 2**70]},
            {},
            AnnotationError,
            "column 'label' holds 1180591620717411303424, which is beyond 64 bits.*give it as text",
            id="beyond-64-bits",
        ),
        pytest.param(
            {"cell_specimen_id": ["99999999999999999999"], "label": ["a"]},
            {},
            AnnotationError,
            "'cell_specimen_id' holds 99999999999999999999, which is beyond 64 bits.*join on neuron_id",
            id="cell-beyond-64-bits",
        ),
        pytest.param(
            {"cell_specimen_id": [1e30], "label": ["a"]},
            {},
            AnnotationError,
            "'cell_specimen_id' holds 1e.30, which is beyond 64 bits",
            id="float-cell-beyond-64-bits",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "pupil": ["a"]},
            {},
            AnnotationError,
            "that of the annotation 'first' already",
            id="taken",
        ),
        pytest.param(
            {"neuron_id": ["s1_100"], "pupil": ["b"]},
            {"name": "first"},
            UsageError,
            "--replace",
            id="same-name-other-content",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_and_nothing_changes(store, files_of, table, options, error, message):
    annotate(store.path, labels(neuron_id=["s1_100"], pupil=["wide"]), "first")
    before = files_of(store.path)
    with pytest.raises(error, match=message):
        annotate(store.path, labels(**table), **({"name": "places"} | options))
    assert files_of(store.path) == before


def test_numbers_of_64_bits_are_kept(store):
    annotate(store.path, labels(neuron_id=["s1_100", "s1_101"], label=[2**63 - 1, -(2**63)]), "places")
    assert column(store, "label") == {"s1_100": 2**63 - 1, "s1_101": -(2**63)}


def test_labels_are_a_table(store):
    with pytest.raises(UsageError, match=r"labels are a DataFrame, got dict; make one of it with pandas\.DataFrame"):
        annotate(store.path, PLACES, "places")


@pytest.mark.parametrize("change", ["annotate", "remove", "add"])
def test_a_lock_that_was_removed_is_no_lock(store, monkeypatch, change):
    """Whoever came in beside this writer would lose what it commits."""
    annotate(store.path, labels(**PLACES), "places")
    before = (store.path / "tables" / "sessions.parquet").read_bytes()
    real = WriterLock.__init__

    def removed(lock, path):
        real(lock, path)
        path.unlink()

    monkeypatch.setattr(WriterLock, "__init__", removed)
    with pytest.raises(StoreError, match=r"\.lock was removed while this process wrote.*nothing was changed"):
        if change == "annotate":
            annotate(store.path, labels(neuron_id=["s1_100"], other=["a"]), "others")
        elif change == "remove":
            remove_annotation(store.path, "places")
        else:
            with StoreWriter(store.path) as writer:
                writer.add(make_record("s3", templates=False))
    monkeypatch.undo()
    assert (store.path / "tables" / "sessions.parquet").read_bytes() == before
    with StoreWriter(store.path):  # collects what was laid down
        pass
    verification = verify_store(store.path)
    assert (verification.damages, verification.unexpected) == ((), ())


def test_unknown_keys_may_be_left_out(store):
    table = labels(neuron_id=["s1_100", "nobody"], label=["a", "b"])
    annotate(store.path, table, "places", ignore_unknown=True)
    assert column(store, "label") == {"s1_100": "a"}


def test_two_keys_are_no_labels(store):
    annotate(store.path, labels(neuron_id=["s1_100"], cell_specimen_id=[100], label=["a"]), "places", on="neuron_id")
    assert open_store(store.path).annotations["places"].columns == ("label",)


def test_replacing_and_removing(store):
    annotate(store.path, labels(**PLACES), "places")
    annotate(store.path, labels(neuron_id=["s1_102"], label=["head"]), "places", replace_existing=True)
    assert column(store, "label") == {"s1_102": "head"}
    assert len(list((store.path / "tables" / "annotations").iterdir())) == 1
    remove_annotation(store.path, "places")
    assert open_store(store.path).annotations == {}
    assert "label" not in open_store(store.path).neurons.columns
    assert list((store.path / "tables" / "annotations").iterdir()) == []
    with pytest.raises(UsageError, match="no annotation 'places'"):
        remove_annotation(store.path, "places")


def test_a_store_that_was_opened_before_a_change_says_so(store):
    annotate(store.path, labels(**PLACES), "places")
    read, unread = open_store(store.path), open_store(store.path)
    assert "label" in read.neurons.columns
    remove_annotation(store.path, "places")
    assert "label" in read.neurons.columns, "what was read is kept"
    with pytest.raises(StoreError, match=r"'places' of .* was replaced or removed since this store was opened"):
        _ = unread.neurons


def test_annotations_stay_when_recordings_come_and_go(store):
    annotate(store.path, labels(cell_specimen_id=[101], label=["deep"]), "depths")
    with StoreWriter(store.path) as writer:
        writer.add(make_record("s3", templates=False))
        writer.remove(["s1"])
    assert column(store, "label") == {"s2_101": "deep", "s3_101": "deep"}


def test_a_file_that_nothing_names_is_collected(store):
    added = annotate(store.path, labels(**PLACES), "places")
    folder = store.path / "tables" / "annotations"
    (folder / "old~0123456789ab.parquet").write_bytes(b"left by a crash")
    with StoreWriter(store.path):
        pass
    assert [path.name for path in folder.iterdir()] == [f"places~{added.digest[:12]}.parquet"]
    assert column(store, "label") == {"s1_100": "place", "s2_101": "grid"}


def test_a_store_that_is_being_written_is_left_alone(store):
    lock = WriterLock(Paths(store.path).lock)
    try:
        with pytest.raises(StoreError, match="is being written by"):
            annotate(store.path, labels(**PLACES), "places")
    finally:
        lock.release()
    annotate(store.path, labels(**PLACES), "places")


def test_a_flipped_bit_is_found(store):
    added = annotate(store.path, labels(**PLACES), "places")
    file = Paths(store.path).annotation("places", added.digest)
    content = bytearray(file.read_bytes())
    content[20] ^= 4
    file.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="its seal is broken"):
        _ = open_store(store.path).neurons


def test_stores_far_away_are_not_written():
    with pytest.raises(UsageError, match="a store at a URL can be read but not annotated"):
        annotate("s3://bucket/allen.zarr", labels(**PLACES), "places")


def test_a_csv_file(tmp_path, store):
    file = tmp_path / "labels.csv"
    file.write_text("neuron_id,label,rank,score,checked\ns1_100,None,1,0.5,True\ns1_101,NA,,nan,\ns1_102,,3,2,False\n")
    annotate(store.path, read_labels(file), "places")
    kinds = open_store(store.path).neurons[["label", "rank", "score", "checked"]].dtypes.astype(str).tolist()
    assert kinds == ["str", "Int64", "float64", "boolean"]
    assert column(store, "label") == {"s1_100": "None", "s1_101": "NA"}
    assert column(store, "rank") == {"s1_100": 1, "s1_102": 3}
    assert column(store, "score") == {"s1_100": 0.5, "s1_102": 2.0}
    assert column(store, "checked") == {"s1_100": True, "s1_102": False}


def test_codes_with_leading_zeros_are_texts(tmp_path, store):
    file = tmp_path / "labels.csv"
    file.write_text("neuron_id,code\ns1_100,007\ns1_101,010\n")
    annotate(store.path, read_labels(file), "codes")
    assert column(store, "code") == {"s1_100": "007", "s1_101": "010"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("neuron_id,label\ns1_100,a,\ns1_101,b,\n", "3 fields in line 2", id="trailing-commas"),
        pytest.param("neuron_id,label\ns1_100,a\ns1_101,b,c\n", "3 fields in line 3", id="a-field-too-many"),
        pytest.param("neuron_id,label\ns1_100,a\ns1_101\n", "1 fields in line 3", id="a-field-too-few"),
    ],
)
def test_a_row_that_does_not_fit_the_header_is_named(tmp_path, text, line):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(AnnotationError, match=line) as raised:
        read_labels(file)
    assert "\n" not in str(raised.value)


def test_a_csv_file_with_ids_of_digits(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("neuron_id,label\n007,a\n")
    assert read_labels(file)["neuron_id"].tolist() == ["007"]


def test_a_parquet_file(tmp_path):
    labels(**PLACES).to_parquet(tmp_path / "labels.parquet")
    pd.testing.assert_frame_equal(read_labels(tmp_path / "labels.parquet"), labels(**PLACES))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(None, UsageError, "no file at", id="missing"),
        pytest.param(b"", AnnotationError, "a CSV file with a header was expected", id="empty"),
        pytest.param(b"\xff\xfe\x00neuron", AnnotationError, "a CSV file with a header was expected", id="binary"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, error, message):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        read_labels(tmp_path / "labels.csv")


# -- merging ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stores(written, tmp_path):
    """Two stores, of one recording each."""
    paths = tmp_path / "one.zarr", tmp_path / "other.zarr"
    for path, gone in zip(paths, ("s2", "s1"), strict=True):
        shutil.copytree(written, path)
        with StoreWriter(path) as writer:
            writer.remove([gone])
    return paths


def sources(*paths):
    return [(Paths(path), read_committed(Paths(path)).annotations) for path in paths]


def test_merged_annotations_hold_the_rows_of_both(stores):
    annotate(stores[0], labels(neuron_id=["s1_100"], label=["place"]), "places")
    annotate(stores[1], labels(neuron_id=["s2_101"], label=["grid"]), "places")
    annotate(stores[1], labels(cell_specimen_id=[101], deep=[True]), "depths")
    merged = merge_annotations(Paths(stores[0]), sources(*stores))
    table = pq.read_table(Paths(stores[0]).annotation("places", merged["places"].digest)).to_pandas()
    assert dict(zip(table["neuron_id"], table["label"], strict=True)) == {"s1_100": "place", "s2_101": "grid"}
    assert merged["depths"].columns == ("deep",)
    assert merge_annotations(Paths(stores[0]), sources(*reversed(stores))) == merged, "whatever the order"


@pytest.mark.parametrize(
    ("one", "other", "name", "message"),
    [
        pytest.param(
            {"cell_specimen_id": [101], "label": ["a"]},
            {"cell_specimen_id": [101], "label": ["b"]},
            "places",
            "contradict each other in the annotation 'places'",
            id="values",
        ),
        pytest.param(
            {"neuron_id": ["s1_101"], "label": ["a"]},
            {"cell_specimen_id": [101], "label": ["b"]},
            "places",
            "another key",
            id="keys",
        ),
        pytest.param(
            {"neuron_id": ["s1_101"], "label": ["a"]},
            {"neuron_id": ["s2_101"], "label": ["b"]},
            "elsewhere",
            "both have a column 'label'",
            id="columns",
        ),
        pytest.param(
            {"neuron_id": ["s1_101"], "label": ["a"]},
            {"neuron_id": ["s2_101"], "Label": ["b"]},
            "elsewhere",
            "columns 'label' and 'Label', which differ in case alone",
            id="case",
        ),
    ],
)
def test_annotations_that_cannot_be_merged(stores, one, other, name, message):
    annotate(stores[0], labels(**one), "places")
    annotate(stores[1], labels(**other), name)
    with pytest.raises(AnnotationError, match=message):
        merge_annotations(Paths(stores[0]), sources(*stores))


def test_a_merge_brings_annotations(stores):
    annotate(stores[0], labels(neuron_id=["s1_100"], label=["place"]), "places")
    annotate(stores[1], labels(neuron_id=["s2_101"], label=["grid"]), "places")
    annotate(stores[1], labels(cell_specimen_id=[101], deep=[True]), "depths")
    merge_stores(stores[0], [stores[1]])
    merged = open_store(stores[0])
    assert column(merged, "label") == {"s1_100": "place", "s2_101": "grid"}
    assert column(merged, "deep") == {"s1_101": True, "s2_101": True}
    named = {f"{name}~{known.digest[:12]}.parquet" for name, known in merged.annotations.items()}
    assert {path.name for path in (merged.path / "tables" / "annotations").iterdir()} == named
    assert verify_store(merged.path).unexpected == ()
    annotate(stores[1], labels(cell_specimen_id=[102], wide=[False]), "widths")
    assert [one.status for one in merge_stores(stores[0], [stores[1]])] == ["unchanged"]
    assert column(merged, "wide") == {"s1_102": False, "s2_102": False}


def test_a_merge_that_would_contradict_changes_nothing(stores, files_of):
    annotate(stores[0], labels(cell_specimen_id=[101], label=["a"]), "places")
    annotate(stores[1], labels(cell_specimen_id=[101], label=["b"]), "places")
    digest = open_store(stores[0]).digest
    with pytest.raises(AnnotationError, match="contradict each other"):
        merge_stores(stores[0], [stores[1]])
    assert open_store(stores[0]).digest == digest
    assert column(open_store(stores[0]), "label") == {"s1_101": "a"}


def test_a_recording_with_a_column_of_that_name_is_refused(store):
    annotate(store.path, labels(neuron_id=["s1_100"], snr=[2.0]), "quality")
    record = make_record("s3", n_frames=60, templates=False)
    record = replace(record, neurons=record.neurons.assign(snr=1.0))
    with (
        StoreWriter(store.path) as writer,
        pytest.raises(AnnotationError, match=r"a column 'snr' of their own.*quality"),
    ):
        writer.add(record)
    assert open_store(store.path).session_ids == ("s1", "s2")
    remove_annotation(store.path, "quality")
    with StoreWriter(store.path) as writer:
        writer.add(record)
    with pytest.raises(AnnotationError, match="'snr' is the name of a column of the store"):
        annotate(store.path, labels(neuron_id=["s1_100"], snr=[2.0]), "quality")
