from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings

from poyodata.curation import Diet, Disjoint, WindowSample, c, load_diet, mix, param
from poyodata.curation.language import rules, source_layout
from tests.curation.strategies import diets

low = Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="low")

SOURCES = {
    "preset": (
        low.named("low", "Both moments low."),
        """from poyodata.curation import Diet, c

diet = Diet.where(
    (c.skewness <= 3.51) & (c.kurtosis <= 22.62),
    name="low",
    description="Both moments low.",
)
""",
    ),
    "mix": (
        mix(~low, low.sample(n=30), name="mixed"),
        """from poyodata.curation import Diet, c, mix

diet = mix(
    (~Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62))).named("not low"),
    Diet.where((c.skewness <= 3.51) & (c.kurtosis <= 22.62), name="low").sample(n=30, seed=0),
    name="mixed",
)
""",
    ),
    "set operations": (
        ((Diet.reference("a") | Diet.ids(["n1"])) - ~Diet.everyone()).named("x"),
        """from poyodata.curation import Diet

diet = ((Diet.reference("a") | Diet.ids(["n1"])) - ~Diet.everyone()).named("x")
""",
    ),
    "methods": (
        Diet.reference("predictable", with_={"max_skewness": param("most", 3.0)})
        .balance("cre_line", n=5)
        .during(c.stimulus == "natural movie", min_length_s=2, sample=WindowSample(fraction=0.5))
        .with_options(splits="epoch-out", disjoint=[Disjoint("a", "cell")])
        .named("mine"),
        """from poyodata.curation import Diet, Disjoint, WindowSample, c, param

diet = (
    Diet.reference("predictable", with_={"max_skewness": param("most", 3.0)})
    .balance(["cre_line"], n=5, seed=0)
    .named("mine")
    .during(
        c.stimulus == "natural movie",
        min_length_s=2.0,
        sample=WindowSample(fraction=0.5, seed=0),
    )
    .with_options(splits="epoch-out", disjoint=[Disjoint("a", by="cell")])
)
""",
    ),
    "what only the text says exactly": (
        Diet.where("0 < skewness <= 3.51 and cre_line not in ['a\"b']"),
        """from poyodata.curation import Diet

diet = Diet.where("0 < skewness <= 3.51 and cre_line not in ['a\\"b']")
""",
    ),
    "what only the classes say exactly": (
        Diet(rules.Union((rules.Union((rules.Everyone(), rules.Ids(("a",)))), rules.Everyone()))),
        """from poyodata.curation import Diet
from poyodata.curation.language.rules import Union

diet = Diet(Union(((Diet.everyone() | Diet.ids(["a"])).neurons, Diet.everyone().neurons)))
""",
    ),
    "shares": (
        Diet(rules.Mix((rules.MixTerm(rules.Reference("a"), share=0.25), rules.MixTerm(rules.Everyone(), name="b")))),
        """from poyodata.curation import Diet
from poyodata.curation.language.rules import Mix, MixTerm

diet = Diet(
    Mix((
        MixTerm(Diet.reference("a").neurons, share=0.25),
        MixTerm(Diet.everyone().neurons, name="b"),
    )),
)
""",
    ),
}


@pytest.mark.parametrize(("diet", "source"), SOURCES.values(), ids=SOURCES.keys())
def test_the_source_reads_as_a_person_would_write_it(diet: Diet, source: str) -> None:
    assert diet.to_python() == source


@pytest.mark.parametrize("diet", [diet for diet, _ in SOURCES.values()], ids=SOURCES.keys())
def test_every_import_is_used_and_no_line_is_long(diet: Diet) -> None:
    source = diet.to_python()
    tree = ast.parse(source)
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported == used - {"diet"}
    assert [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets] == ["diet"]
    assert all(len(line) <= source_layout.WIDTH + 2 for line in source.splitlines())


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(diets)
def test_lines_are_broken_without_a_change_of_meaning(diet: Diet) -> None:
    trees = []
    for width in (10, 60, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source_layout, "WIDTH", width)
            trees.append(ast.dump(ast.parse(diet.to_python())))
    assert trees[0] == trees[1] == trees[2]


def test_a_text_cannot_break_out_of_its_quotes() -> None:
    text = '"); import os; os.system("true") #\\'
    diet = Diet.ids([text], name=text, description=f"{text}\n{text}", splits=text).with_options(
        disjoint=[Disjoint(text)]
    )
    diet = diet & Diet.where(c[f"x@{text[:20].strip()}"] == text).matched()
    diet = diet.named(text, text)
    tree = ast.parse(diet.to_python())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert calls == {"Disjoint"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert text in constants


def test_the_source_runs_by_itself_in_a_fresh_process() -> None:
    diet = load_diet("mixed-30").during(c.trial > 1, while_="0 < running_cm_s < 3")
    program = f"{diet.to_python()}\nprint(diet.digest)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == diet.digest
