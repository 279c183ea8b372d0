"""Numbers of names never change: not by growing, not by merging, not on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError, UsageError
from poyodata.loaders.targets import Vocabulary, neuron_vocabulary, recording_vocabulary
from poyodata.store import Store
from tests.loaders.targets.conftest import view_of

NAMES = st.lists(st.text(max_size=4), max_size=12)
UNIQUE = st.lists(st.text(max_size=4), max_size=12, unique=True)


@settings(max_examples=40, deadline=None)
@given(UNIQUE, st.lists(NAMES, max_size=4))
def test_growing_never_renumbers(names: list[str], additions: list[list[str]]) -> None:
    first = known = Vocabulary("neuron", tuple(names))
    before = known.index(names)
    for more in additions:
        known = known.grow(more)
        np.testing.assert_array_equal(known.index(names), before)
        assert known.extends(first)
    everything = {*names, *(name for more in additions for name in more)}
    assert set(known.names) == everything
    assert sorted(known.index(everything).tolist()) == list(range(len(everything)))


@settings(max_examples=40, deadline=None)
@given(UNIQUE, UNIQUE)
def test_merging_keeps_the_numbers_of_the_first(ours: list[str], theirs: list[str]) -> None:
    first, second = Vocabulary("recording", tuple(ours)), Vocabulary("recording", tuple(theirs))
    merged = first.merge(second)
    assert merged.extends(first)
    assert set(merged.names) == {*ours, *theirs}
    assert merged.merge(second) is merged
    assert merged.merge(first).digest == merged.digest


@settings(max_examples=40, deadline=None)
@given(UNIQUE, NAMES)
def test_unknown_names_get_the_number_given(names: list[str], asked: list[str]) -> None:
    known = Vocabulary("neuron", tuple(names))
    expected = [names.index(name) if name in names else -7 for name in asked]
    assert known.index(asked, unknown=-7).tolist() == expected
    if set(asked) <= set(names):
        assert known.index(asked).tolist() == expected
    else:
        with pytest.raises(LoaderError, match="not in the vocabulary"):
            known.index(asked)


@settings(max_examples=40, deadline=None)
@given(UNIQUE)
def test_saved_and_loaded(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    known = Vocabulary("neuron", tuple(names))
    file = known.save(tmp_path_factory.mktemp("vocabulary") / "folder" / "neurons.json")
    assert Vocabulary.load(file) == known
    assert Vocabulary.load(file).digest == known.digest


def test_the_digest_is_of_kind_names_and_order() -> None:
    digests = {
        Vocabulary(kind, names).digest
        for kind in ("neuron", "recording")
        for names in (("a", "b"), ("b", "a"), ("ab",), ())
    }
    assert len(digests) == 8


def test_a_saved_number_is_never_overwritten_by_another_name(tmp_path: Path) -> None:
    file = Vocabulary("neuron", ("a", "b")).save(tmp_path / "neurons.json")
    with pytest.raises(LoaderError, match="does not extend"):
        Vocabulary("neuron", ("b", "a", "c")).save(file)
    assert Vocabulary.load(file).names == ("a", "b")
    Vocabulary.load(file).grow(["c"]).save(file)
    assert Vocabulary.load(file).names == ("a", "b", "c")
    assert [path.name for path in tmp_path.iterdir()] == ["neurons.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda record: {**record, "names": ["b", "a"]}, "does not match its digest", id="names"),
        pytest.param(lambda record: {**record, "format": 9}, "format 9", id="format"),
        pytest.param(lambda record: {"names": ["a"]}, "no vocabulary", id="missing"),
        pytest.param(lambda record: {**record, "names": ["a", "a"]}, "twice", id="twice"),
        pytest.param(lambda record: [1], "no vocabulary", id="list"),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, change, says: str) -> None:
    file = Vocabulary("neuron", ("a", "b")).save(tmp_path / "neurons.json")
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(LoaderError, match=says):
        Vocabulary.load(file)
    file.write_text("{")
    with pytest.raises(LoaderError, match="no vocabulary"):
        Vocabulary.load(file)


def test_words_for_what_cannot_be_done(tmp_path: Path) -> None:
    known = Vocabulary("neuron", ("501_7", "501_8"))
    with pytest.raises(LoaderError, match=r"1 of 2 names.*'501_9'.*did you mean '501_[78]'.*grow"):
        known.index(["501_7", "501_9"])
    with pytest.raises(LoaderError, match="kind 'neuron' cannot take in one of kind 'recording'"):
        known.merge(Vocabulary("recording", ()))
    with pytest.raises(LoaderError, match="'a' twice"):
        Vocabulary("neuron", ("a", "a"))
    with pytest.raises(UsageError, match="no vocabulary at"):
        Vocabulary.load(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        known.save(tmp_path / "file" / "neurons.json")


def test_added_recordings_leave_the_numbers_of_a_model_as_they_are(store: Store) -> None:
    """What a model met first keeps its rows, though the new recordings sort before the old ones."""
    later = view_of(store)
    first = Vocabulary("recording", later.session_ids[2:])
    everything = first.merge(recording_vocabulary(later))
    assert everything.names == (*later.session_ids[2:], *later.session_ids[:2])
    neurons = neuron_vocabulary(later)
    own = later.manifest.neurons
    old = Vocabulary("neuron", tuple(own["neuron_id"][own["session_id"].isin(later.session_ids[2:])]))
    grown = old.merge(neurons)
    np.testing.assert_array_equal(grown.index(old.names), np.arange(len(old)))
    assert len(grown) == len(neurons) == len(own)


def test_the_names_are_those_that_models_translate(store: Store) -> None:
    pytest.importorskip("torch")
    from poyodata.models.config import PoyoConfig
    from poyodata.models.poyo import PoyoPlus

    view = view_of(store)
    recordings = recording_vocabulary(view)
    neurons = Vocabulary("neuron", neuron_vocabulary(view).names[::-1])
    model = PoyoPlus(PoyoConfig(), neuron_vocabulary(view).names, recordings.names)
    rows, _ = model.rows_of(neurons.names, recordings.names)
    assert rows.tolist() == [0, *range(len(neurons), 0, -1)]
