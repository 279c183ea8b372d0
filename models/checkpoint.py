"""Checkpoints that are safe to load: tensors and JSON, with what the weights came from and a digest over it all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import platform
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poyodata._version import version
from poyodata.digests import canonical_json, json_digest
from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus
from poyodata.replacing import replacing

FORMAT_VERSION = 1
_PARTS = {"format", "format_version", "config", "facts", "state", "digest"}


class TrainingState(NamedTuple):
    """All that a run needs to go on, beside the model.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Of the optimiser, and of a teacher.
    progress : dict
        What JSON can hold: the step, where the loader is, how long the tables of metrics are.
    """

    tensors: dict[str, Tensor]
    progress: dict[str, Any]


class Checkpoint(NamedTuple):
    """A model as it was saved, in evaluation mode, the facts saved with it, and how to go on training, if it says."""

    model: PoyoPlus
    facts: dict[str, Any]
    training: TrainingState | None = None


def package_versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on.

    Examples
    --------
    >>> sorted(package_versions())
    ['lightning', 'numpy', 'poyodata', 'python', 'torch']
    """
    packages = {name: importlib.metadata.version(name) for name in ("lightning", "numpy", "torch")}
    return {**packages, "poyodata": version, "python": platform.python_version()}


def save_checkpoint(
    model: PoyoPlus, path: str | Path, facts: Mapping[str, Any] | None = None, training: TrainingState | None = None
) -> Path:
    """Write a model with its names, configuration and `facts`; the file appears whole or not at all.

    Parameters
    ----------
    model : PoyoPlus
        What to save.
    path : path
        File to write.
    facts : mapping, optional
        Anything that JSON can hold: the manifest's digest, the training configuration, results.
    training : TrainingState, optional
        What else a run needs to go on.

    Raises
    ------
    ModelError
        If the file cannot be written; the one that was there stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> model = PoyoPlus(PoyoConfig.named("poyo-tiny", window_frames=60, rate_hz=30.0), ["a:0"], ["a"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_checkpoint(model, folder + "/model.pt", {"manifest_digest": "0f"})
    ...     load_checkpoint(file).facts["manifest_digest"]
    '0f'
    """
    path = Path(path)
    state = _on_cpu(model.state_dict())
    texts = {"config": canonical_json(model.config.model_dump()), "facts": canonical_json(dict(facts or {}))}
    extra: dict[str, Any] = {}
    if training is not None:
        extra["training"] = {"tensors": _on_cpu(training.tensors), "progress": canonical_json(training.progress)}
    whole = {"format": "poyodata-model", "format_version": FORMAT_VERSION, **texts, "state": state, **extra}
    whole["digest"] = _digest(whole)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            torch.save(whole, file)
            file.flush()
            # On the disk before it takes the place of the one before: a crash of the machine leaves one of the two.
            os.fsync(file.fileno())
    # torch turns a full disk into errors of its own.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        stays = "; the one that was there before is whole" if path.exists() else ""
        raise ModelError(f"cannot write {path} ({reason}){stays}; make room, or choose another folder") from error
    return path


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote; nothing in the file is executed.

    Raises
    ------
    ModelError
        If there is no such file, or it is truncated, changed, foreign, or of another format version.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}; train a model first or correct the path")
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    # torch.load has no error of its own: a broken archive may raise almost anything.
    except Exception as error:
        raise ModelError(
            f"{path} is no poyodata checkpoint, or is damaged: {_reason(path, error)}; copy it again, or train again"
        ) from error
    if not isinstance(whole, dict) or whole.get("format") != "poyodata-model":
        raise ModelError(f"{path} holds no poyodata model; choose a model.pt that a training run wrote")
    if whole.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {whole.get('format_version')}, this release reads {FORMAT_VERSION}; "
            "use the release that wrote it"
        )
    if not _matches(whole):
        raise ModelError(f"{path} was changed after it was written: its digest differs; copy it again, or train again")
    config = PoyoConfig(**_json(whole["config"]))
    model = PoyoPlus(config, (), ("",))
    try:
        model.load_state_dict(whole["state"])
    except RuntimeError as error:
        raise ModelError(
            f"{path} holds weights of another model than its configuration says ({str(error).splitlines()[-1].strip()})"
            "; use the release that wrote it"
        ) from error
    training = whole.get("training")
    state = None if training is None else TrainingState(training["tensors"], _json(training["progress"]))
    return Checkpoint(model.eval(), _json(whole["facts"]), state)


def _reason(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "the file is empty"
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            begun = file.read(2) == b"PK"
        return "the file is truncated" if begun else "it is no archive of torch"
    if isinstance(error, pickle.UnpicklingError):
        return "it would run code when it is loaded"
    return f"its content cannot be read ({type(error).__name__})"


def _json(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _on_cpu(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _matches(whole: Mapping[str, Any]) -> bool:
    try:
        return set(whole) - {"training"} == _PARTS and _digest(whole) == whole["digest"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _digest(whole: Mapping[str, Any]) -> str:
    parts = {"config": whole["config"], "facts": whole["facts"], "state": _digests(whole["state"])}
    if "training" in whole:
        parts["training"] = [_digests(whole["training"]["tensors"]), whole["training"]["progress"]]
    return json_digest(parts)


def _digests(tensors: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    # Seen as bytes: NumPy knows no bfloat16, and a copy of a large table is not needed.
    return {
        name: [
            str(value.dtype),
            list(value.shape),
            hashlib.sha256(value.contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest(),
        ]
        for name, value in tensors.items()
    }
