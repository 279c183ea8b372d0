from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from poyodata.curation import Diet, Disjoint, Manifest, c, check_leaks, load_diet
from poyodata.errors import LeakError, UsageError

Resolve = Callable[..., Manifest]
Make = Callable[..., Any]
GRATINGS = c.stimulus == "drifting_gratings"


class Lab:
    """Makes manifests on one store."""

    def __init__(self, resolve: Resolve, store: Any, make_split: Make) -> None:
        self.resolve, self.store, self.split = resolve, store, make_split

    def eat(self, diet: str | Diet, *, store: Any = None, labels: bool = False, **options: Any) -> Manifest:
        store = store or self.store
        return self.resolve(load_diet(diet).during(GRATINGS), store, self.split(store, **options), labels)


@pytest.fixture
def lab(resolve: Resolve, store: Any, make_split: Make) -> Lab:
    return Lab(resolve, store, make_split)


def moved(lab: Lab) -> Any:
    from dataclasses import replace

    return replace(lab.store, extra="moved")


HONEST: dict[str, Callable[[Lab], list[tuple[str, Manifest]]]] = {
    "road": lambda lab: [
        ("pretrain", lab.eat("predictable")),
        ("finetune", lab.eat("unpredictable")),
        ("test", lab.eat("unpredictable")),
    ],
    "one stage": lambda lab: [("train", lab.eat("predictable"))],
    "across donors": lambda lab: [
        ("pretrain", lab.eat("predictable", across=True)),
        ("test", lab.eat("mixed-30", across=True)),
    ],
    "same neurons": lambda lab: [("pretrain", lab.eat("all")), ("finetune", lab.eat("all"))],
    "no statistics, other window": lambda lab: [
        ("pretrain", lab.eat(load_diet("inhibitory").with_options(statistics_window="all"))),
        ("test", lab.eat("all")),
    ],
    "disjoint neurons": lambda lab: [
        ("pretrain", lab.eat("predictable")),
        ("test", lab.eat(load_diet("unpredictable").with_options(disjoint=(Disjoint("predictable", "neuron"),)))),
    ],
    "labels within recordings": lambda lab: [("train", lab.eat("predictable", labels=True))],
}

PLANTED: dict[str, tuple[Callable[[Lab], list[tuple[str, Manifest]]], str, int]] = {
    "another fold": (
        lambda lab: [("pretrain", lab.eat("all", fold=1)), ("test", lab.eat("all"))],
        "test windows seen in training",
        80,
    ),
    "another fold, other neurons": (
        lambda lab: [("pretrain", lab.eat("inhibitory", fold=1)), ("test", lab.eat("all"))],
        "test windows seen in training",
        40,
    ),
    "another fold, two stages before": (
        lambda lab: [("a", lab.eat("all", fold=1)), ("b", lab.eat("all")), ("test", lab.eat("inhibitory"))],
        "test windows seen in training",
        80,
    ),
    "held-out donor learnt from": (
        lambda lab: [("pretrain", lab.eat("all")), ("test", lab.eat("all", across=True))],
        "test donors learnt from with labels",
        1,
    ),
    "held-out cells learnt from": (
        lambda lab: [("pretrain", lab.eat("all")), ("test", lab.eat("all", across=True))],
        "test cells learnt from with labels",
        10,
    ),
    "statistics of all time": (
        lambda lab: [("train", lab.eat(load_diet("predictable").with_options(statistics_window="all")))],
        "statistics beyond train-role time",
        1,
    ),
    "statistics of another fold": (
        lambda lab: [("pretrain", lab.eat("predictable", fold=1)), ("test", lab.eat("all"))],
        "statistics under another split than the test",
        1,
    ),
    "another store": (
        lambda lab: [("pretrain", lab.eat("all", store=moved(lab))), ("test", lab.eat("all"))],
        "stages of different stores",
        1,
    ),
    "declared disjoint by donor": (
        lambda lab: [
            ("pretrain", lab.eat("predictable")),
            ("test", lab.eat(load_diet("unpredictable").with_options(disjoint=(Disjoint("predictable"),)))),
        ],
        "donors shared although declared disjoint",
        4,
    ),
    "declared by the earlier stage": (
        lambda lab: [
            ("pretrain", lab.eat(load_diet("all").with_options(disjoint=(Disjoint("predictable", "neuron"),)))),
            ("test", lab.eat("predictable")),
        ],
        "neurons shared although declared disjoint",
        40,
    ),
    "labels of held-out neurons": (
        lambda lab: [("train", lab.eat("predictable", across=True, labels=True))],
        "held-out neurons selected by labels",
        10,
    ),
}


@pytest.mark.parametrize("stages", HONEST.values(), ids=HONEST.keys())
def test_honest_lineages_pass(stages: Callable[[Lab], list[tuple[str, Manifest]]], lab: Lab) -> None:
    report = check_leaks(stages(lab))
    assert report.ok
    assert (report.table()["found"] == 0).all()
    assert report.table()["checked"].sum() > 0


@pytest.mark.parametrize(("stages", "check", "found"), PLANTED.values(), ids=PLANTED.keys())
def test_planted_leaks_are_caught(
    stages: Callable[[Lab], list[tuple[str, Manifest]]], check: str, found: int, lab: Lab
) -> None:
    lineage = stages(lab)
    with pytest.raises(LeakError, match=check):
        check_leaks(lineage)
    report = check_leaks(lineage, allow_leakage="a test of the check")
    assert not report.ok
    table = report.table().set_index("check")
    assert found in table.loc[[check], "found"].tolist()
    assert set(table.loc[~table["ok"], "allowed"]) == {"a test of the check"}
    assert "allowed: a test of the check" in repr(report)


def test_one_donor_in_two_roles_is_a_leak(lab: Lab, make_split: Make) -> None:
    split = make_split(lab.store, across=True)
    split.sessions.loc[split.sessions["session_id"] == "s05", "role"] = "test"  # its sister recording stays in train
    manifest = lab.resolve(Diet.everyone().during(GRATINGS), lab.store, split)
    report = check_leaks([("train", manifest)], allow_leakage="planted")
    found = {leak.check: leak.found for leak in report.leaks}
    assert found["donors in two roles of the split"] == 1
    assert found["cells in two roles of the split"] == 10


def test_overlap_of_a_single_frame_is_found_and_touching_is_not(lab: Lab, make_split: Make) -> None:
    for frames, leaks in ((0, 0), (1, 8)):
        early = make_split(lab.store, name="early")
        early.windows.loc[early.windows["role"] == "valid", "stop_frame"] += frames
        first = lab.resolve(Diet.everyone(), lab.store, early)
        second = lab.resolve(Diet.everyone(), lab.store, make_split(lab.store))
        report = check_leaks([("a", first), ("b", second)], allow_leakage="measured")
        table = report.table()
        row = table[(table["check"] == "test windows seen in training") & (table["stages"] == "a -> b")]
        assert row["found"].tolist() == [leaks]


def test_a_stage_without_labels_may_see_held_out_donors_train_time(lab: Lab) -> None:
    lineage = [("pretrain", lab.eat("all")), ("test", lab.eat("all", across=True))]
    strict = check_leaks(lineage, allow_leakage="x")
    loose = check_leaks(lineage, allow_leakage="x", label_free=["pretrain"])
    assert {leak.check for leak in strict.leaks} - {leak.check for leak in loose.leaks} == {
        "test donors learnt from with labels",
        "test cells learnt from with labels",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": []}, "at least one stage"),
        ({"allow_leakage": " "}, "must give a reason"),
        ({"label_free": ["pretrian"]}, "did you mean 'pretrain'"),
        ({"test_role": "train"}, "no stage has windows"),
        ({"test_role": "identify"}, "no stage has windows"),
    ],
)
def test_wrong_calls_are_usage_errors(options: dict[str, Any], message: str, lab: Lab) -> None:
    arguments = {"stages": [("pretrain", lab.eat("all"))]} | options
    with pytest.raises(UsageError, match=message):
        check_leaks(arguments.pop("stages"), **arguments)
