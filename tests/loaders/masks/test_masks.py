"""Masks hide what their scheme says, score a part of that, and depend on the sample alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.errors import LoaderError
from poyodata.loaders.masks import Mask, Masked, MaskReport, MaskSpec
from poyodata.loaders.masks.mask import SCHEMES

MASKS = [
    Mask("neuron"),
    Mask("causal"),
    Mask("temporal", span_frames=3),
    Mask("random"),
    Mask("within", by="area"),
    Mask("across", by="area"),
    Mask("cosmooth"),
    Mask("cosmooth", folds=4, exclude_radius_um=40.0),
    Mask("forward", gap_frames=2),
    Mask("neuron", ratio=0.2, exclude_radius_um=30.0),
]
T = 20


def batch(samples: Any, width: int = 24) -> dict[str, Any]:
    """Windows of 9 to 16 neurons in two or three groups, all a function of the sample."""
    samples = np.asarray(samples, np.int64)
    mask = np.zeros((len(samples), width), np.bool_)
    codes = np.full((len(samples), width), -1, np.int64)
    positions = np.zeros((len(samples), width, 2))
    for row, sample in enumerate(samples):
        n = 9 + sample % 8
        rng = np.random.default_rng(sample)
        mask[row, :n] = True
        codes[row, :n] = rng.permutation(np.arange(n) % (2 + sample % 2))
        codes[row, 0] = -1
        positions[row, :n] = rng.uniform(0, 300, (n, 2))
    return {"groups": {"area": codes}, "neuron_mask": mask, "positions_um": positions, "sample": samples}


def draw(spec: MaskSpec, one: dict[str, Any], seed: int = 0, epoch: int = 0, **options: Any) -> Masked:
    shape = (*one["neuron_mask"].shape, T)
    return spec.draw(shape, seed=seed, epoch=epoch, **one, **options)


@pytest.mark.parametrize("mask", [pytest.param(mask, id=f"{at}-{mask.label}") for at, mask in enumerate(MASKS)])
def test_targets_are_hidden_and_padding_is_neither(mask: Mask) -> None:
    one = batch(range(60))
    masked = draw(MaskSpec((mask,)), one)
    padding = ~one["neuron_mask"]
    assert not masked.hidden[padding].any() and not masked.target[padding].any()
    assert (masked.hidden | ~masked.target).all()
    ok = masked.scheme == 0
    assert ok.mean() > 0.9
    assert masked.target[ok].any(axis=(1, 2)).all(), "a window without anything to score"
    seen = ~masked.hidden & one["neuron_mask"][:, :, None]
    assert seen[ok].any(axis=(1, 2)).all(), "a window without anything to see"
    assert not masked.hidden[~ok].any()
    assert (masked.causal[ok] == (mask.scheme in ("causal", "forward"))).all()


def constant(entries: Any, axis: int) -> bool:
    return bool((entries == np.take(entries, [0], axis=axis)).all())


def test_masks_of_neurons_last_and_masks_of_time_hold_for_all_neurons() -> None:
    one = batch(np.full(40, 7))
    n = int(one["neuron_mask"][0].sum())
    for mask in MASKS:
        hidden = draw(MaskSpec((mask,)), one).hidden[:, :n]
        if mask.scheme in ("neuron", "within", "across", "cosmooth"):
            assert constant(hidden, 2)
        elif mask.scheme != "random":
            assert constant(hidden, 1)
        else:
            assert not constant(hidden, 1) and not constant(hidden, 2)


@pytest.mark.parametrize(
    ("mask", "share"),
    [
        pytest.param(Mask("neuron"), 0.3, id="neuron"),
        pytest.param(Mask("causal"), 0.6, id="causal"),
        pytest.param(Mask("temporal"), 0.3, id="temporal"),
        pytest.param(Mask("random", ratio=0.15), 0.15, id="random"),
        pytest.param(Mask("temporal", ratio=0.5, span_frames=4), 0.5, id="spans"),
        pytest.param(Mask("forward"), 0.1, id="forward"),
        pytest.param(Mask("forward", ratio=0.25, gap_frames=5), 0.25, id="forward with a gap"),
    ],
)
def test_shares_are_those_asked_for(mask: Mask, share: float) -> None:
    masked = MaskSpec((mask,)).draw((800, 30, T), seed=1, epoch=2, sample=np.arange(800))
    assert masked.target.mean() == pytest.approx(share, abs=0.02)


def test_spans_are_hidden_whole() -> None:
    masked = MaskSpec((Mask("temporal", span_frames=6),)).draw((50, 3, T), seed=0, epoch=0, sample=np.arange(50))
    for at in range(0, T, 6):
        assert constant(masked.hidden[:, :, at : at + 6], 2)
    masked = MaskSpec((Mask("random", span_frames=6),)).draw((50, 3, T), seed=0, epoch=0, sample=np.arange(50))
    for at in range(0, T, 6):
        assert constant(masked.hidden[:, :, at : at + 6], 2)


def test_within_hides_all_other_groups_and_scores_a_part_of_its_own() -> None:
    one = batch(range(200))
    masked = draw(MaskSpec((Mask("within", by="area"),)), one)
    codes = one["groups"]["area"]
    for row, group in enumerate(masked.group):
        mine = codes[row] == group
        others = one["neuron_mask"][row] & ~mine
        hidden, target = masked.hidden[row, :, 0], masked.target[row, :, 0]
        assert hidden[others].all() and not target[others].any()
        assert 0 < target[mine].sum() < mine.sum()
        np.testing.assert_array_equal(hidden[mine], target[mine])
    assert set(masked.group) == {0, 1, 2}


def test_across_hides_and_scores_one_group_and_hides_unknown_neurons() -> None:
    one = batch(range(200))
    masked = draw(MaskSpec((Mask("across", by="area"),)), one)
    codes = one["groups"]["area"]
    for row, group in enumerate(masked.group):
        np.testing.assert_array_equal(masked.target[row, :, 0], codes[row] == group)
        unknown = one["neuron_mask"][row] & (codes[row] < 0)
        np.testing.assert_array_equal(masked.hidden[row, :, 0], masked.target[row, :, 0] | unknown)


@pytest.mark.parametrize(("weight", "share"), [("group", 0.5), ("neuron", 0.8)])
def test_groups_are_picked_alike_or_by_size(weight: Any, share: float) -> None:
    codes = np.tile(np.r_[np.zeros(16), np.ones(4)].astype(int), (2000, 1))
    spec = MaskSpec((Mask("across", by="area", group_weight=weight),))
    masked = spec.draw((2000, 20, 2), {"area": codes}, seed=0, epoch=0, sample=np.arange(2000))
    assert (masked.group == 0).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("folds", [None, 3, 5], ids=["one at a time", "3 folds", "5 folds"])
def test_co_smoothing_scores_every_neuron_once(folds: int | None) -> None:
    one = batch([0, 3, 6])
    spec = MaskSpec((Mask("cosmooth", folds=folds),))
    n = one["neuron_mask"].sum(axis=1)
    times = np.zeros(one["neuron_mask"].shape, int)
    for turn in range(folds or int(n[0])):
        target = draw(spec, one, epoch=turn).target[:, :, 0]
        again = draw(spec, {**one, "sample": one["sample"] + 1000}, epoch=77, turn=turn).target[:, :, 0]
        np.testing.assert_array_equal(target, again)  # the same neurons in every window of a recording
        times += target
        if folds:
            assert (abs(target.sum(axis=1) - n / folds) < 1).all()
    row = times[0] if folds is None else times
    np.testing.assert_array_equal(row, one["neuron_mask"][0] if folds is None else one["neuron_mask"])


def test_forward_hides_the_last_frames_and_a_gap_before_them() -> None:
    masked = MaskSpec((Mask("forward", ratio=0.2, gap_frames=3),)).draw(
        (1, 4, T), seed=0, epoch=0, sample=np.array([0])
    )
    assert masked.target[0, 0].tolist() == [False] * 16 + [True] * 4
    assert masked.hidden[0, 0].tolist() == [False] * 13 + [True] * 7


def test_neighbours_of_a_target_are_hidden_and_not_scored() -> None:
    one = batch(range(100))
    masked = draw(MaskSpec((Mask("cosmooth", exclude_radius_um=60.0),)), one)
    bare = draw(MaskSpec((Mask("cosmooth"),)), one)
    np.testing.assert_array_equal(masked.target, bare.target)
    hidden_too = 0
    for row in range(100):
        at = np.flatnonzero(masked.target[row, :, 0])[0]
        near = np.linalg.norm(one["positions_um"][row] - one["positions_um"][row, at], axis=1) <= 60
        np.testing.assert_array_equal(masked.hidden[row, :, 0], near & one["neuron_mask"][row])
        hidden_too += int(masked.hidden[row, :, 0].sum()) - 1
    assert hidden_too > 50


def test_a_neuron_without_position_is_near_nothing_and_positions_must_be_given() -> None:
    spec = MaskSpec((Mask("cosmooth", exclude_radius_um=1e3),))
    positions = np.array([[[0.0, 0.0], [1.0, 0.0], [np.nan, 0.0]]])
    masked = spec.draw((1, 3, 2), seed=0, epoch=0, sample=np.array([0]), positions_um=positions)
    assert masked.hidden[0, :, 0].tolist() == [True, True, False]
    assert spec.needs_positions
    with pytest.raises(LoaderError, match="no positions are known"):
        spec.draw((1, 3, 2), seed=0, epoch=0, sample=np.array([0]))


@settings(max_examples=25, deadline=None)
@given(
    samples=st.lists(st.integers(0, 500), min_size=1, max_size=10, unique=True),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    width=st.integers(16, 40),
    cut=st.integers(1, 5),
)
def test_per_sample_batches_their_order_and_padding_change_nothing(
    samples: list[int], seed: int, epoch: int, width: int, cut: int
) -> None:
    spec = MaskSpec(tuple(MASKS), draw_scheme="per_sample")
    whole = draw(spec, batch(samples, width), seed, epoch)
    parts = [draw(spec, batch(samples[at : at + cut], 16), seed, epoch) for at in range(0, len(samples), cut)]
    back = draw(spec, batch(samples[::-1], 30), seed, epoch)
    for name in ("hidden", "target", "scheme", "causal", "group"):
        one = getattr(whole, name)
        one = one[:, :16] if one.ndim == 3 else one
        np.testing.assert_array_equal(one, np.concatenate([getattr(part, name) for part in parts]))
        other = getattr(back, name)[::-1]
        np.testing.assert_array_equal(one, other[:, :16] if other.ndim == 3 else other)


def test_per_batch_all_windows_share_a_scheme_and_entries_differ() -> None:
    spec = MaskSpec((Mask("neuron"), Mask("temporal"), Mask("random")))
    seen = []
    for at in range(60):
        one = batch(range(8 * at, 8 * at + 8))
        masked = draw(spec, one)
        assert len(set(masked.scheme)) == 1
        assert len({row.tobytes() for row in masked.hidden}) == 8
        mixed = np.random.default_rng(at).permutation(8)
        again = draw(spec, batch(one["sample"][mixed]))
        np.testing.assert_array_equal(again.hidden, masked.hidden[mixed])
        seen.append(int(masked.scheme[0]))
    assert set(seen) == {0, 1, 2}


def test_schemes_are_drawn_by_their_weights() -> None:
    spec = MaskSpec((Mask("neuron", weight=3), Mask("temporal"), Mask("random", weight=0.5)), draw_scheme="per_sample")
    report = MaskReport()
    scheme = spec.draw((4000, 3, 4), seed=0, epoch=0, sample=np.arange(4000), report=report).scheme
    share = np.bincount(scheme) / 4000
    np.testing.assert_allclose(share, np.array([3, 1, 0.5]) / 4.5, atol=0.03)
    assert dict(report.drawn) == dict(zip(spec.labels, np.bincount(scheme), strict=True))


def single(n: int = 8, samples: int = 6) -> dict[str, Any]:
    """Recordings with one area, as every recording of Visual Coding has."""
    one = batch(range(samples))
    one["neuron_mask"][:] = np.arange(24) < n
    one["groups"]["area"][:] = 0
    return one


@pytest.mark.parametrize("how", ["per_batch", "per_sample"])
def test_a_single_group_is_skipped_and_counted(how: Any) -> None:
    spec = MaskSpec((Mask("within", by="area", weight=1e9), Mask("neuron")), draw_scheme=how)
    report = MaskReport()
    masked = draw(spec, single(), report=report)
    assert (masked.scheme == 1).all()
    assert report.skipped == {("within:area", "fewer than 2 groups of at least 2 neurons"): 6}
    assert report.drawn == {"neuron": 6} and report.unmasked == 0
    assert report.table()["windows"].tolist() == [6, 6]


def test_without_any_mask_that_makes_sense_nothing_is_hidden_and_it_is_counted() -> None:
    report = MaskReport()
    masked = draw(MaskSpec((Mask("within", by="area"), Mask("across", by="area"))), single(), report=report)
    assert (masked.scheme == -1).all() and not masked.hidden.any()
    assert report.unmasked == 6 and sum(report.skipped.values()) == 12 and report.targets == 0
    assert report.table()["reason"].tolist()[-1] == "no mask of the recipe can be used"


def test_per_batch_windows_that_cannot_use_the_scheme_have_nothing_to_score() -> None:
    one = batch(range(8))
    one["groups"]["area"][2] = 0
    report = MaskReport()
    masked = draw(MaskSpec((Mask("across", by="area"),)), one, report=report)
    assert masked.scheme.tolist() == [0, 0, -1, 0, 0, 0, 0, 0]
    assert not masked.hidden[2].any() and report.unmasked == 1


@pytest.mark.parametrize(
    ("mask", "change"),
    [
        pytest.param(Mask("within", by="area"), {}, id="one group"),
        pytest.param(Mask("across", by="area", min_group=4), {"codes": [0] * 5 + [1] * 3}, id="a small group"),
        pytest.param(Mask("across", by="area"), {"codes": [-1] * 8}, id="unknown groups"),
        pytest.param(Mask("neuron"), {"n": 1}, id="one neuron"),
        pytest.param(Mask("cosmooth"), {"n": 1}, id="one neuron to smooth"),
        pytest.param(Mask("cosmooth", folds=9), {}, id="more folds than neurons"),
        pytest.param(Mask("cosmooth", exclude_radius_um=1e4), {}, id="all are neighbours"),
        pytest.param(Mask("forward", gap_frames=T), {}, id="no frame left"),
        pytest.param(Mask("temporal", span_frames=T), {}, id="one span"),
    ],
)
def test_what_makes_no_sense_is_refused_on_error(mask: Mask, change: dict[str, Any]) -> None:
    one = single(change.get("n", 8))
    if "codes" in change:
        one["groups"]["area"][:, :8] = change["codes"]
    report = MaskReport()
    assert (draw(MaskSpec((mask,)), one, turn=8, report=report).scheme == -1).all()
    assert report.unmasked == 6
    with pytest.raises(LoaderError, match="makes no sense in window 0 of epoch 0: "):
        draw(MaskSpec((mask,), on_single_group="error"), one, turn=8)


def test_few_entries_always_leave_one_to_score_and_one_to_see() -> None:
    for scheme in ("neuron", "temporal", "random"):
        for ratio in (0.01, 0.99):
            spec = MaskSpec((Mask(scheme, ratio=ratio),))
            hidden = spec.draw((300, 2, 2), seed=0, epoch=0, sample=np.arange(300)).hidden
            share = hidden.reshape(300, -1).mean(axis=1)
            assert share.min() > 0 and share.max() < 1


def test_missing_groups_are_named() -> None:
    with pytest.raises(LoaderError, match="needs the groups of 'x_um/4'"):
        MaskSpec((Mask("across", by="x_um", bins=4),)).draw((1, 2, 3), seed=0, epoch=0, sample=np.array([0]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"scheme": "neurons"}, "did you mean 'neuron'", id="scheme"),
        pytest.param({"scheme": "within"}, "needs `by`", id="no column"),
        pytest.param({"scheme": "neuron", "by": "area"}, "`by` is for across, within", id="by"),
        pytest.param({"scheme": "across", "by": "area", "ratio": 0.3}, "`ratio` is for", id="ratio of across"),
        pytest.param({"scheme": "neuron", "ratio": 1.0}, "between 0 and 1", id="ratio 1"),
        pytest.param({"scheme": "neuron", "ratio": float("nan")}, "between 0 and 1", id="ratio nan"),
        pytest.param({"scheme": "neuron", "weight": 0.0}, "above 0", id="weight"),
        pytest.param({"scheme": "within", "by": "area", "min_group": 1}, "at least 2", id="groups of one"),
        pytest.param({"scheme": "across", "by": "area", "min_group": 0}, "at least 1", id="groups of none"),
        pytest.param({"scheme": "across", "by": "area", "group_weight": "size"}, "group or neuron", id="weights"),
        pytest.param({"scheme": "forward", "span_frames": 2}, "`span_frames` is for", id="spans of forward"),
        pytest.param({"scheme": "temporal", "span_frames": 0}, "at least 1", id="no span"),
        pytest.param({"scheme": "forward", "gap_frames": -1}, "at least 0", id="gap"),
        pytest.param({"scheme": "cosmooth", "folds": 1}, "at least 2", id="one fold"),
        pytest.param({"scheme": "temporal", "exclude_radius_um": 5.0}, "is for cosmooth, neuron", id="radius"),
        pytest.param({"scheme": "neuron", "exclude_radius_um": -1.0}, "0 or above", id="negative radius"),
    ],
)
def test_bad_masks_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        Mask(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"masks": ()}, "no masks to draw from", id="none"),
        pytest.param({"draw_scheme": "per_epoch"}, "per_batch or per_sample", id="draw"),
        pytest.param({"on_single_group": "raise"}, "skip or error", id="on single group"),
    ],
)
def test_bad_specs_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(LoaderError, match=says):
        MaskSpec(**{"masks": (Mask("neuron"),)} | options)


def test_every_scheme_is_tested_here() -> None:
    assert {mask.scheme for mask in MASKS} == set(SCHEMES)
    assert len({MaskSpec((mask,)).digest for mask in MASKS}) == len(MASKS)


@pytest.mark.parametrize("mask", [pytest.param(mask, id=f"{at}-{mask.label}") for at, mask in enumerate(MASKS)])
def test_padding_of_time_is_neither_hidden_nor_scored_nor_counted(mask: Mask) -> None:
    """Windows of other lengths in a batch change nothing of a window's mask."""
    spec, lengths = MaskSpec((mask,), draw_scheme="per_sample"), np.array([20, 7, 13, 20, 9])
    report = MaskReport()
    padded = draw(spec, batch(range(5)), lengths=lengths, report=report)
    entries = 0
    for at, n in enumerate(lengths.tolist()):
        one = batch([at])
        alone = spec.draw((1, 24, n), seed=0, epoch=0, **one)
        np.testing.assert_array_equal(padded.hidden[at, :, :n], alone.hidden[0])
        np.testing.assert_array_equal(padded.target[at, :, :n], alone.target[0])
        assert not padded.hidden[at, :, n:].any() and not padded.target[at, :, n:].any()
        entries += int(one["neuron_mask"].sum()) * n
    assert report.entries == entries


def test_a_draw_that_leaves_nothing_by_chance_is_counted_and_no_error() -> None:
    one = single(2)
    one["positions_um"][:, 1] = (1000, 0)
    one["positions_um"][:, 2] = (1000, 0)
    one["neuron_mask"][:, 2] = True
    one["groups"]["area"][:, 2] = 0
    report = MaskReport()
    mask = Mask("neuron", ratio=0.9, exclude_radius_um=10.0)
    draw(MaskSpec((mask,), draw_scheme="per_sample", on_single_group="error"), one, report=report)
    assert set(report.skipped) == {("neuron", "no neuron is left to see")}
    assert report.skipped.total() + report.drawn.total() == 6
