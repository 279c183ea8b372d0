"""What a datasheet reads out of a diet: bounds with their direction, and whose conditions they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from poyodata.curation import Diet, Manifest, load_diet
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.rules import Where
from poyodata.curation.selecting.references import References
from poyodata.datasheet.conditions import of_moments, own_conditions, thresholds_of


def manifest_of(diet: Diet) -> Manifest:
    """Only what is read here: the diet, and those that it refers to."""
    meta = {"diet": diet.bound().to_dict(), "references": References(diet).documents}
    return cast(Manifest, SimpleNamespace(meta=meta))


SMALL = Diet.where("skewness <= 3 and kurtosis <= 20")


@pytest.mark.parametrize(
    ("diet", "expected", "further"),
    [
        pytest.param(
            Diet.where("0.5 <= skewness <= 3 and 1 <= kurtosis <= 20"),
            (3.0, 20.0),
            (("skewness", 0.5), ("kurtosis", 1.0)),
            id="what the brush writes",
        ),
        pytest.param(Diet.where("0.1 < skewness <= 3 and kurtosis <= 20"), (3, 20), (("skewness", 0.1),), id="range"),
        pytest.param(Diet.where("3 >= skewness >= 0.5 and 20 >= kurtosis"), (3, 20), (("skewness", 0.5),), id="turned"),
        pytest.param(Diet.where("skewness > 3 and kurtosis > 20"), (3, 20), (), id="high in both"),
        pytest.param(
            Diet.where("not skewness < 0.5 and skewness <= 3 and kurtosis <= 20"),
            (3, 20),
            (("skewness", 0.5),),
            id="not",
        ),
        pytest.param(~Diet.where("skewness < 0.5") & SMALL, (3, 20), (("skewness", 0.5),), id="complement"),
        pytest.param(SMALL - Diet.where("skewness < 0.5"), (3, 20), (("skewness", 0.5),), id="difference"),
        pytest.param(load_diet("unpredictable"), (3.51, 22.62), (), id="complement of another diet"),
        pytest.param(load_diet("mixed-30"), (3.51, 22.62), (), id="mix of other diets"),
    ],
)
def test_a_threshold_is_an_upper_bound_where_there_is_one(
    diet: Diet, expected: tuple[float, float], further: tuple[tuple[str, float], ...]
) -> None:
    found = thresholds_of(manifest_of(diet))
    assert found.own
    assert (found.max_x, found.max_y) == expected
    assert found.further == further
    assert found.published == (expected == (3.51, 22.62))


@pytest.mark.parametrize("condition", ["skewness == 3 and kurtosis <= 20", "kurtosis <= 20", "abs(skewness) <= 3"])
def test_what_is_no_pair_of_bounds_leaves_those_of_the_preset(condition: str) -> None:
    found = thresholds_of(manifest_of(Diet.where(condition)))
    assert not found.own
    assert (found.max_x, found.max_y) == (3.51, 22.62)


def test_conditions_of_a_target_are_not_those_of_its_controls() -> None:
    controls = manifest_of(load_diet("random-matched").with_parameters(max_skewness=1.2, max_kurtosis=4.0))
    found = thresholds_of(controls)
    assert (found.own, found.of_target, found.max_x, found.max_y) == (False, True, 1.2, 4.0)
    assert own_conditions(controls) == []
    drawn = SMALL.matched(on=["session_id"], of=Diet.where("depth_um > 100"))
    assert [to_text(node) for node in own_conditions(manifest_of(drawn))] == ["depth_um > 100"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("skewness <= 3.51 and kurtosis <= 22.62", True),
        ("skewness@drifting_gratings <= 3.51", True),
        ("skewness <= quantile(skewness, 0.5)", False),
        ("rank(skewness) <= 0.5", False),
        ("skewness <= 3.51 and reliability > 0", False),
        ("depth_um > 100", False),
    ],
)
def test_conditions_on_moments_are_told_from_others(condition: str, expected: bool) -> None:
    rule: Any = Diet.where(condition).neurons
    assert isinstance(rule, Where)
    assert of_moments(rule.condition) == expected
