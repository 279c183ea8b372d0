"""Digests of the roles that a split gives to each recording, so that splits are compared by what they do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from poyodata.digests import json_digest


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
    rows = role_time.sort_values(["session_id", "start_frame", "stop_frame"], kind="stable")
    frames = rows[["start_frame", "stop_frame"]].to_numpy(np.int64).tolist()
    roles = rows["role"].tolist()
    code, names = pd.factorize(rows["session_id"])
    edges = np.searchsorted(code, np.arange(len(names) + 1)).tolist()
    return {
        # Sixteen digits tell the splits of one run apart, and a record with one for each of 433 recordings stays small.
        str(name): json_digest([[*span, str(role)] for span, role in zip(frames[a:b], roles[a:b], strict=True)])[:16]
        for name, a, b in zip(names, edges[:-1], edges[1:], strict=True)
    }
