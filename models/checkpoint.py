"""Checkpoints that are safe to load: tensors and JSON, with what the weights came from and a digest over it all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from poyodata._version import version
from poyodata.digests import canonical_json, json_digest
from poyodata.errors import ModelError
from poyodata.models.config import PoyoConfig
from poyodata.models.poyo import PoyoPlus

FORMAT_VERSION = 1
_PARTS = {"format", "format_version", "config", "facts", "state", "digest"}


class Checkpoint(NamedTuple):
    """A model as it was saved, in evaluation mode, and the facts saved with it."""

    model: PoyoPlus
    facts: dict[str, Any]


def package_versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on.

    Examples
    --------
    >>> sorted(package_versions())
    ['lightning', 'numpy', 'poyodata', 'python', 'torch']
    """
    packages = {name: importlib.metadata.version(name) for name in ("lightning", "numpy", "torch")}
    return {**packages, "poyodata": version, "python": platform.python_version()}


def save_checkpoint(model: PoyoPlus, path: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Write a model with its names, configuration and `facts`; the file appears whole or not at all.

    Parameters
    ----------
    model : PoyoPlus
        What to save.
    path : path
        File to write.
    facts : mapping, optional
        Anything that JSON can hold: the manifest's digest, the training configuration, results.

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
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    texts = {"config": canonical_json(model.config.model_dump()), "facts": canonical_json(dict(facts or {}))}
    whole = {
        "format": "poyodata-model",
        "format_version": FORMAT_VERSION,
        **texts,
        "state": state,
        "digest": _digest(texts, state),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    torch.save(whole, unfinished)
    unfinished.replace(path)
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
            f"{path} is no poyodata checkpoint, or is damaged ({type(error).__name__}); copy it again, or train again"
        ) from error
    if not isinstance(whole, dict) or whole.get("format") != "poyodata-model":
        raise ModelError(f"{path} holds no poyodata model; choose a model.pt that a training run wrote")
    if whole.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {whole.get('format_version')}, this release reads {FORMAT_VERSION}; "
            "use the release that wrote it"
        )
    if set(whole) != _PARTS or _digest(whole, whole["state"]) != whole["digest"]:
        raise ModelError(f"{path} was changed after it was written: its digest differs; copy it again, or train again")
    config = PoyoConfig(**_json(whole["config"]))
    model = PoyoPlus(config, (), ("",))
    model.load_state_dict(whole["state"])
    return Checkpoint(model.eval(), _json(whole["facts"]))


def _json(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _digest(texts: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> str:
    tensors = {
        name: [str(value.dtype), list(value.shape), hashlib.sha256(value.numpy().tobytes()).hexdigest()]
        for name, value in state.items()
    }
    return json_digest({"config": texts["config"], "facts": texts["facts"], "state": tensors})
