"""Many batches as one: what a mean over them is must not depend on how windows fell into them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poyodata.models.multitask import multitask_loss
from poyodata.models.pooling import pooled
from poyodata.models.tasks import make_tasks


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 4)), min_size=1, max_size=8),
    st.integers(1, 7),
)
def test_every_answer_counts_once(answers: list[tuple[float, int]], n_first: int) -> None:
    parts: list[dict[str, float]] = [{"direction": value if n else 0.0, "direction_count": n} for value, n in answers]
    every = [value for value, n in answers for _ in range(n)]
    found = pooled(parts, nothing=math.nan)
    assert found["direction_count"] == len(every)
    if not every:
        assert math.isnan(found["direction"])
        return
    assert found["direction"] == pytest.approx(sum(every) / len(every), abs=1e-9)
    both = [pooled(some, nothing=math.nan) for some in (parts[:n_first], parts[n_first:]) if some]
    assert pooled(both, nothing=math.nan)["direction"] == pytest.approx(found["direction"], abs=1e-9)


@pytest.mark.parametrize(
    ("parts", "weights", "expected"),
    [
        pytest.param([{"loss": 0.1}], None, {"loss": 0.1}, id="one-as-it-is"),
        pytest.param([{"loss": 1.0}, {"loss": 4.0}], [1, 2], {"loss": 3.0}, id="by-weight"),
        pytest.param([{"loss": 1.0}, {"loss": 4.0, "norm": 2.0}], None, {"loss": 2.5, "norm": 2.0}, id="held-by-one"),
        pytest.param(
            [{"movie_pixels_l1": 1.0, "movie_pixels_count": 1, "movie_count": 9}, {"movie_pixels_l1": 4.0}],
            None,
            {"movie_pixels_l1": 1.0, "movie_pixels_count": 1, "movie_count": 9},
            id="of-the-longest-name",
        ),
        pytest.param([{"running": 0.0, "running_count": 0}], None, {"running": 0.0, "running_count": 0}, id="nothing"),
    ],
)
def test_terms(parts: list[dict[str, float]], weights: list[float] | None, expected: dict[str, float]) -> None:
    whole = [{"movie_pixels_count": 0, **part} if "movie_pixels_l1" in part else part for part in parts]
    assert pooled(whole, weights) == expected


@settings(deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=12).filter(lambda one: max(one) >= 0), st.integers(1, 5))
def test_a_loss_in_batches_is_that_of_all_windows(labels: list[int], size: int) -> None:
    rng = torch.Generator().manual_seed(len(labels))
    n = len(labels)
    outputs = {"direction": torch.randn(n, 4, generator=rng), "running": torch.randn(n, 1, generator=rng)}
    batch = {"direction": torch.tensor(labels), "running": torch.randn(n, generator=rng)}
    batch["running"][::3] = torch.nan
    tasks = make_tasks(("direction", "running"), weight={"running": 0.5}, n_outputs={"direction": 4})
    whole = multitask_loss(outputs, batch, tasks)
    parts = [multitask_loss(_some(outputs, at, size), _some(batch, at, size), tasks).terms for at in range(0, n, size)]
    found = pooled([{name: float(value) for name, value in part.items()} for part in parts])
    for name, value in whole.terms.items():
        assert found[name] == pytest.approx(float(value), abs=1e-5)
    (made,) = whole.sums.values()
    assert sum(weight * found[name] for name, weight in made.items()) == pytest.approx(float(whole.total), abs=1e-5)


def _some(fields: dict[str, Tensor], start: int, size: int) -> dict[str, Any]:
    return {name: field[start : start + size] for name, field in fields.items()}
