"""A plain PyTorch `DataLoader` around a loader: a map-style dataset that reads a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from poyodata.errors import LoaderError
from poyodata.loaders.loader import Loader
from poyodata.loaders.sampling import Drawn
from poyodata.loaders.state import check_state, make_state

T = TypeVar("T")


class BatchKey(NamedTuple):
    """Which batch: all that a worker process needs to make it."""

    epoch: int
    number: int


class WindowDataset(Dataset[dict[str, Any]]):
    """The windows of a loader, as torch's `DataLoader` takes them.

    It is map-style and reads whole batches: pass ``collate_fn=WindowDataset.collate``, which does nothing. With
    ``batch_sampler=BatchOrder(loader)`` batches are those of the loader, number by number, in any worker. With torch's
    own samplers (``shuffle=True``) they are of torch's order, and item i is window i of ``loader.windows``; random
    changes belong to the window then. The epoch is that of ``loader.set_epoch``, also in workers that stay
    (``persistent_workers=True``).

    Worker processes must be spawned (``multiprocessing_context="spawn"``): the store is opened again there. Forked ones
    are for traces that are mapped from files of this machine, and anything else is refused.

    Parameters
    ----------
    loader : Loader
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        # A worker has a loader of its own, and hears of a new epoch through memory that it shares with this process.
        self._epoch = torch.tensor(loader.epoch).share_memory_()  # type: ignore[no-untyped-call]
        loader.tell_epochs(self._note)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.loader.tell_epochs(self._note)

    def _note(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.loader.windows)

    def __getitem__(self, window: int) -> dict[str, Any]:
        """Give a batch of one window.

        Raises
        ------
        IndexError
            There is no such window, as Python asks of what is iterated by numbers.
        """
        if not 0 <= window < len(self):
            raise IndexError(f"windows are numbered 0 to {len(self) - 1}, and {window} was asked for.")
        return self.__getitems__([window])

    def __getitems__(self, key: BatchKey | Sequence[int]) -> dict[str, Any]:
        """Give a batch: that of a key, or of some windows of the epoch that the loader is at."""
        loader = self.loader
        if isinstance(key, BatchKey):
            return loader.to_torch(loader.batch(*key))
        windows = np.asarray(key, np.int64)
        return loader.to_torch(loader.read(loader.plan_of(int(self._epoch), Drawn(windows, windows))))

    @staticmethod
    def collate(batch: T) -> T:
        """Give the batch as it is: it came whole."""
        return batch


class BatchOrder(Sampler[Any]):
    """Keys of the batches of an epoch, for ``DataLoader(..., batch_sampler=...)``.

    Parameters
    ----------
    loader : Loader
        Whose epoch it is: ``set_epoch`` of the loader and of this are one.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self._resumed: tuple[int, int] | None = None

    @property
    def start(self) -> int:
        """First batch of the next iteration: 0, but after `resume`."""
        epoch, batches = self._resumed or (-1, 0)
        return batches if epoch == self.loader.epoch else 0

    def resume(self, epoch: int, batches: int) -> None:
        """Let the next iteration of an epoch begin after some batches."""
        self._resumed = (epoch, batches)
        self.loader.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[BatchKey]:
        epoch, start = self.loader.epoch, self.start
        self._resumed = None
        for number in range(start, len(self.loader)):
            yield BatchKey(epoch, number)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration reads."""
        self.loader.set_epoch(epoch)


class WindowDataLoader(DataLoader[dict[str, Any]]):
    """torch's `DataLoader` of a loader's batches, which can be resumed in the middle of an epoch.

    Made by `as_data_loader`. Worker processes read ahead; the state counts batches that were given, not read.
    """

    def __init__(self, loader: Loader, **options: Any) -> None:
        self.loader = loader
        self.order = BatchOrder(loader)
        self._read = (loader.epoch, 0)  # an epoch, and how many batches of it were given
        super().__init__(WindowDataset(loader), batch_sampler=self.order, collate_fn=WindowDataset.collate, **options)

    def __iter__(self) -> Any:
        epoch, start = self.loader.epoch, self.order.start
        self._read = (epoch, start)
        for given, batch in enumerate(super().__iter__(), start + 1):
            self._read = (epoch, given)
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration reads."""
        self.loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Give the state, as `Loader.state_dict`; each can be loaded into the other."""
        epoch, given = self._read
        return make_state(self.loader.identity(), self.loader.epoch, given if epoch == self.loader.epoch else 0)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken."""
        loader = self.loader
        epoch, batches = check_state(state, loader.identity(), loader.sampler.most_batches)
        self._read = epoch, min(batches, len(loader))
        self.order.resume(*self._read)


def as_data_loader(loader: Loader, num_workers: int = 0, **options: Any) -> WindowDataLoader:
    """Put a loader into torch's `DataLoader`: the same batches in the same order, whatever the number of workers.

    A loader alone is faster than worker processes, which have to send every batch; they pay where a transform of your
    own takes long.

    Parameters
    ----------
    loader : Loader
    num_workers : int
        Processes. They are spawned unless ``multiprocessing_context`` says otherwise.
    **options
        Of `torch.utils.data.DataLoader`: ``pin_memory``, ``prefetch_factor``, ``persistent_workers`` ...

    Raises
    ------
    LoaderError
        An option would change which batches there are.
    """
    for name in ("batch_size", "shuffle", "sampler", "batch_sampler", "collate_fn", "drop_last", "dataset"):
        if name in options:
            raise LoaderError(f"{name} is decided by the loader; make the loader with it, and not the DataLoader.")
    if num_workers:
        options.setdefault("multiprocessing_context", "spawn")
    return WindowDataLoader(loader, num_workers=num_workers, **options)
