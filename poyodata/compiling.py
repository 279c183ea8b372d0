"""Compiling a kernel with numba: without the interpreter lock, kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(*signature: Any, **options: Any) -> Callable[[_Function], _Function]:
    """Compile a function; with a signature at once, else at its first call.

    Parameters
    ----------
    *signature : numba signature, optional
    **options : Any
        Of ``numba.njit``.

    Examples
    --------
    >>> @compiled()
    ... def twice(x):
    ...     return 2 * x
    >>> twice(21)
    42
    """

    def kept(function: _Function) -> _Function:
        try:
            fast: _Function = numba.njit(*signature, nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache is writable: once a process, then
            fast = numba.njit(*signature, nogil=True, **options)(function)
        return fast

    return kept
