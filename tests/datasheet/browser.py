"""Headless Chromium: opens pages in frames of a width, runs a probe in them, tells what was logged and asked for."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=20000"),
)
# No name is resolved: what a page asks for is seen, and nothing leaves this machine.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"

_PROBE = """<!doctype html><meta charset="utf-8"><title>probe</title>
<style>body {{ margin: 0 }} iframe {{ border: 0; display: block; height: 900px }}</style>
{frames}
<pre id="answer"></pre>
<script>
"use strict";
const probe = (frame) => {{ const doc = frame.contentDocument, win = frame.contentWindow; {probe} }};
window.addEventListener("load", () => {{
  const answers = {{}};
  for (const frame of document.querySelectorAll("iframe")) answers[frame.id] = probe(frame);
  document.getElementById("answer").textContent = JSON.stringify(answers);
}});
</script>
"""


def find_chromium() -> str | None:
    """Path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for found in map(shutil.which, names) if found), None)


@dataclass(frozen=True)
class Seen:
    """What the browser says of a page.

    Attributes
    ----------
    answers : mapping of width to what the probe returned
    console : list of str
        Messages of the pages, warnings and errors among them.
    requests : list of str
        Addresses of the network that were asked for.
    """

    answers: Mapping[int, Any]
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Browser:
    """A browser and a folder for its files."""

    program: str
    folder: Path

    def look(self, page: str, probe: str, widths: tuple[int, ...] = (1280,)) -> Seen:
        """Open `page` in frames of these widths; `probe` is the body of a function of ``doc`` and ``win``."""
        inner = html.escape(page, quote=True)
        frames = "\n".join(
            f'<iframe id="w{width}" style="width:{width}px" srcdoc="{inner}"></iframe>' for width in widths
        )
        file, log = self.folder / "probe.html", self.folder / "net.json"
        file.write_text(_PROBE.format(frames=frames, probe=probe), encoding="utf-8")
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [
                self.program, *FLAGS, OFFLINE, f"--user-data-dir={self.folder / 'profile'}", f"--log-net-log={log}",
                f"--window-size={max(widths)},900", "--dump-dom", file.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
        assert answer and answer[1], f"the probe did not answer: {done.stdout[-500:]} {done.stderr[-2000:]}"
        answers = {int(name[1:]): value for name, value in json.loads(html.unescape(answer[1])).items()}
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        text = log.read_text(encoding="utf-8", errors="replace")
        # What the browser asks for on its own account has no origin.
        asked = re.findall(r'"initiator":"(?!not an origin)[^"]*"[^\n]*?"url":"((?:https?|wss?|ftp)://[^"]+)"', text)
        return Seen(answers, console, asked)
