"""`Taking`: parts of a pool of neurons, as sample, balance, top and mix want them, written down as they are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language import rules
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parameters import settled
from poyodata.curation.language.rule_document import rule_text, term_text, they_are
from poyodata.curation.selecting.column_values import Values
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.sampling import Rows, group_codes, hashes_of, in_ties, places, round_half_up, smallest
from poyodata.errors import DietError

Labels = npt.NDArray[np.object_]

OF_ONE_ANIMAL: tuple[str, ...] = ("session_id", "donor_id", "container_id", "cell_specimen_id")
"""Columns whose groups lie within one animal, so that nothing held out is ranked with what is learnt from."""


@dataclass(frozen=True)
class Taking:
    """Takes parts of pools of one table of neurons.

    Attributes
    ----------
    table : DataFrame
    frozen : dict
        What was taken, by the path of the rule.
    warnings : list of str
    parts : dict
        What each term of a mix took, by its path.
    """

    table: pd.DataFrame
    frozen: dict[str, Any]
    warnings: list[str]
    parts: dict[str, Mask] = field(default_factory=dict)

    @cached_property
    def neuron_id(self) -> pd.Series[Any]:
        """Names of the neurons."""
        return self.table["neuron_id"]

    def grouped(self, pool: Kleene, columns: Sequence[str], include: bool) -> tuple[Kleene, Rows, Rows, list[str]]:
        """Members of a pool by group. Where a column is missing, a neuron is unknown: it may be of any group.

        A group of its own would make the neurons of unknown line one more line, of which a balanced diet takes as
        many as of every other.

        Parameters
        ----------
        pool : Kleene
        columns : sequence of str
        include : bool
            Whether the diet includes what is unknown. Counts hold then too, so that who has no group is rejected.

        Returns
        -------
        pool : Kleene
        member : ndarray of int
            Rows of the table.
        group : ndarray of int
            Of each member.
        names : list of str
        """
        if not columns:
            member = np.flatnonzero(pool.true).astype(np.int64)
            return pool, member, np.zeros(len(member), np.int64), [""]
        codes, names = group_codes(self.table, columns)
        pool = self._without(pool, codes < 0, " x ".join(columns), include)
        member = np.flatnonzero(pool.true).astype(np.int64)
        return pool, member, codes[member], names

    def _without(self, pool: Kleene, missing: Mask, what: str, include: bool) -> Kleene:
        """Take those out of a pool of whom it is not known where they belong in it."""
        out = pool.true & missing
        if not include:
            return Kleene(pool.true & ~missing, pool.unknown | out)
        if out.any():
            self.warnings.append(
                f"{they_are(int(out.sum()), 'neuron')} left out although the diet says `missing: include`: {what} is "
                "missing there, by which a pool is grouped or ordered"
            )
        return Kleene(pool.true & ~missing, pool.unknown)

    def answer(self, pool: Kleene, taken: Rows) -> Kleene:
        """Say of every row of the table whether it was taken."""
        true = np.zeros(len(self.table), np.bool_)
        true[taken] = True
        return Kleene(true, pool.unknown)

    def sample(self, rule: rules.Sample, pool: Kleene, path: str, include: bool = False) -> Kleene:
        """Take a fraction or a number of a pool, or of each of its groups."""
        pool, member, group, names = self.grouped(pool, () if rule.within is None else (rule.within,), include)
        fraction, n, seed = settled(rule.fraction), settled(rule.n), settled(rule.seed)
        size = np.bincount(group, minlength=len(names))
        if n is not None:
            quota = np.where(size > 0, n, 0)
            short = np.flatnonzero((size > 0) & (size < n)) if len(member) else np.zeros(1, np.int64)
            if len(short):
                where = f"one group of its pool ({rule.within} {names[short[0]]})" if rule.within else "its pool"
                has = f"has {size[short[0]]}" if len(member) else "is empty; loosen the rule of the pool"
                raise DietError(f"a sample asks for {n} neurons, but {where} {has}; lower n, or give a fraction.")
        else:
            quota = np.array([round_half_up(fraction * int(count)) for count in size], np.int64)
            none = np.flatnonzero((size > 0) & (quota == 0))
            if len(none):
                held = np.count_nonzero(size)
                where = (
                    f"{len(none)} of {held} groups of {rule.within} (first {names[none[0]]}, " if rule.within else ""
                )
                of = f"{where}which has {size[none[0]]})" if rule.within else f"its pool of {size[0]} neurons"
                self.warnings.append(f"`sample` of a fraction of {fraction:g} rounds to nothing of {of}; n takes some")
        return self.answer(pool, self._take(member, group, quota, seed, path))

    def _take(self, member: Rows, group: Rows, quota: npt.NDArray[np.int64], seed: int, path: str) -> Rows:
        """Take the smallest hashes of every group, as many as its quota says."""
        hashes = hashes_of(self.neuron_id, member, seed)
        if len(quota) == 1:
            taken = member[smallest(hashes, int(quota[0]))]
        else:
            taken = member[places((hashes,), group, self.neuron_id, member) < quota[group]]
        self.frozen[path] = {"pool": len(member), "taken": len(taken), "seed": seed}
        return taken

    def balance(self, rule: rules.Balance, pool: Kleene, path: str, include: bool = False) -> Kleene:
        """Take as many of every group of the pool; groups of which the pool holds none are named in a warning."""
        pool, member, group, names = self.grouped(pool, rule.by, include)
        size = np.bincount(group, minlength=len(names))
        held, gone = np.flatnonzero(size), np.flatnonzero(size == 0)
        if len(gone) and len(held):
            listed = ", ".join(names[one] for one in gone[:3]) + (", ..." if len(gone) > 3 else "")
            self.warnings.append(
                f"`balance` takes nothing of {len(gone)} of {len(names)} groups of {' x '.join(rule.by)} ({listed}): "
                "its pool holds none of their neurons"
            )
        wanted = settled(rule.n)
        least = int(size[held].min()) if len(held) else 0
        if wanted is not None and least < wanted:
            few = held[size[held] < wanted]
            listed = ", ".join(f"{names[one]} has {size[one]}" for one in few[:3]) if len(few) else "its pool is empty"
            raise DietError(
                f"`balance` asks for {wanted} neurons of every {' x '.join(rule.by)}, but {listed}. Lower n, leave it "
                "out to take as many as the smallest group has, or leave small groups out of the pool."
            )
        each = least if wanted is None else int(wanted)
        taken = self._take(member, group, np.full(len(names), each, np.int64), settled(rule.seed), path)
        self.frozen[path] |= {"each": each, "groups": len(held)}
        return self.answer(pool, taken)

    def top(self, rule: rules.Top, pool: Kleene, values: Values, path: str, include: bool = False) -> Kleene:
        """Take the k highest or lowest of a pool, or of each of its groups."""
        text = to_text(rule.by)
        if values.kind not in ("number", "empty"):
            raise DietError(f"`top` by {text}: {text} holds no numbers, which alone can be highest or lowest.")
        gone = np.ones(len(self.table), np.bool_) if values.missing is None else values.missing
        pool = self._without(pool, gone, text, include)
        pool, member, group, names = self.grouped(pool, () if rule.within is None else (rule.within,), include)
        k = settled(rule.k)
        key = np.asarray(values.values)[member] if len(member) else np.zeros(0)
        key = -key.astype(np.float64) if rule.order == "highest" else key.astype(np.float64)
        # Of equal values the smallest hash is taken, under one seed: no draw, but no preference for a place either.
        # Others are not hashed: among statistics hardly two are equal, and hashes cost more than all else here.
        hashes, tied = np.zeros(len(member), np.uint64), in_ties((key,), group)
        hashes[tied] = hashes_of(self.neuron_id, member[tied], 0)
        place = places((key, hashes), group, self.neuron_id, member)
        taken = member[place < k]
        size = np.bincount(group, minlength=len(names))
        few = np.flatnonzero((size > 0) & (size < k))
        if len(few):
            where = f" in {len(few)} groups of {rule.within} (first {names[few[0]]})" if rule.within else ""
            self.warnings.append(
                f"`top` asks for the {k} {rule.order} in {text}, but there are only {size[few[0]]}{where}: all are kept"
            )
        self.frozen[path] = {"pool": len(member), "taken": len(taken), "k": k, "order": rule.order, "by": text}
        if rule.within not in OF_ONE_ANIMAL and "role" in self.table.columns:
            self.frozen[path] |= {"reference": self._ranked_with(member, group)}
        return self.answer(pool, taken)

    def _ranked_with(self, member: Rows, group: Rows) -> str:
        """Say whether held-out neurons are ranked with those to learn from: ``"all"``, or ``"train"`` where not."""
        train = (self.table["role"] == "train").to_numpy(np.bool_)[member]
        return "all" if set(group[train].tolist()) & set(group[~train].tolist()) else "train"

    def mix(self, rule: rules.Mix, pools: Sequence[Kleene], path: str) -> tuple[Kleene, Labels]:
        """Take every term's part of its pool, and label each neuron with the first term that took it.

        A part is taken from what earlier terms left, so that it adds as many neurons as it says; whole pools unite.
        Shares come last: their size follows from that of the others.
        """
        taken: list[Mask | None] = [None] * len(pools)
        used = np.zeros(len(self.table), np.bool_)
        for index, (term, pool) in enumerate(zip(rule.terms, pools, strict=True)):
            if not pool.true.any():
                raise DietError(
                    f"{_named(index, term)} is empty: its pool holds none of the "
                    f"{len(self.table)} neurons. Loosen the rule of its pool, or leave the term out."
                )
            if term.share is None:
                whole = term.fraction is None and term.n is None
                part = pool.true if whole else self._part(rule, index, pool.true, used, path)
                taken[index], used = part, used | part
        self._shares(rule, pools, taken, used, path)
        true = np.zeros(len(self.table), np.bool_)
        unknown = np.zeros(len(self.table), np.bool_)
        labels = np.full(len(self.table), "", dtype=object)
        for index, (term, pool, taken_part) in enumerate(zip(rule.terms, pools, taken, strict=True)):
            kept = taken_part if taken_part is not None else np.zeros(len(self.table), np.bool_)
            self.parts[f"{path}.mix[{index}]"] = kept
            labels[kept & ~true] = _label(term)
            true = true | kept
            unknown = unknown | pool.unknown
        return Kleene(true, unknown & ~true), labels

    def _shares(
        self, rule: rules.Mix, pools: Sequence[Kleene], taken: list[Mask | None], used: Mask, path: str
    ) -> None:
        """Size the terms given as a share of the result around the terms of known size."""
        shared = [(index, settled(term.share)) for index, term in enumerate(rule.terms) if term.share is not None]
        if not shared:
            return
        if len(shared) < len(rule.terms):
            if not used.any():
                raise DietError(
                    f"the other terms of the mix take no neuron, so that {_listed(shared)} would be all of it; raise "
                    "their fractions, or give every term a share."
                )
            total = used.sum() / (1 - sum(share for _, share in shared))
        else:
            total = min(pools[index].true.sum() / share for index, share in shared)
        for index, share in shared:
            part = self._part(rule, index, pools[index].true, used, path, round_half_up(share * total))
            taken[index], used = part, used | part

    def _part(self, rule: rules.Mix, index: int, pool: Mask, used: Mask, path: str, wanted: int | None = None) -> Mask:
        """Take a term's part of what earlier terms left of its pool: `wanted` neurons, or what the term says."""
        term = rule.terms[index]
        size, member = int(pool.sum()), np.flatnonzero(pool & ~used).astype(np.int64)
        n = settled(term.n) if wanted is None else wanted
        n = round_half_up(settled(term.fraction) * size) if n is None else n
        if n > len(member):
            raise DietError(_too_few(rule, index, n, size, len(member)))
        if not n:
            self.warnings.append(f"{_named(index, term)} rounds to nothing of its pool of {size} neurons")
        group = np.zeros(len(member), np.int64)
        taken = self._take(member, group, np.array([n]), settled(term.seed), f"{path}.mix[{index}]")
        part = np.zeros(len(self.table), np.bool_)
        part[taken] = True
        return part


def _named(index: int, term: rules.MixTerm) -> str:
    """Name a term of a mix, and its pool where it goes by another name."""
    pool = f" = {rule_text(term.of)}" if term.name else ""
    return f"term {index + 1} of the mix ({term_text(term)}{pool})"


def _listed(shared: Sequence[tuple[int, float]]) -> str:
    """Name the terms of a mix that are shares of the result."""
    return " and ".join(f"term {index + 1} (a share of {share:g})" for index, share in shared)


def _too_few(rule: rules.Mix, index: int, wanted: int, size: int, left: int) -> str:
    """Say why a term cannot have as many neurons as it asks for, and what can be done."""
    term = rule.terms[index]
    if term.share is not None:
        # Shares of all terms add up to 1, so that none alone can be lowered.
        all_shares = all(one.share is not None for one in rule.terms)
        advice = (
            "Pools overlap: take what they have in common out of one of them with `difference`, or give one term `n` "
            "instead of a share, which then sets the size of the result"
            if all_shares
            else "Lower the share, or sample the other terms"
        )
        return (
            f"term {index + 1} of the mix needs {wanted} neurons for its share of {settled(term.share):g}, but its "
            f"pool has {left} that no other term takes. {advice}."
        )
    if wanted > size:
        return (
            f"a sample asks for {wanted} neurons, but its pool ({term_text(term)}) has {size}; lower n, or give a "
            "fraction."
        )
    return (
        f"{_named(index, term)} takes {wanted} neurons, but earlier terms leave {left} of "
        f"the {size} of its pool. Ask for less, write this term first, or make the pools disjoint with `difference`."
    )


def _label(term: rules.MixTerm) -> str:
    text = term.name or (term.of.diet if isinstance(term.of, rules.Reference) else rule_text(term.of))
    return text[: rules.MAX_NAME]
