from __future__ import annotations

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
        ("cre_line in ['Sst-IRES-Cre', 'Vip-IRES-Kre']", "'Vip-IRES-Cre' (1 neurons)"),
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
