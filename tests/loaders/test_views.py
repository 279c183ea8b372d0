"""Pairs of views lie where they may, are drawn evenly, and depend on the sample alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation import load_diet
from poyodata.curation.view import View
from poyodata.errors import LoaderError
from poyodata.intervals import covers
from poyodata.loaders import Recipe, make_loader
from poyodata.loaders.views import NO_PARTNER, TOO_FEW, Pairs, TwoViews, ViewPairs
from poyodata.loaders.windows.index import Located
from poyodata.store import Store
from tests.loaders.plain_view import plain_view, window

RATE_HZ = 10.0
W = 20
EPOCHS = {"a": [(0, 300), (330, 700), (800, 900)], "b": [(0, 500)]}


def made(neurons: int = 30, stretches: dict[str, list[tuple[int, int]]] | None = None) -> View:
    """Recordings `a` of 1,000 frames with a gap at 600, and `b` of 500."""
    spans = {"a": [(0, 450), (460, 1000)], "b": [(0, 500)]} if stretches is None else stretches
    view = plain_view(
        {"a": [(0, 600), (600, 1000)], "b": [(0, 500)]},
        [window(key, "train", *span) for key, rows in spans.items() for span in rows],
        neurons={"a": [""] * neurons, "b": [""] * (neurons - 5)},
    )
    view.store.epochs = pd.DataFrame(  # type: ignore[misc]
        [(key, at, *span) for key, rows in EPOCHS.items() for at, span in enumerate(rows)],
        columns=["session_id", "epoch", "start_frame", "stop_frame"],
    )
    return view


def resolved(view: View | None = None, **options: Any) -> ViewPairs:
    spec = TwoViews(**{"window_s": W / RATE_HZ, "min_neurons": 5} | options)
    return spec.resolve(made() if view is None else view, "train", RATE_HZ)


def drawn(pairs: ViewPairs, epoch: int = 0, seed: int = 0, samples: Any = None) -> tuple[Located, Any, Pairs]:
    index = pairs.index.at_epoch(seed, epoch)
    sample = np.arange(len(index)) if samples is None else np.asarray(samples)
    located = index.locate(sample)
    return located, sample, pairs.draw(located, sample, seed=seed, epoch=epoch)


def epoch_of(session: int, start: int) -> int:
    rows = EPOCHS["ab"[session]]
    inside = [at for at, (a, b) in enumerate(rows) if a <= start and start + W <= b]
    return inside[0] if inside else -1


def allowed(session: int, anchor: int, least: int, most: int | None, pairs: str) -> set[int]:
    """Start frames of second windows by the words of the promise, frame by frame."""
    pieces = {0: [(0, 450), (460, 600), (600, 1000)], 1: [(0, 500)]}[session]
    found = set()
    cut = pieces
    if pairs != "any":
        both = [(max(a, c), min(b, d)) for a, b in pieces for c, d in EPOCHS["ab"[session]]]
        home = epoch_of(session, anchor)
        cut = [
            (a, b) for a, b in both if b - a >= 2 * W and (epoch_of(session, a) == home) == (pairs == "within_epoch")
        ]
    for begin, end in cut:
        for start in range(begin, end - W + 1) if end - begin >= 2 * W else ():
            gap = abs(start - anchor)
            if gap >= least and (most is None or gap <= most):
                found.add(start)
    return found


@pytest.mark.parametrize("pairs", ["within_epoch", "across_epochs", "any"])
@pytest.mark.parametrize(
    ("least_s", "most_s"),
    [
        pytest.param(None, None, id="anywhere"),
        pytest.param(None, 6.0, id="near"),
        pytest.param(0.0, 12.0, id="overlap allowed"),
        pytest.param(5.0, 24.0, id="far"),
    ],
)
def test_second_windows_are_all_those_that_are_allowed(pairs: Any, least_s: float | None, most_s: float | None) -> None:
    plan = resolved(pairs=pairs, min_gap_s=least_s, max_gap_s=most_s)
    least = W if least_s is None else round(least_s * RATE_HZ)
    most = None if most_s is None else round(most_s * RATE_HZ)
    some = 0
    for epoch in range(3):
        located, sample, pairs_of = drawn(plan, epoch)
        starts = np.full(len(sample), -1)
        starts[pairs_of.kept] = pairs_of.start_b
        assert starts.dtype == np.int64
        for session, anchor, start in zip(located.session_index, located.start, starts, strict=True):
            may = allowed(int(session), int(anchor), least, most, pairs)
            assert (int(start) in may) if may else start == -1
            some += bool(may)
        assert pairs_of.dropped.get(NO_PARTNER, 0) == (starts < 0).sum()
    assert some > (3 if pairs == "across_epochs" else 100)


@pytest.mark.parametrize("pairs", ["within_epoch", "any"])
def test_every_allowed_start_is_equally_likely(pairs: Any) -> None:
    plan = resolved(pairs=pairs, max_gap_s=5.0)
    located = Located(*(np.full(2500, value) for value in (0, 0, 150, W)))
    starts = plan.draw(located, np.arange(2500), seed=0, epoch=0).start_b
    may = sorted(allowed(0, 150, W, 50, pairs))
    values, counts = np.unique(starts, return_counts=True)
    assert values.tolist() == may
    expected = 2500 / len(may)
    assert ((counts - expected) ** 2 / expected).sum() < len(may) + 4 * np.sqrt(2 * len(may))


def test_by_default_views_do_not_overlap_and_windows_are_within_stretches(tiny_store: Store) -> None:
    view = load_diet("all").resolve(tiny_store, split="blocks-5fold").open(tiny_store)
    plan = TwoViews(window_s=3.0, min_neurons=6).resolve(view, "train", 30.0)
    located, _, pairs = drawn(plan)
    assert len(pairs) > 10
    assert (abs(pairs.start_a - pairs.start_b) >= plan.n_frames).all()
    free = view.free_stretches("train")
    for place, key in enumerate(view.session_ids):
        mine = pairs.session_index == place
        for start in (pairs.start_a[mine], pairs.start_b[mine]):
            assert covers(free[key], start, start + plan.n_frames).all()
    np.testing.assert_array_equal(pairs.start_a, located.start[pairs.kept])


def test_seconds_become_frames_that_never_overlap() -> None:
    for rate in (4.284, 29.97, 30.05, 31.0):
        for window_s in (0.7, 1.9, 30.0):
            spec = TwoViews(window_s=window_s, min_gap_s=window_s)
            assert spec.gaps(rate)[0] == spec.n_frames(rate) == TwoViews(window_s=window_s).gaps(rate)[0]


def test_numbers_of_neurons_are_uniform_between_both_shares() -> None:
    plan = resolved(keep=(0.5, 0.75))
    located = Located(*(np.full(4000, value) for value in (0, 0, 150, W)))
    pairs = plan.draw(located, np.arange(4000), seed=0, epoch=0)
    for neurons in (pairs.neurons_a, pairs.neurons_b):
        values, counts = np.unique([len(one) for one in neurons], return_counts=True)
        assert values.tolist() == list(range(15, 23))  # int(.5 * 30) .. int(.75 * 30)
        assert abs(counts / 4000 - 1 / 8).max() < 0.03
        share = np.bincount(np.concatenate(neurons), minlength=30) / np.concatenate(neurons).size
        assert abs(share * 30 - 1).max() < 0.08
    both = np.array([len(a) == len(b) for a, b in zip(pairs.neurons_a, pairs.neurons_b, strict=True)])
    assert both.mean() == pytest.approx(1 / 8, abs=0.03)  # the views draw each for itself


def test_positives_are_the_neurons_of_both_views() -> None:
    _, _, pairs = drawn(resolved())
    shares = []
    for a, b, rows in zip(pairs.neurons_a, pairs.neurons_b, pairs.matched, strict=True):
        assert (np.diff(a) > 0).all() and (np.diff(b) > 0).all()
        np.testing.assert_array_equal(a[rows[0]], b[rows[1]])
        assert set(a[rows[0]]) == set(a) & set(b)
        shares.append(rows.shape[1] / 30)
    assert np.mean(shares) == pytest.approx(0.75**2, abs=0.08)
    padded = pairs.matched_padded()
    assert padded.shape == (len(pairs), max(rows.shape[1] for rows in pairs.matched), 2)
    for row, rows in zip(padded, pairs.matched, strict=True):
        np.testing.assert_array_equal(row[: rows.shape[1]], rows.T)
        assert (row[rows.shape[1] :] == -1).all()


def test_small_views_are_dropped_and_counted() -> None:
    plan = resolved(made(neurons=12), min_neurons=9, keep=(0.5, 1.0))
    located = Located(*(np.full(3000, value) for value in (0, 0, 150, W)))
    pairs = plan.draw(located, np.arange(3000), seed=0, epoch=0)
    assert min(len(one) for one in (*pairs.neurons_a, *pairs.neurons_b)) == 9
    assert pairs.dropped == {TOO_FEW: 3000 - len(pairs)}
    assert len(pairs) / 3000 == pytest.approx((4 / 7) ** 2, abs=0.03)  # 9 to 12 of 6 to 12, twice
    assert pairs.kept.sum() == len(pairs) == len(pairs.sample)


@settings(max_examples=25, deadline=None)
@given(
    samples=st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    kind=st.sampled_from(["within_epoch", "across_epochs", "any"]),
)
def test_batches_and_their_order_change_nothing(samples: list[int], seed: int, epoch: int, kind: Any) -> None:
    plan = resolved(pairs=kind)

    def flat(at: list[int]) -> dict[int, Any]:
        _, _, pairs = drawn(plan, epoch, seed, at)
        rows = zip(
            pairs.sample, pairs.start_a, pairs.start_b, pairs.neurons_a, pairs.neurons_b, pairs.matched, strict=True
        )
        return {int(row[0]): [np.asarray(part).tolist() for part in row[1:]] for row in rows}

    whole = flat(samples)
    alone: dict[int, Any] = {}
    for sample in samples:
        alone |= flat([sample])
    assert whole == alone == flat(samples[::-1])


def test_epochs_and_seeds_differ() -> None:
    plan = resolved()
    located = plan.index.locate(np.arange(len(plan.index)))
    sample = np.arange(len(located))
    starts = [plan.draw(located, sample, seed=s, epoch=e).start_b.tolist() for s, e in ((0, 0), (0, 1), (1, 0))]
    assert starts[0] != starts[1] and starts[0] != starts[2]


def test_short_stretches_are_left_out_and_counted() -> None:
    view = made(stretches={"a": [(0, 450), (460, 499)], "b": [(0, 39)]})
    plan = resolved(view, pairs="any")
    assert plan.dropped == {"stretches shorter than 40 frames": 2}
    assert set(plan.index.session_index) == {0}
    _, _, pairs = drawn(plan)
    assert (pairs.start_b + W <= 450).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"window_s": 30.0}, "no stretch of role 'train' has room for two windows of 300", id="long"),
        pytest.param({"min_neurons": 31}, "no recording has a view of min_neurons=31", id="few neurons"),
        pytest.param({"min_neurons": 16, "keep": (0.1, 0.5)}, "of which views keep 0.5 at most", id="keep"),
        pytest.param({"window_s": 0.01}, "less than one frame", id="no frame"),
    ],
)
def test_what_can_never_be_is_refused_before_anything_is_read(options: dict[str, Any], says: str) -> None:
    view = made()
    with pytest.raises(LoaderError, match=says):
        resolved(view, **options)
    assert view.store.read == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"window_s": 0.0}, "above 0", id="window"),
        pytest.param({"min_gap_s": -1.0}, "0 or above", id="min gap"),
        pytest.param({"max_gap_s": 10.0}, "less than min_gap_s=30", id="max below the default min"),
        pytest.param({"max_gap_s": 10.0, "min_gap_s": 11.0}, "that near and that far", id="max below min"),
        pytest.param({"keep": (0.0, 1.0)}, "0 < least", id="keep none"),
        pytest.param({"keep": (0.9, 0.5)}, "least <= greatest", id="keep falls"),
        pytest.param({"keep": (0.5, 1.5)}, "<= 1", id="keep more than all"),
        pytest.param({"min_neurons": 0}, "at least 1", id="neurons"),
        pytest.param({"pairs": "across"}, "did you mean 'across_epochs'", id="pairs"),
    ],
)
def test_bad_views_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        TwoViews(**{"window_s": 30.0} | options)


def test_the_digest_is_of_the_numbers() -> None:
    assert TwoViews(30).digest == TwoViews(30).digest != TwoViews(30, pairs="any").digest


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        pytest.param({"pairs": "across_epochs", "max_gap_s": 4.9}, False, id="nearer than the pause"),
        pytest.param({"pairs": "across_epochs", "max_gap_s": 5.0}, True, id="over the pause"),
        pytest.param({"pairs": "any", "min_gap_s": 98.1}, False, id="farther than the recording is long"),
        pytest.param({"pairs": "any", "min_gap_s": 98.0}, True, id="from its first to its last window"),
        pytest.param({"pairs": "within_epoch", "min_gap_s": 48.1}, False, id="farther than an epoch is long"),
    ],
)
def test_views_without_a_partner_anywhere_are_refused(options: dict[str, Any], possible: bool) -> None:
    if possible:
        assert len(resolved(**options).index)
        return
    with pytest.raises(LoaderError, match="no two windows of role 'train' are a pair"):
        resolved(**options)


def test_stretches_without_a_partner_are_left_out_and_counted() -> None:
    plan = resolved(pairs="across_epochs")
    assert set(plan.index.session_index) == {0}, "the other recording has one epoch"
    assert plan.index.dropped == {"stretches without a second window within reach": 1} == plan.dropped


def test_recordings_of_too_few_neurons_are_left_out_and_counted() -> None:
    plan = resolved(min_neurons=26)  # of 30 and 25
    assert set(plan.index.session_index) == {0} == set(plan.stretches.session_index)
    assert plan.index.dropped == {"recordings with views of fewer than 26 neurons": 1}


def test_a_batch_without_a_pair_keeps_its_frames(tiny_store: Store) -> None:
    manifest = load_diet("all").resolve(tiny_store, split="blocks-5fold")
    recipe = Recipe(views=TwoViews(window_s=1.0, min_neurons=12))  # all neurons, seldom drawn
    loader = make_loader(tiny_store, manifest, recipe=recipe, batch_size=1)
    shapes = {loader.batch(0, number)["a"]["values"].shape for number in range(40)}
    frames = loader.n_frames
    assert shapes == {(0, 0, frames), (1, 12, frames)}
