"""From a manifest to batches, on a simulated store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from poyodata.curation import Manifest, c, load_diet
from poyodata.errors import LoaderError, ManifestError, UsageError
from poyodata.intervals import covers
from poyodata.loaders import Loader, Recipe, make_loader
from poyodata.splits import resolve_split
from poyodata.store import Store

WINDOW_S = 2.0


@pytest.fixture(scope="module")
def gratings() -> str:
    return "stimulus == 'drifting_gratings'"


@pytest.fixture
def manifest(tiny_store: Store, gratings: str) -> Manifest:
    return load_diet("all").during(gratings).resolve(tiny_store, split="blocks-5fold")


def everything(loader: Loader) -> list[dict[str, Any]]:
    return list(loader)


def keys(batches: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [pair for b in batches for pair in zip(b["session_index"].tolist(), b["start_frame"].tolist(), strict=True)]


def test_values_are_the_stores_own_numbers(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, batch_size=5, normalise=False)
    seen = 0
    for batch in loader:
        for row in range(len(batch["values"])):
            session = loader.session_ids[batch["session_index"][row]]
            start = int(batch["start_frame"][row])
            names = [loader.neuron_ids[i - 1] for i in batch["neuron_index"][row].tolist() if i > 0]
            neurons = manifest.neurons.set_index("neuron_id").loc[names]
            assert set(neurons["session_id"]) == {session}
            expected = tiny_store.traces(session)[start : start + loader.windows.n_frames, neurons["column"].to_numpy()]
            np.testing.assert_array_equal(batch["values"][row, : len(names)].numpy(), expected.T)
            assert batch["values"][row, len(names) :].abs().sum() == 0
            seen += 1
    assert seen == len(loader.windows) == (manifest.windows["role"] == "test").sum()


def test_labels_are_those_of_the_presentations(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, batch_size=8)
    shown = tiny_store.presentations
    shown = shown[shown["stimulus"] == "drifting_gratings"].set_index(["session_id", "trial"])
    labels = set()
    for batch in loader:
        for session, trial, start, direction in zip(
            batch["session_index"], batch["trial"], batch["start_frame"], batch["direction"], strict=True
        ):
            row = shown.loc[(loader.session_ids[session], int(trial))]
            assert int(start) == row["start_frame"]
            assert int(direction) == (-1 if row["blank"] else round(row["direction_deg"] / 45))
            labels.add(int(direction))
    assert labels == set(range(-1, 8))


def test_order_is_a_function_of_seed_and_epoch(tiny_store: Store, manifest: Manifest) -> None:
    def order(seed: int, epoch: int) -> list[tuple[int, int]]:
        loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, seed=seed, jitter_frames=3)
        loader.set_epoch(epoch)
        return keys(everything(loader))

    assert order(0, 4) == order(0, 4)
    assert order(0, 4) != order(0, 5)
    assert order(0, 4) != order(1, 4)


def test_every_train_window_once_an_epoch(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, batch_size=7)
    rows = manifest.windows[manifest.windows["role"] == "train"]
    wanted = sorted(zip(rows["session_id"], rows["trial"], strict=True))
    batches = everything(loader)
    assert len(batches) == len(loader)
    found = [
        (loader.session_ids[s], t)
        for b in batches
        for s, t in zip(b["session_index"].tolist(), b["trial"].tolist(), strict=True)
    ]
    assert sorted(found) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("jitter", [0, 4, 40], ids=["none", "some", "more-than-the-guard"])
def test_jitter_never_touches_another_role_or_gap(tiny_store: Store, manifest: Manifest, jitter: int) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, jitter_frames=jitter)
    moved = 0
    for epoch in range(6):
        loader.set_epoch(epoch)
        for session, start in keys(everything(loader)):
            name = loader.session_ids[session]
            stop = start + loader.windows.n_frames
            assert covers(loader.view.segments[name], [start], [stop]).all()
            others = manifest.windows[(manifest.windows["session_id"] == name) & (manifest.windows["role"] != "train")]
            assert ((others["stop_frame"] <= start) | (others["start_frame"] >= stop)).all()
        moved += len(
            set(keys(everything(loader))) - set(zip(loader.windows.session_index, loader.windows.first, strict=True))
        )
    assert (moved > 0) == (jitter > 0)


@pytest.mark.slow
@pytest.mark.parametrize(("role", "jitter"), [("train", 0), ("train", 60), ("valid", 0), ("test", 0)])
def test_windows_keep_clear_of_time_that_the_diet_does_not_eat(tiny_store: Store, role: str, jitter: int) -> None:
    """The diet leaves test trials of other directions out, and they are test time all the same."""
    diet = load_diet("all").during((c.stimulus == "drifting_gratings") & (c.direction_deg < 180))
    for fold in range(5):
        split = resolve_split(tiny_store, "blocks-5fold", fold=fold)
        manifest = diet.resolve(tiny_store, split=split)
        assert manifest.roles == ("test", "train", "valid")
        loader = make_loader(tiny_store, manifest, role, window_s=3.0, jitter_frames=jitter)
        guard = int(split.sessions["guard_frames"].max()) if role == "train" else 0
        for session, start in keys(everything(loader)):
            name, stop = loader.session_ids[session], start + loader.windows.n_frames
            for other in {"train", "valid", "test"} - {role}:
                spans = split.intervals(name, other)
                assert ((spans[:, 1] + guard <= start) | (spans[:, 0] - guard >= stop)).all()


def test_normalisation_sees_train_windows_only(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S)
    for session in loader.session_ids:
        rows = manifest.windows[(manifest.windows["session_id"] == session) & (manifest.windows["role"] == "train")]
        frames = np.concatenate([np.arange(a, b) for a, b in rows[["start_frame", "stop_frame"]].to_numpy()])
        used = tiny_store.traces(session)[frames][:, loader.view.columns(session)].astype(np.float64)
        np.testing.assert_allclose(loader.normalisation.shift[session], used.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(1 / loader.normalisation.scale[session], used.std(0), rtol=1e-5)
    same = make_loader(tiny_store, manifest, "test", window_s=WINDOW_S)
    assert same.normalisation.digest == loader.normalisation.digest


def test_padding_is_marked(tiny_store: Store, gratings: str) -> None:
    some = load_diet("predictable").during(gratings).resolve(tiny_store, split="blocks-5fold")
    loader = make_loader(tiny_store, some, "train", window_s=WINDOW_S, batch_size=64)
    counts = some.neurons.groupby("session_id").size()
    assert counts.nunique() > 1, "the test needs recordings of different sizes"
    for batch in loader:
        sizes = [counts[loader.session_ids[s]] for s in batch["session_index"].tolist()]
        assert batch["neuron_mask"].sum(1).tolist() == sizes
        assert torch.equal(batch["neuron_mask"], batch["neuron_index"] > 0)


def test_fixed_windows_cover_all_stimuli(tiny_store: Store) -> None:
    everything_shown = load_diet("all").resolve(tiny_store, split="blocks-5fold")
    loader = make_loader(tiny_store, everything_shown, "train", window_s=0.5, mode="fixed", batch_size=16)
    first = keys(everything(loader))
    assert len(set(first)) == len(first) == len(loader.windows)
    assert all(b["values"].shape[2] == loader.windows.n_frames for b in loader)
    loader.set_epoch(1)
    assert {start for _, start in keys(everything(loader))} != {start for _, start in first}


def test_batches_are_never_written_again(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, batch_size=4)
    kept = everything(loader)
    copies = [b["values"].clone() for b in kept]
    everything(loader)
    assert all(torch.equal(b["values"], copy) for b, copy in zip(kept, copies, strict=True))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        pytest.param({"split": "tets"}, UsageError, "did you mean 'test'", id="role-typo"),
        pytest.param({"mode": "trail"}, UsageError, "did you mean 'trial'", id="mode-typo"),
        pytest.param({"batch_size": 0}, LoaderError, "at least 1", id="batch-size"),
        pytest.param({"window_s": 1e-4}, LoaderError, "less than one frame", id="window-too-short"),
        pytest.param({"window_s": 9_000.0}, LoaderError, "Shorten window_s", id="window-too-long"),
        pytest.param({"split": "test", "jitter_frames": 2}, LoaderError, "role 'train'", id="jitter-in-test"),
    ],
)
def test_refusals(
    tiny_store: Store, manifest: Manifest, arguments: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        make_loader(tiny_store, manifest, **{"window_s": WINDOW_S, **arguments})  # type: ignore[arg-type]


def test_another_store_is_refused(tiny_store: Store, tiny_raw: object, tmp_path: object, manifest: Manifest) -> None:
    from pathlib import Path

    from poyodata.ingest import ingest
    from poyodata.store import open_store

    other = Path(str(tmp_path)) / "other.zarr"
    ingest(sorted(Path(str(tiny_raw)).glob("*.nwb"))[:2], other)
    with pytest.raises(ManifestError, match="digest"):
        make_loader(open_store(other), manifest, window_s=WINDOW_S)


def test_a_neuron_that_was_removed_is_refused(tiny_store: Store, manifest: Manifest) -> None:
    neurons = manifest.neurons.copy()
    neurons.loc[3, "column"] = 99
    with pytest.raises(LoaderError, match=f"neuron '{neurons.loc[3, 'neuron_id']}' is not in recording"):
        make_loader(tiny_store, replace(manifest, neurons=neurons), window_s=WINDOW_S)


def test_recordings_of_different_rates_are_refused(
    tiny_store: Store, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = tiny_store.sessions["rate_hz"].to_numpy() * [1.0, 1.0, 1.1]
    monkeypatch.setattr(tiny_store, "sessions", tiny_store.sessions.assign(rate_hz=rates))
    with pytest.raises(LoaderError, match="one batch needs one rate"):
        make_loader(tiny_store, manifest, window_s=WINDOW_S)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        pytest.param({"targets": ("orientation",)}, LoaderError, "can never be had", id="target-not-shown"),
        pytest.param({"targets": ("directoin",)}, UsageError, "did you mean 'direction'", id="target-typo"),
        pytest.param({"sampling": "ballanced"}, UsageError, "balanced", id="sampling-typo"),
        pytest.param({"sampling": "balanced"}, UsageError, "SamplingChoice", id="balanced-by-what"),
        pytest.param({"layout": "dens"}, UsageError, "did you mean 'dense'", id="layout-typo"),
        pytest.param({"access": "packed"}, UsageError, "folder", id="packed-without-a-folder"),
        pytest.param({"seed": -1}, LoaderError, "seed is -1", id="seed"),
        pytest.param({"seed": 0.5}, LoaderError, "seed is 0.5", id="seed-half"),
        pytest.param({"seed": True}, LoaderError, "seed is True", id="seed-true"),
        pytest.param({"batch_size": 2.5}, LoaderError, "batch_size is 2.5", id="batch-size-half"),
        pytest.param({"batch_size": "8"}, LoaderError, "batch_size is '8'", id="batch-size-text"),
        pytest.param({"prefetch": True}, LoaderError, "prefetch is True", id="prefetch-true"),
        pytest.param({"window_s": "1"}, LoaderError, "`window_s` is '1'", id="window-text"),
        pytest.param({"offset_s": float("nan")}, LoaderError, "`offset_s` is nan", id="offset-nan"),
        pytest.param({"jitter_frames": 2.5}, LoaderError, "jitter_frames is 2.5", id="jitter-half"),
        pytest.param({"shuffle": "no"}, LoaderError, "`shuffle` is 'no'", id="shuffle-text"),
        pytest.param({"normalise": 1}, LoaderError, "normalise is 1; it must be True or False", id="normalise-number"),
        pytest.param({"targets": {"direction": None}}, LoaderError, "give {} for none", id="target-options"),
        pytest.param({"targets": 3}, UsageError, "targets are names", id="targets-number"),
        pytest.param({"neuron_columns": [3]}, UsageError, "neuron columns are names", id="columns-number"),
        pytest.param({"rank": 0.5, "world": 2}, LoaderError, "rank is 0.5", id="rank-half"),
        pytest.param({"window_s": None}, LoaderError, "give window_s", id="no-length"),
        pytest.param({"rank": 2, "world": 2}, LoaderError, "rank 2 of 2", id="rank"),
        pytest.param({"recipe": Recipe()}, LoaderError, "the recipe says window_s", id="recipe-and-argument"),
        pytest.param({"mode": "whole", "window_s": None, "layout": "jagged"}, LoaderError, "differ", id="jagged-whole"),
    ],
)
def test_it_is_refused_before_a_trace_is_read(
    tiny_store: Store,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    def unread(*_: object) -> None:
        raise AssertionError("traces were read")

    monkeypatch.setattr("poyodata.curation.view.View.traces", unread)
    # That recordings are complete is looked up, or found out by reading them, before the rest is checked.
    monkeypatch.setattr("poyodata.loaders.make.drop_missing", lambda index, view: index)
    with pytest.raises(error, match=match):
        make_loader(tiny_store, manifest, **{"window_s": WINDOW_S, **arguments})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        pytest.param({"targets": "direction"}, {"targets": ["direction"]}, id="one-target"),
        pytest.param({"neuron_columns": "x_um"}, {"neuron_columns": ["x_um"]}, id="one-column"),
        pytest.param({"normalise": np.False_}, {"normalise": False}, id="truth-of-numpy"),
        pytest.param({"seed": np.int64(3), "batch_size": np.int32(4)}, {"seed": 3, "batch_size": 4}, id="numpy"),
    ],
)
def test_what_is_said_shortly_is_meant(
    tiny_store: Store, manifest: Manifest, said: dict[str, Any], meant: dict[str, Any]
) -> None:
    a, b = (make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, **one) for one in (said, meant))
    assert json.dumps(a.state_dict()) == json.dumps(b.state_dict())
    assert a.batch(0, 0).keys() == b.batch(0, 0).keys()


@pytest.mark.parametrize(("epoch", "number"), [(-1, 0), (1.5, 0), (True, 0), (0, 0.0), (0, -1)])
def test_there_is_no_such_batch(tiny_store: Store, manifest: Manifest, epoch: Any, number: Any) -> None:
    loader = make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, normalise=False)
    with pytest.raises(LoaderError, match="must be a whole number"):
        loader.batch(epoch, number)
    if epoch:
        with pytest.raises(LoaderError, match="epoch is"):
            loader.set_epoch(epoch)


def test_a_normalisation_is_refused_where_its_file_is(tiny_store: Store, gratings: str, manifest: Manifest) -> None:
    given = make_loader(tiny_store, manifest, window_s=WINDOW_S).normalisation
    other = load_diet("all").during(gratings).resolve(tiny_store, split="blocks-5fold", fold=1)
    with pytest.raises(LoaderError, match="was fitted on split"):
        make_loader(tiny_store, other, "test", window_s=WINDOW_S, normalise=given)
    foreign = replace(given, store_digest="f" * 64)
    with pytest.raises(LoaderError, match="was fitted on store ffffffffffff"):
        make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, normalise=foreign)
    some = load_diet("all").sample(fraction=0.5).during(gratings).resolve(tiny_store, split="blocks-5fold")
    few = make_loader(tiny_store, some, "test", window_s=WINDOW_S, normalise=given)
    with pytest.raises(LoaderError, match="knows nothing of neuron"):
        make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, normalise=few.normalisation)
    key = few.session_ids[0]
    kept = np.isin(given.neuron_ids[key], few.normalisation.neuron_ids[key])
    np.testing.assert_array_equal(few.normalisation.shift[key], given.shift[key][kept])


@pytest.mark.parametrize(
    ("says", "given"),
    [
        pytest.param("{name: normalise, by: recording}", "neuron", id="another-way"),
        pytest.param("{name: normalise, by: neuron}", False, id="not-at-all"),
        pytest.param("{name: noise, std: 1}", "neuron", id="the-recipe-does-not"),
    ],
)
def test_a_normalisation_that_contradicts_the_recipe_is_refused(
    tiny_store: Store, manifest: Manifest, says: str, given: Any
) -> None:
    fitted = make_loader(tiny_store, manifest, window_s=WINDOW_S, normalise=given).normalisation
    other = recipe(f"windows: {{window_s: 2.0}}\ntransforms: [{says}]")
    with pytest.raises(LoaderError, match=r"the recipe normalises (by|not at all).*, and the normalisation given is"):
        make_loader(tiny_store, manifest, recipe=other, normalise=fitted)


def test_windows_keep_clear_of_trials_that_the_diet_let_go(tiny_store: Store) -> None:
    some = load_diet("all").during((c.stimulus == "drifting_gratings") & (c.direction_deg < 180))
    manifest = some.resolve(tiny_store, split="blocks-5fold")
    shown = tiny_store.presentations
    kept = manifest.windows.set_index(["session_id", "start_frame"]).index
    gone = shown[~shown.set_index(["session_id", "start_frame"]).index.isin(kept)]
    loader = make_loader(tiny_store, manifest, window_s=2.5, jitter_frames=20, normalise=False)
    for epoch in range(3):
        loader.set_epoch(epoch)
        for batch in loader.arrays():
            for session, start in zip(batch["session_index"].tolist(), batch["start_frame"].tolist(), strict=True):
                theirs = gone[gone["session_id"] == loader.session_ids[session]]
                clear = (theirs["stop_frame"] <= start) | (theirs["start_frame"] >= start + loader.n_frames)
                assert clear.all()


def test_a_diet_of_blank_sweeps_has_no_direction(tiny_store: Store, manifest: Manifest) -> None:
    blank = replace(manifest, windows=manifest.windows.assign(blank=True, direction_deg=np.nan))
    for at in ("trial", "centre"):
        with pytest.raises(LoaderError, match=r"all drifting_gratings \(\d+\) windows .* are blank sweeps"):
            make_loader(tiny_store, blank, window_s=WINDOW_S, normalise=False, targets={"direction": {"at": at}})


def recipe(text: str) -> Recipe:
    return Recipe.from_yaml(f"recipe: 1\n{text}\n")


def test_a_recipe_is_the_arguments(tiny_store: Store, manifest: Manifest) -> None:
    text = "windows: {window_s: 2.0}\ntargets: [direction]\ntransforms: [normalise, {name: jitter, frames: 3}]"
    a = make_loader(tiny_store, manifest, recipe=recipe(text))
    b = make_loader(tiny_store, manifest, window_s=2.0, jitter_frames=3)
    assert a.state_dict() == b.state_dict()
    for one, other in zip(a.arrays(), b.arrays(), strict=True):
        assert {"direction", "direction_blank"} < one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_random_changes_are_the_same_for_every_batch_size_and_rank(tiny_store: Store, manifest: Manifest) -> None:
    changes = recipe(
        "windows: {window_s: 2.0}\ntransforms: [normalise, "
        "{name: unit_dropout, law: uniform, min_units: 3, max_units: 9}, "
        "{name: jitter, frames: 5}, {name: crop, n_frames: 20}, {name: noise, std: 0.2}]\n"
        "masks: [{scheme: neuron}, {scheme: temporal}]\nmask_draw: per_sample"
    )

    def samples(**arguments: Any) -> dict[int, dict[str, np.ndarray[Any, Any]]]:
        loader = make_loader(tiny_store, manifest, recipe=changes, seed=2, **arguments)
        loader.set_epoch(3)
        found = {}
        for batch in loader.arrays():
            for row, sample in enumerate(batch["sample"].tolist()):
                kept = batch["neuron_mask"][row]
                found[sample] = {
                    name: batch[name][row][kept] for name in ("values", "neuron_index", "hidden", "target")
                } | {"start": batch["start_frame"][row]}
        return found

    whole = samples(batch_size=8)
    other = {key: value for rank in range(3) for key, value in samples(batch_size=5, rank=rank, world=3).items()}
    assert whole.keys() == other.keys()
    for sample, window in whole.items():
        assert window["values"].shape[1] == 20
        for name, values in window.items():
            np.testing.assert_array_equal(values, other[sample][name])
    assert len({len(window["neuron_index"]) for window in whole.values()}) > 3


def test_masks_come_with_the_batch(tiny_store: Store, manifest: Manifest) -> None:
    text = "windows: {window_s: 2.0}\nmasks: [{scheme: neuron}, {scheme: causal}, {scheme: across, by: x_um, bins: 2}]"
    loader = make_loader(tiny_store, manifest, recipe=recipe(text))
    for batch in loader.arrays():
        assert batch["hidden"].shape == batch["target"].shape == batch["values"].shape
        assert not (batch["target"] & ~batch["hidden"]).any()
        assert not (batch["hidden"] & ~batch["neuron_mask"][:, :, None]).any()
    assert sum(loader.mask_report.drawn.values()) == loader.sampler.n_windows


@pytest.mark.slow
def test_two_views_hold_the_traces_of_their_neurons(tiny_store: Store) -> None:
    everything_shown = load_diet("all").resolve(tiny_store, split="blocks-5fold")
    loader = make_loader(tiny_store, everything_shown, recipe=recipe("views: {window_s: 1.0, min_neurons: 4}"))
    pairs = 0
    for batch in loader:
        for row, session in enumerate(batch["session_index"].tolist()):
            key = loader.session_ids[session]
            for view in (batch["a"], batch["b"]):
                start, mask = int(view["start_frame"][row]), view["neuron_mask"][row]
                names = [loader.neuron_ids[at - 1] for at in view["neuron_index"][row][mask].tolist()]
                columns = everything_shown.neurons.set_index("neuron_id").loc[names, "column"].to_numpy()
                wanted = tiny_store.traces(key)[start : start + loader.n_frames, columns].T
                np.testing.assert_array_equal(view["values"][row][mask].numpy(), wanted)
            matched = [pair for pair in batch["matched"][row].tolist() if pair[0] >= 0]
            a, b = batch["a"]["neuron_index"][row], batch["b"]["neuron_index"][row]
            assert all(a[i] == b[j] > 0 for i, j in matched)
            assert len(matched) == len(set(a.tolist()) & set(b.tolist()) - {0})
            pairs += 1
    assert pairs + sum(loader.views_dropped.values()) == loader.sampler.n_windows


def test_whole_recordings_are_padded(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "test", mode="whole", normalise=False, batch_size=6)
    lengths = set()
    for batch in loader.arrays():
        for row, session in enumerate(batch["session_index"].tolist()):
            n = int(batch["time_mask"][row].sum()) if "time_mask" in batch else batch["values"].shape[2]
            start, key = int(batch["start_frame"][row]), loader.session_ids[session]
            wanted = tiny_store.traces(key)[start : start + n, loader.view.columns(key)].T
            np.testing.assert_array_equal(batch["values"][row][batch["neuron_mask"][row], :n], wanted)
            assert (batch["values"][row, :, n:] == 0).all()
            lengths.add(n)
    assert len(lengths) > 1


def test_metadata_of_neurons_goes_along(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "test", window_s=WINDOW_S, neuron_columns=("x_um", "cre_line"))
    x_um = tiny_store.neurons.set_index("neuron_id")["x_um"]
    for batch in loader.arrays():
        names = [loader.neuron_ids[at - 1] for at in batch["neuron_index"][batch["neuron_mask"]]]
        np.testing.assert_allclose(batch["neuron_x_um"][batch["neuron_mask"]], x_um.loc[names], rtol=1e-6)
        assert (batch["neuron_cre_line"][~batch["neuron_mask"]] == -1).all()


def test_fifty_batches_that_are_kept_stay_as_they_were(tiny_store: Store, manifest: Manifest) -> None:
    for prefetch in (0, 1):
        loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, batch_size=1, prefetch=prefetch)
        kept = [batch for batch, _ in zip(loader, range(50), strict=False)]
        expected = [loader.batch(0, number) for number in range(50)]
        for _ in loader:
            pass
        for batch, wanted in zip(kept, expected, strict=True):
            for name, values in wanted.items():
                np.testing.assert_array_equal(batch[name].numpy(), values)


def test_it_explains_itself(tiny_store: Store, manifest: Manifest) -> None:
    loader = make_loader(tiny_store, manifest, "train", window_s=WINDOW_S, world=2)
    told = loader.explain()
    assert "81 windows of" in told
    assert "an epoch draws 80 in 5 batches of 8 (Uniform, rank 0 of 2, tail 'drop')" in told
    assert "Traces are mapped" in told


def test_condition_from_python_and_text_agree(tiny_store: Store, manifest: Manifest) -> None:
    same = load_diet("all").during(c.stimulus == "drifting_gratings").resolve(tiny_store, split="blocks-5fold")
    assert same.digest == manifest.digest
