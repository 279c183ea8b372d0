"""Batches: what a loader yields, as dense arrays, as tokens, or jagged."""

from poyodata.loaders.batches.contracts import DenseBatch, JaggedBatch, TokenBatch
from poyodata.loaders.batches.dense import dense
from poyodata.loaders.batches.jagged import jagged, nested
from poyodata.loaders.batches.tokens import tokens

__all__ = ["DenseBatch", "JaggedBatch", "TokenBatch", "dense", "jagged", "nested", "tokens"]
