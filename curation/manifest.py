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

from poyodata.curation.manifest_record import damaged, read_record
from poyodata.digests import json_digest, table_digest
from poyodata.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from poyodata.curation.changes.diff import ManifestDiff
    from poyodata.curation.explain import Explanation
    from poyodata.curation.view import View
    from poyodata.store import Store

FORMAT_VERSION = 2
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

CONSIDERED: tuple[str, ...] = tuple(name for name in IDENTITY if name != "term")
"""Columns of `IDENTITY` that are known before anything is selected."""

TABLES: tuple[str, ...] = ("neurons", "windows", "role_time", "population")
"""Tables of a manifest: one Parquet file each."""

FILES: tuple[str, ...] = ("manifest.json", *(f"{name}.parquet" for name in TABLES))
"""Files of a saved manifest, and all that saving ever replaces."""


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
    population : DataFrame
        One row for every neuron considered, sorted like `neurons`: who it is, every column that the rule named,
        ``answer`` (kept, rejected, unknown) and ``decided_by`` (the step that dropped it, ``""`` for kept). Evidence,
        and no part of `digest`.
    meta : dict
        ``name``, ``diet`` (canonical, with constants in the place of parameters), ``parameters`` (their values),
        ``references``, ``store_digest``, ``recordings`` (digest of every recording of the store), ``lineage`` (of a
        packed store, else None), ``split`` (spec, fold, digest, across), ``statistics`` (names, versions, window and
        the time each was computed on, intervals, digest), ``reference`` (neurons that quantiles compare with),
        ``learned`` (digest and lineage of every file of learned columns that was used), ``annotations`` (digest of
        every one that was used), ``frozen``, ``matched``, ``funnel``, ``warnings``.
    """

    neurons: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    role_time: pd.DataFrame = field(repr=False)
    population: pd.DataFrame = field(repr=False)
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
        tables = {name: table_digest(getattr(self, name)) for name in TABLES if name != "windows"}
        return json_digest({"digest": self.digest, "meta": self.meta, **tables})

    def grounds(self) -> list[dict[str, Any]]:
        """Say what chose the neurons, for the lineage of columns that a model trained on them writes (`lineage_of`)."""
        from poyodata.curation.leaks.grounds import lineage_grounds

        return lineage_grounds(self)

    def funnel(self) -> pd.DataFrame:
        """Count step by step: step, rule, kept, rejected, unknown, counts (what is counted)."""
        columns = ["step", "rule", "kept", "rejected", "unknown", "counts"]
        return pd.DataFrame(list(self.meta["funnel"]), columns=columns)

    def imbalance(self) -> pd.DataFrame:
        """How far matched controls differ from their targets: one row for each thing, role and group.

        Columns: rule (which `match` of the diet), thing, role, group, target, drawn, difference; for numbers target
        and drawn are means, smd is their difference in standard deviations, and ks the greatest distance between the
        two cumulative distributions.
        """
        columns = ["rule", "thing", "role", "group", "target", "drawn", "difference", "smd", "ks"]
        return pd.DataFrame(list(self.meta["matched"]), columns=columns)

    def open(self, store: Store) -> View:
        """Open the selected part of the store lazily.

        Raises
        ------
        ManifestError
            When the store is not what this was resolved on.
        """
        from poyodata.curation.view import View

        return View(self, store)

    def report(self, path: str | Path, store: Store, **options: Any) -> Path:
        """Write the datasheet, one self-contained HTML page: `poyodata.datasheet.write_datasheet`, with its options.

        Raises
        ------
        ManifestError
            When the store is not what this was resolved on.
        """
        from poyodata.datasheet import write_datasheet

        return write_datasheet(self, store, path, **options)

    def save(self, folder: str | Path) -> Path:
        """Write ``manifest.json`` and a Parquet file of every table, all or nothing.

        Parameters
        ----------
        folder : path
            A new folder, or one that holds an earlier manifest, whose files are replaced; what else lies there stays.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        UsageError
            The folder holds something else, or cannot be written.
        """
        given = Path(folder)
        try:
            target = given.resolve()  # a link stays one
            check_target(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                for name in TABLES:
                    getattr(self, name).to_parquet(scratch / f"{name}.parquet", index=False)
                text = json.dumps(self._record(), indent=1, ensure_ascii=False)
                (scratch / "manifest.json").write_text(text + "\n", encoding="utf-8")
                scratch.chmod(0o755)
                if target.exists():
                    _exchange(scratch, target)
                else:
                    scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise UsageError(
                f"the manifest cannot be written to {given} ({error.strerror}); give another folder."
            ) from error
        return given

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
        if not is_manifest(target):
            raise UsageError(f"{str(target)!r} holds no manifest; give the folder that `Manifest.save` wrote.")
        record = read_record(target, FORMAT_VERSION, TABLES)
        tables = {name: _read_table(target / f"{name}.parquet", record["dtypes"][name]) for name in TABLES}
        manifest = cls(**tables, meta=record["meta"])
        try:
            intact = manifest.digest == record["digest"] and manifest.record_digest == record["record_digest"]
        except KeyError as error:
            raise damaged(target / "neurons.parquet", f"it has no column {error}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise damaged(target, f"its digest cannot be computed ({error})") from None
        if not intact:
            raise ManifestError(
                f"{target}: the content does not match the digest {str(record['digest'])[:12]}, so a file was changed "
                "after it was saved. Restore it from a copy, or resolve the diet again."
            )
        return manifest

    def diff(self, other: Manifest) -> ManifestDiff:
        """Say which neurons and windows come and go from this manifest to another one, and what each is due to.

        Parameters
        ----------
        other : Manifest
            The later one.

        Returns
        -------
        ManifestDiff
        """
        from poyodata.curation.changes.diff import diff_manifests

        return diff_manifests(self, other)

    def explain(self, neuron_id: str) -> Explanation:
        """Say which step of the rule kept or dropped a neuron, with the values that it looked at.

        Raises
        ------
        UsageError
            The manifest considered no neuron of that name.
        """
        from poyodata.curation.explain import explain_neuron

        return explain_neuron(self, neuron_id)

    def _record(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "digest": self.digest,
            "record_digest": self.record_digest,
            "dtypes": {
                name: {str(column): str(dtype) for column, dtype in getattr(self, name).dtypes.items()}
                for name in TABLES
            },
            "meta": self.meta,
        }

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


def is_manifest(folder: Path) -> bool:
    """Tell whether a folder holds a manifest, or what is left of one."""
    return any((folder / name).is_file() for name in FILES)


def check_target(folder: str | Path) -> None:
    """Refuse a folder that no manifest can be saved to, before one is resolved for it.

    Raises
    ------
    UsageError
        It lies within a store, or holds something else.
    """
    target = Path(folder).resolve()
    holder = next((parent for parent in (target, *target.parents) if (parent / "zarr.json").exists()), None)
    if holder is not None:
        raise UsageError(f"{str(folder)!r} lies within the store {str(holder)!r}; give another folder, outside of it.")
    _require_own(target)


def _require_own(target: Path) -> None:
    """Raise unless there is nothing yet, or what an earlier `Manifest.save` wrote."""
    if not target.exists() and not target.is_symlink():
        return
    if not (target / "manifest.json").is_file():
        raise UsageError(f"{target} exists and holds no manifest; give a new folder.")
    try:
        record = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        record = None
    strange = [name for name in FILES if (target / name).is_dir()]
    if not isinstance(record, dict) or not {"format", "record_digest"} <= record.keys() or strange:
        raise UsageError(
            f"{target} exists, and its {strange[0] if strange else 'manifest.json'} is none that `Manifest.save` "
            "wrote; give a new folder."
        )


def _exchange(scratch: Path, target: Path) -> None:
    """Put a new manifest in the place of an earlier one, and leave beside it whatever else lay there."""
    # A folder cannot be replaced in one step: the old one is set aside first, and of it only a manifest's files go.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    old = target.rename(aside / "old")
    scratch.rename(target)
    for entry in list(old.iterdir()):
        if entry.name in FILES:
            entry.unlink()
        else:
            entry.rename(target / entry.name)
    old.rmdir()
    aside.rmdir()


def _read_table(path: Path, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Read a table, which another program may have written again, with the columns and dtypes it was saved with.

    By what Parquet itself says of it: pandas does not know every dtype that it writes beside that.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # As floats, whole numbers of which some are missing would be rounded.
    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    try:
        table = pq.read_table(path, partitioning=None).replace_schema_metadata(None)
        frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    except (OSError, ValueError) as error:  # as are those of pyarrow
        raise damaged(path, str(error)) from None
    for name, dtype in dtypes.items():
        if name not in frame.columns:
            raise damaged(path, f"it has no column {name!r}")
        try:
            if str(frame[name].dtype) != dtype:
                frame = frame.astype({name: dtype})
        except (TypeError, ValueError) as error:
            raise damaged(path, f"column {name!r} is not the {dtype!r} that manifest.json says ({error})") from None
    return frame[list(dtypes)]


def plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Bring metadata to what JSON gives back, so that a saved manifest equals the one in memory."""
    plain: dict[str, Any] = json.loads(json.dumps(meta, allow_nan=False))
    return plain
