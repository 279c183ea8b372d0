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
from poyodata.loaders.masks.groups import Groups, group_neurons
from poyodata.loaders.masks.mask import Mask
from poyodata.loaders.masks.masked import BoolArray, IntArray, Masked, MaskReport
from poyodata.loaders.order import draws_at
from poyodata.loaders.transforms.transform import sample_keys, uniforms

DRAWS = ("per_batch", "per_sample")
ON_SINGLE_GROUP = ("skip", "error")


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
        order and count it, or raise. With ``per_batch`` the next one is taken where no window of the batch can use it;
        windows that cannot while others can have nothing hidden and nothing scored.

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

    def check(self, view: View) -> dict[str, int]:
        """Find out before training which masks make sense where.

        Returns
        -------
        dict of str to int
            By mask, the recordings in which it is skipped.

        Raises
        ------
        LoaderError
            Under ``on_single_group="error"``, where a mask makes no sense in a recording; else where a recording has
            no mask that does, or where no mask is ever drawn.
        """
        groups = self.groups(view)
        skipped = dict.fromkeys(self.labels, 0)
        bare: list[str] = []
        for session_id in view.session_ids:
            alone = np.zeros(len(view.columns(session_id)), np.int64)
            reasons = {
                mask.label: mask.degenerate(groups[mask.grouping].codes[session_id] if mask.grouping else alone)
                for mask in self.masks
            }
            for label, reason in reasons.items():
                if reason is not None and self.on_single_group == "error":
                    raise _no_sense(label, f"recording {session_id!r}", reason)
                skipped[label] += reason is not None
            if all(reasons.values()):
                bare.append(session_id)
        if len(bare) == len(view.session_ids):
            raise LoaderError(
                f"no mask ({', '.join(self.labels)}) makes sense in any of {len(bare)} recordings: "
                f"{next(iter(reasons.values()))}. Group neurons by another column (by: x_um, bins: 4), or add a mask "
                "without groups."
            )
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
        turn : int, optional
            Which fold ``cosmooth`` hides; the epoch by default.
        report : MaskReport, optional
            Is added to.

        Raises
        ------
        LoaderError
            Groups are missing, or a mask makes no sense under ``on_single_group="error"``.
        """
        batch, width, _ = shape
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
            mask, mine = self.masks[place], neurons[at]
            result = mask.draw(
                mine,
                hidden[at],
                target[at],
                codes[mask.grouping][at, mine] if mask.grouping else np.zeros(len(mine), np.int64),
                None if positions_um is None else np.asarray(positions_um, np.float64)[at, mine],
                seed=seed,
                epoch=epoch,
                sample=int(sample[at]),
                place=place,
                turn=epoch if turn is None else turn,
            )
            if isinstance(result, str):
                report.skipped[mask.label, result] += 1
                if self.on_single_group == "error":
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
        report.entries += int(present.sum()) * shape[2]
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
        f"mask {label!r} makes no sense in {where}: {reason}. Group neurons by another column (by: x_um, bins: 4), or "
        "set on_single_group: skip, which counts such cases and takes another mask."
    )
