"""Who is told of a run: each step once, however often the run began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from poyodata.errors import ModelError, UsageError
from poyodata.models import PoyoPlus, TrainConfig, resume, train
from poyodata.models.training.loggers import check_loggers
from tests.models.training.broken_off import BrokenOffError, break_off

MakeBatch = Callable[..., dict[str, Tensor]]


@pytest.mark.parametrize(
    ("every", "killed"), [pytest.param(10, 4, id="from-step-0"), pytest.param(2, 4, id="from-step-2")]
)
def test_tensorboard_shows_a_step_once(
    every: int, killed: int, model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path
) -> None:
    settings = TrainConfig(steps=6, log_every=1, checkpoint_every=every, folder=str(tmp_path), unit_dropout=0.0)
    with pytest.raises(BrokenOffError):
        train(model, [batch], settings, progress=False, on_step=break_off(killed))
    resume(tmp_path, [batch], progress=False)
    seen = EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    assert [event.step for event in seen.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


def test_a_package_that_does_not_start_is_told_in_a_sentence(
    model: PoyoPlus, batch: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "__init__.py").write_text("raise ImportError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = TrainConfig(steps=1, loggers=("wandb",), folder=str(tmp_path / "run"))
    with pytest.raises(ModelError, match=r"'wandb' does not start .* --logger none"):
        train(model, [batch], settings, progress=False)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param("csv", ("csv",), id="a-lone-text"),
        pytest.param(["csv", "tensorboard", "csv"], ("csv", "tensorboard"), id="one-twice"),
        pytest.param([], (), id="nobody"),
    ],
)
def test_names_of_loggers(given: str | list[str], names: tuple[str, ...]) -> None:
    assert check_loggers(given) == names


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(["tb"], "there is no logger 'tb'; .* known are csv, tensorboard, wandb", id="unknown"),
        pytest.param("tensorbord", "there is no logger 'tensorbord'; .* did you mean 'tensorboard'", id="misspelt"),
        pytest.param("none", "or an empty sequence for nobody", id="none"),
        pytest.param([3], "there is no logger 3", id="a-number-among-them"),
        pytest.param(True, "loggers is True; give names of loggers", id="no-names"),
    ],
)
def test_unknown_loggers_are_refused(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_loggers(given)
