"""The statistic of one's own that the documentation shows, line by line."""

import numpy as np

from poyodata.statistics import Column, Statistic, register_statistic

peak = Statistic(
    name="peak",
    version=1,
    columns={"brightest_dff": Column(dtype="float64", unit="dF/F", definition="Brightest frame.")},
    chunk=lambda stretch, params: np.fmax.reduce(stretch.traces, axis=0, initial=-np.inf),
    combine=np.fmax,
    finalize=lambda highest, params: {"brightest_dff": np.where(np.isfinite(highest), highest, np.nan)},
    nan_policy="Missing frames are left out; NaN without frames.",
)
register_statistic(peak)
