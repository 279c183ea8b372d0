"""A rehearsal of a run: what is needed only once there were steps is tried before there is one, and before a folder."""

from __future__ import annotations

from poyodata.errors import ModelError
from poyodata.models.batches import Batches, ModelBatches, shown_names
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.models.training.config import TrainConfig
from poyodata.models.training.guards import check_device
from poyodata.models.training.objective import objective_of
from poyodata.models.training.validation import Validation, loss_over

NARROW = {"dim": 16, "dim_head": 8, "depth": 1}
"""Widths of the model that is tried: what is measured does not depend on them, and the run's own may not fit here."""


def rehearse(config: PoyoConfig, train: TrainConfig, loader: Batches, validation: Batches | None) -> None:
    """Try the device, the loss, and a batch of the validation.

    Parameters
    ----------
    config : PoyoConfig
        Of the model that is to be trained; a narrow one stands in for it.
    train : TrainConfig
    loader, validation : iterable of batch
        Of the windows that are learnt from, and of those that say which model is best, where there are any.

    Raises
    ------
    ModelError
        There is no such device or file of weights, nothing of the name to monitor is measured, or `patience` has
        nothing to wait for.
    """
    check_device(train)
    shown = shown_names(loader)
    model = PoyoPlus(PoyoConfig(**{**config.model_dump(), **NARROW}), shown.neurons, shown.sessions)
    # As in every validation: the average is of the training, which is not tried.
    objective = objective_of(train.model_copy(update={"target": "self"}), model)
    if validation is not None:
        first = next(ModelBatches(validation, model).epoch(0), None)
        batches = [] if first is None else [first]
        Validation(train, loss_over(batches, objective, train.seed), together=True).run(model)
    elif train.patience is not None:
        raise ModelError(
            f"patience={train.patience} waits for validations, and the manifest has no valid windows in the recordings "
            "that are learnt from; resolve it with a split that has, or take train.patience away "
            "(--set train.patience=null)"
        )
