"""`MaskSpec`: which masks are drawn, how often, and what happens where one makes no sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from poyodata.curation.view import View
from poyodata.digests import json_digest
from poyodata.errors import LoaderError, nearest
from poyodata.loaders.masks.groups import Groups, group_neurons, neuron_positions
from poyodata.loaders.masks.mask import NOTHING_TO_SEE, Mask
from poyodata.loaders.masks.masked import BoolArray, IntArray, Masked, MaskReport
from poyodata.loaders.order import draws_at
from poyodata.loaders.transforms.transform import sample_keys, uniforms

DRAWS = ("per_batch", "per_sample")
ON_SINGLE_GROUP = ("skip", "error")

_OF_GROUPS = ("fewer than 2 groups", "fewer than 2 neurons")
"""Reasons that lie with recordings, which ``on_single_group`` says what to do about; others lie with the recipe."""

_ADVICE: Mapping[str, str] = {
    "groups": "Group neurons by another column (by: x_um, bins: 4), or lower min_group",
    "fewer than 2 neurons": "Let the diet take more neurons, or hide frames (scheme: causal)",
    "spans": "Make the windows longer, or span_frames smaller",
    "entries": "Make the windows longer, span_frames smaller, or let the diet take more neurons",
    "no frame": "Make the windows longer, or gap_frames or ratio smaller",
    NOTHING_TO_SEE: "Make exclude_radius_um smaller than the field of view",
    "too few": "Raise min_units and max_units of unit_dropout, or lower min_group or folds",
    "fold": "Lower folds to the number of neurons, or leave it out",
}


@dataclass(frozen=True)
class WindowSizes:
    """How large the windows of a recording are, after all that cuts them.

    Attributes
    ----------
    frames : (int, int) or None
        Of the shortest and of the longest; None where that is not looked at.
    neurons : (int, int) or None
        The fewest and the most that are kept of more; None where all are.
    """

    frames: tuple[int, int] | None = None
    neurons: tuple[int, int] | None = None

    def never(self, mask: Mask, codes: IntArray, positions_um: npt.NDArray[np.float64] | None) -> str | None:
        """Why a mask can be drawn for none of the windows; None if it can for some."""
        most = min(len(codes), self.neurons[1]) if self.neurons else len(codes)
        reason = mask.degenerate(codes, self.frames and self.frames[1], positions_um)
        return reason or mask.starved(codes, most, surely=True)

    def sometimes(self, mask: Mask, codes: IntArray) -> str | None:
        """Why a mask cannot be drawn for some of the windows; None if it can for all."""
        least = min(len(codes), self.neurons[0]) if self.neurons else len(codes)
        reason = mask.degenerate(codes, self.frames and self.frames[0])
        return reason or mask.starved(codes, least, surely=False)


@dataclass(frozen=True)
class MaskSpec:
    """Masks to draw from.

    Parameters
    ----------
    masks : tuple of Mask
    draw_scheme : {"per_batch", "per_sample"}
        Whether all windows of a batch have the scheme in common (one attention pattern), or each has its own. Entries
        are drawn for each window either way. With ``per_batch`` the scheme depends on which windows are in the batch
        (on the least of their samples); with ``per_sample`` nothing depends on the batch.
    on_single_group : {"skip", "error"}
        Where a mask makes no sense for a window (one group alone, or too few neurons): take the next mask in the drawn
        order and count it, or raise, which a loader does before training (`check`). With ``per_batch`` the next one is
        taken where no window of the batch can use it; windows that cannot while others can have nothing hidden and
        nothing scored.

    Examples
    --------
    >>> spec = MaskSpec((Mask("neuron"), Mask("causal")))
    >>> masked = spec.draw((2, 5, 10), seed=0, epoch=0, sample=np.array([0, 1]))
    >>> bool((masked.hidden == masked.target).all()), [spec.labels[at] for at in masked.scheme]
    (True, ['neuron', 'neuron'])
    """

    masks: tuple[Mask, ...]
    draw_scheme: Literal["per_batch", "per_sample"] = "per_batch"
    on_single_group: Literal["skip", "error"] = "skip"

    def __post_init__(self) -> None:
        if not self.masks:
            raise LoaderError("there are no masks to draw from; name at least one, or leave masks out.")
        if self.draw_scheme not in DRAWS:
            raise LoaderError(f"masks are drawn per_batch or per_sample: {nearest(str(self.draw_scheme), DRAWS)}")
        if self.on_single_group not in ON_SINGLE_GROUP:
            raise LoaderError(
                f"on_single_group is skip or error: {nearest(str(self.on_single_group), ON_SINGLE_GROUP)}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """What ``Masked.scheme`` counts in: ``neuron``, ``within:area`` ..."""
        return tuple(mask.label for mask in self.masks)

    @property
    def digest(self) -> str:
        """Sha256 of what is drawn."""
        return json_digest(asdict(self))

    @property
    def needs_positions(self) -> bool:
        """Whether a mask asks where neurons lie."""
        return any(mask.exclude_radius_um > 0 for mask in self.masks)

    def groups(self, view: View) -> dict[str, Groups]:
        """Group the neurons of a view in every way that a mask asks for; keys are ``Mask.grouping``.

        Raises
        ------
        LoaderError
            There is no such column, or it needs bins.
        """
        return {
            mask.grouping: group_neurons(view, mask.by, mask.bins)
            for mask in self.masks
            if mask.by is not None and mask.grouping is not None
        }

    def check(self, view: View, sizes: Mapping[str, WindowSizes] | None = None) -> dict[str, int]:
        """Find out before training which masks make sense where.

        Parameters
        ----------
        view : View
        sizes : mapping of session id to WindowSizes, optional
            Of the recordings that are read; by default all are, and only neurons are looked at.

        Returns
        -------
        dict of str to int
            By mask, the recordings in which it is skipped.

        Raises
        ------
        LoaderError
            Under ``on_single_group="error"``, where a mask makes no sense in a recording, or does not for some of its
            windows; else where no mask is ever drawn. Either way, where windows, distances or unit dropout leave a mask
            nothing in any recording.
        """
        groups = self.groups(view)
        everywhere = neuron_positions(view) if self.needs_positions else None
        whose = view.manifest.neurons["session_id"].astype(str).to_numpy()
        read = [key for key in view.session_ids if sizes is None or key in sizes]
        never: list[list[str | None]] = []  # by recording, and by mask
        for session_id in read:
            size = WindowSizes() if sizes is None else sizes[session_id]
            at = None if everywhere is None else everywhere[whose == session_id]
            alone = np.zeros(len(view.columns(session_id)), np.int64)
            reasons: list[str | None] = []
            for mask in self.masks:
                codes = groups[mask.grouping].codes[session_id] if mask.grouping else alone
                reasons.append(size.never(mask, codes, at))
                reason = reasons[-1] or size.sometimes(mask, codes)
                if reason is not None and self.on_single_group == "error":
                    raise _no_sense(mask.label, f"recording {session_id!r}", reason)
            never.append(reasons)
        for mask, own in zip(self.masks, zip(*never, strict=True), strict=False):
            if all(reason is not None and not reason.startswith(_OF_GROUPS) for reason in own):
                raise LoaderError(f"mask {mask.label!r} can never be drawn: {own[0]}. {_advice(str(own[0]))}.")
        if never and all(all(reasons) for reasons in never):
            why = dict.fromkeys(str(reason) for reasons in never for reason in reasons)
            advice = dict.fromkeys(map(_advice, why))
            raise LoaderError(
                f"no mask ({', '.join(self.labels)}) makes sense in any of {len(never)} recordings: {'; '.join(why)}. "
                f"{'; '.join(advice)}; or add a mask without groups."
            )
        skipped = dict.fromkeys(self.labels, 0)
        for reasons in never:
            for label, reason in zip(self.labels, reasons, strict=True):
                skipped[label] += reason is not None
        return skipped

    def draw(
        self,
        shape: tuple[int, int, int],
        groups: Mapping[str, IntArray] | None = None,
        *,
        seed: int,
        epoch: int,
        sample: IntArray,
        neuron_mask: BoolArray | None = None,
        positions_um: npt.NDArray[np.float64] | None = None,
        lengths: IntArray | None = None,
        turn: int | None = None,
        report: MaskReport | None = None,
    ) -> Masked:
        """Draw the masks of a batch; a pure function of the arguments.

        Parameters
        ----------
        shape : (batch, neuron, time)
            As ``values`` has it.
        groups : mapping of str to ndarray, shape (batch, neuron), int64
            From `Groups.padded`, by ``Mask.grouping``; -1 for unknown.
        seed, epoch : int
        sample : ndarray, shape (batch,), int64
        neuron_mask : ndarray, shape (batch, neuron), bool, optional
            False for padding, which is never hidden and never a target.
        positions_um : ndarray, shape (batch, neuron, 2 or 3), float64, optional
        lengths : ndarray, shape (batch,), int64, optional
            Frames of each window, where some are padded; padding is never hidden and never a target.
        turn : int, optional
            Which fold ``cosmooth`` hides; the epoch by default.
        report : MaskReport, optional
            Is added to.

        Raises
        ------
        LoaderError
            Groups are missing, or a mask makes no sense under ``on_single_group="error"``. A draw that by chance leaves
            no neuron to see is counted, and never an error.
        """
        batch, width, n_time = shape
        frames = np.full(batch, n_time) if lengths is None else np.asarray(lengths, np.int64)
        sample = np.asarray(sample, np.int64)
        present = np.ones((batch, width), np.bool_) if neuron_mask is None else np.asarray(neuron_mask, np.bool_)
        codes = {name: np.asarray(rows, np.int64) for name, rows in (groups or {}).items()}
        for mask in self.masks:
            if mask.grouping is not None and mask.grouping not in codes:
                raise LoaderError(
                    f"mask {mask.label!r} needs the groups of {mask.grouping!r}: {nearest(mask.grouping, codes)}"
                )
        neurons = [np.flatnonzero(row).astype(np.int64) for row in present]
        report = MaskReport() if report is None else report

        hidden, target = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)

        def drawn(place: int, at: int) -> int | str:
            mask, mine, n_frames = self.masks[place], neurons[at], int(frames[at])
            of = codes[mask.grouping][at, mine] if mask.grouping else np.zeros(len(mine), np.int64)
            where = None if positions_um is None else np.asarray(positions_um, np.float64)[at, mine]
            result = mask.draw(
                mine,
                hidden[at, :, :n_frames],
                target[at, :, :n_frames],
                of,
                where,
                seed=seed,
                epoch=epoch,
                sample=int(sample[at]),
                place=place,
                turn=epoch if turn is None else turn,
            )
            if isinstance(result, str):
                report.skipped[mask.label, result] += 1
                by_chance = result == NOTHING_TO_SEE and mask.degenerate(of, n_frames, where) is None
                if self.on_single_group == "error" and not by_chance:
                    raise _no_sense(mask.label, f"window {int(sample[at])} of epoch {epoch}", result)
            return result

        scheme = np.full(batch, -1, np.int64)
        group = np.full(batch, -1, np.int64)
        causal = np.zeros(batch, np.bool_)
        for rows in [np.arange(batch)] if self.draw_scheme == "per_batch" else np.arange(batch)[:, None]:
            for place in self._order(int(sample[rows].min()), seed, epoch) if len(rows) else ():
                results = [drawn(place, at) for at in rows.tolist()]
                for at, result in zip(rows.tolist(), results, strict=True):
                    if not isinstance(result, str):
                        group[at] = result
                        scheme[at], causal[at] = place, self.masks[place].causal
                        report.drawn[self.masks[place].label] += 1
                if (scheme[rows] >= 0).any():
                    break
        report.unmasked += int((scheme < 0).sum())
        report.hidden += int(np.count_nonzero(hidden))
        report.targets += int(np.count_nonzero(target))
        report.entries += int(present.sum(axis=1) @ frames)
        return Masked(hidden, target, scheme, causal, group)

    def _order(self, sample: int, seed: int, epoch: int) -> list[int]:
        """Masks in a random order in which each comes first as often as its weight says."""
        key = sample_keys("mask: scheme", seed, epoch, np.array([sample]))
        u = uniforms(draws_at(key, np.arange(len(self.masks), dtype=np.int64)))
        # The least of exponential numbers of different rates is each with probability in proportion to its rate.
        waits = -np.log1p(-u) / np.array([mask.weight for mask in self.masks])
        order: list[int] = np.argsort(waits, kind="stable").tolist()
        return order

    def to_dict(self) -> dict[str, Any]:
        """Write out what differs from the defaults, as recipes do."""
        plain = Mask("neuron")
        masks = []
        for mask in self.masks:
            options = {name: value for name, value in asdict(mask).items() if value != getattr(plain, name)}
            options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
            masks.append({"scheme": mask.scheme} | options)
        return {"masks": masks, "mask_draw": self.draw_scheme, "on_single_group": self.on_single_group}


def _no_sense(label: str, where: str, reason: str) -> LoaderError:
    return LoaderError(
        f"mask {label!r} makes no sense in {where}: {reason}. {_advice(reason)}, or set on_single_group: skip, which "
        "counts such cases and takes another mask."
    )


def _advice(reason: str) -> str:
    """What to do about a reason of `Mask.degenerate` or `Mask.starved`."""
    return next(advice for beginning, advice in _ADVICE.items() if beginning in reason)
