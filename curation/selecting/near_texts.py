"""`NearTexts`: which of very many texts is meant by one that is none of them, in a time that stays short."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import islice

MOST = 2000
"""Texts that are compared with: the first, which are the most frequent."""

LENGTH = 100
"""Characters of a text that are looked at."""

CANDIDATES = 20
"""Texts that are compared sign by sign: those that share the most pairs of signs."""

SEARCHES = 20
"""Searches in one column; what is wrong beyond that is not looked up."""


class NearTexts:
    """Finds the nearest of some texts.

    Parameters
    ----------
    texts : iterable of str
        The most frequent first.

    Examples
    --------
    >>> near = NearTexts(["Sst-IRES-Cre", "Vip-IRES-Cre"])
    >>> near.find("Sst-IRES"), near.find("vip"), near.find("Pvalb")
    ('Sst-IRES-Cre', 'Vip-IRES-Cre', None)
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.names = {name[:LENGTH].casefold(): name for name in islice(texts, MOST)}
        self.searches = 0

    def find(self, text: str) -> str | None:
        """Return the nearest text; None where none is near, or too many were looked for."""
        self.searches += 1
        if self.searches > SEARCHES:
            return None
        folded = text[:LENGTH].casefold()
        shared = Counter(name for pair in _pairs(folded) for name in self._holders.get(pair, ()))
        candidates = [name for name, _ in shared.most_common(CANDIDATES)]
        close = difflib.get_close_matches(folded, candidates, n=1, cutoff=0.6)
        # A short name inside a long one ("sst" in "Sst-IRES-Cre") is closer than the edit distance says.
        close = close or [name for name in self.names if folded and folded in name][:1]
        return self.names[close[0]] if close else None

    @cached_property
    def _holders(self) -> dict[str, list[str]]:
        """Texts that have each pair of signs."""
        holders: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            for pair in _pairs(name):
                holders[pair].append(name)
        return holders


def _pairs(text: str) -> set[str]:
    return {text[place : place + 2] for place in range(len(text) - 1)} or {text}
