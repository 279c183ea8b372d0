"""Leaks and honest runs whose manifests `Diet.resolve` makes on the tiny store, with the facts that it writes down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from poyodata.curation import Diet, Disjoint, Manifest, c, load_diet
from poyodata.curation.leaks.fitted import fitted_on
from tests.curation.leaks.leak_cases import Honest, Planted, Run, packed, run
from tests.curation.leaks.leak_runs import (
    CELLS,
    CONTAINERS,
    DONORS,
    FIT_DONORS,
    FIT_ROLES,
    FIT_TIME,
    LABELS,
    MATCHED,
    NEAR,
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
    shared,
)

GRATINGS = c.stimulus == "drifting_gratings"
LOW, HIGH = load_diet("predictable"), load_diet("unpredictable")
LOW_HALF = Diet.where("skewness <= quantile(skewness, 0.5)", name="low half")


@dataclass(frozen=True)
class Lab:
    """Makes manifests on one store of eight recordings, two of each mouse; trials lie 30 frames apart."""

    resolve: Callable[..., Manifest]
    store: Any
    make_split: Callable[..., Any]
    known: dict[Any, Manifest]

    def eat(
        self,
        diet: str | Diet,
        *,
        store: Any = None,
        labels: bool = False,
        edit: Callable[[Any], None] | None = None,
        whole: bool = False,
        **options: Any,
    ) -> Manifest:
        """Resolve a diet of gratings, or of `whole` stretches of time; `edit` changes the split first."""
        chosen = load_diet(diet) if whole else load_diet(diet).during(GRATINGS)
        key = (chosen, labels, *sorted(options.items())) if store is None and edit is None else None
        if key in self.known:
            return self.known[key]
        store = store or self.store
        split = self.make_split(store, **options)
        if edit is not None:
            edit(split)
        manifest = self.resolve(chosen, store, split, labels)
        if key is not None:
            self.known[key] = manifest
        return manifest

    def changed(self, **changes: Any) -> Any:
        """Give the store with other columns of recordings; neurons get those that they have too."""
        neurons, sessions = self.store.neurons.copy(), self.store.sessions.assign(**changes)
        for name in set(changes) & set(neurons.columns):
            neurons[name] = neurons["session_id"].map(sessions.set_index("session_id")[name])
        return replace(self.store, sessions=sessions, neurons=neurons)

    def packed(self, source: Manifest) -> Any:
        """Give the store as if a manifest had been packed into it: of another digest, and with its lineage."""
        digests = [f"packed {name}" for name in self.store.sessions["session_id"]]
        lineage = packed(source, chosen_by=(), before=source.meta["lineage"])
        return replace(self.changed(digest=digests), lineage=lineage)


def hold_out(*names: str) -> Callable[[Any], None]:
    """Edit a split so that these recordings alone are held out."""

    def edit(split: Any) -> None:
        held = split.sessions["session_id"].isin(names)
        split.sessions["role"] = held.map({True: "test", False: "train"})
        role = {True: {"train": "identify", "valid": "test"}, False: {"identify": "train", "test": "valid"}}
        inside = split.windows["session_id"].isin(names)
        split.windows["role"] = [role[at].get(old, old) for at, old in zip(inside, split.windows["role"], strict=True)]

    return edit


def by(unit: str, *names: str) -> Callable[[Any], None]:
    """Hold recordings out, and say that the split is across this unit."""

    def edit(split: Any) -> None:
        hold_out(*names)(split)
        split.spec.across.by = unit

    return edit


def guard(frames: int) -> Callable[[Any], None]:
    def edit(split: Any) -> None:
        split.sessions["guard_frames"] = frames

    return edit


def longer(frames: int) -> Callable[[Any], None]:
    """Let validation time reach into the test by this many frames."""

    def edit(split: Any) -> None:
        split.windows.loc[split.windows["role"] == "valid", "stop_frame"] += frames

    return edit


def merged(split: Any) -> None:
    split.windows["role"] = split.windows["role"].replace({"test": "train"})


def disjoint(diet: Diet, other: str, unit: str) -> Diet:
    return diet.with_options(disjoint=(Disjoint(other, unit),))


def pair(lab: Lab, earlier: Manifest, later: str | Diet = "all", **options: Any) -> Run:
    return run(earlier, lab.eat(later, **options))


LONE_MICE = [f"m{k}" for k in range(8)]
PLANTED: tuple[Planted, ...] = (
    Planted("time", "another fold", lambda lab: pair(lab, lab.eat("all", fold=1)), TIME, 80),
    Planted("time", "another fold, other neurons", lambda lab: pair(lab, lab.eat("inhibitory", fold=1)), TIME, 40),
    Planted("time", "a single frame", lambda lab: run(*_whole(lab, 1, 0)), TIME, 8, (NEAR,)),
    Planted(
        "pretrain-to-test",
        "two stages before",
        lambda lab: run(lab.eat("all", fold=1), lab.eat("all"), lab.eat("inhibitory")),
        TIME,
        80,
    ),
    Planted("pretrain-to-test", "everything merged", lambda lab: pair(lab, lab.eat("all", edit=merged)), TIME, 80),
    Planted("guard", "touching stretches", lambda lab: run(lab.eat("all", whole=True)), NEAR, 8),
    Planted("guard", "one frame more than between trials", lambda lab: run(lab.eat("all", edit=guard(31))), NEAR, 8),
    Planted(
        "donor",
        "pretrained within recordings",
        lambda lab: pair(lab, lab.eat("all"), across=True),
        DONORS,
        1,
        (CONTAINERS, CELLS, TIME),
    ),
    Planted(
        "donor",
        "another mouse held out before",
        lambda lab: pair(lab, lab.eat("all", across=True, edit=hold_out("s00", "s01")), across=True),
        DONORS,
        1,
        (CONTAINERS, CELLS, TIME),
    ),
    Planted(
        "donor",
        "in two roles",
        lambda lab: run(lab.eat("all", across=True, edit=hold_out("s07"))),
        TWO_DONORS,
        1,
        (DONORS, CONTAINERS, CELLS, TWO_CONTAINERS, TWO_CELLS),
    ),
    Planted(
        "container",
        "mice under other names",
        lambda lab: run(
            lab.eat("all", store=lab.changed(donor_id=LONE_MICE), across=True, edit=by("container", "s07"))
        ),
        TWO_CONTAINERS,
        1,
        (CONTAINERS, CELLS, TWO_CELLS),
    ),
    Planted(
        "cell",
        "in a train and a test recording",
        lambda lab: run(
            lab.eat(
                "all",
                store=lab.changed(donor_id=LONE_MICE, container_id=LONE_MICE),
                across=True,
                edit=by("session", "s07"),
            )
        ),
        TWO_CELLS,
        10,
        (CELLS,),
    ),
    Planted(
        "cell",
        "predictable ones alone",
        lambda lab: run(
            lab.eat(
                LOW,
                store=lab.changed(donor_id=LONE_MICE, container_id=LONE_MICE),
                across=True,
                edit=by("session", "s00", "s07"),
            )
        ),
        CELLS,
        10,
        (TWO_CELLS,),
    ),
    Planted(
        "quantile",
        "of all mice",
        lambda lab: run(lab.eat(LOW_HALF.with_options(statistics_reference="all"), across=True)),
        REFERENCE,
    ),
    Planted(
        "quantile",
        "z score and rank of all mice",
        lambda lab: run(
            lab.eat(
                Diet.where("zscore(skewness) < 1 and rank(kurtosis) < 0.9", statistics_reference="all"), across=True
            )
        ),
        REFERENCE,
        2,
    ),
    Planted(
        "quantile",
        "another fold",
        lambda lab: pair(lab, lab.eat(LOW_HALF, fold=1)),
        THRESHOLD_SPLIT,
        1,
        (STATISTIC_SPLIT, TIME),
    ),
    Planted("statistics", "of all time", lambda lab: run(lab.eat(LOW.with_options(statistics_window="all"))), WINDOW),
    Planted(
        "statistics",
        "of all time in pretraining",
        lambda lab: pair(lab, lab.eat(LOW.with_options(statistics_window="all")), HIGH),
        WINDOW,
    ),
    Planted("statistics", "another fold", lambda lab: pair(lab, lab.eat(LOW, fold=1)), STATISTIC_SPLIT, 1, (TIME,)),
    Planted("labels", "of held-out mice", lambda lab: run(lab.eat(LOW, across=True, labels=True)), LABELS, 10),
    Planted(
        "labels",
        "of held-out mice in pretraining",
        lambda lab: pair(lab, lab.eat(HIGH, across=True, labels=True), across=True),
        LABELS,
        12,
    ),
    Planted(
        "disjoint",
        "by donor",
        lambda lab: pair(lab, lab.eat(LOW), disjoint(HIGH, "predictable", "donor")),
        shared("donor"),
        4,
    ),
    Planted(
        "disjoint",
        "by cell, declared by the earlier stage",
        lambda lab: pair(lab, lab.eat(disjoint(load_diet("all"), "predictable", "cell")), LOW),
        shared("cell"),
        20,
    ),
    Planted(
        "disjoint",
        "a reference inside",
        lambda lab: pair(
            lab,
            lab.eat((Diet.reference("predictable") | Diet.reference("inhibitory")).named("both")),
            disjoint(load_diet("all"), "predictable", "neuron"),
        ),
        shared("neuron"),
        40,
    ),
    Planted(
        "disjoint",
        "a part of a mix",
        lambda lab: pair(lab, lab.eat("mixed-30"), disjoint(load_diet("all"), "predictable", "neuron")),
        shared("neuron"),
        12,
    ),
    Planted(
        "normalisation",
        "another fold",
        lambda lab: run(lab.eat("all"), fitted=[fitted_on(lab.eat("all", fold=1), "dff", "normalisation")]),
        FIT_TIME,
        80,
    ),
    Planted(
        "normalisation",
        "valid time",
        lambda lab: run(
            lab.eat("all"), fitted=[fitted_on(lab.eat("all"), "dff", "normalisation", roles=["train", "valid"])]
        ),
        FIT_ROLES,
    ),
    Planted(
        "vocabulary",
        "of held-out mice",
        lambda lab: run(
            lab.eat("all", across=True), fitted=[fitted_on(lab.eat("all", across=True), "lines", "vocabulary")]
        ),
        FIT_DONORS,
    ),
    Planted("packed", "another fold", lambda lab: run(lab.eat(LOW, store=lab.packed(lab.eat(LOW, fold=1)))), PACKED, 8),
    Planted(
        "packed",
        "chosen by statistics of all time",
        lambda lab: run(lab.eat("all", store=lab.packed(lab.eat(LOW.with_options(statistics_window="all"))))),
        WINDOW,
    ),
    Planted(
        "packed",
        "a quantile of all mice",
        lambda lab: run(
            lab.eat(
                "all",
                across=True,
                store=lab.packed(lab.eat(LOW_HALF.with_options(statistics_reference="all"), across=True)),
            )
        ),
        REFERENCE,
    ),
    Planted(
        "packed",
        "labels of held-out mice",
        lambda lab: run(lab.eat("all", across=True, store=lab.packed(lab.eat(LOW, across=True, labels=True)))),
        LABELS,
        24,
    ),
    Planted(
        "packed",
        "test time of the original",
        lambda lab: pair(lab, lab.eat("all", fold=1), store=lab.packed(lab.eat(LOW))),
        TIME,
        80,
    ),
    Planted(
        "store",
        "one recording of other content",
        lambda lab: pair(lab, lab.eat("all", store=lab.changed(digest=["moved", *lab.store.sessions["digest"][1:]]))),
        STORES,
    ),
)


def _whole(lab: Lab, early: int, late: int) -> list[Manifest]:
    """Two stages of whole stretches: validation of the first reaches into the test by `early` frames."""
    return [lab.eat("all", whole=True, edit=longer(early)), lab.eat("all", whole=True, edit=longer(late))]


def _apart(gap: int) -> Callable[[Any], None]:
    """Leave this many frames between stretches of different roles."""

    def edit(split: Any) -> None:
        split.windows.loc[split.windows["role"] != "test", "stop_frame"] -= gap

    return edit


HONEST: tuple[Honest, ...] = (
    Honest("time", "the road", lambda lab: run(lab.eat(LOW), lab.eat(HIGH), lab.eat(HIGH)), TIME),
    Honest("time", "one stage", lambda lab: run(lab.eat(LOW)), TIME),
    Honest("time", "fold 1 in both stages", lambda lab: pair(lab, lab.eat(LOW, fold=1), HIGH, fold=1), TIME),
    Honest("time", "the same neurons", lambda lab: pair(lab, lab.eat("all")), TIME),
    Honest(
        "time",
        "another fold of other mice",
        lambda lab: pair(
            lab, lab.eat(Diet.where("donor_id == 'd0'"), fold=1), Diet.where("donor_id in ['d1', 'd2', 'd3']")
        ),
        TIME,
    ),
    Honest("guard", "as many frames as between trials", lambda lab: run(lab.eat("all", edit=guard(30))), NEAR),
    Honest("guard", "touching stretches without one", lambda lab: run(lab.eat("all", whole=True, edit=guard(0))), NEAR),
    Honest(
        "guard",
        "exactly kept by stretches",
        lambda lab: run(
            lab.eat("all", whole=True, edit=_apart(15)), lab.eat("inhibitory", whole=True, edit=_apart(15))
        ),
        NEAR,
    ),
    Honest(
        "donor",
        "held out in both stages",
        lambda lab: pair(lab, lab.eat(LOW, across=True), "mixed-30", across=True),
        DONORS,
    ),
    Honest(
        "donor",
        "train time of held-out mice without labels",
        lambda lab: run(
            lab.eat(Diet.everyone().during(GRATINGS & (c.role == "train")), whole=True),
            lab.eat("all", across=True),
            label_free=["pretrain"],
        ),
        TIME,
    ),
    Honest("donor", "in every role of time", lambda lab: run(lab.eat("all")), TWO_DONORS),
    Honest(
        "container",
        "a split across planes",
        lambda lab: run(lab.eat("all", across=True, edit=by("container", "s02", "s03"))),
        TWO_CONTAINERS,
    ),
    Honest("cell", "twice in train recordings", lambda lab: run(lab.eat("all", across=True)), TWO_CELLS),
    Honest(
        "cell",
        "only those without a specimen id",
        lambda lab: run(
            lab.eat(
                Diet.where("column >= 10"),
                store=lab.changed(donor_id=LONE_MICE, container_id=LONE_MICE),
                across=True,
                edit=by("session", "s07"),
            )
        ),
        TWO_DONORS,
    ),
    Honest("quantile", "of train mice", lambda lab: run(lab.eat(LOW_HALF, across=True)), REFERENCE),
    Honest(
        "quantile",
        "of all mice within recordings",
        lambda lab: run(lab.eat(LOW_HALF.with_options(statistics_reference="all"))),
        REFERENCE,
    ),
    Honest(
        "quantile",
        "one fold in two stages",
        lambda lab: pair(lab, lab.eat(LOW_HALF), ~LOW_HALF),
        THRESHOLD_SPLIT,
    ),
    Honest(
        "statistics",
        "none, and all time",
        lambda lab: pair(lab, lab.eat(load_diet("inhibitory").with_options(statistics_window="all")), LOW),
        WINDOW,
    ),
    Honest("statistics", "one fold in two stages", lambda lab: pair(lab, lab.eat(LOW), HIGH), STATISTIC_SPLIT),
    Honest("labels", "within recordings", lambda lab: run(lab.eat(LOW, labels=True)), WINDOW),
    Honest(
        "labels",
        "of train mice alone",
        lambda lab: pair(
            lab,
            lab.eat(
                Diet.where("skewness < 9 and donor_id != 'd3'").during(GRATINGS & (c.role == "train")),
                whole=True,
                across=True,
                labels=True,
            ),
            across=True,
        ),
        LABELS,
    ),
    Honest(
        "disjoint",
        "by neuron",
        lambda lab: pair(lab, lab.eat(LOW), disjoint(HIGH, "predictable", "neuron")),
        shared("neuron"),
    ),
    Honest(
        "disjoint",
        "the rest of a mix",
        lambda lab: pair(lab, lab.eat("mixed-30"), disjoint(load_diet("unpredictable"), "predictable", "neuron")),
        shared("neuron"),
    ),
    Honest(
        "disjoint",
        "the complement of a reference",
        lambda lab: pair(lab, lab.eat(HIGH), disjoint(load_diet("all"), "predictable", "neuron")),
        shared("neuron"),
    ),
    Honest(
        "normalisation",
        "train time of all mice",
        lambda lab: run(
            lab.eat("all", across=True), fitted=[fitted_on(lab.eat("all", across=True), "dff", "normalisation")]
        ),
        FIT_TIME,
    ),
    Honest(
        "vocabulary",
        "of train mice",
        lambda lab: run(
            lab.eat("all", across=True),
            fitted=[fitted_on(lab.eat("all", across=True), "lines", "vocabulary", roles=["train"])],
        ),
        FIT_DONORS,
    ),
    Honest("packed", "the same fold", lambda lab: pair(lab, lab.eat(LOW), store=lab.packed(lab.eat(LOW))), PACKED),
    Honest(
        "packed",
        "by metadata, and another fold",
        lambda lab: run(lab.eat(LOW, store=lab.packed(lab.eat("inhibitory", fold=1)))),
        TIME,
    ),
    Honest(
        "store",
        "recordings of the same content",
        lambda lab: pair(lab, lab.eat("all", store=replace(lab.store, extra="grown"))),
        STORES,
    ),
    Honest(
        "match",
        "on windows of train time",
        lambda lab: run(lab.eat(LOW.matched(on=["windows"]), across=True)),
        MATCHED,
    ),
)
