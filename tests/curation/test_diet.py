from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation import PRESETS, Diet, Disjoint, c, load_diet, mix, rules
from poyodata.curation.parse import parse_expression
from poyodata.curation.window_rule import WindowRule
from poyodata.errors import DietError, UsageError

plain = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" #:'\"-"), min_size=1, max_size=12
).filter(lambda text: bool(text.strip()))
expressions = st.sampled_from(
    [
        "skewness <= 3.51",
        "x == 'a: # b'",
        "not (a or b)",
        "x in ['yes', 'on', '1']",
        "True",
        "x > 1e-07",
        'x == "it\'s"',
    ]
).map(parse_expression)
fractions = st.floats(0, 1, exclude_min=True)
seeds = st.integers(0, 2**31)
amounts = st.one_of(fractions.map(lambda f: {"fraction": f}), st.integers(1, 10**6).map(lambda n: {"n": n}))
simple = st.one_of(
    st.just(rules.Everyone()),
    expressions.map(rules.Where),
    st.lists(plain, min_size=1, max_size=3, unique=True).map(lambda names: rules.Ids(tuple(names))),
    plain.map(rules.Reference),
)


def grown(inner: st.SearchStrategy[rules.Rule]) -> st.SearchStrategy[rules.Rule]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    whole_or_part = st.one_of(st.just({}), amounts, st.floats(0.01, 0.3).map(lambda share: {"share": share}))
    term = st.builds(
        lambda of, name, amount, seed: rules.MixTerm(of, name=name, **amount, seed=seed if amount else 0),
        inner,
        st.one_of(st.just(""), plain),
        whole_or_part,
        seeds,
    )
    fixed = inner.map(rules.MixTerm)
    return st.one_of(
        several.map(rules.Union),
        several.map(rules.Intersect),
        several.map(rules.Difference),
        inner.map(rules.Complement),
        st.builds(
            lambda of, amount, seed, within: rules.Sample(of, **amount, seed=seed, within=within),
            inner,
            amounts,
            seeds,
            st.sampled_from([None, "cre_line"]),
        ),
        st.builds(lambda first, rest: rules.Mix((first, *rest)), fixed, st.lists(term, min_size=1, max_size=2)),
    )


diets = st.builds(
    Diet,
    st.recursive(simple, grown, max_leaves=6),
    name=plain,
    description=st.lists(st.one_of(st.just(""), plain), max_size=3).map("\n".join),
    splits=st.one_of(st.none(), plain),
    statistics_window=st.sampled_from(["train", "all"]),
    missing=st.sampled_from(["exclude", "include", "error"]),
    windows=st.builds(
        WindowRule,
        st.one_of(st.none(), st.just(parse_expression("stimulus == 'a' and not blank"))),
        st.one_of(st.none(), st.floats(0.01, 100)),
    ),
    disjoint=st.lists(st.builds(Disjoint, plain, st.sampled_from(["donor", "cell"])), max_size=2).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(diets)
def test_yaml_json_and_python_round_trip(diet: Diet) -> None:
    assert Diet.from_yaml(diet.to_yaml()) == diet
    assert Diet.from_json(diet.to_json()) == diet
    assert Diet.from_dict(json.loads(json.dumps(diet.to_dict()))) == diet
    assert Diet.from_yaml(diet.to_yaml()).digest == diet.digest


def test_the_document_of_the_design_is_read() -> None:
    text = """
diet: 1
name: mixed-30
description: All unpredictable neurons plus 30 % of the predictable ones (the 30 % is our choice; the paper gives none).
splits: donor-70-10-20
statistics: {window: train}
missing: exclude                      # exclude | include | error
neurons:
  mix:
    - of: {diet: unpredictable}
    - of: {diet: predictable}
      fraction: 0.30                  # of that pool; `share: 0.30` = of the result; both -> error
      seed: 0
windows:
  where: stimulus == 'drifting_gratings'
  min_length_s: 1.9
disjoint: []
"""
    diet = Diet.from_yaml(text)
    assert diet.splits == "donor-70-10-20"
    assert diet.windows == WindowRule(parse_expression("stimulus == 'drifting_gratings'"), 1.9)
    assert diet.neurons == load_diet("mixed-30").neurons


def test_python_operators_build_the_rules_of_the_presets() -> None:
    predictable = Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="predictable")
    assert predictable.neurons == load_diet("predictable").neurons
    assert (~predictable).neurons == rules.Complement(predictable.neurons)
    mixed = mix(~predictable, predictable.sample(fraction=0.30, seed=0), name="mixed-30")
    assert mixed.to_dict()["neurons"] == {
        "mix": [
            {"name": "not predictable", "of": {"complement": {"where": "skewness <= 3.51 and kurtosis <= 22.62"}}},
            {
                "name": "predictable",
                "of": {"where": "skewness <= 3.51 and kurtosis <= 22.62"},
                "fraction": 0.3,
                "seed": 0,
            },
        ]
    }
    inhibitory = load_diet("inhibitory")
    assert isinstance((predictable & inhibitory).neurons, rules.Intersect)
    assert isinstance((predictable | inhibitory).neurons, rules.Union)
    assert isinstance((predictable - inhibitory).neurons, rules.Difference)
    assert predictable.during(c.stimulus == "drifting_gratings", min_length_s=1.9).windows.min_length_s == 1.9


def test_joined_diets_keep_what_they_agree_on_and_refuse_what_they_do_not() -> None:
    a, b = Diet.where("x > 1", name="a", splits="epoch-out"), Diet.where("y > 1", name="b")
    assert (a & b).splits == "epoch-out"
    with pytest.raises(DietError, match="different splits"):
        a & Diet.where("y > 1", splits="blocks-5fold")
    with pytest.raises(DietError, match="differ in missing"):
        a & b.with_options(missing="include")
    with pytest.raises(DietError, match="different windows"):
        a.during(c.trial > 1) | b.during(c.trial > 2)


BAD = {
    "unknown key": ("diet: 1\nneuron: all\nneurons: all\n", ["line 2", "did you mean 'neurons'?"]),
    "unknown key below": (
        "diet: 1\nneurons:\n  mix:\n  - of: all\n  - of: all\n    fracton: 0.3\n",
        ["line 6", "'fraction'"],
    ),
    "unknown operator": ("diet: 1\nneurons:\n  wher: x > 1\n", ["line 3", "did you mean 'where'?"]),
    "both share and fraction": (
        "diet: 1\nneurons:\n  mix:\n  - of: all\n  - of: all\n    share: 0.3\n    fraction: 0.3\n",
        ["both fraction and share"],
    ),
    "two operators": ("diet: 1\nneurons: {where: x > 1, diet: all}\n", ["exactly one", "where and diet"]),
    "no operator": ("diet: 1\nneurons: {}\n", ["no operator"]),
    "no neurons": ("diet: 1\nname: x\n", ["'neurons' is missing"]),
    "no version": ("neurons: all\n", ["diet: 1"]),
    "other version": ("diet: 2\nneurons: all\n", ["reads `diet: 1`"]),
    "expression": ("diet: 1\nneurons:\n  where: skewness = 3\n", ["line 3", "write =="]),
    "window column": (
        "diet: 1\nneurons: all\nwindows:\n  where: skewness > 3\n",
        ["line 3", "no column of that"],
    ),
    "negative length": ("diet: 1\nneurons: all\nwindows: {min_length_s: -1}\n", ["above 0"]),
    "fraction above one": ("diet: 1\nneurons: {sample: {of: all, fraction: 1.5}}\n", ["at most 1"]),
    "sample of nothing": ("diet: 1\nneurons: {sample: {of: all}}\n", ["either a fraction or n"]),
    "shares above one": (
        "diet: 1\nneurons: {mix: [{of: all}, {of: all, share: 0.6}, {of: all, share: 0.6}]}\n",
        ["add up to 1.2"],
    ),
    "missing policy": ("diet: 1\nneurons: all\nmissing: drop\n", ["line 3", "'drop'"]),
    "unquoted id": ("diet: 1\nneurons: {ids: [527745328_517399188]}\n", ["expected a text", "quotes"]),
    "date as name": ("diet: 1\nname: 2024-01-01\nneurons: all\n", ["line 2", "quotes"]),
    "number as name": ("diet: 1\nname: 30\nneurons: all\n", ["line 2", "quotes"]),
    "bad disjoint": ("diet: 1\nneurons: all\ndisjoint: [{from: all, by: doner}]\n", ["did you mean 'donor'?"]),
    "twice": ("diet: 1\nneurons: all\nneurons: all\n", ["line 3", "twice"]),
    "not yaml": ("diet: 1\nneurons: [\n", ["not YAML"]),
    "tab": ("diet: 1\n\tneurons: all\n", ["line 2"]),
    "list": ("- diet\n- 1\n", ["a mapping"]),
    "empty": ("\n\n", ["empty"]),
    "two documents": ("diet: 1\nneurons: all\n---\ndiet: 1\n", ["not YAML"]),
    "tag": ("diet: 1\nneurons: !!python/object/apply:os.system ['true']\n", ["line 2", "tags"]),
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
    "null rule": ("diet: 1\nneurons: null\n", ["mapping"]),
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
    with pytest.raises(DietError, match=r"line 2 \(nam\).*line 4 \(neurons.wher\)"):
        Diet.from_yaml("diet: 1\nnam: x\nneurons:\n  wher: x > 1\n")


def test_a_mapping_nested_without_end_is_refused() -> None:
    rule: dict[str, object] = {"where": "x > 1"}
    for _ in range(3000):
        rule = {"complement": rule}
    with pytest.raises(DietError):
        Diet.from_dict({"diet": 1, "neurons": rule})


def test_presets_and_files_are_loaded_by_name(tmp_path: Path) -> None:
    for name in PRESETS:
        assert load_diet(name).name == name
        assert load_diet(name).description
    file = tmp_path / "mine.yaml"
    file.write_text(load_diet("predictable").named("mine").to_yaml(), encoding="utf-8")
    assert load_diet(file) == load_diet(str(file)) == load_diet("predictable").named("mine")
    assert load_diet({"diet": 1, "neurons": "all"}).neurons == rules.Everyone()
    with pytest.raises(UsageError, match="did you mean 'predictable'"):
        load_diet("predictabel")
    with pytest.raises(UsageError, match="no diet can be read"):
        load_diet(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00diet")
    with pytest.raises(DietError, match="UTF-8"):
        load_diet(tmp_path / "bytes.yaml")


def test_the_presets_in_the_folder_are_those_named() -> None:
    import poyodata.curation

    folder = Path(poyodata.curation.__file__).parent / "presets"
    assert sorted(path.stem for path in folder.glob("*.yaml")) == sorted(PRESETS)
