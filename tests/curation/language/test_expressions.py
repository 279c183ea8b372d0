from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation import c, param
from poyodata.curation.language.expressions import Literal, columns_of, parameters_of, replace_parameters, to_text
from poyodata.curation.language.parameters import Parameter
from poyodata.curation.language.parse import parse_expression, parse_operand
from poyodata.curation.language.spelling import Condition, condition_node, operand_node
from poyodata.errors import DietError


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
        pytest.param("  x > +3 ", "x > 3", id="spaces"),
        pytest.param("x == '#' and y > 1e3", "x == '#' and y > 1000.0", id="sign of a comment in a text"),
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
        pytest.param("x<quantile( x,.9 )", "x < quantile(x, 0.9)", id="quantile"),
        pytest.param("x > quantile(abs(x@'a b'), 1)", "x > quantile(abs(x@'a b'), 1.0)", id="quantile of a function"),
        pytest.param("zscore(log10(x)) > 2", "zscore(log10(x)) > 2", id="zscore of a function"),
        pytest.param("rank(x) <= .1 or rank > 1", "rank(x) <= 0.1 or rank > 1", id="rank, and a column of that name"),
        pytest.param("x <= param('most', 3.51)", "x <= param(most, 3.51)", id="parameter"),
        pytest.param(
            "param(least, -1) < x < param(most, +3)", "param(least, -1) < x < param(most, 3)", id="in a chain"
        ),
        pytest.param("x in [param(a, 'p'), 'q']", "x in [param(a, 'p'), 'q']", id="parameter in a list"),
        pytest.param("x < quantile(x, param(q, .5))", "x < quantile(x, param(q, 0.5))", id="parameter as a share"),
        pytest.param("x < quantile(x, param(q, 1))", "x < quantile(x, param(q, 1.0))", id="whole parameter as a share"),
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
    "quantile of nothing": "quantile() > x",
    "quantile of one": "quantile(x) > x",
    "quantile of three": "quantile(x, 0.5, 1) > x",
    "quantile by name": "quantile(x, q=0.5) > x",
    "quantile of a constant": "quantile(3, 0.5) > x",
    "quantile of a condition": "quantile(isnan(x), 0.5) > x",
    "quantile of a quantile": "quantile(quantile(x, 0.5), 0.5) > x",
    "quantile above one": "quantile(x, 1.5) > x",
    "quantile below nought": "quantile(x, -0.1) > x",
    "quantile of a text": "quantile(x, '0.5') > x",
    "quantile of a truth value": "quantile(x, True) > x",
    "quantile of a column's share": "quantile(x, y) > x",
    "quantile of an infinite share": "quantile(x, 1e999) > x",
    "quantile alone": "quantile(x, 0.5)",
    "quantiles only": "quantile(x, 0.5) > 3",
    "quantile in a list": "x in [quantile(x, 0.5)]",
    "quantile of a text parameter": "quantile(x, param(q, 'a')) > x",
    "zscore alone": "zscore(x)",
    "zscore of two": "zscore(x, y) > 1",
    "zscore of a quantile": "zscore(quantile(x, 0.5)) > 1",
    "rank of a constant": "rank(3) > 1",
    "look-alike function": "ｒank(x) > 1",
    "parameter of nothing": "param() > x",
    "parameter without default": "param(a) > x",
    "parameter of three": "param(a, 1, 2) > x",
    "parameter by name": "param(a, default=1) > x",
    "starred parameter": "param(*a, 1) > x",
    "private parameter": "param(_a, 1) > x",
    "dunder parameter": "param('__class__', 1) > x",
    "keyword parameter": "param('import', 1) > x",
    "parameter of an attribute": "param(a.b, 1) > x",
    "parameter of a call": "param(a, abs(x)) > x",
    "parameter of a column": "param(a, b) > x",
    "parameter of a parameter": "param(a, param(b, 1)) > x",
    "parameter of none": "param(a, None) > x",
    "infinite parameter": "param(a, 1e999) > x",
    "look-alike parameter": "param(ａ, 1) > x",
    "parameter alone": "param(a, True)",
    "parameters only": "param(a, 1) < param(b, 2)",
    "function of a parameter": "abs(param(a, 1)) > x",
    "list of kinds": "x in [param(a, 'p'), 1]",
    "comment": "x > 1 # and y > 2",
    "comment over lines": "(x > 1 # and y > 2\n and z > 3)",
    "hexadecimal": "x > 0x10",
    "octal": "x > 0o17",
    "underscore in a number": "x > 1_0",
    "raw text": "x == r'a'",
    "text of unicode": "x == u'a'",
    "two texts": "x == 'a' 'b'",
    "two texts in a list": "x in ['a' 'b']",
    "text in three quotes": "x == '''a'''",
    "constants in a chain": "'a' == 'Sst' == cre_line",
    "constants in front": "1 < 'a' < skewness",
    "quantile beside a constant": "1 < quantile(x, 0.5) < x",
    "two kinds": "'a' == cre_line == 3",
    "text beside a number": "abs(x) == 'a'",
    "truth value beside a number": "rank(x) == True",
    "quantile beside a column's text": "x == 'a' == quantile(x, 0.5)",
    "texts among numbers": "log10(x) in ['a']",
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
        (
            "x > 1 and y < quantile(y)",
            "line 1, column 15: `x > 1 and y < quantile(y)`: quantile() takes a column and a",
        ),
        ("y < quantile(y, 2)", "column 5: `y < quantile(y, 2)`: the share of a quantile is a number from 0 to 1; got"),
        ("y < param(2, y)", "line 1, column 5: `y < param(2, y)`: param() takes a name and a default, as in `param("),
        ("y < param(x, z)", "line 1, column 14: `y < param(x, z)`: the default of a param() is a constant"),
        ("(x >\n param(a))", "line 2, column 2: ` param(a))`: param() takes a name and a default"),
        ("y in [quantile(y, 1)]", "line 1, column 7: `y in [quantile(y, 1)]`: a list after `in` holds constants"),
        ("zscore(x)", "line 1, column 1: `zscore(x)`: `zscore(x)` is neither true nor false"),
        ("x > 1 # and y > 2", "line 1, column 7: `x > 1 # and y > 2`: a comment hides the rest of the line"),
        ("x > 0x10", "column 5: `x > 0x10`: write the number 0x10 in plain decimal digits"),
        ("x > 1_0", "write the number 1_0 in plain decimal digits"),
        ("x == r'a'", "column 6: `x == r'a'`: write the text in plain quotes, without letters before them"),
        ("x in ['a' 'b']", "column 11: `x in ['a' 'b']`: two texts stand beside each other"),
        ("'a' == 'Sst' == cre_line", "`'a'` and `'Sst'` are compared, and both are constants"),
        ("1 < 'a' < skewness", "`1` and `'a'` are compared, and both are constants"),
        ("'a' == cre_line == 3", "`cre_line` is compared with a text, `'a'`, and with a number, `3`"),
        ("abs(x) == 'a'", "`abs(x)` is a number, and `'a'` is a text; compare it with a number"),
        ("not 3", "`not` joins conditions, but got `3`; compare a column with it, as in `skewness > 3`"),
        ("param(x, True) and y", "compare a column with it, as in `valid_roi == param(x, True)`"),
        ("x > 1 or 'a'", "compare a column with it, as in `cre_line == 'a'`"),
        ("not quantile(x, 0.5)", "compare a column with it, as in `x > quantile(x, 0.5)`"),
        ("not abs(x)", "compare it with something, as in `abs(x) > 0`"),
        ("", "line 1, column 1: an expression is empty"),
        ("a > 1 and x@b@c > 1", "line 1, column 11: `a > 1 and x@b@c > 1`: @ stands between a column and a stimulus"),
    ],
)
def test_messages_say_where_and_what_to_do(text: str, expected: str) -> None:
    with pytest.raises(DietError) as caught:
        parse_expression(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "wrong", ["not 3", "param(x, True) and y", "x > 1 or 'a'", "not quantile(x, 0.5)", "not abs(x)", "3", "rank(x)"]
)
def test_advice_can_be_followed(wrong: str) -> None:
    with pytest.raises(DietError) as caught:
        parse_expression(wrong)
    advised = str(caught.value).rpartition("as in `")[2].rpartition("`")[0]
    assert to_text(parse_expression(advised)) == advised


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
        pytest.param(lambda: condition_node(c.x.quantile(0.5)), id="quantile as condition"),
        pytest.param(lambda: condition_node(param("a", True)), id="parameter as condition"),
        pytest.param(lambda: c.x.log10() & c.y, id="number in a condition"),
        pytest.param(lambda: ~c.x.log10(), id="number negated"),
        pytest.param(lambda: c.x.quantile(2), id="quantile above one"),
        pytest.param(lambda: c.x.quantile(0.5).abs(), id="function of a quantile"),
        pytest.param(lambda: c.x.quantile(0.5) @ "a", id="quantile at"),
        pytest.param(lambda: c.x.isin(param("a", "b")), id="isin of a parameter"),
        pytest.param(lambda: c.x.isin(3), id="isin of a number"),
        pytest.param(lambda: c.x.notin("abc"), id="notin text"),
        pytest.param(lambda: operand_node(c.x > 1), id="condition as operand"),
        pytest.param(lambda: operand_node(c.x.quantile(0.5)), id="quantile as operand"),
        pytest.param(lambda: operand_node(3), id="number as operand"),
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


def test_functions_and_parameters_are_spelled_in_python() -> None:
    spelled = (c.x.zscore() > c.x.quantile(param("q", 0.5))) & (c.x.log10().rank() <= 0.1) & c.y.notin([param("a", 1)])
    text = "zscore(x) > quantile(x, param(q, 0.5)) and rank(log10(x)) <= 0.1 and y not in [param(a, 1)]"
    assert str(spelled) == text
    assert spelled == Condition(parse_expression(text))
    assert str(param("most", 3.0) >= c.x) == "x <= param(most, 3.0)"
    assert str(c.x.abs() > 1) == str(abs(c.x) > 1) == "abs(x) > 1"
    assert parameters_of(spelled.node) == (Parameter("q", 0.5), Parameter("a", 1))


def test_a_text_may_stand_on_either_side() -> None:
    assert str("a > 1" & (c.b > 1)) == "a > 1 and b > 1"
    assert str((c.b > 1) & "a > 1") == "b > 1 and a > 1"
    assert str("a > 1" | c.b) == "a > 1 or b"
    assert str("a > 1" & c.b) == "a > 1 and b"


def test_parameters_give_way_to_constants() -> None:
    tree = parse_expression("x in [param(a, 1), 2] and not (param(b, 0.5) < abs(x) != quantile(x, param(q, 0.5)))")
    assert to_text(replace_parameters(tree, lambda one: one.default)) == (
        "x in [1, 2] and not (0.5 < abs(x) != quantile(x, 0.5))"
    )
    other = replace_parameters(tree, lambda one: one.set_to(1) if one.name == "q" else one)
    assert "param(q, 1.0)" in to_text(other)


@pytest.mark.parametrize("text", ["x", "abs(x)", "zscore(log10(x@'natural movie'))", "rank"])
def test_operands_are_read(text: str) -> None:
    assert to_text(parse_operand(f" {text} ")) == text
    assert operand_node(text) == parse_operand(text)


@pytest.mark.parametrize(
    "text",
    [
        "x > 1",
        "3",
        "'x'",
        "isnan(x)",
        "not x",
        "a and b",
        "quantile(x, 0.5)",
        "param(a, 1)",
        "x.y",
        "",
        "abs(" * 60 + "x",
    ],
)
def test_what_is_no_operand_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DietError, match="line 1, column"):
        parse_operand(text)
    with pytest.raises(DietError, match="levels deep"):
        parse_operand("abs(" * 60 + "x" + ")" * 60)
