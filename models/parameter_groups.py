"""Which weights an optimiser decays, and which it steps row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from poyodata.errors import ModelError, nearest

Decay = Literal["weights", "matrices", "all"]
DECAYS: tuple[Decay, ...] = ("weights", "matrices", "all")

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    decay: Decay = "weights",
    tables: Sequence[str] = (),
    sparse_rows: bool = False,
) -> list[dict[str, Any]]:
    """Sort a model's parameters into groups, each with its own decay.

    Parameters
    ----------
    model : Module
        Whose parameters are meant; frozen ones are left out.
    weight_decay : float
        Of the parameters that are decayed.
    decay : {"weights", "matrices", "all"}
        ``weights``: the weights of linear and convolutional layers; norms, offsets and embeddings are not, since
        shrinking them changes what is computed, or forgets a neuron that no batch held. ``matrices``: whatever has two
        dimensions or more, embeddings included. ``all``: everything, as the released code does.
    tables : sequence of str
        Names of parameters that are tables of embeddings, which get groups of their own: ``("units", "sessions")``.
    sparse_rows : bool
        Whether tables are for :class:`~poyodata.models.lamb.Lamb` to step row by row.

    Returns
    -------
    list of dict
        Groups as optimisers take them, in one order always; none is empty.

    Raises
    ------
    ModelError
        If there is nothing to train, no such table, or a setting makes no sense.

    Examples
    --------
    >>> model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    >>> [(len(group["params"]), group["weight_decay"]) for group in parameter_groups(model, 0.1)]
    [(1, 0.1), (4, 0.0)]
    """
    if decay not in DECAYS:
        raise ModelError(f"there is no way to decay called {decay!r}; {nearest(str(decay), DECAYS)}")
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if not named:
        raise ModelError("every parameter of the model is frozen, so there is nothing to train; free some of them")
    known = dict(model.named_parameters())
    for table in tables:
        if table not in known:
            raise ModelError(f"the model has no parameter {table!r} to be a table; {nearest(table, known)}")
    layers = {id(part.weight) for part in model.modules() if isinstance(part, _LAYERS)}

    def decayed(weight: Tensor) -> bool:
        return decay == "all" or (weight.ndim >= 2 if decay == "matrices" else id(weight) in layers)

    groups: list[dict[str, Any]] = []
    for in_table in (False, True):
        extra = {"sparse_rows": True} if in_table and sparse_rows else {}
        mine = [weight for name, weight in named.items() if (name in tables) == in_table]
        for shrinks in (True, False):
            params = [weight for weight in mine if decayed(weight) == shrinks]
            if params:
                groups.append({"params": params, "weight_decay": weight_decay if shrinks else 0.0, **extra})
    return groups
