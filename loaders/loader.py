"""`Loader`: from a manifest to batches of windows; any batch of any epoch, at the same price."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.digests import array_digest, json_digest
from poyodata.errors import LoaderError
from poyodata.loaders.batches import dense, jagged, tokens
from poyodata.loaders.buffers import Buffers
from poyodata.loaders.checks import whole_number
from poyodata.loaders.masks import Groups, MaskReport, MaskSpec, neuron_positions
from poyodata.loaders.plan import Changes, Plan
from poyodata.loaders.prefetch import prefetched
from poyodata.loaders.sampling import Drawn, Ranks, Sampler
from poyodata.loaders.sources import TraceSource
from poyodata.loaders.state import check_state, make_state
from poyodata.loaders.targets import NeuronColumns, Target
from poyodata.loaders.targets.vocabulary import (
    NEURON,
    RECORDING,
    Vocabulary,
    neuron_vocabulary,
    recording_vocabulary,
)
from poyodata.loaders.transforms import Normalisation
from poyodata.loaders.views import Pairs, ViewPairs
from poyodata.loaders.windows import Located, WindowIndex

T = TypeVar("T")
IntArray = npt.NDArray[np.int64]
Arrays = dict[str, Any]
Layout = Literal["dense", "tokens", "token-views", "jagged"]

LEARNING = ("train", "identify")
"""Roles to learn from: windows are shuffled and changed at random only there."""

PLANNED_WINDOWS = 2048
"""Windows that are drawn and found together: one by one, that costs as much as the reading of a small batch."""


class Loader:
    """Batches of windows of one role of a manifest; made by `make_loader`.

    What a batch holds is a pure function of (seed, epoch, number of the batch). Iterating reads the epoch that
    `set_epoch` chose, from its beginning, or from where a loaded state says; batches are dictionaries of torch tensors
    (`arrays` gives NumPy's), with the names of `poyodata.loaders.batches.contracts`, and besides

    ``sample`` (batch,) int64: position in the epoch, over all ranks.
    ``trial`` (batch,) int64: trial number within (recording, stimulus); -1 for none.
    ``direction`` (batch,) int64, and other targets: what `poyodata.loaders.targets` says of them.
    ``hidden``, ``target`` (batch, neuron, time) bool, ``scheme`` (batch,) int64, ``causal`` (batch,) bool: masks.
    ``a``, ``b``, ``matched``: two views. Each view is a dense batch; ``matched`` (batch, match, 2) int64 holds the
    places of the neurons that are in both, -1 in padding.

    Attributes
    ----------
    view : View
    windows : WindowIndex
        Without those in which a selected neuron has a missing frame. ``windows.dropped`` says what gave none.
    sampler : Sampler
    source : TraceSource
    role : str
    rate_hz : float
    n_frames : int
        Of every window as a model gets it; 0 where whole recordings differ.
    neuron_ids, session_ids : tuple of str
        Names by number: what ``neuron_index - 1`` and ``session_index`` count in. Those of the manifest, in its order,
        or of the vocabularies given, which may hold more.
    vocabularies : dict of str to Vocabulary
        The same, ``neuron`` and ``recording``, and the classes of `neuron_columns`, to be kept for other loaders.
    manifest_digest, recipe_digest : str
    normalisation : Normalisation
    mask_report : MaskReport
        What was drawn and skipped since this loader was made.
    views_dropped : dict of str to int
        Pairs of views that were left out since this loader was made, by reason.
    """

    def __init__(
        self,
        view: View,
        windows: WindowIndex,
        sampler: Sampler,
        source: TraceSource,
        *,
        role: str,
        seed: int,
        batch_size: int,
        ranks: Ranks,
        rate_hz: float,
        normalisation: Normalisation,
        targets: tuple[Target, ...] = (),
        neuron_columns: NeuronColumns | None = None,
        changes: Changes | None = None,
        layout: Layout = "dense",
        prefetch: int = 0,
        recipe_digest: str = "",
        always_direction: bool = False,
        neurons: Vocabulary | None = None,
        recordings: Vocabulary | None = None,
    ) -> None:
        self.view = view
        self.windows = windows
        self.sampler = sampler
        self.source = source
        self.role = role
        self.seed = seed
        self.batch_size = batch_size
        self.ranks = ranks
        self.rate_hz = rate_hz
        self.normalisation = normalisation
        self.targets = targets
        self.neuron_columns = neuron_columns
        self.changes = changes or Changes()
        self.layout: Layout = layout
        self.prefetch = prefetch
        self.recipe_digest = recipe_digest
        self.epoch = 0
        self._listeners: list[WeakMethod[Callable[[int], None]]] = []
        self.manifest_digest: str = view.manifest.digest
        self.mask_report = MaskReport()
        self.views_dropped: dict[str, int] = {}
        self._always_direction = always_direction
        self._start = 0  # where the next iteration begins: 0, but after a state was loaded
        self._given = 0  # batches of this epoch that were given
        self._placed: tuple[int, WindowIndex] | None = None
        self._planned: tuple[int, int, Located, IntArray, list[int]] | None = None
        self._shift, self._scale = _rows(normalisation, view.session_ids)
        self._neurons, self._recordings = neurons, recordings
        # What the places of neurons and recordings in the manifest become; None where they stay.
        own_numbers = None if neurons is None else np.append(0, 1 + neurons.index(neuron_vocabulary(view).names))
        self._numbering = None if own_numbers is None or _is_range(own_numbers) else own_numbers
        session_number = None if recordings is None else recordings.index(view.session_ids)
        self._session_number = None if session_number is None or _is_range(session_number) else session_number
        self._groups: Mapping[str, Groups] = {} if self.changes.masks is None else self.changes.masks.groups(view)
        trial, row = view.manifest.windows["trial"].to_numpy(np.int64), windows.source
        self._trial: IntArray = np.where(row >= 0, trial[np.maximum(row, 0)], -1)  # of every row of the index
        self._positions_um: npt.NDArray[np.float64] | None = None  # by ``neuron_index``
        if self.changes.masks is not None and self.changes.masks.needs_positions:
            known = neuron_positions(view)
            self._positions_um = np.full((1 + max(len(known), 0 if neurons is None else len(neurons)), 2), np.nan)
            self._positions_um[np.arange(1, 1 + len(known)) if own_numbers is None else own_numbers[1:]] = known
        self.n_frames = self._frames()

    # -- the whole -----------------------------------------------------------------------------------------------

    @property
    def neuron_ids(self) -> tuple[str, ...]:
        """Names of neurons, by ``neuron_index - 1``."""
        return self.vocabularies[NEURON].names

    @property
    def session_ids(self) -> tuple[str, ...]:
        """Names of recordings, by ``session_index``."""
        return self.view.session_ids if self._recordings is None else self._recordings.names

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """What numbers in batches mean, by kind."""
        return {
            NEURON: neuron_vocabulary(self.view) if self._neurons is None else self._neurons,
            RECORDING: recording_vocabulary(self.view) if self._recordings is None else self._recordings,
            **({} if self.neuron_columns is None else self.neuron_columns.classes),
        }

    @property
    def numbering(self) -> IntArray | None:
        """What ``1 + row of the manifest's neurons`` is in batches, shape (1 + neuron,), int64; None where it stays."""
        return self._numbering

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration reads; another than that of a loaded state begins at its start."""
        epoch = whole_number("epoch", epoch)
        if epoch != self.epoch:
            self._start = self._given = 0
        self._at_epoch(epoch)

    def _at_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self._listeners = [tell for tell in self._listeners if tell() is not None]
        for tell in self._listeners:
            listener = tell()
            if listener is not None:
                listener(epoch)

    def tell_epochs(self, listener: Callable[[int], None]) -> None:
        """Call a method of something with every epoch that is chosen, for as long as that lives."""
        self._listeners.append(WeakMethod(listener))

    @property
    def scaling(self) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
        """Shift and scale of every neuron of the manifest, shape (neuron,), float32; None where nothing was fitted."""
        return self._shift, self._scale

    def explain(self) -> str:
        """Say what is read and how: windows and what gave none, order, and how traces are reached."""
        index, n = self.windows, self.sampler.n_windows
        frames = f"{self.n_frames} frames" if self.n_frames else "their own length"
        lines = [
            f"{len(index):,} windows of {frames} in {len(self.view.session_ids):,} recordings of role {self.role!r}; "
            f"an epoch draws {n:,} in {len(self):,} batches of {self.batch_size} ({type(self.sampler).__name__}"
            + (
                f", rank {self.ranks.rank} of {self.ranks.world}, tail {self.ranks.tail!r})"
                if self.ranks.world > 1
                else ")"
            ),
            *(f"Left out: {count:,} {reason}" for reason, count in index.dropped.items()),
            self.source.explain(),
        ]
        return "\n".join(lines)

    # -- batches -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[dict[str, Any]]:
        buffers = Buffers()
        return self.iterate(lambda epoch, number: self.to_torch(self.read(self.plan(epoch, number), buffers)))

    def arrays(self) -> Iterator[Arrays]:
        """One epoch as NumPy arrays, as iterating gives it as tensors; torch need not be installed."""
        buffers = Buffers()
        return self.iterate(lambda epoch, number: self.read(self.plan(epoch, number), buffers))

    def batch(self, epoch: int, number: int) -> Arrays:
        """Batch `number` of an epoch, counted from 0, as NumPy arrays in fresh memory; changes no state."""
        return self.read(self.plan(epoch, number))

    def plan(self, epoch: int, number: int) -> Plan:
        """Say where the windows of a batch lie and which neurons they show, before anything is read."""
        epoch, number = whole_number("epoch", epoch), whole_number("the number of a batch", number)
        ahead = max(1, PLANNED_WINDOWS // self.batch_size)
        block = number // ahead
        planned = self._planned
        if planned is None or planned[:2] != (epoch, block):
            first = block * ahead
            drawn, ends = self.sampler.batches(epoch, first, max(min(first + ahead, len(self)), number + 1))
            planned = self._planned = (epoch, block, self._placed_at(epoch, drawn), drawn.sample, [0, *ends])
        _, _, located, sample, edges = planned
        own = slice(edges[number - block * ahead], edges[number - block * ahead + 1])
        # Copies of what is in the batch: it belongs to whoever gets it, and the block may be asked again.
        session, start = located.session_index[own].copy(), located.start[own].copy()
        own_windows = Located(located.row[own], session, start, located.length[own])
        return self._plan(epoch, own_windows, sample[own].copy())

    def plan_of(self, epoch: int, drawn: Drawn) -> Plan:
        """Plan a batch of any windows; what is drawn at random belongs to ``drawn.sample``."""
        return self._plan(epoch, self._placed_at(epoch, drawn), drawn.sample)

    def _placed_at(self, epoch: int, drawn: Drawn) -> Located:
        index = self._index_of(epoch)
        return self._moved(index.locate(drawn.window), index, drawn.sample, epoch)

    def _plan(self, epoch: int, located: Located, sample: IntArray) -> Plan:
        positions: list[IntArray] | None = None
        if self.changes.neurons:
            counts = self.source.n_neurons[located.session_index]
            positions = [np.arange(n, dtype=np.int64) for n in counts.tolist()]
            for place, transform in self.changes.neurons:
                positions = transform.choose(positions, sample, self.seed, epoch, place)
        return Plan(epoch, located, sample, self.source.keep(located.session_index, positions), positions)

    def read(self, plan: Plan, buffers: Buffers | None = None) -> Arrays:
        """Read a planned batch as NumPy arrays; `buffers` is where memory comes from, by default it is fresh."""
        if self.changes.views is not None:
            return self._two_views(plan, self.changes.views, buffers)
        made: Mapping[str, Any]
        common = self._common(buffers) | {"kept": plan.kept}
        if self.layout == "dense":
            made = dense(self.source, plan.located, **common)
        elif self.layout == "jagged":
            made = jagged(self.source, plan.located, **common)
        else:
            views = self.layout == "token-views"
            made = tokens(self.source, plan.located, rate_hz=self.rate_hz, as_views=views, **common)
        return self.finish(plan, dict(made))

    def finish(self, plan: Plan, batch: Arrays) -> Arrays:
        """Add to the traces of a planned batch what else is in it: samples, trials, targets, changed values, masks."""
        located = plan.located
        if self._session_number is not None:
            batch["session_index"] = self._session_number[located.session_index]
        batch["sample"] = plan.sample
        batch["trial"] = self._trial[located.row]
        for target in self.targets:
            batch.update(target.of(located))
        if self._always_direction and "direction" not in batch:
            batch["direction"] = np.full(len(located), -1, np.int64)
        for place, transform in self.changes.values:
            batch = transform.apply(batch, seed=self.seed, epoch=plan.epoch, place=place)
        if self.neuron_columns is not None:
            name = "input_unit_index" if "input_unit_index" in batch else "neuron_index"
            batch.update(self.neuron_columns.of(batch[name]))
        if self.changes.masks is not None:
            batch.update(self._masked(self.changes.masks, plan, batch))
        return batch

    def to_torch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Give the arrays of a batch to torch, without a copy; a jagged batch becomes nested tensors."""
        from poyodata.loaders.tensors import as_tensors

        return as_tensors(batch)

    def iterate(self, make: Callable[[int, int], T]) -> Iterator[T]:
        """Read an epoch with a function of (epoch, number of the batch); the state counts what is given.

        Which epoch, and from where, is settled when the first batch is asked for. When the last was given, the state
        says that all were, until another epoch is begun or chosen.
        """
        epoch, start, n = self.epoch, self._start, len(self)
        self._start, self._given = 0, start
        numbers = range(start, n)
        made = prefetched(lambda at: make(epoch, at), start, n) if self.prefetch else None
        try:
            for number in numbers:
                batch = make(epoch, number) if made is None else next(made)
                self._given = number + 1
                yield batch
                del batch  # its memory is free as soon as its reader lets go of it
        finally:
            if made is not None:
                made.close()

    # -- where it is ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Give the epoch, how many batches of it were given, and digests of all that decides what comes next.

        Numbers and texts alone, the same for all ranks. Where ranks have different numbers of batches, save that of
        rank 0, which has most. Of an epoch that was read to its end the state says that all its batches were given:
        loaded, nothing of that epoch is left, and the next one is chosen by `set_epoch`.
        """
        return make_state(self.identity(), self.epoch, self._given)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken: the next iteration gives the rest of its epoch.

        Raises
        ------
        LoaderError
            The state is of another manifest, recipe, seed, batch size, sampling, role or number of ranks.
        """
        epoch, batches = check_state(state, self.identity(), self.sampler.most_batches)
        self._at_epoch(epoch)
        self._start = self._given = min(batches, len(self))

    def identity(self) -> dict[str, Any]:
        """Give what the batches are a function of, as digests, numbers and texts."""
        index = self.windows
        names = ("session_index", "first", "count", "length", "low", "high", "source", "slack")
        rows = (array_digest(getattr(index, name)) for name in names)
        windows = [list(index.session_ids), index.hop_frames, *rows]
        drawn = [
            [one.name, array_digest(value) if isinstance(value, np.ndarray) else value]
            for one in fields(self.sampler)  # type: ignore[arg-type]
            if one.name not in ("index", "ranks", "seed", "batch_size")
            for value in [getattr(self.sampler, one.name)]
            if isinstance(value, np.ndarray | bool | int | float | str)
        ]
        return {
            "role": self.role,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "world": self.ranks.world,
            "manifest": self.manifest_digest,
            "recipe": self.recipe_digest,
            "sampler": json_digest([type(self.sampler).__name__, self.ranks.tail, drawn]),
            "windows": json_digest(windows),
            "normalisation": self.normalisation.digest,
            "vocabulary": json_digest(
                [None if own is None else array_digest(own) for own in (self._numbering, self._session_number)]
            ),
            "neuron_columns": "" if self.neuron_columns is None else self.neuron_columns.digest,
        }

    def __getstate__(self) -> dict[str, Any]:
        # In another process the store is opened again, and recordings when they are first touched.
        return {**vars(self), "_placed": None, "_planned": None, "_listeners": []}

    # -- parts of a batch ----------------------------------------------------------------------------------------

    def _frames(self) -> int:
        if (self.windows.length != self.windows.length[0]).any():
            if self.changes.windows:
                name = self.changes.windows[0][1].name
                raise LoaderError(f"{name!r} needs windows of one length, and these are whole recordings.")
            return 0
        n_frames = self.windows.n_frames
        for _, transform in self.changes.windows:
            n_frames = transform.length(n_frames)
        return n_frames

    def _index_of(self, epoch: int) -> WindowIndex:
        placed = self._placed
        if placed is None or placed[0] != epoch:
            placed = self._placed = (epoch, self.windows.at_epoch(self.seed, epoch))
        return placed[1]

    def _moved(self, located: Located, index: WindowIndex, sample: IntArray, epoch: int) -> Located:
        if not self.changes.windows:
            return located
        start, n_frames = located.start, index.n_frames
        low, high = index.low[located.row], index.high[located.row]
        random = self.role in LEARNING
        for place, transform in self.changes.windows:
            start = transform.move(
                start, n_frames, low, high, sample, seed=self.seed, epoch=epoch, random=random, place=place
            )
            shorter = transform.length(n_frames)
            high, n_frames = high + (n_frames - shorter), shorter
        return Located(located.row, located.session_index, start, np.full(len(start), n_frames, np.int64))

    def _masked(self, spec: MaskSpec, plan: Plan, batch: Arrays) -> Arrays:
        mask = batch["neuron_mask"]
        sessions = plan.located.session_index
        positions = plan.positions or [np.arange(n, dtype=np.int64) for n in plan.kept.count.tolist()]
        keys = [self.view.session_ids[at] for at in sessions.tolist()]
        where = None if self._positions_um is None else self._positions_um[batch["neuron_index"]]
        masked = spec.draw(
            batch["values"].shape,
            {name: groups.padded(keys, positions, mask.shape[1]) for name, groups in self._groups.items()},
            seed=self.seed,
            epoch=plan.epoch,
            sample=plan.sample,
            neuron_mask=mask,
            positions_um=where,
            lengths=plan.located.length,
            report=self.mask_report,
        )
        return {"hidden": masked.hidden, "target": masked.target, "scheme": masked.scheme, "causal": masked.causal}

    def _two_views(self, plan: Plan, views: ViewPairs, buffers: Buffers | None) -> Arrays:
        pairs = views.draw(plan.located, plan.sample, seed=self.seed, epoch=plan.epoch)
        for reason, count in pairs.dropped.items():
            self.views_dropped[reason] = self.views_dropped.get(reason, 0) + count
        rows = plan.located.row[pairs.kept]
        both = ((pairs.start_a, pairs.neurons_a), (pairs.start_b, pairs.neurons_b))
        a, b = (self._one_view(rows, pairs, start, neurons, views.n_frames, buffers) for start, neurons in both)
        return {
            "a": a,
            "b": b,
            "matched": pairs.matched_padded(),
            "session_index": a["session_index"],
            "sample": pairs.sample,
        }

    def _one_view(
        self,
        rows: IntArray,
        pairs: Pairs,
        start: IntArray,
        neurons: list[IntArray],
        n_frames: int,
        buffers: Buffers | None,
    ) -> Arrays:
        located = Located(rows, pairs.session_index, start, np.full(len(start), n_frames, np.int64))
        view: Arrays = dict(dense(self.source, located, kept=neurons, **self._common(buffers)))
        if not len(located):
            view["values"] = np.zeros((0, 0, n_frames), np.float32)
        if self._session_number is not None:
            view["session_index"] = self._session_number[located.session_index]
        if self.neuron_columns is not None:
            view.update(self.neuron_columns.of(view["neuron_index"]))
        return view

    def _common(self, buffers: Buffers | None) -> dict[str, Any]:
        """What batches of every kind are made with."""
        return {"shift": self._shift, "scale": self._scale, "buffers": buffers, "numbering": self._numbering}

    def __repr__(self) -> str:
        return f"<Loader {self.role}: {len(self):,} batches of {self.batch_size} from {len(self.windows):,} windows>"


def _rows(normalisation: Normalisation, session_ids: tuple[str, ...]) -> tuple[Any, Any]:
    """Shift and scale of every neuron of the manifest; None where nothing was fitted."""
    if normalisation.fitted is None:
        return None, None
    both = (normalisation.shift, normalisation.scale)
    shift, scale = (np.concatenate([one[key] for key in session_ids]).astype(np.float32) for one in both)
    return shift, scale


def _is_range(numbers: IntArray) -> bool:
    return np.array_equal(numbers, np.arange(len(numbers)))
