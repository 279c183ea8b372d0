"""Rows by name: the embeddings of neurons and recordings, wherever they stand in a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poyodata.digests import hash_order
from poyodata.errors import ModelError, nearest


@dataclass(frozen=True)
class Names:
    """Names of the rows of a table, in their order; each once.

    Attributes
    ----------
    kind : str
        What has the names, in messages and in the draw of new rows.
    names : tuple of str

    Examples
    --------
    >>> known = Names("neuron", ("a", "b"))
    >>> known.unknown(["b", "c", "c"]), known.positions(["b"])
    (('c',), [1])
    """

    kind: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            repeated = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise ModelError(f"{self.kind} name {repeated!r} arrived twice; every {self.kind} needs a name of its own")

    @classmethod
    def of(cls, kind: str, names: Iterable[object]) -> Names:
        """Names of anything that can be written as text."""
        return cls(kind, tuple(str(name) for name in names))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def unknown(self, names: Iterable[object]) -> tuple[str, ...]:
        """Those of `names` that have no row, each once, in the order in which they came."""
        have = set(self.names)
        return tuple(name for name in dict.fromkeys(str(name) for name in names) if name not in have)

    def positions(self, names: Sequence[str]) -> list[int]:
        """Rows of `names`.

        Raises
        ------
        ModelError
            If a name has none.
        """
        where = {name: i for i, name in enumerate(self.names)}
        missing = [name for name in names if name not in where]
        if missing:
            raise ModelError(
                f"{len(missing)} of {len(names)} {self.kind}s have no row in this model, first {missing[0]!r} "
                f"({nearest(missing[0], self.names)}) Train on them or call extend_vocabulary first"
            )
        return [where[name] for name in names]

    def fresh_rows(self, dim: int, std: float, seed: int) -> Tensor:
        """Rows as they are before training, shape (name, dim), float32, normal with standard deviation `std`.

        A row depends on kind, name and seed alone: a table that grew and one that was made whole hold the same.
        """
        seeds = hash_order((f"{self.kind}/{name}" for name in self.names), seed)
        rows = [np.random.Generator(np.random.PCG64(int(s))).standard_normal(dim) for s in seeds]
        return torch.tensor(np.asarray(rows, dtype=np.float32).reshape(len(rows), dim)) * std

    def shared(self, other: Names) -> tuple[list[int], list[int]]:
        """Rows here and there of the names that both have."""
        where = {name: i for i, name in enumerate(other.names)}
        both = [(i, where[name]) for i, name in enumerate(self.names) if name in where]
        return [mine for mine, _ in both], [theirs for _, theirs in both]


def names_to_bytes(names: dict[str, Any]) -> Tensor:
    """Names as UTF-8 JSON in a uint8 tensor, which ``torch.load`` reads with ``weights_only=True``.

    Examples
    --------
    >>> names_from_bytes(names_to_bytes({"neuron_ids": ["a"]}))
    {'neuron_ids': ['a']}
    """
    return torch.frombuffer(bytearray(json.dumps(names).encode()), dtype=torch.uint8)


def names_from_bytes(state: Any) -> dict[str, Any]:
    """What :func:`names_to_bytes` was given.

    Raises
    ------
    ModelError
        If `state` is anything else.
    """
    try:
        names = json.loads(bytes(state.tolist()).decode())
        if not isinstance(names, dict):
            raise TypeError
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f"the state dict does not carry the names of neurons and recordings ({type(error).__name__}); "
            "load one that PoyoPlus.state_dict made"
        ) from error
    return names
