"""HTTP as long downloads need it: time-outs that bite, faults told apart, bounded retries."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TypeVar

from poyodata._version import version
from poyodata.errors import SourceError, UsageError
from poyodata.fetch.retry import RetryPolicy, seconds_asked

T = TypeVar("T")

TIMEOUT_S = 60.0
LONGEST_TIMEOUT_S = 86_400.0
"""A day: far longer silences overflow what sockets can count."""
SLOWEST_BYTES_PER_S = 1024
"""A connection that brings less over one whole time-out counts as dead: trickles never end by themselves."""

_PIECE = 1 << 18
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


class WebError(SourceError):
    """An answer that did not come, or not whole.

    Attributes
    ----------
    passing : bool
        Whether asking again may help.
    retry_after_s : float or None
        How long the server asks to be left alone.
    status : int or None
        HTTP status, where there was one.
    """

    def __init__(
        self, message: str, *, passing: bool = True, retry_after_s: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.passing = passing
        self.retry_after_s = retry_after_s
        self.status = status


class StoppedError(SourceError):
    """The download was called off from outside; what has arrived is kept."""


class Web:
    """Plain GET and HEAD requests, through the proxies that the environment names.

    Parameters
    ----------
    timeout_s : float
        Longest silence, and the stretch over which `SLOWEST_BYTES_PER_S` must be kept.
    policy : RetryPolicy
    sleep : callable, optional
        Called with the seconds of a pause; tests replace it.
    notice : callable, optional
        Called with one sentence for every attempt that failed and will be repeated.

    Raises
    ------
    UsageError
        When `timeout_s` is no number of seconds above 0 and up to `LONGEST_TIMEOUT_S`.

    Examples
    --------
    >>> Web(timeout_s=5.0).stop.is_set()
    False
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], object] | None = None,
        notice: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        if not 0 < timeout_s <= LONGEST_TIMEOUT_S:  # written so that NaN is refused too
            raise UsageError(
                f"the time-out (--timeout) is given as {timeout_s:g} s; "
                f"give seconds above 0 and up to {LONGEST_TIMEOUT_S:.0f} (a day), such as {TIMEOUT_S:.0f}."
            )
        self.timeout_s = timeout_s
        self.policy = policy or RetryPolicy()
        self.notice = notice
        self.stop = threading.Event()
        """Set it to end all downloads at the next piece; what has arrived stays."""
        self._sleep = sleep or self.stop.wait
        # Built by hand: the default opener would also follow file: and ftp: addresses.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    @contextmanager
    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request; the body is read with `pieces`.

        Parameters
        ----------
        url : str
        method : {"GET", "HEAD"}
        headers : mapping of str to str, optional
        timeout_s : float, optional
            Another longest silence than the instance's.

        Yields
        ------
        HTTPResponse
            With a status of the 200s.

        Raises
        ------
        WebError
            For every other outcome.
        """
        asked = {"User-Agent": f"poyodata/{version}", "Accept-Encoding": "identity", **(headers or {})}
        request = urllib.request.Request(url, headers=asked, method=method)  # noqa: S310 - the opener knows only HTTP
        try:
            response = self._opener.open(request, timeout=timeout_s or self.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise WebError(
                    f"the server answers {error.code} {error.reason}{_reason_given(error)}",
                    passing=error.code in _PASSING_STATUS,
                    retry_after_s=seconds_asked(error.headers.get("Retry-After")),
                    status=error.code,
                ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _fault_of(error) from error
        with closing(response):
            yield response

    def pieces(self, response: http.client.HTTPResponse, timeout_s: float | None = None) -> Iterator[bytes]:
        """Read a body piece by piece, as it arrives.

        Parameters
        ----------
        response : HTTPResponse
        timeout_s : float, optional
            Another longest silence than the instance's.

        Yields
        ------
        bytes
            Never empty. That the body ended says nothing on whether it was whole.

        Raises
        ------
        WebError
            When the connection breaks, falls silent, or crawls.
        StoppedError
            When `stop` is set.
        """
        limit_s = timeout_s or self.timeout_s
        began_s, arrived = time.monotonic(), 0
        while True:
            if self.stop.is_set():
                raise StoppedError("the download was stopped; the same command goes on from what has arrived.")
            try:
                piece = response.read1(_PIECE)
            except http.client.IncompleteRead as error:
                if error.partial:
                    yield error.partial
                raise WebError("the connection ended in the middle") from error
            except (OSError, http.client.HTTPException) as error:
                raise _fault_of(error) from error
            if not piece:
                return
            yield piece
            arrived += len(piece)
            took_s = time.monotonic() - began_s
            if took_s >= limit_s:
                if arrived < SLOWEST_BYTES_PER_S * took_s:
                    raise WebError(f"only {arrived} bytes came in {took_s:.0f} s")
                began_s, arrived = time.monotonic(), 0

    def persist(self, key: str, attempt: Callable[[], T], held: Callable[[], int] = lambda: 0) -> T:
        """Attempt until it works, within the bounds of the policy.

        Parameters
        ----------
        key : str
            What is asked for; begins every notice.
        attempt : callable
            Raises `WebError` when it fails.
        held : callable, optional
            Bytes that are safe by now; more of them than ever before is progress.

        Returns
        -------
        object
            What `attempt` returned.

        Raises
        ------
        WebError
            The last one, when the policy's bound is reached or asking again cannot help.
        """
        failures, most = 0, held()
        while True:
            try:
                return attempt()
            except WebError as fault:
                now = held()
                failures = 1 if now >= most + self.policy.progress_bytes else failures + 1
                most = max(most, now)
                if not fault.passing:
                    raise
                if failures > self.policy.retries:
                    raise WebError(
                        f"{fault}, and {failures} attempts in a row have failed",
                        passing=True,
                        status=fault.status,
                    ) from fault
                pause_s = self.policy.pause_s(failures, key, fault.retry_after_s)
                self.notice(f"{key}: {fault}; again in {pause_s:.0f} s ({failures} of {self.policy.retries})")
                self._sleep(pause_s)
                if self.stop.is_set():
                    raise StoppedError("the download was stopped; the same command goes on.") from fault


def _reason_given(error: urllib.error.HTTPError) -> str:
    """The sentence that the warehouse puts into the envelope of a refusal, in brackets."""
    try:
        reason = json.loads(error.read(4096))["msg"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""
    return f" ({str(reason)[:200]})"


def _fault_of(error: Exception) -> WebError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return WebError(f"its certificate is not trusted ({reason.verify_message})", passing=False)
    if isinstance(reason, TimeoutError):
        return WebError("no answer came within the time-out")
    if isinstance(reason, ConnectionRefusedError):
        return WebError("the connection is refused")
    if isinstance(reason, socket.gaierror):
        return WebError("its name is not known here; is there a network, or a proxy to be set (http_proxy)?")
    if isinstance(reason, ConnectionError | http.client.RemoteDisconnected):
        return WebError("the connection was broken off")
    text = str(reason) or type(reason).__name__
    return WebError(f"the request failed ({text})", passing="unknown url type" not in text)
