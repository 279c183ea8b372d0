"""Being told to stop: finish the step, save, and exit; SIGUSR1 has the job queued again, too.

Lightning saves inside the signal's handler, in the middle of whatever the step was doing. Here a handler only notes the
signal; the step is finished, the checkpoint is that of a whole step, and the run goes on from it bit for bit. Who
cancels a job sends SIGTERM, who presses Ctrl-C SIGINT: these want it to end, and it does not come back by itself.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from types import FrameType
from typing import Any, NoReturn

from poyodata.errors import ModelError

STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopSignals:
    """Signals that stop a run, noted from :meth:`install` until the block ends.

    Ctrl-C is noted once; the second time it interrupts at once.

    Examples
    --------
    >>> with StopSignals() as stop:
    ...     stop.install()
    ...     signal.raise_signal(signal.SIGUSR1)
    ...     stop.received == signal.SIGUSR1
    True
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.getsignal(number) for number in STOPPING}
        return self

    def install(self) -> None:
        """Note signals from now on; only the main thread of a process gets them."""
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                # A shell that starts a job in the background has it ignore Ctrl-C, which is meant for others.
                if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def leave(self, *, requeue: bool) -> NoReturn:
        """End as the signal wants it, when all is saved.

        Parameters
        ----------
        requeue : bool
            Whether SIGUSR1 has SLURM queue the job again.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        SystemExit
            After another signal, with 128 and its number.
        ModelError
            If SLURM does not queue the job again.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if requeue and self.received == signal.SIGUSR1:
            queue_again()
        raise SystemExit(128 + (self.received or 0))

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def job_id() -> str | None:
    """SLURM's number of this job, with the task of an array; None outside SLURM."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    name = os.environ.get("SLURM_JOB_ID") if array is None else f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return name or None


def was_requeued() -> bool:
    """Whether SLURM started this job before: then a run that is there is gone on with."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0


def queue_again() -> str | None:
    """Have SLURM queue this job again; gives its number, or None outside SLURM.

    Raises
    ------
    ModelError
        If SLURM does not do it.
    """
    job = job_id()
    if job is None:
        return None
    again = "the run is saved: submit the job again, with resume"
    if not re.fullmatch(r"[0-9]+(_[0-9]+)?", job):
        raise ModelError(f"SLURM's job number is {job!r}, expected digits; {again}")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ModelError(f"scontrol cannot be run ({error.strerror}); {again}") from error
    if done.returncode:
        raise ModelError(f"scontrol requeue {job} failed: {done.stderr.strip() or done.returncode}; {again}")
    return job
