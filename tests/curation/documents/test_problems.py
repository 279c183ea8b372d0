from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poyodata.curation import Diet, load_diet
from poyodata.curation.documents import problems as module
from poyodata.curation.documents.problems import find_problems
from poyodata.errors import DietError, SplitError, UsageError
from poyodata.store import Store, open_store

EVERYTHING_WRONG = """\
diet: 1
nam: wrong
missing: drop
neurons:
  mix:
    - of: {where: skewness = 3}
    - of:
        sample: {of: {where: 'x > 1 and y.z > 2'}, fraction: 1.5, sed: 3}
    - of: {top: {of: all, k: 0, by: abs(}}
      fraction: 0.3
      share: 0.3
windows:
  where: skewness > 3 and blank
  min_length_s: -1
disjoint: [{from: all, by: doner}]
"""


def test_everything_that_is_wrong_is_said_at_once_with_line_and_column() -> None:
    with pytest.raises(DietError) as caught:
        Diet.from_yaml(EVERYTHING_WRONG)
    found = [(one.line, one.column, one.path) for one in caught.value.problems]
    assert found == [
        (2, 1, "nam"),
        (3, 10, "missing"),
        (6, 28, "neurons.mix.0.of.where"),
        (8, 41, "neurons.mix.1.of.sample.of.where"),
        (8, 62, "neurons.mix.1.of.sample.fraction"),
        (8, 67, "neurons.mix.1.of.sample.sed"),
        (9, 7, "neurons.mix.2"),
        (9, 30, "neurons.mix.2.of.top.k"),
        (9, 40, "neurons.mix.2.of.top.by"),
        (13, 10, "windows.where"),
        (14, 17, "windows.min_length_s"),
        (15, 28, "disjoint.0.by"),
    ]
    lines = str(caught.value).split("\n")
    assert lines == [str(one) for one in caught.value.problems]
    assert lines[0] == "<yaml>:2:1: nam: unknown key; did you mean 'name'?"
    assert find_problems(EVERYTHING_WRONG) == list(caught.value.problems)


AT = {
    "plain": "  where: a > 1 and b.c > 2",
    "single quotes": "  where: 'a == \"x\" and b.c > 2'",
    "doubled single quotes": "  where: 'a == ''x'' and b.c > 2'",
    "double quotes": "  where: \"a == 'x' and b.c > 2\"",
    "escapes": "  where: \"a == '\\x41\\u00e4' and b.c > 2\"",
    "escaped quotes": '  where: "a == \\"x\\" and b.c > 2"',
    "letters of several bytes": "  where: a == 'ä😀' and b.c > 2",
    "spaces before": "  where: '   b.c > 2'",
    "flow": "  {complement: {where: b.c > 2}}",
    "a key in quotes": '  "where": b.c > 2',
}


@pytest.mark.parametrize("text", AT.values(), ids=AT.keys())
def test_a_problem_within_an_expression_is_pointed_at(text: str) -> None:
    (problem,) = find_problems(f"diet: 1\nneurons:\n{text}\n")
    assert (problem.line, problem.column) == (3, text.index("b.c") + 1)


FOLDED = {
    "folded": "  where: >-\n    a > 1 and\n    b.c > 2",
    "folded with a blank line": "  where: >\n\n    (a > 1 and\n\n    b.c > 2)",
    "folded, with a comment and an indentation": "  where: >2 # why\n       a > 1 and\n       b.c > 2",
    "literal": "  where: |\n    (a > 1 and\n    b.c > 2)",
    "plain over lines": "  where: a > 1\n    and b.c > 2",
    "quoted over lines": "  where: 'a == ''x''\n    and b.c > 2'",
    "double quotes over lines": "  where: \"a == '\\x41\\u00e4 \\x20'\n    and \\\n  b.c > 2\"",
    "three lines": "  where:\n    a > 1\n    and 'ä😀' == d\n    and b.c > 2",
}


@pytest.mark.parametrize("text", FOLDED.values(), ids=FOLDED.keys())
def test_a_problem_within_an_expression_over_lines_is_pointed_at_on_its_line(text: str) -> None:
    (problem,) = find_problems(f"diet: 1\nneurons:\n{text}\n")
    before = text[: text.index("b.c")]
    assert (problem.line, problem.column) == (3 + before.count("\n"), len(before) - before.rfind("\n"))


def test_json_is_pointed_into_too(tmp_path: Path) -> None:
    text = '{"diet": 1,\n "neurons": {"where": "a > 1 and b.c > 2"}}'
    with pytest.raises(DietError, match=r"^<json>:2:34: neurons.where: "):
        Diet.from_json(text)
    file = tmp_path / "mine.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DietError, match=r"mine.json:2:34: neurons.where: "):
        load_diet(file)
    (problem,) = find_problems(file)
    assert (problem.line, problem.column, problem.name) == (2, 34, str(file))


def test_a_mapping_has_no_lines_but_paths() -> None:
    (problem,) = find_problems({"diet": 1, "neurons": {"where": "x = 1"}})
    assert str(problem) == "neurons.where: `x = 1` is not an expression; write == to compare."


def test_a_file_is_named_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub/mine.yaml").write_text("diet: 1\nneurons: {where: x = 1}\n", encoding="utf-8")
    with pytest.raises(DietError, match=r"^sub/mine.yaml:2:20: neurons.where: "):
        load_diet("sub/mine.yaml")
    with pytest.raises(UsageError, match="no diet can be read"):
        find_problems("other.yaml")


REFERENCES = {
    "unknown": ("neurons: {diet: predictabel}", "2:17: neurons.diet: unknown diet 'predictabel': did you mean"),
    "unknown file": ("neurons: {diet: a.yaml}", "2:17: neurons.diet: no diet can be read"),
    "unknown parameter": (
        "neurons: {diet: predictable, with: {max_skew: 3.0}}",
        "2:36: neurons.with: the diet has no parameter 'max_skew': did you mean 'max_skewness'?",
    ),
    "wrong kind": ("neurons: {diet: predictable, with: {max_skewness: low}}", "neurons.with: "),
    "unknown promise": (
        "neurons: all\ndisjoint: [{from: predictabel, by: cell}]",
        "3:19: disjoint.0.from: unknown diet",
    ),
    "unknown split": ("splits: blocks-6fold\nneurons: all", "2:9: splits: "),
}


@pytest.mark.parametrize(("text", "expected"), REFERENCES.values(), ids=REFERENCES.keys())
def test_what_a_diet_refers_to_is_looked_up(text: str, expected: str) -> None:
    (problem,) = find_problems(f"diet: 1\n{text}\n")
    assert expected in str(problem)


def test_a_circle_of_files_is_a_problem_and_no_recursion(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("diet: 1\nneurons: {diet: b.yaml}\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("diet: 1\nneurons: {complement: {diet: a.yaml}}\n", encoding="utf-8")
    (problem,) = find_problems(tmp_path / "a.yaml")
    assert (problem.line, problem.column) == (2, 17)
    assert "in a circle" in problem.message


ON_A_STORE: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "all clauses": (
        "neurons:\n  where: cre_line == 'SST' and skewnes > 3 and area == 'V1' and depth_um == 'deep'",
        [
            ("3:22", "the store has 'Sst-IRES-Cre' (12 neurons)"),
            ("3:32", "unknown column 'skewnes': did you mean 'skewness'?"),
            ("3:56", "no neuron has area 'V1'"),
            ("3:77", "depth_um holds numbers but is compared with 'deep' (texts)"),
        ],
    ),
    "every text of a list": (
        "neurons:\n  where: cre_line in ['Sst', 'Vip-IRES-Cre', 'Cux']",
        [("3:23", "'Sst-IRES-Cre' (12 neurons)"), ("3:46", "'Cux2-CreERT2' (12 neurons)")],
    ),
    "every link of a chain": (
        "neurons:\n  where: \"'a' < cre_line < 'b'\"",
        [("3:11", "texts have no order"), ("3:28", "texts have no order")],
    ),
    "columns of windows": (
        "neurons:\n  where: running_cm_s > 3 and stimulus == 'a' and role == 'train'",
        [("3:10", "conditions on it stand under `windows`")] + [(at, "unknown column") for at in ("3:31", "3:51")],
    ),
    "roles": (
        "neurons: all\nwindows: {where: role == 'trian' or role == 'test', while: role == 'none'}",
        [
            ("3:26", "there is no role 'trian': did you mean 'train'?"),
            ("3:68", "known are identify, test, train, valid"),
        ],
    ),
    "texts where numbers are taken": (
        "neurons:\n  where: zscore(cre_line) > 1 or area > quantile(area, 0.5)",
        [("3:10", "zscore() takes numbers"), ("3:41", "quantile() takes numbers")],
    ),
    "a text as a condition": ("neurons:\n  where: not area and valid_roi", [("3:14", "column area holds texts")]),
    "kinds of statistics": (
        "neurons:\n  where: skewness == 'high' and responsive > 3",
        [("3:22", "skewness holds numbers but is compared with 'high'")],
    ),
    "restrictions": (
        "neurons:\n  where: skewness@gratings > 1 and area@drifting_gratings == 'VISp' and n@x > 1",
        [
            ("3:10", "no recording of the store shows 'gratings': did you mean"),
            ("3:36", "only statistics can be restricted"),
            ("3:73", "unknown column 'n'"),
        ],
    ),
    "columns beside expressions": (
        "neurons:\n  intersect:\n"
        "  - sample: {of: all, n: 1, within: line}\n"
        "  - balance: {of: all, by: [cre_line, are]}\n"
        "  - top: {of: all, k: 1, by: area, within: donor}\n"
        "  - match: {to: all, on: [session, windows]}",
        [
            ("4:37", "unknown column 'line'"),
            ("5:39", "did you mean 'area'"),
            ("6:30", "`top` orders by numbers"),
            ("6:44", "unknown column 'donor'"),
            ("7:27", "unknown column 'session'"),
        ],
    ),
    "neurons": ("neurons: {ids: ['nobody']}", [("2:17", "the store has no neuron 'nobody'")]),
    "windows": (
        "neurons: all\nwindows:\n  where: stimulus == 'grating' and trial == 'x' and blank > 1\n"
        "  while: running_cm_s == 'a'",
        [
            ("4:22", "the store has 'drifting_gratings'"),
            ("4:45", "trial holds numbers"),
            ("4:61", "blank holds truth values"),
            ("5:26", "running_cm_s holds numbers"),
        ],
    ),
    "a number as the whole condition": (
        "neurons:\n  where: skewness\nwindows: {where: stimulus}",
        [("3:10", "column skewness holds numbers"), ("4:18", "column stimulus holds texts")],
    ),
    "a text among frames": (
        "neurons: all\nwindows: {while: stimulus == 'a'}",
        [("3:18", "no column of that")],
    ),
    "counts are of match alone": (
        "neurons:\n  intersect:\n"
        "  - match: {to: all, on: [windows, tokens]}\n"
        "  - where: windows > 3\n"
        "  - sample: {of: all, n: 1, within: tokens}\n"
        "  - top: {of: all, k: 1, by: windows}\n"
        "  - match: {to: all, on: [role]}",
        [
            ("5:12", "unknown column 'windows'"),
            ("6:37", "unknown column 'tokens'"),
            ("7:30", "unknown column 'windows'"),
            ("8:27", "unknown column 'role'"),
        ],
    ),
    "nothing": (
        "neurons:\n  where: cre_line == 'Rorb-IRES2-Cre' or skewness_low@drifting_gratings < zscore(kurtosis)\n"
        "windows: {where: stimulus == 'drifting_gratings' and not blank, while: running_cm_s < 1}",
        [],
    ),
}


@pytest.mark.parametrize(("text", "expected"), ON_A_STORE.values(), ids=ON_A_STORE.keys())
def test_every_clause_is_held_against_the_store(
    text: str, expected: list[tuple[str, str]], tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a statistic is computed")

    monkeypatch.setattr("poyodata.curation.evidence.compute_statistics", refuse)
    found = find_problems(f"diet: 1\n{text}\n", tiny_store)
    assert [f"{one.line}:{one.column}" for one in found] == [at for at, _ in expected], "\n".join(map(str, found))
    for one, (_, part) in zip(found, expected, strict=True):
        assert part in one.message


def test_what_a_diet_refers_to_is_held_against_the_store_too(tmp_path: Path, tiny_store: Store) -> None:
    (tmp_path / "inner.yaml").write_text("diet: 1\nneurons: {where: cre_line == 'SST'}\n", encoding="utf-8")
    (tmp_path / "outer.yaml").write_text("diet: 1\nneurons: {complement: {diet: inner.yaml}}\n", encoding="utf-8")
    (problem,) = find_problems(tmp_path / "outer.yaml", tiny_store)
    assert (problem.line, problem.column) == (2, 30)
    assert "in diet 'inner.yaml': neurons.where: no neuron has cre_line 'SST'" in problem.message


def test_neurons_are_named_one_by_one_up_to_a_point(tiny_store: Store) -> None:
    ids = ", ".join(f"'n{number}'" for number in range(25))
    found = find_problems(f"diet: 1\nneurons: {{ids: [{ids}]}}\n", tiny_store)
    assert len(found) == module.MAX_IDS + 1
    assert any("and 15 more" in one.message for one in found)


@pytest.mark.parametrize("name", ["predictable", "mixed-30", "random-matched", "inhibitory"])
def test_presets_have_no_problems(name: str, tiny_store: Store) -> None:
    assert find_problems(name, tiny_store) == []


ONE_MOUSE = "diet: 1\nsplits: donor-70-10-20\nneurons: all\n"


def test_a_split_that_the_store_cannot_have_is_a_problem(tiny_store_path: Path, tmp_path: Path) -> None:
    store = open_store(tiny_store_path)
    store.sessions = store.sessions.iloc[:1]
    assert find_problems(ONE_MOUSE) == []
    with pytest.raises(SplitError) as refused:
        Diet.from_yaml(ONE_MOUSE).resolve(store)
    (problem,) = find_problems(ONE_MOUSE, store)
    assert (problem.line, problem.column, problem.message) == (2, 9, str(refused.value))
    (tmp_path / "inner.yaml").write_text(ONE_MOUSE, encoding="utf-8")
    (tmp_path / "outer.yaml").write_text("diet: 1\nneurons: {diet: inner.yaml}\n", encoding="utf-8")
    assert find_problems(tmp_path / "outer.yaml", store) == []


AS_JSON = {
    "twice": ('{"diet": 1,\n "neurons": "all",\n "diet": 1}', "<json>:3:2: 'diet' stands there twice"),
    "twice within": ('{"diet": 1, "neurons":\n {"diet": "all", "with": {"x": 1, "x": 2}}}', "<json>:2:35: 'x' stands"),
    "not a number": ('{"diet": 1,\n "name": "NaN", "neurons": NaN}', "<json>:2:28: NaN is no number"),
    "endless": ('{"diet": 1,\n"neurons": -Infinity}', "<json>:2:12: -Infinity is no number"),
    "unprintable key": ('{"diet": 1,\n "a\\u0007": 1, "neurons": "all"}', "<json>:2:2: a key must be a plain word"),
    "number as id": ('{"diet": 1,\n "neurons": {"ids": [5]}}', "<json>:2:22: neurons.ids.0: expected a text, got 5"),
}


@pytest.mark.parametrize(("text", "said"), AS_JSON.values(), ids=AS_JSON.keys())
def test_json_that_is_refused_has_a_line_too(text: str, said: str) -> None:
    for start in ("", "\ufeff"):
        with pytest.raises(DietError) as caught:
            Diet.from_json(start + text)
        assert str(caught.value).startswith(said)


def test_a_byte_order_mark_is_read_in_json_as_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(Diet.everyone().to_json(), encoding="utf-8-sig")
    assert load_diet(file) == Diet.everyone()
    assert find_problems(file) == []


def test_what_is_only_remarkable_is_a_note_with_its_place(tmp_path: Path, tiny_store: Store) -> None:
    (tmp_path / "inner.yaml").write_text("diet: 1\nneurons: {where: cre_line == 'Rorb-IRES2-Cre'}\n", encoding="utf-8")
    outer = tmp_path / "outer.yaml"
    outer.write_text(
        "diet: 1\nneurons:\n  union:\n  - diet: inner.yaml\n  - where: >\n      skewness > 1 and\n"
        "      area == 'VISpm'\nwindows: {where: role == 'identify'}\n",
        encoding="utf-8",
    )
    problems, notes = module.look_through(outer, tiny_store)
    assert problems == []
    assert [(one.line, one.column) for one in notes] == [(4, 11), (7, 15)]
    assert "in diet 'inner.yaml': neurons.where: the store has no neuron with cre_line 'Rorb-IRES2" in notes[0].message
    assert notes[1].message == "the store has no neuron with area 'VISpm'"
    assert module.look_through(outer) == ([], [])


TOLD_TOGETHER = {
    "tab": ('diet: 1\ndescription: "a\\tb"\nnam: x\nneurons: all\n', [(2, 14, "a tab is one"), (3, 1, "unknown key")]),
    "two defaults": (
        "diet: 1\nneurons:\n  sample:\n    of: {where: 'x > param(a, 1) and y > param(b, 1)'}\n"
        "    n: {param: b, default: 2}\nwindows: {min_length_s: {param: a, default: 2.5}, wher: blank}\n",
        [(5, 28, "parameter 'b' has two defaults, 1 and 2"), (6, 45, "parameter 'a' has two"), (6, 51, "unknown key")],
    ),
}


@pytest.mark.parametrize(("text", "expected"), TOLD_TOGETHER.values(), ids=TOLD_TOGETHER.keys())
def test_what_only_the_whole_shows_has_a_line_too(text: str, expected: list[tuple[int, int, str]]) -> None:
    with pytest.raises(DietError) as caught:
        Diet.from_yaml(text)
    assert [(one.line, one.column) for one in caught.value.problems] == [at[:2] for at in expected]
    for one, (_, _, said) in zip(caught.value.problems, expected, strict=True):
        assert said in one.message


def test_a_default_that_is_whole_and_a_fraction_is_one_default() -> None:
    rule = "neurons: {sample: {of: all, fraction: {param: a, default: 1}}}"
    text = f"diet: 1\n{rule}\nwindows: {{min_length_s: {{param: a, default: 1.0}}}}"
    assert Diet.from_yaml(text).parameters == {"a": 1.0}
