"""`Loader`: from a manifest to batches of windows, over memory-mapped recordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from poyodata.curation.manifest import Manifest
from poyodata.curation.view import View
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.intervals import Intervals
from poyodata.loaders.gather import gather
from poyodata.loaders.missing import drop_missing, missing_frames, reach
from poyodata.loaders.normalise import Normalisation, fit_normalisation, identity_normalisation
from poyodata.loaders.order import draws, epoch_order
from poyodata.loaders.windows import WindowTable, fixed_windows, trial_windows
from poyodata.store import Store

if TYPE_CHECKING:
    import torch

Mode = Literal["trial", "fixed"]
_ROLES = ("train", "valid", "test", "identify")


class Batch(TypedDict):
    """What a loader yields; every entry is a torch tensor.

    ``values`` (batch, neuron, time) float32: dF/F, centred and scaled per neuron unless asked otherwise; 0 in padding.
    ``neuron_index`` (batch, neuron) int64: 0 is padding, else 1 + position in ``Loader.neuron_ids``.
    ``neuron_mask`` (batch, neuron) bool: True for a neuron, False for padding.
    ``session_index`` (batch,) int64: position in ``Loader.session_ids``.
    ``direction`` (batch,) int64: drifting direction / 45 degrees; -1 for none.
    ``trial`` (batch,) int64: trial number within (recording, stimulus); -1 for none.
    ``start_frame`` (batch,) int64: frame of the recording at which the window starts.
    """

    values: torch.Tensor
    neuron_index: torch.Tensor
    neuron_mask: torch.Tensor
    session_index: torch.Tensor
    direction: torch.Tensor
    trial: torch.Tensor
    start_frame: torch.Tensor


class Loader:
    """Batches of windows of one role of a manifest; made by `make_loader`.

    The order is a pure function of (seed, epoch). Iterating reads one epoch; `set_epoch` chooses which.

    Attributes
    ----------
    neuron_ids : tuple of str
        Vocabulary of ``Batch["neuron_index"]``, in manifest order.
    session_ids : tuple of str
    rate_hz : float
    manifest_digest : str
    windows : WindowTable
        Without those in which a selected neuron has a missing frame.
    """

    def __init__(
        self,
        view: View,
        windows: WindowTable,
        *,
        role: str,
        mode: Mode,
        batch_size: int,
        seed: int,
        shuffle: bool,
        jitter_frames: int,
        rate_hz: float,
        normalisation: Normalisation,
    ) -> None:
        self.view = view
        self.windows = windows
        self.role = role
        self.mode = mode
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.jitter_frames = jitter_frames
        self.rate_hz = rate_hz
        self.normalisation = normalisation
        self.epoch = 0
        self.session_ids: tuple[str, ...] = tuple(view.session_ids)
        self.manifest_digest: str = view.manifest.digest
        self._columns = [view.columns(key).astype(np.uint64) for key in self.session_ids]
        counts = [len(columns) for columns in self._columns]
        first = np.concatenate([[0], np.cumsum(counts)])
        self._index = [np.arange(1 + first[i], 1 + first[i + 1], dtype=np.int64) for i in range(len(counts))]
        self.neuron_ids: tuple[str, ...] = tuple(
            str(name) for key in self.session_ids for name in view.neurons(key)["neuron_id"]
        )
        # The kernel reads memory: what is not here yet of a store at a URL is fetched now.
        self._traces = [np.asarray(view.traces(key)) for key in self.session_ids]
        self._free = view.free_stretches(role)
        self._missing = missing_frames(view, self._spans())
        self.windows = drop_missing(windows, self.session_ids, self._missing, jitter_frames)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration reads."""
        self.epoch = epoch
        if self.mode == "fixed" and self.shuffle:
            windows = fixed_windows(
                self.view.manifest.windows,
                self.role,
                self.session_ids,
                self._free,
                self.windows.n_frames,
                phase=(self.seed, epoch),
            )
            self.windows = drop_missing(windows, self.session_ids, self._missing)

    def _spans(self) -> dict[str, Intervals]:
        """Frames that a window of any epoch can hold, by recording."""
        if self.mode == "fixed":
            table = self.view.windows(self.role)
            rows = table[["start_frame", "stop_frame"]].to_numpy(np.int64)
            return {str(key): rows[at] for key, at in table.groupby("session_id").indices.items()}
        rows = np.column_stack(reach(self.windows, self.jitter_frames))
        return {key: rows[self.windows.session_index == at] for at, key in enumerate(self.session_ids)}

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.windows)
        order = epoch_order(n, self.seed, self.epoch) if self.shuffle else np.arange(n)
        starts = self._jittered()
        for at in range(0, n, self.batch_size):
            yield self._batch(order[at : at + self.batch_size], starts)

    def _jittered(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Move every window by a few frames, as far as its stretch allows; a pure function of (seed, epoch, window)."""
        start = self.windows.start_frame
        if self.jitter_frames == 0:
            return start
        span = np.uint64(2 * self.jitter_frames + 1)
        move = (draws(self.seed, self.epoch, len(start), stream=2**20) % span).astype(np.int64) - self.jitter_frames
        moved: np.ndarray[Any, np.dtype[np.int64]] = np.clip(
            start + move, self.windows.first_start, self.windows.last_start
        )
        return moved

    def _batch(self, chosen: np.ndarray[Any, np.dtype[np.int64]], starts: np.ndarray[Any, np.dtype[np.int64]]) -> Batch:
        import torch

        table = self.windows
        sessions = table.session_index[chosen]
        width = max(len(self._columns[s]) for s in sessions)
        values = np.zeros((len(chosen), width, table.n_frames), np.float32)
        index = np.zeros((len(chosen), width), np.int64)
        for row, (window, s) in enumerate(zip(chosen, sessions, strict=True)):
            key = self.session_ids[s]
            columns = self._columns[s]
            gather(
                self._traces[s],
                int(starts[window]),
                columns,
                self.normalisation.shift[key],
                self.normalisation.scale[key],
                values[row],
            )
            index[row, : len(columns)] = self._index[s]
        return Batch(
            values=torch.from_numpy(values),
            neuron_index=torch.from_numpy(index),
            neuron_mask=torch.from_numpy(index > 0),
            session_index=torch.from_numpy(sessions),
            direction=torch.from_numpy(table.direction[chosen]),
            trial=torch.from_numpy(table.trial[chosen]),
            start_frame=torch.from_numpy(starts[chosen]),
        )


def make_loader(
    store: Store,
    manifest: Manifest,
    split: str = "train",
    *,
    window_s: float,
    batch_size: int = 8,
    seed: int = 0,
    mode: Mode = "trial",
    offset_s: float = 0.0,
    jitter_frames: int = 0,
    shuffle: bool | None = None,
    normalise: bool = True,
) -> Loader:
    """Make a loader for one role of a manifest.

    Parameters
    ----------
    store : Store
        The store the manifest was resolved on; another is refused.
    manifest : Manifest
    split : str
        Role to read: ``train``, ``valid``, ``test`` or ``identify``.
    window_s : float, seconds
        Length of a window; every window of every recording has the same number of frames.
    batch_size : int
    seed : int
        With the epoch, decides the order, the phase of fixed windows and the jitter.
    mode : {"trial", "fixed"}
        ``trial``: one window for each trial, `offset_s` after its onset. ``fixed``: back-to-back windows through every
        stretch of the role.
    offset_s : float, seconds
        Only with ``trial``; negative starts before the onset.
    jitter_frames : int
        Move every trial window by up to this many frames. Only in role ``train``.
    shuffle : bool, optional
        Default: True in role ``train``, else windows come in time order, recording by recording.
    normalise : bool
        Centre and scale every neuron by its train-role mean and standard deviation.

    Raises
    ------
    LoaderError
        When no window fits or none is without missing frames, rates of the recordings differ, a direction is no
        multiple of 45 degrees, or a value is out of range: before training starts.
    ManifestError
        When the manifest belongs to another store, or to an earlier state of this one.
    """
    if split not in _ROLES:
        raise UsageError(f"unknown role {split!r}: {nearest(split, _ROLES)}")
    if mode not in ("trial", "fixed"):
        raise UsageError(f"unknown mode {mode!r}: {nearest(mode, ('trial', 'fixed'))}")
    if batch_size < 1:
        raise LoaderError(f"batch_size is {batch_size}; it must be at least 1.")
    if jitter_frames < 0 or (jitter_frames and (split != "train" or mode != "trial")):
        raise LoaderError(f"jitter_frames={jitter_frames} is for trial windows of role 'train', and not negative.")
    view = manifest.open(store)
    rates = store.sessions.set_index("session_id").loc[list(view.session_ids), "rate_hz"]
    rate_hz = float(rates.median())
    if float((rates / rate_hz - 1).abs().max()) > 0.02:
        raise LoaderError(
            f"recordings run at {rates.min():.2f} to {rates.max():.2f} Hz; one batch needs one rate. "
            "Load recordings of different rates with separate loaders."
        )
    n_frames = round(window_s * rate_hz)
    if n_frames < 1:
        raise LoaderError(
            f"window_s={window_s} is less than one frame at {rate_hz:.2f} Hz; give at least {1 / rate_hz:.4f}."
        )
    shuffled = split == "train" if shuffle is None else shuffle
    sessions = list(view.session_ids)
    free = view.free_stretches(split)
    if mode == "trial":
        windows = trial_windows(manifest.windows, split, sessions, free, n_frames, round(offset_s * rate_hz))
    else:
        phase = (seed, 0) if shuffled else None
        windows = fixed_windows(manifest.windows, split, sessions, free, n_frames, phase)
    return Loader(
        view,
        windows,
        role=split,
        mode=mode,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffled,
        jitter_frames=jitter_frames,
        rate_hz=rate_hz,
        normalisation=fit_normalisation(view) if normalise else identity_normalisation(view),
    )
