"""``python -m poyodata`` is the program ``poyodata``."""

from __future__ import annotations

from poyodata.cli import main

if __name__ == "__main__":
    main()
