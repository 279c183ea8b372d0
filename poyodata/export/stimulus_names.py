"""Names of stimuli in a file: their own wherever the file can have them, else one like it that nothing else has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def names_in_file(stimuli: Iterable[str], is_taken: Callable[[str], bool]) -> dict[str, str]:
    """Find a name in an HDF5 file for each stimulus.

    Parameters
    ----------
    stimuli : iterable of str
    is_taken : callable
        Whether the layout has another use for a name.

    Returns
    -------
    dict of str to str
        By stimulus; no name stands there twice.

    Examples
    --------
    >>> names_in_file(["a/b", "a_b", "flash", "red_domain"], lambda name: name.endswith("_domain"))
    {'a_b': 'a_b', 'flash': 'flash', 'red_domain': 'red_domain_', 'a/b': 'a_b_'}
    """
    names: dict[str, str] = {}
    # Names that can stay come first, so that none of them has to give way.
    for stimulus in sorted(stimuli, key=lambda name: (_safe(name) != name, name)):
        name = _safe(stimulus)
        while is_taken(name) or name in names.values():
            name += "_"
        names[stimulus] = name
    return names


def _safe(stimulus: str) -> str:
    """Without the characters that part a path or a reference, nor only of dots: HDF5 and NWB have no such names."""
    name = re.sub(r"[/:\0]", "_", stimulus)
    return name if name.strip(".") else f"_{name}"
