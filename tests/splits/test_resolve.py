import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poyodata.errors import PoyodataError, SplitError, UsageError
from poyodata.intervals import covers, dilate, intersect, n_frames, subtract
from poyodata.splits import (
    SPLITS,
    Across,
    Blocks,
    EpochOut,
    Fractions,
    PaperTrials,
    SplitSpec,
    Trials,
    default_split,
    n_folds,
    resolve_split,
    split_spec,
)
from tests.fake_store import GRATINGS, GREY, MOVIE, make_store

HALVES = Fractions(train=0.5, valid=0.0, test=0.5)
DEALT = SplitSpec(name="dealt", within=Trials(fractions=Fractions(train=0.6, valid=0.2, test=0.2), guard_s=0.1))
ALL_ROLES = ("train", "identify", "valid", "test")


def frames_of(split, session_id, *roles):
    return np.concatenate([split.intervals(session_id, role) for role in roles])


def check_everything(store, split):
    """State the invariants over again, frame by frame, without the code under test."""
    role_of = dict(zip(split.sessions["session_id"], split.sessions["role"], strict=True))
    for session in store.sessions["session_id"]:
        n = int(store.sessions.set_index("session_id").loc[session, "n_frames"])
        rate = float(store.sessions.set_index("session_id").loc[session, "rate_hz"])
        label = np.full(n, "", dtype=object)
        segments = store.segments.loc[store.segments["session_id"] == session, ["start_frame", "stop_frame"]].to_numpy()
        for row in split.windows[split.windows["session_id"] == session].itertuples():
            assert 0 <= row.start_frame < row.stop_frame <= n
            assert (label[row.start_frame : row.stop_frame] == "").all(), "roles of one recording are disjoint"
            label[row.start_frame : row.stop_frame] = row.role
            inside = (segments[:, 0] <= row.start_frame) & (row.stop_frame <= segments[:, 1])
            assert inside.any(), "no window crosses a gap"
        learned = np.flatnonzero(np.isin(label, ["train", "identify"]))
        judged = np.flatnonzero(np.isin(label, ["valid", "test"]))
        if len(learned) and len(judged):
            at = np.searchsorted(judged, learned)
            distance = np.minimum(
                np.abs(learned - judged[np.minimum(at, len(judged) - 1)]),
                np.abs(learned - judged[np.maximum(at - 1, 0)]),
            )
            assert distance.min() > split.spec.within.guard_s * rate, "the guard is kept"
        assert ("identify" in label) == (role_of[session] != "train")
        trials = split.trials[split.trials["session_id"] == session]
        shown = store.presentations_of(session).merge(trials[["stimulus", "trial", "role"]], how="left")
        for row in shown.itertuples():
            seen = set(label[row.start_frame : row.stop_frame])
            if isinstance(row.role, str):
                assert seen == {row.role}
    if split.spec.across is not None:
        unit = f"{split.spec.across.by}_id"
        assert (store.sessions.assign(role=split.sessions["role"]).groupby(unit)["role"].agg(set).str.len() == 1).all()


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_named_specs_round_trip_through_yaml(name, tmp_path):
    spec = SPLITS[name]
    assert SplitSpec.from_yaml(spec.to_yaml()) == spec
    path = tmp_path / "split.yaml"
    path.write_text(spec.to_yaml())
    assert SplitSpec.from_yaml(path) == SplitSpec.from_yaml(str(path)) == spec
    assert SplitSpec.from_yaml(path).digest == spec.digest


def test_the_digest_is_of_the_content_not_the_name():
    a = SplitSpec(name="a", within=Blocks(folds=5))
    assert a.digest == SPLITS["blocks-5fold"].digest
    assert a.digest != SplitSpec(name="a", within=Blocks(folds=5, guard_s=1.0)).digest


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.lists(
        st.tuples(st.sampled_from([GRATINGS, MOVIE, GREY]), st.integers(90, 400)), min_size=1, max_size=4
    ).filter(lambda rows: any(n for stimulus, n in rows)),
    n_cuts=st.integers(0, 3),
    guard_s=st.sampled_from([0.0, 0.3, 1.0]),
    spec=st.sampled_from(
        [
            SplitSpec(name="folds", within=Blocks(folds=4)),
            SplitSpec(name="shares", across=Across(fractions=HALVES), within=Blocks(fractions=HALVES)),
            SplitSpec(name="sites", across=Across(by="container", assign="hash"), within=Blocks(folds=3)),
            DEALT,
            SplitSpec(name="paper", within=PaperTrials()),
        ]
    ),
    fold=st.integers(0, 2),
    seed=st.integers(0, 5),
)
def test_invariants_hold_on_any_store(layout, n_cuts, guard_s, spec, fold, seed, tmp_path):
    spec = spec.model_copy(update={"within": spec.within.model_copy(update={"guard_s": guard_s})})
    end = make_store(tmp_path, layout=layout, seed=seed).sessions["n_frames"].iloc[0]
    cuts = sorted(set(np.random.default_rng(seed).integers(1, end, n_cuts).tolist()))
    store = make_store(tmp_path, n_sessions=3, n_donors=2, layout=layout, cuts=cuts, seed=seed)
    try:
        split = resolve_split(store, spec, fold=fold % n_folds(store, spec))
    except SplitError as error:
        assert "guard" in str(error) or "needed" in str(error)
        return
    check_everything(store, split)
    again = resolve_split(store, spec, fold=fold % n_folds(store, spec))
    assert again.digest == split.digest


@pytest.mark.parametrize(
    "within", [DEALT.within.model_copy(update={"guard_s": 0.0}), PaperTrials()], ids=["dealt", "paper"]
)
def test_trials_that_share_a_frame_are_dealt_out(within, tmp_path):
    store = make_store(tmp_path, layout=((GRATINGS, 60), (MOVIE, 900)))
    shown = store.presentations
    # The last frame of every fifth presentation is the first one of the next, as with frames of a movie.
    shares = (shown["trial"] % 5 == 0) & (shown["stop_frame"] == shown["start_frame"].shift(-1))
    assert shares.any()
    shown.loc[shares, "stop_frame"] += 1
    spec = SplitSpec(name="shared", within=within)
    split = resolve_split(store, spec)
    check_everything(store, split)
    # Trials of one role keep it although they share a frame; between two roles the frame is of one alone.
    roles = {(row.stimulus, row.trial): row.role for row in split.trials.itertuples()}
    kept = [(row.stimulus, row.trial) in roles for row in shown[~shares].itertuples()]
    assert np.mean(kept) > 0.8 and len({*roles.values()}) == 3


def test_every_block_is_test_once_and_valid_once(tmp_path):
    store = make_store(tmp_path, layout=((GRATINGS, 60), (MOVIE, 900), (GRATINGS, 60), (GREY, 700)), cuts=(500, 2600))
    splits = [resolve_split(store, "blocks-5fold", fold) for fold in range(n_folds(store, "blocks-5fold"))]
    assert len(splits) == 5
    assert len({split.digest for split in splits}) == 5
    epochs = store.epochs[["start_frame", "stop_frame"]].to_numpy()
    inside = intersect(epochs, store.segments[["start_frame", "stop_frame"]].to_numpy())
    for role in ("test", "valid"):
        spans = np.concatenate([split.intervals("s000", role) for split in splits])
        covered = np.zeros(store.sessions["n_frames"].iloc[0], int)
        for start, stop in spans:
            covered[start:stop] += 1
        if role == "test":
            assert (covered[epochs[:, 0]] == 1).all()
            assert covered.sum() == n_frames(inside)
        assert covered.max() == 1
    for split in splits:
        check_everything(store, split)
        test, valid = split.intervals("s000", "test"), split.intervals("s000", "valid")
        for start, stop in epochs:  # one contiguous block of each in every epoch
            assert n_frames(intersect(test, np.array([[start, stop]]))) > 0
            assert n_frames(intersect(valid, np.array([[start, stop]]))) > 0
    trials = pd.concat([split.trials[split.trials["role"] == "test"] for split in splits])
    assert not trials.duplicated(["stimulus", "trial"]).any()
    shown = store.presentations
    crossing = ~covers(
        store.segments[["start_frame", "stop_frame"]].to_numpy(), shown["start_frame"], shown["stop_frame"]
    )
    expected = shown[~crossing & (shown["stimulus"] != GREY)]
    assert len(trials) == len(expected)


def test_fold_f_tests_block_f_and_validates_on_the_next(tmp_path):
    store = make_store(tmp_path, layout=((GRATINGS, 100),))
    split = resolve_split(store, "blocks-5fold", 4)
    gratings = split.trials.groupby("role")["trial"].agg(["min", "max"])
    assert gratings.loc["test"].tolist() == [80, 99]
    assert gratings.loc["valid"].tolist() == [0, 19]
    # 2 s are 60 frames: with 30 frames a trial, the trials 20, 21 and 78, 79 lie within the guard
    assert gratings.loc["train"].tolist() == [22, 77]


def test_movies_are_cut_between_repeats(tmp_path):
    store = make_store(tmp_path, layout=((MOVIE, 300),), trial_frames=20)
    spec = SplitSpec(name="x", within=Blocks(folds=5, guard_s=0.1))
    split = resolve_split(store, spec, 1)
    trials = split.trials.merge(store.presentations[["stimulus", "trial", "repeat"]])
    assert set(trials.loc[trials["role"] == "test", "repeat"]) == {2, 3}
    assert set(trials.loc[trials["role"] == "valid", "repeat"]) == {4, 5}


def test_grey_screen_is_divided_by_frames(tmp_path):
    store = make_store(tmp_path, layout=((GREY, 1000),))
    split = resolve_split(store, "blocks-5fold", 2)
    assert split.intervals("s000", "test").tolist() == [[500, 700]]
    assert len(split.trials) == 0


def test_a_recording_without_stimuli_is_divided_by_frames(tmp_path):
    store = make_store(tmp_path, layout=((GREY, 1000),), cuts=(600,))
    store.epochs, store.presentations = store.epochs.iloc[:0], store.presentations.iloc[:0]
    split = resolve_split(store, "blocks-5fold", 0)
    assert split.intervals("s000", "test").tolist() == [[0, 120], [600, 720]]


def test_epoch_out_drops_the_neighbours_of_every_cut(tmp_path):
    rows = tuple((GRATINGS, n) for n in (200, 200, 228))
    starts = make_store(tmp_path, layout=rows, pause_frames=10).presentations["start_frame"].to_numpy()
    cuts = [int(starts[i] - 5) for i in (116, 200, 386, 400, 477)]
    store = make_store(tmp_path, layout=rows, cuts=cuts, pause_frames=10)
    dropped = {115, 116, 199, 200, 385, 386, 399, 400, 476, 477}
    edges = [0, 200, 400, 628]
    assert n_folds(store, "epoch-out") == 3
    for fold in range(3):
        split = resolve_split(store, "epoch-out", fold)
        check_everything(store, split)
        by_role = split.trials.groupby("role")["trial"].agg(set)
        test = set(range(edges[fold], edges[fold + 1]))
        assert by_role["test"] == test - dropped
        # The two trials before the dropped one (30 frames each) end 40 and 70 frames before the held-out epoch's edge.
        assert by_role["train"] <= set(range(628)) - test - dropped
        near = set(range(edges[fold] - 4, edges[fold])) | set(range(edges[fold + 1], edges[fold + 1] + 4))
        assert set(range(628)) - test - dropped - near <= by_role["train"]
        assert set(by_role.index) == {"train", "test"}


def test_epoch_out_leaves_the_other_stimuli_to_train(tmp_path):
    store = make_store(tmp_path)
    split = resolve_split(store, "epoch-out", 1)
    check_everything(store, split)
    assert (split.trials.loc[split.trials["stimulus"] != GRATINGS, "role"] == "train").all()
    assert n_frames(split.intervals("s000", "train")) > 0.6 * store.sessions["n_frames"].iloc[0]


def test_across_composes_roles(tmp_path):
    store = make_store(tmp_path, n_sessions=20, n_donors=10)
    split = resolve_split(store, "donor-70-10-20")
    check_everything(store, split)
    donors = split.sessions.drop_duplicates("donor_id")["role"].value_counts()
    assert donors.to_dict() == {"train": 7, "valid": 1, "test": 2}
    for session, role in zip(split.sessions["session_id"], split.sessions["role"], strict=True):
        held = {"train": {"train", "valid"}, "valid": {"identify", "valid"}, "test": {"identify", "test"}}[role]
        assert set(split.windows.loc[split.windows["session_id"] == session, "role"]) == held
        learned = split.train_time(session)
        assert learned.tolist() == split.intervals(session, "train" if role == "train" else "identify").tolist()


@pytest.mark.parametrize("assign", ["rank", "hash"])
@pytest.mark.parametrize("name", sorted(SPLITS))
def test_every_named_spec_goes_with_held_out_donors(name, assign, tmp_path):
    across = Across(assign=assign, fractions=HALVES, seed=1)
    spec = SplitSpec(name="held", across=across, within=SPLITS[name].within)
    store = make_store(tmp_path, n_sessions=6, layout=((GRATINGS, 60), (MOVIE, 3000), (GRATINGS, 60)))
    shown = store.presentations["stimulus"] == MOVIE
    store.presentations.loc[shown, "movie_frame"] = store.presentations.loc[shown, "trial"] % 1000
    store.presentations.loc[shown, "repeat"] = store.presentations.loc[shown, "trial"] // 1000
    store.movies[MOVIE] = np.random.default_rng(0).integers(0, 255, (1000, 4, 4)).astype(np.uint8)
    assert SplitSpec.from_yaml(spec.to_yaml()).digest == spec.digest
    for fold in range(n_folds(store, spec)):
        split = resolve_split(store, spec, fold)
        assert set(split.sessions["role"]) == {"train", "test"}
        assert "test" in set(split.windows["role"])
        assert {"train", "identify"} <= set(split.windows["role"])
    if assign == "rank":
        assert split.sessions["role"].value_counts().to_dict() == {"train": 3, "test": 3}


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        pytest.param("blocks-5fold", {"epoch", "start_frame", "repeat"}, id="blocks"),
        pytest.param("epoch-out", {"start_frame", "stop_frame"}, id="epochs"),
    ],
)
def test_only_the_columns_that_a_spec_looks_at_are_read(name, columns, tmp_path, monkeypatch):
    store, asked = make_store(tmp_path), []
    read = store.presentations_of
    monkeypatch.setattr(store, "presentations_of", lambda *given: (asked.append(given), read(*given))[1])
    n_folds(store, name)
    assert asked == []
    split = resolve_split(store, name)
    assert [set(given[1]) for given in asked] == [columns]
    assert resolve_split(store, name) is split
    assert len(asked) == 1
    assert len(split.trials)
    assert len(asked) == 2


def test_hash_assignment_moves_no_donor_when_others_are_added(tmp_path):
    across = Across(assign="hash", fractions=HALVES)
    spec = SplitSpec(name="stable", across=across, within=Blocks(folds=3))
    few = resolve_split(make_store(tmp_path, n_sessions=8), spec)
    more = resolve_split(make_store(tmp_path, n_sessions=16), spec)
    few, more = (dict(zip(split.sessions["donor_id"], split.sessions["role"], strict=True)) for split in (few, more))
    assert few == {donor: more[donor] for donor in few}
    assert len(set(more.values())) == 2


def test_strata_are_divided_by_themselves(tmp_path):
    store = make_store(tmp_path, n_sessions=20)
    spec = SplitSpec(name="lines", across=Across(stratify="cre_line"), within=Blocks(folds=3))
    roles = resolve_split(store, spec).sessions.merge(store.sessions[["session_id", "cre_line"]])
    assert roles.groupby(["cre_line", "role"]).size().tolist() == [2, 7, 1, 2, 7, 1]


def test_the_default_depends_on_the_number_of_donors(tmp_path):
    assert default_split(make_store(tmp_path, n_sessions=18, n_donors=9)).name == "blocks-5fold"
    assert default_split(make_store(tmp_path, n_sessions=10)).name == "donor-70-10-20"


def test_the_digest_follows_recordings_and_fold(tmp_path):
    store = make_store(tmp_path, n_sessions=3)
    base = resolve_split(store, "blocks-5fold")
    assert resolve_split(store, "blocks-5fold", 1).digest != base.digest
    part = resolve_split(store, "blocks-5fold", sessions=["s001"])
    assert part.digest != base.digest
    assert part.sessions["session_id"].tolist() == ["s001"]
    assert part.intervals("s001", "test").tolist() == base.intervals("s001", "test").tolist()
    store.sessions.loc[2, "digest"] = "other"
    assert resolve_split(store, "blocks-5fold").digest != base.digest


def test_check_finds_what_is_broken(tmp_path):
    store = make_store(tmp_path, n_sessions=10)
    split = resolve_split(store, "donor-70-10-20")
    windows = split.windows.copy()
    first = windows.index[windows["role"] == "valid"][0]
    windows.loc[first, "start_frame"] -= 30
    with pytest.raises(SplitError, match="guard of 60 frames"):
        dataclasses.replace(split, windows=windows).check()
    windows = split.windows.copy()
    windows.loc[1, "start_frame"] = windows.loc[0, "start_frame"] + 1
    with pytest.raises(SplitError, match="overlap"):
        dataclasses.replace(split, windows=windows).check()
    with pytest.raises(SplitError, match="donor m0 has two session roles"):
        dataclasses.replace(split, sessions=split.sessions.assign(donor_id="m0")).check()


SMALL = ((GRATINGS, 60),)


@pytest.mark.parametrize(
    ("spec", "store", "fold", "kind", "says"),
    [
        pytest.param("blocks-5-fold", {}, 0, UsageError, "did you mean 'blocks-5fold'", id="unknown-name"),
        pytest.param("blocks-5fold", {}, 5, SplitError, "folds 0 to 4", id="fold-out-of-range"),
        pytest.param("blocks-5fold", {}, -1, SplitError, "folds 0 to 4", id="negative-fold"),
        pytest.param("epoch-out", {}, 3, SplitError, "folds 0 to 2", id="no-such-epoch"),
        pytest.param("donor-70-10-20", {"n_sessions": 12}, 1, SplitError, "only fold 0", id="no-second-fold"),
        pytest.param(
            "donor-70-10-20",
            {"n_sessions": 5},
            0,
            SplitError,
            "6 are needed. To go on: add some, or 'blocks-5fold'",
            id="few-donors",
        ),
        pytest.param(
            "epoch-out",
            {"layout": SMALL},
            0,
            SplitError,
            "has 1 epoch of drifting_gratings, and .*; use 'blocks-5fold', or .*sessions=",
            id="one-epoch",
        ),
        pytest.param("epoch-out", {"layout": ((MOVIE, 300),)}, 0, SplitError, "0 epochs", id="no-gratings"),
        pytest.param(
            "blocks-5fold",
            {"layout": ((GRATINGS, 4),)},
            0,
            SplitError,
            "4 trials.*at least 5",
            id="fewer-trials-than-folds",
        ),
        pytest.param(
            SplitSpec(name="long", within=Blocks(folds=3, guard_s=60)),
            {"layout": SMALL},
            0,
            SplitError,
            "no train time after the guard of 60 s.*guard_s: ",
            id="guard-too-long",
        ),
        pytest.param(
            SplitSpec(name="lines", across=Across(stratify="cre_line"), within=Blocks(folds=3)),
            {"n_sessions": 10},
            0,
            SplitError,
            "cre_line 'Cux2-CreERT2'.*there are 5 and at least 6.* To go on: leave `stratify` out, add some, or 'bl",
            id="few-donors-in-a-stratum",
        ),
        pytest.param(
            SplitSpec(name="hash", across=Across(assign="hash", seed=3), within=Blocks(folds=3)),
            {"n_sessions": 7},
            0,
            SplitError,
            "assign: rank",
            id="hash-leaves-a-role-empty",
        ),
        pytest.param(DEALT, {"layout": ((GRATINGS, 2),)}, 0, SplitError, "2 trials.*at least 4", id="few-trials"),
    ],
)
def test_what_cannot_be_split_is_said(spec, store, fold, kind, says, tmp_path):
    with pytest.raises(kind, match=says):
        resolve_split(make_store(tmp_path, **store), spec, fold)


def test_the_advised_guard_works(tmp_path):
    store = make_store(tmp_path, layout=SMALL)
    with pytest.raises(SplitError) as caught:
        resolve_split(store, SplitSpec(name="long", within=Blocks(folds=3, guard_s=60)))
    advised = float(str(caught.value).split("`guard_s: ")[1].split("`")[0])
    assert resolve_split(store, SplitSpec(name="ok", within=Blocks(folds=3, guard_s=advised))).check()


def test_unknown_recordings_and_roles(tmp_path):
    store = make_store(tmp_path)
    with pytest.raises(UsageError, match="did you mean 's000'"):
        resolve_split(store, "blocks-5fold", sessions=["s00"])
    with pytest.raises(SplitError, match="no recordings"):
        resolve_split(store, "blocks-5fold", sessions=[])
    split = resolve_split(store, "blocks-5fold")
    with pytest.raises(UsageError, match="no role"):
        split.intervals("s000", "tset")
    with pytest.raises(UsageError, match="no recording"):
        split.train_time("s001")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("split: 1\nname: x\nwithin: {kind: blokcs, folds: 5}\n", "blokcs", id="kind"),
        pytest.param("name: x\nwithin: {kind: blocks, folds: 5, gaurd_s: 1}\n", "gaurd_s", id="unknown-key"),
        pytest.param("name: x\nwithin: {kind: blocks}\n", "either `folds` or `fractions`", id="neither"),
        pytest.param("split: 2\nname: x\nwithin: {kind: blocks, folds: 5}\n", "split", id="version"),
        pytest.param(
            "name: x\nwithin: {kind: blocks, fractions: {train: 0.5, valid: 0.1, test: 0.1}}\n", "sum to 0.7", id="sum"
        ),
        pytest.param("- a\n- b\n", "a split is a mapping", id="list"),
        pytest.param("a: [\n", "not YAML", id="not-yaml"),
    ],
)
def test_malformed_specifications(text, says):
    with pytest.raises(SplitError, match=says):
        SplitSpec.from_yaml(text)
    assert issubclass(SplitError, PoyodataError)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no split can be read from"):
        SplitSpec.from_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml"])
def test_a_split_is_named_by_its_file(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UsageError, match="no split can be read from"):
        split_spec(str(path))
    spec = SplitSpec(name="mine", within=Blocks(folds=3))
    path.write_text(spec.to_yaml())
    assert split_spec(str(path)) == spec
    store = make_store(tmp_path)
    assert resolve_split(store, str(path), fold=2).digest == resolve_split(store, spec, fold=2).digest
    path.write_text("name: mine")
    with pytest.raises(SplitError, match="within"):
        split_spec(str(path))


def test_real_recording_epoch_out(tmp_path, real_recording):
    import h5py

    store = make_store(tmp_path, layout=((GRATINGS, 200), (GRATINGS, 200), (GRATINGS, 228)))
    with h5py.File(real_recording / "dff_dg_continuous.h5") as file:
        table = file["stimulus_table"]
        start, stop = table["start"][:], table["end"][:]
        segments = np.column_stack([file["segments/start"][:], file["segments/stop"][:]])
    store.sessions["rate_hz"], store.sessions["n_frames"] = 30.1, segments[-1, 1]
    store.presentations["start_frame"], store.presentations["stop_frame"] = start, stop
    first = [0, 200, 400]
    store.epochs["start_frame"], store.epochs["stop_frame"] = start[first], stop[[199, 399, 627]]
    store.segments = pd.DataFrame(segments, columns=["start_frame", "stop_frame"]).assign(session_id="s000")
    dropped = {115, 116, 199, 200, 385, 386, 399, 400, 476, 477}
    for fold, (a, b) in enumerate(((0, 200), (200, 400), (400, 628))):
        split = resolve_split(store, SplitSpec(name="x", within=EpochOut()), fold)
        check_everything(store, split)
        assert set(split.trials.loc[split.trials["role"] == "test", "trial"]) == set(range(a, b)) - dropped
        held = split.intervals("s000", "test")
        assert n_frames(subtract(split.train_time("s000"), dilate(held, 61))) == n_frames(split.train_time("s000"))
