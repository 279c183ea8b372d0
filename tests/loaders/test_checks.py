"""What is no whole number, number, truth value or name is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from poyodata.errors import LoaderError, PoyodataError, RecipeError, UsageError
from poyodata.loaders.checks import finite_number, names, truth, whole_number
from poyodata.loaders.recipe import Recipe, SamplingChoice, WindowsChoice
from poyodata.loaders.sampling import Ranks


@pytest.mark.parametrize("value", [0.5, 2.0, True, np.True_, "8", None, -1, np.nan])
def test_whole_numbers(value: Any) -> None:
    with pytest.raises(LoaderError, match=r"seed is .* must be a whole number of at least 0"):
        whole_number("seed", value)


@pytest.mark.parametrize("value", ["1", np.nan, np.inf, -np.inf, True, None, 1j])
def test_numbers(value: Any) -> None:
    with pytest.raises(LoaderError, match=r"offset_s is .* must be a number"):
        finite_number("offset_s", value)


@pytest.mark.parametrize("value", ["no", 0, 1, None, 0.0])
def test_truth_values(value: Any) -> None:
    with pytest.raises(LoaderError, match=r"shuffle is .* must be True or False"):
        truth("shuffle", value)


@pytest.mark.parametrize("value", [None, 3, [1], ["a", None], {"a": {}}])
def test_names(value: Any) -> None:
    with pytest.raises(UsageError, match="targets are names"):
        names("targets", value)


def test_what_is_good_becomes_plain() -> None:
    found = (whole_number("n", np.int32(3)), finite_number("x", np.float32(0.5)), truth("t", np.False_))
    assert found == (3, 0.5, False)
    assert [type(one) for one in found] == [int, float, bool]
    assert names("targets", "direction") == names("targets", ["direction"]) == ("direction",)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        pytest.param(lambda: WindowsChoice(window_s="1"), RecipeError, "`window_s` is '1'", id="window"),  # type: ignore[arg-type]
        pytest.param(lambda: WindowsChoice(window_s=np.nan), RecipeError, "`window_s` is nan", id="window-nan"),
        pytest.param(lambda: WindowsChoice(offset_s=np.inf), RecipeError, "`offset_s` is inf", id="offset"),
        pytest.param(lambda: WindowsChoice(n_frames=2.5), RecipeError, "`n_frames` is 2.5", id="frames"),  # type: ignore[arg-type]
        pytest.param(
            lambda: WindowsChoice("fixed", 1.0, random_phase="no"),  # type: ignore[arg-type]
            RecipeError,
            "`random_phase` is 'no'",
            id="phase",
        ),
        pytest.param(lambda: SamplingChoice(shuffle="no"), RecipeError, "`shuffle` is 'no'", id="shuffle"),  # type: ignore[arg-type]
        pytest.param(lambda: SamplingChoice(drop_last=1), RecipeError, "`drop_last` is 1", id="drop-last"),  # type: ignore[arg-type]
        pytest.param(
            lambda: SamplingChoice("balanced", by="area", n_windows=2.5),  # type: ignore[arg-type]
            RecipeError,
            "`n_windows` is 2.5",
            id="n-windows",
        ),
        pytest.param(
            lambda: SamplingChoice("weighted", weights={"a": np.nan}), RecipeError, "a weight is nan", id="weight"
        ),
        pytest.param(lambda: Recipe(targets={"direction": None}), RecipeError, "give {} for none", id="no-options"),  # type: ignore[dict-item]
        pytest.param(lambda: Recipe(targets="direction"), RecipeError, "map names to options", id="no-mapping"),  # type: ignore[arg-type]
        pytest.param(lambda: Ranks(0.5, 2), LoaderError, "rank is 0.5", id="rank"),  # type: ignore[arg-type]
        pytest.param(lambda: Ranks(0, 2.0), LoaderError, "world is 2.0", id="world"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_they_are_checked_where_they_are_given(make: Callable[[], Any], error: type[PoyodataError], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
