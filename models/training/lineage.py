"""What a model comes from: one entry a stage, each with the digest of the one before, so that no stage can be swapped.

Pretraining, fine-tuning and evaluation each add an entry. The lineage goes with a model in memory, in checkpoints and
as ``lineage.json`` in the folder of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from poyodata.digests import json_digest
from poyodata.errors import ModelError
from poyodata.models.poyo import PoyoPlus


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage in the making of a model, or a look at it.

    Attributes
    ----------
    name : str
        ``pretrain``, ``finetune``, ``evaluate``.
    manifest_digest : str or None
        Of the manifest behind the batches; None where the batches named none.
    config_digest : str
        Of the settings of the stage.
    before : str or None
        Digest of the stage before.

    Examples
    --------
    >>> first = Stage("pretrain", "0f", "ab", None)
    >>> Stage("finetune", "1e", "cd", first.digest).before == first.digest
    True
    """

    name: str
    manifest_digest: str | None
    config_digest: str
    before: str | None

    @property
    def digest(self) -> str:
        """Of this stage and, through `before`, of all that went before it."""
        return json_digest(asdict(self))


Lineage = tuple[Stage, ...]
"""Stages, the first one first."""


def added(lineage: Lineage, name: str, manifest_digest: str | None, settings: Mapping[str, Any]) -> Lineage:
    """Lineage with one more stage.

    Parameters
    ----------
    lineage : Lineage
        So far.
    name : str
        Of the stage.
    manifest_digest : str or None
        Of the manifest behind its batches.
    settings : mapping
        What decided it, as JSON can hold it.

    Examples
    --------
    >>> lineage = added(added((), "pretrain", "0f", {"lr": 1e-3}), "evaluate", "1e", {})
    >>> [stage.name for stage in lineage]
    ['pretrain', 'evaluate']
    """
    before = lineage[-1].digest if lineage else None
    return (*lineage, Stage(name, manifest_digest, json_digest(dict(settings)), before))


def to_json(lineage: Lineage) -> list[dict[str, Any]]:
    """Write a lineage as plain values, each stage with its digest."""
    return [{**asdict(stage), "digest": stage.digest} for stage in lineage]


def from_json(entries: Iterable[Mapping[str, Any]], where: str = "the lineage") -> Lineage:
    """Read what :func:`to_json` wrote, and check the chain.

    Raises
    ------
    ModelError
        If an entry was changed, or does not follow from the one before.
    """
    names = [one.name for one in fields(Stage)]
    lineage: Lineage = ()
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ModelError(f"{where} has {str(entry)[:40]!r} among its stages; expected {', '.join(names)}, digest")
        if set(entry) != {*names, "digest"}:
            raise ModelError(
                f"{where} has an entry with {', '.join(sorted(entry))}; expected {', '.join(names)}, digest"
            )
        stage = Stage(**{name: entry[name] for name in names})
        if stage.digest != entry["digest"] or stage.before != (lineage[-1].digest if lineage else None):
            raise ModelError(f"{where} was changed: stage {stage.name!r} does not follow from the one before it")
        lineage = (*lineage, stage)
    return lineage


def lineage_of(model: PoyoPlus) -> Lineage:
    """Give the stages behind a model in memory; none for one that was only just made."""
    lineage: Lineage = getattr(model, "lineage", ())
    return lineage


def set_lineage(model: PoyoPlus, lineage: Lineage) -> None:
    """Say which stages are behind a model."""
    model.lineage = lineage  # type: ignore[assignment]
