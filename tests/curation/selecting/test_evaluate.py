from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poyodata.curation.language.parse import parse_expression
from poyodata.curation.selecting.evaluate import Evaluator, Kleene
from poyodata.errors import DietError

TABLE = pd.DataFrame(
    {
        "skewness": [1.0, 5.0, np.nan, -2.0],
        "cre_line": ["Sst-IRES-Cre", "Vip-IRES-Cre", "Sst-IRES-Cre", ""],
        "valid_roi": [True, False, True, True],
        "cell": pd.array([1, 2, None, 4], dtype="Int64"),
        "flag": pd.array([True, None, False, True], dtype="boolean"),
        "mixed_text": ["a", None, "b", "a"],
        "gone": [np.nan] * 4,
        "when": pd.to_datetime(["2020-01-01"] * 4),
    }
)


LEAVES = [
    "skewness > 1",
    "cre_line == 'Sst-IRES-Cre'",
    "valid_roi",
    "flag",
    "isnan(cell)",
    "gone > 1",
    "cell not in [1, 2]",
    "log10(skewness) > 0",
]
conditions = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda part: f"({part[0]}) {part[1]} ({part[2]})"),
    ),
    max_leaves=8,
)


def answer(text: str, table: pd.DataFrame = TABLE) -> str:
    result = Evaluator(table).evaluate(parse_expression(text))
    return "".join("t" if t else "?" if u else "f" for t, u in zip(result.true, result.unknown, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("skewness <= 3.51", "tf?t"),
        ("not (skewness <= 3.51)", "ft?f"),
        ("0 < skewness <= 3.51", "tf?f"),
        ("3.51 >= skewness", "tf?t"),
        ("abs(skewness) > 1.5", "ft?t"),
        ("log10(skewness) >= 0", "tt??"),
        ("isnan(skewness)", "fftf"),
        ("not isnan(skewness)", "ttft"),
        ("isnan(cre_line)", "ffft"),
        ("cre_line == 'Sst-IRES-Cre'", "tft?"),
        ("cre_line != 'Sst-IRES-Cre'", "ftf?"),
        ("cre_line in ['Sst-IRES-Cre']", "tft?"),
        ("cre_line not in ['Sst-IRES-Cre']", "ftf?"),
        ("mixed_text == 'a'", "t?ft"),
        ("valid_roi", "tftt"),
        ("not valid_roi", "ftff"),
        ("valid_roi == False", "ftff"),
        ("flag", "t?ft"),
        ("flag and skewness > 0", "t?ff"),
        ("flag or skewness > 0", "tt?t"),
        ("cell in [1, 4]", "tf?t"),
        ("cell > skewness", "ff?t"),
        ("gone > 1", "????"),
        ("gone in [1]", "????"),
        ("gone > 1 or valid_roi", "t?tt"),
        ("True", "tttt"),
        ("not True", "ffff"),
        ("skewness == skewness", "tt?t"),
    ],
)
def test_three_valued_answers(text: str, expected: str) -> None:
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("skewnes > 1", "did you mean 'skewness'?"),
        ("cre_line == 'SST'", "the store has 'Sst-IRES-Cre' (2 neurons)"),
        ("cre_line in ['Sst-IRES-Cre', 'Vip-IRES-Kre']", "'Vip-IRES-Cre' (1 neuron)"),
        ("cre_line == 3", "set it in quotes: '3'"),
        ("skewness == 'a'", "without quotes"),
        ("skewness > True", "compare with a number"),
        ("valid_roi == 1", "write `valid_roi` or `not valid_roi`"),
        ("cre_line < 'a'", "no order"),
        ("skewness", "holds numbers; compare it"),
        ("abs(cre_line) > 1", "takes numbers"),
        ("when > 1", "cannot compare"),
        ("skewness in ['a']", "without quotes"),
    ],
)
def test_wrong_questions_are_explained(text: str, expected: str) -> None:
    with pytest.raises(DietError) as caught:
        answer(text)
    assert expected in str(caught.value)


def test_a_name_of_the_field_that_the_store_lacks_is_noted_not_refused() -> None:
    evaluator = Evaluator(TABLE)
    result = evaluator.evaluate(parse_expression("cre_line in ['Pvalb-IRES-Cre', 'Sst-IRES-Cre']"))
    assert result.counts() == (2, 1, 1)
    assert evaluator.notes == ["the store has no neuron with cre_line 'Pvalb-IRES-Cre'"]


@settings(max_examples=200, deadline=None)
@given(conditions)
def test_kept_rejected_and_unknown_always_sum_to_the_population(text: str) -> None:
    evaluator = Evaluator(TABLE)
    result = evaluator.evaluate(parse_expression(text))
    opposite = evaluator.evaluate(parse_expression(f"not ({text})"))
    assert sum(result.counts()) == len(TABLE)
    assert not (result.true & result.unknown).any()
    assert (result.true == opposite.false).all()
    assert (result.unknown == opposite.unknown).all()


def test_kleene_tables() -> None:
    t, f, u = (Kleene(np.array([a]), np.array([b])) for a, b in ((True, False), (False, False), (False, True)))
    assert (f & u).counts() == (0, 1, 0)
    assert (t & u).counts() == (0, 0, 1)
    assert (t | u).counts() == (1, 0, 0)
    assert (f | u).counts() == (0, 0, 1)
    assert (~u).counts() == (0, 0, 1)


def test_row_types_of_pandas_all_count_as_text() -> None:
    for dtype in ("str", "object", "category", "string"):
        table = pd.DataFrame({"x": pd.Series(["a", None, "b"], dtype=dtype)})
        assert answer("x == 'a'", table) == "t?f"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("x == line", "x holds numbers but is compared with line, which holds texts", id="columns"),
        pytest.param(
            "line == abs(x)", r"line holds texts but is compared with abs\(x\), which holds numbers", id="call"
        ),
        pytest.param(
            "line == quantile(x, 0.5)", r"compared with quantile\(x, 0.5\), which holds numbers", id="quantile"
        ),
    ],
)
def test_columns_of_other_kinds_are_not_told_to_lose_their_quotes(text: str, said: str) -> None:
    table = pd.DataFrame({"x": [1.0, 2.0], "line": ["a", "b"]})
    with pytest.raises(DietError, match=said) as caught:
        Evaluator(table).evaluate(parse_expression(text))
    assert "quotes" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array([1, 2**64 - 1], np.uint64), id="uint64"),
        pytest.param(pd.array([1, 2**63], dtype="UInt64"), id="nullable"),
        pytest.param([1, 2**80], id="python"),
        pytest.param([1, -(2**70)], id="python_negative"),
    ],
)
def test_whole_numbers_beyond_64_bits_do_not_wrap_around(values: Any) -> None:
    table = pd.DataFrame({"x": values})
    with pytest.raises(DietError, match=r"column x holds .* beyond 64 bits with a sign"):
        Evaluator(table).evaluate(parse_expression("x > 0"))
    small = pd.DataFrame({"x": np.array([0, 2**63 - 1], np.uint64)})
    assert Evaluator(small).evaluate(parse_expression("x > 0")).true.tolist() == [False, True]
