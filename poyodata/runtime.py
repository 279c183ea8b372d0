"""What the process may use: cores, and threads that wait without burning them."""

from __future__ import annotations

import os


def available_cpus() -> int:
    """Cores that this process may use: its affinity and, where one is set, its control group's quota.

    ``os.cpu_count`` counts the machine's cores, which on a shared node or in a container are not ours.

    Examples
    --------
    >>> available_cpus() >= 1
    True
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123 - one line of a virtual file
            quota, period = file.read().split()
        if quota != "max":
            allowed = min(allowed, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        return max(1, allowed)  # no control group here: the affinity is all there is to know
    return max(1, allowed)


def limit_threads(threads: int | None = None) -> int:
    """Set the thread counts of OpenMP, BLAS and numba for this process and its children; returns the count.

    Must run before numpy or torch is imported, since both read these variables once. Waiting is passive: active
    waiting makes two-core machines several times slower as soon as anything else runs.
    """
    count = min(threads or available_cpus(), available_cpus())
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        try:
            wanted = int(os.environ.get(name, count))
        except ValueError:
            wanted = count
        os.environ[name] = str(max(1, min(wanted, count)))
    return count
