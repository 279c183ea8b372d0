"""Content digests: the same content has the same digest in every process, order and Parquet writer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

MANY = 200_000
"""From this many keys on, a kernel hashes them."""


def canonical_json(value: Any) -> str:
    """Write `value` as JSON in its one canonical form: sorted keys, no spaces, floats by ``repr``.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [0.1, None]})
    '{"a":[0.1,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def json_digest(value: Any) -> str:
    """Sha256 of the canonical JSON form, as 64 hexadecimal digits.

    Examples
    --------
    >>> json_digest({"a": 1})[:12]
    '015abd7f5cc5'
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def table_digest(table: pd.DataFrame) -> str:
    """Sha256 over the columns' names, kinds and values, in column-name order and in the row order given.

    Missing values are one kind, whatever marks them, and numbers of any width count as int64 or float64, so that a
    table read back by another Parquet version keeps its digest.

    Examples
    --------
    >>> a = pd.DataFrame({"x": [1, 2], "y": ["p", None]})
    >>> table_digest(a) == table_digest(a[["y", "x"]].astype({"x": "int32"}))
    True
    """
    state = hashlib.sha256()
    for name in sorted(map(str, table.columns)):
        column = table[name]
        missing = column.isna().to_numpy(dtype=bool)
        if pd.api.types.is_bool_dtype(column.dtype):
            kind, values = "bool", column.fillna(False).to_numpy(dtype=np.uint8).tobytes()
        elif pd.api.types.is_integer_dtype(column.dtype):
            kind, values = "int", column.fillna(0).to_numpy(dtype="<i8").tobytes()
        elif pd.api.types.is_float_dtype(column.dtype):
            numbers = column.to_numpy(dtype="<f8", na_value=0.0)
            kind, values = "float", np.where(missing, 0.0, numbers).astype("<f8").tobytes()
        else:
            texts = ["" if gone else str(text) for gone, text in zip(missing, column.tolist(), strict=True)]
            kind, values = "text", canonical_json(texts).encode()
        state.update(f"{name}:{kind}:{len(table)}:".encode())
        state.update(np.packbits(missing).tobytes())
        state.update(values)
    return state.hexdigest()


def array_digest(array: npt.NDArray[Any]) -> str:
    """xxh3 of an array's bytes in C order: 64 bits, as 16 hexadecimal digits.

    It tells contents apart and finds damage, at the speed of memory; it does not withstand forgery.

    Examples
    --------
    >>> array_digest(np.arange(3, dtype="<i8"))
    '7fb6f0c094f81c5d'
    """
    return xxhash.xxh3_64_hexdigest(byte_view(array))


def byte_view(array: npt.NDArray[Any]) -> memoryview:
    r"""Bytes of an array in C order, copied only where they do not lie so already.

    Examples
    --------
    >>> byte_view(np.arange(3, dtype="<i2")).tobytes()
    b'\x00\x00\x01\x00\x02\x00'
    """
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def hash_order(keys: Iterable[str], seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of every key under a seed: the order in which sampling takes them.

    The hash of a key does not depend on the other keys, so that a sample is nested in every larger one, does not depend
    on the order of the table, and changes little when recordings are added.

    Examples
    --------
    >>> bool(hash_order(["a"], seed=0)[0] == hash_order(["b", "a"], seed=0)[1])
    True
    """
    keys = keys if isinstance(keys, list) else list(keys)
    if len(keys) >= MANY:
        # Compiled only where it pays: importing the compiler takes longer than hashing a few thousand keys.
        from poyodata.hash_kernel import hash_keys

        hashes = hash_keys(keys, f"{seed}:".encode())
        if hashes is not None:
            return hashes
    digests = [hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest() for key in keys]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
