"""A folder as a Zarr store in which a missing chunk is an error.

By the Zarr specification a chunk that is not there holds the fill value, NaN for traces. In a store of ours every chunk
is written: where one is missing, the recording was updated or removed since it was opened, or a file was lost. Quiet
NaN would then pass for missing frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.storage import LocalStore

from poyodata.errors import StoreError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class WholeStore(LocalStore):
    """See above.

    Raises
    ------
    StoreError
        When a chunk is read that is not there.

    Examples
    --------
    >>> import tempfile, zarr
    >>> folder = tempfile.mkdtemp()
    >>> _ = zarr.create_array(f"{folder}/dff", shape=(4,), dtype="float32", fill_value=float("nan"))
    >>> zarr.open_array(WholeStore(folder, read_only=True), path="dff")[:]  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    poyodata.errors.StoreError: .../dff/c/0 is missing: the recording was updated or removed since ...
    """

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, or of a part of it; None for metadata that is not there."""
        content = await super().get(key, prototype, byte_range)
        if content is None and "c" in key.split("/"):
            raise StoreError(
                f"{self.root / key} is missing: the recording was updated or removed since it was opened (open the "
                "store again), or the file is lost (poyodata verify)."
            )
        return content
