"""The folder that AllenSDK's ``BrainObservatoryCache`` keeps: its manifest, its lists, its recordings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poyodata.errors import UsageError
from poyodata.replacing import replacing

MANIFEST_VERSION = "1.3"
_FILES = {
    "EXPERIMENT_CONTAINERS": "experiment_containers.json",
    "EXPERIMENTS": "ophys_experiments.json",
    "EXPERIMENT_DATA": "ophys_experiment_data/%d.nwb",
    "ANALYSIS_DATA": "ophys_experiment_analysis/%d_%s_analysis.h5",
    "EVENTS_DATA": "ophys_experiment_events/%d_events.npz",
    "CELL_SPECIMENS": "cell_specimens.json",
    "STIMULUS_MAPPINGS": "stimulus_mappings.json",
    "EYE_GAZE_DATA": "ophys_eye_gaze_mapping/%d_eyetracking_dlc_to_screen_mapping.h5",
}


def manifest_content() -> dict[str, Any]:
    """The manifest that AllenSDK 2.16 writes into an empty folder.

    Examples
    --------
    >>> manifest_content()["manifest"][0]
    {'type': 'manifest_version', 'value': '1.3'}
    """
    entries: list[dict[str, str]] = [
        {"type": "manifest_version", "value": MANIFEST_VERSION},
        {"key": "BASEDIR", "type": "dir", "spec": "."},
    ]
    entries += [{"key": key, "type": "file", "spec": spec, "parent_key": "BASEDIR"} for key, spec in _FILES.items()]
    return {"manifest": entries}


@dataclass(frozen=True)
class AllenCache:
    """Where everything lies in one folder of AllenSDK's layout.

    Attributes
    ----------
    root : Path
        Folder of ``manifest.json``.
    specs : mapping of str to str
        Path of every kind of file, with ``%d`` for the id, by AllenSDK's key.

    Examples
    --------
    >>> AllenCache.at(Path("raw")).recording(5).as_posix()
    'raw/ophys_experiment_data/5.nwb'
    """

    root: Path
    specs: Mapping[str, str]

    @classmethod
    def at(cls, root: Path) -> AllenCache:
        """Read the manifest of a folder, or take AllenSDK's own layout where there is none yet.

        Raises
        ------
        UsageError
            When the folder's manifest is damaged, or of a version that AllenSDK 2.16 would refuse.
        """
        manifest = root / "manifest.json"
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file; --out names the folder for the recordings.")
        if not manifest.exists():
            return cls(root, {key: str(root / spec) for key, spec in _FILES.items()})
        return cls(root, _read_manifest(manifest))

    @property
    def manifest(self) -> Path:
        """File to give to ``BrainObservatoryCache(manifest_file=...)``."""
        return self.root / "manifest.json"

    def create(self) -> None:
        """Make the folder and its manifest, where they are not there yet."""
        self.recording(0).parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(parents=True, exist_ok=True)
        if not self.manifest.exists():
            _replace(self.manifest, [json.dumps(manifest_content(), indent=2)])

    def recording(self, session_id: int) -> Path:
        """NWB file of one recording."""
        before, _, after = self.specs["EXPERIMENT_DATA"].rpartition("%d")
        return Path(f"{before}{session_id}{after}")

    def read_list(self, key: str) -> list[dict[str, Any]] | None:
        """One of the cached lists, such as ``"EXPERIMENTS"``; None where it is missing or damaged."""
        try:
            content = json.loads(Path(self.specs[key]).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(content, list) and content and all(isinstance(row, dict) for row in content)
        return content if whole else None

    def write_list(self, key: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put a list in place atomically; `rows` may be a long iterator."""

        def pieces() -> Iterable[str]:
            opening = "[\n"
            for row in rows:
                yield opening + json.dumps(row)
                opening = ",\n"
            yield "\n]\n" if opening != "[\n" else "[]\n"

        _replace(Path(self.specs[key]), pieces())


def _replace(path: Path, pieces: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(path: Path) -> dict[str, str]:
    advice = "Choose another --out, or move the file away: AllenSDK and poyodata both write a new one."
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["manifest"]
        versions = [entry["value"] for entry in entries if entry["type"] == "manifest_version"]
        folders = {entry["key"]: path.parent / entry["spec"] for entry in entries if entry["type"] == "dir"}
        specs = {
            entry["key"]: str(folders.get(entry.get("parent_key", ""), path.parent) / entry["spec"])
            for entry in entries
            if entry["type"] == "file"
        }
        if "%d" not in specs["EXPERIMENT_DATA"]:
            raise ValueError("EXPERIMENT_DATA has no %d for the id")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a manifest of AllenSDK's BrainObservatoryCache ({error!r}). {advice}"
        ) from error
    if versions != [MANIFEST_VERSION]:
        shown = ", ".join(map(str, versions)) or "none"
        raise UsageError(
            f"{path} has the manifest version {shown}; AllenSDK 2.16 and poyodata expect {MANIFEST_VERSION}. {advice}"
        )
    return {key: str(path.parent / spec) for key, spec in _FILES.items()} | specs
