"""Honest runs made by hand, many of them one frame, one animal or one word away from a leak."""

from __future__ import annotations

from typing import Any

from poyodata.curation.leaks.fitted import fitted_on
from tests.curation.leaks.leak_cases import (
    TRAINED,
    Honest,
    Recording,
    Run,
    Span,
    fit,
    frames,
    frozen,
    held,
    learned,
    manifest,
    packed,
    recording,
    run,
    trained,
)
from tests.curation.leaks.leak_runs import (
    BY_MICE,
    CELLS,
    CONTAINERS,
    DONORS,
    FIT_DONORS,
    FIT_NEAR,
    FIT_ROLES,
    FIT_SPLIT,
    FIT_TIME,
    FOLD_1,
    LABELS,
    LEARNT,
    MATCHED,
    NAMELESS,
    NEAR,
    ORIGINAL,
    PACKED,
    REFERENCE,
    STATISTIC_SPLIT,
    STORES,
    THRESHOLD_SPLIT,
    TIME,
    TWO_CELLS,
    TWO_CONTAINERS,
    TWO_DONORS,
    WINDOW,
    after,
    alone,
    fitted,
    low_inside,
    mice,
    mice_fitted,
    promise,
    shared,
)

FAR_TESTS: tuple[Span, ...] = (("test", 100, 110), ("test", 140, 150))


def same_mice(*recordings: Recording, **options: Any) -> Run:
    """Pretrain on these under the split across mice that the test is under."""
    return run(manifest(*recordings, **BY_MICE | options), manifest(trained(0), held(4), **BY_MICE))


HONEST: tuple[Honest, ...] = (
    Honest("time", "one stage", lambda: alone(recording(0), recording(1)), TIME),
    Honest("time", "the same manifest three times", lambda: run(ORIGINAL, ORIGINAL, ORIGINAL), TIME),
    Honest(
        "time",
        "touching where there is no guard",
        lambda: run(manifest(recording(0).eat(("train", 0, 160))), manifest(recording(0, guard=0))),
        TIME,
    ),
    Honest(
        "time",
        "between windows of the test without a guard",
        lambda: run(manifest(recording(0).eat(("train", 110, 140))), manifest(recording(0, guard=0).eat(*FAR_TESTS))),
        TIME,
    ),
    Honest(
        "time",
        "the same frames of another recording",
        lambda: run(manifest(recording(1).eat(("train", 150, 210))), manifest(recording(0))),
        TIME,
    ),
    Honest(
        "time",
        "another fold of other recordings",
        lambda: run(manifest(recording(2, time=FOLD_1), split="split b"), manifest(recording(0))),
        TIME,
    ),
    Honest(
        "time",
        "the test of an earlier stage learnt from later",
        lambda: run(
            manifest(recording(0).eat(("train", 50, 100), ("test", 160, 200))),
            manifest(recording(0).eat(("train", 160, 200), ("test", 0, 40))),
        ),
        TIME,
    ),
    Honest(
        "time",
        "the same test in both stages",
        lambda: run(manifest(recording(0).eat(("test", 160, 200))), manifest(recording(0))),
        TIME,
    ),
    Honest("time", "windows of one frame", lambda: after(("train", 149, 150), ("valid", 210, 211)), TIME),
    Honest(
        "time",
        "a test stage that learns nothing",
        lambda: run(ORIGINAL, manifest(recording(0).eat(("test", 160, 200)))),
        TIME,
    ),
    Honest(
        "time",
        "a recording more in pretraining",
        lambda: run(manifest(recording(0), recording(1).eat(("train", 0, 500))), manifest(recording(0))),
        TIME,
    ),
    Honest("time", "frames that have no role", lambda: after(("train", 100, 108), ("train", 400, 500)), TIME),
    Honest("guard", "exactly kept before", lambda: after(("train", 0, 150)), NEAR),
    Honest("guard", "exactly kept after", lambda: after(("train", 210, 300)), NEAR),
    Honest("guard", "exactly kept by validation", lambda: after(("valid", 0, 150)), NEAR),
    Honest(
        "guard",
        "exactly kept on both sides",
        lambda: run(manifest(recording(0).eat(("train", 120, 130))), manifest(recording(0).eat(*FAR_TESTS))),
        NEAR,
    ),
    Honest("guard", "kept by the longest of nested windows", lambda: after(("train", 0, 150), ("train", 20, 30)), NEAR),
    Honest(
        "guard",
        "wider in pretraining",
        lambda: run(
            manifest(recording(0, guard=40, time=(("train", 0, 110), ("test", 150, 200))), split="split b"),
            manifest(recording(0)),
        ),
        NEAR,
    ),
    Honest(
        "guard",
        "wider in another recording",
        lambda: run(
            manifest(recording(0).eat(("train", 0, 150)), recording(1).eat(LEARNT)),
            manifest(recording(0), recording(1, guard=60).eat(("test", 160, 200))),
        ),
        NEAR,
    ),
    Honest(
        "guard",
        "exactly kept by identification",
        lambda: same_mice(trained(0), held(4).eat(("identify", 20, 100))),
        NEAR,
    ),
    Honest("donor", "held out in every stage", lambda: same_mice(trained(0), trained(2)), DONORS),
    Honest("donor", "identified without labels in pretraining", lambda: same_mice(trained(0), held(4)), DONORS),
    Honest(
        "donor",
        "learnt from without labels",
        lambda: run(
            manifest(recording(4).eat(LEARNT), split="split b"),
            manifest(trained(0), held(4), **BY_MICE),
            label_free=["pretrain"],
        ),
        DONORS,
    ),
    Honest("donor", "two recordings to learn from", lambda: mice(trained(0), trained(1)), TWO_DONORS),
    Honest("donor", "two recordings held out", lambda: mice(trained(0), held(5, **NAMELESS)), DONORS),
    Honest(
        "donor", "in all roles of time within recordings", lambda: run(ORIGINAL, manifest(recording(1))), TWO_DONORS
    ),
    Honest("donor", "kept but not eaten", lambda: same_mice(trained(0), recording(4).eat(), split="split b"), DONORS),
    Honest(
        "donor",
        "unknown on both sides",
        lambda: run(
            manifest(recording(2, donor=None).eat(LEARNT), split="split b"),
            manifest(trained(0), held(4), held(6, donor=None), **BY_MICE),
        ),
        DONORS,
    ),
    Honest("donor", "held out for validation", lambda: mice(trained(0), held(2, "valid")), DONORS),
    Honest(
        "donor",
        "learnt from after it was tested",
        lambda: run(
            manifest(trained(0), held(4), **BY_MICE),
            manifest(trained(5), held(2), split="split b", **BY_MICE),
        ),
        DONORS,
    ),
    Honest("container", "two recordings to learn from", lambda: mice(trained(2), trained(3)), TWO_CONTAINERS),
    Honest(
        "container",
        "on both sides of a split by recording",
        lambda: alone(trained(0, donor=None, cells=(7, 8)), held(1), across="session"),
        TWO_DONORS,
    ),
    Honest(
        "container",
        "unknown on both sides",
        lambda: mice(trained(0, container=None), held(2, container=None)),
        TWO_CONTAINERS,
    ),
    Honest("container", "a split across planes", lambda: alone(trained(0), held(4), across="container"), CONTAINERS),
    Honest("cell", "recorded twice to learn from", lambda: mice(trained(0), trained(1), trained(2)), TWO_CELLS),
    Honest("cell", "recorded twice and held out", lambda: mice(trained(0), held(5)), CELLS),
    Honest(
        "cell", "in train and test time of two recordings", lambda: run(manifest(recording(1)), ORIGINAL), TWO_CELLS
    ),
    Honest(
        "cell",
        "unknown on both sides",
        lambda: mice(trained(0, cells=(None, 1)), held(2, cells=(None, 2))),
        CELLS,
    ),
    Honest(
        "cell",
        "another of the same plane was kept",
        lambda: before_cells(neurons=slice(0, 1)),
        CELLS,
    ),
    Honest(
        "quantile",
        "of train mice",
        lambda: mice(trained(0), frozen=frozen("quantile(x, 0.9)", "zscore(x)", "rank(x)")),
        REFERENCE,
    ),
    Honest(
        "quantile",
        "of all mice within recordings",
        lambda: alone(recording(0), recording(2), frozen=frozen("quantile(x, 0.9)", reference="all")),
        REFERENCE,
    ),
    Honest(
        "quantile",
        "one split in two stages",
        lambda: same_mice(trained(2), frozen=frozen("rank(x)")),
        THRESHOLD_SPLIT,
    ),
    Honest(
        "quantile",
        "a sample under another split",
        lambda: run(
            manifest(recording(2), split="split b", frozen={"sample": {"pool": 9, "taken": 3, "seed": 0}}),
            manifest(recording(0), frozen=frozen("rank(x)")),
        ),
        THRESHOLD_SPLIT,
    ),
    Honest("statistics", "of train time", lambda: alone(recording(0), statistics={"names": ["moments"]}), WINDOW),
    Honest(
        "statistics",
        "of all time but none named",
        lambda: run(
            manifest(recording(0), statistics={"window": "all"}),
            manifest(recording(0), statistics={"names": ["moments"]}),
        ),
        WINDOW,
    ),
    Honest(
        "statistics",
        "none named under another split",
        lambda: run(manifest(recording(2), split="split b"), manifest(recording(0), statistics={"names": ["moments"]})),
        STATISTIC_SPLIT,
    ),
    Honest(
        "statistics",
        "one split in two stages",
        lambda: run(manifest(recording(2), statistics={"names": ["moments", "robust"]}), ORIGINAL),
        STATISTIC_SPLIT,
    ),
    Honest(
        "labels",
        "within recordings",
        lambda: alone(recording(0), statistics={"names": ["tuning"], "uses_labels": ["tuning"]}),
        WINDOW,
    ),
    Honest(
        "labels",
        "of train mice alone",
        lambda: same_mice(trained(0), statistics={"names": ["tuning"], "uses_labels": ["tuning"]}),
        LABELS,
    ),
    Honest("labels", "none on held-out mice", lambda: mice(statistics={"names": ["moments"]}), LABELS),
    Honest("learned", "within train time", lambda: alone(recording(0), learned=learned()), WINDOW),
    Honest(
        "learned",
        "with labels within recordings",
        lambda: alone(recording(0), learned=learned(uses_labels=True)),
        WINDOW,
    ),
    Honest("learned", "without labels on held-out mice", lambda: mice(trained(0), learned=learned()), LABELS),
    Honest(
        "learned",
        "one split in two stages",
        lambda: run(manifest(recording(2), learned=learned()), manifest(recording(0))),
        STATISTIC_SPLIT,
    ),
    Honest(
        "normalisation", "exactly the guard away", lambda: fitted(fit(**frames(s0=[(0, 150), (210, 220)]))), FIT_NEAR
    ),
    Honest(
        "normalisation",
        "another split but clear of the test",
        lambda: fitted(fit(split_digest="split b", **frames(s0=[(0, 120)]))),
        FIT_TIME,
    ),
    Honest(
        "normalisation",
        "test frames of a recording that is not tested",
        lambda: fitted(fit(**frames(s0=[(0, 100)], s7=[(0, 500)]))),
        FIT_TIME,
    ),
    Honest("normalisation", "the same split without frames", lambda: fitted(fit()), FIT_SPLIT),
    Honest(
        "normalisation",
        "identification of held-out mice",
        lambda: mice_fitted(fitted_on(manifest(trained(0), held(4), **BY_MICE), "dff", "normalisation")),
        FIT_TIME,
    ),
    Honest(
        "normalisation",
        "by labels of train mice",
        lambda: mice_fitted(fit(uses_labels=True, roles=("train", "identify"))),
        FIT_DONORS,
    ),
    Honest(
        "normalisation",
        "of the store that the test was packed from",
        lambda: run(
            manifest(recording(0), split="split c", store="pack", lineage=packed(ORIGINAL)),
            fitted=[fit(split_digest="split a")],
        ),
        FIT_SPLIT,
    ),
    Honest(
        "vocabulary",
        "units of held-out mice",
        lambda: mice_fitted(fit("units", roles=("train", "identify"), donors=("d0", "d1", "d2"))),
        FIT_ROLES,
    ),
    Honest("vocabulary", "of train mice", lambda: mice_fitted(fit("vocabulary")), FIT_DONORS),
    Honest(
        "vocabulary",
        "train windows of a manifest with held-out mice",
        lambda: mice_fitted(
            fitted_on(manifest(trained(0), held(4), **BY_MICE), "classes", "vocabulary", roles=["train"])
        ),
        FIT_DONORS,
    ),
    Honest(
        "vocabulary", "of all mice within recordings", lambda: fitted(fit("vocabulary", donors=("d0", "d1"))), FIT_ROLES
    ),
    Honest(
        "vocabulary", "threshold of train mice", lambda: mice_fitted(fit("threshold", donors=("d0", "d9"))), FIT_DONORS
    ),
    *(
        Honest(
            "disjoint",
            f"by {by}",
            lambda by=by, other=other: run(  # type: ignore[misc]
                manifest(recording(1), name="low"), manifest(recording(other), diet=promise("low", by))
            ),
            shared(by),
        )
        for by, other in (("donor", 2), ("container", 4), ("session", 0), ("cell", 3), ("neuron", 0))
    ),
    Honest(
        "disjoint",
        "other neurons of one recording",
        lambda: run(
            manifest(recording(0), name="low", neurons=slice(0, 1)),
            manifest(recording(0), neurons=slice(1, 2), diet=promise("low", "cell")),
        ),
        shared("cell"),
    ),
    Honest(
        "disjoint",
        "a reference inside means other neurons",
        lambda: run(
            manifest(recording(0), name="both", references=low_inside("s0_0", "s9_9")),
            manifest(recording(0), neurons=slice(1, 2), diet=promise("low", "neuron")),
        ),
        shared("neuron"),
    ),
    Honest(
        "disjoint",
        "a reference inside means none",
        lambda: run(
            manifest(recording(0), name="rest", references=low_inside("s9_9")),
            manifest(recording(0), diet=promise("low", "donor")),
        ),
        TIME,
    ),
    Honest(
        "disjoint",
        "the same diet in two stages",
        lambda: run(
            *(
                manifest(recording(0), name="both", references=low_inside("s0_0"), diet=promise("low", "neuron"))
                for _ in range(2)
            )
        ),
        TIME,
    ),
    Honest(
        "disjoint",
        "unknown cells",
        lambda: run(
            manifest(recording(2, cells=(None, 1)), name="low"),
            manifest(recording(0, cells=(None, 2)), diet=promise("low", "cell")),
        ),
        shared("cell"),
    ),
    Honest(
        "disjoint",
        "a diet that nobody eats",
        lambda: run(ORIGINAL, manifest(recording(0), diet=promise("low", "donor"))),
        TIME,
    ),
    Honest(
        "packed",
        "the same roles",
        lambda: alone(recording(0), split="split c", store="pack", lineage=packed(ORIGINAL)),
        PACKED,
    ),
    Honest(
        "packed",
        "the very same split",
        lambda: alone(recording(0), store="pack", lineage=packed(ORIGINAL, roles={})),
        PACKED,
    ),
    Honest(
        "packed",
        "packed twice",
        lambda: alone(
            recording(0),
            split="split c",
            store="pack of pack",
            lineage=packed(manifest(recording(0), store="pack", split="split b"), before=packed(ORIGINAL)),
        ),
        PACKED,
    ),
    Honest(
        "packed",
        "chosen by metadata and then another fold",
        lambda: alone(recording(0, time=FOLD_1), split="split b", store="pack", lineage=packed(ORIGINAL, chosen_by=[])),
        TIME,
    ),
    Honest(
        "packed",
        "pretrained on the original",
        lambda: run(
            ORIGINAL,
            manifest(
                recording(0),
                split="split c",
                store="pack",
                recordings={"s0": "packed content"},
                lineage=packed(ORIGINAL),
            ),
        ),
        STORES,
    ),
    Honest(
        "packed",
        "statistics on the copy and test on the original",
        lambda: run(
            manifest(
                recording(0), split="split c", store="pack", lineage=packed(ORIGINAL), statistics={"names": ["moments"]}
            ),
            ORIGINAL,
        ),
        STATISTIC_SPLIT,
    ),
    Honest(
        "packed",
        "two copies of one store",
        lambda: run(
            manifest(recording(0), store="pack", split="split c", lineage=packed(ORIGINAL), frozen=frozen("rank(x)")),
            manifest(recording(0), store="other pack", split="split d", lineage=packed(ORIGINAL)),
        ),
        THRESHOLD_SPLIT,
    ),
    Honest(
        "packed",
        "mice held out on both",
        lambda: run(
            manifest(trained(0), held(4), **BY_MICE),
            manifest(
                trained(0),
                held(4),
                split="split c",
                store="pack",
                lineage=packed(manifest(trained(0), held(4), **BY_MICE)),
                **BY_MICE,
            ),
        ),
        PACKED,
    ),
    Honest(
        "store",
        "one recording more",
        lambda: run(manifest(recording(0), store="grown store"), ORIGINAL),
        STORES,
    ),
    Honest(
        "store",
        "no recording in common",
        lambda: run(manifest(recording(2), store="store b"), manifest(recording(0))),
        TIME,
    ),
    Honest(
        "match",
        "windows of train time",
        lambda: alone(recording(0), counted={"windows": ["train"], "tokens": ["train"]}),
        MATCHED,
    ),
    Honest(
        "match",
        "train time of held-out mice",
        lambda: mice(trained(0), counted={"tokens": ["train", "identify"]}),
        MATCHED,
    ),
)


def before_cells(**options: Any) -> Run:
    """Pretrain on recording 5, whose second cell alone is one of mouse d2; the mouse and the plane are not known."""
    unknown = recording(5, time=TRAINED, **NAMELESS | {"donor": None, "cells": (7, 200)})
    return run(manifest(unknown, split="split b", **options), manifest(trained(0), held(4), **BY_MICE))
