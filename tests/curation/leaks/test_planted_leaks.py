"""Leaks planted by hand are all caught, each by the right check; honest runs pass; every check earns its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from poyodata.curation import check_leaks
from poyodata.curation.leaks import check as leaks
from poyodata.curation.leaks.check import LeakCheck
from poyodata.errors import LeakError
from tests.curation.leaks import leak_resolved
from tests.curation.leaks.leak_cases import Honest, Planted, fit, held, leaks_named, manifest, run, trained
from tests.curation.leaks.leak_honest import HONEST as BY_HAND
from tests.curation.leaks.leak_honest_transfer import HONEST_TRANSFER
from tests.curation.leaks.leak_packed import OF_PACKING
from tests.curation.leaks.leak_planted_time import OF_TIME
from tests.curation.leaks.leak_planted_units import OF_UNITS
from tests.curation.leaks.leak_runs import BY_MICE

HONEST = (*BY_HAND, *HONEST_TRANSFER)
PLANTED = (*OF_TIME, *OF_PACKING, *OF_UNITS)
UNITS = ("donor", "container", "session", "cell", "neuron")


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case.id)
def test_planted_leaks_are_caught(case: Planted) -> None:
    run = case.make()
    with pytest.raises(LeakError) as caught:
        check_leaks(run.stages, **run.options)
    found = leaks_named(str(caught.value))
    assert set(found) == {case.check, *case.besides}
    assert found[case.check] == case.found


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.id)
def test_honest_runs_pass(case: Honest) -> None:
    run = case.make()
    report = check_leaks(run.stages, **run.options)
    assert report.ok
    assert sum(one.checked for one in report.checks if one.check == case.looked) > 0


def test_there_are_enough_cases_and_no_two_are_one() -> None:
    for by_hand, resolved in ((PLANTED, leak_resolved.PLANTED), (HONEST, leak_resolved.HONEST)):
        assert len(by_hand) >= 80
        assert len(resolved) >= 20
        for cases in (by_hand, resolved):
            assert len({case.id for case in cases}) == len(cases)
            assert len({(case.kind, case.mechanism) for case in cases}) == len(cases)
            # A run copied under another name would be the same code.
            made = [(case.make.__code__, case.make.__defaults__) for case in cases]
            codes = {repr((code.co_code, code.co_consts, code.co_names, given)) for code, given in made}
            assert len(codes) == len(cases)


def everything() -> Any:
    """A run on which every check has something to say."""
    promises = {"disjoint": [{"from": "low", "by": unit} for unit in UNITS]}
    one = manifest(trained(0), held(4), diet=promises, **BY_MICE)
    two = manifest(trained(0), held(4), name="low", **BY_MICE)
    return run(one, two, fitted=[fit(), fit("vocabulary")], allow_leakage="all of them")


def names_of_checks() -> list[str]:
    whole = everything()
    return sorted({one.check for one in check_leaks(whole.stages, **whole.options).checks})


@pytest.mark.parametrize("name", names_of_checks())
def test_every_check_earns_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check, a leak that it alone finds goes through."""
    alone = [case for case in PLANTED if case.check == name and not case.besides]
    assert alone, f"no planted leak is found by {name!r} alone"
    checks = leaks._checks

    def without(*arguments: Any) -> Iterator[LeakCheck]:
        return (one for one in checks(*arguments) if one.check != name)

    monkeypatch.setattr(leaks, "_checks", without)
    missed = alone[-1].make()
    assert check_leaks(missed.stages, **missed.options).ok


def test_every_planted_leak_is_of_a_check_that_is_known() -> None:
    assert {case.check for case in (*PLANTED, *leak_resolved.PLANTED)} <= set(names_of_checks())
