"""Honest runs made by hand over several stores, packed or grown or of other animals, and near leaks of those."""

from __future__ import annotations

from tests.curation.leaks.leak_cases import (
    Honest,
    fit,
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
    BY_TIME,
    FIT_DONORS,
    FIT_ROLES,
    FIT_SPLIT,
    FOLD_1,
    LABELS,
    LEARNT,
    MATCHED,
    MOVIE,
    OF_LABELS,
    OF_MOMENTS,
    ORIGINAL,
    REFERENCE,
    STATISTIC_SPLIT,
    THRESHOLD_SPLIT,
    WINDOW,
    alone,
    before_mice,
    fitted,
    low_inside,
    mice,
    mice_fitted,
    movies,
    promise,
    repacked,
    repacked_mice,
    shared,
)

HONEST_TRANSFER: tuple[Honest, ...] = (
    *(
        Honest(
            "packed",
            f"chosen by {what}",
            lambda facts=facts, make=make: make(**facts),  # type: ignore[misc]
            looked,
        )
        for what, facts, make, looked in (
            ("statistics of train time", {"statistics": OF_MOMENTS}, repacked, WINDOW),
            ("a learned column within train time", {"learned": learned()}, repacked, WINDOW),
            ("labels within recordings", {"statistics": OF_LABELS}, repacked, WINDOW),
            ("statistics of train time, twice", {"statistics": OF_MOMENTS, "twice": True}, repacked, WINDOW),
            ("tokens of train time", {"counted": {"tokens": ["train", "identify"]}}, repacked, MATCHED),
            ("a rank among train mice", {"frozen": frozen("rank(x)")}, repacked_mice, REFERENCE),
            ("a rank among all, within recordings", {"frozen": frozen("r", reference="all")}, repacked, REFERENCE),
            ("statistics without labels", {"statistics": OF_MOMENTS}, repacked_mice, LABELS),
        )
    ),
    Honest(
        "packed",
        "chosen by labels, train mice alone kept",
        lambda: run(
            manifest(
                trained(0),
                split="split c",
                store="pack",
                lineage=packed(manifest(trained(0), held(4), statistics=OF_LABELS, **BY_MICE), chosen_by=[]),
                **BY_MICE,
            ),
            manifest(trained(0), held(4), **BY_MICE),
        ),
        LABELS,
    ),
    Honest(
        "packed",
        "in pretraining by statistics of the test's roles",
        lambda: run(
            manifest(
                recording(2),
                split="split c",
                store="pack",
                lineage=packed(manifest(recording(2), split="split b", considered=[recording(0)])),
            ),
            manifest(recording(0)),
        ),
        STATISTIC_SPLIT,
    ),
    Honest(
        "transfer",
        "statistics of other mice in another store",
        lambda: run(
            manifest(recording(2), split="split b", store="store b", statistics={"names": ["moments"]}), ORIGINAL
        ),
        STATISTIC_SPLIT,
    ),
    Honest(
        "transfer",
        "a quantile of other mice in another store",
        lambda: before_mice(trained(2), held(0), store="store b", frozen=frozen("quantile(x, 0.5)"), **BY_MICE),
        THRESHOLD_SPLIT,
    ),
    Honest(
        "transfer",
        "a grown store that gives the same roles",
        lambda: run(
            manifest(
                recording(0),
                split="split b",
                store="grown store",
                considered=[recording(1), recording(2, time=FOLD_1)],
                statistics={"names": ["moments"]},
                frozen=frozen("quantile(x, 0.5)"),
            ),
            ORIGINAL,
        ),
        STATISTIC_SPLIT,
    ),
    Honest(
        "transfer",
        "another fold of a recording that is not tested",
        lambda: run(
            manifest(
                recording(2),
                split="split b",
                considered=[recording(0, time=FOLD_1)],
                statistics={"names": ["moments"]},
            ),
            manifest(recording(0).eat(LEARNT), recording(1)),
        ),
        STATISTIC_SPLIT,
    ),
    Honest(
        "transfer",
        "a fixed threshold under another fold, of mice that are kept alone",
        lambda: run(
            manifest(
                recording(2),
                split="split b",
                considered=[recording(0, time=FOLD_1), recording(1, time=FOLD_1)],
                statistics={"names": ["moments"]},
            ),
            manifest(recording(0), considered=[recording(2, time=FOLD_1)], statistics={"names": ["moments"]}),
        ),
        STATISTIC_SPLIT,
    ),
    *(
        Honest("movie", what, lambda shown=shown, within=within: movies(shown, **within), MOVIE)  # type: ignore[misc]
        for what, shown, within in (
            ("the same segments, whatever the guard", [("natural_movie_one", 3)], {"guard_s": 0.5}),
            ("other frames under blocks", [("natural_movie_one", 3), ("natural_movie_two", 5)], BY_TIME),
            ("gratings under blocks", [("drifting_gratings", -1)], BY_TIME),
        )
    ),
    Honest(
        "threshold",
        "top of neurons to learn from",
        lambda: mice(trained(0), frozen={"neurons.top": {"k": 3, "by": "x", "reference": "train"}}),
        REFERENCE,
    ),
    Honest(
        "transfer",
        "a normalisation of other recordings",
        lambda: fitted(fit(split_digest="split b", sessions=("s7",), donors=("d3",))),
        FIT_SPLIT,
    ),
    Honest(
        "vocabulary",
        "of recordings of train mice, no mouse named",
        lambda: mice_fitted(fit("vocabulary", donors=(), sessions=("s0", "s1"))),
        FIT_DONORS,
    ),
    Honest(
        "vocabulary",
        "units of a held-out recording",
        lambda: mice_fitted(fit("units", donors=(), sessions=("s4",), roles=("identify",))),
        FIT_ROLES,
    ),
    Honest(
        "disjoint",
        "two parts of one diet that share no cell",
        lambda: alone(
            recording(0),
            name="mix",
            references=low_inside("s0_0")
            | {"high": {"diet": 1, "name": "high", "neurons": {"ids": ["s0_1"]}} | promise("low", "cell")},
        ),
        shared("cell"),
    ),
)
