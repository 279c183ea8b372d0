"""Leaks of animals, planes, cells and stores, planted by hand."""

from __future__ import annotations

from tests.curation.leaks.leak_cases import Planted, held, manifest, packed, recording, run, trained
from tests.curation.leaks.leak_runs import (
    BY_MICE,
    CELLS,
    CONTAINERS,
    DONORS,
    FOLD_1,
    LEARNT,
    NAMELESS,
    NEAR,
    ORIGINAL,
    PACKED,
    STATISTIC_SPLIT,
    STORES,
    TIME,
    TWO_CELLS,
    TWO_CONTAINERS,
    TWO_DONORS,
    TWO_PARTS,
    alone,
    before_mice,
    low_inside,
    mice,
    number,
    promise,
    shared,
)

DONOR_CASES = [
    Planted(
        "donor",
        "pretrained within recordings",
        lambda: before_mice(recording(4).eat(LEARNT)),
        DONORS,
        besides=(CONTAINERS, CELLS),
    ),
    Planted("donor", "planes and cells unknown", lambda: before_mice(recording(4, **NAMELESS).eat(LEARNT)), DONORS),
    Planted(
        "donor", "another seed", lambda: before_mice(held(0), trained(4, **NAMELESS).eat(LEARNT), **BY_MICE), DONORS
    ),
    Planted("donor", "only validated on", lambda: before_mice(recording(4, **NAMELESS).eat(("valid", 0, 50))), DONORS),
    Planted("donor", "another recording of the mouse", lambda: before_mice(recording(5, **NAMELESS)), DONORS),
    Planted(
        "donor",
        "two of three mice",
        lambda: run(
            manifest(*(recording(k, **NAMELESS).eat(LEARNT) for k in (2, 4, 8)), split="split b"),
            manifest(trained(0), held(2), held(4), held(6), **BY_MICE),
        ),
        DONORS,
        2,
    ),
    Planted(
        "donor",
        "two stages before",
        lambda: run(
            manifest(recording(5, **NAMELESS), split="split b"),
            manifest(trained(0), **BY_MICE),
            manifest(trained(0), held(4), **BY_MICE),
        ),
        DONORS,
    ),
    Planted(
        "donor",
        "only one of two stages is without labels",
        lambda: run(
            manifest(recording(5, **NAMELESS), split="split b"),
            manifest(recording(5, **NAMELESS), split="split c"),
            manifest(held(4), **BY_MICE),
            label_free=["finetune"],
        ),
        DONORS,
    ),
    Planted("donor", "in two roles without a window", lambda: mice(trained(0), held(1, **NAMELESS).eat()), TWO_DONORS),
    Planted("donor", "in train and valid", lambda: mice(trained(0), held(1, "valid", **NAMELESS)), TWO_DONORS),
    Planted(
        "donor",
        "in two roles and tested on",
        lambda: alone(trained(0), held(1, **NAMELESS), across="session"),
        TWO_DONORS,
        besides=(DONORS,),
    ),
    Planted(
        "donor",
        "with two planes in a split across planes",
        lambda: alone(trained(0), held(1, container="c9", cells=(7, 8)), across="container"),
        DONORS,
        besides=(TWO_DONORS,),
    ),
]
CONTAINER_CASES = [
    Planted(
        "container",
        "the mouse under another name",
        lambda: before_mice(recording(4, donor="x", cells=(7, 8)).eat(LEARNT)),
        CONTAINERS,
    ),
    Planted(
        "container",
        "the mouse unknown",
        lambda: before_mice(recording(5, donor=None, cells=(None, 7))),
        CONTAINERS,
    ),
    Planted(
        "container",
        "another seed",
        lambda: run(
            manifest(trained(4, donor=None, cells=(7, 8)).eat(LEARNT), held(0), across="container", split="split b"),
            manifest(trained(0), held(4), across="container"),
        ),
        CONTAINERS,
    ),
    Planted(
        "container",
        "in two roles without a window",
        lambda: mice(trained(0), held(1, donor="x", cells=(7, 8)).eat()),
        TWO_CONTAINERS,
    ),
    Planted(
        "container",
        "in valid and test",
        lambda: mice(trained(0), held(5, "valid", donor="x", cells=(7, 8)).eat()),
        TWO_CONTAINERS,
    ),
    Planted(
        "container",
        "in two roles and tested on",
        lambda: alone(trained(0), held(1, donor="x", cells=(7, 8)), across="container"),
        TWO_CONTAINERS,
        besides=(CONTAINERS,),
    ),
]
CELL_CASES = [
    Planted(
        "cell",
        "one of two recorded again",
        lambda: before_mice(recording(5, donor="x", container="y", cells=(200, 7))),
        CELLS,
    ),
    Planted(
        "cell",
        "both recorded again",
        lambda: before_mice(recording(5, donor=None, container=None)),
        CELLS,
        2,
    ),
    Planted(
        "cell",
        "only one of two was kept",
        lambda: before_mice(recording(5, donor=None, container=None), neurons=slice(1, 2)),
        CELLS,
    ),
    Planted(
        "cell",
        "in a train and a test recording",
        lambda: alone(trained(0, donor="x", container=None), held(1), across="session"),
        TWO_CELLS,
        2,
        besides=(CELLS,),
    ),
    Planted(
        "cell",
        "in two roles without a window",
        lambda: mice(trained(0), held(1, donor="x", container="y", cells=(7, 1)).eat()),
        TWO_CELLS,
    ),
    Planted(
        "cell",
        "in train and valid",
        lambda: mice(trained(0), held(1, "valid", donor="x", container="y")),
        TWO_CELLS,
        2,
    ),
    Planted(
        "cell",
        "in two train recordings and a held-out one",
        lambda: mice(trained(0), trained(1), held(7, donor="x", container="y", cells=(0, 7)).eat()),
        TWO_CELLS,
    ),
    Planted(
        "cell",
        "two stages before",
        lambda: run(
            manifest(recording(5, donor="x", container="y"), split="split b"),
            manifest(trained(0), **BY_MICE),
            manifest(held(4), **BY_MICE),
        ),
        CELLS,
        2,
    ),
]
DISJOINT_CASES = [
    *(
        Planted(
            "disjoint",
            f"by {by}",
            lambda by=by: run(
                manifest(recording(1), name="low"), manifest(recording(number(by)), diet=promise("low", by))
            ),
            shared(by),
            count,
        )
        for by, count in (("donor", 1), ("container", 1), ("session", 1), ("cell", 2), ("neuron", 2))
    ),
    Planted(
        "disjoint",
        "declared by the earlier stage",
        lambda: run(manifest(recording(0), diet=promise("low", "cell")), manifest(recording(1), name="low")),
        shared("cell"),
        2,
    ),
    Planted(
        "disjoint",
        "two stages before",
        lambda: run(
            manifest(recording(1), name="low"),
            manifest(recording(4), name="between"),
            manifest(recording(0), diet=promise("low", "donor")),
        ),
        shared("donor"),
    ),
    Planted(
        "disjoint",
        "the second of two promises",
        lambda: run(
            manifest(recording(1), name="low"),
            manifest(recording(0), diet={"disjoint": [{"from": "low", "by": by} for by in ("session", "donor")]}),
        ),
        shared("donor"),
    ),
    Planted(
        "disjoint",
        "a reference inside",
        lambda: run(
            manifest(recording(0), name="both", references=low_inside("s0_1")),
            manifest(recording(1), diet=promise("low", "cell")),
        ),
        shared("cell"),
    ),
    Planted(
        "disjoint",
        "a reference inside that is a file",
        lambda: run(
            manifest(recording(0), name="both", references={"diets/low.yaml": low_inside("s0_0", "s0_1")["low"]}),
            manifest(recording(0), diet=promise("low", "neuron")),
        ),
        shared("neuron"),
        2,
    ),
    Planted(
        "disjoint",
        "a file that the other stage eats",
        lambda: run(manifest(recording(1), name="low"), manifest(recording(0), diet=promise("diets/low.yaml", "cell"))),
        shared("cell"),
        2,
    ),
    Planted(
        "disjoint",
        "a file that is a reference inside",
        lambda: run(
            manifest(recording(0), name="both", references={"low.yaml": low_inside("s0_0")["low"] | {"name": "x"}}),
            manifest(recording(0), diet=promise("./low.yaml", "neuron")),
        ),
        shared("neuron"),
    ),
    Planted(
        "disjoint",
        "two references inside of one name",
        lambda: run(
            manifest(
                recording(0),
                name="both",
                references={f"low with k = {k}": low_inside(f"s0_{k}")["low"] for k in (0, 1)},
            ),
            manifest(recording(0), diet=promise("low", "neuron")),
        ),
        shared("neuron"),
        2,
    ),
    Planted(
        "disjoint",
        "declared by a reference inside",
        lambda: run(
            manifest(recording(0), name="both", references=low_inside("s0_0", **promise("all", "cell"))),
            manifest(recording(1)),
        ),
        shared("cell"),
    ),
]
DISJOINT_CASES += [
    Planted(
        "disjoint",
        "two parts of one diet",
        lambda: alone(recording(0), name="mix", references=TWO_PARTS),
        shared("donor"),
    ),
    Planted(
        "disjoint",
        "two parts of one diet in two stages",
        lambda: run(*(manifest(recording(0), name="mix", references=TWO_PARTS) for _ in range(2))),
        shared("donor"),
    ),
]
PACKED_CASES = [
    Planted(
        "packed",
        "another fold",
        lambda: alone(recording(0, time=FOLD_1), split="split b", store="pack", lineage=packed(ORIGINAL)),
        PACKED,
    ),
    Planted(
        "packed",
        "one of two recordings",
        lambda: alone(recording(0), recording(1, time=FOLD_1), split="split b", store="pack", lineage=packed(ORIGINAL)),
        PACKED,
    ),
    Planted(
        "packed",
        "other mice held out",
        lambda: alone(
            trained(0),
            held(4),
            across="donor",
            split="split b",
            store="pack",
            lineage=packed(manifest(held(0), trained(4), **BY_MICE)),
        ),
        PACKED,
        2,
    ),
    Planted(
        "packed",
        "packed twice",
        lambda: alone(
            recording(0),
            split="split c",
            store="pack of pack",
            lineage=packed(
                manifest(recording(0), store="pack", split="split b"),
                before=packed(manifest(recording(0, time=FOLD_1))),
            ),
        ),
        PACKED,
    ),
    Planted(
        "packed",
        "a record without roles",
        lambda: alone(recording(0), split="split b", store="pack", lineage=packed(ORIGINAL, roles={})),
        PACKED,
    ),
    Planted(
        "packed",
        "test time seen on the original",
        lambda: run(
            manifest(recording(0, time=FOLD_1), split="split b"),
            manifest(recording(0), split="split c", store="pack", lineage=packed(ORIGINAL)),
        ),
        TIME,
    ),
    Planted(
        "packed",
        "test time seen on the copy",
        lambda: run(
            manifest(recording(0).eat(("train", 0, 170)), split="split c", store="pack", lineage=packed(ORIGINAL)),
            manifest(recording(0)),
        ),
        TIME,
    ),
    Planted(
        "packed",
        "two copies of one store",
        lambda: run(
            manifest(recording(0).eat(("train", 0, 155)), store="pack", lineage=packed(ORIGINAL)),
            manifest(recording(0), store="other pack", lineage=packed(ORIGINAL)),
        ),
        NEAR,
    ),
    Planted(
        "packed",
        "statistics under a fold that packing did not know",
        lambda: run(
            manifest(
                recording(0, time=FOLD_1).eat(("train", 110, 150)),
                split="split b",
                statistics={"names": ["moments"]},
            ),
            manifest(recording(0), split="split c", store="pack", lineage=packed(ORIGINAL)),
        ),
        STATISTIC_SPLIT,
    ),
    Planted(
        "packed",
        "by metadata, and statistics under the fold of packing",
        lambda: run(
            manifest(recording(0).eat(("train", 60, 100)), statistics={"names": ["moments"]}),
            manifest(recording(0, time=FOLD_1), split="split c", store="pack", lineage=packed(ORIGINAL, chosen_by=[])),
        ),
        STATISTIC_SPLIT,
    ),
    Planted(
        "packed",
        "a held-out mouse learnt from on the copy",
        lambda: run(
            manifest(
                recording(4, **NAMELESS).eat(LEARNT),
                split="split c",
                store="pack",
                lineage=packed(manifest(recording(4)), chosen_by=[]),
            ),
            manifest(trained(0), held(4), split="split b", **BY_MICE),
        ),
        DONORS,
    ),
]
OTHER = {"s0": "content of s0", "s1": "other content"}
STORE_CASES = [
    Planted(
        "store",
        "a recording of other content",
        lambda: run(
            manifest(recording(0), recording(1), store="store b", recordings=OTHER),
            manifest(recording(0), recording(1)),
        ),
        STORES,
    ),
    Planted(
        "store",
        "contents unknown",
        lambda: run(manifest(recording(0), store="store b", recordings={}), manifest(recording(0))),
        STORES,
    ),
    Planted(
        "store",
        "a copy of another store",
        lambda: run(
            manifest(
                recording(0),
                store="pack",
                recordings={"s0": "packed content"},
                lineage=packed(manifest(recording(0), store="store b")),
            ),
            manifest(recording(0)),
        ),
        STORES,
    ),
    Planted(
        "store",
        "the first of three stages",
        lambda: run(manifest(recording(1), store="store b", recordings=OTHER), *[manifest(recording(1))] * 2),
        STORES,
    ),
]
OF_UNITS: tuple[Planted, ...] = (
    *DONOR_CASES,
    *CONTAINER_CASES,
    *CELL_CASES,
    *DISJOINT_CASES,
    *PACKED_CASES,
    *STORE_CASES,
)
