"""From a window rule to frames: what was shown, what the mouse did, and where recordings have gaps."""
