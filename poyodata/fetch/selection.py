"""Which recordings to fetch: filters that are all to hold, each met by any of its values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from poyodata.errors import SourceError, UsageError, nearest
from poyodata.fetch.experiments import Experiment
from poyodata.vocabulary import (
    AREAS,
    CRE_LINES,
    DRIFTING_GRATINGS,
    LOCALLY_SPARSE_NOISE,
    LOCALLY_SPARSE_NOISE_4DEG,
    LOCALLY_SPARSE_NOISE_8DEG,
    NATURAL_MOVIE_ONE,
    NATURAL_MOVIE_THREE,
    NATURAL_MOVIE_TWO,
    NATURAL_SCENES,
    SPONTANEOUS,
    STATIC_GRATINGS,
    canonical_cre_line,
)

SESSION_STIMULI: dict[str, tuple[str, ...]] = {
    "three_session_A": (DRIFTING_GRATINGS, NATURAL_MOVIE_ONE, NATURAL_MOVIE_THREE, SPONTANEOUS),
    "three_session_B": (STATIC_GRATINGS, NATURAL_SCENES, NATURAL_MOVIE_ONE, SPONTANEOUS),
    "three_session_C": (LOCALLY_SPARSE_NOISE, NATURAL_MOVIE_ONE, NATURAL_MOVIE_TWO, SPONTANEOUS),
    "three_session_C2": (
        LOCALLY_SPARSE_NOISE_4DEG,
        LOCALLY_SPARSE_NOISE_8DEG,
        NATURAL_MOVIE_ONE,
        NATURAL_MOVIE_TWO,
        SPONTANEOUS,
    ),
}
"""What is shown in a session of each type."""


@dataclass(frozen=True)
class _Filter:
    name: str
    wanted: frozenset[Hashable]
    of: Callable[[Experiment], Iterable[Hashable]]

    def passes(self, experiment: Experiment) -> bool:
        return not self.wanted.isdisjoint(self.of(experiment))


_Reader = Callable[[Any, set[Any]], Iterable[Hashable]]
"""Brings a value that a user gave to those that recordings have; what these are is the second argument."""

# The names that papers use for the higher visual areas.
_AREA_ALIASES = {"v1": "VISp", "lm": "VISl", "al": "VISal", "pm": "VISpm", "am": "VISam", "rl": "VISrl"}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Filters on recordings; an empty one lets all through.

    Attributes
    ----------
    lines : tuple of str
        CRE lines in any spelling that `poyodata.vocabulary.canonical_cre_line` knows, or their first words: "Sst".
    areas : tuple of str
    depths_um : tuple of (int, int)
        Ranges, both ends included.
    stimuli : tuple of str
    donors : tuple of str
    containers, sessions : tuple of int
    session_types : tuple of str
        "three_session_A", or "A".
    include_failed : bool
        Take recordings of failed containers too.
    limit : int, optional
        Take the first so many by session id.

    Examples
    --------
    >>> Selection.from_text(lines="Sst, vip", depths="175-275,350").depths_um
    ((175, 275), (350, 350))
    """

    lines: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    depths_um: tuple[tuple[int, int], ...] = ()
    stimuli: tuple[str, ...] = ()
    donors: tuple[str, ...] = ()
    containers: tuple[int, ...] = ()
    sessions: tuple[int, ...] = ()
    session_types: tuple[str, ...] = ()
    include_failed: bool = False
    limit: int | None = None

    @classmethod
    def from_text(
        cls,
        *,
        lines: str | None = None,
        areas: str | None = None,
        depths: str | None = None,
        stimuli: str | None = None,
        donors: str | None = None,
        containers: str | None = None,
        sessions: str | None = None,
        session_types: str | None = None,
        include_failed: bool = False,
        limit: int | None = None,
    ) -> Selection:
        """Read a selection from values separated by commas, as the command line has them; None is no filter.

        Raises
        ------
        UsageError
            When a filter is given but empty, or a depth or an id is no number.
        """
        return cls(
            lines=_words(lines, "--lines"),
            areas=_words(areas, "--areas"),
            depths_um=tuple(_depths(word) for word in _words(depths, "--depths")),
            stimuli=_words(stimuli, "--stimulus"),
            donors=_words(donors, "--donors"),
            containers=_ids(containers, "--containers"),
            sessions=_ids(sessions, "--sessions"),
            session_types=_words(session_types, "--session-types"),
            include_failed=include_failed,
            limit=limit,
        )

    @property
    def is_everything(self) -> bool:
        """Whether there is neither a filter nor a limit.

        Examples
        --------
        >>> Selection(include_failed=True).is_everything, Selection(limit=3).is_everything
        (True, False)
        """
        return self == Selection(include_failed=self.include_failed)

    def choose(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """Recordings that pass every filter.

        Parameters
        ----------
        experiments : sequence of Experiment
            All that there are.

        Returns
        -------
        list of Experiment
            Sorted by session id; never empty.

        Raises
        ------
        UsageError
            When a value is unknown, or nothing passes: the message says which filter let nothing through.
        """
        filters = self._filters(experiments)
        left = sorted(experiments, key=lambda experiment: experiment.session_id)
        funnel = f"{len(left)} listed"
        for step in filters:
            kept = [experiment for experiment in left if step.passes(experiment)]
            if not kept:
                there = _some({value for experiment in left for value in step.of(experiment)})
                failed_only = not self.include_failed and any(
                    all(other.passes(experiment) for other in filters[1:]) for experiment in experiments
                )
                raise UsageError(
                    f"{step.name} leaves no recording ({funnel}"
                    + (f"; these have {there})" if step.name.startswith("--") else ")")
                    + (". Recordings of failed containers would pass: --include-failed." if failed_only else ".")
                )
            left = kept
            funnel += f", {len(left)} after {step.name}"
        return left[: self.limit]

    def _filters(self, known: Sequence[Experiment]) -> list[_Filter]:
        table: list[tuple[str, Sequence[Any], _Reader, Callable[[Experiment], Iterable[Hashable]]]] = [
            ("--sessions", self.sessions, _id("session"), lambda e: (e.session_id,)),
            ("--containers", self.containers, _id("container"), lambda e: (e.container_id,)),
            ("--donors", self.donors, _name("donor"), lambda e: (e.donor,)),
            ("--lines", self.lines, _line, lambda e: (e.cre_line,)),
            ("--areas", self.areas, _area, lambda e: (e.area,)),
            ("--depths", self.depths_um, _depths_within, lambda e: (e.depth_um,)),
            ("--session-types", self.session_types, _session_type, lambda e: (e.session_type,)),
            ("--stimulus", self.stimuli, _stimulus, lambda e: SESSION_STIMULI.get(e.session_type, ())),
        ]
        filters = (
            []
            if self.include_failed
            else [_Filter("leaving out failed containers", frozenset({False}), lambda e: (e.failed,))]
        )
        for option, given, read, of in table:
            there = {value for experiment in known for value in of(experiment)}
            if given:
                wanted = frozenset(value for text in given for value in read(text, there))
                filters.append(_Filter(f"{option} {','.join(map(_shown, given))}", wanted, of))
        return filters


def _some(values: Iterable[Hashable]) -> str:
    texts = sorted(map(str, values))
    return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")


def _shown(value: object) -> str:
    return "-".join(map(str, sorted(set(value)))) if isinstance(value, tuple) else str(value)


def _line(text: str, there: set[Any]) -> Iterable[str]:
    """``"Sst"``, ``"sst_ires_cre"`` or a genotype -> the line."""
    names = {name.casefold(): name for name in {*CRE_LINES, *there} if name}
    first_word = [name for name in names.values() if name.casefold().split("-")[0] == text.casefold()]
    if text.casefold() in names:
        return (names[text.casefold()],)
    if len(first_word) == 1:
        return first_word
    try:
        return (canonical_cre_line(text),)
    except SourceError:
        raise UsageError(f"unknown CRE line {text!r}: {nearest(text, names.values())}") from None


def _area(text: str, there: set[Any]) -> Iterable[Hashable]:
    return _name("area")(_AREA_ALIASES.get(text.casefold(), text), {*AREAS, *there})


def _stimulus(text: str, there: set[Any]) -> Iterable[Hashable]:
    shown = {name for names in SESSION_STIMULI.values() for name in names}
    return _name("stimulus")(text.replace(" ", "_").replace("-", "_"), shown | there)


def _session_type(text: str, there: set[Any]) -> Iterable[Hashable]:
    return _name("session type")(text if "_" in text else f"three_session_{text}", {*SESSION_STIMULI, *there})


def _depths_within(bounds: tuple[int, int], there: set[Any]) -> Iterable[int]:
    return [depth for depth in there if bounds[0] <= depth <= bounds[1]]


def _name(what: str) -> _Reader:
    def read(text: str, there: set[Any]) -> Iterable[str]:
        names = {str(name).casefold(): str(name) for name in there if name}
        if text.casefold() not in names:
            raise UsageError(f"unknown {what} {text!r}: {nearest(text, names.values())}")
        return (names[text.casefold()],)

    return read


def _id(what: str) -> _Reader:
    def read(number: int, there: set[Any]) -> Iterable[int]:
        if number not in there:
            raise UsageError(f"unknown {what} {number}: {nearest(str(number), map(str, there))}")
        return (number,)

    return read


def _words(text: str | None, option: str) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:  # an unset variable of the shell looks like this, and must not mean all recordings
        raise UsageError(f"{option} is given but empty ({text!r}); name at least one value, or leave it out.")
    return words


def _ids(text: str | None, option: str) -> tuple[int, ...]:
    words = _words(text, option)
    wrong = [word for word in words if not word.isdecimal()]
    if wrong:
        raise UsageError(f"{option} holds {wrong[0]!r}; give whole numbers separated by commas.")
    return tuple(int(word) for word in words)


def _depths(word: str) -> tuple[int, int]:
    first, dash, last = (part.strip() for part in word.removesuffix("um").partition("-"))
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise UsageError(f"--depths holds {word!r}; give micrometres such as 275, or a range such as 175-275.")
    low, high = int(first), int(last or first)
    if low > high:
        raise UsageError(f"--depths holds {word!r}, which ends before it begins; give {high}-{low}.")
    return low, high
