"""Traces of a remote store as variables of an xarray Dataset."""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from poyodata.store.remote_blocks import RemoteArray


class LazyTraces(BackendArray):
    """What xarray reads rows and columns of traces from, when it needs them."""

    def __init__(self, array: RemoteArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self.array.__getitem__)


def lazy_variable(like: xr.Variable, array: RemoteArray) -> xr.Variable:
    """A variable with the dimensions, attributes and encoding of another, that reads from a remote array."""
    lazy = indexing.LazilyIndexedArray(LazyTraces(array))
    return xr.Variable(like.dims, lazy, like.attrs, like.encoding, fastpath=True)
