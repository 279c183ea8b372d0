"""`Manifest`: what a diet means on one store under one split, as a fact with a digest."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from poyodata.digests import json_digest, table_digest
from poyodata.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from poyodata.curation.view import View
    from poyodata.store import Store

FORMAT_VERSION = 1
IDENTITY: tuple[str, ...] = (
    "neuron_id",
    "session_id",
    "column",
    "donor_id",
    "container_id",
    "cell_specimen_id",
    "cre_line",
    "area",
    "role",
    "term",
)
"""Columns that say which neurons these are. The statistics' values beside them are evidence and no part of the digest,
so that the last bit of a sum on another machine does not make another manifest."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """Lists of neurons and windows, and everything they came from. Made by ``diet.resolve(store)``.

    Attributes
    ----------
    neurons : DataFrame
        Columns `IDENTITY` and every other column that the diet looked at; sorted by (session_id, column).
    windows : DataFrame
        session_id, role, start_frame, stop_frame (half-open), stimulus, trial (-1: none), epoch, blank, direction_deg,
        temporal_frequency_hz, movie_frame; sorted by (session_id, start_frame).
    role_time : DataFrame
        session_id, role, start_frame, stop_frame (half-open), guard_frames: all time that the split gives a role in
        the recordings of `neurons`, whatever the diet eats of it; sorted by (session_id, start_frame). What is cut
        around a window must keep clear of it.
    meta : dict
        ``name``, ``diet`` (canonical), ``references``, ``store_digest``, ``split`` (spec, fold, digest, across),
        ``statistics`` (names, versions, window and the time each was computed on, intervals, digest), ``learned``
        (digest and lineage of every file of learned columns that was used), ``annotations`` (digest of every one that
        was used), ``frozen``, ``funnel``, ``warnings``.
    """

    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    role_time: pd.DataFrame = field(repr=False)
    meta: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the diet."""
        return str(self.meta["name"])

    @property
    def store_digest(self) -> str:
        """Digest of the store this was resolved on."""
        return str(self.meta["store_digest"])

    @property
    def split_digest(self) -> str:
        """Digest of the split."""
        return str(self.meta["split"]["digest"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Remarks made while resolving."""
        return tuple(self.meta["warnings"])

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that have windows, sorted."""
        return tuple(sorted(self.windows["role"].unique()))

    @cached_property
    def digest(self) -> str:
        """Sha256 over what is eaten: name, store, split, neurons and windows.

        The same in every process, after every order of ingestion and with every Parquet writer.
        """
        return json_digest(
            {
                "format": FORMAT_VERSION,
                "name": self.name,
                "store": self.store_digest,
                "split": self.split_digest,
                "neurons": table_digest(self.neurons[list(IDENTITY)]),
                "windows": table_digest(self.windows),
            }
        )

    @cached_property
    def record_digest(self) -> str:
        """Sha256 over everything that is saved; finds a changed file."""
        tables = {"neurons": table_digest(self.neurons), "role_time": table_digest(self.role_time)}
        return json_digest({"digest": self.digest, "meta": self.meta, **tables})

    def funnel(self) -> pd.DataFrame:
        """Count step by step: step, rule, kept, rejected, unknown, counts (what is counted)."""
        columns = ["step", "rule", "kept", "rejected", "unknown", "counts"]
        return pd.DataFrame(list(self.meta["funnel"]), columns=columns)

    def open(self, store: Store) -> View:
        """Open the selected part of the store lazily.

        Raises
        ------
        ManifestError
            When the store is not what this was resolved on.
        """
        from poyodata.curation.view import View

        return View(self, store)

    def save(self, folder: str | Path) -> Path:
        """Write ``neurons.parquet``, ``windows.parquet``, ``role_time.parquet`` and ``manifest.json``, all or nothing.

        Parameters
        ----------
        folder : path
            A new folder, or one that holds an earlier manifest, which is replaced.

        Raises
        ------
        UsageError
            The folder holds something else, or cannot be written.
        """
        target = Path(folder)
        if target.exists() and not (target / "manifest.json").is_file():
            raise UsageError(f"{target} exists and holds no manifest; give a new folder.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                self.neurons.to_parquet(scratch / "neurons.parquet", index=False)
                self.windows.to_parquet(scratch / "windows.parquet", index=False)
                self.role_time.to_parquet(scratch / "role_time.parquet", index=False)
                record = {"format": FORMAT_VERSION, "digest": self.digest, "record_digest": self.record_digest}
                text = json.dumps(record | {"meta": self.meta}, indent=1, ensure_ascii=False)
                (scratch / "manifest.json").write_text(text + "\n", encoding="utf-8")
                scratch.chmod(0o755)
                if target.exists():
                    # A folder cannot be replaced in one step: the old one is set aside first and deleted last.
                    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
                    target.rename(aside / "old")
                    scratch.rename(target)
                    shutil.rmtree(aside)
                else:
                    scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise UsageError(
                f"the manifest cannot be written to {target} ({error.strerror}); give another folder."
            ) from error
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read what `save` wrote and verify it.

        Raises
        ------
        UsageError
            No such folder.
        ManifestError
            A file is missing, unreadable, of another format version, or was changed.
        """
        target = Path(folder)
        if not target.is_dir():
            raise UsageError(f"no manifest at {str(target)!r}; give the folder that `Manifest.save` wrote.")
        try:
            record = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
            neurons = pd.read_parquet(target / "neurons.parquet")
            windows = pd.read_parquet(target / "windows.parquet")
            role_time = pd.read_parquet(target / "role_time.parquet")
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors or OSErrors
            raise ManifestError(
                f"{target}: the manifest is damaged, or of an earlier version ({error}); resolve the diet again."
            ) from None
        version = record.get("format") if isinstance(record, dict) else None
        if version != FORMAT_VERSION:
            raise ManifestError(
                f"{target}: manifest format {version!r}, this version reads {FORMAT_VERSION}; resolve the diet again."
            )
        try:
            manifest = cls(neurons, windows, role_time, record["meta"])
            intact = manifest.digest == record["digest"] and manifest.record_digest == record["record_digest"]
        except (KeyError, TypeError) as error:
            raise ManifestError(f"{target}: the manifest lacks {error}; resolve the diet again.") from None
        if not intact:
            raise ManifestError(
                f"{target}: the content does not match the digest {str(record['digest'])[:12]}, so a file was changed "
                "after it was saved. Restore it from a copy, or resolve the diet again."
            )
        return manifest

    def _facts(self) -> dict[str, str]:
        neurons = self.neurons
        roles = self.windows["role"].value_counts().sort_index()
        split = self.meta["split"]
        return {
            "diet": self.name,
            "digest": self.digest[:12],
            "neurons": f"{len(neurons):,}",
            "recordings": f"{neurons['session_id'].nunique():,} of {neurons['donor_id'].nunique():,} donors",
            "windows": ", ".join(f"{role} {count:,}" for role, count in roles.items()),
            "split": f"{split['spec'].get('name', '')}, fold {split['fold']} ({self.split_digest[:12]})",
            "store": self.store_digest[:12],
            "warnings": f"{len(self.warnings)}",
        }

    def __repr__(self) -> str:
        lines = [f"  {key:<10} {value}" for key, value in self._facts().items()]
        return "\n".join(["<Manifest>", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in self._facts().items()
        )
        return f"<table><caption>Manifest</caption>{rows}</table>"


def plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Bring metadata to what JSON gives back, so that a saved manifest equals the one in memory."""
    plain: dict[str, Any] = json.loads(json.dumps(meta, allow_nan=False))
    return plain
