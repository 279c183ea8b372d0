"""Files of a store at a URL: fetched when they are asked for, checked against the store's digests, and kept.

::

    <cache>/stores/<digest of the URL>/
      store.json                           the URL
      tables/{neurons,epochs,segments}.parquet    with what tells whether the server's file is still the same
      tables/annotations/                         labels of neurons or cells
      recordings/<digest of the recording>/       {presentations,digests}.parquet, session/ (small Zarr arrays),
                                                  blocks/<traces> (what was read of them)
      stimuli/<digest of the template>/           the same of a movie
      statistics/                                 computed here

``sessions.parquet`` is read at every opening and never kept: it says what exists. Everything of a recording is kept
under the digest of its content, so that a store that was made anew at the same URL is never mixed with the one before.

All of it may go at any time (`poyodata.store.kept_stores`). So what is given out is content, or finds it anew: bytes of
files that are read now, arrays in memory, traces that stay mapped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from poyodata.errors import StoreError, UsageError
from poyodata.store.commit import Committed, Template, parse_committed, read_table
from poyodata.store.files import Recording, require_current
from poyodata.store.layout import FORMAT, FORMAT_VERSION, OLDEST_VERSION, Paths, require_version, version_in
from poyodata.store.remote import Missing, Remote
from poyodata.store.remote_blocks import RemoteArray
from poyodata.store.remote_cache import Copies, KeptFile, MismatchError, store_cache
from poyodata.store.seal import has_seal, is_intact
from poyodata.store.shard import map_shard, plain_shard, shard_file
from poyodata.store.templates import FRAMES

if TYPE_CHECKING:
    import xarray as xr
    from zarr.storage import MemoryStore

T = TypeVar("T")
_KEY_DIGITS = 24
_TRIES = 5
_PARQUET = b"PAR1"


class RemoteFiles:
    """Files of a store at a URL.

    Parameters
    ----------
    url : str
    storage_options : mapping, optional
        For fsspec.
    cache : path-like, optional
        See `store_cache`.

    Raises
    ------
    UsageError
        When no store lies there, access is denied, or the protocol is not known or its package not installed.
    StoreError
        When the server does not answer.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.remote = Remote(url, storage_options)
        self.folder = store_cache(url, storage_options, None if cache is None else Path(cache))
        self._copies = Copies(self.remote, self.folder)
        self._remote_paths = Paths(Path())
        self._arrays: dict[tuple[Path, str], Any] = {}
        self._check_format()
        self._copies.claim()

    @property
    def name(self) -> str:
        """The URL."""
        return self.remote.url

    @property
    def cache(self) -> Path | None:
        """Folder that keeps what was fetched."""
        return self.folder

    @property
    def statistics(self) -> Path:
        """Folder of cached statistics, in the cache: a store at a URL is not written to."""
        return self.folder / "statistics"

    def committed(self) -> Committed:
        """What exists now: asked of the server every time."""
        name = self._remote_paths.table("sessions").as_posix()
        try:
            (content,) = self._copies.read([name], _is_commit)
        except Missing as missing:
            raise StoreError(
                f"{self.name}/{name} is missing; the store was not copied whole: copy it again, that file last."
            ) from missing
        return parse_committed(content, self.name)

    def table(self, name: str) -> KeptFile:
        """File of a flat table, as the server has it now."""
        path = self.folder / "tables" / f"{name}.parquet"
        remote = self._remote_paths.table(name).as_posix()

        def gone(_: Missing) -> StoreError:
            return StoreError(f"the table {self.name}/{remote} is missing; restore it from a copy.")

        try:
            self._copies.bring_changing(remote, path, _sealed)
        except Missing as missing:
            raise gone(missing) from missing
        return KeptFile(self._copies, remote, path, _sealed, gone)

    def annotation(self, name: str, digest: str) -> KeptFile:
        """File of the labels of an annotation; another content has another name."""
        remote = self._remote_paths.annotation(name, digest)

        def gone(missing: Missing) -> StoreError:
            return StoreError(
                f"{self.name}/{missing} is missing: the annotation {name!r} was replaced or removed since this store "
                "was opened, or the store is not whole. Open it again, or copy it whole."
            )

        return KeptFile(self._copies, remote.as_posix(), self.folder / remote, _sealed, gone)

    def presentations(self, recordings: Sequence[Recording]) -> list[KeptFile]:
        """Files of the presentations of recordings."""
        names = [self._remote_paths.presentations(own.session_id, own.generation).as_posix() for own in recordings]
        return self._tables(recordings, names, "presentations")

    def digests(self, recordings: Sequence[Recording]) -> list[KeptFile]:
        """Files of the digests of recordings."""
        names = [self._remote_paths.digests(own.session_id, own.generation).as_posix() for own in recordings]
        return self._tables(recordings, names, "digests")

    def array(self, recording: Recording, name: str) -> MemoryStore:
        """One of the small Zarr arrays of a recording, fetched whole."""

        def bring(group: _Group) -> MemoryStore:
            contents = self._contents(group, [file for file in group.files if file.startswith(f"{name}/")])
            return _in_memory({file.removeprefix(f"{name}/"): content for file, content in contents.items()})

        return self._with(lambda: self._group(recording), bring)

    def traces(self, recording: Recording, name: str, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Traces of a recording, of which the blocks that are read are fetched."""
        array: npt.NDArray[np.float32] = self._with(
            lambda: self._group(recording), lambda group: self._array(group, name)
        )
        if tuple(array.shape) != shape:
            raise StoreError(
                f"traces {name!r} of recording {recording.session_id!r} of {self.name} have shape {array.shape}, the "
                f"tables of the store say {shape}; restore the store from a copy."
            )
        return array

    def movie(self, stimulus: str, template: Template) -> npt.NDArray[np.uint8]:
        """Frames of a stimulus template, of which the blocks that are read are fetched."""
        folder = self.folder / "stimuli" / template.digest[:_KEY_DIGITS]
        digests = self._remote_paths.stimulus_digests(stimulus, template.generation).as_posix()
        remote = self._remote_paths.stimulus(stimulus, template.generation).as_posix()

        def group() -> _Group:
            file = KeptFile(self._copies, digests, folder / "digests.parquet", _sealed, gone)
            return _Group(remote, folder, read_table(file)[0])

        def gone(missing: Missing) -> StoreError:
            if self.committed().stimuli.get(stimulus) != template:
                return StoreError(
                    f"the template of {stimulus!r} of {self.name} was replaced or removed since this store was opened; "
                    "open it again."
                )
            return StoreError(f"{self.name}/{missing} is missing; restore it from a copy.")

        try:
            return self._with(group, lambda group: self._array(group, FRAMES))
        except Missing as missing:
            raise gone(missing) from missing

    def dataset(self, recording: Recording) -> xr.Dataset:
        """A recording as a Dataset: small arrays are fetched now and whole, of traces what is used when it is used."""
        import xarray as xr

        from poyodata.store.remote_dataset import lazy_variable

        def opened(group: _Group) -> xr.Dataset:
            small = [file for file in group.files if not group.is_of_traces(file) or _is_json(file)]
            contents = _in_memory(self._contents(group, small))
            dataset: xr.Dataset = xr.open_zarr(contents, consolidated=False, chunks=None)
            loaded = dataset.drop_vars(group.traces).load()
            traces = {name: lazy_variable(dataset[name].variable, self._array(group, name)) for name in group.traces}
            return loaded.assign(traces)

        return self._with(lambda: self._group(recording), opened)

    def _check_format(self) -> None:
        try:
            (content,) = self._copies.read(["zarr.json"], lambda _, content: _is_json_text(content))
        except Missing as missing:
            raise UsageError(
                f"no store at {self.name} ({missing.__cause__}); give the URL of a store's top folder, and check the "
                "bucket or host, its endpoint (endpoint_url, or AWS_ENDPOINT_URL for S3) and the credentials."
            ) from missing
        except MismatchError as error:
            raise StoreError(
                f"{self.name}/zarr.json came twice and is no JSON ({error.came}): the server or the transfer "
                "sent something else or not all of it, or no poyodata store lies there. Check the URL, and try again."
            ) from error
        version = version_in(content)
        if version is None:
            raise StoreError(
                f"{self.name} is not a poyodata store (its zarr.json does not say format {FORMAT!r}); give the URL of "
                "a store's top folder."
            )
        if version < OLDEST_VERSION or version > FORMAT_VERSION:  # else the table of sessions has the last word
            require_version(self.name, version)

    def _tables(self, recordings: Sequence[Recording], names: Sequence[str], kind: str) -> list[KeptFile]:
        paths = [self._kept(recording) / f"{kind}.parquet" for recording in recordings]
        try:
            self._copies.bring(dict(zip(names, paths, strict=True)), _sealed)
        except Missing as missing:
            at = list(names).index(str(missing))
            raise self._gone(recordings[at], missing) from missing
        return [
            KeptFile(self._copies, name, path, _sealed, partial(self._gone, recording))
            for recording, name, path in zip(recordings, names, paths, strict=True)
        ]

    def _group(self, recording: Recording) -> _Group:
        (digests,) = self.digests([recording])
        remote = self._remote_paths.session(recording.session_id, recording.generation).as_posix()
        return _Group(remote, self._kept(recording), read_table(digests)[0], recording)

    def _with(self, group: Callable[[], _Group], use: Callable[[_Group], T]) -> T:
        """Use a group; once more when the digests that were kept of it turn out to be of other files.

        The same content may have come anew to the same URL in other bytes, such as with another compression.
        """
        first = group()
        try:
            return use(first)
        except MismatchError:
            (first.folder / "digests.parquet").unlink(missing_ok=True)
            second = group()
            if second.files == first.files:
                raise
            shutil.rmtree(first.folder / "session", ignore_errors=True)
            return use(second)

    def _contents(self, group: _Group, files: Sequence[str]) -> dict[str, bytes]:
        """Files of a Zarr group, by their names in it."""
        wanted = {f"{group.remote}/{file}": group.folder / "session" / file for file in files}

        def is_known(name: str, content: bytes) -> bool:
            return xxhash.xxh3_64_hexdigest(content) == group.files[name.removeprefix(f"{group.remote}/")]

        try:
            found = self._copies.contents(wanted, is_known)
        except Missing as missing:
            if group.recording is None:
                raise
            raise self._gone(group.recording, missing) from missing
        return {name.removeprefix(f"{group.remote}/"): content for name, content in found.items()}

    def _array(self, group: _Group, name: str) -> Any:
        """Traces or a movie: blocks are fetched when they are read, where the shard is a plain matrix."""
        array = self._arrays.get((group.folder, name))
        if array is None:
            (content,) = self._contents(group, [f"{name}/zarr.json"]).values()
            metadata = json.loads(content)
            shard = plain_shard(metadata)
            if shard is None:
                array = self._decoded(group, name)
            else:
                shape = tuple(metadata["shape"])
                file = shard_file(Path(group.remote) / name, len(shape)).as_posix()
                blocks = group.folder / "blocks" / name
                array = RemoteArray(self.remote, file, shard, shape, group.blocks(name), blocks)
            self._arrays[group.folder, name] = array
        return array

    def _decoded(self, group: _Group, name: str) -> Any:
        """Traces or a movie that another writer compressed: fetched whole and decoded, again if they went meanwhile."""
        names = [file for file in group.files if file.startswith(f"{name}/")]
        paths = [group.folder / "session" / file for file in names]
        for _ in range(_TRIES):
            self._contents(group, names)
            before = _states(paths)
            try:
                array = map_shard(group.folder / "session" / name)
            except (OSError, StoreError):
                if before is not None and _states(paths) == before:
                    raise
            else:
                if before is not None and _states(paths) == before:
                    return array
        raise StoreError(f"the cache {self.folder} is being emptied while it is used; try again.")

    def _kept(self, recording: Recording) -> Path:
        return self.folder / "recordings" / recording.digest[:_KEY_DIGITS]

    def _gone(self, recording: Recording, missing: Missing) -> StoreError:
        """The error of a file of a recording that is not there."""
        require_current(self, recording)
        return StoreError(f"{self.name}/{missing} is missing; restore it from a copy, or copy the store whole.")


class _Group:
    """A Zarr group of a recording or a template, and the digests of what is in it."""

    def __init__(self, remote: str, folder: Path, digests: pd.DataFrame, recording: Recording | None = None) -> None:
        self.remote, self.folder, self.recording = remote, folder, recording
        self._blocks = digests[digests["kind"] == "block"].sort_values(["name", "block"])
        files = digests[digests["kind"] == "file"]
        self.files: dict[str, str] = dict(zip(files["name"].tolist(), files["digest"].tolist(), strict=True))

    @property
    def traces(self) -> list[str]:
        """Arrays with a digest for every block."""
        return self._blocks["name"].unique().tolist()

    def is_of_traces(self, file: str) -> bool:
        """Whether a file belongs to such an array."""
        return file.split("/")[0] in self.traces

    def blocks(self, name: str) -> list[str]:
        """Digest of every block of an array."""
        return self._blocks.loc[self._blocks["name"] == name, "digest"].tolist()


def _sealed(_name: str, content: bytes) -> bool:
    return is_intact(content)


def _is_commit(_name: str, content: bytes) -> bool:
    """Whether a table of sessions is whole. An older format has no seal; that is for the parser to say."""
    is_parquet = content[:4] == content[-4:] == _PARQUET
    return is_intact(content) or (is_parquet and not has_seal(content))


def _is_json_text(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _in_memory(contents: Mapping[str, bytes]) -> MemoryStore:
    """Files as a Zarr store."""
    from zarr.core.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    return MemoryStore({name: Buffer.from_bytes(content) for name, content in contents.items()}, read_only=True)


def _states(paths: Sequence[Path]) -> list[tuple[int, int]] | None:
    """What is another when a file was removed and made anew; None where one is not there."""
    try:
        return [(status.st_ino, status.st_mtime_ns) for status in (path.stat() for path in paths)]
    except FileNotFoundError:
        return None


def _is_json(file: str) -> bool:
    return file.endswith("/zarr.json")
