"""`to_torch_brain`: a diet for torch_brain 0.2.1, whose own Dataset and samplers then eat it.

One export of a store (``poyodata export torch-brain``) serves every diet of it: which recordings, which neurons and
which time are said here, and nothing is written again. This module needs neither pandas nor a store: what it says of a
diet can be saved as JSON and used where torch_brain has an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.intervals import Intervals, as_intervals

if TYPE_CHECKING:
    from poyodata.curation.manifest import Manifest

FORMAT_VERSION = 1
NAMESPACED = ("session.id", "subject.id", "rois.id")
_NO_TORCH_BRAIN = (
    "torch_brain is not installed here. `pip install torch_brain==0.2.1`, or save() this and load it in an environment "
    "that has it."
)


@dataclass(frozen=True)
class TorchBrainDiet:
    """Recordings, neurons and time of a diet. Made by `to_torch_brain`.

    Attributes
    ----------
    name : str
    manifest_digest, store_digest : str
    neuron_ids : mapping of session id to tuple of str
        The neurons that are kept, in the order of their traces.
    frames : mapping of role to mapping of session id to ndarray, shape (stretch, 2), int64
        Time of each role in half-open frames; windows that touch are one stretch.
    """

    name: str
    manifest_digest: str
    store_digest: str
    neuron_ids: Mapping[str, tuple[str, ...]] = field(repr=False)
    frames: Mapping[str, Mapping[str, Intervals]] = field(repr=False)

    @property
    def recording_ids(self) -> list[str]:
        """Recordings with at least one neuron of the diet, sorted, as ``Dataset(recording_ids=...)`` takes them."""
        return sorted(self.neuron_ids)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that have time, sorted."""
        return tuple(sorted(self.frames))

    def dataset(
        self, folder: str | Path, *, transform: Callable[[Any], Any] | None = None, keep_files_open: bool = True
    ) -> Any:
        """Open the recordings of the diet as a ``torch_brain.datasets.Dataset`` whose samples hold its neurons alone.

        Parameters
        ----------
        folder : path-like
            What ``poyodata export torch-brain`` wrote of the store, or of a part of it that holds this diet.
        transform : callable, optional
            Applied to each sample after the neurons are cut.
        keep_files_open : bool
            As torch_brain has it.

        Raises
        ------
        LoaderError
            torch_brain is not installed, or the folder lacks a recording, a neuron or time of the diet, or is of
            another store.
        """
        try:
            from torch_brain.datasets import Dataset  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise LoaderError(_NO_TORCH_BRAIN) from error
        for recording_id in self.recording_ids:
            if not (Path(folder) / f"{recording_id}.h5").exists():
                raise LoaderError(
                    f"{folder} has no file of recording {recording_id!r}, which diet {self.name!r} eats; "
                    "write it with `poyodata export torch-brain`."
                )
        dataset = Dataset(
            dataset_dir=folder,
            recording_ids=self.recording_ids,
            transform=_Cut(self, transform),
            keep_files_open=keep_files_open,
            namespace_attributes=list(NAMESPACED),
        )
        for recording_id in self.recording_ids:
            self._check(recording_id, dataset.get_recording(recording_id))
        return dataset

    def sampling_intervals(self, dataset: Any, role: str) -> dict[str, Any]:
        """Time of a role, as torch_brain's samplers take it: ``RandomFixedWindowSampler(sampling_intervals=...)``.

        Frames are turned into seconds by the clock of each file, so that a window never holds a frame of another role;
        stretches are cut at the gaps of the recording.

        Parameters
        ----------
        dataset : torch_brain.datasets.Dataset
            From `dataset`.
        role : str

        Returns
        -------
        dict of str to torch_brain.data.Interval
            Recordings without time of that role are left out.

        Raises
        ------
        UsageError
            The diet has no time of that role.
        """
        if role not in self.frames:
            raise UsageError(f"diet {self.name!r} has no time of role {role!r}: {nearest(role, self.roles)}")
        from torch_brain.data import Interval  # type: ignore[import-not-found,unused-ignore]

        found: dict[str, Any] = {}
        for recording_id, frames in self.frames[role].items():
            traces = dataset.get_recording(recording_id).calcium_traces
            start_s, stop_s = _seconds(traces, frames)
            found[recording_id] = Interval(start_s, stop_s) & traces.domain
        return found

    def keep(self, data: Any) -> Any:
        """Cut a sample or a recording to the neurons of the diet: ``rois`` and ``calcium_traces.df_over_f`` together.

        Parameters
        ----------
        data : torch_brain.data.Data
            Changed in place, and returned.
        """
        columns = self._columns(str(data.session.id).rpartition("/")[2], data.rois.id)
        mask = np.zeros(len(data.rois.id), np.bool_)
        mask[columns] = True
        data.rois = data.rois.select_by_mask(mask)
        data.calcium_traces.df_over_f = data.calcium_traces.df_over_f[:, columns]
        return data

    def save(self, path: str | Path) -> Path:
        """Write this as JSON, to be read by `load` in another environment."""
        document = {
            "torch_brain_diet": FORMAT_VERSION,
            "name": self.name,
            "manifest_digest": self.manifest_digest,
            "store_digest": self.store_digest,
            "neuron_ids": {key: list(names) for key, names in self.neuron_ids.items()},
            "frames": {
                role: {key: rows.tolist() for key, rows in stretches.items()} for role, stretches in self.frames.items()
            },
        }
        path = Path(path)
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> TorchBrainDiet:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            There is no such file.
        LoaderError
            It holds something else.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise LoaderError(f"{path} is not what TorchBrainDiet.save wrote: {error}.") from error
        if not isinstance(document, dict) or document.get("torch_brain_diet") != FORMAT_VERSION:
            raise LoaderError(f"{path} is not what TorchBrainDiet.save of this version wrote.")
        return cls(
            name=document["name"],
            manifest_digest=document["manifest_digest"],
            store_digest=document["store_digest"],
            neuron_ids={key: tuple(names) for key, names in document["neuron_ids"].items()},
            frames={
                role: {key: np.array(rows, np.int64).reshape(-1, 2) for key, rows in stretches.items()}
                for role, stretches in document["frames"].items()
            },
        )

    def _columns(self, recording_id: str, ids: Any) -> npt.NDArray[np.int64]:
        place = {str(name).rpartition("/")[2]: at for at, name in enumerate(_text(ids))}
        wanted = [str(name).rpartition("/")[2] for name in self.neuron_ids[recording_id]]
        missing = [name for name in wanted if name not in place]
        if missing:
            raise LoaderError(
                f"the file of recording {recording_id!r} lacks {len(missing)} of the {len(wanted)} neurons of diet "
                f"{self.name!r}, such as {missing[0]!r}; export the whole recording again."
            )
        return np.array([place[name] for name in wanted], np.int64)

    def _check(self, recording_id: str, data: Any) -> None:
        of_store = getattr(getattr(data, "brainset", None), "store_digest", self.store_digest)
        if of_store != self.store_digest:
            raise LoaderError(
                f"the file of recording {recording_id!r} was exported from a store of digest {of_store[:12]}, and diet "
                f"{self.name!r} was resolved on {self.store_digest[:12]}; export that store."
            )
        self._columns(recording_id, data.rois.id)
        last = max((int(of[recording_id].max()) for of in self.frames.values() if recording_id in of), default=0)
        n_frames = len(data.calcium_traces)
        if last > n_frames:
            raise LoaderError(
                f"the file of recording {recording_id!r} has {n_frames} frames, and diet {self.name!r} goes to frame "
                f"{last}; export the whole recording again."
            )


@dataclass(frozen=True)
class _Cut:
    """Cuts the neurons, then does what else was asked for; can be pickled, for worker processes."""

    diet: TorchBrainDiet
    then: Callable[[Any], Any] | None

    def __call__(self, data: Any) -> Any:
        kept = self.diet.keep(data)
        return kept if self.then is None else self.then(kept)


def to_torch_brain(manifest: Manifest) -> TorchBrainDiet:
    """Say a resolved diet in the terms of torch_brain 0.2.1.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    TorchBrainDiet
        ``diet.dataset(folder)`` is torch_brain's Dataset over exported recordings, and
        ``diet.sampling_intervals(dataset, "train")`` what its samplers draw windows from.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import pandas as pd
    >>> neurons = pd.DataFrame({"session_id": ["a", "a"], "neuron_id": ["a/0", "a/3"]})
    >>> rows = {"session_id": ["a", "a"], "role": "train", "start_frame": [0, 60], "stop_frame": [60, 90]}
    >>> facts = {"name": "two", "digest": "m", "store_digest": "s"}
    >>> manifest = SimpleNamespace(**facts, neurons=neurons, windows=pd.DataFrame(rows))
    >>> diet = to_torch_brain(manifest)
    >>> diet.neuron_ids, diet.frames["train"]["a"].tolist()
    ({'a': ('a/0', 'a/3')}, [[0, 90]])
    """
    neurons, windows = manifest.neurons, manifest.windows
    names = neurons["neuron_id"].to_numpy(object)
    frames: dict[str, dict[str, Intervals]] = {}
    rows = windows[["start_frame", "stop_frame"]].to_numpy(np.int64)
    for role, of_role in windows.reset_index(drop=True).groupby("role", sort=True):
        for session_id, at in of_role.groupby("session_id", sort=True).groups.items():
            frames.setdefault(str(role), {})[str(session_id)] = as_intervals(rows[at.to_numpy()])
    return TorchBrainDiet(
        name=manifest.name,
        manifest_digest=manifest.digest,
        store_digest=manifest.store_digest,
        neuron_ids={
            str(key): tuple(map(str, names[at])) for key, at in neurons.groupby("session_id", sort=True).indices.items()
        },
        frames=frames,
    )


def _seconds(traces: Any, frames: Intervals) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Start and end of stretches of frames, by the clock of a file."""
    first, stop = frames[:, 0], frames[:, 1]
    rate_hz = getattr(traces, "sampling_rate", None)
    if rate_hz is not None:
        origin_s = float(traces.domain.start[0])
        return origin_s + first / rate_hz, origin_s + stop / rate_hz
    time_s = np.asarray(traces.timestamps, np.float64)
    period_s = float(np.median(np.diff(time_s)))
    # A stretch that ends at a gap ends one period after its last frame, not after the gap.
    after = np.where(stop < len(time_s), time_s[np.minimum(stop, len(time_s) - 1)], np.inf)
    return time_s[first], np.minimum(after, time_s[stop - 1] + 1.5 * period_s)


def _text(ids: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in np.asarray(ids).tolist()]
