"""`Taking`: parts of a pool of neurons, as sample, balance, top and mix want them, written down as they are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from poyodata.curation.language import rules
from poyodata.curation.language.expressions import to_text
from poyodata.curation.language.parameters import settled
from poyodata.curation.language.rule_document import rule_text, term_text
from poyodata.curation.selecting.column_values import Values
from poyodata.curation.selecting.kleene import Kleene, Mask
from poyodata.curation.selecting.sampling import Rows, group_codes, hashes_of, places, round_half_up, smallest
from poyodata.errors import DietError

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Taking:
    """Takes parts of pools of one table of neurons.

    Attributes
    ----------
    table : DataFrame
    frozen : dict
        What was taken, by the path of the rule.
    warnings : list of str
    """

    table: pd.DataFrame
    frozen: dict[str, Any]
    warnings: list[str]

    @cached_property
    def neuron_id(self) -> pd.Series[Any]:
        """Names of the neurons."""
        return self.table["neuron_id"]

    def grouped(self, pool: Kleene, columns: Sequence[str]) -> tuple[Kleene, Rows, Rows, list[str]]:
        """Members of a pool by group. Where a column is missing, a neuron is unknown: it may be of any group.

        A group of its own would make the neurons of unknown line one more line, of which a balanced diet takes as
        many as of every other.

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
        pool = Kleene(pool.true & (codes >= 0), pool.unknown | (pool.true & (codes < 0)))
        member = np.flatnonzero(pool.true).astype(np.int64)
        return pool, member, codes[member], names

    def answer(self, pool: Kleene, taken: Rows) -> Kleene:
        """Say of every row of the table whether it was taken."""
        true = np.zeros(len(self.table), np.bool_)
        true[taken] = True
        return Kleene(true, pool.unknown)

    def sample(self, rule: rules.Sample, pool: Kleene, path: str) -> Kleene:
        """Take a fraction or a number of a pool, or of each of its groups."""
        pool, member, group, names = self.grouped(pool, () if rule.within is None else (rule.within,))
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

    def balance(self, rule: rules.Balance, pool: Kleene, path: str) -> Kleene:
        """Take as many of every group."""
        pool, member, group, names = self.grouped(pool, rule.by)
        size = np.bincount(group, minlength=len(names))
        held = np.flatnonzero(size)
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

    def top(self, rule: rules.Top, pool: Kleene, values: Values, path: str) -> Kleene:
        """Take the k highest or lowest of a pool, or of each of its groups."""
        text = to_text(rule.by)
        if values.kind not in ("number", "empty"):
            raise DietError(f"`top` by {text}: {text} holds no numbers, which alone can be highest or lowest.")
        gone = np.ones(len(self.table), np.bool_) if values.missing is None else values.missing
        pool = Kleene(pool.true & ~gone, pool.unknown | (pool.true & gone))
        pool, member, group, names = self.grouped(pool, () if rule.within is None else (rule.within,))
        k = settled(rule.k)
        # Of equal values the smallest hash is taken, under one seed: no draw, but no preference for a place either.
        key = np.asarray(values.values)[member] if len(member) else np.zeros(0)
        key = -key.astype(np.float64) if rule.order == "highest" else key.astype(np.float64)
        place = places((key, hashes_of(self.neuron_id, member, 0)), group, self.neuron_id, member)
        taken = member[place < k]
        size = np.bincount(group, minlength=len(names))
        few = np.flatnonzero((size > 0) & (size < k))
        if len(few):
            where = f" in {len(few)} groups of {rule.within} (first {names[few[0]]})" if rule.within else ""
            self.warnings.append(
                f"`top` asks for the {k} {rule.order} in {text}, but there are only {size[few[0]]}{where}: all are kept"
            )
        self.frozen[path] = {"pool": len(member), "taken": len(taken), "k": k, "order": rule.order, "by": text}
        return self.answer(pool, taken)

    def mix(self, rule: rules.Mix, pools: Sequence[Kleene], path: str) -> tuple[Kleene, Labels]:
        """Take every term's part of its pool, and label each neuron with the first term that took it."""
        taken: list[Mask | None] = [None] * len(pools)
        for index, (term, pool) in enumerate(zip(rule.terms, pools, strict=True)):
            if not pool.true.any():
                raise DietError(
                    f"term {index + 1} of the mix ({term_text(term)}) is empty: its pool holds none of the "
                    f"{len(self.table)} neurons. Loosen the rule of its pool, or leave the term out."
                )
            if term.share is None:
                whole = term.fraction is None and term.n is None
                at = f"{path}.mix[{index}]"
                taken[index] = pool.true if whole else self._part(pool.true, term, at)
        self._shares(rule, pools, taken, path)
        true = np.zeros(len(self.table), np.bool_)
        unknown = np.zeros(len(self.table), np.bool_)
        labels = np.full(len(self.table), "", dtype=object)
        for term, pool, part in zip(rule.terms, pools, taken, strict=True):
            kept = part if part is not None else np.zeros(len(self.table), np.bool_)
            labels[kept & ~true] = _label(term)
            true = true | kept
            unknown = unknown | pool.unknown
        return Kleene(true, unknown & ~true), labels

    def _shares(self, rule: rules.Mix, pools: Sequence[Kleene], taken: list[Mask | None], path: str) -> None:
        """Size the terms given as a share of the result around the terms of known size."""
        shared = [(index, settled(term.share)) for index, term in enumerate(rule.terms) if term.share is not None]
        if not shared:
            return
        used = np.zeros(len(self.table), np.bool_)
        for part in taken:
            if part is not None:
                used = used | part
        if used.any():
            total = used.sum() / (1 - sum(share for _, share in shared))
        else:
            total = min(pools[index].true.sum() / share for index, share in shared)
        for index, share in shared:
            pool = pools[index].true & ~used
            wanted = round_half_up(share * total)
            if wanted > pool.sum():
                raise DietError(
                    f"term {index + 1} of the mix needs {wanted} neurons for its share of {share:g}, but its pool has "
                    f"{int(pool.sum())} that no other term takes. Lower the share, or sample the other terms."
                )
            part = self._part(pool, rule.terms[index], f"{path}.mix[{index}]", wanted)
            taken[index], used = part, used | part

    def _part(self, pool: Mask, term: rules.MixTerm, path: str, wanted: int | None = None) -> Mask:
        """Take a term's part of its pool: `wanted` neurons, or what the term says."""
        member = np.flatnonzero(pool).astype(np.int64)
        n = settled(term.n) if wanted is None else wanted
        n = round_half_up(settled(term.fraction) * len(member)) if n is None else n
        if n > len(member):
            raise DietError(
                f"a sample asks for {n} neurons, but its pool ({term_text(term)}) has {len(member)}; lower n, or give "
                "a fraction."
            )
        taken = self._take(member, np.zeros(len(member), np.int64), np.array([n]), settled(term.seed), path)
        part = np.zeros(len(self.table), np.bool_)
        part[taken] = True
        return part


def _label(term: rules.MixTerm) -> str:
    text = term.name or (term.of.diet if isinstance(term.of, rules.Reference) else rule_text(term.of))
    return text[: rules.MAX_NAME]
