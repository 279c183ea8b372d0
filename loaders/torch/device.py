"""Batches on a GPU: pinned memory, copies that overlap with the step before, and a diet that lives there whole.

Everything works without a GPU too, where it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from poyodata.errors import LoaderError
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.loader import Loader
from poyodata.loaders.plan import Plan


def pinned(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Copy tensors to memory that a GPU can fetch from by itself; without a GPU they stay where they are."""
    if not torch.cuda.is_available():
        return dict(batch)
    return {name: _each(value, _pin) for name, value in batch.items()}


def to_device(batch: Mapping[str, Any], device: torch.device | str, *, non_blocking: bool = True) -> dict[str, Any]:
    """Put the tensors of a batch on a device; what is no tensor stays.

    Parameters
    ----------
    batch : mapping of str to Tensor, or to such a mapping
    device : torch.device or str
    non_blocking : bool
        Copies from pinned memory run on while the program goes on.
    """

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, non_blocking=non_blocking)

    return {name: _each(value, move) for name, value in batch.items()}


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    return {name: _each(one, change) for name, one in value.items()} if isinstance(value, Mapping) else value


def _reachable(device: torch.device | str) -> torch.device:
    """Give a device, or say before anything is read that torch has no GPU here."""
    found = torch.device(device)
    if found.type == "cuda" and not torch.cuda.is_available():
        raise LoaderError(
            f"torch finds no GPU here, and device {str(device)!r} was asked for; give 'cpu', which gives the loader's "
            "batches, or install torch for CUDA."
        )
    return found


def _pin(tensor: torch.Tensor) -> torch.Tensor:
    # Nested tensors cannot be pinned, and broadcast views would be written out.
    whole = not tensor.is_nested and tensor.is_contiguous()
    return tensor.pin_memory() if whole else tensor


class DeviceLoader:
    """A loader whose batches are on a device: the next one is copied there while the model works on this one.

    Parameters
    ----------
    loader : Loader
        Its ``set_epoch``, ``state_dict`` and other attributes are reached through this.
    device : torch.device or str

    Raises
    ------
    LoaderError
        A GPU is asked for, and torch finds none.
    """

    def __init__(self, loader: Loader, device: torch.device | str) -> None:
        self.loader = loader
        self.device = _reachable(device)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader, buffers = self.loader, Buffers()

        def read(epoch: int, number: int) -> dict[str, Any]:
            return loader.to_torch(loader.read(loader.plan(epoch, number), buffers))

        if self.device.type != "cuda":
            return loader.iterate(lambda epoch, number: to_device(read(epoch, number), self.device))
        return loader.iterate(_Overlapped(read, len(loader), self.device))

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # not there yet, while this is unpickled
            raise AttributeError(name)
        return getattr(self.loader, name)


class _Overlapped:
    """Gives a batch, and has queued the copy of the next one on a stream of its own."""

    def __init__(self, read: Any, n_batches: int, device: torch.device) -> None:
        self.read = read
        self.n_batches = n_batches
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.ahead: dict[str, Any] | None = None

    def __call__(self, epoch: int, number: int) -> dict[str, Any]:
        ahead = self.ahead if self.ahead is not None else self._copied(epoch, number)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self.stream)
        # The memory may not be given out again before the model is done with it.
        _each(ahead, lambda tensor: tensor.record_stream(current))
        self.ahead = self._copied(epoch, number + 1) if number + 1 < self.n_batches else None
        return ahead

    def _copied(self, epoch: int, number: int) -> dict[str, Any]:
        with torch.cuda.stream(self.stream):
            return to_device(pinned(self.read(epoch, number)), self.device)


class ResidentLoader:
    """A loader whose traces lie on a device as a whole: windows are gathered there, and nothing but indices is sent.

    For diets that fit. Batches are those of the loader, value for value.

    Parameters
    ----------
    loader : Loader
        Of dense batches of windows of one length, without masks, views or transforms of values.
    device : torch.device or str

    Raises
    ------
    LoaderError
        The loader makes other batches, the traces do not fit into the memory of the device, or there is no such device.
    """

    def __init__(self, loader: Loader, device: torch.device | str) -> None:
        changes = loader.changes
        if loader.layout != "dense" or not loader.n_frames or changes.values or changes.masks or changes.views:
            raise LoaderError(
                "traces on a device are gathered to dense batches of windows of one length, without noise, masks or "
                "views; make the loader so, or use DeviceLoader, which copies finished batches."
            )
        self.loader = loader
        self.device = _reachable(device)
        source = loader.source
        widths = source.n_neurons
        sizes = source.n_frames * widths
        self._first = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        self._require_room(int(sizes.sum()) * 4)
        flat = torch.empty(int(sizes.sum()), dtype=torch.float32, device=self.device)
        for number, session_id in enumerate(loader.view.session_ids):
            traces = loader.view.traces(session_id)
            kept = np.ascontiguousarray(np.asarray(traces)[:, loader.view.columns(session_id)])
            flat[self._first[number] : self._first[number] + sizes[number]] = torch.from_numpy(kept.reshape(-1)).to(
                self.device
            )
        self._flat = flat
        self._widths = widths
        self._frames = torch.arange(loader.n_frames, device=self.device)
        shift, scale = loader.scaling
        numbering = loader.numbering
        row_of = np.arange(1 + len(loader.neuron_ids)) - 1
        if numbering is not None:
            row_of[numbering] = np.arange(len(numbering)) - 1
        self._row_of = torch.from_numpy(row_of).clamp(min=0).to(self.device)
        self._shift = None if shift is None else torch.from_numpy(shift).to(self.device)
        self._scale = None if scale is None else torch.from_numpy(scale).to(self.device)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.loader.iterate(self.batch)

    def batch(self, epoch: int, number: int) -> dict[str, Any]:
        """Batch `number` of an epoch, on the device."""
        plan = self.loader.plan(epoch, number)
        labels = self.loader.finish(plan, self._places(plan))
        batch = to_device(pinned(self.loader.to_torch(labels)), self.device)
        return {"values": self._values(plan, batch["neuron_index"], batch["neuron_mask"]), **batch}

    def _places(self, plan: Plan) -> dict[str, Any]:
        kept = plan.kept
        width = int(kept.count.max(initial=0))
        column = np.arange(width)
        mask = column < kept.count[:, None]
        at = np.where(mask, kept.first[:, None] + column, 0)
        index = np.where(mask, kept.number[at].astype(np.int64) + 1, 0)
        numbering = self.loader.numbering
        located = plan.located
        return {
            "neuron_index": index if numbering is None else numbering[index],
            "neuron_mask": mask,
            "session_index": located.session_index,
            "start_frame": located.start,
        }

    def _values(self, plan: Plan, index: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        session = plan.located.session_index
        width = torch.from_numpy(self._widths[session]).to(self.device)
        begin = torch.from_numpy(self._first[session] + plan.located.start * self._widths[session]).to(self.device)
        neuron = self._row_of[index]
        first = torch.from_numpy(self.loader.source.first_neuron[session]).to(self.device)
        column = (neuron - first[:, None]).clamp(min=0)
        at = (begin[:, None] + column)[:, :, None] + width[:, None, None] * self._frames
        values = self._flat[at]
        if self._shift is not None and self._scale is not None:
            values = (values - self._shift[neuron][:, :, None]) * self._scale[neuron][:, :, None]
        return torch.where(mask[:, :, None], values, 0.0)

    def _require_room(self, n_bytes: int) -> None:
        if self.device.type != "cuda":
            return
        free, _ = torch.cuda.mem_get_info(self.device)
        if n_bytes > 0.9 * free:
            raise LoaderError(
                f"the traces of this diet take {n_bytes / 1e9:.1f} GB, and {self.device} has {free / 1e9:.1f} GB free; "
                "use DeviceLoader, which copies batches, or a diet of fewer neurons."
            )

    def __getattr__(self, name: str) -> Any:
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)
