"""Quality of traces: what may make a region of interest unfit for use. For diets and reports; never applied unasked.

One statistic for each defect, so that who asks for one pays for one.
"""

from __future__ import annotations

from poyodata.statistics.quality.common_events import QUALITY_COMMON_EVENTS
from poyodata.statistics.quality.duplicates import QUALITY_DUPLICATES
from poyodata.statistics.quality.missing import QUALITY_MISSING
from poyodata.statistics.quality.trace import QUALITY_TRACE

QUALITY = (QUALITY_TRACE, QUALITY_MISSING, QUALITY_COMMON_EVENTS, QUALITY_DUPLICATES)
"""Low signal, drift, missing frames, common events, near-duplicates."""
