"""What a test knows of the stages before it: which pictures they showed, and how they normalised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poyodata.curation import Manifest, c, load_diet
from poyodata.loaders.transforms import fit_normalisation
from poyodata.models.recipes import load_recipe
from poyodata.models.training.ancestry import Ancestor, Ancestry
from poyodata.models.training.past_stages import normalisation_of_stages, shown_by_stages
from poyodata.splits import resolve_split
from poyodata.store import Store

RECIPE = load_recipe("small-finetune")


def _during(store: Store, stimulus: str, split: str, fold: int = 0) -> Manifest:
    return load_diet("all").during(c.stimulus == stimulus).resolve(store, split=resolve_split(store, split, fold=fold))


def _stages(*manifests: Manifest) -> Ancestry:
    return Ancestry(tuple(Ancestor("finetune", one, RECIPE, "store") for one in manifests))


@pytest.fixture(scope="module")
def movie(store: Store) -> Manifest:
    return _during(store, "natural_movie_one", "paper-trial")


@pytest.fixture(scope="module")
def gratings(store: Store) -> Manifest:
    return _during(store, "drifting_gratings", "blocks-5fold")


def _part(manifest: Manifest, *, frames: int) -> Manifest:
    """Without the train and valid windows of all but the first frames of the movie."""
    windows = manifest.windows
    kept = (windows["role"] == "test") | (windows["movie_frame"] < frames)
    return replace(manifest, windows=windows[kept].reset_index(drop=True))


def test_pictures_of_every_stage_count_as_seen(movie: Manifest, gratings: Manifest) -> None:
    windows = movie.windows
    learnt = windows.loc[windows["role"].isin(["train", "valid"]), "movie_frame"]
    few = _part(movie, frames=5)
    found = shown_by_stages(_stages(movie, few), few, "test")
    assert found is not None
    assert found.tolist() == sorted(set(learnt))
    own = shown_by_stages(_stages(gratings, few), few, "test")  # gratings show no picture of the movie
    assert own is not None
    assert own.tolist() == list(range(5))


def test_what_a_stage_showed_is_unknown_where_its_windows_do_not_say(movie: Manifest) -> None:
    windows = movie.windows.copy()
    windows["movie_frame"] = -1
    assert shown_by_stages(_stages(replace(movie, windows=windows), movie), movie, "test") is None
    windows["stimulus"] = ""
    assert shown_by_stages(_stages(replace(movie, windows=windows), movie), movie, "test") is None


def test_a_test_normalises_as_the_stages_did(store: Store, gratings: Manifest) -> None:
    other = _during(store, "drifting_gratings", "blocks-5fold", fold=1)
    sessions = sorted(set(other.windows["session_id"].astype(str)))
    by = RECIPE.loader.normalise
    assert by
    its, own = (fit_normalisation(one.open(store), by) for one in (gratings, other))
    assert normalisation_of_stages(store, _stages(gratings), gratings, RECIPE.loader, sessions) == (None, "")
    found, told = normalisation_of_stages(store, _stages(gratings), other, RECIPE.loader, sessions)
    assert found is not None
    assert told == ""
    for name in sessions:
        np.testing.assert_array_equal(found.shift[name], its.shift[name])
        np.testing.assert_array_equal(found.scale[name], its.scale[name])
        assert not np.array_equal(found.shift[name], own.shift[name])
    # A stage that never saw the first recording has no normalisation of its neurons.
    windows = gratings.windows
    rest = replace(gratings, windows=windows[windows["session_id"] != sessions[0]].reset_index(drop=True))
    found, told = normalisation_of_stages(store, _stages(rest), other, RECIPE.loader, sessions)
    assert found is not None
    np.testing.assert_array_equal(found.shift[sessions[0]], own.shift[sessions[0]])
    for name in sessions[1:]:
        np.testing.assert_array_equal(found.shift[name], its.shift[name])
    n_new = len(own.neuron_ids[sessions[0]])
    assert told.startswith(f"{n_new} of {sum(len(own.neuron_ids[name]) for name in sessions)} neurons have no")
