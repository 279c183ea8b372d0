"""Windows: from the stretches of a role to an index of windows, each with its exact number of frames.

A window is never cut and never padded. It lies within one stretch: recorded without a gap, without a frame to which the
split gives another role, and without one that the diet leaves out.
"""

from __future__ import annotations

from poyodata.loaders.windows.fixed import fixed_windows
from poyodata.loaders.windows.frames import frame_windows
from poyodata.loaders.windows.index import Located, WindowIndex
from poyodata.loaders.windows.missing import drop_missing
from poyodata.loaders.windows.trials import trial_windows
from poyodata.loaders.windows.whole import whole_windows

__all__ = ["Located", "WindowIndex", "drop_missing", "fixed_windows", "frame_windows", "trial_windows", "whole_windows"]
