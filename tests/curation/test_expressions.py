from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation import c
from poyodata.curation.expressions import (
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Not,
    Or,
    columns_of,
    to_text,
)
from poyodata.curation.parse import parse_expression
from poyodata.curation.spelling import Condition, condition_node
from poyodata.errors import DietError

NAMES = ["skewness", "kurtosis", "cre_line", "valid_roi", "x1", "abs", "true_", "Column"]
NAMES += [
    "skewness@drifting_gratings",
    "skewness_low@gabor-patches",
    'x1@it\'s "here"',
    "x1@lambda",
    "x1@nan",
    "x1@Ⅻ ä",
]
names = st.sampled_from(NAMES)
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([-0.0, 1e300])
)
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=12)
columns = names.map(Column)
values = st.recursive(columns, lambda inner: st.builds(Call, st.sampled_from(["abs", "log10"]), inner), max_leaves=2)
literals = st.one_of(numbers, texts, st.booleans()).map(Literal)


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    signs = draw(st.lists(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), min_size=1, max_size=3))
    operands = [draw(values)] + [draw(st.one_of(values, literals)) for _ in signs]
    if draw(st.booleans()):
        operands = operands[::-1]
    return Compare(tuple(signs), tuple(operands))


members = st.builds(
    Membership,
    values,
    st.one_of(
        *(st.lists(kind.map(Literal), min_size=1, max_size=4).map(tuple) for kind in (numbers, texts, st.booleans()))
    ),
    st.booleans(),
)
leaves = st.one_of(columns, compares(), members, values.map(lambda inner: Call("isnan", inner)), st.just(Literal(True)))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: And(tuple(terms))),
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: Or(tuple(terms))),
    ),
    max_leaves=12,
)


@settings(max_examples=1500, deadline=None)
@given(trees)
def test_text_and_tree_round_trip(tree: object) -> None:
    text = to_text(tree)
    again = parse_expression(text)
    assert again == tree
    assert to_text(again) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("skewness<=3.51 and kurtosis<=22.62", "skewness <= 3.51 and kurtosis <= 22.62", id="preset"),
        pytest.param("0<skewness<=3.51", "0 < skewness <= 3.51", id="chain"),
        pytest.param("(a and b) and c", "a and b and c", id="flattened"),
        pytest.param("a or (b and c)", "a or (b and c)", id="grouped"),
        pytest.param("not a == 1", "not (a == 1)", id="not"),
        pytest.param("x in ('a','b')", "x in ['a', 'b']", id="tuple"),
        pytest.param("x not in [1]", "x not in [1]", id="not in"),
        pytest.param("(a >\n 1)", "a > 1", id="lines in parentheses"),
        pytest.param("x > -0.0", "x > 0.0", id="negative zero"),
        pytest.param("  x > +3 # why", "x > 3", id="spaces and comment"),
        pytest.param('x == "it\'s"', 'x == "it\'s"', id="quote"),
        pytest.param("isnan(log10(abs(x)))", "isnan(log10(abs(x)))", id="functions"),
        pytest.param("not isnan(x)", "not isnan(x)", id="not a call"),
        pytest.param("skewness@drifting_gratings<=3", "skewness@drifting_gratings <= 3", id="restricted"),
        pytest.param("x @ a > 1", "x@a > 1", id="restricted with spaces"),
        pytest.param("x@'natural_scenes' > 1", "x@natural_scenes > 1", id="stimulus in needless quotes"),
        pytest.param('x@"gabor patches" > 1', "x@'gabor patches' > 1", id="stimulus in quotes"),
        pytest.param("x@_own > 1", "x@'_own' > 1", id="stimulus that is no column name"),
        pytest.param("isnan(x@a) or abs(x@a) > 1", "isnan(x@a) or abs(x@a) > 1", id="functions of restricted"),
        pytest.param("x@a in [1, 2]", "x@a in [1, 2]", id="restricted in list"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert to_text(parse_expression(text)) == canonical


HOSTILE = {
    "import": "__import__('os').system('true')",
    "dunder name": "__class__ == 1",
    "dunder attribute": "x.__class__ == 1",
    "private name": "_x > 1",
    "attribute": "neurons.skewness > 1",
    "lambda": "(lambda: 1)() == 1",
    "list comprehension": "x in [y for y in z]",
    "generator": "any(x for x in y)",
    "dict comprehension": "{a: b for a in c}",
    "f-string": "f'{x}' == 'a'",
    "bytes": "x == b'a'",
    "complex": "x == 1j",
    "none": "x == None",
    "ellipsis": "x == ...",
    "starred": "x in [*y]",
    "starred call": "abs(*x) > 1",
    "keyword call": "abs(x=1) > 1",
    "two arguments": "abs(x, y) > 1",
    "unknown call": "eval('1') == 1",
    "call of literal": "abs(1) > 1",
    "nested call": "abs(isnan(x)) > 1",
    "walrus": "(x := 1) == 1",
    "conditional": "x if y else z",
    "subscript": "x[0] > 1",
    "slice": "x[0:2] > 1",
    "power": "9**9**9 > x",
    "huge shift": "1 << 10**9 > x",
    "string product": "'a' * 10**9 == x",
    "await": "await x",
    "yield": "(yield x)",
    "statement": "import os",
    "assignment": "x = 1",
    "several": "x > 1; y > 2",
    "bitwise and": "(a > 1) & (b > 1)",
    "invert": "~a",
    "is": "x is True",
    "in text": "x in 'abc'",
    "in name": "x in y",
    "empty list": "x in []",
    "mixed list": "x in [1, 'a']",
    "in chain": "1 < x in [1]",
    "constants only": "1 < 2",
    "constant": "3",
    "text alone": "'abc'",
    "list alone": "[1]",
    "tuple": "a, b",
    "infinite": "x < 1e999",
    "too large": "x < " + "9" * 30,
    "digits": "x < " + "9" * 4500,
    "deep parentheses": "(" * 1500 + "x" + ")" * 1500,
    "deep not": "not " * 1000 + "x",
    "deep minus": "-" * 4000 + "1 < x",
    "deep calls": "abs(" * 800 + "x" + ")" * 800 + " > 1",
    "deep brackets": "x in " + "[" * 2000 + "]" * 2000,
    "many nodes": " or ".join(["x"] * 600),
    "too long": "x > 1 or " * 1000 + "x",
    "null byte": "x\0 > 1",
    "surrogate": "x == '\ud800'",
    "escaped surrogate": "x == '\\ud800'",
    "control character": "x == 'a\\x07'",
    "zero width": "x == 'Sst\u200b'",
    "bad escape": "x == '\\d'",
    "look-alike": "ｓkewness > 1",
    "cyrillic": "ѕkewness > 1",
    "keyword glued": "x > 1or y > 2",
    "unclosed": "x > (1",
    "unquoted": "cre_line == Sst-IRES-Cre",
    "comparison of conditions": "(a > 1) == (b > 1)",
    "two lines": "a > 1\nand b > 1",
    "lower-case true": "blank == true",
    "nan": "x == nan",
    "double ampersand": "a > 1 && b > 1",
    "empty": "   ",
    "at twice": "x@a@b > 1",
    "at of nothing": "x@ > 1",
    "at alone": "@a > 1",
    "at a number": "x@1 > 1",
    "at a truth value": "x@True > 1",
    "at an empty text": "x@'' > 1",
    "at spaces": "x@' a' > 1",
    "at a text with at": "x@'a@b' > 1",
    "at bytes": "x@b'a' > 1",
    "at an f-string": "x@f'a' > 1",
    "at an attribute": "x@a.b > 1",
    "at a call": "x@a() > 1",
    "at a list": "x@[a] > 1",
    "at a control character": "x@'a\\x07' > 1",
    "at a look-alike": "x@ａ > 1",
    "at a long name": "x@" + "a" * 200 + " > 1",
    "look-alike at": "ｘ@a > 1",
    "private at": "_x@a > 1",
    "text at": "'x'@a > 1",
    "function at": "abs(x)@a > 1",
    "signed at": "-x@a > 1",
    "constant at": "nan@a > 1",
    "many at": "@".join("x" * 900) + " > 1",
    "matrix assignment": "x @= a",
    "restricted within constants": "x in [y@a]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_everything_else_is_a_diet_error(text: str) -> None:
    begun = time.process_time()  # what a busy machine does not stretch
    with pytest.raises(DietError) as caught:
        parse_expression(text)
    assert time.process_time() - begun < 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("skewness <= 3 and x.y > 1", "line 1, column 19"),
        ("x = 1", "write == to compare"),
        ("(a >\n 1) & b", "line 1, column 1"),
        ("a > 1 && b > 1", "write and, or, not"),
        ("'µµµ' == a.b", "line 1, column 10"),
        ("a > 1\nand b > 1", "in parentheses"),
        ("blank == true", "write True"),
        ("sqr(x) > 1", "known are abs, isnan, log10"),
        ("a > 1 and x@b@c > 1", "line 1, column 11: `a > 1 and x@b@c > 1`: @ stands between a column and a stimulus"),
    ],
)
def test_messages_say_where_and_what_to_do(text: str, expected: str) -> None:
    with pytest.raises(DietError) as caught:
        parse_expression(text)
    assert expected in str(caught.value)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab1.()[]'\"<>=!&|~ andornotin,_\\\n{}:#@", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tree = parse_expression(text)
    except DietError:
        return
    assert parse_expression(to_text(tree)) == tree


def test_python_spelling_gives_the_same_tree() -> None:
    spelled = (c.skewness <= 3.51) & (c["kurtosis"] <= 22.62) | ~c.cre_line.isin(["a"]) | c.x.isnan() | (abs(c.x) > 2)
    text = "(skewness <= 3.51 and kurtosis <= 22.62) or not (cre_line in ['a']) or isnan(x) or abs(x) > 2"
    assert str(spelled) == text
    assert spelled == Condition(parse_expression(text))
    assert str(3 < c.x) == "x > 3"  # noqa: SIM300 - the order is what is tested
    assert str(c.valid_roi & (c.x.log10() < 1)) == "valid_roi and log10(x) < 1"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: (c.x > 1) and (c.y > 1), id="and"),
        pytest.param(lambda: 1 < c.x < 3, id="chain"),
        pytest.param(lambda: not c.x, id="not"),
        pytest.param(lambda: c.x in ["a"], id="in"),
        pytest.param(lambda: c.x > 1 & c.y, id="precedence"),
        pytest.param(lambda: c.x.isin("abc"), id="isin text"),
        pytest.param(lambda: c["import"] > 1, id="keyword"),
        pytest.param(lambda: c.x > None, id="none"),
        pytest.param(lambda: c["x@"] > 1, id="at nothing"),
        pytest.param(lambda: c["x@a@b"] > 1, id="at twice"),
        pytest.param(lambda: c.x @ c.a > 1, id="at a column"),
        pytest.param(lambda: abs(c.x) @ "a" > 1, id="at of a function"),
        pytest.param(lambda: c.x < float("nan"), id="nan"),
        pytest.param(lambda: condition_node(c.x.log10()), id="number as condition"),
        pytest.param(lambda: condition_node(3), id="no condition"),
    ],
)
def test_python_mistakes_get_advice(wrong: object) -> None:
    with pytest.raises(DietError):
        wrong()


def test_a_restricted_column_is_spelled_in_three_ways() -> None:
    spelled = c["skewness@drifting_gratings"] <= 3.51
    assert spelled == (c.skewness @ "drifting_gratings" <= 3.51)
    assert spelled == Condition(parse_expression("skewness@drifting_gratings <= 3.51"))
    assert columns_of(spelled.node) == ("skewness@drifting_gratings",)
    assert repr(c.x @ "a b") == "c['x@a b']"


def test_numbers_of_different_kinds_are_different_constants() -> None:
    assert len({Literal(1), Literal(1.0), Literal(True)}) == 3
    assert columns_of(parse_expression("b > 1 and a > b")) == ("b", "a")


def test_depth_is_limited_in_python_too() -> None:
    condition = c.x > 1
    with pytest.raises(DietError, match="levels deep"):
        for _ in range(100):
            condition = ~condition
