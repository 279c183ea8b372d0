"""Rows by name: the embeddings of neurons and recordings, wherever they stand in a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        return cls(kind, _several(kind, names))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def unknown(self, names: Iterable[object]) -> tuple[str, ...]:
        """Those of `names` that have no row, each once, in the order in which they came."""
        have = set(self.names)
        return tuple(name for name in dict.fromkeys(_several(self.kind, names)) if name not in have)

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


def _several(kind: str, names: Iterable[object]) -> tuple[str, ...]:
    """Names as texts; a text is one name, not one for every letter."""
    if isinstance(names, (str, bytes)):
        raise ModelError(f"{names!r} is one {kind} name, and a list of names was expected; give [{names!r}]")
    return tuple(str(name) for name in names)


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


@dataclass(frozen=True)
class Known:
    """What a state says by name.

    Attributes
    ----------
    neurons, sessions, tasks : Names
        Of rows of embeddings, and of readouts.
    seed : int
        Of rows that are new.
    trained_neurons, trained_sessions, trained_tasks : frozenset of str
        Those of them that a stage of training was shown; others are as they were drawn.
    classes : dict of str to tuple of str
        What the numbers of a feature, or of the answers to a task, mean.
    dim_head : int or None
        Channels of an attention head, which no weight's shape tells; None of states that do not say.
    """

    neurons: Names
    sessions: Names
    tasks: Names
    seed: int
    trained_neurons: frozenset[str]
    trained_sessions: frozenset[str]
    trained_tasks: frozenset[str]
    classes: dict[str, tuple[str, ...]]
    dim_head: int | None = None

    def to_state(self) -> Tensor:
        """Write all of it as UTF-8 JSON in a uint8 tensor; what was trained as numbers of rows."""
        named = (self.neurons, self.sessions, self.tasks)
        trained = (self.trained_neurons, self.trained_sessions, self.trained_tasks)
        rows = [[row for row, name in enumerate(names) if name in of] for names, of in zip(named, trained, strict=True)]
        return names_to_bytes(
            {
                "neuron_ids": self.neurons.names,
                "session_ids": self.sessions.names,
                "tasks": self.tasks.names,
                "seed": self.seed,
                "trained": dict(zip(("neurons", "sessions", "tasks"), rows, strict=True)),
                "classes": self.classes,
                "dim_head": self.dim_head,
            }
        )

    @classmethod
    def from_state(cls, state: Any) -> Known:
        """Read what `to_state` wrote; of a state that does not say what was trained, all of it was.

        Raises
        ------
        ModelError
            If it is anything else.
        """
        found = names_from_bytes(state)
        try:
            neurons, sessions = (Names.of(kind, found[f"{kind}_ids"]) for kind in ("neuron", "session"))
            tasks = Names.of("task", found["tasks"])
            said = found.get("trained")

            def trained(kind: str, names: Names) -> frozenset[str]:
                return frozenset(names if said is None else (names.names[row] for row in said[kind]))

            classes = {str(kind): tuple(map(str, names)) for kind, names in found.get("classes", {}).items()}
            return cls(
                neurons,
                sessions,
                tasks,
                int(found["seed"]),
                trained("neurons", neurons),
                trained("sessions", sessions),
                trained("tasks", tasks),
                classes,
                found.get("dim_head"),
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the state dict carries no whole set of names ({type(error).__name__}); load one that PoyoPlus made"
            ) from error


def merged_classes(
    mine: Mapping[str, tuple[str, ...]], theirs: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Classes of two models whose rows are copied by number: those of each kind that has more.

    Raises
    ------
    ModelError
        If a number means one class here and another there.

    Examples
    --------
    >>> merged_classes({"area": ("VISp", "VISl")}, {"area": ("VISp",), "cre_line": ("Cux2",)})
    {'area': ('VISp', 'VISl'), 'cre_line': ('Cux2',)}
    """
    merged = dict(mine)
    for kind, names in theirs.items():
        own = merged.get(kind, names)
        for number, (here, there) in enumerate(zip(own, names, strict=False)):
            if here != there:
                raise ModelError(
                    f"class {number} of {kind!r} is {here!r} here and {there!r} in the state, so that its rows would "
                    "change their meaning; make the loader with the vocabulary of the run that the state is of"
                )
        merged[kind] = max(own, names, key=len)
    return merged
