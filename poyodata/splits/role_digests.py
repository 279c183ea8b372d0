"""Digests of the roles that a split gives to each recording, so that splits are compared by what they do."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pandas as pd


def role_digests(role_time: pd.DataFrame) -> dict[str, str]:
    """Digest, for every recording, which frames have which role.

    The digest of a split also holds the content of its recordings, so that the same roles on a packed store have
    another one; these do not.

    Parameters
    ----------
    role_time : DataFrame
        session_id, role, start_frame, stop_frame, as in ``manifest.role_time``.

    Returns
    -------
    dict of session id to str

    Examples
    --------
    >>> rows = pd.DataFrame({"session_id": ["a", "b"], "role": "train", "start_frame": 0, "stop_frame": [9, 9]})
    >>> digests = role_digests(rows)
    >>> digests["a"] == digests["b"], digests["a"] == role_digests(rows.assign(role="identify"))["a"]
    (True, False)
    """
    code, names = pd.factorize(role_time["session_id"])
    frames = role_time[["start_frame", "stop_frame"]].to_numpy("<i8")
    order = np.lexsort((frames[:, 1], frames[:, 0], code))
    frames, roles = frames[order], role_time["role"].to_numpy(object)[order].tolist()
    edges = np.searchsorted(code[order], np.arange(len(names) + 1)).tolist()
    # Bytes: every resolve asks for this, and JSON of a million frames takes seconds. Sixteen digits tell the splits
    # of one run apart, and a record with one for each of 433 recordings stays small.
    return {
        str(name): sha256(frames[a:b].tobytes() + "\0".join(roles[a:b]).encode()).hexdigest()[:16]
        for name, a, b in zip(names, edges[:-1], edges[1:], strict=True)
    }
