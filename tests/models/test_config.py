"""Settings are frozen, known sizes are known, and nonsense is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig, Settings
from poyodata.models.training.config import TrainConfig


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        pytest.param(PoyoConfig, {"dimm": 3}, r"no setting 'dimm'; did you mean 'dim'\?", id="unknown"),
        pytest.param(PoyoConfig, {"patch_frames": 60}, "60 frames does not fit a window of 57", id="patch"),
        pytest.param(PoyoConfig, {"dim_head": 6}, "dim_head=6", id="head-not-a-multiple-of-4"),
        pytest.param(PoyoConfig, {"rate_hz": float("nan")}, "rate_hz=nan", id="nan"),
        pytest.param(PoyoConfig, {"ffn_dropout": 1.0}, "ffn_dropout=1.0", id="drop-all"),
        pytest.param(PoyoConfig, {"tokens": "gate"}, "tokens='gate'.*'paper', 'gated' or 'patched'", id="tokens"),
        pytest.param(PoyoConfig, {"weights": {"directoin": 2.0}}, "did you mean 'direction'", id="weight-of-no-task"),
        pytest.param(PoyoConfig, {"weights": {"direction": -2.0}}, "weighs -2.0", id="weight"),
        pytest.param(PoyoConfig, {"weights": {"direction": float("inf")}}, "weights.direction=inf", id="no-weight"),
        pytest.param(
            PoyoConfig, {"scales": {"directoin": ((0, 1),)}}, "did you mean 'direction'", id="scale-of-no-task"
        ),
        pytest.param(PoyoConfig, {"scales": {"direction": ((0, 1),)}}, "a class and no number", id="scale-of-a-class"),
        pytest.param(PoyoConfig, {"tasks": ("gaze",), "scales": {"gaze": ((0, 1),)}}, "give 2 of each", id="one-scale"),
        pytest.param(PoyoConfig, {"tasks": ("pupil",), "scales": {"pupil": ((0, 0),)}}, "above 0", id="no-spread"),
        pytest.param(PoyoConfig, {"t_min_s": 5.0}, "must be below t_max_s", id="periods"),
        pytest.param(TrainConfig, {"steps": 0}, "steps=0", id="no-steps"),
        pytest.param(TrainConfig, {"lr": -1.0}, "lr=-1.0", id="lr"),
        pytest.param(TrainConfig, {"objective": "latent"}, "objective='latent'", id="objective"),
        pytest.param(TrainConfig, {"mask_rate": 1.0}, "mask_rate=1.0", id="mask-all"),
    ],
)
def test_nonsense_is_refused(kind: type[Settings], values: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        kind(**values)


def test_unknown_size_suggests_a_known_one() -> None:
    with pytest.raises(ModelError, match="did you mean 'poyo-tiny'"):
        PoyoConfig.named("poyo_tiny", window_frames=60, rate_hz=30.0)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        pytest.param({"rate_hz": 0}, "rate_hz=0", id="no-rate"),
        pytest.param({"rate_hz": float("nan")}, "rate_hz=nan", id="rate-not-a-number"),
        pytest.param({"window_frames": "long"}, "window_frames='long'", id="frames-in-words"),
    ],
)
def test_a_size_needs_a_window(window: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        PoyoConfig.named("poyo-tiny", **{"window_frames": 60, "rate_hz": 30.0, **window})


def test_settings_are_frozen_and_survive_json() -> None:
    of_tasks = {"tasks": ("gaze",), "weights": {"gaze": 2.0}, "scales": {"gaze": ((1.0, 2.0), (3.0, 4.0))}}
    config = PoyoConfig.named("poyo-tiny", window_frames=80, rate_hz=30.1, **of_tasks)
    with pytest.raises(ValueError, match="frozen"):
        config.dim = 3  # type: ignore[misc]
    assert PoyoConfig(**config.model_dump()) == config
    assert PoyoConfig.model_validate_json(config.model_dump_json()) == config
    (gaze,) = config.make_tasks()
    assert (gaze.weight, gaze.mean, gaze.std) == (2.0, (1.0, 3.0), (2.0, 4.0))


def test_scales_are_of_the_released_outputs_in_the_legacy_layout() -> None:
    config = PoyoConfig(layout="legacy", tasks=("pupil",), scales={"pupil": ((1.0, 2.0), (3.0, 4.0))})
    (pupil,) = config.make_tasks()
    assert (pupil.n_outputs, pupil.std) == (2, (2.0, 4.0))
