"""How often, and after which pause, to ask again."""

from __future__ import annotations

import email.utils
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often to ask again, and after which pause.

    Attributes
    ----------
    retries : int
        Attempts after the first one that may fail in a row. An attempt that brought `progress_bytes` starts the count
        anew: a large file over a poor line gets there, and a server that gives nothing is left after this many.
    first_pause_s, longest_pause_s : float
        The pause doubles from the first to the longest.
    longest_asked_s : float
        What is granted at most when the server states its own pause.
    progress_bytes : int
        Bytes never held before that count as progress.
    """

    retries: int = 5
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    longest_asked_s: float = 300.0
    progress_bytes: int = 1 << 20

    def pause_s(self, failures: int, key: str, asked_s: float | None = None) -> float:
        """Pause before the next attempt; a hash of `key` spreads clients that failed together.

        Parameters
        ----------
        failures : int
            Attempts that failed in a row, from 1.
        key : str
            What is asked for.
        asked_s : float, optional
            The server's own wish.

        Returns
        -------
        float
            Seconds.

        Examples
        --------
        >>> policy = RetryPolicy()
        >>> 1.0 <= policy.pause_s(2, "a file") <= 2.0
        True
        >>> policy.pause_s(1, "a file", asked_s=7.0)
        7.0
        """
        if asked_s is not None:
            return min(max(asked_s, 0.0), self.longest_asked_s)
        longest = min(self.first_pause_s * 2.0 ** (failures - 1), self.longest_pause_s)
        digest = hashlib.sha256(f"{key}\0{failures}".encode()).digest()
        return longest * (0.5 + int.from_bytes(digest[:4], "big") / 2**33)


def seconds_asked(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: it holds a number or a date.

    Parameters
    ----------
    retry_after : str or None
        The header's value, None where there is no such header.

    Returns
    -------
    float or None
        None where nothing, or nothing readable, is asked for.

    Examples
    --------
    >>> seconds_asked("7"), seconds_asked("soon"), seconds_asked(None)
    (7.0, None, None)
    """
    if retry_after is None:
        return None
    try:
        return float(int(retry_after))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
