"""`Vocabulary`: numbers for names of neurons, recordings or classes that stay what they are when names are added."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from poyodata.digests import json_digest
from poyodata.errors import LoaderError, UsageError, nearest
from poyodata.replacing import replacing

if TYPE_CHECKING:
    from poyodata.curation.view import View

FORMAT_VERSION = 1
NEURON, RECORDING = "neuron", "recording"


@dataclass(frozen=True)
class Vocabulary:
    """Names in the order of their numbers, from 0. Growing appends and never renumbers.

    A model keeps one embedding a number, so a number may never come to mean another name. Batches count neurons from
    1, because 0 is padding there: ``neuron_index = 1 + vocabulary.index(names)``.

    Attributes
    ----------
    kind : str
        What the names are of: ``neuron``, ``recording``, or the label whose classes they are, such as
        ``temporal_frequency_hz``. Vocabularies of two kinds are never mixed.
    names : tuple of str
        Without repetition.

    Raises
    ------
    LoaderError
        When a name comes twice.

    Examples
    --------
    >>> first = Vocabulary("recording", ("501", "777"))
    >>> grown = first.grow(["600", "777"])
    >>> grown.names, grown.index(["777", "600"]).tolist(), grown.extends(first)
    (('501', '777', '600'), [1, 2], True)
    """

    kind: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self._number_of) != len(self.names):
            twice = next(name for number, name in enumerate(self.names) if self._number_of[name] != number)
            raise LoaderError(f"the vocabulary of kind {self.kind!r} holds {twice!r} twice; give every name once.")

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._number_of

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def digest(self) -> str:
        """Sha256 of kind and names in their order."""
        return json_digest({"format": FORMAT_VERSION, "kind": self.kind, "names": list(self.names)})

    def index(self, names: Iterable[str], unknown: int | None = None) -> npt.NDArray[np.int64]:
        """Numbers of names.

        Parameters
        ----------
        names : iterable of str
        unknown : int, optional
            The number that names outside of the vocabulary get, such as -1 or that of an embedding kept for strangers;
            by default they are refused.

        Returns
        -------
        ndarray, shape (name,), int64

        Raises
        ------
        LoaderError
            For an unknown name, unless `unknown` is given.

        Examples
        --------
        >>> Vocabulary("neuron", ("a", "b")).index(["b", "c"], unknown=-1).tolist()
        [1, -1]
        """
        asked = list(names)
        number_of = self._number_of
        if unknown is None:
            strange = sorted({name for name in asked if name not in number_of})
            if strange:
                raise LoaderError(
                    f"{len(strange)} of {len(set(asked))} names are not in the vocabulary of kind {self.kind!r} "
                    f"({len(self):,} names); the first is {strange[0]!r}: {nearest(strange[0], self.names)} "
                    "Let it grow by them (vocabulary.grow(names) appends and renumbers nothing), or give `unknown` a "
                    "number."
                )
            return np.fromiter((number_of[name] for name in asked), np.int64, len(asked))
        return np.fromiter((number_of.get(name, unknown) for name in asked), np.int64, len(asked))

    def grow(self, names: Iterable[str]) -> Vocabulary:
        """Append the names that are new, in the order in which they come; itself where none is."""
        new = tuple(dict.fromkeys(name for name in names if name not in self._number_of))
        return Vocabulary(self.kind, self.names + new) if new else self

    def merge(self, other: Vocabulary) -> Vocabulary:
        """Append what only another vocabulary of the same kind holds. The numbers of this one stay, the other's do not.

        Raises
        ------
        LoaderError
            When the kinds differ.
        """
        if other.kind != self.kind:
            raise LoaderError(
                f"a vocabulary of kind {self.kind!r} cannot take in one of kind {other.kind!r}; merge one kind."
            )
        return self.grow(other.names)

    def extends(self, earlier: Vocabulary) -> bool:
        """Whether every number of an earlier vocabulary still means the same name here."""
        return self.kind == earlier.kind and self.names[: len(earlier)] == earlier.names

    # -- kept in a file ------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write as JSON with its digest, whole or not at all.

        A file that lies there is replaced only by a vocabulary that extends it: a saved number never changes.

        Raises
        ------
        LoaderError
            When the file holds another vocabulary.
        UsageError
            When it cannot be written.
        """
        target = Path(path)
        if target.exists() and not self.extends(Vocabulary.load(target)):
            raise LoaderError(
                f"{target} holds a vocabulary that this one does not extend: a number would come to mean another name. "
                "Load that one and merge this one into it, or give another path."
            )
        record = {"format": FORMAT_VERSION, "kind": self.kind, "names": list(self.names), "digest": self.digest}
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"the vocabulary cannot be written to {target} ({error.strerror}); give another path."
            ) from error
        return target

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote, and check it against its digest.

        Raises
        ------
        UsageError
            No such file.
        LoaderError
            It is no vocabulary, of another format version, or was changed.
        """
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"no vocabulary at {file}; give the file that `Vocabulary.save` wrote.")
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            version, names = record["format"], record["names"]
            known, digest = cls(str(record["kind"]), tuple(map(str, names))), record["digest"]
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise LoaderError(
                f"{file} is no vocabulary ({type(error).__name__}: {error}); restore it from a copy, or make it again."
            ) from error
        if version != FORMAT_VERSION:
            raise LoaderError(
                f"{file} has vocabulary format {version!r}, this version reads {FORMAT_VERSION}; make it again."
            )
        if known.digest != digest:
            raise LoaderError(
                f"{file} does not match its digest {str(digest)[:12]}: it was changed after it was saved, and numbers "
                "may mean other names. Restore it from a copy."
            )
        return known


def neuron_vocabulary(view: View) -> Vocabulary:
    """Names of the selected neurons, in the order of the manifest: by recording, then by trace column."""
    return Vocabulary(NEURON, tuple(map(str, view.manifest.neurons["neuron_id"].tolist())))


def recording_vocabulary(view: View) -> Vocabulary:
    """Names of the recordings that have a selected neuron, sorted."""
    return Vocabulary(RECORDING, tuple(view.session_ids))


def numbered_by(
    view: View, given: Vocabulary | Sequence[Vocabulary], columns: Sequence[str] = ()
) -> dict[str, Vocabulary]:
    """Give vocabularies by kind; those of neurons and recordings have grown by what a view shows.

    Parameters
    ----------
    view : View
    given : Vocabulary or sequence of Vocabulary
        Of kind ``neuron``, ``recording``, or of one of the columns; one of a kind.
    columns : sequence of str
        Names of columns of neurons, whose classes may be given too.

    Raises
    ------
    LoaderError
        There are two of a kind, or one of another kind.
    """
    found: dict[str, Vocabulary] = {}
    for one in (given,) if isinstance(given, Vocabulary) else given:
        if not isinstance(one, Vocabulary):
            raise LoaderError(
                f"a vocabulary was expected and {one!r} came; read a kept one with Vocabulary.load(path)."
            )
        if one.kind in found:
            raise LoaderError(f"there are two vocabularies of kind {one.kind!r}; merge them: one.merge(other).")
        known = (NEURON, RECORDING, *columns)
        if one.kind not in known:
            raise LoaderError(
                f"a loader numbers nothing by a vocabulary of kind {one.kind!r}: {nearest(one.kind, known)} Classes of "
                "a target are an option of that target."
            )
        found[one.kind] = one
    for kind, own in ((NEURON, neuron_vocabulary), (RECORDING, recording_vocabulary)):
        if kind in found:
            found[kind] = found[kind].grow(own(view).names)
    return found
