from __future__ import annotations

import pickle
import time
from typing import get_args

import pytest

from poyodata.curation import Diet, WindowRule, WindowSample
from poyodata.curation.documents import document_keys
from poyodata.curation.language import rules
from poyodata.curation.language.parameters import Parameter, Value
from poyodata.curation.language.parse import parse_expression, parse_operand
from poyodata.errors import DietError

BAD = {
    "unknown key": ("diet: 1\nneuron: all\nneurons: all\n", [":2:", "did you mean 'neurons'?"]),
    "unknown key below": (
        "diet: 1\nneurons:\n  mix:\n  - of: all\n  - of: all\n    fracton: 0.3\n",
        [":6:", "'fraction'"],
    ),
    "unknown operator": ("diet: 1\nneurons:\n  wher: x > 1\n", [":3:", "did you mean 'where'?"]),
    "both share and fraction": (
        "diet: 1\nneurons:\n  mix:\n  - of: all\n  - of: all\n    share: 0.3\n    fraction: 0.3\n",
        ["both fraction and share"],
    ),
    "two operators": ("diet: 1\nneurons: {where: x > 1, diet: all}\n", ["exactly one", "where and diet"]),
    "no operator": ("diet: 1\nneurons: {}\n", ["no operator"]),
    "no neurons": ("diet: 1\nname: x\n", ["'neurons' is missing"]),
    "no version": ("neurons: all\n", ["diet: 1"]),
    "other version": ("diet: 2\nneurons: all\n", ["reads `diet: 1`"]),
    "expression": ("diet: 1\nneurons:\n  where: skewness = 3\n", [":3:", "write =="]),
    "window column": (
        "diet: 1\nneurons: all\nwindows:\n  where: skewness > 3\n",
        [":4:10: windows.where: ", "no column of that"],
    ),
    "negative length": ("diet: 1\nneurons: all\nwindows: {min_length_s: -1}\n", ["above 0"]),
    "fraction above one": ("diet: 1\nneurons: {sample: {of: all, fraction: 1.5}}\n", ["at most 1"]),
    "sample of nothing": ("diet: 1\nneurons: {sample: {of: all}}\n", ["either a fraction or n"]),
    "shares above one": (
        "diet: 1\nneurons: {mix: [{of: all}, {of: all, share: 0.6}, {of: all, share: 0.6}]}\n",
        ["add up to 1.2"],
    ),
    "missing policy": ("diet: 1\nneurons: all\nmissing: drop\n", [":3:", "'drop'"]),
    "truth value as id": ("diet: 1\nneurons: {ids: [yes]}\n", ["expected a text", "quotes"]),
    "date as name": ("diet: 1\nname: 2024-01-01\nneurons: all\n", [":2:", "quotes"]),
    "number as name": ("diet: 1\nname: 30\nneurons: all\n", [":2:", "quotes"]),
    "bad disjoint": ("diet: 1\nneurons: all\ndisjoint: [{from: all, by: doner}]\n", ["did you mean 'donor'?"]),
    "twice": ("diet: 1\nneurons: all\nneurons: all\n", [":3:", "twice"]),
    "not yaml": ("diet: 1\nneurons: [\n", ["not YAML"]),
    "tab": ("diet: 1\n\tneurons: all\n", [":2:"]),
    "list": ("- diet\n- 1\n", ["a mapping"]),
    "empty": ("\n\n", ["empty"]),
    "two documents": ("diet: 1\nneurons: all\n---\ndiet: 1\n", ["not YAML"]),
    "tag": ("diet: 1\nneurons: !!python/object/apply:os.system ['true']\n", [":2:", "tags"]),
    "alias": ("diet: 1\nneurons: &a {union: [*a, *a]}\n", ["anchors"]),
    "merge": ("diet: 1\nneurons: {<<: {where: x > 1}}\n", ["unknown key"]),
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", ["anchors"]),
    "deep flow": ("diet: 1\nneurons: " + "[" * 60000 + "\n", ["levels deep"]),
    "deep complement": ("diet: 1\nneurons: " + "{complement: " * 80 + "all" + "}" * 80, ["nested"]),
    "too large": ("diet: 1\n# " + "x" * 70000 + "\n", ["64 KiB"]),
    "long number": ("diet: 1\nneurons: {sample: {of: all, n: " + "9" * 60000 + "}}\n", ["quotes"]),
    "sexagesimal": ("diet: 1\nneurons: {sample: {of: all, n: 1" + ":59" * 9000 + "}}\n", ["quotes"]),
    "null byte": ("diet: 1\nname: \0\n", ["cannot be read"]),
    "control in name": ('diet: 1\nname: "a\\x07"\nneurons: all\n', ["printable"]),
    "complex key": ("diet: 1\n? [a, b]\n: 1\n", ["plain word"]),
    "infinite": ("diet: 1\nneurons: {sample: {of: all, fraction: .inf}}\n", []),
    "not a number": ("diet: 1\nneurons: {sample: {of: all, fraction: .nan}}\n", []),
    "null rule": ("diet: 1\nneurons: null\n", ["no value"]),
    "one in a union": ("diet: 1\nneurons: {union: [all]}\n", ["at least two"]),
    "ids twice": ("diet: 1\nneurons: {ids: [a, a]}\n", ["twice"]),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD.keys())
def test_wrong_yaml_is_a_diet_error_that_says_where(text: str, expected: list[str]) -> None:
    begun = time.process_time()
    with pytest.raises(DietError) as caught:
        Diet.from_yaml(text)
    assert time.process_time() - begun < 1
    message = str(caught.value)
    assert len(message) < 1000
    for part in expected:
        assert part in message, message


def test_every_error_of_a_document_is_named_at_once() -> None:
    with pytest.raises(DietError, match=r"<yaml>:2:1: nam: .*\n<yaml>:4:3: neurons.wher: "):
        Diet.from_yaml("diet: 1\nnam: x\nneurons:\n  wher: x > 1\n")


def test_a_mapping_nested_without_end_is_refused() -> None:
    rule: dict[str, object] = {"where": "x > 1"}
    for _ in range(3000):
        rule = {"complement": rule}
    with pytest.raises(DietError):
        Diet.from_dict({"diet": 1, "neurons": rule})


SMALL = "diet: 1\nneurons: "
WHOLE = {
    "all": ("all", rules.Everyone()),
    "all spelled out": ("{all: true}", rules.Everyone()),
    "where": ("{where: x > 1}", rules.Where(parse_expression("x > 1"))),
    "ids": ("{ids: ['1_2', a]}", rules.Ids(("1_2", "a"))),
    "reference": ("{diet: predictable}", rules.Reference("predictable")),
    "reference with": (
        "{diet: p, with: {b: {param: most, default: 2}, a: 1}}",
        rules.Reference("p", (("a", 1), ("b", Parameter("most", 2)))),
    ),
    "union": ("{union: [all, {diet: p}]}", rules.Union((rules.Everyone(), rules.Reference("p")))),
    "intersect": ("{intersect: [all, {diet: p}]}", rules.Intersect((rules.Everyone(), rules.Reference("p")))),
    "difference": ("{difference: [all, {diet: p}]}", rules.Difference((rules.Everyone(), rules.Reference("p")))),
    "complement": ("{complement: {diet: p}}", rules.Complement(rules.Reference("p"))),
    "sample": (
        "{sample: {of: all, fraction: {param: part, default: 0.3}, seed: {param: seed, default: 1}, within: area}}",
        rules.Sample(rules.Everyone(), fraction=Parameter("part", 0.3), seed=Parameter("seed", 1), within="area"),
    ),
    "sample of a number": (
        "{sample: {of: all, n: {param: n, default: 3}}}",
        rules.Sample(rules.Everyone(), n=Parameter("n", 3)),
    ),
    "balance": (
        "{balance: {of: all, by: [area, cre_line], n: {param: n, default: 3}, seed: 2}}",
        rules.Balance(rules.Everyone(), ("area", "cre_line"), n=Parameter("n", 3), seed=2),
    ),
    "balance by one text": ("{balance: {of: all, by: area}}", rules.Balance(rules.Everyone(), ("area",))),
    "top": (
        "{top: {of: all, k: {param: k, default: 5}, by: abs(skewness), order: lowest, within: area}}",
        rules.Top(rules.Everyone(), Parameter("k", 5), parse_operand("abs(skewness)"), "lowest", "area"),
    ),
    "match": (
        "{match: {to: {diet: p}, from: {diet: q}, on: [area, windows], seed: 1, draw: {param: draw, default: 4}}}",
        rules.Match(rules.Reference("p"), rules.Reference("q"), ("area", "windows"), 1, Parameter("draw", 4)),
    ),
    "match of the number alone": ("{match: {to: {diet: p}}}", rules.Match(rules.Reference("p"))),
    "match on one text": ("{match: {to: all, on: area}}", rules.Match(rules.Everyone(), on=("area",))),
    "mix": (
        "{mix: [{of: all, name: rest}, {of: {diet: p}, share: {param: share, default: 0.3}, seed: 1}]}",
        rules.Mix(
            (
                rules.MixTerm(rules.Everyone(), name="rest"),
                rules.MixTerm(rules.Reference("p"), share=Parameter("share", 0.3), seed=1),
            )
        ),
    ),
}


@pytest.mark.parametrize(("text", "rule"), WHOLE.values(), ids=WHOLE.keys())
def test_every_operator_is_read_and_written_back(text: str, rule: rules.Rule) -> None:
    diet = Diet.from_yaml(SMALL + text)
    assert diet.neurons == rule
    assert Diet.from_yaml(diet.to_yaml()) == Diet.from_json(diet.to_json()) == diet


def test_every_operator_is_tried_above() -> None:
    tried = {type(rule) for _, rule in WHOLE.values()}
    assert tried == set(get_args(rules.Rule))
    assert set(document_keys.OPERATORS) == {text.strip("{").partition(":")[0] for text, _ in WHOLE.values()}


def test_windows_and_statistics_are_read_whole() -> None:
    diet = Diet.from_yaml(
        "diet: 1\nneurons: all\nstatistics: {window: all, reference: all}\nwindows:\n"
        "  where: stimulus == 'drifting_gratings'\n  while: running_cm_s < param(slow, 1.0)\n"
        "  min_length_s: {param: least, default: 1.9}\n"
        "  sample: {fraction: 0.5, seed: 3, roles: [train, valid]}\n"
    )
    assert (diet.statistics_window, diet.statistics_reference) == ("all", "all")
    assert diet.windows == WindowRule(
        parse_expression("stimulus == 'drifting_gratings'"),
        Parameter("least", 1.9),
        parse_expression("running_cm_s < param(slow, 1.0)"),
        WindowSample(fraction=0.5, seed=3, roles=("train", "valid")),
    )
    assert diet.parameters == {"least": 1.9, "slow": 1.0}
    assert Diet.from_yaml(diet.to_yaml()) == diet


NUMBERS = {
    "1e1": 10.0,
    "1E+1": 10.0,
    "1.e1": 10.0,
    ".5e1": 5.0,
    "+2e0": 2.0,
    "1_0": 10,
    "5": 5,
    "0.5": 0.5,
    "-1e-3": -0.001,
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=NUMBERS.keys())
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    diet = Diet.from_yaml(f"{SMALL}{{diet: p, with: {{a: {text}}}}}")
    ((_, value),) = diet.neurons.given  # type: ignore[union-attr]
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize("name", ["1e9", "0E0", "-1e5", "1_0", "yes", "2024-01-01", "017", "1:30", "~", ".5e1", "0x1f"])
def test_texts_that_look_like_something_else_are_written_in_quotes(name: str) -> None:
    diet = Diet.ids([name, "a"], name=name)
    assert Diet.from_yaml(diet.to_yaml()) == diet
    with pytest.raises(DietError, match="quotes"):
        Diet.from_yaml(f"{SMALL}all\nname: {name if name != '~' else 1}")


@pytest.mark.parametrize(
    "name", ["900000000_10000000000", "527745328_517399188", "1_0", "017", "1e9", "1.50", "2024-01-01", "1:30", "0x1f"]
)
@pytest.mark.parametrize("text", ["ids: [a, {}]", "complement:\n    ids:\n    - a\n    - {}"], ids=["flow", "block"])
def test_ids_need_no_quotes(name: str, text: str) -> None:
    diet = Diet.from_yaml(f"diet: 1\nneurons:\n  {text.format(name)}\n")
    rule = diet.neurons.of if isinstance(diet.neurons, rules.Complement) else diet.neurons
    assert rule == rules.Ids(("a", name))
    assert Diet.from_yaml(diet.to_yaml()) == diet


@pytest.mark.parametrize("name", ["ids", "where", "diet", "of", "seed", "param", "default", "name"])
@pytest.mark.parametrize("value", [5, 2.5, "5", "1e9", True, Parameter("ids", 7)], ids=str)
def test_a_parameter_may_be_called_as_a_key_is(name: str, value: Value | Parameter) -> None:
    diet = Diet.reference("p", with_={name: value})
    assert Diet.from_yaml(diet.to_yaml()) == Diet.from_json(diet.to_json()) == diet


def test_as_many_neurons_can_be_listed_in_python_as_one_likes() -> None:
    diet = Diet.ids([f"n{number}" for number in range(20_000)])
    assert Diet.from_dict(diet.to_dict()) == diet
    for written in (diet.to_yaml, lambda: Diet.from_json(diet.to_json())):
        with pytest.raises(DietError, match=r"by a rule|KiB"):
            written()


def test_a_hundred_problems_are_listed_and_no_more() -> None:
    text = "diet: 1\nneurons: all\n" + "".join(f"k{number}: 1\n" for number in range(500))
    with pytest.raises(DietError) as caught:
        Diet.from_yaml(text)
    assert 100 <= len(caught.value.problems) <= 101


def test_an_error_with_problems_can_be_pickled() -> None:
    with pytest.raises(DietError) as caught:
        Diet.from_yaml("diet: 1\nneurons: {where: x = 1}\n")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - as between processes
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems


def test_a_parameter_for_a_fraction_can_be_set_to_one_although_its_default_is_whole() -> None:
    text = (
        SMALL
        + "{sample: {of: all, fraction: {param: part, default: 1}}}\nwindows: {min_length_s: {param: s, default: 2}}"
    )
    diet = Diet.from_yaml(text)
    assert diet.with_parameters(part=0.5, s=1.5).parameters == {"part": 0.5, "s": 1.5}
    assert Diet.from_yaml(diet.to_yaml()) == diet
