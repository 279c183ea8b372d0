"""Leaks of time, planted by hand: windows, guards, statistics, thresholds, and what was fitted."""

from __future__ import annotations

from poyodata.curation.leaks.fitted import fitted_on
from tests.curation.leaks.leak_cases import (
    Planted,
    fit,
    frames,
    frozen,
    held,
    learned,
    manifest,
    recording,
    run,
    trained,
)
from tests.curation.leaks.leak_runs import (
    BY_MICE,
    BY_TIME,
    FIT_DONORS,
    FIT_NEAR,
    FIT_ROLES,
    FIT_SPLIT,
    FIT_TIME,
    FOLD_1,
    FOLD_OF_0,
    LABELS,
    MATCHED,
    MOVIE,
    NEAR,
    ORIGINAL,
    REFERENCE,
    STATISTIC_SPLIT,
    THRESHOLD_SPLIT,
    TIME,
    WINDOW,
    after,
    alone,
    before_mice,
    fitted,
    mice,
    mice_fitted,
    movies,
)

TIME_CASES = [
    Planted(
        "time",
        "another fold",
        lambda: run(
            manifest(recording(0, time=FOLD_1), recording(1, time=FOLD_1), split="split b"),
            manifest(recording(0), recording(1)),
        ),
        TIME,
        2,
    ),
    Planted("time", "first frame of the test", lambda: after(("train", 0, 161)), TIME),
    Planted("time", "last frame of the test", lambda: after(("train", 199, 230)), TIME),
    Planted("time", "within a test window", lambda: after(("train", 170, 180)), TIME),
    Planted("time", "around a test window", lambda: after(("train", 150, 260)), TIME),
    Planted("time", "two touching windows", lambda: after(("train", 120, 180), ("train", 180, 190)), TIME),
    Planted("time", "a validation window", lambda: after(("valid", 110, 170)), TIME),
    Planted("time", "a long window begun before short ones", lambda: after(("train", 0, 300), ("train", 9, 20)), TIME),
    Planted("time", "unsorted windows", lambda: after(("train", 300, 400), ("train", 0, 165)), TIME),
    Planted(
        "time",
        "identification of a held-out mouse",
        lambda: run(
            manifest(trained(0), held(4).eat(("identify", 0, 120)), **BY_MICE),
            manifest(trained(0), held(4), **BY_MICE),
        ),
        TIME,
    ),
    Planted(
        "time",
        "other neurons of the recording",
        lambda: run(
            manifest(recording(0).eat(("train", 0, 170)), neurons=slice(0, 1)),
            manifest(recording(0), neurons=slice(1, 2)),
        ),
        TIME,
    ),
    Planted(
        "time", "a stage with itself", lambda: alone(recording(0).eat(("train", 0, 170), ("test", 160, 200))), TIME
    ),
    Planted(
        "time",
        "one recording of three",
        lambda: run(
            manifest(recording(0), recording(1), recording(2).eat(("train", 0, 180))),
            manifest(recording(0), recording(1), recording(2)),
        ),
        TIME,
    ),
    Planted(
        "time",
        "one window over three of the test",
        lambda: run(
            manifest(recording(0).eat(("train", 165, 185))),
            manifest(recording(0).eat(("test", 160, 170), ("test", 170, 180), ("test", 180, 190))),
        ),
        TIME,
        3,
    ),
    Planted(
        "pretrain-to-test",
        "everything merged for pretraining",
        lambda: run(
            manifest(*(recording(k, time=(("train", 0, 200),)) for k in (0, 1)), split="merged"),
            manifest(recording(0), recording(1)),
        ),
        TIME,
        2,
    ),
    Planted(
        "pretrain-to-test",
        "two stages before",
        lambda: run(manifest(recording(0).eat(("train", 0, 170))), manifest(recording(0)), manifest(recording(0))),
        TIME,
    ),
    Planted(
        "pretrain-to-test",
        "the stage between",
        lambda: run(manifest(recording(0)), manifest(recording(0).eat(("valid", 110, 170))), manifest(recording(0))),
        TIME,
    ),
    Planted(
        "pretrain-to-test",
        "recordings of pretraining come first",
        lambda: run(manifest(recording(0), recording(1).eat(("train", 0, 170))), manifest(recording(1))),
        TIME,
    ),
    Planted("pretrain-to-test", "without labels", lambda: after(("train", 0, 170), label_free=["pretrain"]), TIME),
    Planted(
        "pretrain-to-test",
        "a middle stage is tested too",
        lambda: run(manifest(recording(1).eat(("train", 0, 170))), manifest(recording(1)), manifest(recording(2))),
        TIME,
    ),
]
GUARD_CASES = [
    Planted("guard", "one frame too near before", lambda: after(("train", 0, 151)), NEAR),
    Planted("guard", "one frame too near after", lambda: after(("train", 209, 300)), NEAR),
    Planted("guard", "touching", lambda: after(("train", 0, 160)), NEAR),
    Planted("guard", "a validation window", lambda: after(("valid", 110, 151)), NEAR),
    Planted("guard", "a recording with a wider guard", lambda: alone(recording(0), recording(1, guard=11)), NEAR),
    Planted(
        "guard",
        "another split",
        lambda: run(
            manifest(recording(0, time=(("train", 0, 155), ("test", 170, 200))), split="split b"),
            manifest(recording(0)),
        ),
        NEAR,
    ),
    Planted(
        "guard",
        "pretraining under a split without a guard",
        lambda: run(
            manifest(recording(0, guard=0, time=(("train", 0, 160), ("test", 160, 170))), split="split b"),
            manifest(recording(0, time=(("train", 0, 90), ("test", 165, 200)))),
        ),
        NEAR,
    ),
    Planted(
        "guard",
        "identification of a held-out mouse",
        lambda: run(manifest(held(4).eat(("identify", 0, 101)), **BY_MICE), manifest(trained(0), held(4), **BY_MICE)),
        NEAR,
    ),
    Planted(
        "guard",
        "between two windows of the test",
        lambda: run(
            manifest(recording(0).eat(("train", 175, 185))),
            manifest(recording(0).eat(("test", 160, 170), ("test", 190, 200))),
        ),
        NEAR,
        2,
    ),
    Planted(
        "guard",
        "two stages before",
        lambda: run(manifest(recording(1).eat(("train", 0, 155))), manifest(recording(0)), manifest(recording(1))),
        NEAR,
    ),
]
QUANTILE_CASES = [
    Planted("quantile", "of all mice", lambda: mice(frozen=frozen("quantile(x, 0.9)", reference="all")), REFERENCE),
    Planted("quantile", "z score of all mice", lambda: mice(frozen=frozen("zscore(x)", reference="all")), REFERENCE),
    Planted("quantile", "rank among all mice", lambda: mice(frozen=frozen("rank(x)", reference="all")), REFERENCE),
    Planted(
        "quantile",
        "one of two",
        lambda: mice(frozen=frozen("quantile(x, 0.9)") | frozen("rank(y)", reference="all")),
        REFERENCE,
    ),
    Planted(
        "quantile",
        "two of two",
        lambda: mice(frozen=frozen("quantile(x, 0.9)", "quantile(x, 0.1)", reference="all")),
        REFERENCE,
        2,
    ),
    Planted(
        "quantile",
        "of all planes",
        lambda: alone(trained(0), held(4), across="container", frozen=frozen("rank(x)", reference="all")),
        REFERENCE,
    ),
    Planted(
        "quantile",
        "of all recordings",
        lambda: alone(trained(0), held(4), across="session", frozen=frozen("rank(x)", reference="all")),
        REFERENCE,
    ),
    Planted(
        "quantile",
        "of all mice in pretraining",
        lambda: run(
            manifest(trained(0), frozen=frozen("rank(x)", reference="all"), **BY_MICE),
            manifest(trained(0), held(4), **BY_MICE),
        ),
        REFERENCE,
    ),
    Planted(
        "quantile",
        "another seed",
        lambda: before_mice(trained(2), considered=[trained(4)], frozen=frozen("rank(x)"), **BY_MICE),
        THRESHOLD_SPLIT,
    ),
    Planted(
        "quantile",
        "within recordings before",
        lambda: before_mice(recording(2), considered=[recording(4)], frozen=frozen("rank(x)", "zscore(x)")),
        THRESHOLD_SPLIT,
        2,
    ),
    Planted(
        "quantile",
        "two stages before",
        lambda: run(
            manifest(recording(2), split="split b", considered=FOLD_OF_0, frozen=frozen("rank(x)", reference="all")),
            manifest(recording(0)),
            manifest(recording(0)),
        ),
        THRESHOLD_SPLIT,
    ),
    Planted(
        "quantile",
        "a held-out mouse in a recording of another store",
        lambda: before_mice(
            recording(2), store="store b", considered=[recording(5)], frozen=frozen("quantile(x, 0.5)")
        ),
        THRESHOLD_SPLIT,
    ),
]
STATISTICS_CASES = [
    Planted(
        "statistics",
        "of all time",
        lambda: alone(recording(0), statistics={"names": ["moments"], "window": "all"}),
        WINDOW,
    ),
    Planted(
        "statistics",
        "two of all time",
        lambda: alone(recording(0), statistics={"names": ["moments", "robust"], "window": "all"}),
        WINDOW,
        2,
    ),
    Planted(
        "statistics",
        "of all time in pretraining",
        lambda: run(
            manifest(recording(2), statistics={"names": ["moments"], "window": "all"}),
            manifest(recording(0)),
            manifest(recording(0)),
        ),
        WINDOW,
    ),
    Planted(
        "statistics",
        "kept from another fold",
        lambda: alone(recording(0), statistics={"names": ["moments"], "split_digest": "split b"}),
        WINDOW,
        besides=(STATISTIC_SPLIT,),
    ),
    Planted(
        "statistics",
        "a grown store that deals one recording anew",
        lambda: run(
            manifest(
                recording(1, time=FOLD_1).eat(("train", 100, 150)),
                split="split b",
                store="grown store",
                considered=[recording(0)],
                statistics={"names": ["moments"]},
            ),
            ORIGINAL,
        ),
        STATISTIC_SPLIT,
    ),
    Planted(
        "statistics",
        "restricted and another fold",
        lambda: run(
            manifest(
                recording(0, time=FOLD_1).eat(("train", 105, 150)),
                split="split b",
                statistics={"names": ["moments@drifting_gratings", "robust"]},
            ),
            manifest(recording(0)),
        ),
        STATISTIC_SPLIT,
        2,
    ),
    *(
        Planted("movie", what, lambda before=before, options=options: movies(before, **options), MOVIE, count)  # type: ignore[misc]
        for what, before, options, count in (
            ("another fold", [("natural_movie_one", 3), ("natural_movie_one", 5)], {"fold": 1}, 1),
            ("blocks of time, two frames", [("natural_movie_one", 5), ("natural_movie_one", 7)], BY_TIME, 2),
            ("time of the movie, no frames known", [("natural_movie_one", -1)], BY_TIME, 4),
            ("time of unknown stimuli", [("", -1)], BY_TIME, 4),
            ("other segments", [("natural_movie_one", 8)], {"segments": 12}, 1),
        )
    ),
    Planted(
        "threshold",
        "top of all mice",
        lambda: mice(trained(0), frozen={"neurons.top": {"k": 3, "by": "x", "reference": "all"}}),
        REFERENCE,
    ),
    Planted(
        "labels", "of a held-out mouse", lambda: mice(trained(0), statistics={"uses_labels": ["tuning"]}), LABELS, 2
    ),
    Planted(
        "labels",
        "of a validation mouse too",
        lambda: mice(held(2, "valid"), statistics={"uses_labels": ["tuning"]}),
        LABELS,
        4,
    ),
    Planted(
        "labels",
        "of a held-out recording",
        lambda: alone(trained(0), held(4), across="session", statistics={"uses_labels": ["tuning"]}),
        LABELS,
        2,
    ),
    Planted(
        "labels",
        "in pretraining",
        lambda: run(
            manifest(trained(0), held(4).eat(), statistics={"uses_labels": ["tuning"]}, **BY_MICE),
            manifest(trained(0), held(4), **BY_MICE),
        ),
        LABELS,
        2,
    ),
]
LEARNED_CASES = [
    Planted("learned", "beyond train time", lambda: alone(recording(0), learned=learned(beyond_train=True)), WINDOW),
    Planted(
        "learned",
        "kept from another fold",
        lambda: alone(recording(0), learned=learned(), statistics={"split_digest": "split b"}),
        WINDOW,
        besides=(STATISTIC_SPLIT,),
    ),
    Planted(
        "learned",
        "one of two files",
        lambda: alone(recording(0), learned=learned() | {"mtm": {"beyond_train": True, "uses_labels": False}}),
        WINDOW,
    ),
    Planted("learned", "with labels of held-out mice", lambda: mice(learned=learned(uses_labels=True)), LABELS, 2),
    Planted(
        "learned",
        "another split",
        lambda: run(
            manifest(recording(2), split="split b", considered=FOLD_OF_0, learned=learned()), manifest(recording(0))
        ),
        STATISTIC_SPLIT,
    ),
    Planted(
        "learned",
        "another seed across mice",
        lambda: before_mice(trained(2), considered=[trained(4)], learned=learned(), **BY_MICE),
        STATISTIC_SPLIT,
    ),
    Planted(
        "learned",
        "beyond train time two stages before",
        lambda: run(
            manifest(recording(2), learned=learned(beyond_train=True)), manifest(recording(0)), manifest(recording(0))
        ),
        WINDOW,
    ),
]
NORMALISATION_CASES = [
    Planted("normalisation", "valid time", lambda: fitted(fit(roles=("train", "valid"))), FIT_ROLES),
    Planted("normalisation", "valid and test time", lambda: fitted(fit(roles=("valid", "test"))), FIT_ROLES, 2),
    Planted("normalisation", "one frame of the test", lambda: fitted(fit(**frames(s0=[(0, 161)]))), FIT_TIME),
    Planted(
        "normalisation",
        "one frame of each test",
        lambda: fitted(fit(**frames(s0=[(0, 161)], s1=[(199, 300)]))),
        FIT_TIME,
        2,
    ),
    Planted("normalisation", "within the guard", lambda: fitted(fit(**frames(s0=[(0, 151)]))), FIT_NEAR),
    Planted("normalisation", "within the guard after", lambda: fitted(fit(**frames(s1=[(209, 250)]))), FIT_NEAR),
    Planted("normalisation", "touching", lambda: fitted(fit(**frames(s0=[(0, 100), (200, 250)]))), FIT_NEAR),
    Planted("normalisation", "another split", lambda: fitted(fit(split_digest="split b")), FIT_SPLIT),
    Planted("normalisation", "no split", lambda: fitted(fit(split_digest=None)), FIT_SPLIT),
    Planted(
        "normalisation",
        "fitted on another fold",
        lambda: fitted(fitted_on(manifest(recording(0, time=FOLD_1), split="split b"), "dff", "normalisation")),
        FIT_TIME,
    ),
    Planted(
        "normalisation",
        "one of two fits",
        lambda: fitted(fit(), fit(name="scale", **frames(s0=[(120, 170)]))),
        FIT_TIME,
    ),
    Planted(
        "normalisation",
        "by labels of a held-out mouse",
        lambda: run(manifest(trained(0), held(4), **BY_MICE), fitted=[fit(donors=("d0", "d2"), uses_labels=True)]),
        FIT_DONORS,
    ),
    Planted(
        "normalisation",
        "statistics of every frame",
        lambda: fitted(fit("statistics", **frames(s0=[(0, 200)]))),
        FIT_TIME,
    ),
]
VOCABULARY_CASES = [
    Planted(
        "vocabulary",
        "of a held-out mouse",
        lambda: run(
            manifest(trained(0), held(4), **BY_MICE), fitted=[fit("vocabulary", donors=("d2",), roles=("identify",))]
        ),
        FIT_DONORS,
    ),
    Planted(
        "vocabulary",
        "of two held-out mice",
        lambda: mice_fitted(fit("vocabulary", donors=("d0", "d1", "d2"), roles=("train", "identify"))),
        FIT_DONORS,
        2,
    ),
    Planted("vocabulary", "threshold", lambda: mice_fitted(fit("threshold", donors=("d1",))), FIT_DONORS),
    Planted("vocabulary", "quantile", lambda: mice_fitted(fit("quantile", donors=("d2", "d0"))), FIT_DONORS),
    Planted(
        "vocabulary",
        "a held-out recording and no mouse named",
        lambda: mice_fitted(fit("vocabulary", donors=(), sessions=("s4",), roles=("identify",))),
        FIT_DONORS,
    ),
    Planted(
        "vocabulary",
        "one of two held-out mice named, the other by its recording",
        lambda: mice_fitted(fit("vocabulary", donors=("d1",), sessions=("s2", "s4"), roles=("identify",))),
        FIT_DONORS,
        2,
    ),
    Planted(
        "vocabulary",
        "a held-out recording of an unknown mouse",
        lambda: run(
            manifest(trained(0), held(4, donor=None), **BY_MICE),
            fitted=[fit("vocabulary", donors=(), roles=("identify",), **frames(s4=[(0, 90)]))],
        ),
        FIT_DONORS,
    ),
    Planted("vocabulary", "test time", lambda: fitted(fit("vocabulary", roles=("test",))), FIT_ROLES),
    Planted("vocabulary", "units of test time", lambda: fitted(fit("units", roles=("train", "test"))), FIT_ROLES),
    Planted("vocabulary", "another split", lambda: fitted(fit("vocabulary", split_digest="split b")), FIT_SPLIT),
    Planted(
        "vocabulary",
        "all windows of a manifest",
        lambda: mice_fitted(fitted_on(manifest(trained(0), held(4), **BY_MICE), "classes", "vocabulary")),
        FIT_DONORS,
    ),
]
MATCH_CASES = [
    Planted(
        "match",
        "windows of valid time",
        lambda: alone(recording(0), counted={"windows": ["train", "valid"]}),
        MATCHED,
    ),
    Planted(
        "match",
        "tokens of test time",
        lambda: alone(recording(0), counted={"windows": ["train"], "tokens": ["test"]}),
        MATCHED,
    ),
]
OF_TIME: tuple[Planted, ...] = (
    *TIME_CASES,
    *GUARD_CASES,
    *QUANTILE_CASES,
    *STATISTICS_CASES,
    *LEARNED_CASES,
    *NORMALISATION_CASES,
    *VOCABULARY_CASES,
    *MATCH_CASES,
)
