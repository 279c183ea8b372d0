from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from poyodata.curation import Diet, Disjoint, WindowSample, c, load_diet, mix, param
from poyodata.curation.language import rules
from poyodata.curation.language.expressions import Call, Column
from poyodata.curation.language.parse import parse_expression
from poyodata.curation.language.window_rule import WindowRule
from poyodata.errors import DietError, UsageError


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
    unpredictable, predictable = rules.Reference("unpredictable"), rules.Reference("predictable")
    assert diet.neurons == rules.Mix((rules.MixTerm(unpredictable), rules.MixTerm(predictable, fraction=0.3)))


def test_python_operators_build_the_rules_of_the_presets() -> None:
    predictable = Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="predictable")
    assert predictable.neurons == load_diet("predictable").bound().neurons
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


METHODS = {
    "balance": (
        lambda diet: diet.balance("cre_line", n=5, seed=1),
        rules.Balance(rules.Everyone(), ("cre_line",), 5, 1),
    ),
    "balance to the smallest": (
        lambda diet: diet.balance(["cre_line", "area"]),
        rules.Balance(rules.Everyone(), ("cre_line", "area")),
    ),
    "top": (
        lambda diet: diet.top(10, by=abs(c.skewness), order="lowest", within="cre_line"),
        rules.Top(rules.Everyone(), 10, Call("abs", Column("skewness")), "lowest", "cre_line"),
    ),
    "top by a text": (lambda diet: diet.top(3, "reliability"), rules.Top(rules.Everyone(), 3, Column("reliability"))),
    "matched": (
        lambda diet: diet.matched(on=["session_id", "tokens"], of=Diet.ids(["a"]), seed=2, draw=3),
        rules.Match(rules.Everyone(), rules.Ids(("a",)), ("session_id", "tokens"), 2, 3),
    ),
    "matched in number": (lambda diet: diet.matched(), rules.Match(rules.Everyone())),
    "sample": (
        lambda diet: diet.sample(fraction=param("share", 0.3), within="x@natural movie"),
        rules.Sample(rules.Everyone(), fraction=param("share", 0.3), within="x@natural movie"),
    ),
    "reference": (
        lambda diet: Diet.reference("predictable", with_={"max_skewness": 3.0, "a": param("b", 1)}),
        rules.Reference("predictable", (("a", param("b", 1)), ("max_skewness", 3.0))),
    ),
    "ids of a table": (lambda diet: Diet.ids(pd.DataFrame({"neuron_id": ["a", "b"]})), rules.Ids(("a", "b"))),
}


@pytest.mark.parametrize(("method", "rule"), METHODS.values(), ids=METHODS.keys())
def test_methods_make_rules_and_keep_the_options(method: object, rule: rules.Rule) -> None:
    diet = Diet.everyone(splits="epoch-out", description="gone")
    made = method(diet)
    assert made.neurons == rule
    assert made.description == ""
    if "reference" not in made.name and made.name != "unnamed" and not isinstance(rule, rules.Reference):
        assert made.splits == "epoch-out"


def test_windows_are_chosen_by_what_is_shown_what_the_animal_does_and_by_chance() -> None:
    part = WindowSample(fraction=0.5)
    diet = Diet.everyone().during(c.trial > 1, min_length_s=2, while_=c.running_cm_s < 1, sample=part)
    assert diet.windows == WindowRule(
        parse_expression("trial > 1"), 2.0, parse_expression("running_cm_s < 1"), WindowSample(fraction=0.5)
    )
    assert Diet.everyone().during(while_="role == 'train'").windows.where is None


WRONG = {
    "top of a condition": (lambda: Diet.everyone().top(3, by="x > 1"), "a column or a function of one"),
    "top of a quantile": (lambda: Diet.everyone().top(3, by=c.x.quantile(0.5)), "a column or a function of one"),
    "top of nothing": (lambda: Diet.everyone().top(0, by="x"), "at least 1"),
    "unknown order": (lambda: Diet.everyone().top(1, by="x", order="high"), "did you mean 'highest'"),
    "balance by nothing": (lambda: Diet.everyone().balance([]), "takes columns under `by`"),
    "balance by twice": (lambda: Diet.everyone().balance(["x", "x"]), "twice"),
    "matched on a phrase": (lambda: Diet.everyone().matched(on="cre line"), "names a column"),
    "ids of a text": (lambda: Diet.ids("abc"), r"Diet.ids\(\['abc'\]\)"),
    "ids of another table": (lambda: Diet.ids(pd.DataFrame({"x": [1]})), "no column 'neuron_id'"),
    "condition as a rule": (lambda: Diet(c.x > 1), "Diet.where"),
    "joined with a condition": (lambda: Diet.everyone() & (c.x > 1), "joined with a diet; got Condition"),
    "reference set twice": (lambda: rules.Reference("a", (("x", 1), ("x", 2))), "set twice"),
    "reference of no name": (lambda: Diet.reference("a", with_={"x y": 1}), "name of a parameter"),
    "splits of both": (
        lambda: Diet.everyone(splits="epoch-out").matched(of=Diet.everyone(splits="blocks-5fold")),
        "different splits",
    ),
    "unknown policy": (lambda: Diet.everyone(missing="drop"), "unknown policy for missing values 'drop'"),
    "share of a mix": (lambda: mix(Diet.everyone()), "at least two"),
}


@pytest.mark.parametrize(("wrong", "expected"), WRONG.values(), ids=WRONG.keys())
def test_wrong_diets_get_advice(wrong: object, expected: str) -> None:
    with pytest.raises(DietError, match=expected):
        wrong()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'missing'"):
        Diet.everyone().with_options(mising="error")
    assert Diet.everyone().with_options(disjoint=[Disjoint("a")]).disjoint == (Disjoint("a"),)


def test_a_mix_names_its_terms_after_its_diets() -> None:
    low = Diet.where("x < 1", name="low")
    terms = mix(low, low.sample(n=3), Diet.where("x > 1"), Diet.reference("a").sample(n=1), Diet.reference("b")).neurons
    assert isinstance(terms, rules.Mix)
    assert [term.name for term in terms.terms] == ["low", "low", "", "", ""]
    assert [term.n for term in terms.terms] == [None, 3, None, 1, None]


def test_select_works_on_any_table_of_neurons_with_the_parameters_as_they_are_set() -> None:
    table = pd.DataFrame({"neuron_id": ["a", "b", "c", "d"], "x": [1.0, 2.0, 3.0, 4.0]})
    diet = Diet.where(c.x <= param("most", 2.0))
    assert diet.select(table).kept.tolist() == [True, True, False, False]
    assert diet.with_parameters(most=3).select(table).kept.tolist() == [True, True, True, False]
    assert Diet.where(c.x > c.x.quantile(param("q", 0.5))).select(table).kept.tolist() == [False, False, True, True]
    ranked = table.assign(role=["train", "train", "test", "test"])
    assert Diet.where(c.x.rank() >= 1).select(ranked).kept.tolist() == [False, True, True, True]
    assert Diet.everyone().top(param("k", 1), by="x", order="lowest").select(table).kept.tolist()[0]


def test_parameters_of_a_preset_reach_the_diets_it_refers_to() -> None:
    table = pd.DataFrame({"neuron_id": ["a", "b", "c"], "skewness": [1.0, 3.0, 9.0], "kurtosis": [1.0, 1.0, 1.0]})
    diet = load_diet("unpredictable")
    assert diet.select(table).kept.tolist() == [False, False, True]
    assert diet.with_parameters(max_skewness=2).select(table).kept.tolist() == [False, True, True]


def test_a_diet_has_no_truth_value() -> None:
    low, deep = Diet.where("skewness <= 3", name="low"), Diet.where("depth_um > 300", name="deep")
    for joined in (lambda: low and deep, lambda: low or deep, lambda: not low, lambda: bool(low)):
        with pytest.raises(DietError, match=r"diet 'low' has no truth value.*& \| - ~"):
            joined()
    assert low != deep
    assert low in (deep, low)


ODD: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "from_dict of nothing": (lambda: Diet.from_dict(None), DietError, "a mapping.*got NoneType"),  # type: ignore[arg-type]
    "from_dict of a text": (lambda: Diet.from_dict("diet: 1"), DietError, "a mapping.*got str"),  # type: ignore[arg-type]
    "from_dict of a list": (lambda: Diet.from_dict([1]), DietError, "a mapping.*got list"),  # type: ignore[arg-type]
    "from_yaml of nothing": (lambda: Diet.from_yaml(None), UsageError, "a text or a Path, not"),  # type: ignore[arg-type]
    "from_yaml of a mapping": (lambda: Diet.from_yaml({}), UsageError, "Diet.from_dict reads"),  # type: ignore[arg-type]
    "from_yaml of bytes": (lambda: Diet.from_yaml(b"diet: 1"), UsageError, "bytes"),  # type: ignore[arg-type]
    "from_json of nothing": (lambda: Diet.from_json(None), UsageError, "a text or a Path, not"),  # type: ignore[arg-type]
    "load_diet of nothing": (lambda: load_diet(None), UsageError, "got NoneType"),  # type: ignore[arg-type]
    "ids of nothing": (lambda: Diet.ids(None), DietError, "takes a list"),  # type: ignore[arg-type]
    "balance by nothing": (lambda: Diet.everyone().balance(None), DietError, "the name of a column"),  # type: ignore[arg-type]
    "controls of a name": (lambda: Diet.everyone().matched(of="all"), DietError, "of=Diet.reference"),  # type: ignore[arg-type]
    "no description": (lambda: Diet.everyone(description=None), DietError, "description is a str"),
    "no folder": (lambda: Diet.everyone(folder=3), DietError, "folder is a path; got int"),
    "a name without end": (lambda: Diet.everyone(name="a" * 401), DietError, "has 400 characters at most; got 401"),
    "a length without end": (lambda: Diet.everyone().during(min_length_s=1e7), DietError, "below 1e6"),
    "no windows": (lambda: Diet.everyone(windows=None), DietError, "window rule is a WindowRule"),
}


@pytest.mark.parametrize(("call", "error", "message"), ODD.values(), ids=ODD.keys())
def test_what_is_no_diet_is_refused_in_one_sentence(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def from_folder(folder: Path, text: str = "diet: 1\nneurons: {diet: part.yaml}\n") -> Diet:
    """A diet that is read from a folder, in which `part.yaml` keeps neurons whose x is at most a number."""
    folder.mkdir(exist_ok=True)
    (folder / "whole.yaml").write_text(text, encoding="utf-8")
    return load_diet(folder / "whole.yaml")


FOLDERS: dict[str, Callable[[Path], tuple[Diet, Diet]]] = {
    "two folders": lambda path: (from_folder(path / "a"), from_folder(path / "b")),
    "the current one and another": lambda path: (Diet.reference("part.yaml"), from_folder(path / "a")),
    "another and a text": lambda path: (from_folder(path / "a"), Diet.from_yaml(from_folder(path / "a").to_yaml())),
    "a folder without a reference": lambda path: (from_folder(path / "a"), Diet.everyone(folder=path / "b")),
    "a promise": lambda path: (
        Diet.everyone(folder=path / "a", disjoint=[Disjoint("part.yaml")]),
        Diet.everyone(folder=path / "b"),
    ),
}


@pytest.mark.parametrize("pair", FOLDERS.values(), ids=FOLDERS.keys())
def test_diets_that_look_files_up_in_different_folders_cannot_be_joined(
    pair: Callable[[Path], tuple[Diet, Diet]], tmp_path: Path
) -> None:
    first, second = pair(tmp_path)
    for join in (lambda a, b: a | b, lambda a, b: b - a, mix, lambda a, b: a.matched(of=b)):
        with pytest.raises(DietError, match=r"different folders .*\.with_options\(folder=\.\.\.\)"):
            join(first, second)
    together = first.with_options(folder=tmp_path / "a") | second.with_options(folder=str(tmp_path / "a"))
    assert together.folder == tmp_path / "a"


def test_a_diet_that_names_no_file_joins_one_of_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = from_folder(tmp_path / "a")
    assert (Diet.where("x > 1") | read).folder == (read & Diet.reference("predictable")).folder == tmp_path / "a"
    plain = [Diet.everyone(folder=tmp_path / name) for name in "ab"]
    assert (plain[0] | plain[1]).folder is None
    monkeypatch.chdir(tmp_path / "a")
    assert (read | Diet.reference("part.yaml")).folder == tmp_path / "a"
    absolute = Diet.reference(str(tmp_path / "a" / "part.yaml"))
    assert (absolute | from_folder(tmp_path / "b")).folder == tmp_path / "b"


def test_a_text_has_no_folder_but_that_which_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("a", 1), ("b", 2)):
        from_folder(tmp_path / name)
        (tmp_path / name / "part.yaml").write_text(f"diet: 1\nneurons: {{where: x <= {most}}}\n", encoding="utf-8")
    table = pd.DataFrame({"neuron_id": ["a", "b", "c"], "x": [1, 2, 3]})
    diet = load_diet(tmp_path / "a" / "whole.yaml")
    monkeypatch.chdir(tmp_path / "b")
    assert Diet.from_yaml(diet.to_yaml()).folder is Diet.from_json(diet.to_json()).folder is None
    again = {
        "yaml": Diet.from_yaml(diet.to_yaml(), folder=tmp_path / "a"),
        "json": Diet.from_json(diet.to_json(), folder=str(tmp_path / "a")),
        "a file elsewhere": Diet.from_yaml(tmp_path / "b" / "whole.yaml", folder=tmp_path / "a"),
        "options": Diet.from_yaml(diet.to_yaml()).with_options(folder=tmp_path / "a"),
    }
    names: dict[str, Diet] = {}
    exec(diet.to_python(), names)  # noqa: S102 - what was just written
    for one in (diet, names["diet"], *again.values()):
        assert one.select(table).kept.tolist() == [True, False, False]
    assert Diet.from_yaml(diet.to_yaml()).select(table).kept.tolist() == [True, True, False]
    assert "folder" not in Diet.everyone(folder=tmp_path).to_python()
