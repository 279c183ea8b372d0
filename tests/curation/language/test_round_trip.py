from __future__ import annotations

import ast
import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from poyodata.curation import PRESETS, Diet, Disjoint, WindowSample, c, load_diet, mix, param
from poyodata.curation.binding import collect_parameters
from poyodata.curation.language import expressions as nodes
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import Literal, to_text
from poyodata.curation.language.parameters import Parameter
from poyodata.curation.language.parse import parse_expression
from tests.curation.strategies import diets, expressions

SEEDED = {"deadline": None, "derandomize": True, "database": None}
MANY = settings(max_examples=10_000, suppress_health_check=list(HealthCheck), phases=[Phase.generate], **SEEDED)


def run(source: str) -> Diet:
    """Run source that `to_python` wrote, in an empty namespace."""
    ast.parse(source)
    names: dict[str, object] = {}
    exec(compile(source, "<diet>", "exec"), names)  # noqa: S102 - the program's own output is what is tested
    diet = names["diet"]
    assert isinstance(diet, Diet)
    return diet


def check_round_trip(diet: Diet) -> None:
    """YAML to Diet to JSON to Diet to Python to Diet to YAML: every one the same diet, and the same text again."""
    text = diet.to_yaml()
    first = Diet.from_yaml(text)
    second = Diet.from_json(first.to_json())
    third = run(second.to_python())
    assert diet == first == second == third
    assert len({diet.digest, first.digest, second.digest, third.digest}) == 1
    assert third.to_yaml() == text
    assert third.to_python() == diet.to_python()
    assert third.to_json() == diet.to_json()
    assert Diet.from_dict(json.loads(json.dumps(diet.to_dict()))) == diet
    assert hash(third) == hash(diet)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), **SEEDED)
@given(diets)
def test_yaml_json_and_python_round_trip(diet: Diet) -> None:
    check_round_trip(diet)


@pytest.mark.slow
@MANY
@given(diets)
def test_ten_thousand_diets_round_trip(diet: Diet) -> None:
    check_round_trip(diet)


@settings(max_examples=120, suppress_health_check=list(HealthCheck), **SEEDED)
@given(expressions)
def test_text_and_tree_round_trip(tree: nodes.Node) -> None:
    check_expression(tree)


@pytest.mark.slow
@MANY
@given(expressions)
def test_ten_thousand_expressions_round_trip(tree: nodes.Node) -> None:
    check_expression(tree)


def check_expression(tree: nodes.Node) -> None:
    text = to_text(tree)
    again = parse_expression(text)
    assert again == tree
    assert to_text(again) == text
    assert parse_expression(f"\n ( {text} )  ") == tree


@settings(max_examples=20, suppress_health_check=list(HealthCheck), **SEEDED)
@given(diets)
def test_a_bound_diet_has_no_parameter_and_means_the_same(diet: Diet) -> None:
    bound = diet.bound()
    assert bound.parameters == {}
    assert "param" not in json.dumps(bound.to_dict()["neurons"]).replace("params", "") or not diet.parameters
    assert diet.with_parameters(**diet.parameters) == diet
    assert diet.with_parameters(**diet.parameters).bound() == bound
    check_round_trip(bound)


@pytest.mark.slow
def test_the_strategies_reach_the_whole_grammar() -> None:
    """Every node, every rule, and every field of them with and without a parameter, within some of the diets."""
    met: set[type] = set()
    filled: set[tuple[type, str]] = set()

    @settings(max_examples=1500, suppress_health_check=list(HealthCheck), phases=[Phase.generate], **SEEDED)
    @given(diets)
    def look(diet: Diet) -> None:
        todo: list[object] = [diet]
        while todo:
            part = todo.pop()
            if isinstance(part, tuple):
                todo.extend(part)
            elif hasattr(part, "__dataclass_fields__"):
                met.add(type(part))
                for name in part.__dataclass_fields__:
                    value = getattr(part, name)
                    if isinstance(value, Parameter):
                        filled.add((type(part), name))
                    todo.append(value)

    look()
    assert met >= {*get_args(rules.Rule), *get_args(nodes.Node), rules.MixTerm, WindowSample, Disjoint}
    takes = {
        (kind, name)
        for kind in met
        for name, field in kind.__dataclass_fields__.items()  # type: ignore[attr-defined]
        if "Parameter" in str(field.type) and not str(field.type).startswith("tuple")
    }
    assert takes <= filled


THRESHOLD = "skewness <= param(most, 3.51)"
TRAPS = {
    "whole number given": Diet.reference("a", with_={"x": 1}),
    "float given": Diet.reference("a", with_={"x": 1.0}),
    "truth value given": Diet.reference("a", with_={"x": True}),
    "text given": Diet.reference("a", with_={"x": "1"}),
    "parameter given": Diet.reference("a", with_={"x": param("y", 1)}),
    "float parameter given": Diet.reference("a", with_={"x": param("y", 1.0)}),
    "whole number compared": Diet.where("x == 1"),
    "float compared": Diet.where("x == 1.0"),
    "truth value compared": Diet.where("x == True"),
    "text compared": Diet.where("x == 'True'"),
    "whole number in a list": Diet.where("x in [1]"),
    "float in a list": Diet.where("x in [1.0]"),
    "not in": Diet.where("x not in [1]"),
    "not (in)": Diet.where("not x in [1]"),
    "parameter of a whole number": Diet.where("x == param(p, 1)"),
    "parameter of a float": Diet.where("x == param(p, 1.0)"),
    "parameter of a truth value": Diet.where("x == param(p, True)"),
    "chain": Diet.where("0 < x <= 3"),
    "constant first": Diet.where("3 >= x"),
    "column first": Diet.where("x <= 3"),
    "parameter first": Diet.where("param(p, 3) >= x"),
    "quantile first": Diet.where("quantile(x, 0.5) <= x"),
    "true": Diet.where("True"),
    "bare column": Diet.where("valid_roi"),
    "grouped": Diet.where("(a or b) and (c or not (d and e))"),
    "stimulus with spaces": Diet.where("skewness@'natural movie' > abs(x@'it\\'s \"so\"')"),
    "within a stimulus with spaces": Diet.everyone().sample(n=3, within="skewness@natural movie"),
    "quotes and backslashes": Diet.where(c.x == "\\'\"\\\\n"),
    "unicode": Diet.where(c.x == "ä😀Ⅻ", name="Ⅻ ä", description="ﬁrst\n\nlast ☃"),
    "union within a union": Diet(rules.Union((rules.Union((rules.Everyone(), rules.Ids(("a",)))), rules.Everyone()))),
    "difference of a difference": (Diet.ids(["a"]) - Diet.ids(["b"])) - Diet.ids(["c"]),
    "difference with a difference": Diet.ids(["a"]) - (Diet.ids(["b"]) - Diet.ids(["c"])),
    "complement sampled": (~Diet.ids(["a"])).sample(fraction=0.5),
    "sample of a complement": ~(Diet.ids(["a"]).sample(fraction=0.5)),
    "everyone in a mix": mix(Diet.everyone(), Diet.ids(["a"])),
    "unnamed pool in a mix": mix(Diet.everyone(name="unnamed"), ~Diet.ids(["a"])),
    "long names in a mix": mix(Diet.ids(["a"], name="a" * 98).sample(n=1), Diet.ids(["b"], name="b" * 390)),
    "shares": Diet(rules.Mix((rules.MixTerm(rules.Everyone(), share=0.25), rules.MixTerm(rules.Ids(("a",)), "b")))),
    "sample within in a mix": mix(Diet.ids(["a"]).sample(n=1, within="x"), Diet.everyone().sample(n=1).sample(n=2)),
    "match": Diet.reference("a").matched(["cre_line", "tokens"], of=Diet.ids(["a"]) | Diet.everyone(), draw=3),
    "top": Diet.everyone().top(param("k", 3), by=c["x@natural movie"].log10().zscore(), order="lowest"),
    "balance": Diet.everyone().balance(["cre_line", "targeted_structure"]),
    "many ids": Diet.ids([f"527745328_{index}" for index in range(500)]),
    "a long id": Diet.ids(["n" * 400]),
    "many conditions": Diet.where(" and ".join(f"x{index} > {index}" for index in range(150))),
    "many diets": Diet(rules.Union(tuple(rules.Ids((f"{index}",)) for index in range(100)))),
    "windows": Diet.everyone().during(
        c.stimulus == "natural movie",
        min_length_s=param("length_s", 2),
        while_="0 < running_cm_s < 3",
        sample=WindowSample(n=3, roles=("valid", "train")),
    ),
    "one parameter in all places": Diet.where("rank(x) < quantile(x, param(share, 0.5))")
    .sample(fraction=param("share", 0.5))
    .during(min_length_s=param("share", 0.5), sample=WindowSample(fraction=param("share", 0.5))),
}


@pytest.mark.parametrize("diet", TRAPS.values(), ids=TRAPS.keys())
def test_what_is_easily_lost_on_the_way_is_not(diet: Diet) -> None:
    check_round_trip(diet)


def test_diets_that_differ_have_different_digests_and_are_not_equal() -> None:
    traps = list(TRAPS.values())
    assert len({diet.digest for diet in traps}) == len(set(traps)) == len(traps)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(Diet.where("x > -0.0"), Diet.where("x > 0.0"), id="negative zero"),
        pytest.param(Diet.where(c.x > -0.0), Diet.where(c.x > 0.0), id="negative zero in Python"),
        pytest.param(
            Diet.reference("a", with_={"x": -0.0}), Diet.reference("a", with_={"x": 0.0}), id="negative zero given"
        ),
        pytest.param(Diet.where("(a and b) and c"), Diet.where("a and (b and c)"), id="grouping of and"),
        pytest.param((c.a & c.b) & c.d, c.a & (c.b & c.d), id="grouping in Python"),
        pytest.param("a" & c.b, parse_expression("a and b"), id="text first"),
        pytest.param(
            Diet.where("x > quantile(y, 1)"), Diet.where("x > quantile(y, 1.0)"), id="whole number as a share"
        ),
        pytest.param(
            Diet.everyone().sample(fraction=1), Diet.everyone().sample(fraction=1.0), id="whole number as a fraction"
        ),
        pytest.param(
            Diet.everyone().during(min_length_s=2), Diet.everyone().during(min_length_s=2.0), id="whole seconds"
        ),
        pytest.param(
            Diet.reference("a", with_={"x": 1, "y": 2}), Diet.reference("a", with_={"y": 2, "x": 1}), id="order given"
        ),
        pytest.param(Diet.everyone().balance("x"), Diet.everyone().balance(["x"]), id="one column"),
        pytest.param(
            Diet.everyone().top(3, by="abs( x )"), Diet.everyone().top(3, by=abs(c.x)), id="spelling of top's by"
        ),
        pytest.param(Diet.where('x == "a"'), Diet.where("x == 'a'"), id="quotes"),
        pytest.param(Diet.where("x@a > 1"), Diet.where(c.x @ "a" > 1), id="spelling of a restriction"),
        pytest.param(Diet.where("x > param('m', 1)"), Diet.where(c.x > param("m", 1)), id="spelling of a parameter"),
        pytest.param(
            WindowSample(n=1, roles=("valid", "train")),
            WindowSample(n=1, roles=["train", "valid", "train"]),  # type: ignore[arg-type]
            id="order of roles",
        ),
        pytest.param(
            Diet(rules.Union([rules.Everyone(), rules.Ids(["a"])])),  # type: ignore[arg-type]
            Diet(rules.Union((rules.Everyone(), rules.Ids(("a",))))),
            id="lists",
        ),
    ],
)
def test_what_means_the_same_is_the_same(first: object, second: object) -> None:
    if isinstance(first, Diet) and isinstance(second, Diet):
        assert first.digest == second.digest
        assert first.to_python() == second.to_python()
    else:
        second = getattr(second, "node", second)
        first = getattr(first, "node", first)
    assert first == second


def test_numpy_numbers_are_plain_ones() -> None:
    import numpy as np

    made = Diet.everyone().sample(n=np.int64(3), seed=np.int64(1)).top(np.int32(2), by="x")
    assert made == Diet.everyone().sample(n=3, seed=1).top(2, by="x")
    assert Diet.where(c.x > np.float64(1.5)) == Diet.where("x > 1.5")
    check_round_trip(made)


def test_operators_group_as_sets_do() -> None:
    a, b, d = (Diet.ids([name]) for name in "abd")
    assert ((a | b) | d).neurons == (a | (b | d)).neurons == rules.Union((a.neurons, b.neurons, d.neurons))
    assert ((a & b) & d).neurons == (a & (b & d)).neurons
    assert (a - b - d).neurons == rules.Difference((a.neurons, b.neurons, d.neurons))
    assert (a - (b - d)).neurons != (a - b - d).neurons


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip(name: str) -> None:
    check_round_trip(load_diet(name))


def test_parameters_of_a_literal_kind_are_kept_apart() -> None:
    assert len({Literal(1), Literal(1.0), Literal(True)}) == 3
    assert len({Parameter("p", 1), Parameter("p", 1.0), Parameter("p", True)}) == 3
    assert len({rules.Reference("a", (("x", value),)) for value in (1, 1.0, True)}) == 3
    assert list(collect_parameters(Diet.where(THRESHOLD).neurons)) == ["most"]
