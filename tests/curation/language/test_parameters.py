from __future__ import annotations

from collections.abc import Callable

import pytest

from poyodata.curation import Diet, WindowSample, c, mix, param
from poyodata.curation.language import rules
from poyodata.curation.language.parameters import Parameter
from poyodata.errors import DietError, UsageError


def everyone() -> Diet:
    return Diet.everyone()


# Every place that takes a parameter: how it is filled, its default there, and another value.
PLACES: dict[str, tuple[Callable[[Parameter], Diet], object, object]] = {
    "comparison": (lambda p: Diet.where(c.x <= p), 3.51, 2.0),
    "chain": (lambda p: Diet.where(f"0 < x < param(p, {p.default!r})"), 3, 4),
    "list": (lambda p: Diet.where(c.x.isin(["a", p])), "b", "it's"),
    "truth value": (lambda p: Diet.where(c.valid_roi == p), True, False),
    "share of a quantile": (lambda p: Diet.where(c.x > c.x.quantile(p)), 0.5, 0.9),
    "deep in an expression": (lambda p: Diet.where(~((c.a | (c.x.zscore() > p)) & c.b)), 2.0, 3.0),
    "fraction of a sample": (lambda p: everyone().sample(fraction=p), 0.3, 1.0),
    "number of a sample": (lambda p: everyone().sample(n=p), 3, 4),
    "seed of a sample": (lambda p: everyone().sample(n=3, seed=p), 0, 7),
    "number of a balance": (lambda p: everyone().balance("x", n=p), 3, 4),
    "seed of a balance": (lambda p: everyone().balance("x", seed=p), 3, 4),
    "k of top": (lambda p: everyone().top(p, by="x").named("top"), 3, 4),
    "seed of a match": (lambda p: everyone().matched(seed=p), 3, 4),
    "draw of a match": (lambda p: everyone().matched(draw=p), 3, 4),
    "pool of a match": (lambda p: everyone().matched(of=Diet.where(c.x > p)), 3, 4),
    "fraction of a term": (lambda p: mix(everyone(), everyone().sample(fraction=p)), 0.3, 0.4),
    "number of a term": (lambda p: mix(everyone(), everyone().sample(n=p, seed=3)), 3, 4),
    "seed of a term": (lambda p: mix(everyone(), everyone().sample(n=2, seed=p)), 3, 4),
    "share of a term": (
        lambda p: Diet(rules.Mix((rules.MixTerm(rules.Everyone()), rules.MixTerm(rules.Everyone(), share=p)))),
        0.3,
        0.4,
    ),
    "given to another diet": (lambda p: Diet.reference("a", with_={"x": p, "y": 1}), 3.51, 2.0),
    "windows": (lambda p: everyone().during(c.trial > p), 3, 4),
    "frames": (lambda p: everyone().during(while_=c.running_cm_s > p), 3.0, 4.0),
    "length of windows": (lambda p: everyone().during(min_length_s=p), 1.9, 2.5),
    "fraction of windows": (lambda p: everyone().during(sample=WindowSample(fraction=p)), 0.5, 0.25),
    "number of windows": (lambda p: everyone().during(sample=WindowSample(n=p)), 5, 2),
    "seed of windows": (lambda p: everyone().during(sample=WindowSample(n=1, seed=p)), 5, 2),
}


@pytest.mark.parametrize(("fill", "default", "other"), PLACES.values(), ids=PLACES.keys())
def test_parameters_are_found_set_and_bound_everywhere(
    fill: Callable[[Parameter], Diet], default: object, other: object
) -> None:
    diet = fill(Parameter("p", default))
    assert diet.parameters == {"p": default}
    changed = diet.with_parameters(p=other)
    assert changed.parameters == {"p": other}
    assert changed == fill(Parameter("p", other))
    assert changed.digest != diet.digest
    assert changed.with_parameters(p=default) == diet
    assert changed.bound().parameters == {}
    assert changed.bound().bound() == changed.bound() != diet.bound()
    assert "param" not in changed.bound().to_json()
    assert diet.named("x").bound().name == "x"


def test_a_diet_without_parameters_is_its_own_bound_form() -> None:
    diet = Diet.where("x > 1")
    assert diet.bound() is diet
    assert diet.parameters == {}


def test_one_parameter_in_several_places_is_set_in_all() -> None:
    share = param("share", 0.5)
    diet = Diet.where(c.x < c.x.quantile(share)).sample(fraction=share)
    diet = diet.during(min_length_s=share, sample=WindowSample(fraction=share))
    changed = diet.with_parameters(share=0.25)
    assert changed.to_json().count("0.25") == diet.to_json().count("0.5") == 4


CONTRADICTIONS = {
    "two in an expression": lambda: Diet.where("x > param(p, 1) or y > param(p, 2)"),
    "whole number and float": lambda: Diet.where("x > param(p, 1) or y > param(p, 1.0)"),
    "truth value and whole number": lambda: Diet.where("x == param(p, True) or y > param(p, 1)"),
    "two rules": lambda: Diet.where("x > param(p, 1)") & Diet.where("x < param(p, 2)"),
    "rule and its number": lambda: Diet.where("x > param(p, 1)").sample(n=param("p", 2)),
    "rule and windows": lambda: Diet.where("x > param(p, 1)").during(c.trial > param("p", 2)),
    "windows and their sample": lambda: everyone().during(
        c.trial > param("p", 2), sample=WindowSample(n=param("p", 1))
    ),
    "windows and frames": lambda: everyone().during(c.trial > param("p", 2), while_=c.time_s > param("p", 3)),
    "length and rule": lambda: Diet.where("x > param(p, 1)").during(min_length_s=param("p", 1.5)),
    "given and rule": lambda: Diet.where("x > param(p, 1)") | Diet.reference("a", with_={"q": param("p", 2)}),
    "terms of a mix": lambda: mix(Diet.where("x > param(p, 1)"), everyone().sample(n=param("p", 2))),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_one_name_with_two_defaults_is_refused(contradiction: Callable[[], Diet]) -> None:
    with pytest.raises(DietError, match=r"parameter 'p' has two defaults, .* give it the same one everywhere"):
        contradiction()


def test_the_names_given_to_another_diet_are_not_those_of_this_one() -> None:
    diet = Diet.reference("a", with_={"p": param("q", 2), "r": 3}) & Diet.where("x > param(p, 1)")
    assert diet.parameters == {"q": 2, "p": 1}
    bound = diet.with_parameters(q=5).bound()
    assert isinstance(bound.neurons, rules.Intersect)
    assert bound.neurons.rules[0] == rules.Reference("a", (("p", 5), ("r", 3)))


@pytest.mark.parametrize(
    ("diet", "values", "error", "expected"),
    [
        pytest.param(Diet.where("x > param(most, 1.5)"), {"mots": 1}, UsageError, "did you mean 'most'", id="unknown"),
        pytest.param(Diet.where("x > 1"), {"most": 1}, UsageError, "it has no parameters", id="none at all"),
        pytest.param(Diet.where("x > param(p, 1.5)"), {"p": "a"}, DietError, "'p' is a number", id="text"),
        pytest.param(Diet.where("x > param(p, 1.5)"), {"p": True}, DietError, "'p' is a number", id="truth value"),
        pytest.param(Diet.where("x > param(p, 1)"), {"p": 1.5}, DietError, "a whole number", id="fraction"),
        pytest.param(Diet.where("x > param(p, 1.5)"), {"p": float("nan")}, DietError, "not finite", id="nan"),
        pytest.param(Diet.where("x > param(p, 1.5)"), {"p": None}, DietError, "no constant", id="none"),
        pytest.param(
            everyone().sample(fraction=param("p", 0.5)),
            {"p": 1.5},
            DietError,
            "cannot have p=1.5: .* at most 1",
            id="range",
        ),
        pytest.param(everyone().sample(n=param("p", 5)), {"p": 0}, DietError, "cannot have p=0", id="too few"),
        pytest.param(
            Diet.where(c.x > c.x.quantile(param("p", 0.5))), {"p": -1}, DietError, "share of a quantile", id="share"
        ),
    ],
)
def test_wrong_values_are_refused(diet: Diet, values: dict[str, object], error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        diet.with_parameters(**values)


@pytest.mark.parametrize("name", ["self", "name", "values", "diet"])
def test_any_plain_name_can_be_set(name: str) -> None:
    diet = Diet.where(c.x > param(name, 1.0))
    assert diet.with_parameters(**{name: 2}).parameters == {name: 2.0}


@pytest.mark.parametrize("name", ["_p", "", "a b", "1p", "import", "p" * 200, "ä", 3])
def test_a_parameter_has_a_plain_name(name: object) -> None:
    with pytest.raises(DietError, match="name of a parameter"):
        Parameter(name, 1)


def test_a_whole_number_becomes_a_float_where_one_is_asked_for() -> None:
    changed = Diet.where("x > param(p, 1.5)").with_parameters(p=2)
    assert changed == Diet.where("x > param(p, 2.0)")
    assert type(changed.parameters["p"]) is float
