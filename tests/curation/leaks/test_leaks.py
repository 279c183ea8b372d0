"""Leak checks on what `Diet.resolve` makes, and the report: what was looked at, what was found, and what was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from poyodata.curation import Manifest, check_leaks
from poyodata.curation.leaks.check import LeakCheck, LeakReport
from poyodata.errors import LeakError, UsageError
from tests.curation.leaks.leak_cases import Honest, Planted, leaks_named
from tests.curation.leaks.leak_resolved import HIGH, HONEST, LOW, PLANTED, Lab, disjoint

KNOWN: dict[Any, Manifest] = {}
"""What was resolved already, by its question: the same everywhere, as every test gets an equal store."""


@pytest.fixture
def lab(resolve: Callable[..., Manifest], store: Any, make_split: Callable[..., Any]) -> Lab:
    return Lab(resolve, store, make_split, KNOWN)


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case.id)
def test_planted_leaks_are_caught(case: Planted, lab: Lab) -> None:
    run = case.make(lab)
    with pytest.raises(LeakError) as caught:
        check_leaks(run.stages, **run.options)
    found = leaks_named(str(caught.value))
    assert set(found) == {case.check, *case.besides}
    assert found[case.check] == case.found


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.id)
def test_honest_runs_pass(case: Honest, lab: Lab) -> None:
    run = case.make(lab)
    report = check_leaks(run.stages, **run.options)
    assert report.ok
    assert sum(one.checked for one in report.checks if one.check == case.looked) > 0


def test_the_report_says_what_was_looked_at_what_was_found_and_what_was_not(lab: Lab) -> None:
    first, second = lab.eat("all", fold=1), lab.eat("all")
    report = check_leaks([("pretrain", first), ("test", second)], allow_leakage="to see what it does")
    table = report.table().set_index(["check", "stages"])
    leak = table.loc[("test windows seen in training", "pretrain -> test")]
    assert leak[["checked", "found", "verdict", "allowed"]].tolist() == [80, 80, "LEAK", "to see what it does"]
    assert leak["detail"] == "first recording s00, frames 3300 to 3360"
    fine = table.loc[("test windows seen in training", "test")]
    assert fine[["checked", "found", "verdict", "allowed"]].tolist() == [80, 0, "ok", ""]
    idle = table.loc[("statistics under another split than the test", "pretrain -> test")]
    assert idle[["checked", "found", "verdict"]].tolist() == [0, 0, "nothing to check"]
    assert table.loc[("fitted beyond train-role time", "test"), "detail"] == "nothing fitted was given"
    lines = report.text().splitlines()
    assert "allowed: to see what it does" in lines[0]
    verdicts = [line.split(":")[0].strip() for line in lines[1:]]
    assert verdicts == sorted(verdicts, key=["LEAK", "ok", "nothing to check"].index)
    assert "allowed: to see what it does" in repr(report)
    assert "<td>nothing to check</td>" in report._repr_html_()


def test_nothing_looked_at_is_never_called_ok(lab: Lab) -> None:
    report = check_leaks([("train", lab.eat("all"))])
    table = report.table()
    assert (table.loc[table["checked"] == 0, "verdict"] == "nothing to check").all()
    assert (table.loc[table["checked"] > 0, "verdict"] == "ok").all()
    assert set(table["verdict"]) == {"ok", "nothing to check"}


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        pytest.param((), "LeakReport(0 checks: no leak)", id="nothing"),
        pytest.param((LeakCheck("a", "b", 3, 0),), "LeakReport(1 checks: no leak)", id="ok"),
        pytest.param(
            (LeakCheck("a", "b", 0, 0),), "LeakReport(0 checks (1 more had nothing to check): no leak)", id="idle"
        ),
        pytest.param(
            (LeakCheck("a", "b", 0, 0, is_promise=True),),
            "LeakReport(0 checks, 1 NOT CHECKED: no leak)",
            id="promise",
        ),
        pytest.param((LeakCheck("a", "b", 3, 1),), "LeakReport(1 checks: 1 leak, allowed: why)", id="leak"),
    ],
)
def test_a_report_in_one_line(checks: tuple[LeakCheck, ...], text: str) -> None:
    assert repr(LeakReport(checks, "why")) == text


def test_the_error_names_every_leak_with_its_count(lab: Lab) -> None:
    with pytest.raises(LeakError) as caught:
        check_leaks([("pretrain", lab.eat("predictable", fold=1)), ("test", lab.eat("all"))])
    message = str(caught.value)
    assert message.startswith("2 leaks from training into the test: ")
    assert "test windows seen in training [pretrain -> test]: 80 of 80, first recording s00" in message
    assert "statistics under another split than the test [pretrain -> test]: 1 of 1, moments" in message


def test_a_promise_that_could_not_be_checked_is_said_aloud(lab: Lab) -> None:
    """The other diet is eaten under another name: nothing was compared, which must not look like all is well."""
    promising = lab.eat(disjoint(LOW, "high.yaml", "donor"))
    renamed = lab.eat(HIGH.named("high2"))
    report = check_leaks([("pretrain", promising), ("test", renamed)])
    (said,) = report.unchecked
    assert (said.stages, said.verdict, said.found) == ("pretrain", "NOT CHECKED", 0)
    assert "no other stage eats 'high.yaml' under that name" in report.text().splitlines()[1]
    assert "1 NOT CHECKED" in repr(report)
    with pytest.raises(LeakError, match=r"Not checked: donors shared although declared disjoint \[pretrain\]"):
        check_leaks([("pretrain", promising), ("test", lab.eat(HIGH.named("high2"), fold=1))])
    eaten = check_leaks([("pretrain", promising), ("test", lab.eat(HIGH.named("high")))], allow_leakage="to see")
    assert eaten.unchecked == ()


def test_a_stage_without_labels_may_see_held_out_donors_train_time(lab: Lab) -> None:
    lineage = [("pretrain", lab.eat("all")), ("test", lab.eat("all", across=True))]
    strict = check_leaks(lineage, allow_leakage="x")
    loose = check_leaks(lineage, allow_leakage="x", label_free=["pretrain"])
    learnt = {f"test {unit}s learnt from with labels" for unit in ("donor", "container", "cell")}
    assert {leak.check for leak in strict.leaks} - {leak.check for leak in loose.leaks} == learnt
    said = {one.detail for one in loose.checks if one.check in learnt and one.stages == "pretrain -> test"}
    assert said == {"the earlier stage uses no labels"}


def test_another_role_can_be_tested_on(lab: Lab) -> None:
    """Identification time as the test: what is learnt from held-out mice then leaks, and their test time does not."""
    held = lab.eat("all", across=True)
    report = check_leaks([("train", held)], test_role="identify")
    assert sum(one.checked for one in report.checks if one.check == "test donors learnt from with labels") == 1


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
