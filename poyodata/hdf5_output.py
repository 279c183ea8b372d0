"""HDF5 files that appear under their name only when they are whole, on a full disk too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from poyodata.errors import UsageError
from poyodata.replacing import replacing


@contextmanager
def writing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an empty HDF5 file to fill; it appears at `path` when the block ends well.

    Raises
    ------
    UsageError
        When the folder cannot be made, or the file cannot be written to its end, as on a full disk.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with writing_hdf5(Path(folder) / "new" / "a.h5") as file:
    ...         file["answer"] = 42
    ...     [file.name for file in (Path(folder) / "new").iterdir()]
    ['a.h5']
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, _Output(partial, "w+") as output:
            try:
                with h5py.File(output, "w", libver=("earliest", "v110")) as file:
                    yield file
            except Exception:
                # After a failed write HDF5 may fail in any way, not finding what it wrote.
                if output.error is None:
                    raise
            if output.error is not None:
                raise output.error
    except OSError as error:
        reason = str(error).splitlines()[0][:160]
        raise UsageError(f"{path} cannot be written ({reason}); free some space, or choose another folder.") from error


class _Output(io.FileIO):
    """A file that keeps its first failure for later: HDF5 crashes when it must close what it could not write."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return len(data)

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell() if size is None else size
