"""Evaluation: pure functions over (recording, trial or frame id, prediction, target), stitched by integer id.

``answers.py`` asks a model (the only file that needs torch, beside the SSIM); ``stitching.py`` brings answers to the
same trial or frame together; ``judging.py`` gives every metric its interval and its baselines. In a few lines:

.. code-block:: python

    comparison = compare(model, train_loader, test_loader)  # the model and every baseline, on the same windows
    result = judge(comparison, donor=donor_of_recording)
    print(result)  # what may be said, then the table

Folds are pooled before they are judged: ``judge(pool([compare(...), compare(...)]), ...)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poyodata.models.evaluation.answers import answer, compare, evaluate
    from poyodata.models.evaluation.baselines import Baseline, make_baselines
    from poyodata.models.evaluation.decoding import Score, accuracy, balanced_accuracy, chance_level, score
    from poyodata.models.evaluation.frames import (
        Seen,
        chance_within,
        mark_seen,
        nearest_frames,
        seen_in_training,
        segments_of,
        within,
    )
    from poyodata.models.evaluation.images import psnr, ssim
    from poyodata.models.evaluation.judging import Comparison, judge, pool
    from poyodata.models.evaluation.metrics import Movie
    from poyodata.models.evaluation.regression import r2
    from poyodata.models.evaluation.responses import Responses, read_responses
    from poyodata.models.evaluation.result import Gain, Result, Row
    from poyodata.models.evaluation.shares import bootstrap_interval
    from poyodata.models.evaluation.stitching import Answers, stitch
    from poyodata.models.evaluation.wilson import wilson_interval

_HOME = {
    "Answers": "stitching",
    "Baseline": "baselines",
    "Comparison": "judging",
    "Gain": "result",
    "Movie": "metrics",
    "Responses": "responses",
    "Result": "result",
    "Row": "result",
    "Score": "decoding",
    "Seen": "frames",
    "accuracy": "decoding",
    "answer": "answers",
    "balanced_accuracy": "decoding",
    "bootstrap_interval": "shares",
    "chance_level": "decoding",
    "chance_within": "frames",
    "compare": "answers",
    "evaluate": "answers",
    "judge": "judging",
    "make_baselines": "baselines",
    "mark_seen": "frames",
    "nearest_frames": "frames",
    "pool": "judging",
    "psnr": "images",
    "r2": "regression",
    "read_responses": "responses",
    "score": "decoding",
    "seen_in_training": "frames",
    "segments_of": "frames",
    "ssim": "images",
    "stitch": "stitching",
    "wilson_interval": "wilson",
    "within": "frames",
}

__all__ = [
    "Answers",
    "Baseline",
    "Comparison",
    "Gain",
    "Movie",
    "Responses",
    "Result",
    "Row",
    "Score",
    "Seen",
    "accuracy",
    "answer",
    "balanced_accuracy",
    "bootstrap_interval",
    "chance_level",
    "chance_within",
    "compare",
    "evaluate",
    "judge",
    "make_baselines",
    "mark_seen",
    "nearest_frames",
    "pool",
    "psnr",
    "r2",
    "read_responses",
    "score",
    "seen_in_training",
    "segments_of",
    "ssim",
    "stitch",
    "wilson_interval",
    "within",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'poyodata.models.evaluation' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"poyodata.models.evaluation.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
