"""Free time of roles, frame by frame: no frame is free for two of them, and each has its own."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poyodata.curation.windows.free_time import GUARDED, free_time
from poyodata.intervals import covers, dilate, intersect, n_frames, subtract

N = 60
ROLES = ("train", "valid", "test", "identify")


def frames_of(spans: np.ndarray) -> set[int]:
    return {frame for start, stop in spans.tolist() for frame in range(start, stop)}


@given(
    cuts=st.sets(st.integers(1, N - 1), max_size=3),
    edges=st.lists(st.integers(0, N), max_size=12, unique=True),
    roles=st.lists(st.sampled_from((*ROLES, "")), min_size=12, max_size=12),
    guard=st.integers(0, 4),
    shuffled=st.randoms(use_true_random=False),
)
def test_free_stretches_of_roles_are_disjoint_and_each_covers_its_own_time(cuts, edges, roles, guard, shuffled) -> None:
    borders = [0, *sorted(cuts), N]
    recorded = np.array(list(pairwise(borders)), np.int64)
    edges = sorted(edges)
    spans = [(*span, role) for *span, role in zip(edges, edges[1:], roles, strict=False) if role]
    shuffled.shuffle(spans)
    time = np.array([span[:2] for span in spans], np.int64).reshape(-1, 2)
    names = np.array([span[2] for span in spans], object)
    guards = np.full(len(spans), guard)
    free = {role: free_time(recorded, time, names, guards, role) for role in ROLES}
    for a, b in combinations(ROLES, 2):
        assert n_frames(intersect(free[a], free[b])) == 0
    for role in ROLES:
        own, others = time[names == role], time[names != role]
        own = own[np.argsort(own[:, 0])]
        kept = subtract(own, dilate(others, guard)) if role in GUARDED else own
        assert frames_of(kept) <= frames_of(free[role])
        assert covers(recorded, free[role][:, 0], free[role][:, 1]).all()
        if role in GUARDED:
            assert not frames_of(free[role]) & frames_of(dilate(others, guard))
    # Without a guard, all that was recorded in a segment with a role is somebody's.
    bare = [free_time(recorded, time, names, 0 * guards, role) for role in ROLES]
    held = {start for start, stop in recorded.tolist() if any(a < stop and b > start for a, b in time.tolist())}
    assert set().union(*map(frames_of, bare)) == frames_of(recorded[[start in held for start in recorded[:, 0]]])
