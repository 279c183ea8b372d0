"""Where the files of a store are: on this machine, or at a URL with a cache here. `Store` reads both the same way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from poyodata.errors import StoreError
from poyodata.store.commit import Committed, Readable, Template, read_committed
from poyodata.store.layout import Paths, check_format
from poyodata.store.shard import map_shard
from poyodata.store.templates import FRAMES

if TYPE_CHECKING:
    import xarray as xr
    from zarr.storage import MemoryStore


class Recording(NamedTuple):
    """One recording as a table of sessions names it.

    Attributes
    ----------
    session_id : str
    generation : int
        How often it was replaced; part of the names of its files.
    digest : str
        Of its content.
    """

    session_id: str
    generation: int
    digest: str


class Files(Protocol):
    """What `Store` needs of the place where a store lies."""

    @property
    def name(self) -> str:
        """What messages call the store."""

    @property
    def cache(self) -> Path | None:
        """Folder that keeps what was fetched; None where nothing is."""

    @property
    def statistics(self) -> Path:
        """Folder of cached statistics, on this machine."""

    def committed(self) -> Committed:
        """What exists now."""

    def table(self, name: str) -> Readable:
        """File of a flat table."""

    def annotation(self, name: str, digest: str) -> Readable:
        """File of the labels of an annotation."""

    def presentations(self, recordings: Sequence[Recording]) -> Sequence[Readable]:
        """Files of the presentations of recordings."""

    def digests(self, recordings: Sequence[Recording]) -> Sequence[Readable]:
        """Files of the digests of recordings."""

    def array(self, recording: Recording, name: str) -> Path | MemoryStore:
        """Folder of one of the small Zarr arrays of a recording, or what else Zarr takes for one."""

    def traces(self, recording: Recording, name: str, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Traces of a recording."""

    def movie(self, stimulus: str, template: Template) -> npt.NDArray[np.uint8]:
        """Frames of a stimulus template."""

    def dataset(self, recording: Recording) -> xr.Dataset:
        """A recording as a Dataset that reads what is used."""


def require_current(files: Files, recording: Recording) -> None:
    """Raise when a recording is no longer what exists under its name.

    Raises
    ------
    StoreError
    """
    if files.committed().generations.get(recording.session_id) != recording.generation:
        raise StoreError(
            f"recording {recording.session_id!r} of {files.name} was updated or removed since this store was opened; "
            "open it again."
        )


@contextmanager
def told_when_gone(files: Files, recordings: Sequence[Recording]) -> Iterator[None]:
    """Where reading fails, say so when it is because a recording was updated or removed meanwhile."""
    try:
        yield
    except (OSError, ValueError, KeyError, StoreError):
        for recording in recordings:
            require_current(files, recording)
        raise


class LocalFiles:
    """Files of a store in a folder of this machine.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    UsageError, StoreError
        When no store lies there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Path(path)
        self._paths = Paths(self.root)
        check_format(self.root)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.root)

    @property
    def cache(self) -> Path | None:
        """None: nothing is fetched."""
        return None

    @property
    def statistics(self) -> Path:
        """Folder of cached statistics, inside the store."""
        return self._paths.statistics

    def committed(self) -> Committed:
        """What exists now."""
        return read_committed(self._paths)

    def table(self, name: str) -> Path:
        """File of a flat table."""
        return self._paths.table(name)

    def annotation(self, name: str, digest: str) -> Path:
        """File of the labels of an annotation."""
        path = self._paths.annotation(name, digest)
        if not path.exists():
            known = self.committed().annotations.get(name)
            if known is None or known.digest != digest:
                raise StoreError(
                    f"the annotation {name!r} of {self.name} was replaced or removed since this store was opened; open "
                    "it again."
                )
        return path

    def presentations(self, recordings: Sequence[Recording]) -> list[Path]:
        """Files of the presentations of recordings."""
        return [self._known(self._paths.presentations(own.session_id, own.generation), own) for own in recordings]

    def digests(self, recordings: Sequence[Recording]) -> list[Path]:
        """Files of the digests of recordings."""
        return [self._known(self._paths.digests(own.session_id, own.generation), own) for own in recordings]

    def array(self, recording: Recording, name: str) -> Path:
        """Folder of one of the Zarr arrays of a recording."""
        return self._folder(recording) / name

    def traces(self, recording: Recording, name: str, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Traces of a recording, mapped."""
        with told_when_gone(self, [recording]):
            return map_shard(self.array(recording, name), shape)

    def movie(self, stimulus: str, template: Template) -> npt.NDArray[np.uint8]:
        """Frames of a stimulus template, mapped."""
        return map_shard(self._paths.stimulus(stimulus, template.generation) / FRAMES)

    def dataset(self, recording: Recording) -> xr.Dataset:
        """A recording as a Dataset that reads what is used."""
        import xarray as xr

        from poyodata.store.whole_zarr import WholeStore

        folder = self._folder(recording)
        with told_when_gone(self, [recording]):
            dataset: xr.Dataset = xr.open_zarr(
                WholeStore(self.root, read_only=True),
                group=f"sessions/{folder.name}",
                consolidated=False,
                chunks=None,
            )
        # Arrays that went while it was opened are left out of it without an error. A folder goes as a whole.
        self._known(folder, recording)
        return dataset

    def _known(self, path: Path, recording: Recording) -> Path:
        if not path.exists():
            require_current(self, recording)
        return path

    def _folder(self, recording: Recording) -> Path:
        folder = self._paths.session(recording.session_id, recording.generation)
        if not folder.is_dir():
            require_current(self, recording)
            raise StoreError(f"{folder} is missing; restore it from a copy, or ingest the recording into a new store.")
        return folder
