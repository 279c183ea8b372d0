"""Leaks that chose the neurons of a store before it was packed, planted by hand: packing must not wash them away."""

from __future__ import annotations

from tests.curation.leaks.leak_cases import Planted, frozen, learned, manifest, packed, recording, run
from tests.curation.leaks.leak_runs import (
    FOLD_1,
    LABELS,
    MATCHED,
    OF_ALL_TIME,
    OF_FOLD_B,
    OF_LABELS,
    ORIGINAL,
    REFERENCE,
    STATISTIC_SPLIT,
    THRESHOLD_SPLIT,
    WINDOW,
    alone,
    before_mice,
    repacked,
    repacked_mice,
)

OF_PACKING: tuple[Planted, ...] = (
    *(
        Planted("packed", f"chosen by {what}", lambda facts=facts, make=make: make(**facts), check, count)  # type: ignore[misc]
        for what, facts, make, check, count in (
            ("statistics of all time", {"statistics": OF_ALL_TIME}, repacked, WINDOW, 1),
            ("a learned column beyond train time", {"learned": learned(beyond_train=True)}, repacked, WINDOW, 1),
            ("statistics of another fold", {"statistics": OF_FOLD_B}, repacked, WINDOW, 1),
            ("tokens of test time", {"counted": {"tokens": ["train", "test"]}}, repacked, MATCHED, 1),
            ("a rank among all mice", {"frozen": frozen("rank(x)", reference="all")}, repacked_mice, REFERENCE, 1),
            ("labels of a held-out mouse", {"statistics": OF_LABELS}, repacked_mice, LABELS, 2),
            ("a column with labels", {"learned": learned(uses_labels=True)}, repacked_mice, LABELS, 2),
        )
    ),
    Planted(
        "packed",
        "twice, and first chosen by all time",
        lambda: repacked(twice=True, statistics=OF_ALL_TIME),
        WINDOW,
    ),
    Planted(
        "packed",
        "twice, and first chosen by labels of a held-out mouse",
        lambda: repacked_mice(twice=True, statistics=OF_LABELS),
        LABELS,
        2,
    ),
    Planted(
        "packed",
        "by a record that does not say how",
        lambda: alone(recording(0), split="split c", store="pack", lineage=packed(ORIGINAL, grounds=None)),
        WINDOW,
    ),
    Planted(
        "packed",
        "in pretraining by statistics of another fold of the test",
        lambda: run(
            manifest(
                recording(0, time=FOLD_1).eat(("train", 115, 150)),
                split="split c",
                store="pack",
                lineage=packed(manifest(recording(0, time=FOLD_1), split="split b")),
            ),
            manifest(recording(0)),
        ),
        STATISTIC_SPLIT,
    ),
    Planted(
        "packed",
        "in pretraining by a quantile that knows the test's mouse",
        lambda: before_mice(
            recording(2),
            store="pack",
            lineage=packed(
                manifest(recording(2), split="split d", considered=[recording(4)], frozen=frozen("quantile(x, 0.5)")),
                chosen_by=[],
            ),
        ),
        THRESHOLD_SPLIT,
    ),
)
