"""When a packed copy of a diet pays, and making it once."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poyodata.curation.view import View
from poyodata.errors import PoyodataError, UsageError
from poyodata.store import Store, open_store

# Of measurements on two shared cores (windows of 57 frames, one thread); only their proportions matter for the choice.
MAPPED_BYTES_PER_S = 2.8e9
"""Kept values gathered from mapped recordings that are in memory, when a third of the columns is kept."""
GAIN_BY_SHARE = ((0.1, 4.5), (0.32, 2.4), (1.0, 1.0))
"""How many times as fast a packed copy is read, by the share of columns that is kept; both in memory."""
DISK_BYTES_PER_S = 350e6
"""Windows read at random from the disk."""
PACKING_BYTES_PER_S = 250e6
"""Traces read, checked, cut and written while packing."""
_SPARE = 0.9


@dataclass(frozen=True)
class PackingEstimate:
    """What a packed copy would cost and give.

    Attributes
    ----------
    share : float
        Of the trace columns of the view's recordings, those that are kept.
    stored_bytes, packed_bytes : int
        Traces of the recordings, all columns and the kept ones.
    disk_bytes, memory_bytes : int
        Free space where the copy would lie, and memory that files can be kept in.
    packing_s, mapped_s, packed_s : float, seconds
        Making the copy; reading an epoch without it, and with it.
    epochs : int
    """

    share: float
    stored_bytes: int
    packed_bytes: int
    disk_bytes: int
    memory_bytes: int
    packing_s: float
    mapped_s: float
    packed_s: float
    epochs: int

    @property
    def fits(self) -> bool:
        """There is room on the disk."""
        return self.packed_bytes < _SPARE * self.disk_bytes

    @property
    def pays_after(self) -> float:
        """Epochs after which the copy has paid; infinite where it never does."""
        gain = self.mapped_s - self.packed_s
        return self.packing_s / gain if gain > 0 else float("inf")

    @property
    def pays(self) -> bool:
        """It fits, and there are epochs enough."""
        return self.fits and self.pays_after < self.epochs

    def text(self) -> str:
        """The numbers of the choice in one sentence."""
        after = "never pays" if self.pays_after == float("inf") else f"pays after about {self.pays_after:,.0f} epochs"
        return (
            f"{self.share:.0%} of the trace columns are kept; a packed copy takes {self.packed_bytes / 1e6:,.1f} MB of "
            f"{self.stored_bytes / 1e6:,.1f} MB, with {self.disk_bytes / 1e9:,.1f} GB of disk free and "
            f"{self.memory_bytes / 1e9:,.1f} GB of memory, and {after} (packing {self.packing_s:.2g} s, an epoch "
            f"{self.mapped_s:.2g} s without it and {self.packed_s:.2g} s with it, estimated); {self.epochs:,} are "
            "planned."
        )


@dataclass(frozen=True)
class PackedChoice:
    """A packed copy or none, and why."""

    store: Store | None
    why: str


def estimate_packing(
    view: View, folder: Path | None, epochs: int, *, memory_bytes: int | None = None, disk_bytes: int | None = None
) -> PackingEstimate:
    """Estimate whether a packed copy of a view pays, from its tables alone.

    Parameters
    ----------
    view : View
    folder : Path or None
        Where the copy would lie; by default beside the store.
    epochs : int
        How often the windows of roles to learn from are read.
    memory_bytes, disk_bytes : int, optional
        What is free; by default what this machine says.
    """
    sessions = view.store.sessions.set_index("session_id").loc[list(view.session_ids)]
    kept = view.manifest.neurons.groupby("session_id").size().loc[list(view.session_ids)].to_numpy(np.int64)
    frames, width = sessions["n_frames"].to_numpy(np.int64), sessions["n_neurons"].to_numpy(np.int64)
    stored, packed = 4 * int((frames * width).sum()), 4 * int((frames * kept).sum())
    share = packed / stored if stored else 1.0
    windows = view.manifest.windows
    learned = windows[windows["role"].isin(["train", "identify"])]
    spans = (learned["stop_frame"] - learned["start_frame"]).groupby(learned["session_id"]).sum()
    read = np.minimum(spans.reindex(list(view.session_ids), fill_value=0).to_numpy(np.int64), frames)
    epoch_kept, epoch_all = 4 * int((read * kept).sum()), 4 * int((read * width).sum())
    memory = available_memory() if memory_bytes is None else memory_bytes
    disk = free_disk(folder or Path(str(view.store.path))) if disk_bytes is None else disk_bytes
    shares, gains = zip(*GAIN_BY_SHARE, strict=True)
    gain = float(np.interp(share, shares, gains))
    # A copy reads at one speed whatever it was packed from; what is read around it is what gathering pays for.
    packed_rate = MAPPED_BYTES_PER_S * float(np.interp(0.32, shares, gains))
    packed_s, mapped_s = epoch_kept / packed_rate, epoch_kept * gain / packed_rate
    if epoch_all > memory:
        mapped_s += epoch_all / DISK_BYTES_PER_S
    if epoch_kept > memory:
        packed_s += epoch_kept / DISK_BYTES_PER_S
    packing_s = stored / PACKING_BYTES_PER_S
    return PackingEstimate(share, stored, packed, disk, memory, packing_s, mapped_s, packed_s, epochs)


def choose_packed(view: View, access: str, folder: Path | None, epochs: int) -> PackedChoice:
    """Open or make the packed copy of a view where that is asked for or pays.

    Parameters
    ----------
    view : View
    access : str
        Of `TraceSource`.
    folder : Path or None
    epochs : int

    Raises
    ------
    UsageError
        The folder holds something else.
    """
    if access in ("mapped", "memory"):
        return PackedChoice(None, f"access={access!r} was asked for.")
    if folder is not None:
        known = open_packed(view, folder)
        if known is not None:
            return PackedChoice(known, "the packed copy of this manifest was there already.")
    estimate = estimate_packing(view, folder, epochs)
    if folder is None:
        hint = " Give a folder (packed=...) to have it made." if estimate.pays else ""
        return PackedChoice(None, estimate.text() + hint)
    if access == "packed" or estimate.pays:
        asked = "access='packed' was asked for. " if access == "packed" else ""
        if not estimate.fits:
            raise UsageError(
                f"a packed copy of {estimate.packed_bytes / 1e9:.1f} GB does not fit the "
                f"{estimate.disk_bytes / 1e9:.1f} GB that are free at {folder}; give another folder."
            )
        return PackedChoice(view.materialise(folder, progress=lambda _: None), asked + estimate.text())
    return PackedChoice(None, estimate.text())


def open_packed(view: View, folder: Path) -> Store | None:
    """Open a packed copy of exactly this view that lies in a folder, finished; None where there is none."""
    if not folder.is_dir():
        return None
    try:
        store = open_store(folder)
    except PoyodataError:
        return None
    of_this = (store.lineage or {}).get("manifest") == view.manifest.digest
    finished = set(store.sessions["session_id"]) == set(view.session_ids)
    return store if of_this and finished else None


def free_disk(folder: Path) -> int:
    """Bytes free where a folder is, or would be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def available_memory() -> int:
    """Bytes of memory that are free or hold files that can go; half of all where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - one line of a virtual file
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 20
        return pages * 4096 // 2
