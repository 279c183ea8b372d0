"""Means over batches that know unlike numbers of answers: every answer counts once, whatever batch it came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COUNT = "_count"
"""End of the name of a term that says how many answers the task before it had."""


def pooled(
    parts: Sequence[Mapping[str, float]], weights: Sequence[float] | None = None, *, nothing: float = 0.0
) -> dict[str, float]:
    """Terms of several batches as one: those of a task by its known answers, others by `weights`; counts are added.

    Parameters
    ----------
    parts : sequence of mapping
        Terms of each batch, as `poyodata.models.multitask.multitask_loss` names them.
    weights : sequence of float, optional
        Of the batches, for what is of no task; by default all weigh the same.
    nothing : float
        What a term is of which no batch knows an answer.

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> parts = [{"loss": 1.0, "direction": 3.0, "direction_count": 1}, {"loss": 2.0, "direction": 1.0}]
    >>> pooled([parts[0], parts[1] | {"direction_count": 3}])
    {'loss': 1.5, 'direction': 1.5, 'direction_count': 4}
    """
    weights = [1.0] * len(parts) if weights is None else weights
    names = dict.fromkeys(name for part in parts for name in part)
    tasks = [name.removesuffix(COUNT) for name in names if name.endswith(COUNT)]
    found: dict[str, float] = {}
    for name in names:
        held = [(part, weight) for part, weight in zip(parts, weights, strict=True) if name in part]
        task = _task_of(name, tasks)
        if name.endswith(COUNT):
            found[name] = sum(part[name] for part, _ in held)
            continue
        shares = [(part[name], weight if task is None else part[task + COUNT]) for part, weight in held]
        known = [(value, share) for value, share in shares if share > 0]
        if len(known) == 1:
            found[name] = known[0][0]  # as it is: a product and a division would round it
        else:
            total = sum(share for _, share in known)
            found[name] = sum(value * share for value, share in known) / total if known else nothing
    return found


def _task_of(name: str, tasks: Sequence[str]) -> str | None:
    """Task that a term is of: ``movie_pixels_l1`` is of ``movie_pixels``, not of a task ``movie``."""
    owners = [task for task in tasks if name == task or name.startswith(f"{task}_")]
    return max(owners, key=len, default=None)
