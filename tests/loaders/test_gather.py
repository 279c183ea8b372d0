"""The compiled gather against NumPy's indexing."""

from __future__ import annotations

import numpy as np
import pytest

from poyodata.loaders.gather import gather


@pytest.mark.parametrize(
    ("start", "columns", "extra_rows"),
    [
        pytest.param(0, [0, 1, 2, 3, 4], 0, id="all"),
        pytest.param(7, [4, 0, 3], 0, id="some-unordered"),
        pytest.param(93, [2], 2, id="last-frames-with-padding"),
        pytest.param(5, [], 1, id="no-neuron"),
    ],
)
def test_equals_numpy(start: int, columns: list[int], extra_rows: int) -> None:
    rng = np.random.default_rng(0)
    traces = rng.standard_normal((100, 5)).astype(np.float32)
    shift = rng.standard_normal(len(columns)).astype(np.float32)
    scale = rng.standard_normal(len(columns)).astype(np.float32)
    out = np.full((len(columns) + extra_rows, 7), 9.0, np.float32)
    gather(traces, start, np.array(columns, np.uint64), shift, scale, out)
    expected = (traces[start : start + 7][:, columns] - shift) * scale
    np.testing.assert_allclose(out[: len(columns)], expected.T, rtol=1e-6)
    assert (out[len(columns) :] == 9.0).all()
