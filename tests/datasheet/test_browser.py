"""Pages in headless Chromium: no error, no request, no wider than the screen; the plane counts what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poyodata.curation import Diet
from poyodata.datasheet import plane_widget
from tests.datasheet.browser import Browser

pytestmark = pytest.mark.slow

WIDTH = "return [doc.documentElement.scrollWidth, doc.body.innerText.length];"


def test_the_browser_sees_errors_and_requests(browser: Browser) -> None:
    page = "<!doctype html><img src='https://example.org/x.png'><script>nothing.there()</script>"
    seen = browser.look(page, "return doc.images.length;")
    assert seen.answers == {1280: 1}
    assert "ReferenceError" in seen.console[0]
    assert seen.requests == ["https://example.org/x.png"]


@pytest.mark.parametrize("kind", ["datasheet", "plane"])
def test_a_page_fits_the_screen_and_asks_for_nothing(kind: str, browser: Browser, sheet: Path) -> None:
    page = sheet.read_text(encoding="utf-8") if kind == "datasheet" else plane_widget(table()).page
    seen = browser.look(page, WIDTH, (1280, 400))
    assert seen.console == []
    assert seen.requests == []
    for width, (wide, letters) in seen.answers.items():
        assert wide <= width
        assert letters > 100


def table() -> pd.DataFrame:
    """Neurons of which some lie on thresholds to the last bit, some have no moments."""
    rng = np.random.default_rng(3)
    skewness = rng.gamma(1.2, 2.0, 400) - 0.3
    kurtosis = skewness**2 + rng.gamma(2.0, 6.0, 400) - 2
    skewness[:3], kurtosis[:3] = 3.51, [22.62, np.nextafter(22.62, 30), 1e-7]
    skewness[3:6], kurtosis[5:8] = np.nan, np.nan
    skewness[8:10] = [np.inf, -np.inf]
    names = [f"n{number}" for number in range(400)]
    lines = np.resize(["Sst-IRES-Cre", "Cux2-CreERT2"], 400)
    return pd.DataFrame({"neuron_id": names, "skewness": skewness, "kurtosis": kurtosis, "cre_line": lines})


STEPS = """
const seen = [], field = (id) => doc.getElementById(id);
const put = (id, value, kind = "input") => {
  field(id).value = value; field(id).dispatchEvent(new win.Event(kind, { bubbles: true }));
};
const note = () => seen.push({ where: field("clause").value, yaml: field("yaml").value, ...field("counts").dataset });
note();
for (const scale of ["log", "lin"]) {
  put("scale-x", scale, "change"); put("scale-y", scale, "change");
  for (const region of ["low", "high", "neither"]) {
    put("region", region, "change");
    for (let step = 0; step <= 1000; step += 125) { put("slide-x", step); put("slide-y", 1000 - step); note(); }
  }
}
put("region", "low", "change");
for (const value of ["3.51", "0.1", "1e-7", "-0.25", "1e300", "3", "0.30000000000000004"]) {
  put("max-x", value); note();
}
put("brush-x0", "-1e-3"); put("brush-x1", "3.51"); put("brush-y0", "22.62"); put("brush-y1", "-2"); note();
const canvas = field("plane"), box = canvas.getBoundingClientRect();
canvas.setPointerCapture = () => {};
const point = (kind, x, y) => canvas.dispatchEvent(
  new win.PointerEvent(kind, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
for (const [x, y] of [[300, 90], [500, 300], [610, 20]]) {
  point("pointerdown", 90, 350); point("pointermove", x, y); point("pointerup", x, y); note();
}
canvas.dispatchEvent(new win.KeyboardEvent("keydown", { key: "Escape" })); note();
return seen;
"""


def test_the_clause_keeps_exactly_the_neurons_that_are_counted(browser: Browser) -> None:
    neurons = table()
    seen = browser.look(plane_widget(neurons).page, STEPS)
    assert seen.console == []
    states = seen.answers[1280]
    assert states[0]["where"] == "skewness <= 3.51 and kurtosis <= 22.62"
    assert len({state["where"] for state in states}) > 40
    brushed = 0
    for state in states:
        shown = json.dumps(state)
        diet = Diet.from_yaml(state["yaml"])
        assert diet.neurons == Diet.where(state["where"]).neurons, shown
        assert len(state["yaml"].splitlines()) == 6, shown
        selected = int(state["selected"])
        if selected:
            assert int(diet.select(neurons).kept.sum()) == selected, shown
        else:
            with pytest.raises(Exception, match="keeps none"):
                diet.select(neurons)
        assert sum(int(state[name]) for name in ("low", "high", "neither", "unknown")) == len(neurons), shown
        brushed += state["where"].count("<=") == 4 and " or " not in state["where"]
    assert brushed == 4
    assert "skewness <= 0.30000000000000004" in {state["where"].split(" and ")[0] for state in states}
